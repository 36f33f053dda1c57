"""What the roster of a group of 1,000 costs a node: processor time for a beat, a change and a tick, and memory.

``python benchmarks/roster.py [MEMBERS]``
"""

from __future__ import annotations

import gc
import random
import sys
import time
import tracemalloc
from collections.abc import Callable

from rpcserver.group.members import Announcement, Profile, Reason, State, first_epoch
from rpcserver.group.messages import Beat, Verdict, read_beat
from rpcserver.group.presence import Presence

CHANCE = random.Random(14)  # Ids for a measurement.


def announcements(count: int) -> list[Announcement]:
    """What so many nodes of a usual group tell."""
    services = (("database", "1.4.0"), ("hardware", "1.4.0"), ("programs", "1.4.0"))
    return [
        Announcement(
            id=CHANCE.getrandbits(64),
            epoch=first_epoch(0, 1.7e9 + index, CHANCE.getrandbits(12)),
            edition=0,
            name=f"web-{index}",
            addresses=(f"10.0.{index // 250}.{index % 250}:8765",),
            profile=Profile((("role", "web"), ("zone", f"zone-{index % 20}")), services, "1.4.0"),
            load=0.25,
        )
        for index in range(count)
    ]


def measure(act: Callable[[int], object], times: int) -> float:
    """Return the processor time of one act, in microseconds: the best of five."""
    best = float("inf")
    for _ in range(5):
        start = time.thread_time()
        for number in range(times):
            act(number)
        best = min(best, (time.thread_time() - start) / times)
    return best * 1e6


def main() -> None:
    """Measure, and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    told = announcements(count)
    gc.collect()
    tracemalloc.start()
    mine, *others = told
    own = Presence(mine, 0.0)
    own.outbox.clear()
    before = tracemalloc.get_traced_memory()[0]
    for announcement in others:
        # As it comes from the wire: nothing of it is shared with anything else.
        fresh = Announcement(
            announcement.id,
            announcement.epoch,
            0,
            "".join(announcement.name),
            tuple("".join(address) for address in announcement.addresses),
            Profile(tuple(announcement.profile.labels), tuple(announcement.profile.services), "1.4.0"),
        )
        own.receive(announcement.id, fresh, 0.0)
        own.outbox.clear()
        del fresh
    own.tick(0.0)  # With this beat it welcomes the newcomers, and forgets that they are some.
    own.outbox.clear()
    gc.collect()
    memory = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    print(f"members                    {len(own.roster)}")
    print(f"memory                     {memory / 1024:.1f} KiB, {memory / len(own.roster):.0f} bytes each")
    watches = list(own.watches)
    epochs = {number: own.roster.table.epochs[own.roster.table.find(number)] for number in watches}
    digest = own.roster.table.digest
    beats = 0

    def hear(_: int) -> None:
        nonlocal beats
        beats += 1
        number = watches[beats % len(watches)]
        own.receive(number, Beat(epochs[number], beats, False, 0.25, digest), 0.1)

    data = Beat(mine.epoch, 7, is_leaving=False, load=0.25, digest=digest).pack()
    beat_us = measure(hear, 20_000)
    read_us = measure(lambda _: read_beat(data), 20_000)
    now = 0.1

    def tick(_: int) -> None:
        nonlocal now
        now += 0.5
        for number in watches:
            own._watches[number].heard_at = now  # noqa: SLF001  # So that only the tick is measured.
        own.tick(now)
        own.outbox.clear()

    tick_us = measure(tick, 5_000)
    victims = [announcement for announcement in others if announcement.id not in epochs]
    start = time.thread_time()
    for victim in victims:
        own.receive(victim.id, Verdict(victim.id, victim.epoch, State.SUSPECT, Reason.SILENT), now)
        own.receive(mine.id + 1, Verdict(victim.id, victim.epoch, State.DIED, Reason.SILENT), now)
    change_us = (time.thread_time() - start) / len(victims) / 2 * 1e6
    print(f"beat, reading its bytes    {read_us:.2f} µs")
    print(f"beat, one of the watched   {beat_us:.2f} µs")
    print(f"tick with own beat         {tick_us:.2f} µs")
    print(f"change told by another     {change_us:.2f} µs")
    idle = 2 * len(watches) * (beat_us + read_us) + 2 * tick_us
    print(f"idle, without the broker's client: {idle:.0f} µs each second, {idle / 1e4:.4f} % of a core")


if __name__ == "__main__":
    main()
