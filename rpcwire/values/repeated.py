"""Values that are often the same, such as the columns of a table: encoded once, decoded once, and shared.

``Annotated[tuple[Column, ...], Repeated()]`` is in JSON what it would be without; in MessagePack it is a ``bin`` that
holds the value's MessagePack, kept for the next time.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import msgspec
from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from rpcwire.codec import UNREADABLE

from .packing import AS_BYTES

_KEPT = 512
_LIMIT_BYTES = 64 * 1024
"""Larger ones are not kept."""


class Repeated:
    """The marker. The type's values must be hashable and immutable, since they are shared."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)
        adapter = cache(lambda: TypeAdapter(source))

        def encode(value: Any) -> bytes:
            return msgspec.msgpack.encode(adapter().dump_python(value, mode="json"))

        def decode(data: bytes) -> Any:
            return adapter().validate_python(msgspec.msgpack.decode(data))

        encode_kept, decode_kept = lru_cache(_KEPT)(encode), lru_cache(_KEPT)(decode)
        # To hash a value takes longer than all the rest. A value that is kept here keeps its number to itself.
        same: dict[int, tuple[Any, bytes]] = {}

        def dump(value: Any, handler: core_schema.SerializerFunctionWrapHandler, info: Any) -> Any:
            if info.mode == "json":
                return handler(value)
            known = same.get(id(value))
            if known is not None:
                return known[1]
            data = encode_kept(value)
            if len(same) >= _KEPT:
                same.clear()
            if len(data) <= _LIMIT_BYTES:
                same[id(value)] = value, data
            return data

        def load(data: Any, handler: core_schema.ValidatorFunctionWrapHandler) -> Any:
            if not isinstance(data, bytes):
                return handler(data)
            try:
                return decode_kept(data) if len(data) <= _LIMIT_BYTES else decode(data)
            except UNREADABLE as exc:
                raise PydanticCustomError("repeated", "not MessagePack: {reason}", {"reason": str(exc)}) from exc

        return core_schema.no_info_wrap_validator_function(
            load,
            inner,
            metadata=dict(AS_BYTES),
            serialization=core_schema.wrap_serializer_function_ser_schema(dump, info_arg=True, schema=inner),
        )
