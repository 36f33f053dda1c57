"""Folds identical answers of nodes, as ``clush -b`` does."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from .ranges import fold, natural_key

_A = TypeVar("_A", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Answer(Generic[_A]):
    """What some nodes have answered alike.

    Attributes:
        nodes: their names, in natural order.
        content: the answer.
    """

    nodes: tuple[str, ...]
    content: _A

    @property
    def title(self) -> str:
        """The names of the nodes and their number, such as ``web-[1-40] (40)``; of one node its name."""
        return self.nodes[0] if len(self.nodes) == 1 else f"{fold(self.nodes)} ({len(self.nodes)})"


def fold_answers(pairs: Iterable[tuple[str, _A]]) -> list[Answer[_A]]:
    """Put nodes with the same answer together.

    Parameters:
        pairs: the name of each node, and what it has answered.

    Returns:
        The answers, each once, in the natural order of their first nodes.
    """
    nodes_of: dict[_A, list[str]] = {}
    for node, content in pairs:
        nodes_of.setdefault(content, []).append(node)
    answers = [Answer(tuple(sorted(nodes, key=natural_key)), content) for content, nodes in nodes_of.items()]
    return sorted(answers, key=lambda answer: natural_key(answer.nodes[0]))
