"""What is written after a program's end, by what it has left behind, is read while it comes; and where it is not, that is
told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.programs import Limits
from rpcservices.programs.running.lingering import LINGER_BYTES, LINGER_BYTES_PER_S, LINGER_S, Linger
from rpcservices.programs.running.output import Output

Serve = Callable[..., None]
MANY = 3_000_000
MANY_BYTES = sum(9 * 10**n * (n + 2) for n in range(6)) + (MANY - 999_999) * 8
HELD = {
    "stdout": f"seq {MANY} & exit 0",
    "stderr": f"seq {MANY} >&2 & exit 0",
    "both": f"seq {MANY} | tee /dev/stderr &",
}


async def sizes(client: AsyncClient, program: str, **options: Any) -> tuple[dict[str, int], int, list[str]]:
    """How much there is of each output, how much is lost, and which are cut."""
    found: dict[str, int] = {}
    lost, cut = 0, []
    async with client.programs.output(program, **options) as chunks:
        async for chunk in chunks:
            found[chunk.stream] = found.get(chunk.stream, 0) + len(chunk.data)
            lost += chunk.lost_bytes
            cut += [chunk.stream] if chunk.cut else []
    return found, lost, cut


@pytest.mark.parametrize("which", HELD)
@pytest.mark.parametrize("on_disconnect", ["kill", "keep"])
@pytest.mark.parametrize("overflow", ["wait", "skip"])
def test_all_of_it_comes(serve: Serve, which: str, on_disconnect: Any, overflow: Any) -> None:
    """Also where a reader with little room makes it wait again and again."""

    async def scenario(client: AsyncClient) -> None:
        room = 1 << 20 if overflow == "wait" else 1 << 26
        program = await client.programs.start(
            ["sh", "-c", HELD[which]], on_disconnect=on_disconnect, overflow=overflow, retain_bytes=room
        )
        found, lost, cut = await sizes(client, program.id)
        streams = ("stdout", "stderr") if which == "both" else (which,)
        assert ({name: size for name, size in found.items() if size}, lost, cut) == (
            dict.fromkeys(streams, MANY_BYTES),
            0,
            [],
        )
        ended = await client.programs.wait(program.id)
        assert (ended.status.code, ended.pipes_still_held, ended.output_cut) == (0, False, False)

    serve(scenario)


def test_run_counts_all_of_it(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["sh", "-c", HELD["stdout"]], check=True)
        assert len(done.stdout) + done.stdout_lost_bytes == MANY_BYTES
        assert (done.truncated, done.output_cut) == (True, False)

    serve(scenario)


def test_what_only_sleeps_holds_up_nobody(serve: Serve) -> None:
    """What waits longer than a pause is not waited for, however long it would go on: the test itself has less time."""

    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["sh", "-c", "echo one; sleep 86394.5 & exit 0"], check=True)
        assert (done.stdout, done.pipes_still_held, done.truncated) == (b"one\n", True, False)
        program = await client.programs.start(["sh", "-c", "echo one; sleep 86394.5 & exit 0"])
        assert await sizes(client, program.id) == ({"stdout": 4}, 0, [])
        assert (await client.programs.kill(program.id)).survivors == []

    serve(scenario, seconds=60)


def test_what_writes_for_ever_is_cut_and_that_is_told(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["sh", "-c", "yes & exit 0"])
        assert (done.code, done.output_cut, done.truncated, done.pipes_still_held) == (0, True, True, True)
        assert LINGER_BYTES <= len(done.stdout) + done.stdout_lost_bytes < 2 * LINGER_BYTES
        for on_disconnect in ("kill", "keep"):
            program = await client.programs.start(
                ["sh", "-c", "yes & exit 0"],
                on_disconnect=on_disconnect,  # type: ignore[arg-type]
                overflow="skip",
                retain_bytes=1 << 20,
            )
            ended = await client.programs.wait(program.id)
            assert (ended.status.code, ended.output_cut) == (0, True)
            for wait in (True, False):
                found, lost, cut = await sizes(client, program.id, wait=wait)
                assert (found["stdout"] + lost >= LINGER_BYTES, cut) == (True, ["stdout"])

    serve(scenario)


def test_a_trickle_ends(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rpcservices.programs.running.lingering.LINGER_S", 1.0)

    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", "(while :; do echo tick; sleep 0.1; done) & exit 0"])
        found, _, cut = await sizes(client, program.id)
        assert 0 < found["stdout"] < 5 * 1000
        assert cut == ["stdout"]
        assert (await client.programs.kill(program.id)).survivors == []

    serve(scenario)


def test_limits_go_on(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        script = ["sh", "-c", "yes & exit 0"]
        done = await client.programs.run(script, limits=Limits(output_bytes=1_000_000))
        assert (done.stdout_lost_bytes > 0, len(done.stdout), done.status.limit) == (True, 1_000_000, "output")
        slow = ["sh", "-c", "(while :; do echo tick; sleep 0.1; done) & exit 0"]
        done = await client.programs.run(slow, timeout_s=1)
        assert (done.code, done.output_cut, done.duration_s < 1) == (0, True, True)
        done = await client.programs.run(
            ["sh", "-c", "head -c 500000 /dev/zero & exit 0"], limits=Limits(output_bytes_per_s=200_000)
        )
        assert (len(done.stdout), done.truncated) == (500_000, False)

    serve(scenario)


@pytest.mark.parametrize("on_disconnect", ["kill", "keep"])
def test_what_waits_for_its_reader_can_be_ended(serve: Serve, kit: Any, on_disconnect: Any) -> None:
    """Nobody reads, and so it waits, as it did before the program's end; what it has written by then is kept."""

    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(
            ["sh", "-c", "yes & exit 0"], on_disconnect=on_disconnect, overflow="wait", retain_bytes=1 << 20
        )
        before = -1
        while (now := (await client.programs.get(program.id)).stdout_bytes) > before or now < 1 << 19:
            before = now
            await kit.until(lambda: True)
        assert (await client.programs.get(program.id)).running
        ended = await client.programs.kill(program.id)
        assert (ended.status.code, ended.survivors, ended.output_cut) == (0, [], False)
        found, lost, cut = await sizes(client, program.id)
        assert (found["stdout"] >= before, lost, cut) == (True, 0, [])

    serve(scenario)


