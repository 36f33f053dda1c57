"""What `rpc.discover` says, against a published model and the published schema of OpenRPC 1.4."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import jsonschema
import openrpc
import pytest
from pydantic import BaseModel, Field

from rpcserver import Context, Service, ServiceError, method
from rpcserver.openrpc import OPENRPC_VERSION, document
from rpcserver.system import System
from rpcwire.registry import Registry
from rpcwire.values import Value


class Color(Enum):
    RED = "red"


class Part(BaseModel):
    """A part."""

    data: bytes
    price: Decimal = Decimal("1.50")
    parts: list[Part] = []
    colour: Annotated[Color, Field(alias="color")] = Color.RED


class Unlucky(ServiceError):
    """It did not work out."""

    culprit: Part
    level: Color = Color.RED


class Shop(Service):
    """Sells parts."""

    @method(kind="read", permission="shop.read", errors=(Unlucky,))
    async def find(self, name: str, part: Part | None = None, *, limit: int = 10, ctx: Context) -> list[Part]:
        """Find parts.

        By their name.
        """
        raise NotImplementedError

    @method()
    async def watch(self, every_s: float = 1.0) -> AsyncIterator[Part]:
        """Watch parts go by."""
        raise NotImplementedError
        yield

    @method()
    async def store(self, parts: AsyncIterator[Part], by: Part) -> Value:
        """Take parts in."""
        raise NotImplementedError

    @method()
    def undocumented(self, table: dict[str, tuple[int, bytes]]) -> None: ...


def made() -> dict[str, Any]:
    registry = Registry(logging.getLogger("t"))
    registry.add(System(None), reserved=True)  # type: ignore[arg-type]
    registry.add(Shop())
    return document(registry, title="shop", version="1.2.3")


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_what_it_says() -> None:
    found = made()
    assert found["openrpc"] == OPENRPC_VERSION == "1.4.1"
    assert found["info"] == {"title": "shop", "version": "1.2.3"}
    methods = {m["name"]: m for m in found["methods"]}
    assert list(methods) == sorted(methods)
    find = methods["shop.find"]
    assert [p["name"] for p in find["params"]] == ["name", "part", "limit"], "the context is not on the wire"
    assert [p["required"] for p in find["params"]] == [True, False, False]
    assert find["params"][2]["schema"]["default"] == 10
    assert find["paramStructure"] == "by-name", "limit cannot be given by position"
    assert (find["summary"], find["description"]) == ("Find parts.", "By their name.")
    assert (find["x-permission"], find["x-kind"], find["x-deadline_s"]) == ("shop.read", "read", 60.0)
    (error,) = find["errors"]
    assert (error["code"], error["message"], error["data"]["type"]) == (-32000, "It did not work out.", "Unlucky")
    watch = methods["shop.watch"]
    assert watch["paramStructure"] == "either"
    assert watch["result"]["schema"]["title"] == "Stream"
    assert "$ref" in watch["result"]["x-stream"]
    store = {p["name"]: p for p in methods["shop.store"]["params"]}
    assert store["parts"]["schema"]["required"] == ["stream"]
    assert "x-stream" in store["parts"]


def test_every_reference_leads_somewhere() -> None:
    found = made()
    targets = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    assert set(references(found)) <= targets
    assert any("Color" in ref for ref in references(found))


def test_every_schema_is_one_and_accepts_what_the_wire_carries() -> None:
    found = made()
    validator = jsonschema.Draft202012Validator
    for entry in found["methods"]:
        for schema in [p["schema"] for p in entry["params"]] + [entry["result"]["schema"]]:
            validator.check_schema(schema)
    part = next(m for m in found["methods"] if m["name"] == "shop.store")["params"][1]["schema"]
    whole = {**part, "components": found["components"]}
    good = {"data": "_w==", "price": "1.50", "parts": [{"data": ""}], "color": "red"}
    validator(whole).validate(good)
    for bad in ({}, {"data": 5}, {"data": "", "color": "blue"}, {"data": "", "parts": [5]}):
        with pytest.raises(jsonschema.ValidationError):
            validator(whole).validate(bad)


def test_a_published_model_reads_it(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(Shop(), tools.Calc()) as server, tools.connect(server) as connection:
            answer = (await tools.call(connection, "rpc.discover"))["result"]
            model = openrpc.OpenRPC.model_validate(answer)
            assert model.openrpc == "1.4.1"
            assert {m.name for m in model.methods} >= {"shop.find", "calc.add", "rpc.discover"}
            assert model.components is not None
            assert model.components.schemas

    tools.run(main())


@pytest.fixture(scope="session")
def published_schema(missing: Callable[[str], NoReturn], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The schema of OpenRPC 1.4 as its authors publish it."""
    if shutil.which("npm") is None:
        missing("npm is not installed, which fetches the schema of OpenRPC")
    folder: Path = tmp_path_factory.mktemp("openrpc")
    done = subprocess.run(
        ["npm", "pack", "@open-rpc/spec@1.4.1"],
        cwd=folder, capture_output=True, text=True, timeout=60, env={**os.environ, "npm_config_cache": str(folder)}, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        missing(f"npm cannot fetch the schema of OpenRPC: {done.stderr[-200:]}")
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as packed:
        (name,) = [n for n in packed.getnames() if n.endswith("1_4/schema.json")]
        member = packed.extractfile(name)
        assert member is not None
        return json.loads(member.read())


def test_the_published_schema_accepts_it(published_schema: Any) -> None:
    from referencing import Registry as Resources
    from referencing import Resource
    from referencing.jsonschema import DRAFT7

    meta = Resource(contents=jsonschema.Draft7Validator.META_SCHEMA, specification=DRAFT7)
    # The specification's schema refers to JSON Schema's own by an address of the OpenRPC project.
    addresses = {ref for ref in references(published_schema) if not ref.startswith("#")}
    resources: Any = Resources().with_resources((address.rstrip("#"), meta) for address in addresses)
    validator = jsonschema.Draft7Validator(published_schema, registry=resources)
    found = json.loads(json.dumps(made()))
    assert list(validator.iter_errors(found)) == []
    for path, wrong in (("openrpc", "2.0"), ("info", {}), ("methods", [{"name": "x"}])):
        assert list(validator.iter_errors({**found, path: wrong})), "the schema checks something"
