"""Reads network interfaces and connections."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from operator import lt
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

from .identity import all_processes, runs_as
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


_STATES_S = 2.0
"""How long states and addresses stay without a change that the kernel reports: speed and duplex may be set without
(ethtool(8))."""


_StatesAndAddresses = tuple[dict[str, Any], dict[str, list[Any]]]
"""States and addresses, by the names of the interfaces."""


class _Description:
    """The states and addresses of the interfaces. To read them takes several system calls for each interface."""

    def __init__(self) -> None:
        self._latest: tuple[int | None, float, _StatesAndAddresses] | None = None

    def now(self, changes: int | None, reasons: Reasons) -> _StatesAndAddresses:
        """Return states and addresses; they are read again after a change.

        Parameters:
            changes: the number of changes so far; ``None`` if it is not known.
            reasons: gets the reasons why something could not be read. Then it is read again the next time.
        """
        known = self.known(changes)
        if known is not None:
            return known
        until = time.monotonic() + _STATES_S
        states = reasons.attempt("isup", psutil.net_if_stats)
        addresses = reasons.attempt("addresses", psutil.net_if_addrs)
        description = (states or {}, addresses or {})
        complete = changes is not None and states is not None and addresses is not None
        self._latest = (changes, until, description) if complete else None
        return description

    def known(self, changes: int | None) -> _StatesAndAddresses | None:
        """Return states and addresses, or ``None`` if they must be read again."""
        latest = self._latest
        return latest[2] if latest is not None and latest[0] == changes and time.monotonic() < latest[1] else None


_TABLE = LinkTable()
_DESCRIPTION = _Description()


def read() -> NetworkReading:
    """Read counters, states, addresses and roles of the interfaces."""
    reasons = Reasons()
    roles = reasons.attempt("kind", _TABLE.roles) or {}
    return _read_counters(roles, _DESCRIPTION.now(_TABLE.changes, reasons), reasons)


def read_at_once() -> NetworkReading | None:
    """Read the counters, if everything else is known: the kernel gives them without its lock of the network, for which
    all else waits, for seconds while namespaces of the network end. ``None`` if the lock is needed."""
    roles = _TABLE.known_roles()
    description = None if roles is None else _DESCRIPTION.known(_TABLE.changes)
    return None if roles is None or description is None else _read_counters(roles, description, Reasons())


def _read_counters(roles: Mapping[str, Role], description: _StatesAndAddresses, reasons: Reasons) -> NetworkReading:
    # Without psutil's repair of wrapped counters, which the whole process shares and which hides resets.
    counters = reasons.attempt("interfaces", lambda: psutil.net_io_counters(pernic=True, nowrap=False)) or {}
    inside = any(role.inner for role in roles.values()) and forwards()
    return NetworkReading(counters, *description, reasons, roles, inside)


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
        return "inside" if role.is_bridged or now.forwards else "total"
    return "total" if role.outer else "no"


def _interface(
    name: str, old: Any, c: Any, now: NetworkReading, state: Any, dt_s: float | None, stateless: str
) -> NetworkInterface:
    reasons = {} if old is not None else _NO_RATES
    role = now.roles.get(name)
    if role is None:
        reasons = {**reasons, "kind": now.reasons.get("kind", "absent: the interface has just gone, or come")}
    # If one counter went back, this is a new interface with an old name, so none of its counters has a rate.
    # These four come first, in psutil's tuple.
    if old is not None and any(map(lt, c[:4], old[:4])):
        old, reasons = None, _RESET_RATES
    fields: dict[str, Any] = c._asdict()
    for name_of_rate, before, after in zip(_RATES, old or (None,) * 4, c, strict=False):
        fields[name_of_rate] = rate(before, after, dt_s)
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


def connections(kind: ConnectionKind, limit: int, only_uid: int | None = None) -> Connections:
    """The sockets of the machine.

    Parameters:
        kind: the kind of sockets.
        limit: the most to list.
        only_uid: the user whose processes' sockets to list; ``None`` for all.
    """
    reasons = Reasons()
    sockets = reasons.attempt("connections", lambda: psutil.net_connections(kind)) or []
    if only_uid is not None:
        own = {process.pid for process in all_processes() if runs_as(process, only_uid)}
        sockets = [each for each in sockets if each.pid in own]
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
