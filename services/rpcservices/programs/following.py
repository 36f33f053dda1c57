"""Following a program's output: each reader at its own pace, from its own place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from rpcservices.programs.running.output import piece_bytes
from rpcservices.programs.running.program import Program, Readable
from rpcservices.programs.terms import StreamName

from .models import OutputChunk


async def follow(
    program: Program, outputs: Sequence[Readable], offsets: Mapping[StreamName, int], *, wait: bool, controlling: bool
) -> AsyncIterator[OutputChunk]:
    """The pieces of several outputs as they come, until all have ended.

    Parameters:
        program: whose.
        outputs: which.
        offsets: where to begin in each.
        wait: go on with what is still to come; otherwise end with what there is.
        controlling: whether this is the reader for which the program may wait.
    """
    places = dict(offsets)
    ends = {output.name: output.total_bytes for output in outputs}
    most = piece_bytes(program.about.retain_bytes, hold=program.about.hold)
    changed = asyncio.Event()
    unwatch = [output.watch(changed.set) for output in outputs]
    program.viewers += 1
    try:
        while True:
            changed.clear()
            # Looked at before reading: what is written last is there before the end is told.
            over = all(output.ended for output in outputs)
            quiet = True
            for output in outputs:
                place = places[output.name]
                if not wait and place >= ends[output.name]:  # It may go on writing for ever.
                    continue
                found = output.read(place, most)
                if found is None:
                    continue
                quiet = False
                begin, data = found
                places[output.name] = begin + len(data)
                yield OutputChunk(stream=output.name, offset=begin, data=data, lost_bytes=begin - place)
                if controlling:
                    program.taken(output.name, places[output.name])
            if quiet and (over or not wait):
                for output in outputs:
                    place = places[output.name]
                    end = output.total_bytes if wait else max(ends[output.name], place)
                    cut = over and output.cut and end == output.total_bytes
                    if end > place or cut:  # Nothing comes after it that would tell.
                        yield OutputChunk(stream=output.name, offset=end, data=b"", lost_bytes=end - place, cut=cut)
                return
            if quiet:
                await changed.wait()
    finally:
        program.viewers -= 1
        for forget in unwatch:
            forget()
