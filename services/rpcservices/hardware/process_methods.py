"""The methods about processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from pydantic import Field

from rpcserver import Context, SlowPolicy, method

from .control import send_signal, set_affinity, set_priority
from .core import HardwareCore
from .errors import ProcessDenied, ProcessGone
from .models import ProcessAttribute, ProcessDetails, ProcessList, ProcessSort
from .readers.processes import DEFAULT
from .sampling.processes import Query

CONTROL_ERRORS = (ProcessGone, ProcessDenied)

Pid = Annotated[int, Field(ge=1, le=2**31 - 1)]
Processor = Annotated[int, Field(ge=0, le=2**31 - 1)]
StartTime = Annotated[float, Field(allow_inf_nan=False)]


class ProcessMethods(HardwareCore):
    """Processes: see them, and act on them."""

    @method(permission="hardware.processes", kind="read")
    async def processes(
        self,
        attributes: list[ProcessAttribute] | None = None,
        *,
        sort: ProcessSort = "cpu_percent",
        limit: Annotated[int, Field(ge=1)] = 100,
        ctx: Context,
    ) -> ProcessList:
        """The processes of the machine that the caller may see.

        Parameters:
            attributes: what to read of each; what costs little where not given. In command lines, what looks like a
                secret is replaced by ``***``.
            sort: in which order.
            limit: the most to list.
        """
        return await self._processes.list(self._query(ctx, attributes, sort, limit))

    @method(permission="hardware.processes", kind="read", slow_policy=SlowPolicy.LATEST)
    async def watch_processes(
        self,
        attributes: list[ProcessAttribute] | None = None,
        *,
        sort: ProcessSort = "cpu_percent",
        limit: Annotated[int, Field(ge=1)] = 100,
        interval_s: float = 1.0,
        ctx: Context,
    ) -> AsyncIterator[ProcessList]:
        """Follow the processes of the machine. A reader that is too slow gets the latest list.

        Parameters:
            attributes, sort, limit: as of :meth:`processes`.
            interval_s: time between two readings, in seconds. Two digits of it count, so that readers share them.

        Raises:
            InvalidParams: the interval is shorter than the server allows.
        """
        return self._processes.follow(self._query(ctx, attributes, sort, limit), self._interval(interval_s))

    @method(permission="hardware.processes", kind="read", errors=(ProcessGone, ProcessDenied))
    async def process(self, pid: Pid, create_time: StartTime | None = None, *, ctx: Context) -> ProcessDetails:
        """Everything about one process.

        Parameters:
            pid: its number.
            create_time: when it started, as :meth:`processes` lists it; whichever has the number where not given.

        Raises:
            ProcessGone: it has ended.
            ProcessDenied: the system hides it from the server's user, or the caller's role does.
        """
        reveal = self.config.reveal_command_lines
        return await self._processes.details(pid, create_time, reveal=reveal, only_uid=self._only_uid(ctx))

    @method(permission="hardware.control", kind="once", errors=CONTROL_ERRORS)
    async def signal_process(self, pid: Pid, create_time: StartTime, signal: str = "TERM", *, ctx: Context) -> None:
        """Send a signal to a process, which must be the one that is meant: a number that is another's by now is left
        alone.

        Parameters:
            pid, create_time: the process, as :meth:`processes` lists it.
            signal: its name, such as ``TERM`` or ``SIGHUP``.

        Raises:
            InvalidParams: there is no such signal.
            ProcessGone: it has ended.
            ProcessDenied: the server's user may not, or the caller's role allows only the caller's own.
        """
        only_uid = self._only_uid(ctx)
        await self._worker.run(lambda: send_signal(pid, create_time, signal, only_uid=only_uid))

    @method(permission="hardware.control", kind="idempotent", errors=CONTROL_ERRORS)
    async def set_priority(
        self, pid: Pid, create_time: StartTime, nice: Annotated[int, Field(ge=-20, le=19)], *, ctx: Context
    ) -> int:
        """Set the priority of a process.

        Parameters:
            pid, create_time: the process, as :meth:`processes` lists it.
            nice: from -20 (first) to 19 (last).

        Returns:
            The priority that it has then.

        Raises:
            ProcessGone: it has ended.
            ProcessDenied: the server's user may not, or the caller's role allows only the caller's own.
        """
        only_uid = self._only_uid(ctx)
        return await self._worker.run(lambda: set_priority(pid, create_time, nice, only_uid=only_uid))

    @method(permission="hardware.control", kind="idempotent", errors=CONTROL_ERRORS)
    async def set_affinity(
        self, pid: Pid, create_time: StartTime, cpus: Annotated[list[Processor], Field(min_length=1)], *, ctx: Context
    ) -> list[int]:
        """Set the processors that a process may run on.

        Parameters:
            pid, create_time: the process, as :meth:`processes` lists it.
            cpus: the numbers of the processors.

        Returns:
            Those that it may run on then.

        Raises:
            InvalidParams: none of them can be used.
            ProcessGone: it has ended.
            ProcessDenied: the server's user may not, or the caller's role allows only the caller's own.
        """
        only_uid = self._only_uid(ctx)
        return await self._worker.run(lambda: set_affinity(pid, create_time, cpus, only_uid=only_uid))

    def _query(self, ctx: Context, attributes: list[ProcessAttribute] | None, sort: ProcessSort, limit: int) -> Query:
        choice = DEFAULT if attributes is None else frozenset(attributes)
        most = min(limit, self.config.max_processes)
        return Query(choice, sort, most, self.config.reveal_command_lines, self._only_uid(ctx))
