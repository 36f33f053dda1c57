"""The errors of attempts to connect, in the same words for both clients."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rpcwire.errors import (
    Busy,
    ConnectFailed,
    ConnectionClosed,
    DeadlineExceeded,
    MethodNotFound,
    RpcError,
    ServiceError,
    TransportError,
    Unavailable,
    from_wire,
)
from rpcwire.forking import hold_forks
from rpcwire.group.nodes import NodeAmbiguous, NodeNotFound
from rpcwire.locations import DEFAULT_PORT

from .eyeballs import NoAddressAnswers, Trail, reason_of
from .targets import Target
from .tunnels import ProxyRefused

if TYPE_CHECKING:
    import ssl
    from typing import TypeGuard

_RESETS = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
"""How a system tells that the other side has closed. The alert in which a server of TLS 1.3 says why is lost when the
reset overtakes it (RFC 8446, section 6.1)."""


def to_connect_error(exc: BaseException, target: Target, seconds: float, trail: Trail) -> RpcError | None:
    """Turn the exception that ended an attempt to connect into an error of ours.

    Parameters:
        exc: the exception.
        target: the server.
        seconds: how long the attempt was allowed to take.
        trail: what became of the attempt so far.

    Returns:
        The error; ``None`` where the exception is to be raised as it is.
    """
    if isinstance(exc, RpcError):
        return None
    where = f"{target.url}: {trail.place}: " if trail.place else f"{target.url}: "
    if isinstance(exc, TimeoutError) and exc.errno is None:
        details = str(trail) if trail.is_looking_up or len(trail.reasons) > 1 else ""
        return ConnectFailed(f"{where}no answer within {seconds:g} s" + (f" ({details})" if details else ""))
    if isinstance(exc, ProxyRefused):
        return ConnectFailed(f"{where}{exc}", retryable=exc.retryable)
    if _is_tls_error(exc):
        with hold_forks():  # This may be the thread of a connection.
            from .tls_failures import passes, tls_reason

        return ConnectFailed(f"{where}TLS: {tls_reason(exc)}", retryable=passes(exc))
    if isinstance(exc, OSError):
        reason = str(exc) if isinstance(exc, NoAddressAnswers) else reason_of(exc)
        if not reason:  # asyncio gives no reason when the other side hangs up during the TLS handshake.
            return broken_error(target, trail.place)
        if isinstance(exc, _RESETS):  # Somebody listens there, and has closed before the WebSocket was open.
            return broken_error(target, trail.place, reason)
        if trail.place:
            return ConnectFailed(f"{where}{reason}: is it running there?")
        no_port = target.port and urlsplit(target.url).port is None
        port_hint = (
            f" At port {target.port}, as the URL names none; by default it is {DEFAULT_PORT}." if no_port else ""
        )
        return ConnectFailed(f"{where}{reason}: is rpcserver running there?{port_hint}")
    if isinstance(exc, ValueError):  # A host or path that no socket takes.
        return ConnectFailed(f"{where}{exc}", retryable=False)
    return None


def _is_tls_error(exc: BaseException) -> TypeGuard[ssl.SSLError]:
    """Return whether TLS failed. Where nobody has loaded Python's module for TLS, it is no error of that module."""
    return isinstance(exc, getattr(sys.modules.get("ssl"), "SSLError", ()))


def broken_error(target: Target, place: str = "", reason: str = "") -> ConnectFailed:
    """Make the error for a connection that the other side, or a proxy, closed before the WebSocket was open."""
    text = "the connection broke during the handshake" + (f" ({reason})" if reason else "")
    return ConnectFailed(": ".join(filter(None, (target.url, place, text))))


AUTHENTICATE = "rpc.authenticate"
"""The method by which a client sends its token if the handshake did not hold it."""


def to_authentication_error(exc: BaseException, target: Target, seconds: float) -> RpcError | None:
    """Turn the exception of a call of :data:`AUTHENTICATE` into an error of ours.

    Parameters:
        exc: the exception.
        target: the server.
        seconds: how long the call was allowed to take.

    Returns:
        The error; ``None`` where the exception is to be raised as it is.
    """
    if isinstance(exc, DeadlineExceeded):
        return ConnectFailed(f"{target.url}: no answer to {AUTHENTICATE} within {seconds:g} s")
    if isinstance(exc, TransportError) and not isinstance(exc, ConnectionClosed):
        return ConnectFailed(f"{target.url}: the connection ended before {AUTHENTICATE} was answered ({exc})")
    if isinstance(exc, MethodNotFound):
        text = f"{target.url}: the server has no {AUTHENTICATE}: send the token with the handshake (token_by='header')"
        return ConnectFailed(text, retryable=False)
    return None


CONNECT_NODE = "rpc.connect_node"
"""The method by which a client has the server lead a connection to another node of its group."""
_NODE_ERRORS: dict[str, type[ServiceError]] = {each.__name__: each for each in (NodeNotFound, NodeAmbiguous)}


def to_node_error(exc: BaseException, target: Target, node: str, seconds: float) -> RpcError | None:
    """Turn the exception of a call of :data:`CONNECT_NODE` into an error of ours.

    Parameters:
        exc: the exception.
        target: the server.
        node: the name or id of the node.
        seconds: how long the call was allowed to take.

    Returns:
        The error; ``None`` where the exception is to be raised as it is. What may be otherwise soon is a
        :class:`ConnectFailed`, so that a client that was connected tries again, as it does with a server.
    """
    where = f"{target.url}, node {node}"
    if isinstance(exc, ServiceError) and exc.type in _NODE_ERRORS:
        wire = exc.to_wire()
        return from_wire(wire["code"], wire["message"], wire["data"], _NODE_ERRORS)
    if isinstance(exc, (Unavailable, Busy)):
        return ConnectFailed(
            f"{where}: {exc.message}", retryable=exc.retryable, retry_after_ms=exc.retry_after_ms, executed="no"
        )
    if isinstance(exc, DeadlineExceeded):
        return ConnectFailed(f"{where}: no answer to {CONNECT_NODE} within {seconds:g} s")
    if isinstance(exc, TransportError) and not isinstance(exc, ConnectionClosed):
        return ConnectFailed(f"{where}: the connection ended before {CONNECT_NODE} was answered ({exc})")
    if isinstance(exc, MethodNotFound):
        return ConnectFailed(f"{where}: the server is too old: it has no {CONNECT_NODE}", retryable=False)
    return None
