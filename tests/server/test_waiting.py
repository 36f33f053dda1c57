"""Connections that have shown no valid token: how many there may be, on both event loops, and who gets past them."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from rpcserver import Page, Service, method
from rpcserver.config import AuthConfig
from rpcserver.door.admission import Refusal
from rpcserver.door.waiting import WaitingRoom
from rpcwire.head import HeadEnd

# --- the waiting room by itself ------------------------------------------------------------------------------------------


class Waiting:
    """A connection that notes what becomes of it."""

    def __init__(self, address: str | None = "a", *, is_known: bool = False) -> None:
        self.address = address
        self.is_known = is_known
        self.state = ""

    def proceed(self) -> None:
        self.state = "proceeds"

    def dismiss(self, refusal: Refusal) -> None:
        self.state = str(refusal.status)


def test_the_oldest_of_the_address_with_most_gives_way() -> None:
    room = WaitingRoom(AuthConfig(arriving_connections=4, arriving_per_address=2))
    those = [Waiting("a"), Waiting("b"), Waiting("a"), Waiting("a"), Waiting("c"), Waiting("d")]
    for arrival in those:
        room.arrive(arrival)
    assert [a.state for a in those] == ["429", "", "503", "", "", ""]
    proxied = [Waiting(None) for _ in range(3)]
    for arrival in proxied:
        room.arrive(arrival)
    assert [a.state for a in those + proxied] == ["429", "503", "503", "", "503", "", "503", "", ""]
    assert room.make_room(16) == 4
    assert (room.arriving, len(room)) == (0, 0)
    assert room.make_room() == 0


def test_few_do_not_give_way_for_the_sake_of_many() -> None:
    """A newcomer stays however many there are of other kinds and from other addresses, and the owner stays always."""
    room = WaitingRoom(AuthConfig(unauthenticated_connections=2, line_per_address=20))
    known = [Waiting("unix", is_known=True) for _ in range(9)]
    many = [Waiting("a") for _ in range(16)]
    for arrival in (*known, *many):
        room.arrive(arrival)
    for arrival in many:
        room.ask(arrival)
    newcomers = [Waiting(address) for address in "bcdef"]
    for newcomer in newcomers:
        room.arrive(newcomer)
        assert room.make_room() == 1
    assert {a.state for a in (*known, *newcomers)} == {""}
    assert sum(a.state == "503" for a in many) == 5
    assert room.make_room(100) == 16
    assert (room.arriving, len(room)) == (9, 9)


def test_those_whose_credentials_are_delayed_are_few() -> None:
    room = WaitingRoom(AuthConfig(delayed_connections=3, delayed_per_address=2))
    those = [Waiting(address) for address in "aaabc"]
    for arrival in those:
        room.arrive(arrival)
    answers = [room.delay(arrival) for arrival in those]
    assert [refusal and refusal.status for refusal in answers] == [None, None, 429, None, None]
    assert [a.state for a in those] == ["503", "", "", "", ""], "one of the address that has most"
    assert (room.delayed, room.arriving) == (3, 1)
    room.send_back(those[1])
    assert (room.delayed, room.arriving) == (2, 2)
    assert room.ask(those[3]) is None
    assert (room.delayed, room.inside) == (1, 1)
    for arrival in those:
        room.leave(arrival)
    assert len(room) == 0


def test_places_and_the_line() -> None:
    limits = {"unauthenticated_connections": 3, "unauthenticated_per_address": 2}
    room = WaitingRoom(AuthConfig(**limits, line_connections=3, line_per_address=2))
    mine = [Waiting("a") for _ in range(5)]
    for arrival in mine:
        room.arrive(arrival)
    answers = [room.ask(arrival) for arrival in mine]
    assert [refusal and refusal.status for refusal in answers] == [None, None, None, None, 429]
    assert [a.state for a in mine] == ["proceeds", "proceeds", "", "", ""]
    assert (room.arriving, room.in_line, room.inside) == (1, 2, 2), "who was refused is counted until it is gone"
    others = [Waiting(address) for address in "bcd"]
    for arrival in others:
        room.arrive(arrival)
    answers = [room.ask(arrival) for arrival in others]
    assert [refusal and refusal.status for refusal in answers] == [None, None, 503]
    assert [a.state for a in others] == ["proceeds", "", ""]
    room.leave(others[0])
    assert others[1].state == "proceeds", "the first in line is of an address that has its places"
    room.leave(mine[0])
    assert (mine[2].state, mine[3].state) == ("proceeds", "")
    for arrival in (*mine, *others):
        room.leave(arrival)
        room.leave(arrival)
    assert len(room) == 0
    assert not list(room)


def test_no_line() -> None:
    room = WaitingRoom(AuthConfig(unauthenticated_per_address=1, line_connections=0))
    first, second = Waiting(), Waiting()
    assert room.ask(first) is None
    refusal = room.ask(second)
    assert refusal is not None
    assert refusal.status == 503


def test_where_a_request_ends() -> None:
    data = b"GET / HTTP/1.1\r\nA: b\r\n\r\nwhat follows\r\n\r\n"
    for size in range(1, len(data)):
        end = HeadEnd()
        found = sum(end.find(data[at : at + size]) for at in range(0, len(data), size))
        assert (found, end.size, end.is_complete) == (24, 24, True), size


# --- handshakes without a token ------------------------------------------------------------------------------------------


def requests(tools: Any, server: Any) -> bytes:
    return tools.upgrade(server, Authorization=None)  # type: ignore[no-any-return]


async def answers(raws: list[Any], count: int, tools: Any) -> Counter[str]:
    """The status lines of those that are answered: as many as are to be, and what there is then."""

    def found() -> Counter[str]:
        return Counter(bytes(raw.reader._buffer[9:12]).decode() for raw in raws)

    await tools.until(lambda: sum(number for status, number in found().items() if status) >= count)
    return found()


@pytest.mark.parametrize(("addresses", "served"), [(1, 8), (10, 64)])
def test_those_without_a_token_are_few(tools: Any, addresses: int, served: int) -> None:
    """160 handshakes from each address: 8 of them are served, and 64 of all."""

    async def main() -> None:
        async with tools.serve(auth={"timeout_s": 60}) as server:
            raws = []
            for number in range(addresses):
                for _ in range(160):
                    raws.append(await tools.raw(server, f"127.0.0.{number + 1}"))
                    await raws[-1].send(requests(tools, server))
            line = min(128 * addresses, 512)
            found = await answers(raws, len(raws) - line, tools)
            assert (found["101"], found[""]) == (served, line)
            assert (server.door.entrance.waiting.inside, server.door.entrance.waiting.in_line) == (served, line)
            assert found["429"] + found["503"] == len(raws) - line - served
            async with tools.connect(server) as known:
                assert (await tools.call(known, "calc.add", [1, 2]))["result"] == 3

    tools.run(main())


def test_the_unix_socket_has_limits_too(tools: Any, short_folder: Path) -> None:
    """For those who have no token and are not the owner."""
    path = str(short_folder / "s.sock")
    listen = {"unix": path, "tcp": False, "unix_peer_credentials": False}

    async def main() -> None:
        async with tools.serve(listen=listen, auth={"timeout_s": 60}) as server:
            raws = [tools.raw_of(*await asyncio.open_unix_connection(path)) for _ in range(20)]
            for raw in raws:
                await raw.send(tools.upgrade(server, Authorization=None, Host="localhost"))
            await tools.until(
                lambda: (server.door.entrance.waiting.inside, server.door.entrance.waiting.in_line) == (8, 12)
            )
            assert (await answers(raws, 8, tools))["101"] == 8

    tools.run(main())


def _was_let_in(head: asyncio.Future[bytes]) -> bool:
    return head.done() and head.exception() is None and head.result().startswith(b"HTTP/1.1 101")


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_valid_token_gets_past_those_that_wait(
    tools: Any, silent: bool, encrypted: bool, tls: dict[str, str], authority: trustme.CA
) -> None:
    """150 sockets of the same address say nothing, or have no token."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    secure = {"ssl": trusting} if encrypted else {}

    async def main() -> None:
        async with tools.serve(auth={"timeout_s": 60}, **({"tls": tls} if encrypted else {})) as server:
            # Where the port speaks TLS, a silent socket does not even begin with that.
            raws = []
            for _ in range(150):
                raws.append(await tools.raw(server, **({} if silent else secure)))
                if not silent:
                    await raws[-1].send(requests(tools, server))
            await tools.until(lambda: len(server.door.entrance.waiting) >= 128)
            async with tools.connect(server, **secure) as known:
                assert (await tools.call(known, "calc.add", [1, 2]))["result"] == 3
            if not silent:
                first = raws[0]
                assert (await first.head()).startswith(b"HTTP/1.1 101")
                await first.send(tools.frame(1, tools.request("rpc.authenticate", [tools.TOKEN]).encode()))
                assert json.loads((await first.frame())[1])["result"]
                # Its place is the next one's. With TLS the requests may arrive in another order than they were sent in.
                heads = [asyncio.ensure_future(raw.head()) for raw in raws[1:]]
                await tools.until(lambda: sum(_was_let_in(head) for head in heads) == 8)
                for head in heads:
                    head.cancel()
                await asyncio.gather(*heads, return_exceptions=True)

    tools.run(main())


