"""Makes parameters for any method, from its schema."""

from __future__ import annotations

from typing import Any

EXAMPLES = {"database": "main", "sql": "SELECT 1", "statement": "SELECT 1"}


def example(schema: Any, document: Any, name: str = "", depth: int = 0) -> Any:
    """A value that a schema allows, as harmless as can be."""
    if depth > 6:
        return None
    if "$ref" in schema:
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return example(target, document, name, depth + 1)
    if name in EXAMPLES:
        return EXAMPLES[name]
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return example(schema[key][0], document, name, depth + 1)
    match schema.get("type"):
        case "string":
            return "" if "base64" in f"{schema.get('format')} {schema.get('contentEncoding')}" else "x"
        case "integer" | "number":
            return min(2**31 - 1, schema.get("maximum", 2**31 - 1))  # As the id of a process it is nobody's.
        case "boolean":
            return False
        case "array":
            return [example(schema.get("items", {}), document, "", depth + 1)]
        case "object":
            properties = schema.get("properties", {})
            required = schema.get("required", [])
            return {key: example(properties[key], document, key, depth + 1) for key in required}
    return None
