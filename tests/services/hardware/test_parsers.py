"""The parsers take anything, and what is well-formed comes out."""

from __future__ import annotations

import struct
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from rpcservices.hardware.inventory import ids, smbios, udev
from rpcservices.hardware.readers import pressure
from rpcservices.hardware.readers.places import numbers_of

ANY_TEXT = st.text(alphabet=st.sampled_from("0123456789abcdef \t\nC:ES=/#-,.xyz"), max_size=300)


def structure(kind: int, handle: int, body: bytes, strings: list[bytes]) -> bytes:
    """A structure as DSP0134 has it: header, formatted area, strings."""
    texts = b"".join(text + b"\0" for text in strings) + b"\0" if strings else b"\0\0"
    return struct.pack("<BBH", kind, 4 + len(body), handle) + body + texts


STRINGS = st.lists(st.binary(min_size=1, max_size=9).filter(lambda b: b"\0" not in b), max_size=4)


@given(st.lists(st.tuples(st.integers(0, 126), st.integers(0, 0xFFFF), st.binary(max_size=60), STRINGS), max_size=6))
def test_structures_come_out_as_they_went_in(made: list[tuple[int, int, bytes, list[bytes]]]) -> None:
    table = b"".join(structure(*each) for each in made)
    found = list(smbios.structures(table))
    assert [(s.type, s.handle, s.data[4:], [t.encode("latin-1") for t in s.strings]) for s in found] == made


@given(st.binary(max_size=300))
def test_any_table(table: bytes) -> None:
    list(smbios.structures(table))
    list(smbios.memory_devices(table))


@given(st.binary(max_size=80), STRINGS)
def test_any_memory_device(body: bytes, strings: list[bytes]) -> None:
    (found,) = smbios.memory_devices(structure(17, 0x1100, body, strings))
    assert found["handle"] == "0x1100"
    size = found["size_bytes"]
    assert size is None or (isinstance(size, int) and size >= 0)


@given(ANY_TEXT)
@example("8086  Intel\n\t5917  UHD\n\t\t17aa 225e  ThinkPad\nC 03  Display\n\t00  VGA\n")
def test_any_file_of_ids(text: str) -> None:
    found = ids.parse(text.splitlines(keepends=True))
    assert all(len(vendor) == 4 for vendor in found.vendors)
    assert all(vendor in found.vendors for vendor, _ in found.models)


@given(ANY_TEXT)
@example("E:A=b=c\nS:disk/by-id/x\nE:nothing\n")
def test_any_record_of_udev(text: str) -> None:
    found = udev.parse(text)
    assert all(name + "=" in text for name in found.properties)


@given(ANY_TEXT)
@example("some avg10=0.12 avg60=0.08 avg300=0.02 total=4021337\n")
def test_any_pressure(text: str) -> None:
    assert all(isinstance(stall.total_us, int) for stall in pressure.parse(text).values())


@given(st.sets(st.integers(0, 500), max_size=50))
def test_lists_of_processors(numbers: set[int]) -> None:
    written: list[str] = []
    ordered = sorted(numbers)
    start = 0
    for index, number in enumerate(ordered):
        if index + 1 == len(ordered) or ordered[index + 1] != number + 1:
            first = ordered[start]
            written.append(f"{first}" if first == number else f"{first}-{number}")
            start = index + 1
    assert numbers_of(",".join(written)) == ordered


@given(ANY_TEXT)
def test_any_list_of_processors(text: str) -> None:
    assert all(number >= 0 for number in numbers_of(text.replace("\n", "")))


def test_the_systems_ids_where_there_are_any() -> None:
    for path in (Path("/usr/share/misc/pci.ids"), Path("/usr/share/hwdata/pci.ids")):
        if path.is_file():
            assert ids.parse(path.read_text(errors="replace").splitlines()).vendors["8086"].startswith("Intel")
