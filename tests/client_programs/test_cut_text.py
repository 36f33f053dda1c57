"""Text of which something is missing: an incomplete character is left out there, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from rpcclient import Client, OutputLost
from rpcclient.errors import InvalidParams
from rpcclient.programs.pieces import Pieces
from rpcclient.programs.text import Coding, Mender
from rpcclient.stubs.programs import Limits, OutputChunk


def pieces(chunks: Iterable[tuple[int, bytes, int]], encoding: str = "utf-8", within: bool = False) -> Pieces[str]:
    found: Pieces[str] = Pieces(Coding(encoding), may_begin_within=within)
    for offset, data, lost in chunks:
        found.put(OutputChunk(stream="stdout", offset=offset, data=data, lost_bytes=lost))
    found.end()
    return found


def taken(found: Pieces[str]) -> list[Any]:
    items: list[Any] = []
    while True:
        try:
            item = found.take_piece()
        except (OutputLost, UnicodeDecodeError) as exc:
            items.append(type(exc))
        else:
            if item is None:
                return items
            items.append(item)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_mark_is_written_once(client: Client, daemon: Any, encoding: str) -> None:
    whole = "aé\ufeffb".encode(encoding)
    with client.programs.start(["cat"], encoding=encoding) as program:
        for part in ("", "a", "é", "\ufeffb"):
            program.stdin.write(part)
        program.stdin.close()
        assert program.stdout.read() == "aé\ufeffb"
        assert client.programs.attach(program.id).stdout.read() == whole
    with client.programs.start(["cat"], encoding=encoding) as program:
        program.stdin.write("aé")
        attached = client.programs.attach(program.id, control=True, encoding=encoding)
        assert attached.communicate("\ufeffb").stdout == "aé\ufeffb"

    async def main() -> None:
        async with daemon.async_client() as client, await client.programs.start(["cat"], encoding=encoding) as program:
            await program.stdin.writelines(["a", "é"])
            assert (await program.communicate("\ufeffb")).stdout == "aé\ufeffb"

    asyncio.run(main())


def test_the_order_of_bytes_is_told_at_the_beginning(client: Client, daemon: Any) -> None:
    with client.programs.start(["printf", "\\377\\376a\\000b\\000"]) as program:
        program.wait()
        assert client.programs.attach(program.id, encoding="utf-16").stdout.read() == "ab"
        for place in ({"tail_bytes": 4}, {"offset": 2}, {"offsets": {"stdout": 2}}):
            with pytest.raises(InvalidParams, match=r"encoding: utf-16 tells only .* give utf-16-le or utf-16-be"):
                client.programs.attach(program.id, encoding="utf-16", **place)
        assert client.programs.attach(program.id, tail_bytes=3, encoding="utf-16-le").stdout.read() == "b"
        program_id = program.id
    unmarked = client.programs.start(["printf", "a\\000b\\000"], encoding="utf-16")
    with pytest.raises(UnicodeDecodeError, match="no byte order mark begins it: read it as utf-16-le or utf-16-be"):
        unmarked.stdout.read()

    async def main() -> None:
        async with daemon.async_client() as client:
            with pytest.raises(InvalidParams, match="encoding: utf-16 tells only"):
                await client.programs.attach(program_id, tail_bytes=4, encoding="utf-16")

    asyncio.run(main())


def test_the_order_of_bytes_is_known_behind_a_gap() -> None:
    found = pieces([(0, b"\xfe\xff\0a\0", 0), (10, b"\0b", 5)], "utf-16")
    assert taken(found) == ["a", OutputLost, "b"]
    with pytest.raises(UnicodeDecodeError, match="no byte order mark"):
        taken(pieces([(0, b"a\0", 0)], "utf-16"))


def test_run_cuts_between_characters(client: Client) -> None:
    argv = ["python3", "-c", "import sys; print('é'*2000); print('€'*2000, file=sys.stderr)"]
    done = client.programs.run(argv, encoding="utf-8", env={"PYTHONUTF8": "1"}, output_bytes=1024)
    assert (done.stdout, done.stdout_lost_bytes) == ("é" * 512, 4001 - 1024)
    assert (done.stderr, done.stderr_lost_bytes) == ("€" * 341, 6001 - 1024)
    odd = client.programs.run(["printf", "aéé"], text=True, output_bytes=2)
    assert (odd.stdout, odd.truncated) == ("a", True)
    limited = client.programs.run(["printf", "a\\303"], text=True, limits=Limits(output_bytes=1))
    assert (limited.stdout, limited.status.limit) == ("a", "output")
    with pytest.raises(UnicodeDecodeError):  # Here nothing is missing.
        client.programs.run(["printf", "a\\303"], text=True)


def test_a_tail_begins_with_a_character(client: Client) -> None:
    program = client.programs.start(["printf", "ééééé"])
    program.wait()
    assert client.programs.attach(program.id, tail_bytes=5, text=True).stdout.read() == "éé"
    assert client.programs.attach(program.id, tail_bytes=5, text=True).communicate().stdout == "éé"
    assert client.programs.attach(program.id, tail_bytes=10, text=True).stdout.read() == "ééééé"
    with pytest.raises(UnicodeDecodeError):  # Where to begin was chosen, and no tail.
        client.programs.attach(program.id, offset=1, text=True).stdout.read()
    program.forget()


def test_a_gap_leaves_whole_characters(client: Client) -> None:
    argv = ["python3", "-c", "print('é'*50000, end='')"]
    with client.programs.start(argv, retain_bytes=2047, overflow="skip", text=True, env={"PYTHONUTF8": "1"}) as program:
        program.wait()
        with pytest.raises(OutputLost) as caught:
            program.stdout.read()
        rest = program.stdout.read()
        assert rest == "é" * len(rest)
        assert 0 <= 100_000 - caught.value.lost_bytes - 2 * len(rest) <= 1
        done = program.communicate()
        assert (done.stdout, done.truncated) == (rest, True)


def test_pieces_around_a_gap() -> None:
    gap = [(0, b"a\xc3", 0), (4, b"\xa9", 2), (5, b"b\xc3", 0), (7, b"\xa9", 0)]
    assert taken(pieces(gap)) == ["a", OutputLost, "b", "é"]
    # What is no text behind a gap is told after the gap, and what follows it follows.
    assert taken(pieces([(4, b"\xff", 4), (5, b"b", 0)])) == [OutputLost, UnicodeDecodeError, "b"]
    assert taken(pieces([(4, b"\xa9\xa9\xa9\xa9", 4), (8, b"b", 0)])) == [OutputLost, UnicodeDecodeError, "b"]
    with pytest.raises(UnicodeDecodeError):
        pieces([(0, b"\xa9", 0)])
    assert taken(pieces([(3, b"\xa9b", 0)], within=True)) == ["b"]
    assert taken(pieces([(3, b"\xe9b", 0)], "latin-1", within=True)) == ["éb"]


@pytest.mark.parametrize(("encoding", "unit"), [("utf-16-le", 2), ("utf-16-be", 2), ("utf-32-le", 4)])
def test_encodings_whose_places_tell(encoding: str, unit: int) -> None:
    data = "aé€".encode(encoding)
    for offset in range(1, unit + 1):
        assert Coding[str](encoding).decode(data[offset:], after=offset) == "é€"
        assert Coding[str](encoding).decode(data[:-offset], cut=True) == "aé"
    mender = Mender(encoding)
    assert (
        b"".join(mender.mend(place, data[place : place + 1]) for place in range(1, len(data))).decode(encoding) == "é€"
    )
