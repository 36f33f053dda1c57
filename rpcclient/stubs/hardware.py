# Generated from the service hardware by `make stubs`. Do not edit: change that, and generate anew.

"""What the service 'hardware' takes, answers and raises."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rpcwire.errors import ServiceError


class Answer(BaseModel):
    """The root of what the service answers."""

    model_config = ConfigDict(frozen=True)


Subsystem = Literal["pci", "usb", "block", "net", "input", "tty", "drm", "memory", "dmi"]
"A kind of device: the kernel's words, and ``memory`` for DIMMs, ``dmi`` for the system, its board and firmware."


class Device(Answer):
    """A device. ``properties`` has what only its subsystem knows, under osquery's names (tables ``pci_devices``,
    ``usb_devices``, ``block_devices``, ``memory_devices``, ``system_info``, ``interface_details``)."""

    id: str = Field(description="its path in sysfs below the root, which is unique; smbios/... for what DMI lists")
    subsystem: Subsystem
    name: str = Field(description="as the kernel calls it, such as sda or 0000:00:1f.2")
    vendor: str | None = Field(default=None, description="who made it")
    vendor_id: str | None = Field(default=None, description="four hexadecimal digits")
    model: str | None = None
    model_id: str | None = Field(default=None, description="four hexadecimal digits")
    serial: str | None = Field(default=None, description="its serial number")
    driver: str | None = Field(default=None, description="the kernel's driver for it")
    node: str | None = Field(default=None, description="its file in /dev")
    by_id: str | None = Field(default=None, description="a link to that file which outlives replugging")
    parent: str | None = Field(default=None, description="id of the device that it hangs on, where that is listed")
    properties: dict[str, str | int | None] = Field(default_factory=dict)


class DeviceEvent(Answer):
    """Something about the devices. ``snapshot`` comes first, with all of them; then one for each change; ``resync``,
    again with all of them, where events were lost."""

    action: Literal["snapshot", "add", "remove", "change", "resync"]
    t_wall_s: float = Field(description="when it was seen, in seconds since 1970")
    device: Device | None = Field(default=None, description="which (add, remove, change); removed ones as last seen")
    devices: list[Device] | None = Field(default=None, description="all of them (snapshot, resync)")
    reason: str = Field(default="", description="what was lost (resync)")


class SerialPort(Answer):
    """A serial port of the machine."""

    id: str = Field(description="what to open it by: a link that outlives replugging where there is one, else its file")
    node: str = Field(description="its file in /dev")
    name: str = Field(description="as the kernel calls it, such as ttyUSB0")
    by_id: str | None = Field(description="a link to its file which outlives replugging")
    vendor: str | None = Field(description="who made the adapter")
    vendor_id: str | None = Field(description="four hexadecimal digits")
    model: str | None
    model_id: str | None = Field(description="four hexadecimal digits")
    serial: str | None = Field(description="serial number of the adapter")
    driver: str | None
    device: str = Field(description="its id in the inventory of devices")
    in_use: bool = Field(description="whether a client of this server has it open")


ByteSize = Literal[5, 6, 7, 8]
"Data bits."

Parity = Literal["N", "E", "O", "M", "S"]
"None, even, odd, mark, space: pyserial's letters."


class SerialSettings(Answer):
    """How a port is set up."""

    baudrate: int = Field(default=9600, ge=1, le=2**31 - 1, description="bits per second")
    bytesize: ByteSize = Field(default=8, description="data bits")
    parity: Parity = Field(default="N", description="none, even, odd, mark or space")
    stopbits: float = Field(default=1.0, ge=1, le=2, multiple_of=0.5, description="stop bits: 1, 1.5 or 2")
    xonxoff: bool = Field(default=False, description="flow control by the characters XON and XOFF")
    rtscts: bool = Field(default=False, description="flow control by the lines RTS and CTS")
    dsrdtr: bool = Field(default=False, description="flow control by the lines DSR and DTR")


class SerialSession(Answer):
    """A port that is open for one client."""

    id: str = Field(description="names it in the other calls, of the same connection")
    port: str = Field(description="its file in /dev")
    settings: SerialSettings


class SectionUnavailable(ServiceError):
    """A whole section cannot be read at the moment. (A single value that cannot be read is None, with a reason.)"""

    section: str
    reason: str


class SerialPortNotFound(ServiceError):
    """There is no such serial port, or it may not be used as one."""

    executed = "no"
    port: str


class SerialPortBusy(ServiceError):
    """Somebody else has the port open, or reads it."""

    executed = "no"
    port: str


class SerialPortDenied(ServiceError):
    """The server's user may not open the port."""

    executed = "no"
    port: str


