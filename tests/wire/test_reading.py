"""Signatures and documentation as people want to read them."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import Field

from rpcwire.errors import RpcError
from rpcwire.reading import readable, summary_of, type_words


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "int"),
        (None, "None"),
        (Any, "Any"),
        (RpcError, "RpcError"),
        (Annotated[int, Field(ge=1)], "int"),
        (list[Annotated[int, Field(ge=1)]], "list[int]"),
        (dict[str, RpcError] | None, "dict[str, RpcError] | None"),
        (Optional[int], "int | None"),  # noqa: UP045 - people write it so
        (Literal["a", 1], "Literal['a', 1]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (AsyncIterator[RpcError], "AsyncIterator[RpcError]"),
        (Callable[[int], str], "Callable[[int], str]"),
        ("Point", "Point"),
    ],
)
def test_types(annotation: Any, words: str) -> None:
    assert type_words(annotation) == repr(type_words(annotation)) == words


def test_signatures() -> None:
    def function(a: Annotated[int, Field(ge=1)] = 5, *, b: list[RpcError], c) -> AsyncIterator[RpcError]: ...  # type: ignore[no-untyped-def]

    signature = inspect.signature(function, eval_str=True)
    assert str(readable(signature)) == "(a: int = 5, *, b: list[RpcError], c) -> AsyncIterator[RpcError]"


@pytest.mark.parametrize(
    ("doc", "parts"),
    [
        ("", ("", "")),
        ("Read it.", ("Read it.", "")),
        ("No period", ("No period", "")),
        ("One sentence over\ntwo lines. And another\none.\n\nMore.", ("One sentence over two lines.", "And another one.\n\nMore.")),
        ("Read e.g. this, i.e. that.\n\nMore.", ("Read e.g. this, i.e. that.", "More.")),
        ("Like ``a.b``. (In short.)", ("Like ``a.b``.", "(In short.)")),
        ('Answer "pong.": so', ('Answer "pong.": so', "")),
    ],
)  # fmt: skip
def test_summaries(doc: str, parts: tuple[str, str]) -> None:
    assert summary_of(doc) == parts
