"""An error repeats no more than 200 characters of what was sent, whatever is wrong with it: not the id, not a name, not
a value, of no method of any service."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from rpcserver.config import PluginsConfig, ServerConfig
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.server import Server
from tests.integration.harmless import example

LETTER = "ø"
LONG = LETTER * 5000
TOKEN = "a-token-for-the-tests-of-echoes"


@asynccontextmanager
async def serve(folder: Path) -> AsyncIterator[Server]:
    settings = {"database": {"databases": {"main": {"url": f"sqlite:///{folder / 'main.db'}"}}}}
    services = create_services(find_services(PluginsConfig()), settings)
    config = ServerConfig.model_validate(
        {"state_dir": str(folder / "state"), "grace_s": 0, "listen": {"port": 0, "unix": "none"}}
    )
    server = Server(config, services, token=TOKEN)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(grace_s=0)


@asynccontextmanager
async def connected(server: Server, subprotocol: str | None = None) -> AsyncIterator[ClientConnection]:
    offers = None if subprotocol is None else [Subprotocol(subprotocol)]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with connect(
        server.addresses[0], additional_headers=headers, subprotocols=offers, proxy=None, max_size=None
    ) as connection:
        yield connection


def echo(text: str | bytes) -> int:
    """The longest piece of what was sent in an answer."""
    found = re.findall(f"(?:{LETTER}|\\\\u00f8|\\\\xf8)+", text if isinstance(text, str) else text.decode())
    return max((len(piece.replace("\\u00f8", LETTER).replace("\\xf8", LETTER)) for piece in found), default=0)


def hostile(document: Any) -> Iterator[tuple[str, Any]]:
    """Every method with a long text in the place of each of its parameters, in lists and objects, too."""
    for method in document["methods"]:
        good = {
            p["name"]: example(p["schema"], document, p["name"]) for p in method["params"] if p.get("required", False)
        }
        yield method["name"], {**good, LONG: 1}
        yield method["name"], [LONG] * 30
        for parameter in method["params"]:
            for value in (LONG, [LONG], [[LONG]], {LONG: LONG}, {"stream": LONG}, [{"name": LONG, LONG: 1}]):
                yield method["name"], {**good, parameter["name"]: value}


def test_no_method_repeats_what_it_was_given(tmp_path: Path) -> None:
    async def main() -> None:
        async with serve(tmp_path) as server:
            methods = [m for m in server.openrpc["methods"] if m["name"] != "rpc.authenticate"]
            calls = list(hostile({**server.openrpc, "methods": methods}))
            assert len(calls) > 500
            seen = set()
            for start in range(0, len(calls), 100):
                async with connected(server, "rpc.v1.json") as connection:
                    for number, (method, params) in enumerate(calls[start : start + 100]):
                        call = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                        await connection.send(json.dumps({**call, "ctx": {"ttl_ms": 5000}}))
                        error = await error_of(connection, number)
                        if error is not None:
                            seen.add(method)
                            text = json.dumps(error, ensure_ascii=False)
                            assert echo(text) <= 200, (method, params if len(str(params)) < 99 else "", text[:2000])
                            assert len(text) < 40_000, (method, len(text))
            assert len(seen) > 60

    asyncio.run(main())


async def error_of(connection: ClientConnection, number: int) -> Any:
    async with asyncio.timeout(30):
        while True:
            for line in str(await connection.recv()).splitlines():
                answer = json.loads(line)
                if answer.get("id") == number and "method" not in answer:
                    return answer.get("error")


WRONG = [
    {"jsonrpc": "2.0", "id": LONG, "method": "rpc.ping"},
    {"jsonrpc": "2.0", "id": LONG, "method": LONG},
    {"jsonrpc": "2.0", "id": LONG, "method": 5},
    {"jsonrpc": "2.0", "id": LONG},
    {"jsonrpc": "2.0", "id": LONG, "method": "rpc.ping", "params": LONG},
    {"jsonrpc": "2.0", "id": LONG, "method": "rpc.cancel", "params": {"id": LONG}},
    {"jsonrpc": LONG, "id": 1, "method": "rpc.ping"},
    {"jsonrpc": "2.0", "id": 1, "method": LONG},
    {"jsonrpc": "2.0", "id": 1, "method": "rpc.ping", "ctx": {"ttl_ms": LONG}},
    {"jsonrpc": "2.0", "id": 1, "method": "rpc.ping", "ctx": LONG},
    {"jsonrpc": "2.0", "id": {LONG: LONG}, "method": "rpc.ping"},
    {"jsonrpc": "2.0", "id": 1, "method": "rpc.stream.item", "params": {"stream": LONG, "items": []}},
    {"jsonrpc": "2.0", "id": 1, "method": "rpc.stream.item", "params": {"stream": LONG[:200], "items": []}},
    {"jsonrpc": "2.0", "id": 1, "method": "rpc.stream.end", "params": {"stream": LONG}},
    {"jsonrpc": "2.0", "id": 1, "method": "rpc.stream.credit", "params": {"stream": LONG, "n": 0}},
    {"jsonrpc": "2.0", "id": 1, "method": "rpc.stream.cancel", "params": {"stream": LONG}},
    {"jsonrpc": "2.0", "id": 1, "method": "rpc.progress", "params": {"id": LONG, "done": LONG}},
    {LONG: LONG},
    [LONG, {LONG: 1}],
    LONG,
]


@pytest.mark.parametrize("subprotocol", [None, "rpc.v1.json", "rpc.v1.msgpack"])
def test_no_malformed_message_is_repeated(tmp_path: Path, subprotocol: str | None) -> None:
    import msgspec

    binary = subprotocol == "rpc.v1.msgpack"

    def pack(value: Any) -> bytes | str:
        return msgspec.msgpack.encode(value) if binary else json.dumps(value)

    frames = [pack(value) for value in WRONG]
    if not binary:
        twice = f'{{"jsonrpc": "2.0", "id": 1, "{LONG}": 1, "{LONG}": 2, "method": "rpc.ping"}}'
        digits = '{"jsonrpc": "2.0", "id": ' + "7" * 900 + ', "method": "rpc.ping"}'
        frames += [twice, digits, digits.replace("rpc.ping", "no.such"), f'{{"id": "{LONG}", "method": ', f'"{LONG}']
    else:
        frames += [b"\x81" + msgspec.msgpack.encode(LONG), msgspec.msgpack.encode({"id": LONG})[:-1]]

    async def main() -> None:
        async with serve(tmp_path) as server, connected(server, subprotocol) as connection:
            for frame in frames:
                await connection.send(frame)
                await connection.send(pack({"jsonrpc": "2.0", "id": "good", "method": "rpc.ping"}))
                async with asyncio.timeout(30):
                    said: str | bytes = ""
                    while b"pong" not in (said.encode() if isinstance(said, str) else said):
                        said = await connection.recv()
                        assert echo(said if isinstance(said, str) else said.decode(errors="replace")) <= 200, frame[:80]
                        assert len(said) < 3000
                        assert "7" * 201 not in str(said)

    asyncio.run(main())


def test_an_id_that_is_too_long_is_refused_with_a_typed_error(tmp_path: Path) -> None:
    """An answer must repeat the id (JSON-RPC 2.0, section 5): so its length is limited. An id that cannot be read is
    answered by null."""

    async def main() -> None:
        async with serve(tmp_path) as server, connected(server) as connection:
            for long_id in ("x" * 201, 10**200):
                await connection.send(json.dumps({"jsonrpc": "2.0", "id": long_id, "method": "rpc.ping"}))
                answer = json.loads(await connection.recv())
                assert answer["id"] is None
                assert answer["error"]["code"] == -32600
                assert answer["error"]["data"]["type"] == "InvalidRequest"
                assert "id: " in answer["error"]["message"]
                assert "200" in answer["error"]["message"]
            for good_id in ("ø" * 200, 10**200 // 7, 1.5, "", 2**64 - 1):
                await connection.send(json.dumps({"jsonrpc": "2.0", "id": good_id, "method": "rpc.ping"}))
                assert json.loads(await connection.recv()) == {"jsonrpc": "2.0", "id": good_id, "result": "pong"}

    asyncio.run(main())
