"""Text of which something is missing: an incomplete character is left out there, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from rpcclient import Client, OutputLost
from rpcclient.pieces import Pieces
from rpcclient.program_text import Coding, Mender
from rpcclient.stubs.programs import Limits, OutputChunk


def pieces(chunks: Iterable[tuple[int, bytes, int]], encoding: str = "utf-8", within: bool = False) -> Pieces[str]:
    found: Pieces[str] = Pieces(Coding(encoding), begins_within=within)
    for offset, data, lost in chunks:
        found.put(OutputChunk(stream="stdout", offset=offset, data=data, lost_bytes=lost))
    found.end()
    return found


def taken(found: Pieces[str]) -> list[Any]:
    items: list[Any] = []
    while True:
        try:
            item = found.piece()
        except (OutputLost, UnicodeDecodeError) as exc:
            items.append(type(exc))
        else:
            if item is None:
                return items
            items.append(item)


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
