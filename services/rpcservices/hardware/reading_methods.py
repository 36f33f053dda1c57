"""The methods that read the machine once."""

from __future__ import annotations

from typing import Annotated, cast

from pydantic import Field

from rpcserver import Context, method

from .availability import capabilities
from .core import HardwareCore, all_sections
from .errors import SectionUnavailable
from .models import (
    Battery,
    Capability,
    Cgroup,
    ConnectionKind,
    Connections,
    Cpu,
    Disks,
    Gpus,
    Host,
    Memory,
    Network,
    Pressure,
    Section,
    Sensors,
    Snapshot,
    User,
)
from .readers.network import connections

ERRORS = (SectionUnavailable,)


class ReadingMethods(HardwareCore):
    """What the machine is, and does now."""

    @method(permission="hardware.read", kind="read")
    async def capabilities(self) -> list[Capability]:
        """What can be read and used on this machine, and why the rest cannot."""
        snapshot = await self._sampler.take(all_sections(None))
        return await self._worker.run(lambda: capabilities(snapshot, self))

    @method(permission="hardware.read", kind="read")
    async def snapshot(self, sections: list[Section] | None = None, *, ctx: Context) -> Snapshot:
        """Several sections, read together.

        Parameters:
            sections: which; all where not given.
        """
        return await self._limit(await self._sampler.take(all_sections(sections)), self._view(ctx))

    @method(permission="hardware.read", kind="read", errors=ERRORS)
    async def host(self) -> Host:
        """The machine and its system.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return cast("Host", await self._section("host"))

    @method(permission="hardware.read", kind="read", errors=ERRORS)
    async def cpu(self) -> Cpu:
        """The processors: how busy, how many, how fast. Shares are taken over the time since an earlier reading.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return cast("Cpu", await self._section("cpu"))

    @method(permission="hardware.read", kind="read", errors=ERRORS)
    async def memory(self) -> Memory:
        """Memory and swap.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return cast("Memory", await self._section("memory"))

    @method(permission="hardware.read", kind="read", errors=ERRORS)
    async def disks(self) -> Disks:
        """Mounted file systems, and what goes through the block devices.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return cast("Disks", await self._section("disks"))

    @method(permission="hardware.read", kind="read", errors=ERRORS)
    async def network(self) -> Network:
        """The network interfaces and what goes through them.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return cast("Network", await self._section("network"))

    @method(permission="hardware.read", kind="read", errors=ERRORS)
    async def sensors(self) -> Sensors:
        """Temperatures, fans, voltages, currents and power.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return cast("Sensors", await self._section("sensors"))

    @method(permission="hardware.read", kind="read", errors=ERRORS)
    async def battery(self) -> Battery:
        """The batteries, if there are any.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return cast("Battery", await self._section("battery"))

    @method(permission="hardware.read", kind="read", errors=ERRORS)
    async def users(self) -> list[User]:
        """The sessions of users who are logged in.

        Raises:
            SectionUnavailable: it cannot be read now, or the system keeps no record of them (neither utmp nor logind).
        """
        return cast("list[User]", await self._section("users"))

    @method(permission="hardware.read", kind="read", errors=ERRORS)
    async def cgroup(self) -> Cgroup:
        """The limits and the use of the server's own control group, beside what the host has.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return cast("Cgroup", await self._section("cgroup"))

    @method(permission="hardware.read", kind="read", errors=ERRORS)
    async def pressure(self) -> Pressure:
        """How much processes wait for processors, memory, disks and interrupts.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return cast("Pressure", await self._section("pressure"))

    @method(permission="hardware.read", kind="read", errors=ERRORS)
    async def gpus(self, *, ctx: Context) -> Gpus:
        """The graphics processors, with the processes on them that the caller may see.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        gpus, view = cast("Gpus", await self._section("gpus")), self._view(ctx)
        return await self._worker.run(lambda: view.limit(gpus)) if view.hides_part_of(gpus) else gpus

    @method(permission="hardware.processes", kind="read")
    async def connections(
        self, kind: ConnectionKind = "inet", *, limit: Annotated[int, Field(ge=1)] = 1000, ctx: Context
    ) -> Connections:
        """The sockets of the machine, and whose they are; of the caller's own processes alone, if the caller may see no
        others.

        Parameters:
            kind: which.
            limit: the most to list.
        """
        most = min(limit, self.config.max_connections)
        only_uid = self._only_uid(ctx)
        return await self._worker.run(lambda: connections(kind, most, only_uid))
