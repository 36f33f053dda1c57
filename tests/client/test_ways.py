"""A further way to authenticate is one class: here one that knows passwords from a file (RFC 7617), found by its entry
point, set up by its own table of the settings, and used by both clients."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from pydantic import Field

from rpcclient import AsyncClient, Client
from rpcclient.errors import ConnectFailed, Unauthenticated
from rpcclient.targets import find_target
from rpcserver import Page, Principal, Service, ServiceConfig, ServiceConfigError, Way, method
from rpcserver.config import ConfigError, ServerConfig
from rpcserver.security import ways as ways_module
from rpcserver.security.ways import BearerToken, by_scheme, make_ways
from rpcserver.server import Server

from .callers import by_asyncio, by_sync
from .conftest import TOKEN, Running


class BasicConfig(ServiceConfig):
    """Who may come in by a password."""

    file: str = Field(description="Lines NAME:SHA256, in hexadecimal digits.")


class Basic(Way[BasicConfig]):
    """Passwords from a file."""

    scheme = "Basic"
    form = "Basic BASE64"
    wrong = "the name or the password is wrong"
    config_model = BasicConfig

    def __init__(self, config: BasicConfig) -> None:
        super().__init__(config)
        try:
            lines = Path(config.file).read_text().split()
        except OSError as exc:
            raise ServiceConfigError(f"file: {config.file}: {exc.strerror}") from exc
        self._known = dict(line.split(":") for line in lines)

    def principal(self, credentials: str) -> Principal | None:
        name, _, password = base64.b64decode(credentials).decode().partition(":")
        digest = hashlib.sha256(password.encode()).hexdigest()
        return Principal(name, "basic") if hmac.compare_digest(self._known.get(name, ""), digest) else None


class Loud(Basic):
    scheme = "BASIC"


class Spaced(Basic):
    scheme = "a b"


EVERYBODY = {"all": {"principals": ["*"], "permissions": ["*"]}}
"""A role for whoever has authenticated."""


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    file = tmp_path / "passwords"
    file.write_text(f"ada:{hashlib.sha256(b'difference engine').hexdigest()}\n")
    return file


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretends that ways are installed, by the names of their classes in this module."""

    def install(**classes: str) -> None:
        points = [EntryPoint(name, value, ways_module.GROUP) for name, value in classes.items()]
        monkeypatch.setattr(ways_module, "entry_points", lambda group: [p for p in points if p.group == group])

    return install


class Guarded(Running):
    """A server with the ways of its configuration."""

    async def _start(self) -> Server:
        server = Server(self.config, [self.desk], token=TOKEN, ways=make_ways(self.config.auth.ways))
        await server.start()
        return server


@pytest.fixture
def guarded(tmp_path: Path, passwords: Path, installed: Any) -> Iterator[Guarded]:
    installed(basic=f"{__name__}:Basic")
    running = Guarded(tmp_path, auth={"ways": {"basic": {"file": str(passwords)}}}, roles=EVERYBODY)
    yield running
    running.stop()


