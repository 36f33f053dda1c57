# Generated from the service hardware by `make stubs`. Do not edit: change that, and generate anew.

"""The service 'hardware' of a group, typed for the synchronous client."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from rpcclient.stubs.hardware import (
    Battery,
    Capability,
    Cgroup,
    ConnectionKind,
    Connections,
    Cpu,
    Device,
    DeviceEvent,
    Disks,
    Finite,
    Gpus,
    Host,
    Memory,
    Network,
    Pid,
    Pressure,
    ProcessAttribute,
    ProcessDetails,
    ProcessList,
    Processor,
    ProcessSort,
    Sample,
    Section,
    Sensors,
    SerialPort,
    Series,
    Smart,
    Snapshot,
    StartTime,
    Subsystem,
    User,
)
from rpcclient.sync.group_stub import GroupStub
from rpcclient.sync.outcomes import GroupStream, Outcomes
from rpcclient.sync.stub import SyncStub
from rpcclient.sync.stubs.hardware import Hardware
from rpcwire.publishing import BUFFER_ITEMS, BufferItems, Event, EventPolicy


class GroupHardware(GroupStub):
    """See and use the server's machine: processors, memory, disks, network, sensors, battery, GPUs, processes.

    A value that cannot be read is None, and ``reasons`` beside it says why. Names are psutil's where it has them, with
    the unit added.

    Each method calls all nodes of a group. What takes streams, or belongs to a connection, is left out.
    """

    def device_changed(
        self, policy: EventPolicy = "drop_oldest", buffer_items: BufferItems = BUFFER_ITEMS
    ) -> GroupStream[Event[DeviceEvent]]:
        """A device was added or removed, or has changed. `resync` tells that some of this was missed; `devices` lists
        all.

        This is an event: the answer is a stream of all that happen from now on.

        Parameters:
            policy: what becomes of events while you are slow: drop_oldest, latest (all but the newest are
                dropped) or close.
            buffer_items: how many events may wait for you.

        Raises:
            SlowConsumer: the policy is close, and more events wait.
        """
        return self._stream("device_changed", {"policy": policy, "buffer_items": buffer_items})

    def serial_ports(self) -> Outcomes[list[SerialPort]]:
        """The serial ports of the machine."""
        return self._call("serial_ports", {})

    def devices(self, subsystems: list[Subsystem] | None = None) -> Outcomes[list[Device]]:
        """The devices of the machine: PCI, USB, disks, network, input, serial ports, graphics, memory modules, board.

        Parameters:
            subsystems: which; all where not given.
        """
        return self._call("devices", {"subsystems": subsystems})

    def watch_devices(self, subsystems: list[Subsystem] | None = None) -> GroupStream[DeviceEvent]:
        """Follow the devices: all of them at first, then each one that is added, removed or changed. Where events were
        lost, because there were too many or the reader was too slow, all of them again (``resync``).

        Parameters:
            subsystems: which; all where not given.

        Raises:
            SectionUnavailable: the system reports no device events.
        """
        return self._stream("watch_devices", {"subsystems": subsystems})

    def smart(self, disk: str) -> Outcomes[Smart]:
        """What a disk says of its own health (SMART).

        Parameters:
            disk: its name, file or link, as :meth:`devices` lists it.

        Raises:
            DeviceNotFound: there is no such disk.
            SectionUnavailable: smartctl is not installed, or gives no answer.
            HardwareRefused: the caller's role does not list the disk.
        """
        return self._call("smart", {"disk": disk})

    def processes(
        self,
        attributes: list[ProcessAttribute] | None = None,
        *,
        sort: ProcessSort = "cpu_percent",
        limit: Annotated[int, Field(ge=1)] = 100,
    ) -> Outcomes[ProcessList]:
        """The processes of the machine that the caller may see.

        Parameters:
            attributes: what to read of each; what costs little where not given. In command lines, what looks like a
                secret is replaced by ``***``.
            sort: in which order.
            limit: the most to list.
        """
        return self._call("processes", {"attributes": attributes, "sort": sort, "limit": limit})

    def watch_processes(
        self,
        attributes: list[ProcessAttribute] | None = None,
        *,
        sort: ProcessSort = "cpu_percent",
        limit: Annotated[int, Field(ge=1)] = 100,
        interval_s: float = 1.0,
    ) -> GroupStream[ProcessList]:
        """Follow the processes of the machine. A reader that is too slow gets the latest list.

        Parameters:
            attributes, sort, limit: as of :meth:`processes`.
            interval_s: time between two readings, in seconds. Two digits of it count, so that readers share them.

        Raises:
            InvalidParams: the interval is shorter than the server allows.
        """
        return self._stream(
            "watch_processes", {"attributes": attributes, "sort": sort, "limit": limit, "interval_s": interval_s}
        )

    def process(self, pid: Pid, create_time: StartTime | None = None) -> Outcomes[ProcessDetails]:
        """Everything about one process.

        Parameters:
            pid: its number.
            create_time: when it started, as :meth:`processes` lists it; whichever has the number where not given.

        Raises:
            ProcessGone: it has ended.
            ProcessDenied: the system hides it from the server's user, or the caller's role does.
        """
        return self._call("process", {"pid": pid, "create_time": create_time})

    def signal_process(self, pid: Pid, create_time: StartTime, signal: str = "TERM") -> Outcomes[None]:
        """Send a signal to a process, which must be the one that is meant: a number that is another's by now is left
        alone.

        Parameters:
            pid, create_time: the process, as :meth:`processes` lists it.
            signal: its name, such as ``TERM`` or ``SIGHUP``.

        Raises:
            InvalidParams: there is no such signal.
            ProcessGone: it has ended.
            ProcessDenied: the server's user may not, or the caller's role allows only the caller's own.
        """
        return self._call("signal_process", {"pid": pid, "create_time": create_time, "signal": signal})

    def set_priority(
        self, pid: Pid, create_time: StartTime, nice: Annotated[int, Field(ge=-20, le=19)]
    ) -> Outcomes[int]:
        """Set the priority of a process.

        Parameters:
            pid, create_time: the process, as :meth:`processes` lists it.
            nice: from -20 (first) to 19 (last).

        Returns:
            The priority that it has then.

        Raises:
            ProcessGone: it has ended.
            ProcessDenied: the server's user may not, or the caller's role allows only the caller's own.
        """
        return self._call("set_priority", {"pid": pid, "create_time": create_time, "nice": nice})

    def set_affinity(
        self, pid: Pid, create_time: StartTime, cpus: Annotated[list[Processor], Field(min_length=1)]
    ) -> Outcomes[list[int]]:
        """Set the processors that a process may run on.

        Parameters:
            pid, create_time: the process, as :meth:`processes` lists it.
            cpus: the numbers of the processors.

        Returns:
            Those that it may run on then.

        Raises:
            InvalidParams: none of them can be used.
            ProcessGone: it has ended.
            ProcessDenied: the server's user may not, or the caller's role allows only the caller's own.
        """
        return self._call("set_affinity", {"pid": pid, "create_time": create_time, "cpus": cpus})

    def watch(self, sections: list[Section] | None = None, *, interval_s: float = 1.0) -> GroupStream[Snapshot]:
        """Follow some sections, with rates computed here over each interval. A reader that is too slow gets the
        latest reading, not all of them.

        Parameters:
            sections: which; all where not given.
            interval_s: time between two readings, in seconds. Two digits of it count, so that readers share them.

        Raises:
            InvalidParams: the interval is shorter than the server allows.
        """
        return self._stream("watch", {"sections": sections, "interval_s": interval_s})

    def subscribe(
        self,
        sections: list[Section] | None = None,
        *,
        interval_s: float = 1.0,
        filter: list[str] | None = None,
        on_change: bool = False,
    ) -> GroupStream[Sample]:
        """Follow metrics: numbers with names, such as ``cpu.percent`` or
        ``network.interfaces.bytes_recv_per_s{eth0}``. A reader that is too slow gets the latest sample.

        Parameters:
            sections: which; all where not given.
            interval_s: time between two readings, in seconds. Two digits of it count, so that readers share them.
            filter: names of metrics, without braces for all of a kind; ``*`` and ``?`` stand for anything. At most
                1,000 names, 32 of them with wildcards.
            on_change: leave out samples in which nothing has changed since the one before.

        Raises:
            InvalidParams: the interval is shorter than the server allows, the sections have no such metric, or the
                filter is too long.
        """
        return self._stream(
            "subscribe", {"sections": sections, "interval_s": interval_s, "filter": filter, "on_change": on_change}
        )

    def history(
        self,
        metrics: Annotated[list[str], Field(min_length=1)],
        *,
        start_s: Finite | None = None,
        end_s: Finite | None = None,
        step_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None,
    ) -> Outcomes[list[Series]]:
        """What metrics were: the last hour finely, the last day coarsely (as the server is configured). Counters are
        kept as their rates, and the host's own figures not at all.

        Parameters:
            metrics: their names, as :meth:`subscribe` gives and takes them; at most 1,000, 32 of them with wildcards.
            start_s: from when on, in seconds since 1970, or, if negative, before now; an hour ago where not given.
            end_s: until when, likewise; now where not given.
            step_s: the time that each point is to cover, in seconds; as fine as is known where not given. The
                server keeps less of what is older: such points cover more, as they say.

        Raises:
            InvalidParams: there is no such metric, or it has no history; the time ends before it begins, the server
                keeps no history, or the answer would have more than 131,072 points.
        """
        return self._call("history", {"metrics": metrics, "start_s": start_s, "end_s": end_s, "step_s": step_s})

    def history_metrics(self) -> Outcomes[list[str]]:
        """The names of the metrics that have a history."""
        return self._call("history_metrics", {})

    def capabilities(self) -> Outcomes[list[Capability]]:
        """What can be read and used on this machine, and why the rest cannot."""
        return self._call("capabilities", {})

    def snapshot(self, sections: list[Section] | None = None) -> Outcomes[Snapshot]:
        """Several sections, read together.

        Parameters:
            sections: which; all where not given.
        """
        return self._call("snapshot", {"sections": sections})

    def host(self) -> Outcomes[Host]:
        """The machine and its system.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return self._call("host", {})

    def cpu(self) -> Outcomes[Cpu]:
        """The processors: how busy, how many, how fast. Shares are taken over the time since an earlier reading.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return self._call("cpu", {})

    def memory(self) -> Outcomes[Memory]:
        """Memory and swap.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return self._call("memory", {})

    def disks(self) -> Outcomes[Disks]:
        """Mounted file systems, and what goes through the block devices.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return self._call("disks", {})

    def network(self) -> Outcomes[Network]:
        """The network interfaces and what goes through them.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return self._call("network", {})

    def sensors(self) -> Outcomes[Sensors]:
        """Temperatures, fans, voltages, currents and power.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return self._call("sensors", {})

    def battery(self) -> Outcomes[Battery]:
        """The batteries, if there are any.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return self._call("battery", {})

    def users(self) -> Outcomes[list[User]]:
        """The sessions of users who are logged in.

        Raises:
            SectionUnavailable: it cannot be read now, or the system keeps no record of them (neither utmp nor logind).
        """
        return self._call("users", {})

    def cgroup(self) -> Outcomes[Cgroup]:
        """The limits and the use of the server's own control group, beside what the host has.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return self._call("cgroup", {})

    def pressure(self) -> Outcomes[Pressure]:
        """How much processes wait for processors, memory, disks and interrupts.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return self._call("pressure", {})

    def gpus(self) -> Outcomes[Gpus]:
        """The graphics processors, with the processes on them that the caller may see.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        return self._call("gpus", {})

    def connections(
        self, kind: ConnectionKind = "inet", *, limit: Annotated[int, Field(ge=1)] = 1000
    ) -> Outcomes[Connections]:
        """The sockets of the machine, and whose they are; of the caller's own processes alone, if the caller may see no
        others.

        Parameters:
            kind: which.
            limit: the most to list.
        """
        return self._call("connections", {"kind": kind, "limit": limit})

    _stub: ClassVar[type[SyncStub]] = Hardware
