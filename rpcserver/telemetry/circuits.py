"""What is told of the connections with other nodes of the group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from .exposition import Family


class Use(Protocol):
    """What the circuits of one direction are, as :class:`~rpcserver.group.circuits.Use` is."""

    @property
    def direction(self) -> str:
        """``out`` or ``in``."""
        ...

    @property
    def open_count(self) -> int:
        """How many there are."""
        ...

    @property
    def began_count(self) -> int:
        """How many have begun."""
        ...

    @property
    def sent_bytes(self) -> int:
        """The bytes that this node has sent."""
        ...

    @property
    def received_bytes(self) -> int:
        """The bytes that have arrived."""
        ...


def families(uses: Sequence[Use], ends: Mapping[str, int]) -> Iterator[Family]:
    """Yield the metrics of the circuits of a node.

    Parameters:
        uses: what the circuits of each direction are.
        ends: how many have ended, by the reason.
    """
    now = Family(
        "rpcserver_circuits", "gauge",
        "Connections with other nodes of the group that are open: out for own clients, in for those of others.",
    )  # fmt: skip
    starts = Family("rpcserver_circuits_began_total", "counter", "Connections with other nodes since the start.")
    traffic = Family(
        "rpcserver_circuit_bytes_total", "counter", "Bytes that connections with other nodes have carried."
    )
    for use in uses:
        now.add(use.open_count, {"direction": use.direction})
        starts.add(use.began_count, {"direction": use.direction})
        traffic.add(use.sent_bytes, {"direction": use.direction, "flow": "sent"})
        traffic.add(use.received_bytes, {"direction": use.direction, "flow": "received"})
    yield from (now, starts, traffic)
    ends_total = Family(
        "rpcserver_circuit_ends_total", "counter", "Connections with other nodes that have ended, by the reason."
    )
    for reason, number in sorted(ends.items()):
        ends_total.add(number, {"reason": reason})
    yield ends_total
