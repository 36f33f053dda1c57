"""Collects all output of a program until its end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, AnyStr

from rpcclient.stubs.programs import Exit, OutputChunk, StreamName

from .results import CompletedProgram, StreamNames, is_cut_by_limit
from .text import Coding


@dataclass(slots=True)
class _Run:
    """Pieces of output without a gap between them.

    Attributes:
        offset: where the first piece begins, in bytes from the start of the output.
        follows_gap: whether output before the first piece is missing.
        pieces: the pieces.
    """

    offset: int
    follows_gap: bool
    pieces: list[bytes] = field(default_factory=list)

    def decode(self, coding: Coding[AnyStr], *, cut: bool) -> AnyStr:
        """Return all pieces together, as bytes or text. ``cut`` says whether output after them is missing."""
        return coding.decode(b"".join(self.pieces), after=self.offset if self.follows_gap else None, cut=cut)


class OutputCollector:
    """Collects all output of a program until its end.

    Parameters:
        tail_streams: the outputs that are not read from their beginning.
        most_bytes: how much of each output to keep, from its beginning; the rest counts as lost. ``None`` keeps all.
    """

    def __init__(
        self, tail_streams: Collection[StreamName] = (), most_bytes: Mapping[StreamName, int] | None = None
    ) -> None:
        self._tail_streams = tail_streams
        self._room_bytes: dict[StreamName, int | None] = {
            name: None if most_bytes is None else most_bytes[name] for name in StreamNames
        }
        self._runs: dict[StreamName, list[_Run]] = {name: [] for name in StreamNames}
        self._lost_bytes: dict[StreamName, int] = dict.fromkeys(StreamNames, 0)
        self._cut_streams: set[StreamName] = set()

    def put(self, chunk: OutputChunk) -> None:
        """Add a piece."""
        runs = self._runs[chunk.stream]
        if chunk.lost_bytes or not runs:
            runs.append(_Run(chunk.offset, chunk.lost_bytes > 0 or chunk.stream in self._tail_streams))
        self._lost_bytes[chunk.stream] += chunk.lost_bytes
        if chunk.cut:
            self._cut_streams.add(chunk.stream)
        runs[-1].pieces.append(self._cut_to_room(chunk))

    def _cut_to_room(self, chunk: OutputChunk) -> bytes:
        room_bytes = self._room_bytes[chunk.stream]
        if room_bytes is None:
            return chunk.data
        data = chunk.data[:room_bytes]
        self._room_bytes[chunk.stream] = room_bytes - len(data)
        if len(data) < len(chunk.data):
            self._lost_bytes[chunk.stream] += len(chunk.data) - len(data)
            self._cut_streams.add(chunk.stream)
        return data

    def to_completed(self, argv: list[str], end: Exit, coding: Coding[AnyStr]) -> CompletedProgram[AnyStr]:
        """Return the result of the program, which has ended, with all its output.

        Raises:
            UnicodeDecodeError: the output is no text in this encoding.
        """
        is_limited = is_cut_by_limit(end.status)
        return CompletedProgram(
            argv=argv,
            status=end.status,
            stdout=self._join("stdout", coding, is_limited),
            stderr=self._join("stderr", coding, is_limited),
            stdout_lost_bytes=self._lost_bytes["stdout"],
            stderr_lost_bytes=self._lost_bytes["stderr"],
            duration_s=end.duration_s,
            usage=end.usage,
            pipes_still_held=end.pipes_still_held,
            output_cut=end.output_cut,
            survivors=end.survivors,
        )

    def _join(self, stream: StreamName, coding: Coding[AnyStr], is_limited: bool) -> AnyStr:
        runs = self._runs[stream]
        cut = is_limited or stream in self._cut_streams
        parts = [run.decode(coding, cut=cut or run is not runs[-1]) for run in runs]
        nothing: Any = b"" if coding.encoding is None else ""
        output: AnyStr = nothing.join(parts)
        return output
