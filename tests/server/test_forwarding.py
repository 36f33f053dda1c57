"""Behind reverse proxies: paths with a prefix, and addresses by the word of those that are trusted, and of nobody else."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect, unix_connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus

from rpcserver.config import ConfigError, ListenConfig
from rpcserver.door.admission import Refusal
from rpcserver.door.forwarding import Proxies, Source
from rpcserver.door.hosts import network_of
from rpcserver.door.proxy_header import SIGNATURE, ProxyClient, ProxyHeaderError, parse_binary, parse_line
from rpcserver.layers.loading import load_config

XFF, FORWARDED = "X-Forwarded-For", "Forwarded"
TRUSTED = ("127.0.0.1", "10.0.0.0/8", "2001:db8:aaaa::/48")

# --- the headers by themselves -------------------------------------------------------------------------------------------

FOUND = [
    (XFF, ["203.0.113.7"], "203.0.113.7"),
    (XFF, ["203.0.113.7:4711"], "203.0.113.7:4711"),
    (XFF, ["[2001:db8::7]:4711"], "[2001:db8::7]:4711"),
    (XFF, ["2001:DB8:0::7"], "2001:db8::7"),
    (XFF, ["[2001:db8::7]"], "2001:db8::7"),
    (XFF, ["::ffff:203.0.113.7"], "203.0.113.7"),
    (XFF, ["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
    (XFF, ["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
    (XFF, ["6.6.6.6, 203.0.113.7, 10.1.2.3,127.0.0.1"], "203.0.113.7"),
    (XFF, ["6.6.6.6, ::ffff:203.0.113.7, ::ffff:10.1.2.3"], "203.0.113.7"),
    (XFF, ["rubbish, 203.0.113.7"], "203.0.113.7"),
    (XFF, ["203.0.113.7,, ,"], "203.0.113.7"),
    (XFF, ["10.1.2.3, 10.1.2.4"], "10.1.2.3"),
    (XFF, ["127.0.0.1"], "127.0.0.1"),
    (XFF, ["unknown"], "unknown"),
    (FORWARDED, ["for=203.0.113.7"], "203.0.113.7"),
    (FORWARDED, ['For="203.0.113.7:4711";proto=https;by=10.0.0.1'], "203.0.113.7:4711"),
    (FORWARDED, ['for="[2001:db8::7]:4711"'], "[2001:db8::7]:4711"),
    (FORWARDED, ['for="[2001:db8::7]:_port"'], "2001:db8::7"),
    (FORWARDED, ["for=6.6.6.6, for=203.0.113.7;host=x, for=10.0.0.1"], "203.0.113.7"),
    (FORWARDED, ["for=6.6.6.6", 'for=203.0.113.7;host="a, b;for=1.2.3.4"'], "203.0.113.7"),
    (FORWARDED, [r'for="203.0.113.\7"'], "203.0.113.7"),
    (FORWARDED, ["for=_hidden"], "_hidden"),
    (FORWARDED, ['for="_Hidden:4711"'], "_hidden"),
    (FORWARDED, ['for="unknown:_port", for=10.0.0.1'], "unknown"),
    (FORWARDED, ["for=UNKNOWN , for=10.0.0.1"], "unknown"),
    (FORWARDED, ["proto=https;host=box.example"], "unknown"),
    (FORWARDED, ["for=203.0.113.7;, "], "203.0.113.7"),
]


@pytest.mark.parametrize(("header", "values", "client"), FOUND)
def test_who_asks(header: Any, values: list[str], client: str) -> None:
    proxies = Proxies(ListenConfig(trusted_proxies=TRUSTED, forwarding_header=header))
    headers = Headers([(header, value) for value in values])
    proxy = proxies.source("127.0.0.1", 5)
    assert (proxy.is_proxy, proxy.counted_address) == (True, None)
    found = proxies.client(proxy, headers)
    assert isinstance(found, Source)
    assert str(found) == f"{client} via 127.0.0.1:5"
    assert found.counted_address == network_of(found.address), "whoever comes through a proxy is counted"
    assert found.attempts_address == found.counted_address
    assert proxy.attempts_address == "127.0.0.1"
    for stranger in ("203.0.113.9", "::1", "127.0.0.2", "2001:db8:aaab::1"):
        source = proxies.source(stranger, 5)
        assert proxies.client(source, headers) is source, "others may write what they like"
    other = FORWARDED if header == XFF else XFF
    assert proxies.client(proxy, Headers([(other, "for=6.6.6.6")])) is proxy, "and proxies into the other header"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        *((XFF, value) for value in ("", " , ", "rubbish", "203.0.113", "203.0.113.7:port", "[203.0.113.7", "for=1.2.3.4",
                                     "203.0.113.7 10.0.0.1", "203.0.113.7;10.0.0.1", "999.1.1.1", "1.2.3.4:123456")),
        *((FORWARDED, value) for value in ("", "203.0.113.7", "for=", "for=203.0.113.7:4711", "for=[2001:db8::7]", "for",
                                           'for="203.0.113.7', 'for=203.0.113.7"', "for=a", "for =203.0.113.7",
                                           "for=1.2.3.4;for=1.2.3.4", 'for=6.6.6.6;x=", for="[2001:db8::7]"',
                                           "for=1.2.3.4 for=1.2.3.4", 'for=""', "=1", "for==1")),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(header: Any, value: str) -> None:
    proxies = Proxies(ListenConfig(trusted_proxies=TRUSTED, forwarding_header=header))
    found = proxies.client(proxies.source("127.0.0.1", 5), Headers([(header, value)]))
    assert isinstance(found, Refusal)
    assert found.status == 400
    assert found.text.startswith(f"{header}: ")


def test_unix_sockets_as_proxies() -> None:
    headers = Headers([(XFF, "203.0.113.7")])
    trusting = Proxies(ListenConfig(trusted_proxies=("unix",), unix_peer_credentials=False))
    found = trusting.client(trusting.unix_source(33), headers)
    assert str(found) == "203.0.113.7 via unix:uid=33"
    careful = Proxies(ListenConfig(trusted_proxies=("0.0.0.0/0",)))
    source = careful.unix_source(33)
    assert careful.client(source, headers) is source


# --- the headers on the wire ---------------------------------------------------------------------------------------------


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "rpcserver"):
        yield caplog


BEHIND_PROXY = {"trusted_proxies": ["127.0.0.1"]}


async def head_of(tools: Any, server: Any, source: str, **headers: str | None) -> bytes:
    raw = await tools.raw(server, source)
    await raw.send(tools.upgrade(server, **headers))
    return await raw.head()  # type: ignore[no-any-return]


def test_limits_and_logs_go_by_the_client(tools: Any, logged: pytest.LogCaptureFixture) -> None:
    """Of one address eight are served without a token, and of a second one eight more; a proxy has no such limit."""

    async def main() -> None:
        async with tools.serve(listen=BEHIND_PROXY, auth={"line_connections": 0}) as server:
            for address in ("203.0.113.7", "203.0.113.8"):
                heads = [
                    await head_of(
                        tools, server, "127.0.0.1", Authorization=None, X_Forwarded_For=f"6.6.6.{n}, {address}"
                    )
                    for n in range(10)
                ]
                statuses = [head.split()[1] for head in heads]
                assert statuses == [b"101"] * 8 + [b"503"] * 2
            assert b"101" in await head_of(tools, server, "127.0.0.1", Authorization=None), "the proxy itself"
            for _ in range(2):
                refused = await head_of(
                    tools, server, "127.0.0.1", Authorization="Bearer x", X_Forwarded_For="203.0.113.9"
                )
                assert b"401" in refused

    tools.run(main())
    assert "203.0.113.7 via 127.0.0.1:" in logged.text
    assert "203.0.113.9 via 127.0.0.1:" in logged.text
    assert "6.6.6." not in logged.text


def test_nobody_else_can_forge_an_address(tools: Any, logged: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        auth = {"line_connections": 0}
        async with tools.serve(listen=BEHIND_PROXY, auth=auth) as server:
            heads = [
                await head_of(
                    tools,
                    server,
                    "127.0.0.2",
                    Authorization=None,
                    X_Forwarded_For=f"203.0.113.{n}",
                    Forwarded="for=1.2.3.4",
                )
                for n in range(10)
            ]
            assert [head.split()[1] for head in heads] == [b"101"] * 8 + [b"503"] * 2
            assert b"101" in await head_of(tools, server, "127.0.0.2", X_Forwarded_For="rubbish"), "nobody reads it"

    tools.run(main())
    assert "203.0.113" not in logged.text


def test_silent_connections_of_a_proxy_are_limited_in_all_only(tools: Any) -> None:
    async def main() -> None:
        auth = {"arriving_per_address": 2, "arriving_connections": 10}
        async with tools.serve(listen=BEHIND_PROXY, auth=auth) as server:
            for _ in range(8):
                await tools.raw(server)
            await tools.until(lambda: server.door.entrance.waiting.arriving == 8)
            for _ in range(4):
                await tools.raw(server, "127.0.0.2")
            await tools.until(lambda: server.door.entrance.waiting.arriving == 10)
            for _ in range(4):
                await tools.raw(server)
            assert b"101" in await head_of(tools, server, "127.0.0.1")

    tools.run(main())


@pytest.mark.parametrize("header", [XFF, FORWARDED])
def test_malformed_headers_are_refused_clearly(tools: Any, header: str, logged: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with tools.serve(listen={**BEHIND_PROXY, "forwarding_header": header}) as server:
            for path in ("/", "/healthz"):
                status, _, body = await tools.http(
                    server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}: rubbish\r\n\r\n"
                )
                assert status == 400
                assert header.encode() in body

    tools.run(main())
    assert logged.text.count(f"refused: {header}: ") == 2


# --- the PROXY protocol --------------------------------------------------------------------------------------------------


def binary(source: str, port: int, *, kind: int = 0x21, extra: bytes = b"") -> bytes:
    """A PROXY header of version 2."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    target = "::1" if ":" in source else "127.0.0.1"
    data = (
        b"".join(socket.inet_pton(family, address) for address in (source, target))
        + struct.pack(">HH", port, 80)
        + extra
    )
    return SIGNATURE + struct.pack(">BBH", kind, 0x21 if ":" in source else 0x11, len(data)) + data


