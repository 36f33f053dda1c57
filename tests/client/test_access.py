"""How a client proves who it is: tokens by a call, headers of the user's own, certificates."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from rpcclient import AsyncClient, Client
from rpcclient.errors import ConnectFailed, ConnectionClosed, NotSent, Unauthenticated
from rpcclient.targets import find_target
from tests.client.relays import always, relay

TOKEN = "some-token"


# --- tokens by a call ----------------------------------------------------------------------------------------------


def test_a_token_by_a_call(call: Any, running: Any, token: str) -> None:
    assert call(running.tcp, token=token, token_by="call") == 11
    assert call(running.unix, token=token, token_by="call") == 11


@pytest.mark.parametrize("form", ["rpc.v1.json", "rpc.v1.msgpack"])
def test_in_every_form(call: Any, running: Any, token: str, form: str) -> None:
    assert call(running.tcp, token=token, token_by="call", subprotocol=form) == 11


def test_a_wrong_token_by_a_call(call: Any, start: Any) -> None:
    server = start()  # Of its own, since wrong tokens are counted.
    with pytest.raises(Unauthenticated, match="token: wrong") as caught:
        call(server.tcp, token="wrong", token_by="call")
    assert caught.value.executed == "no"


def test_by_the_environment(call: Any, running: Any, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPC_TOKEN_BY", "call")
    monkeypatch.setenv("RPC_TOKEN", token)
    assert call(running.tcp) == 11
    assert find_target("ws://example.org").token_by == "call"
    assert find_target("ws://example.org", token_by="header").token_by == "header"
    with pytest.raises(ConnectFailed, match="token_by: 'cookie': write header or call"):
        find_target("ws://example.org", token_by="cookie")  # type: ignore[arg-type]


def _frames(connection: Any, *answers: Any) -> list[Any]:
    """What a client sends that is answered like this, in the form rpc.v1.json."""
    got = []
    for answer in answers:
        got.append(json.loads(connection.receive()))
        if answer is not None:
            connection.send(json.dumps({"jsonrpc": "2.0", "id": got[-1]["id"], **answer}))
    return got


def test_calls_wait_until_it_is_taken(call: Any, scripted: Any) -> None:
    seen: list[Any] = []

    def script(connection: Any) -> None:
        seen.append(connection.handshake().headers.get("Authorization"))
        principal = {"result": {"name": "owner", "method": "token"}}
        seen.extend(_frames(connection, principal, {"result": 11}))
        connection.wait_closed()

    assert call(scripted(script), token=TOKEN, token_by="call", subprotocol="rpc.v1.json") == 11
    assert seen[0] is None
    assert [(seen[1]["method"], seen[1]["params"]), seen[2]["method"]] == [
        ("rpc.authenticate", {"token": TOKEN}),
        "desk.add",
    ]


def test_a_server_that_knows_no_such_call(call: Any, scripted: Any) -> None:
    def script(connection: Any) -> None:
        connection.handshake()
        _frames(connection, {"error": {"code": -32601, "message": "no such method"}})
        connection.wait_closed()

    with pytest.raises(ConnectFailed, match=r"has no rpc.authenticate.*token_by='header'") as caught:
        call(scripted(script), token=TOKEN, token_by="call", subprotocol="rpc.v1.json")
    assert not caught.value.retryable


def test_a_server_that_hangs_up_instead(call: Any, scripted: Any) -> None:
    def script(connection: Any) -> None:
        connection.handshake()
        _frames(connection, None)

    with pytest.raises(ConnectFailed, match=r"ended before rpc.authenticate was answered") as caught:
        call(scripted(script), token=TOKEN, token_by="call", subprotocol="rpc.v1.json")
    assert caught.value.retryable


def test_a_server_that_does_not_answer(call: Any, scripted: Any) -> None:
    def script(connection: Any) -> None:
        connection.handshake()
        _frames(connection, None)
        connection.wait_closed()

    with pytest.raises(ConnectFailed, match=r"no answer to rpc.authenticate within 0.5 s"):
        call(scripted(script), token=TOKEN, token_by="call", subprotocol="rpc.v1.json", connect_timeout_s=0.5)


def test_closed_before_it_is_taken(scripted: Any) -> None:
    import threading

    asked = threading.Event()

    def script(connection: Any) -> None:
        connection.handshake()
        connection.receive()
        asked.set()
        connection.wait_closed()

    client = Client(scripted(script), token=TOKEN, token_by="call", connect_timeout_s=60)
    errors: list[type[BaseException]] = []

    def connect() -> None:
        try:
            client.connect()
        except BaseException as exc:
            errors.append(type(exc))

    thread = threading.Thread(target=connect)
    thread.start()
    assert asked.wait(20)
    client.close()
    thread.join(20)
    assert errors == [ConnectionClosed]


def test_it_is_sent_again_over_the_next_connection(process: Any, until: Any) -> None:
    process.start()
    options: dict[str, Any] = {"token_file": process.token_file, "token_by": "call"}

    async def main() -> None:
        async with AsyncClient(process.url, **options) as client:
            assert await client.call("desk.add", [1]) == 11
            await asyncio.to_thread(process.kill)
            await asyncio.to_thread(process.start)
            assert await client.call("desk.add", [2]) == 12

    with Client(process.url, **options) as client:
        assert client.call("desk.add", [1]) == 11
        process.kill()
        until(lambda: not client.connected)
        process.start()
        assert client.call("desk.add", [2]) == 12
    asyncio.run(main())


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{}}
http {{
    access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
    fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port};
        location /rpc/ {{
            proxy_pass http://127.0.0.1:{server}/;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header Host 127.0.0.1:{server};
            proxy_set_header Authorization "";
        }}
    }}
}}
"""


