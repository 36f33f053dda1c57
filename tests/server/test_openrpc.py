"""What `rpc.discover` says, against a published model and the published schema of OpenRPC 1.4."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, NoReturn

import jsonschema
import openrpc
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from rpcserver import Context, Service, ServiceError, method
from rpcserver.config import PluginsConfig, ServerConfig
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.plugins.openrpc import OPENRPC_VERSION, document
from rpcserver.plugins.schemas import unique_titles
from rpcserver.system import System, SystemParts
from rpcwire.registry import Registry
from rpcwire.values.tagged import Value


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

    permissions: ClassVar[Mapping[str, str]] = {"shop.read": "look for parts"}

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


class Place(NamedTuple):
    row: int
    name: str = "a"


@dataclass
class Shelf:
    places: tuple[Place, ...] = ()
    type: str = "array"
    items: tuple[Any, ...] = ()


class Labels(TypedDict):
    pairs: list[tuple[str, bytes]]


class Lost(ServiceError):
    """It is nowhere."""

    looked: tuple[Place, int]
    labels: set[str]
    data: bytes


class Store(Service):
    """Has arrays of every kind."""

    @method(errors=(Lost,))
    async def find(  # type: ignore[empty-body]
        self,
        a_list: list,  # type: ignore[type-arg]
        a_tuple: tuple,  # type: ignore[type-arg]
        a_set: set,  # type: ignore[type-arg]
        anything: tuple[Any, ...],
        nothing: tuple[()],
        frozen: frozenset[int],
        pair: tuple[int, bytes],
        twice: tuple[int, int],
        place: Place,
        shelf: Shelf,
        labels: Labels,
        either: tuple[int, str] | list[tuple[Any, ...]] | None = None,
        sequence: Sequence[Any] = (),
        nested: dict[str, list[tuple[tuple[Any, ...], set[Any]]]] = {},  # noqa: B006 - nobody changes it
        data: Any = {"type": "array"},  # noqa: B006 - nobody changes it
    ) -> tuple[tuple[Any, ...], ...]: ...

    @method()
    async def pass_on(self, items: AsyncIterator[tuple[Any, ...]]) -> AsyncIterator[tuple[int, str]]:
        """Pass items on."""
        raise NotImplementedError
        yield


def made(*services: Service[Any]) -> dict[str, Any]:
    registry = Registry(logging.getLogger("t"))
    unused: Any = dict.fromkeys(field.name for field in fields(SystemParts))
    system = System(SystemParts(**{**unused, "registry": registry, "settings": ServerConfig}))
    registry.add(system, has_reserved_name=True)
    for service in services or (Shop(),):
        registry.add(service)
    return json.loads(json.dumps(document(registry.offers.values(), title="shop", version="1.2.3")))  # type: ignore[no-any-return]


def installed_services() -> list[Service[Any]]:
    return create_services(find_services(PluginsConfig()), {})


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


def arrays(node: Any, where: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas of arrays in a document. Defaults are data."""
    if isinstance(node, dict):
        if node.get("type") == "array":
            yield where, node
        for key, value in node.items():
            if key != "default":
                yield from arrays(value, f"{where}/{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from arrays(value, f"{where}/{number}")


@pytest.mark.parametrize("services", [lambda: [Store(), Shop()], installed_services], ids=["all kinds", "built-in"])
def test_every_array_says_what_it_holds(services: Callable[[], list[Service[Any]]]) -> None:
    found = dict(arrays(made(*services())))
    assert len(found) > 10
    assert [where for where, schema in found.items() if "items" not in schema] == []


def test_arrays_in_both_drafts() -> None:
    """OpenRPC refers to JSON Schema's draft 7; pydantic writes that of 2020."""
    document = made(Store())
    (find,) = [m for m in document["methods"] if m["name"] == "store.find"]
    schemas = {p["name"]: {**p["schema"], "components": document["components"]} for p in find["params"]}
    cases: dict[str, tuple[list[Any], list[Any]]] = {
        "a_list": ([[], [1, "a", None]], [5]),
        "anything": ([[], [1, [2]]], ["a"]),
        "nothing": ([[]], [[1]]),
        "pair": ([[1, "_w=="]], [[1], [1, "_w==", 2], [None, "_w=="]]),
        "twice": ([[1, 2]], [[1], [1, "a"]]),
        "place": ([[1], [1, "b"]], [[], [1, "b", "c"]]),
        "labels": ([{"pairs": [["a", "_w=="]]}], [{"pairs": [["a"]]}]),
        "either": ([None, [1, "a"], [[1, 2], []]], [[[1], 2]]),
        "data": ([{"type": "array"}, 5], []),
    }
    assert next(p for p in find["params"] if p["name"] == "data")["schema"]["default"] == {"type": "array"}
    for validator in (jsonschema.Draft7Validator, jsonschema.Draft202012Validator):
        for name, (good, bad) in cases.items():
            check = validator(schemas[name])
            assert [value for value in good if not check.is_valid(value)] == [], (validator, name)
            assert [value for value in bad if check.is_valid(value)] == [], (validator, name)
    (error,) = find["errors"]
    assert error["data"]["details"]["properties"]["data"] == {"contentEncoding": "base64url", "type": "string"}


def test_titles_name_types_only() -> None:
    """What is generated from the document makes a type of each title."""

    def titles(node: Any) -> Iterator[tuple[str, str]]:
        if isinstance(node, dict):
            if isinstance(node.get("title"), str) and "type" in node:
                content = {k: v for k, v in node.items() if k not in ("description", "default")}
                yield node["title"], json.dumps(content, sort_keys=True)
            for value in node.values():
                yield from titles(value)
        elif isinstance(node, list):
            for value in node:
                yield from titles(value)

    found = set(titles(made(*installed_services())))
    assert sorted(title for title, _ in found) == sorted({title for title, _ in found})


def test_types_of_one_name_are_told_apart() -> None:
    definitions = {"a__Info": {"title": "Info"}, "b__Info": {"title": "Info"}, "Other": {"title": "Other"}, "x": True}
    unique_titles(definitions)
    assert definitions == {
        "a__Info": {"title": "a__Info"}, "b__Info": {"title": "b__Info"}, "Other": {"title": "Other"}, "x": True,
    }  # fmt: skip


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


# --- OpenRPC's own tools -------------------------------------------------------------------------------------------------

TOOLS = Path(__file__).parent / "openrpc_tools"
SECONDS = 60


@pytest.fixture(scope="session")
def openrpc_tools(missing: Callable[[str], NoReturn], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the commands of OpenRPC's generator and typings tool."""
    if shutil.which("npm") is None:
        missing("npm is not installed, which fetches the tools of OpenRPC")
    folder: Path = tmp_path_factory.mktemp("openrpc_tools")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(TOOLS / name, folder)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder, capture_output=True, text=True, timeout=100, env={**os.environ, "npm_config_cache": str(folder / "cache")}, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        missing(f"npm cannot fetch the tools of OpenRPC: {done.stderr[-200:]}")
    return folder / "node_modules" / ".bin"


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=[lambda: [Store()], installed_services], ids=["all kinds", "built-in"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[str]]:
    """A file with a whole document, and the names of its methods."""
    found = made(*request.param())
    path = tmp_path / "openrpc.json"
    path.write_text(json.dumps(found))
    return path, [method["name"] for method in found["methods"]]


def pascal(name: str) -> str:
    return "".join(part[0].upper() + part[1:] for part in re.split(r"[._]", name))


def test_the_typings_tool_takes_all_of_it(openrpc_tools: Path, whole: tuple[Path, list[str]]) -> None:
    path, names = whole
    for language in ("ts", "rs", "go"):
        folder = path.parent / language
        folder.mkdir()
        assert "Done!" in run(openrpc_tools / "open-rpc-typings", "--document", path, f"--output-{language}", folder)
    types = (path.parent / "ts" / "index.ts").read_text()
    assert [name for name in names if f"export type {pascal(name)} = " not in types.replace("_", "")] == []
    run(openrpc_tools / "tsc", "--noEmit", "--strict", path.parent / "ts" / "index.ts")


@pytest.mark.parametrize(("kind", "language"), [("client", "typescript"), ("client", "rust"), ("server", "typescript")])
def test_the_generator_takes_all_of_it(
    openrpc_tools: Path, whole: tuple[Path, list[str]], kind: str, language: str
) -> None:
    path, names = whole
    told = run(
        openrpc_tools / "open-rpc-generator", "generate", "--document", path, "--outputDir", path.parent,
        "--type", kind, "--language", language, "--useName", "shop",
    )  # fmt: skip
    assert "Done!" in told
    text = "".join(f.read_text() for f in (path.parent / kind / language).rglob("*") if f.suffix in (".ts", ".rs"))
    for name in names:
        assert name in text or pascal(name) in text.replace("_", ""), name
