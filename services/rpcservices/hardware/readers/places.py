"""The folders in which the system shows its hardware. Tests put recorded trees of other machines in their place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The folders that the readers look into.

    Attributes:
        sys: sysfs (``man 5 sysfs``).
        proc: procfs (``man 5 proc``).
        dev: device files.
        run: udev keeps its records in ``udev/data`` below it.
        share: the folder of ``pci.ids`` and ``usb.ids``.
    """

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")
    run: Path = Path("/run")
    share: Path = Path("/usr/share")

    @classmethod
    def under(cls, root: Path) -> Places:
        """The same folders of a machine whose file system lies under ``root``."""
        return cls(root / "sys", root / "proc", root / "dev", root / "run", root / "usr" / "share")


HERE = Places()
"""This machine."""


def text(path: Path | str) -> str | None:
    """A small file's content without white space around it; ``None`` where it cannot be read, or is empty. To make a
    path of strings takes a fraction of the time that it takes of objects."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - as above
            return file.read().decode("utf-8", "replace").strip("\0 \n\t") or None
    except OSError:
        return None


def number(path: Path, base: int = 10) -> int | None:
    """A small file's content as an integer; ``None`` where it is not one."""
    content = text(path)
    try:
        return None if content is None else int(content, base)
    except ValueError:
        return None


def entries(folder: Path) -> Iterator[Path]:
    """The entries of a folder, by name; empty where it cannot be read."""
    try:
        yield from sorted(folder.iterdir())
    except OSError:
        return


def numbers_of(ranges: str) -> list[int]:
    """Read a list of numbers as the kernel writes it, such as ``0-3,8`` (``man 7 cpuset``)."""
    numbers: list[int] = []
    for part in ranges.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            numbers += range(int(first), min(int(last or first), int(first) + 65_536) + 1)
    return numbers
