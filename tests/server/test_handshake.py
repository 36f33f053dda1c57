"""The door: subprotocols, Host, Origin, tokens, and whatever else may come instead of a handshake."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from rpcserver import Health, Principal, Service, ServiceConfig, Way, method
from rpcserver.door.hosts import Authority, canonical, is_loopback, is_this_machine, read_authority
from rpcserver.server import Server

# --- subprotocols ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, None),
        (["jsonrpc"], "jsonrpc"),
        (["rpc.v1.json"], "rpc.v1.json"),
        (["rpc.v1.msgpack"], "rpc.v1.msgpack"),
        (["jsonrpc", "rpc.v1.json", "rpc.v1.msgpack"], "rpc.v1.msgpack"),
        (["chat", "jsonrpc"], "jsonrpc"),
        (["rpc.v9.json", "rpc.v1.json"], "rpc.v1.json"),
    ],
)
def test_subprotocols(tools: Any, offered: Any, chosen: str | None) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            headers = {"Authorization": f"Bearer {tools.TOKEN}"}
            async with connect(
                server.addresses[0], subprotocols=offered, additional_headers=headers, proxy=None
            ) as connection:
                assert connection.subprotocol == chosen
                if chosen != "rpc.v1.msgpack":
                    answer = await tools.call(connection, "rpc.hello")
                    assert answer["result"]["subprotocol"] == chosen or "jsonrpc"
                    assert answer["result"]["principal"] == {"name": "owner", "method": "token", "role": "owner"}

    tools.run(main())


@pytest.mark.parametrize("offered", ["chat", "rpc.v2.msgpack", "chat, superchat", "JSONRPC"])
def test_unknown_subprotocols_are_refused_with_ours(tools: Any, offered: str) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            status, _, body = await tools.http(server, tools.upgrade(server, Sec_WebSocket_Protocol=offered))
            assert status == 400
            assert b"rpc.v1.msgpack, rpc.v1.json, jsonrpc" in body

    tools.run(main())


# --- Host ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/healthz"])
@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["127.0.0.1"], 200),
        (["localhost:8765"], 200),
        (["LOCALHOST"], 200),
        (["[::1]:8765"], 200),
        (["console.example"], 200),
        (["CONSOLE.example.:443"], 200),
        (["localhost."], 200),
        (["console.localhost"], 200),
        (["127.0.0.2"], 200),
        (["127.1:8765"], 200),
        (["0x7f.0.0.1"], 200),
        (["2130706433"], 200),
        (["0.0.0.0"], 200),
        (["[::]"], 200),
        (["[0:0:0:0:0:0:0:1]:8765"], 200),
        (["[::ffff:127.0.0.1]"], 200),
        (["[::FFFF:7f00:1]"], 200),
        (["[::1%lo]:8765"], 200),
        (["[::1%25lo]"], 200),
        (["localhost:"], 200),
        (["evil.example"], 421),
        (["127.example"], 421),
        (["127.0.0.1.nip.example"], 421),
        (["evillocalhost"], 421),
        (["localhost.."], 421),
        (["128.0.0.1"], 421),
        (["[::2]"], 421),
        (["[::ffff:10.0.0.1]"], 421),
        (["[fe80::1%lo]"], 421),
        (["127.0.0.1.evil.example"], 421),
        (["localhost.evil.example"], 421),
        ([], 400),
        (["localhost", "localhost"], 400),
        (["localhost", "evil.example"], 400),
        (["local host"], 400),
        (["localhost/evil"], 400),
        (["evil.example@localhost"], 400),
        ([""], 400),
        (["localhost:port"], 400),
        (["[::1"], 400),
        (["::1"], 400),
        (["[127.0.0.1]"], 400),
        (["[::1%]"], 400),
        (["[localhost]"], 400),
        (["localhost:65536"], 400),
        (["user@localhost"], 400),
    ],
)
def test_host(tools: Any, path: str, hosts: list[str], status: int) -> None:
    async def main() -> None:
        async with tools.serve(listen={"allowed_hosts": ["Console.Example"]}) as server:
            lines = "".join(f"Host: {host}\r\n" for host in hosts)
            got, _, body = await tools.http(server, f"GET {path} HTTP/1.1\r\n{lines}\r\n")
            assert got == (426 if path == "/" and status == 200 else status), body

    tools.run(main())


def test_host_of_the_handshake(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            status, _, body = await tools.http(server, tools.upgrade(server, Host="evil.example"))
            assert status == 421
            assert b"listen.allowed_hosts" in body

    tools.run(main())


ABSOLUTE = [
    ("http://127.0.0.1/", "evil.example", 200, "the host in the target counts, not Host (RFC 9112, section 3.2.2)"),
    ("http://127.0.0.1:8765", "localhost", 200, "a path that was left out is /"),
    ("http://localhost?x=1", "localhost", 200, "the same with a query"),
    ("HTTPS://LocalHost./", "localhost", 200, "spelled otherwise"),
    ("ws://[::1]:8765/", "localhost", 200, "as some clients of WebSockets write it behind a proxy"),
    ("http://evil.example/", "127.0.0.1", 421, "another host"),
    ("http://evil.example", "localhost", 421, "another host"),
    ("http://127.0.0.1/", None, 400, "Host is needed all the same"),
    ("http://127.0.0.1/", "a b", 400, "and must be well-formed"),
    ("http://user@127.0.0.1/", "localhost", 400, "users have no place in a target (RFC 9110, section 4.2.4)"),
    ("http:///", "localhost", 400, "no host at all"),
    ("http://localhost/#x", "localhost", 400, "fragments stay with the client"),
    ("http:/localhost/", "localhost", 400, "no absolute URL"),
    ("ftp://localhost/", "localhost", 400, "no scheme of ours"),
    ("localhost:80", "localhost", 400, "for CONNECT only"),
    ("*", "localhost", 400, "for OPTIONS only"),
    ("healthz", "localhost", 400, "no path"),
]


@pytest.mark.parametrize(("target", "host", "status", "why"), ABSOLUTE)
def test_absolute_targets(tools: Any, target: str, host: str | None, status: int, why: str) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            upgrade = tools.upgrade(server, Host=host).replace(b"GET / ", f"GET {target} ".encode())
            if status == 200:
                raw = await tools.raw(server)
                await raw.send(upgrade)
                assert (await raw.head()).startswith(b"HTTP/1.1 101"), why
                await raw.close()
            else:
                assert (await tools.http(server, upgrade))[0] == status, why
            place, separator, query = target.partition("?")
            page = place.rstrip("/") + "/healthz" + separator + query
            field = "" if host is None else f"Host: {host}\r\n"
            for verb in ("GET", "HEAD"):
                got, _, body = await tools.http(
                    server, f"{verb} {page if status in (200, 421) else target} HTTP/1.1\r\n{field}\r\n"
                )
                assert got == status, (why, body)

    tools.run(main())


def test_absolute_targets_and_origins(tools: Any) -> None:
    """The page's origin is compared with the host that counts."""

    async def main() -> None:
        async with tools.serve(listen={"allowed_hosts": ["box.example"]}) as server:
            request = tools.upgrade(server, Host="other.example", Origin="http://box.example")
            raw = await tools.raw(server)
            await raw.send(request.replace(b"GET / ", b"GET http://box.example/ "))
            assert (await raw.head()).startswith(b"HTTP/1.1 101")
            await raw.close()
            request = tools.upgrade(server, Host="box.example", Origin="http://box.example")
            status, _, _ = await tools.http(server, request.replace(b"GET / ", b"GET http://localhost/ "))
            assert status == 403

    tools.run(main())