@pytest.fixture
def nginx(running: Any, missing: Any, until: Any, tmp_path: Path) -> Iterator[str]:
    """A reverse proxy that strips Authorization, and has the server at a path of its own."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        missing("nginx is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX.format(folder=tmp_path, port=port, server=running.tcp.rpartition(":")[2]))
    with subprocess.Popen([program, "-c", config, "-e", "stderr"], stderr=subprocess.DEVNULL) as process:

        def listens() -> bool:
            assert process.poll() is None
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                return False
            return True

        until(listens)
        yield f"ws://127.0.0.1:{port}/rpc/"
        process.kill()


def test_behind_a_proxy_that_strips_the_header(call: Any, nginx: str, token: str) -> None:
    with pytest.raises(Unauthenticated):
        call(nginx, token=token)
    assert call(nginx, token=token, token_by="call") == 11
    with pytest.raises(ConnectFailed, match="404"):
        call(nginx.replace("/rpc/", "/other/"), token=token, token_by="call")


# --- headers -------------------------------------------------------------------------------------------------------


def test_headers_of_the_users_own(call: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    def script(connection: Any) -> None:
        request = connection.handshake()
        seen.append(dict(request.headers.raw_items()))
        connection.wait_closed()

    def headers_sent(**options: Any) -> dict[str, str]:
        with pytest.raises(Exception, match=r"."):
            call(scripted(script), timeout_s=0.1, subprotocol="rpc.v1.json", **options)
        return seen.pop()

    got = headers_sent(token="x", headers={"X-Tenant": "blue ", "CF-Access-Client-Id": "a:b;c"})
    assert (got["X-Tenant"], got["CF-Access-Client-Id"], got["Authorization"]) == ("blue", "a:b;c", "Bearer x")
    got = headers_sent(token="x", token_by="call", headers={"authorization": "Basic YTpi"})
    assert got["authorization"] == "Basic YTpi"
    monkeypatch.setenv("RPC_HEADERS", "X-Tenant: red\n\n  X-Other:a:b  \n")
    got = headers_sent(token="x")
    assert (got["X-Tenant"], got["X-Other"]) == ("red", "a:b")
    assert "X-Tenant" not in headers_sent(token="x", headers={})


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Host": "x"}, "Host: the client sets it itself"),
        ({"sec-websocket-protocol": "x"}, "sec-websocket-protocol: the client sets it itself"),
        ({"User-Agent": "x"}, "User-Agent: the client sets it itself"),
        ({"Transfer-Encoding": "chunked"}, "Transfer-Encoding"),
        ({"AUTHORIZATION": "Basic x"}, "AUTHORIZATION: the token goes into it: send the token with token_by='call'"),
        ({"Proxy-Authorization": "Basic x"}, "it would go to the server: write proxy="),
        ({"X-A": "one\r\nX-B: two"}, "X-A: its value must be one line"),
        ({"X-A": "one\nX-B: two"}, "X-A: its value must be one line"),
        ({"X-A": "é"}, "X-A: its value must be one line of printable ASCII"),
        ({"X-A": 5}, "X-A: its value"),
        ({"X A": "x"}, "'X…' is not a name of a header"),
        ({"X-A\r\nX-B": "x"}, "is not a name of a header"),
        ({"": "x"}, "'' is not a name of a header"),
        ([("X-A", "x")], "give a mapping"),
    ],
)
def test_headers_that_are_refused(headers: Any, said: str) -> None:
    for url in ("ws://example.org", "wss://example.org", "unix:///x"):
        with pytest.raises(ConnectFailed, match=r"^headers: ") as caught:
            find_target(url, token="x", headers=headers, environ={})
        assert said in str(caught.value)
        assert not caught.value.retryable


def test_headers_of_the_environment_that_are_none() -> None:
    with pytest.raises(ConnectFailed, match="headers: write one `Name: value` per line"):
        find_target("ws://example.org", environ={"RPC_HEADERS": "no colon"})


# --- certificates --------------------------------------------------------------------------------------------------


class Papers:
    """Certificates of a test: the authority's, the server's, and the client's in several files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca_file)
        own = self.authority.issue_cert("ada@example.org")
        self.cert_file, self.key_file, self.both = folder / "cert.pem", folder / "key.pem", folder / "both.pem"
        own.cert_chain_pems[0].write_to_path(self.cert_file)
        own.private_key_pem.write_to_path(self.key_file)
        self.key_file.chmod(0o600)
        own.private_key_and_cert_chain_pem.write_to_path(self.both)
        self.both.chmod(0o600)
        key = serialization.load_pem_private_key(own.private_key_pem.bytes(), None)
        self.locked = folder / "locked.pem"
        self.locked.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"open"),
            )
        )
        self.locked.chmod(0o600)
        other = trustme.CA().issue_cert("eve@example.org")
        self.other = folder / "other.pem"
        other.private_key_and_cert_chain_pem.write_to_path(self.other)
        self.other.chmod(0o600)

    def door(self, name: str = "127.0.0.1") -> ssl.SSLContext:
        """What a server has that asks for certificates."""
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name).configure_cert(found)
        self.authority.configure_trust(found)
        found.verify_mode = ssl.CERT_REQUIRED
        return found


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


