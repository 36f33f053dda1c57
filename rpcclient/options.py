"""What goes with a call besides its parameters, and how a client connects."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from rpcwire import tracing
from rpcwire.codec import Subprotocol, is_unicode
from rpcwire.errors import ConnectFailed, DeadlineExceeded, InvalidParams
from rpcwire.events import ProgressHook
from rpcwire.limits import DEFAULT_DEADLINE_S, LONGEST_S, LinkLimits
from rpcwire.messages import CallContext
from rpcwire.streams import MAX_CREDIT

from .targets import Target

logger = logging.getLogger("rpcclient")

LOCATE_S = 5.0
"""How much longer connecting may take if the server has to be looked for on the local network, in seconds."""

CONNECT_GRACE_S = 1.0
"""How much longer to wait for an attempt to connect than it may take, in seconds, so that its own error comes first."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What goes with a call.

    Attributes:
        timeout_s: the deadline, in seconds from the call; ``None`` for the method's own, which is 60 s by default.
        progress: called with the call's progress.
        key: identifies the call for deduplication.
        window: for a stream, items that the server may be ahead of the reader; ``None`` for the client's own.
        resend: whether a call that was not sent may be sent over another connection.
    """

    timeout_s: float | None = None
    progress: ProgressHook | None = None
    key: str | None = None
    window: int | None = None
    resend: bool = True

    def __post_init__(self) -> None:
        if self.key is not None and not (isinstance(self.key, str) and is_unicode(self.key)):
            raise InvalidParams("key: must be text that is Unicode")
        if self.window is not None and not (type(self.window) is int and 0 < self.window <= MAX_CREDIT):
            raise InvalidParams(f"window: must be a number of items from 1 to {MAX_CREDIT}, and not {self.window!r}")

    def override(
        self,
        *,
        timeout_s: float | None = None,
        progress: ProgressHook | None = None,
        key: str | None = None,
        window: int | None = None,
        resend: bool | None = None,
    ) -> CallOptions:
        """Return these options, with those replaced that are given. A key is for one call, and is never inherited."""
        return CallOptions(
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
            progress=progress or self.progress,
            key=key,
            window=window or self.window,
            resend=self.resend if resend is None else resend,
        )

    def seconds(self, method_s: float = DEFAULT_DEADLINE_S) -> float:
        """Return how long a call may take, in seconds, whose method allows ``method_s`` seconds.

        Raises:
            DeadlineExceeded: no time is left.
        """
        seconds = method_s if self.timeout_s is None else self.timeout_s
        if not seconds > 0:
            raise DeadlineExceeded("timeout_s: no time is left for this call", executed="no")
        return min(LONGEST_S, seconds)

    def context(self, seconds: float) -> CallContext:
        """Return what the call tells the server besides its parameters."""
        if tracing.tracer is None and self.key is None:
            return _context(round(seconds * 1000))
        return tracing.make_context(round(seconds * 1000), self.key, tracing.propagate())


@dataclass(frozen=True, slots=True)
class EndlessOptions(CallOptions):
    """What goes with a call that must be answered in time, and then may go on for as long as it wants to: its time is
    told to the server as :data:`~rpcwire.limits.LONGEST_S`."""

    @staticmethod
    def of(options: CallOptions) -> EndlessOptions:
        """Make such options of others."""
        return EndlessOptions(options.timeout_s, options.progress, options.key, options.window, options.resend)

    def context(self, seconds: float) -> CallContext:  # noqa: ARG002 - of the base
        """Return what the call tells the server besides its parameters."""
        return CallOptions.context(self, LONGEST_S)


def trace_if_wanted() -> None:
    """Send the trace context of calls from now on, if this program has loaded OpenTelemetry's SDK. Then its spans go on
    in the server. A program without it loads nothing."""
    if tracing.tracer is None and "opentelemetry.sdk.trace" in sys.modules:
        from rpcwire import spans

        spans.start()


@lru_cache(maxsize=64)
def _context(ttl_ms: int) -> CallContext:
    """Make a context once for each deadline: most calls have the same one, and contexts are never changed."""
    return CallContext(ttl_ms=ttl_ms)


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How a client connects.

    Attributes:
        target: the server.
        subprotocol: the only one to offer; all of ours, in order of preference, where ``None``.
        connect_timeout_s: how long connecting may take, in seconds.
        message_bytes: the largest message to accept or send.
        window: items that the server may be ahead of the reader of a stream.
        ping_interval_s: silence after which to ping, in seconds; 0 for never.
        ping_timeout_s: how long a ping may stay without an answer, in seconds, while nothing else arrives or is sent.
        reconnect: whether to connect again when the connection was lost.
        node: the name or id of the node of the server's group to which connections lead, through the server; ``None``
            for the server itself.
        seeds: further servers, of which one will do if the first cannot be reached.
        locate: looks for the node itself, if no server can be reached; ``None`` where that is not wanted. It blocks,
            and raises ConnectFailed if there is none.

    Raises:
        ValueError: a time is negative, or no number of seconds; or the name of the node is empty or no text.
    """

    target: Target
    subprotocol: Subprotocol | None = None
    connect_timeout_s: float = 10.0
    message_bytes: int = 64 * 1024 * 1024
    window: int = 64
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    reconnect: bool = True
    node: str | None = None
    seeds: tuple[Target, ...] = ()
    locate: Callable[[], list[Target]] | None = None

    def __post_init__(self) -> None:
        trace_if_wanted()
        if not 0 <= self.ping_interval_s < math.inf:
            raise ValueError(f"ping_interval_s: seconds, or 0 for no pings: {self.ping_interval_s!r} is neither")
        if self.node is not None and not (isinstance(self.node, str) and self.node):
            raise ValueError(f"node: must be the name or id of a node, and not {self.node!r}")
        if not 0 < self.ping_timeout_s < math.inf:
            raise ValueError(f"ping_timeout_s: must be a number of seconds above 0, and not {self.ping_timeout_s!r}")

    @property
    def connect_s(self) -> float:
        """How long it may take until all servers were tried, in seconds."""
        return self.connect_timeout_s * (1 + len(self.seeds)) + (0 if self.locate is None else LOCATE_S)

    @property
    def has_one_server(self) -> bool:
        """Whether there is one server only, at a known place."""
        return not self.seeds and self.locate is None

    def each_server(self) -> Iterator[ConnectOptions]:
        """Yield the options for each server, in the order in which they are to be tried."""
        yield self
        for seed in self.seeds:
            yield replace(self, target=seed)

    def prefer(self, target: Target) -> ConnectOptions:
        """Return these options with one of the servers as the first: it was reached last.

        Parameters:
            target: the server.
        """
        if target is self.target or target not in self.seeds:
            return self
        return replace(self, target=target, seeds=(self.target, *(each for each in self.seeds if each is not target)))

    def at_places(self, targets: Iterable[Target]) -> Iterator[ConnectOptions]:
        """Yield the options for the node itself, at each place where it was found.

        Parameters:
            targets: the places.
        """
        for target in targets:
            offers_services = self.target.offers_services
            yield replace(self, target=replace(target, offers_services=offers_services), node=None)

    @property
    def link_limits(self) -> LinkLimits:
        """The limits of the connection itself."""
        return LinkLimits(ping_interval_s=self.ping_interval_s, ping_timeout_s=self.ping_timeout_s)


def join_failures(failures: Sequence[ConnectFailed]) -> ConnectFailed:
    """Make one error of why no server can be reached.

    Parameters:
        failures: the error of each server; at least one.
    """
    text = f"no server can be reached: {'; '.join(each.message for each in failures)}"
    return ConnectFailed(text, retryable=any(each.retryable for each in failures), executed="no")
