"""The audit log of a real server: what gets a line, and what happens when the disk is full, slow, or the server dies."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

import pytest
from click.testing import CliRunner

from rpcclient import AsyncClient
from rpcclient.errors import RpcError, Unavailable
from rpcserver import Context, Page, Service, method
from rpcserver.audit import log
from rpcserver.audit.calls import MOST_CALLS
from rpcserver.audit.files import list_files
from rpcserver.audit.reading import expand
from rpcserver.audit.trail import Trail
from rpcserver.audit.verifying import Report, verify
from rpcserver.config import ConfigError
from rpcserver.daemon.cli import main as command
from rpcserver.server import Server
from rpcwire.codec import Codec, codec_for
from rpcwire.values.dynamic import dump_plain
from tests.server.reloading import Greeter, Operator

HOSTILE = 'x\r\n{"seq":9}\x1b[2J\u202e'


class Asker(Service):
    """Calls its caller."""

    @method()
    async def ask(self, name: str, ctx: Context) -> Any:
        """Call a method of the client."""
        await ctx.caller.notify("desk.note", {})
        return await ctx.caller.call(name, {})


class Slow(Service):
    """Does not answer at once."""

    @method()
    async def say(self, text: str) -> int:
        """Answer in another turn of the loop."""
        await asyncio.sleep(0)
        return len(text)

    @method()
    async def nothing(self) -> None:
        """Take no parameters, and answer at once."""


class Desk(Service):
    """What the client offers."""

    @method()
    async def note(self) -> None:
        """Take note."""

    @method()
    async def add(self) -> int:
        """Add nothing."""
        return 0


def raw_lines(folder: Path) -> list[bytes]:
    """The lines of the log, but for the end of one that is being written."""
    contents = [path.read_bytes() for _, path in list_files(folder / "audit")]
    return [line for content in contents for line in content.split(b"\n")[:-1]]


def records(folder: Path) -> list[dict[str, Any]]:
    """What the log says: a record for each call, and for each other line."""
    return [record for line in raw_lines(folder) for _, record in expand(line)]


def whole(folder: Path) -> Report:
    """The log, which must be as it was written."""
    report = verify(folder / "audit")
    assert [str(finding) for finding in report.findings] == []
    return report


def events(folder: Path, event: str, **fields: Any) -> list[dict[str, Any]]:
    return [each for each in records(folder) if each["event"] == event and fields.items() <= each.items()]


def serve(tools: Any, *services: Service, audit: dict[str, Any] | None = None, **sections: Any) -> Any:
    """Run a server that keeps an audit log."""
    return tools.serve(*services, audit={"enabled": True, **(audit or {})}, **sections)


def client_of(server: Server, tools: Any, **options: Any) -> AsyncClient:
    return AsyncClient(server.addresses[0], token=tools.TOKEN, **options)


def test_each_call_has_its_line(tools: Any) -> None:
    async def main() -> None:
        async with (
            serve(tools, tools.Calc(), Asker()) as server,
            client_of(server, tools, services=[Desk()]) as client,
        ):
            await client.call("calc.add", [1, 2])
            for wrong in ("calc.boom", "calc.refuse", HOSTILE):
                with pytest.raises(RpcError):
                    await client.call(wrong)
            await client.notify("calc.echo", ["x"])
            async with client.stream("calc.count", [3]) as stream:
                assert [item async for item in stream] == ["0", "1", "2"]
            assert await client.call("asker.ask", ["desk.add"]) == 0
            await client.call("rpc.ping")
            with pytest.raises(RpcError, match="there is no method"):
                await client.call("asker.ask", ["desk.lost"])

    tools.run(main())
    folder = tools.folder
    report = whole(folder)
    assert report.unsealed_lines == 0
    everything = records(folder)
    assert [everything[0]["event"], everything[1]["event"], everything[-1]["event"]] == ["file", "start", "stop"]
    seqs = [json.loads(line)["seq"] for line in raw_lines(folder)]
    assert seqs == list(range(1, len(seqs) + 1))
    (added,) = events(folder, "completed", method="calc.add")
    (connected,) = events(folder, "connected")
    assert connected["client"] == added["client"]
    assert added["client"]["principal"] == added["client"]["role"] == "owner"
    assert added["client"]["address"].startswith("127.0.0.1:")
    assert (added["outcome"], len(added["params_sha256"]), added["received_bytes"] > 0) == ("ok", 64, True)
    assert [each["outcome"] for each in events(folder, "completed", method="calc.boom")] == ["InternalError"]
    (refused,) = events(folder, "completed", method="calc.refuse")
    assert (refused["outcome"], refused["executed"]) == ("Refused", "yes")
    (unknown,) = events(folder, "completed", method=HOSTILE)
    assert (unknown["outcome"], unknown["executed"]) == ("MethodNotFound", "no")
    assert len(events(folder, "completed", subject="notification", method="calc.echo")) == 1
    assert [each["items"] for each in events(folder, "completed", subject="stream")] == [3]
    assert [each["method"] for each in events(folder, "completed", subject="own notification")] == ["desk.note"] * 2
    own = events(folder, "completed", subject="own call")
    assert [(each["method"], each["outcome"]) for each in own] == [("desk.add", "ok"), ("desk.lost", "MethodNotFound")]
    assert not events(folder, "completed", method="rpc.ping")
    assert len(events(folder, "disconnected")) == 1
    for _, path in list_files(folder / "audit"):
        content = path.read_bytes()
        assert content.isascii()
        assert tools.TOKEN.encode() not in content
        assert path.stat().st_mode & 0o077 == 0


def test_every_call_of_several_connections_is_told(tools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rpcserver.audit.log.FLUSH_S", 600.0)  # However slow this machine is, all is written together.
    texts = ["", "short", "x" * 90, "long" * 200, "huge" * 5000]
    calls = [
        *(("calc.add", [n, 1]) for n in range(2 * MOST_CALLS + 10)),
        *(("calc.echo", [text]) for text in texts * 3),
        *(("slow.say", [text]) for text in texts * 3),
        *(("slow.nothing", None) for _ in range(5)),
    ]

    async def main() -> None:
        async with serve(tools, tools.Calc(), Slow()) as server, AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(server, tools)) for _ in range(3)]
            await asyncio.gather(*(client.call(method, params) for method, params in calls for client in clients))
            with pytest.raises(RpcError):
                await clients[0].call("calc.boom")

    tools.run(main())
    whole(tools.folder)
    codec = codec_for("rpc.v1.msgpack")
    packed = [(name, None if params is None else dump_plain(params, codec)) for name, params in calls]
    expected = Counter((name, data and sha256(data).hexdigest(), len(data or b"")) for name, data in packed)
    completed = [each for each in events(tools.folder, "completed", outcome="ok") if each["method"] != "rpc.hello"]
    connections = {each["client"]["connection"] for each in completed}
    assert len(connections) == 3
    for connection in connections:
        own = [each for each in completed if each["client"]["connection"] == connection]
        assert len({each["call"] for each in own}) == len(calls)
        told = Counter((each["method"], each.get("params_sha256"), each.get("received_bytes", 0)) for each in own)
        assert told == expected
        assert all(each["sent_bytes"] > 0 and each["duration_us"] >= 0 for each in own)
        (gone,) = [each for each in events(tools.folder, "disconnected") if each["client"]["connection"] == connection]
        assert all(each["at"] <= gone["at"] and each["seq"] < gone["seq"] for each in own)
    assert len(raw_lines(tools.folder)) < len(completed) // 3
    assert any(b'"groups":[' in line for line in raw_lines(tools.folder)), "those that came in one frame are a group"
    line = next(line for line in raw_lines(tools.folder) if b'"calls":' in line and b'"calc.add"' in line)
    (_, path), *_ = list_files(tools.folder / "audit")
    forged = line.replace(b'"duration_ns":[', b'"duration_ns":[1')
    path.write_bytes(path.read_bytes().replace(line, forged))
    (finding,) = verify(tools.folder / "audit").findings
    assert f"line {json.loads(line)['seq']} was changed" in finding.text


def test_a_line_says_in_which_role_the_caller_was(tools: Any) -> None:
    async def main() -> None:
        async with serve(tools) as server, client_of(server, tools) as client:
            await client.call("calc.add", [1, 2])
            (connection,) = [each for each in server.connections._peers if each.principal is not None]
            assert connection.principal is not None
            connection.identify(replace(connection.principal, name="renamed"), connection.allowed)
            await client.call("calc.add", [3, 4])
            server.trail.log.flush()

    tools.run(main())
    names = [each["client"]["principal"] for each in events(tools.folder, "completed", method="calc.add")]
    assert names == ["owner", "renamed"]


def test_many_callers_do_not_reserve_all_the_room(tools: Any) -> None:
    async def main() -> None:
        async with serve(tools, audit={"buffer_bytes": 65536}) as server, AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(server, tools)) for _ in range(5)]
            await asyncio.gather(*(client.call("calc.add", [n, 1]) for n in range(20) for client in clients))
            assert server.trail.log.lost_events == 0

    tools.run(main())
    whole(tools.folder)
    assert len(events(tools.folder, "completed", method="calc.add")) == 100


def test_a_call_of_which_nothing_can_be_written_has_a_line_that_says_so(
    tools: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All others have theirs, in the same line, in lines of their own, or when they have arrived."""
    monkeypatch.setattr("rpcserver.audit.log.FLUSH_S", 600.0)
    write_arrival = Trail._write_arrival

    def write_note(method: str, params: Any, _: Codec | None) -> str:
        if bytes(params) in (b"\x92\x0d\x01", b"\x91\xa3bad") or len(params) > 5000:
            raise LookupError("a bug in what writes about parameters")
        return sha256(params).hexdigest()

    async def main() -> None:
        calc = tools.Calc()
        async with serve(tools, calc, Slow()) as server, client_of(server, tools) as client:
            trail = server.trail
            trail._write_params, trail._hashed_methods = write_note, frozenset()
            await client.call("calc.add", [0, 1])
            await asyncio.gather(*(client.call("calc.add", [n, 1]) for n in range(1, 20)))
            await asyncio.gather(*(client.call("calc.echo", [text]) for text in ("good", "x" * 6000, "x" * 4000)))
            await asyncio.gather(*(client.call("slow.say", [text]) for text in ("good", "bad")))
            for text in ("good", "bad"):
                with pytest.raises(RpcError):
                    await client.call("calc.boom", [text])
            trail.log.add("odd", text=object())

            def fail(*_: Any) -> bytes:
                raise LookupError("a bug in what writes lines")

            monkeypatch.setattr(Trail, "_write_arrival", fail)
            call = asyncio.ensure_future(client.call("calc.wait"))
            await tools.until(lambda: calc.log)
            trail.log.flush()
            monkeypatch.setattr(Trail, "_write_arrival", write_arrival)
            calc.release.set()
            await call

    tools.run(main())
    whole(tools.folder)
    assert [each["seq"] for each in map(json.loads, raw_lines(tools.folder))] == [
        *range(1, whole(tools.folder).lines + 1)
    ]
    completed = Counter(each["method"] for each in events(tools.folder, "completed"))
    faults = Counter((each["of"], each.get("method"), each["error"]) for each in events(tools.folder, "fault"))
    assert faults == {
        ("completed", "calc.add", "LookupError"): 1,
        ("completed", "calc.echo", "LookupError"): 1,
        ("completed", "slow.say", "LookupError"): 1,
        ("completed", "calc.boom", "LookupError"): 1,
        ("odd", None, "TypeError"): 1,
        ("received", "calc.wait", "LookupError"): 1,
    }
    for name, number in (("calc.add", 19), ("calc.echo", 2), ("slow.say", 1), ("calc.boom", 1), ("calc.wait", 1)):
        assert completed[name] == number, name
    result = CliRunner().invoke(
        command, ["audit", "search", "--folder", str(tools.folder / "audit"), "--event", "fault"]
    )
    assert result.exit_code == 0
    assert len(result.output.splitlines()) == 6
    assert "calc.wait of=received error=LookupError" in " ".join(result.output.split())
    for fault in events(tools.folder, "fault", method="calc.add"):
        assert fault["client"]["principal"] == "owner"
        assert fault["call"] not in {each["call"] for each in events(tools.folder, "completed")}


