"""Running a program to its end in one call."""

from __future__ import annotations

import asyncio
from typing import Annotated

from rpcserver import Context, Secret, method
from rpcservices.programs.permission.policy import RUN, Wish
from rpcservices.programs.running.output import Output
from rpcservices.programs.running.program import Program
from rpcservices.programs.running.supervision import Supervision
from rpcservices.programs.terms import StderrTo

from .core import OUTPUTS, ProgramsCore, Streams
from .errors import ProgramNotStarted, ProgramRefused, ProgramUnsuccessful, StdinClosed
from .models import ByteCount, Completed, EnvBase, Exit, ExitStatus, Limits, Patience, Seconds, StdoutTo

DAY_S = 86400.0
REST_BYTES = 64 * 1024
"""An upper bound for the rest of an answer, besides output and arguments."""
_END_BYTES = 4096
"""How much of each output an error tells."""


class RunMethods(ProgramsCore):
    """Running a program to its end in one call."""

    @method(
        permission=RUN,
        deadline_s=DAY_S,
        errors=(ProgramNotStarted, ProgramRefused, ProgramUnsuccessful),
        message_bytes=None,
    )
    async def run(
        self,
        argv: list[str],
        *,
        input: Annotated[bytes, Secret()] = b"",
        timeout_s: Seconds | None = None,
        idle_timeout_s: Patience | None = None,
        grace_s: Seconds | None = None,
        cwd: str | None = None,
        env: Annotated[dict[str, str] | None, Secret()] = None,
        env_base: EnvBase = "clean",
        stdout: StdoutTo = "pipe",
        stderr: StderrTo = "pipe",
        output_bytes: ByteCount | None = None,
        user: str | None = None,
        limits: Limits | None = None,
        labels: dict[str, str] | None = None,
        check: bool = False,
        ctx: Context,
    ) -> Completed:
        """Run a program to its end and return its output. Like ``subprocess.run``; no shell is involved. If the call
        is cancelled or its connection ends, so does the program, with everything that it has started.

        Parameters:
            argv: the program and its arguments.
            input: goes to its standard input, which then ends.
            timeout_s: end it after this time, in seconds.
            idle_timeout_s: end it after it has neither read nor written anything for this time, in seconds.
            grace_s: time between TERM and KILL when one of these times is over, in seconds; the server's where not
                given.
            cwd: where to run it; the home directory of its user where not given.
            env: variables to set besides the base.
            env_base: what the environment begins with.
            stdout: where standard output goes.
            stderr: where standard error goes.
            output_bytes: the most output to return, per stream, in bytes; at most, and by default, the server's limit,
                and never more than fits into a message. What comes after it is read, counted and dropped.
            user: as whom to run it, if not as the role says: by default as the server's own user.
            limits: what it may take of the machine.
            labels: notes, for :meth:`list` and :meth:`watch`.
            check: fail unless it has ended with code 0, by itself.

        Returns:
            How it ended and what it wrote. A code other than 0 is a result, not an error, without ``check``.

        Raises:
            ProgramNotStarted: there is no such program or directory, or the system does not let it run.
            ProgramRefused: the server's policy does not let it run.
            ProgramUnsuccessful: it has not ended well, and was to (``check``).
            Busy: too many programs run.
        """
        permit = await self.permit(ctx.principal, Wish(argv, cwd, env or {}, user, limits))
        program_id = self.new_id()
        most = self._most_output(argv)
        if output_bytes is not None:
            most = min(most, output_bytes)
        spare = self.spare_memory.of(ctx.principal.name)
        outputs = [
            Output(name, 0 if to == "discard" else most, spare=spare, keep_first=True)
            for name, to in zip(OUTPUTS, (stdout, stderr), strict=True)
        ]
        streams = Streams(bool(input), stdout, stderr)
        # Discarded output also shows that the program is not idle, so it is read and dropped.
        if idle_timeout_s is not None:
            streams = Streams(bool(input), stderr="merge" if stderr == "merge" else "pipe")
        launch = self.launch(permit, streams, program_id, env_base, env or {})
        supervision = Supervision(
            program_id,
            permit.limits,
            timeout_s=timeout_s,
            idle_timeout_s=idle_timeout_s,
            grace_s=self.config.grace_s if grace_s is None else grace_s,
        )
        about = self.describe(ctx, program_id, launch, labels=labels or {}, user=user or permit.user_name)
        with self.room_for(about):
            process, cgroup = await self.spawn(launch)
            program = self.host(about.of(process), process, supervision, outputs, cgroup=cgroup)
        try:
            ending = await self._run_to_end(program, input)
            result = Completed(
                argv=argv,
                status=ending.status,
                stdout=outputs[0].all(),
                stderr=outputs[1].all(),
                stdout_lost_bytes=0 if stdout == "discard" else outputs[0].lost_bytes,
                stderr_lost_bytes=0 if stderr == "discard" else outputs[1].lost_bytes,
                duration_s=ending.duration_s,
                usage=ending.usage,
                pipes_still_held=ending.pipes_still_held,
                output_cut=ending.output_cut,
                survivors=ending.survivors,
            )
        finally:
            for output in outputs:
                output.discard()
        if check:
            check_end(result.status, result.stdout, result.stderr)
        return result

    async def _run_to_end(self, program: Program, data: bytes) -> Exit:
        """Feed a program that was started, and wait for its end. If the caller is cancelled, end it.

        Parameters:
            program: the program.
            data: its input.
        """
        self.add(program)
        self.events.publish("started", program)
        feeding = asyncio.ensure_future(feed(program, data)) if data else None
        try:
            return await program.wait()
        finally:
            if feeding is not None:
                feeding.cancel()
            if program.exit is None:
                await asyncio.shield(asyncio.ensure_future(program.end(0)))
            self.remove(program.id)
            self.orphans.left_by(program.about.pid, program.about.pid_start, program.cgroup)
            self.events.publish("exited", program)
            # After the answer, which is sent in this turn of the loop.
            asyncio.get_running_loop().call_soon(self.launcher.free_now)

    @method(permission=RUN, kind="read")
    async def run_output_bytes(self, argv: list[str]) -> int:
        """The most output that :meth:`run` returns of a program, per stream, in bytes: for whoever does what it does by
        way of :meth:`start`, as its input is larger than a message.

        Parameters:
            argv: the program and its arguments, which are in the same message.
        """
        return self._most_output(argv)

    def _most_output(self, argv: list[str]) -> int:
        """The most bytes of each output to return: both are in one message with the arguments. In JSON a character
        takes six bytes at most, and base64 (RFC 4648) turns three bytes into four."""
        message_bytes = self.runtime.message_bytes
        rest = min(REST_BYTES, message_bytes // 4) + 6 * sum(map(len, argv))
        return max(0, min(self.config.output_bytes, (message_bytes - rest) * 3 // 8))


async def feed(program: Program, data: bytes) -> None:
    """Give a program its whole input, and end it."""
    try:
        await program.write(data)
    except StdinClosed:
        return  # The program has closed its input: it has read enough.
    program.close_stdin()


def check_end(status: ExitStatus, stdout: bytes = b"", stderr: bytes = b"") -> None:
    """Make sure that a program has ended well.

    Parameters:
        status: how it has ended.
        stdout, stderr: what it has written, if that would have been the answer.

    Raises:
        ProgramUnsuccessful: it has not.
    """
    if status.code == 0 and status.limit is None:
        return
    last_line = (stderr or stdout)[-_END_BYTES:].decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
    raise ProgramUnsuccessful(
        f"{status}: {last_line}" if last_line else str(status),
        exit_code=status.code,
        signal=status.signal,
        stdout=stdout[-_END_BYTES:],
        stderr=stderr[-_END_BYTES:],
    )
