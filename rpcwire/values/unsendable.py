"""Why a value cannot be sent, in words for whoever gave it: where in it the fault is, and what the fault is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from inspect import GEN_CREATED, getgeneratorstate
from types import GeneratorType
from typing import Any, cast

from pydantic_core import to_json

from rpcwire.limits import MAX_DEPTH, MAX_DIGITS, TOO_DEEP, TOO_LONG
from rpcwire.sending import UNSENDABLE, raise_interruption

from .packing import map_key
from .tagged import to_tagged

_Place = tuple[str | int, ...]
_GROUPS = (list, tuple, set, frozenset, deque)
_SHOWN = 4
"""How much of a long way is told."""
_NO_UNICODE = "with lone surrogates cannot be sent: it is not valid Unicode"
_DEEPEST = 2 * MAX_DEPTH
"""Nothing that is looked through nests more deeply: no form of the wire has room for it."""


class Unsendable(ValueError):
    """A value that cannot be sent.

    Attributes:
        loc: where it is, from the outermost name or place inwards.
        reason: what is wrong with it.
    """

    def __init__(self, loc: list[str | int], reason: str) -> None:
        self.loc = loc
        self.reason = reason
        super().__init__(f"{'.'.join(map(str, loc))}: {reason}" if loc else reason)


def unsendable(
    value: Any, failure: Exception, *, binary: bool, leaf: Callable[[Any], object] | None = None
) -> Unsendable:
    """What is wrong with a value that has failed to be encoded.

    Parameters:
        value: the value.
        failure: what the encoder said; of several lines the first is told where nothing better is found.
        binary: whether it was to be MessagePack; JSON otherwise.
        leaf: encodes what a value is made of; as a :data:`~rpcwire.values.tagged.Value` where not given.
    """
    encode = leaf or (lambda part: to_tagged(part, binary=True))
    if str(failure) == TOO_DEEP:
        return Unsendable(_deepest(value), TOO_DEEP)
    try:
        for loc, part in _leaves(value):
            reason = _name_reason(part, binary) if isinstance(part, Mapping) else _reason(part, encode)
            if reason is not None:
                return Unsendable(list(loc), reason)
    except Unsendable as nesting:
        return nesting
    return Unsendable([], f"cannot be sent: {_first_line(failure)}")


def _parts(value: Any) -> Iterator[tuple[Any, Any]] | None:
    """What a value is made of; ``None`` where it is no more than itself."""
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
    """Whatever a value is made of, and where each part is. Mappings come themselves, too, before their parts.

    Raises:
        Unsendable: a part contains itself, or nests too deeply for a walk.
    """
    way: list[tuple[_Place, int, Iterator[tuple[Any, Any]]]] = []  # What is around a part, with its identity.

    def enter(loc: _Place, part: Any) -> Iterator[tuple[_Place, Any]]:
        parts = _parts(part)
        if parts is None or isinstance(part, Mapping):
            yield loc, part
        if parts is None:
            return
        if any(id(part) == around for _, around, _ in way):
            raise Unsendable(list(loc[:_SHOWN]), "a value that contains itself cannot be sent")
        if len(way) == _DEEPEST:
            raise Unsendable(list(loc[:_SHOWN]), TOO_DEEP)
        way.append((loc, id(part), parts))

    yield from enter((), value)
    while way:
        loc, _, parts = way[-1]
        try:
            key, item = next(parts)
        except StopIteration:
            way.pop()
        else:
            yield from enter(_step(loc, key), item)


def spent_generator(value: Any, failure: Exception) -> Unsendable | None:
    """Where in a value a generator has given something, or has failed, so that what is left of it is not all of it.

    Parameters:
        value: the value.
        failure: what the encoder said.
    """
    try:
        for loc, part in _leaves(value):
            if isinstance(part, GeneratorType) and getgeneratorstate(part) != GEN_CREATED:
                return Unsendable(list(loc), f"the generator failed: {_first_line(failure)}")
    except Unsendable as nesting:
        return nesting
    return None


def _deepest(value: Any) -> list[str | int]:
    """How the way begins to what nests most deeply."""
    level: list[tuple[_Place, Any]] = [((), value)]
    found: _Place = ()
    for _ in range(_DEEPEST):
        below = [(loc, key, item) for loc, outer in level for key, item in (_parts(outer) or ())]
        level = [(_step(loc, key) if len(loc) < _SHOWN else loc, item) for loc, key, item in below if _parts(item)]
        if not level:
            break
        found = level[0][0]
    return list(found)


def name_text(key: Any, *, binary: bool) -> object:
    """What the key of a mapping becomes on the wire, as something to compare.

    Raises:
        TypeError, ValueError: nothing that can be sent.
    """
    if binary:
        return map_key(key)
    return to_json({key: None}, bytes_mode="base64", inf_nan_mode="strings")


def _name_reason(value: Mapping[Any, Any], binary: bool) -> str | None:
    """Why the keys of a mapping cannot be sent: two of them would be one name, or one would be none."""
    seen: dict[object, Any] = {}
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
        if text in seen:
            form = "MessagePack" if binary else "JSON"
            return (
                f"the keys {seen[text]!r:.60} and {key!r:.60} have the same name in {form}: use keys that differ there"
            )
        seen[text] = key
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
