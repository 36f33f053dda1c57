"""Every link of every document leads to a file that is there, and to a heading in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for folder in (ROOT, *(ROOT / name for name in ("docs", "findings", "config", "debian", "examples", "benchmarks")))
    for path in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
)

FENCE = re.compile(r"^( *)(```+|~~~+)[^\n]*\n.*?^ *\2[^\n]*$", re.DOTALL | re.MULTILINE)
"""A block of code (CommonMark, section 4.5)."""

CODE = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n\n).)+?(?<!`)\1(?!`)", re.DOTALL)
"""Code within a line (section 6.1)."""

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)?)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6} +(.+?)(?: +#+)?$", re.MULTILINE)
ID = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")


def text_of(path: Path) -> str:
    """The document without its blocks of code, which have no links and no headings."""
    return COMMENT.sub("", FENCE.sub("", path.read_text(encoding="utf-8")))


def links(text: str) -> list[str]:
    """The targets of the links, also of those that are broken over lines. What is code within a line has none."""
    return LINK.findall(CODE.sub("", text))


def anchors(text: str) -> Iterator[str]:
    """The anchors of the headings, as GitHub makes them: a heading that comes again gets a number."""
    counts: Counter[str] = Counter()
    yield from ID.findall(text)
    for heading in HEADING.findall(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w -]", "", words).lower().replace(" ", "-")
        yield anchor if not counts[anchor] else f"{anchor}-{counts[anchor]}"
        counts[anchor] += 1


def test_all_documents_are_looked_at() -> None:
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} < set(DOCUMENTS)
    assert {"README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"} < set(DOCUMENTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links(name: str) -> None:
    path = ROOT / name
    for target in links(text_of(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = path.parent / file if file else path
        assert place.exists(), f"{name}: {target}: there is no such file"
        if anchor:
            assert anchor in set(anchors(text_of(place))), f"{name}: {target}: there is no such heading"


def test_what_is_a_link() -> None:
    text = '[a](b.md#c) `[x](y.md)` [two\nlines](d.md) [`code`](e.md) [p](f_(g)) ![](h.svg "title")\n'
    assert links(text) == ["b.md#c", "d.md", "e.md", "f_(g)", "h.svg"]
    headings = '# A `b`: c?\n## Is it\n\n## Is it\n<a id="here"></a>\n#hash\n'
    assert list(anchors(headings)) == ["here", "a-b-c", "is-it", "is-it-1"]
