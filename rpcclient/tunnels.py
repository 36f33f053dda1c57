"""Asks a proxy to connect to the server, without I/O, for both clients.

A tunnel is a generator: it yields the bytes to send to the proxy, and is sent the bytes that come from the proxy (none
at the end of the stream). It returns when the proxy has connected to the server."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Generator, Iterable

from websockets.datastructures import Headers
from websockets.headers import build_authorization_basic
from websockets.http11 import Response
from websockets.streams import StreamReader

from rpcwire.logs import printable
from rpcwire.version import VERSION

from .eyeballs import Address
from .interim import MOST_BYTES, Interim
from .proxies import Proxy
from .statuses import STATUS_LINE, may_pass

Tunnel = Generator[bytes, bytes, None]

_IPV4_ONLY = "SOCKS4 knows IPv4 only, and the server has no such address: use socks5h"
HUNG_UP = "it hung up"
"""The error text for a proxy that closes the connection."""

_PASSING_REPLIES = frozenset({1, 3, 4, 5, 6})
"""The replies of a SOCKS5 proxy that may differ the next time (RFC 1928, section 6): the proxy failed, or could not
reach the server."""
_REPLIES = {
    1: "it failed",
    2: "it does not allow that",
    3: "no network leads to the server",
    4: "the server cannot be reached",
    5: "the server refuses the connection",
    6: "the way to the server is too long",
    7: "it does not know the command CONNECT",
    8: "it does not know addresses of this kind",
}


class ProxyRefused(Exception):
    """A proxy does not connect to the server.

    Parameters:
        text: why not, for a person.
        retryable: whether another attempt may succeed.
    """

    def __init__(self, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.retryable = retryable


def choose_address(addresses: Iterable[Address], proxy: Proxy) -> str:
    """Return the first of the server's addresses that a proxy can connect to, for a proxy that does not look names up.
    (Only the proxy could try several side by side.)

    Parameters:
        addresses: the server's addresses.
        proxy: the proxy.

    Raises:
        ProxyRefused: the proxy can connect to none of them.
    """
    usable = [a for a in addresses if a.family == socket.AF_INET or not proxy.scheme.startswith("socks4")]
    if not usable:
        raise ProxyRefused(_IPV4_ONLY)
    return usable[0].text


def tunnel_through(proxy: Proxy, host: str, port: int) -> Tunnel:
    """Make the tunnel through a proxy.

    Parameters:
        proxy: the proxy.
        host: the server's address, or its name if the proxy looks names up.
        port: the server's TCP port.

    Raises:
        ProxyRefused: the proxy refuses, or is no proxy. The message does not name the proxy.
    """
    if not proxy.scheme.startswith("socks"):
        return _http(proxy, host, port)
    try:
        import socksio  # noqa: F401
    except ImportError as exc:
        raise ProxyRefused("SOCKS needs the package socksio: pip install 'remote-services[socks]'") from exc
    return _socks4(proxy, host, port) if proxy.scheme.startswith("socks4") else _socks5(proxy, host, port)


def _http(proxy: Proxy, host: str, port: int) -> Tunnel:
    """Speak HTTP's CONNECT (RFC 9110, section 9.3.6)."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = Headers({"Host": authority, "User-Agent": f"rpcclient/{VERSION}"})
    if proxy.username is not None:
        headers["Proxy-Authorization"] = build_authorization_basic(proxy.username, proxy.password or "")
    reader = StreamReader()
    parser = Response.parse(reader.read_line, reader.read_exact, reader.read_to_eof, proxy=True)
    interim, head = Interim(), b""
    data = yield f"CONNECT {authority} HTTP/1.1\r\n".encode() + headers.serialize()
    while True:
        if data:
            data = interim.leave_out(data)
            head += data[: MOST_BYTES - len(head)]
            reader.feed_data(data)
        else:
            reader.feed_eof()
        try:
            next(parser)
        except StopIteration as done:
            _check_status(done.value.status_code, done.value.reason_phrase)
            break
        except Exception as exc:
            if (line := STATUS_LINE.match(head)) is not None:
                _check_status(int(line[1]), (line[2] or b"").decode("iso-8859-1"))
            if not data:
                raise ProxyRefused(HUNG_UP, retryable=True) from exc
            raise ProxyRefused("it does not speak HTTP") from exc
        data = yield b""
    _check_no_rest(reader.buffer)


def _check_status(status: int, phrase: str) -> None:
    if 200 <= status < 300:
        return
    if status == 407:
        raise ProxyRefused("it asks for a name and a password: write http://NAME:PASSWORD@HOST:PORT (HTTP 407)")
    reason = printable(phrase.strip(), 100)
    raise ProxyRefused(f"{reason or 'it refuses'} (HTTP {status})", retryable=may_pass(status))


