"""What is kept of a program's output, and how it is read."""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcservices.programs.running.output import Output

Serve = Callable[..., None]
MIB = 1024 * 1024
NUMBERS = "import sys\nfor n in range({0}): sys.stdout.write(f'{{n:09d}}\\n')"


def numbers(count: int) -> bytes:
    return b"".join(b"%09d\n" % n for n in range(count))


def printing(count: int) -> list[str]:
    return ["python3", "-c", NUMBERS.format(count)]


def test_what_does_not_fit_into_memory_is_in_files(serve: Serve, kit: Any, tmp_path: Path) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(printing(200_000))
        await client.programs.wait(program.id)
        whole = numbers(200_000)
        assert await kit.all_output(client, program.id) == whole
        assert await kit.all_output(client, program.id, offset=123_456) == whole[123_456:]
        folder = tmp_path / "services" / "programs" / "output" / program.id
        assert sum(file.stat().st_size for file in folder.iterdir()) > MIB
        await client.programs.forget(program.id)
        assert not folder.exists()

    serve(scenario, memory_bytes=65536, spare_memory_bytes=0)


def test_a_folder_that_somebody_has_removed(serve: Serve, tmp_path: Path) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(printing(200_000))
        await client.programs.wait(program.id)
        shutil.rmtree(tmp_path / "services" / "programs" / "output")
        async with client.programs.watch() as events:
            await client.programs.forget(program.id)
            event = await anext(events)
        assert (event.kind, event.program.id) == ("forgotten", program.id)
        assert await client.programs.list() == []

    serve(scenario, memory_bytes=65536, spare_memory_bytes=0)


