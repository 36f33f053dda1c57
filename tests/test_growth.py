"""Every function that reads text or bytes of others takes time that grows with their size, and not faster, whatever
their shape. What stands here is the table of these functions, each with the shapes that once took longer or might."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from rpcclient.cli.sqlscript import _MODES
from rpcclient.cli.sqltext import _CONTROLS, _DELIMITER
from rpcclient.dialects.ranges import _RANGE
from rpcclient.programs.pieces import Pieces
from rpcclient.programs.text import Coding
from rpcclient.refusals import _HEADER
from rpcclient.statuses import STATUS_LINE
from rpcclient.stubs.programs import OutputChunk
from rpcserver.config import ListenConfig
from rpcserver.door.asking import read_request
from rpcserver.door.forwarding import Proxies
from rpcserver.door.hosts import read_authority, read_origin
from rpcserver.door.proxy_header import parse_binary, parse_line
from rpcservices.database import failures
from rpcservices.database.backends.mysql.literals import split_insert
from rpcservices.database.hints import is_change, is_query, may_set
from rpcservices.database.placeholders import check_text, step_at, translate
from rpcservices.database.scripts import check_whole, ends_transaction
from rpcservices.hardware.readers.plain import plain
from rpcservices.hardware.readers.redaction import redact
from rpcservices.hardware.sampling.metrics import near_names
from rpcservices.hardware.sampling.patterns import Filter
from rpcservices.programs.permission.arguments import check_arguments, leads_through_process, resolve
from rpcservices.programs.permission.rules import ArgumentRule, ProgramRule
from rpcwire.codec import codec_for
from rpcwire.contracts import Contract
from rpcwire.logs import printable
from rpcwire.session import Session
from rpcwire.skimming import check_body, legible_members
from rpcwire.sql import bare, commits_before, copy_direction, first_word, is_blank, is_open, split
from tests import growth
from tests.growth import GrowsTooFast, check

K = 1024
PATH_CHARACTERS = 4000
"""The largest path, for the system and for us."""
PATH_S = 0.005
Make = Callable[[int], Any]


def repeat(unit: str, before: str = "", after: str = "") -> Make:
    """Make a text of a size in characters: one unit again and again between two ends."""
    return lambda size: before + unit * (size // len(unit)) + after


def shapes(units: list[str], befores: tuple[str, ...] = ("",), afters: tuple[str, ...] = ("",)) -> dict[str, Make]:
    return {
        f"{before[:20]!r} {unit!r}* {after!r}": repeat(unit, before, after)
        for unit in units
        for before in befores
        for after in afters
    }


def packed(make: Callable[[int], bytes]) -> Make:
    head = b"\x84\xa7jsonrpc\xa32.0\xa2id\x01\xa6method\xa8rpc.ping\xa6params"
    return lambda size: head + make(size)


def arrays_as_keys(count: int) -> bytes:
    return b"\xdf" + count.to_bytes(4, "big") + b"".join(b"\x91\xce%b\x01" % n.to_bytes(4, "big") for n in range(count))


def as_json(make: Make) -> Make:
    return lambda size: b'{"jsonrpc":"2.0","id":1,"method":"rpc.ping","params":%b}' % make(size).encode()


def receive(form: str | None, frame: bytes) -> None:
    session = Session(codec_for(form))
    for _ in session.receive(frame):
        session.frames()


def load(annotation: Any, form: str | None, body: bytes) -> None:
    def method(value: annotation) -> None: ...  # type: ignore[valid-type]

    method.__annotations__ = {"value": annotation, "return": None}
    key = (str(annotation), form)
    if key not in _CONTRACTS:
        _CONTRACTS[key] = Contract(method), codec_for(form)
    contract, codec = _CONTRACTS[key]
    contract.load_params(body, codec)


_CONTRACTS: dict[Any, Any] = {}

JSON_SHAPES = {
    "brackets and a string of escaped quotes": lambda size: b"[" * 65 + b'"' + b'\\"' * (size // 2),
    "an open string of backslashes": lambda size: b"[" * 65 + b'"' + b"\\" * size,
    "strings without an end": lambda size: b"[" * 65 + b'"a' * (size // 2),
    "opening brackets": lambda size: b"[" * size,
    "empty arrays": as_json(repeat("[],", "[", "0]")),
    "deep arrays": as_json(repeat("[" * 60 + "]" * 60 + ",", "[", "0]")),
    "empty objects": as_json(repeat("{},", "[", "0]")),
    "names": as_json(lambda size: "{" + ",".join(f'"{number}":0' for number in range(size // 10)) + "}"),
    "one name again and again": as_json(repeat('"a":0,', "{", '"b":0}')),
    "ids again and again": lambda size: b"{" + b'"id":1,' * (size // 7) + b'"jsonrpc":"2.0"}',
    "digits": as_json(repeat("1", "[", "]")),
    "numbers": as_json(repeat("1,", "[", "0]")),
    "a fraction": as_json(repeat("1", "[0.", "]")),
    "escapes": as_json(repeat("\\u00e9", '["', '"]')),
    "halves of surrogates": as_json(repeat("\\ud800", '["', '"]')),
    "space": as_json(repeat(" ", "[", "]")),
    "letters of two bytes": as_json(repeat("é", '["', '"]')),
    "lines": repeat("{}\n", "", "{}"),
    "a batch": lambda size: b"[" + b'{"jsonrpc":"2.0","method":"a"},' * (size // 32) + b"0]",
    "no JSON": lambda size: b"x" * size,
    "a long method": lambda size: b'{"jsonrpc":"2.0","id":1,"method":"%b"}' % (b"a" * size),
    "a long id": lambda size: b'{"jsonrpc":"2.0","id":"%b","method":1}' % (b"a" * size),
}  # fmt: skip
PACKED_SHAPES = {
    "integers": packed(lambda size: b"\xdd" + size.to_bytes(4, "big") + b"\x01" * size),
    "empty arrays": packed(lambda size: b"\xdd" + size.to_bytes(4, "big") + b"\x90" * size),
    "arrays in arrays": packed(lambda size: b"\x91" * size),
    "maps in maps": packed(lambda size: b"\x81\xa1a" * (size // 3)),
    "names": packed(lambda size: b"\xdf" + (size // 6).to_bytes(4, "big")
                    + b"".join(b"\xce" + number.to_bytes(4, "big") + b"\x01" for number in range(size // 6))),
    "keys that are arrays": packed(lambda size: arrays_as_keys(size // 7)),
    "keys that are arrays, in a malformed message": lambda size: arrays_as_keys(size // 7),
    "a count without items": packed(lambda size: b"\xdd\xff\xff\xff\xff" + b"\x01" * size),
    "a malformed message of integers": lambda size: b"\x82\xa2id\x01\xa6params\xdd" + size.to_bytes(4, "big") + b"\x01" * size,
    "text that is not UTF-8": packed(lambda size: b"\x91\xdb" + size.to_bytes(4, "big") + b"\xff" * size),
    "a message of malformed messages": lambda size: b"\xdc" + min(size // 2, 4000).to_bytes(2, "big") + b"\x90" * min(size // 2, 4000),
}  # fmt: skip

SQL_UNITS = ["(", ";", "';", '"', "`", "/*", "/* */", "--\n", "$a", "$$", "\\'", " ", "BEGIN ATOMIC ", "CASE ", "END;",
             "/*!1 */", ":a", "?", "x;"]  # fmt: skip
SQL_BEFORES = {
    ("split", "sqlite"): ("", "create trigger t begin ", "explain "),
    ("split", "postgresql"): ("", "create function f() begin atomic ", "create "),
    ("copy_direction", "postgresql"): ("", "copy ", "copy ("),
}
"""The beginnings of statements that the functions read differently."""

SYNTAXES = ("postgresql", "postgresql escaping", "mysql", "mysql plain", "sqlite", "")
VARIANTS = ("postgresql escaping", "mysql plain", "")


def sql_functions(syntax: str) -> dict[str, Callable[[str], object]]:
    return {
        "split": partial(split, syntax=syntax),
        "first_word": partial(first_word, syntax=syntax),
        "is_blank": partial(is_blank, syntax=syntax),
        "is_open": partial(is_open, syntax=syntax),
        "bare": partial(bare, syntax=syntax),
        "commits_before": partial(commits_before, syntax=syntax),
        "copy_direction": partial(copy_direction, syntax=syntax),
        "ends_transaction": partial(ends_transaction, syntax=syntax),
        "check_whole": partial(check_whole, syntax=syntax),
        "step_at": lambda sql: step_at(sql, syntax, len(sql)),
        "translate names": lambda sql: translate.__wrapped__(sql, syntax, "qmark", True),
        "translate positions": lambda sql: translate.__wrapped__(sql, syntax, "numeric_dollar", False),
    }


def many_names(count: int) -> tuple[Any, dict[str, int]]:
    names = [f"n{number}" for number in range(count)]
    return translate.__wrapped__(" ".join(f":{name}" for name in names), "sqlite", "qmark", True), dict.fromkeys(
        names, 1
    )


REDACTED_UNITS = ["a", "-", "--", ".a", "x-", "x-token", "x-key", "-x-", "eyJ", "eyJ-", "-eyJ", "eyJ.", "a+", "a://",
                  "http://a", "://", "?a.", "?", "&password", "password", "password ", "-password", "password:", "token=",
                  "cookie ", "authorization ", "bearer ", "sk-", " ", ";", "' ", "\n", "-password\n", "é", ":", "="]  # fmt: skip

RULE = ProgramRule(
    path="/x",
    options={"-a": ArgumentRule(kind="flag"), "-n": ArgumentRule(kind="integer", optional=True)},
    arguments=(ArgumentRule(kind="text", optional=True, repeat=True),),
)
PATTERNS = ["(a+)+b", "(a|a)*b", "(a*)*b", "(x+x+)+y", "(.*)*z", ".*.*.*=.*"]
PROXIES = Proxies(ListenConfig(trusted_proxies=["192.0.2.0/24"], forwarding_header="Forwarded"))
PROXIES_FOR = Proxies(ListenConfig(trusted_proxies=["192.0.2.0/24"], forwarding_header="X-Forwarded-For"))
HTTP_UNITS = [
    "a",
    " ",
    "\t",
    ",",
    ";",
    "/",
    "?",
    "http://",
    ":",
    ".",
    "[",
    "1.",
    "1",
    '"',
    "\\",
    "a=",
    "a=b;",
    "_",
    "-",
]


def forwarded(proxies: Proxies, header: str, value: str) -> object:
    return proxies.client(proxies.source("192.0.2.1"), Headers([(header, value)]))


def request(target: str) -> object:
    return read_request(Request(target, Headers([("Host", "a")])))


def upgrade(value: str) -> bool:
    answer = read_request(Request("/", Headers([("Host", "a"), ("Upgrade", value)])))
    return bool(getattr(answer, "wants_websocket", False))


def feed_lines(data: bytes) -> None:
    pieces: Pieces[str] = Pieces(Coding.of(True, None, None))
    for start in range(0, len(data), 4 * K):
        pieces.put(OutputChunk(stream="stdout", offset=start, data=data[start : start + 4 * K], lost_bytes=0))
    while pieces.take_line():
        pass


def cases() -> Iterator[Any]:
    """Yield name, function, maker of the input, and largest size."""
    for form in (None, "rpc.v1.json"):
        for name, make in JSON_SHAPES.items():
            if name == "lines":
                yield f"json {form}: {name}", partial(receive, form), lambda size: repeat("{}\n")(size).encode(), 4 * K
            else:
                yield f"json {form}: {name}", partial(receive, form), make, 64 * K
    for name, make in PACKED_SHAPES.items():
        yield f"msgpack: {name}", partial(receive, "rpc.v1.msgpack"), make, 256 * K if "messages" not in name else 8 * K
    yield "legible_members", legible_members, lambda size: b"\x82" + b"\xa1a" * size, 64 * K
    yield "check_body", check_body, lambda size: b"\x91" * size, 256 * K

    yield (
        "load packed wrong values",
        partial(load, list[int], "rpc.v1.msgpack"),
        lambda size: b"\x91\xdd" + size.to_bytes(4, "big") + b"\xa0" * size,
        8 * K,
    )
    yield "load wrong values", partial(load, list[int], None), lambda size: b"[[" + b'"",' * size + b'""]]', 8 * K
    yield "load digits", partial(load, int, None), lambda size: b"[" + b"1" * size + b"]", 256 * K
    yield (
        "load unknown names",
        partial(load, int, None),
        lambda size: b"{" + b",".join(b'"%d":1' % n for n in range(size)) + b"}",
        2 * K,
    )
    yield "printable", printable, repeat("\n"), 256 * K
    for syntax in SYNTAXES:
        for function, run in sql_functions(syntax).items():
            if syntax in VARIANTS and function not in ("split", "translate names"):
                continue  # Those differ from the others only in what is quoted.
            befores = SQL_BEFORES.get((function, syntax), ("",))
            yield f"sql {function} {syntax}", run, shapes(SQL_UNITS, befores), 4 * K
    yield "sql spaces after COPY", partial(copy_direction, syntax="postgresql"), repeat(" ", "copy", "x"), 32 * K
    for run in (is_query, is_change, may_set, check_text):
        yield f"sql {run.__name__}", run, shapes([" ", "(", "--\n", "returning ", "/* */"], ("", "with ")), 32 * K
    befores = ("INSERT INTO t ", "INSERT INTO t VALUES (%s", "REPLACE ")
    units = ["VALUES ", "VALUES (%s) AS ", "VALUES (%s) ", "(%s", ",%s", " ", "%s)", "AS "]
    yield "sql split_insert", split_insert, shapes(units, befores, ("", ")", ") x")), 64 * K
    yield "sql values by name", lambda pair: pair[0].arguments(pair[1]), many_names, 8 * K
    for name, run in (
        ("redact", failures.redact),
        ("_shorten", failures._shorten),
        ("_SQLITE_STATE", failures._SQLITE_STATE.match),
        ("_SQLITE_DATA", failures._SQLITE_DATA.match),
    ):
        yield (
            f"failures {name}",
            run,
            shapes(["a", "a+", "://", "password ", "password:", " ", ".* is", "inside a "], ("", "pwd")),
            64 * K,
        )
    yield "redact a word", lambda text: redact(["x", text]), shapes(REDACTED_UNITS, ("", "-eyJ")), 8 * K
    yield "redact the first word", lambda text: redact([text]), shapes(REDACTED_UNITS), 8 * K
    for word in ("curl", "htpasswd", "vault", "login", "-p", "--password", "ssh", "a"):
        yield (
            f"redact words: {word}",
            redact,
            (lambda size, word=word: ["vault", "login", "mysql", *[word] * size]),
            8 * K,
        )
        yield (
            f"redact words of a script: {word}",
            lambda text: redact(["sh", "-c", text]),
            repeat(f"{word} ", "vault login curl "),
            8 * K,
        )
    yield (
        "redact many programs",
        redact,
        lambda size: ["mysql", "curl", "htpasswd", "vault", "login", "ngrok"] * (size // 6),
        8 * K,
    )
    yield "plain", plain, repeat("\udc80"), 256 * K
    yield (
        "argument list",
        partial(check_arguments, RULE),
        lambda size: ["/x", *["-a"] * size, "--", *["b"] * size],
        4 * K,
    )
    for pattern in PATTERNS:
        rule = ProgramRule(path="/x", arguments=(ArgumentRule(kind="pattern", pattern=pattern, max_chars=10**9),))
        yield (
            f"pattern {pattern}",
            lambda text, rule=rule: check_arguments(rule, ["/x", text]),
            shapes(["a", "x", "a="], ("",), ("!",)),
            64 * K,
        )
    for run in (leads_through_process, resolve):
        yield (
            f"path {run.__name__}",
            run,
            shapes(["a/", "../", "./", "/", "proc/self/", "a"], ("/", "/proc/self/")),
            PATH_CHARACTERS,
        )
    for run in (read_authority, read_origin, request, upgrade):
        yield f"http {run.__name__}", run, shapes(HTTP_UNITS, ("", "[", "http://", "/"), ("", "!")), 32 * K
    for proxies, header in ((PROXIES, "Forwarded"), (PROXIES_FOR, "X-Forwarded-For")):
        befores = ("", "for=", 'for="', "for=192.0.2.1,")
        yield (
            f"http {header}",
            partial(forwarded, proxies, header),
            shapes([*HTTP_UNITS, "for=192.0.2.2,", "192.0.2.2,"], befores, ("", "!")),
            32 * K,
        )
    yield (
        "proxy line",
        lambda text: parse_line(text.encode()),
        shapes([" ", "1 ", "a"], ("PROXY TCP4 ", "PROXY UNKNOWN ")),
        32 * K,
    )
    yield "proxy header", partial(parse_binary, 0x21, 0x11), lambda size: b"\0" * size, 64 * K
    for run in (near_names, lambda text: Filter([text]).fits("cpu.percent{cpu0}")):
        yield (
            f"metric {getattr(run, '__name__', run)}",
            run,
            shapes(["*", "*a", "?", "[", "[a]", "a", "{"], ("", "cpu")),
            256,
        )
    yield "program lines", feed_lines, lambda size: (b"a" * 79 + b"\n") * (size // 80), 54 * K
    yield "program output without lines", feed_lines, lambda size: b"a" * size, 54 * K
    for expression in (_RANGE, _CONTROLS, _DELIMITER, _MODES):
        yield (
            f"client {expression.pattern[:30]}",
            expression.match,
            shapes([" ", "[", '"', "\\", "(", ",", "a", "commit ", "delimiter "], ("", "[", "set ")),
            32 * K,
        )
    for expression in (_HEADER, STATUS_LINE):
        yield (
            f"client {expression.pattern[:30]!r}",
            lambda text, expression=expression: list(expression.finditer(text.encode())),
            shapes([" ", "\t", "a", "a:", "a: \n", "\r", ": "], ("", "HTTP/1.1 200 ", "a:")),
            32 * K,
        )


TABLE = list(cases())


@pytest.mark.parametrize(("run", "make", "size"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE])
def test_work_grows_with_the_input_and_not_faster(run, make, size):
    for name, shape in make.items() if isinstance(make, dict) else [("", make)]:
        try:
            check(run, shape, size, harmless_s=PATH_S if size == PATH_CHARACTERS else 0.0)
        except GrowsTooFast as exc:
            raise GrowsTooFast(f"{name}: {exc}") from None


@pytest.mark.parametrize(
    ("run", "make", "size"),
    [
        (re.compile(r"(?:x*)*y").match, repeat("x"), 16),
        (re.compile(r"a.*b.*c").search, repeat("a b "), 512),
        (
            lambda text: [text[:place].upper() for place in range(len(text))],
            repeat("a"),
            2 * K,
        ),
        (
            lambda numbers: [number for number in numbers if number not in numbers[:-1]],
            lambda size: list(range(size)),
            K,
        ),
    ],
    ids=["backtracking in C", "backtracking over the text", "slices", "a search in a list"],
)
def test_faster_growth_is_noticed(run, make, size):
    with pytest.raises(GrowsTooFast):
        check(run, make, size)


def clock(power: int, disturbances: Callable[[int, int], float]) -> Callable[..., tuple[int, float]]:
    """Stands for the measurement of work that grows with a power of the input, on a machine that other programs disturb.

    Parameters:
        power: the power.
        disturbances: how many times as long a size takes in a round.
    """
    rounds: dict[int, int] = {}

    def measure(_run: object, value: int, _least_s: float) -> tuple[int, float]:
        round_number = rounds[value] = rounds.get(value, 0) + 1
        return 1, 1e-6 * value**power * disturbances(value, round_number)

    return measure


def test_disturbances_of_the_smallest_size_hide_no_growth(monkeypatch):
    """This was seen once: on a busy machine, quadratic work passed, because its smallest size took 2.5 times as long in
    each of the first rounds."""
    monkeypatch.setattr(
        growth, "_measure", clock(2, lambda size, number: 2.5 if size == 16 and number % 12 < 4 else 1.0)
    )
    with pytest.raises(GrowsTooFast, match=r"times as long, twice the input 4\.00"):
        check(len, lambda size: size, 64)


def test_disturbances_do_not_make_linear_work_grow(monkeypatch):
    chance = random.Random("growth")
    for _ in range(200):
        noisy = clock(1, lambda _size, _number: chance.choice((1.0, 1.1, 1.3, 2.0, 4.0)))
        monkeypatch.setattr(growth, "_measure", noisy)
        check(len, lambda size: size, 64)
