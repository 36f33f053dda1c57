"""Reloads, and those whom the settings know: by a certificate, as a user or by a group of the system, behind a proxy.
What they have open, and what belongs to their names, follows the table in docs/server.md, as with tokens."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from rpcserver import Principal
from rpcserver.server import Server
from rpcservices.programs import Programs
from tests.server import reloading
from tests.server.issuing import Issuer
from tests.server.reloading import Operator

USER, MEMBER, GROUP = "nobody", "daemon", "games"

ROLES = """
[roles.operator]
permissions = ["*"]
programs = { may_run = "anything" }
[roles.runner]
permissions = ["programs.*", "streams.wait"]
programs = { may_run = "anything" }
[roles.viewer]
permissions = ["streams.wait", "programs.view"]
programs = { may_run = "anything" }
"""


class Streams(reloading.Streams):
    """Also remembers what it was told of callers."""

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        self.heard: list[tuple[str, str | None]] = []

    async def reconsider_caller(self, name: str, principal: Principal | None, before: float) -> None:
        self.heard.append((name, None if principal is None else principal.role))


class People:
    """Three who are known without a token: ada by her certificate, a user of the system, and a member of a group."""

    names = ("ada", USER, MEMBER)

    def __init__(self, tools: Any, tls: dict[str, str], issuer: Issuer, place: Path, connect_as: Any) -> None:
        self._tools, self._tls, self._issuer, self._connect_as = tools, tls, issuer, connect_as
        self._path = place / "own" / "s.sock"
        self._context = issuer.trusting(issuer.issue("x.example", common_name="ada"))
        self.operator = Operator(tools)
        self.operator.listen = f'[listen]\nport = 0\nunix = "{self._path}"\nunix_mode = "0666"\n'

    def settings(self, role: str | None, more: str = "") -> str:
        """The tables in which all three have a role; ``None`` to take them out."""
        lines = ["[tls]", *(f'{key} = "{value}"' for key, value in self._tls.items())]
        lines += [f'client_ca_file = "{self._issuer.ca_file}"', 'client_certificates = "optional"']
        lines += ["[auth.certificates.bob]", 'common_name = "bob"', "[auth.unix]", 'users = { mail = "viewer" }']
        if role is not None:
            lines[-1] = f'users = {{ {USER} = "{role}" }}\ngroups = {{ {GROUP} = "{role}" }}'
            lines += ["[auth.certificates.ada]", 'common_name = "ada"', f'role = "{role}"']
        return "\n".join([*lines, ROLES, "[services.programs]", "grace_s = 0.2", more])

    def connect(self, name: str, server: Server) -> Any:
        if name == "ada":
            return self._tools.connect(server, ssl=self._context, token=None)
        sock = self._connect_as(self._path, name, [GROUP] if name == MEMBER else [])
        return connect("ws://localhost/", sock=sock, proxy=None)


@pytest.fixture
def people(
    tools: Any, tls: dict[str, str], tmp_path: Path, authority: trustme.CA, place: Path, connect_as: Any
) -> People:
    return People(tools, tls, Issuer(tmp_path, authority), place, connect_as)


class Open:
    """What one of them has open: a connection with a stream and a waiting call, and a program that is kept."""

    def __init__(self, tools: Any, name: str, connection: ClientConnection) -> None:
        self._tools, self.name, self.connection = tools, name, connection

    async def begin(self, program: psutil.Process | None = None) -> Open:
        """Open it; ``program`` is one that runs already."""
        if program is not None:
            self.program = program
        else:
            await self._start()
        assert "result" in await self._tools.call(self.connection, "streams.count", None, 2)
        await self.connection.send(self._tools.request("streams.wait", None, 3))
        return self

    async def _start(self) -> None:
        params = {"argv": ["sleep", "1000"], "on_disconnect": "keep"}
        answer = await self._tools.call(self.connection, "programs.start", params)
        self.program = psutil.Process(answer["result"]["pid"])

    def runs(self) -> bool:
        """Whether the program runs."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return bool(self.program.status() != psutil.STATUS_ZOMBIE)
        return False

    async def read_end(self) -> tuple[str, str]:
        """How the stream and the connection end: the type of the error (empty if it is not told), and the reason."""
        error = ""
        async with asyncio.timeout(self._tools.SECONDS):
            try:
                while True:
                    for line in str(await self.connection.recv(decode=True)).splitlines():
                        message = json.loads(line)
                        if message.get("method") == "rpc.stream.end":
                            error = message["params"]["error"]["data"]["type"]
            except ConnectionClosed as exc:
                assert exc.rcvd is not None
                assert exc.rcvd.code == 1008
                return error, exc.rcvd.reason


