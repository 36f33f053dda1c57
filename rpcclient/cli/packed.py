"""Unpacks rows and other arrays that MessagePack carries as bytes: it makes what JSON has for the same answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unpack(value: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """A result whose arrays are arrays.

    Parameters:
        value: plain data.
        schema: the JSON Schema of its JSON form.
        schemas: those that it refers to, by name.

    Returns:
        The result; as it came if the server has sent something else than schemas, or schemas that refer to themselves.
    """
    try:
        return _unpack(value, schema, schemas)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return value


def _unpack(value: Any, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    if not isinstance(value, (bytes, list, dict)):
        return value
    if "$ref" in schema:
        return _unpack(value, schemas.get(schema["$ref"].rpartition("/")[2], {}), schemas)
    kind = {bytes: "array", list: "array", dict: "object"}[type(value)]
    part_schema = next((part for part in _parts(schema, schemas) if part.get("type") == kind), None)
    if part_schema is None:
        return value
    if isinstance(value, bytes):
        value = _array(value, part_schema)
    if isinstance(value, dict):
        properties, others = part_schema.get("properties", {}), part_schema.get("additionalProperties")
        rest = others if isinstance(others, Mapping) else {}
        return {name: _unpack(item, properties.get(name, rest), schemas) for name, item in value.items()}
    items = part_schema.get("items")
    return [_unpack(item, items, schemas) for item in value] if isinstance(items, Mapping) else value


def _parts(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schema, or those of which one holds."""
    parts = schema.get("anyOf", [schema])
    if any("contentEncoding" in part for part in parts):  # The result is bytes, and not a packed array.
        return []
    return [schemas.get(part["$ref"].rpartition("/")[2], {}) if "$ref" in part else part for part in parts]


def _array(data: bytes, schema: Mapping[str, Any]) -> Any:
    import msgspec

    from rpcwire.rows.rows import Rows
    from rpcwire.values.tagged import to_tagged

    if _is_of_arrays(schema.get("items")):
        try:
            return [[to_tagged(cell, binary=False) for cell in row] for row in Rows.unpacked(data).tuples()]
        except ValueError:
            pass  # Arrays of another kind.
    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return data


def _is_of_arrays(items: Any) -> bool:
    """Whether the items are arrays of anything, as the rows of a table are."""
    return isinstance(items, Mapping) and items.get("type") == "array" and not items.get("items")
