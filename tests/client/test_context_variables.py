"""Whatever a client calls of its user's sees the context variables of that user: hooks, sources of streams, handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
import uvloop

from rpcclient import AsyncClient, Client, Context, Service, method
from rpcwire.context import Connection

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


class Offered(Service):
    """What the clients offer, with plain functions."""

    name = "offered"

    def __init__(self) -> None:
        super().__init__()
        self.closed: list[str] = []

    @method()
    def plain(self) -> str:
        """In a thread."""
        seen = WHO.get()
        WHO.set("the handler")
        return seen

    @method()
    async def inline(self) -> str:
        """A coroutine that awaits nothing."""
        seen = WHO.get()
        WHO.set("the handler")
        return seen

    @method()
    def items(self) -> Iterator[str]:
        """A generator, each item made in a thread."""
        yield WHO.get()
        WHO.set("the generator")
        yield WHO.get()

    @method()
    def listed(self) -> Iterator[str]:
        """An iterator that a handler makes."""
        WHO.set("the handler")
        return (WHO.get() for _ in range(2))

    @method()
    def watch(self, ctx: Context) -> None:
        """Have the end of the connection told."""
        WHO.set("the watcher")
        ctx.connection.on_close(lambda: self.closed.append(WHO.get()))


class Waiting(Offered):
    """The same, with a coroutine that awaits."""

    name = "offered"

    @method()
    async def waits(self) -> str:
        """In a task."""
        await asyncio.sleep(0)
        seen = WHO.get()
        WHO.set("the handler")
        return seen


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Runs a coroutine on each loop."""

    def run(main: Any) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(main)

    return run


def test_hooks_and_sources_of_tasks(run: Any, running: Any) -> None:
    """Several tasks share one client, and each is told in its own context."""

    async def source(seen: list[str]) -> AsyncIterator[int]:
        for number in range(3):
            seen.append(WHO.get())
            yield number

    async def one(client: AsyncClient, name: str) -> None:
        WHO.set(name)
        hooks: list[str] = []
        items: list[str] = []
        watched = client.options(progress=lambda *_: hooks.append(WHO.get()))
        assert await watched.call("desk.report", [3]) == 3
        async with watched.batch() as batch:
            batch.call("desk.report", [2])
        assert await client.service("desk").total(source(items)) == 3
        assert (set(hooks), len(hooks), items) == ({name}, 5, [name] * 3)

    async def main() -> None:
        async with AsyncClient(running.unix) as client:
            await asyncio.gather(*(one(client, f"task {number}") for number in range(4)))

    run(main())


def test_hooks_and_sources_of_threads(running: Any) -> None:
    hooks: list[str] = []
    items: list[str] = []

    def source() -> Iterator[int]:
        for number in range(3):
            items.append(WHO.get())
            yield number

    before = WHO.set("the caller")
    try:
        with Client(running.unix) as client:
            assert client.options(progress=lambda *_: hooks.append(WHO.get())).call("desk.report", [3]) == 3
            assert client.service("desk").total(source()) == 3
    finally:
        WHO.reset(before)
    assert (hooks, items) == (["the caller"] * 3, ["the caller"] * 3)


METHODS = ["plain", "inline"]


def test_handlers_of_an_async_client(run: Any, running: Any) -> None:
    """They see the context of whoever made the client, and not that of the call that happened to connect it."""
    offered = Waiting()

    async def first(client: AsyncClient) -> None:
        WHO.set("the first caller")
        await client.call("desk.add", [1])

    async def main() -> None:
        WHO.set("the maker")
        client = AsyncClient(running.unix, services=[offered])
        await asyncio.create_task(first(client))
        for name in [*METHODS, "waits"] * 2:  # What a handler sets stays with it.
            assert await client.call("desk.ask", [f"offered.{name}", {}]) == "the maker"
        assert await client.call("desk.ask_items", ["offered.items"]) == ["the maker", "the generator"]
        assert await client.call("desk.ask_items", ["offered.listed"]) == ["the handler"] * 2
        await client.call("desk.ask", ["offered.watch", {}])
        await client.close()

    run(main())
    assert offered.closed == ["the watcher"]


def test_handlers_of_a_sync_client(running: Any) -> None:
    offered = Offered()
    before = WHO.set("the maker")
    client = Client(running.unix, services=[offered])
    WHO.set("the caller")
    try:
        for name in METHODS * 10:  # More than there were threads, so that they serve again.
            assert client.call("desk.ask", [f"offered.{name}", {}]) == "the maker"
        assert client.call("desk.ask_items", ["offered.items"]) == ["the maker", "the generator"]
        assert client.call("desk.ask_items", ["offered.listed"]) == ["the handler"] * 2
        client.call("desk.ask", ["offered.watch", {}])
    finally:
        client.close()
        WHO.reset(before)
    assert offered.closed == ["the watcher"]


def test_the_end_of_a_connection_is_told_in_the_context_of_whoever_asked() -> None:
    import logging

    seen: list[str] = []
    connection = Connection("c1", "memory", None, logger=logging.getLogger("test"))  # type: ignore[arg-type]
    before = WHO.set("the asker")
    connection.on_close(lambda: seen.append(WHO.get()))
    forget = connection.on_close(lambda: seen.append("never"))
    WHO.reset(before)
    forget()
    connection.close()
    assert seen == ["the asker"]
