"""Reads the signatures and documentation of methods from ``rpc.discover``, for services without a stub."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rpcwire.errors import MethodNotFound, RemoteProtocolError
from rpcwire.limits import DEFAULT_DEADLINE_S
from rpcwire.reading import type_words

_TYPES: Mapping[str, Any] = {
    "string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict, "null": None,
}  # fmt: skip
_MALFORMED = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What reading a document raises where something else stands than OpenRPC has there."""


@dataclass(frozen=True, slots=True)
class MethodDescription:
    """One method.

    Attributes:
        name: the full name.
        doc: what it does.
        signature: its parameters and result for a Python caller, with types as far as JSON Schema tells them.
        streams: whether it answers with a stream.
        uploads: the names of the parameters that are streams.
        deadline_s: how long a call may take if the caller sets no limit, in seconds.
        by_position: whether parameters may be given by position on the wire.
        binary: the names of the parameters that are bytes.
        latest: whether a slow reader of its stream gets the newest item only.
        answer: the JSON Schema of its result, or of the items of its stream.
        schemas: the JSON Schemas that others refer to, by name.
        is_for_groups: whether it may be called on many nodes at once.
    """

    name: str
    doc: str
    signature: inspect.Signature
    streams: bool
    uploads: frozenset[str]
    deadline_s: float
    by_position: bool
    binary: frozenset[str] = frozenset()
    latest: bool = False
    answer: Mapping[str, Any] = field(default_factory=dict)
    schemas: Mapping[str, Any] = field(default_factory=dict)
    is_for_groups: bool = True


@dataclass(frozen=True, slots=True)
class ServiceDescription:
    """One service: its name, and its methods by their short names."""

    name: str
    methods: Mapping[str, MethodDescription]


def descriptions(document: Any) -> dict[str, ServiceDescription]:
    """Return all services of an OpenRPC document, by name.

    Parameters:
        document: what the server has sent, which may be anything.

    Raises:
        RemoteProtocolError: this is no OpenRPC document, or a method has a parameter that Python cannot name.
    """
    services: dict[str, dict[str, MethodDescription]] = {}
    method: Any = None
    try:
        schemas = document.get("components", {}).get("schemas", {})
        for method in document.get("methods", ()):
            service, _, short = method["name"].rpartition(".")
            services.setdefault(service, {})[short] = _method(method, schemas)
    except _MALFORMED as exc:
        where = f"the method {str(method['name'])[:100]!r}" if _has_name(method) else "the document"
        reason = f"{type(exc).__name__}: {str(exc)[:100]}"
        raise RemoteProtocolError(
            f"the server's rpc.discover is no OpenRPC that fits Python: {where}: {reason}"
        ) from exc
    return {name: ServiceDescription(name, methods) for name, methods in services.items()}


def _has_name(method: Any) -> bool:
    return isinstance(method, Mapping) and "name" in method


def find(known: Mapping[str, ServiceDescription], service: str) -> ServiceDescription:
    """Return one service.

    Raises:
        MethodNotFound: there is no service of this name; the message lists the services that exist.
    """
    try:
        return known[service]
    except KeyError:
        raise MethodNotFound(f"there is no service {service!r}; there are: {', '.join(sorted(known))}") from None


def _method(method: Mapping[str, Any], schemas: Mapping[str, Any]) -> MethodDescription:
    kinds = inspect.Parameter
    # Another server may say for all parameters at once that they are given by name.
    by_name = method.get("paramStructure") == "by-name" and not any("x-keyword-only" in p for p in method["params"])
    parameters = [
        kinds(
            param["name"],
            kinds.KEYWORD_ONLY if param.get("x-keyword-only", by_name) else kinds.POSITIONAL_OR_KEYWORD,
            default=kinds.empty if param.get("required") else param["schema"].get("default"),
            annotation=type_words(_stream_words("Iterable", param, schemas) or _annotation(param["schema"], schemas)),
        )
        for param in method.get("params", ())
    ]
    result = method.get("result", {})
    returns = type_words(_stream_words("Iterator", result, schemas) or _annotation(result.get("schema", {}), schemas))
    doc = "\n\n".join(part for part in (method.get("summary"), method.get("description")) if part)
    return MethodDescription(
        name=method["name"],
        doc=doc,
        signature=inspect.Signature(_order(parameters), return_annotation=returns),
        streams="x-stream" in result,
        uploads=frozenset(p["name"] for p in method.get("params", ()) if "x-stream" in p),
        deadline_s=_deadline_s(method),
        by_position=method.get("paramStructure") != "by-name",
        binary=frozenset(p["name"] for p in method.get("params", ()) if _is_bytes(p["schema"])),
        latest=method.get("x-slow_policy") == "latest",
        answer=result.get("x-stream", result.get("schema", {})),
        schemas=schemas,
        is_for_groups=method.get("x-group") is not False,
    )


def _deadline_s(method: Mapping[str, Any]) -> float:
    deadline_s = float(method.get("x-deadline_s", DEFAULT_DEADLINE_S))
    if not deadline_s > 0:  # Nor is NaN.
        raise ValueError(f"x-deadline_s is {deadline_s}")
    return deadline_s


def _stream_words(kind: str, schema_holder: Mapping[str, Any], schemas: Mapping[str, Any]) -> str | None:
    """Return the type of a stream as Python writes it; ``None`` if this is no stream."""
    if "x-stream" not in schema_holder:
        return None
    return f"{kind}[{type_words(_annotation(schema_holder['x-stream'], schemas))}]"


def _order(parameters: Sequence[inspect.Parameter]) -> list[inspect.Parameter]:
    """Put parameters without a default first, as Python wants. By name, their order does not matter on the wire."""
    kinds = inspect.Parameter
    follows_default = False
    parameters_in_order = []
    for parameter in parameters:
        follows_default = follows_default or parameter.default is not kinds.empty
        needs_name = follows_default and parameter.default is kinds.empty
        parameters_in_order.append(parameter.replace(kind=kinds.KEYWORD_ONLY) if needs_name else parameter)
    return sorted(parameters_in_order, key=lambda p: p.kind)


def _annotation(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Return a Python type for a JSON Schema, for people to read."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        parts = [type_words(_annotation(part, schemas)) for part in schema["anyOf"]]
        return " | ".join(dict.fromkeys(parts))
    kind = schema.get("type")
    if kind == "string":
        is_encoded = "contentEncoding" in schema
        return bytes if is_encoded else schema.get("format") or str
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        return f"list[{type_words(_annotation(schema['items'], schemas))}]"
    if isinstance(kind, str) and kind in _TYPES:
        return _TYPES[kind]
    return Any


def _is_bytes(schema: Mapping[str, Any]) -> bool:
    parts = [schema, *schema.get("anyOf", ())]
    return any("contentEncoding" in part for part in parts)