class HardwareRefused(ServiceError):
    """The caller's role in the server's configuration does not list the device."""

    code = -32002
    executed = "no"
    device: str
    """The file of the device."""
    rule: str
    """The place of the rule in the server's configuration."""


class SerialData(Answer):
    """What has come in."""

    data: bytes
    resets: int = Field(description="how often input had been thrown away when this came: older data is void")


class SerialNotOpen(ServiceError):
    """This connection has no open port of this id."""

    executed = "no"
    id: str


class SerialPortGone(ServiceError):
    """The port was unplugged, or is closed."""

    port: str


class SerialTimeout(ServiceError):
    """The port took no more bytes: the other side holds them back."""

    port: str
    written: int
    """How many of the bytes were written."""


class SerialLines(Answer):
    """The control lines. None: the port has no such line."""

    dtr: bool | None = Field(description="out: data terminal ready")
    rts: bool | None = Field(description="out: request to send")
    cts: bool | None = Field(description="in: clear to send")
    dsr: bool | None = Field(description="in: data set ready")
    ri: bool | None = Field(description="in: ring indicator")
    cd: bool | None = Field(description="in: carrier detect")
    break_condition: bool = Field(description="out: whether the line is held at break")
    in_waiting: int = Field(description="bytes that have come in and were not sent on yet")
    out_waiting: int = Field(description="bytes that the system still has to send")
    resets: int = Field(description="how often input was thrown away")


class SmartAttribute(Answer):
    """One attribute of an ATA disk (smartctl's names)."""

    id: int
    name: str = Field(description="empty where smartctl does not know it")
    value: int | None = Field(description="normalised: the higher, the better")
    worst: int | None = Field(description="lowest value so far")
    thresh: int | None = Field(description="at or below it, the disk is about to fail")
    when_failed: str = Field(description="now, past, or empty")
    raw_value: int | None
    raw_string: str = Field(description="the raw value as the maker means it")


class Smart(Answer):
    """What a disk says of its own health."""

    node: str = Field(description="its file")
    model_name: str | None
    serial_number: str | None
    firmware_version: str | None
    protocol: str | None = Field(description="ATA, NVMe or SCSI")
    passed: bool | None = Field(description="whether the disk finds itself healthy")
    temperature_celsius: float | None
    power_on_hours: int | None
    power_cycle_count: int | None
    attributes: list[SmartAttribute] = Field(description="of an ATA disk")
    nvme: dict[str, int] = Field(description="health log of an NVMe disk, under smartctl's names")
    reason: str = Field(default="", description="why values are missing; empty where none of the verdict is")


class DeviceNotFound(ServiceError):
    """There is no such device."""

    executed = "no"
    device: str


ProcessAttribute = Literal[
    "pid",
    "create_time",
    "ppid",
    "name",
    "username",
    "status",
    "cpu_percent",
    "cpu_times",
    "memory_info",
    "memory_percent",
    "num_threads",
    "num_fds",
    "nice",
    "cpu_affinity",
    "io_counters",
    "cmdline",
    "exe",
    "cwd",
    "terminal",
]
"What can be asked of a process: psutil's names. ``memory_info`` gives ``rss_bytes`` and ``vms_bytes``, ``cpu_times``\nthe two times, ``io_counters`` what was read and written; ``pid`` and ``create_time`` are always given."

