"""No regular expression of the product tries one text again and again. Every pattern that the code compiles is read
here, and one is refused in which two repeats without a limit can share the same characters:

- a repeat inside another one, ``(?:a*b?)*``;
- one after another, with nothing between them that neither may contain, ``\\s*(?:x)?\\s*``.

A possessive repeat (``a*+``), or one in an atomic group (``(?>a*)``), gives nothing back, so it may stand anywhere. This
rule finds what takes quadratic or exponential time at one place of a text. What a search adds by beginning anew at each
place, ``tests/test_growth.py`` finds. The patterns of operators are not compiled by Python: RE2 matches them.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from re import _constants as sre  # type: ignore[attr-defined]
    from re import _parser  # type: ignore[attr-defined]

ROOT = Path(__file__).parent.parent
FUNCTIONS = {"compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT)
ONE_CHARACTER = (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN)
MANY = 32
"""A repeat up to this limit counts as one without repetition: the work stays a small multiple."""

EXCEPTIONS: dict[str | bytes, str] = {
    r"\s*DELIMITER[ \t]+(?:(?P<quote>['\"`])(?P<quoted>[^\n]+?)(?P=quote)|(?P<sign>\S++))[^\n]*+(?:\n|\Z)": (
        "The rest of the line always matches, so nothing is tried twice. The user of the command line wrote the text."
    ),
}
"""Patterns that may stay as they are, and the reason why their text is never long or never foreign."""


class Ambiguous(AssertionError):
    """Two repeats can share the same characters."""


# --- what characters a part can match --------------------------------------------------------------------------------

OTHER_WORDS, OTHER_SPACES, OTHERS = 256, 257, 258
"""Stand for the characters beyond the first 256: those of words, those between them, and all others."""
EVERYTHING = frozenset(range(259))


def _code(number: int) -> int:
    if number < 256:
        return number
    sign = chr(number)
    return OTHER_SPACES if sign.isspace() else OTHER_WORDS if sign.isalnum() else OTHERS


def characters(node: tuple[Any, Any], flags: int) -> frozenset[int]:
    """The characters with which one node can match. Too many is safe: then the rule refuses more."""
    kind, value = node
    if kind is sre.LITERAL:
        return _cases({_code(value)}, flags)
    if kind is sre.NOT_LITERAL:
        return EVERYTHING - {value}
    if kind is sre.ANY:
        return EVERYTHING if flags & re.DOTALL else EVERYTHING - {10}
    if kind is sre.IN:
        found: set[int] = set()
        whole: set[int] = set()  # Those of which all belong to it, also beyond the first 256.
        negated = False
        for item, what in value:
            if item is sre.NEGATE:
                negated = True
            elif item is sre.LITERAL:
                found |= _cases({_code(what)}, flags)
            elif item is sre.RANGE:
                found |= _cases(set(range(what[0], min(what[1], 255) + 1)), flags)
                if what[1] >= 256:
                    found |= {OTHER_WORDS, OTHER_SPACES, OTHERS}
            elif item is sre.CATEGORY:
                found |= _category(what, flags)
                if "DIGIT" not in str(what):
                    whole |= _category(what, flags)
        return EVERYTHING - {code for code in found if code < 256 or code in whole} if negated else frozenset(found)
    return EVERYTHING


def _cases(codes: set[int], flags: int) -> frozenset[int]:
    if not flags & re.IGNORECASE:
        return frozenset(codes)
    both = {
        ord(sign) for code in codes if code < 256 for sign in (chr(code).lower() + chr(code).upper()) if ord(sign) < 256
    }
    return frozenset(codes | both)


def _category(category: Any, flags: int) -> frozenset[int]:
    name = str(category).removeprefix("CATEGORY_").lower()
    kind = name.removeprefix("not_")
    matcher = re.compile({"digit": r"\d", "space": r"\s", "word": r"\w"}[kind], flags & re.ASCII)
    found = {code for code in range(256) if matcher.match(chr(code))}
    if not flags & re.ASCII:
        found.add(OTHER_SPACES if kind == "space" else OTHER_WORDS)
    if name == kind:
        return frozenset(found)
    # There are signs of words that are no digits.
    return EVERYTHING - (found - {OTHER_WORDS} if kind == "digit" else found)


# --- the rule --------------------------------------------------------------------------------------------------------------


class Reader:
    """Walks through a pattern from left to right, and notes which characters the repeats before a place can give back."""

    def __init__(self, flags: int) -> None:
        self.flags = flags

    def sequence(self, nodes: Any, before: frozenset[int]) -> frozenset[int]:
        """Read a sequence.

        Parameters:
            nodes: its parts.
            before: the characters that a repeat directly before it can give back.

        Returns:
            The characters that a repeat at its end can give back.
        """
        for node in nodes:
            before = self.node(node, before)
        return before

    def node(self, node: tuple[Any, Any], before: frozenset[int]) -> frozenset[int]:
        kind, value = node
        if kind in REPEATS:
            return self.repeat(*value, before)
        if kind is sre.POSSESSIVE_REPEAT:
            least, most, body = value
            self.refuse_inside(most, body)
            own = self.all_characters(body) if most > MANY else frozenset()
            self.refuse(before & own, "stands behind a repeat of the same characters, which gives back what it takes")
            return before & own if least == 0 else frozenset()
        if kind is sre.ATOMIC_GROUP:
            self.sequence(value, frozenset())
            return before if self.may_be_empty([node]) else frozenset()
        if kind is sre.SUBPATTERN:
            return self.sequence(value[3], before)
        if kind is sre.BRANCH:
            return frozenset().union(*(self.sequence(branch, before) for branch in value[1]))
        if kind in (sre.ASSERT, sre.ASSERT_NOT):
            self.sequence(value[1], frozenset())
            return before
        if kind is sre.AT:
            return before
        if kind is sre.GROUPREF_EXISTS:
            return frozenset().union(*(self.sequence(part, before) for part in value[1:] if part))
        return before & characters(node, self.flags) if kind is not sre.GROUPREF else before

    def repeat(self, least: int, most: int, body: Any, before: frozenset[int]) -> frozenset[int]:
        own = self.all_characters(body)
        if least == most and len(body) == 1 and body[0][0] in ONE_CHARACTER:
            return before & own  # It has one length only, and so gives nothing back.
        if most <= MANY:
            after = self.sequence(body, before)
            return after | before if least == 0 else after
        self.refuse_inside(most, body)
        self.refuse(before & own, "follows another repeat of the same characters")
        self.sequence(body, frozenset())
        return own | (before if least == 0 else frozenset())

    def refuse_inside(self, most: int, body: Any) -> None:
        """Refuse a repeated body that can split the same text in several ways."""
        if most > MANY:
            inside = self.sequence(body, frozenset())
            starts = self.first_characters(body)
            self.refuse(inside & starts, "is repeated, and so is its end, with characters with which it begins again")
            if self.may_be_empty(body):
                self.refuse(frozenset({0}), "is repeated, and may be empty")

    def refuse(self, shared: frozenset[int], text: str) -> None:
        if shared:
            raise Ambiguous(f"a repeat {text}, such as {chr(min(shared))!r}")

    def all_characters(self, nodes: Any) -> frozenset[int]:
        """All characters in a sequence."""
        found: frozenset[int] = frozenset()
        for kind, value in nodes:
            if kind in (*REPEATS, sre.POSSESSIVE_REPEAT):
                found |= self.all_characters(value[2])
            elif kind is sre.ATOMIC_GROUP:
                found |= self.all_characters(value)
            elif kind is sre.SUBPATTERN:
                found |= self.all_characters(value[3])
            elif kind is sre.BRANCH:
                found |= frozenset().union(*(self.all_characters(branch) for branch in value[1]))
            elif kind not in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
                found |= characters((kind, value), self.flags)
        return found

    def first_characters(self, nodes: Any) -> frozenset[int]:
        """The characters with which a sequence can begin."""
        found: frozenset[int] = frozenset()
        for node in nodes:
            kind, value = node
            if kind in (*REPEATS, sre.POSSESSIVE_REPEAT):
                found |= self.first_characters(value[2])
            elif kind is sre.ATOMIC_GROUP:
                found |= self.first_characters(value)
            elif kind is sre.SUBPATTERN:
                found |= self.first_characters(value[3])
            elif kind is sre.BRANCH:
                found |= frozenset().union(*(self.first_characters(branch) for branch in value[1]))
            elif kind not in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
                found |= characters(node, self.flags)
            if not self.may_be_empty([node]):
                break
        return found

    def may_be_empty(self, nodes: Any) -> bool:
        part = _parser.SubPattern(_parser.State(), list(nodes))
        return part.getwidth()[0] == 0


def read(pattern: str | bytes, flags: int = 0) -> None:
    """Read a pattern.

    Raises:
        Ambiguous: two repeats without a limit can share the same characters.
    """
    parsed = _parser.parse(pattern, flags)
    Reader(parsed.state.flags).sequence(parsed, frozenset())


# --- the patterns of the product -------------------------------------------------------------------------------------------


def sources() -> Iterator[Path]:
    for folder in ("rpcwire", "rpcclient", "rpcserver", "services"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def written_patterns(path: Path) -> Iterator[tuple[int, str | bytes, int]]:
    """Yield the patterns that a file gives to functions of ``re``: line, pattern, flags."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in FUNCTIONS
        ):
            continue
        given = [word.value for word in node.keywords if word.arg == "flags"] or node.args[1:2]
        flags = 0
        for part in ast.walk(given[0]) if given else ():
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "re":
                flags |= int(getattr(re, part.attr))
        try:
            yield node.lineno, ast.literal_eval(node.args[0]), flags
        except ValueError:
            continue  # Made of parts: see compiled_patterns.