LINES = {
    b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n": ProxyClient("203.0.113.7", 4711),
    b"PROXY TCP6 2001:DB8:0::7 ::1 4711 80\r\n": ProxyClient("2001:db8::7", 4711),
    b"PROXY TCP6 ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n": None,
    b"PROXY UNKNOWN\r\n": ProxyClient(),
    b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n": ProxyClient(),
    b"PROXY TCP4 203.0.113.7 127.0.0.1 4711\r\n": None,
    b"PROXY TCP4 2001:db8::7 ::1 4711 80\r\n": None,
    b"PROXY TCP6 203.0.113.7 127.0.0.1 4711 80\r\n": None,
    b"PROXY TCP4 203.0.113.7 rubbish 4711 80\r\n": None,
    b"PROXY TCP4 203.0.113.7 127.0.0.1 65536 80\r\n": None,
    b"PROXY TCP4  203.0.113.7 127.0.0.1 4711 80\r\n": None,
    b"PROXY UDP4 203.0.113.7 127.0.0.1 4711 80\r\n": None,
    b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\n": None,
    b"proxy TCP4 203.0.113.7 127.0.0.1 4711 80\r\n": None,
    b"PROXY UNKNOWNX\r\n": None,
}


@pytest.mark.parametrize(("line", "expected"), LINES.items())
def test_headers_of_version_1(line: bytes, expected: ProxyClient | None) -> None:
    if expected is None:
        with pytest.raises(ProxyHeaderError, match="malformed"):
            parse_line(line)
    else:
        assert parse_line(line) == expected