def test_others_than_tokens_follow_their_roles(tools: Any, people: People) -> None:
    """By a certificate, as a user, by a group: more rights hold at once, lost ones end what was begun by them."""
    operator = people.operator

    async def main() -> None:
        operator.write(people.settings("runner"))
        async with operator.serve(Streams, Programs) as server, AsyncExitStack() as stack:
            streams = server.services[0]
            assert isinstance(streams, Streams)

            async def enter(name: str) -> ClientConnection:
                connection: ClientConnection = await stack.enter_async_context(people.connect(name, server))
                return connection

            async with tools.connect(server, ssl=people._context) as owner:
                theirs = await Open(tools, "owner", owner).begin()
                connections = {name: await enter(name) for name in people.names}
                for name, connection in connections.items():
                    assert (await tools.call(connection, "rpc.hello"))["result"]["principal"]["name"] == name
                    assert "error" in await tools.call(connection, "streams.count")
                await operator.reload(people.settings("operator"))  # More rights: over open connections, too.
                first = [await Open(tools, name, each).begin() for name, each in connections.items()]

                await operator.reload(people.settings("runner"))  # They may count no more, and still run programs.
                for each in first:
                    assert await each.read_end() == (
                        "PermissionDenied", f"the role of {each.name} has changed: connect again"
                    )  # fmt: skip
                await tools.until(lambda: {(name, "runner") for name in people.names} <= set(streams.heard))
                assert all(each.runs() for each in first)

                await operator.reload(people.settings("operator"))
                second = [await Open(tools, each.name, await enter(each.name)).begin(each.program) for each in first]
                await operator.reload(people.settings("viewer"))  # They may run no programs any more.
                for each in second:
                    assert (await each.read_end())[0] == "PermissionDenied"
                await tools.until(lambda: not any(each.runs() for each in second))

                await operator.reload(people.settings("operator"))
                third = await Open(tools, MEMBER, await enter(MEMBER)).begin()
                role = people.settings("operator").replace('permissions = ["*"]', 'permissions = ["streams.*"]')
                await operator.reload(role)  # The same role gives less.
                assert (await third.read_end())[1] == f"the role of {MEMBER} has changed: connect again"
                await tools.until(lambda: not third.runs())
                assert theirs.runs(), "the programs of others go on"
                theirs.program.kill()

    tools.run(main())


def test_whoever_is_taken_out_of_the_settings_has_ended(tools: Any, people: People) -> None:
    operator = people.operator

    async def main() -> None:
        operator.write(people.settings("operator"))
        async with operator.serve(Streams, Programs) as server, AsyncExitStack() as stack:
            streams = server.services[0]
            assert isinstance(streams, Streams)
            there = [
                await Open(tools, name, await stack.enter_async_context(people.connect(name, server))).begin()
                for name in people.names
            ]
            await there[2].connection.close()  # What is kept belongs to a name, and not to a connection.
            await operator.reload(people.settings(None))
            for each in there[:2]:
                assert await each.read_end() == ("", f"the credentials of {each.name} are valid no more")
            await tools.until(lambda: not any(each.runs() for each in there))
            for name in people.names:
                async with people.connect(name, server) as connection:
                    assert (await tools.call(connection, "rpc.hello"))["result"]["principal"] is None
            await operator.reload(people.settings(None, "max_programs = 9"))
            heard = [(name, None) for name in people.names]
            await tools.until(lambda: sorted(each for each in streams.heard if each[1] is None) == sorted(heard))

    tools.run(main())


