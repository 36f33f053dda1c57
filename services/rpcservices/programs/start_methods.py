"""Starting a program and leaving it running."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
from typing import Annotated

from rpcserver import Context, InvalidParams, Secret, method
from rpcservices.programs.keeping.client import KeptProgram, start_keeper
from rpcservices.programs.permission.policy import RUN, Wish
from rpcservices.programs.running.output import PIECES_UNDER_WAY, Output
from rpcservices.programs.running.program import Program
from rpcservices.programs.running.records import About, Order
from rpcservices.programs.running.spawning import Launch, LaunchError
from rpcservices.programs.running.supervision import Supervision
from rpcservices.programs.terms import OnDisconnect, StderrTo, StreamName

from .control import Controlling
from .core import Streams
from .errors import ProgramNotStarted, ProgramRefused
from .models import ByteCount, EnvBase, Limits, Overflow, Patience, ProgramInfo, Seconds, TerminalSize

START_BYTES = 4 * 1024 * 1024
"""The largest call that starts a program: Linux takes 2 MiB of arguments and variables at most (execve(2)), and a sign
may take more bytes on the wire."""

LEAST_HELD_BYTES = 1024 * PIECES_UNDER_WAY


class StartMethods(Controlling):
    """Starting a program and leaving it running."""

    @method(
        name="start", permission=RUN, errors=(ProgramNotStarted, ProgramRefused), message_bytes=START_BYTES, group=False
    )
    async def start_program(
        self,
        argv: list[str],
        *,
        cwd: str | None = None,
        env: Annotated[dict[str, str] | None, Secret()] = None,
        env_base: EnvBase = "clean",
        stdin: bool = True,
        stderr: StderrTo = "pipe",
        terminal: TerminalSize | None = None,
        timeout_s: Seconds | None = None,
        idle_timeout_s: Patience | None = None,
        grace_s: Seconds | None = None,
        on_disconnect: OnDisconnect = "kill",
        reattach_s: Seconds = 0.0,
        overflow: Overflow = "skip",
        retain_bytes: ByteCount | None = None,
        retain_s: Seconds | None = None,
        user: str | None = None,
        limits: Limits | None = None,
        labels: dict[str, str] | None = None,
        ctx: Context,
    ) -> ProgramInfo:
        """Start a program and leave it running. The caller's connection controls it; see :meth:`control`.

        What it writes is kept, by byte offset, for :meth:`output`, until some time after its end.

        Parameters:
            argv: the program and its arguments.
            cwd: where to run it; the home directory of its user where not given.
            env: variables to set besides the base.
            env_base: what the environment begins with.
            stdin: whether it can be written to; otherwise its input is empty.
            stderr: where standard error goes.
            terminal: run it in a pseudo-terminal of this size; everything that it writes is standard output then.
            timeout_s: end it after this time, in seconds.
            idle_timeout_s: end it after it has neither read nor written anything for this time, in seconds. What goes
                nowhere (``stderr="discard"``) does not count.
            grace_s: time between TERM and KILL when one of these times is over, in seconds; the server's where not
                given.
            on_disconnect: what happens to it when the connection that controls it ends. With ``keep`` it outlives the
                server, too.
            reattach_s: how long that waits for somebody to take control again, in seconds.
            overflow: what happens when it writes more than is kept and its controller has not read it yet. With
                ``wait`` it is held once half of ``retain_bytes`` is not read by its controller, so that one that
                comes back finds everything that may have been lost on the way.
            retain_bytes: output to keep, per stream, in bytes; the server's default where not given.
            retain_s: how long to keep it after the program's end, in seconds; the server's default where not given.
            user: as whom to run it, if not as the role says: by default as the server's own user.
            limits: what it may take of the machine.
            labels: notes, for :meth:`list` and :meth:`watch`.

        Returns:
            Its id and what else there is to say.

        Raises:
            ProgramNotStarted: there is no such program or directory, or the system does not let it run.
            ProgramRefused: the server's policy does not let it run.
            Busy: too many programs run.
        """
        hold = overflow == "wait"
        kept_bytes = self.bytes_to_retain(retain_bytes, hold=hold)
        kept_s = self.config.retain_s if retain_s is None else retain_s
        if kept_s > self.config.max_retain_s:
            raise _invalid("retain_s", f"at most {self.config.max_retain_s:g} s are allowed")
        permit = await self.permit(ctx.principal, Wish(argv, cwd, env or {}, user, limits))
        program_id = self.new_id()
        streams = Streams(stdin, stderr=stderr, terminal=terminal, bulky=True)
        launch = self.launch(permit, streams, program_id, env_base, env or {})
        supervision = Supervision(
            program_id,
            permit.limits,
            timeout_s=timeout_s,
            idle_timeout_s=idle_timeout_s,
            grace_s=self.config.grace_s if grace_s is None else grace_s,
            hold=hold,
        )
        about = self.describe(
            ctx,
            program_id,
            launch,
            labels=labels or {},
            user=user or permit.user_name,
            on_disconnect=on_disconnect,
            reattach_s=reattach_s,
            retain_bytes=kept_bytes,
            retain_s=kept_s,
            hold=hold,
        )
        outlives_server = on_disconnect == "keep"
        with self.room_for(about):
            program = await (self._keep if outlives_server else self.host_with_files)(about, launch, supervision)
            self.add(program)
        self.events.publish("started", program)
        program.on_end(lambda _: self.retain(program))
        self.give_control(program, ctx.connection)
        return program.info

    def bytes_to_retain(self, requested_bytes: int | None, *, hold: bool) -> int:
        """How much output of a program to keep.

        Raises:
            InvalidParams: the caller asks for too much, or too little.
        """
        most = self.config.max_retain_bytes
        least = LEAST_HELD_BYTES if hold else 1024
        size = max(least, self.config.retain_bytes) if requested_bytes is None else requested_bytes
        if not least <= size <= most:
            raise _invalid("retain_bytes", f"{least} to {most} bytes are allowed")
        return size

    async def _keep(self, about: About, launch: Launch, supervision: Supervision) -> Program:
        """Start it under a keeper, so that it outlives the server."""
        order = Order(about, launch, supervision, self.cgroup_places)
        folder = str(self.kept_folder / about.id)
        starting = asyncio.get_running_loop().run_in_executor(None, start_keeper, order, folder)
        try:
            keeper, about_program = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread cannot be stopped, so wait for it and end what it has started.
            with contextlib.suppress(LaunchError):
                keeper, about_program = await starting
                await self._end_unwanted(KeptProgram(about_program, folder, keeper, self.cgroup_places))
            raise
        except LaunchError as exc:
            raise ProgramNotStarted(exc.text, field=exc.field, errno=exc.symbol) from exc
        program = KeptProgram(about_program, folder, keeper, self.cgroup_places)
        try:
            await program.attach()
        except BaseException:
            self.background(asyncio.ensure_future(self._end_unwanted(program)))
            raise
        return program

    async def _end_unwanted(self, program: KeptProgram) -> None:
        """End a program whose id no client has got."""
        await program.attach()
        await program.end(0)
        program.discard()
        self.see_off(program)

    async def host_with_files(self, about: About, launch: Launch, supervision: Supervision) -> Program:
        """Start a program that this process looks after, whose output goes into files where it is much."""
        folder = str(self.output_folder / about.id)
        try:
            os.makedirs(folder, 0o700)
        except OSError as exc:
            text, name = f"argv: its output cannot be kept: {exc.strerror}", errno.errorcode.get(exc.errno or 0)
            raise ProgramNotStarted(text, field="argv", errno=name) from exc
        try:
            process, cgroup = await self.spawn(launch)
            outputs = self._outputs(about, folder)
            return self.host(about.of(process), process, supervision, outputs, cgroup=cgroup, folder=folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _outputs(self, about: About, folder: str) -> list[Output]:
        names: tuple[StreamName, ...] = ("stdout", "stderr")
        return [
            Output(
                name,
                about.retain_bytes,
                memory_bytes=self.config.memory_bytes,
                spare=self.spare_memory.of(about.owner),
                folder=folder,
            )
            for name in names
        ]


def _invalid(field: str, text: str) -> InvalidParams:
    return InvalidParams(f"{field}: {text}", errors=[{"loc": [field], "msg": text, "type": "value_error"}])
