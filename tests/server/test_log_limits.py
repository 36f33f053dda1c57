"""Nobody can fill the log: what is logged about strangers is bounded, and whoever breaks the rules is dropped."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from rpcserver.daemon.logs import RECORD_CHARACTERS, LimitedHandler, LineFormatter
from rpcserver.daemon.repeats import KINDS, Allowance, Budget, Repeats
from rpcwire.logs import about, escape, printable

TURNING = [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C]
SEPARATORS = [0x2028, 0x2029, 0x85, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E]
CONTROLS = [0, 7, 8, 0x1B, 0x7F, 0x9B]
INVISIBLE = [0x200B, 0x2060, 0xFEFF, 0xAD, 0xE0041, 0xD800]


# --- what a line may hold --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [*TURNING, *SEPARATORS, *CONTROLS, *INVISIBLE], ids=hex)
def test_characters_that_lie_are_escaped(code: int) -> None:
    text = f"a{chr(code)}b"
    record = logging.LogRecord("rpcserver", logging.INFO, "x", 1, "%s", (text,), None)
    for shown in (LineFormatter().format(record), printable(text), escape(text)):
        assert chr(code) not in shown
        assert f"{code:x}" in shown
        assert len(shown.splitlines()) == 1


def test_ordinary_letters_stay() -> None:
    assert printable("Grüße, 世界 — שלום") == "Grüße, 世界 — שלום"
    assert escape("a\nb\tc", "\n") == "a\nb\\x09c"


@pytest.mark.parametrize("letter", ["a", "ü", "\u202e", "\x1b", "\U0001f600", "\udc80"])
def test_a_long_text_is_cut_after_it_was_escaped(letter: str) -> None:
    assert len(printable(letter * 100_000)) <= 200
    assert printable(letter * 100_000).endswith("…")


# --- repeats ---------------------------------------------------------------------------------------------------------


class Log:
    """A log whose clock the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.out = io.StringIO()
        self.handler = LimitedHandler(self.out, lambda: self.now)

    def say(
        self, template: str, *args: Any, name: str = "rpcserver.connection", exc_info: Any = None, **more: Any
    ) -> None:
        record = logging.LogRecord(name, logging.WARNING, "x", 1, template, args, exc_info)
        record.__dict__.update(more)
        self.handler.handle(record)

    @property
    def text(self) -> str:
        return self.out.getvalue()


def test_a_budget_fills_up_again() -> None:
    budget = Budget(Allowance(at_once=3, per_s=2), 0.0)
    assert [budget.take(1, 0.0) for _ in range(5)] == [True, True, True, False, False]
    assert [budget.take(1, 1.0) for _ in range(3)] == [True, True, False]
    assert [budget.take(1, 100.0) for _ in range(4)] == [True, True, True, False]


def test_strangers_get_less_than_a_megabyte_a_minute() -> None:
    """Whatever they do, in as many ways as they find, from as many addresses."""
    log = Log()
    count = 0
    for _ in range(6000):
        log.now += 0.01
        for way in range(30):
            count += 1
            log.say(
                f"%s refused in the way {way}: %s",
                f"10.0.0.{count % 250}:{count}",
                "\u202e" * 400,
                **about(f"10.0.0.{count % 250}:{count}", is_known=False),
            )
    assert 1000 < len(log.text.encode()) < 1_000_000
    written = log.text.count("\n")
    log.handler.report()
    reports = [line for line in log.text.splitlines() if "more lines like this one were left out" in line]
    assert len(reports) == 30
    left_out = sum(int(line.split("rpcserver.log: ")[1].split()[0]) for line in reports)
    assert written + left_out == count
    assert len(log.text.encode()) < 1_000_000


def test_what_is_known_is_counted_by_address() -> None:
    log = Log()
    for _ in range(1000):
        log.say("%s did something", "10.0.0.1:5", **about("10.0.0.1:5", is_known=True))
    assert log.text.count("10.0.0.1:5 did") == 200
    log.say("%s did something", "10.0.0.2:5", **about("10.0.0.2:5", is_known=True))
    log.say("%s is owner", "10.0.0.1:6", **about("10.0.0.1:6", is_known=True))
    assert log.text.endswith("10.0.0.1:6 is owner\n")
    assert "10.0.0.2:5 did" in log.text


def test_lines_about_nobody_all_come_and_tracebacks_in_reason() -> None:
    log = Log()
    for number in range(1000):
        log.say("row %d", number, name="rpcserver.services.mine")
    assert log.text.count("\n") == 1000
    for _ in range(1000):
        try:
            raise ValueError("x" * 10_000_000)
        except ValueError as exc:
            info = (type(exc), exc, exc.__traceback__)
        log.say("failed", exc_info=info)
        if log.text.count("failed\n") == 50:
            break
    size = len(log.text)
    for _ in range(1000):
        log.say("failed", exc_info=info)
    assert len(log.text) == size
    assert size < 51 * (RECORD_CHARACTERS + 1000) + 200_000


def test_the_report_says_when_and_what_and_only_once() -> None:
    log = Log()
    for number in range(25):
        log.say("%s refused", f"a:{number}", **about(f"a:{number}", is_known=False))
    log.now += 60
    log.handler.report()
    line = log.text.splitlines()[-1]
    assert line.endswith(
        "WARNING rpcserver.log: 5 more lines like this one were left out in 60 s: "
        "WARNING rpcserver.connection: a:20 refused"
    )
    log.handler.report()
    assert log.text.splitlines()[-1] == line


