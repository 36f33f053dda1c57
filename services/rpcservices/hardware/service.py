"""The hardware service: what the machine is, and what it does now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, TypeVar, get_args

from pydantic import Field

from rpcserver import InvalidParams, Service, SlowPolicy, method

from . import readers
from .config import HardwareConfig
from .models import (
    Availability,
    Battery,
    Capability,
    Cpu,
    Disks,
    Host,
    Memory,
    NetworkInterface,
    Process,
    ProcessOrder,
    Section,
    Sensors,
    Snapshot,
)
from .sampler import Sampler

_T = TypeVar("_T")


class Hardware(Service[HardwareConfig]):
    """Read the server's machine: processors, memory, disks, network, sensors, battery, processes, host."""

    def __init__(self, config: HardwareConfig | None = None) -> None:
        super().__init__(config)
        self._sampler = Sampler()
        # One thread: readings must not run side by side, since each is the baseline of the next; and a slow sensor
        # must not hold up the event loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rpc-hardware")

    async def start(self) -> None:
        """Take the first readings, so that the first caller gets rates."""
        await self._read(self._sampler.prime)

    async def stop(self) -> None:
        """End the reading thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _read(self, read: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, read)

    async def _take(self, section: Section) -> Snapshot:
        return await self._read(lambda: self._sampler.take({section}))

    @method(permission="hardware.read", kind="read")
    async def cpu(self) -> Cpu:
        """The processors: how busy, how many, how fast. Shares are taken over the time since the last reading."""
        return _there((await self._take("cpu")).cpu)

    @method(permission="hardware.read", kind="read")
    async def memory(self) -> Memory:
        """Memory and swap, and the limit of the server's control group."""
        return _there((await self._take("memory")).memory)

    @method(permission="hardware.read", kind="read")
    async def disks(self) -> Disks:
        """Mounted file systems, and what goes through the block devices."""
        return _there((await self._take("disks")).disks)

    @method(permission="hardware.read", kind="read")
    async def network(self) -> list[NetworkInterface]:
        """The network interfaces and what goes through them."""
        return _there((await self._take("network")).network)

    @method(permission="hardware.read", kind="read")
    async def sensors(self) -> Sensors:
        """Temperatures and fans."""
        return _there((await self._take("sensors")).sensors)

    @method(permission="hardware.read", kind="read")
    async def battery(self) -> Battery:
        """The battery, if there is one."""
        return _there((await self._take("battery")).battery)

    @method(permission="hardware.processes", kind="read")
    async def processes(
        self, *, order: ProcessOrder = "cpu", limit: Annotated[int, Field(ge=1)] = 100
    ) -> list[Process]:
        """The processes of the machine. Command lines are left out, since they often hold secrets.

        Parameters:
            order: ``cpu`` or ``memory`` (the largest first), ``pid`` or ``name``.
            limit: the most to list.
        """
        most = min(limit, self.config.most_processes)
        snapshot = await self._read(lambda: self._sampler.take({"processes"}, order=order, limit=most))
        return _there(snapshot.processes)

    @method(permission="hardware.read", kind="read")
    async def host(self) -> Host:
        """The machine and its system."""
        return _there((await self._take("host")).host)

    @method(permission="hardware.read", kind="read")
    async def snapshot(self, sections: list[Section] | None = None) -> Snapshot:
        """Several sections, read together.

        Parameters:
            sections: which; all but processes where not given.
        """
        wanted = _wanted(sections)
        return await self._read(lambda: self._sampler.take(wanted))

    @method(permission="hardware.read", kind="read", slow_policy=SlowPolicy.LATEST)
    async def watch(self, sections: list[Section] | None = None, *, interval_s: float = 1.0) -> AsyncIterator[Snapshot]:
        """Follow some sections, with rates computed here over each interval. A reader that is too slow gets the
        latest reading, not all of them.

        Parameters:
            sections: which; all but processes where not given.
            interval_s: time between two readings, in seconds.

        Raises:
            InvalidParams: the interval is shorter than the server allows.
        """
        least = self.config.least_interval_s
        if not interval_s >= least:
            raise InvalidParams(
                f"interval_s: {interval_s:g} is too short: at least {least:g}",
                errors=[{"loc": ["interval_s"], "msg": f"must be at least {least:g}"}],
            )
        return self._watch(_wanted(sections), interval_s)

    async def _watch(self, sections: Collection[Section], interval_s: float) -> AsyncIterator[Snapshot]:
        loop = asyncio.get_running_loop()
        sampler = Sampler()  # Its own baseline: other callers' readings must not shorten this one's intervals.
        await self._read(lambda: sampler.take(sections))
        due = loop.time() + interval_s
        while True:
            await asyncio.sleep(max(due - loop.time(), 0))
            yield await self._read(lambda: sampler.take(sections))
            # Keep to the beat, and leave out the beats that a slow reading has missed.
            due = max(due + interval_s, loop.time())

    @method(permission="hardware.read", kind="read")
    async def capabilities(self) -> list[Capability]:
        """What can be read on this machine, and why the rest cannot."""
        return await self._read(_capabilities)


def _wanted(sections: list[Section] | None) -> frozenset[Section]:
    return frozenset(sections if sections is not None else [s for s in get_args(Section) if s != "processes"])


def _there(value: _T | None) -> _T:
    assert value is not None, "the sampler reads every section it is asked for"
    return value


def _capabilities() -> list[Capability]:
    sensors, battery = readers.sensors(), readers.battery()
    special: dict[Section, tuple[Availability, str]] = {}
    if not sensors.readings:
        special["sensors"] = _why(sensors.reasons.get("temperature", ""))
    if not battery.present:
        special["battery"] = _why(battery.reasons.get("percent", ""))
    found = []
    for section in get_args(Section):
        state, reason = special.get(section, ("available", ""))
        found.append(Capability(section=section, state=state, reason=reason))
    return found


def _why(reason: str) -> tuple[Availability, str]:
    states: dict[str, Availability] = {"denied": "denied", "unsupported": "unsupported"}
    return states.get(reason.partition(":")[0], "absent"), reason
