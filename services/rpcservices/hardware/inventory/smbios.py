"""Reads the memory devices (type 17) from the firmware's table of the machine: SMBIOS (DMTF DSP0134)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_END = 127
_MEMORY_DEVICE = 17

_FORM_FACTORS = {
    1: "Other", 2: "Unknown", 3: "SIMM", 4: "SIP", 5: "Chip", 6: "DIP", 7: "ZIP", 8: "Proprietary Card", 9: "DIMM",
    10: "TSOP", 11: "Row Of Chips", 12: "RIMM", 13: "SODIMM", 14: "SRIMM", 15: "FB-DIMM", 16: "Die",
}  # fmt: skip
_TYPES = {
    1: "Other", 2: "Unknown", 3: "DRAM", 4: "EDRAM", 5: "VRAM", 6: "SRAM", 7: "RAM", 8: "ROM", 9: "Flash",
    10: "EEPROM", 11: "FEPROM", 12: "EPROM", 13: "CDRAM", 14: "3DRAM", 15: "SDRAM", 16: "SGRAM", 17: "RDRAM",
    18: "DDR", 19: "DDR2", 20: "DDR2 FB-DIMM", 24: "DDR3", 25: "FBD2", 26: "DDR4", 27: "LPDDR", 28: "LPDDR2",
    29: "LPDDR3", 30: "LPDDR4", 31: "Logical non-volatile device", 32: "HBM", 33: "HBM2", 34: "DDR5", 35: "LPDDR5",
    36: "HBM3",
}  # fmt: skip
_DETAILS = (
    "Reserved", "Other", "Unknown", "Fast-paged", "Static Column", "Pseudo-static", "RAMBUS", "Synchronous", "CMOS",
    "EDO", "Window DRAM", "Cache DRAM", "Non-volatile", "Registered (Buffered)", "Unbuffered (Unregistered)", "LRDIMM",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Structure:
    """One structure of the table.

    Attributes:
        type: the type of what it describes.
        handle: its number.
        data: the formatted area, with the header.
        strings: the texts that its fields refer to.
    """

    type: int
    handle: int
    data: bytes
    strings: tuple[str, ...]

    def number(self, offset: int, size: int) -> int | None:
        """A little-endian number; ``None`` where the structure is of an older version and too short."""
        if offset + size > len(self.data):
            return None
        return int.from_bytes(self.data[offset : offset + size], "little")

    def text(self, offset: int) -> str | None:
        """The text that a field refers to."""
        index = self.number(offset, 1)
        if not index or index > len(self.strings):
            return None
        return self.strings[index - 1].strip() or None


def structures(table: bytes) -> Iterator[Structure]:
    """The structures of a table, up to the first bytes that are no whole structure."""
    position = 0
    while position + 4 <= len(table):
        kind, length, handle = struct.unpack_from("<BBH", table, position)
        if length < 4 or position + length > len(table):
            return
        end = table.find(b"\0\0", position + length)
        if end < 0:
            return
        texts = table[position + length : end]
        yield Structure(
            kind,
            handle,
            table[position : position + length],
            tuple(part.decode("latin-1") for part in texts.split(b"\0")) if texts else (),
        )
        if kind == _END:
            return
        position = end + 2


def memory_devices(table: bytes) -> Iterator[dict[str, str | int | None]]:
    """The slots for memory, filled or empty, with ``size_bytes`` and the names of osquery's ``memory_devices``."""
    for each in structures(table):
        if each.type != _MEMORY_DEVICE:
            continue
        details = each.number(0x13, 2) or 0
        yield {
            "handle": f"0x{each.handle:04X}",
            "array_handle": _hex(each.number(0x04, 2)),
            "form_factor": _FORM_FACTORS.get(each.number(0x0E, 1) or 0),
            "total_width": _if_known(each.number(0x08, 2)),
            "data_width": _if_known(each.number(0x0A, 2)),
            "size_bytes": _size(each),
            "set": each.number(0x0F, 1),
            "device_locator": each.text(0x10),
            "bank_locator": each.text(0x11),
            "memory_type": _TYPES.get(each.number(0x12, 1) or 0),
            "memory_type_details": " ".join(n for bit, n in enumerate(_DETAILS) if details >> bit & 1) or None,
            "max_speed": _speed(each, 0x15),
            "configured_clock_speed": _speed(each, 0x20),
            "manufacturer": each.text(0x17),
            "serial_number": each.text(0x18),
            "asset_tag": each.text(0x19),
            "part_number": each.text(0x1A),
            "min_voltage": each.number(0x22, 2),
            "max_voltage": each.number(0x24, 2),
            "configured_voltage": each.number(0x26, 2),
        }


def _hex(value: int | None) -> str | None:
    return None if value is None else f"0x{value:04X}"


def _if_known(value: int | None) -> int | None:
    return None if value in (None, 0xFFFF) else value


def _size(each: Structure) -> int | None:
    """The size in bytes; 0 for an empty slot, ``None`` where it is unknown (DSP0134, 7.18.4)."""
    size = each.number(0x0C, 2)
    if size is None or size == 0xFFFF:
        return None
    if size == 0x7FFF:
        extension = each.number(0x1C, 4)
        return None if extension is None else (extension & 0x7FFF_FFFF) * 1024 * 1024
    return (size & 0x7FFF) * 1024 if size & 0x8000 else size * 1024 * 1024


def _speed(each: Structure, offset: int) -> int | None:
    """The speed in millions of transfers per second."""
    return each.number(offset, 2) or None
