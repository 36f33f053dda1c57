"""JSON Schema as the JSON forms of the wire have it, such that tools of OpenRPC can read it."""

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
    """Schemas of what travels: bytes are in base64, and only types have titles, since a title is the name of a type in
    what is generated from the document: two fields of one name would become one type."""

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:  # noqa: ARG002 - an override
        """Base64 with the URL-safe alphabet (RFC 4648, section 5)."""
        found: JsonSchemaValue = {"type": "string", "contentEncoding": "base64url"}
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - an override
        """Fields have names, and need no titles."""
        return False


def complete_arrays(schema: Any) -> None:
    """Have each array say what its items are, within a schema, however deep.

    OpenRPC refers to JSON Schema's draft 7, in which ``items`` is the one word for what an array holds; its tools fail
    without. A tuple, whose parts are ``prefixItems`` since 2020, gets ``items`` that takes each of them, which is true
    in both drafts.

    Parameters:
        schema: changed in place.
    """
    if not isinstance(schema, dict):
        return  # true and false are schemas, too.
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
    """Where types of several modules have one name, call each by its key.

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
