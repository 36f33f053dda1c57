"""What is fuzzed: functions that read text or bytes of others. Each raises only what it declares, works in time that grows
with the input, and keeps its promises, such as that what was read can be written and read again."""

from __future__ import annotations

import contextlib
import json
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw
from websockets.exceptions import InvalidMessage
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.server import ServerProtocol

from rpcclient.group.events import read_event
from rpcclient.group.roll import Roll
from rpcclient.methods import Method
from rpcserver.config import ListenConfig
from rpcserver.door.admission import Refusal, check_host, check_origin
from rpcserver.door.asking import read_request
from rpcserver.door.forwarding import Proxies, Source
from rpcserver.door.hosts import canonical, network_of, read_authority, read_origin
from rpcserver.door.proxy_header import ProxyHeaderError, parse_binary, parse_line
from rpcservices.database.backends.mysql.literals import split_insert
from rpcservices.database.errors import DatabaseProgrammingError
from rpcservices.database.hints import is_change, is_query, may_set
from rpcservices.database.placeholders import check_text, step_at, translate
from rpcservices.database.scripts import check_whole, ends_transaction
from rpcservices.programs.permission.arguments import Refusal as ArgumentRefusal
from rpcservices.programs.permission.arguments import check_arguments, leads_through_process, resolve
from rpcservices.programs.permission.patterns import compile_pattern
from rpcservices.programs.permission.rules import ArgumentRule, ProgramRule
from rpcwire import skimming
from rpcwire.assembly import Assembler, StreamBroken
from rpcwire.codec import Codec, Malformed, codec_for, strict_json
from rpcwire.contracts import Contract
from rpcwire.errors import InvalidParams, LocalProtocolError, NotSent, ParseError, RpcError
from rpcwire.events import IncomingCall, ItemsReceived, ResultReceived
from rpcwire.framing import FrameBoundaries, WholeFrames
from rpcwire.group.outcomes import NodeOutcome, outcome_from_wire
from rpcwire.group.selectors import NAME_CHARACTERS, InvalidSelector, matches
from rpcwire.group.selectors import parse as parse_selector
from rpcwire.head import HeadEnd
from rpcwire.limits import SessionLimits
from rpcwire.logs import QUIET
from rpcwire.session import Session
from rpcwire.skimming import check_body, has_colliding_keys, legible_members
from rpcwire.sql import bare, commits_before, copy_direction, first_word, is_blank, is_open, split
from rpcwire.streams import OutgoingStream

Run = Callable[[bytes], None]

LEAST_STEPS, STEPS_PER_BYTE = 20_000, 120
"""The most calls of functions that an input may cost: so many, since an expression is compiled when it is used first, and
so many more for each byte. Session and contracts need about twenty for a byte in their worst case; work that grows with the
square needs more from some hundred bytes on."""
LEAST_NS_A_STEP = 40
"""The least processor time of a call of a function. Whatever takes less than all that an input may cost needs no counting."""


class TooMuchWork(AssertionError):
    """An input has cost more than its size allows."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something to fuzz.

    Attributes:
        run: reads an input, and raises if a promise is broken.
        seeds: inputs to begin with.
        most_bytes: the largest input.
    """

    run: Run
    seeds: tuple[bytes, ...]
    most_bytes: int = 4096


class TookLong(Exception):
    """An input has taken so long that its calls must be counted."""


@dataclass(slots=True)
class Counting:
    """How :func:`counted` counts.

    Attributes:
        at_once: whether it counts each block; otherwise it raises :class:`TookLong` where counting is needed.
        left_out: functions that it does not count.
    """

    at_once: bool = True
    left_out: frozenset[Any] = frozenset()


_counting = Counting()
_CACHED = (canonical, network_of)
"""What remembers its results, and so does less when an input is tried again."""


