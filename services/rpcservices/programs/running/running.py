"""Supervises one running program: its outputs, its limits, and its end in the right order.

It uses callbacks, not coroutines, so that the same code runs on the server's event loop and in the keeper, which does
not load asyncio. All methods belong to the loop's thread.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from rpcservices.programs.terms import LimitName

from . import limits as rules
from . import processes, tree
from .allowance import Allowance
from .cgroups import Cgroup, Controller
from .exits import ProcessEnd, Watch, watch_child
from .killing import Kill
from .lingering import BUSY_PAUSE_S, PAUSE_S, Linger
from .looping import Loop, Timer
from .output import Output, piece_bytes
from .processes import Process
from .spawning import SpawnedProgram
from .stdin import Stdin
from .supervision import Ending, Supervision

CHUNK_BYTES = 64 * 1024
EXEC_KIB = 1024
"""The memory that a process may add between its report and the exec that makes it the program."""
IN_GROUP: tuple[LimitName, ...] = ("processes", "memory")
"""The limits for which a control group is killed at once. While hundreds of processes end, looking at the whole system
would take longer than their end."""
DRAIN_BYTES = 4 * 1024 * 1024
"""How much to read at once after the program's end: more than any pipe holds."""
WATCH_S = 0.1
"""The interval for checking the limits of a whole tree, where no control group does it."""
PACE_S = 0.1
"""The interval for reading from a program that writes faster than it may."""
AT_WORK = ("R", "D")
"""The states of a process that works or waits for a processor or a disk (proc_pid_stat(5))."""
COUNT_S = 0.02
"""The interval for checking whether a control group has reached a limit, or the system has more processes than
before."""


class Offload(Protocol):
    """Runs a function that takes some milliseconds, without blocking the loop."""

    def __call__(self, function: Callable[[], list[Process]], then: Callable[[list[Process]], object], /) -> object:
        """Run ``function`` somewhere, then ``then`` with its result on the loop."""


def at_once(function: Callable[[], list[Process]], then: Callable[[list[Process]], object], /) -> None:
    """An :class:`Offload` for a loop that has nothing else to do."""
    then(function())


