"""Follows a program's output. Each reader has its own pace and its own place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

from rpcservices.programs.running.output import piece_bytes
from rpcservices.programs.running.program import Program, Readable
from rpcservices.programs.terms import StreamName

from .models import OutputChunk, ProgramOutput


async def follow(
    program: Program, outputs: Sequence[Readable], offsets: Mapping[StreamName, int], *, wait: bool, controlling: bool
) -> AsyncGenerator[OutputChunk, None]:
    """Yield the pieces of several outputs as they arrive, until all have ended.

    Parameters:
        program: the program.
        outputs: the outputs.
        offsets: where to begin in each.
        wait: whether to wait for more output; otherwise stop after what there is now.
        controlling: whether this is the reader for which the program may wait.
    """
    places = dict(offsets)
    ends = {output.name: output.total_bytes for output in outputs}
    most = piece_bytes(program.about.retain_bytes, hold=program.about.hold)
    has_news = asyncio.Event()
    unwatch = [output.watch(has_news.set) for output in outputs]
    program.viewers += 1
    try:
        while True:
            has_news.clear()
            # Check this before reading: all output is there before the end is reported.
            over = all(output.is_complete for output in outputs)
            quiet = True
            for output in outputs:
                place = places[output.name]
                # Without waiting, the program may go on writing for ever.
                if place >= (output.total_bytes if wait else ends[output.name]):
                    continue
                piece = output.read(place, most)
                if piece is None:
                    continue
                quiet = False
                begin, data = piece
                places[output.name] = begin + len(data)
                yield OutputChunk(stream=output.name, offset=begin, data=data, lost_bytes=begin - place)
                if controlling:
                    program.acknowledge(output.name, places[output.name])
            if quiet and (over or not wait):
                for output in outputs:
                    place = places[output.name]
                    end = output.total_bytes if wait else max(ends[output.name], place)
                    cut = over and output.cut and end == output.total_bytes
                    if end > place or cut:  # Tell it now: no later piece could.
                        yield OutputChunk(stream=output.name, offset=end, data=b"", lost_bytes=end - place, cut=cut)
                return
            if quiet:
                await has_news.wait()
    finally:
        program.viewers -= 1
        for forget in unwatch:
            forget()


async def follow_all(followers: Mapping[str, AsyncGenerator[OutputChunk, None]]) -> AsyncIterator[ProgramOutput]:
    """Yield the pieces of several programs as they arrive, until all have ended.

    Parameters:
        followers: what follows each, by the program's id.
    """

    async def take(program_id: str) -> OutputChunk | None:
        return await anext(followers[program_id], None)

    takings = {asyncio.ensure_future(take(program_id)): program_id for program_id in followers}
    try:
        while takings:
            done, _ = await asyncio.wait(takings, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                program_id = takings.pop(task)
                chunk = task.result()
                if chunk is not None:
                    yield ProgramOutput(id=program_id, output=chunk)
                    takings[asyncio.ensure_future(take(program_id))] = program_id
    finally:
        for task in takings:
            task.cancel()
        await asyncio.gather(*takings, return_exceptions=True)
        for follower in followers.values():
            await follower.aclose()
