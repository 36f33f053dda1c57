"""The memory that clients make the server hold: counted, refused beyond the limits, and given back after every end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcserver import Context, Service, method
from rpcserver.config import ConfigError
from rpcserver.layers.loading import load_config
from rpcserver.server import Server
from rpcwire.accounts import COPIES, Loan

KIB = 1024
MIB = 1024 * KIB
LARGE = "x" * MIB
FORMS = ["jsonrpc", "rpc.v1.json"]


class Desk(Service):
    """Holds what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()
        self.gate = threading.Event()
        self.started = 0

    @method(message_bytes=None)
    async def hold(self, text: str) -> int:
        """Hold a text until released."""
        self.started += 1
        await self.release.wait()
        return len(text)

    @method(message_bytes=None)
    async def count(self, text: str) -> AsyncIterator[str]:
        """A stream that holds a text until its end."""
        self.started += 1
        yield "first"
        await self.release.wait()
        yield text[:1]

    @method(message_bytes=None)
    async def fail(self, text: str) -> None:
        """Fail."""
        await asyncio.sleep(0)
        raise ValueError(len(text))

    @method(message_bytes=None)
    def plain(self, text: str) -> int:
        """In a thread."""
        return len(text)

    @method(message_bytes=None)
    def block(self) -> int:
        """In a thread, until released."""
        self.started += 1
        assert self.gate.wait(20)
        return 1

    @method(message_bytes=None)
    async def ignore(self, items: AsyncIterator[str]) -> int:
        """Read none of the items."""
        await self.release.wait()
        return 0

    @method(message_bytes=None)
    async def total(self, items: AsyncIterator[str], ctx: Context) -> int:
        """Read all items, when released."""
        await self.release.wait()
        return sum([len(item) async for item in items])

    @method(message_bytes=None)
    async def much(self, size: int) -> str:
        """A large answer."""
        return "y" * size