def test_whoever_is_taken_out_while_no_server_runs_has_ended_at_the_next_start(tools: Any, people: People) -> None:
    """Those who stay keep what belongs to their names, and those of groups need not come again for that."""
    operator = people.operator

    async def main() -> None:
        operator.write(people.settings("operator"))
        async with operator.serve(Streams, Programs) as server, AsyncExitStack() as stack:
            there = [
                await Open(tools, name, await stack.enter_async_context(people.connect(name, server))).begin()
                for name in people.names
            ]
        async with operator.serve(Streams, Programs) as server:
            streams = server.services[0]
            assert isinstance(streams, Streams)
            assert {(name, "operator") for name in people.names} <= set(streams.heard)
            assert all(each.runs() for each in there)
        operator.write(people.settings(None))
        async with operator.serve(Streams, Programs) as server:
            streams = server.services[0]
            assert isinstance(streams, Streams)
            assert sorted(name for name, role in streams.heard if role is None) == sorted(people.names)
            await tools.until(lambda: not any(each.runs() for each in there))
        async with operator.serve(Streams, Programs) as server:
            streams = server.services[0]
            assert isinstance(streams, Streams)
            assert not [name for name, role in streams.heard if role is None], "nobody is told twice"

    tools.run(main())


def test_a_file_of_callers_that_cannot_be_used_stops_no_start(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        for text in ("{", '{"format": 2}', "\xff"):
            (tools.folder / "callers.json").write_text(text, encoding="latin-1")
            async with tools.serve():
                pass

    tools.run(main())
    assert caplog.text.count("callers.json: it is malformed") == 3


def test_whoever_has_other_credentials_keeps_what_belongs_to_the_name(tools: Any, people: People) -> None:
    """And the role that gives most of a service decides."""
    operator = people.operator

    async def main() -> None:
        twice = people.settings("viewer").replace('common_name = "bob"', f'common_name = "{USER}"')
        twice = twice.replace("[auth.certificates.bob]", f'[auth.certificates.{USER}]\nrole = "operator"')
        operator.write(people.settings("operator"))
        async with operator.serve(Streams, Programs) as server, people.connect(USER, server) as connection:
            theirs = await Open(tools, USER, connection).begin()
            streams = server.services[0]
            assert isinstance(streams, Streams)
            await operator.reload(twice)
            assert (await theirs.read_end())[0] == "PermissionDenied"
            await tools.until(lambda: streams.heard.count((USER, "operator")) == 2)
            await operator.reload(twice.replace(f'users = {{ {USER} = "viewer" }}', ""))
            await tools.until(lambda: streams.heard.count((USER, "operator")) == 3)
            assert theirs.runs()
            await operator.reload(people.settings(None))
            await tools.until(lambda: not theirs.runs())

    tools.run(main())


def test_who_is_behind_a_proxy_is_found_out_anew_for_new_connections(tools: Any) -> None:
    operator = Operator(tools)
    header = {"X-Forwarded-For": "203.0.113.7"}

    def listen(*proxies: str) -> str:
        return f'[listen]\nport = 0\nunix = "none"\ntrusted_proxies = {json.dumps(proxies)}\n'

    async def main() -> None:
        operator.listen = listen("127.0.0.1")
        operator.write()
        async with operator.serve(Streams) as server, tools.connect(server, headers=header) as before:
            remotes: Callable[[], list[str]] = lambda: [each.remote for each in server.connections]  # noqa: E731
            assert remotes()[0].startswith("203.0.113.7 via 127.0.0.1:")
            operator.listen = listen("192.0.2.1")
            (change,) = (await operator.reload("")).changes
            assert (change.key, change.effect) == ("listen.trusted_proxies", "new connections")
            assert "result" in await tools.call(before, "streams.count", None, 2)
            async with tools.connect(server, headers=header):
                assert remotes()[0].startswith("203.0.113.7 via"), "it was found out when the connection began"
                assert remotes()[1].startswith("127.0.0.1:"), "nobody else may say who a client is"
            operator.listen = listen("127.0.0.1")
            await operator.reload("")
            async with tools.connect(server, headers=header):
                assert remotes()[1].startswith("203.0.113.7 via")

    tools.run(main())
