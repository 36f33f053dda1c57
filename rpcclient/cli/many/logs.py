"""``rpcclient logs`` on many nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rpcclient.cli.context import Settings
from rpcclient.cli.missing import missing

from .asking import Rendering, ask
from .lines import Lines
from .printing import STREAMS, Piece
from .running import line_as_json, print_chunk
from .typed import read_as

_ID_CHARACTERS = 6
"""How much of a program's id stands before its lines."""


class Logs(Rendering):
    """Prints what the programs of each node write. Lines of several programs do not mix."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str, str], Lines] = {}

    def item(self, name: str, item: Any) -> Iterator[Piece]:
        """The lines of a program that are whole now, with the beginning of its id."""
        from rpcclient.stubs.programs import ProgramOutput

        piece = read_as(ProgramOutput, item)
        for stream, data in print_chunk(piece.output):
            lines = self._lines.setdefault((name, stream, piece.id), Lines())
            for line in lines.feed(data):
                yield stream, _with_id(piece.id, line)

    def rest(self, name: str) -> Iterator[Piece]:
        """What follows the last whole lines."""
        for stream in STREAMS:
            for key in [key for key in self._lines if key[:2] == (name, stream)]:
                for line in self._lines.pop(key).end():
                    yield stream, _with_id(key[2], line)

    def items_as_json(self, name: str, item: Any) -> Iterator[Mapping[str, Any]]:
        """The lines of a program."""
        from rpcclient.stubs.programs import ProgramOutput

        piece = read_as(ProgramOutput, item)
        chunk = piece.output
        if (loss := missing(chunk)) is not None:
            yield {"program": piece.id, "loss": loss}
        lines = self._lines.setdefault((name, chunk.stream, piece.id), Lines())
        yield from ({"program": piece.id, **line_as_json(chunk.stream, line)} for line in lines.feed(chunk.data))

    def rest_as_json(self, name: str) -> Iterator[Mapping[str, Any]]:
        """What follows the last whole lines."""
        for key in [key for key in self._lines if key[0] == name]:
            yield from ({"program": key[2], **line_as_json(key[1], line)} for line in self._lines.pop(key).end())


def _with_id(program_id: str, line: bytes) -> bytes:
    return program_id[:_ID_CHARACTERS].encode() + b" " + line + b"\n"


def show(settings: Settings, beginning: str, labels: Mapping[str, str], *, follow: bool) -> int:
    """Show what programs on many nodes have written.

    Parameters:
        settings: which nodes.
        beginning: of the ids of the programs.
        labels: of the programs.
        follow: whether to go on until they end.

    Returns:
        The exit status.
    """
    params: dict[str, Any] = {"beginning": beginning, "labels": dict(labels) or None, "wait": follow}
    if not beginning and not labels:
        params["running"] = True
    with settings.connect() as client:
        return ask(
            client, settings, "programs.outputs", params, rendering=Logs(), deadline_s=settings.timeout_s,
            as_json=settings.as_json,
        )  # fmt: skip
