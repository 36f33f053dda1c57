"""Makes the OpenRPC 1.4.1 document of methods, with which ``rpc.discover`` answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic.json_schema import DEFAULT_REF_TEMPLATE, JsonSchemaMode
from pydantic_core import CoreSchema

from rpcwire.contracts import Parameter
from rpcwire.errors import ServiceError
from rpcwire.reading import summary_of
from rpcwire.registry import Offer
from rpcwire.secret import is_secret
from rpcwire.values.wiretypes import WireType

from .schemas import WireJsonSchema, complete_arrays, unique_titles

OPENRPC_VERSION = "1.4.1"
_REF_TEMPLATE = DEFAULT_REF_TEMPLATE.replace("$defs", "components/schemas")
_STREAM = {
    "type": "object",
    "title": "Stream",
    "description": "The name of a stream, whose items follow by rpc.stream.item; see docs/protocol.md",
    "properties": {"stream": {"type": "string"}},
    "required": ["stream"],
}


def document(methods: Iterable[Offer], *, title: str, version: str) -> dict[str, Any]:
    """Describe methods.

    Parameters:
        methods: the methods.
        title: the name of the server.
        version: the version of the server.

    Returns:
        The OpenRPC document as plain data. Extensions begin with ``x-``: ``x-permission``, ``x-kind``,
        ``x-deadline_s``, ``x-message_bytes`` (the largest call, where the method has a limit of its own),
        ``x-message_nodes`` (the most values in a call, where its types bound them),
        ``x-slow_policy`` of a method that answers with a stream, ``x-event`` of one that answers with the stream of an
        event that its service publishes (the policy is a parameter), ``x-group`` (false for a method that cannot be
        called on many nodes at once), ``x-stream`` (the schema of a streamed result's items, or of a parameter's),
        ``x-keyword-only`` of a parameter that is given by name only, and ``x-secret`` of one whose value is secret.
    """
    offers = sorted(methods, key=lambda offer: offer.name)
    inputs: list[tuple[str, JsonSchemaMode, CoreSchema]] = []
    for offer in offers:
        for key, mode, kind in _types(offer):
            inputs.append((key, mode, kind.adapter.core_schema))
    error_types = list(dict.fromkeys(error for offer in offers for error in offer.spec.options.errors))
    inputs.extend(
        (f"!{number}", "serialization", error.details_model().__pydantic_core_schema__)
        for number, error in enumerate(error_types)
    )
    generator = WireJsonSchema(by_alias=True, ref_template=_REF_TEMPLATE)
    results, definitions = generator.generate_definitions(
        [(cast("Any", key), mode, schema) for key, mode, schema in inputs]
    )
    schemas = {key: value for (key, _), value in results.items()}
    errors = {error: _take(schemas[f"!{number}"], definitions) for number, error in enumerate(error_types)}
    for schema in (*schemas.values(), *definitions.values(), *errors.values()):
        complete_arrays(schema)
    unique_titles(definitions)
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {"title": title, "version": version},
        "methods": [_method(offer, cast("Mapping[str, Any]", schemas), errors) for offer in offers],
        "components": {"schemas": definitions},
    }


def _types(offer: Offer) -> Iterable[tuple[str, JsonSchemaMode, WireType]]:
    contract = offer.contract
    for parameter in contract.parameters:
        yield f"{offer.name}/{parameter.name}", "validation", parameter.item or parameter.kind
    answer = contract.item or contract.result
    assert answer is not None
    yield f"{offer.name}/", "serialization", answer


def _method(
    offer: Offer, schemas: Mapping[str, Any], errors: Mapping[type[ServiceError], Mapping[str, Any]]
) -> dict[str, Any]:
    contract, spec = offer.contract, offer.spec
    summary, description = summary_of(spec.doc)
    answer = schemas[f"{offer.name}/"]
    result: dict[str, Any] = {"name": "result", "schema": _STREAM if contract.item else answer}
    if contract.item:
        result["x-stream"] = answer
    method: dict[str, Any] = {
        "name": offer.name,
        "summary": summary,
        "tags": [{"name": spec.service.name}],
        "paramStructure": "either" if all(p.positional for p in contract.parameters) else "by-name",
        "params": [_param(p, schemas[f"{offer.name}/{p.name}"]) for p in contract.parameters],
        "result": result,
        "x-permission": spec.permission,
        "x-kind": spec.options.kind,
        "x-deadline_s": spec.options.deadline_s,
    }
    if spec.options.message_bytes is not None:
        method["x-message_bytes"] = spec.options.message_bytes
    if contract.most_nodes is not None:
        method["x-message_nodes"] = contract.most_nodes
    if spec.options.event is not None:
        method["x-event"] = True
    elif contract.item:
        method["x-slow_policy"] = spec.options.slow_policy.value
    if not spec.options.group:
        method["x-group"] = False
    if description:
        method["description"] = description
    if spec.options.errors:
        method["errors"] = [_error(error, errors[error]) for error in spec.options.errors]
    return method


def _param(parameter: Parameter, schema: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"name": parameter.name, "required": parameter.is_required}
    if not parameter.positional:
        content["x-keyword-only"] = True
    if is_secret(parameter.annotation):
        content["x-secret"] = True
    if parameter.item is not None:
        return {**content, "schema": _STREAM, "x-stream": schema}
    if not parameter.is_required:
        default = parameter.kind.plain(parameter.default)
        schema = {**schema, "default": default} if "$ref" not in schema else {"allOf": [schema], "default": default}
    return {**content, "schema": schema}


def _take(schema: Any, definitions: dict[Any, Any]) -> Any:
    """Return a schema itself if there is only a reference to it."""
    return definitions.pop(schema["$ref"].rpartition("/")[2]) if "$ref" in schema else schema


def _error(error: type[ServiceError], details: Mapping[str, Any]) -> dict[str, Any]:
    text = summary_of(error.__doc__ or error.__name__)[0]
    return {"code": error.code, "message": text, "data": {"type": error.__name__, "details": details}}