def test_a_certificate_of_the_clients_own(call: Any, running: Any, token: str, papers: Papers) -> None:
    port = int(running.tcp.rpartition(":")[2])
    with relay(always(port), papers.door()) as door:
        # The server behind the door has another port, and takes its own name only: that of any port will do.
        url, trust = f"wss://127.0.0.1:{door.port}", {"token": token, "ca_file": papers.ca_file}
        assert call(url, cert_file=papers.cert_file, key_file=papers.key_file, **trust) == 11
        assert call(url, cert_file=papers.both, **trust) == 11
        assert call(url, cert_file=papers.cert_file, key_file=papers.locked, key_password="open", **trust) == 11
        assert all("ada@example.org" in shown or shown for shown in door.certificates)
        assert len(door.certificates) == 3
        for options in ({}, {"cert_file": papers.other}):
            with pytest.raises(ConnectFailed) as caught:
                call(url, **options, **trust)
            assert "TLS" in str(caught.value) or "broke during the handshake" in str(caught.value)


def test_the_servers_word_is_told(call: Any, papers: Papers) -> None:
    """With TLS 1.3 it comes when the client believes that all is well."""
    with relay(always(1), papers.door()) as door, pytest.raises(ConnectFailed) as caught:
        call(f"wss://127.0.0.1:{door.port}", token="x", ca_file=papers.ca_file)
    said = str(caught.value)
    assert "TLS: tlsv13 alert certificate required: give cert_file" in said or "connection" in said.lower()


def test_settings_that_are_complete(call: Any, running: Any, token: str, papers: Papers) -> None:
    context = ssl.create_default_context(cafile=str(papers.ca_file))
    context.load_cert_chain(papers.both)
    with relay(always(int(running.tcp.rpartition(":")[2])), papers.door("desk.example")) as door:
        url = f"wss://127.0.0.1:{door.port}"
        assert call(url, token=token, ssl_context=context, server_hostname="desk.example") == 11
        with pytest.raises(ConnectFailed, match="IP address mismatch"):
            call(url, token=token, ssl_context=context)


