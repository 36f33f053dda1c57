"""Values that are often the same, such as the columns of a table. Each is encoded once, decoded once, and shared.

``Annotated[tuple[Column, ...], Repeated()]`` changes nothing in JSON. In MessagePack the value is a ``bin`` that
contains the value's MessagePack, and both sides cache it.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import msgspec
from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from rpcwire.codec import UNREADABLE

from .packing import AS_BYTES

_CACHE_SIZE = 512
_LIMIT_BYTES = 64 * 1024
"""Larger values are not cached."""


class Repeated:
    """The marker of such a type. Its values must be hashable and immutable, because they are shared."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)
        adapter = cache(lambda: TypeAdapter(source))

        def encode(value: Any) -> bytes:
            return msgspec.msgpack.encode(adapter().dump_python(value, mode="json"))

        def decode(data: bytes) -> Any:
            return adapter().validate_python(msgspec.msgpack.decode(data))

        decode_cached = lru_cache(_CACHE_SIZE)(decode)
        by_value: dict[Any, bytes] = {}
        # To hash a value takes longer than all the rest, so this uses its identity. An entry keeps its value alive, so
        # no other value can have the same identity.
        entries: dict[int, tuple[Any, bytes]] = {}

        def dump(value: Any, handler: core_schema.SerializerFunctionWrapHandler, info: Any) -> Any:
            if info.mode == "json":
                return handler(value)
            entry = entries.get(id(value))
            if entry is not None:
                return entry[1]
            data = by_value.get(value)
            if data is None:
                data = encode(value)
                if len(data) > _LIMIT_BYTES:
                    return data
                if len(by_value) >= _CACHE_SIZE:
                    by_value.clear()
                by_value[value] = data
            if len(entries) >= _CACHE_SIZE:
                entries.clear()
            entries[id(value)] = value, data
            return data

        def load(data: Any, handler: core_schema.ValidatorFunctionWrapHandler) -> Any:
            if not isinstance(data, bytes):
                return handler(data)
            try:
                return decode_cached(data) if len(data) <= _LIMIT_BYTES else decode(data)
            except UNREADABLE as exc:
                raise PydanticCustomError("repeated", "not MessagePack: {reason}", {"reason": str(exc)}) from exc

        return core_schema.no_info_wrap_validator_function(
            load,
            inner,
            metadata=dict(AS_BYTES),
            serialization=core_schema.wrap_serializer_function_ser_schema(dump, info_arg=True, schema=inner),
        )
