"""How calls behave, on every leg."""

from __future__ import annotations

import datetime as dt
import gc
import threading
import time
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

from rpcclient import RpcError
from rpcclient.errors import (
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    ServiceError,
)


def test_by_position_by_name_and_by_stub(side: Any) -> None:
    assert side.contract.add(1, 2) == 3
    assert side.contract.add(a=1, b=2) == 3
    assert side.contract.add(1) == 11
    assert side.client.call("contract.add", [1, 2]) == 3
    assert side.client.call("contract.add", {"b": 2, "a": 1}) == 3
    assert side.client.call("contract.add", {"a": 1}, returns=float) == 11.0
    assert side.client.service("contract").add(1, b=5) == 6
    assert side.contract.named_only(first="x") == "x:2"
    assert side.contract.nothing() is None
    assert side.client.call("contract.nothing") is None


def test_declared_error_is_the_stubs_class(side: Any, modules: Any) -> None:
    with pytest.raises(modules["contract_stub"].OutOfStock, match="no 5 of pears") as caught:
        side.contract.order("pears", 5)
    error = caught.value
    assert (error.item, error.left, error.sample) == ("pears", 3, b"\x00\xff")
    assert error.since == dt.datetime(2026, 11, 23, 7, 47, 32, 1, dt.timezone(dt.timedelta(hours=2)))
    assert error.since.utcoffset() == dt.timedelta(hours=2)
    assert error.executed == "yes"
    assert type(error) is not modules["contract_service"].OutOfStock


def test_declared_error_without_a_stub(side: Any) -> None:
    with pytest.raises(ServiceError) as caught:
        side.client.call("contract.order", ["pears", 5])
    assert caught.value.type == "OutOfStock"
    assert caught.value.details["item"] == "pears"


def test_error_that_the_method_does_not_declare(side: Any) -> None:
    with pytest.raises(RpcError) as caught:
        side.contract.undeclared()
    assert caught.value.type == "Undeclared"


def test_bug_in_a_handler_leaks_nothing(side: Any) -> None:
    with pytest.raises(InternalError) as caught:
        side.contract.broken()
    assert "secret" not in str(caught.value.to_wire())
    assert caught.value.executed == "yes"
    assert caught.value.details["incident"] in str(caught.value)


def test_invalid_params_name_the_field(side: Any) -> None:
    cases: list[Any] = [([1, "x"], "b"), ({"a": "x"}, "a"), ({}, "a"), (None, "a"), ({"a": 1, "c": 2}, "c")]
    for params, field in cases:
        with pytest.raises(InvalidParams) as caught:
            side.client.call("contract.add", params)
        assert caught.value.executed == "no"
        assert [e["loc"][0] for e in caught.value.errors] == [field]
    with pytest.raises(InvalidParams):
        side.client.call("contract.add", [1, 2, 3])
    assert side.contract.add(1, 1) == 2


def test_params_that_cannot_be_sent(side: Any) -> None:
    with pytest.raises(InvalidParams):
        side.client.call("contract.add", [object()])
    with pytest.raises(InvalidParams, match="a"):
        side.contract.add("x")
    with pytest.raises((InvalidParams, InvalidRequest)):
        side.client.call("contract.add", 5)
    assert side.contract.add(1, 1) == 2


def test_no_such_method(side: Any) -> None:
    for name in ("contract.nope", "nope.add", "", "contract.__init__", "contract.service.x", "é" * 300):
        with pytest.raises(MethodNotFound) as caught:
            side.client.call(name, [])
        assert caught.value.executed == "no"


def test_deadline(side: Any) -> None:
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        side.using(timeout_s=0.15).contract.slow(30, "late")
    assert 0.1 < time.monotonic() - begun < 5
    assert side.using(timeout_s=5).contract.slow(0, "soon") == "soon"


def test_no_time_left(side: Any) -> None:
    for timeout_s in (0, -1, float("nan")):
        with pytest.raises(DeadlineExceeded) as caught:
            side.using(timeout_s=timeout_s).contract.add(1)
        assert caught.value.executed == "no"