ProcessSort = Literal["cpu_percent", "memory_percent", "cpu_times", "pid", "name", "create_time"]
"How processes are sorted: the first three with the largest first, ``create_time`` with the youngest first."


class Process(Answer):
    """A process. ``pid`` and ``create_time`` together name it. What was not asked for is None."""

    pid: int
    create_time: float | None = Field(description="when it started, in seconds since 1970")
    ppid: int | None = Field(default=None, description="its parent")
    name: str | None = Field(default=None, description="as the system has it; a program may call itself anything")
    username: str | None = Field(default=None, description="whose it is")
    status: str | None = Field(default=None, description="running, sleeping, zombie, ...")
    cpu_percent: float | None = Field(
        default=None, description="share of one processor since the last reading; None at first"
    )
    cpu_user_s: float | None = Field(default=None, description="processor time in the program, in seconds")
    cpu_system_s: float | None = Field(default=None, description="processor time in the kernel, in seconds")
    rss_bytes: int | None = Field(default=None, description="physical memory that it holds")
    vms_bytes: int | None = Field(default=None, description="its address space")
    memory_percent: float | None = Field(default=None, description="share of physical memory, 0 to 100")
    num_threads: int | None = None
    num_fds: int | None = Field(default=None, description="open files")
    nice: int | None = Field(default=None, description="priority, -20 (first) to 19 (last)")
    cpu_affinity: list[int] | None = Field(default=None, description="processors that it may run on")
    read_bytes: int | None = Field(default=None, description="read from disks")
    write_bytes: int | None = Field(default=None, description="written to disks")
    cmdline: list[str] | None = Field(
        default=None,
        description="its command line; what looks like a secret is replaced by ***, and what comes after 4,096 "
        "characters, in `process` after 65,536, by …",
    )
    exe: str | None = Field(
        default=None, description="the program's file; None without a reason: a part of the kernel, which has none"
    )
    cwd: str | None = Field(default=None, description="its working directory")
    terminal: str | None = Field(default=None, description="its terminal; None without a reason: it has none")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class ProcessList(Answer):
    """The processes of one moment."""

    t_mono_s: float = Field(description="when, on a clock that only runs forward, in seconds")
    t_wall_s: float = Field(description="when, in seconds since 1970")
    dt_s: float | None = Field(
        description="time over which cpu_percent was taken, in seconds; None at first, and where nobody asked for it"
    )
    total: int = Field(description="how many there are, without those that the system hides")
    running: int | None = Field(description="how many of them run now; None where status was not asked for")
    processes: list[Process]
    reasons: dict[str, str] = Field(
        default_factory=dict, description="why these are not all (processes): the system may hide those of others"
    )


Pid = Annotated[int, Field(ge=1, le=2**31 - 1)]

StartTime = Annotated[float, Field(allow_inf_nan=False)]


class ProcessRef(Answer):
    """Names a process for good: a number alone is used again."""

    pid: int
    create_time: float = Field(description="when it started, in seconds since 1970, as it was listed")


class OpenFile(Answer):
    """A file that a process has open."""

    path: str
    fd: int
    mode: str | None = None


class ProcessDetails(Answer):
    """Everything about one process."""

    process: Process
    uids: list[int] | None = Field(description="real, effective, saved")
    gids: list[int] | None = Field(description="real, effective, saved")
    children: list[ProcessRef] | None
    open_files: list[OpenFile] | None
    uss_bytes: int | None = Field(description="memory that only it holds: what its end would free")
    ctx_switches_voluntary: int | None
    ctx_switches_involuntary: int | None
    cgroup: str | None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class ProcessGone(ServiceError):
    """The process has ended. Its number may be another's by now, which was left alone."""

    executed = "no"
    pid: int


class ProcessDenied(ServiceError):
    """The server's user may not do this to the process, or the caller's role allows only the caller's own."""

    executed = "no"
    pid: int


Processor = Annotated[int, Field(ge=0, le=2**31 - 1)]

