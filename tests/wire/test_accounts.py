"""Accounts of bytes: nothing goes over a limit, and nothing is lost, whatever happens to calls, streams and batches."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpcwire.accounts import COPIES, SMALL_BYTES, Account, Loan
from rpcwire.aio.memory import MemoryLink
from rpcwire.aio.peer import Peer
from rpcwire.aio.remote import RemoteCaller
from rpcwire.codec import codec_for
from rpcwire.context import Connection
from rpcwire.dispatch import Dispatch
from rpcwire.errors import Busy
from rpcwire.pool import Pool
from rpcwire.registry import Registry
from rpcwire.service import Service, method
from rpcwire.session import Session

logger = logging.getLogger("test")
SECONDS = 20.0


def tree() -> tuple[Account, Account, Account]:
    whole = Account("all of it", 1000, "limits.whole")
    part = Account("a part", 600, "limits.part", whole)
    return whole, part, Account("a leaf", 400, "limits.leaf", part)


@pytest.fixture
def only_explicit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no loan give itself back: what is not given back is lost."""
    monkeypatch.setattr(Loan, "__del__", lambda _: None)


# --- accounts ---------------------------------------------------------------------------------------------------------


def test_a_refusal_names_the_limit_and_holds_nothing() -> None:
    whole, part, leaf = tree()
    loan = leaf.take(400)
    with pytest.raises(
        Busy, match=r"a leaf: 400 of 400 bytes are in use \(limits\.leaf\), and 1 more are asked for"
    ) as e:
        leaf.take(1)
    assert (e.value.executed, e.value.retryable, e.value.retry_after_ms) == ("no", True, 1000)
    other = Account("another leaf", 400, "limits.leaf", part)
    with pytest.raises(Busy, match=r"a part: .*limits\.part"):
        other.take(201)
    with pytest.raises(Busy, match=r"all of it: .*limits\.whole"):
        Account("elsewhere", 1000, "x", whole).take(601)
    with pytest.raises(Busy):
        loan.resize(401)
    assert loan.held_bytes == whole.used_bytes == part.used_bytes == leaf.used_bytes == 400
    assert other.used_bytes == 0
    assert not other.has_room(201)
    loan.give_back()
    loan.give_back()
    assert (whole.used_bytes, part.used_bytes, leaf.used_bytes, whole.most_bytes) == (0, 0, 0, 400)


def test_a_loan_may_shrink_while_its_account_is_over_a_limit() -> None:
    whole, _, leaf = tree()
    loan = leaf.take(300)
    whole.limit_bytes = 100
    loan.resize(200)
    assert whole.used_bytes == 200
    with pytest.raises(Busy):
        loan.resize(201)


def test_a_loan_that_is_forgotten_gives_itself_back() -> None:
    """In whichever thread the last reference goes."""
    whole, part, leaf = tree()
    loans = [leaf.take(100)]
    thread = threading.Thread(target=loans.clear)
    thread.start()
    thread.join(SECONDS)
    assert (whole.used_bytes, part.used_bytes, leaf.used_bytes) == (0, 0, 0)
    loans = [leaf.take(400)]
    loans.clear()
    assert leaf.take(400).held_bytes == 400


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "resize", "give back", "forget"]),
        st.integers(0, 3),  # Which account.
        st.integers(0, 7),  # Which loan.
        st.integers(0, 500),  # How many bytes.
    ),
    max_size=60,
)


