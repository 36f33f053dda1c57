"""One table of what all nodes have answered, with the node of each line."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rpcclient.cli import show
from rpcclient.cli.context import Settings

from .asking import Rendering
from .printing import Piece
from .ranges import natural_key

if TYPE_CHECKING:
    from rpcwire.group.outcomes import NodeOutcome

NODE = "node"
"""The name of the column with the names of the nodes."""


class Merged(Rendering):
    """Prints lists of all nodes as one table in the end, sorted by node. Where answers are folded (``--gather``), nodes
    with the same list have one table.

    Parameters:
        settings: how answers are printed.
    """

    def __init__(self, settings: Settings) -> None:
        self._is_folded = settings.many.gather
        self._rows: dict[str, Sequence[Mapping[str, object]]] = {}

    @abstractmethod
    def rows(self, result: Any) -> Sequence[Mapping[str, object]]:
        """The lines of the table of one node.

        Parameters:
            result: what the node has answered.
        """

    def show(self, rows: Sequence[Mapping[str, object]], width: int) -> None:
        """Print a table.

        Parameters:
            rows: its lines, each with the node, if it is of several.
            width: of the paper, in characters.
        """
        show.show(rows, readable=True, whole=(NODE,))

    def result(self, name: str, end: NodeOutcome[Any]) -> Iterator[Piece]:
        """Where answers are folded, the table of a node; else its lines are kept."""
        rows = self.rows(end.result)
        if not self._is_folded:
            self._rows[name] = rows
            return
        with show.capture(self.margin) as paper:
            self.show(rows, paper.width)
        yield "stdout", paper.take()

    def rest_of_all(self) -> Iterator[bytes]:
        """The table of all nodes."""
        rows = [{NODE: name, **row} for name in sorted(self._rows, key=natural_key) for row in self._rows[name]]
        self._rows.clear()
        if rows:
            with show.capture() as paper:
                self.show(rows, paper.width)
            yield paper.take()