def test_offsets_stay_right_when_the_beginning_is_gone(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(printing(300_000), retain_bytes=MIB, overflow="skip")
        await client.programs.wait(program.id)
        whole = numbers(300_000)
        async with client.programs.output(program.id, offset=10) as chunks:
            found = [chunk async for chunk in chunks]
        assert found[0].lost_bytes == found[0].offset - 10 > 0
        assert b"".join(chunk.data for chunk in found) == whole[found[0].offset :]
        assert MIB <= len(whole) - found[0].offset <= 2 * MIB
        info = await client.programs.get(program.id)
        assert (info.stdout_start, info.stdout_bytes) == (found[0].offset, len(whole))

    serve(scenario, memory_bytes=65536, spare_memory_bytes=0)


def test_from_the_tail_and_without_waiting(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", "echo one; echo two; echo three; sleep 60"])
        async with client.programs.output(program.id) as chunks:
            await kit.read_until(chunks, b"three\n")
        assert await kit.all_output(client, program.id, wait=False) == b"one\ntwo\nthree\n"
        assert await kit.all_output(client, program.id, wait=False, tail_bytes=6) == b"three\n"
        assert await kit.all_output(client, program.id, wait=False, tail_bytes=0) == b""
        assert await kit.all_output(client, program.id, wait=False, offset=4) == b"two\nthree\n"
        assert await kit.all_output(client, program.id, wait=False, offset=99) == b""
        with pytest.raises(InvalidParams, match="offset"):
            await client.programs.output(program.id, offset=-1).open()
        await client.programs.kill(program.id)

    serve(scenario)


def test_both_outputs_each_from_its_own_place(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["sh", "-c", "echo 01234; echo abcde >&2"])
        await client.programs.wait(program.id)
        async with client.programs.output(program.id, offsets={"stdout": 2, "stderr": 3}) as chunks:
            found = {chunk.stream: chunk.data async for chunk in chunks}
        assert found == {"stdout": b"234\n", "stderr": b"de\n"}

    serve(scenario)


def test_text_that_is_cut_anywhere(serve: Serve, kit: Any) -> None:
    """Bytes are on the wire: a character may come in two pieces, and is put together by the reader."""

    async def scenario(client: AsyncClient) -> None:
        script = "printf '\\303'; read go; printf '\\244\\342\\202'; read go; printf '\\254'"
        program = await client.programs.start(["sh", "-c", script])
        decoder, text, pieces = codecs.getincrementaldecoder("utf-8")(), "", []
        async with client.programs.output(program.id) as chunks:
            async for chunk in chunks:
                pieces.append(chunk.data)
                text += decoder.decode(chunk.data)
                if len(pieces) < 3:
                    await client.programs.write(program.id, b"\n")
        assert pieces == [b"\xc3", b"\xa4\xe2\x82", b"\xac"]
        assert text + decoder.decode(b"", final=True) == "ä€"

    serve(scenario)


def test_a_slow_viewer_skips_and_holds_up_nobody(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        slow_client: AsyncClient = client.open_another()  # type: ignore[attr-defined]
        script = "read go; head -c 30000000 /dev/zero; read go; printf end"
        program = await client.programs.start(["sh", "-c", script])
        async with slow_client.programs.output(program.id) as slow, client.programs.output(program.id) as fast:
            await client.programs.write(program.id, b"\n")
            first = await anext(slow)
            read = 0
            while read < 30_000_000:
                chunk = await anext(fast)
                read = chunk.offset + len(chunk.data)
            # The slow one has taken one piece only, and nobody has waited for it.
            await client.programs.write(program.id, b"\n")
            await client.programs.wait(program.id)
            at, lost = len(first.data), 0
            async for chunk in slow:
                assert chunk.offset == at + chunk.lost_bytes
                at, lost, last = chunk.offset + len(chunk.data), lost + chunk.lost_bytes, chunk.data
        assert at == 30_000_003
        assert last.endswith(b"end")
        assert lost > 0
        await slow_client.close()

    serve(scenario, retain_bytes=MIB)


def test_a_program_can_be_made_to_wait_for_its_reader(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(printing(250_000), overflow="wait", retain_bytes=MIB)
        viewer: AsyncClient = client.open_another()  # type: ignore[attr-defined]

        async def held() -> bool:
            before = (await client.programs.get(program.id)).stdout_bytes
            await asyncio.sleep(0.2)
            info = await client.programs.get(program.id)
            return info.running and 0 < info.stdout_bytes == before

        while not await held():
            pass
        # A mere viewer changes nothing about that.
        assert await kit.all_output(viewer, program.id, wait=False) != b""
        assert await held()
        digest, lost = hashlib.sha256(), 0
        async with client.programs.output(program.id) as chunks:
            async for chunk in chunks:
                digest.update(chunk.data)
                lost += chunk.lost_bytes
        assert lost == 0
        assert digest.digest() == hashlib.sha256(numbers(250_000)).digest()
        assert (await client.programs.wait(program.id)).status.code == 0
        await viewer.close()

    serve(scenario)


@pytest.mark.parametrize("on_disconnect", ["kill", "keep"])
def test_coming_back_again_and_again_misses_nothing(serve: Serve, kit: Any, on_disconnect: Any) -> None:
    """The connection is cut while output is on its way; a new one goes on at the last byte that came."""

    async def scenario(client: AsyncClient) -> None:
        count = 1_000_000
        first: AsyncClient = client.open_another()  # type: ignore[attr-defined]
        program = await first.programs.start(
            printing(count), overflow="wait", on_disconnect=on_disconnect, reattach_s=60, retain_bytes=MIB
        )
        digest, at, cuts = hashlib.sha256(), 0, 0
        current = first
        while True:
            await current.programs.control(program.id, take=True)
            enough = at + count * 10 // 25
            async with current.programs.output(program.id, offset=at) as chunks:
                async for chunk in chunks:
                    assert chunk.lost_bytes == 0
                    digest.update(chunk.data)
                    at = chunk.offset + len(chunk.data)
                    if at >= enough and cuts < 20:
                        break
                else:
                    break
                enough = count * 10
                cuts += 1
                await current.close()
            current = client.open_another()  # type: ignore[attr-defined]
        assert at == count * 10
        assert digest.digest() == hashlib.sha256(numbers(count)).digest()
        assert (await current.programs.wait(program.id)).status.code == 0
        await current.close()

    serve(scenario)


def test_a_limit_of_what_may_be_kept(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        for options, field in (
            ({"retain_bytes": 10_000_000}, "retain_bytes"),
            ({"retain_bytes": 1}, "retain_bytes"),
            ({"retain_bytes": 2048, "overflow": "wait"}, "retain_bytes"),
            ({"retain_s": 1e9}, "retain_s"),
        ):
            with pytest.raises(InvalidParams, match=field):
                await client.programs.start(["true"], **options)  # type: ignore[arg-type]
        assert await client.programs.list() == []

    serve(scenario, max_retain_bytes=MIB, retain_bytes=MIB)


# --- an output by itself ----------------------------------------------------------------------------------------


def steps(work: Callable[[], object]) -> int:
    """How many functions are called."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_a_piece_is_found_at_once_however_much_is_kept() -> None:
    output = Output("stdout", 100 * MIB)
    block = bytes(range(256)) * 160
    few = 0
    for number in range(1, 1001):
        output.write(block)
        if number == 3:
            few = steps(lambda: output.read(2 * len(block) + 5, 100))
    for place in (5, 500 * len(block) + 5, 999 * len(block) + 5):
        assert output.read(place, 100) == (place, block[5:105])
        assert steps(lambda place=place: output.read(place, 100)) <= few  # type: ignore[misc]


@pytest.mark.parametrize("keep_first", [False, True])
@given(writes=st.lists(st.integers(0, 3000), max_size=60), retain=st.integers(1024, 20_000), most=st.integers(1, 5000))
def test_every_offset_gives_what_was_written_there(keep_first: bool, writes: list[int], retain: int, most: int) -> None:
    """In blocks of any size, small ones joined, the oldest or the latest left out."""
    output = Output("stdout", retain, keep_first=keep_first)
    whole = b"".join(b"%04d" % n for n in range(sum(writes) // 4 + 1))[: sum(writes)]
    place = 0
    for size in writes:
        output.write(whole[place : place + size])
        place += size
    kept_end = min(retain, len(whole)) if keep_first else len(whole)
    place = 0
    while (piece := output.read(place, most)) is not None:
        begin, data = piece
        assert data == whole[begin : begin + len(data)]
        assert 0 < len(data) <= most
        assert begin == max(place, output.start)
        place = begin + len(data)
    assert place == (kept_end if kept_end > output.start else 0)
