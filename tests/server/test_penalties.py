"""Wrong attempts to authenticate: how they are delayed, counted and logged, and that right ones get in beside them."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import tracemalloc
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus

from rpcserver import Page, Principal, Service, Way, method
from rpcserver.config import AuthConfig
from rpcserver.security import attempts, penalties
from rpcserver.security.attempts import WrongAttempts
from rpcserver.security.authentication import READ_WITHIN_S, REFUSED_AFTER_S, Authentication
from rpcserver.security.penalties import FORGIVE_S, MOST_KEYS, Penalties
from rpcserver.security.tokens import TokenStore
from rpcserver.server import Server
from rpcwire.errors import Unauthenticated

# --- the delays by themselves --------------------------------------------------------------------------------------------


def test_delays_grow_up_to_a_limit_and_are_forgiven() -> None:
    counted = Penalties(3, 2.0)
    delays = []
    for _ in range(12):
        delays.append(counted.delay_s(["a"], 0.0))
        counted.note_wrong(["a"], 0.0)
    assert delays == [0, 0, 0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 2, 2, 2]
    assert counted.delay_s(["b"], 0.0) == 0
    assert counted.delay_s(["b", "a"], 0.0) == 2, "the longest of the keys"
    assert counted.delay_s(["a"], FORGIVE_S) == 1
    assert counted.delay_s(["a"], 9 * FORGIVE_S) == 0
    counted.note_wrong(["a"], 100 * FORGIVE_S)
    assert counted.delay_s(["a"], 100 * FORGIVE_S) == 0, "and forgotten"


def test_no_penalty_by_configuration() -> None:
    counted = Penalties(0, 0.0)
    for _ in range(9):
        counted.note_wrong(["a"], 0.0)
    assert counted.delay_s(["a"], 0.0) == 0
    assert Penalties(0, 8.0).delay_s(["a"], 0.0) == penalties.FIRST_S


def test_many_addresses_and_long_names_take_little_memory() -> None:
    counted = Penalties(1, 8.0)
    tracemalloc.start()
    try:
        for number in range(3 * MOST_KEYS):
            counted.note_wrong([f"{number}" + "x" * 10_000], 0.0)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(counted) == MOST_KEYS
    assert size < 4 * 1024 * 1024
    assert counted.delay_s([f"{3 * MOST_KEYS - 1}" + "x" * 10_000], 0.0) > 0
    assert counted.delay_s(["0" + "x" * 10_000], 0.0) == 0, "the oldest are forgotten"


def test_a_burst_has_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        wrong = WrongAttempts()
        for number in range(5000):
            wrong.note(f"10.0.{number % 2000}:1", f"10.0.{number % 2000}", "the token is wrong")
        for _ in range(100):
            wrong.note("10.0.7:2", "10.0.7", "the token is wrong")
        assert wrong.count == 5100
        wrong.report()
        assert len(caplog.records) == attempts.LINES + 1
        assert caplog.records[-1].getMessage() == (
            f"{5100 - attempts.LINES} more wrong attempts to authenticate within 60 s, from {attempts.MOST_ADDRESSES} or "
            "more addresses; 10.0.7 has made 103 in all"
        )
        wrong.report()
        wrong.note("10.0.7:3", "10.0.7", "the token is wrong")
        wrong.report()
        assert len(caplog.records) == attempts.LINES + 2, "a new burst"

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())


def test_a_burst_ends_by_itself(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "BURST_S", 0.01)

    async def main() -> None:
        wrong = WrongAttempts()
        for _ in range(3):
            wrong.note("a", "a", "the token is wrong")
        async with asyncio.timeout(10):
            while "2 more wrong attempts" not in caplog.text:
                await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())


# --- names -----------------------------------------------------------------------------------------------------------------


class Passwords(Way):
    """Names and passwords."""

    scheme = "Basic"
    form = "Basic BASE64"

    def claimed_name(self, credentials: str) -> str | None:
        return base64.b64decode(credentials).decode().partition(":")[0]

    def principal(self, credentials: str) -> Principal | None:
        return Principal("ada", "password") if base64.b64decode(credentials) == b"ada:right" else None


def basic(text: str) -> Headers:
    return Headers(Authorization=f"Basic {base64.b64encode(text.encode()).decode()}")


def authentication(**config: Any) -> Authentication:
    settings = AuthConfig(**config)
    return Authentication(TokenStore("t" * 20), 0, settings, unix_peer_credentials=True, ways=[Passwords(config={})])  # type: ignore[arg-type]


def test_guesses_of_one_name_from_many_addresses_are_delayed() -> None:
    async def main() -> None:
        known = authentication(free_attempts=2)
        for number in range(20):
            credentials = known.read(basic(f"ada:{number}"), f"10.0.0.{number}")
            assert credentials is not None
            with pytest.raises(Unauthenticated):
                known.check(credentials, "somebody")
        right = known.read(basic("ada:right"), "10.1.0.0")
        other = known.read(basic("bob:guess"), "10.1.0.0")
        token = known.read(Headers(Authorization="Bearer " + "t" * 20), "10.1.0.0")
        assert right is not None
        assert other is not None
        assert token is not None
        assert known.delay_before_s(right) == READ_WITHIN_S
        assert known.delay_after_s(right) > READ_WITHIN_S
        assert known.delay_before_s(other) == known.delay_before_s(token) == 0
        assert known.check(right, "ada").name == "ada"
        known.wrong_attempts.report()

    asyncio.run(main())


@pytest.mark.parametrize("credentials", ["!", "//8=", ""])
def test_a_way_that_cannot_read_the_name_counts_by_address(credentials: str) -> None:
    known = authentication()
    shown = known.read(Headers(Authorization=f"Basic x{credentials}"), "10.0.0.1")
    assert shown is not None
    assert shown.keys == ("address 10.0.0.1",)


# --- over the wire ---------------------------------------------------------------------------------------------------------


class Shown(Service):
    """Has a page that needs the token."""

    def http_pages(self) -> dict[str, Page]:
        return {"/mine": Page(self.text, permission="shown.text")}

    @method()
    async def text(self) -> str:
        """Render the page."""
        return "text"


GUESSERS = 20


def delays(server: Server, address: str = "127.0.0.1") -> float:
    """The whole delay of an attempt from this address; 0 for what each wrong one has."""
    credentials = server.authentication.read(Headers(Authorization="Bearer x"), address)
    assert credentials is not None
    after_s = server.authentication.delay_after_s(credentials)
    return server.authentication.delay_before_s(credentials) + (after_s if after_s > REFUSED_AFTER_S else 0)


async def guess(tools: Any, server: Server, by: str, source: str = "127.0.0.1") -> Any:
    """Send a wrong token; the raw socket."""
    raw = await tools.raw(server, source)
    if by == "page":
        await raw.send(b"GET /mine HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\n\r\n")
    else:
        await raw.send(tools.upgrade(server, Authorization="Bearer wrong"))
    return raw


@pytest.mark.parametrize("by", ["handshake", "page"])
def test_a_wrong_token_is_delayed_and_a_right_one_gets_in(
    tools: Any, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After the attempts without a delay, each attempt is read later. Those that would wait beyond the limit are refused
    unread, and what the server reads is what it counts."""

    async def main() -> None:
        auth = {"free_attempts": 3, "delayed_per_address": GUESSERS, "timeout_s": 60}
        async with tools.serve(Shown(), auth=auth) as server:
            wrong, waiting = server.authentication.wrong_attempts, server.door.entrance.waiting
            for number in range(3):
                raw = await guess(tools, server, by)
                assert (await raw.rest()).startswith(b"HTTP/1.1 401")
                assert wrong.count == number + 1
            for number in range(8):  # One after the other: each waits for its answer.
                server.authentication._penalties._longest_s = 1 / 16  # The test waits less than a guesser does.
                raw = await guess(tools, server, by)
                await tools.until(lambda: waiting.delayed == 1)
                assert wrong.count == number + 3, "not read yet"
                assert (await raw.rest()).startswith(b"HTTP/1.1 401")
            server.authentication._penalties._longest_s = 8.0
            assert delays(server) == 8.0, "it has grown all the while"
            raws = [await guess(tools, server, by) for _ in range(GUESSERS)]
            await tools.until(lambda: waiting.delayed == GUESSERS)
            refused = await guess(tools, server, by)
            assert (await refused.rest()).startswith(b"HTTP/1.1 429")
            raws[0].writer.transport.abort()
            await tools.until(lambda: waiting.delayed < GUESSERS)
            async with tools.connect(server) as known:  # The one more.
                assert (await tools.call(known, "shown.text"))["result"] == "text"
            await tools.until(lambda: waiting.delayed == 0)
            # Of a page one may leave off sending and still wait for the answer (RFC 9112, section 9.6).
            assert wrong.count <= 11 + GUESSERS - (by == "handshake"), "whoever has left was not read"
            assert delays(server, "127.0.0.2") == 0
            async with asyncio.timeout(tools.SECONDS):
                other = await guess(tools, server, by, "127.0.0.2")
                assert (await other.rest()).startswith(b"HTTP/1.1 401"), "others do not wait"
            assert [raw for raw in raws[1:] if raw.reader._buffer] == [], "the answers to wrong ones take longer"
            if by == "handshake":
                for raw in raws:
                    raw.writer.transport.abort()
                await tools.until(lambda: len(waiting) == 0)

    with caplog.at_level(logging.WARNING):
        tools.run(main())
    assert caplog.text.count("the token is wrong (more") == 2, "a line for each address"
    assert "more wrong attempts to authenticate within 60 s, from 2 addresses" in caplog.text


