"""Reading what a program writes, and writing to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from rpcserver import Context, InvalidParams, Secret, method
from rpcservices.programs.permission.policy import CONTROL, VIEW
from rpcservices.programs.terms import StreamName

from .control import Controlling
from .errors import NotController, NoTerminal, ProgramNotFound, ProgramRefused, StdinClosed
from .following import follow
from .models import OutputChunk, ProgramInfo
from .run_methods import DAY_S


class TalkMethods(Controlling):
    """Reading what a program writes, and writing to it."""

    @method(permission=VIEW, kind="read", errors=(ProgramNotFound,))
    async def output(
        self,
        id: str,
        *,
        stream: StreamName | None = None,
        offset: int = 0,
        offsets: dict[StreamName, int] | None = None,
        tail_bytes: int | None = None,
        wait: bool = True,
        ctx: Context,
    ) -> AsyncIterator[OutputChunk]:
        """Follow a program's output, from what is kept of it to its end. Any number of readers may; none holds up
        another, and one that falls behind what is kept goes on after it, with ``lost_bytes`` in its next piece.

        The stream ends with the output; then :meth:`wait` tells how the program ended. A reader that was cut off goes
        on with ``offsets`` at the end of the last piece that it got.

        Parameters:
            id: the program.
            stream: only this output; both where not given.
            offset: where to begin, in bytes from the start of each output.
            offsets: the same for each output by itself; it wins over ``offset``.
            tail_bytes: begin so many bytes before what is there now, in place of ``offset``.
            wait: go on with what is still to come; otherwise end with what there is.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        program = self.find(id)
        outputs = [output for output in program.outputs.values() if stream in (None, output.name)]
        if offset < 0 or (tail_bytes or 0) < 0 or any(place < 0 for place in (offsets or {}).values()):
            raise InvalidParams(
                "offset: count from the start of the output, or give tail_bytes",
                errors=[{"loc": ["offset"], "msg": "negative", "type": "value_error"}],
            )
        places: dict[StreamName, int] = {}
        for output in outputs:
            first = offset if tail_bytes is None else max(output.total_bytes - tail_bytes, output.start)
            places[output.name] = (offsets or {}).get(output.name, first)
        controlling = program.controller is ctx.connection
        return follow(program, outputs, places, wait=wait, controlling=controlling)

    @method(permission=CONTROL, kind="idempotent", errors=(ProgramNotFound, ProgramRefused, NotController), group=False)
    async def control(self, id: str, *, take: bool = False, ctx: Context) -> ProgramInfo:
        """Let this connection control a program: it may write to it and resize its terminal, the program may wait for
        it to read (``overflow="wait"``), and ``on_disconnect`` is about it. There is one controller at a time. A
        program without one gets the first that calls this, or writes to it.

        Parameters:
            id: the program.
            take: also where another connection controls it, which then no longer does.

        Raises:
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
            NotController: another connection controls it.
        """
        return self.take_control(ctx, id, take=take).info

    @method(
        permission=CONTROL,
        deadline_s=DAY_S,
        errors=(ProgramNotFound, ProgramRefused, NotController, StdinClosed),
        message_bytes=None,
        group=False,
    )
    async def write(self, id: str, data: Annotated[bytes, Secret()], *, ctx: Context) -> None:
        """Write to a program's standard input or terminal. Answered when the program, or its pipe, has taken all of
        it: whoever waits for the answer before writing more is never ahead of the program.

        Parameters:
            id: the program.
            data: what to write.

        Raises:
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
            NotController: another connection controls it.
            StdinClosed: it takes no more input.
        """
        await self.take_control(ctx, id).write(data)

    @method(permission=CONTROL, kind="idempotent", errors=(ProgramNotFound, ProgramRefused, NotController), group=False)
    async def close_stdin(self, id: str, *, ctx: Context) -> None:
        """Tell a program that there is no more input. A terminal gets its end-of-file character (Ctrl-D), which
        counts at the beginning of a line, and can be written to afterwards.

        Raises:
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
            NotController: another connection controls it.
        """
        self.take_control(ctx, id).close_stdin()

    @method(
        permission=CONTROL,
        kind="idempotent",
        errors=(ProgramNotFound, ProgramRefused, NotController, NoTerminal),
        group=False,
    )
    async def resize(self, id: str, rows: int, columns: int, *, ctx: Context) -> None:
        """Give a program's terminal another size; the program is told by SIGWINCH.

        Parameters:
            id: the program.
            rows: the height in characters.
            columns: the width in characters.

        Raises:
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
            NotController: another connection controls it.
            NoTerminal: it has no terminal, or has ended.
        """
        for name, value in (("rows", rows), ("columns", columns)):
            if not 1 <= value <= 65535:
                raise InvalidParams(
                    f"{name}: 1 to 65535 are possible", errors=[{"loc": [name], "msg": "out of range", "type": "value"}]
                )
        await self.take_control(ctx, id).resize(rows, columns)