def test_headers_of_version_2() -> None:
    assert parse_binary(0x21, 0x11, binary("203.0.113.7", 4711)[16:]) == ProxyClient("203.0.113.7", 4711)
    assert parse_binary(0x21, 0x21, binary("2001:db8::7", 4711, extra=b"\x04\x00\x01x")[16:]) == ProxyClient(
        "2001:db8::7", 4711
    )
    assert parse_binary(0x21, 0x31, b"/run/x".ljust(216, b"\0")) == ProxyClient("unix")
    assert (
        parse_binary(0x20, 0x00, b"")
        == parse_binary(0x20, 0x11, b"x")
        == parse_binary(0x21, 0x00, b"xyz")
        == ProxyClient()
    )
    for kind, family, data, word in (
        (0x11, 0x11, b"", "version"), (0x22, 0x11, b"", "command"), (0x21, 0x12, b"x" * 12, "stream"),
        (0x21, 0x22, b"x" * 36, "stream"), (0x21, 0x11, b"x" * 11, "short"), (0x21, 0x21, b"x" * 12, "short"),
    ):  # fmt: skip
        with pytest.raises(ProxyHeaderError, match=word):
            parse_binary(kind, family, data)


PROXY_PROTOCOL = {**BEHIND_PROXY, "proxy_protocol": ["tcp"]}
HEADER_1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n"