def header(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_both_clients_come_in_by_a_password(guarded: Guarded) -> None:
    with Client(guarded.tcp, headers=header("ada", "difference engine")) as client:
        assert client.call("desk.add", [1, 2]) == 3
        known = client.hello().principal
        assert known is not None
        assert (known.name, known.method) == ("ada", "basic")

    async def main() -> None:
        async with AsyncClient(guarded.tcp, headers=header("ada", "difference engine")) as client:
            known = (await client.hello()).principal
            assert known is not None
            assert (known.name, known.method) == ("ada", "basic")

    asyncio.run(main())


@pytest.mark.parametrize("call", [by_sync, by_asyncio], ids=["sync", "async"])
def test_what_is_wrong_is_refused(guarded: Guarded, call: Any, caplog: pytest.LogCaptureFixture) -> None:
    for headers, words in (
        (header("ada", "wrong"), "the name or the password is wrong"),
        (header("", ""), "the name or the password is wrong"),
        ({"Authorization": "Basic no base64"}, "Basic: this cannot be checked now; see the server's log"),
        ({"Authorization": "Basic"}, "must be: Bearer TOKEN, or Basic BASE64"),
        ({"Authorization": "Digest x"}, "must be: Bearer TOKEN, or Basic BASE64"),
    ):
        with pytest.raises(Unauthenticated, match=words):
            call(guarded.tcp, headers=headers)
    assert "the way to authenticate by Basic failed" in caplog.text
    assert call(guarded.tcp, token=TOKEN) == 11


def test_the_server_says_which_ways_there_are(guarded: Guarded) -> None:
    url = guarded.tcp.replace("ws://", "http://") + "/"
    upgrade = {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", **header("ada", "wrong"),
    }  # fmt: skip
    with pytest.raises(OSError, match="401") as caught:
        urlopen(Request(url, headers=upgrade))
    response: Any = caught.value
    with response:
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="rpcserver", Basic realm="rpcserver"'


@pytest.mark.parametrize(
    ("points", "sections", "words"),
    [
        ({}, {"basic": {}}, r"auth\.ways\.basic: no such way to authenticate is installed; there are: none"),
        ({"basic": "Basic"}, {"basics": {}}, r"there are: basic"),
        ({"basic": "Basic"}, {"basic": {}}, r"auth\.ways\.basic\.file: "),
        ({"basic": "Basic"}, {"basic": {"file": "x", "fil": 1}}, r"auth\.ways\.basic\.fil: .*did you mean file\?"),
        ({"basic": "Basic"}, {"basic": {"file": "/nowhere"}}, r"auth\.ways\.basic\.file: /nowhere: No such file"),
        ({"basic": "BasicConfig"}, {"basic": {}}, r"not a subclass of rpcserver\.Way"),
        ({"basic": "Nothing"}, {"basic": {}}, r"auth\.ways\.basic .*AttributeError"),
        ({"basic": "Basic"}, {"basic": 5}, r"auth\.ways\.basic: "),
    ],
)
def test_settings_that_cannot_be_used(installed: Any, points: Any, sections: Any, words: str) -> None:
    installed(**{name: f"{__name__}:{value}" for name, value in points.items()})
    with pytest.raises(ConfigError, match=words):
        make_ways(sections)


def test_one_scheme_belongs_to_one_way(passwords: Path) -> None:
    config = BasicConfig(file=str(passwords))
    assert list(by_scheme([Basic(config)])) == ["basic"]
    with pytest.raises(ConfigError, match="two have the scheme BASIC: Basic and Loud"):
        by_scheme([Basic(config), Loud(config)])
    with pytest.raises(ConfigError, match="'a b' is not a scheme"):
        by_scheme([Spaced(config)])
    assert BearerToken.form == "Bearer TOKEN"


class SignedConfig(ServiceConfig):
    """Who may come in by a signature."""

    secret: str = Field(description="What both sides know.")


class Signed(Way[SignedConfig]):
    """A number, never used before, and its HMAC."""

    scheme = "Signed"
    form = "Signed NUMBER:HMAC"
    config_model = SignedConfig

    def __init__(self, config: SignedConfig) -> None:
        super().__init__(config)
        self.last = 0

    def principal(self, credentials: str) -> Principal | None:
        number, _, given = credentials.partition(":")
        expected = hmac.new(self.config.secret.encode(), number.encode(), "sha256").hexdigest()
        if not hmac.compare_digest(given, expected) or int(number) <= self.last:
            return None
        self.last = int(number)
        return Principal("signer", "signed")


def signatures(secret: str) -> Callable[[], dict[str, str]]:
    numbers = itertools.count(1)

    def sign() -> dict[str, str]:
        number = str(next(numbers))
        return {"Authorization": f"Signed {number}:{hmac.new(secret.encode(), number.encode(), 'sha256').hexdigest()}"}

    return sign


@pytest.fixture
def signed(tmp_path: Path, installed: Any) -> Iterator[Guarded]:
    installed(signed=f"{__name__}:Signed")
    running = Guarded(tmp_path, auth={"ways": {"signed": {"secret": "shared"}}}, roles=EVERYBODY)
    yield running
    running.stop()


def lose_connections(running: Running) -> None:
    for peer in list(running.server.connections.values()):
        running.loop.call_soon_threadsafe(peer.link.abort)


def test_each_connection_has_headers_of_its_own(signed: Guarded, until: Any) -> None:
    """A connection that is made anew is signed anew: the server takes no number twice."""
    with Client(signed.tcp, headers=signatures("shared")) as client:
        assert client.call("desk.add", [1]) == 11
        lose_connections(signed)
        until(lambda: not client.connected)
        assert client.call("desk.add", [2]) == 12


def test_each_asynchronous_connection_has_headers_of_its_own(signed: Guarded, until: Any) -> None:
    async def main() -> None:
        async with AsyncClient(signed.tcp, headers=signatures("shared")) as client:
            assert await client.call("desk.add", [1]) == 11
            lose_connections(signed)
            await asyncio.to_thread(until, lambda: not client.connected)
            assert await client.call("desk.add", [2]) == 12

    asyncio.run(main())


@pytest.mark.parametrize("call", [by_sync, by_asyncio], ids=["sync", "async"])
def test_headers_that_cannot_be_made(signed: Guarded, call: Any) -> None:
    with pytest.raises(ConnectFailed, match="headers: the function that makes them failed: ZeroDivisionError"):
        call(signed.tcp, headers=lambda: {"X": str(1 // 0)})
    with pytest.raises(ConnectFailed, match="headers: Host: the client sets it itself"):
        call(signed.tcp, headers=lambda: {"Host": "elsewhere.example"})
    with pytest.raises(ConnectFailed, match="Authorization: the token goes into it"):
        call(signed.tcp, token=TOKEN, headers=signatures("shared"))
    with pytest.raises(Unauthenticated):
        call(signed.tcp, headers=signatures("other"))


ANSWERS: dict[str, Any] = {
    "true": lambda _: True,
    "false": lambda _: False,
    "name": lambda credentials: credentials,
    "fields": lambda _: ("ada", "odd"),
    "nameless": lambda _: Principal("", "odd"),
    "no-text": lambda _: Principal(None, "odd"),  # type: ignore[arg-type]
    "true-uid": lambda _: Principal("ada", "odd", True),
    "owner": lambda _: Principal("owner", "odd"),
    "memory": lambda _: Principal("memory", "odd"),
    "by-token": lambda _: Principal("ada", "token"),
    "by-peer": lambda _: Principal("ada", "peer", os.geteuid()),
    "by-certificate": lambda _: Principal("ada", "certificate"),
    "exit": lambda _: sys.exit(3),
    "int": int,
}


async def later(_: str) -> Principal | None:
    return None


ANSWERS["coroutine"] = later


class Odd(Way):
    """Answers as :data:`ANSWERS` says, by what stands before a colon."""

    scheme = "Odd"
    form = "Odd ANSWER:SECRET"

    def principal(self, credentials: str) -> Principal | None:
        name, _, secret = credentials.partition(":")
        answer: Principal | None = ANSWERS[name](secret)
        return answer


class Forging(Way):
    """Lets everybody in, by a name that a client chooses."""

    scheme = "Forging"
    form = "Forging NAME"

    def principal(self, credentials: str) -> Principal | None:
        return Principal(credentials.replace("+", "\n"), "forging")


class Showing(Service):
    """Has a page for those who are known."""

    def http_pages(self) -> dict[str, Page]:
        return {"/secrets": Page(self.render, permission="showing.render")}

    @method(kind="read")
    async def render(self) -> str:
        """The page."""
        return "secret"


class Open(Running):
    """A server with ways of this module."""

    async def _start(self) -> Server:
        ways = [Odd(ServiceConfig()), Forging(ServiceConfig())]
        server = Server(self.config, [self.desk, Showing()], token=TOKEN, ways=ways)
        await server.start()
        return server


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Open]:
    running = Open(tmp_path, roles=EVERYBODY)
    yield running
    running.stop()


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("where", ["tcp", "unix"])
def test_nothing_but_a_principal_lets_anybody_in(odd: Open, answer: str, where: str, caplog: Any) -> None:
    headers = {"Authorization": f"Odd {answer}:s3cr3t"}
    for call in (by_sync, by_asyncio):
        with pytest.raises(Unauthenticated, match="Odd: this cannot be checked now") as caught:
            call(getattr(odd, where), headers=headers)
        assert "s3cr3t" not in str(caught.value)
    assert "the way to authenticate by Odd failed" in caplog.text
    assert "s3cr3t" not in caplog.text
    with pytest.raises(OSError, match="401") as refused:
        urlopen(Request(odd.tcp.replace("ws://", "http://") + "/secrets", headers=headers))
    refused.value.close()  # type: ignore[attr-defined]
    assert by_sync(odd.tcp, token=TOKEN) == 11, "the server goes on"


def test_a_name_forges_no_line_of_the_log(odd: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert by_sync(odd.tcp, headers={"Authorization": "Forging ada+forged"}) == 11
    assert r"is ada\x0aforged by forging" in caplog.text


class Bare(Way):
    """Has no scheme."""


class Lined(Basic):
    form = "Basic\r\nX: y"


class Later(Basic):
    async def principal(self, credentials: str) -> Principal | None:  # type: ignore[override]
        return None


class Sooner(Basic):
    async def renew(self, principal: Principal) -> Principal | None:  # type: ignore[override]
        return principal


class Namer(Basic):
    async def claimed_name(self, credentials: str) -> str | None:  # type: ignore[override]
        return credentials


class Loudest(Way):
    scheme = "BEARER"
    form = "BEARER X"


def test_a_class_of_ways_that_cannot_be_used(passwords: Path) -> None:
    config = BasicConfig(file=str(passwords))
    for ways, words in (
        ([Bare(ServiceConfig())], "Bare: scheme must be one line of text: set it in the class"),
        ([Lined(config)], "Lined: form must be one line of text"),
        ([Later(config)], r"Later: principal\(\) must be a plain function"),
        ([Sooner(config)], r"Sooner: renew\(\) must be a plain function"),
        ([Namer(config)], r"Namer: claimed_name\(\) must be a plain function"),
        ([Basic], "type: not an instance of a subclass of rpcserver.Way"),
        ([Loudest(ServiceConfig())], "two have the scheme BEARER: BearerToken and Loudest"),
    ):
        with pytest.raises(ConfigError, match=words):
            Server(ServerConfig(), [], token=TOKEN, ways=ways)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "lines",
    [
        ["Authorization: "],
        ["Authorization:"],
        ["Authorization: Bearer"],
        [f"Authorization: Bearer\t{TOKEN}"],
        [f"Authorization: Bearer {TOKEN}", f"Authorization: Bearer {TOKEN}"],
        ["Authorization: Odd true:x", f"Authorization: Bearer {TOKEN}"],
        [f"Authorization: Bearer {TOKEN}, Odd true:x"],
        ["Authorization: Bearer \xe9\xff"],
        ["Authorization: Bearer " + "x" * 7000],
        [f"Authorization: {'x' * 7000} y"],
        [f"Authorization: Odd {'9' * 7000}:x"],
    ],
)
def test_a_header_that_cannot_be_read_lets_nobody_in(odd: Open, lines: list[str]) -> None:
    host, _, port = odd.tcp.removeprefix("ws://").partition(":")
    request = "\r\n".join([
        "GET / HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", *lines, "", "",
    ])  # fmt: skip
    with socket.create_connection((host, int(port)), 30) as sock:
        sock.sendall(request.encode("latin-1"))
        answer = sock.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 401 "), answer[:200]
    assert TOKEN.encode() not in answer
    assert by_sync(odd.tcp, token=TOKEN) == 11


def test_headers_that_are_made_wrongly(odd: Open) -> None:
    """Each tells what is wrong, and none repeats a secret."""

    async def make() -> dict[str, str]:
        return {"Authorization": "Odd true:s3cr3t"}

    made: Any
    for made, words in (
        (make, "the function that makes them must be a plain function"),
        (lambda: [make()][0], "the function that makes them must be a plain function"),
        (lambda: None, "give a mapping of names to values"),
        (lambda: [("Authorization", "s3cr3t")], "give a mapping of names to values"),
        (lambda: {"Authorization: Odd s3cr3t": ""}, "'Authorization…' is not a name of a header"),
        (lambda: {"Authorization": "s3cr3t\r\nX: y"}, "Authorization: its value must be one line"),
        (lambda: {"Authorization": b"s3cr3t"}, "Authorization: its value must be one line"),
        (lambda: {b"Authorization": "s3cr3t"}, "is not a name of a header"),
        (lambda: {"": "s3cr3t"}, "is not a name of a header"),
    ):
        for call in (by_sync, by_asyncio):
            with pytest.raises(ConnectFailed, match=re.escape(words)) as caught:
                call(odd.tcp, headers=made)
            assert "s3cr3t" not in str(caught.value)
    for value in (made, {"Authorization": "Odd true:s3cr3t"}):
        target = find_target(odd.tcp, headers=value)
        assert "s3cr3t" not in repr(target)
    assert TOKEN not in repr(find_target(odd.tcp, token=TOKEN))
