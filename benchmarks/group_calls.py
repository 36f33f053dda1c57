"""A call to many nodes beside as many raw requests over the same broker, in one run, with the nodes in few processes.

The caller's node is a whole server, called by a client over a WebSocket, both in this process. Each of the other nodes
is real as well: it has its own connection to the broker, roster and beats, and answers each call over a connection of
that call, with the gate of the roles, the limits and the dispatch of servers. But it has only those parts of a server
that a member of a group and an answer to a group call need: :mod:`tests.server.group.answering` says what is left out.
With ``--whole`` the others are whole servers, too. A thousand of those are too much for few processes: each looks at
its memory whenever Python has collected garbage.

Beside each node stands a bare subscription, with its own connection, that answers each message at once. These take
turns: requests of nats-py to all bare subscriptions at once, which is what the others are compared with; one message to
each of them, with one inbox for all answers; a call of a method that reads; one of a method that does something, of
which each node says that it has begun; and the first one as programs make it, ``client.group(…).call(…)``, with an
object for each outcome.

``python -m benchmarks.group_calls [--nodes N] [--processes P] [--rounds R] [--warm-up W] [--at-once K] [--whole]``
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
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from rpcclient import AsyncClient
from rpcserver.config import ServerConfig
from rpcserver.group.members import State
from rpcserver.server import Server
from tests.server.group.answering import GATEWAY, ROLES, TOKEN, open_gateway, wait_for_all
from tests.server.group.crowd import BARE_ANSWER, CONNECT_S, Work, crowd, raise_file_limit
from tests.server.group.test_joining import run_broker

REQUEST = b"x" * 150
READY = "ready"
FILES_OF_NODE = 10
"""How many file descriptors a whole server and its bare subscription need."""
OTHERS = f"name!={GATEWAY}"


async def start_server(url: str, folder: Path, name: str) -> Server:
    """Start one node that is a whole server."""
    config = ServerConfig.model_validate(
        {
            "state_dir": str(folder / name),
            "listen": {"port": 0, "unix": "none"},
            "grace_s": 0,
            "group": {"url": url, "name": name, "trust_gateway_names": True},
            "roles": ROLES,
        }
    )
    server = Server(config, (Work(),), token=TOKEN)
    await server.start(listen=False)
    return server


async def be_nodes(url: str, folder: Path, first: int, count: int, at_once: int) -> None:
    """Be so many nodes that are whole servers, and as many bare subscriptions, until standard input ends."""
    import nats

    servers, connections = [], []
    for number in range(first, first + count):
        server = await start_server(url, folder, f"n{number}")
        link = server.group.membership.node.link
        while link is not None and not link.is_up:  # noqa: ASYNC110 - one after the other, so that all can connect
            await asyncio.sleep(0.01)
        servers.append(server)
        if not len(servers) % at_once:
            # If many came while the processors are behind, they would take each other for silent, and tell all.
            presence = server.group.membership.node.presence
            while not server.group.membership.node.is_settled or State.SUSPECT in presence.roster.table.states:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        connection = await nats.connect(url, connect_timeout=CONNECT_S)

        async def answer(message: Any) -> None:
            await message.respond(BARE_ANSWER)

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
    params = {"target": {"selector": OTHERS}, "method": name}
    nodes = set()
    async with client.stream("rpc.call_nodes", params) as stream:
        async for each in stream:
            if each["kind"] == "outcome":
                states[each["state"]] += 1
                nodes.add(each["name"])
    assert len(nodes) == count, f"outcomes of {len(nodes)} of {count} nodes"


async def call_as_programs_do(client: AsyncClient, name: str, count: int, states: Counter[str]) -> None:
    """Do the same, with an object for each outcome."""
    outcomes = await client.group(OTHERS).call(name)
    states.update(outcome.state for outcome in outcomes.outcomes)
    assert len(outcomes.outcomes) == len(outcomes.nodes) == count, f"{len(outcomes.outcomes)} outcomes of {count} nodes"


def spent_s() -> float:
    """Return the processor time of this process, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@asynccontextmanager
