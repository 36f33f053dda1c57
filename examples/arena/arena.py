"""A tiny arena: discs push each other about and collect sparks. A plugin with a page, and with a protocol of its own.

Whoever plays gets the number of the own disc in one byte, and from then on the state of the room 60 times a second, in
bytes (little-endian): tick u32, count of sparks u8, count of discs u8; of each spark x u16, y u16; of each disc its
number u8, last move u8, x u16, y u16, score u16. The room is 65535 wide. A move is three bytes: its number u8, and
where to go, x i8 and y i8."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from rpcserver import Context, Service, ServiceError, SlowPolicy, method

TICK_S = 1 / 60
WIDTH, DISC, SPARK = 65535, 1900, 900  # The last two are radii.
PUSH, FRICTION = 130_000, 2.4  # How the speed grows, per s², and the part of it that gets lost, per s.
MAX_DISCS = 32


def find_place() -> complex:
    """Find a place for something. Places and speeds are complex numbers: x + iy."""
    return complex(random.randint(DISC, WIDTH - DISC), random.randint(DISC, WIDTH - DISC))


@dataclass
class Disc:
    """What somebody plays with."""

    number: int
    place: complex = field(default_factory=find_place)
    speed: complex = 0j
    push: complex = 0j
    last_move: int = 0
    score: int = 0

    def steer(self, move: bytes) -> None:
        """Take a move: a direction, and how much of the full push."""
        self.last_move, x, y = struct.unpack("<Bbb", move)
        self.push = complex(x, y) / max(abs(complex(x, y)), 127)

    def step(self) -> None:
        """Move for one tick. Walls throw it back."""
        self.speed += (self.push * PUSH - self.speed * FRICTION) * TICK_S
        to = self.place + self.speed * TICK_S
        self.place = complex(*(min(max(part, DISC), WIDTH - DISC) for part in (to.real, to.imag)))
        x, y = (-1 if part < DISC or part > WIDTH - DISC else 1 for part in (to.real, to.imag))
        self.speed = complex(self.speed.real * x, self.speed.imag * y)

    def collide(self, other: Disc) -> None:
        """Push another one off that it runs into, and be pushed off."""
        line = self.place - other.place
        unit = line / abs(line) if line else 1
        closing = ((self.speed - other.speed) * unit.conjugate()).real
        if abs(line) < 2 * DISC and closing < 0:  # Equal masses swap their speeds along the line between them.
            self.speed, other.speed = self.speed - closing * unit, other.speed + closing * unit


class Room:
    """The state of the room. It knows nothing of the network: `discs` has whoever plays as its keys."""

    def __init__(self) -> None:
        self.tick = 0
        self.discs: dict[object, Disc] = {}
        self.sparks = [find_place() for _ in range(5)]

    def enter(self, who: object) -> Disc | None:
        """Give somebody a disc; ``None`` if the room is full, or they have one."""
        numbers = set(range(MAX_DISCS)).difference(disc.number for disc in self.discs.values())
        return self.discs.setdefault(who, Disc(min(numbers))) if numbers and who not in self.discs else None

    def step(self) -> bytes:
        """Go on by one tick, and return the new state in bytes."""
        self.tick += 1
        discs = list(self.discs.values())
        for i, disc in enumerate(discs):
            for other in discs[:i]:
                disc.collide(other)
            disc.step()
            for j, spark in enumerate(self.sparks):
                if abs(disc.place - spark) < DISC + SPARK:
                    disc.score, self.sparks[j] = min(disc.score + 1, 65535), find_place()
        parts = [struct.pack("<IBB", self.tick % 2**32, len(self.sparks), len(discs))]
        parts += [struct.pack("<HH", int(spark.real), int(spark.imag)) for spark in self.sparks]
        for disc in discs:
            x, y = int(disc.place.real), int(disc.place.imag)
            parts.append(struct.pack("<BBHHH", disc.number, disc.last_move, x, y, disc.score))
        return b"".join(parts)


class NoPlace(ServiceError):
    """The room is full, or this connection plays already."""


class Arena(Service):
    """A room in which discs push each other about."""

    page = Path(__file__).resolve().parent / "page"

    async def start(self) -> None:
        """Open the room."""
        self._room, self._state = Room(), b""
        self._has_players, self._next_tick = asyncio.Event(), asyncio.Event()
        self._clock = asyncio.create_task(self._run())
        self.runtime.rely_on(self._clock)

    async def stop(self) -> None:
        """Close it."""
        self._clock.cancel()

    async def _run(self) -> None:
        """Make a state 60 times a second while somebody plays. What was late is not caught up with."""
        now = asyncio.get_running_loop().time
        while await self._has_players.wait():
            due_s = now()
            while self._room.discs:
                self._state, tick, self._next_tick = self._room.step(), self._next_tick, asyncio.Event()
                tick.set()
                due_s = max(due_s + TICK_S, now())
                await asyncio.sleep(due_s - now())
            self._has_players.clear()

    @method(permission="arena.play", kind="read", slow_policy=SlowPolicy.LATEST, shared_items=True, errors=(NoPlace,))
    async def play(self, ctx: Context) -> AsyncIterator[bytes]:
        """Have a disc for as long as the stream is read. The first item is its number, each further one a state.

        Raises:
            NoPlace: the room is full, or this connection plays already.
        """
        disc = self._room.enter(ctx.connection)
        if disc is None:
            raise NoPlace("the room is full, or this connection plays already")
        self._has_players.set()
        try:
            yield bytes([disc.number])
            while await self._next_tick.wait():
                yield self._state
        finally:
            del self._room.discs[ctx.connection]

    @method(permission="arena.play")
    async def steer(self, move: bytes, ctx: Context) -> None:
        """Send the own disc somewhere. Sent as a notification: nothing waits for an answer."""
        disc = self._room.discs.get(ctx.connection)
        if disc is not None and len(move) == 3:
            disc.steer(move)
