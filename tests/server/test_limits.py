"""Limits of connections, calls and streams: for each connection, principal, address and for the whole server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from click.testing import CliRunner
from websockets.exceptions import InvalidStatus

from rpcserver import Context, Service, method
from rpcserver.daemon.cli import main
from rpcserver.security.named_tokens import TokenSet
from rpcserver.security.token_file import TokenFile
from rpcserver.server import Server


class Desk(Service):
    """Keeps callers waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()
        self.waiting = 0

    @method()
    async def wait(self) -> None:
        """Wait for the release."""
        self.waiting += 1
        await self.release.wait()

    @method()
    async def note(self) -> int:
        """Answer at once."""
        return 1

    @method()
    async def ticks(self, ctx: Context) -> AsyncIterator[int]:
        """Give a number, then wait for the release."""
        yield 1
        await self.release.wait()


async def refused(tools: Any, connection: Any, call_id: int, name: str = "desk.wait") -> dict[str, Any]:
    error: dict[str, Any] = (await tools.call(connection, name, call_id=call_id))["error"]
    assert error["data"]["type"] == "Busy"
    assert error["data"]["executed"] == "no"
    assert error["data"]["retry_after_ms"] >= 1
    return error


async def begin(tools: Any, connection: Any, desk: Desk, number: int, first: int = 1) -> None:
    """Begin some calls, and wait until they run."""
    before = desk.waiting
    for call_id in range(first, first + number):
        await connection.send(tools.request("desk.wait", None, call_id))
    await tools.until(lambda: desk.waiting == before + number)


def test_calls_in_flight_of_a_principal(tools: Any) -> None:
    async def main() -> None:
        desk = Desk()
        limits = {"calls_in_flight_per_principal": 100}
        async with (
            tools.serve(desk, limits=limits) as server,
            tools.connect(server) as one,
            tools.connect(server) as two,
        ):
            await begin(tools, one, desk, 90)
            await begin(tools, two, desk, 10)  # The rest of the places that the first has in advance is taken back.
            error = await refused(tools, two, 99)
            assert "limits.calls_in_flight_per_principal" in error["message"]
            desk.release.set()
            await tools.until(lambda: all(peer.session.calls_running == 0 for peer in server.connections.values()))
            assert (await tools.call(two, "desk.note", call_id=100))["result"] == 1

    tools.run(main())


def test_calls_in_flight_of_all(tools: Any) -> None:
    async def main() -> None:
        desk = Desk()
        async with tools.serve(desk, limits={"calls_in_flight_total": 3}) as server, tools.connect(server) as one:
            await begin(tools, one, desk, 3)
            assert "limits.calls_in_flight_total" in (await refused(tools, one, 9))["message"]
        assert next(iter(server.connections.quotas.uses())).used == 0

    tools.run(main())


def test_calls_in_a_second(tools: Any) -> None:
    async def main() -> None:
        for name in ("calls_per_s", "calls_per_s_per_principal", "calls_per_s_total"):
            async with tools.serve(Desk(), limits={name: 0.01}) as server, tools.connect(server) as one:
                assert (await tools.call(one, "desk.note"))["result"] == 1
                error = await refused(tools, one, 2, "desk.note")
                assert f"limits.{name})" in error["message"]
                assert 1000 < error["data"]["retry_after_ms"] <= 100_000

    tools.run(main())