class _Input:
    """The bytes that the proxy has sent and nobody has read yet."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def exchange(self, output: bytes, count: int) -> Generator[bytes, bytes, bytes]:
        """Send ``output``, if there is any, and read ``count`` bytes."""
        while output or len(self.buffer) < count:
            data = yield output
            output = b""
            if not data:
                raise ProxyRefused(HUNG_UP, retryable=True)
            self.buffer += data
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data


def _socks5(proxy: Proxy, host: str, port: int) -> Tunnel:
    """Speak SOCKS 5 (RFC 1928; RFC 1929 for names and passwords)."""
    from socksio import ProtocolError
    from socksio.socks5 import (
        SOCKS5AuthMethod,
        SOCKS5AuthMethodsRequest,
        SOCKS5AuthReply,
        SOCKS5Command,
        SOCKS5CommandRequest,
        SOCKS5Reply,
        SOCKS5UsernamePasswordReply,
        SOCKS5UsernamePasswordRequest,
    )

    _check_name(host)
    proxy_input = _Input()
    has_username = proxy.username is not None
    methods = [SOCKS5AuthMethod.NO_AUTH_REQUIRED, *([SOCKS5AuthMethod.USERNAME_PASSWORD] if has_username else [])]
    try:
        answer = yield from proxy_input.exchange(SOCKS5AuthMethodsRequest(methods).dumps(), 2)
        if answer[:1] != b"\x05":
            raise ProxyRefused("it does not speak SOCKS5")
        method = SOCKS5AuthReply.loads(answer).method
        if method not in methods:
            reason = "it refuses this name and password" if has_username else "it asks for a name and a password"
            raise ProxyRefused(f"{reason}: write {proxy.scheme}://NAME:PASSWORD@HOST:PORT")
        if method is SOCKS5AuthMethod.USERNAME_PASSWORD:
            request = SOCKS5UsernamePasswordRequest((proxy.username or "").encode(), (proxy.password or "").encode())
            answer = yield from proxy_input.exchange(request.dumps(), 2)
            if not SOCKS5UsernamePasswordReply.loads(answer).success:
                raise ProxyRefused("its name or password is wrong")
        command = SOCKS5CommandRequest.from_address(SOCKS5Command.CONNECT, (host, port))
        reply = yield from proxy_input.exchange(command.dumps(), 2)
        if reply[1]:
            raise ProxyRefused(
                _REPLIES.get(reply[1], f"it refuses ({reply[1]})"), retryable=reply[1] in _PASSING_REPLIES
            )
        reply += yield from proxy_input.exchange(b"", 3)  # Up to the first byte of the proxy's own address.
        address_bytes = {1: 3, 3: reply[4], 4: 15}.get(reply[3])
        if address_bytes is None:
            raise ProxyRefused("it does not speak SOCKS5")
        SOCKS5Reply.loads(reply + (yield from proxy_input.exchange(b"", address_bytes + 2)))
    except ProtocolError as exc:
        raise ProxyRefused("it does not speak SOCKS5") from exc
    _check_no_rest(proxy_input.buffer)


def _socks4(proxy: Proxy, host: str, port: int) -> Tunnel:
    """Speak SOCKS 4, or 4A for names. Two memos of 1992 describe them; no RFC does."""
    from socksio import (
        ProtocolError,
        SOCKS4ARequest,
        SOCKS4Command,
        SOCKS4Reply,
        SOCKS4ReplyCode,
        SOCKS4Request,
    )

    _check_name(host)
    user = (proxy.username or "").encode()
    proxy_input = _Input()
    try:
        if ipaddress.ip_address(host).version != 4:
            raise ProxyRefused(_IPV4_ONLY)
        request: SOCKS4Request | SOCKS4ARequest = SOCKS4Request.from_address(SOCKS4Command.CONNECT, (host, port), user)
    except ValueError:
        request = SOCKS4ARequest.from_address(SOCKS4Command.CONNECT, (host, port), user)
    try:
        reply = SOCKS4Reply.loads((yield from proxy_input.exchange(request.dumps(), 8)))
    except ProtocolError as exc:
        raise ProxyRefused("it does not speak SOCKS4") from exc
    if reply.reply_code is not SOCKS4ReplyCode.REQUEST_GRANTED:
        # One code means both that the proxy does not allow the connection, and that it cannot reach the server.
        is_passing = reply.reply_code is SOCKS4ReplyCode.REQUEST_REJECTED_OR_FAILED
        raise ProxyRefused(
            "it refuses, or cannot reach the server" if is_passing else "it refuses this user", retryable=is_passing
        )
    _check_no_rest(proxy_input.buffer)


def _check_name(host: str) -> None:
    if len(host) > 255:
        raise ProxyRefused("SOCKS allows at most 255 bytes in a name")


def _check_no_rest(rest: bytes | bytearray) -> None:
    """Refuse bytes behind the answer. The server sends nothing unasked, so that they come from the proxy itself."""
    if rest:
        raise ProxyRefused("it sends data behind its answer")
