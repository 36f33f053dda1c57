"""Reads network interfaces and connections."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Literal

import psutil

from rpcservices.hardware.models import (
    Address,
    ConnectionKind,
    Connections,
    Counted,
    Network,
    NetworkConnection,
    NetworkInterface,
    Traffic,
)
from rpcservices.hardware.rates import rate

from .links import Role
from .linktable import LinkTable, forwards
from .plain import plain
from .reasons import NO_BASELINE, RESET, Reasons, others_denied

_FAMILIES: dict[int, Literal["inet", "inet6", "link"]] = {
    int(socket.AF_INET): "inet",
    int(socket.AF_INET6): "inet6",
    int(psutil.AF_LINK): "link",
}
_COUNTERS = ("bytes_sent", "bytes_recv", "packets_sent", "packets_recv")
_RATES = tuple(f"{name}_per_s" for name in _COUNTERS)
_NO_RATES = dict.fromkeys(_RATES, NO_BASELINE)
_RESET_RATES = dict.fromkeys(_RATES, RESET)
_DUPLEX: dict[int, Literal["full", "half"]] = {int(psutil.NIC_DUPLEX_FULL): "full", int(psutil.NIC_DUPLEX_HALF): "half"}


@dataclass(frozen=True, slots=True)
class NetworkReading:
    """The state of the interfaces at one moment."""

    counters: dict[str, Any]
    states: dict[str, Any]
    addresses: dict[str, list[Any]]
    reasons: Reasons
    roles: Mapping[str, Role] = field(default_factory=dict)
    forwards: bool = False


_TABLE = LinkTable()


def read() -> NetworkReading:
    """Read counters, states, addresses and roles of the interfaces."""
    reasons = Reasons()
    roles = reasons.attempt("kind", _TABLE.roles) or {}
    return NetworkReading(
        # Without psutil's repair of wrapped counters, which the whole process shares and which hides resets.
        reasons.attempt("interfaces", lambda: psutil.net_io_counters(pernic=True, nowrap=False)) or {},
        reasons.attempt("isup", psutil.net_if_stats) or {},
        reasons.attempt("addresses", psutil.net_if_addrs) or {},
        reasons,
        roles,
        any(role.inner for role in roles.values()) and forwards(),
    )


def derive(before: NetworkReading | None, now: NetworkReading, dt_s: float | None) -> Network:
    """Make the answer from two readings."""
    old = before.counters if before is not None else {}
    stateless = now.reasons.get("isup", "absent: the interface has just gone")
    interfaces = [
        _interface(name, old.get(name), c, now, now.states.get(name), dt_s, stateless)
        for name, c in now.counters.items()
    ]
    return Network(
        interfaces=interfaces,
        total=_together(each for each in interfaces if each.counted == "total"),
        inside=_together(each for each in interfaces if each.counted == "inside"),
        reasons=now.reasons,
    )


def _together(interfaces: Iterable[NetworkInterface]) -> Traffic:
    """The sums over some interfaces, of the values that are known."""
    each = list(interfaces)
    sums: dict[str, float | None] = {}
    for name in _RATES:
        values = [value for one in each if (value := getattr(one, name)) is not None]
        sums[name] = sum(values) if values or not each else None
    return Traffic(**sums, reasons=dict.fromkeys((f for f, value in sums.items() if value is None), NO_BASELINE))


def _counted_in(name: str, now: NetworkReading) -> Counted:
    role = now.roles.get(name)
    if role is None:
        return "no" if name == "lo" else "total"
    if role.inner:
        return "inside" if role.bridged or now.forwards else "total"
    return "total" if role.outer else "no"


def _interface(
    name: str, old: Any, c: Any, now: NetworkReading, state: Any, dt_s: float | None, stateless: str
) -> NetworkInterface:
    reasons = {} if old is not None else _NO_RATES
    role = now.roles.get(name)
    if role is None:
        reasons = {**reasons, "kind": now.reasons.get("kind", "absent: the interface has just gone, or come")}
    # If one counter went back, this is a new interface with an old name, so none of its counters has a rate.
    if old is not None and any(getattr(c, f) < getattr(old, f) for f in _COUNTERS):
        old, reasons = None, _RESET_RATES
    fields: dict[str, Any] = c._asdict()
    for f in _COUNTERS:
        fields[f"{f}_per_s"] = rate(old and getattr(old, f), getattr(c, f), dt_s)
    duplex = None if state is None else _DUPLEX.get(int(state.duplex))
    speed = None if state is None else state.speed or None
    if duplex is None or speed is None:
        reasons = {**reasons, **_states_lack(stateless if state is None else "", duplex is None, speed is None)}
    return NetworkInterface(
        name=plain(name),
        kind=None if role is None else role.kind,
        lies_on=[] if role is None else [plain(below) for below in role.lies_on],
        counted=_counted_in(name, now),
        isup=None if state is None else state.isup,
        duplex=duplex,
        speed_mbit=speed,
        mtu=None if state is None else state.mtu,
        addresses=_addresses(tuple(now.addresses.get(name, ()))),
        reasons=reasons,
        **fields,
    )


@cache
def _states_lack(stateless: str, duplex: bool, speed: bool) -> dict[str, str]:
    """Why an interface lacks values other than counters."""
    if stateless:
        return dict.fromkeys(("isup", "mtu", "duplex", "speed_mbit"), stateless)
    fields = (("duplex", duplex), ("speed_mbit", speed))
    return {name: "unknown: the interface is down, or has no such thing" for name, lacks in fields if lacks}


@lru_cache(maxsize=256)
def _addresses(of_psutil: tuple[Any, ...]) -> list[Address]:
    """The addresses of an interface, cached while they stay the same."""
    return [
        Address(
            family=_FAMILIES[int(a.family)],
            address=a.address.partition("%")[0],
            netmask=a.netmask,
            broadcast=a.broadcast,
        )
        for a in of_psutil
        if int(a.family) in _FAMILIES
    ]


def connections(kind: ConnectionKind, limit: int) -> Connections:
    """The sockets of the machine.

    Parameters:
        kind: the kind of sockets.
        limit: the most to list.
    """
    reasons = Reasons()
    sockets = reasons.attempt("connections", lambda: psutil.net_connections(kind)) or []
    if any(each.pid is None for each in sockets):
        reasons["pid"] = others_denied() or "unknown: no process has it open any more, or the kernel itself has it"
    return Connections(connections=[_connection(each) for each in sockets[:limit]], total=len(sockets), reasons=reasons)


def _connection(c: Any) -> NetworkConnection:
    families: dict[int, Literal["inet", "inet6", "unix"]] = {
        int(socket.AF_INET): "inet",
        int(socket.AF_INET6): "inet6",
        int(socket.AF_UNIX): "unix",
    }
    types: dict[int, Literal["stream", "datagram"]] = {
        int(socket.SOCK_STREAM): "stream",
        int(socket.SOCK_DGRAM): "datagram",
    }
    unix = int(c.family) == int(socket.AF_UNIX)
    return NetworkConnection(
        family=families.get(int(c.family), "other"),
        type=types.get(int(c.type), "other"),
        local_ip=c.laddr.ip if c.laddr and not unix else None,
        local_port=c.laddr.port if c.laddr and not unix else None,
        remote_ip=c.raddr.ip if c.raddr and not unix else None,
        remote_port=c.raddr.port if c.raddr and not unix else None,
        path=(plain(c.laddr) or None) if unix else None,
        status=None if c.status == psutil.CONN_NONE else c.status,
        pid=c.pid,
    )
