"""What a handler may know and do besides its parameters: who calls, how long there is, and the caller's own services.

A handler that declares a parameter of type :class:`Context` gets it; the parameter is not on the wire.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from msgspec import UNSET

from .codec import is_unicode
from .limits import LONGEST_S
from .messages import CallContext

PROGRESS_CHARACTERS = 1000
"""The longest message of a report of progress."""

OWNER = "owner"
"""The name of the server's own user, whether they come with the token or by the Unix socket."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is on the other side of a connection.

    Attributes:
        name: a stable name, such as :data:`OWNER` or the name of a token.
        method: how it was established: ``token``, ``peer`` (credentials of a Unix socket) or ``memory``.
        uid: the user id of the other process, where the kernel says so.
    """

    name: str
    method: str
    uid: int | None = None


class Caller(Protocol):
    """The other side of the connection, as something to call: clients may offer services, too."""

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any:
        """Call a method that the other side offers.

        Parameters:
            method: its full name.
            params: by name.
            timeout_s: deadline in seconds; 60 where not given.

        Returns:
            The result as plain data.

        Raises:
            RpcError: as of any call.
        """
        ...

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification: nothing comes back, errors neither."""
        ...


@dataclass(slots=True, eq=False)
class Connection:
    """One connection, as services see it: an identity to bind state to, and the moment when it ends.

    Attributes:
        id: unique in this process.
        remote: where it comes from, for a person (``127.0.0.1:41234``, ``203.0.113.7 via 127.0.0.1:41234`` where a
            proxy that is trusted says so, ``unix:uid=1000``, ``memory``).
        principal: who is there; ``None`` until authenticated.
        caller: the other side, as something to call.
        logger: this side's own.
    """

    id: str
    remote: str
    caller: Caller
    principal: Principal | None = None
    logger: logging.Logger = field(kw_only=True)
    _closing: dict[int, Callable[[], None]] = field(default_factory=dict)
    _closed: bool = False
    _next: int = 0

    def on_close(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have ``callback`` called once the connection has ended, in the thread that drives the connection: that of the
        event loop, or in ``Client`` the one that reads. Where it has ended already, it is called here and now.
        It sees the context variables of whoever asks for it.

        Returns:
            A function that takes this back.
        """
        if self._closed:
            callback()
            return lambda: None
        self._next += 1
        key = self._next
        self._closing[key] = partial(copy_context().run, callback)

        def forget() -> None:
            self._closing.pop(key, None)

        return forget

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._closed

    def leave(self) -> None:
        """Mark the connection as ended and tell nobody: in a child of the process, where it goes on. For the
        transport's use."""
        self._closed = True
        self._closing.clear()

    def close(self) -> None:
        """Mark the connection as ended and tell whoever asked, the latest first. For the transport's use."""
        self._closed = True
        while self._closing:
            _, callback = self._closing.popitem()
            try:
                callback()
            except Exception:
                self.logger.exception("a callback for the end of connection %s failed", self.id)


def time_left_s(told: CallContext | None, method_s: float) -> float:
    """How long a handler may take, in seconds.

    Parameters:
        told: what came with the call; ``None`` for a notification.
        method_s: what the method allows where the caller does not say, in seconds.

    Returns:
        What the caller said, between 0 and :data:`~rpcwire.limits.LONGEST_S`. One that is not a number says nothing.
    """
    if told is None or told.ttl_ms is UNSET or told.ttl_ms != told.ttl_ms:
        return min(method_s, LONGEST_S)
    return min(max(told.ttl_ms, 0), LONGEST_S * 1000) / 1000


class Context:
    """The context of one call.

    Attributes:
        method: the full name of the method.
        connection: the connection it came over.
        logger: a logger named after the service.
        deadline: when the call must be answered, on the clock of :func:`time.monotonic`.
        key: the caller's key for this call, if it sent one.
        traceparent: the caller's W3C trace context, if it sent one.
    """

    __slots__ = ("_cancelled", "_report", "connection", "deadline", "key", "logger", "method", "traceparent")

    def __init__(
        self,
        *,
        method: str,
        connection: Connection,
        logger: logging.Logger,
        deadline: float,
        report: Callable[[float, float | None, str | None], None],
        key: str | None = None,
        traceparent: str | None = None,
    ) -> None:
        self.method = method
        self.connection = connection
        self.logger = logger
        self.deadline = deadline
        self.key = key
        self.traceparent = traceparent
        self._report = report
        self._cancelled = False

    @property
    def principal(self) -> Principal:
        """Who calls."""
        principal = self.connection.principal
        assert principal is not None, "a handler runs only after authentication"
        return principal

    @property
    def caller(self) -> Caller:
        """The calling side, as something to call."""
        return self.connection.caller

    def remaining_s(self) -> float:
        """Seconds left until the deadline; never below 0."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def cancelled(self) -> bool:
        """Whether the caller has cancelled or the deadline has passed. Handlers that are plain functions run in a
        thread, which nothing can stop from outside: the long ones look here now and then, and return."""
        return self._cancelled

    def cancel(self) -> None:
        """Set :attr:`cancelled`. For the dispatcher's use."""
        self._cancelled = True

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the caller how far the call has come (``rpc.progress``). Safe to call from any thread.

        Parameters:
            done: units of work done so far.
            total: units in all, if known.
            message: what is going on, for a person; what is longer than :data:`PROGRESS_CHARACTERS` is cut.

        Raises:
            TypeError: a number, or the message, is none.
            ValueError: a number is not finite, or the message no Unicode: there is no way to send it.
        """
        if message is not None:
            if not isinstance(message, str):
                raise TypeError(f"message: must be text, not {type(message).__name__}")
            message = message[:PROGRESS_CHARACTERS]
            if not is_unicode(message):
                raise ValueError("message: text with lone surrogates cannot be sent")
        self._report(_number("done", done), None if total is None else _number("total", total), message)


def _number(name: str, value: float) -> float:
    """A number as it can be sent in every form."""
    try:
        number = value if type(value) is int and abs(value) < 2**63 else float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name}: must be a number, not {type(value).__name__}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}: must be finite, and not {number}")
    return number