def test_hosts() -> None:
    assert read_authority("[::1]") == Authority("::1", None)
    assert read_authority("A.b:1") == Authority("a.b", 1)
    assert read_authority("a b") is None
    names = {
        "[FE80:0::1%25eth0]": "fe80::1", "fe80::1%eth0": "fe80::1", "::ffff:1.2.3.4": "1.2.3.4", "127.1": "127.0.0.1",
        "0X7F000001": "127.0.0.1", "999999999999": "999999999999", "Box.Example.": "box.example", "": "",
        "bücher.example": "xn--bcher-kva.example", "127.example": "127.example", "1.2.3.4.5": "1.2.3.4.5",
    }  # fmt: skip
    assert {name: canonical(name) for name in names} == names
    for host in ("127.0.0.1", "127.9.9.9", "LocalHost", "localhost.", "a.localhost", "::1", "0:0::0:1", "::ffff:127.0.0.1",
                 "::1%lo", "[::1]", "127.1", "0177.0.0.1"):  # fmt: skip
        assert is_loopback(host), host
    for host in (
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "127.example",
        "127.0.0.1.example",
        "localhosts",
        "::ffff:10.0.0.1",
        "fe80::1%lo",
    ):
        assert not is_loopback(host), host
    assert is_this_machine("0.0.0.0")
    assert is_this_machine("::")


