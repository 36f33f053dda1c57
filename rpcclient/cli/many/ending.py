"""``rpcclient kill`` and ``forget`` on many nodes: each ends or forgets its own programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rpcclient.cli import outcome
from rpcclient.cli.characters import visible_line
from rpcclient.cli.context import Settings

from .asking import Rendering, ask
from .printing import Piece
from .typed import read_as

if TYPE_CHECKING:
    from rpcclient.stubs.programs import Exit
    from rpcwire.group.outcomes import NodeOutcome


class Ends(Rendering):
    """Prints what has become of the programs of each node, a line for each.

    Parameters:
        words: what has become of a program of which a node tells only the id.

    Attributes:
        count: how many programs there were on all nodes.
    """

    def __init__(self, words: str) -> None:
        self._words = words
        self._survivors: dict[str, list[int]] = {}
        self.count = 0

    def result(self, name: str, end: NodeOutcome[Any]) -> Iterator[Piece]:
        """The programs of a node; nothing if it has none of those that are meant."""
        for program_id, words in self._read(end.result):
            yield "stdout", visible_line(f"{program_id}: {words}").encode() + b"\n"

    def result_as_json(self, name: str, result: Any) -> Any:
        """What the node has answered."""
        self._read(result)
        return result

    def problem(self, name: str, end: NodeOutcome[Any]) -> str | None:
        """A node is well if nothing is left of the programs."""
        if end.state == "ok" and (survivors := _survivors_of(end.result)):
            return f"could not be ended: {', '.join(map(str, survivors))}"
        return super().problem(name, end)

    def _read(self, result: Any) -> list[tuple[str, str]]:
        self.count += len(result)
        return [
            (each, self._words) if isinstance(each, str) else (_exit_of(each).id, str(_exit_of(each).status))
            for each in result
        ]


def _exit_of(value: Any) -> Exit:
    from rpcclient.stubs.programs import Exit

    return read_as(Exit, value)


def _survivors_of(result: Any) -> list[int]:
    return [number for each in result if not isinstance(each, str) for number in _exit_of(each).survivors]


def end_programs(
    settings: Settings,
    method: str,
    ids: Sequence[str],
    labels: Mapping[str, str],
    params: Mapping[str, Any],
    words: str,
) -> int:
    """End or forget programs on many nodes, or send them a signal.

    Parameters:
        settings: which nodes.
        method: one of the methods of the programs service for several programs.
        ids: of the programs, each as a whole.
        labels: of the programs.
        params: of the method, besides.
        words: what has become of a program of which a node tells only the id.

    Returns:
        The exit status; a failure, too, if no node has such a program.
    """
    rendering = Ends(words)
    call = {"labels": dict(labels) or None, "ids": list(ids) or None, **params}
    with settings.connect() as client:
        status = ask(
            client, settings, f"programs.{method}", call, rendering=rendering, deadline_s=settings.timeout_s,
            as_json=settings.as_json,
        )  # fmt: skip
    if status == outcome.OK and not rendering.count:
        print("rpcclient: no node has such a program; rpcclient ps --all --on all lists them", file=sys.stderr)
        return outcome.FAILED
    return status
