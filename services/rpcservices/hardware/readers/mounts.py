"""Reads what is mounted from the kernel's own table.

Source: proc_pid_mountinfo(5). psutil leaves out all file systems without a block device: the root of a container,
network file systems, and those in memory.
"""

from __future__ import annotations

import os
import re
import select
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Generic, TypeVar, cast

import psutil

from .places import HERE, text

_T = TypeVar("_T")

_ESCAPED = re.compile(rb"\\([0-7]{3})")

DUMMIES = frozenset({
    "autofs", "proc", "subfs", "debugfs", "devpts", "fusectl", "fuse.portal", "mqueue", "rpc_pipefs", "sysfs", "devfs",
    "kernfs", "ignore",
})  # fmt: skip
"""Kinds that hold no files of users: df(1) does not ask them (gnulib's mountlist.c). To ask one may have effects:
autofs would mount a file system."""

_BY_KERNEL = frozenset({
    "bcachefs", "binfmt_misc", "bpf", "btrfs", "cgroup", "cgroup2", "configfs", "devtmpfs", "hugetlbfs", "nsfs",
    "overlay", "pstore", "ramfs", "securityfs", "selinuxfs", "tmpfs", "tracefs", "zfs",
})  # fmt: skip
"""Kinds without a block device whose figures the kernel knows without asking another program or machine."""


WITHOUT_ROOM = frozenset({
    "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "nsfs", "pstore", "securityfs", "selinuxfs", "tracefs",
})  # fmt: skip
"""Kinds that show what the kernel knows and never have a size (simple_statfs() in fs/libfs.c), so nobody need ask."""


PROMPT = WITHOUT_ROOM | {
    "devtmpfs", "ext2", "ext3", "ext4", "hugetlbfs", "overlay", "ramfs", "squashfs", "tmpfs", "vfat", "xfs",
}  # fmt: skip
"""Kinds whose figures the kernel has in memory and gives without a lock that is held during writing (statfs(2))."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system.

    Attributes:
        number, parent: the number of this mount, and of the mount that it lies on.
        volume: the number of the file system; mounts of the same file system have the same one.
        root: the folder of the file system that is mounted.
        mountpoint: the folder where it is mounted.
        device, fstype, opts: as mount(8) shows them.
        is_served: whether a program or another machine gives its figures, or those of a mount on the way to it, so that
            asking may hang.
        bind: whether it is a part of a file system, or one that is also mounted elsewhere.
        same_as: the mount that stands for all mounts of the same file system; empty for that one itself.
    """

    number: int
    parent: int
    volume: str
    root: str
    mountpoint: str
    device: str
    fstype: str
    opts: str
    is_served: bool = False
    bind: bool = False
    same_as: str = ""


def parse(table: bytes, on_devices: frozenset[str] = frozenset()) -> tuple[Mount, ...]:
    """The mounts that can be reached, in the order in which they were made, without :data:`DUMMIES`.

    Parameters:
        table: the content of ``/proc/self/mountinfo``.
        on_devices: the kinds of file system that need a block device, from ``/proc/filesystems``.
    """
    reachable = _reachable([mount for line in table.splitlines() if (mount := _mount(line)) is not None])
    mounts = [mount for mount in _with_served(reachable, on_devices) if mount.fstype not in DUMMIES]
    return _with_repeated(mounts)


def _mount(line: bytes) -> Mount | None:
    """Read a line of the table; ``None`` if it is malformed."""
    fields, separator, rest = line.partition(b" - ")
    words, ends = fields.split(b" "), rest.split(b" ")
    if not separator or len(words) < 6 or len(ends) < 2 or not (words[0].isdigit() and words[1].isdigit()):
        return None
    root, mountpoint, fstype, source = (_unescape(word) for word in (words[3], words[4], ends[0], ends[1]))
    own, of_filesystem = _unescape(words[5]).split(","), _unescape(b" ".join(ends[2:])).split(",")
    flag = "ro" if "ro" in own or "ro" in of_filesystem else "rw"
    return Mount(
        number=int(words[0]),
        parent=int(words[1]),
        volume=words[2].decode("ascii", "replace"),
        root=root,
        mountpoint=mountpoint,
        device=_real_device(source, words[2].decode("ascii", "replace")),
        fstype=fstype,
        opts=",".join([flag, *(option for option in (*own, *of_filesystem) if option not in ("", "rw", "ro"))]),
        bind=_shows_a_part(root, of_filesystem),
    )


def _unescape(word: bytes) -> str:
    """Decode a word: the table writes spaces, tabs, line ends, backslashes and number signs as octal numbers."""
    return os.fsdecode(_ESCAPED.sub(lambda match: bytes((int(match[1], 8) & 0xFF,)), word))


def _real_device(source: str, number: str) -> str:
    """The real device, where the table has the kernel's general name for the device it has started from."""
    if source not in ("/dev/root", "rootfs"):
        return source
    uevent = text(HERE.sys / "dev" / "block" / number / "uevent") or ""
    name = next((line.removeprefix("DEVNAME=") for line in uevent.splitlines() if line.startswith("DEVNAME=")), None)
    return source if name is None else f"/dev/{name}"


def _shows_a_part(root: str, options: Iterable[str]) -> bool:
    """Whether only a folder of a file system is mounted. A subvolume of btrfs counts as a whole file system."""
    return root != "/" and f"subvol={root}" not in options