class Running:
    """A program that was started.

    Parameters:
        loop: the event loop.
        process: the process and our ends of its pipes, which belong to this object from now on.
        supervision: how to look after it.
        outputs: standard output, and standard error where that is a stream of its own.
        on_end: called once, after the end of all outputs.
        offload: runs the functions that look at all processes of the system.
        cgroup: its own control group, if it has one.
        watch: reports its end; if ``None``, it is watched as a child of this process.
        reaper: the process that gets its orphans; 0 for this one.

    Attributes:
        ending: its end, if it has come.
        has_left_cgroup: whether its control group is still there, because other processes are in it.
    """

    def __init__(
        self,
        loop: Loop,
        process: SpawnedProgram,
        supervision: Supervision,
        outputs: Sequence[Output],
        on_end: Callable[[Ending], object],
        *,
        offload: Offload = at_once,
        cgroup: Cgroup | None = None,
        watch: Watch | None = None,
        reaper: int = 0,
    ) -> None:
        self.loop = loop
        self.pid = process.pid
        self.supervision = supervision
        self.ending: Ending | None = None
        self.has_left_cgroup = cgroup is not None
        self._root = tree.Root(
            process.pid,
            process.start,
            supervision.program_id,
            supervision.alone,
            "" if cgroup is None else cgroup.members_folder,
            reaper=reaper,
        )
        self._cgroup = cgroup
        self._allowance: Allowance | None = None
        self._process = process
        self._on_end = on_end
        self._offload = offload
        self._linger: Linger | None = None
        self._late: set[Output] = set()
        self._is_killed = False
        self._began = loop.time()
        self._started_at = time.monotonic()  # Not the loop's clock, which may stand still while a short program runs.
        self._outputs = tuple(outputs)
        self._limit: LimitName | None = None
        self._result = Ending()
        self._has_exited = False
        self._killing = 0
        self._peak = 0
        self._others = 0
        self._is_held = False
        self._has_overrun = False
        self._survivors: list[int] = []
        self._terminal = process.stdin is not None and process.stderr is None and os.isatty(process.stdin)
        self._reading: dict[int, Output] = {}
        self._paused_outputs: dict[int, Output] = {}
        self._rooms: dict[int, tuple[float, float]] = {}
        self.stdin = Stdin(loop, process.stdin, terminal=self._terminal, wrote=self._stir)
        self._timers: dict[str, Timer] = {}
        self._active = self._began
        self._most = max((piece_bytes(o.retain_bytes, hold=supervision.hold) for o in outputs), default=CHUNK_BYTES)
        self._chunk = min(CHUNK_BYTES, self._most)
        for descriptor, output in zip((process.stdout, process.stderr), outputs, strict=False):
            if descriptor is None:
                output.end()
                continue
            self._reading[descriptor] = output
            self._listen(descriptor)
        (watch or watch_child(loop, process.pid, process.pidfd))(self._on_exit)
        self._guard()

    def _stir(self) -> None:
        """Note that it is not idle."""
        self._active = self.loop.time()

    # --- reading ------------------------------------------------------------------------------------------------

    def _listen(self, descriptor: int) -> None:
        self.loop.add_reader(descriptor, lambda: self._read(descriptor))

    def _read(self, descriptor: int) -> bool:
        """Read once. Returns whether there may be more at once."""
        output = self._reading.get(descriptor)
        if output is None:
            return False
        size = self._chunk
        if self._holds:
            # Never more than may be kept back: what was sent and may be lost on the way needs the other half.
            size = min(size, max(output.retain_bytes // 2 - output.behind, 1))
        if self.supervision.limits.output_bytes_per_s is not None and self._is_paced:
            size = min(size, max(int(self._room(descriptor, self.supervision.limits.output_bytes_per_s)), 1))
        try:
            data = os.read(descriptor, size)
        except BlockingIOError:
            return False
        except OSError:  # EIO: the last program on the pseudo-terminal has ended.
            data = b""
        if not data:
            self._end_reading(descriptor)
            return False
        if len(data) == self._chunk:
            self._chunk = self._most
        self._stir()
        size = len(data)
        if self._linger is not None:
            self._linger.count_bytes(self.loop.time(), size)
            self._late.add(output)
        most = self.supervision.limits.output_bytes
        if most is not None and output.total_bytes + size > most:
            data = data[: most - output.total_bytes]
            output.drop(size - len(data))
            if not self._has_overrun and (self._linger is not None or not self._has_exited):
                self._has_overrun = True
                self.end(0, limit="output")
            self._has_overrun = True
        if data:
            output.write(data)
        if self._is_paced:
            self._check_pace(descriptor, output, size)
        if self._linger is not None and self._linger.is_over(self.loop.time()):
            self._cut_off()
            return False
        return True

    @property
    def _is_paced(self) -> bool:
        """Whether what is written may have to wait. What was written before its end does not, once that has come, and
        nothing does after the end of all."""
        return not self._has_exited or (self._linger is not None and not self._is_killed)

    @property
    def _holds(self) -> bool:
        """Whether the program waits for its reader now."""
        return self.supervision.hold and self._is_paced

    def _check_pace(self, descriptor: int, output: Output, size: int) -> None:
        """Pause the output of a program that writes more than its reader reads, or faster than it may."""
        limits = self.supervision.limits
        if self.supervision.hold and output.behind >= output.retain_bytes // 2:
            self._pause(descriptor, output)
        elif limits.output_bytes_per_s is not None:
            rate = limits.output_bytes_per_s
            room = self._room(descriptor, rate, size)
            if room < 1:
                self._pause(descriptor, output)
                delay_s = (max(1.0, rate * PACE_S) - room) / rate
                self._after(f"pace{descriptor}", delay_s, lambda: self._resume(descriptor))

    def _room(self, descriptor: int, rate: int, just_read: int = 0) -> float:
        """How many bytes of an output may be read now; never more than are allowed in a second.

        Parameters:
            descriptor: the descriptor of the output.
            rate: bytes per second.
            just_read: bytes that have just been read.
        """
        room, then = self._rooms.get(descriptor, (float(rate), self._began))
        now = self.loop.time()
        room = min(room + (now - then) * rate, float(rate)) - just_read
        self._rooms[descriptor] = (room, now)
        return room

    def _pause(self, descriptor: int, output: Output) -> None:
        self._paused_outputs[descriptor] = output
        self.loop.remove_reader(descriptor)
        self._count_waiting()

    def _resume(self, descriptor: int) -> None:
        if self._paused_outputs.pop(descriptor, None) is not None and descriptor in self._reading:
            self._listen(descriptor)
            self._count_waiting()

    def _count_waiting(self) -> None:
        if self._linger is not None:
            self._linger.makes_wait(self.loop.time(), waits=bool(self._paused_outputs))

    def acknowledge(self, name: str, offset: int) -> None:
        """Note that the controlling reader has read an output up to an offset."""
        for descriptor, output in self._reading.items():
            if output.name == name:
                output.read_offset = offset
                is_behind = self.supervision.hold and output.behind >= output.retain_bytes // 2
                if descriptor in self._paused_outputs and not is_behind and f"pace{descriptor}" not in self._timers:
                    self._resume(descriptor)
                return

    def _end_reading(self, descriptor: int) -> None:
        output = self._reading.pop(descriptor)
        if self._paused_outputs.pop(descriptor, None) is None:
            self.loop.remove_reader(descriptor)
        os.close(descriptor)
        output.end()
        self._check_end()

    # --- limits -------------------------------------------------------------------------------------------------

    def _after(self, name: str, delay_s: float, callback: Callable[[], object]) -> None:
        def fire() -> None:
            self._timers.pop(name, None)
            callback()

        self._cancel(name)
        self._timers[name] = self.loop.call_later(delay_s, fire)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _guard(self) -> None:
        supervision = self.supervision
        if supervision.timeout_s is not None:
            self._after("time", supervision.timeout_s, self._time_is_over)
        if supervision.idle_timeout_s is not None:
            self._after("idle", supervision.idle_timeout_s, self._check_idle)
        limits = supervision.limits
        bounds = frozenset[Controller]() if self._cgroup is None else self._cgroup.bounds
        grows = limits.processes is not None and "pids" not in bounds
        if grows or (limits.memory_bytes is not None and "memory" not in bounds):
            self._after("watch", WATCH_S, self._look)
        if self._cgroup is not None and limits.processes is not None and "pids" in bounds:
            self._allowance = Allowance(self._cgroup, limits.processes)
        if limits.processes is not None or "memory" in bounds:
            self._others = processes.total()
            self._after("count", COUNT_S, self._count)

    def _time_is_over(self) -> None:
        if self._has_exited:
            self._cut_off()
        else:
            self.end(self.supervision.grace_s, limit="time")

    def _check_idle(self) -> None:
        patience = self.supervision.idle_timeout_s
        assert patience is not None
        left_s = self._active + patience - self.loop.time()
        # A program that waits for its reader is not idle.
        if self._paused_outputs or left_s > 0:
            self._after("idle", max(left_s, patience / 4, 0.01), self._check_idle)
        else:
            self.end(self.supervision.grace_s, limit="idle")

    def _count(self) -> None:
        most = self.supervision.limits.processes
        limit = None if self._cgroup is None else self._cgroup.reached_limit(most)
        if limit is None and self._allowance is not None and self._allowance.look():
            limit = "processes"
        if self._cgroup is not None and limit is not None:
            self._cgroup.kill()
            self.end(0, limit=limit)
            return
        more = self._cgroup is None and most is not None and processes.total() > self._others + most
        if more and "watch" in self._timers:
            self._cancel("watch")
            self._hold()
            self._look()
        self._after("count", COUNT_S, self._count)

    def _hold(self) -> None:
        """Stop the program while we look at it: a fork bomb doubles before one look ends."""
        now = processes.read(self.pid)
        if now is not None and now.state not in processes.STOPPED:
            self._is_held = self.send_signal(signal.SIGSTOP)

    def _look(self) -> None:
        self._offload(lambda: tree.members(self._root), self._after_look)

    def _after_look(self, members: list[Process]) -> None:
        if self._has_exited or self._killing:
            return
        limits = self.supervision.limits
        footprint = tree.footprint(members)
        self._peak = max(self._peak, footprint.memory_bytes)
        self._others = processes.total() - footprint.processes
        if limits.processes is not None and footprint.processes > limits.processes:
            self._stop_growth(members)
            self.end(0, limit="processes")
        elif limits.memory_bytes is not None and footprint.memory_bytes > limits.memory_bytes:
            self.end(0, limit="memory")
        else:
            if self._is_held:
                self._is_held = False
                self.send_signal(signal.SIGCONT)
            self._after("watch", WATCH_S, self._look)

    def _stop_growth(self, members: list[Process]) -> None:
        """Stop a fork bomb before killing it: otherwise there are always processes that we have not seen."""
        if self._cgroup is None or not self._cgroup.kill():
            tree.send(members, signal.SIGSTOP)

    # --- its end ------------------------------------------------------------------------------------------------

    def send_signal(self, signum: int) -> bool:
        """Send a signal to its process group; ``False`` where it has ended."""
        if self._has_exited:
            return False
        # It was not collected, so no other process can have its id.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signum)
        return True

    def hang_up(self) -> None:
        """Do to the program what the loss of its terminal would do: no more input, and SIGHUP to its whole tree."""

        def signal_members(members: list[Process]) -> None:
            tree.send(members, signal.SIGHUP)
            tree.send(members, signal.SIGCONT)
            if not self._terminal:
                self.stdin.close()

        self._offload(lambda: tree.members(self._root), signal_members)

    def _on_exit(self, end: ProcessEnd) -> None:
        os.close(self._process.pidfd)
        self._has_exited = True
        self._root.end_ticks = processes.ticks()
        result = self._result
        result.duration_s = time.monotonic() - self._started_at
        result.user_s, result.system_s = end.user_s, end.system_s
        if end.max_rss_kib > self._process.own_maxrss + EXEC_KIB:
            result.max_rss_bytes = end.max_rss_kib * 1024
        code = None if end.status is None else os.waitstatus_to_exitcode(end.status)
        if end.status is None or code is None:
            result.lost = True
        elif code >= 0:
            result.code = code
        else:
            result.signal = -code
            result.core_dumped = os.WCOREDUMP(end.status)
        result.limit = self._limit or self._enforced_limit(result)
        for name in ("idle", "watch", "count"):
            self._cancel(name)
        self.stdin.shut()
        self._drain()

    def _enforced_limit(self, result: Ending) -> LimitName | None:
        """The limit for which the kernel has ended it, if any."""
        limits = self.supervision.limits
        limit = None if self._cgroup is None else self._cgroup.reached_limit(limits.processes)
        if self._cgroup is not None and limit is not None:
            self._cgroup.kill()  # The rest of the tree had part in it, so end that, too.
            return limit
        if result.signal is not None:
            limit_by_signal = rules.by_signal(result.signal, result.user_s + result.system_s, limits)
            if limit_by_signal is not None:
                return limit_by_signal
        has_failed = result.signal is not None or result.code != 0
        return "memory" if has_failed and rules.by_memory(max(result.max_rss_bytes or 0, self._peak), limits) else None

    def _drain(self) -> None:
        """Read at once what it has written before its end, however far behind a reader is."""
        for descriptor, output in list(self._reading.items()):
            self._go_on(descriptor, output)
            self._read_rest(descriptor)
        if self._reading:  # Another process holds the output open.
            self._linger = Linger(self.loop.time())
            self._after("drain", PAUSE_S, self._check_silence)
        self._check_end()

    def _go_on(self, descriptor: int, output: Output) -> None:
        """Keep all the rest: the program has ended and cannot wait, and its reader must lose nothing."""
        if self.supervision.hold:
            output.make_room(DRAIN_BYTES)
        self._resume(descriptor)

    def _read_rest(self, descriptor: int) -> None:
        budget = DRAIN_BYTES
        while budget > 0 and self._read(descriptor):
            budget -= self._chunk

    def _check_silence(self) -> None:
        """Check whether output still comes, although the program has ended."""
        linger = self._linger
        assert linger is not None
        now = self.loop.time()
        left_s = linger.pause_s - linger.silent_s(now)
        if linger.is_over(now) and not self._killing:
            self._cut_off()
        elif left_s > 0 or self._killing:  # Other processes of its tree may be about to write their last output.
            self._after("drain", max(left_s, PAUSE_S / 10), self._check_silence)
        elif linger.silent_s(now) < BUSY_PAUSE_S:
            self.look(self._check_silent)
        else:
            self._stop_reading()

    def _check_silent(self, members: list[Process]) -> None:
        """End reading if no output comes and all processes of the tree sleep."""
        if self._linger is None or self.ending is not None:
            return
        for descriptor in list(self._reading):  # Perhaps only this loop was late, so read once more.
            self._read_rest(descriptor)
        if not self._reading:
            return
        silent = self._linger.silent_s(self.loop.time()) >= self._linger.pause_s
        if not silent or any(process.state in AT_WORK for process in members):
            self._after("drain", PAUSE_S, self._check_silence)
        else:
            self._stop_reading()

    def _cut_off(self) -> None:
        """End the output, although more may still come."""
        for descriptor, output in self._reading.items():
            output.cut = output.retain_bytes > 0 and (output in self._late or descriptor in self._paused_outputs)
        self._stop_reading()

    def _stop_reading(self) -> None:
        for descriptor in list(self._reading):
            self._result.pipes_still_held = True
            self._end_reading(descriptor)
        self._check_end()

    def _check_end(self) -> None:
        if not self._has_exited or self._reading or self._killing or self.ending is not None:
            return
        for name in list(self._timers):
            self._cancel(name)
        self._result.output_cut = any(output.cut for output in self._outputs)
        self._result.survivors = self._survivors
        if self._has_overrun and self._result.limit is None:
            self._result.limit = "output"  # It ended by itself before we could end it.
        self.ending = self._result
        if self._cgroup is not None:
            self.has_left_cgroup = not self._cgroup.remove()
        self._on_end(self._result)

    def end(
        self, grace_s: float, *, limit: LimitName | None = None, done: Callable[[list[int]], object] | None = None
    ) -> None:
        """End it and all that it has started: TERM, a pause, KILL.

        Parameters:
            grace_s: the time between the two, in seconds; 0 to kill at once.
            limit: the limit that is the reason, if any.
            done: called with the ids of processes that could not be ended.
        """
        if self._limit is None and not self._has_exited:
            self._limit = limit
        self._killing += 1
        self._is_killed = True
        for descriptor, output in tuple(self._paused_outputs.items()) if self._has_exited else ():
            self._go_on(descriptor, output)  # The processes that it has left no longer wait for the reader.

        def on_finish(survivors: list[int]) -> None:
            self._killing -= 1
            self._survivors = survivors
            self._check_end()
            if done is not None:
                done(survivors)

        Kill(self, grace_s, on_finish).begin()

    # The methods of :class:`.killing.Mortal`.

    @property
    def has_exited(self) -> bool:
        """Whether the program itself has ended; others of its tree may live."""
        return self._has_exited

    def look(self, then: Callable[[list[Process]], object]) -> None:
        """Find everything of its tree."""
        if self._cgroup is not None and (self._limit in IN_GROUP or (self._has_exited and self.group_is_empty)):
            then(tree.read_group(self._root))
        else:
            self._offload(lambda: tree.members(self._root), then)

    def kill_cgroup(self) -> bool:
        """Kill everything at once, if there is a control group."""
        return self._cgroup is not None and self._cgroup.kill()

    @property
    def group_is_empty(self) -> bool:
        """Whether its control group is empty."""
        return self._cgroup is None or not self._cgroup.population()
