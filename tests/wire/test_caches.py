"""Caches keep what is small, and never what is large."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

from pydantic import TypeAdapter

from rpcwire.caches import cache_small
from rpcwire.values.repeated import Repeated


def test_only_results_for_small_arguments_are_kept() -> None:
    calls: list[str] = []

    @cache_small(2, 10, lambda text, **_: len(text))
    def upper(text: str, *, twice: bool = False) -> str:
        """Make it large."""
        calls.append(text)
        return text.upper() * (2 if twice else 1)

    assert [upper("small") for _ in range(3)] == ["SMALL"] * 3
    assert upper("small", twice=True) == "SMALLSMALL"
    assert [upper("too large for it") for _ in range(2)] == ["TOO LARGE FOR IT"] * 2
    assert calls == ["small", "small", "too large for it", "too large for it"]
    assert (upper.__name__, upper.__doc__) == ("upper", "Make it large.")


@dataclass(frozen=True)
class Head:
    name: str


def test_large_repeated_values_are_not_kept() -> None:
    adapter: TypeAdapter[tuple[Head, ...]] = TypeAdapter(Annotated[tuple[Head, ...], Repeated()])
    name = "x" * 100_000
    value = (Head(name),)
    before = sys.getrefcount(name), sys.getrefcount(value)
    data = adapter.dump_python(value)
    assert adapter.dump_python((Head(name),)) == data
    assert (sys.getrefcount(name), sys.getrefcount(value)) == before
    small = (Head("small"),)
    assert adapter.dump_python(small) is adapter.dump_python((Head("small"),))
