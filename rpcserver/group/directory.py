"""What a node knows of the others, for those who look for one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from .members import Member
from .node import Node


class NodeDirectory:
    """The roster of a node, which has started.

    Parameters:
        node: the node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def own(self) -> int:
        """The id of this node."""
        return self._node.id

    @property
    def epoch(self) -> int:
        """The number of this node's life."""
        return self._node.presence.announcement.epoch

    def members(self) -> Iterator[Member]:
        """Yield all nodes that are known, this one, too."""
        return iter(self._node.members())

    def member(self, number: int) -> Member | None:
        """Return a node by its id."""
        return self._node.presence.roster.get(number, asyncio.get_running_loop().time())
