"""A crowd of real nodes in few processes: each has its own :class:`Node`, :class:`Link` and connection to the broker.

They can be told to answer group calls, too, by what servers answer them with (:mod:`tests.server.group.answering`).
:class:`Crowd` starts the processes and speaks to them; ``python -m tests.server.group.crowd`` is one of them, which gets
commands and gives answers as lines of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import resource
import secrets
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpcserver.group.identity import Identity
from rpcserver.group.link import Link, LinkSettings
from rpcserver.group.members import Profile, State, first_epoch, format_id, parse_id
from rpcserver.group.node import Description, Node
from rpcserver.group.roster import Roster
from rpcserver.group.watching import ChangeKind
from rpcserver.trimming import trim_heap
from rpcwire.service import Service, method

if TYPE_CHECKING:
    from .answering import AnsweringNode

ROOT = Path(__file__).parents[3]
POLL_S = 0.02
KINDS = tuple(ChangeKind)
NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
SPARE_FILES = 200
"""How many file descriptors a process needs besides those of connections."""
CONNECT_S = 60.0
"""How long a connection may take, in seconds, where many are made at once."""
BARE_ANSWER = b"y" * 60
"""What a bare subscription answers."""


class Work(Service):
    """What each node of the crowd offers.

    Attributes:
        runs: how often its methods have begun.
        gate: lets calls of :meth:`pass_gate` end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0
        self.gate = asyncio.Event()

    @method(kind="read")
    async def memory(self) -> dict[str, int]:
        """Tell numbers like those of the memory of a machine."""
        self.runs += 1
        return {"total_bytes": 64 << 30, "used_bytes": 17 << 30, "free_bytes": 47 << 30}

    @method()
    async def do(self) -> int:
        """Do something."""
        self.runs += 1
        await asyncio.sleep(0)
        return self.runs

    @method()
    async def pass_gate(self) -> None:
        """Wait until the gate is open."""
        self.runs += 1
        await self.gate.wait()


def raise_file_limit(connections: int) -> None:
    """Let this process, and those that it starts from now on, have so many connections.

    Raises:
        SystemExit: the hard limit is lower, and this process may not raise it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = connections + SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    try:
        most = hard if hard == resource.RLIM_INFINITY else max(hard, count)
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, most))
    except (ValueError, OSError):
        raise SystemExit(f"{connections} connections need {count} open files: raise the hard limit of {hard}") from None


class Log:
    """Notes what a node sees, with the time.

    It has columns of numbers, because the memory of the nodes is measured, and not that of their logs. It is told the
    change alone: a thousand nodes on one machine would make a hundred thousand objects for each that dies.

    Parameters:
        roster: what the node sees.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._times = array("d")
        self._kinds = bytearray()
        self._ids = array("Q")
        roster._tell = self._note  # type: ignore[method-assign]

    def _note(self, kind: ChangeKind, index: int, now: float) -> None:
        Roster._tell(self._roster, kind, index, now)
        self._times.append(time.monotonic())
        self._kinds.append(NUMBERS[kind])
        self._ids.append(self._roster.table.ids[index])

    def changes(self) -> Iterator[tuple[float, ChangeKind, int]]:
        """Yield when something was seen, what, and the id of the member."""
        return zip(self._times, map(KINDS.__getitem__, self._kinds), self._ids, strict=True)


class CrowdNode:
    """One node: a member of the group.

    Parameters:
        urls: those of the broker.
        name: its name.
    """

    def __init__(self, urls: tuple[str, ...], name: str) -> None:
        self.name = name
        number = secrets.randbits(64)
        self.link = Link(number, name, lambda: LinkSettings(urls=urls))
        labels = (("role", "web"), ("zone", f"zone-{number % 20}"))
        services = (("database", "1.4.0"), ("hardware", "1.4.0"), ("programs", "1.4.0"), ("work", "1.4.0"))
        description = Description(name, (f"wss://{name}.example:8765",), Profile(labels, services, "1.4.0"))
        identity = Identity(number, first_epoch(0, time.time(), secrets.randbits(32)))
        self.node = Node(identity, lambda: description, self.link)
        self.log: Log | None = None

    def note(self) -> None:
        """Note from now on what this node sees, and forget what was noted before."""
        self.log = Log(self.node.presence.roster)

    def changes(self) -> Iterator[tuple[float, ChangeKind, int]]:
        """Yield what was noted."""
        assert self.log is not None, "nothing was noted"
        return self.log.changes()

    def count(self) -> dict[State, int]:
        """Count the members by their states."""
        states = self.node.presence.roster.table.states
        return {state: states.count(state) for state in State}


