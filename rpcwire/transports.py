"""Ways for bytes between the two sides besides TCP and Unix sockets. Each is a plugin: a class in the group
``rpcwire.transports``, whose entry point is named like the scheme of its URLs. Both sides find it there, and neither
names one; the client connects by it, and the server listens where its settings have such a URL."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

GROUP = "rpcwire.transports"


class Transport:
    """Makes stream sockets for the URLs of one scheme. What they carry must be out of others' sight and reach: there is
    no TLS over it. The other end must be the server: the client sends its token there. What travels is HTTP and
    WebSocket, as over TCP. Whoever connects needs the token.

    Attributes:
        identifies_peers: whether the process at the other end of a Unix socket is the client itself. If so, the
            server's own user needs no token, because the kernel identifies that process. It must stay false if another
            process may pass on the bytes of others, as the monitor of a virtual machine does.
    """

    identifies_peers: ClassVar[bool] = False

    def connect(self, url: str, timeout_s: float) -> socket.socket:
        """A socket that is connected to a server. It is called in a thread, and may block.

        Parameters:
            url: where to.
            timeout_s: how long that may take, in seconds.

        Raises:
            OSError: nobody answers.
            ValueError: the URL is malformed; the message says what to write.
        """
        raise NotImplementedError

    def listen(self, url: str) -> socket.socket:
        """A bound socket, from which connections can be accepted. What a dead server left behind there is replaced.

        Parameters:
            url: where.

        Raises:
            OSError: the address cannot be used.
            ValueError: the URL is malformed; the message says what to write.
        """
        raise NotImplementedError


def make_socket(make: Callable[[], object], url: str) -> socket.socket:
    """Have a transport make a socket, and check what it has made.

    Parameters:
        make: calls the transport.
        url: the socket's URL, for messages.

    Raises:
        OSError, ValueError: the transport raises one.
        UnusableTransport: the transport raises any other exception, or what it returns is no stream socket.
    """
    try:
        transport = make()
    except (OSError, ValueError):
        raise
    except Exception as exc:
        raise UnusableTransport(f"{url}: the transport failed: {type(exc).__name__}: {exc}") from exc
    if (
        isinstance(transport, socket.socket)
        and transport.type == socket.SOCK_STREAM
        and not hasattr(transport, "do_handshake")
    ):
        return transport  # (Sockets of the module ssl have that method. The links cannot use them.)
    if isinstance(transport, socket.socket):
        transport.close()
    raise UnusableTransport(
        f"{url}: the transport returned {type(transport).__name__}: it must return a stream socket, without TLS"
    )


class UnusableTransport(Exception):
    """What is installed under the name of a scheme is no transport; the message says why."""


def _points() -> EntryPoints:
    from importlib.metadata import entry_points  # Only URLs of other schemes need it.

    return entry_points(group=GROUP)


def schemes() -> list[str]:
    """Those of the transports that are installed."""
    return sorted({point.name for point in _points()})


def transport_for(scheme: str) -> Transport | None:
    """The transport for the URLs of a scheme; ``None`` where none is installed.

    Raises:
        UnusableTransport: it cannot be imported or made.
    """
    for point in _points().select(name=scheme):
        try:
            transport = point.load()()
        except Exception as exc:
            raise UnusableTransport(f"{scheme}: {point.value}: {type(exc).__name__}: {exc}") from exc
        if not isinstance(transport, Transport):
            raise UnusableTransport(f"{scheme}: {point.value}: not a subclass of rpcwire.transports.Transport")
        return transport
    return None