# --- Origin ------------------------------------------------------------------------------------------------------------

ORIGINS = [
    (None, True), ("http://127.0.0.1:{port}", True), ("https://127.0.0.1:{port}", True), ("HTTP://127.0.0.1:{port}", True),
    ("https://console.example", True), ("https://console.example:8443", False), ("http://console.example", False),
    ("https://console.example.evil", False), ("https://evil.example", False), ("http://127.0.0.1", False),
    ("http://localhost:{port}", False), ("null", False), ("", False), ("file://", False), ("https://console.example/", False),
    ("http://127.0.0.1:{port}.evil.example", False), ("*", False),
    ("http://127.1:{port}", True), ("http://[::ffff:127.0.0.1]:{port}", True), ("https://console.example:443", True),
    ("http://127.0.0.1:{port}/", False), ("http://user@127.0.0.1:{port}", False), ("ws://127.0.0.1:{port}", False),
    ("http://127.0.0.2:{port}", False), ("chrome-extension://abcdef", True), ("chrome-extension://abcdefg", False),
]  # fmt: skip


@pytest.mark.parametrize(("origin", "welcome"), ORIGINS)
def test_origin(tools: Any, origin: str | None, welcome: bool) -> None:
    async def main() -> None:
        async with tools.serve(
            listen={"allowed_origins": ["https://Console.example", "chrome-extension://abcdef"]}
        ) as server:
            given = None if origin is None else origin.format(port=tools.port(server))
            raw = await tools.raw(server)
            await raw.send(tools.upgrade(server, Origin=given))
            head = await raw.head()
            assert head.startswith(b"HTTP/1.1 101" if welcome else b"HTTP/1.1 403"), head
            await raw.close()
            if not welcome:
                status, _, body = await tools.http(
                    server, f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: {given}\r\n\r\n"
                )
                assert status == 403
                assert b"listen.allowed_origins" in body

    tools.run(main())


def test_null_is_an_origin_only_by_its_own_name(tools: Any) -> None:
    """Files and pages in sandboxes have it, whoever wrote them."""

    async def main() -> None:
        for allowed, status in [((), 403), (("https://console.example",), 403), (("null",), 101)]:
            async with tools.serve(listen={"allowed_origins": allowed}) as server:
                raw = await tools.raw(server)
                await raw.send(tools.upgrade(server, Origin="null"))
                assert (await raw.head()).startswith(f"HTTP/1.1 {status} ".encode())
                await raw.close()

    tools.run(main())


