"""What all parts of the programs service share: the programs, how to start one, and what happens after its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from rpcserver import Context, Figure, Principal, Reload, Service, ServiceRole
from rpcservices.programs.keeping.client import KeptProgram
from rpcservices.programs.keeping.ledger import Ledger
from rpcservices.programs.keeping.leftovers import Leftovers, Trace, abandon
from rpcservices.programs.keeping.orphans import Orphans
from rpcservices.programs.keeping.remains import Remains
from rpcservices.programs.permission.policy import CONTROL, OWNER, RUN, VIEW, Permit, Policy, Wish, check_users
from rpcservices.programs.permission.rules import RoleRule
from rpcservices.programs.running.cgroups import Cgroup, Places
from rpcservices.programs.running.launching import Launcher
from rpcservices.programs.running.output import Output, SpareMemory
from rpcservices.programs.running.program import HostedProgram, Program
from rpcservices.programs.running.records import About
from rpcservices.programs.running.spawning import Launch, LaunchError, NotMadeError, SpawnedProgram, Spawning, spawn_in
from rpcservices.programs.running.spawning import TerminalSize as LaunchedTerminal
from rpcservices.programs.running.supervision import Supervision
from rpcservices.programs.terms import MARK, StderrTo, StreamName
from rpcwire import tracing

from .config import ProgramsConfig
from .errors import ProgramNotStarted
from .events import Events
from .holdings import Bounds, Holding, Holdings, weigh
from .keeping import client
from .labels import check_labels
from .models import EnvBase, Exit, StdoutTo, TerminalSize
from .permission import environment
from .running import cgroups, tree

HOME = str(Path.home())
REVOKED_GRACE_S = 0.5
"""How long programs may take to end whose owner may run none any more, in seconds."""
ORPHANS_GRACE_S = 0.5
"""How long processes that have hidden from their program may take to end when the server stops, in seconds."""
OUTPUTS: tuple[StreamName, ...] = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class Streams:
    """What a program's three standard descriptors are.

    Attributes:
        stdin: whether there is a pipe to write to; otherwise its input is empty.
        stdout, stderr: where its outputs go.
        terminal: a pseudo-terminal in place of all three.
        bulky: whether to expect much output.
    """

    stdin: bool
    stdout: StdoutTo = "pipe"
    stderr: StderrTo = "pipe"
    terminal: TerminalSize | None = None
    bulky: bool = False


def _bounds(config: ProgramsConfig) -> Bounds:
    return Bounds(config.max_programs, config.description_bytes, config.kept_bytes, config.principal_share)


class ProgramsCore(Service[ProgramsConfig]):
    """The state of the programs service."""

    permissions: ClassVar[Mapping[str, str]] = {
        RUN: "start programs",
        VIEW: "see programs, their output and their events",
        CONTROL: "feed, signal, end and forget programs",
    }
    restart_keys: ClassVar[Mapping[str, str]] = {"cgroups": "control groups are looked for at the start"}
    role_model = RoleRule
    owner_conditions = OWNER
    transient_state = ("output", "hosted")

    def __init__(self, config: ProgramsConfig | None = None) -> None:
        super().__init__(config)
        self.programs: dict[str, Program] = {}
        self.events = Events()
        self.orphans = Orphans()
        self.launcher = Launcher(self.orphans.on_inherit)
        self.policy = Policy(lambda principal: self.runtime.role_of(principal), home=HOME, owner_uid=os.geteuid())  # noqa: PLW0108 - it has its runtime later
        self.spare_memory = SpareMemory(
            self.config.spare_memory_bytes, self.config.kept_memory_bytes, share=self.config.principal_share
        )
        self.holdings = Holdings(_bounds(self.config), self.config.max_ended)
        self._warnings: list[str] = []
        self._own_pids: set[int] = set()
        self._forgetting: dict[str, asyncio.TimerHandle] = {}
        self._own_user = cache(environment.own_user)
        self.closing: dict[str, Callable[[], None]] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._revocations: set[asyncio.Task[Exit]] = set()
        self._leaving: set[KeptProgram] = set()
        self.cgroup_places = Places()
        self.ledger = Ledger("")
        self.remains = Remains(self.ledger, lambda: self.launcher.pid, lambda: set(self._own_pids))

    async def start(self) -> None:
        """Take charge of orphans, so that no descendant of a program escapes.

        Raises:
            ServiceConfigError: the programs of a role cannot run as its user.
        """
        self._warnings = check_users(self.runtime.roles, os.geteuid())
        for warning in self._warnings:
            self.runtime.logger.warning("%s", warning)
        tree.become_subreaper()
        tree.heed_signals()
        if self.config.cgroups:
            self.cgroup_places = cgroups.places()
            cgroups.sweep(self.cgroup_places)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.launcher.start)
        self.launcher.listen(loop)
        self.ledger = Ledger(str(self.runtime.state_dir / "hosted"))
        self.ledger.open()
        self.remains.start(self.ledger, self.cgroup_places)
        if traces := list(self.ledger.running.values()):
            self.background(asyncio.ensure_future(self._end_leftovers(traces)))
        shutil.rmtree(self.output_folder, ignore_errors=True)
        self.output_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.kept_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.gather(
            *(self._find_again(about, folder) for about, folder in client.find_kept(str(self.kept_folder)))
        )

    def figures(self) -> Iterable[Figure]:
        """The programs that run, and those whose results are kept."""
        running = sum(program.exit is None for program in self.programs.values())
        yield Figure("running", running, "Programs that run.")
        yield Figure("ended", len(self.programs) - running, "Programs that have ended and are not forgotten yet.")

    async def prepare_reload(self, config: ProgramsConfig, roles: tuple[ServiceRole, ...]) -> Reload:
        """Check the users of the roles. New settings and rules hold for programs that are started afterwards."""
        warnings = await asyncio.to_thread(check_users, roles, os.geteuid())

        def commit() -> None:
            for warning in warnings:
                if warning not in self._warnings:
                    self.runtime.logger.warning("%s", warning)
            self._warnings = warnings
            self.spare_memory.change(config.spare_memory_bytes, config.kept_memory_bytes, config.principal_share)
            self.holdings.bounds, self.holdings.most_ended = _bounds(config), config.max_ended

        return Reload(commit)

    async def reconsider_caller(self, name: str, principal: Principal | None, before: float) -> None:
        """End the programs of somebody who may run none any more. They belong to a name, and so outlive connections."""
        role = None if principal is None else self.runtime.role_of(principal)
        if role is not None and "programs.run" in role.permissions:
            return
        for program in list(self.programs.values()):
            about = program.about
            if about.owner == name and about.started_at <= before and program.exit is None:
                self.runtime.logger.warning("%s of %s is ended: %s may run no programs any more", about.id, name, name)
                ending = asyncio.ensure_future(program.end(REVOKED_GRACE_S))
                self.background(ending)
                self._revocations.add(ending)
                ending.add_done_callback(self._revocations.discard)

    async def _end_leftovers(self, traces: list[Trace]) -> None:
        """End the programs of an earlier server that was killed."""
        leftovers = Leftovers(traces, self.cgroup_places)
        survivors = await asyncio.get_running_loop().run_in_executor(None, leftovers.end, self.config.grace_s)
        self.runtime.logger.warning("ended what %d programs of a server that was killed had left", len(traces))
        if survivors:
            self.runtime.logger.error("processes that could not be ended: %s", survivors)
        for trace in traces:
            self.ledger.strike(trace.id)

    async def _find_again(self, about: About, folder: str) -> None:
        """Take over a program that an earlier server has started."""
        program = KeptProgram(about, folder, places=self.cgroup_places)
        self.holdings.readmit(program.id, _holding(about))
        self.add(program)
        await program.attach()
        if program.exit is None:
            program.on_end(lambda _: self.retain(program))
        else:
            self.remains.add(Trace(program.id), just_now=False)
            self.forget_in(program, max(0.0, program.ended_at + about.retain_s - time.time()))

    async def stop(self) -> None:
        """End all programs, except those that must outlive the server."""
        for timer in self._forgetting.values():
            timer.cancel()
        if self._revocations:
            # They are not to be left to their keepers. Keepers that take longer have been told, and end them alone.
            _, late = await asyncio.wait(self._revocations, timeout=2 * REVOKED_GRACE_S)
            for ending in late:
                ending.cancel()
        programs = list(self.programs.values())
        letting_go = asyncio.gather(*(self._let_go(program) for program in programs))
        survivors = await self.remains.end(self.config.grace_s)
        await letting_go
        self.programs.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(program.detach() for program in self._leaving))
        survivors += [*await self.remains.end(0), *await self.remains.end_orphans(ORPHANS_GRACE_S)]
        if survivors:
            self.runtime.logger.error("processes that could not be ended: %s", survivors)
        await self.orphans.stop()
        self.launcher.unlisten()
        await asyncio.get_running_loop().run_in_executor(None, self.launcher.stop)
        self.ledger.close()

    async def _let_go(self, program: Program) -> None:
        """Leave a program to its keeper, or end it if it has none."""
        if isinstance(program, KeptProgram):
            await program.detach()
            return
        if program.exit is None:
            await program.end(self.config.grace_s)
        program.discard()

    @property
    def kept_folder(self) -> Path:
        """The folder for programs that outlive this process."""
        return self.runtime.state_dir / "kept"

    @property
    def output_folder(self) -> Path:
        """The folder for output of the programs that this process looks after."""
        return self.runtime.state_dir / "output"

    # --- starting -----------------------------------------------------------------------------------------------

    async def permit(self, principal: Principal, wish: Wish) -> Permit:
        """Check what a caller wants to start, as :meth:`.policy.Policy.permit` does; in a thread where it takes long.

        Raises:
            ProgramRefused, ProgramNotStarted: as there.
        """
        if wish.is_quick:
            return self.policy.permit(principal, wish)
        return await asyncio.get_running_loop().run_in_executor(None, self.policy.permit, principal, wish)

    @contextlib.contextmanager
    def room_for(self, about: About) -> Iterator[None]:
        """Have room for one more program while it is being started. If that succeeds, the room stays its own until
        :meth:`remove`.

        Raises:
            Busy: too many programs run, or those of its owner hold too much.
        """
        self.holdings.enter(about.id, _holding(about))
        try:
            yield
        except BaseException:
            self.holdings.leave(about.id)
            raise

    def launch(
        self, permit: Permit, streams: Streams, program_id: str, base: EnvBase, env: Mapping[str, str]
    ) -> Launch:
        """Describe how to start a program."""
        terminal = streams.terminal
        return Launch(
            argv=tuple(permit.argv),
            executable=permit.executable,
            cwd=permit.cwd,
            cwd_exact=permit.cwd_exact,
            env=environment.build(
                base,
                self.config.environment,
                env,
                program_id,
                user=permit.user,
                term=None if terminal is None else terminal.term,
                ask=self._own_user,
            ),
            stdin=streams.stdin,
            stdout=streams.stdout == "pipe",
            stderr=streams.stderr,
            terminal=None if terminal is None else LaunchedTerminal(terminal.rows, terminal.columns, terminal.term),
            user=permit.ids,
            limits=permit.limits,
            no_new_privs=permit.no_new_privs,
            bulky=streams.bulky,
            processors=self.config.processors,
        )

    def describe(
        self, ctx: Context, program_id: str, launch: Launch, labels: Mapping[str, str], user: str, **more: Any
    ) -> About:
        """Describe a program that will be started; ``more`` are further attributes of :class:`.records.About`.

        Raises:
            InvalidParams: there are too many labels, or one is too long.
        """
        check_labels(labels)
        return About(
            id=program_id,
            owner=ctx.principal.name,
            argv=launch.argv,
            cwd=launch.cwd,
            started_at=time.time(),
            labels=labels,
            user=user,
            terminal=launch.terminal,
            **more,
        )

    async def spawn(self, launch: Launch) -> tuple[SpawnedProgram, Cgroup | None]:
        """Start a process, in a control group of its own if that is permitted.

        Parameters:
            launch: what to start.

        Raises:
            ProgramNotStarted: it cannot be started.
        """
        program_id = launch.env[MARK]
        try:
            beginning = self._begin(launch) if launch.is_quick else None
            if beginning is not None:
                process = await self._finish(launch, *beginning)
                if process is not None:
                    return process
            return await self._spawn_in_thread(launch)
        except LaunchError as exc:
            self.ledger.strike(program_id)
            raise ProgramNotStarted(exc.text, field=exc.field, errno=exc.symbol) from exc

    def _begin(self, launch: Launch) -> tuple[Spawning, Cgroup | None] | None:
        """Have a process made, and do not wait for it. A thread for that would cost more than all else that the server
        does for a short program. Returns ``None`` where it would take long."""
        program_id = launch.env[MARK]
        self.ledger.note(Trace(program_id))
        cgroup = cgroups.create(self.cgroup_places, program_id, launch.limits)
        try:
            return Spawning(launch.inside(cgroup), self.launcher, wait=False), cgroup
        except BaseException as exc:
            if cgroup is not None:
                cgroup.remove()
            if isinstance(exc, BlockingIOError) or (isinstance(exc, LaunchError) and exc.field == "cgroup"):
                return None
            raise

    async def _finish(
        self, launch: Launch, spawning: Spawning, cgroup: Cgroup | None
    ) -> tuple[SpawnedProgram, Cgroup | None] | None:
        """Wait for a process that was begun. Returns ``None`` if it must be begun anew."""
        try:
            await _readable(spawning.report_fd)
        except asyncio.CancelledError:
            # The process is being made, so wait for it and end it.
            await _readable(spawning.report_fd)
            with contextlib.suppress(LaunchError):
                await self._end_stray(launch, spawning.finish(), cgroup)
            raise
        try:
            process = spawning.finish()
        except LaunchError as exc:
            if cgroup is not None:
                cgroup.remove()
            if isinstance(exc, NotMadeError) or exc.field == "cgroup":
                return None
            raise
        self.ledger.note(Trace(launch.env[MARK], process.pid, process.start))
        return process, cgroup

    async def _spawn_in_thread(self, launch: Launch) -> tuple[SpawnedProgram, Cgroup | None]:
        """Start a process in a thread, as some limits take milliseconds to prepare, and so does the process that starts
        programs if it is not there."""
        program_id = launch.env[MARK]

        def start() -> tuple[SpawnedProgram, Cgroup | None]:
            self.ledger.note(Trace(program_id))
            new_group = cgroups.create(self.cgroup_places, program_id, launch.limits)
            process, cgroup = spawn_in(launch, new_group, self.launcher)
            self.ledger.note(Trace(program_id, process.pid, process.start))
            return process, cgroup

        starting = asyncio.get_running_loop().run_in_executor(None, start)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread cannot be stopped, so wait for it and end what it has started.
            with contextlib.suppress(LaunchError):
                await self._end_stray(launch, *await starting)
            raise

    async def _end_stray(self, launch: Launch, process: SpawnedProgram, cgroup: Cgroup | None) -> None:
        """End a program that was started for a caller who has gone."""
        about = About("", "", launch.argv, launch.cwd, time.time(), pid=process.pid)
        outputs = [Output(name, 0) for name in OUTPUTS]
        await self.host(about, process, Supervision(launch.env[MARK]), outputs, cgroup=cgroup).end(0)

    def host(
        self,
        about: About,
        process: SpawnedProgram,
        supervision: Supervision,
        outputs: Sequence[Output],
        *,
        cgroup: Cgroup | None = None,
        folder: str = "",
    ) -> HostedProgram:
        """Look after a program that was started; if that fails, end it. The parameters are those of
        :class:`.program.HostedProgram`."""
        program_id = supervision.program_id
        try:
            program = HostedProgram(
                about, process, supervision, outputs, launcher=self.launcher, cgroup=cgroup, folder=folder
            )
        except BaseException:
            loop = asyncio.get_running_loop()
            for descriptor in (process.pidfd, process.stdout, process.stderr):
                if descriptor is not None:
                    loop.remove_reader(descriptor)
            abandon(process, program_id, cgroup, self.launcher)
            self.ledger.strike(program_id)
            raise
        trace = Trace(program_id, process.pid, process.start)
        self._own_pids.add(process.pid)
        program.on_end(lambda _: self._leave(trace))
        if tracing.tracer is not None:
            self._trace(program, process.pid, tracing.tracer)
        return program

    @staticmethod
    def _trace(program: HostedProgram, pid: int, tracer: tracing.Tracer) -> None:
        """Have the life of a program be a span. Its command line may hold secrets, and stays out of it."""
        span = tracer.begin("program", {"rpc.program.id": program.id, "process.pid": pid})

        def end(ending: Exit) -> None:
            code = ending.status.code
            span.end(attributes={} if code is None else {"process.exit.code": code})

        program.on_end(end)

    def _leave(self, trace: Trace) -> None:
        """Note that a program has ended, and what it has left may go on."""
        self._own_pids.discard(trace.pid)
        self.remains.add(trace)

    @staticmethod
    def new_id() -> str:
        """Make an id that no program has had before."""
        return f"p{secrets.token_hex(8)}"

    def add(self, program: Program) -> None:
        """Add a program that runs."""
        self.programs[program.id] = program

    def remove(self, program_id: str) -> None:
        """Remove a program of which nothing is to be kept, with all that it holds."""
        self.programs.pop(program_id, None)
        self.holdings.leave(program_id)

    def retain(self, program: Program) -> None:
        """Keep a program that has ended for a while."""
        self.release(program)
        if isinstance(program, KeptProgram):
            trace = Trace(program.id, program.about.pid, program.about.pid_start)
            self.ledger.note(trace)
            self.remains.add(trace)
        self.orphans.left_by(program.about.pid, program.about.pid_start, program.cgroup)
        self.events.publish("exited", program)
        self.forget_in(program, program.about.retain_s)

    def forget_in(self, program: Program, delay_s: float) -> None:
        """Forget a program after some time."""
        if self.programs.get(program.id) is program:
            loop = asyncio.get_running_loop()
            self._forgetting[program.id] = loop.call_later(delay_s, self.drop, program)
            self.holdings.end(program.id, sum(output.total_bytes - output.start for output in program.outputs.values()))
            self.make_way()

    def make_way(self) -> None:
        """Forget ended programs until the rest is no more than may be kept."""
        while (program_id := self.holdings.surplus()) is not None:
            self.drop(self.programs[program_id])

    def drop(self, program: Program, *, tell: bool = True) -> None:
        """Forget a program that has ended."""
        self.remove(program.id)
        timer = self._forgetting.pop(program.id, None)
        if timer is not None:
            timer.cancel()
        program.discard()
        if isinstance(program, KeptProgram):
            self.see_off(program)
        if tell:
            self.events.publish("forgotten", program)

    def see_off(self, program: KeptProgram) -> None:
        """Hear the keeper of a program that is forgotten until that has ended, but no longer than this server runs."""
        listening = program.listening
        if listening is not None and not listening.done():
            self._leaving.add(program)
            listening.add_done_callback(lambda _: self._leaving.discard(program))

    def background(self, work: asyncio.Task[object]) -> None:
        """Keep a task until it is done."""
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)

    def release(self, program: Program) -> None:
        """Note that a connection no longer controls a program."""
        program.controller = None
        undo = self.closing.pop(program.id, None)
        if undo is not None:
            undo()


def _holding(about: About) -> Holding:
    """Say what a program holds while it runs."""
    streams = len(OUTPUTS) if about.terminal is None else 1
    return Holding(about.owner, weigh(about.argv, about.labels), streams * about.retain_bytes)


async def _readable(descriptor: int) -> None:
    """Wait until a descriptor can be read."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _settle, readable)
    try:
        await readable
    finally:
        loop.remove_reader(descriptor)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