Section = Literal[
    "host", "cpu", "memory", "disks", "network", "sensors", "battery", "users", "cgroup", "pressure", "gpus"
]
"A part of the machine that :class:`Snapshot` can hold."


class Host(Answer):
    """The machine and its system."""

    hostname: str
    system: str = Field(description="such as Linux")
    release: str = Field(description="of the kernel")
    version: str = Field(description="of the kernel, in full")
    machine: str = Field(description="such as x86_64")
    distribution: str | None = Field(description="such as Debian GNU/Linux 12")
    python: str = Field(description="the server's Python")
    boot_time: float = Field(description="when the system started, in seconds since 1970")
    uptime_s: float = Field(description="since then, in seconds")
    virtualization: str | None = Field(description="the hypervisor or container around it, where the system shows one")
    hardware_vendor: str | None = Field(description="who made the machine")
    hardware_model: str | None = Field(description="what the maker calls it")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class CpuTimes(Answer):
    """What processors have spent their time on, in seconds since the system started. None: not told by the system."""

    user: float
    system: float
    idle: float
    nice: float | None = None
    iowait: float | None = None
    irq: float | None = None
    softirq: float | None = None
    steal: float | None = None
    guest: float | None = None
    guest_nice: float | None = None


class CpuCore(Answer):
    """One logical processor."""

    cpu: int = Field(description="the kernel's number of it: where one is offline, those behind it keep theirs")
    online: bool = Field(default=True, description="whether the system schedules on it; if not, the rest is None")
    percent: float | None = Field(description="busy share since the last reading, 0 to 100")
    frequency_mhz: float | None = Field(description="current frequency, in MHz; None where the system does not tell")
    times: CpuTimes | None = Field(description="None where it is offline")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Cpu(Answer):
    """The processors."""

    percent: float | None = Field(description="busy share of all processors since the last reading, 0 to 100")
    cores: list[CpuCore] = Field(description="each logical processor, those that are offline included")
    logical: int = Field(description="processors that the system schedules on: those that are online")
    physical: int | None = Field(description="cores, where the system tells")
    sockets: int | None = Field(description="processor packages, where the system tells")
    model: str | None = Field(description="the processor's name")
    frequency_mhz: float | None = Field(description="current frequency, the mean of all, in MHz")
    frequency_min_mhz: float | None = Field(description="lowest frequency, in MHz")
    frequency_max_mhz: float | None = Field(description="highest frequency, in MHz")
    load_1m: float | None = Field(description="load average over one minute")
    load_5m: float | None = Field(description="load average over five minutes")
    load_15m: float | None = Field(description="load average over fifteen minutes")
    times: CpuTimes = Field(description="of all processors together")
    ctx_switches: int | None = Field(description="context switches since the system started")
    interrupts: int | None = Field(description="since the system started")
    soft_interrupts: int | None = Field(description="since the system started")
    ctx_switches_per_s: float | None = Field(description="since the last reading")
    interrupts_per_s: float | None = Field(description="since the last reading")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Swap(Answer):
    """Swap space."""

    total_bytes: int
    used_bytes: int
    free_bytes: int
    percent: float = Field(description="share in use, 0 to 100")
    sin_bytes: int = Field(description="swapped in since the system started")
    sout_bytes: int = Field(description="swapped out since the system started")
    sin_bytes_per_s: float | None = Field(description="since the last reading")
    sout_bytes_per_s: float | None = Field(description="since the last reading")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Memory(Answer):
    """Memory of the host; the ``cgroup`` section says what of it the server's own group may use."""

    total_bytes: int = Field(description="physical memory")
    available_bytes: int = Field(description="what programs can get without swapping")
    used_bytes: int = Field(description="physical memory in use")
    free_bytes: int = Field(description="physical memory that nothing uses, not even as a cache")
    percent: float = Field(description="share that is not available, 0 to 100")
    active_bytes: int | None = None
    inactive_bytes: int | None = None
    buffers_bytes: int | None = None
    cached_bytes: int | None = None
    shared_bytes: int | None = None
    slab_bytes: int | None = None
    swap: Swap | None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Filesystem(Answer):
    """A mounted file system, as df(1) lists it: what has room for nothing is left out, such as proc and sysfs, and so
    is what lies hidden below another mount."""

    device: str = Field(description="what is mounted")
    mountpoint: str = Field(description="where")
    fstype: str = Field(description="kind of file system")
    opts: str = Field(description="options of the mount")
    root: str = Field(default="/", description="the folder of the file system that is mounted; / for all of it")
    bind: bool = Field(
        default=False, description="whether it shows a part of a file system, or one that is mounted elsewhere, too"
    )
    same_as: str = Field(
        default="", description="where else the same file system is mounted, to be counted there; empty: count this one"
    )
    total_bytes: int | None = Field(description="its size")
    used_bytes: int | None = Field(description="in use")
    free_bytes: int | None = Field(description="free for users without privileges")
    percent: float | None = Field(description="share in use, 0 to 100")
    inodes_total: int | None = Field(description="files that it can hold")
    inodes_free: int | None = Field(description="files that it can still take")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