def compiled_patterns(path: Path) -> Iterator[tuple[str, str | bytes, int]]:
    """Yield the patterns that a module holds when it is loaded: name, pattern, flags."""
    inside = path.relative_to(ROOT / "services" if path.is_relative_to(ROOT / "services") else ROOT)
    name = ".".join(inside.with_suffix("").parts).removesuffix(".__init__")
    if name.endswith("__main__"):
        return
    module = import_module(name)
    for key, value in vars(module).items():
        if isinstance(value, re.Pattern):
            yield key, value.pattern, value.flags


@pytest.mark.parametrize("path", list(sources()), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pattern_tries_a_text_again_and_again(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if "re." not in text:
        return
    wrong = []
    for place, pattern, flags in (*written_patterns(path), *compiled_patterns(path)):
        try:
            read(pattern, flags)
        except Ambiguous as exc:
            if pattern not in EXCEPTIONS:
                wrong.append(f"{place}: {pattern!r}: {exc}")
    assert not wrong


@pytest.mark.parametrize(
    "pattern",
    [r"(?:a*)*", r"(?:a*b?)*", r"(a+)+$", r"\s*\s*", r"\s*(?:x)?\s*", r".*.*", r"\w+\d+", r"(?:a|a)*b*b*",
     r'"(?:[^"\\]+|\\.)*"'],
)  # fmt: skip
def test_the_rule_finds(pattern: str) -> None:
    with pytest.raises(Ambiguous):
        read(pattern)


@pytest.mark.parametrize(
    "pattern",
    [r"a*b*", r"\s*x\s*", r"(?:ab)*", r'"(?:[^"\\]++|\\.)*+"', r"\d+\.\d+", r"(?>\s*)x", r"[a-z]+[0-9]+", r"a{1,4}a{1,4}"],
)  # fmt: skip
def test_the_rule_allows(pattern: str) -> None:
    read(pattern)


def test_exceptions_are_needed() -> None:
    used = {pattern for path in sources() for _, pattern, _ in written_patterns(path)}
    used |= {pattern for path in sources() for _, pattern, _ in compiled_patterns(path)}
    assert set(EXCEPTIONS) <= used
