"""Changes the core schema of a type for large bodies, so that nobody can make the reader work longer than the size of a
body allows:

- A list, a set or a map ends at the first member that is wrong. To describe thousands takes several times as long as to
  read them.
- A set or a map of numbers is made only after a look at their hashes (:mod:`.hashing`).
"""

from __future__ import annotations

from typing import Any

from .hashing import check_hashes, check_names

_FAIL_FAST = frozenset({"list", "set", "frozenset", "tuple", "dict"})
_SAFE_TYPES = frozenset({"str", "bytes", "bool", "date", "datetime", "time", "enum", "literal", "none", "url"})
"""The types of members whose hashes are salted, or which are few."""


def guard_schema(schema: Any) -> Any:
    """Copy a core schema with these changes.

    Parameters:
        schema: the schema, or a part of it.
    """
    if isinstance(schema, (list, tuple)):
        return type(schema)(map(guard_schema, schema))
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if not isinstance(kind, str):
        return {name: guard_schema(part) for name, part in schema.items()}
    copy = {name: part if name == "metadata" else guard_schema(part) for name, part in schema.items()}
    if kind in _FAIL_FAST:
        copy["fail_fast"] = True
    if kind in ("set", "frozenset") and not _is_salted(schema.get("items_schema")):
        items = {"type": "list", "fail_fast": True, "items_schema": copy.pop("items_schema", {"type": "any"})}
        return _chain(copy, items, check_hashes)
    if kind == "dict" and not _is_salted(schema.get("keys_schema")):
        values = {"type": "dict", "fail_fast": True, "values_schema": copy.pop("values_schema", {"type": "any"})}
        return _chain(copy, values, check_names)
    return copy


def _is_salted(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") in _SAFE_TYPES


def _chain(last: dict[str, Any], first: dict[str, Any], check: Any) -> dict[str, Any]:
    """Make a schema that reads by ``first``, checks what it has read, and goes on with ``last``."""

    def check_first(value: Any) -> Any:
        check(value)
        return value

    around: dict[str, Any] = {name: last.pop(name) for name in ("ref", "metadata", "serialization") if name in last}
    last["strict"] = False
    guard = {"type": "function-before", "function": {"type": "no-info", "function": check_first}, "schema": last}
    return {"type": "chain", "steps": [first, guard], **around}