DiskKind = Literal["disk", "partition", "virtual"]
"A disk of the machine; a part of one; or something that lies on others, or in memory: RAID, LVM, loop, zram."


class DiskIo(Answer):
    """What went through a block device. Rates are None until two readings exist, and after a counter's reset."""

    name: str = Field(description="the device")
    kind: DiskKind | None = Field(
        default=None,
        description="disk, partition or virtual (RAID, LVM, loop, memory): what goes through one of the last two goes "
        "through a disk, too, and only disks may be added up; None where the system does not tell",
    )
    read_count: int = Field(description="reads since the system started")
    write_count: int = Field(description="writes since the system started")
    read_bytes: int = Field(description="since the system started")
    write_bytes: int = Field(description="since the system started")
    busy_time_ms: int | None = Field(description="time with work to do since the system started, in ms")
    read_count_per_s: float | None = Field(description="since the last reading")
    write_count_per_s: float | None = Field(description="since the last reading")
    read_bytes_per_s: float | None = Field(description="since the last reading")
    write_bytes_per_s: float | None = Field(description="since the last reading")
    busy_percent: float | None = Field(description="share of time with work to do since the last reading, 0 to 100")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Disks(Answer):
    """File systems and block devices."""

    filesystems: list[Filesystem]
    io: list[DiskIo]
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is empty, by its name")


Counted = Literal["total", "inside", "no"]
"In which sum of :class:`Network` an interface is counted."

InterfaceKind = Literal[
    "loopback",
    "ethernet",
    "wifi",
    "mobile",
    "infiniband",
    "bridge",
    "bond",
    "vlan",
    "macvlan",
    "veth",
    "tun",
    "tunnel",
    "virtual",
    "other",
]
"What a network interface is: within the machine; hardware of four kinds; a bridge; several as one (team, too); a part\nof one (``macvlan`` with macvtap and ipvlan); an end of a pair, whose other end is a container's as a rule; that of a\nprogram or a virtual machine (tun and tap); one that wraps what goes through it (WireGuard, VXLAN, GRE, ...); dummy, ifb\nand others without hardware; hardware of another kind."


class Address(Answer):
    """An address of a network interface."""

    family: Literal["inet", "inet6", "link"] = Field(description="IPv4, IPv6, or the hardware's")
    address: str
    netmask: str | None
    broadcast: str | None


