"""The message for a part of a program's output that is missing: no part is left out silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rpcclient.stubs.programs import OutputChunk


def missing(chunk: OutputChunk) -> str | None:
    """A message for people about what is missing before or after a piece; ``None`` if nothing is."""
    if chunk.cut:
        from rpcclient.programs.results import OutputCut

        return OutputCut(chunk.stream, chunk.offset).message
    if chunk.lost_bytes:
        return f"{chunk.lost_bytes} bytes of {chunk.stream} are no longer kept"
    return None
