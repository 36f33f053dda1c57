"""A call to many nodes beside as many raw requests over the same broker: real servers in few processes, in one run.

Each node is a whole server with its own connection to the broker. Beside it stands a bare subscription that answers
each message at once. These take turns: requests of nats-py to all bare subscriptions at once; one message to each of
them, with one inbox for all answers; a call of a method that reads; and one of a method that does something, of which
each node says that it has begun.

``python -m benchmarks.group_calls [--nodes N] [--processes P] [--rounds R] [--warm-up W]``
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop

from rpcclient import AsyncClient
from rpcserver import Service, method
from rpcserver.config import ServerConfig
from rpcserver.group.members import State
from rpcserver.server import Server
from tests.server.group.crowd import raise_file_limit
from tests.server.group.test_joining import run_broker

TOKEN = "t" * 32
REQUEST, ANSWER = b"x" * 150, b"y" * 60
READY = "ready"
FILES_OF_NODE = 10
"""How many file descriptors a whole server and its bare subscription need."""
AT_ONCE = 4
"""How many nodes each process starts at the same moment."""
CONNECT_S = 60
"""How long connecting may take, in seconds: all nodes start at once."""


class Work(Service):
    """What is called."""

    @method(kind="read")
    async def read(self, a: int, b: int) -> int:
        """Read."""
        return a + b

    @method()
    async def do(self, a: int, b: int) -> int:
        """Do something."""
        await asyncio.sleep(0)
        return a + b


async def start_server(url: str, folder: Path, name: str, *, listen: bool) -> Server:
    """Start one node."""
    config = ServerConfig.model_validate(
        {
            "state_dir": str(folder / name),
            "listen": {"port": 0, "unix": "none"},
            "grace_s": 0,
            "group": {"url": url, "name": name, "trust_gateway_names": True},
            "roles": {"all": {"principals": ["* via gateway"], "permissions": ["*"]}},
        }
    )
    server = Server(config, (Work(),), token=TOKEN)
    await server.start(listen=listen)
    return server


async def be_nodes(url: str, folder: Path, first: int, count: int) -> None:
    """Be so many nodes, and as many bare subscriptions, until standard input ends."""
    import nats

    servers, connections = [], []
    for number in range(first, first + count):
        server = await start_server(url, folder, f"n{number}", listen=False)
        link = server.group.membership.node.link
        while link is not None and not link.is_up:  # noqa: ASYNC110 - one after the other, so that all can connect
            await asyncio.sleep(0.01)
        servers.append(server)
        if not len(servers) % AT_ONCE:
            # If many came while the processors are behind, they would take each other for silent, and tell all.
            presence = server.group.membership.node.presence
            while not server.group.membership.node.is_settled or State.SUSPECT in presence.roster.table.states:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        connection = await nats.connect(url, connect_timeout=CONNECT_S)

        async def answer(message: Any) -> None:
            await message.respond(ANSWER)

        await connection.subscribe(f"raw.{number}", cb=answer)
        await asyncio.sleep(0)
        await connection.flush()
        connections.append(connection)
    # Else all nodes of the process would be late at once, whenever Python looks through them all.
    gc.collect()
    gc.freeze()
    print(READY, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


async def scatter(connection: Any, count: int) -> None:
    """Send one message to each bare subscription, with one inbox for all answers."""
    end, left = asyncio.Event(), count

    async def take(_: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            end.set()

    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox, cb=take)
    for number in range(count):
        await connection.publish(f"raw.{number}", REQUEST, reply=inbox)
    await end.wait()
    await subscription.unsubscribe()


async def ask_all(connection: Any, count: int) -> None:
    """Send a request to each bare subscription, all at once."""
    await asyncio.gather(*(connection.request(f"raw.{number}", REQUEST, timeout=60) for number in range(count)))


async def call_all(client: AsyncClient, name: str, count: int, states: Counter[str]) -> None:
    """Call a method on all nodes but the own one."""
    params = {"target": {"selector": "name!=gateway"}, "method": name, "params": [1, 2]}
    outcomes = 0
    async with client.stream("rpc.call_nodes", params) as stream:
        async for each in stream:
            if each["kind"] == "outcome":
                states[each["state"]] += 1
                outcomes += 1
    assert outcomes == count, f"{outcomes} outcomes of {count} nodes"


async def wait_for_all(client: AsyncClient, count: int) -> None:
    """Wait until the own node knows all others."""
    ids: set[str] = set()
    async with client.watch_nodes() as events:
        async for event in events:
            ids.update(node.id for node in event.nodes)
            if len(ids) > count:
                return


def spent_s() -> float:
    """Return the processor time of this process, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(nodes: int, processes: int, rounds: int, warm_up: int) -> None:
    """Measure, and print."""
    import nats

    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(run_broker(folder / "broker"))
        workers, first = [], 0
        for index in range(processes):
            count = (nodes - first) // (processes - index)
            command = [sys.executable, "-m", "benchmarks.group_calls", "--be", url, str(folder), str(first), str(count)]
            pipe = asyncio.subprocess.PIPE
            worker = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
            workers.append(worker)
            stack.callback(worker.kill)
            first += count
        for worker in workers:
            assert worker.stdout is not None
            while (line := (await worker.stdout.readline()).decode().strip()) != READY:
                assert line, "a worker has ended"
        server = await start_server(url, folder, "gateway", listen=True)
        stack.push_async_callback(server.stop, grace_s=0)
        client = await stack.enter_async_context(AsyncClient(server.addresses[0], token=TOKEN, proxy=None))
        connection = await nats.connect(url, connect_timeout=CONNECT_S)
        stack.push_async_callback(connection.close)
        await wait_for_all(client, nodes)
        states: Counter[str] = Counter()
        work: dict[str, Callable[[], Awaitable[None]]] = {
            "raw requests": lambda: ask_all(connection, nodes),
            "raw, one inbox": lambda: scatter(connection, nodes),
            "call, reads": lambda: call_all(client, "work.read", nodes, states),
            "call, does": lambda: call_all(client, "work.do", nodes, states),
        }
        spans: dict[str, list[float]] = {name: [] for name in work}
        costs: dict[str, list[float]] = {name: [] for name in work}
        for index in range(warm_up + rounds):
            if index == warm_up:
                states.clear()
            for name, step in work.items():
                begin, begin_cpu = time.perf_counter(), spent_s()
                await step()
                if index >= warm_up:
                    spans[name].append(time.perf_counter() - begin)
                    costs[name].append(spent_s() - begin_cpu)
        base = statistics.median(spans["raw requests"])
        print(f"{nodes} nodes in {processes} processes, {rounds} rounds; outcomes: {dict(states)}")
        for name, seconds in spans.items():
            seconds.sort()
            median, p99 = statistics.median(seconds), seconds[min(len(seconds) - 1, int(0.99 * len(seconds)))]
            cost_us = statistics.median(costs[name]) / nodes * 1e6
            print(
                f"{name:15} {median * 1e3:8.1f} ms median, {p99 * 1e3:8.1f} ms p99, {median / base:5.2f} x raw requests"
            )
            print(f"                {cost_us:8.1f} us of a processor in this process for each node")


def main() -> None:
    """Measure, and print."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=3, help="besides that of the caller's node")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--be", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be is not None:
        url, folder, first, count = options.be
        uvloop.run(be_nodes(url, Path(folder), int(first), int(count)))
    else:
        raise_file_limit(FILES_OF_NODE * options.nodes)
        uvloop.run(measure(options.nodes, options.processes, options.rounds, options.warm_up))


if __name__ == "__main__":
    main()
