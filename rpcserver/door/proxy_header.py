"""The PROXY protocol, versions 1 and 2: a header in which a proxy of connections names the client
(https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt)."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import struct
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
"""The beginning of the binary header, with which no other protocol begins."""

_LONGEST_LINE = 107
_LINE = re.compile(
    r"PROXY (?:UNKNOWN(?: .*)?|(?P<family>TCP[46]) (?P<source>\S+) (?P<target>\S+) (?P<port>\d{1,5}) \d{1,5})\r\n"
)
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_SIZES = {_TCP4: 12, _TCP6: 36, _UNIX: 216}


class ProxyHeaderError(Exception):
    """The input is not a PROXY header. The message says why, for a person."""


@dataclass(frozen=True, slots=True)
class ProxyClient:
    """The client whose connection a proxy passes on.

    Attributes:
        address: its address; ``None`` if the proxy does not tell, as for its own connections.
        port: its port; ``None`` if it has none.
    """

    address: str | None = None
    port: int | None = None


async def read_proxy_header(sock: socket.socket) -> ProxyClient:
    """Read the header from a socket, and not a byte more.

    Parameters:
        sock: a non-blocking socket from which nothing was read.

    Raises:
        ProxyHeaderError: the input is something else.
        OSError: the connection failed.
    """
    start = await _receive(sock, len(SIGNATURE))
    if start == SIGNATURE:
        kind, family, size = struct.unpack(">BBH", await _receive(sock, 4))
        return parse_binary(kind, family, await _receive(sock, size))
    if not start.startswith(b"PROXY "):
        raise ProxyHeaderError("it does not begin with a PROXY header, which listen.proxy_protocol asks for")
    line = start
    while not line.endswith(b"\r\n"):
        if len(line) == _LONGEST_LINE:
            raise ProxyHeaderError(f"its PROXY header has more than {_LONGEST_LINE} bytes")
        line += await _receive(sock, 1)
    return parse_line(line)


async def _receive(sock: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < size:
        more = await loop.sock_recv(sock, size - len(data))
        if not more:
            raise ProxyHeaderError("it ended within its PROXY header" if data else "it ended before its PROXY header")
        data += more
    return data


def parse_line(line: bytes) -> ProxyClient:
    """Read a header of version 1 (section 2.1), with its end of line.

    Raises:
        ProxyHeaderError: the header is malformed.
    """
    match = _LINE.fullmatch(line.decode("latin-1"))
    if match is None:
        raise ProxyHeaderError("its PROXY header is malformed: PROXY TCP4 SOURCE TARGET PORT PORT is due")
    if match["family"] is None:
        return ProxyClient()
    kind = ipaddress.IPv4Address if match["family"] == "TCP4" else ipaddress.IPv6Address
    try:
        kind(match["target"])
        port = int(match["port"])
        if port > 65535:
            raise ValueError(f"{port} is no port")
        return ProxyClient(str(kind(match["source"])), port)
    except ValueError as exc:
        raise ProxyHeaderError(f"its PROXY header is malformed: {exc}") from exc


def parse_binary(kind: int, family: int, data: bytes) -> ProxyClient:
    """Read a header of version 2 (section 2.2) after its signature.

    Parameters:
        kind: the version and the command.
        family: the address family and the transport.
        data: the addresses, and further fields, which are ignored.

    Raises:
        ProxyHeaderError: the header is malformed, or does not belong to a stream.
    """
    if kind not in (_LOCAL, _PROXY):
        raise ProxyHeaderError(f"its PROXY header has version and command {kind:#04x}, which are unknown")
    if kind == _LOCAL or family == _UNSPECIFIED:
        return ProxyClient()
    if family not in _SIZES:
        raise ProxyHeaderError(f"its PROXY header has family and transport {family:#04x}, which is no stream")
    if len(data) < _SIZES[family]:
        raise ProxyHeaderError("its PROXY header is too short for its addresses")
    if family == _UNIX:
        return ProxyClient("unix")
    size = 4 if family == _TCP4 else 16
    (port,) = struct.unpack_from(">H", data, 2 * size)
    return ProxyClient(str(ipaddress.ip_address(data[:size])), port)
