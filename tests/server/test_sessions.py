"""Tickets and sessions: how a web page signs in, and what ends that."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from rpcserver import Principal, ServiceConfig, Way
from rpcserver.config import ServerConfig
from rpcserver.security.named_tokens import TokenSet
from rpcserver.security.session_file import SessionFile
from rpcserver.security.sessions import (
    METHOD,
    MOST_ANCESTORS,
    REMEMBER_S,
    SESSIONS_PER_PRINCIPAL,
    Maker,
    Sessions,
)
from rpcserver.security.tickets import TICKETS_PER_PRINCIPAL, Tickets
from rpcserver.security.token_file import TokenFile
from rpcserver.server import Server
from rpcwire.errors import Busy, TicketExpired, TicketUnknown, TicketUsed, from_wire

ROLES = {"adder": {"permissions": ["calc.add"]}, "other": {"permissions": ["calc.*"]}}


class Keys:
    """The file with the named tokens, and what the operator does with it."""

    def __init__(self, tools: Any) -> None:
        self._file = TokenFile(tools.folder)

    def create(self, name: str = "ci", role: str = "adder", **more: Any) -> str:
        return self._edit(lambda tokens: tokens.create(name, role, time.time(), **more))

    def rotate(self, name: str = "ci") -> str:
        return self._edit(lambda tokens: tokens.rotate(name, 0.0, time.time()))

    def change(self, role: str, name: str = "ci") -> None:
        self._file.update(lambda tokens: tokens.change(name, time.time(), role=role))

    def revoke(self, name: str = "ci") -> None:
        self._file.update(lambda tokens: tokens.revoke(name, time.time()))

    def _edit(self, edit: Callable[[TokenSet], tuple[TokenSet, str]]) -> str:
        texts: list[str] = []

        def keep(tokens: TokenSet) -> TokenSet:
            new, text = edit(tokens)
            texts.append(text)
            return new

        self._file.update(keep)
        return texts[0]


@pytest.fixture
def keys(tools: Any) -> Keys:
    return Keys(tools)


async def ticket_of(tools: Any, server: Server, token: str) -> str:
    """A ticket that somebody with a token makes."""
    async with tools.connect(server, token=token) as connection:
        return str((await tools.call(connection, "rpc.create_ticket"))["result"]["ticket"])


async def sign_in(tools: Any, server: Server, token: str) -> dict[str, Any]:
    """A session for somebody with a token: its id, its secret, and how long it lasts."""
    ticket = await ticket_of(tools, server, token)
    async with tools.connect(server, token=None) as page:
        answer = await tools.call(page, "rpc.authenticate", {"ticket": ticket})
        return dict(answer["result"]["session"])


async def type_of(tools: Any, page: ClientConnection, params: dict[str, str]) -> str:
    """The type of the error when a page authenticates; "" if it gets in."""
    answer = await tools.call(page, "rpc.authenticate", params)
    return str(answer["error"]["data"]["type"]) if "error" in answer else ""


async def closing(connection: ClientConnection, tools: Any) -> ConnectionClosed:
    """How the server ends a connection, whatever comes before."""
    async with asyncio.timeout(tools.SECONDS):
        try:
            while True:
                await connection.recv()
        except ConnectionClosed as exc:
            return exc


# --- the way in ---------------------------------------------------------------------------------------------------


def test_a_ticket_becomes_a_session_of_its_maker_and_role(tools: Any, keys: Keys) -> None:
    async def main() -> None:
        token = keys.create()
        async with tools.serve(roles=ROLES) as server:
            async with tools.connect(server, token=token) as maker:
                made = (await tools.call(maker, "rpc.create_ticket"))["result"]
            assert made["expires_in_s"] == 60
            assert made["urls"] == [f"http://127.0.0.1:{tools.port(server)}"]
            async with tools.connect(server, token=None) as page:
                found = (await tools.call(page, "rpc.authenticate", {"ticket": made["ticket"]}))["result"]
                session = found.pop("session")
                assert found == {"name": "ci", "method": "session", "role": "adder"}
                assert session["expires_in_s"] == pytest.approx(43_200, abs=60)
                assert (await tools.call(page, "calc.add", [1, 2]))["result"] == 3
                assert (await tools.call(page, "calc.echo", ["x"]))["error"]["data"]["type"] == "PermissionDenied"
            async with tools.connect(server, token=None) as again:
                found = (await tools.call(again, "rpc.authenticate", {"session": session["secret"]}))["result"]
                assert found["session"]["id"] == session["id"] and found["session"]["secret"] is None
                hello = (await tools.call(again, "rpc.hello"))["result"]
                assert hello["principal"] == {"name": "ci", "method": "session", "role": "adder"}
            async with tools.connect(server, token=session["secret"]) as by_header:
                assert (await tools.call(by_header, "rpc.hello"))["result"]["principal"]["method"] == "session"

    tools.run(main())


def test_only_digests_are_kept_and_nobody_else_can_read_them(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            session = await sign_in(tools, server, tools.TOKEN)
        file = tools.folder / "sessions.json"
        text = file.read_text()
        assert session["id"] in text and session["secret"] not in text and tools.TOKEN not in text
        assert file.stat().st_mode & 0o777 == 0o600

    tools.run(main())


def test_a_ticket_is_good_once_and_each_error_says_what_to_do(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(auth={"attempts": 100, "free_attempts": 100}) as server:
            ticket = await ticket_of(tools, server, tools.TOKEN)
            async with tools.connect(server, token=None) as page:
                assert await type_of(tools, page, {"ticket": ticket[:-1]}) == "TicketUnknown"
                assert await type_of(tools, page, {"ticket": ""}) == "TicketUnknown"
                assert await type_of(tools, page, {"session": "rpcsession_no"}) == "SessionUnknown"
                assert await type_of(tools, page, {"session": tools.TOKEN[:-1]}) == "SessionUnknown"
                assert await type_of(tools, page, {"token": ticket}) == "Unauthenticated", "a ticket is no token"
                assert await type_of(tools, page, {"ticket": ticket}) == ""
            async with tools.connect(server, token=None) as page:
                answer = await tools.call(page, "rpc.authenticate", {"ticket": ticket})
                error = from_wire(**answer["error"])
                assert type(error) is TicketUsed and "rpcserver console" in error.message
                assert error.executed == "no" and ticket not in json.dumps(answer)

    tools.run(main())


@pytest.mark.parametrize(
    "params", [{}, {"token": "a", "ticket": "b"}, {"token": "a", "session": "b"}, {"ticket": None}]
)
def test_exactly_one_thing_is_shown(tools: Any, params: dict[str, Any]) -> None:
    async def main() -> None:
        async with tools.serve() as server, tools.connect(server, token=None) as page:
            assert (await tools.call(page, "rpc.authenticate", params))["error"]["code"] == -32602

    tools.run(main())


def test_a_ticket_is_not_used_up_on_a_connection_that_belongs_to_somebody(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            ticket = await ticket_of(tools, server, tools.TOKEN)
            async with tools.connect(server) as connection:
                assert await type_of(tools, connection, {"ticket": ticket}) == "InvalidRequest"
            async with tools.connect(server, token=None) as page:
                assert await type_of(tools, page, {"ticket": ticket}) == ""

    tools.run(main())


def test_a_ticket_is_not_used_up_where_there_is_no_room(tools: Any, keys: Keys) -> None:
    async def main() -> None:
        token = keys.create()
        roles = {"adder": {"permissions": ["calc.add"], "limits": {"connections": 1}}}
        async with tools.serve(roles=roles) as server:
            async with tools.connect(server, token=token) as maker:
                ticket = (await tools.call(maker, "rpc.create_ticket"))["result"]["ticket"]
                async with tools.connect(server, token=None) as page:
                    assert await type_of(tools, page, {"ticket": ticket}) == "Busy"
            await tools.until(lambda: not server.connections)
            async with tools.connect(server, token=None) as page:
                assert await type_of(tools, page, {"ticket": ticket}) == ""

    tools.run(main())


def test_of_many_who_use_one_ticket_at_the_same_time_one_gets_in(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            ticket = await ticket_of(tools, server, tools.TOKEN)
            pages = [tools.connect(server, token=None) for _ in range(6)]
            connections = [await page.__aenter__() for page in pages]
            found = await asyncio.gather(*(type_of(tools, each, {"ticket": ticket}) for each in connections))
            assert sorted(found) == ["", *["TicketUsed"] * 5]
            for page in pages:
                await page.__aexit__(None, None, None)

    tools.run(main())


def test_wrong_tickets_and_sessions_end_the_connection_and_are_logged_without_them(
    tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with tools.serve(auth={"attempts": 2}) as server, tools.connect(server, token=None) as page:
            assert await type_of(tools, page, {"ticket": "rpcticket_canary-one"}) == "TicketUnknown"
            assert await type_of(tools, page, {"session": "rpcsession_canary-two"}) == "SessionUnknown"
            closed = await closing(page, tools)
            assert closed.rcvd is not None and (closed.rcvd.code, closed.rcvd.reason) == (1008, "too many wrong tokens")
            assert server.authentication.wrong_attempts.count == 2

    with caplog.at_level(logging.DEBUG, "rpcserver"):
        tools.run(main())
    assert "canary" not in caplog.text


def test_tickets_live_for_a_while_and_are_few() -> None:
    now = [100.0]
    tickets, maker = Tickets(lambda: now[0], 60.0), Maker(name="ci", method="token", credential="0" * 16)
    first = tickets.make(maker, "adder")
    assert tickets.check(first).role == "adder"
    for _ in range(TICKETS_PER_PRINCIPAL - 1):
        tickets.make(maker, "adder")
    with pytest.raises(Busy, match=r"16 tickets of ci wait to be used: use one, or try again in 60 s"):
        tickets.make(maker, "adder")
    tickets.make(maker.model_copy(update={"name": "else"}), None)
    now[0] += 60
    with pytest.raises(TicketExpired, match=r"good for 60 s, which are over: get a new ticket: `rpcserver console`"):
        tickets.check(first)
    tickets.make(maker, "adder")
    now[0] += 3600
    tickets.make(maker, "adder")
    with pytest.raises(TicketUnknown):
        tickets.check(first)


def test_another_life_of_tickets_holds_for_those_that_are_made_afterwards() -> None:
    now = [100.0]
    tickets, maker = Tickets(lambda: now[0], 60.0), Maker(name="ci", method="token", credential="0" * 16)
    long = tickets.make(maker, None)
    tickets.ttl_s = 5.0
    short = tickets.make(maker, None)
    now[0] += 5
    with pytest.raises(TicketExpired, match="good for 5 s"):
        tickets.check(short)
    tickets.ttl_s = 3600.0
    tickets.check(long)
    now[0] += 55
    with pytest.raises(TicketExpired, match="good for 60 s"):
        tickets.check(long)


def test_the_settings_say_how_long_a_ticket_is_good(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(auth={"ticket_ttl_s": 0.001}) as server, tools.connect(server) as maker:
            made = (await tools.call(maker, "rpc.create_ticket"))["result"]
            assert made["expires_in_s"] == 0.001
            end = time.monotonic() + 0.002
            while time.monotonic() < end:  # To connect may take less.
                await asyncio.sleep(0)
            async with tools.connect(server, token=None) as page:
                refused = (await tools.call(page, "rpc.authenticate", {"ticket": made["ticket"]}))["error"]
        assert refused["data"]["type"] == "TicketExpired"
        assert refused["message"].startswith("this ticket was good for 0.001 s, which are over: get a new ticket")

    tools.run(main())


# --- the end ------------------------------------------------------------------------------------------------------


def test_a_revoked_session_ends_with_its_connections_and_does_not_come_back(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            session, other = [await sign_in(tools, server, tools.TOKEN) for _ in range(2)]
            async with (
                tools.connect(server, token=None) as page,
                tools.connect(server, token=other["secret"]) as bystander,
                tools.connect(server) as owner,
            ):
                assert await type_of(tools, page, {"session": session["secret"]}) == ""
                listed = (await tools.call(owner, "rpc.list_sessions"))["result"]
                assert [(each["id"], each["connections"], each["is_own"]) for each in listed] == [
                    (session["id"], 1, False),
                    (other["id"], 1, False),
                ]
                assert (await tools.call(owner, "rpc.revoke_session", [session["id"]]))["result"] is True
                closed = await closing(page, tools)
                assert closed.rcvd is not None and closed.rcvd.code == 1008
                assert closed.rcvd.reason == "the session of owner has ended"
                assert (await tools.call(owner, "rpc.revoke_session", [session["id"]]))["result"] is False
                assert (await tools.call(bystander, "calc.add", [1, 2]))["result"] == 3
        async with tools.serve() as server, tools.connect(server, token=None) as page:
            assert await type_of(tools, page, {"session": session["secret"]}) == "SessionEnded"
            assert await type_of(tools, page, {"session": other["secret"]}) == "", "it survives a restart"

    tools.run(main())


def test_whoever_ends_the_own_session_gets_the_answer_first(tools: Any, keys: Keys) -> None:
    async def main() -> None:
        token = keys.create()
        async with tools.serve(roles=ROLES) as server:
            session = await sign_in(tools, server, token)
            async with tools.connect(server, token=session["secret"]) as page:
                (own,) = (await tools.call(page, "rpc.list_sessions"))["result"]
                assert own["is_own"] and own["id"] == session["id"] and own["made_by"] == "token"
                assert (await tools.call(page, "rpc.revoke_session", [session["id"]]))["result"] is True
                closed = await closing(page, tools)
                assert closed.rcvd is not None and closed.rcvd.code == 1008

    tools.run(main())


def test_others_sessions_are_seen_and_revoked_only_with_the_permission(tools: Any, keys: Keys) -> None:
    async def main() -> None:
        roles = {**ROLES, "watch": {"permissions": ["rpc.sessions"]}}
        token, watcher = keys.create(), keys.create("watcher", "watch")
        async with tools.serve(roles=roles) as server:
            session = await sign_in(tools, server, tools.TOKEN)
            async with tools.connect(server, token=token) as small, tools.connect(server, token=watcher) as large:
                assert (await tools.call(small, "rpc.list_sessions"))["result"] == []
                refused = (await tools.call(small, "rpc.revoke_session", [session["id"]]))["error"]
                assert refused["data"]["type"] == "PermissionDenied" and "rpc.sessions" in refused["message"]
                assert len((await tools.call(large, "rpc.list_sessions"))["result"]) == 1
                assert (await tools.call(large, "rpc.revoke_session", [session["id"]]))["result"] is True

    tools.run(main())


@pytest.mark.parametrize("change", ["revoke", "rotate", "another role"])
def test_a_session_ends_with_its_token_and_with_its_role(tools: Any, keys: Keys, change: str) -> None:
    async def main() -> None:
        token = keys.create()
        async with tools.serve(roles=ROLES) as server:
            session = await sign_in(tools, server, token)
            ticket = await ticket_of(tools, server, token)
            async with tools.connect(server, token=session["secret"]) as page:
                if change == "revoke":
                    keys.revoke()
                elif change == "rotate":
                    keys.rotate()
                else:
                    keys.change("other")
                closed = await closing(page, tools)
                assert closed.rcvd is not None and closed.rcvd.code == 1008
            if change == "another role":
                keys.change("adder")
                await tools.until(lambda: server.authentication.named_tokens.known.tokens[0].role == "adder")
            async with tools.connect(server, token=None) as page:
                assert await type_of(tools, page, {"session": session["secret"]}) == "SessionEnded", "for good"
                assert await type_of(tools, page, {"ticket": ticket}) == (
                    "" if change == "another role" else "TicketUnknown"
                )
        async with tools.serve(roles=ROLES) as server, tools.connect(server, token=None) as page:
            assert await type_of(tools, page, {"session": session["secret"]}) == "SessionEnded"

    tools.run(main())


def test_what_was_revoked_while_no_server_ran_gives_no_session(tools: Any, keys: Keys) -> None:
    async def main() -> None:
        token = keys.create()
        async with tools.serve(roles=ROLES) as server:
            session = await sign_in(tools, server, token)
        keys.revoke()
        async with tools.serve(roles=ROLES) as server, tools.connect(server, token=None) as page:
            assert await type_of(tools, page, {"session": session["secret"]}) == "SessionEnded"

    tools.run(main())


def test_another_token_of_the_owner_ends_the_owners_sessions(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            session = await sign_in(tools, server, tools.TOKEN)
        server = Server(tools.config(), (tools.Calc(),), token="another-token-for-the-tests")
        await server.start()
        try:
            async with tools.connect(server, token=None) as page:
                assert await type_of(tools, page, {"session": session["secret"]}) == "SessionEnded"
        finally:
            await server.stop(grace_s=0)

    tools.run(main())


def test_a_session_is_accepted_only_from_where_its_token_is(tools: Any, keys: Keys) -> None:
    async def main() -> None:
        token = keys.create(networks=("127.0.0.1",))
        async with tools.serve(roles=ROLES, auth={"free_attempts": 100}) as server:
            session = await sign_in(tools, server, token)
            ticket = await ticket_of(tools, server, token)
            raw = await tools.raw(server, "127.0.0.9")
            request = f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {session['secret']}\r\n"
            await raw.send(f"{request}Upgrade: websocket\r\nConnection: upgrade\r\n\r\n".encode())
            assert (await raw.rest()).startswith(b"HTTP/1.1 401 ")
            elsewhere = {"local_addr": ("127.0.0.9", 0)}
            async with tools.connect(server, token=None, **elsewhere) as page:
                assert await type_of(tools, page, {"ticket": ticket}) == "TicketUnknown"
                assert await type_of(tools, page, {"session": session["secret"]}) == "SessionUnknown"
            async with tools.connect(server, token=None) as page:
                assert await type_of(tools, page, {"ticket": ticket}) == ""

    tools.run(main())


def test_a_session_expires_and_its_connection_ends(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(auth={"session_ttl_s": 0.5}) as server:
            ticket = await ticket_of(tools, server, tools.TOKEN)
            async with tools.connect(server, token=None) as page:
                answer = await tools.call(page, "rpc.authenticate", {"ticket": ticket})
                closed = await closing(page, tools)
                assert closed.rcvd is not None and closed.rcvd.code == 1008
            async with tools.connect(server, token=None) as page:
                secret = answer["result"]["session"]["secret"]
                error = (await tools.call(page, "rpc.authenticate", {"session": secret}))["error"]
                assert error["data"]["type"] == "SessionEnded" and "expired" in error["message"]

    tools.run(main())


def test_a_session_makes_tickets_that_end_with_it(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            first = await sign_in(tools, server, tools.TOKEN)
            second = await sign_in(tools, server, first["secret"])
            third = await sign_in(tools, server, second["secret"])
            async with tools.connect(server) as owner, tools.connect(server, token=third["secret"]) as page:
                listed = (await tools.call(owner, "rpc.list_sessions"))["result"]
                assert max(each["expires_at"] for each in listed) == listed[0]["expires_at"]
                await tools.call(owner, "rpc.revoke_session", [first["id"]])
                assert (await closing(page, tools)).rcvd is not None
                assert (await tools.call(owner, "rpc.list_sessions"))["result"] == []

    tools.run(main())


def test_no_chain_of_sessions_is_long(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            secret = tools.TOKEN
            for _ in range(MOST_ANCESTORS + 1):
                secret = (await sign_in(tools, server, secret))["secret"]
            async with tools.connect(server, token=secret) as page:
                refused = (await tools.call(page, "rpc.create_ticket"))["error"]
                assert refused["data"]["type"] == "Busy"

    tools.run(main())


def test_zero_seconds_allow_no_sessions(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            session = await sign_in(tools, server, tools.TOKEN)
        async with tools.serve(auth={"session_ttl_s": 0}) as server:
            async with tools.connect(server) as owner:
                refused = (await tools.call(owner, "rpc.create_ticket"))["error"]
                assert refused["data"]["type"] == "Unavailable" and "auth.session_ttl_s" in refused["message"]
            async with tools.connect(server, token=None) as page:
                assert await type_of(tools, page, {"session": session["secret"]}) == "SessionEnded"

    tools.run(main())


class ByName(Way[ServiceConfig]):
    """Believes whatever name somebody claims, until it does not."""

    scheme = "Name"
    form = "Name NAME"
    config_model = ServiceConfig
    gone: frozenset[str] = frozenset()

    def principal(self, credentials: str) -> Principal | None:
        return Principal(credentials, "claim", role="adder")

    def renew(self, principal: Principal) -> Principal | None:
        return None if principal.name in self.gone else principal


def test_sessions_of_plugins_ways_end_when_the_way_says_so(tools: Any) -> None:
    async def main() -> None:
        way = ByName(ServiceConfig())
        server = Server(tools.config(roles=ROLES), (tools.Calc(),), token=tools.TOKEN, ways=[way])
        await server.start()
        try:
            header = {"Authorization": "Name ada"}
            async with tools.connect(server, token=None, headers=header) as ada:
                ticket = (await tools.call(ada, "rpc.create_ticket"))["result"]["ticket"]
            async with tools.connect(server, token=None) as page:
                found = (await tools.call(page, "rpc.authenticate", {"ticket": ticket}))["result"]
                assert (found["name"], found["method"], found["role"]) == ("ada", "session", "adder")
                way.gone = frozenset({"ada"})
                way.report_change()
                assert (await closing(page, tools)).rcvd is not None
        finally:
            await server.stop(grace_s=0)
        # A server without this way cannot answer for her any more.
        async with tools.serve(roles=ROLES) as server, tools.connect(server, token=None) as page:
            assert await type_of(tools, page, {"session": found["session"]["secret"]}) == "SessionEnded"

    tools.run(main())


def test_the_owner_on_the_unix_socket_and_in_memory_make_tickets(tools: Any, short_folder: Path) -> None:
    async def main() -> None:
        from rpcclient import AsyncClient

        async with tools.serve(listen={"unix": str(short_folder / "s")}) as server:
            tickets = []
            async with AsyncClient(f"unix://{short_folder}/s") as client:
                tickets.append((await client.call("rpc.create_ticket"))["ticket"])
            for ticket, name in zip(tickets, ["owner"], strict=True):
                async with tools.connect(server, token=None) as page:
                    found = (await tools.call(page, "rpc.authenticate", {"ticket": ticket}))["result"]
                    assert (found["name"], found["method"], found["role"]) == (name, "session", "owner")

    tools.run(main())


def test_a_malformed_file_ends_all_sessions_and_keeps_no_server_from_starting(
    tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            session = await sign_in(tools, server, tools.TOKEN)
        file = tools.folder / "sessions.json"
        good = file.read_bytes()
        for fault in ("malformed", "readable by others"):
            file.write_bytes(b"{" if fault == "malformed" else good)
            file.chmod(0o600 if fault == "malformed" else 0o644)
            caplog.clear()
            async with tools.serve() as server, tools.connect(server, token=None) as page:
                assert await type_of(tools, page, {"session": session["secret"]}) == "SessionUnknown"
            assert "all sessions have ended" in caplog.text and session["id"] not in caplog.text

    tools.run(main())


def test_a_session_that_cannot_be_written_down_does_not_begin(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            ticket = await ticket_of(tools, server, tools.TOKEN)
            blocked = tools.folder / "sessions.json.new"
            blocked.mkdir()
            async with tools.connect(server, token=None) as page:
                assert await type_of(tools, page, {"ticket": ticket}) == "Unavailable"
            blocked.rmdir()
            async with tools.connect(server, token=None) as page:
                assert await type_of(tools, page, {"ticket": ticket}) == ""
                assert len((await tools.call(page, "rpc.list_sessions"))["result"]) == 1

    tools.run(main())


def test_a_backup_has_no_sessions(tools: Any) -> None:
    from rpcserver.backup.inventory import list_state, parts_of

    async def main() -> None:
        async with tools.serve() as server:
            await sign_in(tools, server, tools.TOKEN)

    tools.run(main())
    assert (tools.folder / "sessions.json").exists()
    names = [each.name for each in list_state(parts_of(tools.config()))]
    assert names and not any("sessions" in name for name in names)


# --- without a server ---------------------------------------------------------------------------------------------


def sessions_of(clock: list[float]) -> Sessions:
    return Sessions(lambda: clock[0], lambda maker, _: maker.principal, 100.0)


def test_the_oldest_sessions_make_way_and_ends_are_remembered_for_a_day() -> None:
    clock = [1000.0]
    sessions = sessions_of(clock)
    maker = Maker(name="ci", method="memory")
    first = sessions.begin(maker, None, "here")
    for _ in range(SESSIONS_PER_PRINCIPAL):
        sessions.begin(maker, None, "here")
    assert len(sessions.list_live()) == SESSIONS_PER_PRINCIPAL
    assert "made way" in sessions.explain(first.secret).message
    assert sessions.next_expiry() == 1100.0
    sessions.ttl_s = 50.0
    assert sessions.next_expiry() == 1050.0
    clock[0] += 100
    assert sessions.list_live() == [] and sessions.next_expiry() is None
    assert sessions.principal(first.secret) is None
    clock[0] += REMEMBER_S
    assert sessions.snapshot().sessions == ()
    assert type(sessions.explain(first.secret)).__name__ == "SessionUnknown"


def test_a_file_keeps_what_there_is(tmp_path: Path) -> None:
    clock = [1000.0]
    sessions = sessions_of(clock)
    grant = sessions.begin(Maker(name="ci", method="memory", groups=frozenset({1, 2})), "adder", "here")
    file = SessionFile(tmp_path)
    file.write(sessions.snapshot())
    again = sessions_of(clock)
    again.role_of = lambda _: "adder"
    again.replace(file.read().sessions)
    assert again.principal(grant.secret) == Principal("ci", METHOD, None, "adder", grant.session.id)


def test_a_server_without_roles_still_has_sessions() -> None:
    assert ServerConfig.model_validate({}).auth.session_ttl_s == 43_200
