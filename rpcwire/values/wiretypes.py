"""Reads and writes values of one type in every form of the wire. Bytes, Decimal, datetime, sets and models arrive with
the type that they had.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cached_property
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
from rpcwire.errors import Executed, InvalidParams, RemoteProtocolError, TooLarge, describe_fields, field_errors
from rpcwire.limits import BODY_LEVELS, CALL_STEPS, MAX_DIGITS, MESSAGE_NODES
from rpcwire.sending import UNSENDABLE, raise_interruption

from .guarding import guard_schema
from .packing import AS_BYTES, pack, unpack
from .steps import EndlessSteps, most_steps
from .tagged import AS_TAGGED, bounded_texts, depth_mark
from .unsendable import spent_generator, unsendable

WIRE_CONFIG: CoreConfig = {
    "ser_json_bytes": "base64",
    "val_json_bytes": "base64",
    "ser_json_inf_nan": "strings",
    "ser_json_timedelta": "iso8601",
}
"""How JSON writes types that it does not have. It applies within every model and dataclass of a contract, too."""

_WITH_CONFIG = frozenset({"model", "dataclass", "typed-dict"})
_OPEN = frozenset({
    "any", "is-instance", "is-subclass", "callable", "function-before", "function-after", "function-wrap",
    "function-plain", "json-or-python", "lax-or-strict", "custom-error",
})  # fmt: skip
"""Schemas that do not tell the parts of their values."""

_LONG = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
"""Matches an integer that may be too long for every reader."""

_SIMPLE: Mapping[str, type] = {"int": int, "str": str, "bool": bool, "bytes": bytes, "float": float}
"""Types whose values need no serializer in MessagePack, if the type is exact."""


def _add_config(schema: Any) -> Any:
    """Copy a core schema, and give every model in it :data:`WIRE_CONFIG`, whatever configuration it declares."""
    if isinstance(schema, dict):
        # The fields of a model are a dictionary, too: one of them may be called "type" or "metadata".
        kind = schema.get("type")
        node = isinstance(kind, str)
        copy = {key: value if node and key == "metadata" else _add_config(value) for key, value in schema.items()}
        if node and kind in _WITH_CONFIG:
            copy["config"] = {**(schema.get("config") or {}), **WIRE_CONFIG}
        return copy
    if isinstance(schema, list):
        return [_add_config(item) for item in schema]
    if isinstance(schema, tuple):
        return tuple(_add_config(item) for item in schema)
    return schema


def _kinds(schema: Any, *, for_writing: bool = False) -> set[str]:
    """Collect every ``type`` that occurs in a core schema; with ``for_writing`` without those that become bytes."""
    kinds: set[str] = set()
    if isinstance(schema, dict):
        kind = schema.get("type")
        node = isinstance(kind, str)
        if node and AS_TAGGED.items() <= (schema.get("metadata") or {}).items():
            return {"tagged"}
        if node and for_writing and AS_BYTES.items() <= (schema.get("metadata") or {}).items():
            return {"bytes"}
        if isinstance(kind, str):
            kinds.add(kind)
        for key, value in schema.items():
            if key != "metadata" or not node:
                kinds |= _kinds(value, for_writing=for_writing)
    elif isinstance(schema, (list, tuple)):
        for item in schema:
            kinds |= _kinds(item, for_writing=for_writing)
    return kinds


LARGE_BYTES = 16 * 1024
"""The size up to which a body has no room for more work than its loop can bear."""

_DISTINCT = frozenset({"str", "int", "uuid", "date", "datetime", "time", "bool"})
"""Types whose values have different names if they differ."""


def _may_repeat(schema: Any) -> bool:
    """Return whether JSON that is written for a type may contain a name twice in one object."""
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
        if kind in _WITH_CONFIG and (schema.get("config") or {}).get("extra_fields_behavior") == "allow":
            return True
        fields = [field for field in _fields(schema) if isinstance(field, dict)]
        names = [field.get("serialization_alias") for field in fields]
        if any(names):
            return True
    return any(_may_repeat(value) for key, value in schema.items() if key != "metadata" or not isinstance(kind, str))


def _fields(schema: Any) -> list[Any]:
    """Return the fields of a model, a dataclass or a typed dictionary."""
    fields = schema.get("fields")
    return list(fields.values()) if isinstance(fields, dict) else list(fields) if isinstance(fields, list) else []


def _references(schema: Any, definitions: dict[str, set[str]]) -> set[str]:
    """The definitions that a core schema refers to; what those refer to in turn is put into ``definitions``."""
    references: set[str] = set()
    if isinstance(schema, dict):
        if schema.get("type") == "definition-ref":
            return {schema["schema_ref"]}
        if schema.get("type") == "definitions":
            for definition in schema["definitions"]:
                definitions[definition["ref"]] = _references(definition, definitions)
            return _references(schema["schema"], definitions)
        for value in schema.values():
            references |= _references(value, definitions)
    elif isinstance(schema, (list, tuple)):
        for item in schema:
            references |= _references(item, definitions)
    return references


def _is_recursive(schema: Any) -> bool:
    """Return whether a type contains itself, so that its values may nest without limit."""
    definitions: dict[str, set[str]] = {}
    _references(schema, definitions)
    for _ in definitions:  # A path without a repetition cannot have more steps.
        for name, targets in definitions.items():
            definitions[name] = targets.union(*(definitions.get(other, set()) for other in targets))
    return any(name in targets for name, targets in definitions.items())


class WireType:
    """Reads and writes values of one type.

    Parameters:
        annotation: any type that pydantic understands.

    Raises:
        TypeError: pydantic has no schema for it.

    Attributes:
        most_nodes: the most values, names, arrays and objects of a body to read, see :meth:`bound`.
    """

    most_nodes: int = sys.maxsize

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        try:
            self.adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        except PydanticUserError as exc:
            raise TypeError(f"{annotation!r} cannot be sent: {exc.message}") from exc
        self._set_schema(self.adapter.core_schema)

    def _set_schema(self, schema: CoreSchema, write_schema: CoreSchema | None = None) -> None:
        to_read: CoreSchema = _add_config(schema)
        self._to_read = to_read
        kinds, write_kinds = _kinds(to_read), _kinds(to_read, for_writing=True)
        self._walk = bool(write_kinds & _OPEN) or "datetime" in write_kinds
        self._checks_depth = bool(kinds & (_OPEN | {"tagged"})) or _is_recursive(to_read)
        to_write: CoreSchema = to_read if write_schema is None else _add_config(write_schema)
        self._repeats = _may_repeat(to_write)
        self._deepens = bool(write_kinds & _OPEN) or _is_recursive(to_write)
        self._counts = "int" in write_kinds
        self._walk = self._walk or self._repeats
        self._simple = _SIMPLE.get(schema["type"]) if len(kinds) == 1 else None
        # Models have prebuilt validators with the configuration that they declare; ours must replace it.
        self._validator = SchemaValidator(to_read, WIRE_CONFIG, _use_prebuilt=False)
        self._serializer = SchemaSerializer(to_write, WIRE_CONFIG, _use_prebuilt=False)

    def dump(self, value: Any, codec: Codec, around: int = BODY_LEVELS) -> bytes:
        """Encode a value.

        Parameters:
            value: the value.
            codec: the form of the wire.
            around: the levels of the message around it.

        Raises:
            ValueError: the value is not of this type, even after the conversions of reading.
            Unsendable: a part of the value cannot be sent, or the other side would refuse it.
        """
        try:
            if type(value) is self._simple and codec.packed:
                return pack(value, walk=False)
            if value is not None:  # Serializers let None pass, whatever the type.
                return self._dump(value, codec, around)
        except UNSENDABLE as exc:
            raise_interruption(exc)
            if (error := spent_generator(value, exc)) is not None:
                raise error from exc
            # The value is not exactly of the type (a tuple for a list, a dict for a model): convert it by validation.
        try:
            return self._dump(self._validator.validate_python(value), codec, around)
        except ValidationError as exc:
            raise ValueError(describe_fields(field_errors(exc))) from exc
        except UNSENDABLE as exc:
            raise_interruption(exc)
            raise unsendable(value, exc, binary=codec.packed) from exc

    def _dump(self, value: Any, codec: Codec, around: int) -> bytes:
        if codec.packed:
            before = depth_mark.deep
            body = pack(self._serializer.to_python(value, by_alias=True, warnings="error"), walk=self._walk)
            if self._deepens or depth_mark.deep is not before:
                codec.check(body, around)
            return body
        before = depth_mark.deep
        body = self._serializer.to_json(value, by_alias=True, warnings="error")
        if self._deepens or self._repeats or depth_mark.deep is not before:
            codec.check(body, around, names=self._repeats)
        if self._counts and len(body) > MAX_DIGITS and _LONG.search(body):
            codec.check(body, around)
        return body

    def plain(self, value: Any) -> Any:
        """Make plain data of a value, as for JSON."""
        return self._serializer.to_python(value, mode="json", by_alias=True)

    def bound(self) -> None:
        """Let the bodies of callers have so few parts that to read one takes at most
        :data:`~rpcwire.limits.CALL_STEPS`, if the steps of the type are many. Whoever reads compares
        :attr:`most_nodes`.

        Raises:
            TypeError: the steps grow with each level of a value.
        """
        try:
            steps = most_steps(self._to_read)
        except EndlessSteps:
            raise TypeError(
                "the type contains itself in several alternatives of a union, and all of them are tried at each level, "
                "so that a short value could take years: make it a discriminated union (pydantic.Discriminator)"
            ) from None
        if steps * MESSAGE_NODES > CALL_STEPS:
            self.most_nodes = int(CALL_STEPS / steps)

    @property
    def is_bounded(self) -> bool:
        """Whether :meth:`bound` has found that the steps are many."""
        return self.most_nodes != sys.maxsize

    @cached_property
    def _guard_validator(self) -> SchemaValidator:
        """Validates large bodies."""
        return SchemaValidator(guard_schema(self._to_read), WIRE_CONFIG, _use_prebuilt=False)

    def load_answer(self, raw: Raw | bytes, codec: Codec) -> Any:
        """Decode a result or an item on the caller's side.

        Raises:
            RemoteProtocolError: the value is not of this type.
        """
        try:
            return self.load(raw, codec)
        except ValidationError as exc:
            errors = field_errors(exc)
            raise RemoteProtocolError(
                f"the answer does not fit its contract: {describe_fields(errors)}", errors=errors, executed="yes"
            ) from None
        except ValueError as exc:
            raise RemoteProtocolError(f"the answer is malformed: {exc}", executed="yes") from None

    def load_large(self, raw: Raw | bytes, codec: Codec) -> Any:
        """Do the same as :meth:`load`, in time that grows with the size of the body (:mod:`.guarding`). Of many wrong
        members of a list, the error names the first only.

        Raises:
            pydantic.ValidationError, ValueError: as of :meth:`load`.
        """
        with bounded_texts():
            if codec.packed:
                return self._guard_validator.validate_python(unpack(raw, checks_depth=self._checks_depth))
            return self._guard_validator.validate_json(bytes(raw))

    def load(self, raw: Raw | bytes, codec: Codec) -> Any:
        """Decode and validate a body.

        Raises:
            pydantic.ValidationError: the value is not of this type.
            ValueError: the body is not valid MessagePack.
        """
        if codec.packed:
            return self._validator.validate_python(unpack(raw, checks_depth=self._checks_depth))
        return self._validator.validate_json(bytes(raw))


def load_upload(kind: WireType, raw: Raw | bytes, codec: Codec, name: str) -> Any:
    """Decode an item of a stream that is the parameter ``name``, on the handler's side.

    Raises:
        InvalidParams: the item is not of this type.
        TooLarge: the item has more parts than :attr:`WireType.most_nodes`.
    """
    check_parts(kind, raw, codec, f"{name}: an item", (name,), executed="yes")
    try:
        return (kind.load_large if len(memoryview(raw)) > LARGE_BYTES else kind.load)(raw, codec)
    except ValidationError as exc:
        errors = field_errors(exc, prefix=(name,))
        raise InvalidParams(f"an item does not fit: {describe_fields(errors)}", errors=errors, executed="yes") from None
    except ValueError as exc:
        raise InvalidParams(f"{name}: an item is malformed: {exc}", executed="yes") from None


def check_parts(
    kind: WireType, raw: Raw | bytes, codec: Codec, what: str, place: tuple[str, ...], *, executed: Executed = "no"
) -> None:
    """Make sure that a body has no more parts than :attr:`WireType.most_nodes`.

    Parameters:
        kind: the type.
        raw: the body.
        codec: the form of the wire.
        what: the name of the body, for the error.
        place: its place.
        executed: whether the method's handler runs.

    Raises:
        TooLarge: it has more.
    """
    most = kind.most_nodes
    if len(memoryview(raw)) <= most or not codec.has_more_nodes(bytes(raw), most):
        return
    text = f"at most {most} values, names, arrays and objects"
    raise TooLarge(
        f"{what} may have {text}, because its types take many steps to read one: send less at once, or let whoever "
        "declares the method use discriminated unions, and fewer defaults",
        executed=executed,
        errors=[{"loc": list(place), "msg": text, "type": "too_large"}],
    )