def test_a_deadline_without_end(side: Any) -> None:
    assert side.using(timeout_s=float("inf")).contract.add(1) == 11
    assert side.using(timeout_s=1e300).contract.add(1) == 11


def test_what_goes_with_a_call(side: Any, leg: Any) -> None:
    told = side.using(timeout_s=7, key="k1").contract.about()
    plain = leg[2] == "jsonrpc"
    assert told["key"] == (None if plain else "k1")
    assert 50 < told["remaining_s"] <= 60 if plain else 5 < told["remaining_s"] <= 7
    assert told["method"] == "contract.about"


def test_cancel(side: Any, leg: Any) -> None:
    name = f"cancel {leg}"
    side.interrupt(side.contract.until_cancelled, name, after=lambda: side.event(f"{name} began"))
    side.event(f"{name} ended")
    assert side.contract.add(1, 1) == 2


def test_cancelled_by_the_server_side(side: Any) -> None:
    """`rpc.cancel` of a call that nobody makes changes nothing, and the connection goes on."""
    side.client.notify("rpc.cancel", {"id": 10**9})
    assert side.contract.add(1, 1) == 2
    assert issubclass(Cancelled, RpcError)


def test_progress(side: Any) -> None:
    reports: list[Any] = []
    assert side.using(progress=lambda *report: reports.append(report)).contract.report(5) == 5
    assert reports == [(step, 5, f"step {step}") for step in range(1, 6)]


