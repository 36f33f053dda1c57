"""Ends of lines in text are those of ``subprocess``; and what is written counts piece by piece."""

from __future__ import annotations

import asyncio
import io
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcclient import Client
from rpcclient.programs.results import STDIN_BYTES
from rpcclient.programs.text import Newlines
from rpcclient.stubs.programs import StdinClosed, TerminalSize

ENDS = "one\\r\\ntwo\\rthree\\n\\r\\n\\r\\rfour"


def test_ends_of_lines_are_those_of_subprocess(client: Client) -> None:
    command = ["printf", ENDS]
    expected = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert client.programs.run(command, text=True).stdout == expected
    wide = [
        "python3",
        "-c",
        f"import sys; sys.stdout.buffer.write({ENDS!r}.encode().decode('unicode_escape').encode('utf-16'))",
    ]
    assert client.programs.run(wide, encoding="utf-16").stdout == expected
    assert client.programs.start(command, text=True).communicate().stdout == expected
    assert client.programs.start(command, text=True).stdout.read() == expected
    assert client.programs.start(command, text=True).stdout.readlines() == expected.splitlines(keepends=True)
    assert client.programs.run(command).stdout == ENDS.encode().decode("unicode_escape").encode()
    with client.programs.start(["printf", "one\\ntwo\\n"], text=True, terminal=TerminalSize()) as program:
        assert list(program.stdout.lines()) == ["one\n", "two\n"]  # The terminal makes them \r\n.


def test_a_progress_bar_is_seen_as_it_moves(client: Client) -> None:
    """Each state when it is drawn, although nothing follows yet; and an end in two pieces is one."""
    script = "for n in 1 2 3; do printf \"$n %%\\r\"; read go; done; printf '\\ndone\\r'; read go; printf '\\nlast'"
    with client.programs.start(["sh", "-c", script], text=True) as program:
        lines = program.stdout.lines()
        for n in (1, 2, 3):
            assert next(lines) == f"{n} %\n"
            program.stdin.write("\n")
        assert next(lines) == "done\n"
        program.stdin.write("\n")
        assert list(lines) == ["last"]
    with client.programs.start(["sh", "-c", script]) as program:
        program.stdin.write(b"\n" * 4)
        assert next(program.stdout.lines()) == b"1 %\r2 %\r3 %\r\n"


@given(st.lists(st.text(alphabet="a\r\né", max_size=4), max_size=8))
def test_ends_of_lines_in_any_pieces(pieces: list[str]) -> None:
    translating = Newlines()
    found = "".join(map(translating.translate, pieces))
    assert found == io.StringIO("".join(pieces), newline=None).read()


def test_the_middle_of_a_line_is_that_of_the_piece_that_was_written(client: Client) -> None:
    """The second piece, which ends the line, never arrives."""
    script = f"stty raw -echo; echo ready; head -c {STDIN_BYTES} >/dev/null"
    with client.programs.start(["sh", "-c", script], terminal=TerminalSize()) as program:
        assert program.stdout.readline().strip() == b"ready"
        with pytest.raises(StdinClosed):
            program.stdin.write(b"x" * (STDIN_BYTES + 100_000) + b"\n")
        assert program._state.is_mid_line
        program._state.note_written(b"y\n")
        assert not program._state.is_mid_line


def test_the_middle_of_a_line_with_asyncio(daemon: Any) -> None:
    async def main() -> None:
        async with daemon.async_client() as client:
            script = f"stty raw -echo; echo ready; head -c {STDIN_BYTES} >/dev/null"
            async with await client.programs.start(["sh", "-c", script], terminal=TerminalSize()) as program:
                assert (await program.stdout.readline()).strip() == b"ready"
                with pytest.raises(StdinClosed):
                    await program.stdin.write(b"x" * (STDIN_BYTES + 100_000) + b"\n")
                assert program._state.is_mid_line

    asyncio.run(main())