def _way_to(path: str) -> Iterator[str]:
    """The folders above a path, from the nearest on."""
    at = len(path)
    while at > 0:
        at = path.rfind("/", 0, at)
        yield path[:at] or "/"


def _reachable(mount_list: Sequence[Mount]) -> list[Mount]:
    """The mounts that no other one covers, neither at their mount point nor at a folder above it."""
    by_number = {mount.number: mount for mount in mount_list}
    on: dict[int, dict[str, Mount]] = {}
    for mount in mount_list:
        if mount.parent != mount.number:
            on.setdefault(mount.parent, {})[mount.mountpoint] = mount  # The latest one counts.
    answers: dict[int, bool] = {}

    def is_covered(mount: Mount) -> bool:
        return mount.mountpoint in on.get(mount.number, ())

    def is_on_the_way(mount: Mount) -> bool:
        """Whether the path of a mount leads to it, or to a later mount at the same place."""
        if mount.number not in answers:
            answers[mount.number] = True  # So a table with a circle of parents still shows something.
            answers[mount.number] = leads_to(mount)
        return answers[mount.number]

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

    return [mount for mount in mount_list if not is_covered(mount) and is_on_the_way(mount)]


def _with_served(mount_list: Sequence[Mount], on_devices: frozenset[str]) -> list[Mount]:
    """Mark the mounts that may not answer, and those that lie below one."""
    prompt = _BY_KERNEL | DUMMIES | (on_devices - {"fuseblk"})
    # "/" does not count: if it does not answer, the server does not run either.
    places = {mount.mountpoint for mount in mount_list if mount.fstype not in prompt} - {"/"}
    if not places:
        return list(mount_list)
    return [
        replace(mount, is_served=True)
        if mount.mountpoint in places or any(folder in places for folder in _way_to(mount.mountpoint))
        else mount
        for mount in mount_list
    ]


def _with_repeated(mount_list: Sequence[Mount]) -> tuple[Mount, ...]:
    """Mark the mounts that repeat a file system. As in df(1), the mount nearest to the file system's root stands for
    it, and among equals the one with the shortest path."""
    first: dict[str, Mount] = {}
    for mount in mount_list:
        other = first.get(mount.volume)
        if other is None or (len(mount.root), len(mount.mountpoint)) < (len(other.root), len(other.mountpoint)):
            first[mount.volume] = mount
    return tuple(_beside(mount, first[mount.volume]) for mount in mount_list)


def _beside(mount: Mount, first: Mount) -> Mount:
    if mount is first:
        return mount
    return replace(mount, same_as=first.mountpoint, bind=mount.bind or mount.root == first.root)


class MountTable(Generic[_T]):
    """A value made from the kernel's table of mounts. It is made again only after the kernel reports a change
    (proc_pid_mounts(5)). One thread at a time may call :meth:`now`; any thread may call :meth:`known` meanwhile.

    Parameters:
        make: makes the value from the table.
    """

    def __init__(self, make: Callable[[bytes], _T]) -> None:
        self._make = make
        self._table: int | None = None
        # Two threads never get the same number, so a value that was made before a change never counts as newer.
        self._numbers = count(1)
        self._number = 0
        self._made: tuple[int, _T] | None = None

    def now(self) -> _T:
        """Return the current value.

        Raises:
            OSError: the system has no such table.
        """
        if self._table is None:
            self._table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        known = self._look()
        if known is None:
            number = self._number
            known = (number, self._make(_content(self._table)))
            self._made = known
        return known[1]

    def known(self) -> _T | None:
        """The current value, without waiting for the kernel's lock of mounts; ``None`` if it must be made."""
        known = None if self._table is None else self._look()
        return None if known is None else known[1]

    def _has_changed(self) -> bool:
        # Two threads must not use one poll object at the same time.
        changes = select.poll()
        changes.register(cast("int", self._table), select.POLLPRI)
        return bool(changes.poll(0))

    def _look(self) -> tuple[int, _T] | None:
        """What is made, if the kernel has reported no change since. The kernel reports each change once."""
        if self._has_changed():
            self._number = next(self._numbers)
        made = self._made
        return made if made is not None and made[0] == self._number else None


_TABLE = MountTable(lambda table: parse(table, _on_devices()))


def mounts() -> tuple[Mount, ...]:
    """What is mounted now. Without the kernel's table, psutil's list."""
    try:
        return _TABLE.now()
    except OSError:
        return _of_psutil()


def mounts_known() -> tuple[Mount, ...] | None:
    """What is mounted now, without waiting for the kernel's lock of mounts; ``None`` if the table must be read."""
    return _TABLE.known()


def _content(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(descriptor, 1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def _on_devices() -> frozenset[str]:
    """The kinds of file system that need a block device, among those that the kernel knows now."""
    lines = (text(HERE.proc / "filesystems") or "").splitlines()
    return frozenset(line.strip() for line in lines if line and not line.startswith("nodev"))


def _of_psutil() -> tuple[Mount, ...]:
    """Return psutil's list, for systems without the table."""
    return tuple(
        Mount(number, -1, part.device, "/", part.mountpoint, part.device, part.fstype, part.opts)
        for number, part in enumerate(psutil.disk_partitions(all=False))
    )
