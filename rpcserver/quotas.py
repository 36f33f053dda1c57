"""How many connections, calls and streams the server, each principal, each address and each connection may have, and
how many calls may come in a second. A role may have limits of its own."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from rpcserver.config import LimitsConfig, RoleLimits
from rpcwire.errors import Busy
from rpcwire.logs import printable
from rpcwire.quotas import Lease, Places, Rate
from rpcwire.session import Session

LEAST_CALLS, MOST_CALLS = 1, 1024
"""The fewest and the most calls that a session is allowed at once."""

CHECK_S = 0.05
"""After about this time a session asks for more calls, in seconds."""

RECLAIM_S = 0.1
"""The shortest time between two searches for places that nobody uses, in seconds."""

STREAMS_RETRY_MS = 1000
"""How long a caller should wait for a place for a call or a stream, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Use:
    """The present use of one limit.

    Attributes:
        scope: ``server``, ``principal``, ``address`` or ``connection``.
        holder: the name of the principal, the address, or the id of the connection; empty for the server.
        what: the thing that is limited, such as ``calls in flight``.
        used: the number now.
        most: the most at one time; ``None`` if nobody counts it.
        limit: the limit.
        setting: the setting that says so.
    """

    scope: str
    holder: str
    what: str
    used: float
    most: float | None
    limit: float
    setting: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the connections of one principal.

    Attributes:
        connections: the most connections of the principal.
        calls_in_flight: the most calls in flight on a connection.
        calls_per_s: the most calls in a second on a connection.
        streams: the most streams on a connection, in each direction.
        message_bytes: the largest message to the server, in bytes.
        place: the place of limits of a role in the configuration; empty if the role has none.
    """

    connections: int
    calls_in_flight: int
    calls_per_s: float
    streams: int
    message_bytes: int
    place: str = ""

    @classmethod
    def of(cls, limits: LimitsConfig, role: RoleLimits, place: str) -> Limits:
        """Join the limits of the server and of a role, which may only be narrower for messages.

        Parameters:
            limits: the server's.
            role: the role's.
            place: the place of the role's limits in the configuration.
        """
        return cls(
            connections=role.connections or limits.connections_per_principal,
            calls_in_flight=role.calls_in_flight or limits.calls_in_flight,
            calls_per_s=role.calls_per_s or limits.calls_per_s,
            streams=role.streams or limits.streams,
            message_bytes=min(role.message_bytes or limits.message_bytes, limits.message_bytes),
            place=place if role.model_fields_set else "",
        )


class Group:
    """What one principal, or the whole server, has.

    Parameters:
        name: the name, for a person.
        calls: the most calls in flight.
        streams: the most streams.
        calls_per_s: the most calls in a second.
        suffix: the end of the names of the settings that say so.
        connections: the quotas of its connections, as they are at any time.
    """

    def __init__(
        self,
        name: str,
        calls: int,
        streams: int,
        calls_per_s: float,
        suffix: str,
        connections: Collection[ConnectionQuota],
    ) -> None:
        self.name = name
        self.calls = Places(calls)
        self.streams = Places(streams)
        self.rate = Rate(calls_per_s)
        self.suffix = suffix
        self.connections = connections
        self._reclaimed_at = -math.inf

    def change(self, calls: int, streams: int, calls_per_s: float) -> None:
        """Have other limits from now on; the parameters are those of the class. What is in use stays so."""
        self.calls.limit = calls
        self.streams.limit = streams
        self.rate.change(calls_per_s)

    def reclaim(self, now: float) -> bool:
        """Take back the places that its connections hold and do not use. Return whether it was done: not again at
        once, because it looks at every connection."""
        if now - self._reclaimed_at < RECLAIM_S:
            return False
        self._reclaimed_at = now
        for connection in self.connections:
            connection.shrink()
        return True


class Groups:
    """The groups to which the connections of one principal belong.

    Parameters:
        principal: the name of the principal.
        settings: the limits of one principal.
        server: what the whole server has.
        refusals: counts what is refused, by the setting of the limit.

    Attributes:
        connections: the quotas of the connections of the principal.
        refusals: as above.
        own: what the principal has.
        all: what the principal and the server have.
        calls, streams: the places of both.
    """

    def __init__(self, principal: str, settings: LimitsConfig, server: Group, refusals: Counter[str]) -> None:
        self.principal = principal
        self.refusals = refusals
        self.connections: set[ConnectionQuota] = set()
        self.own = own = Group(
            f"the principal {printable(principal, 40)}",
            settings.calls_in_flight_per_principal,
            settings.streams_per_principal,
            settings.calls_per_s_per_principal,
            "_per_principal",
            self.connections,
        )
        self.all = (own, server)
        self.calls = (own.calls, server.calls)
        self.streams = (own.streams, server.streams)


class ConnectionQuota:
    """The quota of one connection (:class:`rpcwire.quotas.Quota`).

    Parameters:
        session: the session of the connection.
        connection: the id of the connection.
        address: its address, as limits count it; empty if it is not counted.
        limits: the limits of the connection.
        groups: those of its principal.
        clock: the time, in seconds.
    """

    __slots__ = ("_clock", "_groups", "_rate", "address", "calls", "connection", "limits", "session", "streams")
    """A server has thousands of them."""

    def __init__(
        self,
        session: Session,
        connection: str,
        address: str,
        limits: Limits,
        groups: Groups,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.session = session
        self.connection = connection
        self.address = address
        self.limits = limits
        self.calls = Lease(limits.calls_in_flight, groups.calls)
        self.streams = Lease(2 * limits.streams, groups.streams)
        self._rate = Rate(limits.calls_per_s)
        self._groups = groups
        self._clock = clock

    @property
    def principal(self) -> str:
        """The name of the principal."""
        return self._groups.principal

    def change(self, limits: Limits) -> None:
        """Have other limits from now on. Calls and streams that are too many go on."""
        self.limits = limits
        self.calls.limit = limits.calls_in_flight
        self.streams.limit = 2 * limits.streams
        self._rate.change(limits.calls_per_s)
        self.shrink()
        self.session.set_quota(self)  # What it was allowed ahead is asked for again.

    def close(self) -> None:
        """Give back all places, because the connection has ended."""
        self.calls.shrink(0)
        self.streams.shrink(0)
        self._groups.connections.discard(self)

    def shrink(self) -> None:
        """Give back the places that are not in use."""
        self.calls.shrink(self.session.calls_running)
        self.streams.shrink(len(self.session.streams))
        self.session.shrink(self.calls.size, self.streams.size)

    def renew(self, running: int, calls_left: int) -> tuple[int, int]:
        """Allow more calls, as :class:`rpcwire.quotas.Quota` says."""
        now = self._clock()
        if running >= self.calls.size and not self._extend(self.calls, running, now):
            raise self._full("calls are in flight", running, self.calls, lambda group: group.calls, "calls_in_flight")
        return self.calls.size, calls_left if calls_left >= 0 else self._allow_calls(now) - 1

    def renew_streams(self, streams: int) -> int:
        """Allow more streams, as :class:`rpcwire.quotas.Quota` says."""
        if streams >= self.streams.size and not self._extend(self.streams, streams, self._clock()):
            raise self._full("streams are open", streams, self.streams, lambda group: group.streams, "streams")
        return self.streams.size

    def _extend(self, lease: Lease, used: int, now: float) -> bool:
        if lease.extend(used):
            return True
        # Others may hold places that they do not use.
        return used < lease.limit and self._reclaim(now) and lease.extend(used)

    def _reclaim(self, now: float) -> bool:
        done = [group.reclaim(now) for group in self._groups.all]  # All of them: each has places of its own.
        return any(done)

    def _allow_calls(self, now: float) -> int:
        """Take some calls of all rates.

        Raises:
            Busy: too many have come.
        """
        rates = (self._rate, *(group.rate for group in self._groups.all))
        left = min(rate.left(now) for rate in rates)
        if left < LEAST_CALLS:
            slowest = max(rates, key=Rate.wait_s)
            raise self._too_fast(rates.index(slowest), slowest)
        share = min(rate.per_s for rate in rates) * CHECK_S
        number = int(max(min(left, share, MOST_CALLS), LEAST_CALLS))
        for rate in rates:
            rate.take(number)
        return number

    def _full(self, text: str, used: int, lease: Lease, places_of: Callable[[Group], Places], setting: str) -> Busy:
        if used >= lease.limit:
            where = f"{self.limits.place or 'limits'}.{setting}"
            message = f"{used} {text} on this connection ({where}): wait for some to end"
            self._groups.refusals[where] += 1
        else:
            short = lease.shortage(1)
            groups = self._groups.all
            group = next((each for each in groups if places_of(each) is short), groups[-1])
            self._groups.refusals[f"limits.{setting}{group.suffix}"] += 1
            message = (
                f"{places_of(group).limit} {text} or reserved for {group.name} (limits.{setting}{group.suffix}): wait "
                "for some to end"
            )
        return Busy(message, executed="no", retry_after_ms=STREAMS_RETRY_MS)

    def _too_fast(self, index: int, rate: Rate) -> Busy:
        if index == 0:
            whose, where = "this connection", f"{self.limits.place or 'limits'}.calls_per_s"
        else:
            group = self._groups.all[index - 1]
            whose, where = group.name, f"limits.calls_per_s{group.suffix}"
        self._groups.refusals[where] += 1
        return Busy(
            f"more than {rate.per_s:g} calls in a second for {whose} ({where}): call less often",
            executed="no",
            retry_after_ms=max(math.ceil(rate.wait_s() * 1000), 1),
        )


class Quotas:
    """The quotas of a server. All methods belong to the thread of the event loop.

    Parameters:
        limits: the settings.
        refusals: counts what is refused, by the setting of the limit.
    """

    def __init__(self, limits: LimitsConfig, refusals: Counter[str]) -> None:
        self._limits = limits
        self._refusals = refusals
        self._quotas: dict[Session, ConnectionQuota] = {}
        self._server = Group(
            "the server",
            limits.calls_in_flight_total,
            limits.streams_total,
            limits.calls_per_s_total,
            "_total",
            self._quotas.values(),
        )
        self._principals: dict[str, Groups] = {}
        self._addresses: Counter[str] = Counter()

    def refuse(self, principal: str, address: str, limits: Limits) -> str | None:
        """Return why no further connection may begin; ``None`` if one may.

        Parameters:
            principal: the name of the principal.
            address: the address, as limits count it; empty if it is not counted.
            limits: the limits of the principal.
        """
        groups = self._principals.get(principal)
        if groups is not None and len(groups.connections) >= limits.connections:
            where = f"{limits.place}.connections" if limits.place else "limits.connections_per_principal"
            self._refusals[where] += 1
            return f"{len(groups.connections)} connections of {printable(principal, 40)} are open ({where})"
        if address and self._addresses[address] >= self._limits.connections_per_address:
            self._refusals["limits.connections_per_address"] += 1
            return f"{self._addresses[address]} connections of {address} are open (limits.connections_per_address)"
        return None

    def join(self, session: Session, connection: str, principal: str, address: str, limits: Limits) -> None:
        """Give a session its quota, because its connection has authenticated.

        Parameters:
            session: the session.
            connection: the id of the connection.
            principal, address, limits: as of :meth:`refuse`.
        """
        self.leave(session)
        groups = self._principals.get(principal)
        if groups is None:
            groups = self._principals[principal] = Groups(principal, self._limits, self._server, self._refusals)
        quota = ConnectionQuota(session, connection, address, limits, groups)
        groups.connections.add(quota)
        if address:
            self._addresses[address] += 1
        self._quotas[session] = quota
        session.set_quota(quota)

    def change(self, limits: LimitsConfig) -> None:
        """Have other limits from now on, but for those of connections (:meth:`change_connection`).

        Parameters:
            limits: the settings.
        """
        self._limits = limits
        self._server.change(limits.calls_in_flight_total, limits.streams_total, limits.calls_per_s_total)
        for groups in self._principals.values():
            groups.own.change(
                limits.calls_in_flight_per_principal, limits.streams_per_principal, limits.calls_per_s_per_principal
            )

    def change_connection(self, session: Session, limits: Limits) -> None:
        """Give a connection other limits, if they are others.

        Parameters:
            session: the session of the connection.
            limits: the limits of its principal.
        """
        quota = self._quotas.get(session)
        if quota is not None and quota.limits != limits:
            quota.change(limits)

    def leave(self, session: Session) -> None:
        """Take the quota of a session back, because its connection has ended."""
        if session not in self._quotas:
            return
        quota = self._quotas.pop(session)
        quota.close()
        if not self._principals[quota.principal].connections:
            del self._principals[quota.principal]
        if quota.address:
            self._addresses[quota.address] -= 1
            if not self._addresses[quota.address]:
                del self._addresses[quota.address]

    def uses(self) -> Iterable[Use]:
        """Yield the present use of each limit: of the server, then of each principal, address and connection."""
        yield from _uses("server", "", self._server, len(self._quotas), self._limits.connections, "limits.connections")
        for name, groups in sorted(self._principals.items()):
            limits = next(iter(groups.connections)).limits
            where = f"{limits.place}.connections" if limits.place else "limits.connections_per_principal"
            yield from _uses("principal", name, groups.own, len(groups.connections), limits.connections, where)
        most = self._limits.connections_per_address
        for address, count in sorted(self._addresses.items()):
            yield Use("address", address, "connections", count, None, most, "limits.connections_per_address")
        for session, quota in self._quotas.items():
            connection = quota.connection
            where = quota.limits.place or "limits"
            running, streams = session.calls_running, len(session.streams)
            yield Use(
                "connection", connection, "calls in flight", running, None, quota.limits.calls_in_flight,
                f"{where}.calls_in_flight",
            )  # fmt: skip
            yield Use("connection", connection, "streams", streams, None, 2 * quota.limits.streams, f"{where}.streams")


def _uses(scope: str, holder: str, group: Group, connections: int, most: int, setting: str) -> Iterable[Use]:
    sessions = [connection.session for connection in group.connections]
    running, streams = sum(session.calls_running for session in sessions), sum(len(s.streams) for s in sessions)
    now = time.monotonic()
    recent = max(group.rate.most - group.rate.left(now), 0.0)
    yield Use(scope, holder, "connections", connections, None, most, setting)
    suffix = group.suffix
    yield Use(
        scope,
        holder,
        "calls in flight",
        running,
        group.calls.most,
        group.calls.limit,
        f"limits.calls_in_flight{suffix}",
    )
    yield Use(scope, holder, "streams", streams, group.streams.most, group.streams.limit, f"limits.streams{suffix}")
    yield Use(scope, holder, "calls in a second", recent, None, group.rate.per_s, f"limits.calls_per_s{suffix}")
