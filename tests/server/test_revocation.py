"""What the end of credentials, and another role, do to what is open: within a second, whatever the client does."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, ClassVar

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rpcclient import AsyncClient
from rpcclient.errors import ConnectionLost, Unauthenticated
from rpcserver import Principal, Service, ServiceConfig, Way, method
from rpcserver.connections import LEAVE_S
from rpcserver.security import callers
from rpcserver.security.named_tokens import TokenSet
from rpcserver.security.token_file import TokenFile
from rpcserver.security.token_watch import LOOK_EVERY_S, TokenWatch
from rpcserver.server import Server

ROLES = {
    "counter": {"permissions": ["calc.*"]},
    "wider": {"permissions": ["calc.*", "notes.*"]},
    "adder": {"permissions": ["calc.add"]},
    "slow": {"permissions": ["calc.*"], "limits": {"calls_per_s": 1}},
    "small": {"permissions": ["calc.*"], "limits": {"message_bytes": 4096}},
}


class Notes(Service):
    """Hears of changed callers."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, str | None]] = []

    @method()
    async def note(self) -> None:
        """Do nothing."""

    async def reconsider_caller(self, name: str, principal: Principal | None, before: float) -> None:
        assert before > 0
        self.heard.append((name, None if principal is None else principal.role))


class Tokens:
    """The file with the tokens of a server, and what the operator does with it."""

    def __init__(self, tools: Any) -> None:
        self.file = TokenFile(tools.folder)

    def create(self, name: str = "ci", role: str = "counter", **more: Any) -> str:
        return self._edit(lambda tokens: tokens.create(name, role, 1.0, **more))

    def rotate(self, name: str, overlap_s: float, now: float) -> str:
        return self._edit(lambda tokens: tokens.rotate(name, overlap_s, now))

    def change(self, name: str, **more: Any) -> None:
        self.file.update(lambda tokens: tokens.change(name, 2.0, **more))

    def revoke(self, name: str = "ci") -> None:
        self.file.update(lambda tokens: tokens.revoke(name, 2.0))

    def _edit(self, edit: Any) -> str:
        texts = []

        def keep(tokens: TokenSet) -> TokenSet:
            new, text = edit(tokens)
            texts.append(text)
            return new

        self.file.update(keep)
        return texts[0]


@pytest.fixture
def tokens(tools: Any) -> Tokens:
    return Tokens(tools)


async def closing(connection: ClientConnection, seconds: float) -> ConnectionClosed:
    """How the server ends a connection, whatever comes before."""
    async with asyncio.timeout(seconds):
        try:
            while True:
                await connection.recv()
        except ConnectionClosed as exc:
            return exc


def test_all_of_it_takes_less_than_a_second() -> None:
    assert LOOK_EVERY_S + LEAVE_S <= 1


def test_a_revoked_token_ends_its_connections_calls_and_streams(tools: Any, tokens: Tokens) -> None:
    async def main() -> None:
        token, other = tokens.create(), tokens.create("other")
        calc, notes = tools.Calc(), Notes()
        async with (
            tools.serve(calc, notes, roles=ROLES) as server,
            tools.connect(server, token=token) as connection,
            tools.connect(server, token=None) as by_call,
            tools.connect(server, token=other) as bystander,
            tools.connect(server) as owner,
        ):
            assert (await tools.call(by_call, "rpc.authenticate", [token]))["result"]["role"] == "counter"
            await connection.send(tools.request("calc.wait", None, 7))
            await connection.send(tools.request("calc.count", [10**9], 8))
            await tools.until(lambda: "started" in calc.log)
            tokens.revoke()
            for each in (connection, by_call):
                closed = await closing(each, tools.SECONDS)
                assert closed.rcvd is not None and closed.rcvd.code == 1008
                assert closed.rcvd.reason == "the credentials of ci are valid no more"
            await tools.until(lambda: {"cancelled", "count ended"} <= set(calc.log))
            for each in (bystander, owner):
                assert (await tools.call(each, "calc.add", [1, 2]))["result"] == 3
            with pytest.raises(InvalidStatus, match="401"):
                async with tools.connect(server, token=token):
                    pass
            await tools.until(lambda: ("ci", None) in notes.heard)
            assert notes.heard.count(("ci", None)) == 1
            tokens.revoke("other")  # Nobody is told twice.
            await tools.until(lambda: ("other", None) in notes.heard)
            assert notes.heard.count(("ci", None)) == 1

    tools.run(main())