@contextlib.contextmanager
def counted(size: int) -> Iterator[None]:
    """Count the calls of functions in the block.

    Parameters:
        size: the size of the input, in bytes.

    Raises:
        TooMuchWork: there were more than the input may cost.
        TookLong: nothing has been counted, but the block has taken the time of so many calls (:func:`count_if_slow`).
    """
    most = LEAST_STEPS + STEPS_PER_BYTE * size
    if not _counting.at_once:
        begin = time.thread_time_ns()
        try:
            yield
        finally:
            if time.thread_time_ns() - begin > most * LEAST_NS_A_STEP:
                raise TookLong
        return
    steps = 0

    def count(_frame: Any, event: str, argument: Any) -> None:
        nonlocal steps
        steps += event == "call" or (event == "c_call" and argument not in _counting.left_out)

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)
        if steps > most:
            raise TooMuchWork(f"{steps} steps for {size} bytes")


def count_if_slow(run: Run, left_out: Iterable[Any]) -> Run:
    """Return a function that tries an input without counting, and counts only if that has taken long. Counting costs
    several times what it counts.

    Parameters:
        run: reads an input (:class:`Target`).
        left_out: functions not to count: those that the fuzzer has put into the code.
    """
    functions = frozenset(left_out)

    def try_input(data: bytes) -> None:
        _counting.at_once, _counting.left_out = False, functions
        try:
            run(data)
        except TookLong:
            _counting.at_once = True
            for function in _CACHED:
                function.cache_clear()
            run(data)
        finally:
            _counting.at_once, _counting.left_out = True, frozenset()

    return try_input


# --- decoders --------------------------------------------------------------------------------------------------------------


def _check_decoding(codec: Codec, frame: bytes) -> None:
    for message in codec.decode(frame).messages:
        if isinstance(message, Malformed):
            continue
        (again,) = codec.decode(codec.encode(message)).messages
        # A number that is not finite cannot be written, and NaN differs from itself: neither is in a message.
        assert again == message or "nan" in repr(message), (message, again)


def _decode(form: str | None, data: bytes) -> None:
    codec = codec_for(form)
    codec.most_nodes = 200
    with counted(len(data)):
        codec.decode(data)
    codec.most_nodes = sys.maxsize
    _check_decoding(codec, data)


def decode_json(data: bytes) -> None:
    """A message or a batch in JSON: whatever is accepted means the same to Python's own decoder."""
    _decode(None, data)
    with contextlib.suppress(ParseError):
        value = strict_json(data)
        if not any(len(digits) >= 1000 for digits in "".join(c if c.isdigit() else " " for c in data.decode()).split()):
            assert value == json.loads(data)


def decode_lines(data: bytes) -> None:
    """Messages in JSON, one a line."""
    _decode("rpc.v1.json", data)