def test_a_refusal_names_the_origin_or_host_and_the_setting_to_the_page_and_in_one_line_of_the_log(
    tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            for line, setting in [
                ("Host: localhost\r\nOrigin: https://evil.example", "listen.allowed_origins"),
                ("Host: evil.example", "listen.allowed_hosts"),
            ]:
                caplog.clear()
                _, _, body = await tools.http(server, f"GET / HTTP/1.1\r\n{line}\r\n\r\n")
                (record,) = [each for each in caplog.records if setting in each.getMessage()]
                assert "evil.example" in record.getMessage()
                assert record.getMessage().endswith(f"refused: {body.decode().strip()}")

    tools.run(main())


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_pages_of_allowed_origins_read_the_state_of_the_server(tools: Any, path: str) -> None:
    async def main() -> None:
        allowed = "https://console.example"
        async with tools.serve(listen={"allowed_origins": [allowed]}) as server:

            async def ask(verb: str, origin: str, *headers: str) -> tuple[int, dict[str, str], bytes]:
                lines = [f"{verb} {path} HTTP/1.1", "Host: localhost", f"Origin: {origin}", *headers, "", ""]
                answer: tuple[int, dict[str, str], bytes] = await tools.http(server, "\r\n".join(lines))
                return answer

            token = f"Authorization: Bearer {tools.TOKEN}"
            asks = ("Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization")
            status, headers, body = await ask("GET", allowed, token)
            assert (status, headers["access-control-allow-origin"], headers["vary"]) == (200, allowed, "Origin")
            assert body and "access-control-allow-credentials" not in headers
            status, headers, body = await ask("OPTIONS", allowed, *asks)
            assert (status, body, headers["access-control-allow-origin"]) == (200, b"", allowed)
            assert headers["access-control-allow-headers"] == "Authorization"
            assert headers["access-control-allow-methods"] == "GET, HEAD"
            for verb in ("GET", "OPTIONS"):
                status, headers, _ = await ask(verb, "https://evil.example", token, *asks)
                assert status == 403 and "access-control-allow-origin" not in headers
            assert (await ask("OPTIONS", allowed))[0] == 405, "without the header it is no preflight"
            if path == "/metrics":
                status, headers, _ = await ask("GET", allowed)
                assert (status, headers["access-control-allow-origin"]) == (401, allowed), "a page may see why"
            request = f"GET /nothing HTTP/1.1\r\nHost: localhost\r\nOrigin: {allowed}\r\n\r\n"
            assert "access-control-allow-origin" not in (await tools.http(server, request))[1]

    tools.run(main())


def test_two_origins(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            own = f"http://127.0.0.1:{tools.port(server)}"
            request = tools.upgrade(server).replace(b"\r\n\r\n", f"\r\nOrigin: {own}\r\nOrigin: {own}\r\n\r\n".encode())
            assert (await tools.http(server, request))[0] == 403

    tools.run(main())


@pytest.mark.parametrize(
    ("host", "origin", "welcome"),
    [
        ("box.example", "https://box.example", True),
        ("box.example", "http://box.example", True),
        ("box.example:443", "https://box.example", True),
        ("box.example:80", "http://box.example", True),
        ("Box.Example.:443", "https://BOX.example:443", True),
        ("box.example:8443", "https://box.example:8443", True),
        ("box.example:443", "http://box.example", False),
        ("box.example:8443", "https://box.example", False),
        ("box.example", "https://box.example:8443", False),
        ("box.example", "https://other.example", False),
    ],
)
def test_origin_and_host_of_a_proxy(tools: Any, host: str, origin: str, welcome: bool) -> None:
    """Some proxies write the scheme's own port into Host; browsers never do."""

    async def main() -> None:
        async with tools.serve(listen={"allowed_hosts": ["box.example"]}) as server:
            raw = await tools.raw(server)
            await raw.send(tools.upgrade(server, Host=host, Origin=origin))
            assert (await raw.head()).startswith(b"HTTP/1.1 101" if welcome else b"HTTP/1.1 403")
            await raw.close()

    tools.run(main())


# --- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer {token}", 101),
        ("bearer {token}", 101),
        ("BEARER   {token}", 101),
        ("Bearer wrong-token-of-some-length", 401),
        ("Bearer {token}x", 401),
        ("Bearer ", 401),
        ("Bearer", 401),
        ("", 401),
        ("Basic {token}", 401),
        ("{token}", 401),
        ("Bearer tökén-with-ümlauts-𝄞", 401),
        ("Bearer {token} {token}", 401),
    ],
)
def test_token_in_the_header(tools: Any, header: str, status: int) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            raw = await tools.raw(server)
            request = tools.upgrade(server, Authorization="@").replace(b"@", header.format(token=tools.TOKEN).encode())
            await raw.send(request)
            head = await raw.head()
            assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
            if status == 401:
                assert b"WWW-Authenticate: Bearer" in head
                assert tools.TOKEN.encode() not in await raw.rest()
            await raw.close()

    tools.run(main())


