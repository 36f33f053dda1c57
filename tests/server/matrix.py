"""Asks a real server with all built-in services what each role may do, and writes down what it answers:
``python -m tests.server.matrix`` renews ``permissions_matrix.txt``, and ``test_matrix.py`` compares it.

Nothing that is asked for does anything: calls and notifications have a parameter that no method has, so whoever may call a
method gets InvalidParams. The streams are those of a desk that only counts."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from rpcserver import Outcome, Principal, Service, ServiceConfig, Way, method
from rpcserver.config import ServerConfig
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.server import Server
from rpcwire.session import CONTROL

FILE = Path(__file__).with_name("permissions_matrix.txt")
TOKEN = "a-token-for-the-matrix-of-permissions"
LIMIT_S = 60.0
"""How long any one thing may take, in seconds."""

ANONYMOUS, OWNER, EMPTY, NO_ROLE, LOST = "anonymous", "owner", "role-without-permissions", "no-role", "removed-role"
ROUTES = ("/", "/healthz", "/readyz", "/metrics", "/metrics/audit", "/nothing")
HTTP_METHODS = ("GET", "HEAD", "POST")

HEAD = """\
# Who may do what: what a server with all built-in services answers to each role, or to nobody's. "owner" has the server's token;
# a role named like a permission has this permission only; "others" are all who are not named in the line.
# `python -m tests.server.matrix` renews this file. tests/server/test_matrix.py compares it: read each line that has changed.
"""


class Desk(Service):
    """Counts."""

    def __init__(self) -> None:
        super().__init__()
        self.total_items = 0

    @method()
    async def count(self) -> AsyncIterator[int]:
        """Count up to 20."""
        for number in range(20):
            yield number

    @method()
    async def total(self, items: AsyncIterator[int]) -> int:
        """Add up."""
        total = 0
        async for item in items:
            self.total_items += 1
            total += item
        return total

    @method()
    async def wait(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()


class ByRole(Way[ServiceConfig]):
    """Believes whatever role somebody claims."""

    scheme = "Role"
    form = "Role NAME"
    config_model = ServiceConfig

    def principal(self, credentials: str) -> Principal | None:
        return Principal("somebody", "claim", role="" if credentials == NO_ROLE else credentials)


class Caller:
    """A connection of one role.

    Parameters:
        websocket: the connection.
    """

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self._next = 0
        self._answers: dict[int, Any] = {}
        self.notifications: list[Any] = []

    async def send(self, method: str, params: Any) -> None:
        """Send a notification."""
        await self._websocket.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    async def begin(self, method: str, params: Any) -> int:
        """Send a call; its id."""
        self._next += 1
        message = {"jsonrpc": "2.0", "id": self._next, "method": method, "params": params}
        await self._websocket.send(json.dumps(message))
        return self._next

    async def answer(self, call: int) -> Any:
        """The answer to a call."""
        while call not in self._answers:
            await self._receive()
        return self._answers.pop(call)

    async def until(self, name: str) -> Any:
        """The parameters of the next notification with this name."""
        while not (found := [each for each in self.notifications if each["method"] == name]):
            await self._receive()
        self.notifications.remove(found[0])
        return found[0]["params"]

    async def _receive(self) -> None:
        async with asyncio.timeout(LIMIT_S):
            text = await self._websocket.recv(decode=True)
        for line in str(text).splitlines():
            message = json.loads(line)
            if "method" in message:
                self.notifications.append(message)
            else:
                self._answers[message["id"]] = message

    async def call(self, method: str, params: Any) -> str:
        """Call a method; what came of it, in a word."""
        return outcome(await self.answer(await self.begin(method, params)))


def outcome(answer: Mapping[str, Any]) -> str:
    """What came of a call: "done", or the type of the error."""
    return "done" if "result" in answer else str(answer["error"]["data"]["type"])


class Matrix:
    """A server and a connection for each role.

    Parameters:
        server: the server.
        desk: its service with streams.
        observed: all outcomes so far.
    """

    def __init__(self, server: Server, desk: Desk, observed: list[Outcome]) -> None:
        self.server = server
        self.desk = desk
        self.observed = observed
        self.callers: dict[str, Caller] = {}

    async def open(self, stack: AsyncExitStack) -> None:
        """Connect once for each role, and once more for the owner."""
        for who in [ANONYMOUS, *(role.name for role in self.server.roles), NO_ROLE, LOST]:
            self.callers[who] = await self._connect(stack, who)
        self.elsewhere = await self._connect(stack, OWNER)

    async def _connect(self, stack: AsyncExitStack, who: str) -> Caller:
        websocket = connect(self.server.addresses[0], additional_headers=credentials(who), proxy=None, compression=None)
        return Caller(await stack.enter_async_context(websocket))

    async def lines(self) -> AsyncIterator[tuple[str, str, dict[str, str]]]:
        """Yield the kind of each thing that was tried, its name, and what came of it for each role."""
        for route in ROUTES:
            for verb in HTTP_METHODS:
                found = {who: await self._http(verb, route, credentials(who)) for who in self.callers}
                yield "http", f"{verb} {route}", found
        found = {who: await self._http("GET", "/", {**credentials(who), **UPGRADE}) for who in self.callers}
        yield "http", "WebSocket /", found
        names = [*sorted(self.server.registry.offers), "no.such_method"]
        called = {who: await self._call_all(caller, names) for who, caller in self.callers.items()}
        notified = {who: await self._notify_all(caller, names) for who, caller in self.callers.items()}
        for name in names:
            by_call, by_notification = ({who: of[name] for who, of in each.items()} for each in (called, notified))
            if by_call == by_notification:
                yield "call, notify", name, by_call
            else:
                yield "call", name, by_call
                yield "notify", name, by_notification
        found = {who: await self._read(caller) for who, caller in self.callers.items()}
        yield "stream", "open, read, grant credit, cancel", found
        found = {who: await self._upload(caller) for who, caller in self.callers.items()}
        yield "stream", "upload: open, send items, end", found
        async for name, found in self._foreign():
            yield "control", name, found

    async def _http(self, verb: str, route: str, headers: Mapping[str, str]) -> str:
        port = self.server.door.listeners[0].sock.getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            lines = [f"{verb} {route} HTTP/1.1", "Host: localhost", *(f"{k}: {v}" for k, v in headers.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            async with asyncio.timeout(LIMIT_S):
                return (await reader.readline()).split()[1].decode()
        finally:
            writer.transport.abort()

    async def _call_all(self, caller: Caller, names: Sequence[str]) -> dict[str, str]:
        """What came of a call of each method."""
        calls = {name: await caller.begin(name, {"nonsense": 1}) for name in names}
        return {name: outcome(await caller.answer(call)) for name, call in calls.items()}

    async def _notify_all(self, caller: Caller, names: Sequence[str]) -> dict[str, str]:
        """What an observer is told of a notification to each method; all are handled before the call that follows."""
        at = len(self.observed)
        for name in names:
            await caller.send(name, {"nonsense": 1})
        await caller.call("rpc.ping", {})
        told = [each for each in self.observed[at:] if each.subject == "notification"]
        assert [each.method for each in told] == list(names)
        return {each.method: "done" if each.error is None else each.error.type for each in told}

    async def _read(self, caller: Caller) -> str:
        """Open a stream, read its first items, grant one more, and want no more."""
        answer = await caller.answer(await caller.begin("desk.count", {}))
        if "error" in answer:
            return outcome(answer)
        stream = answer["result"]
        assert (await caller.until("rpc.stream.item"))["items"] == list(range(16))
        await caller.send("rpc.stream.credit", {**stream, "n": 1})
        assert (await caller.until("rpc.stream.item"))["items"] == [16]
        await caller.send("rpc.stream.cancel", stream)
        await caller.until("rpc.stream.end")
        return "done"

    async def _upload(self, caller: Caller) -> str:
        """Send a stream. Whoever may not is told so, and no item is read."""
        before = self.desk.total_items
        call = await caller.begin("desk.total", {"items": {"stream": "up"}})
        await caller.send("rpc.stream.item", {"stream": "up", "items": [1, 2, 3]})
        await caller.send("rpc.stream.end", {"stream": "up"})
        answer = await caller.answer(call)
        assert self.desk.total_items == before + (3 if "result" in answer else 0)
        return outcome(answer)

    async def _foreign(self) -> AsyncIterator[tuple[str, dict[str, str]]]:
        """Send the reserved notifications, as calls, about a call and streams of the owner's connection. They have the
        answers of those about what does not exist, and change nothing there."""
        owner = self.callers[OWNER]
        waiting = await owner.begin("desk.wait", {})
        stream = (await owner.answer(await owner.begin("desk.count", {})))["result"]
        await owner.until("rpc.stream.item")
        upload = await owner.begin("desk.total", {"items": {"stream": "mine"}})
        await owner.call("rpc.ping", {})
        at, read = len(self.observed), self.desk.total_items
        owner.notifications.clear()
        about: dict[str, list[dict[str, Any]]] = {
            "rpc.cancel": [{"id": call} for call in (waiting, upload)],
            "rpc.progress": [{"id": call, "done": 1} for call in (waiting, upload)],
            "rpc.stream.item": [{**each, "items": [1000]} for each in (stream, {"stream": "mine"})],
            "rpc.stream.end": [stream, {"stream": "mine"}],
            "rpc.stream.credit": [{**each, "n": 1} for each in (stream, {"stream": "mine"})],
            "rpc.stream.cancel": [stream, {"stream": "mine"}],
        }
        assert about.keys() == CONTROL
        for name, cases in about.items():
            found = {}
            for who, caller in {**self.callers, OWNER: self.elsewhere}.items():
                answers = {await caller.call(name, params) for params in cases}
                found[who] = ", ".join(sorted(answers)) + ", without effect"
            await owner.call("rpc.ping", {})
            assert {each.method for each in self.observed[at:]} == {"rpc.ping"}
            assert (owner.notifications, self.desk.total_items) == ([], read)
            yield f"{name} of another connection", found
        await owner.send("rpc.stream.credit", {**stream, "n": 1})
        assert (await owner.until("rpc.stream.item"))["items"] == [16]
        await owner.send("rpc.stream.item", {"stream": "mine", "items": [5, 6]})
        await owner.send("rpc.stream.end", {"stream": "mine"})
        assert (await owner.answer(upload))["result"] == 11
        await owner.send("rpc.cancel", {"id": waiting})
        assert outcome(await owner.answer(waiting)) == "Cancelled"


UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


def credentials(who: str) -> dict[str, str]:
    """The header that makes somebody known."""
    if who == ANONYMOUS:
        return {}
    return {"Authorization": f"Bearer {TOKEN}" if who == OWNER else f"Role {who}"}


def write_line(kind: str, name: str, found: Mapping[str, str]) -> str:
    """Write who got what: the most frequent outcome for the others, the rarest first."""
    counts = Counter(found.values())
    common = max(counts, key=lambda each: (counts[each], each))
    parts = []
    for each in sorted(counts, key=lambda each: (each == common, counts[each], each)):
        names = sorted(who for who, what in found.items() if what == each)
        others = "others" if len(counts) > 1 else "everybody"
        parts.append(f"{each}: {', '.join(names) if each != common else others}")
    return f"{kind:<12}  {name:<42}  {' | '.join(parts)}"


@asynccontextmanager
async def serve(folder: Path) -> AsyncIterator[tuple[Server, Desk, list[Outcome]]]:
    """A server with all built-in services, a desk, and a role for each permission."""
    built_in = ("database", "hardware", "programs")
    settings: dict[str, Any] = {
        "state_dir": str(folder),
        "grace_s": 0,
        "listen": {"port": 0, "unix": "none"},
        "auth": {"violations": 1_000_000, "timeout_s": 600},
        "limits": {"violations": 1_000_000},
        "plugins": {"enabled": built_in},
        "audit": {"enabled": True},
    }
    sections = {"hardware": {"metrics_page": True}}
    observed: list[Outcome] = []

    def make(roles: Mapping[str, Any]) -> tuple[Server, Desk]:
        desk = Desk()
        config = ServerConfig.model_validate({**settings, "roles": roles})
        services = create_services(find_services(config.plugins), sections)
        ways = [ByRole(ServiceConfig())]
        return Server(config, [*services, desk], token=TOKEN, observers=[observed.append], ways=ways), desk

    permissions = sorted(make({})[0].roles.permissions)
    server, desk = make({**{name: {"permissions": [name]} for name in permissions}, EMPTY: {}})
    await server.start()
    try:
        yield server, desk, observed
    finally:
        await server.stop(grace_s=0)


async def ask(folder: Path) -> str:
    """Ask a server everything; the text of the file."""
    async with serve(folder) as (server, desk, observed), AsyncExitStack() as stack:
        matrix = Matrix(server, desk, observed)
        await matrix.open(stack)
        lines = [write_line(*line) async for line in matrix.lines()]
    return HEAD + "\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Renew the file."""
    with tempfile.TemporaryDirectory() as folder:
        FILE.write_text(asyncio.run(ask(Path(folder))), encoding="utf-8")


if __name__ == "__main__":
    main()
