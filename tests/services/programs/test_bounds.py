"""What the service keeps of programs is bounded: labels, ended programs, output in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcservices.programs.labels import MOST_LABELS, NAME_CHARACTERS, VALUE_CHARACTERS
from rpcservices.programs.running.output import Output, SpareMemory

Serve = Callable[..., None]
KIB = 1024


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ({str(number): "" for number in range(MOST_LABELS + 1)}, "labels: 65 labels: at most 64 are allowed"),
        ({"n" * (NAME_CHARACTERS + 1): ""}, f"labels.{'n' * NAME_CHARACTERS}: a name has at most 128 characters"),
        ({"note": "x" * (VALUE_CHARACTERS + 1)}, "labels.note: a value has at most 1024 characters"),
    ],
)
def test_labels_that_are_too_much(serve: Serve, labels: dict[str, str], text: str) -> None:
    """Whether a program is run or started; nothing has run then."""

    async def scenario(client: AsyncClient) -> None:
        for start in (client.programs.start, client.programs.run):
            with pytest.raises(InvalidParams) as caught:
                await start(["true"], labels=labels)
            assert (caught.value.message, caught.value.executed) == (text, "no")
        assert await client.programs.list() == []
        largest = {f"{number:0{NAME_CHARACTERS}d}": "x" * VALUE_CHARACTERS for number in range(MOST_LABELS)}
        program = await client.programs.start(["true"], labels=largest)
        assert program.info.labels == largest
        await client.programs.wait(program.id)

    serve(scenario)


def test_the_oldest_of_whoever_keeps_the_most_are_forgotten(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        ids: list[str] = []
        async with client.programs.watch() as events:
            for _ in range(5):
                program = await client.programs.start(["true"])
                await client.programs.wait(program.id)
                ids.append(program.id)
            forgotten: list[str] = []
            while len(forgotten) < 2:
                event = await asyncio.wait_for(anext(events), 20)
                if event.kind == "forgotten":
                    forgotten.append(event.program.id)
        assert forgotten == ids[:2]
        assert [info.id for info in await client.programs.list()] == ids[2:]

    serve(scenario, max_ended=3)


def test_memory_for_output_is_bounded(tmp_path: Path) -> None:
    """Of all outputs together: what does not fit goes to files, and is there all the same."""
    spare = SpareMemory(0, 256 * KIB)
    outputs = []
    for number in range(8):
        folder = tmp_path / str(number)
        folder.mkdir()
        outputs.append(Output("stdout", 4096 * KIB, memory_bytes=128 * KIB, spare=spare, folder=str(folder)))
    piece = bytes(range(256)) * 64
    for _ in range(32):
        for output in outputs:
            output.write(piece)
    # Each keeps the latest block in any case.
    assert spare.kept_bytes <= 256 * KIB + 8 * 2 * len(piece)
    for output in outputs:
        whole, offset = b"", 0
        while (part := output.read(offset, 65536)) is not None:
            assert part[0] == offset
            whole += part[1]
            offset += len(part[1])
        assert whole == piece * 32
        assert output.lost_bytes == 0
        output.discard()
    assert (spare.kept_bytes, spare.used_bytes) == (0, 0)
    outputs[0].write(piece)  # A program may write after that.
    assert spare.kept_bytes == 0


def test_a_beginning_that_is_kept_has_no_gaps() -> None:
    spare = SpareMemory(0, 100)
    one, other = (Output("stdout", 1000, spare=spare, keep_first=True) for _ in range(2))
    one.write(b"a" * 60)
    other.write(b"b" * 60)
    other.write(b"c" * 10)
    assert (one.all(), other.all(), other.lost_bytes) == (b"a" * 60, b"", 70)
    one.discard()
    other.write(b"d")
    assert (other.all(), other.lost_bytes, spare.kept_bytes) == (b"", 71, 0)


def test_run_gives_the_memory_back(serve: Serve) -> None:
    """After its answer, and after a cancellation; what does not fit is counted as lost."""

    async def scenario(client: AsyncClient) -> None:
        spare = client.service_here.spare_memory  # type: ignore[attr-defined]
        done = await client.programs.run(["head", "-c", "150000", "/dev/zero"])
        assert len(done.stdout) + done.stdout_lost_bytes == 150_000
        assert len(done.stdout) <= 100_000 < 150_000
        assert spare.kept_bytes == 0
        task = asyncio.ensure_future(client.programs.run(["sh", "-c", "echo some output; exec sleep 60"]))
        async with asyncio.timeout(20):
            while not spare.kept_bytes:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(20):
            while spare.kept_bytes:
                await asyncio.sleep(0.01)

    serve(scenario, kept_memory_bytes=100_000)


def test_the_memory_of_ended_programs_is_given_back(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        spare = client.service_here.spare_memory  # type: ignore[attr-defined]
        program = await client.programs.start(["echo", "some output"])
        await client.programs.wait(program.id)
        assert spare.kept_bytes == len(b"some output\n")
        await client.programs.forget(program.id)
        assert spare.kept_bytes == 0

    serve(scenario)