@pytest.fixture(autouse=True)
def only_explicit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no loan give itself back: what is not given back is lost."""
    monkeypatch.setattr(Loan, "__del__", lambda _: None)


def used(server: Server, purpose: str = "calls") -> int:
    """What the whole server holds now."""
    return next(use.used_bytes for use in server.connections.memory.uses() if use.purpose == purpose)


def item(*values: str, stream: str = "c1") -> str:
    return json.dumps({
        "jsonrpc": "2.0", "method": "rpc.stream.item", "params": {"stream": stream, "items": values},
    })  # fmt: skip


def control(name: str, **params: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": f"rpc.{name}", "params": params})


@pytest.mark.parametrize("form", FORMS)
def test_each_kind_of_end_gives_everything_back(tools: Any, form: str) -> None:
    async def main() -> None:
        desk = Desk()
        limits = {"json_message_bytes": 2 * MIB}
        async with tools.serve(desk, limits=limits) as server, tools.connect(server, form, max_size=None) as ws:

            async def held(request: str, least: int) -> None:
                """Send it, and wait until the server holds what it says."""
                await ws.send(request)
                await tools.until(lambda: used(server) >= least)

            async def nothing() -> None:
                await tools.until(lambda: used(server) == 0)

            (link,) = server.door.entrance.links
            peer = link.receiver
            # A result, an error, an answer from a thread, and refusals.
            for name in ("plain", "fail", "hold_on"):
                await tools.call(ws, f"desk.{name}", [LARGE])
                await nothing()
            await tools.call(ws, "desk.hold", {"other": LARGE})
            await nothing()
            # It is held while it runs.
            await held(tools.request("desk.hold", [LARGE], 1), COPIES * MIB)
            desk.release.set()
            await nothing()
            desk.release.clear()
            # A cancellation, and a deadline.
            await held(tools.request("desk.hold", [LARGE], 1), COPIES * MIB)
            await ws.send(control("cancel", id=1))
            await nothing()
            await ws.send(tools.request("desk.hold", [LARGE], 1, ctx={"ttl_ms": 50}))
            await tools.until(lambda: desk.started == 3)
            await nothing()
            # A stream, to its end, and one that nobody reads any more.
            for number, end in ((1, desk.release.set), (2, None)):
                desk.release.clear()
                await held(tools.request("desk.count", [LARGE], 10 + number), COPIES * MIB)
                if end is None:
                    await tools.until(lambda: peer.session.streams)  # Before that, there is nothing to cancel.
                    await ws.send(control("stream.cancel", stream=f"s{number}"))
                else:
                    end()
                await nothing()
            # A notification.
            desk.release.clear()
            await held(tools.request("desk.hold", [LARGE], None), COPIES * MIB)
            desk.release.set()
            await nothing()
            # An upload that is read, and one that is not.
            for name in ("total", "ignore"):
                desk.release.clear()
                await ws.send(tools.request(f"desk.{name}", [{"stream": "c1"}], 20))
                await held(item(LARGE), MIB)
                await held(item(LARGE), 2 * MIB)
                await ws.send(control("stream.end", stream="c1"))
                desk.release.set()
                await nothing()
                await tools.until(lambda: not peer.handlers)  # The next call has the same id.
            # A batch whose answers wait.
            if form == "jsonrpc":
                desk.release.clear()
                await held(f"[{tools.request('desk.hold', ['s'], 31)},{tools.request('desk.much', [MIB], 32)}]", MIB)
                desk.release.set()
                await nothing()
            # The end of the connection, in the middle of all that.
            desk.release.clear()
            await ws.send(tools.request("desk.ignore", [{"stream": "c2"}], 40))
            await held(item(LARGE, stream="c2"), MIB)
            await held(tools.request("desk.count", [LARGE], 41), (1 + COPIES) * MIB)
            await held(tools.request("desk.hold", [LARGE], 42), (1 + 2 * COPIES) * MIB)
            ws.transport.abort()
            await nothing()
            assert used(server, "arriving") == used(server, "outgoing") == 0

    tools.run(main())


def test_a_thousand_large_calls_stay_below_the_ceiling(tools: Any) -> None:
    """Over several connections: what is too much gets Busy before it runs, and small calls go on."""

    async def main() -> None:
        desk = Desk()
        text, most_bytes = "x" * (64 * KIB), 1536 * KIB
        limits = {
            "message_bytes": 128 * KIB,
            "memory_bytes": 4096 * KIB,
            "memory_per_principal_bytes": 2 * most_bytes,
            "memory_per_connection_bytes": 2048 * KIB,
        }
        async with tools.serve(desk, limits=limits) as server, contextlib.AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(tools.connect(server, max_size=None)) for _ in range(4)]
            outcomes: dict[str, int] = {"ok": 0, "Busy": 0}

            async def send(ws: Any) -> None:
                for number in range(256):
                    await ws.send(tools.request("desk.hold", [text], number))

            async def receive(ws: Any) -> None:
                for _ in range(256):
                    answer = json.loads(await ws.recv())
                    if "error" in answer:
                        data = answer["error"]["data"]
                        assert (data["type"], data["executed"], data["retry_after_ms"]) == ("Busy", "no", 1000)
                        assert used(server) <= most_bytes
                        outcomes["Busy"] += 1
                        if outcomes["Busy"] == 1024 - desk.started:
                            desk.release.set()
                    else:
                        assert answer["result"] == 64 * KIB
                        outcomes["ok"] += 1

            async with asyncio.TaskGroup() as group:
                for ws in sockets:
                    group.create_task(send(ws))
                    group.create_task(receive(ws))
            # A half of 3 MiB for the principal, and each call of 64 KiB and a few bytes counts twice.
            assert outcomes == {"ok": 11, "Busy": 1013}
            assert used(server) == 0
            most = {(use.holder, use.purpose): use.most_bytes for use in server.connections.memory.uses()}
            assert most["owner", "calls"] == most["server", "calls"] <= most_bytes

    tools.run(main())


def test_a_connection_has_a_limit_of_its_own(tools: Any) -> None:
    async def main() -> None:
        desk = Desk()
        limits = {"message_bytes": 2 * MIB, "json_message_bytes": 2 * MIB, "memory_per_connection_bytes": 8 * MIB}
        async with (
            tools.serve(desk, limits=limits) as server,
            tools.connect(server) as one,
            tools.connect(server) as other,
        ):
            for number in (1, 2):
                await one.send(tools.request("desk.hold", [LARGE[:-1000]], number))
            await tools.until(lambda: desk.started == 2)
            refused = await tools.call(one, "desk.hold", [LARGE], 3)
            assert "1/2 of limits.memory_per_connection_bytes" in refused["error"]["message"]
            await other.send(tools.request("desk.hold", [LARGE], 1))
            await tools.until(lambda: desk.started == 3)
            desk.release.set()

    tools.run(main())


def test_parts_of_messages_are_counted(tools: Any) -> None:
    """Whoever begins many large messages and ends none is dropped; a message that is whole, or broken off, is no longer
    counted as arriving."""

    async def main() -> None:
        limits = {
            "message_bytes": 2 * MIB,
            "json_message_bytes": 2 * MIB,
            "memory_bytes": 16 * MIB,
            "memory_per_principal_bytes": 16 * MIB,
            "memory_per_connection_bytes": 16 * MIB,
        }
        async with tools.serve(Desk(), limits=limits) as server:
            whole = tools.frame(1, tools.request("desk.plain", [LARGE]).encode())
            first, second = await tools.websocket(server), await tools.websocket(server)
            await first.send(whole[:-1])
            await tools.until(lambda: used(server, "arriving") > MIB - 1000)
            # In fragments (RFC 6455, section 5.4), too.
            await second.send(tools.frame(1, LARGE.encode(), fin=False))
            await tools.until(lambda: used(server, "arriving") >= 2 * MIB - 1000)
            third = await tools.websocket(server)
            await third.send(whole[:-1])
            await tools.until(lambda: used(server, "arriving") >= 3 * MIB - 2000)
            fourth = await tools.websocket(server)
            await fourth.send(whole + whole[: MIB * 15 // 16])  # The first is whole, and counts no longer.
            opcode, answer = await fourth.frame()
            assert (opcode, json.loads(answer)["result"]) == (1, MIB)
            await tools.until(lambda: used(server, "arriving") >= 3.9 * MIB)
            fifth = await tools.websocket(server)
            await fifth.send(whole[:-1])
            assert await fifth.close_code() == 1013
            assert used(server, "arriving") <= 4 * MIB
            await first.send(whole[-1:])
            opcode, answer = await first.frame()
            assert (opcode, json.loads(answer)["result"]) == (1, MIB)
            await tools.until(lambda: used(server, "arriving") < 3 * MIB)
            for raw in (second, third, fourth, fifth):
                raw.writer.transport.abort()
            await tools.until(lambda: used(server, "arriving") == 0)

    tools.run(main())


def test_output_that_waits_is_counted(tools: Any) -> None:
    """Whoever reads nothing is dropped when the output of all is too much, before its own limit is reached."""

    async def main() -> None:
        limits = {
            "message_bytes": 8 * MIB,
            "outgoing_bytes": 64 * MIB,
            "stall_s": 600,
            "memory_bytes": 64 * MIB,
            "memory_per_principal_bytes": 32 * MIB,
            "memory_per_connection_bytes": 32 * MIB,
        }
        async with tools.serve(Desk(), limits=limits) as server:
            raws = [await tools.raw(server, receive_buffer=4096) for _ in range(4)]
            for raw in raws:
                await raw.send(tools.upgrade(server))
                await raw.head()
            left = len(server.connections)
            for raw in raws:
                # The system takes some of it; the rest waits.
                await raw.send(tools.frame(1, tools.request("desk.much", [8 * MIB - 1000]).encode()))
                before = used(server, "outgoing")
                await tools.until(
                    lambda before=before: used(server, "outgoing") != before or len(server.connections) < left
                )
                assert used(server, "outgoing") <= 8 * MIB
            await tools.until(lambda: len(server.connections) < left)
            for raw in raws:
                raw.writer.transport.abort()
            await tools.until(lambda: used(server, "outgoing") == 0)

    tools.run(main())


def test_output_that_was_read_is_not_counted(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(Desk()) as server:
            raw = await tools.raw(server, receive_buffer=4096)
            await raw.send(tools.upgrade(server))
            await raw.head()
            await raw.send(tools.frame(1, tools.request("desk.much", [8 * MIB]).encode()))
            await tools.until(lambda: used(server, "outgoing") > MIB)
            assert len((await raw.frame())[1]) > 8 * MIB
            await tools.until(lambda: used(server, "outgoing") == 0)

    tools.run(main())


def test_the_threads_of_one_principal_leave_some_for_others(tools: Any) -> None:
    """Here for the client in the server's own process, who is not the owner."""

    async def main() -> None:
        desk = Desk()
        async with tools.serve(desk, limits={"threads": 4}) as server, tools.connect(server) as ws:
            for number in range(6):
                await ws.send(tools.request("desk.block", [], number))
            await tools.until(lambda: desk.started == 3)
            async with AsyncClient(memory=server.connect_memory) as client:
                for _ in range(3):
                    assert await client.call("desk.plain", ["four"]) == 4
            assert desk.started == 3
            desk.gate.set()
            for _ in range(6):
                assert json.loads(await ws.recv())["result"] == 1

    tools.run(main())


def test_the_memory_holds_at_least_one_message(tmp_path: Any) -> None:
    file = tmp_path / "rpcserver.toml"
    for name in ("memory_bytes", "memory_per_principal_bytes", "memory_per_connection_bytes"):
        file.write_text(f"[limits]\nmessage_bytes = 1048576\n{name} = 4194303\n")
        with pytest.raises(ConfigError, match=rf"{name}: must be at least 4194304, four times message_bytes"):
            load_config(file)
        file.write_text(f"[limits]\nmessage_bytes = 1048576\n{name} = 4194304\n")
        assert getattr(load_config(file).limits, name) == 4194304


def test_a_default_grows_with_the_largest_message(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(Desk(), limits={"message_bytes": 512 * MIB}) as server:
            whole = {use.purpose: use.limit_bytes for use in server.connections.memory.uses() if use.holder == "server"}
            assert whole == {"calls": 1024 * MIB, "arriving": 512 * MIB, "outgoing": 512 * MIB}

    tools.run(main())
