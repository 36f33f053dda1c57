"""The errors that tell what became of the nodes of a group call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from rpcwire.errors import RpcError
from rpcwire.group.outcomes import NodeOutcome
from rpcwire.logs import printable, shorten

_NAMED = 10
"""How many nodes the text of an error names."""
_CHARACTERS = 200
"""How much of the error of each."""


class GroupFailed(ExceptionGroup[RpcError]):
    """Nodes of a group call have no result. ``except*`` catches their errors by class::

        try:
            client.group("role=web").programs.run(["uptime"]).raise_for_failures()
        except* PermissionDenied as group:
            ...

    Parameters:
        method: the full name of the method.
        outcomes: the outcomes that are not ``ok``.
        count: how many nodes were asked.

    Attributes:
        method, outcomes, count: the parameters.
        exceptions: the errors of these nodes, in the same order.
    """

    method: str
    outcomes: Sequence[NodeOutcome[Any]]
    count: int

    def __new__(cls, method: str, outcomes: Sequence[NodeOutcome[Any]], count: int) -> Self:
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        group = super().__new__(cls, _explain(method, outcomes, count), errors)
        group.method, group.outcomes, group.count = method, tuple(outcomes), count
        return group

    def __init__(self, method: str, outcomes: Sequence[NodeOutcome[Any]], count: int) -> None:
        # The constructor of the base has nothing to do.
        pass

    def derive(self, excs: Sequence[RpcError]) -> GroupFailed:  # type: ignore[override]
        """Return the part of the group that has these errors, as ``except*`` wants it."""
        ids = {id(error) for error in excs}
        return GroupFailed(self.method, [each for each in self.outcomes if id(each.error) in ids], self.count)

    def __reduce__(self) -> tuple[Any, ...]:
        return GroupFailed, (self.method, self.outcomes, self.count)


def _explain(method: str, outcomes: Sequence[NodeOutcome[Any]], count: int) -> str:
    parts = [
        f"{printable(each.name)}: {each.state}: {shorten(printable(each.error.message), _CHARACTERS)}"
        for each in outcomes[:_NAMED]
        if each.error is not None
    ]
    more = f"; and {len(outcomes) - _NAMED} more" if len(outcomes) > _NAMED else ""
    return f"{method} has no result of {len(outcomes)} of {count} nodes: {'; '.join(parts)}{more}"


def error_without_result(method: str, outcomes: Sequence[NodeOutcome[Any]]) -> Exception:
    """Make the error for a call that wants one result, and has none.

    Parameters:
        method: the full name of the method.
        outcomes: the outcomes of all nodes; none is ``ok``.

    Returns:
        The error of the node on which the method may have run, if there is one such node; else of all of them.
    """
    decisive = [each for each in outcomes if each.executed != "no"]
    candidates = decisive or [each for each in outcomes if each.state != "cancelled"] or list(outcomes)
    if len(candidates) == 1 and candidates[0].error is not None:
        error = candidates[0].error
        error.add_note(f"{method} on the node {printable(candidates[0].name)} ({candidates[0].state})")
        return error
    return GroupFailed(method, outcomes, len(outcomes))
