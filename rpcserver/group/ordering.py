"""In which order nodes are asked, where one of them is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from random import Random
from typing import TypeVar

LOAD_STEP = 0.1
"""Loads that differ by less count as equal. What a node knows of the others' loads is half a second old, so that all
callers would choose the same node."""

Node = TypeVar("Node")


def order_by_load(nodes: Iterable[Node], load: Callable[[Node], float], random: Random) -> list[Node]:
    """Return nodes by their load, the least loaded first. Those whose loads count as equal come in random order.

    Parameters:
        nodes: the nodes.
        load: tells the load of a node. One that is no number counts as the highest.
        random: the source of chance.
    """

    def rank(node: Node) -> tuple[float, float]:
        value = load(node)
        return (value // LOAD_STEP if isfinite(value) else float("inf")), random.random()

    return sorted(nodes, key=rank)
