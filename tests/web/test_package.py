"""The package of the client as npm would publish it."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from rpcserver import Service, method
from rpcserver.plugins.typescript import generate_typescript
from tests.contract.conftest import TOKEN
from web.building import NODE, NPM, WEB, install, make_environment, run_script

from .conftest import CLIENT, LIMIT_S, RunNode

pytestmark = pytest.mark.timeout(LIMIT_S + 60)

PROGRAM = """
import assert from "node:assert/strict";
import { Client } from "@remote-services/client";
import { programs } from "@remote-services/client/stubs/programs";
import { WebSocket } from "ws";

assert.equal(globalThis.WebSocket, undefined);
const client = new Client(process.env.TEST_SERVER_URL, { token: process.env.TEST_SERVER_TOKEN, WebSocket });
assert.equal(await client.call("contract.add", [1, 2]), 3);
assert.equal(typeof client.service(programs).run, "function");
await client.close();
await assert.rejects(new Client("ws://127.0.0.1:9").connect(), { message: /WebSocket: give a class/ });
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a program that has installed the package, without its tools."""
    install()
    assert run_script("build:client") == 0
    folder = tmp_path_factory.mktemp("package")
    command = [str(NODE), str(NPM), "pack", "--json", "--pack-destination", str(folder)]
    done = subprocess.run(command, cwd=CLIENT, env=make_environment(), check=True, capture_output=True, text=True)
    home = folder / "node_modules" / "@remote-services"
    home.mkdir(parents=True)
    with tarfile.open(folder / json.loads(done.stdout)[0]["filename"]) as packed:
        packed.extractall(home, filter="data")
    (home / "package").rename(home / "client")
    (folder / "node_modules" / "ws").symlink_to(WEB / "node_modules" / "ws")
    yield folder


def test_it_has_what_was_built_and_nothing_else(package: Path) -> None:
    home = package / "node_modules" / "@remote-services" / "client"
    files = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    assert {"package.json", "README.md", "dist/index.js", "dist/index.d.ts", "dist/stubs/programs.d.ts"} <= files
    assert all(name in ("package.json", "README.md") or name.endswith((".js", ".d.ts")) for name in files), files
    assert not any("test" in name for name in files)
    about = json.loads((home / "package.json").read_text(encoding="utf-8"))
    assert "dependencies" not in about
    assert about["engines"] == {"node": ">=20"}


def test_it_works_where_there_is_no_websocket_as_in_node_20(package: Path, running: Any) -> None:
    program = package / "program.mjs"
    program.write_text(PROGRAM, encoding="utf-8")
    environment = make_environment({"TEST_SERVER_URL": running.server.addresses[0], "TEST_SERVER_TOKEN": TOKEN})
    command = [str(NODE), "--no-experimental-websocket", str(program)]
    subprocess.run(command, env=environment, check=True, timeout=LIMIT_S)


def test_a_client_beyond_its_budget_fails_the_build(run_node: RunNode) -> None:
    size = CLIENT / "scripts" / "size.mjs"
    run_node(size)
    with pytest.raises(AssertionError, match="too large"):
        run_node(size, "1000")


class Shelf(Service):
    """Holds things."""

    @method()
    async def put(self, item: str, places: Annotated[int, Field(ge=0, le=2**64 - 1)]) -> dict[str, int]:
        """Put something there.

        It stays. :meth:`find` finds it, as :py:func:`~desk.tools.search` and :class:`the
        others <desk.Others>` do.

        Parameters:
            item: what; ``pears``
                or others.
            places: where, as of :meth:`find`.

        Returns:
            What is where.

        Raises:
            ValueError: it is full.
        """
        return {item: places}

    @method()
    async def find(self) -> Annotated[int, Field(ge=0, le=2**64 - 1)]:
        """Find it."""
        return 2**63


@pytest.mark.parametrize("path", sorted((CLIENT / "src" / "stubs").glob("*.ts")), ids=lambda path: path.stem)
def test_stubs_have_no_roles_of_sphinx(path: Path) -> None:
    assert re.findall(r":\w+:`", path.read_text(encoding="utf-8")) == []


def test_docstrings_become_tsdoc_and_long_integers_say_so() -> None:
    text = generate_typescript(Shelf)
    assert (
        """
  /**
   * Put something there.
   *
   * It stays. `find` finds it, as `search` and `the others` do.
   * @param params.item - what; `pears`
   *   or others.
   * @param params.places - where, as of `find`.
   * @returns What is where.
   * @throws ValueError: it is full.
   */
"""
        in text
    )
    assert (
        "find(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<number | bigint>;"
        in text
    )