def test_files_that_are_not_pem(papers: Papers, tmp_path: Path) -> None:
    """The error names the parameter, the file and the remedy, whichever of the files it is."""
    der = tmp_path / "der"
    der.write_bytes(ssl.PEM_cert_to_DER_cert(papers.ca_file.read_text()))
    words, damaged = tmp_path / "words", tmp_path / "damaged"
    words.write_text("no certificate")
    lines = papers.ca_file.read_text().splitlines()
    damaged.write_text("\n".join([lines[0], *lines[3:]]))
    url = "wss://127.0.0.1:1"
    for file in (der, words, papers.key_file):
        for proxy in (None, "https://127.0.0.1:1"):
            with pytest.raises(ConnectFailed, match=rf"ca_file: {file}: this file holds no certificate .*openssl x509"):
                Client(url, ca_file=file, proxy=proxy)
        with pytest.raises(ConnectFailed, match=rf"cert_file: {file}: this file holds no certificate in PEM"):
            Client(url, cert_file=file, key_file=papers.key_file)
    with pytest.raises(
        ConnectFailed, match=rf"cert_file, key_file: {papers.cert_file}: this file holds no private key"
    ):
        Client(url, cert_file=papers.cert_file)
    for file in (der, words, papers.cert_file):
        with pytest.raises(ConnectFailed, match=rf"key_file: {file}: this file holds no private key .*openssl pkey"):
            Client(url, cert_file=papers.cert_file, key_file=file)
    with pytest.raises(ConnectFailed, match=rf"ca_file: {damaged}: a certificate in this file is damaged"):
        Client(url, ca_file=damaged)
    for missing, said in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConnectFailed, match=rf"ca_file: {missing}: {said}$"):
            Client(url, ca_file=missing)


def test_by_the_environment_of_tls(papers: Papers) -> None:
    environ = {"RPC_CA_FILE": str(papers.ca_file), "RPC_CERT_FILE": str(papers.cert_file)}
    environ |= {"RPC_KEY_FILE": str(papers.locked), "RPC_KEY_PASSWORD": "open"}
    assert find_target("wss://example.org", environ=environ).tls is not None
    assert find_target("ws://example.org", environ=environ).tls is None
    # Whoever names a certificate names its key.
    assert find_target("wss://example.org", cert_file=papers.both, environ=environ).tls is not None
    with pytest.raises(ConnectFailed, match=r"RPC_KEY_FILE|key_file"):
        find_target("wss://example.org", environ={"RPC_KEY_FILE": str(papers.key_file)})


def test_certificates_that_do_not_do(papers: Papers, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"cert_file": tmp_path / "missing"}, "cert_file: .*missing: No such file"),
        ({"cert_file": papers.cert_file, "key_file": tmp_path / "missing"}, "key_file: .*missing: No such file"),
        ({"cert_file": tmp_path / "empty"}, "cert_file, key_file: .*empty"),
        ({"cert_file": papers.cert_file}, "cert_file, key_file: "),
        ({"key_file": papers.key_file}, "key_file: give cert_file, too"),
        (
            {"cert_file": papers.cert_file, "key_file": papers.locked},
            "key_password: the key in .*locked.pem is encrypted",
        ),
        (
            {"cert_file": papers.cert_file, "key_file": papers.locked, "key_password": "wrong"},
            "cert_file, key_file: .*is key_password right",
        ),
        ({"cert_file": papers.other, "key_file": papers.key_file}, "key values mismatch"),
        ({"cert_file": "a\0b"}, "cert_file: "),
        ({"ssl_context": ssl.create_default_context(), "ca_file": papers.ca_file}, "ca_file: ssl_context replaces it"),
    ]
    for options, said in cases:
        with pytest.raises(ConnectFailed, match=said) as caught:
            find_target("wss://example.org", environ={}, **options)
        assert not caught.value.retryable
    for name in ("cert_file", "key_file", "server_hostname"):
        for url in ("ws://example.org", "unix:///x"):
            with pytest.raises(ConnectFailed, match=f"{name}: it is for TLS"):
                find_target(url, environ={}, **{name: "x"})


def test_a_call_that_cannot_be_authenticated_is_not_sent(start: Any) -> None:
    with Client(start().tcp, token_by="call", proxy=None) as client, pytest.raises((Unauthenticated, NotSent)):
        client.services()