@pytest.mark.parametrize("header", [HEADER_1, binary("203.0.113.7", 4711, extra=b"\x04\x04\x00" + b"x" * 1024)])
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("pieces", [1, 1000])
def test_a_proxy_of_connections(
    tools: Any,
    header: bytes,
    encrypted: bool,
    pieces: int,
    tls: dict[str, str],
    authority: Any,
    logged: pytest.LogCaptureFixture,
) -> None:
    """Its header comes before TLS, in the same packet as what follows, or byte by byte."""
    import ssl

    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def main() -> None:
        sections = {"tls": tls} if encrypted else {}
        async with tools.serve(listen=PROXY_PROTOCOL, **sections) as server:

            async def passes_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                there, to = await asyncio.open_connection("127.0.0.1", tools.port(server))
                data = header + await reader.read(65536)
                step = -(-len(data) // pieces)
                for at in range(0, len(data), step):
                    to.write(data[at : at + step])
                    await to.drain()

                async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
                    while data := await source.read(65536):
                        target.write(data)
                    target.close()

                await asyncio.gather(pump(reader, to), pump(there, writer), return_exceptions=True)

            proxy = await asyncio.start_server(passes_on, "127.0.0.1", 0)
            port = proxy.sockets[0].getsockname()[1]
            headers = {"Authorization": f"Bearer {tools.TOKEN}", "X-Forwarded-For": "6.6.6.6"}
            secure: Any = {"ssl": trusting} if encrypted else {}
            scheme = "wss" if encrypted else "ws"
            async with connect(
                f"{scheme}://127.0.0.1:{port}", additional_headers=headers, proxy=None, **secure
            ) as connection:
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
                (peer,) = server.connections
                assert peer.remote.startswith("203.0.113.7:4711 via 127.0.0.1:")
            proxy.close()

    tools.run(main())
    assert "6.6.6.6" not in logged.text, "the client of the proxy is no trusted proxy"


def test_a_chain_of_proxies(tools: Any) -> None:
    """One of connections behind one of requests: its header names the latter, whose own header names the client."""

    async def main() -> None:
        listen = {"trusted_proxies": ["127.0.0.1", "10.0.0.0/8"], "proxy_protocol": ["tcp"]}
        async with tools.serve(listen=listen) as server:
            raw = await tools.raw(server)
            await raw.send(binary("10.0.0.1", 99) + tools.upgrade(server, X_Forwarded_For="6.6.6.6, 203.0.113.7"))
            assert (await raw.head()).startswith(b"HTTP/1.1 101")
            (peer,) = server.connections
            assert peer.remote.startswith("203.0.113.7 via 10.0.0.1:99 via 127.0.0.1:")
            await raw.close()

    tools.run(main())


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", binary("203.0.113.7", 1, kind=0x20)])
def test_a_proxys_own_connection(tools: Any, header: bytes) -> None:
    """That is how it looks whether the server is well."""

    async def main() -> None:
        async with tools.serve(listen=PROXY_PROTOCOL, auth={"unauthenticated_per_address": 1}) as server:
            for _ in range(3):
                raw = await tools.raw(server)
                await raw.send(header + tools.upgrade(server, Authorization=None))
                assert (await raw.head()).startswith(b"HTTP/1.1 101")
            status, _, body = await tools.http(server, header + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (status, body) == (200, b"ok\n")

    tools.run(main())


WRONG = {
    "no header": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "begin with a PROXY header"),
    "a malformed header": (b"PROXY TCP4 rubbish\r\nGET / HTTP/1.1\r\n\r\n", "malformed"),
    "an endless header": (b"PROXY TCP4 " + b"x" * 1000, "more than 107 bytes"),
    "an unknown version": (SIGNATURE + b"\x31\x11\x00\x00", "unknown"),
    "datagrams": (SIGNATURE + b"\x21\x12\x00\x0c" + b"x" * 12, "no stream"),
}


@pytest.mark.parametrize(("data", "why"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_proxy_header_is_refused(
    tools: Any, data: bytes, why: str, logged: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with tools.serve(listen=PROXY_PROTOCOL) as server:
            status, _, body = await tools.http(server, data)
            assert status == 400
            assert why.encode() in body
            await tools.until(lambda: len(server.door.entrance.waiting) == 0)

    tools.run(main())
    assert "refused: it" in logged.text
    assert why in logged.text


@pytest.mark.parametrize(
    "sent", [b"", HEADER_1[:9], HEADER_1[:30], SIGNATURE, SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 999]
)
@pytest.mark.parametrize("leaves", [True, False])
def test_headers_that_do_not_end(tools: Any, sent: bytes, leaves: bool, logged: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with tools.serve(listen=PROXY_PROTOCOL, auth={"timeout_s": 0.3}) as server:
            raw = await tools.raw(server)
            await raw.send(sent)
            if leaves:
                await tools.until(lambda: len(server.door.entrance.waiting) == 1)
                raw.writer.write_eof()
            await raw.rest()
            await tools.until(lambda: len(server.door.entrance.waiting) == 0)
            await raw.close()

    tools.run(main())
    assert not [record for record in logged.records if record.levelno >= logging.ERROR]


def test_a_proxy_header_of_a_stranger_is_refused(tools: Any, logged: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with tools.serve(listen=PROXY_PROTOCOL) as server:
            raw = await tools.raw(server, "127.0.0.2")
            await raw.send(HEADER_1 + tools.upgrade(server))
            assert b"listen.trusted_proxies" in await raw.rest()
            await raw.close()

    tools.run(main())
    assert "203.0.113.7" not in logged.text


@pytest.mark.parametrize("header", [HEADER_1, binary("203.0.113.7", 4711)])
def test_a_proxy_header_where_none_is_due(tools: Any, header: bytes, logged: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with tools.serve(listen=BEHIND_PROXY) as server:
            status, _, body = await tools.http(server, header + tools.upgrade(server))
            assert status == 400
            assert b"listen.proxy_protocol" in body

    tools.run(main())
    assert "203.0.113.7" not in logged.text


def test_addresses_of_proxy_headers_count_while_they_are_silent(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(listen=PROXY_PROTOCOL, auth={"arriving_per_address": 3}) as server:
            raws = [await tools.raw(server) for _ in range(5)]
            for raw in raws:
                await raw.send(HEADER_1)
            await asyncio.wait([asyncio.ensure_future(raw.rest()) for raw in raws[:2]], timeout=tools.SECONDS)
            assert [raw.reader.at_eof() for raw in raws] == [True, True, False, False, False]
            await tools.until(lambda: server.door.entrance.waiting.arriving == 3)

    tools.run(main())


# --- the Unix socket -----------------------------------------------------------------------------------------------------


def test_a_proxy_on_the_unix_socket_does_not_make_everybody_the_owner(
    tools: Any, short_folder: Path, logged: pytest.LogCaptureFixture
) -> None:
    path = str(short_folder / "s.sock")

    async def main() -> None:
        async with tools.serve(listen={"unix": path, "tcp": False}):
            async with unix_connect(path, uri="ws://localhost/") as owner:
                assert (await tools.call(owner, "calc.add", [1, 2]))["result"] == 3
            for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
                async with unix_connect(path, uri="ws://localhost/", additional_headers={header: "x"}) as visitor:
                    assert (await tools.call(visitor, "calc.add", [1, 2]))["error"]["code"] == -32001
                    assert (await tools.call(visitor, "rpc.authenticate", [tools.TOKEN]))["result"]["method"] == "token"

    tools.run(main())
    assert logged.text.count("is a reverse proxy") == 1
    assert "listen.unix_peer_credentials = false" in logged.text


def test_peer_credentials_can_be_switched_off(tools: Any, short_folder: Path) -> None:
    path = str(short_folder / "s.sock")

    async def main() -> None:
        async with (
            tools.serve(listen={"unix": path, "tcp": False, "unix_peer_credentials": False}),
            unix_connect(path, uri="ws://localhost/") as connection,
        ):
            assert (await tools.call(connection, "rpc.hello"))["result"]["principal"] is None
            assert (await tools.call(connection, "calc.add", [1, 2]))["error"]["code"] == -32001
            assert (await tools.call(connection, "rpc.authenticate", [tools.TOKEN]))["result"]["method"] == "token"

    tools.run(main())


def test_a_proxy_on_the_unix_socket_that_is_trusted(tools: Any, short_folder: Path) -> None:
    path = str(short_folder / "s.sock")
    listen = {"unix": path, "tcp": False, "unix_peer_credentials": False, "trusted_proxies": ["unix"]}

    async def main() -> None:
        async with tools.serve(listen=listen, auth={"unauthenticated_per_address": 1, "line_connections": 0}):
            header = {"X-Forwarded-For": "203.0.113.7"}
            async with unix_connect(path, uri="ws://localhost/", additional_headers=header):
                with pytest.raises(InvalidStatus) as caught:
                    async with unix_connect(path, uri="ws://localhost/", additional_headers=header):
                        pass
                assert caught.value.response.status_code == 503
                async with unix_connect(
                    path, uri="ws://localhost/", additional_headers={"X-Forwarded-For": "203.0.113.8"}
                ):
                    pass
        async with tools.serve(listen={**listen, "proxy_protocol": ["unix"]}) as server:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(HEADER_1 + b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                         b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")  # fmt: skip
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            (peer,) = server.connections
            assert peer.remote == f"203.0.113.7:4711 via unix:uid={os.geteuid()}"
            writer.close()

    tools.run(main())


# --- settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ({"trusted_proxies": ["unix"]}, ["listen.trusted_proxies", "listen.unix_peer_credentials = false"]),
        ({"proxy_protocol": ["tcp"]}, ["listen.proxy_protocol", 'listen.trusted_proxies = ["127.0.0.1"]']),
        (
            {"proxy_protocol": ["tcp"], "trusted_proxies": ["unix"], "unix_peer_credentials": False},
            ["listen.proxy_protocol", "tcp"],
        ),
        ({"proxy_protocol": ["unix"], "trusted_proxies": ["127.0.0.1"]}, ['listen.trusted_proxies = ["unix"]']),
    ],
)
def test_settings_that_contradict_each_other(tools: Any, listen: dict[str, Any], words: list[str]) -> None:
    async def main() -> None:
        with pytest.raises(ConfigError) as caught:
            async with tools.serve(listen=listen):
                pass
        for word in words:
            assert word in str(caught.value)

    tools.run(main())


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("trusted_proxies", ["proxy.example"], "10.0.0.0/8"),
        ("trusted_proxies", ["10.0.0.1/8"], "host bits"),
        ("forwarding_header", "X-Real-IP", "Forwarded"),
        ("proxy_protocol", ["udp"], "unix"),
        *(("path_prefix", text, "/rpc") for text in ("rpc", "/a//b", "/a/../b", "/a?b", "/a#b", "https://x/rpc", "/.")),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, key: str, value: Any, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, {"listen": {key: value}})
    assert f"listen.{key}" in str(caught.value)
    assert word in str(caught.value)


# --- prefixes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prefix", "path"), [("/rpc", "/rpc"), ("/rpc/", "/rpc"), ("/", ""), ("/a/b c", "/a/b%20c")])
def test_a_prefix(tools: Any, prefix: str, path: str) -> None:
    async def main() -> None:
        async with tools.serve(listen={"path_prefix": prefix}) as server:
            (address,) = server.addresses
            assert address.endswith(f":{tools.port(server)}" if not path else f"{path}/")
            async with tools.connect(server) as connection:
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
            for target, status in (
                (f"{path}/", 426), (path or "/", 426), (f"{path}/healthz", 200), (f"{path}/readyz?x=1", 200),
                (f"http://localhost{path}/healthz", 200), (f"{path}/nothing", 404), ("/healthz", 200), ("/", 426),
                (f"{path or '/'}x/healthz", 404), (f"/x{path}/healthz", 404),
            ):  # fmt: skip
                got, _, body = await tools.http(server, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert got == status, (target, body)
                assert status != 404 or f"{path}/healthz".encode() in body
            request = tools.upgrade(server).replace(b"GET / ", f"GET {path}/other ".encode())
            status, _, body = await tools.http(server, request)
            assert (status, body) == (404, f"the WebSocket is at {path}/\n".encode())
            for target in (path or "/", f"{path}/?a=b", "/"):
                raw = await tools.raw(server)
                await raw.send(tools.upgrade(server).replace(b"GET / ", f"GET {target} ".encode()))
                assert (await raw.head()).startswith(b"HTTP/1.1 101"), target
                await raw.close()

    tools.run(main())


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1", "fe80::/64"),
        ("::1", "::1"),
        ("203.0.113.7", "203.0.113.7"),
        ("unknown", "unknown"),
        ("unix:uid=1000", "unix:uid=1000"),
    ],
)
def test_limits_count_networks_of_ipv6(address: str, network: str) -> None:
    """Whoever has one address of a network has 2 ** 64 of them."""
    source = Proxies(ListenConfig()).source(address, 5)
    assert (source.counted_address, source.attempts_address) == (network, network)
    assert network_of(address) == network
