"""JSON-RPC 2.0, clause by clause: what the specification demands, and the test that shows it.

Each clause of sections 4 to 8 has an id, a paraphrase of ours, and the names of its tests. The manifest is checked both
ways. Every test runs on a bare session and over a real WebSocket without a subprotocol.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from websockets.sync.client import ClientConnection, connect

from rpcserver import Service, method
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcwire.codec import PlainJson
from rpcwire.errors import MethodNotFound, RpcError
from rpcwire.events import ErrorReceived, IncomingCall, NotificationReceived, ResultReceived
from rpcwire.session import Session

# id: (paraphrase, tests)
MANIFEST: dict[str, tuple[str, tuple[str, ...]]] = {
    "4-version": ("`jsonrpc` is the string 2.0, exactly", ("test_version",)),
    "4-method": ("`method` is a string", ("test_method_is_a_string",)),
    "4-reserved": ("names that begin with rpc. belong to the protocol", ("test_reserved_names",)),
    "4-params-optional": ("`params` may be left out", ("test_params_may_be_left_out",)),
    "4-id-types": ("`id` is a string, a number or null", ("test_ids",)),
    "4-id-fractions": ("numbers as `id` should have no fraction; one that has is echoed", ("test_ids",)),
    "4-no-id": ("a request without `id` is a notification", ("test_notifications_are_not_answered",)),
    "4-same-id": ("the answer has the request's `id`", ("test_ids",)),
    "4.1-silence": ("notifications are never answered, inside a batch neither", (
        "test_notifications_are_not_answered", "test_batch_of_notifications",
    )),
    "4.1-blind": ("so their sender learns of no error", ("test_notifications_that_fail_are_not_answered",)),
    "4.2-structured": ("`params` is an array or an object", ("test_params_are_structured",)),
    "4.2-by-position": ("an array has the values in the server's order", ("test_params_by_position",)),
    "4.2-by-name": ("an object has members named as the server's parameters", ("test_params_by_name",)),
    "4.2-names-match": ("names match exactly, in case too; others may be an error", ("test_params_by_wrong_name",)),
    "5-answer": ("every request but a notification is answered", ("test_ids", "test_sixty_requests_sixty_answers")),
    "5-version": ("the answer has `jsonrpc` 2.0", ("test_success_has_result_only", "test_failure_has_error_only")),
    "5-result": ("`result` is there on success, and only then", (
        "test_success_has_result_only", "test_failure_has_error_only",
    )),
    "5-error": ("`error` is there on failure, and only then", (
        "test_success_has_result_only", "test_failure_has_error_only",
    )),
    "5-id": ("`id` is there always, with the request's value", ("test_ids", "test_failure_has_error_only")),
    "5-id-null": ("`id` is null where the request's could not be told", ("test_id_null_where_unknown",)),
    "5-one-of": ("an answer has `result` or `error`, never both and never neither", (
        "test_success_has_result_only", "test_failure_has_error_only", "test_answers_to_us_with_both_or_neither",
    )),
    "5.1-code": ("`code` is an integer", ("test_error_object",)),
    "5.1-message": ("`message` is one short sentence", ("test_error_object",)),
    "5.1-data": ("`data` may say more", ("test_error_object",)),
    "5.1-parse-error": ("-32700: no JSON", ("test_parse_error",)),
    "5.1-invalid-request": ("-32600: JSON, but no request", ("test_invalid_request",)),
    "5.1-method-not-found": ("-32601: no such method", ("test_method_not_found",)),
    "5.1-invalid-params": ("-32602: parameters that do not fit", ("test_params_by_wrong_name", "test_invalid_params")),
    "5.1-internal": ("-32603: the server failed", ("test_internal_error",)),
    "5.1-reserved-codes": ("-32768 to -32000 are predefined or the implementation's; other codes are free", (
        "test_codes_of_ours",
    )),
    "6-array": ("several requests may come as an array", ("test_batch",)),
    "6-answer-array": ("their answers come as one array", ("test_batch",)),
    "6-one-each": ("an answer for each request, none for notifications", ("test_batch",)),
    "6-any-order": ("in any order: the ids tell which is which", ("test_batch",)),
    "6-invalid": ("what is no JSON, or no array of at least one value, gets a single answer", (
        "test_batch_invalid_json", "test_batch_empty",
    )),
    "6-invalid-entries": ("wrong entries get an error each", ("test_batch_of_wrong_entries",)),
    "6-nothing": ("where there is nothing to answer, nothing comes, no empty array either", (
        "test_batch_of_notifications",
    )),
    "7-examples": ("the specification's own examples", ("test_examples",)),
    "8-extensions": ("extensions are named rpc. and something; all of ours are documented as such", (
        "test_reserved_names",
    )),
}  # fmt: skip


def clause(*ids: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def mark(test: Callable[..., None]) -> Callable[..., None]:
        test.clauses = ids  # type: ignore[attr-defined]
        return test

    return mark


class Spec(Service):
    """The methods of the specification's examples."""

    @method()
    async def subtract(self, minuend: int, subtrahend: int) -> int:
        return minuend - subtrahend

    @method()
    async def update(self, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0) -> None: ...

    @method()
    async def sum(self, a: int, b: int, c: int) -> int:
        return a + b + c

    @method()
    async def notify_hello(self, n: int) -> None: ...

    @method()
    async def notify_sum(self, a: int, b: int, c: int) -> None: ...

    @method()
    async def get_data(self) -> tuple[str, int]:
        return "hello", 5

    @method()
    async def fail(self) -> None:
        raise OSError("/etc/secret is missing")


