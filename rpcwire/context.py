"""What a handler gets besides its parameters: the caller, the deadline, and a way to call the caller's own services.

A handler that declares a parameter of type :class:`Context` gets one; the parameter is not on the wire.
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
from .logs import about
from .messages import CallContext

PROGRESS_CHARACTERS = 1000
"""The longest message of a report of progress."""

VIA = " via "
"""Stands between the name of a client of another node and the name of that node."""

OWNER = "owner"
"""The name of the user who runs the server, whether they authenticate by the token or by the Unix socket."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is on the other side of a connection.

    Attributes:
        name: a stable name, such as :data:`OWNER` or the name of a token.
        method: how they have authenticated: ``token``, ``certificate``, ``peer`` (credentials of a Unix socket),
            ``memory``, or the name that a plugin gives.
        uid: the user id of the other process, if the kernel tells it.
        role: the role that belongs to the credentials, such as that of a named token; empty if the lists of the roles
            decide.
        credential: which credentials they were, where one name has several: the id of a token, the fingerprint of a
            certificate. It is no secret.
        via: the node of the group that vouches for them, by the name under which roles know it; empty if they have
            shown their credentials here.
    """

    name: str
    method: str
    uid: int | None = None
    role: str = ""
    credential: str = ""
    via: str = ""


class Caller(Protocol):
    """Calls methods of the other side: clients may offer services, too."""

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any:
        """Call a method that the other side offers.

        Parameters:
            method: the method's full name.
            params: the parameters by name.
            timeout_s: the deadline in seconds; ``None`` for 60.

        Returns:
            The result as plain data.

        Raises:
            RpcError: the call failed.
        """
        ...

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification. Nothing comes back, not even an error."""
        ...


@dataclass(slots=True, eq=False)
class Connection:
    """One connection, as services see it: they can bind state to it, and learn when it ends.

    Attributes:
        id: its id, unique in this process.
        remote: the address of the other side, for a person (``127.0.0.1:41234``; ``203.0.113.7 via 127.0.0.1:41234``
            if a trusted proxy says so; ``unix:uid=1000``; ``memory``).
        principal: who is on the other side; ``None`` until they have authenticated.
        allowed: the methods that the other side may call, by full name. The side that offers them decides what it
            means; a server puts the methods of the principal's role here.
        caller: calls methods of the other side.
        note: whatever an observer of calls wants to keep about who is on the other side. There is room for one
            observer.
        logger: the logger of this side.
    """

    id: str
    remote: str
    caller: Caller
    principal: Principal | None = None
    allowed: frozenset[str] = frozenset()
    note: Any = None
    logger: logging.Logger = field(kw_only=True)
    _callbacks: dict[int, Callable[[], None]] = field(default_factory=dict)
    _closed: bool = False
    _next: int = 0

    def identify(self, principal: Principal, allowed: frozenset[str]) -> None:
        """Say who is on the other side, and what they may call.

        Parameters:
            principal: who it is.
            allowed: the methods that they may call, by full name.
        """
        self.principal, self.allowed, self.note = principal, allowed, None

    def on_close(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` when the connection has ended, in the thread that drives the connection: the event loop's,
        or in ``Client`` the thread that reads. If the connection has ended already, call it at once. It sees the
        context variables of the code that called this method.

        Returns:
            A function that removes the callback.
        """
        if self._closed:
            callback()
            return lambda: None
        self._next += 1
        key = self._next
        self._callbacks[key] = partial(copy_context().run, callback)

        def forget() -> None:
            self._callbacks.pop(key, None)

        return forget

    @property
    def log_extra(self) -> dict[str, object]:
        """Says in a line of the log whom it is about (``extra=``), so that nobody can fill the log."""
        principal = self.principal
        extra = about(self.remote, is_known=principal is not None)
        return extra | {"connection": self.id, "principal": None if principal is None else principal.name}

    @property
    def has_callbacks(self) -> bool:
        """Whether somebody wants to know of the end of the connection, and so has bound something to it."""
        return bool(self._callbacks)

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._closed

    def leave(self) -> None:
        """Mark the connection as ended, without calling the callbacks: this is a child, and the connection goes on in
        its parent. Only transports use this."""
        self._closed = True
        self._callbacks.clear()

    def close(self) -> None:
        """Mark the connection as ended, and call the callbacks, the latest first. Only transports use this."""
        self._closed = True
        while self._callbacks:
            _, callback = self._callbacks.popitem()
            try:
                callback()
            except Exception:
                self.logger.exception("a callback for the end of connection %s failed", self.id)


def time_left_s(call_context: CallContext | None, method_s: float) -> float:
    """Compute how long a handler may take, in seconds.

    Parameters:
        call_context: the context that the caller has sent; ``None`` if there is none.
        method_s: the time that the method allows if the caller says nothing, in seconds.

    Returns:
        The time that the caller allows, between 0 and :data:`~rpcwire.limits.LONGEST_S`. NaN says nothing.
    """
    if call_context is None or call_context.ttl_ms is UNSET or call_context.ttl_ms != call_context.ttl_ms:
        return min(method_s, LONGEST_S)
    return min(max(call_context.ttl_ms, 0), LONGEST_S * 1000) / 1000


class Context:
    """The context of one call.

    Attributes:
        method: the full name of the method.
        connection: the connection of the call.
        logger: a logger named after the service.
        deadline: when the call must be answered, on the clock of :func:`time.monotonic`.
        key: the caller's key for this call; ``None`` without one.
        traceparent: the caller's W3C trace context; ``None`` without one.
    """

    __slots__ = ("_is_cancelled", "_report", "connection", "deadline", "key", "logger", "method", "traceparent")

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
        self._is_cancelled = False

    @property
    def principal(self) -> Principal:
        """The caller's identity."""
        principal = self.connection.principal
        assert principal is not None, "a handler runs only after authentication"
        return principal

    @property
    def caller(self) -> Caller:
        """Calls methods of the caller's side."""
        return self.connection.caller

    def remaining_s(self) -> float:
        """Return the seconds until the deadline; never below 0."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def cancelled(self) -> bool:
        """Whether the caller has cancelled or the deadline has passed. A handler that is a plain function runs in a
        thread, and nothing can stop a thread from outside. So a long one must check this from time to time, and
        return."""
        return self._is_cancelled

    def cancel(self) -> None:
        """Set :attr:`cancelled`. Only the dispatcher uses this."""
        self._is_cancelled = True

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the caller how far the call has come (``rpc.progress``). Safe to call from any thread.

        Parameters:
            done: the units of work done so far.
            total: the units of work in all; ``None`` if unknown.
            message: a text for a person; it is cut after :data:`PROGRESS_CHARACTERS` characters.

        Raises:
            TypeError: ``done`` or ``total`` is not a number, or ``message`` is not text.
            ValueError: a number is not finite, or the message is not valid Unicode.
        """
        if message is not None:
            if not isinstance(message, str):
                raise TypeError(f"message: must be text, not {type(message).__name__}")
            message = message[:PROGRESS_CHARACTERS]
            if not is_unicode(message):
                raise ValueError("message: text with lone surrogates cannot be sent")
        self._report(_number("done", done), None if total is None else _number("total", total), message)


def _number(name: str, value: float) -> float:
    """Turn a number into one that every form of the wire can carry."""
    try:
        number = value if type(value) is int and abs(value) < 2**63 else float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name}: must be a number, not {type(value).__name__}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}: must be finite, and not {number}")
    return number
