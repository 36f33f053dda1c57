"""The server calls what a client offers, over the same connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

from rpcclient import Context, Service, method
from rpcclient.errors import DeadlineExceeded, RpcError, ServiceError


class NotToday(ServiceError):
    """The client does not want to."""

    until: int


def check(value: str) -> str:
    """A validator with a bug: pydantic only takes ValueError and AssertionError for an answer."""
    raise KeyError(value)


class Desk(Service):
    """What a client offers."""

    def __init__(self, back: list[Any]) -> None:
        super().__init__()
        self.back = back
        self.noted = threading.Event()
        self.began = threading.Event()
        self.stopped = threading.Event()

    @method()
    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @method()
    async def inline(self, a: int) -> int:
        """A coroutine that awaits nothing."""
        return -a

    @method(errors=(NotToday,))
    def refuse(self) -> None:
        """Fail as declared."""
        raise NotToday("come back later", until=5)

    @method()
    def broken(self) -> None:
        """Fail by a bug."""
        raise ValueError("secret")

    @method()
    def wrong(self) -> int:
        """Give something of another type."""
        return "x"  # type: ignore[return-value]

    @method()
    def leave(self) -> None:
        """Try to end the thread."""
        raise SystemExit

    @method()
    def note(self, value: str) -> None:
        """Take note."""
        self.noted.set()

    @method()
    def checked(self, value: Annotated[str, AfterValidator(check)]) -> None:
        """Never reached: its parameter's validator fails."""

    @method()
    def logs(self, ctx: Context) -> str:
        """Where a handler logs."""
        return ctx.logger.name

    @method()
    def wait(self, ctx: Context) -> str:
        """Wait until told to stop."""
        self.began.set()
        while not ctx.cancelled:
            time.sleep(0.002)
        self.stopped.set()
        return "stopped"

    @method()
    def again(self, value: int) -> int:
        """Call the server from within a call of the server."""
        side = self.back[0]
        answer: int = side.contract.add(value, 1)
        return answer

    @method()
    def count(self, n: int) -> Iterator[int]:
        """Count."""
        yield from range(n)


@pytest.fixture
def desk(sides: Callable[..., Any], leg: Any) -> Any:
    back: list[Any] = []
    desk = Desk(back)
    side = sides(leg, services=[desk])
    back.append(side)
    side.desk = desk
    yield side
    side.client.close()


def ask(side: Any, method: str, params: dict[str, Any] | None = None, timeout_s: float | None = None) -> Any:
    return side.contract.ask_back(f"desk.{method}", params or {}, timeout_s)


def test_the_server_calls_back(desk: Any) -> None:
    assert ask(desk, "add", {"a": 1, "b": 2}) == 3
    assert ask(desk, "inline", {"a": 5}) == -5
    desk.contract.tell_back("desk.note", {"value": "x"})
    assert desk.desk.noted.wait(10)


def test_what_a_client_offers_logs_as_the_clients(desk: Any) -> None:
    assert ask(desk, "logs") == "rpcclient.services.desk"


def test_errors_come_back(desk: Any) -> None:
    with pytest.raises(RpcError) as caught:
        ask(desk, "refuse")
    assert (caught.value.type, caught.value.details) == ("NotToday", {"until": 5})
    with pytest.raises(RpcError) as caught:
        ask(desk, "broken")
    assert "secret" not in str(caught.value)
    for name, params in (("add", {"a": "x"}), ("nope", {}), ("wrong", {}), ("_x", {})):
        with pytest.raises(RpcError):
            ask(desk, name, params)
    assert ask(desk, "add", {"a": 1, "b": 2}) == 3


def test_a_handler_that_ends_its_thread_is_answered(desk: Any) -> None:
    if desk.flavour == "async":
        return  # asyncio gives SystemExit to the loop: the process is asked to end.
    with pytest.raises(RpcError):
        ask(desk, "leave")
    assert ask(desk, "add", {"a": 1, "b": 2}) == 3


def test_a_validator_with_a_bug_costs_no_connection(desk: Any) -> None:
    for _ in range(2):
        with pytest.raises(RpcError) as caught:
            ask(desk, "checked", {"value": "secret"})
        assert (caught.value.type, caught.value.executed) == ("InternalError", "no")
        assert "secret" not in str(caught.value)
        desk.contract.tell_back("desk.checked", {"value": "secret"})
    assert ask(desk, "add", {"a": 1, "b": 2}) == 3


def test_the_server_gives_up(desk: Any) -> None:
    timeout_s = 0.5
    while not desk.desk.began.is_set():  # A deadline that passes before the handler begins leaves nothing to stop.
        with pytest.raises(RpcError):
            ask(desk, "wait", {}, timeout_s)
        timeout_s *= 2
        assert timeout_s < 60
    assert desk.desk.stopped.wait(20)
    assert ask(desk, "add", {"a": 1, "b": 2}) == 3


def test_the_server_may_allow_any_time(desk: Any) -> None:
    assert ask(desk, "add", {"a": 1, "b": 2}, 1e300) == 3
    with pytest.raises(DeadlineExceeded, match="no time is left"):
        ask(desk, "add", {"a": 1, "b": 2}, -1.0)


def test_calls_within_calls(desk: Any) -> None:
    if desk.flavour == "async":
        return  # There a handler awaits its own calls; it cannot from a thread.
    assert ask(desk, "again", {"value": 4}) == 5


def test_several_at_once(desk: Any) -> None:
    futures = [desk.start(desk.contract.ask_back, "desk.add", {"a": i, "b": i}, None) for i in range(20)]
    assert [future.result(20) for future in futures] == [2 * i for i in range(20)]


def test_stopping_handlers_when_the_client_closes(desk: Any) -> None:
    future = desk.start(desk.contract.ask_back, "desk.wait", {}, 60.0)
    assert desk.desk.began.wait(10)
    desk.client.close()
    assert desk.desk.stopped.wait(10)
    with pytest.raises(RpcError):
        future.result(10)


def test_nothing_is_offered(side: Any) -> None:
    with pytest.raises(RpcError) as caught:
        side.contract.ask_back("desk.add", {"a": 1, "b": 2}, None)
    assert caught.value.code == -32601
