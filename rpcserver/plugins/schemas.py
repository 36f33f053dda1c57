"""Makes JSON Schema for the JSON forms of the wire, in a form that OpenRPC's tools can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

_ONE = ("items", "additionalItems", "unevaluatedItems", "contains", "additionalProperties", "unevaluatedProperties",
        "propertyNames", "not", "if", "then", "else", "contentSchema")  # fmt: skip
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")


class WireJsonSchema(GenerateJsonSchema):
    """Makes schemas of values on the wire. Bytes are in base64. Only types have titles, because generators take a title
    for the name of a type: two fields of the same name would become one type."""

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:  # noqa: ARG002 - an override
        """Base64 with the URL-safe alphabet (RFC 4648, section 5)."""
        result: JsonSchemaValue = {"type": "string", "contentEncoding": "base64url"}
        return result

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - an override
        """Return ``False``: fields have names, and need no titles."""
        return False


def complete_arrays(schema: Any) -> None:
    """Add ``items`` to each array within a schema, at any depth.

    OpenRPC refers to JSON Schema's draft 7, in which only ``items`` describes the items of an array, and its tools fail
    without it. The draft of 2020 describes the parts of a tuple by ``prefixItems``. This adds ``items`` that allows
    each of these parts, which is true in both drafts.

    Parameters:
        schema: changed in place.
    """
    if not isinstance(schema, dict):
        return  # True and False are schemas, too.
    for part in _parts(schema):
        complete_arrays(part)
    kind = schema.get("type")
    if kind == "array" or (isinstance(kind, list) and "array" in kind) or "prefixItems" in schema:
        prefix = schema.get("prefixItems", [])
        if prefix:
            rest = schema.get("items", False)
            schema["items"] = _any_of([*prefix, *([] if rest is False else [rest])])
        else:
            schema.setdefault("items", {})


def unique_titles(definitions: Mapping[Any, Any]) -> None:
    """Give types of several modules that have the same name their keys as titles.

    Parameters:
        definitions: schemas by key; changed in place.
    """
    keys: dict[str, list[Any]] = {}
    for key, schema in definitions.items():
        if isinstance(schema, dict) and isinstance(schema.get("title"), str):
            keys.setdefault(schema["title"], []).append(key)
    for several in keys.values():
        if len(several) > 1:
            for key in several:
                definitions[key]["title"] = key


def _parts(schema: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas in a schema. What is data, such as a default, is none."""
    for key in _ONE:
        if isinstance(schema.get(key), dict):
            yield schema[key]
    for key in _LISTS:
        if isinstance(schema.get(key), list):
            yield from schema[key]
    for key in _MAPS:
        if isinstance(schema.get(key), dict):
            yield from schema[key].values()


def _any_of(schemas: list[Any]) -> Any:
    """A schema that takes what any of these takes."""
    distinct = [schema for number, schema in enumerate(schemas) if schema not in schemas[:number]]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}
