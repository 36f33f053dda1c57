"""Finds out, from what the kernel tells, what each network interface is, and which others carry its traffic.

The words are those of rtnetlink(7).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rpcservices.hardware.models import InterfaceKind

_LOOPBACK = 0x8
"""A flag of an interface (netdevice(7))."""
ETHERNET = 1
"""The type of hardware (include/uapi/linux/if_arp.h) of interfaces that carry Ethernet frames."""

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
"""Kinds by the kernel's word (IFLA_INFO_KIND). Hardware has no such word; an interface with any other is virtual."""
_OF_HARDWARE: Mapping[int, InterfaceKind] = {
    ETHERNET: "ethernet", 32: "infiniband", 512: "tunnel", 768: "tunnel", 769: "tunnel", 776: "tunnel", 778: "tunnel",
    801: "wifi", 802: "wifi", 803: "wifi", 823: "tunnel", 0xFFFF: "virtual",
}  # fmt: skip
"""Kinds by the type of hardware, for interfaces without such a word."""

_HARDWARE: frozenset[InterfaceKind] = frozenset({"ethernet", "wifi", "mobile", "infiniband", "other"})
_LEADING: frozenset[InterfaceKind] = frozenset({"veth", "macvlan", "vlan"})
"""Kinds that lead to another network namespace if their other end, or the interface that they lie on, is there."""


@dataclass(frozen=True, slots=True)
class Link:
    """An interface, as the kernel describes it.

    Attributes:
        index, name: its number and name.
        hardware: the type of hardware that it claims to be.
        flags: its flags (netdevice(7)).
        word: the kernel's word for its kind; empty for hardware.
        below: the index of the interface that it lies on, or of a veth's other end; 0 for none.
        elsewhere: whether that interface is in another network namespace.
        master: the index of the bridge or bond that it is a part of; 0 for none.
        wireless: whether it is a radio.
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
        """The kind of interface."""
        if self.flags & _LOOPBACK:
            return "loopback"
        if self.word:
            return OF_WORD.get(self.word, "virtual")
        return "wifi" if self.wireless else _OF_HARDWARE.get(self.hardware, "other")


class Role(NamedTuple):
    """What an interface is among the others.

    Attributes:
        kind: the kind of interface.
        lies_on: the names of the interfaces that carry its traffic.
        outer: whether it leads out of the system, and lies on no other one.
        inner: whether it leads to a container or a virtual machine, and lies on no other one.
        is_bridged: whether bridges carry its traffic to an outer one.
    """

    kind: InterfaceKind
    lies_on: tuple[str, ...]
    outer: bool
    inner: bool
    is_bridged: bool


class Graph:
    """Interfaces, and how they lie on each other.

    Parameters:
        links: all interfaces of a network namespace.
    """

    def __init__(self, links: Iterable[Link]) -> None:
        self.links = {link.index: link for link in links}
        self._parts: dict[int, list[Link]] = {}
        for link in self.links.values():
            if link.master in self.links:
                self._parts.setdefault(link.master, []).append(link)
        self._on = {index: self._lies_on(link) for index, link in self.links.items()}

    def _here(self, link: Link) -> Link | None:
        """The interface that it lies on, or its other end, if that is in this namespace."""
        return self.links.get(link.below) if not link.elsewhere and link.below != link.index else None

    def _lies_on(self, link: Link) -> list[Link]:
        below, parts = self._here(link), self._parts.get(link.index, [])
        return parts if below is None or link.kind == "veth" else [below, *parts]

    def roles(self) -> dict[str, Role]:
        """The role of each interface, by name."""
        outer = {link.index for link in self._outer()}
        inner = {link.index for link in self._ends()} - outer
        return {
            link.name: Role(
                link.kind,
                tuple(below.name for below in self._on[index]),
                index in outer,
                index in inner,
                index in inner and self._is_bridged(link, outer),
            )
            for index, link in self.links.items()
        }

    def _outer(self) -> Sequence[Link]:
        """The interfaces that lead out of the system: its hardware. A system without hardware, such as a container, has
        those that lead into another network namespace, preferably those that are no part of a bridge. If there are
        none of these either, take those that lie on no other interface."""
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
        """Whether other hardware also counts its traffic: the interface that leads to the switch of which this is a
        port; or the one of which this is a part, as Hyper-V and virtio have a fast and a slow path in one interface."""
        above = self.links.get(link.master)
        return self._here(link) is not None or (above is not None and above.kind in _HARDWARE)

    def _ends(self) -> list[Link]:
        """The interfaces that lead to a container or a virtual machine. (A tap, which carries Ethernet frames, mostly
        leads to a virtual machine. A tun does not count: a program makes its packets from traffic of another
        interface.)"""
        ends = [link for index, link in self.links.items() if not self._on[index] and link.kind in ("veth", "tun")]
        return [link for link in ends if link.kind == "veth" or link.hardware == ETHERNET]

    def _is_bridged(self, link: Link, outer: Iterable[int]) -> bool:
        """Whether bridges carry its traffic to one of ``outer``, directly or through other interfaces."""
        targets, waiting, trail = set(outer), [*self._beyond(link)], {link.index}
        while waiting:
            index = waiting.pop()
            link_there = self.links.get(index)
            if link_there is None or index in trail:
                continue
            if index in targets:
                return True
            trail.add(index)
            waiting += [below.index for below in self._on[index]]
            waiting += self._beyond(link_there) if link_there.kind == "veth" else ()
        return False

    def _beyond(self, link: Link) -> Iterator[int]:
        """The bridge that it is a part of, and the bridge of its other end."""
        yield link.master
        other = self._here(link)
        if other is not None:
            yield other.master


def roles(links: Iterable[Link]) -> dict[str, Role]:
    """The role of each interface among the others, by name."""
    return Graph(links).roles()
