"""What each network interface is, and which other ones carry what goes through it: from what the kernel says of them.

The words are those of rtnetlink(7).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rpcservices.hardware.models import InterfaceKind

_LOOPBACK = 0x8
"""Of an interface's flags (netdevice(7))."""
ETHERNET = 1
"""The type of hardware (include/uapi/linux/if_arp.h) of whatever carries Ethernet's frames."""

OF_WORD: Mapping[str, InterfaceKind] = {
    "bridge": "bridge", "openvswitch": "bridge", "bond": "bond", "team": "bond", "vlan": "vlan",
    "macvlan": "macvlan", "macvtap": "macvlan", "ipvlan": "macvlan", "ipvtap": "macvlan",
    "veth": "veth", "netkit": "veth", "vxcan": "veth", "tun": "tun",
    "wwan": "mobile", "rmnet": "mobile", "dsa": "ethernet", "ipoib": "infiniband", "can": "other",
    "wireguard": "tunnel", "vxlan": "tunnel", "geneve": "tunnel", "gre": "tunnel", "gretap": "tunnel",
    "erspan": "tunnel", "ip6gre": "tunnel", "ip6gretap": "tunnel", "ip6erspan": "tunnel", "ipip": "tunnel",
    "ip6tnl": "tunnel", "sit": "tunnel", "vti": "tunnel", "vti6": "tunnel", "xfrm": "tunnel", "ppp": "tunnel",
    "gtp": "tunnel", "bareudp": "tunnel", "amt": "tunnel", "ovpn": "tunnel", "ovpn-dco": "tunnel", "batadv": "tunnel",
    "l2tpeth": "tunnel", "pfcp": "tunnel",
}  # fmt: skip
"""By the kernel's word (IFLA_INFO_KIND). Drivers of hardware have none; what else has one is virtual."""
_OF_HARDWARE: Mapping[int, InterfaceKind] = {
    ETHERNET: "ethernet", 32: "infiniband", 512: "tunnel", 768: "tunnel", 769: "tunnel", 776: "tunnel", 778: "tunnel",
    801: "wifi", 802: "wifi", 803: "wifi", 823: "tunnel", 0xFFFF: "virtual",
}  # fmt: skip
"""By the type of hardware, where there is no such word."""

_HARDWARE: frozenset[InterfaceKind] = frozenset({"ethernet", "wifi", "mobile", "infiniband", "other"})
_LEADING: frozenset[InterfaceKind] = frozenset({"veth", "macvlan", "vlan"})
"""Kinds whose other end, or what they lie on, may be in another network namespace: then they lead there."""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface as the kernel has it.

    Attributes:
        index, name: what it is called.
        hardware: the type of hardware that it says it is.
        flags: as of netdevice(7).
        word: the kernel's word for its kind; empty for the drivers of hardware.
        below: the index of the interface that it lies on, or for veth of its other end; 0 for none.
        elsewhere: that one is in another network namespace.
        master: the index of the bridge or bond that it is a part of; 0 for none.
        wireless: it is a radio.
    """

    index: int
    name: str
    hardware: int = ETHERNET
    flags: int = 0
    word: str = ""
    below: int = 0
    elsewhere: bool = False
    master: int = 0
    wireless: bool = False

    @property
    def kind(self) -> InterfaceKind:
        """What it is."""
        if self.flags & _LOOPBACK:
            return "loopback"
        if self.word:
            return OF_WORD.get(self.word, "virtual")
        return "wifi" if self.wireless else _OF_HARDWARE.get(self.hardware, "other")


class Role(NamedTuple):
    """What an interface is among the others.

    Attributes:
        kind: what it is.
        lies_on: the names of those that carry what goes through it.
        outer: it leads out of the system, and lies on no other one.
        inner: it leads to a container or a virtual machine, and lies on no other one.
        joined: bridges carry what goes through it to one that leads out.
    """

    kind: InterfaceKind
    lies_on: tuple[str, ...]
    outer: bool
    inner: bool
    joined: bool


class Graph:
    """Interfaces, and how they lie on each other.

    Parameters:
        links: all of a network namespace.
    """

    def __init__(self, links: Iterable[Link]) -> None:
        self.links = {link.index: link for link in links}
        self._parts: dict[int, list[Link]] = {}
        for link in self.links.values():
            if link.master in self.links:
                self._parts.setdefault(link.master, []).append(link)
        self._on = {index: self._lies_on(link) for index, link in self.links.items()}

    def _here(self, link: Link) -> Link | None:
        """What it lies on, or its other end, where that is in this namespace."""
        return self.links.get(link.below) if not link.elsewhere and link.below != link.index else None

    def _lies_on(self, link: Link) -> list[Link]:
        below, parts = self._here(link), self._parts.get(link.index, [])
        return parts if below is None or link.kind == "veth" else [below, *parts]

    def roles(self) -> dict[str, Role]:
        """What each interface is, by name."""
        outer = {link.index for link in self._outer()}
        inner = {link.index for link in self._ends()} - outer
        return {
            link.name: Role(
                link.kind,
                tuple(below.name for below in self._on[index]),
                index in outer,
                index in inner,
                index in inner and self._is_joined(link, outer),
            )
            for index, link in self.links.items()
        }

    def _outer(self) -> Sequence[Link]:
        """What leads out of the system: its hardware. Where it has none, as in a container, what leads into another
        network namespace, and best what is no part of a bridge; and where there is nothing of that, whatever lies on
        no other interface."""
        lowest = [link for index, link in self.links.items() if not self._on[index]]
        leading = [link for link in lowest if link.kind in _LEADING and link.elsewhere]
        return (
            [link for link in self.links.values() if link.kind in _HARDWARE and not self._is_carried(link)]
            or [link for link in leading if not link.master]
            or leading
            or self._ends()
            or [link for link in lowest if link.kind in ("tun", "tunnel", *_LEADING)]
        )

    def _is_carried(self, link: Link) -> bool:
        """Whether other hardware counts what goes through it: that which leads to the switch of whose ports it is one;
        or that of which it is a part, as Hyper-V and virtio have a fast and a slow way in one interface."""
        above = self.links.get(link.master)
        return self._here(link) is not None or (above is not None and above.kind in _HARDWARE)

    def _ends(self) -> list[Link]:
        """Those behind which there is a container or a program. (What comes by a tun, a program has made of what came
        by another interface; by a tap, which has Ethernet's frames, it is mostly a virtual machine.)"""
        ends = [link for index, link in self.links.items() if not self._on[index] and link.kind in ("veth", "tun")]
        return [link for link in ends if link.kind == "veth" or link.hardware == ETHERNET]

    def _is_joined(self, link: Link, outer: Iterable[int]) -> bool:
        """Whether bridges carry what goes through it to one that leads out, by whatever lies between."""
        wanted, waiting, seen = set(outer), [*self._beyond(link)], {link.index}
        while waiting:
            index = waiting.pop()
            found = self.links.get(index)
            if found is None or index in seen:
                continue
            if index in wanted:
                return True
            seen.add(index)
            waiting += [below.index for below in self._on[index]]
            waiting += self._beyond(found) if found.kind == "veth" else ()
        return False

    def _beyond(self, link: Link) -> Iterator[int]:
        """The bridge that it is a part of, and that of its other end."""
        yield link.master
        other = self._here(link)
        if other is not None:
            yield other.master


def roles(links: Iterable[Link]) -> dict[str, Role]:
    """What each interface is among the others, by name."""
    return Graph(links).roles()