class Wire(Protocol):
    """One way to speak to :class:`Spec`."""

    def say(self, text: str, answers: int = 1) -> list[Any]:
        """Send a frame; give the answers to it, which must be so many."""
        ...


class BareSession:
    """A session, and the shortest possible dispatcher. The methods have the names of the specification."""

    def __init__(self) -> None:
        self.session = Session(PlainJson())
        self.service = Spec()
        self.contracts = {spec.attribute: spec.contract for spec in Spec.methods()}

    def say(self, text: str, answers: int = 1) -> list[Any]:
        for event in self.session.receive(text.encode()):
            match event:
                case IncomingCall():
                    self.run(event)
                case NotificationReceived():
                    pass
        frames = self.session.frames()
        assert len(frames) == answers, frames
        return [json.loads(frame) for frame in frames]

    def run(self, call: IncomingCall) -> None:
        codec = self.session.codec
        try:
            contract = self.contracts.get(call.method.removeprefix("spec."))
            if contract is None:
                raise MethodNotFound
            args, kwargs = contract.load_params(call.params, codec)
            coroutine = getattr(self.service, contract.function.__name__)(*args, **kwargs)
            self.session.reply(call, contract.dump_result(asyncio.run(coroutine), codec))
        except RpcError as exc:
            self.session.reply_error(call, exc)
        except OSError:
            self.session.reply_error(call, RpcError("failed", code=-32603))


