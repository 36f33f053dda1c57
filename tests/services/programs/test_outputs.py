"""How output is kept: in memory and in files, whatever the pieces, and read from any offset."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcservices.programs.keeping.client import KeptOutput
from rpcservices.programs.running.output import Output, SpareMemory
from rpcservices.programs.running.segments import Segments

PIECES = st.lists(st.integers(0, 3000), max_size=30)


def content(size: int) -> bytes:
    return (b"".join(b"%05d," % n for n in range(size // 6 + 1)))[:size]


def read_all(output: Output | KeptOutput, offset: int, most: int) -> tuple[int, bytes]:
    """Everything from an offset on: where it begins, and the bytes."""
    found, begin = b"", -1
    while (piece := output.read(offset, most)) is not None:
        at, data = piece
        assert 0 < len(data) <= most
        if begin < 0:
            begin = at
        else:
            assert at == offset
        found += data
        offset = at + len(data)
    return begin, found


@given(PIECES, st.integers(1024, 20_000), st.sampled_from([None, 0, 1024, 4096]), st.integers(0, 40_000))
def test_the_last_of_it_is_kept(sizes: list[int], retain: int, memory: int | None, offset: int) -> None:
    whole = content(sum(sizes))
    with tempfile.TemporaryDirectory() as folder:
        output = Output("stdout", retain, memory_bytes=memory, folder=None if memory is None else folder)
        at = 0
        for size in sizes:
            output.write(whole[at : at + size])
            at += size
            assert output.total_bytes == at
            assert output.start + output.lost_bytes >= output.lost_bytes
            assert output.total_bytes - output.start >= min(retain, at)
        output.end()
        begin, found = read_all(output, offset, 777)
        if offset >= len(whole):
            assert found == b""
        else:
            assert begin == max(offset, output.start)
            assert found == whole[begin:]
        # Bounded: what is asked for, and at most a block and a file more.
        assert output.total_bytes - output.start <= retain + 8192 + 3000
        if memory == 0:
            kept = KeptOutput(folder, "stdout")
            kept.look()
            assert (kept.start, kept.total_bytes) == (output.start, output.total_bytes)
            assert read_all(kept, offset, 777) == (begin, found)
        output.discard()
        assert not list(Path(folder).iterdir())


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3000)), max_size=60),
    st.integers(2048, 12_000),
    st.integers(0, 20_000),
)
def test_memory_is_shared(pieces: list[tuple[int, int]], retain: int, spare_bytes: int) -> None:
    """Three outputs: each keeps what it must, whether there is room in memory or not, and all is given back."""
    spare = SpareMemory(spare_bytes)
    wholes = [content(sum(size for which, size in pieces if which == n)) for n in range(3)]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Output("stdout", retain, memory_bytes=1024, spare=spare, folder=f"{folder}/{n}") for n in range(3)]
        for n in range(3):
            Path(folder, str(n)).mkdir()
        for which, size in pieces:
            output = outputs[which]
            output.write(wholes[which][output.total_bytes : output.total_bytes + size])
            assert output.total_bytes - output.start >= min(retain, output.total_bytes)
            assert spare.used_bytes <= spare_bytes + 3 * (3000 + 1024)
        for output, whole in zip(outputs, wholes, strict=True):
            begin, found = read_all(output, 0, 777)
            assert found == whole[output.start :]
            assert begin == (output.start if whole else -1)
            assert output.lost_bytes == output.start
            assert output.total_bytes - output.start <= retain + 8192 + 3000
            output.discard()
        assert spare.used_bytes == 0


def test_what_fits_into_memory_makes_no_files(tmp_path: Path) -> None:
    whole = content(400_000)
    output = Output("stdout", 200_000, memory_bytes=4096, spare=SpareMemory(1_000_000), folder=str(tmp_path))
    for at in range(0, len(whole), 1000):
        output.write(whole[at : at + 1000])
    assert not list(tmp_path.iterdir())
    assert 200_000 <= output.total_bytes - output.start <= 200_000 + 65_536
    assert read_all(output, 0, 5000) == (output.start, whole[output.start :])
    assert output.lost_bytes == output.start


def test_large_blocks_are_passed_on_as_they_are(tmp_path: Path) -> None:
    output = Output("stdout", 1 << 20, memory_bytes=0x10000, spare=SpareMemory(1 << 20), folder=str(tmp_path))
    block = bytes(100_000)
    output.write(block)
    found = output.read(0, 131_072)
    assert found is not None
    assert found[1] is block


@given(PIECES, st.integers(0, 20_000))
def test_the_first_of_it_is_kept(sizes: list[int], retain: int) -> None:
    whole, at = content(sum(sizes)), 0
    output = Output("stderr", retain, keep_first=True)
    for size in sizes:
        output.write(whole[at : at + size])
        at += size
    assert output.all() == whole[:retain]
    assert output.lost_bytes == max(0, len(whole) - retain)


def test_another_process_reads_while_one_writes(tmp_path: Path) -> None:
    writing = Output("stdout", 16384, memory_bytes=0, folder=str(tmp_path))
    reading = KeptOutput(str(tmp_path), "stdout")
    whole, offset, lost = content(200_000), 0, 0
    for at in range(0, 200_000, 1000):
        writing.write(whole[at : at + 1000])
        reading.news(writing.start, writing.total_bytes, is_complete=False)
        if at % 7000 == 0:
            begin, found = read_all(reading, offset, 512)
            assert found == whole[begin : at + 1000]
            lost += begin - offset
            offset = begin + len(found)
    writing.end()
    # Far behind: the files that it last knew of are gone.
    behind = KeptOutput(str(tmp_path), "stdout")
    behind.news(0, 1000, is_complete=False)
    assert behind.read(0, 10) is not None
    begin, found = read_all(reading, 0, 4096)
    assert begin == writing.start
    assert found == whole[begin:]


def test_a_disk_that_takes_no_more(tmp_path: Path) -> None:
    """What cannot be kept is lost, and said to be; the program goes on."""
    folder = tmp_path / "gone"
    folder.mkdir()
    output = Output("stdout", 100_000, memory_bytes=0, folder=str(folder))
    output.write(b"before")
    folder.rename(tmp_path / "elsewhere")
    output._segments._begin = lambda: (_ for _ in ()).throw(OSError(28, "No space left"))  # type: ignore[union-attr, method-assign]
    output._segments.close()  # type: ignore[union-attr]
    output.write(b"lost")
    assert output.total_bytes == 10
    assert output.read(0, 100) is None
    assert output.start == 10


def test_only_files_of_its_own_are_looked_at(tmp_path: Path) -> None:
    for name, text in (("stdout.00000000000000000000", "ab"), ("stdout.00000000000000000002", "c"), ("about.json", "")):
        (tmp_path / name).write_text(text)
    segments = Segments(str(tmp_path), "stdout", 10)
    segments.refresh()
    assert (segments.start, segments.end) == (0, 3)
    assert segments.read(1, 10) == (1, b"b")
    assert segments.read(2, 10) == (2, b"c")
    assert segments.read(3, 10) is None
    with pytest.raises(OSError, match="No such file"):
        Segments(str(tmp_path / "none"), "stdout", 10).refresh()