def test_two_authorization_headers(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            more = f"\r\nAuthorization: Bearer {tools.TOKEN}\r\n\r\n".encode()
            assert (await tools.http(server, tools.upgrade(server).replace(b"\r\n\r\n", more)))[0] == 401

    tools.run(main())


def test_token_in_the_url_is_no_token(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with tools.serve() as server, tools.connect(server, token=None) as connection:
            assert (await tools.call(connection, "calc.add", [1, 2]))["error"]["code"] == -32001
        async with (
            tools.serve() as server,
            connect(f"{server.addresses[0]}/?token={tools.TOKEN}", proxy=None) as connection,
        ):
            assert (await tools.call(connection, "calc.add", [1, 2]))["error"]["code"] == -32001

    with caplog.at_level(logging.DEBUG):
        tools.run(main())
    assert not [r for r in caplog.records if r.name.startswith("rpc") and tools.TOKEN in r.getMessage()]


def test_token_in_the_first_call(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server, tools.connect(server, token=None) as connection:
            for method_name in ("calc.add", "rpc.discover", "rpc.services", "nothing.there", "rpc.nothing"):
                refused = (await tools.call(connection, method_name))["error"]
                assert (refused["code"], refused["data"]["type"]) == (-32001, "Unauthenticated")
                assert "rpc.authenticate" in refused["message"]
            assert (await tools.call(connection, "rpc.ping"))["result"] == "pong"
            assert (await tools.call(connection, "rpc.hello"))["result"]["principal"] is None
            assert (await tools.call(connection, "rpc.authenticate", {}))["error"]["code"] == -32602
            assert (await tools.call(connection, "rpc.authenticate", {"token": 5}))["error"]["code"] == -32602
            assert (await tools.call(connection, "rpc.authenticate", ["wrong"]))["error"]["code"] == -32001
            good = await tools.call(connection, "rpc.authenticate", {"token": tools.TOKEN})
            assert good["result"] == {"name": "owner", "method": "token", "role": "owner", "session": None}
            assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
            assert (await tools.call(connection, "rpc.authenticate", {"token": tools.TOKEN}))["result"]

    tools.run(main())


class Viewing(Way[ServiceConfig]):
    """Knows one viewer."""

    scheme = "Viewing"
    form = "Viewing NAME"

    def principal(self, credentials: str) -> Principal | None:
        return Principal(credentials, "viewing", role="viewer")


def test_a_further_token_changes_nothing(tools: Any) -> None:
    """Neither who a connection belongs to, nor what it may do."""

    async def main() -> None:
        roles = {"viewer": {"permissions": ["calc.add"]}}
        server = Server(tools.config(roles=roles), [tools.Calc()], token=tools.TOKEN, ways=[Viewing(ServiceConfig())])
        await server.start()
        try:
            header = {"Authorization": "Viewing vera"}
            async with tools.connect(server, token=None, headers=header) as connection:
                for _ in range(2):
                    assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
                    refused = (await tools.call(connection, "calc.echo", ["x"]))["error"]
                    assert refused["data"]["type"] == "PermissionDenied"
                    known = (await tools.call(connection, "rpc.hello"))["result"]["principal"]
                    assert known == {"name": "vera", "method": "viewing", "role": "viewer"}
                    error = (await tools.call(connection, "rpc.authenticate", [tools.TOKEN]))["error"]
                    assert (error["data"]["type"], error["data"]["executed"]) == ("InvalidRequest", "no")
                    assert "belongs to vera already: make another one for owner" in error["message"]
                    wrong = (await tools.call(connection, "rpc.authenticate", ["wrong"]))["error"]
                    assert wrong["data"]["type"] == "Unauthenticated"
        finally:
            await server.stop(grace_s=0)

    tools.run(main())


@pytest.mark.parametrize("token", ["", "wrong", "é𝄞", "\x00", "x" * 10_000])
def test_wrong_tokens(tools: Any, token: str) -> None:
    async def main() -> None:
        async with tools.serve() as server, tools.connect(server, token=None) as connection:
            answer = await tools.call(connection, "rpc.authenticate", {"token": token})
            assert answer["error"]["code"] == -32001

    tools.run(main())


def test_too_many_wrong_tokens_close_the_connection(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with tools.serve(auth={"attempts": 3}) as server, tools.connect(server, token=None) as connection:
            for _ in range(3):
                answer = await tools.call(connection, "rpc.authenticate", {"token": "a-very-wrong-token"})
                assert answer["error"]["code"] == -32001
            await connection.wait_closed()
            assert connection.close_code == 1008
            assert "tokens" in (connection.close_reason or "")

    with caplog.at_level(logging.WARNING):
        tools.run(main())
    assert caplog.text.count("the token is wrong (more") == 1
    assert "2 more wrong attempts" in caplog.text
    assert "a-very-wrong-token" not in caplog.text


# --- plain HTTP ----------------------------------------------------------------------------------------------------------


class Sick(Service):
    state: Any = Health(ok=False, reason="no disk")

    @method()
    async def nothing(self) -> None: ...

    async def health(self) -> Health:
        if isinstance(self.state, Exception):
            raise self.state
        if self.state is None:
            await asyncio.sleep(60)
        return self.state  # type: ignore[no-any-return]


def test_healthz_and_readyz(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            for head, body in (("GET", b"ok\n"), ("HEAD", b"")):
                status, headers, got = await tools.http(server, f"{head} /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (status, got) == (200, body)
                assert headers["content-length"] == "3"
                assert headers["connection"] == "close"
                assert headers["cache-control"] == "no-store"
            status, headers, got = await tools.http(server, "GET /readyz?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert status == 200
            assert json.loads(got) == {"ready": True, "services": {"calc": {"ok": True, "reason": ""}}}
            assert headers["content-type"] == "application/json"
            status, _, got = await tools.http(server, "HEAD /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (status, got) == (200, b"")

    tools.run(main())


def test_readyz_tells_what_is_not_ready(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rpcserver.door.pages.HEALTH_TIMEOUT_S", 0.05)

    async def main() -> None:
        sick = Sick()
        async with tools.serve(sick) as server:
            for state, reason in (
                (Health(ok=False, reason="no disk"), "no disk"),
                (OSError("secret"), "failed; see the log"),
                (None, "no answer within 0.05 s"),
            ):
                sick.state = state
                status, _, got = await tools.http(server, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert status == 503
                (service,) = json.loads(got)["services"].values()
                assert not service["ok"]
                assert reason in service["reason"]
            sick.state = Health()
            server.is_stopping = True
            status, _, got = await tools.http(server, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert status == 503
            server.is_stopping = False

    tools.run(main())


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"])
@pytest.mark.parametrize("length", [None, 0, 5, 100_000])
def test_other_methods(tools: Any, verb: str, length: int | None) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            field = "" if length is None else f"Content-Length: {length}\r\n"
            status, headers, body = await tools.http(
                server, f"{verb} /healthz HTTP/1.1\r\nHost: localhost\r\n{field}\r\n" + "x" * (length or 0)
            )
            assert status in (405, 413), (status, body)
            if status == 405:
                assert headers["allow"] == "GET, HEAD"
            async with tools.connect(server) as connection:
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3

    tools.run(main())


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 426), ("/nothing", 404), ("/healthz/", 404), ("//", 404), ("/../healthz", 404), ("/%2e", 404)],
)
def test_paths(tools: Any, path: str, status: int) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            for verb in ("GET", "HEAD"):
                got, headers, body = await tools.http(server, f"{verb} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert got == status
                assert (body == b"") is (verb == "HEAD")
                assert status != 426 or headers["upgrade"] == "websocket"
            if path != "/":
                got, _, _ = await tools.http(server, tools.upgrade(server).replace(b"GET / ", f"GET {path} ".encode()))
                assert got == 404

    tools.run(main())


OBEYED = "\x1b[2J\x07"
ECHOED = {
    "method": {"first": f"X{OBEYED} / HTTP/1.1"},
    "target": {"first": f"GET /{OBEYED} HTTP/1.1"},
    "version": {"first": f"GET / HTTP/{OBEYED}"},
    **{
        name: {"field": f"{name}: {OBEYED}"}
        for name in (
            "Host", "Origin", "Authorization", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
            "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "RPC-Message-Bytes", "Content-Length",
            "Transfer-Encoding", "X-Forwarded-For", "Forwarded", f"X{OBEYED}",
        )
    },
}  # fmt: skip
"""Every place of a request, with text that a terminal would obey."""


@pytest.mark.parametrize("place", ECHOED)
def test_no_answer_has_what_a_terminal_would_obey(tools: Any, place: str) -> None:
    first, field = ECHOED[place].get("first", "GET / HTTP/1.1"), ECHOED[place].get("field", "X: y")

    async def main() -> None:
        async with tools.serve(listen={"trusted_proxies": ["127.0.0.1"]}) as server:
            for line in (first, first.replace("GET /", "HEAD /"), first.replace("GET /", "GET /healthz")):
                for upgrade in ("", "Upgrade: websocket\r\nConnection: Upgrade\r\n"):
                    raw = await tools.raw(server)
                    await raw.send(f"{line}\r\nHost: localhost\r\n{upgrade}{field}\r\n\r\n".encode())
                    answer = await raw.rest()
                    assert answer.startswith(b"HTTP/1.1 ")
                    assert not re.search(rb"[^\r\n\x20-\x7e]", answer), answer
                    await raw.close()

    tools.run(main())


@pytest.mark.parametrize("version", ["8", "0", "14", "", "013", "13, 8", "thirteen", "-13", "13.0", None])
def test_other_versions_of_the_protocol(tools: Any, version: str | None) -> None:
    """RFC 6455, section 4.2.2: say which version there is."""

    async def main() -> None:
        async with tools.serve() as server:
            status, headers, body = await tools.http(server, tools.upgrade(server, Sec_WebSocket_Version=version))
            assert status == (400 if version is None else 426)
            assert headers["sec-websocket-version"] == "13"
            assert b"Sec-WebSocket-Version: 13" in body
            if version is not None:
                assert headers["upgrade"] == "websocket"
                assert "Upgrade" in headers["connection"]
            twice = tools.upgrade(server).replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Version: 8\r\n\r\n")
            status, headers, _ = await tools.http(server, twice)
            assert (status, headers["sec-websocket-version"]) == (426, "13")

    tools.run(main())


@pytest.mark.parametrize("upgrade", ["h2c", "TLS/1.0, HTTP/2.0", "websocket2"])
def test_offers_of_other_protocols_are_left_alone(tools: Any, upgrade: str) -> None:
    """curl --http2 and Java's client offer HTTP/2 with any request."""

    async def main() -> None:
        async with tools.serve() as server:
            status, _, body = await tools.http(
                server,
                f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                f"Upgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA\r\n\r\n",
            )
            assert (status, body) == (200, b"ok\n")

    tools.run(main())


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
def test_a_connection_that_ends_before_its_request(tools: Any, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """That is how load balancers look whether somebody is there."""

    async def main() -> None:
        async with tools.serve() as server:
            raw = await tools.raw(server)
            await raw.send(sent)
            raw.writer.write_eof()
            await raw.rest()
            await raw.close()
            await tools.until(lambda: len(server.door.entrance.waiting) == 0)

    with caplog.at_level(logging.WARNING):
        tools.run(main())
    assert len(caplog.records) == (1 if sent else 0)


KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
UPGRADE = f"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n{KEY}"
MALFORMED = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 5 + b"\r\n\r\n",
    "a blank line": b"\r\n\r\n",
    "no version": b"GET /\r\nHost: localhost\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/1.7": b"GET /healthz HTTP/1.7\r\nHost: localhost\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a lower-case method": b"get /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "an empty header name": b"GET / HTTP/1.1\r\n: x\r\nHost: localhost\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    "a control character in a header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    "bare newlines": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n",
    "a long request line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    "a body on an upgrade": f"GET / HTTP/1.1\r\n{UPGRADE}Content-Length: 5\r\n\r\nhello".encode(),
    "a chunked body on an upgrade": f"GET / HTTP/1.1\r\n{UPGRADE}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(),
    "two lengths": f"GET / HTTP/1.1\r\n{UPGRADE}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello".encode(),
    "no key": f"GET / HTTP/1.1\r\n{UPGRADE.replace(KEY, '')}\r\n".encode(),
    "two keys": f"GET / HTTP/1.1\r\n{UPGRADE}{KEY}\r\n".encode(),
    "a short key": f"GET / HTTP/1.1\r\n{UPGRADE.replace('dGhlIHNhbXBsZSBub25jZQ==', 'abc')}\r\n".encode(),
    "a key that is no base64": f"GET / HTTP/1.1\r\n{UPGRADE.replace('dGhlIHNhbXBsZSBub25jZQ==', '????')}\r\n".encode(),
    "another version": f"GET / HTTP/1.1\r\n{UPGRADE.replace('13', '8')}\r\n".encode(),
    "no version header": f"GET / HTTP/1.1\r\n{UPGRADE.replace('Sec-WebSocket-Version: 13', 'X: y')}\r\n".encode(),
    "an upgrade to something else": f"GET / HTTP/1.1\r\n{UPGRADE.replace('websocket', 'h2c')}\r\n".encode(),
    "no Connection": f"GET / HTTP/1.1\r\n{UPGRADE.replace('Connection: Upgrade', 'X: y')}\r\n".encode(),
    "Connection: close": f"GET / HTTP/1.1\r\n{UPGRADE.replace('Connection: Upgrade', 'Connection: close')}\r\n".encode(),
    "an upgrade by POST": f"POST / HTTP/1.1\r\n{UPGRADE}\r\n".encode(),
    "an upgrade by HEAD": f"HEAD / HTTP/1.1\r\n{UPGRADE}\r\n".encode(),
    "CONNECT": b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_http(tools: Any, request_bytes: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with tools.serve(auth={"timeout_s": 1.0}) as server:
            status, headers, body = await tools.http(server, request_bytes)
            assert 400 <= status < 500, (status, body)
            assert status == 426 or int(headers.get("content-length", len(body))) < 500
            await tools.until(lambda: len(server.door.entrance.waiting) == 0)
            async with tools.connect(server) as connection:
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3

    with caplog.at_level(logging.WARNING):
        tools.run(main())
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) <= 1
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


def test_two_requests_in_one_packet_answer_the_first(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            status, _, body = await tools.http(server, request + request)
            assert (status, body) == (200, b"ok\n")

    tools.run(main())


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/nothing"])
def test_a_client_that_sends_no_more_still_gets_its_answer(tools: Any, path: str) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            raw = await tools.raw(server)
            await raw.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            raw.writer.write_eof()
            assert (await raw.rest()).startswith(b"HTTP/1.1 ")
            await raw.close()

    tools.run(main())


def test_a_handshake_in_single_bytes(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            raw = await tools.raw(server)
            for byte in tools.upgrade(server):
                await raw.send(bytes((byte,)))
            assert (await raw.head()).startswith(b"HTTP/1.1 101")
            for byte in tools.frame(1, tools.request("calc.add", [1, 2]).encode()):
                await raw.send(bytes((byte,)))
            assert json.loads((await raw.frame())[1])["result"] == 3
            await raw.close()

    tools.run(main())


def test_a_frame_in_the_packet_of_the_handshake(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            raw = await tools.raw(server)
            await raw.send(tools.upgrade(server) + tools.frame(1, tools.request("calc.add", [1, 2]).encode()))
            await raw.head()
            assert json.loads((await raw.frame())[1])["result"] == 3
            await raw.close()

    tools.run(main())


def test_a_stopping_server_takes_no_handshake(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            raw = await tools.raw(server)
            await tools.until(lambda: len(server.door.entrance.waiting) == 1)
            server._refuses_all = True  # As soon as those who had connected are in.
            await raw.send(tools.upgrade(server))
            assert (await raw.rest()).startswith(b"HTTP/1.1 503")
            await raw.close()
            with pytest.raises(InvalidStatus) as caught:
                async with tools.connect(server):
                    pass
            assert caught.value.response.status_code == 503
            server._refuses_all = False

    tools.run(main())
