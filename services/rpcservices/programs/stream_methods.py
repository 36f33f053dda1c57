"""Running a program to its end in one call that streams its output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

from rpcserver import Context, Secret, method
from rpcservices.programs.permission.policy import RUN, Wish
from rpcservices.programs.running.program import Program
from rpcservices.programs.running.supervision import Supervision
from rpcservices.programs.terms import StderrTo, StreamName

from .core import Streams
from .errors import ProgramNotStarted, ProgramRefused, ProgramUnsuccessful
from .following import follow
from .models import EnvBase, Limits, Patience, RunEvent, Seconds
from .run_methods import check_end, feed
from .start_methods import StartMethods


class StreamMethods(StartMethods):
    """Running a program to its end in one call that streams its output."""

    @method(permission=RUN, errors=(ProgramNotStarted, ProgramRefused, ProgramUnsuccessful), message_bytes=None)
    async def stream(
        self,
        argv: list[str],
        *,
        input: Annotated[bytes, Secret()] = b"",
        check: bool = False,
        timeout_s: Seconds | None = None,
        idle_timeout_s: Patience | None = None,
        grace_s: Seconds | None = None,
        cwd: str | None = None,
        env: Annotated[dict[str, str] | None, Secret()] = None,
        env_base: EnvBase = "clean",
        stderr: StderrTo = "pipe",
        user: str | None = None,
        limits: Limits | None = None,
        labels: dict[str, str] | None = None,
        ctx: Context,
    ) -> AsyncIterator[RunEvent]:
        """Run a program to its end, and stream its output as it comes; the last item is its end. If the reader closes
        the stream, or its connection ends, so does the program, with everything that it has started. If the reader is
        slow, the program waits.

        As nothing but this one call is needed, it is the way to run a program on many nodes of a group at once.

        Parameters:
            argv: the program and its arguments.
            input: goes to its standard input, which then ends.
            check: fail in the end unless it has ended with code 0, by itself.
            timeout_s: end it after this time, in seconds.
            idle_timeout_s: end it after it has neither read nor written anything for this time, in seconds.
            grace_s: time between TERM and KILL when one of these times is over, in seconds; the server's where not
                given.
            cwd: where to run it; the home directory of its user where not given.
            env: variables to set besides the base.
            env_base: what the environment begins with.
            stderr: where standard error goes.
            user: as whom to run it, if not as the role says: by default as the server's own user.
            limits: what it may take of the machine.
            labels: notes, for :meth:`list` and :meth:`watch`.

        Raises:
            ProgramNotStarted: there is no such program or directory, or the system does not let it run.
            ProgramRefused: the server's policy does not let it run.
            ProgramUnsuccessful: it has not ended well, and was to (``check``).
            Busy: too many programs run.
        """
        permit = await self.permit(ctx.principal, Wish(argv, cwd, env or {}, user, limits))
        program_id = self.new_id()
        launch = self.launch(permit, Streams(bool(input), stderr=stderr, bulky=True), program_id, env_base, env or {})
        supervision = Supervision(
            program_id,
            permit.limits,
            timeout_s=timeout_s,
            idle_timeout_s=idle_timeout_s,
            grace_s=self.config.grace_s if grace_s is None else grace_s,
            hold=True,
        )
        about = self.describe(
            ctx,
            program_id,
            launch,
            labels=labels or {},
            user=user or permit.user_name,
            retain_bytes=self.bytes_to_retain(None, hold=True),
            hold=True,
        )
        with self.room_for(about):
            program = await self.host_with_files(about, launch, supervision)
        async with aclosing(self._follow_to_end(program, input)) as events:
            async for event in events:
                yield event
                if check and event.exit is not None:
                    check_end(event.exit.status)

    async def _follow_to_end(self, program: Program, data: bytes) -> AsyncGenerator[RunEvent, None]:
        """Feed a program that was started, and follow it to its end. If nobody follows any more, end it."""
        self.add(program)
        self.events.publish("started", program)
        feeding = asyncio.ensure_future(feed(program, data)) if data else None
        try:
            outputs = list(program.outputs.values())
            places: dict[StreamName, int] = {output.name: 0 for output in outputs}
            async with aclosing(follow(program, outputs, places, wait=True, controlling=True)) as chunks:
                async for chunk in chunks:
                    yield RunEvent(output=chunk)
            yield RunEvent(exit=await program.wait())
        finally:
            if feeding is not None:
                feeding.cancel()
            if program.exit is None:
                await asyncio.shield(asyncio.ensure_future(program.end(0)))
            self.remove(program.id)
            self.orphans.left_by(program.about.pid, program.about.pid_start, program.cgroup)
            self.events.publish("exited", program)
            program.discard()
            # After the last item, which is sent in this turn of the loop.
            asyncio.get_running_loop().call_soon(self.launcher.free_now)