def test_streams_of_a_principal(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(Desk(), limits={"streams_per_principal": 2}) as server, tools.connect(server) as one:
            for call_id in (1, 2):
                assert "stream" in (await tools.call(one, "desk.ticks", call_id=call_id))["result"]
            error = (await tools.call(one, "desk.ticks", call_id=3))["error"]
            assert error["data"]["type"] == "Busy"
            assert "limits.streams_per_principal" in error["message"]
            assert (await tools.call(one, "desk.note", call_id=4))["result"] == 1

    tools.run(main())


@pytest.mark.parametrize("name", ["connections_per_principal", "connections_per_address"])
def test_connections(tools: Any, name: str) -> None:
    async def main() -> None:
        async with tools.serve(limits={name: 2}) as server, tools.connect(server), tools.connect(server) as two:
            with pytest.raises(InvalidStatus) as caught:
                async with tools.connect(server):
                    pass
            assert caught.value.response.status_code == 503
            assert f"limits.{name}" in caught.value.response.body.decode()
            async with tools.connect(server, token=None) as late:
                error = (await tools.call(late, "rpc.authenticate", {"token": "a-token-for-the-tests"}))["error"]
                assert error["data"]["type"] == "Busy"
                await two.close()
                await tools.until(lambda: len(server.connections) == 2)
                answer = await tools.call(late, "rpc.authenticate", {"token": "a-token-for-the-tests"}, call_id=2)
                assert answer["result"]["name"] == "owner"

    tools.run(main())


def test_limits_of_a_role(tools: Any) -> None:
    async def main() -> None:
        limits = {"calls_in_flight": 2, "message_bytes": 2048, "streams": 1, "connections": 1}
        roles = {"few": {"principals": ["owner"], "permissions": ["*"], "limits": limits}}
        desk = Desk()
        async with tools.serve(desk, roles=roles) as server, tools.connect(server) as one:
            hello = (await tools.call(one, "rpc.hello"))["result"]
            assert hello["principal"]["role"] == "few"
            assert {hello["limits"][key] for key in ("message_bytes", "calls_in_flight", "streams")} == {2048, 2, 1}
            await begin(tools, one, desk, 2, first=10)
            assert "roles.few.limits.calls_in_flight" in (await refused(tools, one, 3))["message"]
            with pytest.raises(InvalidStatus) as caught:
                async with tools.connect(server):
                    pass
            assert "roles.few.limits.connections" in caught.value.response.body.decode()
            await one.send("x" * 3000)
            await one.wait_closed()
            assert one.close_code == 1009

    tools.run(main())


def test_a_principal_who_is_called_server(tools: Any) -> None:
    async def main() -> None:
        tokens, token = TokenSet().create("server", "all", 1.0)
        TokenFile(tools.folder).update(lambda _: tokens)
        roles = {"all": {"permissions": ["*"]}}
        async with tools.serve(roles=roles) as server, tools.connect(server, token=token) as one:
            uses = (await tools.call(one, "rpc.limits"))["result"]
            (own,) = (use for use in uses if (use["holder"], use["what"]) == ("server", "bytes of output"))
            assert (own["scope"], own["setting"]) == ("principal", "limits.memory_per_principal_bytes")
            assert sum((use["scope"], use["what"]) == ("server", "bytes of output") for use in uses) == 1

    tools.run(main())


def test_rpc_limits_and_the_command(tools: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RPCSERVER_CONFIG", raising=False)
    path = tmp_path / "sock"

    def ask(*options: str) -> Any:
        runner = CliRunner(env={"RPCSERVER_LISTEN__UNIX": str(path)})
        return runner.invoke(main, ["limits", *options])

    async def run(server: Server) -> None:
        async with tools.connect(server) as one:
            uses = (await tools.call(one, "rpc.limits"))["result"]
            own = {(use["scope"], use["what"]): use for use in uses if use["holder"] in ("owner", "")}
            assert own["principal", "connections"]["used"] == 1
            assert own["server", "calls in flight"]["limit"] == 16_384
            assert own["server", "bytes of output"]["setting"] == "limits.memory_bytes"
            answer = await asyncio.to_thread(ask, "--json", "--all")
            assert answer.exit_code == 0, answer.output
            scopes = {use["scope"] for use in json.loads(answer.output)}
            assert scopes == {"server", "method", "principal", "address", "connection"}
            table = (await asyncio.to_thread(ask)).output
            assert "limits.connections_per_principal" in table
            assert "connection  " not in table
            assert max(map(len, table.splitlines())) < 140

    async def scenario() -> None:
        async with tools.serve(listen={"port": 0, "unix": str(path)}) as server:
            await run(server)

    tools.run(scenario())
    answer = ask()
    assert answer.exit_code == 2
    assert "no server answers here" in answer.output
