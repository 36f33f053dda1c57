"""What is answered to whoever looks for a node by its name."""

from __future__ import annotations

from collections.abc import Iterable

from rpcwire.errors import Executed, ServiceError

NEAREST = 3
"""How many names are told that are like one that is unknown."""
_NAME_CHARACTERS = 100


class NodeNotFound(ServiceError):
    """No node of the group has this name or id.

    Attributes:
        node: what was asked for.
        nearest: the names that are most like it, the best first.
    """

    executed: Executed = "no"
    node: str
    nearest: list[str]


class NodeAmbiguous(ServiceError):
    """Several nodes of the group have this name.

    Attributes:
        node: the name.
        ids: their ids, of which each is one node's alone.
    """

    executed: Executed = "no"
    node: str
    ids: list[str]


class NoNodes(ServiceError):
    """A group call was for no node.

    Attributes:
        unknown: the names and ids that were asked for by themselves, and that no node has.
    """

    executed: Executed = "no"
    unknown: list[str]


def not_found_error(name: str, names: Iterable[str]) -> NodeNotFound:
    """Make the error for a name that no node has.

    Parameters:
        name: the name.
        names: those of the nodes that there are.
    """
    name = name[:_NAME_CHARACTERS]
    import difflib  # Whoever only knows the errors does not load it.

    nearest = difflib.get_close_matches(name, sorted(set(names)), NEAREST)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "client.nodes() lists those there are"
    return NodeNotFound(f"no node of the group is called {name!r}: {hint}", node=name, nearest=nearest)


def ambiguous_error(name: str, ids: Iterable[str]) -> NodeAmbiguous:
    """Make the error for a name that several nodes have.

    Parameters:
        name: the name.
        ids: the ids of these nodes.
    """
    ids = sorted(ids)
    text = f"{len(ids)} nodes of the group are called {name!r}: name one by its id ({', '.join(ids)})"
    return NodeAmbiguous(text, node=name, ids=ids)