@given(_STEPS)
def test_accounts_say_what_is_held(steps: list[tuple[str, int, int, int]]) -> None:
    """Beside a model that adds everything up anew, after every step."""
    whole = Account("whole", 1000, "w")
    parts = [Account(f"part {i}", 600, "p", whole) for i in range(2)]
    leaves = [Account(f"leaf {i}", 400, "l", parts[i // 2]) for i in range(4)]
    loans: list[tuple[int, Loan]] = []
    for what, at, which, size in steps:
        if what == "take":
            try:
                loans.append((at, leaves[at].take(size)))
            except Busy:
                held = [sum(loan.held_bytes for leaf, loan in loans if leaf in of) for of in ({at}, _siblings(at))]
                total = sum(loan.held_bytes for _, loan in loans)
                assert held[0] + size > 400 or held[1] + size > 600 or total + size > 1000
        elif loans:
            _, loan = loans[which % len(loans)]
            if what == "resize":
                before = loan.held_bytes
                try:
                    loan.resize(size)
                except Busy:
                    assert loan.held_bytes == before
            elif what == "give back":
                loan.give_back()
            else:
                del loans[which % len(loans)]
        loan = None  # type: ignore[assignment]
        for i, leaf in enumerate(leaves):
            assert leaf.used_bytes == sum(loan.held_bytes for at, loan in loans if at == i) <= 400
        assert whole.used_bytes == sum(part.used_bytes for part in parts) <= 1000
        assert all(part.used_bytes <= 600 for part in parts)
    for _, loan in loans:
        loan.give_back()
    assert whole.used_bytes == 0


def _siblings(leaf: int) -> set[int]:
    return {leaf // 2 * 2, leaf // 2 * 2 + 1}


# --- a connection -----------------------------------------------------------------------------------------------------


class Desk(Service):
    """Methods that end in every way."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()

    @method()
    async def echo(self, text: str) -> str:
        """At once."""
        return text

    @method()
    async def fail(self, text: str) -> str:
        """With an error."""
        await asyncio.sleep(0)
        raise ValueError(len(text))

    @method()
    async def wait(self, text: str) -> int:
        """When released, or cancelled."""
        await self.release.wait()
        return len(text)

    @method()
    def plain(self, text: str) -> str:
        """In a thread."""
        return text

    @method()
    async def count(self, text: str, n: int) -> AsyncIterator[str]:
        """A stream."""
        for _ in range(n):
            yield text

    @method()
    async def repeat(self, size: int, n: int) -> AsyncIterator[str]:
        """A stream of large items."""
        for _ in range(n):
            yield "x" * size

    @method()
    async def total(self, items: AsyncIterator[str], text: str = "") -> int:
        """What the caller streams."""
        return sum([len(item) async for item in items], len(text))

    @method()
    async def ignore(self, items: AsyncIterator[str]) -> int:
        """The same, and reads none of it."""
        await self.release.wait()
        return 0


class OtherEnd:
    """Keeps the frames that arrive."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.lost = False

    def frame_received(self, frame: bytes) -> None:
        self.frames.append(frame)

    def link_lost(self, _reason: str) -> None:
        self.lost = True

    def writing_paused(self) -> None:
        pass

    def writing_resumed(self) -> None:
        pass

    def answers(self) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for frame in self.frames:
            for line in frame.splitlines():
                message = json.loads(line)
                for one in message if isinstance(message, list) else [message]:
                    if "id" in one:
                        found[one["id"]] = one
        return found


class Served:
    """A peer with an account, and raw frames of the other side."""

    def __init__(self, subprotocol: str, limit_bytes: int) -> None:
        self.desk = Desk()
        registry = Registry(logger)
        registry.add(self.desk)
        self.account = Account("this connection", limit_bytes, "limits.some", Account("all", 10**9, "limits.all"))
        session = Session(codec_for(subprotocol))
        session.account = self.account
        self.link, self.end = MemoryLink.pair()
        self.pool = Pool(2)
        connection = Connection("c1", "memory", RemoteCaller(), logger=logger)
        self.peer = Peer(
            session, self.link, Dispatch(registry, logger=logger), connection, executor=self.pool, logger=logger
        )
        self.link.attach(self.peer)
        self.other = OtherEnd()
        self.end.attach(self.other)

    def send(self, message: Any) -> None:
        self.end.send([json.dumps(message, separators=(",", ":")).encode()])

    def receive(self, frame: bytes) -> None:
        """Handle a frame at once, all turns of it."""
        go_on = self.peer.frame_received(frame)
        while go_on is not None:
            go_on = go_on()

    async def answer(self, call_id: int) -> Any:
        async with asyncio.timeout(SECONDS):
            while call_id not in self.other.answers():
                await asyncio.sleep(0)
        return self.other.answers()[call_id]

    async def close(self) -> None:
        self.desk.release.set()
        self.end.abort()
        async with asyncio.timeout(SECONDS):
            await self.peer.wait_closed()
        self.pool.shutdown()


def request(call_id: int | None, name: str, params: Any) -> dict[str, Any]:
    message = {"jsonrpc": "2.0", "method": f"desk.{name}", "params": params}
    return message if call_id is None else {**message, "id": call_id}


def items(stream: str, *values: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "rpc.stream.item", "params": {"stream": stream, "items": values}}


LARGE = "x" * (2 * SMALL_BYTES)
_ACTIONS = st.lists(
    st.sampled_from([
        "echo", "fail", "wait", "plain", "count", "total", "ignore", "wrong", "unknown", "note", "bad note",
        "batch", "waiting batch", "item", "end", "cancel", "stop reading", "release", "turn",
    ]),
    max_size=25,
)  # fmt: skip


@pytest.mark.usefixtures("only_explicit")
@pytest.mark.parametrize("subprotocol", ["jsonrpc", "rpc.v1.json"])
def test_the_account_is_empty_after_any_sequence(subprotocol: str) -> None:
    @settings(max_examples=60)
    @given(_ACTIONS, st.sampled_from([3 * COPIES * len(LARGE), 10**8]), st.booleans())
    def holds(actions: list[str], limit_bytes: int, abrupt: bool) -> None:
        asyncio.run(_play(actions, subprotocol, limit_bytes, abrupt=abrupt))

    holds()


async def _play(actions: list[str], subprotocol: str, limit_bytes: int, *, abrupt: bool) -> None:
    served = Served(subprotocol, limit_bytes)
    for number, action in enumerate(actions, 1):
        match action:
            case "echo" | "fail" | "wait" | "plain":
                served.send(request(number, action, [LARGE]))
            case "count":
                served.send(request(number, "count", [LARGE, 40]))
            case "total" | "ignore":
                served.send(request(number, action, [{"stream": "c1"}]))
            case "wrong":
                served.send(request(number, "echo", {"other": LARGE}))
            case "unknown":
                served.send(request(number, "nothing", [LARGE]))
            case "note":
                served.send(request(None, "wait", [LARGE]))
            case "bad note":
                served.send(request(None, "count", [LARGE, 1]))
            case "batch" if subprotocol == "jsonrpc":
                served.send([request(number * 1000 + i, "echo", [LARGE]) for i in range(3)])
            case "waiting batch" if subprotocol == "jsonrpc":
                names = ("echo", "wait", "plain")
                served.send([request(number * 1000 + i, name, [LARGE]) for i, name in enumerate(names)])
            case "item":
                served.send(items("c1", LARGE, "small"))
            case "end":
                served.send({"jsonrpc": "2.0", "method": "rpc.stream.end", "params": {"stream": "c1"}})
            case "cancel":
                served.send({"jsonrpc": "2.0", "method": "rpc.cancel", "params": {"id": number - 1}})
            case "stop reading":
                served.send({"jsonrpc": "2.0", "method": "rpc.stream.cancel", "params": {"stream": "s1"}})
            case "release":
                served.desk.release.set()
            case "turn":
                for _ in range(5):
                    await asyncio.sleep(0)
        assert served.account.used_bytes <= limit_bytes
    if not abrupt:
        for _ in range(5):
            await asyncio.sleep(0)
    await served.close()
    assert served.account.used_bytes == 0


@pytest.fixture(params=["jsonrpc", "rpc.v1.json"])
def subprotocol(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def test_a_call_is_refused_before_it_runs(subprotocol: str) -> None:
    async def main() -> None:
        served = Served(subprotocol, 5 * COPIES * len(LARGE))
        for number in range(1, 11):
            served.send(request(number, "wait", [LARGE]))
        refused = await served.answer(10)
        assert refused["error"]["code"] == Busy.code
        assert refused["error"]["data"] == {
            "type": "Busy", "executed": "no", "retryable": True, "retry_after_ms": 1000,
        }  # fmt: skip
        assert len(served.peer.handlers) == 4
        served.send(request(11, "echo", ["small calls go on"]))
        assert (await served.answer(11))["result"] == "small calls go on"
        served.desk.release.set()
        assert (await served.answer(1))["result"] == len(LARGE)
        served.send(request(12, "echo", [LARGE]))
        assert (await served.answer(12))["result"] == LARGE
        await served.close()

    asyncio.run(main())


def test_a_stream_ends_if_its_reader_is_too_slow(subprotocol: str) -> None:
    """What it has accepted still arrives; the account is free for others again when the handler has ended."""

    async def main() -> None:
        served = Served(subprotocol, 3 * len(LARGE) + 100)
        served.send(request(1, "ignore", [{"stream": "c1"}]))
        for _ in range(5):
            served.send(items("c1", LARGE))
        served.send(request(2, "echo", ["still here"]))
        assert (await served.answer(2))["result"] == "still here"
        cancelled = b'"rpc.stream.cancel"'
        assert sum(cancelled in frame for frame in served.other.frames) >= 1
        assert 0 < served.account.used_bytes <= 3 * len(LARGE) + 100
        served.desk.release.set()
        await served.answer(1)
        assert served.account.used_bytes == 0
        await served.close()

    asyncio.run(main())


def test_a_reader_of_such_a_stream_gets_busy(subprotocol: str) -> None:
    async def main() -> None:
        served = Served(subprotocol, 3 * len(LARGE) + 100)
        served.send(request(1, "total", [{"stream": "c1"}]))
        for _ in range(5):
            served.send(items("c1", LARGE))
        error = (await served.answer(1))["error"]
        assert (error["data"]["type"], error["data"]["executed"]) == ("Busy", "yes")
        assert "faster than they were read" in error["message"]
        await served.close()

    asyncio.run(main())


def test_answers_that_wait_for_their_batch_are_counted() -> None:
    async def main() -> None:
        served = Served("jsonrpc", 6 * COPIES * len(LARGE))
        served.send([
            request(1, "wait", ["small"]),
            request(2, "echo", ["small"]),
            *(request(number, "echo", [LARGE]) for number in range(3, 6)),
        ])  # fmt: skip
        async with asyncio.timeout(SECONDS):
            while served.account.used_bytes < 3 * len(LARGE) or len(served.peer.handlers) > 1:
                await asyncio.sleep(0)
        assert 3 * len(LARGE) <= served.account.used_bytes < 4 * len(LARGE)
        served.desk.release.set()
        assert (await served.answer(5))["result"] == LARGE
        assert served.account.used_bytes == 0
        await served.close()

    asyncio.run(main())


def test_an_answer_without_room_beside_its_batch_is_busy() -> None:
    """It has run, and says so."""

    async def main() -> None:
        served = Served("jsonrpc", 4 * COPIES * len(LARGE))
        frame = [request(1, "wait", ["small"]), *(request(number, "echo", [LARGE]) for number in range(2, 10))]
        served.send(frame)
        async with asyncio.timeout(SECONDS):
            while len(served.peer.handlers) != 1:
                await asyncio.sleep(0)
        served.desk.release.set()
        errors = [(await served.answer(number)).get("error") for number in range(2, 10)]
        outcomes = {error["data"]["executed"] for error in errors if error is not None}
        assert outcomes == {"yes"} or outcomes == {"yes", "no"}
        assert errors[0] is None
        await served.close()
        assert served.account.used_bytes == 0

    asyncio.run(main())


def test_items_that_wait_for_their_batch_are_counted() -> None:
    """A stream for which there is no room ends with Busy; all of it arrives when the batch is answered."""

    async def main() -> None:
        served = Served("jsonrpc", 7 * len(LARGE))
        served.send([request(1, "wait", ["small"]), request(2, "repeat", [len(LARGE), 10])])
        async with asyncio.timeout(SECONDS):
            while served.account.used_bytes < 6 * len(LARGE) or served.peer.session.streams:
                await asyncio.sleep(0)
        assert served.account.used_bytes <= 7 * len(LARGE)
        served.desk.release.set()
        await served.answer(2)
        assert served.account.used_bytes == 0
        await asyncio.sleep(0)
        sent = b"".join(served.other.frames)
        assert sent.count(LARGE.encode()) == 6
        assert b'"type":"Busy","executed":"yes"' in sent
        await served.close()

    asyncio.run(main())


class Frame(bytes):
    """A frame that says when it is freed."""

    freed = 0

    def __del__(self) -> None:
        Frame.freed += 1


@pytest.mark.parametrize("subprotocol", ["jsonrpc", "rpc.v1.json", "rpc.v1.msgpack"])
def test_what_is_small_does_not_keep_its_large_frame(subprotocol: str) -> None:
    """Otherwise an account would be off by a whole frame, for each call and each item."""

    async def main() -> None:
        served = Served(subprotocol, 10**8)
        encode = msgspec.msgpack.encode if subprotocol.endswith("msgpack") else msgspec.json.encode
        served.receive(encode(request(1, "ignore", [{"stream": "c1"}])))
        junk = "x" * 100_000
        Frame.freed = 0
        served.receive(Frame(encode({**items("c1", "a"), "id": junk})))
        served.receive(Frame(encode({**items("c1", "b"), "ctx": {"traceparent": junk}})))
        served.receive(Frame(encode({**request(2, "wait", ["small"]), "junk": junk})))
        served.receive(Frame(encode(request(3, "wait", [junk]))))
        assert len(served.peer.handlers) == 3
        assert Frame.freed == 4
        await served.close()

    asyncio.run(main())