class NetworkInterface(Answer):
    """A network interface. Rates are None until two readings exist, and after a counter's reset."""

    name: str
    kind: InterfaceKind | None = Field(default=None, description="what it is; None where the system does not tell")
    lies_on: list[str] = Field(
        default_factory=list, description="the interfaces that carry what goes through it: parts of a bridge or bond"
    )
    counted: Counted = Field(
        default="total",
        description="in which sum: total (it leads out of the system), inside (to a container or virtual machine of "
        "it, from where it goes on through one of the former), or no (what goes through it goes through others, too, "
        "or nowhere)",
    )
    isup: bool | None = Field(description="whether it is up")
    duplex: Literal["full", "half"] | None = Field(description="None where the system does not tell")
    speed_mbit: int | None = Field(description="nominal speed, in Mbit/s")
    mtu: int | None = Field(description="largest packet, in bytes")
    addresses: list[Address]
    bytes_sent: int = Field(description="since the system started")
    bytes_recv: int = Field(description="since the system started")
    packets_sent: int = Field(description="since the system started")
    packets_recv: int = Field(description="since the system started")
    errin: int = Field(description="failures to receive")
    errout: int = Field(description="failures to send")
    dropin: int = Field(description="dropped on the way in")
    dropout: int = Field(description="dropped on the way out")
    bytes_sent_per_s: float | None = Field(description="since the last reading")
    bytes_recv_per_s: float | None = Field(description="since the last reading")
    packets_sent_per_s: float | None = Field(description="since the last reading")
    packets_recv_per_s: float | None = Field(description="since the last reading")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Traffic(Answer):
    """What goes through several interfaces together. Rates are None until two readings exist."""

    bytes_sent_per_s: float | None = Field(description="since the last reading")
    bytes_recv_per_s: float | None = Field(description="since the last reading")
    packets_sent_per_s: float | None = Field(description="since the last reading")
    packets_recv_per_s: float | None = Field(description="since the last reading")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Network(Answer):
    """The network interfaces."""

    interfaces: list[NetworkInterface]
    total: Traffic | None = Field(
        default=None,
        description="what goes out of the system and comes into it, once: hardware, and what leads to containers and "
        "virtual machines of it if nothing of that goes on through the hardware",
    )
    inside: Traffic | None = Field(
        default=None,
        description="what goes between the system and its containers and virtual machines, where that may go on "
        "through what total counts: by a bridge, or because the system forwards",
    )
    reasons: dict[str, str] = Field(default_factory=dict, description="why there are none, or what they lack, by field")


SensorKind = Literal["temperature", "fan", "voltage", "current", "power", "humidity"]
"What a sensor measures: degrees Celsius, turns per minute, volts, amperes, watts, percent."


class Sensor(Answer):
    """A sensor's reading, in the unit of its kind."""

    kind: SensorKind
    chip: str = Field(description="which chip reports it")
    device: str = Field(
        default="",
        description="what the chip is a part of, such as one of two disks: its path in sysfs below the root, as in the "
        "inventory; may be empty",
    )
    label: str = Field(description="what it measures; may be empty")
    current: float | None = Field(description="degrees Celsius, turns per minute, volts, amperes, watts or percent")
    high: float | None = Field(default=None, description="where it begins to be too much")
    critical: float | None = Field(default=None, description="where it is dangerous")
    reason: str = Field(default="", description="why there is no value")


class Sensors(Answer):
    """All sensors."""

    readings: list[Sensor]
    reasons: dict[str, str] = Field(default_factory=dict, description="why there are none of a kind, by the kind")


