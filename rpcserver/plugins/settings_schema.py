"""The JSON Schema of the configuration file: editors complete and check it by that."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from rpcserver.config import RoleConfig, ServerConfig
from rpcwire.service import Service

DIALECT = GenerateJsonSchema.schema_dialect


def make_schema(services: Iterable[type[Service[Any]]]) -> dict[str, Any]:
    """Make the schema for a server with these services.

    Parameters:
        services: their classes; the schema knows the tables of each, and of roles the conditions of each.

    Returns:
        A JSON Schema (draft 2020-12) of the whole file.
    """
    classes = sorted(services, key=lambda cls: cls.name)
    models: list[type[BaseModel]] = [ServerConfig, RoleConfig]
    for cls in classes:
        models += [cls.config_model, cls.role_model]
    references, whole = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], ref_template="#/$defs/{model}"
    )
    definitions: dict[str, Any] = whole["$defs"]

    def name_of(model: type[BaseModel]) -> str:
        return str(references[model, "validation"]["$ref"]).rpartition("/")[2]

    root = definitions.pop(name_of(ServerConfig))
    tables = {cls.name: {"$ref": f"#/$defs/{name_of(cls.config_model)}"} for cls in classes}
    root["properties"]["services"] = {
        "type": "object",
        "description": root["properties"]["services"].get("description", ""),
        "properties": tables,
        "additionalProperties": False,
    }
    role = definitions[name_of(RoleConfig)]
    role["additionalProperties"] = False
    for cls in classes:
        if cls.role_model.model_fields:
            role["properties"][cls.name] = {"$ref": f"#/$defs/{name_of(cls.role_model)}"}
    return {"$schema": DIALECT, "title": "rpcserver.toml", **root, "$defs": definitions}
