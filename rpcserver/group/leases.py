"""Leases: locks with a number that grows with each holder, and with an end that a frozen holder cannot outlive.

The holder counts its time from before it asked. So it always takes the lease for lost before anybody else can have it:
others count from when they saw the same entry, and a little longer (:mod:`.lease_entries`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from rpcwire.errors import Unavailable
from rpcwire.group.leases import LeaseHeld, LeaseLost

from .lease_entries import Conflict, Entry, Record, Sights, key_of, next_token

logger = logging.getLogger("rpcserver.group")

LOOK_S = 5.0
"""How often whoever waits looks at the entry, in seconds, if nobody tells that it has changed."""
RETRY_S = 0.25
"""How long to wait before a store is asked again that has not answered, in seconds."""
_T = TypeVar("_T")


def read_clock() -> float:
    """Return the time on a clock that nobody sets, and that goes on while the machine sleeps, in seconds."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Store(Protocol):
    """Where leases are stored: :class:`.lease_bucket.BucketStore` or :class:`.lease_file.FileStore`."""

    async def read(self, key: str) -> Record:
        """Return what is stored of a lease."""
        ...

    async def write(self, key: str, entry: Entry, revision: int) -> int:
        """Store an entry, if its last change has this number, and return the number of the new one."""
        ...

    def listening(self, key: str, call: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Call a function after each change of a lease, within the ``with`` block."""
        ...


class LeaseGrant(BaseModel):
    """What a holder is told."""

    model_config = ConfigDict(frozen=True)

    fencing_token: Annotated[
        int, Field(description="Higher than that of each earlier holder. Show it to whatever the lease protects.")
    ]
    ttl_s: Annotated[
        float, Field(description="How long it lasts, in seconds, counted from before the request was sent.")
    ]
    waited_s: Annotated[float, Field(description="How long the request has waited for it, in seconds.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """Who wants which lease.

    Attributes:
        name: its name.
        scope: what it is for.
        id: what the holder will prove itself with.
        holder: who it is, for people.
        ttl_s: how long the lease shall last, in seconds.
    """

    name: str
    scope: str
    id: str
    holder: str = ""
    ttl_s: float = 0.0

    @property
    def key(self) -> str:
        """The key under which the lease is stored."""
        return key_of(self.scope, self.name)


class Leases:
    """Grants leases.

    Parameters:
        store: where they are stored.
        node: the name of this node, for people.
        clock: returns the time on a clock that nobody sets, in seconds.
        wall: returns the time of day, in seconds since 1970.

    Attributes:
        outcomes: counts what became of leases at this node: ``granted``, ``declined`` because somebody held it,
            ``released`` by the holder, ``lost`` when the holder wanted to renew it, ``expired``.
    """

    def __init__(
        self,
        store: Store,
        node: str,
        *,
        clock: Callable[[], float] = read_clock,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self._store = store
        self._node = node
        self._clock = clock
        self._wall = wall
        self._sights = Sights()
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        self._checks: OrderedDict[str, asyncio.TimerHandle] = OrderedDict()
        self._grants: dict[str, str] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def close(self) -> None:
        """Grant nothing more. Leases that are held stay so until they expire."""
        for timer in self._checks.values():
            timer.cancel()
        self._checks.clear()
        for task in tuple(self._tasks):
            task.cancel()

    @property
    def held_count(self) -> int:
        """How many leases are held that this node has granted or renewed."""
        return len(self._grants)

    def waiting(self, scope: str, name: str) -> int:
        """Return how many ask this node for a lease at the moment.

        Parameters:
            scope, name: those of the lease.
        """
        return self._turns.get(key_of(scope, name), (None, 0))[1]

    # --- what clients ask ----------------------------------------------------------------------------------------

    async def acquire(self, request: LeaseRequest, wait_s: float) -> LeaseGrant:
        """Grant a lease, as soon as nobody holds it. Those who wait at this node get it in their order.

        Asked again by the same holder, it is granted again, with the same number.

        Parameters:
            request: who wants which.
            wait_s: how long to wait for it, in seconds.

        Raises:
            LeaseHeld: somebody has held it all that time.
            Unavailable: the store does not answer.
        """
        began = self._clock()
        key = request.key
        try:
            async with self._turn(key, wait_s):
                token = None
                while token is None:
                    changed = asyncio.Event()
                    async with self._store.listening(key, changed.set):
                        token = await self._contend(request, began + wait_s, changed)
        except TimeoutError:  # Others wait before it.
            self.outcomes["declined"] += 1
            raise _held_error(request, (await self._store.read(key)).entry) from None
        return LeaseGrant(fencing_token=token, ttl_s=request.ttl_s, waited_s=round(self._clock() - began, 3))

    async def renew(self, request: LeaseRequest) -> LeaseGrant:
        """Have a lease last as long again, from now on.

        Parameters:
            request: who holds which, with the id of its holder.

        Raises:
            LeaseLost: it is not held by this holder any more.
            Unavailable: the store does not answer.
        """
        key = request.key
        while True:
            record = await self._store.read(key)
            entry = record.entry
            if entry is None or entry.id != request.id:
                self.outcomes["lost"] += 1
                raise LeaseLost(f"the lease {request.name!r} is held no more", lease=request.name)
            with contextlib.suppress(Conflict):
                await self._write(request, entry.renew(), record)
                return LeaseGrant(fencing_token=entry.fencing_token, ttl_s=entry.ttl_s, waited_s=0.0)

    async def release(self, request: LeaseRequest) -> bool:
        """Give a lease back, and return whether it was held by this holder.

        Parameters:
            request: who holds which, with the id of its holder.

        Raises:
            Unavailable: the store does not answer.
        """
        key = request.key
        while True:
            record = await self._store.read(key)
            entry = record.entry
            if entry is None or entry.id != request.id:
                return False
            with contextlib.suppress(Conflict):
                await self._store.write(key, entry.release(), record.revision)
                self._grants.pop(key, None)
                self.outcomes["released"] += 1
                return True

    # --- how it is granted ---------------------------------------------------------------------------------------

    async def _contend(self, request: LeaseRequest, until: float, changed: asyncio.Event) -> int | None:
        """Get a lease, and return its number; ``None`` if the store was lost: then nobody tells of changes any more."""
        key = request.key
        while True:
            changed.clear()
            try:
                record = await self._store.read(key)
                free_at = self._see(key, record)
                if (entry := self._next_entry(request, record, free_at)) is not None:
                    await self._write(request, entry, record)
                    if record.entry is None or record.entry.id != request.id:
                        self.outcomes["granted"] += 1
                    return entry.fencing_token
            except Conflict:
                continue
            except Unavailable:
                if self._clock() + RETRY_S >= until:
                    raise
                await asyncio.sleep(RETRY_S)
                return None
            now = self._clock()
            if now >= until:
                self.outcomes["declined"] += 1
                raise _held_error(request, record.entry)
            pause_s = min(free_at, until, now + LOOK_S * (1 + random.random())) - now  # noqa: S311 - no secret
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(pause_s, 0.001)):
                    await changed.wait()

    def _next_entry(self, request: LeaseRequest, record: Record, free_at: float) -> Entry | None:
        """Return what to store for a holder; ``None`` if the lease is somebody else's."""
        entry = record.entry
        if entry is not None and entry.id == request.id:
            return entry.renew()
        if free_at > self._clock():
            return None
        return Entry(
            name=request.name,
            scope=request.scope,
            fencing_token=next_token(entry, round(self._wall() * 1000)),
            id=request.id,
            holder=request.holder,
            node=self._node,
            ttl_s=request.ttl_s,
        )

    async def _write(self, request: LeaseRequest, entry: Entry, record: Record) -> None:
        """Store an entry for a holder. If the call ends meanwhile, nobody would know of it: then it is given back."""
        key = request.key
        task = self._begin(self._store.write(key, entry, record.revision))
        try:
            revision = await asyncio.shield(task)
        except asyncio.CancelledError:
            if record.entry is None or record.entry.id != request.id:
                self._begin(self._take_back(key, entry, task))
            raise
        self._grants[key] = entry.id
        self._see(key, Record(revision, entry, record.life))

    async def _take_back(self, key: str, entry: Entry, task: asyncio.Task[int]) -> None:
        # If the holder has asked again meanwhile, the entry has changed, and it keeps the lease.
        with contextlib.suppress(Conflict, Unavailable):
            await self._store.write(key, entry.release(), await task)

    def _begin(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @asynccontextmanager
    async def _turn(self, key: str, wait_s: float) -> AsyncIterator[None]:
        """Have those who want the same lease at this node try one after the other.

        Raises:
            TimeoutError: it was not its turn in that time.
        """
        lock, count = self._turns.get(key, (asyncio.Lock(), 0))
        self._turns[key] = lock, count + 1
        try:
            async with asyncio.timeout(wait_s) if lock.locked() else contextlib.nullcontext():
                await lock.acquire()
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, count = self._turns.pop(key)
            if count > 1:
                self._turns[key] = lock, count - 1

    # --- what became of it ---------------------------------------------------------------------------------------

    def _see(self, key: str, record: Record) -> float:
        """Take note of an entry, and return when it may be replaced. If it is held, look at it again then: if its
        holder is gone, the next one need not wait."""
        now = self._clock()
        free_at = self._sights.free_at(key, record, now)
        if free_at > now and key not in self._checks:
            loop = asyncio.get_running_loop()
            self._checks[key] = loop.call_later(free_at - now, self._check_soon, key)
        return free_at

    def _check_soon(self, key: str) -> None:
        self._checks.pop(key, None)
        self._begin(self._check(key))

    async def _check(self, key: str) -> None:
        """Release a lease whose holder is gone. While it is held, look again and again if this node has granted it."""
        try:
            record = await self._store.read(key)
        except Unavailable:
            self._grants.pop(key, None)
            return
        entry = record.entry
        if entry is None or not entry.id:
            self._grants.pop(key, None)
            return
        now = self._clock()
        left_s = self._sights.free_at(key, record, now) - now
        if left_s <= 0:
            with contextlib.suppress(Conflict, Unavailable):
                await self._store.write(key, entry.release(), record.revision)
                self.outcomes["expired"] += 1
                logger.info("the lease %r of %s has expired", entry.name, entry.holder)
            self._grants.pop(key, None)
        elif self._grants.get(key) == entry.id or left_s < entry.ttl_s / 2:
            self._see(key, record)
        else:
            self._grants.pop(key, None)


def _held_error(request: LeaseRequest, entry: Entry | None) -> LeaseHeld:
    if entry is None or not entry.id:
        return LeaseHeld(f"others wait for the lease {request.name!r} already", lease=request.name)
    return LeaseHeld(
        f"{entry.holder} holds the lease {request.name!r}, through {entry.node}: wait for it",
        lease=request.name,
        holder=entry.holder,
        node=entry.node,
    )
