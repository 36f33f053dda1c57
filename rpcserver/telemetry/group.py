"""What is told of the group that a node sees, of its connection to the broker, of group calls and of leases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from . import circuits, events
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


class Calls(Protocol):
    """The calls to many nodes, as :class:`~rpcserver.group.calls.GroupCalls` has them.

    Attributes:
        count: how many were made.
        outcomes: counts the outcomes, by state.
    """

    count: int
    outcomes: Counter[str]

    def __len__(self) -> int:
        """Return how many go on."""
        ...


class Leases(Protocol):
    """What grants leases, as :class:`~rpcserver.group.leases.Leases` is.

    Attributes:
        outcomes: counts what became of leases.
    """

    outcomes: Counter[str]

    @property
    def held_count(self) -> int:
        """How many are held that this node has granted."""
        ...


class Circuits(Protocol):
    """The connections with other nodes, as :class:`~rpcserver.group.circuits.Circuits` has them.

    Attributes:
        ends: how many have ended, by the reason.
    """

    ends: Counter[str]

    def uses(self) -> Sequence[circuits.Use]:
        """Return what those of each direction are."""
        ...


class Side(Protocol):
    """What a server is in its group, as :class:`~rpcserver.group_side.GroupSide` is. Its parts are ``None`` before the
    start."""

    @property
    def circuits(self) -> Circuits | None:
        """The connections with other nodes."""
        ...

    @property
    def calls(self) -> Calls | None:
        """The calls to many nodes."""
        ...

    @property
    def exchange(self) -> events.Events | None:
        """The events."""
        ...

    @property
    def leases(self) -> Leases | None:
        """What grants leases."""
        ...

    def use(self) -> Use | None:
        """Return what the server sees of its group; ``None`` if it has none."""
        ...


def families_of_side(side: Side) -> Iterator[Family]:
    """Yield all metrics of what a server is in its group.

    Parameters:
        side: what it is.
    """
    use = side.use()
    if use is not None:
        yield from families(use)
    if side.calls is not None:
        yield from families_of_calls(side.calls)
    if side.leases is not None:
        yield from families_of_leases(side.leases)
    if side.circuits is not None:
        yield from circuits.families(side.circuits.uses(), side.circuits.ends)
    if side.exchange is not None:
        yield from events.families(side.exchange)


def families_of_calls(calls: Calls) -> Iterator[Family]:
    """Yield the metrics of calls to many nodes.

    Parameters:
        calls: the calls of the clients of this server.
    """
    now = Family("rpcserver_group_calls_in_flight", "gauge", "Calls of own clients to many nodes that go on.")
    now.add(len(calls))
    total = Family("rpcserver_group_calls_total", "counter", "Calls of own clients to many nodes.")
    total.add(calls.count)
    outcomes = Family(
        "rpcserver_group_call_outcomes_total", "counter", "What they came to, once for each node, by the state."
    )
    for state, number in sorted(calls.outcomes.items()):
        outcomes.add(number, {"state": state})
    yield from (now, total, outcomes)


def families_of_leases(leases: Leases) -> Iterator[Family]:
    """Yield the metrics of leases.

    Parameters:
        leases: the leases of this node.
    """
    number_held = Family("rpcserver_leases_held", "gauge", "Leases that are held, and that this node has granted.")
    number_held.add(leases.held_count)
    outcomes = Family("rpcserver_leases_total", "counter", "What became of leases at this node, by the outcome.")
    for outcome, number in sorted(leases.outcomes.items()):
        outcomes.add(number, {"outcome": outcome})
    yield from (number_held, outcomes)


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