def test_a_token_by_call_gets_in_although_others_are_silent(tools: Any) -> None:
    """Silent sockets take no place."""

    async def main() -> None:
        async with tools.serve(auth={"timeout_s": 60}) as server:
            for _ in range(150):
                await tools.raw(server)
            async with tools.connect(server, token=None) as connection:
                assert (await tools.call(connection, "rpc.authenticate", [tools.TOKEN]))["result"]

    tools.run(main())


def test_silent_sockets_are_bounded_and_hurt_nobody_who_is_in(tools: Any) -> None:
    async def main() -> None:
        auth = {"arriving_per_address": 20, "timeout_s": 5.0}
        async with tools.serve(auth=auth) as server, tools.connect(server) as known:
            stalled = [await tools.raw(server) for _ in range(100)]
            ends = asyncio.gather(*(raw.rest() for raw in stalled))
            for number in range(100):
                assert (await tools.call(known, "calc.add", [number, 1], number))["result"] == number + 1
                assert server.door.entrance.waiting.arriving <= 20
            found = [answer[:12] for answer in await ends]
            assert found == [b"HTTP/1.1 429"] * 80 + [b""] * 20, "the oldest give way, the others' time runs out"
            await tools.until(lambda: len(server.door.entrance.waiting) == 0)
            async with tools.connect(server) as again:
                assert (await tools.call(again, "calc.add", [1, 2]))["result"] == 3

    tools.run(main())