def decode_packed(data: bytes) -> None:
    """Messages in MessagePack."""
    _decode("rpc.v1.msgpack", data)
    with counted(len(data)):
        legible_members(data)
        with contextlib.suppress(IndexError, struct.error):
            skimming._find_collisions(data)  # Keys of short messages are not compared otherwise.
    if zlib.crc32(data) % 16 == 0:  # The long message takes more time than everything else.
        long = data * (1 + 5000 // (len(data) + 1))
        with counted(len(long)):
            has_colliding_keys(long)
    with contextlib.suppress(ValueError, UnicodeDecodeError, RecursionError, msgspec.MsgspecError):
        check_body(data)


# --- wire forms ------------------------------------------------------------------------------------------------------------


def _everything(
    number: int, text: str, anything: Any, some: list[float] | None = None, named: dict[str, bytes] | None = None
) -> None: ...


_CONTRACT = Contract(_everything)


def load_parameters(data: bytes) -> None:
    """Parameters of a method in both encodings: what was read can be written, and reads the same."""
    for form in (None, "rpc.v1.msgpack"):
        codec = codec_for(form)
        # The session hands over only what the codec has decoded.
        head = (
            b'{"jsonrpc":"2.0","method":"a","params":'
            if form is None
            else b"\x83\xa7jsonrpc\xa32.0\xa6method\xa1a\xa6params"
        )
        (message,) = codec.decode(head + data + (b"}" if form is None else b"")).messages
        if (
            isinstance(message, Malformed)
            or not isinstance(message.params, Raw)
            or not codec.is_structured(message.params)
        ):
            continue
        try:
            with counted(len(data)):
                args, kwargs = _CONTRACT.load_params(message.params, codec)
        except InvalidParams:
            continue
        arguments = _CONTRACT.bind(args, kwargs)
        try:
            body = _CONTRACT.dump_params(arguments, codec)
        except InvalidParams:
            continue  # Some values can be read and not written, such as numbers beyond 64 bits in MessagePack.
        again = _CONTRACT.bind(*_CONTRACT.load_params(body, codec))
        assert repr(again) == repr(arguments), (arguments, again)


# --- the session -----------------------------------------------------------------------------------------------------------

_FORMS = (None, "rpc.v1.json", "rpc.v1.msgpack")


def converse(data: bytes) -> None:
    """Two sessions that call each other, beside frames that neither of them has made, in any order."""
    if len(data) < 2:
        return
    form = _FORMS[data[0] % 3]
    limits = SessionLimits(message_bytes=4096, calls_in_flight=8, streams=4, stream_window=4)
    ends = tuple(Session(codec_for(form), limits=limits, stream_prefix=prefix) for prefix in "cs")
    for session in ends:
        session.codec.most_nodes = 500
    calls: tuple[list[IncomingCall], ...] = ([], [])
    streams: tuple[list[OutgoingStream], ...] = ([], [])
    null = b"\xc0" if ends[0].codec.packed else b"null"
    empty = b"\x90" if ends[0].codec.packed else b"[]"
    at = 1
    with counted(4 * len(data) + 1000):
        while at < len(data):
            step, at = data[at], at + 1
            side = step & 1
            session, other = ends[side], ends[1 - side]
            with contextlib.suppress(RpcError, LocalProtocolError):
                match step >> 1 & 7:
                    case 0:
                        session.call("a.b", empty)
                    case 1:
                        session.batch([("a.b", empty, True), ("a.c", None, False)])
                    case 2 if calls[side]:
                        session.reply(calls[side].pop(), null)
                    case 3 if calls[side]:
                        if (stream := session.reply_stream(calls[side].pop())) is not None:
                            streams[side].append(stream)
                    case 4 if streams[side]:
                        stream = streams[side][-1]
                        if stream.credit > 0:
                            session.streams.send(stream, null)
                    case 5 if streams[side]:
                        session.streams.end(streams[side].pop())
                    case 6:
                        size = data[at] if at < len(data) else 0
                        frame, at = data[at + 1 : at + 1 + size], at + 1 + size
                        _receive(session, frame, calls[side])
                    case _:
                        for frame in session.frames():
                            assert len(frame) <= limits.message_bytes, len(frame)
                            _receive(other, frame, calls[1 - side])
    for session in ends:
        session.close()


def _receive(session: Session, frame: bytes, calls: list[IncomingCall]) -> None:
    for event in session.receive(frame):
        if isinstance(event, IncomingCall):
            calls.append(event)
        elif isinstance(event, ResultReceived):
            with contextlib.suppress(RpcError):
                session.streams.accept("s1")
        elif isinstance(event, ItemsReceived):
            assert event.items


def read_frames(data: bytes) -> None:
    """Frames of a WebSocket: what we read ourselves is what websockets reads."""
    binary = bool(data[:1] and data[0] & 1)
    data = data[1:]
    whole, boundaries, assembler = WholeFrames(binary=binary, client=False), FrameBoundaries(), Assembler(binary=binary)
    with counted(len(data)):
        at = 0
        while at < len(data) and (message := whole.read(data, at, 4096)) is not None:
            ws = Protocol(SERVER, state=OPEN, max_size=4096, logger=QUIET)
            ws.receive_data(data[at : message[1]])
            (frame,) = ws.events_received()
            assert isinstance(frame, Frame)
            assert (bytes(frame.data), frame.opcode) == (message[0], Opcode.BINARY if binary else Opcode.TEXT)
            at = message[1]
        ws = Protocol(SERVER, state=OPEN, max_size=4096, logger=QUIET)
        while at < len(data):
            end = boundaries.follow(data, at)
            assert at < end <= len(data)
            if ws.state is OPEN:
                ws.receive_data(data[at:end])
                for frame in ws.events_received():
                    if isinstance(frame, Frame) and frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                        with contextlib.suppress(StreamBroken):
                            assembler.feed(frame)
            at = end


# --- SQL -------------------------------------------------------------------------------------------------------------------

SYNTAXES = ("postgresql", "postgresql escaping", "mysql", "mysql plain", "mysql ansi", "sqlite", "")


def read_sql(data: bytes) -> None:
    """SQL in each dialect: nothing of a script is lost when it is split, and nothing is added."""
    if not data:
        return
    sql, syntax = data[1:].decode(errors="replace"), SYNTAXES[data[0] % len(SYNTAXES)]
    with counted(len(data)):
        statements = split(sql, syntax)
    at = 0
    for statement in statements:
        assert statement == statement.strip()
        assert not is_blank(statement, syntax)
        place = sql.find(statement, at)
        assert place >= 0, "a statement is a part of the script, behind the one before"
        at = place + len(statement)
    with counted(6 * len(data)):
        for run in (first_word, is_open, bare, commits_before, copy_direction, ends_transaction):
            run(sql, syntax)
        step_at(sql, syntax, len(sql))
        for hint in (is_query, is_change, may_set):
            hint(sql)
        split_insert(sql)
    for named in (True, False):
        for style in ("numeric_dollar", "format", "qmark", "null"):
            with contextlib.suppress(InvalidParams):
                made = translate.__wrapped__(sql, syntax, style, named)
                if made.names is not None:
                    assert len(made.arguments(dict.fromkeys(made.names))) == len(made.names)
    with contextlib.suppress(InvalidParams):
        check_text(sql)
    with contextlib.suppress(DatabaseProgrammingError):
        check_whole(sql, syntax)


# --- HTTP ------------------------------------------------------------------------------------------------------------------

_LISTEN: dict[str, Any] = {"trusted_proxies": ["192.0.2.0/24"]}
_BEHIND = tuple(Proxies(ListenConfig(**_LISTEN, forwarding_header=name)) for name in ("X-Forwarded-For", "Forwarded"))


def read_http(data: bytes) -> None:
    """A request of HTTP, whole, and what is decided by it."""
    end = HeadEnd()
    with counted(3 * len(data)):
        size = end.find(data[: len(data) // 2])
        if size == len(data) // 2 and not end.is_complete:
            end.find(data[len(data) // 2 :])
        ws = ServerProtocol(logger=QUIET)
        with contextlib.suppress(InvalidMessage):
            ws.receive_data(data)
            for event in ws.events_received():
                if isinstance(event, Request):
                    _decide(event)


def _decide(request: Request) -> None:
    for proxies in _BEHIND:
        client = proxies.client(proxies.source("192.0.2.1", 80), request.headers)
        if isinstance(client, Source):
            assert str(client)
            assert network_of(client.address)
    asked = read_request(request, "/rpc")
    if isinstance(asked, Refusal):
        return
    assert asked.wants_websocket in (True, False)
    names = frozenset({"localhost", "box.example"})
    check_host(asked.authority, names)
    check_origin(asked.headers, asked.authority, frozenset())


def read_addresses(data: bytes) -> None:
    """Headers of proxies, and the names of hosts."""
    text = data.decode("latin-1")
    with counted(8 * len(data)):
        with contextlib.suppress(ProxyHeaderError):
            client = parse_line(data)
            assert client.address is None or canonical(client.address) == canonical(canonical(client.address))
        if len(data) >= 2:
            with contextlib.suppress(ProxyHeaderError):
                parse_binary(data[0], data[1], data[2:])
        authority = read_authority(text)
        if authority is not None:
            assert canonical(canonical(authority.host)) == canonical(authority.host)
        read_origin(text)


# --- the group -------------------------------------------------------------------------------------------------------------


def read_group(data: bytes) -> None:
    """Selectors of nodes, and outcomes of calls to many of them."""
    text = data.decode("latin-1")
    with counted(len(data)):
        with contextlib.suppress(InvalidSelector):
            selector = parse_selector(text)
            assert parse_selector(str(selector)) == selector
        # Its work is their product: no name is longer, and no pattern that a selector may have.
        matches(text[: len(text) // 4][:NAME_CHARACTERS], text[len(text) // 4 :][:NAME_CHARACTERS])
        with contextlib.suppress(ValueError, RecursionError):
            wire = json.loads(data)
            if isinstance(wire, dict):
                outcome = outcome_from_wire(wire)
                assert outcome_from_wire(outcome.to_wire()).state == outcome.state


def read_group_call(data: bytes) -> None:
    """What a server tells its client of a group call: each node that it has named has one outcome in the end."""
    roll: Roll[Any] = Roll("a.b", streams=data[:1] != b"0")
    with counted(len(data)):
        for line in data[1:].split(b"\n"):
            for codec in (_JSON_LINES, _MESSAGE_PACK):
                with contextlib.suppress(RpcError):
                    roll.take(read_event(line, codec, _METHOD, streams=data[:1] != b"0"))
        count = len(roll.nodes or ())
        assert len(roll.outcomes) + len(roll.missing) == count
        with contextlib.suppress(RpcError):
            roll.finish()
        assert len(roll.outcomes) == count


_JSON_LINES, _MESSAGE_PACK = codec_for("rpc.v1.json"), codec_for("rpc.v1.msgpack")
_METHOD = Method("a.b", list[int])


# --- the policy ------------------------------------------------------------------------------------------------------------

_RULE = ProgramRule(
    path="/x",
    options={
        "-a": ArgumentRule(kind="flag"),
        "-n": ArgumentRule(kind="integer", minimum=-5, maximum=50),
        "--name": ArgumentRule(kind="choice", choices=("one", "two")),
    },
    arguments=(
        ArgumentRule(kind="pattern", pattern="[a-z]+(,[a-z]+)*"),
        ArgumentRule(kind="path", under="/tmp", optional=True),
        ArgumentRule(kind="text", optional=True, repeat=True),
    ),
)


def check_policy(data: bytes) -> None:
    """Arguments against a program's rules: what passes keeps them, and passes again."""
    argv = ["/x", *data.decode(errors="surrogateescape").split("\n")]
    try:
        with counted(20 * len(data)):
            allowed = check_arguments(_RULE, argv)
    except ArgumentRefusal as exc:
        assert 0 < exc.place <= len(argv)
        return
    assert check_arguments(_RULE, ["/x", *allowed]) == allowed
    if "--" in allowed:
        rest = allowed[allowed.index("--") + 1 :]
        assert not any(word.startswith("-") for word in rest), rest
    for word in allowed:
        assert word.isprintable(), allowed


def read_paths(data: bytes) -> None:
    """Paths, and operators' patterns."""
    text = data.decode(errors="replace")
    path = "/" + text.replace("\0", "")
    with counted(40 * len(data)):
        leads_through_process(path)
        real = resolve(path)
        assert real is None or real.startswith("/")
    with contextlib.suppress(ValueError):
        compile_pattern(text[:200])


def _packed(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


_MESSAGES: tuple[dict[str, Any], ...] = (
    {"jsonrpc": "2.0", "id": 1, "method": "calc.add", "params": [1, 2.5, "é", None, True, {"a": []}]},
    {"jsonrpc": "2.0", "method": "rpc.stream.item", "params": {"stream": "c1", "items": [1, 2]}},
    {"jsonrpc": "2.0", "method": "rpc.stream.credit", "params": {"stream": "s1", "n": 5}},
    {"jsonrpc": "2.0", "id": "x", "result": {"stream": "s1"}},
    {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "no", "data": {"type": "ParseError"}}},
    {"jsonrpc": "2.0", "id": 1, "method": "a.b", "params": {}, "ctx": {"ttl_ms": 5, "key": "k"}},
)  # fmt: skip
_SQL = (
    "select 1; select ':a', \"x\" -- no\n; /* b; */ select :a, ?, $1, $$;$$;",
    "create trigger t after insert on a begin insert into b values (1); select case when 1 then 2 end; end; select 2",
    "create function f() returns int begin atomic select 1; end; copy t from stdin; E'\\';' ; `a;b` # c",
    "insert into t values (?, ?2) as new on duplicate key update a = values(a)",
)
_HTTP = (
    b"GET /rpc/ HTTP/1.1\r\nHost: localhost:80\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://a\r\n\r\n",
    b"GET http://[::1]:1/x?y HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9, 198.51.100.7\r\n\r\n",
    b'GET / HTTP/1.1\r\nHost: a\r\nForwarded: for="[2001:db8::1]:4711";proto=https, for=unknown\r\n\r\n',
)
_FRAMES = (b"\x00\x81\x82abcd\x1a\x1f", b"\x01\x82\x81abcd\x00\x88\x80abcd", b"\x00\x01\x81abcd\x00\x80\x81abcd\x00")

TARGETS: dict[str, Target] = {
    "json": Target(decode_json, tuple(json.dumps(each).encode() for each in (*_MESSAGES, list(_MESSAGES[:2])))),
    "lines": Target(decode_lines, (b"\n".join(json.dumps(each).encode() for each in _MESSAGES),)),
    "packed": Target(decode_packed, tuple(map(_packed, (*_MESSAGES, list(_MESSAGES))))),
    "parameters": Target(
        load_parameters,
        (
            b'{"number":1,"text":"a","anything":{"$bytes":"AA=="},"some":[1.5],"named":{"a":"AA=="}}',
            _packed({"number": 1, "text": "a", "anything": [b"x", 2**63], "some": None, "named": {"a": b"x"}}),
        ),
    ),
    "session": Target(
        converse,
        tuple(
            bytes([kind, 0, 14, 15, 5, 15, 2, 14, 7, 15, 9, 15, 14, 11, 12, len(frame)]) + frame + b"\x0e\x0f"
            for kind in (1, 2)
            for frame in (_packed(_MESSAGES[1]) if kind == 2 else json.dumps(each).encode() for each in _MESSAGES)
        ),
        256,
    ),
    "frames": Target(read_frames, _FRAMES),
    "sql": Target(read_sql, tuple(bytes([kind]) + sql.encode() for kind in (0, 2, 5) for sql in _SQL), 1024),
    "http": Target(read_http, _HTTP),
    "addresses": Target(
        read_addresses,
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY UNKNOWN\r\n",
            b"\x21\x11" + bytes(8) + struct.pack(">HH", 1, 2),
            b"[::1]:80",
            b"https://a.example:1",
        ),
        512,
    ),
    "group": Target(
        read_group,
        (
            b"role=web,zone!=eu,!old,example.com/a in (b,c), d notin (e)",
            b"name in (web-*,db-?),id=1a",
            json.dumps(
                NodeOutcome(name="n", id="i", epoch=1, state="gone", executed="no", error=NotSent("m")).to_wire()
            ).encode(),
        ),
        256,
    ),
    "group call": Target(
        read_group_call,
        (
            (
                b'1{"kind":"start","nodes":[{"name":"a","id":"b","epoch":"0123456789abcdef"}],"unknown":["c"]}\n'
                b'{"kind":"item","node":"b","item":[1],"lost":2}\n{"kind":"outcome","name":"c","id":"","epoch":"0000000000000000",'
                b'"state":"unknown","executed":"no","duration_s":0.0,"error":{"code":-32006,"message":"m","data":{}}}'
            ),
        ),
        1024,
    ),
    "policy": Target(
        check_policy, (b"-a\n-n=5\n--name\none\nabc,d\n/tmp/x\nmore", b"--\nabc\n/tmp/../etc", b"-n\n7\nab"), 1024
    ),
    "paths": Target(read_paths, (b"proc/self/fd/../x", b"(a+)+b[^c]{2,5}", b"tmp/./a//b"), 1024),
}
"""All targets, by name."""
