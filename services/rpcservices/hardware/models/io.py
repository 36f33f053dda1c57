"""Disks, network and connections."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Answer


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
"""A disk of the machine; a part of one; or something that lies on others, or in memory: RAID, LVM, loop, zram."""


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


class Address(Answer):
    """An address of a network interface."""

    family: Literal["inet", "inet6", "link"] = Field(description="IPv4, IPv6, or the hardware's")
    address: str
    netmask: str | None
    broadcast: str | None


InterfaceKind = Literal[
    "loopback", "ethernet", "wifi", "mobile", "infiniband", "bridge", "bond", "vlan", "macvlan", "veth", "tun",
    "tunnel", "virtual", "other",
]  # fmt: skip
"""What a network interface is: within the machine; hardware of four kinds; a bridge; several as one (team, too); a part
of one (``macvlan`` with macvtap and ipvlan); an end of a pair, whose other end is a container's as a rule; that of a
program or a virtual machine (tun and tap); one that wraps what goes through it (WireGuard, VXLAN, GRE, ...); dummy, ifb
and others without hardware; hardware of another kind."""

Counted = Literal["total", "inside", "no"]
"""In which sum of :class:`Network` an interface is counted."""


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


ConnectionKind = Literal["all", "inet", "inet4", "inet6", "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "unix"]
"""Which connections: psutil's words."""


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
