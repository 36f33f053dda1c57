# Generated from the service hardware by `make stubs`. Do not edit: change that, and generate anew.

"""The service 'hardware', typed for the asynchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from rpcclient.aio.stream import AsyncStream
from rpcclient.aio.stub import AsyncStub
from rpcclient.methods import StubMethod
from rpcclient.stubs.hardware import (
    Battery,
    ByteSize,
    Capability,
    Cgroup,
    ConnectionKind,
    Connections,
    Cpu,
    Device,
    DeviceEvent,
    DeviceNotFound,
    Disks,
    Finite,
    Gpus,
    HardwareRefused,
    Host,
    Memory,
    Network,
    Parity,
    Pid,
    Pressure,
    ProcessAttribute,
    ProcessDenied,
    ProcessDetails,
    ProcessGone,
    ProcessList,
    Processor,
    ProcessSort,
    Sample,
    Section,
    SectionUnavailable,
    Sensors,
    SerialData,
    SerialLines,
    SerialNotOpen,
    SerialPort,
    SerialPortBusy,
    SerialPortDenied,
    SerialPortGone,
    SerialPortNotFound,
    SerialSession,
    SerialSettings,
    SerialTimeout,
    Series,
    Smart,
    Snapshot,
    StartTime,
    Subsystem,
    User,
)
from rpcwire.publishing import BUFFER_ITEMS, BufferItems, Event, EventPolicy


class AsyncHardware(AsyncStub):
    """See and use the server's machine: processors, memory, disks, network, sensors, battery, GPUs, processes.

    A value that cannot be read is None, and ``reasons`` beside it says why. Names are psutil's where it has them, with
    the unit added.
    """

    def device_changed(
        self, policy: EventPolicy = "drop_oldest", buffer_items: BufferItems = BUFFER_ITEMS
    ) -> AsyncStream[Event[DeviceEvent]]:
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

    async def serial_ports(self) -> list[SerialPort]:
        """The serial ports of the machine."""
        result: list[SerialPort] = await self._call("serial_ports", {})
        return result

    async def open_serial(
        self,
        port: str,
        *,
        baudrate: Annotated[int, Field(ge=1, le=2**31 - 1)] = 9600,
        bytesize: ByteSize = 8,
        parity: Parity = "N",
        stopbits: Annotated[float, Field(ge=1, le=2, multiple_of=0.5)] = 1.0,
        xonxoff: bool = False,
        rtscts: bool = False,
        dsrdtr: bool = False,
        write_timeout_s: Annotated[float, Field(gt=0)] = 60.0,
    ) -> SerialSession:
        """Open a serial port for this connection alone. It is closed when the connection ends. What comes in is kept
        from now on, until :meth:`read_serial` takes it.

        Parameters:
            port: its id, file or name, as :meth:`serial_ports` lists it.
            baudrate: bits per second.
            bytesize: data bits.
            parity: none, even, odd, mark or space.
            stopbits: 1, 1.5 or 2.
            xonxoff: flow control by characters.
            rtscts, dsrdtr: flow control by lines.
            write_timeout_s: how long a write may wait for the other side to take anything, in seconds.

        Raises:
            SectionUnavailable: serial ports cannot be opened on this server.
            SerialPortNotFound: there is no such port.
            SerialPortBusy: somebody has it open.
            SerialPortDenied: the server's user may not open it.
            HardwareRefused: the caller's role does not list the port.
            InvalidParams: the port refuses a setting.
        """
        result: SerialSession = await self._call(
            "open_serial",
            {
                "port": port,
                "baudrate": baudrate,
                "bytesize": bytesize,
                "parity": parity,
                "stopbits": stopbits,
                "xonxoff": xonxoff,
                "rtscts": rtscts,
                "dsrdtr": dsrdtr,
                "write_timeout_s": write_timeout_s,
            },
        )
        return result

    def read_serial(self, id: str) -> AsyncStream[SerialData]:
        """Read what comes in, until the port is closed. A reader that grants no credit holds the port back: by its own
        flow control, once the server's buffer is full.

        Parameters:
            id: as of :meth:`open_serial`.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortBusy: it is being read already.
            SerialPortGone: it was unplugged. Everything that came before is given first.
        """
        return self._stream("read_serial", {"id": id})

    async def write_serial(
        self, id: str, data: bytes, *, timeout_s: Annotated[float, Field(ge=0, le=86400)] | None = None
    ) -> int:
        """Write bytes; returns how many, when the system has taken all of them.

        Parameters:
            id: as of :meth:`open_serial`.
            data: the bytes.
            timeout_s: how long the other side may take nothing, in seconds; as given to :meth:`open_serial` where not
                given. With 0, what the system does not take at once is not written.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialTimeout: the other side takes nothing; the error says how many bytes were written.
            SerialPortGone: it was unplugged.
        """
        result: int = await self._call("write_serial", {"id": id, "data": data, "timeout_s": timeout_s})
        return result

    async def drain_serial(self, id: str) -> None:
        """Wait until everything that was written has been sent.

        Parameters:
            id: as of :meth:`open_serial`.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortGone: it was unplugged.
        """
        await self._call("drain_serial", {"id": id})

    async def reset_serial(self, id: str, *, input: bool = True, output: bool = False) -> int:
        """Throw away what has come in, or what was not sent yet.

        Parameters:
            id: as of :meth:`open_serial`.
            input: what has come in. Data of :meth:`read_serial` with fewer ``resets`` than this returns is void.
            output: what was not sent yet.

        Returns:
            How often input has been thrown away.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortGone: it was unplugged.
        """
        result: int = await self._call("reset_serial", {"id": id, "input": input, "output": output})
        return result

    async def configure_serial(self, id: str, settings: SerialSettings) -> SerialSettings:
        """Set a port up anew.

        Parameters:
            id: as of :meth:`open_serial`.
            settings: all of them.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortGone: it was unplugged.
            InvalidParams: the port refuses a setting.
        """
        result: SerialSettings = await self._call("configure_serial", {"id": id, "settings": settings})
        return result

    async def serial_lines(self, id: str) -> SerialLines:
        """The control lines, and how many bytes wait.

        Parameters:
            id: as of :meth:`open_serial`.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortGone: it was unplugged.
        """
        result: SerialLines = await self._call("serial_lines", {"id": id})
        return result

    async def set_serial_lines(
        self, id: str, *, dtr: bool | None = None, rts: bool | None = None, break_condition: bool | None = None
    ) -> None:
        """Set control lines. A port without lines, such as a pseudo-terminal, takes no notice.

        Parameters:
            id: as of :meth:`open_serial`.
            dtr: data terminal ready; stays as it is where not given, as do the others.
            rts: request to send.
            break_condition: hold the line at break.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortGone: it was unplugged.
        """
        await self._call("set_serial_lines", {"id": id, "dtr": dtr, "rts": rts, "break_condition": break_condition})

    async def send_break(self, id: str, duration_s: Annotated[float, Field(gt=0, le=30)] = 0.25) -> None:
        """Hold the line at break for a while.

        Parameters:
            id: as of :meth:`open_serial`.
            duration_s: how long, in seconds.

        Raises:
            SerialNotOpen: this connection has no such port.
            SerialPortGone: it was unplugged.
        """
        await self._call("send_break", {"id": id, "duration_s": duration_s})

    async def close_serial(self, id: str) -> None:
        """Close a port. Readers see the end of their stream.

        Parameters:
            id: as of :meth:`open_serial`.

        Raises:
            SerialNotOpen: this connection has no such port.
        """
        await self._call("close_serial", {"id": id})

    async def devices(self, subsystems: list[Subsystem] | None = None) -> list[Device]:
        """The devices of the machine: PCI, USB, disks, network, input, serial ports, graphics, memory modules, board.

        Parameters:
            subsystems: which; all where not given.
        """
        result: list[Device] = await self._call("devices", {"subsystems": subsystems})
        return result

    def watch_devices(self, subsystems: list[Subsystem] | None = None) -> AsyncStream[DeviceEvent]:
        """Follow the devices: all of them at first, then each one that is added, removed or changed. Where events were
        lost, because there were too many or the reader was too slow, all of them again (``resync``).

        Parameters:
            subsystems: which; all where not given.

        Raises:
            SectionUnavailable: the system reports no device events.
        """
        return self._stream("watch_devices", {"subsystems": subsystems})

    async def smart(self, disk: str) -> Smart:
        """What a disk says of its own health (SMART).

        Parameters:
            disk: its name, file or link, as :meth:`devices` lists it.

        Raises:
            DeviceNotFound: there is no such disk.
            SectionUnavailable: smartctl is not installed, or gives no answer.
            HardwareRefused: the caller's role does not list the disk.
        """
        result: Smart = await self._call("smart", {"disk": disk})
        return result

    async def processes(
        self,
        attributes: list[ProcessAttribute] | None = None,
        *,
        sort: ProcessSort = "cpu_percent",
        limit: Annotated[int, Field(ge=1)] = 100,
    ) -> ProcessList:
        """The processes of the machine that the caller may see.

        Parameters:
            attributes: what to read of each; what costs little where not given. In command lines, what looks like a
                secret is replaced by ``***``.
            sort: in which order.
            limit: the most to list.
        """
        result: ProcessList = await self._call("processes", {"attributes": attributes, "sort": sort, "limit": limit})
        return result

    def watch_processes(
        self,
        attributes: list[ProcessAttribute] | None = None,
        *,
        sort: ProcessSort = "cpu_percent",
        limit: Annotated[int, Field(ge=1)] = 100,
        interval_s: float = 1.0,
    ) -> AsyncStream[ProcessList]:
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

    async def process(self, pid: Pid, create_time: StartTime | None = None) -> ProcessDetails:
        """Everything about one process.

        Parameters:
            pid: its number.
            create_time: when it started, as :meth:`processes` lists it; whichever has the number where not given.

        Raises:
            ProcessGone: it has ended.
            ProcessDenied: the system hides it from the server's user, or the caller's role does.
        """
        result: ProcessDetails = await self._call("process", {"pid": pid, "create_time": create_time})
        return result

    async def signal_process(self, pid: Pid, create_time: StartTime, signal: str = "TERM") -> None:
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
        await self._call("signal_process", {"pid": pid, "create_time": create_time, "signal": signal})

    async def set_priority(self, pid: Pid, create_time: StartTime, nice: Annotated[int, Field(ge=-20, le=19)]) -> int:
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
        result: int = await self._call("set_priority", {"pid": pid, "create_time": create_time, "nice": nice})
        return result

    async def set_affinity(
        self, pid: Pid, create_time: StartTime, cpus: Annotated[list[Processor], Field(min_length=1)]
    ) -> list[int]:
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
        result: list[int] = await self._call("set_affinity", {"pid": pid, "create_time": create_time, "cpus": cpus})
        return result

    def watch(self, sections: list[Section] | None = None, *, interval_s: float = 1.0) -> AsyncStream[Snapshot]:
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
    ) -> AsyncStream[Sample]:
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

    async def history(
        self,
        metrics: Annotated[list[str], Field(min_length=1)],
        *,
        start_s: Finite | None = None,
        end_s: Finite | None = None,
        step_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None,
    ) -> list[Series]:
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
        result: list[Series] = await self._call(
            "history", {"metrics": metrics, "start_s": start_s, "end_s": end_s, "step_s": step_s}
        )
        return result

    async def history_metrics(self) -> list[str]:
        """The names of the metrics that have a history."""
        result: list[str] = await self._call("history_metrics", {})
        return result

    async def capabilities(self) -> list[Capability]:
        """What can be read and used on this machine, and why the rest cannot."""
        result: list[Capability] = await self._call("capabilities", {})
        return result

    async def snapshot(self, sections: list[Section] | None = None) -> Snapshot:
        """Several sections, read together.

        Parameters:
            sections: which; all where not given.
        """
        result: Snapshot = await self._call("snapshot", {"sections": sections})
        return result

    async def host(self) -> Host:
        """The machine and its system.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        result: Host = await self._call("host", {})
        return result

    async def cpu(self) -> Cpu:
        """The processors: how busy, how many, how fast. Shares are taken over the time since an earlier reading.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        result: Cpu = await self._call("cpu", {})
        return result

    async def memory(self) -> Memory:
        """Memory and swap.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        result: Memory = await self._call("memory", {})
        return result

    async def disks(self) -> Disks:
        """Mounted file systems, and what goes through the block devices.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        result: Disks = await self._call("disks", {})
        return result

    async def network(self) -> Network:
        """The network interfaces and what goes through them.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        result: Network = await self._call("network", {})
        return result

    async def sensors(self) -> Sensors:
        """Temperatures, fans, voltages, currents and power.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        result: Sensors = await self._call("sensors", {})
        return result

    async def battery(self) -> Battery:
        """The batteries, if there are any.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        result: Battery = await self._call("battery", {})
        return result

    async def users(self) -> list[User]:
        """The sessions of users who are logged in.

        Raises:
            SectionUnavailable: it cannot be read now, or the system keeps no record of them (neither utmp nor logind).
        """
        result: list[User] = await self._call("users", {})
        return result

    async def cgroup(self) -> Cgroup:
        """The limits and the use of the server's own control group, beside what the host has.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        result: Cgroup = await self._call("cgroup", {})
        return result

    async def pressure(self) -> Pressure:
        """How much processes wait for processors, memory, disks and interrupts.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        result: Pressure = await self._call("pressure", {})
        return result

    async def gpus(self) -> Gpus:
        """The graphics processors, with the processes on them that the caller may see.

        Raises:
            SectionUnavailable: it cannot be read now.
        """
        result: Gpus = await self._call("gpus", {})
        return result

    async def connections(
        self, kind: ConnectionKind = "inet", *, limit: Annotated[int, Field(ge=1)] = 1000
    ) -> Connections:
        """The sockets of the machine, and whose they are; of the caller's own processes alone, if the caller may see no
        others.

        Parameters:
            kind: which.
            limit: the most to list.
        """
        result: Connections = await self._call("connections", {"kind": kind, "limit": limit})
        return result

    _methods: ClassVar[Mapping[str, StubMethod]] = {
        "device_changed": StubMethod("hardware.device_changed", device_changed),
        "serial_ports": StubMethod("hardware.serial_ports", serial_ports),
        "open_serial": StubMethod(
            "hardware.open_serial",
            open_serial,
            errors=(
                SectionUnavailable,
                SerialPortNotFound,
                SerialPortBusy,
                SerialPortDenied,
                HardwareRefused,
            ),
            group=False,
        ),
        "read_serial": StubMethod(
            "hardware.read_serial",
            read_serial,
            errors=(
                SerialNotOpen,
                SerialPortGone,
                SerialPortBusy,
            ),
            group=False,
        ),
        "write_serial": StubMethod(
            "hardware.write_serial",
            write_serial,
            deadline_s=3600.0,
            errors=(
                SerialNotOpen,
                SerialPortGone,
                SerialTimeout,
            ),
            group=False,
        ),
        "drain_serial": StubMethod(
            "hardware.drain_serial",
            drain_serial,
            deadline_s=3600.0,
            errors=(
                SerialNotOpen,
                SerialPortGone,
            ),
            group=False,
        ),
        "reset_serial": StubMethod(
            "hardware.reset_serial",
            reset_serial,
            errors=(
                SerialNotOpen,
                SerialPortGone,
            ),
            group=False,
        ),
        "configure_serial": StubMethod(
            "hardware.configure_serial",
            configure_serial,
            errors=(
                SerialNotOpen,
                SerialPortGone,
            ),
            group=False,
        ),
        "serial_lines": StubMethod(
            "hardware.serial_lines",
            serial_lines,
            errors=(
                SerialNotOpen,
                SerialPortGone,
            ),
            group=False,
        ),
        "set_serial_lines": StubMethod(
            "hardware.set_serial_lines",
            set_serial_lines,
            errors=(
                SerialNotOpen,
                SerialPortGone,
            ),
            group=False,
        ),
        "send_break": StubMethod(
            "hardware.send_break",
            send_break,
            errors=(
                SerialNotOpen,
                SerialPortGone,
            ),
            group=False,
        ),
        "close_serial": StubMethod("hardware.close_serial", close_serial, errors=(SerialNotOpen,), group=False),
        "devices": StubMethod("hardware.devices", devices),
        "watch_devices": StubMethod("hardware.watch_devices", watch_devices, errors=(SectionUnavailable,)),
        "smart": StubMethod(
            "hardware.smart",
            smart,
            errors=(
                SectionUnavailable,
                DeviceNotFound,
                HardwareRefused,
            ),
        ),
        "processes": StubMethod("hardware.processes", processes),
        "watch_processes": StubMethod("hardware.watch_processes", watch_processes, latest=True),
        "process": StubMethod(
            "hardware.process",
            process,
            errors=(
                ProcessGone,
                ProcessDenied,
            ),
        ),
        "signal_process": StubMethod(
            "hardware.signal_process",
            signal_process,
            errors=(
                ProcessGone,
                ProcessDenied,
            ),
        ),
        "set_priority": StubMethod(
            "hardware.set_priority",
            set_priority,
            errors=(
                ProcessGone,
                ProcessDenied,
            ),
        ),
        "set_affinity": StubMethod(
            "hardware.set_affinity",
            set_affinity,
            errors=(
                ProcessGone,
                ProcessDenied,
            ),
        ),
        "watch": StubMethod("hardware.watch", watch, latest=True),
        "subscribe": StubMethod("hardware.subscribe", subscribe, latest=True),
        "history": StubMethod("hardware.history", history),
        "history_metrics": StubMethod("hardware.history_metrics", history_metrics),
        "capabilities": StubMethod("hardware.capabilities", capabilities),
        "snapshot": StubMethod("hardware.snapshot", snapshot),
        "host": StubMethod("hardware.host", host, errors=(SectionUnavailable,)),
        "cpu": StubMethod("hardware.cpu", cpu, errors=(SectionUnavailable,)),
        "memory": StubMethod("hardware.memory", memory, errors=(SectionUnavailable,)),
        "disks": StubMethod("hardware.disks", disks, errors=(SectionUnavailable,)),
        "network": StubMethod("hardware.network", network, errors=(SectionUnavailable,)),
        "sensors": StubMethod("hardware.sensors", sensors, errors=(SectionUnavailable,)),
        "battery": StubMethod("hardware.battery", battery, errors=(SectionUnavailable,)),
        "users": StubMethod("hardware.users", users, errors=(SectionUnavailable,)),
        "cgroup": StubMethod("hardware.cgroup", cgroup, errors=(SectionUnavailable,)),
        "pressure": StubMethod("hardware.pressure", pressure, errors=(SectionUnavailable,)),
        "gpus": StubMethod("hardware.gpus", gpus, errors=(SectionUnavailable,)),
        "connections": StubMethod("hardware.connections", connections),
    }
