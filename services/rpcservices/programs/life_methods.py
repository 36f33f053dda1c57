"""Programs that were started: seen, signalled, ended and forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator

from rpcserver import Context, method
from rpcservices.programs.permission.policy import CONTROL, VIEW
from rpcservices.programs.terms import StreamName
from rpcservices.signals import signal_number

from .control import Controlling
from .errors import ProgramNotFound, ProgramRefused
from .following import follow, follow_all
from .models import ByteCount, Exit, ProgramEvent, ProgramInfo, ProgramOutput, Seconds
from .run_methods import DAY_S


class LifeMethods(Controlling):
    """Programs that were started: seen, signalled, ended and forgotten."""

    @method(permission=VIEW, kind="read", deadline_s=DAY_S, errors=(ProgramNotFound,))
    async def wait(self, id: str) -> Exit:
        """Wait for a program's end. All of its output is there before this is answered.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        return await self.find(id).wait()

    @method(permission=CONTROL, errors=(ProgramNotFound, ProgramRefused))
    async def signal(self, id: str, signal: str) -> bool:
        """Send a signal to a program's whole process group.

        Parameters:
            id: the program.
            signal: its name, such as ``INT`` or ``SIGHUP``, in any case.

        Returns:
            Whether the program was still there.

        Raises:
            InvalidParams: there is no such signal.
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
        """
        number = signal_number(signal)
        return self.find(id).send_signal(number)

    @method(permission=CONTROL, kind="idempotent", deadline_s=DAY_S, errors=(ProgramNotFound, ProgramRefused))
    async def kill(self, id: str, *, grace_s: Seconds = 0.0) -> Exit:
        """End a program and everything that it has started.

        Parameters:
            id: the program.
            grace_s: time to end by itself after TERM, in seconds; 0 to kill at once.

        Returns:
            How it ended; ``survivors`` names what could not be ended.

        Raises:
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
        """
        return await self.find(id).end(grace_s)

    @method(name="list", permission=VIEW, kind="read")
    async def list_programs(
        self,
        *,
        labels: dict[str, str] | None = None,
        owner: str | None = None,
        running: bool | None = None,
        ctx: Context,
    ) -> list[ProgramInfo]:
        """Your programs, and those of others that you may see: those that run, and those that have ended but are still
        kept, in the order of their starts.

        Parameters:
            labels: only those that have all of these labels.
            owner: only those of this owner.
            running: only those that still run, or only those that do not.
        """
        matches = self.matcher(ctx.principal, labels, owner)
        return [
            program.info
            for program in self.programs.values()
            if matches(program) and running in (None, program.exit is None)
        ]

    @method(permission=VIEW, kind="read")
    async def outputs(
        self,
        *,
        beginning: str = "",
        labels: dict[str, str] | None = None,
        owner: str | None = None,
        running: bool | None = None,
        tail_bytes: ByteCount | None = None,
        wait: bool = True,
        ctx: Context,
    ) -> AsyncIterator[ProgramOutput]:
        """Follow the output of several programs at once, those that :meth:`list` lists at this moment, as
        :meth:`output` does for one. The stream ends when all of them have ended.

        Parameters:
            beginning: only those whose ids begin like this.
            labels: only those that have all of these labels.
            owner: only those of this owner.
            running: only those that still run, or only those that do not.
            tail_bytes: begin so many bytes before what is there now, else with all that is kept.
            wait: go on with what is still to come; otherwise end with what there is.
        """
        matches = self.matcher(ctx.principal, labels, owner)
        followers = {}
        for program in self.programs.values():
            if matches(program) and program.id.startswith(beginning) and running in (None, program.exit is None):
                outputs = list(program.outputs.values())
                places: dict[StreamName, int] = {
                    output.name: 0 if tail_bytes is None else max(output.total_bytes - tail_bytes, output.start)
                    for output in outputs
                }
                controlling = program.controller is ctx.connection
                followers[program.id] = follow(program, outputs, places, wait=wait, controlling=controlling)
        return follow_all(followers)

    @method(permission=VIEW, kind="read")
    async def watch(
        self, *, labels: dict[str, str] | None = None, owner: str | None = None, ctx: Context
    ) -> AsyncIterator[ProgramEvent]:
        """Be told what happens to programs, those that run already first (``running``), then ``started``, ``exited``
        and ``forgotten``. It does not end by itself.

        Parameters:
            labels: only those that have all of these labels.
            owner: only those of this owner.

        Raises:
            SlowConsumer: the reader is thousands of events behind.
        """
        matches = self.matcher(ctx.principal, labels, owner)
        return self.events.subscribe(ctx.principal.name, matches, list(self.programs.values()))

    @method(permission=VIEW, kind="read", errors=(ProgramNotFound,))
    async def get(self, id: str) -> ProgramInfo:
        """One of your programs.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        return self.find(id).info

    @method(permission=CONTROL, kind="idempotent", errors=(ProgramNotFound, ProgramRefused))
    async def forget(self, id: str) -> None:
        """Free what is kept of a program; one that still runs is ended first.

        Raises:
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
        """
        program = self.find(id)
        if program.exit is None:
            await program.end(0)
        self.drop(program)
