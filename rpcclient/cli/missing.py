"""What is said where a part of a program's output is missing: it is never left out without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rpcclient.stubs.programs import OutputChunk


def missing(chunk: OutputChunk) -> str | None:
    """What is missing before a piece, or after it, for a person; ``None`` where nothing is."""
    if chunk.cut:
        from rpcclient.programs.results import OutputCut

        return OutputCut(chunk.stream, chunk.offset).message
    if chunk.lost_bytes:
        return f"{chunk.lost_bytes} bytes of {chunk.stream} are no longer kept"
    return None
