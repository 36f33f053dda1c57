"""Twenty thousand hostile messages: after each a good call is answered, and none makes the server work out of
proportion."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest

from rpcserver.door.link import ServerLink

from .conftest import SEEDS
from .hostile_messages import FORMS, Maker

MESSAGES = int(os.environ.get("HOSTILE_MESSAGES", "20000"))
CELLS = 12
"""The number of runs: three forms, before and after authentication, two event loops."""
LEAST_STEPS = 4_000
STEPS_A_BYTE = 20
"""The most functions, also those of C, that the server may call for an input: this many, and as many for each of its
bytes."""


class Work:
    """Counts the functions that are called while a link reads an input, in all turns of the event loop that it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = 0
        self.later_steps = 0
        receive, read_on = ServerLink.data_received, ServerLink._read_on

        def count(read: Callable[[], None]) -> None:
            sys.setprofile(self._count)
            try:
                read()
            finally:
                sys.setprofile(None)

        def data_received(link: ServerLink, data: bytes) -> None:
            count(partial(receive, link, data))

        def read_later(link: ServerLink) -> None:
            before = self.steps
            count(partial(read_on, link))
            self.later_steps += self.steps - before

        monkeypatch.setattr(ServerLink, "data_received", data_received)
        monkeypatch.setattr(ServerLink, "_read_on", read_later)

    def _count(self, _frame: Any, event: str, _arg: Any) -> None:
        self.steps += event in ("call", "c_call")


class Conversation:
    """One connection after the other to a server."""

    def __init__(self, tools: Any, server: Any, form: str, *, is_known: bool) -> None:
        self._tools = tools
        self._server = server
        self._form = form
        self._is_known = is_known
        self._raw: Any = None
        self._goods = 0

    async def _open(self) -> Any:
        headers = {} if self._is_known else {"Authorization": None}
        return await self._tools.websocket(self._server, Sec_WebSocket_Protocol=self._form, **headers)

    async def send(self, data: bytes, pieces: tuple[int, ...]) -> None:
        if self._raw is None:
            self._raw = await self._open()
        for begin, end in zip((0, *pieces), (*pieces, len(data)), strict=True):
            await self._raw.send(data[begin:end])
            if pieces:
                await asyncio.sleep(0)

    async def part(self) -> None:
        """Leave the connection as it is."""
        if self._raw is not None:
            await self._raw.close()
            self._raw = None

    async def check(self) -> None:
        """Make a good call on the connection; on another one if the server has closed it."""
        if self._raw is not None:
            try:
                await self._call(self._raw)
                return
            except (asyncio.IncompleteReadError, ConnectionError):
                await self.part()
        self._raw = await self._open()
        await self._call(self._raw)

    async def _call(self, raw: Any) -> None:
        self._goods += 1
        call_id = f"good call {self._goods}"
        message = {"jsonrpc": "2.0", "id": call_id, "method": "rpc.ping"}
        if self._is_known:
            message |= {"method": "calc.add", "params": [1, 2]}
        packed = self._form == "rpc.v1.msgpack"
        data = msgspec.msgpack.encode(message) if packed else json.dumps(message).encode()
        await raw.send(self._tools.frame(2 if packed else 1, data))
        while True:
            opcode, payload = await raw.frame()
            if opcode == 8:
                raise ConnectionError(payload)
            if opcode not in (1, 2):
                continue
            for answer in _messages(payload, packed=packed):
                assert answer["jsonrpc"] == "2.0"
                assert "method" in answer or ("result" in answer) is not ("error" in answer), answer
                if answer.get("id") == call_id:
                    assert answer["result"] == (3 if self._is_known else "pong")
                    return


def _messages(payload: bytes, *, packed: bool) -> Iterator[Any]:
    """Yield the messages of a frame of the server; they must be well-formed."""
    if packed:
        # The server sends one message after the other, or an array of them.
        value = msgspec.msgpack.decode(payload)
        yield from value if isinstance(value, list) else [value]
        return
    for line in payload.splitlines():
        value = json.loads(line, parse_constant=lambda name: pytest.fail(f"the server has sent {name}"))
        yield from value if isinstance(value, list) else [value]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_known", [False, True], ids=["before", "after"])
@pytest.mark.timeout(600)
def test_hostile_messages(
    tools: Any, form: str, is_known: bool, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """HOSTILE_SEED repeats a run, and HOSTILE_MESSAGES says how many messages all runs together have."""
    seed = os.environ.get("HOSTILE_SEED") or str(random.SystemRandom().randrange(10**9))
    request.config.stash.setdefault(SEEDS, []).append(f"HOSTILE_SEED={seed} {request.node.name}")
    maker, work = Maker(f"{seed} {form} {is_known}", form, tools.frame), Work(monkeypatch)

    async def main() -> None:
        async with tools.serve(auth={"timeout_s": 600}, log={"level": "ERROR"}) as server:
            conversation = Conversation(tools, server, form, is_known=is_known)
            for number in range(-(-MESSAGES // CELLS)):
                attack = maker.attack()
                work.steps = 0
                await conversation.send(attack.data, attack.pieces)
                if not attack.is_whole:
                    await conversation.part()
                await conversation.check()
                most = LEAST_STEPS + STEPS_A_BYTE * len(attack.data)
                assert work.steps <= most, f"attack {number} of seed {seed}: {work.steps} calls"
                counts.append((work.steps / most, work.steps))
            await conversation.part()

    counts: list[tuple[float, int]] = []
    tools.run(main())
    assert max(counts)[1] > 300, "the work was counted"
    assert is_known or work.later_steps > MESSAGES // CELLS, "all that strangers send is read in later turns"


def test_methods_are_described_once(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """To list the services of two calls took twice as many steps as so short a message may."""
    work = Work(monkeypatch)
    batch = [{"jsonrpc": "2.0", "method": "rpc.services", "id": number} for number in (1, 2)]
    data = tools.frame(1, json.dumps(batch).encode())

    async def main() -> None:
        async with tools.serve(log={"level": "ERROR"}) as server:
            conversation = Conversation(tools, server, "jsonrpc", is_known=True)
            for _ in range(2):  # The first time they are described.
                work.steps = 0
                await conversation.send(data, ())
                await conversation.check()
            assert work.steps <= LEAST_STEPS + STEPS_A_BYTE * len(data)

    tools.run(main())
