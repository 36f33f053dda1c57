"""The service that the contract suite calls: how calls behave. What values become is in :mod:`kinds`."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel
from typing_extensions import TypedDict

from rpcserver import Context, Service, ServiceError, SlowPolicy, method


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(Enum):
    NUMBER = 7
    TEXT = "seven"


class Inner(BaseModel):
    data: bytes
    when: dt.datetime
    exact: Decimal


class Outer(BaseModel):
    id: UUID
    inner: Inner
    rest: list[Inner] = []
    by_name: dict[str, bytes] = {}
    level: Level = Level.LOW
    odd: float = 0.0


@dataclass
class Point:
    x: int
    y: Decimal
    tag: bytes = b""


class Pair(NamedTuple):
    left: int
    right: bytes


class Options(TypedDict):
    name: str
    raw: bytes


class OutOfStock(ServiceError):
    """There is not enough of it."""

    item: str
    left: int
    since: dt.datetime
    sample: bytes = b""


class Undeclared(ServiceError):
    """Raised, but not declared by the method."""

    secret: str


class Contract(Service):
    """What the contract suite calls."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.events: dict[str, asyncio.Event] = {}

    def event(self, name: str) -> asyncio.Event:
        return self.events.setdefault(name, asyncio.Event())

    @method(kind="read")
    async def add(self, a: int, b: int = 10) -> int:
        """Add two numbers.

        The second may be left out."""
        return a + b

    @method(kind="read")
    def block(self, seconds: float, value: str) -> str:
        """Wait in a thread."""
        time.sleep(seconds)
        return value

    @method()
    async def named_only(self, *, first: str, second: int = 2) -> str:
        """Parameters by name only."""
        return f"{first}:{second}"

    @method()
    async def nothing(self) -> None:
        """Give nothing."""

    @method(errors=(OutOfStock,))
    async def order(self, item: str, count: int) -> int:
        """Fail as declared."""
        raise OutOfStock(
            f"no {count} of {item}",
            item=item,
            left=3,
            since=dt.datetime(2026, 11, 23, 7, 47, 32, 1, dt.timezone(dt.timedelta(hours=2))),
            sample=b"\x00\xff",
        )

    @method()
    async def undeclared(self) -> None:
        """Fail in a way that the method does not declare, but the service knows."""
        raise Undeclared("not on the list", secret="s3")

    @method()
    async def broken(self) -> None:
        """Fail by a bug."""
        raise ValueError("/etc/secret is what nobody may read")

    @method()
    async def slow(self, seconds: float, value: str) -> str:
        """Wait on the loop."""
        await asyncio.sleep(seconds)
        return value

    @method()
    async def when(self, name: str, value: str) -> str:
        """Wait for an event."""
        await self.event(name).wait()
        return value

    @method()
    async def until_cancelled(self, name: str) -> None:
        """Wait until the caller gives up."""
        self.event(f"{name} began").set()
        try:
            await asyncio.Event().wait()
        finally:
            self.event(f"{name} ended").set()

    @method()
    async def report(self, steps: int, ctx: Context) -> int:
        """Report progress."""
        for step in range(1, steps + 1):
            ctx.progress(step, steps, f"step {step}")
            await asyncio.sleep(0)
        return steps

    @method()
    async def note(self, value: str) -> None:
        """Take note."""
        self.seen.append(value)
        self.event(f"note {value}").set()

    @method()
    async def wait_for(self, name: str) -> None:
        """Wait for an event, for clients that are in another process."""
        await self.event(name).wait()

    @method()
    async def about(self, ctx: Context) -> dict[str, Any]:
        """What a handler is told."""
        return {
            "key": ctx.key,
            "remaining_s": ctx.remaining_s(),
            "principal": ctx.principal.name,
            "method": ctx.method,
        }

    # --- streams --------------------------------------------------------------------------------------------------

    @method()
    async def count(self, n: int, name: str = "") -> AsyncIterator[int]:
        """Count up to ``n``."""
        try:
            for i in range(n):
                yield i
        finally:
            self.event(f"{name} ended").set()

    @method(slow_policy=SlowPolicy.LATEST)
    async def newest(self, n: int, name: str) -> AsyncIterator[int]:
        """Count up to ``n`` at once, for readers who want the newest only; then wait."""
        for i in range(n):
            yield i
        self.event(f"{name} flooded").set()
        await asyncio.Event().wait()

    @method()
    async def one_and_wait(self, name: str) -> AsyncIterator[int]:
        """One item, and no other."""
        try:
            yield 1
            self.event(f"{name} began").set()
            await asyncio.Event().wait()
        finally:
            self.event(f"{name} ended").set()

    @method()
    def count_in_thread(self, n: int) -> Iterator[int]:
        """Count in a thread."""
        yield from range(n)

    @method(errors=(OutOfStock,))
    async def count_then_fail(self, n: int) -> AsyncIterator[int]:
        """Count, then fail."""
        for i in range(n):
            yield i
        raise OutOfStock("no more", item="numbers", left=0, since=dt.datetime(2026, 1, 1))

    @method()
    async def fail_to_begin(self, n: int) -> AsyncIterator[int]:
        """Fail before the first item."""
        raise ValueError(n)
        yield n

    @method()
    async def blobs(self, n: int, size: int) -> AsyncIterator[bytes]:
        """Items of some size."""
        for i in range(n):
            yield bytes([i % 256]) * size

    @method()
    async def total(self, items: AsyncIterator[int], ctx: Context) -> int:
        """Add up what comes."""
        total = 0
        async for item in items:
            total += item
            ctx.progress(total)
        return total

    @method()
    async def first(self, items: AsyncIterator[int], name: str = "") -> int:
        """Take the first item only."""
        async for item in items:
            return item
        return -1

    @method()
    async def totals(self, left: AsyncIterator[int], right: AsyncIterator[int]) -> tuple[int, int]:
        """Add up two streams, one after the other."""
        return sum([i async for i in left]), sum([i async for i in right])

    @method()
    async def doubled(self, items: AsyncIterator[int]) -> AsyncIterator[int]:
        """A stream for a stream."""
        async for item in items:
            yield item * 2

    # --- back to the caller -----------------------------------------------------------------------------------------

    @method()
    async def ask_back(self, method: str, params: dict[str, Any], timeout_s: float | None, ctx: Context) -> Any:
        """Call the caller."""
        return await ctx.caller.call(method, params, timeout_s=timeout_s)

    @method()
    async def tell_back(self, method: str, params: dict[str, Any], ctx: Context) -> None:
        """Notify the caller."""
        await ctx.caller.notify(method, params)
