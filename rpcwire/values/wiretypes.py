"""Reads and writes values of one type in every form of the wire, so that bytes, Decimal, datetime, sets and models
arrive as what they were.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Raw
from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import (
    CoreConfig,
    CoreSchema,
    SchemaSerializer,
    SchemaValidator,
)

from rpcwire.codec import Codec
from rpcwire.errors import InvalidParams, RemoteProtocolError, describe_fields, field_errors
from rpcwire.limits import BODY_LEVELS, MAX_DIGITS
from rpcwire.sending import UNSENDABLE, raise_interruption

from .packing import AS_BYTES, pack, unpack
from .tagged import AS_TAGGED, seen
from .unsendable import spent_generator, unsendable

WIRE_CONFIG: CoreConfig = {
    "ser_json_bytes": "base64",
    "val_json_bytes": "base64",
    "ser_json_inf_nan": "strings",
    "ser_json_timedelta": "iso8601",
}
"""How JSON says what it has no words for. It holds inside every model and dataclass of a contract, too."""

_CONFIGURED = frozenset({"model", "dataclass", "typed-dict"})
_OPEN = frozenset({
    "any", "is-instance", "is-subclass", "callable", "function-before", "function-after", "function-wrap",
    "function-plain", "json-or-python", "lax-or-strict", "custom-error",
})  # fmt: skip
"""Schemas that do not tell what their values are made of."""

_LONG = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
"""What may be an integer that nobody reads."""

_SIMPLE: Mapping[str, type] = {"int": int, "str": str, "bool": bool, "bytes": bytes, "float": float}
"""Types whose exact instances need no serializer in MessagePack."""


def _configured(schema: Any) -> Any:
    """A copy of a core schema in which every model follows :data:`WIRE_CONFIG`, whatever it was declared with."""
    if isinstance(schema, dict):
        # The fields of a model are a dictionary, too: one of them may be called "type" or "metadata".
        kind = schema.get("type")
        node = isinstance(kind, str)
        copy = {key: value if node and key == "metadata" else _configured(value) for key, value in schema.items()}
        if node and kind in _CONFIGURED:
            copy["config"] = {**(schema.get("config") or {}), **WIRE_CONFIG}
        return copy
    if isinstance(schema, list):
        return [_configured(item) for item in schema]
    if isinstance(schema, tuple):
        return tuple(_configured(item) for item in schema)
    return schema


def _kinds(schema: Any, *, written: bool = False) -> set[str]:
    """Every ``type`` that occurs in a core schema; if it is to be ``written``, without those that become bytes."""
    found: set[str] = set()
    if isinstance(schema, dict):
        kind = schema.get("type")
        node = isinstance(kind, str)
        if node and AS_TAGGED.items() <= (schema.get("metadata") or {}).items():
            return {"tagged"}
        if node and written and AS_BYTES.items() <= (schema.get("metadata") or {}).items():
            return {"bytes"}
        if isinstance(kind, str):
            found.add(kind)
        for key, value in schema.items():
            if key != "metadata" or not node:
                found |= _kinds(value, written=written)
    elif isinstance(schema, (list, tuple)):
        for item in schema:
            found |= _kinds(item, written=written)
    return found


_DISTINCT = frozenset({"str", "int", "uuid", "date", "datetime", "time", "bool"})
"""Types whose values, where they differ, differ as names, too."""


def _may_repeat(schema: Any) -> bool:
    """Whether what is written of a type in JSON may hold one name twice in an object."""
    if isinstance(schema, (list, tuple)):
        return any(_may_repeat(item) for item in schema)
    if not isinstance(schema, dict):
        return False
    kind = schema.get("type")
    if isinstance(kind, str):
        if (schema.get("metadata") or {}).get("rpcwire") in ("tagged", "bytes"):
            return False
        if kind in _OPEN or "allow" in (schema.get("extra_behavior"), schema.get("extra_fields_behavior")):
            return True
        if kind == "dict" and (schema.get("keys_schema") or {}).get("type") not in _DISTINCT:
            return True
        if kind in _CONFIGURED and (schema.get("config") or {}).get("extra_fields_behavior") == "allow":
            return True
        written = [field for field in _fields(schema) if isinstance(field, dict)]
        names = [field.get("serialization_alias") for field in written]
        if any(names):
            return True
    return any(_may_repeat(value) for key, value in schema.items() if key != "metadata" or not isinstance(kind, str))


def _fields(schema: Any) -> list[Any]:
    """The fields of a model, a dataclass or a typed dictionary."""
    found = schema.get("fields")
    return list(found.values()) if isinstance(found, dict) else list(found) if isinstance(found, list) else []


def _references(schema: Any, defined: dict[str, set[str]]) -> set[str]:
    """The definitions that a core schema refers to; what those refer to in turn is put into ``defined``."""
    found: set[str] = set()
    if isinstance(schema, dict):
        if schema.get("type") == "definition-ref":
            return {schema["schema_ref"]}
        if schema.get("type") == "definitions":
            for definition in schema["definitions"]:
                defined[definition["ref"]] = _references(definition, defined)
            return _references(schema["schema"], defined)
        for value in schema.values():
            found |= _references(value, defined)
    elif isinstance(schema, (list, tuple)):
        for item in schema:
            found |= _references(item, defined)
    return found


def _is_recursive(schema: Any) -> bool:
    """Whether a type contains itself, so that its values may nest without end."""
    defined: dict[str, set[str]] = {}
    _references(schema, defined)
    for _ in defined:  # As many steps as a way without a repetition can have.
        for name, reached in defined.items():
            defined[name] = reached.union(*(defined.get(other, set()) for other in reached))
    return any(name in reached for name, reached in defined.items())


class WireType:
    """Reads and writes values of one type.

    Parameters:
        annotation: any type that pydantic understands.

    Raises:
        TypeError: pydantic has no schema for it.
    """

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        try:
            self.adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        except PydanticUserError as exc:
            raise TypeError(f"{annotation!r} cannot be sent: {exc.message}") from exc
        self._set_schema(self.adapter.core_schema)

    def _set_schema(self, schema: CoreSchema, written: CoreSchema | None = None) -> None:
        configured = _configured(schema)
        kinds, written_kinds = _kinds(configured), _kinds(configured, written=True)
        self._walk = bool(written_kinds & _OPEN) or "datetime" in written_kinds
        self._bounded = not kinds & (_OPEN | {"tagged"}) and not _is_recursive(configured)
        to_write: CoreSchema = configured if written is None else _configured(written)
        self._repeats = _may_repeat(to_write)
        self._deepens = bool(written_kinds & _OPEN) or _is_recursive(to_write)
        self._counts = "int" in written_kinds
        self._walk = self._walk or self._repeats
        self._simple = _SIMPLE.get(schema["type"]) if len(kinds) == 1 else None
        # Models carry ready-made validators with the configuration they were declared with; ours must win.
        self._validator = SchemaValidator(configured, WIRE_CONFIG, _use_prebuilt=False)
        self._serializer = SchemaSerializer(to_write, WIRE_CONFIG, _use_prebuilt=False)

    def dump(self, value: Any, codec: Codec, around: int = BODY_LEVELS) -> bytes:
        """Encode a value.

        Parameters:
            value: the value.
            codec: the form of the wire.
            around: levels of the message around it.

        Raises:
            ValueError: it is not of this type, even after the conversions that reading would do.
            Unsendable: something in it cannot be sent, or would not be read.
        """
        try:
            if value is not None:  # Serializers let None pass, whatever the type.
                return self._dump(value, codec, around)
        except UNSENDABLE as exc:
            raise_interruption(exc)
            if (spent := spent_generator(value, exc)) is not None:
                raise spent from exc
            # Not exactly of the type (a tuple for a list, a dict for a model): validate it into shape.
        try:
            return self._dump(self._validator.validate_python(value), codec, around)
        except ValidationError as exc:
            raise ValueError(describe_fields(field_errors(exc))) from exc
        except UNSENDABLE as exc:
            raise_interruption(exc)
            raise unsendable(value, exc, binary=codec.packed) from exc

    def _dump(self, value: Any, codec: Codec, around: int) -> bytes:
        if codec.packed:
            if type(value) is self._simple:
                return pack(value, walk=False)
            before = seen.deep
            body = pack(self._serializer.to_python(value, by_alias=True, warnings="error"), walk=self._walk)
            if self._deepens or seen.deep is not before:
                codec.check(body, around)
            return body
        before = seen.deep
        body = self._serializer.to_json(value, by_alias=True, warnings="error")
        if self._deepens or self._repeats or seen.deep is not before:
            codec.check(body, around, names=self._repeats)
        if self._counts and len(body) > MAX_DIGITS and _LONG.search(body):
            codec.check(body, around)
        return body

    def plain(self, value: Any) -> Any:
        """A value as plain data, as JSON has it."""
        return self._serializer.to_python(value, mode="json", by_alias=True)

    def load(self, raw: Raw | bytes, codec: Codec) -> Any:
        """Decode and validate a body.

        Raises:
            pydantic.ValidationError: it is not of this type.
            ValueError: it is not valid MessagePack.
        """
        if codec.packed:
            return self._validator.validate_python(unpack(raw, bounded=self._bounded))
        return self._validator.validate_json(bytes(raw))


def load_answer(kind: WireType, raw: Raw | bytes, codec: Codec) -> Any:
    """A result or an item, decoded on the caller's side.

    Raises:
        RemoteProtocolError: it is not of this type.
    """
    try:
        return kind.load(raw, codec)
    except ValidationError as exc:
        errors = field_errors(exc)
        raise RemoteProtocolError(
            f"the answer does not fit its contract: {describe_fields(errors)}", errors=errors, executed="yes"
        ) from None
    except ValueError as exc:
        raise RemoteProtocolError(f"the answer is malformed: {exc}", executed="yes") from None


def load_upload(kind: WireType, raw: Raw | bytes, codec: Codec, name: str) -> Any:
    """An item of a stream that the caller gives as the parameter ``name``, decoded on the handler's side.

    Raises:
        InvalidParams: it is not of this type.
    """
    try:
        return kind.load(raw, codec)
    except ValidationError as exc:
        errors = field_errors(exc, prefix=(name,))
        raise InvalidParams(f"an item does not fit: {describe_fields(errors)}", errors=errors, executed="yes") from None
    except ValueError as exc:
        raise InvalidParams(f"{name}: an item is malformed: {exc}", executed="yes") from None
