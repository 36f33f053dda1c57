"""All output of a program, put together until its end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, AnyStr

from rpcclient.stubs.programs import Exit, OutputChunk, StreamName

from .results import CompletedProgram, StreamNames, cut_by_limit
from .text import Coding


@dataclass(slots=True)
class _Run:
    """Pieces without a gap between them.

    Attributes:
        offset: where they begin.
        broken: whether something before them is missing.
        pieces: they.
    """

    offset: int
    broken: bool
    pieces: list[bytes] = field(default_factory=list)

    def decoded(self, coding: Coding[AnyStr], *, cut: bool) -> AnyStr:
        """All of them, as bytes or text."""
        return coding.decode(b"".join(self.pieces), after=self.offset if self.broken else None, cut=cut)


class Collected:
    """All output of a program, collected until its end.

    Parameters:
        within: the outputs that are not read from their beginning, but from a tail.
        most: how much to keep of each output, in bytes, from its beginning; the rest counts as lost. All where
            ``None``.
    """

    def __init__(self, within: Collection[StreamName] = (), most: Mapping[StreamName, int] | None = None) -> None:
        self._within = within
        self._room: dict[StreamName, int | None] = {name: None if most is None else most[name] for name in StreamNames}
        self._runs: dict[StreamName, list[_Run]] = {name: [] for name in StreamNames}
        self._lost: dict[StreamName, int] = dict.fromkeys(StreamNames, 0)
        self._cut: set[StreamName] = set()

    def put(self, chunk: OutputChunk) -> None:
        """A piece has arrived."""
        runs = self._runs[chunk.stream]
        if chunk.lost_bytes or not runs:
            runs.append(_Run(chunk.offset, chunk.lost_bytes > 0 or chunk.stream in self._within))
        self._lost[chunk.stream] += chunk.lost_bytes
        if chunk.cut:
            self._cut.add(chunk.stream)
        runs[-1].pieces.append(self._fitting(chunk))

    def _fitting(self, chunk: OutputChunk) -> bytes:
        room = self._room[chunk.stream]
        if room is None:
            return chunk.data
        data = chunk.data[:room]
        self._room[chunk.stream] = room - len(data)
        if len(data) < len(chunk.data):
            self._lost[chunk.stream] += len(chunk.data) - len(data)
            self._cut.add(chunk.stream)
        return data

    def completed(self, argv: list[str], ended: Exit, coding: Coding[AnyStr]) -> CompletedProgram[AnyStr]:
        """The whole, when the program has ended.

        Raises:
            UnicodeDecodeError: the output is no text in this encoding.
        """
        limited = cut_by_limit(ended.status)
        return CompletedProgram(
            argv=argv,
            status=ended.status,
            stdout=self._joined("stdout", coding, limited),
            stderr=self._joined("stderr", coding, limited),
            stdout_lost_bytes=self._lost["stdout"],
            stderr_lost_bytes=self._lost["stderr"],
            duration_s=ended.duration_s,
            usage=ended.usage,
            pipes_still_held=ended.pipes_still_held,
            output_cut=ended.output_cut,
            survivors=ended.survivors,
        )

    def _joined(self, stream: StreamName, coding: Coding[AnyStr], limited: bool) -> AnyStr:
        runs = self._runs[stream]
        cut = limited or stream in self._cut
        found = [
            coding.decode(
                b"".join(run.pieces), after=run.offset if run.broken else None, cut=cut or run is not runs[-1]
            )
            for run in runs
        ]
        nothing: Any = b"" if coding.encoding is None else ""
        joined: AnyStr = nothing.join(found)
        return joined
