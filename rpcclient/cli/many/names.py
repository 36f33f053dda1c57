"""Names of nodes for people. Several nodes may have one name: then each is shown with its id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rpcclient.cli.characters import visible_line


def tell_apart(names: Mapping[str, str]) -> dict[str, str]:
    """Return what nodes are called for people: ``web-1``, or ``web-1@4c21be3f5db2a708`` where it is not the only one.

    Parameters:
        names: the names of the nodes, by their ids.
    """
    counts = Counter(names.values())
    return {
        node_id: visible_line(name) if counts[name] == 1 else f"{visible_line(name)}@{node_id}"
        for node_id, name in names.items()
    }