class Worker:
    """The nodes of one process."""

    def __init__(self, urls: tuple[str, ...], names: list[str]) -> None:
        self.urls = urls
        self.names = names
        self.nodes: list[CrowdNode] = []
        self.work = Work()
        self.answering: list[AnsweringNode] = []
        self.bare: list[Any] = []

    async def start(self, at_once: int) -> dict[str, Any]:
        """Start all nodes, so many at a time: the next ones when these trust their rosters, and nobody is suspect. Many
        nodes share a processor here: if more came while it is behind, each would take others for silent, and tell all.
        Tell what the memory of the process was before."""
        import nats.js.api
        import nats.js.kv  # noqa: F401 - what all nodes of a process share is not counted

        before = measure_memory()
        for index in range(0, len(self.names), at_once):
            nodes = [CrowdNode(self.urls, name) for name in self.names[index : index + at_once]]
            self.nodes += nodes
            for each in nodes:
                each.node.start()
            while not all(each.node.is_settled for each in nodes) or nodes[0].count()[State.SUSPECT]:
                await asyncio.sleep(POLL_S)
        spare_collector()
        return {"before_bytes": before, "ids": [format_id(each.node.id) for each in self.nodes]}

    async def answer(self) -> dict[str, Any]:
        """Answer group calls from now on, at all nodes, and follow the roster for that."""
        from .answering import AnsweringNode, Shared

        shared = Shared(self.work)
        for each in self.nodes:
            self.answering.append(AnsweringNode(each.node, shared))
            await asyncio.sleep(0)  # Each reads its whole roster now; meanwhile the others are not to be late.
        spare_collector()
        return {}

    async def open_gate(self) -> dict[str, Any]:
        """Let the calls end that wait for it."""
        self.work.gate.set()
        return {}

    async def subscribe(self, first: int) -> dict[str, Any]:
        """Have a bare subscription beside each node, with a connection of its own, that answers each message at once:
        that of the first one is to ``raw.FIRST``, and so on."""
        import nats

        async def answer(message: Any) -> None:
            await message.respond(BARE_ANSWER)

        for number in range(first, first + len(self.names)):
            connection = await nats.connect(self.urls[0], connect_timeout=CONNECT_S)
            self.bare.append(connection)
            await connection.subscribe(f"raw.{number}", cb=answer)
            await asyncio.sleep(0)  # So that the subscription is written before the ping of the flush.
            await connection.flush()
        return {}

    async def connect(self, count: int) -> dict[str, Any]:
        """Tell what a connection takes of memory that is the client library's alone."""
        from nats.aio.client import Client

        clients = [Client() for _ in range(count + 1)]
        await clients[-1].connect(self.urls[0])
        before = measure_memory()
        for each in clients[:-1]:
            await each.connect(self.urls[0], inbox_prefix=b"rpcgroup.inbox")
            await each.subscribe(each.new_inbox())
        grown = measure_memory() - before
        for each in clients:
            await each.close()
        return {"bytes": grown // count}

    async def agree(self, up: int, since: float) -> dict[str, Any]:
        """Wait until each node sees so many up, and tell when it was so, and their digests."""
        at: list[float] = [0.0] * len(self.nodes)
        while True:
            counts = [each.count() for each in self.nodes]
            for index, count in enumerate(counts):
                if not (count[State.UP] == up and not count[State.SUSPECT]):
                    at[index] = 0.0
                elif not at[index]:
                    at[index] = time.monotonic() - since
            if all(at):
                break
            await asyncio.sleep(POLL_S)
        digests = Counter(each.node.presence.roster.table.digest for each in self.nodes)
        return {"seconds": at, "digests": [f"{digest:x}" for digest in digests]}

    async def settle(self, since: float) -> dict[str, Any]:
        """Wait until each node trusts its roster, and tell when it was so."""
        seconds = []
        for each in self.nodes:
            while not each.node.is_settled:
                await asyncio.sleep(POLL_S)
            seconds.append(time.monotonic() - since)
        return {"seconds": seconds}

    async def look(self) -> dict[str, Any]:
        """Tell how the nodes see the group now, and what they have cost."""
        states: Counter[str] = Counter()
        for each in self.nodes:
            count = each.count()
            states[", ".join(f"{number} {state.name.lower()}" for state, number in count.items() if number)] += 1
        return {
            "pid": os.getpid(),
            "states": dict(states),
            "cpu_s": time.process_time(),
            "memory_bytes": measure_memory(),
            "drops": sum(each.link.drops for each in self.nodes),
            "starts": sum(each.link.starts for each in self.nodes),
            "late_s": max((each.node.presence._late_s for each in self.nodes), default=0.0),
            "is_settled": sum(each.node.is_settled for each in self.nodes),
            "runs": self.work.runs,
            "received": sum(each.link.connection.stats["in_msgs"] for each in self.nodes if each.link.is_up),
        }

    async def note(self) -> dict[str, Any]:
        """Note from now on what the nodes see, and forget what was noted before."""
        for each in self.nodes:
            each.note()
        return {}

    async def see(self, victims: list[str], kind: str, since: float) -> dict[str, Any]:
        """Wait until each node has seen the same change of these members. Tell how long that took each, and what they
        have seen of others."""
        wanted, what = set(map(parse_id, victims)), ChangeKind(kind)
        took: list[float] = []
        for each in self.nodes:
            while not wanted <= {number for _, happened, number in each.changes() if happened is what}:
                await asyncio.sleep(POLL_S)
        others: Counter[str] = Counter()
        for each in self.nodes:
            times = (at for at, happened, number in each.changes() if happened is what and number in wanted)
            took.append(max(times, default=since))
            others.update(happened.value for _, happened, number in each.changes() if number not in wanted)
        return {"seconds": [at - since for at in took], "others": dict(others)}

    async def stop(self) -> dict[str, Any]:
        """Stop all nodes."""
        await asyncio.gather(*(each.node.stop() for each in self.nodes))
        return {}

    def find(self, command: str) -> Callable[..., Awaitable[dict[str, Any]]]:
        """Return what does a command."""
        commands: tuple[Callable[..., Awaitable[dict[str, Any]]], ...] = (
            *(self.connect, self.start, self.agree, self.settle, self.look, self.note, self.see, self.stop),
            *(self.answer, self.open_gate, self.subscribe),
        )
        return {each.__name__: each for each in commands}[command]


def spare_collector() -> None:
    """Keep Python from looking through all nodes of the process again: all would be late by half a second at once."""
    gc.collect()
    gc.freeze()


def measure_memory() -> int:
    """Return what this process has in memory for itself, in bytes: what nobody uses any more is given back first, as
    far as whole pages are free."""
    gc.collect()
    trim_heap()
    return read_memory()


def read_memory() -> int:
    """Return what this process has in memory for itself as it is, in bytes."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    private = [line.split()[1] for line in rollup.splitlines() if line.startswith(("Private_Clean", "Private_Dirty"))]
    return sum(map(int, private)) * 1024


async def work(urls: tuple[str, ...], names: list[str]) -> None:
    """Do what the lines of the standard input say, one after another."""
    worker = Worker(urls, names)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command, arguments = json.loads(line)
        print(json.dumps(await worker.find(command)(**arguments)), flush=True)


class Process:
    """A process of the crowd, as its parent sees it.

    Attributes:
        names: the names of its nodes.
        ids: their ids, once they are started.
    """

    def __init__(self, names: list[str], process: asyncio.subprocess.Process) -> None:
        self.names = names
        self.ids: list[str] = []
        self.process = process

    async def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Have it do something, and return what it answers."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([command, arguments]).encode() + b"\n")
        line = await self.process.stdout.readline()
        assert line, f"the process has ended with {await self.process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def kill(self) -> None:
        """Kill it, if it lives."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


class Crowd:
    """Some processes with nodes.

    Attributes:
        processes: those that live.
        others: how many members of the group are in none of them.
    """

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.others = 0

    def __len__(self) -> int:
        return sum(len(each.names) for each in self.processes)

    async def add(self, urls: str, sizes: list[int], loop: str = "uvloop", within: tuple[str, ...] = ()) -> None:
        """Start processes that will have so many nodes, by a command such as ``unshare``."""
        for size in sizes:
            first = len(self)
            names = [f"node-{number}" for number in range(first, first + size)]
            command = [sys.executable, "-m", __spec__.name if __name__ == "__main__" else __name__]
            process = await asyncio.create_subprocess_exec(
                *(*within, *command, "--urls", urls, "--names", *names, "--loop", loop),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                limit=1 << 24,
            )
            self.processes.append(Process(names, process))

    async def do(self, command: str, **arguments: Any) -> list[dict[str, Any]]:
        """Have all processes do the same, at the same time."""
        return await asyncio.gather(*(each.do(command, **arguments) for each in self.processes))

    async def start(self, at_once: int) -> list[dict[str, Any]]:
        """Start the nodes of all processes, in each so many at a time."""
        answers = await self.do("start", at_once=at_once)
        for process, answer in zip(self.processes, answers, strict=True):
            process.ids = answer["ids"]
        return answers

    async def agree(self, since: float) -> float:
        """Wait until all nodes see all as up, in the same lives, and return how long that took, in seconds.
        ``time.monotonic`` is the same in all processes of a machine."""
        while True:
            answers = await self.do("agree", up=len(self) + self.others, since=since)
            if len({digest for answer in answers for digest in answer["digests"]}) == 1:
                break
        seconds: float = max(each for answer in answers for each in answer["seconds"])
        return seconds

    async def end(self, process: Process, number: int) -> list[str]:
        """End a process by a signal, and return the ids of its nodes."""
        self.processes.remove(process)
        process.process.send_signal(number)
        await process.process.wait()
        return process.ids


@asynccontextmanager
async def crowd(urls: str, sizes: list[int], loop: str = "uvloop") -> AsyncIterator[Crowd]:
    """Some processes that will have so many nodes each."""
    raise_file_limit(sum(sizes))
    it = Crowd()
    try:
        await it.add(urls, sizes, loop)
        yield it
    finally:
        for each in it.processes:
            await each.kill()


def main() -> None:
    """Be a process of the crowd."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--urls", required=True)
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="uvloop")
    options = parser.parse_args()
    logging.basicConfig(level=os.environ.get("CROWD_LOG", "ERROR"), stream=sys.stderr)
    factory = None
    if options.loop == "uvloop":
        with contextlib.suppress(ImportError):
            import uvloop

            factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work(tuple(options.urls.split(",")), options.names))


if __name__ == "__main__":
    main()
