"""The programs service: run programs, and start, watch, feed and end them."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from rpcserver import Busy, Context, InvalidParams, Service, method

from . import tree
from .config import ProgramsConfig
from .errors import ProgramNotFound, ProgramNotStarted, StdinClosed
from .models import Completed, Exit, OutputChunk, ProgramInfo, StreamName
from .output import Output
from .program import CHUNK_BYTES, MARK, Program, Spec, spawn

DAY_S = 86400.0
HOME = str(Path.home())


class Programs(Service[ProgramsConfig]):
    """Run programs on the server's machine: to their end, or started, watched, fed and ended from afar."""

    def __init__(self, config: ProgramsConfig | None = None) -> None:
        super().__init__(config)
        self._programs: dict[str, Program] = {}
        self._forgetting: dict[str, asyncio.TimerHandle] = {}

    async def start(self) -> None:
        """Take charge of orphans, so that no descendant of a program escapes."""
        tree.become_subreaper()

    async def stop(self) -> None:
        """End everything that was started."""
        for timer in self._forgetting.values():
            timer.cancel()
        running = [program for program in self._programs.values() if program.exit is None]
        await asyncio.gather(*(program.end(self.config.grace_s) for program in running))
        self._programs.clear()

    # --- run ----------------------------------------------------------------------------------------------------

    @method(permission="programs.run", deadline_s=DAY_S, errors=(ProgramNotStarted,))
    async def run(
        self,
        argv: list[str],
        *,
        input: bytes = b"",
        timeout_s: float | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        merge_stderr: bool = False,
        ctx: Context,
    ) -> Completed:
        """Run a program to its end and return its output. Like ``subprocess.run``; no shell is involved.

        Parameters:
            argv: the program and its arguments.
            input: goes to its standard input, which then ends.
            timeout_s: end it after this time, in seconds.
            cwd: where to run it; the server's home directory where not given.
            env: variables to set besides the clean environment.
            merge_stderr: send standard error into standard output.

        Returns:
            How it ended and what it wrote. A code other than 0 is a result, not an error.

        Raises:
            ProgramNotStarted: there is no such program or directory, or it may not be run.
            Busy: too many programs run.
        """
        program = await self._spawn(ctx, argv, cwd, env, merge_stderr, self.config.output_bytes, keep_first=True)
        feeding = asyncio.ensure_future(_feed(program, input))
        try:
            async with asyncio.timeout(timeout_s):
                ended = await program.wait()
        except TimeoutError:
            ended = await program.end(self.config.grace_s, timed_out=True)
        finally:
            feeding.cancel()
            await asyncio.shield(asyncio.ensure_future(self._finish(program)))
        return Completed(
            argv=argv,
            status=ended.status,
            stdout=program.stdout.all(),
            stderr=program.stderr.all(),
            stdout_lost_bytes=program.stdout.lost_bytes,
            stderr_lost_bytes=program.stderr.lost_bytes,
            duration_s=ended.duration_s,
            usage=ended.usage,
            pipes_still_held=ended.pipes_still_held,
        )

    async def _finish(self, program: Program) -> None:
        """Whatever happened to the call, nothing of its program is left."""
        if program.exit is None:
            await program.end(0)
        self._programs.pop(program.id, None)

    # --- start, watch, feed, end --------------------------------------------------------------------------------

    @method(name="start", permission="programs.run", errors=(ProgramNotStarted,))
    async def start_program(
        self,
        argv: list[str],
        *,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        merge_stderr: bool = False,
        ctx: Context,
    ) -> ProgramInfo:
        """Start a program and leave it running. It ends with the connection that started it.

        Parameters:
            argv: the program and its arguments.
            cwd: where to run it; the server's home directory where not given.
            env: variables to set besides the clean environment.
            merge_stderr: send standard error into standard output.

        Returns:
            Its id and what else there is to say.

        Raises:
            ProgramNotStarted: there is no such program or directory, or it may not be run.
            Busy: too many programs run.
        """
        program = await self._spawn(ctx, argv, cwd, env, merge_stderr, self.config.retain_bytes, keep_first=False)
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[object]] = set()

        def disconnected() -> None:
            if program.exit is None:
                task: asyncio.Task[object] = loop.create_task(program.end(self.config.grace_s))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        undo = ctx.connection.on_close(disconnected)

        async def follow() -> None:
            await program.wait()
            undo()
            self._forgetting[program.id] = loop.call_later(self.config.retain_s, self._drop, program.id)

        program.follower = loop.create_task(follow())
        return program.info

    @method(permission="programs.view", kind="read", errors=(ProgramNotFound,))
    async def output(
        self,
        id: str,
        *,
        stream: StreamName | None = None,
        offset: int = 0,
        ctx: Context,
    ) -> AsyncIterator[OutputChunk]:
        """Follow a program's output, from what is kept of it to its end.

        Parameters:
            id: the program.
            stream: only this output; both where not given.
            offset: where to begin, in bytes from the start of each output.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        program = self._find(ctx, id)
        outputs = [o for o in (program.stdout, program.stderr) if stream in (None, o.name)]
        return _follow(outputs, offset)

    @method(permission="programs.run", errors=(ProgramNotFound, StdinClosed))
    async def write(self, id: str, data: bytes, *, ctx: Context) -> None:
        """Write to a program's standard input. Answered when the program (or its pipe) has taken all of it.

        Parameters:
            id: the program.
            data: what to write.

        Raises:
            ProgramNotFound: there is no such program of yours.
            StdinClosed: it takes no more input.
        """
        await self._find(ctx, id).write(data)

    @method(permission="programs.run", kind="idempotent", errors=(ProgramNotFound,))
    async def close_stdin(self, id: str, *, ctx: Context) -> None:
        """Tell a program that there is no more input.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        self._find(ctx, id).close_stdin()

    @method(permission="programs.view", kind="read", deadline_s=DAY_S, errors=(ProgramNotFound,))
    async def wait(self, id: str, *, ctx: Context) -> Exit:
        """Wait for a program's end.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        return await self._find(ctx, id).wait()

    @method(permission="programs.run", errors=(ProgramNotFound,))
    async def signal(self, id: str, signal: str, *, ctx: Context) -> bool:
        """Send a signal to a program's whole process group.

        Parameters:
            id: the program.
            signal: its name, such as ``INT`` or ``SIGHUP``.

        Returns:
            Whether the program was still there.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        number = tree.signal_number(signal)
        if number is None:
            raise InvalidParams(
                f"signal: there is no signal {signal[:20]!r}; write a name such as TERM",
                errors=[{"loc": ["signal"], "msg": "no such signal"}],
            )
        return self._find(ctx, id).send_signal(number)

    @method(permission="programs.run", kind="idempotent", errors=(ProgramNotFound,))
    async def kill(self, id: str, *, grace_s: float = 0.0, ctx: Context) -> Exit:
        """End a program and everything that it has started.

        Parameters:
            id: the program.
            grace_s: time to end by itself after TERM, in seconds; 0 to kill at once.

        Returns:
            How it ended; ``survivors`` names what could not be ended.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        return await self._find(ctx, id).end(grace_s)

    @method(name="list", permission="programs.view", kind="read")
    async def list_programs(self, *, ctx: Context) -> list[ProgramInfo]:
        """Your programs: those that run, and those that have ended but are still kept."""
        owner = ctx.principal.name
        return [program.info for program in self._programs.values() if program.owner == owner]

    @method(permission="programs.view", kind="read", errors=(ProgramNotFound,))
    async def get(self, id: str, *, ctx: Context) -> ProgramInfo:
        """One of your programs.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        return self._find(ctx, id).info

    @method(permission="programs.run", kind="idempotent", errors=(ProgramNotFound,))
    async def forget(self, id: str, *, ctx: Context) -> None:
        """Free what is kept of a program; one that still runs is ended first.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        program = self._find(ctx, id)
        if program.exit is None:
            await program.end(0)
        self._drop(id)

    # --- how it is done -----------------------------------------------------------------------------------------

    async def _spawn(
        self,
        ctx: Context,
        argv: list[str],
        cwd: str | None,
        env: dict[str, str] | None,
        merge_stderr: bool,
        retain_bytes: int,
        *,
        keep_first: bool,
    ) -> Program:
        if not argv or not argv[0]:
            raise ProgramNotStarted("argv: empty: give the program and its arguments", executed="no", field="argv")
        running = sum(program.exit is None for program in self._programs.values())
        if running >= self.config.programs:
            raise Busy(f"{running} programs run already: end some, or raise services.programs.programs")
        program_id = f"p{secrets.token_hex(5)}"
        clean = {name: os.environ[name] for name in self.config.environment if name in os.environ}
        spec = Spec(
            argv=tuple(argv),
            cwd=cwd or HOME,
            env={**clean, **(env or {}), MARK: program_id},
            merge_stderr=merge_stderr,
            retain_bytes=retain_bytes,
            keep_first=keep_first,
        )
        starting = asyncio.get_running_loop().run_in_executor(None, spawn, spec)
        try:
            popen = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread cannot be stopped: see to it that what it starts does not stay.
            popen = await starting
            await Program(program_id, spec, popen, ctx.principal.name).end(0)
            raise
        program = Program(program_id, spec, popen, ctx.principal.name)
        self._programs[program.id] = program
        return program

    def _find(self, ctx: Context, program_id: str) -> Program:
        program = self._programs.get(program_id)
        if program is None or program.owner != ctx.principal.name:
            raise ProgramNotFound(f"id: you have no program {program_id[:40]!r}; list() shows yours", id=program_id)
        return program

    def _drop(self, program_id: str) -> None:
        self._programs.pop(program_id, None)
        timer = self._forgetting.pop(program_id, None)
        if timer is not None:
            timer.cancel()


async def _feed(program: Program, data: bytes) -> None:
    try:
        if data:
            await program.write(data)
    except StdinClosed:
        pass  # It has read as much as it wanted.
    program.close_stdin()


async def _follow(outputs: list[Output], offset: int) -> AsyncIterator[OutputChunk]:
    """The pieces of several outputs as they come, until all have ended."""
    places = {output.name: offset for output in outputs}
    while True:
        quiet = True
        waiting = [asyncio.ensure_future(output.changed()) for output in outputs if not output.ended]
        try:
            for output in outputs:
                while (chunk := output.read(places[output.name], CHUNK_BYTES)) is not None:
                    quiet = False
                    places[output.name] = chunk.offset + len(chunk.data)
                    yield chunk
            if not quiet:
                continue
            if not waiting:
                return
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
