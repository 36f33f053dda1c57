"""Whatever fails, nothing is left of it in the server's memory.

Most structs of rpcwire are not followed by Python's collector (``gc=False``). If such a struct has an exception, and a
frame of the exception's traceback leads to the struct, then both stay for ever."""

from __future__ import annotations

import functools
import gc
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from rpcserver import Context, Service, ServiceError, method

ROUNDS = 30
FEW = ROUNDS // 2
"""Fewer objects than one for each message."""


class Unwell(ServiceError):
    """It does not work."""


class Failing(Service):
    """Fails in every way, and watches."""

    async def start(self) -> None:
        self.runtime.observe(lambda outcome: None)

    @method(errors=(Unwell,))
    async def refuse(self) -> None:
        """Fail as declared."""
        raise Unwell("no")

    @method(errors=(Unwell,))
    def refuse_in_thread(self) -> None:
        """Fail as declared, in a thread."""
        raise Unwell("no")

    @method()
    async def boom(self) -> None:
        """Fail as nobody expected."""
        try:
            raise ValueError("first")
        except ValueError as exc:
            raise OSError("second") from exc

    @method()
    async def break_off(self, n: int) -> AsyncIterator[int]:
        """Fail in a stream."""
        for i in range(n):
            yield i
        raise Unwell("no")

    @method()
    def break_off_in_thread(self, n: int) -> Iterator[int]:
        """Fail in a stream that a thread makes."""
        yield from range(n)
        raise Unwell("no")

    @method()
    async def late(self, ctx: Context) -> None:
        """Fail in a call to the client."""
        await ctx.caller.call("no.such", {})


def request(name: str, params: Any = None, **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": name, "params": {} if params is None else params, **more}


MESSAGES: dict[str, Any] = {
    "refusal": request("failing.refuse", id=1),
    "refusal in a thread": request("failing.refuse_in_thread", id=1),
    "refusal of a notification": request("failing.refuse"),
    "refusals in a batch": [request("failing.refuse", id=1), request("failing.refuse", id=2), 5],
    "fault": request("failing.boom", id=1),
    "fault of a notification": request("failing.boom"),
    "stream": request("failing.break_off", [0], id=1),
    "stream in a thread": request("failing.break_off_in_thread", [0], id=1),
    "time": request("failing.refuse", id=1, ctx={"ttl_ms": 0}),
    "parameters": request("failing.break_off", ["x"], id=1),
    "no method": request("failing.nothing", id=1),
    "no message": 5,
    "no request": {"jsonrpc": "2.0", "id": 1},
    "wrong version": {"jsonrpc": "1.0", "id": 1, "method": "a"},
    "stray answer": {"jsonrpc": "2.0", "id": 99, "result": 1},
    "stray error": {"jsonrpc": "2.0", "id": 99, "error": {"code": 1, "message": "a"}},
    "wrong error": {"jsonrpc": "2.0", "id": 99, "error": 5},
    "wrong control": request("rpc.stream.credit", {"stream": 5}),
    "empty batch": [],
    "nesting": functools.reduce(lambda inner, _: [inner], range(80), []),
}  # fmt: skip
RAW = {
    "no JSON": b"{",
    "no JSON within": b'{"jsonrpc":"2.0","id":1,"method":"a.b","params":[}',
    "a name twice": b'{"jsonrpc":"2.0","id":1,"id":2,"method":"a.b"}',
    "half a pair": b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}',
    "names twice in a batch": b'[{"jsonrpc":"2.0","id":1,"id":2,"method":"a.b"},5]',
    "a number too long": b'{"jsonrpc":"2.0","id":1,"method":"a.b","params":[' + b"1" * 5000 + b"]}",
}


@pytest.mark.parametrize("subprotocol", [None, "rpc.v1.json", "rpc.v1.msgpack"])
def test_nothing_is_left_of_what_fails(tools: Any, subprotocol: str | None, caplog: pytest.LogCaptureFixture) -> None:
    binary = subprotocol == "rpc.v1.msgpack"
    encode = msgspec.msgpack.encode if binary else lambda value: json.dumps(value).encode()
    messages = {name: encode(message) for name, message in MESSAGES.items()}
    messages |= {"cut": messages["refusal"][:-1]} if binary else RAW
    last = encode(request("rpc.ping", id="last"))

    async def main() -> None:
        sections = {"limits": {"violations": 1_000_000}, "audit": {"enabled": True}}
        async with tools.serve(Failing(), **sections) as server, tools.connect(server, subprotocol) as connection:

            async def send(message: bytes) -> None:
                """Send it many times, and wait until all has been handled."""
                for each in [*[message] * ROUNDS, last]:
                    await connection.send(each, text=not binary)
                while b"last" not in await connection.recv(decode=False):
                    pass

            left = {}
            for name, message in messages.items():
                count = FEW + 1
                for _ in range(12):  # Threads and tasks may still be about to end; what stays is more each time.
                    if count > FEW:
                        before = len(gc.get_objects())
                        await send(message)
                        gc.collect()
                        count = len(gc.get_objects()) - before
                left[name] = count
            assert {name: count for name, count in left.items() if count > FEW} == {}, f"objects for {ROUNDS} messages"

    caplog.set_level(logging.CRITICAL, "rpcserver")
    tools.run(main())
