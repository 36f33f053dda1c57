"""One call at the node of its caller, with a carrier that a test rules: turns, room, credit, and wrong answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from rpcserver.group.asking import TURN_SENDS, Asking
from rpcserver.group.call_wire import BEGUN, CALL_ID, STREAM, STREAM_ID, codec_of
from rpcserver.group.commands import Addressee
from rpcserver.group.gathering import Gathering
from rpcwire.accounts import Account
from rpcwire.errors import TooLarge
from rpcwire.group.outcomes import ALL_AT_ONCE, Policy
from rpcwire.messages import CreditParams, Envelope, ItemParams, Notification, StreamParams, Success

LIMIT_S = 60.0
CODEC = codec_of(is_packed=True)
PACK = msgspec.msgpack.encode


class Carrier:
    """Notes what it is to bring."""

    def __init__(self) -> None:
        self.turns: list[list[str]] = []
        self.frames: list[tuple[str, Envelope]] = []
        self.cancels: list[str] = []
        self.has_room = True
        self.room = asyncio.Event()
        self.too_large: frozenset[str] = frozenset()

    @contextmanager
    def together(self) -> Iterator[None]:
        self.turns.append([])
        yield

    def send_request(self, to: Addressee, attempt: int) -> None:
        if to.id in self.too_large:
            raise TooLarge("it is too large", executed="no")
        self.turns[-1].append(f"{to.id} {attempt}")

    async def wait_for_room(self) -> None:
        await self.room.wait()

    def send_cancel(self, to: Addressee) -> None:
        self.cancels.append(to.id)

    def send_frame(self, to: Addressee, frame: bytes) -> None:
        (message,) = CODEC.decode(frame).messages
        assert isinstance(message, Envelope)
        self.frames.append((to.id, message))


class Call:
    """A call, and what its caller has got."""

    def __init__(self, count: int, account: Account | None = None, policy: Policy = ALL_AT_ONCE) -> None:
        nodes = {f"n{number}": Addressee(f"n{number}", 1 << 12, f"name-{number}") for number in range(count)}
        self.carrier = Carrier()
        gathering = Gathering(nodes.values(), asyncio.get_running_loop().time() + LIMIT_S, policy)
        self.asking = Asking(
            gathering, nodes, (), CODEC, self.carrier, account, lambda outcome: None, is_settled=True
        )  # fmt: skip
        self.stream = self.asking.run()

    async def take(self) -> dict[str, Any]:
        async with asyncio.timeout(LIMIT_S):
            value: dict[str, Any] = msgspec.msgpack.decode(await anext(self.stream))
        return value

    def answer(self, node: str, *messages: msgspec.Struct) -> None:
        self.asking.on_answer(node, 1 << 12, CODEC.join([CODEC.encode(message) for message in messages]))


def result(value: Any) -> Success:
    return Success(CALL_ID, msgspec.Raw(PACK(value)))


def test_requests_leave_in_turns_as_far_as_there_is_room() -> None:
    async def main() -> None:
        call = Call(250)
        call.carrier.has_room = False
        call.carrier.too_large = frozenset({"n7"})
        assert (await call.take())["kind"] == "start"
        first = asyncio.ensure_future(call.take())
        await asyncio.sleep(0)
        assert call.carrier.turns == [[]]
        call.carrier.has_room = True
        call.carrier.room.set()
        outcome = await first
        assert (outcome["id"], outcome["state"], outcome["executed"]) == ("n7", "error", "no")
        while sum(map(len, call.carrier.turns)) < 249:
            await asyncio.sleep(0)
        assert max(map(len, call.carrier.turns)) <= TURN_SENDS
        for number in range(250):
            call.answer(f"n{number}", result(number))
        outcomes = [await call.take() for _ in range(249)]
        assert {each["id"]: each["result"] for each in outcomes} == {
            f"n{number}": number for number in range(250) if number != 7
        }
        assert [each async for each in call.stream] == []

    asyncio.run(main())


@pytest.mark.parametrize("policy", [ALL_AT_ONCE, Policy(parallel=1)])
def test_many_requests_that_cannot_be_sent(policy: Policy) -> None:
    async def main() -> None:
        call = Call(2000, policy=policy)
        call.carrier.too_large = frozenset(f"n{number}" for number in range(2000))
        call.carrier.room.set()
        await call.take()
        outcomes = [await call.take() for _ in range(2000)]
        assert {each["state"] for each in outcomes} == {"error"}
        assert [each async for each in call.stream] == []

    asyncio.run(main())


def test_items_get_credit_when_they_are_read() -> None:
    async def main() -> None:
        call = Call(1)
        await call.take()
        first = asyncio.ensure_future(call.take())
        await asyncio.sleep(0)
        call.asking.on_answer("n0", 1 << 12, STREAM)
        call.answer("n0", result({"stream": STREAM_ID}))
        items = [msgspec.Raw(PACK(number)) for number in range(16)]
        call.answer("n0", Notification("rpc.stream.item", ItemParams(STREAM_ID, items)))
        assert (await first)["item"] == 0 and call.carrier.frames == []
        for number in range(1, 16):
            assert (await call.take())["item"] == number
        grants = [CODEC.read(message.params, CreditParams).n for _, message in call.carrier.frames]  # type: ignore[arg-type]
        assert grants == [8, 8]
        await call.stream.aclose()
        assert call.carrier.cancels == ["n0"]

    asyncio.run(main())


def test_what_waits_is_counted_and_refused_if_it_is_too_much() -> None:
    async def main() -> None:
        account = Account("the test", 200_000, "none")
        call = Call(3, account)
        await call.take()
        first = asyncio.ensure_future(call.take())
        await asyncio.sleep(0)
        call.answer("n0", result(b"x" * 150_000))
        call.answer("n1", result(b"x" * 150_000))
        assert account.used_bytes > 100_000
        call.asking.on_answer("n2", 1 << 12, STREAM)
        items = ItemParams(STREAM_ID, [msgspec.Raw(PACK(b"y" * 100_000))])
        call.answer("n2", Notification("rpc.stream.item", items))
        outcomes = [await first, await call.take(), await call.take()]
        assert [(each["id"], each["state"]) for each in outcomes] == [("n0", "ok"), ("n1", "error"), ("n2", "error")]
        assert outcomes[1]["error"]["data"]["type"] == outcomes[2]["error"]["data"]["type"] == "Busy"
        assert [(node, message.method) for node, message in call.carrier.frames] == [("n2", "rpc.stream.cancel")]
        await call.stream.aclose()
        assert account.used_bytes == 0

    asyncio.run(main())


def test_an_answer_that_cannot_be_read_ends_its_node_only() -> None:
    async def main() -> None:
        call = Call(3)
        await call.take()
        first = asyncio.ensure_future(call.take())
        await asyncio.sleep(0)
        call.asking.on_answer("n0", 1 << 12, b"\xc1 no message")
        call.asking.on_answer("n9", 1 << 12, BEGUN)
        call.asking.on_answer("n9", 1 << 12, CODEC.encode(result(1)))
        call.answer("n0", result(1))
        call.answer("n1", Notification("rpc.stream.end", StreamParams(STREAM_ID)), result(2))
        call.asking.on_unreadable("n2", "a chunk is missing")
        outcomes = [await first, await call.take(), await call.take()]
        assert [(each["id"], each["state"]) for each in outcomes] == [("n0", "error"), ("n1", "ok"), ("n2", "error")]
        assert "cannot be read" in outcomes[0]["error"]["message"] and "chunk" in outcomes[2]["error"]["message"]

    asyncio.run(main())


@pytest.mark.parametrize("part", ["result", "error", "item"])
def test_what_nests_deeper_than_the_caller_takes_is_an_error_of_that_node(part: str) -> None:
    """Or a node could end the whole call, and the connection of its caller."""
    deepest = range(910, 1000)  # Around the depth at which decoders give up, which depends on who calls them.
    bodies = [b"\x91" * depth + b"\xc0" for depth in (100, 500, *deepest)]

    def pack(body: bytes) -> bytes:
        match part:
            case "result":
                return CODEC.encode(Success(CALL_ID, msgspec.Raw(body)))
            case "error":
                data = {"code": -32000, "message": "no", "data": msgspec.Raw(body)}
                return PACK({"jsonrpc": "2.0", "id": CALL_ID, "error": data})
            case _:
                return CODEC.encode(Notification("rpc.stream.item", ItemParams(STREAM_ID, [msgspec.Raw(body)])))

    async def main() -> None:
        call = Call(len(bodies))
        await call.take()
        first = asyncio.ensure_future(call.take())
        await asyncio.sleep(0)
        for number, body in enumerate(bodies):
            if part == "item":
                call.asking.on_answer(f"n{number}", 1 << 12, STREAM)
            call.asking.on_answer(f"n{number}", 1 << 12, pack(body))
        outcomes = [await first, *[await call.take() for _ in bodies[1:]]]
        assert {each["id"] for each in outcomes} == {f"n{number}" for number in range(len(bodies))}
        assert {each["state"] for each in outcomes} == {"error"}
        assert all("cannot be read" in each["error"]["message"] for each in outcomes)
        assert [each async for each in call.stream] == []

    asyncio.run(main())
