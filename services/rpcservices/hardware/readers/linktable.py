"""Reads the network interfaces from the kernel, again only after something has changed.

Source: rtnetlink(7), which covers the process's own network namespace; where the server may not use it, sysfs
(Documentation/ABI/testing/sysfs-class-net).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

from .links import ETHERNET, OF_WORD, Link, Role, roles
from .places import HERE, Places, entries, number, text

_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=BxHiII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR, _DONE, _NEWLINK, _GETLINK = 2, 3, 16, 18
_REQUEST_DUMP, _INTERRUPTED = 0x301, 0x10
_IFNAME, _LINK, _MASTER, _LINKINFO, _EXT_MASK, _LINK_NETNSID, _INFO_KIND = 3, 5, 10, 18, 29, 37, 1
_WITHOUT_STATISTICS = 8
_GROUPS = 0x1 | 0x10 | 0x100
"""The reports on interfaces and on their addresses: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR."""
_TRIES = 3


def _align(length: int) -> int:
    return (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[at + _ATTRIBUTE.size : at + length]
        at += _align(length)


def _word(data: bytes) -> str:
    return os.fsdecode(data.split(b"\0", 1)[0])


def _number(data: bytes) -> int:
    return int.from_bytes(data[:4], "little" if struct.pack("=H", 1) == b"\1\0" else "big")


def link_of(message: bytes) -> Link | None:
    """The interface of a message RTM_NEWLINK, without its header; ``None`` where it has no name."""
    if len(message) < _MESSAGE.size:
        return None
    _, hardware, index, flags, _ = _MESSAGE.unpack_from(message)
    attributes = dict(_attributes(message[_align(_MESSAGE.size) :]))
    if _IFNAME not in attributes:
        return None
    return Link(
        index=index,
        name=_word(attributes[_IFNAME]),
        hardware=hardware,
        flags=flags,
        word=_word(dict(_attributes(attributes.get(_LINKINFO, b""))).get(_INFO_KIND, b"")),
        below=_number(attributes.get(_LINK, b"")),
        elsewhere=_LINK_NETNSID in attributes,
        master=_number(attributes.get(_MASTER, b"")),
    )


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The messages of a datagram of netlink(7): type, flags, and the bytes behind the header."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, _, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, flags, data[at + _HEADER.size : at + length]
        at += _align(length)


def _ask() -> list[Link] | None:
    """Ask the kernel for all interfaces; ``None`` if they changed meanwhile.

    Raises:
        OSError: the kernel does not answer this process.
    """
    wish = _MESSAGE.pack(0, 0, 0, 0, 0) + _ATTRIBUTE.pack(8, _EXT_MASK) + struct.pack("=I", _WITHOUT_STATISTICS)
    links: list[Link] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(1.0)
        asking.send(_HEADER.pack(_HEADER.size + len(wish), _GETLINK, _REQUEST_DUMP, 1, 0) + wish)
        while True:
            for kind, flags, body in messages(asking.recv(1 << 20)):
                if flags & _INTERRUPTED:
                    return None
                if kind == _DONE:
                    return links
                if kind == _ERROR:
                    failure = -struct.unpack_from("=i", body)[0]
                    raise OSError(failure, os.strerror(failure))
                if kind == _NEWLINK and (link := link_of(body)) is not None:
                    links.append(link)


def of_kernel() -> list[Link]:
    """All interfaces of the process's network namespace.

    Raises:
        OSError: the kernel does not answer this process.
    """
    for _ in range(_TRIES):
        links = _ask()
        if links is not None:
            return [_with_radio(link) for link in links]
    raise InterruptedError("the interfaces change too fast to be listed")


def _with_radio(link: Link) -> Link:
    """Mark an interface that is a radio; the kernel has no word for that kind."""
    if link.word or link.hardware != ETHERNET:
        return link
    folder = HERE.sys / "class" / "net" / link.name
    # sysfs may show another namespace.
    return replace(link, wireless=True) if number(folder / "ifindex") == link.index and _is_radio(folder) else link


def _is_radio(folder: Path) -> bool:
    return (folder / "phy80211").exists() or (folder / "wireless").exists()


def of_sysfs(places: Places = HERE) -> list[Link]:
    """The interfaces from sysfs, which shows only a part of this."""
    folders = {folder.name: folder for folder in entries(places.sys / "class" / "net") if (folder / "ifindex").exists()}
    numbers = {name: number(folder / "ifindex") or 0 for name, folder in folders.items()}
    links = []
    for name, folder in folders.items():
        below = number(folder / "iflink") or 0
        master = folder / "master"
        links.append(
            Link(
                index=numbers[name],
                name=name,
                hardware=number(folder / "type") or 0,
                flags=number(folder / "flags", 16) or 0,
                word=_word_of(folder, has_lower=below not in (0, numbers[name])),
                below=0 if below == numbers[name] else below,
                elsewhere=bool(below) and below not in numbers.values(),
                master=numbers.get(master.resolve().name, 0) if master.exists() else 0,
                wireless=_is_radio(folder),
            )
        )
    return links


def _word_of(folder: Path, *, has_lower: bool) -> str:
    """The kernel's word for the kind, as far as sysfs shows it."""
    for sign, word in (("bridge", "bridge"), ("bonding", "bond"), ("tun_flags", "tun")):
        if (folder / sign).exists():
            return word
    lines = (text(folder / "uevent") or "").splitlines()
    devtype = next((line.removeprefix("DEVTYPE=") for line in lines if line.startswith("DEVTYPE=")), "")
    if devtype in OF_WORD:
        return devtype
    if (folder / "device").exists() or "virtual" not in folder.resolve().parts:
        return ""
    # sysfs has no word for these. An interface that lies on another links to it; the ends of a veth do not.
    if any(entry.name.startswith("lower_") for entry in entries(folder)):
        return "macvlan"
    return "veth" if has_lower else "virtual"