def test_the_kinds_that_are_counted_are_bounded() -> None:
    repeats = Repeats()
    once = Allowance(at_once=1, per_s=0)
    assert repeats.admit("first", once, 0.0)
    assert not repeats.admit("first", once, 0.0)
    repeats.leave_out("first", "x")
    for number in range(KINDS * 3):
        assert repeats.admit(number, once, 0.0)
    assert list(repeats.report()) == [(1, "x")]  # It is kept until it was told.
    assert not repeats.admit("first", once, 0.0)


# --- whoever breaks the rules is dropped -----------------------------------------------------------------------------

BROKEN = ["{", "[]", "5", '{"jsonrpc": "1.0", "id": 1, "method": "a"}', '{"jsonrpc": "2.0", "id": 7}']


async def closing(connection: Any) -> tuple[int, str, int]:
    """How a connection is closed: code, reason, and the number of answers before."""
    answers = 0
    async with asyncio.timeout(20):
        while True:
            try:
                await connection.recv()
            except ConnectionClosed as exc:
                assert exc.rcvd is not None
                return exc.rcvd.code, exc.rcvd.reason, answers
            answers += 1


@pytest.mark.parametrize("subprotocol", [None, "rpc.v1.json"])
@pytest.mark.parametrize(
    "message",
    [*BROKEN, '{"jsonrpc": "2.0", "id": 1, "method": "calc.add", "params": [1, 2]}',
     '{"jsonrpc": "2.0", "method": "calc.add"}', '{"jsonrpc": "2.0", "method": "rpc.stream.end", "params": 5}',
     '{"jsonrpc": "2.0", "method": "rpc.stream.end", "params": {"stream": "s"}}'],
)  # fmt: skip
def test_a_stranger_who_breaks_the_rules_is_dropped(tools: Any, subprotocol: str | None, message: str) -> None:
    async def main() -> None:
        async with tools.serve(auth={"violations": 5}) as server:
            async with tools.connect(server, subprotocol, token=None) as connection:
                for _ in range(5):
                    await connection.send(message)
                assert (await tools.call(connection, "rpc.ping", call_id="good"))["result"] == "pong"
            async with tools.connect(server, subprotocol, token=None) as connection:
                for _ in range(200):
                    await connection.send(message)
                code, reason, answers = await closing(connection)
                assert (code, reason) == (1008, "too many messages that break the rules")
                assert answers <= 6
            await tools.until(lambda: not server.connections and len(server.door.entrance.waiting) == 0)

    tools.run(main())


def test_the_rest_of_a_frame_is_not_even_read(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with tools.serve() as server, tools.connect(server, "rpc.v1.json", token=None) as connection:
            await connection.send("\n".join(["{x"] * 100))
            assert (await closing(connection))[0] == 1008

    tools.run(main())
    assert caplog.text.count("ParseError") == 21


def test_clients_may_break_more_rules_but_not_for_ever(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(limits={"violations": 100, "calls_in_flight": 1}) as server:
            async with tools.connect(server, "rpc.v1.json") as connection:
                for _ in range(100):
                    await connection.send("{")
                assert (await tools.call(connection, "calc.add", [1, 2], "good"))["result"] == 3
                await connection.send("{")
                assert (await closing(connection))[0] == 1008
            async with tools.connect(server, "rpc.v1.json") as connection:
                for _ in range(300):  # Wrong calls, and calls over a limit, break no rule.
                    await connection.send(tools.request("no.such", [], 5))
                    await connection.send(tools.request("calc.add", ["x"], 6))
                assert (await tools.call(connection, "calc.add", [1, 2], "good"))["result"] == 3

    tools.run(main())


# --- what strangers are told -----------------------------------------------------------------------------------------


def test_the_version_is_told_after_authentication_only(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            version, told = server.version, []
            async with tools.connect(server, token=None) as connection:
                told.append(dict(connection.response.headers))
                told.append(await tools.call(connection, "rpc.hello"))
                told.append(await tools.call(connection, "rpc.discover"))
                told.append(await tools.call(connection, "rpc.services"))
                told.append(await tools.call(connection, "no.such"))
                assert told[1]["result"]["server"] == "rpcserver"
                answer = await tools.call(connection, "rpc.authenticate", {"token": tools.TOKEN})
                assert answer["result"]["name"] == "owner"
                assert (await tools.call(connection, "rpc.hello"))["result"]["server"] == f"rpcserver/{version}"
                assert (await tools.call(connection, "rpc.discover"))["result"]["info"]["version"] == version
            host = f"Host: 127.0.0.1:{tools.port(server)}\r\n"
            firsts = ("GET /", "HEAD /", "GET /healthz", "GET /readyz", "GET /no", "POST /", "TRACE /", "GET *")
            requests = [f"{first} HTTP/1.1\r\n{host}\r\n" for first in firsts]
            for request in (*requests, "rubbish\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"):
                told += await tools.http(server, request)
            text = json.dumps([str(each) for each in told])
            for secret in (version, "websockets", "Python", "uvloop"):
                assert secret not in text, secret

    tools.run(main())


def test_pages_that_fail_are_strangers_lines(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Anybody may ask for the health as often as they like: each failure has a traceback."""
    calc = tools.Calc()

    async def health() -> Any:
        raise ValueError("broken")

    calc.health = health

    async def main() -> None:
        async with tools.serve(calc) as server:
            host = f"Host: 127.0.0.1:{tools.port(server)}\r\n"
            assert (await tools.http(server, f"GET /readyz HTTP/1.1\r\n{host}\r\n"))[0] == 503

    tools.run(main())
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.__dict__["is_known"] is False