def test_a_client_that_does_not_leave_is_dropped(tools: Any, tokens: Tokens) -> None:
    """It answers no close frame. What it sends after its end is not read."""

    async def main() -> None:
        token, calc = tokens.create(), tools.Calc()
        async with tools.serve(calc, Notes(), roles=ROLES) as server:
            raw = await tools.websocket(server, Authorization=f"Bearer {token}")
            await raw.send(tools.frame(1, tools.request("calc.wait", None, 7).encode()))
            await tools.until(lambda: "started" in calc.log)
            tokens.revoke()
            assert await raw.close_code() == 1008
            await raw.send(tools.frame(1, tools.request("calc.wait", None, 8).encode()))
            assert await raw.rest() == b""
            await tools.until(lambda: not server.door.entrance.links)
            assert calc.log.count("started") == 1 and "cancelled" in calc.log

    tools.run(main())


def test_a_token_that_expires_ends_its_connections_by_a_timer(
    tools: Any, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks again and again whether it has expired."""
    monkeypatch.setattr(TokenWatch, "_look", lambda _: None)

    async def main() -> None:
        notes = Notes()
        token = tokens.create(expires=time.time() + 3.0)
        async with tools.serve(tools.Calc(), notes, roles=ROLES) as server:
            async with tools.connect(server, token=token) as connection:
                closed = await closing(connection, tools.SECONDS)
            assert closed.rcvd is not None and closed.rcvd.code == 1008
            await tools.until(lambda: notes.heard == [("ci", "counter"), ("ci", None)])
            with pytest.raises(InvalidStatus, match="401"):
                async with tools.connect(server, token=token):
                    pass

    tools.run(main())


def test_a_rotation_ends_the_connections_of_the_old_token_only(tools: Any, tokens: Tokens) -> None:
    async def main() -> None:
        notes = Notes()
        old = tokens.create()
        async with tools.serve(tools.Calc(), notes, roles=ROLES) as server, tools.connect(server, token=old) as first:
            new = tokens.rotate("ci", 2.0, time.time())
            await tools.until(lambda: server.authentication.named_tokens.principal(new))
            async with tools.connect(server, token=new) as second:
                assert (await tools.call(first, "calc.add", [1, 2]))["result"] == 3, "both are valid"
                assert (await closing(first, tools.SECONDS)).rcvd.code == 1008  # type: ignore[union-attr]
                assert (await tools.call(second, "calc.add", [1, 2]))["result"] == 3
            assert ("ci", None) not in notes.heard, "whoever has the new token keeps their programs"

    tools.run(main())


def test_other_networks_end_the_connections_that_come_from_elsewhere(tools: Any, tokens: Tokens) -> None:
    async def main() -> None:
        token = tokens.create()
        async with (
            tools.serve(tools.Calc(), Notes(), roles=ROLES) as server,
            tools.connect(server, token=token) as connection,
        ):
            tokens.change("ci", networks=("127.0.0.0/8", "10.0.0.0/8"))
            await tools.until(lambda: server.authentication.named_tokens.known.tokens[0].networks)
            assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
            tokens.change("ci", networks=("10.0.0.0/8",))
            assert (await closing(connection, tools.SECONDS)).rcvd.code == 1008  # type: ignore[union-attr]

    tools.run(main())


def test_a_role_that_gives_more_holds_at_once(tools: Any, tokens: Tokens) -> None:
    async def main() -> None:
        token, calc = tokens.create(), tools.Calc()
        async with (
            tools.serve(calc, Notes(), roles=ROLES) as server,
            tools.connect(server, token=token) as connection,
        ):
            assert (await tools.call(connection, "notes.note"))["error"]["data"]["type"] == "PermissionDenied"
            await connection.send(tools.request("calc.wait", None, 7))
            await tools.until(lambda: "started" in calc.log)
            tokens.change("ci", role="wider")
            await tools.until(lambda: server.authentication.named_tokens.known.tokens[0].role == "wider")
            assert "error" not in await tools.call(connection, "notes.note")
            assert (await tools.call(connection, "rpc.hello"))["result"]["principal"]["role"] == "wider"
            assert "cancelled" not in calc.log, "what runs goes on"

    tools.run(main())


@pytest.mark.parametrize("role", ["adder", "unknown"])
def test_a_role_that_gives_less_ends_what_it_does_not_give(role: str, tools: Any, tokens: Tokens) -> None:
    """Calls and streams get PermissionDenied, then the connection ends: ports and transactions may be open over it."""

    async def main() -> None:
        token, calc = tokens.create(), tools.Calc()
        async with tools.serve(calc, Notes(), roles=ROLES) as server, tools.connect(server, token=token) as connection:
            name = (await tools.call(connection, "calc.count", [10**9], 8))["result"]["stream"]
            await connection.send(tools.request("calc.wait", None, 7))
            await tools.until(lambda: "started" in calc.log)
            tokens.change("ci", role=role)
            errors: dict[Any, str] = {}
            async with asyncio.timeout(tools.SECONDS):
                try:
                    while True:
                        for line in str(await connection.recv(decode=True)).splitlines():
                            message = json.loads(line)
                            if message.get("id") == 7:
                                assert message["error"]["data"]["executed"] == "yes"
                                errors["call"] = message["error"]["data"]["type"]
                            elif message.get("method") == "rpc.stream.end" and message["params"]["stream"] == name:
                                errors["stream"] = message["params"]["error"]["data"]["type"]
                except ConnectionClosed as exc:
                    assert exc.rcvd is not None and exc.rcvd.code == 1008
                    assert exc.rcvd.reason == "the role of ci has changed: connect again"
            assert errors == {"call": "PermissionDenied", "stream": "PermissionDenied"}
            async with tools.connect(server, token=token) as again:
                answer = await tools.call(again, "calc.echo", ["x"])
                assert answer["error"]["data"]["type"] == "PermissionDenied"

    tools.run(main())


@pytest.mark.parametrize("role", ["wider", "slow", "small"])
def test_a_first_role_holds_at_once_unless_it_takes_smaller_messages(role: str, tools: Any, tokens: Tokens) -> None:
    """The size of messages is agreed upon at the beginning of a connection; all other limits hold at once."""

    async def main() -> None:
        token = tokens.create(role="unknown")
        async with (
            tools.serve(tools.Calc(), Notes(), roles=ROLES) as server,
            tools.connect(server, token=token) as connection,
        ):
            assert "error" in await tools.call(connection, "calc.add", [1, 2])
            tokens.change("ci", role=role)
            if role == "small":
                closed = await closing(connection, tools.SECONDS)
                assert closed.rcvd is not None
                assert closed.rcvd.reason == "the role of ci has changed: connect again"
            else:
                await tools.until(lambda: server.authentication.named_tokens.known.tokens[0].role == role)
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
                if role == "slow":
                    answer = await tools.call(connection, "calc.add", [1, 2])
                    assert answer["error"]["data"]["type"] == "Busy"
                    assert "roles.slow.limits.calls_per_s" in answer["error"]["message"]

    tools.run(main())


def test_a_client_that_reconnects_is_told_and_gives_up(tools: Any, tokens: Tokens) -> None:
    async def main() -> None:
        calc = tools.Calc()
        token, called = tokens.create(), tokens.create("called")
        async with tools.serve(calc, Notes(), roles=ROLES) as server:
            url = server.addresses[0]
            async with (
                AsyncClient(url, token=token) as client,
                AsyncClient(url, token=called, token_by="call") as other,
            ):
                for each in (client, other):
                    calc.log.clear()
                    waiting = asyncio.ensure_future(each.call("calc.wait"))
                    await tools.until(lambda: "started" in calc.log)
                    tokens.revoke("ci" if each is client else "called")
                    with pytest.raises(ConnectionLost, match="valid no more"):
                        await asyncio.wait_for(waiting, tools.SECONDS)
                    attempts = server.authentication.wrong_attempts.count
                    with pytest.raises(Unauthenticated):
                        await asyncio.wait_for(each.call("calc.add", {"a": 1, "b": 2}), tools.SECONDS)
                    assert server.authentication.wrong_attempts.count == attempts + 1

    tools.run(main())


class Guests(Way):
    """Lets guests in, until they are put out."""

    scheme = "Guest"
    form = "Guest NAME"
    config_model = ServiceConfig
    roles: ClassVar[dict[str, str]] = {}

    def principal(self, credentials: str) -> Principal | None:
        role = self.roles.get(credentials)
        return None if role is None else Principal(credentials, "guest", role=role, credential="door")

    def renew(self, principal: Principal) -> Principal | None:
        assert principal.credential == "door"
        match self.roles.get(principal.name):
            case "broken":
                raise ValueError("terces"[::-1])
            case "odd":
                return "terces"[::-1]  # type: ignore[return-value]
            case "owner":
                return Principal("owner", "token")
        return self.principal(principal.name)


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (None, ""),
        ("broken", "failed in renew(): ValueError at"),
        ("odd", "failed in renew(): it returned str, no Principal or None"),
        ("owner", "failed in renew(): it returned a Principal with a name or a method that the server gives itself"),
    ],
)
def test_ways_of_plugins_renew_whom_they_have_let_in(
    end: str | None, text: str, tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        way = Guests(ServiceConfig())
        way.roles.update(ada="counter", bob="counter")
        server = Server(tools.config(roles=ROLES), [tools.Calc(), Notes()], token=tools.TOKEN, ways=[way])
        await server.start()
        try:
            headers = [{"Authorization": f"Guest {name}"} for name in ("ada", "bob")]
            async with (
                tools.connect(server, token=None, headers=headers[0]) as ada,
                tools.connect(server, token=None, headers=headers[1]) as bob,
            ):
                way.roles["ada"] = "wider"
                if end is None:
                    del way.roles["bob"]
                else:
                    way.roles["bob"] = end
                await asyncio.get_running_loop().run_in_executor(None, way.report_change)
                assert (await closing(bob, tools.SECONDS)).rcvd.code == 1008  # type: ignore[union-attr]
                assert "error" not in await tools.call(ada, "notes.note")
        finally:
            way.roles.clear()
            await server.stop(grace_s=0)

    tools.run(main())
    assert text in caplog.text
    assert "secret" not in caplog.text


def test_whoever_is_removed_from_the_file_has_ended_too(tools: Any, tokens: Tokens) -> None:
    """An operator may have edited it. It then says nothing of the end."""

    async def main() -> None:
        token, notes = tokens.create(), Notes()
        async with (
            tools.serve(tools.Calc(), notes, roles=ROLES) as server,
            tools.connect(server, token=token) as connection,
        ):
            tokens.file.update(lambda _: TokenSet())
            assert (await closing(connection, tools.SECONDS)).rcvd.code == 1008  # type: ignore[union-attr]
            await tools.until(lambda: notes.heard == [("ci", "counter"), ("ci", None)])

    tools.run(main())


class Slow(Notes):
    """Takes its time, once."""

    name = "slow"

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = asyncio.Event()

    async def reconsider_caller(self, name: str, principal: Principal | None, before: float) -> None:
        await self.may_go_on.wait()
        await super().reconsider_caller(name, principal, before)


def test_services_hear_news_in_their_order(tools: Any, tokens: Tokens) -> None:
    """However long one of them takes: whoever hears of a role later than of the next one would keep what is over."""

    async def main() -> None:
        slow, notes = Slow(), Notes()
        async with tools.serve(tools.Calc(), slow, notes, roles=ROLES) as server:
            tokens.create()
            await tools.until(lambda: server.authentication.named_tokens.known.tokens)
            tokens.change("ci", role="adder")
            await tools.until(lambda: server.authentication.named_tokens.known.tokens[0].role == "adder")
            assert not notes.heard
            slow.may_go_on.set()
            await tools.until(lambda: len(notes.heard) == 2)
            assert slow.heard == notes.heard
            assert notes.heard[1] == ("ci", "adder")

    tools.run(main())


def test_a_service_that_hangs_keeps_no_other_from_the_news(
    tools: Any, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(callers, "SERVICE_TIMEOUT_S", 0.01)

    async def main() -> None:
        tokens.create()
        notes = Notes()
        async with tools.serve(tools.Calc(), Slow(), notes, roles=ROLES):
            assert notes.heard == [("ci", "counter")]

    tools.run(main())
    assert "the service slow cannot reconsider ci" in caplog.text


def test_a_server_stops_while_a_service_hangs(tools: Any, tokens: Tokens) -> None:
    """Nothing of it is left behind."""

    async def main() -> None:
        slow = Slow()
        server = Server(tools.config(roles=ROLES), [tools.Calc(), Notes(), slow], token=tools.TOKEN)
        await server.start()
        before = asyncio.all_tasks()
        tokens.create()
        await tools.until(lambda: asyncio.all_tasks() - before)
        await server.stop(grace_s=0, patience_s=0.01)
        await tools.until(lambda: not asyncio.all_tasks() - before)

    tools.run(main())


def test_whoever_was_revoked_while_no_server_ran_is_told_at_the_start(tools: Any, tokens: Tokens) -> None:
    async def main() -> None:
        tokens.create()
        tokens.revoke()
        tokens.create()
        notes = Notes()
        async with tools.serve(tools.Calc(), notes, roles=ROLES):
            assert notes.heard == [("ci", None), ("ci", "counter")]

    tools.run(main())
