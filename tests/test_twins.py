"""The rewriter that makes the synchronous views of the asynchronous ones, and the check that keeps them so."""

from __future__ import annotations

import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import rpcclient.sync
from tests import generated
from tests.twins import PHRASES, VIEWS, synchronous

SYNC = Path(rpcclient.sync.__path__[0])
AIO = SYNC.parent / "aio"


def rewritten(text: str) -> str:
    head, _, body = synchronous(text, "somewhere.py").partition("\n\n")
    assert head == "# Generated from somewhere.py by `make stubs`. Do not edit: change that, and generate anew."
    return body


def comments(text: str) -> list[str]:
    return [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith("# noqa: ASYNC")
    ]


@pytest.mark.parametrize(
    ("source", "twin"),
    [
        ("async def f() -> None: ...\n", "def f() -> None: ...\n"),
        ("x = await f(await g())\n", "x = f(g())\n"),
        ("if (await f(a, b)).running: ...\n", "if f(a, b).running: ...\n"),
        ("x = (await f() or 1) + 2\n", "x = (f() or 1) + 2\n"),
        ("x = (await f(), 1)\n", "x = (f(), 1)\n"),
        ("f(await g().h[1])\n", "f(g().h[1])\n"),
        ("async with await f() as x, g(): ...\n", "with f() as x, g(): ...\n"),
        ("x = [y async for y in z]\n", "x = [y for y in z]\n"),
        ("f: Callable[[], Awaitable[list[int]]]\n", "f: Callable[[], list[int]]\n"),
        ("class _AsyncLines(AsyncIterator[int]): ...\n", "class _Lines(Iterator[int]): ...\n"),
        ("x.aclose; anext(x); y.__aenter__\n", "x.close; next(x); y.__enter__\n"),
        ("from rpcwire.aio.peer import Peer\n", "from rpcwire.threads.peer import Peer\n"),
        ("from .stub import AsyncStub\n", "from .stub import SyncStub\n"),
        ("class A:\n    @gives_way\n    async def f(self): ...\n", "class A:\n    def f(self): ...\n"),
        ("awaited = async_name = Asynchronous = 'x'\n", "awaited = async_name = Asynchronous = 'x'\n"),
    ],
)
def test_code(source: str, twin: str) -> None:
    assert rewritten(source) == twin


@pytest.mark.parametrize(
    ("source", "twin"),
    [
        ("print((await program.wait()).status.code)", "print(program.wait().status.code)"),
        ("Leaving the ``async with`` block", "Leaving the ``with`` block"),
        ("an async iterator, and an async context manager", "an iterator, and a context manager"),
        ("see :meth:`AsyncClient.batch`", "see :meth:`Client.batch`"),
        (
            "Several tasks may use it, as the asynchronous client",
            "Several threads may use it, as the synchronous client",
        ),
        ("the word async stays where it means something", "the word async stays where it means something"),
    ],
)
def test_words(source: str, twin: str) -> None:
    assert rewritten(f'"""{source}"""  # {source}\n') == f'"""{twin}"""  # {twin}\n'


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_is_still_said(phrase: str) -> None:
    """One that nobody says any more has been changed at its source, and its replacement with it."""
    texts = [(AIO / f"{view}.py").read_text(encoding="utf-8") for view in VIEWS]
    assert sum(phrase in text for text in texts) == 1


@pytest.mark.parametrize("view", VIEWS)
def test_comments_stay(view: str) -> None:
    source, twin = ((folder / f"{view}.py").read_text(encoding="utf-8") for folder in (AIO, SYNC))
    head, *rest = comments(twin)
    assert head.startswith(f"# Generated from rpcclient/aio/{view}.py")
    assert len(rest) == len(comments(source))


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_of_asyncio_is_left(view: str) -> None:
    tokens = tokenize.generate_tokens(io.StringIO((SYNC / f"{view}.py").read_text(encoding="utf-8")).readline)
    head = next(tokens).string
    assert head.startswith("# Generated")
    for token in tokens:
        if token.type == tokenize.NAME:
            assert token.string not in {"async", "await", "asyncio", "aio"}, token
        elif token.type in {tokenize.STRING, tokenize.COMMENT}:
            assert "await " not in token.string, token
            assert "async with" not in token.string, token


def test_what_is_generated_says_so() -> None:
    """No file carries the line that is not made anew, and none is made that does not carry it."""
    marked = {
        str(file.relative_to(SYNC))
        for file in SYNC.rglob("*.py")
        if file.read_text(encoding="utf-8").startswith("# Generated")
    }
    stubs = {f"stubs/{kind}{name}.py" for name in generated.STUBBED for kind in ("", "group_")}
    assert marked == {*(f"{view}.py" for view in VIEWS), *stubs}


def test_an_edited_twin_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check compares each file whole: one letter of a comment is enough."""
    edited = tmp_path / "edited.py"
    current = tmp_path / "current.py"
    made = "x = 1  # A reason.\n"
    current.write_text(made, encoding="utf-8")
    edited.write_text(made.replace("reason", "raison"), encoding="utf-8")
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["generated", "--check"])
    monkeypatch.setattr(generated, "files", lambda: iter([(current, made)]))
    assert generated.main() == 0
    monkeypatch.setattr(generated, "files", lambda: iter([(current, made), (edited, made)]))
    assert generated.main() == 1
    assert "raison" in edited.read_text(encoding="utf-8")


def test_all_that_is_generated_is_current() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.generated", "--check"], cwd=generated.ROOT, timeout=300)
    assert done.returncode == 0