class RealWebSocket:
    """A WebSocket without a subprotocol. Methods are called spec.*, for a server's methods belong to services."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.number = 0

    def say(self, text: str, answers: int = 1) -> list[Any]:
        for name in (spec.attribute for spec in Spec.methods()):
            text = text.replace(f'"{name}"', f'"spec.{name}"')
        self.connection.send(text)
        got = [json.loads(self.connection.recv(5)) for _ in range(answers)]
        # Nothing more has come before the answer to a question asked afterwards.
        self.number += 1
        self.connection.send(json.dumps({"jsonrpc": "2.0", "id": f"last {self.number}", "method": "rpc.ping"}))
        assert json.loads(self.connection.recv(5)) == {
            "jsonrpc": "2.0", "id": f"last {self.number}", "result": "pong",
        }  # fmt: skip
        return got


TOKEN = "a-token-for-the-tests"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in a thread of its own."""
    ready: list[str] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    folder: Path = tmp_path_factory.mktemp("spec")

    async def serve() -> None:
        config = ServerConfig.model_validate({"state_dir": str(folder), "listen": {"port": 0, "unix": "none"}})
        server = Server(config, [Spec()], token=TOKEN)
        await server.start()
        ready.extend(server.addresses)
        started.set()
        await stop.wait()
        await server.stop(grace_s=0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(10)
    yield ready[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.fixture(params=["session", "websocket"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    if request.param == "session":
        yield BareSession()
        return
    with connect(
        request.getfixturevalue("url"), additional_headers={"Authorization": f"Bearer {TOKEN}"}, legacy=False
    ) as connection:
        assert connection.subprotocol is None
        yield RealWebSocket(connection)


def failure(answer: Any, code: int, answer_id: Any = None) -> None:
    """An error answer, complete and with nothing besides."""
    assert answer.keys() == {"jsonrpc", "id", "error"}
    assert answer["jsonrpc"] == "2.0"
    assert answer["id"] == answer_id
    assert type(answer["id"]) is type(answer_id)
    assert answer["error"]["code"] == code
    assert answer["error"].keys() <= {"code", "message", "data"}


# --- section 4: requests ---------------------------------------------------------------------------------------------


@clause("4-version")
@pytest.mark.parametrize("version", ['"1.0"', "2.0", '"2"', "null", '"2.0 "', '["2.0"]'])
def test_version(wire: Wire, version: str) -> None:
    (answer,) = wire.say(f'{{"jsonrpc": {version}, "id": 1, "method": "get_data"}}')
    failure(answer, -32600, 1)
    assert answer["error"]["data"]["errors"][0]["loc"] == ["jsonrpc"]
    (answer,) = wire.say('{"id": 2, "method": "get_data"}')
    failure(answer, -32600, 2)
    (answer,) = wire.say('{"jsonrpc": "2.0", "id": 3, "method": "get_data"}')
    assert answer["result"] == ["hello", 5]


@clause("4-method")
@pytest.mark.parametrize("name", ["1", "null", "true", '["get_data"]', "{}"])
def test_method_is_a_string(wire: Wire, name: str) -> None:
    (answer,) = wire.say(f'{{"jsonrpc": "2.0", "id": 1, "method": {name}}}')
    failure(answer, -32600, 1)
    assert answer["error"]["data"]["errors"][0]["loc"] == ["method"]


@clause("4-reserved", "8-extensions")
def test_reserved_names(wire: Wire) -> None:
    class Rpc(Service):
        name = "rpc.extra"

        @method()
        async def anything(self) -> None: ...

    from rpcwire.registry import Registry

    with pytest.raises(TypeError, match="reserved"):
        Registry(logging.getLogger("t")).add(Rpc())
    from rpcserver.system import System
    from rpcwire.session import CONTROL

    assert all(spec.full_name.startswith("rpc.") for spec in System.methods())
    assert all(name.startswith("rpc.") for name in CONTROL)
    (answer,) = wire.say('{"jsonrpc": "2.0", "id": 1, "method": "rpc.unheard_of"}')
    failure(answer, -32601, 1)


@clause("4-params-optional")
def test_params_may_be_left_out(wire: Wire) -> None:
    for params in ("", ', "params": []', ', "params": {}'):
        (answer,) = wire.say(f'{{"jsonrpc": "2.0", "id": 1, "method": "get_data"{params}}}')
        assert answer == {"jsonrpc": "2.0", "id": 1, "result": ["hello", 5]}


@clause("4-id-types", "4-id-fractions", "4-same-id", "5-answer", "5-id")
def test_ids(wire: Wire) -> None:
    for given in (1, 0, -7, 2**53 + 1, 2**80, "one", "", '𝄞 é " \\ \n', None, 1.5, "1"):
        (answer,) = wire.say(json.dumps({"jsonrpc": "2.0", "id": given, "method": "get_data"}))
        assert answer == {"jsonrpc": "2.0", "id": given, "result": ["hello", 5]}
        assert type(answer["id"]) is type(given)
    for wrong in ("true", "[1]", '{"a": 1}'):
        (answer,) = wire.say(f'{{"jsonrpc": "2.0", "id": {wrong}, "method": "get_data"}}')
        failure(answer, -32600, None)
        assert answer["error"]["data"]["errors"][0]["loc"] == ["id"]


@clause("4-no-id", "4.1-silence")
def test_notifications_are_not_answered(wire: Wire) -> None:
    assert wire.say('{"jsonrpc": "2.0", "method": "update", "params": [1, 2, 3, 4, 5]}', answers=0) == []
    assert wire.say('{"jsonrpc": "2.0", "method": "update"}', answers=0) == []


@clause("4.1-blind")
def test_notifications_that_fail_are_not_answered(wire: Wire) -> None:
    for text in (
        '{"jsonrpc": "2.0", "method": "unheard_of"}',
        '{"jsonrpc": "2.0", "method": "update", "params": ["no number"]}',
        '{"jsonrpc": "2.0", "method": "fail"}',
    ):
        assert wire.say(text, answers=0) == []


@clause("4.2-structured")
@pytest.mark.parametrize("params", ['"bar"', "1", "true", "null"])
def test_params_are_structured(wire: Wire, params: str) -> None:
    (answer,) = wire.say(f'{{"jsonrpc": "2.0", "id": 1, "method": "update", "params": {params}}}')
    failure(answer, -32600, 1)
    assert answer["error"]["data"]["errors"][0]["loc"] == ["params"]


@clause("4.2-by-position")
def test_params_by_position(wire: Wire) -> None:
    (answer,) = wire.say('{"jsonrpc": "2.0", "id": 1, "method": "subtract", "params": [42, 23]}')
    assert answer["result"] == 19
    (answer,) = wire.say('{"jsonrpc": "2.0", "id": 1, "method": "subtract", "params": [23, 42]}')
    assert answer["result"] == -19


@clause("4.2-by-name")
def test_params_by_name(wire: Wire) -> None:
    for params in ('{"subtrahend": 23, "minuend": 42}', '{"minuend": 42, "subtrahend": 23}'):
        (answer,) = wire.say(f'{{"jsonrpc": "2.0", "id": 1, "method": "subtract", "params": {params}}}')
        assert answer["result"] == 19


@clause("4.2-names-match", "5.1-invalid-params")
def test_params_by_wrong_name(wire: Wire) -> None:
    (answer,) = wire.say(
        '{"jsonrpc": "2.0", "id": 1, "method": "subtract", "params": {"Minuend": 42, "subtrahend": 23}}'
    )
    failure(answer, -32602, 1)
    assert {"Minuend", "minuend"} == {error["loc"][0] for error in answer["error"]["data"]["errors"]}


# --- section 5: answers ----------------------------------------------------------------------------------------------


@clause("5-version", "5-result", "5-error", "5-one-of")
def test_success_has_result_only(wire: Wire) -> None:
    (answer,) = wire.say('{"jsonrpc": "2.0", "id": 1, "method": "update"}')
    assert answer == {"jsonrpc": "2.0", "id": 1, "result": None}


@clause("5-version", "5-result", "5-error", "5-id", "5-one-of")
def test_failure_has_error_only(wire: Wire) -> None:
    (answer,) = wire.say('{"jsonrpc": "2.0", "id": "x", "method": "fail"}')
    failure(answer, -32603, "x")


@clause("5-answer")
def test_sixty_requests_sixty_answers(wire: Wire) -> None:
    ids = []
    for number in range(60):
        name = ("get_data", "fail", "unheard_of")[number % 3]
        ids += [a["id"] for a in wire.say(f'{{"jsonrpc": "2.0", "id": {number}, "method": "{name}"}}')]
    assert ids == list(range(60))


@clause("5-id-null")
def test_id_null_where_unknown(wire: Wire) -> None:
    for text in ('{"jsonrpc": "2.0", "id": 1, "method"', "1", '"x"', "null", '{"jsonrpc": "2.0"}', "{}"):
        (answer,) = wire.say(text)
        assert answer["id"] is None
        assert answer["error"]["code"] in (-32700, -32600)


@clause("5-one-of")
def test_answers_to_us_with_both_or_neither() -> None:
    session = Session(PlainJson())
    for members in ('"result": 1, "error": {"code": 1, "message": "x"}', '"result": 1, "error": null'):
        call_id = session.call("a")
        (event,) = session.receive(f'{{"jsonrpc": "2.0", "id": {call_id}, {members}}}'.encode())
        assert isinstance(event, ErrorReceived)
        assert "both" in event.message
    session.frames()
    call_id = session.call("a")
    session.frames()
    list(session.receive(f'{{"jsonrpc": "2.0", "id": {call_id}}}'.encode()))
    (frame,) = session.frames()
    failure(json.loads(frame), -32600, call_id)
    (event,) = session.receive(f'{{"jsonrpc": "2.0", "id": {call_id}, "result": 1}}'.encode())
    assert isinstance(event, ResultReceived)


@clause("5.1-code", "5.1-message", "5.1-data")
def test_error_object(wire: Wire) -> None:
    for text in ('{"jsonrpc": "2.0", "id": 1, "method": "unheard_of"}', "[", "{}"):
        error = wire.say(text)[0]["error"]
        assert type(error["code"]) is int
        assert isinstance(error["message"], str)
        assert error["message"]
        assert "\n" not in error["message"]
        assert error["data"]["executed"] == "no"


@clause("5.1-parse-error")
@pytest.mark.parametrize(
    "text", ["", " ", "{", "[1,]", '{"a": 1,}', "nul", "{'a': 1}", '{"a": 01}', '{"a": 1} {"b": 2}', "\ufeff{}", "NaN"]
)
def test_parse_error(wire: Wire, text: str) -> None:
    (answer,) = wire.say(text)
    failure(answer, -32700, None)


@clause("5.1-invalid-request")
@pytest.mark.parametrize("text", ["1", "null", "true", '"x"', "{}", '{"jsonrpc": "2.0"}', '{"foo": "boo"}'])
def test_invalid_request(wire: Wire, text: str) -> None:
    (answer,) = wire.say(text)
    failure(answer, -32600, None)


@clause("5.1-method-not-found")
def test_method_not_found(wire: Wire) -> None:
    for name in ("unheard_of", "", "spec.__class__", "spec._x", "spec", "spec.", "GET_DATA", "a.b.c"):
        (answer,) = wire.say(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name}))
        failure(answer, -32601, 1)


@clause("5.1-invalid-params")
@pytest.mark.parametrize(
    ("params", "place"),
    [
        ("[42]", "subtrahend"),
        ('[42, "x"]', "subtrahend"),
        ("[1.5, 2]", "minuend"),
        ('{"minuend": null, "subtrahend": 1}', "minuend"),
        ('{"minuend": 1, "subtrahend": 2, "more": 3}', "more"),
    ],
)
def test_invalid_params(wire: Wire, params: str, place: str) -> None:
    (answer,) = wire.say(f'{{"jsonrpc": "2.0", "id": 1, "method": "subtract", "params": {params}}}')
    failure(answer, -32602, 1)
    assert [error["loc"] for error in answer["error"]["data"]["errors"]] == [[place]]
    assert place in answer["error"]["message"]


@clause("5.1-internal")
def test_internal_error(wire: Wire) -> None:
    (answer,) = wire.say('{"jsonrpc": "2.0", "id": 1, "method": "fail"}')
    failure(answer, -32603, 1)
    assert "secret" not in json.dumps(answer)


@clause("5.1-reserved-codes")
def test_codes_of_ours() -> None:
    from rpcwire import errors

    table = dict(errors.BY_CODE)
    assert {-32700, -32600, -32601, -32602, -32603} <= table.keys()
    ours = table.keys() - {-32700, -32600, -32601, -32602, -32603, -32800}
    assert all(-32099 <= code <= -32000 for code in (*ours, errors.ServiceError.code))


# --- section 6: batches ----------------------------------------------------------------------------------------------


@clause("6-array", "6-answer-array", "6-one-each", "6-any-order")
def test_batch(wire: Wire) -> None:
    (answers,) = wire.say(
        '[{"jsonrpc": "2.0", "id": "a", "method": "sum", "params": [1, 2, 4]},'
        ' {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},'
        ' {"jsonrpc": "2.0", "id": "b", "method": "fail"},'
        ' {"jsonrpc": "2.0", "id": "c", "method": "get_data"}]'
    )
    by_id = {answer["id"]: answer for answer in answers}
    assert by_id.keys() == {"a", "b", "c"}
    assert len(answers) == 3
    assert by_id["a"]["result"] == 7
    assert by_id["b"]["error"]["code"] == -32603
    assert by_id["c"]["result"] == ["hello", 5]
    (answers,) = wire.say('[{"jsonrpc": "2.0", "id": 1, "method": "get_data"}]')
    assert answers == [{"jsonrpc": "2.0", "id": 1, "result": ["hello", 5]}]


@clause("6-invalid")
def test_batch_invalid_json(wire: Wire) -> None:
    (answer,) = wire.say('[{"jsonrpc": "2.0", "id": 1, "method": "get_data"}, {"jsonrpc": "2.0", "method"]')
    failure(answer, -32700, None)


@clause("6-invalid")
def test_batch_empty(wire: Wire) -> None:
    (answer,) = wire.say("[]")
    failure(answer, -32600, None)


@clause("6-invalid-entries")
def test_batch_of_wrong_entries(wire: Wire) -> None:
    (answers,) = wire.say('[1, 2, {"jsonrpc": "2.0", "id": 3, "method": 4}, [[]], "x", null]')
    assert len(answers) == 6
    for answer in answers:
        failure(answer, -32600, answer["id"])
    assert [answer["id"] for answer in answers] == [None, None, 3, None, None, None]


@clause("6-nothing", "4.1-silence")
def test_batch_of_notifications(wire: Wire) -> None:
    text = (
        '[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]}, {"jsonrpc": "2.0", "method": "notify_hello"}]'
    )
    assert wire.say(text, answers=0) == []


# --- section 7: the specification's own examples ----------------------------------------------------------------------

# What is sent, and what comes back, members in the order of the specification; error texts and data are our own.
EXAMPLES: list[tuple[str, str, str | None]] = [
    ("positional", '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}', '{"jsonrpc": "2.0", "result": 19, "id": 1}'),
    ("positional reversed", '{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}', '{"jsonrpc": "2.0", "result": -19, "id": 2}'),
    ("named", '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}', '{"jsonrpc": "2.0", "result": 19, "id": 3}'),
    ("named reversed", '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}', '{"jsonrpc": "2.0", "result": 19, "id": 4}'),
    ("notification", '{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', None),
    ("notification of no method", '{"jsonrpc": "2.0", "method": "foobar"}', None),
    ("no such method", '{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', '{"jsonrpc": "2.0", "error": {"code": -32601}, "id": "1"}'),
    ("invalid JSON", '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', '{"jsonrpc": "2.0", "error": {"code": -32700}, "id": null}'),
    ("invalid request", '{"jsonrpc": "2.0", "method": 1, "params": "bar"}', '{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}'),
    ("batch, invalid JSON", '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"]', '{"jsonrpc": "2.0", "error": {"code": -32700}, "id": null}'),
    ("empty array", "[]", '{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}'),
    ("invalid batch", "[1]", '[{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}]'),
    ("invalid batch of three", "[1,2,3]", "[" + ", ".join(['{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null}'] * 3) + "]"),
    (
        "batch",
        ('[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},'
        '{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},'
        '{"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},'
        '{"foo": "boo"},'
        '{"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},'
        '{"jsonrpc": "2.0", "method": "get_data", "id": "9"}]'),
        ('[{"jsonrpc": "2.0", "result": 7, "id": "1"},'
        '{"jsonrpc": "2.0", "result": 19, "id": "2"},'
        '{"jsonrpc": "2.0", "error": {"code": -32600}, "id": null},'
        '{"jsonrpc": "2.0", "error": {"code": -32601}, "id": "5"},'
        '{"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}]'),
    ),
    ("batch of notifications", '[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]', None),
]  # fmt: skip


def bare(answer: Any) -> Any:
    """An answer without the text and the data of its error, which the specification leaves open."""
    if isinstance(answer, list):
        return sorted((bare(one) for one in answer), key=lambda one: json.dumps(one, sort_keys=True))
    if "error" in answer:
        return {**answer, "error": {"code": answer["error"]["code"]}}
    return answer


@clause("7-examples")
@pytest.mark.parametrize(("sent", "expected"), [pytest.param(s, e, id=name) for name, s, e in EXAMPLES])
def test_examples(wire: Wire, sent: str, expected: str | None) -> None:
    answers = wire.say(sent, answers=0 if expected is None else 1)
    assert [bare(answer) for answer in answers] == ([] if expected is None else [bare(json.loads(expected))])


# --- the manifest itself ---------------------------------------------------------------------------------------------


def test_every_clause_has_its_tests_and_every_test_its_clauses() -> None:
    tests = {
        name: getattr(function, "clauses", ())
        for name, function in inspect.getmembers(sys.modules[__name__], inspect.isfunction)
        if name.startswith("test_") and function is not test_every_clause_has_its_tests_and_every_test_its_clauses
    }
    assert {(clause_id, test) for clause_id, (_, names) in MANIFEST.items() for test in names} == {
        (clause_id, test) for test, ids in tests.items() for clause_id in ids
    }
    assert all(names for _, names in MANIFEST.values())
    assert all(tests.values()), "each test names the clauses that it shows"
    skipped = {
        mark.name
        for name in tests
        for mark in getattr(getattr(sys.modules[__name__], name), "pytestmark", ())
        if mark.name in ("skip", "skipif", "xfail", "soak")
    }
    assert not skipped, "a clause is shown only by a test that runs"
    for section in ("4", "4.1", "4.2", "5", "5.1", "6", "7", "8"):
        assert any(clause_id.startswith(f"{section}-") for clause_id in MANIFEST)