class BatteryUnit(Answer):
    """One battery of the machine."""

    name: str = Field(description="as the system calls it, such as BAT0")
    percent: float | None = Field(description="charge, 0 to 100")
    status: str | None = Field(description="Charging, Discharging, Full, Not charging or Unknown")
    energy_now_wh: float | None = Field(description="energy in it, in watt hours")
    energy_full_wh: float | None = Field(description="energy when it is full now, in watt hours")
    energy_design_wh: float | None = Field(description="energy when it was full as new, in watt hours")
    power_w: float | None = Field(description="what flows in or out, in watts")
    cycle_count: int | None = Field(description="how often it was charged")
    technology: str | None = Field(description="such as Li-ion")
    manufacturer: str | None = None
    model_name: str | None = None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Battery(Answer):
    """The batteries of the machine together, and each of them."""

    present: bool = Field(description="whether there is one")
    percent: float | None = Field(
        description="charge of all together, 0 to 100; one that does not tell how much it holds counts as much as the "
        "others do on the average"
    )
    power_plugged: bool | None = Field(description="whether it is on mains")
    secsleft: int | None = Field(description="time left, in seconds; None where unknown or on mains")
    batteries: list[BatteryUnit] = Field(default_factory=list)
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Cgroup(Answer):
    """What the server's own control group allows and uses, beside what the host has. The tightest limit of the group
    and all above it counts."""

    version: Literal[1, 2] | None = Field(description="of the control groups that limit memory")
    path: str | None = Field(description="the group, below the root of its hierarchy")
    memory_limit_bytes: int | None = Field(description="None without a limit")
    memory_usage_bytes: int | None
    memory_percent: float | None = Field(description="usage of the limit, 0 to 100; None without a limit")
    memory_working_set_bytes: int | None = Field(
        default=None,
        description="usage without what the kernel keeps of files and gives back first when memory is short (the "
        "inactive ones): what counts before processes are killed, as for Kubernetes",
    )
    memory_working_set_percent: float | None = Field(
        default=None, description="working set of the limit, 0 to 100; None without a limit"
    )
    swap_limit_bytes: int | None = Field(description="None without a limit")
    swap_usage_bytes: int | None
    oom_kills: int | None = Field(description="processes killed in the group for want of memory")
    cpu_limit_cores: float | None = Field(description="processors' time per time; None without a limit")
    cpu_usage_s: float | None = Field(description="processor time used by the group, in seconds")
    cpu_percent: float | None = Field(description="share of one processor since the last reading")
    cpu_throttled_s: float | None = Field(description="time that the group was held back, in seconds")
    cpuset: list[int] | None = Field(description="processors that the group may run on")
    pids_limit: int | None = Field(description="None without a limit")
    pids_current: int | None
    host_memory_bytes: int = Field(description="physical memory of the host")
    host_cpus: int = Field(description="processors of the host")
    usable_memory_bytes: int = Field(description="the smaller of host and limit")
    usable_cpus: float = Field(description="the smallest of host, set and limit")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Stall(Answer):
    """Shares of time in which something waited, in percent, and in total."""

    avg10: float = Field(description="over ten seconds, 0 to 100")
    avg60: float = Field(description="over a minute, 0 to 100")
    avg300: float = Field(description="over five minutes, 0 to 100")
    total_us: int = Field(description="since the system started, in microseconds")


class Pressure(Answer):
    """How much processes wait for a resource (Documentation/accounting/psi.rst): some of them, or all (``full``)."""

    cpu_some: Stall | None = None
    cpu_full: Stall | None = None
    memory_some: Stall | None = None
    memory_full: Stall | None = None
    io_some: Stall | None = None
    io_full: Stall | None = None
    irq_full: Stall | None = None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a resource has no figures, by its name")


class GpuProcess(Answer):
    """A process that uses a GPU."""

    pid: int
    memory_bytes: int | None = Field(description="memory of the GPU that it holds; None where the driver hides it")


class Gpu(Answer):
    """A graphics processor. Names are those of nvidia-smi's queries."""

    index: int
    name: str | None
    vendor: str = Field(description="nvidia or amd")
    uuid: str | None
    pci_bus_id: str | None = Field(description="its slot, as in the inventory of devices")
    driver_version: str | None
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    memory_free_bytes: int | None
    utilization_gpu_percent: float | None = Field(description="share of time with work to do, 0 to 100")
    utilization_memory_percent: float | None = Field(description="share of time with memory traffic, 0 to 100")
    temperature_celsius: float | None
    power_draw_w: float | None
    power_limit_w: float | None
    fan_percent: float | None = Field(description="intended speed of the fan, 0 to 100")
    clock_graphics_mhz: int | None
    clock_memory_mhz: int | None
    processes: list[GpuProcess] | None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Gpus(Answer):
    """The graphics processors."""

    gpus: list[Gpu]
    reasons: dict[str, str] = Field(default_factory=dict, description="why there are none of a vendor, by the vendor")


