"""Makes signatures and docstrings readable for people."""

from __future__ import annotations

import inspect
import re
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

_SENTENCE_END = re.compile(r"[.!?]['\")]*(?=\s+[^\sa-z]|\Z)")


class Words(str):
    """The text of a type, which a signature shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def type_words(annotation: Any) -> Words:
    """Write a type as in a signature: without modules, and without annotations that only validators need."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_words(parts[0])
    if origin in (Union, UnionType):
        return Words(" | ".join(map(type_words, parts)))
    if origin is Literal:
        return Words(f"Literal[{', '.join(map(repr, parts))}]")
    if annotation is NoneType or annotation is None:
        return Words("None")
    if annotation is Ellipsis:
        return Words("...")
    if isinstance(annotation, str):
        return Words(annotation)
    if isinstance(annotation, list):
        return Words(f"[{', '.join(map(type_words, annotation))}]")
    name = getattr(annotation if origin is None else origin, "__name__", None) or str(annotation)
    return Words(f"{name}[{', '.join(map(type_words, parts))}]" if parts else name)


def readable(signature: inspect.Signature) -> inspect.Signature:
    """Return the signature with its types as text."""
    empty = inspect.Signature.empty

    def words(annotation: Any) -> Any:
        return empty if annotation is empty else type_words(annotation)

    return signature.replace(
        parameters=[p.replace(annotation=words(p.annotation)) for p in signature.parameters.values()],
        return_annotation=words(signature.return_annotation),
    )


def summary_of(doc: str) -> tuple[str, str]:
    """Split a docstring into its first sentence, in one line, and the rest."""
    paragraph, gap, rest = doc.strip().partition("\n\n")
    line = " ".join(paragraph.split())
    end = _SENTENCE_END.search(line)
    if end is None:
        return line, rest.strip()
    more = line[end.end() :].strip()
    return line[: end.end()], (more + gap + rest if more else rest).strip()
