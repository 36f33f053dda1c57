"""What is mounted, from the kernel's own table.

Source: proc_pid_mountinfo(5). What psutil gives leaves out all file systems that lie on no block device: the root of a
container, network file systems, and those in memory.
"""

from __future__ import annotations

import os
import re
import select
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import psutil

from .places import HERE, text

_T = TypeVar("_T")

_ESCAPED = re.compile(rb"\\([0-7]{3})")

DUMMIES = frozenset({
    "autofs", "proc", "subfs", "debugfs", "devpts", "fusectl", "fuse.portal", "mqueue", "rpc_pipefs", "sysfs", "devfs",
    "kernfs", "ignore",
})  # fmt: skip
"""Kinds that hold no files of anybody's: df(1) leaves them out unasked (gnulib's mountlist.c). To ask one of them may
have effects: what is under autofs would be mounted."""

_BY_KERNEL = frozenset({
    "bcachefs", "binfmt_misc", "bpf", "btrfs", "cgroup", "cgroup2", "configfs", "devtmpfs", "hugetlbfs", "nsfs",
    "overlay", "pstore", "ramfs", "securityfs", "selinuxfs", "tmpfs", "tracefs", "zfs",
})  # fmt: skip
"""Kinds without a block device of their own of which the kernel knows the figures without asking anybody."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system.

    Attributes:
        number, parent: names this mount, and the one that it lies on.
        volume: names the file system: what is mounted twice has the same.
        root: the folder of the file system that is mounted.
        mountpoint: where.
        device, fstype, opts: as mount(8) shows them.
        served: a program or another machine gives its figures, or is asked on the way to it: it may not answer.
        bind: a part of a file system, or one that is mounted elsewhere, too.
        same_as: the mount that stands for all mounts of the same file system; empty for that one.
    """

    number: int
    parent: int
    volume: str
    root: str
    mountpoint: str
    device: str
    fstype: str
    opts: str
    served: bool = False
    bind: bool = False
    same_as: str = ""


def parse(table: bytes, on_devices: frozenset[str] = frozenset()) -> tuple[Mount, ...]:
    """The mounts that can be reached, in the order in which they were made, without :data:`DUMMIES`.

    Parameters:
        table: what ``/proc/self/mountinfo`` says.
        on_devices: kinds of file system that lie on block devices, as ``/proc/filesystems`` has them.
    """
    reached = _reachable([mount for line in table.splitlines() if (mount := _mount(line)) is not None])
    found = [mount for mount in _with_served(reached, on_devices) if mount.fstype not in DUMMIES]
    return _with_repeated(found)


def _mount(line: bytes) -> Mount | None:
    """A line of the table; ``None`` where it is none."""
    fields, marked, rest = line.partition(b" - ")
    words, ends = fields.split(b" "), rest.split(b" ")
    if not marked or len(words) < 6 or len(ends) < 2 or not (words[0].isdigit() and words[1].isdigit()):
        return None
    root, mountpoint, fstype, source = (_unescaped(word) for word in (words[3], words[4], ends[0], ends[1]))
    own, shared = _unescaped(words[5]).split(","), _unescaped(b" ".join(ends[2:])).split(",")
    flag = "ro" if "ro" in own or "ro" in shared else "rw"
    return Mount(
        number=int(words[0]),
        parent=int(words[1]),
        volume=words[2].decode("ascii", "replace"),
        root=root,
        mountpoint=mountpoint,
        device=_real_device(source, words[2].decode("ascii", "replace")),
        fstype=fstype,
        opts=",".join([flag, *(option for option in (*own, *shared) if option not in ("", "rw", "ro"))]),
        bind=_shows_a_part(root, shared),
    )


def _unescaped(word: bytes) -> str:
    """Spaces, tabs, line ends, backslashes and number signs stand there as octal numbers."""
    return os.fsdecode(_ESCAPED.sub(lambda match: bytes((int(match[1], 8) & 0xFF,)), word))


def _real_device(source: str, number: str) -> str:
    """The device behind the name that the kernel gives to what it has started from."""
    if source not in ("/dev/root", "rootfs"):
        return source
    said = text(HERE.sys / "dev" / "block" / number / "uevent") or ""
    name = next((line.removeprefix("DEVNAME=") for line in said.splitlines() if line.startswith("DEVNAME=")), None)
    return source if name is None else f"/dev/{name}"


def _shows_a_part(root: str, options: Iterable[str]) -> bool:
    """Whether only a folder of a file system is mounted. A subvolume of btrfs is a whole of its own."""
    return root != "/" and f"subvol={root}" not in options