@pytest.mark.parametrize("by", ["handshake", "page", "call"])
def test_no_answer_shows_how_long_the_check_of_a_token_took(
    tools: Any, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stolen token that has expired, or belongs to another network, takes longer to refuse than one of nobody. All of
    them are answered by one clock, even the first ones, which have no delay."""
    monkeypatch.setattr("rpcserver.security.authentication.REFUSED_AFTER_S", 3600)

    async def main() -> None:
        async with tools.serve(Shown(), auth={"timeout_s": 60}) as server:
            wrong = server.authentication.wrong_attempts
            if by == "call":
                async with tools.connect(server, token=None) as connection:
                    await connection.send(tools.request("rpc.authenticate", ["wrong"], 77))
                    await tools.until(lambda: wrong.count == 1)
                    # The answer to a later call comes first.
                    assert (await tools.call(connection, "rpc.ping"))["id"] != 77
            else:
                raw = await guess(tools, server, by)
                await tools.until(lambda: wrong.count == 1)
                async with tools.connect(server):
                    assert not raw.reader._buffer
                raw.writer.transport.abort()

    tools.run(main())


def test_wrong_tokens_by_calls_are_delayed(tools: Any) -> None:
    async def main() -> None:
        auth = {"attempts": 5, "free_attempts": 2, "timeout_s": 60}
        async with tools.serve(auth=auth) as server:
            wrong = server.authentication.wrong_attempts
            async with tools.connect(server, token=None) as connection:
                for _ in range(3):
                    refused = await tools.call(connection, "rpc.authenticate", ["wrong"])
                    assert refused["error"]["code"] == -32001
                assert wrong.count == 3
                answer = await tools.call(connection, "rpc.authenticate", [tools.TOKEN])
                assert answer["result"]["name"] == "owner"
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
            for _ in range(9):
                server.authentication._penalties.note_wrong(["address 127.0.0.1"], asyncio.get_running_loop().time())
            async with tools.connect(server, token=None) as connection:
                await tools.call(connection, "rpc.authenticate", ["wrong"])
                await connection.wait_closed()
                assert connection.close_code == 1008, "a single attempt, and its place is free"
            async with tools.connect(server, token=None) as connection:
                assert (await tools.call(connection, "rpc.authenticate", [tools.TOKEN]))["result"]
            assert wrong.count == 4

    tools.run(main())


def test_one_message_has_no_more_attempts_than_a_connection(tools: Any) -> None:
    """A batch of wrong tokens, and many calls at once while each is delayed."""

    async def main() -> None:
        async with tools.serve(auth={"attempts": 3, "timeout_s": 60}) as server:
            wrong = server.authentication.wrong_attempts
            batch = [json.loads(tools.request("rpc.authenticate", ["wrong"], number)) for number in range(50)]
            async with tools.connect(server, token=None) as connection:
                await connection.send(json.dumps(batch))
                found = json.loads(await connection.recv())
                assert {answer["error"]["code"] for answer in found} == {-32001}
                await connection.wait_closed()
                assert (connection.close_code, wrong.count) == (1008, 3)
            for _ in range(9):
                server.authentication._penalties.note_wrong(["address 127.0.0.1"], asyncio.get_running_loop().time())
            async with tools.connect(server, token=None) as connection:
                await connection.send(json.dumps(batch))
                found = json.loads(await connection.recv())
                assert [answer["error"]["code"] for answer in found].count(-32003) == 49, "one at a time"
                await connection.wait_closed()
                assert wrong.count == 4

    tools.run(main())


def test_addresses_that_a_trusted_proxy_names_are_counted_apart(tools: Any) -> None:
    """Others may name whom they like: they are counted by their own address."""

    async def main() -> None:
        auth = {"free_attempts": 2}
        async with tools.serve(auth=auth, listen={"trusted_proxies": ["127.0.0.5"]}) as server:

            async def answer(source: str, client: str, token: str) -> bytes:
                raw = await tools.raw(server, source)
                await raw.send(tools.upgrade(server, Authorization=f"Bearer {token}", X_Forwarded_For=client))
                return (await raw.head())[9:12]

            for _ in range(3):
                assert await answer("127.0.0.5", "2001:db8::1", "wrong") == b"401"
            for _ in range(3):
                assert await answer("127.0.0.6", "203.0.113.9", "wrong") == b"401"
            assert delays(server, "2001:db8::/64") > 0
            assert delays(server, "127.0.0.6") > 0
            assert delays(server, "127.0.0.5") == delays(server, "203.0.113.9") == 0
            assert await answer("127.0.0.5", "2001:db8::2", tools.TOKEN) == b"101", "it waits a little, and gets in"

    tools.run(main())


def test_one_clock_from_the_moment_of_connecting(tools: Any) -> None:
    """Neither the request, nor the line, nor a place gives anybody more time; and the place is free soon after."""

    async def main() -> None:
        async with tools.serve(auth={"timeout_s": 600, "unauthenticated_connections": 1}) as server:
            raws = []
            for number in range(3):
                raws.append(await tools.raw(server))
                await tools.until(lambda n=number: len(server.door.entrance.waiting) == n + 1)
            links = list(server.door.entrance.waiting)
            clocks = [link._timer for link in links]
            for raw in raws:
                await raw.send(tools.upgrade(server, Authorization=None))
                await tools.until(lambda: server.door.entrance.waiting.inside == 1)
            await tools.until(lambda: server.door.entrance.waiting.in_line == 2)
            assert [link._timer for link in links] == clocks
            await raws[0].close()
            assert (await raws[1].head()).startswith(b"HTTP/1.1 101")
            assert [link._timer for link in links[1:]] == clocks[1:]
            links[1]._too_late()
            assert await raws[1].close_code() == 1008
            assert (await raws[2].head()).startswith(b"HTTP/1.1 101"), "though the other has not closed"

    tools.run(main())


def test_a_wrong_header_is_no_attempt(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            for header in ("Bearer", "Digest x", "x"):
                with pytest.raises(InvalidStatus):
                    async with tools.connect(server, token=None, headers={"Authorization": header}):
                        pass
            assert server.authentication.wrong_attempts.count == 0

    tools.run(main())
