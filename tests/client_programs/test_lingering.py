"""What a program has left behind may go on writing: all of that is read, or it is said that it is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from rpcclient import Client, OutputCut, OutputLost, ProgramFailed

MANY = 3_000_000
MANY_BYTES = sum(9 * 10**n * (n + 2) for n in range(6)) + (MANY - 999_999) * 8
BEHIND = ["sh", "-c", f"seq {MANY} & exit 0"]
ENDLESS = ["sh", "-c", "yes & exit 0"]


def test_all_of_it_is_read(client: Client) -> None:
    with client.programs.start(BEHIND) as program:
        assert sum(len(piece) for piece in program.stdout) == MANY_BYTES
        assert not program.wait().pipes_still_held
    done = client.programs.start(BEHIND, text=True).communicate()
    assert (len(done.stdout), done.stdout[-8:], done.truncated) == (MANY_BYTES, f"{MANY}\n", False)
    done.check_returncode()


def test_a_slow_reader_is_no_pause(client: Client) -> None:
    """Longer than one may be, several times; with room for little."""
    with client.programs.start(BEHIND, retain_bytes=1 << 20) as program:
        read = 0
        for number, piece in enumerate(program.stdout):
            read += len(piece)
            if number in (0, 100, 200):
                begin = time.monotonic()
                while time.monotonic() < begin + 1.5:  # It is the time that this is about.
                    assert program.refresh().running
        assert read == MANY_BYTES
        assert not program.wait().output_cut


def test_what_is_cut_is_told(client: Client) -> None:
    done = client.programs.run(ENDLESS, text=True)
    assert (done.code, done.truncated, done.output_cut) == (0, True, True)
    with pytest.raises(ProgramFailed, match="what it left behind went on writing") as caught:
        client.programs.run(ENDLESS, check=True)
    assert caught.value.completed.code == 0
    with client.programs.start(ENDLESS) as program:
        read = 0
        with pytest.raises(OutputCut) as cut:
            for piece in program.stdout:
                read += len(piece)
        assert (cut.value.stream, cut.value.offset) == ("stdout", read)
        assert isinstance(cut.value, OutputLost)
        assert program.stdout.read() == b""  # It is told once.
        assert program.stdout.ended


@pytest.mark.parametrize("take", ["read", "lines", "readlines"])
def test_it_is_told_however_it_is_read(client: Client, take: str) -> None:
    program = client.programs.start(ENDLESS, text=True, overflow="skip", retain_bytes=1024)
    assert program.wait().output_cut
    taken: Callable[[], Any] = {
        "read": program.stdout.read,
        "lines": lambda: list(program.stdout.lines()),
        "readlines": program.stdout.readlines,
    }[take]
    with pytest.raises(OutputLost) as lost:
        taken()
    assert (lost.value.offset, lost.value.lost_bytes > 0) == (0, True)
    if take == "read":
        assert taken().endswith("y\n")
    with pytest.raises(OutputCut):
        taken()
    assert not taken()
    done = client.programs.attach(program.id).communicate()
    assert (done.output_cut, done.stdout_lost_bytes > 0) == (True, True)
    program.forget()


def test_the_same_with_asyncio(daemon: Any) -> None:
    async def main() -> None:
        async with daemon.async_client() as client:
            async with await client.programs.start(BEHIND) as program:
                assert sum([len(piece) async for piece in program.stdout]) == MANY_BYTES
            with pytest.raises(ProgramFailed, match="what it left behind went on writing"):
                await client.programs.run(ENDLESS, check=True)
            async with await client.programs.start(ENDLESS) as program:
                with pytest.raises(OutputCut):
                    async for _ in program.stdout:
                        pass
                assert (await program.wait()).output_cut
            large = await client.programs.run(["sh", "-c", "cat >/dev/null; yes & exit 0"], input=b"x" * (40 << 20))
            assert (large.code, large.output_cut, large.truncated) == (0, True, True)

    asyncio.run(main())