async def whole_servers(url: str, folder: Path, sizes: list[int], at_once: int) -> AsyncIterator[None]:
    """So many whole servers in each process."""
    async with AsyncExitStack() as stack:
        workers, first = [], 0
        for size in sizes:
            command = [sys.executable, "-m", "benchmarks.group_calls", "--at-once", str(at_once)]
            pipe = asyncio.subprocess.PIPE
            worker = await asyncio.create_subprocess_exec(
                *(*command, "--be", url, str(folder), str(first), str(size)), stdin=pipe, stdout=pipe
            )
            workers.append(worker)
            stack.callback(worker.kill)
            first += size
        for worker in workers:
            assert worker.stdout is not None
            while (line := (await worker.stdout.readline()).decode().strip()) != READY:
                assert line, "a worker has ended"
        yield


@asynccontextmanager
async def light_nodes(url: str, sizes: list[int], at_once: int) -> AsyncIterator[None]:
    """So many nodes of the crowd in each process."""
    async with crowd(url, sizes) as it:
        firsts = [sum(sizes[:index]) for index in range(len(sizes))]
        await asyncio.gather(
            *(each.do("subscribe", first=first) for each, first in zip(it.processes, firsts, strict=True))
        )
        begin = time.monotonic()
        await it.start(at_once)
        print(f"{len(it)} nodes agreed after {await it.agree(begin):.1f} s", flush=True)
        await it.do("answer")
        yield


async def measure(options: argparse.Namespace) -> None:
    """Measure, and print."""
    import nats

    nodes, processes = options.nodes, options.processes
    sizes = [nodes * (index + 1) // processes - nodes * index // processes for index in range(processes)]
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(run_broker(folder / "broker"))
        if options.whole:
            await stack.enter_async_context(whole_servers(url, folder, sizes, options.at_once))
        else:
            await stack.enter_async_context(light_nodes(url, sizes, options.at_once))
        client = await stack.enter_async_context(open_gateway(url, folder, Work()))
        connection = await nats.connect(url, connect_timeout=CONNECT_S)
        stack.push_async_callback(connection.close)
        await wait_for_all(client, nodes)
        states: Counter[str] = Counter()
        work: dict[str, Callable[[], Awaitable[None]]] = {
            "raw requests": lambda: ask_all(connection, nodes),
            "raw, one inbox": lambda: scatter(connection, nodes),
            "call, reads": lambda: call_all(client, "work.memory", nodes, states),
            "call, does": lambda: call_all(client, "work.do", nodes, states),
            "group(), reads": lambda: call_as_programs_do(client, "work.memory", nodes, states),
        }
        spans: dict[str, list[float]] = {name: [] for name in work}
        costs: dict[str, list[float]] = {name: [] for name in work}
        for index in range(options.warm_up + options.rounds):
            if index == options.warm_up:
                states.clear()
            for name, step in work.items():
                begin, begin_cpu = time.perf_counter(), spent_s()
                await step()
                if index >= options.warm_up:
                    spans[name].append(time.perf_counter() - begin)
                    costs[name].append(spent_s() - begin_cpu)
        kind = "whole servers" if options.whole else "nodes"
        print(f"{nodes} {kind} in {processes} processes, {options.rounds} rounds; outcomes: {dict(states)}")
        base, base_p99 = find_figures(spans["raw requests"])
        for name, seconds in spans.items():
            median, p99 = find_figures(seconds)
            cost_us = statistics.median(costs[name]) / nodes * 1e6
            print(
                f"{name:15} {median * 1e3:8.1f} ms median, {p99 * 1e3:8.1f} ms p99: {median / base:5.2f} and "
                f"{p99 / base_p99:5.2f} x raw requests"
            )
            print(f"                {cost_us:8.1f} us of a processor in this process for each node")


def find_figures(seconds: list[float]) -> tuple[float, float]:
    """Return the median, and the 99th percentile."""
    ordered = sorted(seconds)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


def main() -> None:
    """Measure, and print."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=3, help="besides that of the caller's node")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=4, help="how many nodes each process starts at the same moment")
    parser.add_argument("--whole", action="store_true", help="have whole servers")
    parser.add_argument("--be", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be is not None:
        url, folder, first, count = options.be
        uvloop.run(be_nodes(url, Path(folder), int(first), int(count), options.at_once))
    else:
        raise_file_limit(FILES_OF_NODE * options.nodes)
        uvloop.run(measure(options))


if __name__ == "__main__":
    main()