class LinkTable:
    """The interfaces. They are read again only after the kernel reports a change (rtnetlink(7)). One thread at a time
    may call :meth:`roles`; any thread may call :meth:`known_roles` meanwhile.

    Attributes:
        changes: the number of changes of interfaces and of their addresses that were seen so far; ``None`` if the
            kernel does not report them to this process.
    """

    def __init__(self) -> None:
        self.changes: int | None = None
        # Two threads never get the same number, so roles that were read before a change never count as newer.
        self._numbers = count(1)
        self._news: int | None = None
        self._known: tuple[int | None, dict[str, Role]] | None = None

    def roles(self) -> dict[str, Role]:
        """The role of each interface, by name."""
        try:
            self._look()
            changes = self.changes
            if self._known is None or self._known[0] != changes:
                self._known = (changes, roles(of_kernel()))
            return self._known[1]
        except (OSError, AttributeError):  # The server may not open such a socket, or the system has none.
            self.changes = None if self._news is None else self.changes
            return roles(of_sysfs())

    def known_roles(self) -> dict[str, Role] | None:
        """The same, without waiting for the kernel's lock of the network; ``None`` if the interfaces must be read."""
        if self._news is None:
            return None
        self._look()
        known = self._known
        return known[1] if known is not None and known[0] == self.changes else None

    def _look(self) -> None:
        """Count a change if the kernel has reported some since the last look. This takes no lock."""
        if self._news is None:
            news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            with news:
                news.setblocking(False)
                news.bind((0, _GROUPS))
                self._news = news.detach()
            self.changes = next(self._numbers)
            return
        has_news = False
        while True:
            try:
                os.read(self._news, 1 << 16)
            except BlockingIOError:
                break
            except OSError:  # Reports were lost, because there were too many.
                pass
            has_news = True
        if has_news:
            self.changes = next(self._numbers)


def forwards(places: Places = HERE) -> bool:
    """Whether the system forwards packets between interfaces (ip-sysctl.rst)."""
    folder = places.proc / "sys" / "net"
    return any(number(folder / name) for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"))
