"""Finds out why a value cannot be sent: which part is wrong, and for what reason."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from inspect import GEN_CREATED, getgeneratorstate
from types import GeneratorType
from typing import Any, cast

from rpcwire.limits import MAX_DEPTH, MAX_DIGITS, TOO_DEEP, TOO_LONG
from rpcwire.sending import UNSENDABLE, raise_interruption

from .packing import map_key

_Place = tuple[str | int, ...]
_GROUPS = (list, tuple, set, frozenset, deque)
_MOST_STEPS = 4
"""The most steps of a place that an error names."""
_NO_UNICODE = "with lone surrogates cannot be sent: it is not valid Unicode"
_DEEPEST = 2 * MAX_DEPTH
"""The deepest level to look at: no form of the wire allows more."""


class Unsendable(ValueError):
    """A value that cannot be sent.

    Attributes:
        loc: its place, from the outermost name or position inwards.
        reason: the reason.
    """

    def __init__(self, loc: list[str | int], reason: str) -> None:
        self.loc = loc
        self.reason = reason
        super().__init__(f"{'.'.join(map(str, loc))}: {reason}" if loc else reason)


def unsendable(
    value: Any, failure: Exception, *, binary: bool, leaf: Callable[[Any], object] | None = None
) -> Unsendable:
    """Find out why a value could not be encoded.

    Parameters:
        value: the value.
        failure: the exception of the encoder. Its first line is the reason if no better one is found.
        binary: whether the form is MessagePack; otherwise JSON.
        leaf: encodes a part of a value; ``None`` to encode it as a :data:`~rpcwire.values.tagged.Value`.
    """
    encode = leaf or _encode_tagged
    if str(failure) == TOO_DEEP:
        return Unsendable(_deepest(value), TOO_DEEP)
    try:
        for loc, part in _leaves(value):
            reason = _name_reason(part, binary) if isinstance(part, Mapping) else _reason(part, encode)
            if reason is not None:
                return Unsendable(list(loc), reason)
    except Unsendable as exc:
        return exc
    return Unsendable([], f"cannot be sent: {_first_line(failure)}")


def _encode_tagged(part: Any) -> object:
    from .tagged import to_tagged  # Most programs never send anything that cannot be sent, and do not load it.

    return to_tagged(part, binary=True)


def _parts(value: Any) -> Iterator[tuple[Any, Any]] | None:
    """Return the parts of a value, with their names or positions; ``None`` if it has no parts."""
    if isinstance(value, Mapping):
        return iter(value.items())
    if isinstance(value, _GROUPS):
        return iter(enumerate(value))
    if is_dataclass(value) and not isinstance(value, type):
        return ((field.name, getattr(value, field.name)) for field in fields(value))
    if hasattr(type(value), "__pydantic_fields__"):
        return iter(cast("Iterable[tuple[Any, Any]]", value))
    return None


def _step(loc: _Place, key: Any) -> _Place:
    return (*loc, key if isinstance(key, int) else str(key))


def _leaves(value: Any) -> Iterator[tuple[_Place, Any]]:
    """Yield all parts of a value that have no parts, with their places. Mappings are yielded, too, before their parts.

    Raises:
        Unsendable: a part contains itself, or nests too deeply.
    """
    path: list[
        tuple[_Place, int, Iterator[tuple[Any, Any]]]
    ] = []  # The collections around a part, with their identities.

    def enter(loc: _Place, part: Any) -> Iterator[tuple[_Place, Any]]:
        parts = _parts(part)
        if parts is None or isinstance(part, Mapping):
            yield loc, part
        if parts is None:
            return
        if any(id(part) == around for _, around, _ in path):
            raise Unsendable(list(loc[:_MOST_STEPS]), "a value that contains itself cannot be sent")
        if len(path) == _DEEPEST:
            raise Unsendable(list(loc[:_MOST_STEPS]), TOO_DEEP)
        path.append((loc, id(part), parts))

    yield from enter((), value)
    while path:
        loc, _, parts = path[-1]
        try:
            key, item = next(parts)
        except StopIteration:
            path.pop()
        else:
            yield from enter(_step(loc, key), item)


def spent_generator(value: Any, failure: Exception) -> Unsendable | None:
    """Find a generator in a value that was started by the encoding, so that a second try would not get all its items.

    Parameters:
        value: the value.
        failure: the exception of the encoder.
    """
    try:
        for loc, part in _leaves(value):
            if isinstance(part, GeneratorType) and getgeneratorstate(part) != GEN_CREATED:
                return Unsendable(list(loc), f"the generator failed: {_first_line(failure)}")
    except Unsendable as exc:
        return exc
    return None


def _deepest(value: Any) -> list[str | int]:
    """Return the first steps of the place that nests most deeply."""
    level: list[tuple[_Place, Any]] = [((), value)]
    deepest: _Place = ()
    for _ in range(_DEEPEST):
        below = [(loc, key, item) for loc, outer in level for key, item in (_parts(outer) or ())]
        level = [(_step(loc, key) if len(loc) < _MOST_STEPS else loc, item) for loc, key, item in below if _parts(item)]
        if not level:
            break
        deepest = level[0][0]
    return list(deepest)


def name_text(key: Any, *, binary: bool) -> object:
    """Return the key of a mapping as it is on the wire, to compare it with others.

    Raises:
        TypeError, ValueError: the key cannot be sent.
    """
    if binary:
        return map_key(key)
    from pydantic_core import to_json

    return to_json({key: None}, bytes_mode="base64", inf_nan_mode="strings")


def _name_reason(value: Mapping[Any, Any], binary: bool) -> str | None:
    """Find out why the keys of a mapping cannot be sent: two have the same name, or one has no name; ``None`` if they
    can."""
    key_of: dict[object, Any] = {}
    for key in value:
        try:
            if isinstance(key, int) and abs(key) >= 10**MAX_DIGITS:
                return f"a key that is {TOO_LONG} cannot be sent"
            text = name_text(key, binary=binary)
            if isinstance(text, str):
                text.encode()
        except UNSENDABLE as exc:
            raise_interruption(exc)
            reason = _NO_UNICODE if "surrogates" in str(exc) else f"cannot be sent: {_first_line(exc)}"
            return f"the key {key!r:.60} {reason}"
        if text in key_of:
            form = "MessagePack" if binary else "JSON"
            keys = f"{key_of[text]!r:.60} and {key!r:.60}"
            return f"the keys {keys} have the same name in {form}: use keys that differ there"
        key_of[text] = key
    return None


def _reason(leaf: Any, encode: Callable[[Any], object]) -> str | None:
    if isinstance(leaf, int) and abs(leaf) >= 10**MAX_DIGITS:
        return f"{TOO_LONG} cannot be sent"
    try:
        encode(leaf)
    except UNSENDABLE as exc:
        raise_interruption(exc)
        return f"text {_NO_UNICODE}" if "surrogates" in str(exc) else _first_line(exc)
    return None


def _first_line(exc: Exception) -> str:
    return str(exc).strip().partition("\n")[0]
