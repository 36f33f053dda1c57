"""Services start at the same time, and nothing but the time tells which of them was ready first."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

import pytest

from rpcserver import Service, method
from rpcserver.config import ConfigError
from rpcserver.server import Server
from rpcwire.outcomes import Outcome
from rpcwire.service import ServiceConfigError

PATIENT = {"restart": {"first_s": 3600.0, "most_s": 3600.0}}


class Meeting:
    """What the services of a test do, and when.

    Attributes:
        ready: says who is ready; each service waits for the ones that its class names.
        events: what has happened.
    """

    def __init__(self) -> None:
        self.ready = {name: asyncio.Event() for name in ("first", "second", "third")}
        self.events: list[str] = []
        self.failures: dict[str, Exception] = {}


class Guest(Service):
    """Starts after others."""

    meeting: ClassVar[Meeting]
    after: ClassVar[str] = ""

    @method()
    async def ask(self) -> str:
        """Answer."""
        return self.name

    async def start(self) -> None:
        meeting = self.meeting
        meeting.events.append(f"begin {self.name}")
        self.runtime.observe(self.note)
        if self.after:
            await meeting.ready[self.after].wait()
        self.runtime.observe(self.note_too)
        meeting.ready[self.name].set()
        if self.name in meeting.failures:
            raise meeting.failures[self.name]
        meeting.events.append(f"ready {self.name}")

    def note(self, _outcome: Outcome) -> None:
        self.meeting.events.append(f"{self.name} sees")

    def note_too(self, _outcome: Outcome) -> None:
        self.meeting.events.append(f"{self.name} sees more")

    async def stop(self) -> None:
        self.meeting.events.append(f"stop {self.name}")


class First(Guest):
    """The first one is ready last."""

    after = "second"


class Second(Guest):
    """Is ready after the third one."""

    after = "third"


class Third(Guest):
    """The last one is ready first."""


@pytest.fixture
def meet(tools: Any) -> Any:
    """Run a scenario, which gets a server of the three services that is not started, and their meeting."""

    def run(scenario: Any, **plugins: Any) -> Meeting:
        async def main() -> Meeting:
            Guest.meeting = meeting = Meeting()
            config = tools.config(plugins={**PATIENT, **plugins})
            server = Server(config, [First(), Second(), Third()], token=tools.TOKEN)
            async with asyncio.timeout(30):
                await scenario(server, meeting)
            return meeting

        result: Meeting = tools.run(main())
        return result

    return run


def test_what_is_seen_has_the_order_of_the_services(tools: Any, meet: Any) -> None:
    """None of these would start if each had to wait for the one before it."""

    async def scenario(server: Server, meeting: Meeting) -> None:
        await server.start()
        try:
            assert meeting.events == [
                "begin first", "begin second", "begin third", "ready third", "ready second", "ready first",
            ]  # fmt: skip
            assert [service.name for service in server.upkeep.running] == ["first", "second", "third"]
            meeting.events.clear()
            async with tools.connect(server) as connection:
                assert (await tools.call(connection, "third.ask"))["result"] == "third"
            names = ("first", "second", "third")
            assert meeting.events == [f"{name} {what}" for name in names for what in ("sees", "sees more")]
            meeting.events.clear()
        finally:
            await server.stop(grace_s=0)
        assert [event for event in meeting.events if "stop" in event] == ["stop third", "stop second", "stop first"]

    meet(scenario)


def test_failures_are_told_in_the_order_of_the_services(meet: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(server: Server, meeting: Meeting) -> None:
        meeting.failures = {name: RuntimeError(name) for name in ("first", "third")}
        await server.start()
        try:
            assert [service.name for service in server.upkeep.running] == ["second"]
            assert [state.phase for state in server.upkeep.states] == ["down", "running", "down"]
        finally:
            await server.stop(grace_s=0)

    with caplog.at_level(logging.ERROR, "rpcserver"):
        meet(scenario)
    lines = [record.getMessage() for record in caplog.records if "is down" in record.getMessage()]
    assert [line.split()[2] for line in lines] == ["first", "third"]


def test_of_several_faults_the_first_one_is_told(meet: Any) -> None:
    """Although it came last. Those that have started are stopped."""

    async def scenario(server: Server, meeting: Meeting) -> None:
        meeting.failures = {
            "first": ServiceConfigError("x: it is wrong"),
            "third": ServiceConfigError("y: it is wrong"),
        }
        with pytest.raises(ConfigError, match=r"services\.first\.x: it is wrong"):
            await server.start()
        assert {event for event in meeting.events if "stop" in event} == {"stop first", "stop second", "stop third"}
        assert [state.phase for state in server.upkeep.states][1] == "stopped"

    meet(scenario)


def test_one_without_which_the_server_does_not_start_ends_the_others(meet: Any) -> None:
    """Also those that are in the midst of their start."""

    async def scenario(server: Server, meeting: Meeting) -> None:
        never = asyncio.Event()
        meeting.ready["third"].wait = never.wait  # type: ignore[method-assign]
        meeting.ready["second"].set()
        meeting.failures = {"first": RuntimeError("it is broken")}
        with pytest.raises(RuntimeError, match="it is broken"):
            await server.start()
        assert "ready third" in meeting.events and "ready second" not in meeting.events
        assert {event for event in meeting.events if "stop" in event} == {"stop first", "stop second", "stop third"}
        assert not server.upkeep.running

    meet(scenario, essential=["first"])


def test_a_cancelled_start_ends_all(meet: Any) -> None:
    async def scenario(server: Server, meeting: Meeting) -> None:
        never = asyncio.Event()
        meeting.ready["second"].wait = never.wait  # type: ignore[method-assign]
        start = asyncio.ensure_future(server.start())
        await meeting.ready["second"].__class__.wait(meeting.ready["second"])
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert sorted(event for event in meeting.events if "stop" in event) == [
            "stop first", "stop second", "stop third",
        ]  # fmt: skip
        assert not server.upkeep.running
        assert not [task for task in asyncio.all_tasks() if "Upkeep._start" in repr(task)]

    meet(scenario)
