"""The server's own part of the page ``/metrics``."""

from __future__ import annotations

import asyncio
import platform
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from rpcserver.connections import Connections
from rpcserver.health import TIMEOUT_S, figures_of
from rpcserver.stalls import StallProbe
from rpcwire.registry import Registry
from rpcwire.service import Health, Service

from . import group, process
from .calls import CallMeter
from .exposition import Family, write
from .garbage import GarbageWatch
from .histogram import LAG_BOUNDS_S, Histogram

_MOST_RECENT = 1000
"""After how many looks at the loop its lag goes into the histogram: in one go, they cost less, and somebody may never
ask for the figures."""
_SIGN_INS = (
    *(("ticket", event) for event in ("created", "exchanged", "refused")),
    *(("session", event) for event in ("revoked", "refused")),
)
"""What may become of tickets and of sessions of web pages."""


class Metrics:
    """Counts what happens on a server, and shows it. It belongs to the thread of the event loop.

    Parameters:
        registry: the methods of the server.
        connections: the connections of the server.
        stalls: measures how long the event loop answers nobody.
        ask_health: asks each service for its health, with a time limit in seconds, and returns it by its name.
        services: the services that run now, whose figures are shown.
        waiting: returns the number of connections that have not authenticated, by what they wait for.
        wrong_attempts: returns the number of wrong attempts to authenticate.
        live_sessions: returns the number of sessions of web pages that have not ended.
        sign_ins: returns how often something became of tickets and sessions, by the two words for it.
        expiries: returns when certificates expire, in seconds since 1970, by the settings that name their files.
        group: what the server is in its group.
        version: the version of the server.

    Attributes:
        calls: counts calls.
    """

    def __init__(
        self,
        registry: Registry,
        connections: Connections,
        stalls: StallProbe,
        ask_health: Callable[[float], Awaitable[Mapping[str, tuple[Health, bool]]]],
        services: Sequence[Service[Any]],
        waiting: Callable[[], dict[str, int]],
        wrong_attempts: Callable[[], int],
        live_sessions: Callable[[], int],
        sign_ins: Callable[[], Mapping[tuple[str, str], int]],
        expiries: Callable[[], Mapping[str, int]],
        group: group.Side,
        version: str,
    ) -> None:
        self.calls = CallMeter(registry)
        self._connections = connections
        self._stalls = stalls
        self._ask_health = ask_health
        self._services = services
        self._waiting = waiting
        self._wrong_attempts = wrong_attempts
        self._live_sessions = live_sessions
        self._sign_ins = sign_ins
        self._expiries = expiries
        self._group = group
        self._version = version
        self._garbage = GarbageWatch()
        self._lag = Histogram(LAG_BOUNDS_S)
        self._recent_lag_ns: list[int] = []

    def start(self) -> None:
        """Begin to count."""
        self._garbage.start()
        self._stalls.on_look = self._look

    def stop(self) -> None:
        """Count no more."""
        self._garbage.stop()
        self._stalls.on_look = None

    def _look(self, stall_s: float) -> None:
        """Count what has come since the last look."""
        self.calls.fold()
        self._recent_lag_ns.append(max(int(stall_s * 1e9), 0))
        if len(self._recent_lag_ns) >= _MOST_RECENT:
            self._fold_lag()

    def _fold_lag(self) -> None:
        self._lag.add_all(self._recent_lag_ns)
        self._recent_lag_ns.clear()

    async def render(self) -> str:
        """Write all metrics of the server as text for Prometheus."""
        answers = await self._ask_health(TIMEOUT_S)
        return write(
            [
                *self._of_build(),
                *self._of_connections(),
                *group.families_of_side(self._group),
                *self._of_certificates(),
                *self.calls.families(),
                *self._of_use(),
                *self._of_refusals(),
                *self._of_loop(),
                *self._garbage.families(),
                *self._of_services(answers),
                *process.families(),
            ]
        )

    def _of_build(self) -> Iterator[Family]:
        build = Family("rpcserver_build_info", "gauge", "The version of the server, and of Python; always 1.")
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        build.add(1, {"version": self._version, "python": platform.python_version(), "loop": loop})
        yield build

    def _of_connections(self) -> Iterator[Family]:
        kinds = Counter(self._connections.kinds())
        open_now = Family(
            "rpcserver_connections", "gauge",
            "WebSockets that are open, by transport, form of the wire, and how the client has authenticated.",
        )  # fmt: skip
        for (transport, subprotocol, way), number in sorted(kinds.items()):
            open_now.add(number, {"transport": transport, "subprotocol": subprotocol, "authenticated_by": way})
        if not kinds:
            open_now.add(0, {"transport": "", "subprotocol": "", "authenticated_by": ""})
        yield open_now
        openings = Family("rpcserver_connections_opened_total", "counter", "WebSockets since the start.")
        openings.add(self._connections.opened_count)
        yield openings
        waiting = Family("rpcserver_connections_waiting", "gauge", "Connections without credentials, by their state.")
        for state, number in self._waiting().items():
            waiting.add(number, {"state": state})
        yield waiting
        wrong = Family("rpcserver_wrong_credentials_total", "counter", "Wrong attempts to authenticate.")
        wrong.add(self._wrong_attempts())
        yield wrong
        sessions = Family("rpcserver_sessions", "gauge", "Sessions of web pages that have not ended.")
        sessions.add(self._live_sessions())
        yield sessions
        sign_ins = Family(
            "rpcserver_sign_ins_total", "counter", "What became of tickets and of sessions of web pages, by the event."
        )
        counts = self._sign_ins()
        for what, event in _SIGN_INS:
            sign_ins.add(counts.get((what, event), 0), {"what": what, "event": event})
        yield sign_ins

    def _of_certificates(self) -> Iterator[Family]:
        expiries = Family(
            "rpcserver_tls_certificate_expiry_timestamp_seconds", "gauge",
            "When the certificates in use expire, in seconds since 1970, by the setting that names their file.",
        )  # fmt: skip
        for setting, time_s in self._expiries().items():
            expiries.add(time_s, {"setting": setting})
        yield expiries

    def _of_use(self) -> Iterator[Family]:
        sessions = [peer.session for peer in self._connections.values()]
        calls = Family("rpcserver_calls_in_flight", "gauge", "Calls that have no answer yet.")
        calls.add(sum(session.calls_running for session in sessions))
        yield calls
        streams = Family("rpcserver_streams_open", "gauge", "Streams that are open, in both directions.")
        streams.add(sum(len(session.streams) for session in sessions))
        yield streams
        usage = Family("rpcserver_held_bytes", "gauge", "Bytes that clients make the server hold, by purpose.")
        limit = Family("rpcserver_held_bytes_limit", "gauge", "The most bytes for the purpose.")
        for use in self._connections.memory.uses():
            if use.scope == "server":
                usage.add(use.used_bytes, {"purpose": use.purpose})
                limit.add(use.limit_bytes, {"purpose": use.purpose})
        yield from (usage, limit)

    def _of_refusals(self) -> Iterator[Family]:
        refusals = Family(
            "rpcserver_refusals_total", "counter",
            "Calls, streams and connections that were refused for a limit, by the setting of the limit.",
        )  # fmt: skip
        for setting, number in sorted(self._connections.refusals.items()):
            refusals.add(number, {"limit": setting})
        yield refusals

    def _of_loop(self) -> Iterator[Family]:
        self._fold_lag()
        lag = Family(
            "rpcserver_loop_lag_seconds", "histogram", "How much later than planned the event loop came to a timer."
        )
        self._lag.show(lag)
        longest = Family(
            "rpcserver_loop_longest_stall_seconds", "gauge", "Longest stall of the event loop, in seconds."
        )
        longest.add(self._stalls.longest_s)
        yield from (lag, longest)

    def _of_services(self, answers: Mapping[str, tuple[Health, bool]]) -> Iterator[Family]:
        up = Family("rpcserver_service_up", "gauge", "Whether a service can work.")
        for name, (health, _) in answers.items():
            up.add(int(health.ok), {"service": name})
        yield up
        families: dict[str, Family] = {}
        for service in self._services:
            for figure in figures_of(service):
                name = f"{service.name}_{figure.name}"
                family = families.get(name)
                if family is None:
                    kind: Literal["counter", "gauge"] = "counter" if name.endswith("_total") else "gauge"
                    family = families[name] = Family(name, kind, figure.text)
                family.add(figure.value, figure.labels)
        yield from families.values()
