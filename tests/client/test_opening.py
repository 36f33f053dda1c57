"""Several tasks or threads open one stream, or close it while it opens: the call is made once, and nothing stays open.
The server's part is played, so that its answer comes when the others have had their turn."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rpcclient import AsyncClient, Client

LIMIT_S = 30.0
OPTIONS: dict[str, Any] = {"token": "x", "subprotocol": "rpc.v1.json"}


def next_call(connection: Any) -> dict[str, Any]:
    """The next call that arrives; what else arrives is of no interest."""
    while "id" not in (sent := json.loads(connection.receive())):
        pass
    assert isinstance(sent, dict)
    return sent


def name_stream(connection: Any, call: dict[str, Any], name: str) -> None:
    connection.send(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": {"stream": name}}))


def expect(connection: Any, method: str) -> dict[str, Any]:
    """Wait for a notification that the client sends, before anything else but credit."""
    while (sent := json.loads(connection.receive()))["method"] == "rpc.stream.credit":
        pass
    assert sent["method"] == method
    assert isinstance(sent["params"], dict)
    return sent["params"]


class Shelf:
    """A server whose one stream begins once the test says so."""

    def __init__(self) -> None:
        self.called, self.may_answer, self.told = threading.Event(), threading.Event(), list[Any]()

    def opened_once(self, connection: Any) -> None:
        connection.handshake()
        call = next_call(connection)
        self.called.set()
        assert self.may_answer.wait(LIMIT_S)
        name_stream(connection, call, "s1")
        self.told.append(next_call(connection)["method"])  # The one that the test makes at its end.
        connection.send('{"jsonrpc":"2.0","id":2,"result":"end"}')
        connection.wait_closed()

    def closed_meanwhile(self, connection: Any) -> None:
        connection.handshake()
        call = next_call(connection)
        self.called.set()
        assert self.may_answer.wait(LIMIT_S)
        name_stream(connection, call, "s1")
        self.told.append(expect(connection, "rpc.stream.cancel"))
        connection.wait_closed()

    def cancelled(self, connection: Any) -> None:
        connection.handshake()
        first = next_call(connection)
        self.called.set()
        self.told.append(expect(connection, "rpc.cancel"))
        second = next_call(connection)
        error = {"code": -32003, "message": "cancelled", "data": {"type": "Cancelled", "executed": "yes"}}
        connection.send(json.dumps({"jsonrpc": "2.0", "id": first["id"], "error": error}))
        name_stream(connection, second, "s2")
        connection.send('{"jsonrpc":"2.0","method":"rpc.stream.item","params":{"stream":"s2","items":[7]}}')
        connection.wait_closed()


def test_two_threads_open_one_stream(scripted: Any) -> None:
    shelf = Shelf()
    with ThreadPoolExecutor(2) as pool, Client(scripted(shelf.opened_once), **OPTIONS) as client:
        stream = client.stream("a.b")
        opened = [pool.submit(stream.open) for _ in range(2)]
        assert shelf.called.wait(LIMIT_S)
        shelf.may_answer.set()
        assert [future.result(LIMIT_S) for future in opened] == [stream, stream]
        assert client.call("a.end") == "end"
    assert shelf.told == ["a.end"]


def test_two_tasks_open_one_stream(scripted: Any) -> None:
    shelf = Shelf()

    async def main() -> None:
        async with AsyncClient(scripted(shelf.opened_once), **OPTIONS) as client:
            stream = client.stream("a.b")
            opened = [asyncio.ensure_future(stream.open()) for _ in range(2)]
            assert await asyncio.to_thread(shelf.called.wait, LIMIT_S)
            shelf.may_answer.set()
            assert await asyncio.gather(*opened) == [stream, stream]
            assert await client.call("a.end") == "end"

    asyncio.run(main())
    assert shelf.told == ["a.end"]


def test_a_stream_that_is_closed_while_it_opens(scripted: Any) -> None:
    shelf = Shelf()
    with ThreadPoolExecutor(1) as pool, Client(scripted(shelf.closed_meanwhile), **OPTIONS) as client:
        stream = client.stream("a.b")
        opened = pool.submit(stream.open)
        assert shelf.called.wait(LIMIT_S)
        stream.close()
        shelf.may_answer.set()
        assert list(opened.result(LIMIT_S)) == []
    assert shelf.told == [{"stream": "s1"}]


def test_an_asynchronous_stream_that_is_closed_while_it_opens(scripted: Any) -> None:
    shelf = Shelf()

    async def main() -> None:
        async with AsyncClient(scripted(shelf.closed_meanwhile), **OPTIONS) as client:
            stream = client.stream("a.b")
            opened = asyncio.ensure_future(stream.open())
            assert await asyncio.to_thread(shelf.called.wait, LIMIT_S)
            await stream.aclose()
            shelf.may_answer.set()
            assert [item async for item in await opened] == []

    asyncio.run(main())
    assert shelf.told == [{"stream": "s1"}]


def test_a_task_that_waits_for_another_to_open_goes_on_by_itself(scripted: Any) -> None:
    """The one that opens is cancelled; the one that waits makes a call of its own."""
    shelf = Shelf()

    async def main() -> None:
        async with AsyncClient(scripted(shelf.cancelled), **OPTIONS) as client:
            stream = client.stream("a.b")
            first = asyncio.ensure_future(stream.open())
            second = asyncio.ensure_future(anext(stream))
            assert await asyncio.to_thread(shelf.called.wait, LIMIT_S)
            first.cancel()
            assert await asyncio.wait_for(second, LIMIT_S) == 7
            with pytest.raises(asyncio.CancelledError):
                await first

    asyncio.run(main())
    assert shelf.told == [{"id": 1}]


def test_a_stream_that_did_not_open_opens_in_the_next_loop(running: Any, token: str) -> None:
    client = AsyncClient(running.tcp, token=token)
    stream = client.stream("desk.count", [2])

    async def give_up() -> None:
        opened = [asyncio.ensure_future(stream.open()) for _ in range(2)]
        await asyncio.sleep(0)
        for task in opened:
            task.cancel()
        await asyncio.wait(opened)

    async def read() -> list[Any]:
        await asyncio.gather(stream.open(), stream.open())
        async with client:
            return [item async for item in stream]

    asyncio.run(give_up())
    assert asyncio.run(read()) == [0, 1]
