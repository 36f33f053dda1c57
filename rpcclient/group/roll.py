"""The roll of a group call: who was asked, and who has not answered yet. It does no I/O."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from rpcwire.errors import DeadlineExceeded, LocalProtocolError, RemoteProtocolError, RpcError
from rpcwire.group.outcomes import GroupNode, NodeOutcome, State

from .events import Event, GroupItem, Item, Progress, Start, fail
from .request import GroupProgressHook

_T = TypeVar("_T")


class Roll(Generic[_T]):
    """Who was asked, and who has not answered yet. Each node that was asked has one outcome in the end, even if the
    server breaks off: nothing is left out.

    Parameters:
        name: the full name of the method.
        streams: whether the nodes answer with streams.
        progress: called with the progress of each node.

    Attributes:
        nodes: who was asked; ``None`` before the server has said so.
        is_settled: whether the server was sure that it knew all nodes.
        outcomes: the outcomes in the order in which they came.
        is_over: whether nothing more will come.
    """

    def __init__(self, name: str, *, streams: bool, progress: GroupProgressHook | None = None) -> None:
        self.name = name
        self.nodes: tuple[GroupNode, ...] | None = None
        self.is_settled = True
        self.outcomes: list[NodeOutcome[_T]] = []
        self.is_over = False
        self._streams = streams
        self._progress = progress
        self._left: dict[str | tuple[str], GroupNode] = {}
        self._epochs: Mapping[str, int] = {}
        self._unreadable: dict[str, RpcError] = {}

    @property
    def missing(self) -> list[GroupNode]:
        """The nodes that have no outcome yet."""
        return list(self._left.values())

    def take(self, event: Event) -> GroupItem[Any] | NodeOutcome[_T] | None:
        """Note what has come.

        Returns:
            The item or the outcome, if it was one.

        Raises:
            RemoteProtocolError: the server broke the rules of group calls. The roll stays as it was.
            LocalProtocolError: the nodes answer with streams, and the caller does not expect that.
        """
        match event:
            case NodeOutcome():
                return self._end(event)
            case Item():
                node = self._find(event.id, "an item")
                if not self._streams:
                    text = f"{self.name} answers with streams: call it with client.group(…).stream({self.name!r}, …)"
                    raise LocalProtocolError(text, executed="yes")
                if event.error is None:
                    return GroupItem(node, event.value, event.lost)
                self._unreadable.setdefault(event.id, event.error)
            case Start():
                if self.nodes is not None:
                    raise _violation("the server has begun a group call twice")
                left = {_key(node): node for node in event.nodes}
                if len(left) < len(event.nodes):
                    raise _violation("the server has named a node of a group call twice")
                self.nodes, self._left, self.is_settled = event.nodes, left, event.is_settled
                self._epochs = event.epochs
            case Progress() if self._progress is not None:
                self._progress(self._find(event.id, "progress"), event.done, event.total, event.message)
            case _:
                pass
        return None

    def finish(self, error: RpcError | None = None) -> None:
        """Note that nothing more will come. Each node without an outcome gets one.

        Parameters:
            error: what has ended the call; ``None`` if the server has just ended it.

        Raises:
            RpcError: it has ended before the nodes were known.
        """
        if self.is_over:
            return
        self.is_over = True
        if self.nodes is None:
            raise error or _violation("the server has ended a group call before it has begun")
        if self._left:
            state: State = "timeout" if isinstance(error, DeadlineExceeded) else "error"
            self._give_up(state, error or _violation("the server has told no outcome of this node"))

    def expire(self) -> None:
        """Note that the time is over, and that the server does not answer. Each node without an outcome gets one.

        Raises:
            DeadlineExceeded: the nodes are not known yet.
        """
        error = DeadlineExceeded("the deadline came, and the server has not told what became of this node")
        self.is_over = True
        if self.nodes is None:
            raise error
        self._give_up("timeout", error)

    def leave(self) -> None:
        """Note that the caller wants no more. The nodes without an outcome stay without one."""
        self.is_over = True

    def _give_up(self, state: State, error: RpcError) -> None:
        error = copy.copy(error)
        error.executed = "unknown"
        for node in self._left.values():
            outcome: NodeOutcome[_T] = NodeOutcome(
                name=node.name,
                id=node.id,
                epoch=self._epochs.get(node.id, 0),
                state=state,
                executed="unknown",
                error=error,
            )
            self.outcomes.append(outcome)
        self._left.clear()

    def _find(self, node_id: str, what: str) -> GroupNode:
        try:
            return self._left[node_id]
        except KeyError:
            text = f"the server has told {what} of the node {node_id[:64]!r}, which it did not ask, or has ended"
            raise _violation(text) from None

    def _end(self, outcome: NodeOutcome[_T]) -> NodeOutcome[_T]:
        if self._left.pop(_key(outcome.node), None) is None:
            name = outcome.name[:64]
            raise _violation(f"the server has told an outcome of the node {name!r}, which it did not ask, or has ended")
        error = self._unreadable.pop(outcome.id, None)
        if error is not None and outcome.state == "ok":
            outcome = fail(outcome, error)
        self.outcomes.append(outcome)
        return outcome


def _key(node: GroupNode) -> str | tuple[str]:
    """Return what is a node's alone: its id, or the name that no node has."""
    return node.id or (node.name,)


def _violation(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, executed="unknown")


def count_states(outcomes: Sequence[NodeOutcome[Any]]) -> dict[State, int]:
    """Return how many outcomes there are of each state: ``ok`` first, then the most."""
    counts: dict[State, int] = {}
    for outcome in outcomes:
        counts[outcome.state] = counts.get(outcome.state, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (pair[0] != "ok", -pair[1])))
