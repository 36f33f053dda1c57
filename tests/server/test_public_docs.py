"""What everybody may read about methods where the configuration opens it, and a console that is turned off."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field
from websockets.datastructures import Headers

from rpcserver import Service, method
from rpcserver.config import ConfigError, ConsoleConfig
from rpcserver.door.public_docs import PublicDocs
from rpcserver.reload.reloading import NewSettings
from rpcserver.server import Server
from tests.server.test_console import run
from tests.server.test_files import HTML, get, serve
from tests.server.test_files import built as built


class Seed(BaseModel):
    """What is sown."""

    kind: Annotated[str, Field(description="Such as cress.")]


class Safe(BaseModel):
    """What nobody should read about."""

    code: int


class Garden(Service):
    """Open to readers."""

    name = "garden"

    @method()
    async def sow(self, seed: Seed) -> int:
        """Sow something."""
        return len(seed.kind)


class Vault(Service):
    """Closed to them."""

    name = "vault"

    @method()
    async def unlock(self, safe: Safe) -> bool:
        """Open the safe."""
        return safe.code == 1


PUBLIC = '<!doctype html><link rel="service-desc" href="./openrpc.json">'


@pytest.fixture
def console(built: Path) -> Path:
    (built / "public.html").write_text(PUBLIC)
    (built / "client.js").write_text("export {};")
    return built


def test_a_stranger_reads_about_what_is_open_and_about_nothing_else(tools: Any, console: Path) -> None:
    async def main() -> None:
        async with serve(tools, console, Garden(), Vault(), console={"public_docs": ["garden"]}) as server:
            status, headers, body = await get(tools, server, "/openrpc.json")
            assert (status, headers["content-type"]) == (200, "application/json")
            found = json.loads(body)
            async with tools.connect(server) as connection:
                whole = (await tools.call(connection, "rpc.discover"))["result"]
            assert found["methods"] == [each for each in whole["methods"] if each["name"] == "garden.sow"]
            assert found["components"] == {"schemas": {"Seed": whole["components"]["schemas"]["Seed"]}}
            assert "Safe" in whole["components"]["schemas"] and b"vault" not in body and b"rpc." not in body
            assert server.version not in (found["info"]["version"], body.decode())
            for path in ("/", "/docs"):
                assert (await get(tools, server, path, HTML))[2].decode() == PUBLIC
            # To read is all that a stranger may.
            async with tools.connect(server, token=None) as stranger:
                for name in ("rpc.discover", "garden.sow"):
                    answer = await tools.call(stranger, name, {})
                    assert answer["error"]["data"]["type"] == "Unauthenticated"

    tools.run(main())


def test_whoever_has_the_document_does_not_get_it_again(tools: Any, console: Path) -> None:
    async def main() -> None:
        async with serve(tools, console, Garden(), Vault(), console={"public_docs": ["*"]}) as server:
            path = "/openrpc.json"
            _, plain_headers, plain = await get(tools, server, path)
            assert {each["name"].partition(".")[0] for each in json.loads(plain)["methods"]} == {
                "garden",
                "rpc",
                "vault",
            }
            status, headers, packed = await get(tools, server, path, "Accept-Encoding: br, gzip")
            assert (status, headers["content-encoding"]) == (200, "gzip") and gzip.decompress(packed) == plain
            assert headers["etag"] != plain_headers["etag"] and headers["vary"] == "Accept-Encoding"
            again = await get(tools, server, path, "Accept-Encoding: gzip", f"If-None-Match: {headers['etag']}")
            assert (again[0], again[2], again[1]["cache-control"]) == (304, b"", "no-cache")
            status, headers, body = await get(tools, server, path, verb="HEAD")
            assert (status, body, int(headers["content-length"])) == (200, b"", len(plain))
            assert (await get(tools, server, path, verb="POST"))[0] == 405

    tools.run(main())


def test_nothing_is_open_unless_the_configuration_says_so(tools: Any, console: Path) -> None:
    async def main() -> None:
        async with serve(tools, console, Garden()) as server:
            status, _, body = await get(tools, server, "/openrpc.json")
            assert status == 404 and b"openrpc" not in body
            assert (await get(tools, server, "/docs", HTML))[2] == b"<!doctype html>docs"

    tools.run(main())


def test_a_console_that_is_turned_off_is_not_there_and_pages_of_plugins_are(tools: Any, console: Path) -> None:
    class WithPage(Garden):
        name = "garden"
        page = console

    async def main() -> None:
        off = {"enabled": False, "public_docs": ["garden"]}
        async with serve(tools, console, WithPage(), console=off) as server:
            status, _, body = await get(tools, server, "/", HTML)
            assert status == 200 and b"turned off here" in body and b"[console]" in body and b"make web" not in body
            for path in ("/docs", "/icon.svg", "/index.html", "/public.html", "/openrpc.json"):
                assert (await get(tools, server, path, HTML))[0] == 404, path
            assert (await get(tools, server, "/"))[0] == 426
            assert (await get(tools, server, "/services/garden/", HTML))[0] == 200
            assert (await get(tools, server, "/client.js"))[2] == b"export {};"  # Which such pages may need.
            async with tools.connect(server) as connection:
                assert (await tools.call(connection, "rpc.create_ticket"))["result"]["urls"] == []

    tools.run(main())


def test_rpcserver_console_says_that_there_is_none(tools: Any, short_folder: Path) -> None:
    async def main() -> None:
        async with tools.serve(listen={"unix": str(short_folder / "s")}, console={"enabled": False}):
            shown = await run(short_folder, "console")
            assert shown.exit_code == 2 and "console.enabled" in shown.stderr and "rpcticket_" not in shown.output
            other = await run(short_folder, "console", "--url", "https://game.example/")
            assert other.stdout.startswith("https://game.example/#ticket=rpcticket_")

    tools.run(main())


def test_a_reload_opens_and_closes_at_once(tools: Any, console: Path) -> None:
    async def main() -> None:
        async with serve(tools, console, Garden(), Vault()) as server:

            async def names() -> list[str] | int:
                status, _, body = await get(tools, server, "/openrpc.json")
                return [each["name"] for each in json.loads(body)["methods"]] if status == 200 else status

            assert await names() == 404
            await change(server, console={"public_docs": ["garden"]})
            assert await names() == ["garden.sow"]
            await change(server, console={"public_docs": ["garden", "vault"]})
            assert await names() == ["garden.sow", "vault.unlock"]
            with pytest.raises(
                ConfigError, match=r"console\.public_docs: no service 'gardem' is offered; there are: g"
            ):
                await change(server, console={"public_docs": ["gardem"]})
            assert await names() == ["garden.sow", "vault.unlock"], "nothing has changed"
            await change(server, console={"enabled": False, "public_docs": ["garden"]})
            assert await names() == 404 and (await get(tools, server, "/docs", HTML))[0] == 404
            await change(server, console={})
            assert await names() == 404 and (await get(tools, server, "/docs", HTML))[0] == 200

    async def change(server: Server, **sections: Any) -> None:
        config = tools.config(state_dir=str(tools.folder / "state"), **sections)
        await server.reload(NewSettings(config, {}, tools.TOKEN))

    tools.run(main())


def test_a_service_that_is_not_there_cannot_be_opened(tools: Any, console: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"console\.public_docs: no service 'gardn' is offered; there are: garden, \*, rpc"
    ):
        Server(tools.config(console={"public_docs": ["gardn"]}), [Garden()], token="t", console=console)


def test_many_strangers_at_once_have_the_document_made_once(tools: Any, console: Path) -> None:
    async def main() -> None:
        async with serve(tools, console, Garden(), console={"public_docs": ["garden"]}) as server:
            made: list[object] = []
            docs = server.door.entrance.pages._public_docs
            describe = docs._describe

            async def count(names: Any) -> Any:
                made.append(names)
                return await describe(names)

            docs._describe = count
            answers = await asyncio.gather(*(get(tools, server, "/openrpc.json") for _ in range(8)))
            assert {answer[0] for answer in answers} == {200} and made == [("garden",)]

    tools.run(main())


def test_a_document_is_not_kept_that_was_old_before_it_was_made() -> None:
    """A service may begin while the methods of the others are being described."""
    names = ["first"]
    docs: PublicDocs

    async def describe(_: Collection[str] | None) -> Mapping[str, Any]:
        content = {"info": {}, "methods": list(names)}
        if len(names) == 1:
            names.append("second")
            docs.forget()
        return content

    async def main() -> None:
        nonlocal docs
        docs = PublicDocs(ConsoleConfig(public_docs=("*",)), describe)
        answer = await docs.answer(Headers(), head=False)
        assert json.loads(answer.body)["methods"] == ["first", "second"]

    asyncio.run(main())
