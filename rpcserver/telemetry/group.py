"""What is told of the group that a node sees, and of its connection to the broker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from .exposition import Family


class Use(Protocol):
    """What a node sees of its group, as :class:`~rpcserver.group.node.Use` is."""

    @property
    def nodes(self) -> Mapping[str, int]:
        """How many nodes are in each state."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the broker."""
        ...

    @property
    def is_settled(self) -> bool:
        """Whether what it sees can be trusted."""
        ...

    @property
    def connections(self) -> int:
        """How many connections to the broker there were."""
        ...

    @property
    def drops(self) -> int:
        """How many messages were not sent."""
        ...


def families(use: Use) -> Iterator[Family]:
    """Yield the metrics of the group.

    Parameters:
        use: what the node sees.
    """
    nodes = Family("rpcserver_group_nodes", "gauge", "Nodes of the group as this one sees them, by their state.")
    for state, number in use.nodes.items():
        nodes.add(number, {"state": state})
    link = Family("rpcserver_group_broker_connected", "gauge", "1 if there is a connection to the broker.")
    link.add(int(use.is_connected))
    trust = Family(
        "rpcserver_group_settled",
        "gauge",
        "1 if what this node sees of the group can be trusted: it hears, and in time.",
    )
    trust.add(int(use.is_settled))
    connections = Family(
        "rpcserver_group_broker_connections_total", "counter", "Connections to the broker since the start."
    )
    connections.add(use.connections)
    drops = Family(
        "rpcserver_group_messages_dropped_total", "counter", "Messages to the group that had no connection or no room."
    )
    drops.add(use.drops)
    yield from (nodes, link, trust, connections, drops)
