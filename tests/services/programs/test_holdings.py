"""The programs of one caller take no more than a share of what all callers need: places, memory and room for output."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.errors import Busy, SlowConsumer
from rpcservices.programs import Programs, events
from rpcservices.programs.config import ProgramsConfig
from rpcservices.programs.events import Events
from rpcservices.programs.holdings import TEXT_BYTES, Bounds, Holding, Holdings, weigh
from rpcservices.programs.running.output import Output, SpareMemory

Scenario = Callable[[AsyncClient, AsyncClient], Awaitable[None]]
KIB = 1024
HERS = {"theirs": {"principals": ["ada"], "permissions": ["programs.*"], "programs": {"may_run": "anything"}}}
LABELS = {f"name {number}": "x" * 300 for number in range(10)}


@pytest.fixture
def run(with_ada: Callable[..., None]) -> Callable[..., Programs]:
    def run(scenario: Scenario, **settings: Any) -> Programs:
        service = Programs(ProgramsConfig(**settings))
        with_ada(service, scenario, roles=HERS)
        return service

    return run


def test_places_are_left_for_others(run: Callable[..., Programs]) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        hers = [await ada.programs.start(["sleep", "60"]) for _ in range(3)]
        with pytest.raises(Busy, match=r"3 programs of ada run already.*services\.programs\.principal_share") as caught:
            await ada.programs.start(["sleep", "60"])
        assert caught.value.executed == "no"
        with pytest.raises(Busy, match="3 programs of ada"):
            await ada.programs.run(["true"])
        assert (await owner.programs.run(["true"])).code == 0
        await ada.programs.kill(hers[0].id)
        assert (await ada.programs.run(["true"])).code == 0

    run(scenario, max_programs=4)


def test_arguments_and_labels_are_bounded(run: Callable[..., Programs]) -> None:
    """Of programs that run, and of those that have ended: all are in one answer of ``list``."""

    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        theirs = await owner.programs.start(["true"])
        await owner.programs.wait(theirs.id)
        for _ in range(20):
            program = await ada.programs.start(["true", "x" * 1000], labels=LABELS)
            await ada.programs.wait(program.id)
        kept = await owner.programs.list()
        assert sum(weigh(info.argv, info.labels) for info in kept) <= 40_000
        assert {theirs.id, program.id} <= {info.id for info in kept}
        running = await ada.programs.start(["sleep", "60"], labels=LABELS)
        with pytest.raises(Busy, match=r"arguments and labels .* ada .*principal_share of description_bytes"):
            while True:
                await ada.programs.start(["sleep", "60"], labels=LABELS)
        assert (await ada.programs.get(running.id)).running
        # One program always has room, however much it is.
        largest = await owner.programs.start(["true", *["word"] * 300])
        assert (await owner.programs.wait(largest.id)).status.code == 0
        assert len((await owner.programs.get(largest.id)).argv) == 301

    service = run(scenario, description_bytes=40_000)
    assert not service.holdings._of_running.programs


def test_room_for_output_is_bounded(run: Callable[..., Programs]) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        theirs = await owner.programs.start(["echo", "kept"])
        await owner.programs.wait(theirs.id)
        first = await ada.programs.start(["sleep", "60"], retain_bytes=300 * KIB)
        with pytest.raises(Busy, match=r"programs of ada that run could keep .*principal_share of kept_bytes"):
            await ada.programs.start(["sleep", "60"], retain_bytes=300 * KIB)
        await ada.programs.forget(first.id)
        write = ["head", "-c", str(300 * KIB), "/dev/zero"]
        for _ in range(5):
            program = await ada.programs.start(write, retain_bytes=300 * KIB)
            await ada.programs.wait(program.id)
        kept = await owner.programs.list()
        assert {info.id for info in kept} >= {theirs.id, program.id}
        assert sum(info.stdout_bytes - info.stdout_start for info in kept) <= 1024 * KIB

    run(scenario, kept_bytes=1024 * KIB)


@pytest.mark.parametrize("retain_bytes", [64 * KIB, 256 * KIB])
def test_memory_for_output_is_left_for_others(run: Callable[..., Programs], retain_bytes: int) -> None:
    """However much one caller's ended programs keep, ``run`` of another returns all output, and theirs is all there."""

    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        write = ["head", "-c", str(64 * KIB), "/dev/zero"]
        ids = []
        for _ in range(30):
            program = await ada.programs.start(write, retain_bytes=retain_bytes, overflow="skip")
            await ada.programs.wait(program.id)
            ids.append(program.id)
        done = await owner.programs.run(write)
        assert (len(done.stdout), done.stdout_lost_bytes) == (64 * KIB, 0)
        for program_id in ids:
            async with ada.programs.output(program_id) as pieces:
                assert sum([len(piece.data) async for piece in pieces]) == 64 * KIB

    run(scenario, kept_memory_bytes=400 * KIB, spare_memory_bytes=0, memory_bytes=64 * KIB)