class User(Answer):
    """A session of a user who is logged in."""

    name: str
    terminal: str | None
    host: str | None = Field(description="where from")
    started: float | None = Field(description="since when, in seconds since 1970; None where logind does not tell")
    pid: int | None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a field is None, by its name")


class Snapshot(Answer):
    """Several sections, read together. What was not asked for is None."""

    t_mono_s: float = Field(description="when, on a clock that only runs forward, in seconds")
    t_wall_s: float = Field(description="when, in seconds since 1970")
    dt_s: float | None = Field(
        description="time over which rates were taken, in seconds; None at first, and where there are none"
    )
    host: Host | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    disks: Disks | None = None
    network: Network | None = None
    sensors: Sensors | None = None
    battery: Battery | None = None
    users: list[User] | None = None
    cgroup: Cgroup | None = None
    pressure: Pressure | None = None
    gpus: Gpus | None = None
    reasons: dict[str, str] = Field(default_factory=dict, description="why a section could not be read, by section")


class Sample(Answer):
    """Metrics of one moment. A metric's name is its place in :class:`Snapshot`, with what it belongs to in braces:
    ``cpu.percent``, ``network.interfaces.bytes_recv_per_s{eth0}``, ``disks.filesystems.percent{/home}``."""

    t_mono_s: float = Field(description="when, on a clock that only runs forward, in seconds")
    t_wall_s: float = Field(description="when, in seconds since 1970")
    dt_s: float | None = Field(
        description="time over which rates were taken, in seconds; None at first, and where there are none"
    )
    values: dict[str, float | None] = Field(description="by metric")
    reasons: dict[str, str] = Field(default_factory=dict, description="why a value is None, by metric, where known")


Finite = Annotated[float, Field(allow_inf_nan=False)]


class Point(Answer):
    """A metric over a piece of time."""

    t_wall_s: float = Field(description="its beginning, in seconds since 1970")
    step_s: float = Field(description="how much time it covers, in seconds")
    mean: float | None = Field(description="None where nothing could be read")
    min: float | None
    max: float | None


class Series(Answer):
    """The history of one metric."""

    metric: str
    step_s: float = Field(description="the time that its finest points cover, in seconds; older ones may cover more")
    points: list[Point]


Part = Literal[
    "host",
    "cpu",
    "memory",
    "disks",
    "network",
    "sensors",
    "battery",
    "users",
    "cgroup",
    "pressure",
    "gpus",
    "processes",
    "connections",
    "devices",
    "device_events",
    "serial",
    "smart",
    "history",
]
"Everything that the hardware service can do on some machine."

Availability = Literal["available", "unsupported", "denied", "absent"]
"Whether something can be had: if not, the system does not offer it, the server may not, or the machine has none."


class Capability(Answer):
    """Whether a part of the machine can be read or used here."""

    section: Part
    state: Availability = Field(description="available; unsupported by the system; denied to the server; absent")
    reason: str = Field(default="", description="why not, for a person")
    metrics: dict[str, str] = Field(
        default_factory=dict, description="what is missing of an available section, and why, by field"
    )


ConnectionKind = Literal["all", "inet", "inet4", "inet6", "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "unix"]
"Which connections: psutil's words."


class NetworkConnection(Answer):
    """A socket of the machine."""

    family: Literal["inet", "inet6", "unix", "other"]
    type: Literal["stream", "datagram", "other"]
    local_ip: str | None = Field(description="None for a Unix socket")
    local_port: int | None
    remote_ip: str | None = Field(description="None where it is not connected")
    remote_port: int | None
    path: str | None = Field(description="of a Unix socket")
    status: str | None = Field(description="ESTABLISHED, LISTEN, ...; None where the protocol has none")
    pid: int | None = Field(description="whose it is; None where the server may not know")


class Connections(Answer):
    """The sockets of the machine."""

    connections: list[NetworkConnection]
    total: int = Field(description="how many there are; more than are listed where the limit was reached")
    reasons: dict[str, str] = Field(default_factory=dict, description="why there are none, or what they lack, by field")