def test_lines_of_which_no_block_can_be_made_wait(
    tools: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seal, failures = log.seal, [MemoryError(), MemoryError()]

    def fail(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return seal(*arguments)

    async def main() -> None:
        async with serve(tools, audit={"file_bytes": 4096}) as server, client_of(server, tools) as client:
            monkeypatch.setattr("rpcserver.audit.log.seal", fail)
            for n in range(100):  # In the middle, a file is begun.
                await client.call("calc.add", [n, 1])
                server.trail.log.flush()
                if n == 50:
                    monkeypatch.setattr(server.trail.log, "_file_bytes", 4096)
                    failures.append(MemoryError())

    tools.run(main())
    whole(tools.folder)
    assert len(events(tools.folder, "completed", method="calc.add")) == 100
    assert records(tools.folder)[-1]["event"] == "stop"
    assert "no block was made of them" in caplog.text


def test_a_server_that_does_not_stop_as_it_should_ends_its_log(tools: Any) -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with serve(tools) as server:

                async def fail(patience_s: float) -> None:
                    raise ZeroDivisionError(patience_s)

                server.upkeep.stop = fail

    tools.run(main())
    assert records(tools.folder)[-1]["event"] == "stop"


class Local:
    """What a handler has among its variables."""


class Failing(Service):
    """Fails, and notes its variables."""

    def __init__(self) -> None:
        self.variables = WeakSet[Local]()

    def _make(self) -> Local:
        made = Local()
        self.variables.add(made)
        return made

    @method()
    async def boom(self) -> None:
        """Fail at once."""
        _local = self._make()
        raise ValueError("boom")

    @method()
    async def slow(self) -> None:
        """Fail in a task."""
        _local = self._make()
        await asyncio.sleep(0)
        raise ValueError("boom") from KeyError("x")

    @method()
    def thread(self) -> None:
        """Fail in a thread."""
        _local = self._make()
        raise Unavailable("boom")

    @method()
    async def stream(self) -> AsyncIterator[int]:
        """Fail in a stream."""
        _local = self._make()
        yield 1
        raise ValueError("boom")


def test_nothing_keeps_the_variables_of_a_handler_that_has_failed(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # Otherwise pytest keeps what is logged, with the frames.

    async def main() -> None:
        failing = Failing()
        async with serve(tools, failing) as server, client_of(server, tools) as client:
            for name in ("boom", "slow", "thread"):
                with pytest.raises(RpcError):
                    await client.call(f"failing.{name}")
                await client.notify(f"failing.{name}")
            async with client.stream("failing.stream") as stream:
                with pytest.raises(RpcError):
                    [item async for item in stream]
            await tools.until(lambda: len(events(tools.folder, "completed", outcome="InternalError")) >= 5)

            def are_gone() -> bool:
                gc.collect()
                return not failing.variables

            await tools.until(are_gone)

    tools.run(main())


def test_a_long_call_has_a_line_when_it_has_arrived(tools: Any) -> None:
    async def main() -> None:
        calc = tools.Calc()
        async with serve(tools, calc) as server, client_of(server, tools) as client:
            call = asyncio.ensure_future(client.call("calc.wait"))
            await tools.until(lambda: events(tools.folder, "received"))
            assert not events(tools.folder, "completed", method="calc.wait")
            calc.release.set()
            await call

    tools.run(main())
    (received,) = events(tools.folder, "received")
    (completed,) = events(tools.folder, "completed", method="calc.wait")
    assert (received["method"], received["call"]) == ("calc.wait", completed["call"])
    assert completed["received"] == received["seq"]
    whole(tools.folder)


def test_pages_and_refusals_have_lines(tools: Any) -> None:
    async def main() -> None:
        async with serve(tools) as server:
            host = f"Host: 127.0.0.1:{tools.port(server)}\r\n"
            bearer = f"Authorization: Bearer {tools.TOKEN}\r\n"
            status, _, body = await tools.http(server, f"GET /metrics/audit HTTP/1.1\r\n{host}{bearer}\r\n")
            assert (status, b"rpcserver_audit_lost_total 0\n" in body) == (200, True)
            for request in (
                f"GET /metrics/audit HTTP/1.1\r\n{host}\r\n",
                "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                f"GET /no%0d%0a HTTP/1.1\r\n{host}\r\n",
            ):
                await tools.http(server, request)
            for _ in range(4):
                raw = await tools.raw(server)
                await raw.send(tools.upgrade(server, Authorization="Bearer wrong"))
                assert b" 401 " in await raw.head()
                await raw.close()
            async with tools.connect(server, token=None) as stranger:
                for _ in range(3):
                    await tools.call(stranger, "calc.add", [1, 2])
                await tools.call(stranger, "rpc.authenticate", {"token": "wrong"})

    tools.run(main())
    folder = tools.folder
    whole(folder)
    pages = [(page["request"], page["outcome"], page["client"].get("principal")) for page in events(folder, "page")]
    assert pages == [
        ("GET /metrics/audit", "HTTP 200", "owner"),
        ("GET /metrics/audit", "HTTP 401", None),
        ("GET /no%0d%0a", "HTTP 404", None),
    ]
    assert [refused["outcome"] for refused in events(folder, "refused")] == ["HTTP 421", "HTTP 401", "HTTP 401"]
    (counted,) = [refused for refused in events(folder, "refused") if "count" in refused]
    assert (counted["count"], counted["client"]) == (3, {"address": "127.0.0.1"})
    first, *_ = events(folder, "completed", method="calc.add", outcome="Unauthenticated")
    assert "count" not in first
    assert [each["count"] for each in events(folder, "completed", method="calc.add") if "count" in each] == [2]
    assert len(events(folder, "completed", method="rpc.authenticate", outcome="Unauthenticated")) == 1


def test_the_log_goes_on_after_a_restart_and_is_rotated(tools: Any) -> None:
    async def main() -> None:
        for _ in range(3):
            async with (
                serve(tools, audit={"file_bytes": 4096, "files": 3}) as server,
                client_of(server, tools) as client,
            ):
                for n in range(30):
                    await client.call("calc.add", [n, n])
                    if n % 10 == 0:
                        server.trail.log.flush()

    tools.run(main())
    report = whole(tools.folder)
    assert report.files == 3
    assert report.first_seq > 1
    removed = events(tools.folder, "removed")
    assert removed[-1]["last"] == report.first_seq - 1
    assert records(tools.folder)[-1]["seq"] == report.head.seq
    list_files(tools.folder / "audit")[0][1].unlink()
    (finding,) = verify(tools.folder / "audit").findings
    assert f"rotation has removed lines up to {removed[-1]['last']}" in finding.text


def serve_once(tools: Any, **audit: Any) -> None:
    async def main() -> None:
        async with serve(tools, audit=audit) as server, client_of(server, tools) as client:
            await client.call("calc.add", [1, 2])

    tools.run(main())


def test_a_server_that_was_killed_leaves_a_log_that_goes_on(tools: Any) -> None:
    serve_once(tools)
    (_, path), *_ = list_files(tools.folder / "audit")
    seq = whole(tools.folder).head.seq
    with path.open("ab") as file:  # As after a write that was not finished.
        file.write(b'{"seq":%d,"at":"","event":"x"}\n{"seq":%d,"at' % (seq + 1, seq + 2))
    serve_once(tools)
    assert whole(tools.folder).unsealed_lines == 0
    start = events(tools.folder, "start")[-1]
    assert (start["seq"], start["unsealed"], start["torn_bytes"]) == (seq + 2, 1, len(f'{{"seq":{seq + 2},"at'))


def test_a_file_that_was_just_begun_is_begun_again(tools: Any) -> None:
    serve_once(tools)
    head = whole(tools.folder).head
    (tools.folder / "audit" / f"audit-{head.seq + 1:012d}.jsonl").write_bytes(b'{"seq":')
    serve_once(tools)
    assert whole(tools.folder).files == 1
    assert events(tools.folder, "start")[-1]["torn_bytes"] == len('{"seq":')


def test_a_cut_end_is_seen_by_the_head_file(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    head_file = str(tools.folder / "elsewhere")
    serve_once(tools, head_file=head_file)
    (_, path), *_ = list_files(tools.folder / "audit")
    head = whole(tools.folder).head
    content = path.read_bytes()
    path.write_bytes(content[: content.rstrip().rfind(b"\n") + 1])
    assert verify(tools.folder / "audit", head).findings
    serve_once(tools, head_file=head_file)
    assert "its end was cut off or changed" in caplog.text
    (cut,) = events(tools.folder, "cut")
    assert cut["expected"] == str(head)
    (finding,) = verify(tools.folder / "audit").findings
    assert "the end of the log had been cut off or changed" in finding.text


def test_the_log_of_the_server_tells_the_head(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rpcserver.audit")

    async def main() -> None:
        async with serve(tools, audit={"head_s": 0.01}) as server:
            await tools.until(lambda: f"audit log: line {server.trail.log.head}" in caplog.text)

    tools.run(main())
    assert f"audit log: it ends with line {whole(tools.folder).head}" in caplog.text


@asynccontextmanager
async def exchanged(tools: Any, server: Any, other: int) -> AsyncIterator[None]:
    """Something else in place of the file that the log is written to, as long as this goes on."""
    await tools.until(lambda: not server.trail.log.backlog_bytes)  # Until then the file may not be open.
    descriptor = server.trail.log._writer._descriptor
    kept = os.dup(descriptor)
    os.dup2(other, descriptor)
    try:
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


def test_on_a_full_disk_calls_go_on_and_lost_lines_are_counted(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    lost = made = 0

    async def main() -> None:
        nonlocal lost, made
        full = os.open("/dev/full", os.O_WRONLY)
        async with serve(tools, audit={"buffer_bytes": 65536}) as server, client_of(server, tools) as client:
            log = server.trail.log
            async with exchanged(tools, server, full):
                await client.call("calc.add", [1, 2])
                await tools.until(lambda: log.is_failing)
                while not log.lost_events:
                    assert await asyncio.gather(*(client.call("calc.add", [n, 1]) for n in range(50)))
                    made += 50
            await tools.until(lambda: not log.is_failing and not log.backlog_bytes)
            await client.call("calc.add", [7, 7])
            lost = log.lost_events
        os.close(full)

    tools.run(main())
    assert "the audit log cannot be written: No space left on device" in caplog.text
    whole(tools.folder)
    assert sum(each["count"] for each in events(tools.folder, "lost")) == lost
    assert len(events(tools.folder, "completed", method="calc.add")) + lost == made + 2


class Board(Service):
    """Has a page for whoever may read it."""

    permissions: ClassVar[Mapping[str, str]] = {"board.read": "read the board"}

    @method(permission="board.read")
    async def read(self) -> str:
        """Read it."""
        return "news"

    def http_pages(self) -> Mapping[str, Page]:
        return {"/board": Page(self.read, permission="board.read")}


def test_on_a_full_disk_calls_are_refused_if_the_settings_say_so(tools: Any) -> None:
    async def main() -> None:
        def page(path: str) -> str:
            return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {tools.TOKEN}\r\n\r\n"

        full = os.open("/dev/full", os.O_WRONLY)
        async with (
            serve(tools, tools.Calc(), Board(), audit={"when_full": "refuse"}) as server,
            client_of(server, tools) as client,
        ):
            log = server.trail.log
            async with exchanged(tools, server, full):
                log.add("probe")
                await tools.until(lambda: log.is_failing)
                with pytest.raises(Unavailable, match=r"the audit log cannot be written \(No space left") as caught:
                    await client.call("calc.add", [1, 2])
                assert caught.value.executed == "no"
                assert await client.call("rpc.ping") == "pong"
                for path, status in (("/board", 503), ("/metrics/audit", 200), ("/healthz", 200)):
                    answer = await tools.http(server, page(path))
                    assert answer[0] == status, path
                    assert (b"without it no page is shown: try again later" in answer[2]) == (status == 503)
            await tools.until(lambda: not log.is_failing)
            assert await client.call("calc.add", [1, 2]) == 3
            assert (await tools.http(server, page("/board")))[0] == 200
            assert log.lost_events == 0
        os.close(full)

    tools.run(main())
    whole(tools.folder)
    assert [each["outcome"] for each in events(tools.folder, "completed", method="calc.add")] == ["Unavailable", "ok"]


def test_a_disk_that_hangs_fills_the_buffer_and_no_more(tools: Any) -> None:
    async def main() -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        with pytest.raises(BlockingIOError):
            while os.write(writer, b"x" * 65536):
                pass
        os.set_blocking(writer, True)
        async with serve(tools, audit={"when_full": "refuse", "buffer_bytes": 65536}) as server:
            log = server.trail.log
            async with client_of(server, tools) as client:
                async with exchanged(tools, server, writer):  # Nobody reads: to write waits when the pipe is full.
                    with pytest.raises(Unavailable, match="the disk is too slow"):
                        while True:
                            await asyncio.gather(*(client.call("calc.add", [n, 1]) for n in range(50)))
                            log.flush()
                    assert 32768 < log.backlog_bytes < 2 * 65536
                    while log.backlog_bytes:
                        try:
                            os.read(reader, 65536)
                        except BlockingIOError:
                            await asyncio.sleep(0.002)
                await tools.until(lambda: server.trail._let_in is None)
                assert await client.call("calc.add", [1, 2]) == 3
        os.close(reader)
        os.close(writer)

    tools.run(main())


def test_levels_say_what_is_written(tools: Any) -> None:
    async def main() -> None:
        levels = {"calc.*": "failures", "calc.echo": "off"}
        async with (
            serve(tools, audit={"levels": levels, "parameters": "redacted"}) as server,
            client_of(server, tools) as client,
        ):
            await client.call("calc.add", [1, 2])
            for wrong in ("calc.add", "calc.echo"):
                with pytest.raises(RpcError, match="invalid parameters"):
                    await client.call(wrong, {"a": HOSTILE})
            await client.call("rpc.ping")

    tools.run(main())
    assert [each["method"] for each in events(tools.folder, "completed")] == ["calc.add", "rpc.ping"]
    (failed, _) = events(tools.folder, "completed")
    assert json.loads(failed["params"]) == {"a": HOSTILE}
    whole(tools.folder)


def test_parameters_are_as_the_settings_say(tools: Any) -> None:
    async def main() -> None:
        async with serve(tools, audit={"parameters": "none"}) as server, client_of(server, tools) as client:
            await client.call("calc.echo", ["x" * 5000])

    tools.run(main())
    (call,) = events(tools.folder, "completed", method="calc.echo")
    assert not {"params", "params_sha256"} & call.keys()


def test_a_reload_changes_what_is_written_and_how(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Calls that have ended keep their lines by the old settings; no line is missing, and the chain is whole."""
    caplog.set_level(logging.INFO, "rpcserver.audit")
    operator = Operator(tools)
    on = "[audit]\nenabled = true\nhead_s = 3600\n"
    small = "file_bytes = 4096\nfiles = 2\nbuffer_bytes = 65536\nsync_s = 0\n"

    async def main() -> None:
        operator.write(on)
        async with operator.serve(Greeter) as server, tools.connect(server) as connection:
            assert server.trail is not None
            log = server.trail.log
            await tools.call(connection, "greeter.greet", ["hash"])
            report = await operator.reload(on + 'parameters = "redacted"\n')
            assert [(each.key, each.effect) for each in report.changes] == [("audit.parameters", "at once")]
            await tools.call(connection, "greeter.greet", ["redacted"])
            await operator.reload(f'{on.replace("3600", "0.01")}parameters = "none"\n')
            await tools.call(connection, "greeter.greet", ["none"])
            # Its timer was to run in an hour.
            await tools.until(lambda: f"audit log: line {log.head}" in caplog.text)
            await tools.until(lambda: len(events(tools.folder, "completed", method="greeter.greet")) == 3)
            calls = events(tools.folder, "completed", method="greeter.greet")
            assert calls[0]["params_sha256"] == sha256(b'["hash"]').hexdigest()
            assert json.loads(calls[1]["params"]) == {"name": "redacted"}
            assert not {"params", "params_sha256"} & calls[2].keys()
            assert [each["changed"] for each in events(tools.folder, "settings")] == [
                "parameters",
                "parameters, head_s",
            ]
            report = await operator.reload(on + small)
            assert {each.effect for each in report.changes} == {"at once"}
            assert log._writer._sync_s == 0
            while log._files[0][0] == 1:
                await tools.call(connection, "greeter.greet", ["often"])
                log.flush()
            assert len(log._files) == 2
            places = f'folder = "{tools.folder}/other"\nhead_file = "{tools.folder}/head"\n'
            report = await operator.reload(f"[audit]\nenabled = false\n{places}")
            reasons = {each.key: each.reason for each in report.changes if each.effect == "restart"}
            assert reasons.keys() == {"audit.enabled", "audit.folder", "audit.head_file"}
            last = await tools.call(connection, "greeter.greet", ["still written"])
            assert "result" in last
            assert not (tools.folder / "other").exists()

    tools.run(main())
    last = events(tools.folder, "completed", method="greeter.greet")[-1]
    assert last["params_sha256"] == sha256(b'["still written"]').hexdigest()
    whole(tools.folder)


def test_a_secret_parameter_has_no_hash(tools: Any) -> None:
    async def main() -> None:
        async with serve(tools) as server, tools.connect(server, token=None) as connection:
            await tools.call(connection, "rpc.authenticate", {"token": tools.TOKEN})

    tools.run(main())
    assert [each["method"] for each in events(tools.folder, "completed")] == ["rpc.authenticate"]
    (call,) = events(tools.folder, "completed")
    assert call["params"] == "secret"
    assert "params_sha256" not in call


def test_without_an_audit_log_there_is_nothing(tools: Any) -> None:
    async def main() -> None:
        async with serve(tools, audit={"enabled": False}) as server:
            assert server.trail is None

    tools.run(main())
    assert not (tools.folder / "audit").exists()


def test_two_servers_do_not_write_to_one_log(tools: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with serve(tools, audit={"folder": str(tmp_path / "log")}):
            with pytest.raises(ConfigError, match="audit: another server writes to"):
                async with serve(tools, state_dir=str(tmp_path / "other"), audit={"folder": str(tmp_path / "log")}):
                    pass

    tools.run(main())


def test_a_log_whose_end_was_changed_is_not_continued(tools: Any) -> None:
    serve_once(tools)
    (_, path), *_ = list_files(tools.folder / "audit")
    with path.open("ab") as file:
        file.write(b"forged\n")
    with pytest.raises(ConfigError, match=r"audit: .* is no line of an audit log: .*: move the files away"):
        serve_once(tools)