def test_a_gap_at_the_end_is_told(serve: Serve, tmp_path: Any) -> None:
    """The disk was full for the last of it: nothing comes after that."""

    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", "echo one"], on_disconnect="keep")
        await client.programs.wait(program.id)
        folder = client.service_here.kept_folder / program.id  # type: ignore[attr-defined]
        record = json.loads((folder / "ending.json").read_text())
        record["output"]["stdout"][1] += 100
        (folder / "ending.json").write_text(json.dumps(record))

    async def later(client: AsyncClient) -> None:
        (program,) = await client.programs.list()
        assert await sizes(client, program.id) == ({"stdout": 4}, 100, [])
        assert await sizes(client, program.id, wait=False) == ({"stdout": 4}, 100, [])

    serve(scenario)
    serve(later)


def test_how_long_is_long_enough() -> None:
    """Seconds in which it might have come count, and bytes count for them."""
    linger = Linger(100.0)
    assert not linger.is_over(100 + LINGER_S * 0.9)
    assert linger.is_over(100 + LINGER_S * 1.1)
    linger = Linger(100.0)
    linger.count_bytes(109, 60 * LINGER_BYTES_PER_S)
    assert not linger.is_over(160)
    assert linger.silent_s(160) == 51
    linger.makes_wait(160, waits=True)
    assert (linger.silent_s(10_000), linger.is_over(10_000)) == (0, False)
    linger.makes_wait(10_000, waits=False)
    assert (linger.silent_s(10_001), linger.is_over(10_001)) == (1, False)
    assert linger.is_over(10_011)
    linger = Linger(0.0)
    linger.count_bytes(0.1, LINGER_BYTES)
    assert linger.is_over(0.1)


def test_an_output_that_ends_is_not_cut() -> None:
    output = Output("stdout", 1024)
    output.end()
    assert not output.cut