def test_progress_hook_that_fails(side: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("hook")

    assert side.using(progress=fail).contract.report(2) == 2
    assert "progress hook" in caplog.text


def test_batch(side: Any) -> None:
    reports: list[Any] = []
    with side.using(progress=lambda *report: reports.append(report)).client.batch() as opened:
        batch = getattr(opened, "bare", opened)
        one = batch.call("contract.add", [1, 2])
        two = batch.call("contract.add", [1, 2], returns=float)
        bad = batch.call("contract.add", ["x"])
        slow = batch.call("contract.slow", [0.05, "slow"])
        steps = batch.call("contract.report", [3])
        batch.notify("contract.note", ["in a batch"])
        with pytest.raises(RpcError, match="not sent yet"):
            one.result()
    assert (one.result(), two.result(), slow.result(), steps.result()) == (3, 3.0, "slow", 3)
    assert isinstance(two.result(), float)
    with pytest.raises(InvalidParams):
        bad.result()
    assert [done for done, _, _ in reports] == [1, 2, 3]
    side.event("note in a batch")


def test_batches_of_nothing_and_of_notifications(side: Any, leg: Any) -> None:
    with side.client.batch():
        pass
    with side.client.batch() as batch:
        getattr(batch, "bare", batch).notify("contract.note", [f"alone {leg}"])
    side.event(f"note alone {leg}")


def test_batch_whose_block_fails_sends_nothing(side: Any, leg: Any) -> None:
    with pytest.raises(ZeroDivisionError), side.client.batch() as batch:
        getattr(batch, "bare", batch).notify("contract.note", [f"never {leg}"])
        result = getattr(batch, "bare", batch).call("contract.add", [1, 2])
        raise ZeroDivisionError
    with pytest.raises(Cancelled, match="was not sent: its 'with' block raised") as caught:
        result.result()
    assert caught.value.executed == "no"
    assert side.contract.add(1, 1) == 2
    assert f"never {leg}" not in side.service.seen


def test_batch_that_is_interrupted(side: Any, leg: Any) -> None:
    """Ctrl-C, or a cancelled task: all its calls end over there."""
    names = [f"batch {number} {leg}" for number in (1, 2)]
    results: list[Any] = []

    def fill(batch: Any) -> None:
        results.extend(batch.call("contract.until_cancelled", [name]) for name in names)

    def send() -> None:
        with side.client.batch() as batch:
            fill(batch)

    async def send_too() -> None:
        async with side.bare.batch() as batch:
            fill(batch)

    def began() -> None:
        for name in names:
            side.event(f"{name} began")

    side.interrupt(send if side.flavour == "sync" else side.method(send_too), after=began)
    for name in names:
        side.event(f"{name} ended")
    for result in results:
        with pytest.raises(Cancelled, match="ended before the answer to this call came") as caught:
            result.result()
        assert caught.value.executed == "unknown"
    assert side.contract.add(1, 1) == 2


def test_batch_of_which_a_result_cannot_be_made(side: Any, leg: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a type of the caller's own raises comes out at once, and what is under way ends over there. What has
    failed meanwhile is not logged as something that nobody asked for."""
    name = f"unmade {leg}"

    def refuse(value: int) -> int:
        raise LookupError(value)

    with pytest.raises(LookupError), side.client.batch() as opened:
        batch = getattr(opened, "bare", opened)
        batch.call("contract.add", [1, 2], returns=Annotated[int, AfterValidator(refuse)])
        batch.call("contract.add", ["x"])
        if side.client.hello().subprotocol != "jsonrpc":  # In the plain form all answers come as one.
            batch.call("contract.until_cancelled", [name])
    if side.client.hello().subprotocol != "jsonrpc":
        side.event(f"{name} ended")
    assert side.contract.add(1, 1) == 2
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_batch_deadline(side: Any) -> None:
    with side.using(timeout_s=0.2).client.batch() as opened:
        batch = getattr(opened, "bare", opened)
        fast, slow = batch.call("contract.add", [1, 2]), batch.call("contract.slow", [30, "x"])
    with pytest.raises(DeadlineExceeded):
        slow.result()
    if side.client.hello().subprotocol == "jsonrpc":
        with pytest.raises(DeadlineExceeded):  # In the plain form all answers come as one.
            fast.result()
    else:
        assert fast.result() == 3


def test_notify(side: Any, leg: Any) -> None:
    side.client.notify("contract.note", {"value": f"told {leg}"})
    side.event(f"note told {leg}")
    side.client.notify("contract.nope")
    side.client.notify("contract.note", ["too", "many"])
    side.client.notify("contract.broken")
    assert side.contract.add(1, 1) == 2


def test_many_calls_at_once_fast_ones_do_not_wait(side: Any, leg: Any) -> None:
    """64 calls of mixed length: those that take no time, or little, end while the slow ones go on."""
    name = f"many {leg}"
    slow = [side.start(side.contract.when, name, f"slow {i}") for i in range(24)]
    fast = [side.start(side.contract.slow, 0.0, f"fast {i}") for i in range(20)]
    threads = [side.start(side.contract.block, 0.01, f"thread {i}") for i in range(20)]
    answers = [future.result(10) for future in [*fast, *threads]]
    assert answers == [*(f"fast {i}" for i in range(20)), *(f"thread {i}" for i in range(20))]
    assert not any(future.done() for future in slow)
    side.running.loop.call_soon_threadsafe(side.service.event(name).set)
    assert [future.result(10) for future in slow] == [f"slow {i}" for i in range(24)]


def test_what_there_is(side: Any, leg: Any) -> None:
    hello = side.client.hello()
    assert hello.subprotocol == leg[2]
    assert hello.principal.name
    services = {service.name: service for service in side.client.services()}
    assert {"contract", "kinds"} <= services.keys()
    assert "add" in {method.name.rpartition(".")[2] for method in services["contract"].methods}
    described = side.client.describe("contract")
    assert str(described.methods["add"].signature) == "(a: int, b: int = 10) -> int"
    with pytest.raises(MethodNotFound, match="contract"):
        side.client.describe("nope")


def test_client_is_connected(side: Any) -> None:
    side.contract.add(1, 1)
    assert side.client.connected is True
    assert isinstance(side.client.url, str)


def test_threads_share_a_client(side: Any) -> None:
    """Several threads, each with its own calls: every answer reaches the one who asked."""
    wrong: list[Any] = []

    def work(number: int) -> None:
        answers = [side.contract.add(number * 1000, i) for i in range(20)]
        wrong.extend(set(answers) ^ {number * 1000 + i for i in range(20)})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert wrong == []