def _way_to(path: str) -> Iterator[str]:
    """The folders on the way to a path, without itself."""
    at = len(path)
    while at > 0:
        at = path.rfind("/", 0, at)
        yield path[:at] or "/"


def _reachable(listed: Sequence[Mount]) -> list[Mount]:
    """Those over which nothing else is mounted, neither at their place nor at a folder on the way to it."""
    by_number = {mount.number: mount for mount in listed}
    on: dict[int, dict[str, Mount]] = {}
    for mount in listed:
        if mount.parent != mount.number:
            on.setdefault(mount.parent, {})[mount.mountpoint] = mount  # The one that was made last.
    known: dict[int, bool] = {}

    def is_covered(mount: Mount) -> bool:
        return mount.mountpoint in on.get(mount.number, ())

    def is_on_the_way(mount: Mount) -> bool:
        """Whether its path leads to it, or to what is mounted over it at the same place."""
        if mount.number not in known:
            known[mount.number] = True  # Of a table that goes in circles, too, something is shown.
            known[mount.number] = leads_to(mount)
        return known[mount.number]

    def leads_to(mount: Mount) -> bool:
        parent = by_number.get(mount.parent)
        if parent is None or parent is mount:
            return True
        beside = on[mount.parent]
        if beside[mount.mountpoint] is not mount or not is_on_the_way(parent):
            return False
        if mount.mountpoint == parent.mountpoint:
            return True
        return not is_covered(parent) and not any(folder in beside for folder in _way_to(mount.mountpoint))

    return [mount for mount in listed if not is_covered(mount) and is_on_the_way(mount)]


def _with_served(reached: Sequence[Mount], on_devices: frozenset[str]) -> list[Mount]:
    """The same, with what may not answer marked: also what lies below such a place."""
    prompt = _BY_KERNEL | DUMMIES | (on_devices - {"fuseblk"})
    # The server itself lies below "/": if that does not answer, nothing does.
    places = {mount.mountpoint for mount in reached if mount.fstype not in prompt} - {"/"}
    if not places:
        return list(reached)
    return [
        replace(mount, served=True)
        if mount.mountpoint in places or any(folder in places for folder in _way_to(mount.mountpoint))
        else mount
        for mount in reached
    ]


def _with_repeated(found: Sequence[Mount]) -> tuple[Mount, ...]:
    """The same, with those marked that show what another one shows. For a file system stands, as for df(1), the mount
    that is nearest to its root, and of several the one with the shortest path."""
    first: dict[str, Mount] = {}
    for mount in found:
        known = first.get(mount.volume)
        if known is None or (len(mount.root), len(mount.mountpoint)) < (len(known.root), len(known.mountpoint)):
            first[mount.volume] = mount
    return tuple(_beside(mount, first[mount.volume]) for mount in found)


def _beside(mount: Mount, first: Mount) -> Mount:
    if mount is first:
        return mount
    return replace(mount, same_as=first.mountpoint, bind=mount.bind or mount.root == first.root)


class MountTable(Generic[_T]):
    """What the kernel's table of mounts means, made anew only where that has changed, which the kernel tells
    (proc_pid_mounts(5)).

    Parameters:
        make: makes it of the table.
    """

    def __init__(self, make: Callable[[bytes], _T]) -> None:
        self._make = make
        self._table: int | None = None
        self._changes = select.poll()
        self._known: _T | None = None

    def now(self) -> _T:
        """What it means now.

        Raises:
            OSError: the system has no such table.
        """
        if self._table is None:
            self._table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
            self._changes.register(self._table, select.POLLPRI)
        elif not self._changes.poll(0) and self._known is not None:
            return self._known
        self._known = self._make(_content(self._table))
        return self._known


_TABLE = MountTable(lambda table: parse(table, _on_devices()))


def mounts() -> tuple[Mount, ...]:
    """What is mounted now; what psutil tells where the system has no table."""
    try:
        return _TABLE.now()
    except OSError:
        return _of_psutil()


def _content(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(descriptor, 1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def _on_devices() -> frozenset[str]:
    """The kinds of file system that need a block device, of those that the kernel knows now."""
    lines = (text(HERE.proc / "filesystems") or "").splitlines()
    return frozenset(line.strip() for line in lines if line and not line.startswith("nodev"))


def _of_psutil() -> tuple[Mount, ...]:
    """Where the system has no such table."""
    return tuple(
        Mount(number, -1, part.device, "/", part.mountpoint, part.device, part.fstype, part.opts)
        for number, part in enumerate(psutil.disk_partitions(all=False))
    )