def test_an_owners_part_of_the_memory() -> None:
    whole = SpareMemory(100, 1000, share=0.5)
    assert whole.of("ada") is whole.of("ada")
    hers, other = (Output("stdout", 10_000, spare=whole.of(name), keep_first=True) for name in ("ada", "bob"))
    hers.write(b"x" * 500)
    hers.write(b"y")
    assert (hers.lost_bytes, whole.kept_bytes) == (1, 500)
    other.write(b"z" * 500)
    assert (other.lost_bytes, whole.kept_bytes) == (0, 1000)
    third = Output("stdout", 10_000, spare=whole.of("eve"), keep_first=True)
    third.write(b"!")
    assert third.lost_bytes == 1
    for output in (hers, other, third):
        output.discard()
    assert (whole.kept_bytes, whole.used_bytes) == (0, 0)


def test_what_makes_way() -> None:
    """The oldest of the owner who has the most of what is scarce."""
    holdings = Holdings(Bounds(100, 1000, 10_000, 0.75), most_ended=5)

    def end(program_id: str, owner: str, description_bytes: int = 1, output_bytes: int = 1) -> list[str]:
        holdings.readmit(program_id, Holding(owner, description_bytes, 0))
        holdings.end(program_id, output_bytes)
        gone = []
        while (surplus := holdings.surplus()) is not None:
            holdings.leave(surplus)
            gone.append(surplus)
        return gone

    assert end("a1", "ada") == end("b1", "bob") == end("a2", "ada") == end("a3", "ada") == end("b2", "bob") == []
    assert end("b3", "bob") in (["a1"], ["b1"])  # Both have three.
    assert end("a4", "ada", description_bytes=990)[:1] == ["a2"]
    assert end("b5", "bob", output_bytes=20_000)[-1] != "b5"
    holdings.end("unknown", 1)
    holdings.leave("unknown")


def test_every_text_counts() -> None:
    """Many short ones take as long to send as a long one."""
    assert weigh([], {}) == 0
    assert weigh(["x"] * 1000, {}) > 1000 * TEXT_BYTES
    assert weigh(["true"], {"name": "v" * 1000}) > 1000 + 3 * TEXT_BYTES
    assert weigh(["\U0001f600" * 1000], {}) > 4000  # As it lies in memory.


def test_events_that_nobody_reads_are_bounded(with_ada: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was in the arguments of programs that are forgotten by now."""
    monkeypatch.setattr(events, "MOST_WAITING_BYTES", 100_000)

    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        unread = [ada.options(window=1).programs.watch() for _ in range(3)]
        for stream in unread:
            await stream.open()
        for _ in range(60):
            await ada.programs.run(["true", "x" * 5000])
        assert 0 < service.events.waiting_bytes["ada"] <= 100_000
        with pytest.raises(SlowConsumer):
            async for _ in unread[0]:
                pass
        for stream in unread:
            await stream.aclose()
        async with asyncio.timeout(20):
            while service.events.waiting_bytes:
                await asyncio.sleep(0)

    service = Programs(ProgramsConfig())
    with_ada(service, scenario, roles=HERS)


def test_a_subscription_of_which_nothing_was_read_ends() -> None:
    async def scenario() -> None:
        hub = Events()
        subscription = hub.subscribe("ada", lambda _: True, [])
        assert hub._subscriptions
        await subscription.aclose()  # type: ignore[attr-defined]
        assert not hub._subscriptions

    asyncio.run(scenario())
