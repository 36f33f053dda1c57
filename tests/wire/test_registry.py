"""How services are declared and found."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rpcserver import Context, Health, Service, ServiceConfig, method
from rpcwire import locations
from rpcwire.context import Connection, Principal, time_left_s
from rpcwire.limits import LONGEST_S
from rpcwire.messages import CallContext
from rpcwire.registry import Mode, Registry, mode_of
from rpcwire.service import MethodSpec, ServiceRuntime


def doubled(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


async def awaits_nothing() -> int:
    return 1


async def awaits_inside_only() -> int:
    async def inner() -> None:
        await asyncio.sleep(0)

    return 1 if inner else 0


async def awaits() -> None:
    await asyncio.sleep(0)


async def with_context_manager() -> None:
    async with asyncio.Lock():
        pass


async def loops() -> None:
    async for _ in items():
        pass


async def comprehends() -> list[int]:
    return [x async for x in items()]


async def items() -> AsyncIterator[int]:
    yield 1


def plain() -> None: ...


def generates() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "mode"),
    [
        (awaits_nothing, Mode.INLINE),
        (awaits_inside_only, Mode.INLINE),
        (awaits, Mode.TASK),
        (with_context_manager, Mode.TASK),
        (loops, Mode.TASK),
        (comprehends, Mode.TASK),
        (doubled(awaits_nothing), Mode.TASK),
        (items, Mode.STREAM),
        (plain, Mode.THREAD),
        (generates, Mode.THREAD_STREAM),
    ],
    ids=lambda p: getattr(p, "__name__", str(p)),
)
def test_mode_of(function: Any, mode: Mode) -> None:
    assert mode_of(function) is mode


class GreeterConfig(ServiceConfig):
    greeting: str = "Hello"


class BigGreeter(Service[GreeterConfig]):
    """Greets.

    At length.
    """

    @method(permission="greet", kind="read", deadline_s=5)
    async def hello(self, name: str, ctx: Context) -> str:
        """Greet one.

        Politely.
        """
        return f"{self.config.greeting}, {name}"

    @method()
    async def bye(self) -> None: ...

    async def private(self) -> None: ...


def test_what_a_class_says() -> None:
    assert BigGreeter.name == "big_greeter"
    assert BigGreeter.config_model is GreeterConfig
    assert BigGreeter().config == GreeterConfig()
    hello, bye = BigGreeter.methods()
    assert (hello.full_name, hello.permission, hello.options.kind) == ("big_greeter.hello", "greet", "read")
    assert bye.permission == "big_greeter.bye"
    assert hello.doc == "Greet one.\n\nPolitely."
    assert asyncio.run(BigGreeter().health()) == Health()


def test_an_override_without_the_mark_is_offered_no_more() -> None:
    class Quiet(BigGreeter):
        async def bye(self) -> None: ...

    assert [spec.attribute for spec in Quiet.methods()] == ["hello"]
    assert Quiet.name == "quiet"
    assert Quiet.config_model is GreeterConfig


def test_registry() -> None:
    registry = Registry(logging.getLogger("t"))
    registry.add(BigGreeter())
    assert set(registry.offers) == {"big_greeter.hello", "big_greeter.bye"}
    assert set(registry.services) == {"big_greeter"}
    assert registry.offers["big_greeter.hello"].logger.name == "t.services.big_greeter"
    offer = registry.get("big_greeter.hello")
    assert offer is not None
    assert offer.mode is Mode.INLINE
    for name in ("", "big_greeter", "big_greeter.private", "big_greeter.__class__", "hello", "big_greeter.hello.x"):
        assert registry.get(name) is None
    with pytest.raises(TypeError):
        registry.offers["x"] = offer  # type: ignore[index]


def test_names_that_are_taken_or_reserved() -> None:
    registry = Registry(logging.getLogger("t"))
    registry.add(BigGreeter())
    with pytest.raises(TypeError, match=r"BigGreeter.*already offers.*big_greeter"):
        registry.add(BigGreeter())
    for name in ("rpc", "rpc.more"):
        reserved = type("Reserved", (BigGreeter,), {"name": name})
        with pytest.raises(TypeError, match="reserved"):
            registry.add(reserved())


def test_nothing_to_offer() -> None:
    class Empty(Service):
        async def unmarked(self) -> None: ...

    with pytest.raises(TypeError, match=r"Empty.*@method"):
        Registry(logging.getLogger("t")).add(Empty())


def test_private_methods_cannot_be_offered() -> None:
    class Shy(Service):
        @method()
        async def _hidden(self) -> None: ...

    with pytest.raises(TypeError, match=r"shy\._hidden.*underscore"):
        list(Shy.methods())


def test_a_missing_annotation_stops_the_registry() -> None:
    class Vague(Service):
        @method()
        async def guess(self, a) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(TypeError, match=r"Vague\.guess.*'a'"):
        Registry(logging.getLogger("t")).add(Vague())


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_only_plain_methods_can_be_offered(kind: Any) -> None:
    async def f(a: int) -> int:
        return a

    odd = type("Odd", (Service,), {"f": kind(method()(f))})
    with pytest.raises(TypeError, match=r"odd\.f: .*(static|class)"):
        Registry(logging.getLogger("t")).add(odd())


def test_a_spec_knows_its_contract() -> None:
    (spec, _) = BigGreeter.methods()
    assert isinstance(spec, MethodSpec)
    assert spec.contract is spec.contract
    assert spec.contract.context_name == "ctx"
    assert ServiceRuntime(Path("/x")).logger.name == "rpcserver.services"


# --- connections and places ------------------------------------------------------------------------------------------


def test_a_connection_tells_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("t")
    connection = Connection("c1", "memory", caller=None, logger=logger)  # type: ignore[arg-type]
    told: list[str] = []
    connection.on_close(lambda: told.append("first"))
    forget = connection.on_close(lambda: told.append("never"))
    connection.on_close(lambda: told.append("last"))
    connection.on_close(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    forget()
    forget()
    assert not connection.closed
    with caplog.at_level(logging.ERROR):
        connection.close()
    assert told == ["last", "first"]
    assert "c1" in caplog.text
    assert {record.name for record in caplog.records} == {"t"}
    assert connection.closed
    connection.on_close(lambda: told.append("at once"))()
    assert told[-1] == "at once"


def test_a_context() -> None:
    logger = logging.getLogger("t")
    principal = Principal("me", "memory")
    connection = Connection("c1", "memory", "the caller", principal, logger=logger)  # type: ignore[arg-type]
    reported: list[Any] = []
    context = Context(
        method="a.b", connection=connection, logger=logger, deadline=0.0,
        report=lambda *args: reported.append(args), key="k", traceparent="t",
    )  # fmt: skip
    assert context.principal.name == "me"
    assert context.caller == "the caller"
    assert context.remaining_s() == 0.0
    assert not context.cancelled
    context.cancel()
    assert context.cancelled
    context.progress(1, 2, "x")
    assert reported == [(1, 2, "x")]


@pytest.mark.parametrize(
    ("told", "left"),
    [
        (None, 2.0),
        (CallContext(), 2.0),
        (CallContext(ttl_ms=500), 0.5),
        (CallContext(ttl_ms=-5), 0.0),
        (CallContext(ttl_ms=math.nan), 2.0),
        (CallContext(ttl_ms=math.inf), LONGEST_S),
        (CallContext(ttl_ms=10**400), LONGEST_S),
    ],
)
def test_the_time_that_a_call_has(told: CallContext | None, left: float) -> None:
    assert time_left_s(told, 2.0) == left
    assert time_left_s(None, math.inf) == LONGEST_S


def test_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert locations.state_dir() == tmp_path / "state" / "remote-services"
    assert locations.token_file() == locations.state_dir() / "token"
    assert locations.socket_file() == tmp_path / "remote-services" / "rpcserver.sock"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    assert str(locations.socket_file()).startswith("/tmp/remote-services-")