def test_sockets_that_put_tls_off_are_counted(
    tools: Any, tls: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with tools.serve(auth={"arriving_connections": 20, "timeout_s": 1.0}, tls=tls) as server:
            raws = [await tools.raw(server) for _ in range(50)]
            await tools.until(lambda: server.door.entrance.waiting.arriving == 20)
            assert await asyncio.gather(*(raw.rest() for raw in raws)) == [b""] * 50
            await tools.until(lambda: len(server.door.entrance.waiting) == 0)

    with caplog.at_level(logging.DEBUG, "asyncio"):
        tools.run(main())
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_burst_of_clients_all_come_in(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(auth={"unauthenticated_per_address": 4}) as server:

            async def by_header(number: int) -> int:
                async with tools.connect(server) as connection:
                    return int((await tools.call(connection, "calc.add", [number, 0]))["result"])

            async def by_call(number: int) -> int:
                async with tools.connect(server, token=None) as connection:
                    assert (await tools.call(connection, "rpc.authenticate", [tools.TOKEN]))["result"]
                    return int((await tools.call(connection, "calc.add", [number, 0]))["result"])

            assert await asyncio.gather(*(by_header(n) for n in range(60))) == list(range(60))
            assert await asyncio.gather(*(by_call(n) for n in range(60))) == list(range(60))
            await tools.until(lambda: len(server.door.entrance.waiting) == 0 and not server.connections)

    tools.run(main())


# --- in line -------------------------------------------------------------------------------------------------------------

ONE_PLACE = {"unauthenticated_connections": 1}


def test_the_line_has_an_end_and_an_order(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(auth={"unauthenticated_connections": 2, "line_connections": 3}) as server:
            raws = []
            for number in range(6):
                raws.append(await tools.raw(server))
                await raws[-1].send(requests(tools, server))
                await tools.until(
                    lambda n=number: (
                        server.door.entrance.waiting.inside + server.door.entrance.waiting.in_line == min(n + 1, 5)
                    )
                )
            head = await raws[5].head()
            assert head.startswith(b"HTTP/1.1 503")
            assert b"Retry-After: " in head
            for inside in (0, 1):
                assert (await raws[inside].head()).startswith(b"HTTP/1.1 101")
            for gone, called in ((0, 2), (1, 3), (2, 4)):
                await raws[gone].close()
                assert (await raws[called].head()).startswith(b"HTTP/1.1 101"), "who stood in line longest is next"

    tools.run(main())


def test_no_line_by_configuration(tools: Any) -> None:
    async def main() -> None:
        auth = {"unauthenticated_per_address": 1, "line_per_address": 0}
        async with tools.serve(auth=auth) as server, tools.connect(server, token=None):
            status, headers, body = await tools.http(server, requests(tools, server))
            assert status == 429
            assert int(headers["retry-after"]) > 0
            assert b"from your address" in body

    tools.run(main())


def test_time_in_line_counts_as_time_to_authenticate(tools: Any) -> None:
    """One clock runs from accept on: whoever gets a place late has what is left of the time."""

    async def main() -> None:
        async with tools.serve(auth={**ONE_PLACE, "timeout_s": 0.5}) as server:
            first = await tools.websocket(server, Authorization=None)
            second = await tools.raw(server)
            await second.send(requests(tools, server))
            assert await first.close_code() == 1008
            first.writer.transport.abort()
            head = await second.head()
            if head.startswith(b"HTTP/1.1 101"):
                await second.send(tools.frame(1, tools.request("rpc.authenticate", [tools.TOKEN]).encode()))
                opcode, data = await second.frame()
                assert data[:2] == (1008).to_bytes(2, "big") if opcode == 8 else json.loads(data)["result"]
            else:
                assert head.startswith(b"HTTP/1.1 503")

    tools.run(main())


def test_those_in_line_are_told_when_their_time_is_over(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(auth={**ONE_PLACE, "timeout_s": 0.3}) as server:
            holder = await tools.websocket(server, Authorization=None)
            (link,) = server.door.entrance.links
            link._stop_timer()  # This one keeps its place.
            waiting = await tools.raw(server)
            await waiting.send(requests(tools, server))
            answer = await waiting.rest()
            assert answer.startswith(b"HTTP/1.1 503")
            assert b"no place" in answer
            await holder.close()

    tools.run(main())


def test_what_comes_with_a_handshake_in_line_is_kept_and_bounded(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(auth={**ONE_PLACE, "unauthenticated_message_bytes": 4096}) as server:
            holder = await tools.websocket(server, Authorization=None)
            early, much = await tools.raw(server), await tools.raw(server)
            authenticate = tools.frame(1, tools.request("rpc.authenticate", [tools.TOKEN]).encode())
            await early.send(requests(tools, server) + authenticate[:10])
            await tools.until(lambda: server.door.entrance.waiting.in_line == 1)
            await early.send(authenticate[10:])
            await much.send(requests(tools, server) + b"x" * 10_000)
            assert b"RFC 6455, section 4.1" in await much.rest()
            assert server.door.entrance.waiting.in_line == 1
            await holder.close()
            assert (await early.head()).startswith(b"HTTP/1.1 101")
            assert json.loads((await early.frame())[1])["result"]

    tools.run(main())


@pytest.mark.parametrize("end", ["close", "write_eof", "abort"])
def test_who_leaves_the_line_is_counted_no_more(tools: Any, end: str) -> None:
    async def main() -> None:
        async with tools.serve(auth=ONE_PLACE) as server:
            await tools.websocket(server, Authorization=None)
            for _ in range(3):
                raw = await tools.raw(server)
                await raw.send(requests(tools, server))
                await tools.until(lambda: server.door.entrance.waiting.in_line == 1)
                {"close": raw.writer.close, "write_eof": raw.writer.write_eof, "abort": raw.writer.transport.abort}[
                    end
                ]()
                await tools.until(lambda: server.door.entrance.waiting.in_line == 0)
            assert server.door.entrance.waiting.inside == 1

    tools.run(main())


class Slow(Service):
    """Shows a page that takes as long as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.release = asyncio.Event()

    @method()
    async def text(self) -> str:
        """Render the page."""
        self.asked += 1
        await self.release.wait()
        return "text"

    def http_pages(self) -> Mapping[str, Page]:
        return {"/open": Page(self.text, permission=None), "/mine": Page(self.text, permission="slow.text")}


def test_pages_without_a_token_stand_in_line_too(tools: Any) -> None:
    async def main() -> None:
        slow = Slow()
        async with tools.serve(slow, auth={"unauthenticated_per_address": 2}) as server:

            async def get(path: str, *headers: str) -> Any:
                return await tools.http(
                    server, "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""])
                )

            strangers = [asyncio.ensure_future(get("/open")) for _ in range(5)]
            await tools.until(lambda: slow.asked == 2 and server.door.entrance.waiting.in_line == 3)
            known = asyncio.ensure_future(get("/mine", f"Authorization: Bearer {tools.TOKEN}"))
            await tools.until(lambda: slow.asked == 3)
            slow.release.set()
            assert (await known)[0] == 200
            assert [status for status, _, _ in await asyncio.gather(*strangers)] == [200] * 5

    tools.run(main())


# --- other limits --------------------------------------------------------------------------------------------------------


def test_large_messages_before_authentication(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(auth={"unauthenticated_message_bytes": 2048}) as server:
            raw = await tools.websocket(server, Authorization=None)
            await raw.send(tools.frame(1, b'"' + b"x" * 3000 + b'"'))
            assert await raw.close_code() == 1009
            await raw.close()
            raw = await tools.websocket(server, Authorization=None)
            await raw.send(tools.frame(1, tools.request("rpc.authenticate", [tools.TOKEN]).encode()))
            assert json.loads((await raw.frame())[1])["result"]
            await raw.send(tools.frame(1, tools.request("calc.echo", ["x" * 3000]).encode()))
            assert len((await raw.frame())[1]) > 3000
            await raw.close()

    tools.run(main())


def test_a_large_message_in_the_packet_of_a_handshake_with_a_token(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(auth={"unauthenticated_message_bytes": 2048}) as server:
            raw = await tools.raw(server)
            call = tools.frame(1, tools.request("calc.echo", ["x" * 50_000]).encode())
            await raw.send(tools.upgrade(server) + call)
            assert (await raw.head()).startswith(b"HTTP/1.1 101")
            assert len((await raw.frame())[1]) > 50_000
            await raw.close()

    tools.run(main())


def test_a_request_that_does_not_end(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            raw = await tools.raw(server)
            await raw.send(b"GET / HTTP/1.1\r\n")
            for _ in range(10):
                await raw.send(b"X: " + b"y" * 4000 + b"\r\n")
            answer = await raw.rest()
            assert answer.startswith(b"HTTP/1.1 431"), answer
            await raw.close()

    tools.run(main())


def test_time_to_authenticate(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with tools.serve(auth={"timeout_s": 0.2}) as server:
            silent = await tools.raw(server)
            halfway = await tools.raw(server)
            await halfway.send(tools.upgrade(server)[:50])
            anonymous = await tools.websocket(server, Authorization=None)
            known = await tools.websocket(server)
            assert await anonymous.close_code() == 1008
            assert await silent.rest() == b""
            assert await halfway.rest() == b""
            assert len(server.door.entrance.waiting) <= 1
            await known.send(tools.frame(1, tools.request("calc.add", [1, 2]).encode()))
            assert json.loads((await known.frame())[1])["result"] == 3
            for raw in (silent, halfway, anonymous, known):
                await raw.close()

    with caplog.at_level(logging.INFO):
        tools.run(main())
    assert "not authenticated within 0.2 s" in caplog.text


def test_too_many_connections(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(limits={"connections": 2}) as server:
            first, second = await tools.websocket(server), await tools.websocket(server)
            third = await tools.raw(server)
            answer = await third.rest()
            assert answer.startswith(b"HTTP/1.1 503")
            assert b"limits.connections" in answer
            await first.close()
            await tools.until(lambda: len(server.connections) == 1)
            await (await tools.websocket(server)).close()
            for raw in (second, third):
                await raw.close()

    tools.run(main())


@pytest.mark.parametrize("token", [True, False])
def test_too_many_connections_that_come_together(tools: Any, token: bool) -> None:
    """Those that were let in before the server was full, and speak afterwards."""

    async def main() -> None:
        async with tools.serve(limits={"connections": 2}) as server:
            raws = [await tools.raw(server) for _ in range(6)]
            await tools.until(lambda: server.door.entrance.waiting.arriving == 6)
            for raw in raws:
                await raw.send(tools.upgrade(server) if token else requests(tools, server))
            found = await answers(raws, 6, tools)
            assert found == {"101": 2, "503": 4}

    tools.run(main())


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_refusal_reaches_who_has_already_asked(
    tools: Any, encrypted: bool, tls: dict[str, str], authority: trustme.CA
) -> None:
    """The request is in the server's socket, unread, when the server decides against the connection."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    secure = {"ssl": trusting} if encrypted else {}

    async def main() -> None:
        sections = {"tls": tls} if encrypted else {}
        async with tools.serve(limits={"connections": 1}, **sections) as server, tools.connect(server, **secure):
            for _ in range(20):
                raw = await tools.raw(server, **secure)
                await raw.send(tools.upgrade(server))
                assert (await raw.rest()).startswith(b"HTTP/1.1 503")
                await raw.close()

    tools.run(main())


@pytest.fixture
def slow_socket_over_tls(
    tls: dict[str, str], authority: trustme.CA
) -> Iterator[tuple[Mapping[str, Any], Callable[[Any, Any], Awaitable[Any]]]]:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def connect(tools: Any, server: Any) -> Any:
        raw = await tools.raw(server, ssl=trusting, receive_buffer=4096)
        await raw.send(tools.upgrade(server))
        assert (await raw.head()).startswith(b"HTTP/1.1 101")
        return raw

    yield {"tls": tls}, connect


def test_a_reader_over_tls_that_stalls_is_dropped(
    tools: Any, slow_socket_over_tls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sections, connect = slow_socket_over_tls

    async def main() -> None:
        async with tools.serve(limits={"stall_s": 0.3}, **sections) as server:
            slow = await connect(tools, server)
            for number in range(20):
                await slow.send(tools.frame(1, tools.request("calc.echo", ["x" * 500_000], number).encode()))
            await tools.until(lambda: not server.connections)

    with caplog.at_level(logging.INFO):
        tools.run(main())
    assert "took next to nothing for 0.3 s" in caplog.text


def test_output_over_tls_beyond_the_limit_drops_the_connection(
    tools: Any, slow_socket_over_tls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sections, connect = slow_socket_over_tls

    async def main() -> None:
        limits = {"outgoing_bytes": 200_000, "message_bytes": 2**20}
        async with tools.serve(limits=limits, **sections) as server:
            slow = await connect(tools, server)
            await slow.send(tools.frame(1, tools.request("calc.echo", ["x" * 150_000]).encode()) * 60)
            await tools.until(lambda: not server.connections)

    with caplog.at_level(logging.INFO):
        tools.run(main())
    assert "does not read" in caplog.text
