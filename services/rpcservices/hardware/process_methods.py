"""The methods about processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from pydantic import Field

from rpcserver import SlowPolicy, method

from .core import HardwareCore
from .models import ProcessAttribute, ProcessList, ProcessSort
from .readers.processes import DEFAULT
from .sampling.processes import Query


class ProcessMethods(HardwareCore):
    """Processes: see them."""

    @method(permission="hardware.processes", kind="read")
    async def processes(
        self,
        attributes: list[ProcessAttribute] | None = None,
        *,
        sort: ProcessSort = "cpu_percent",
        limit: Annotated[int, Field(ge=1)] = 100,
    ) -> ProcessList:
        """The processes of the machine.

        Parameters:
            attributes: what to read of each; what costs little where not given. In command lines, what looks like a
                secret is replaced by ``***``.
            sort: in which order.
            limit: the most to list.
        """
        return await self._processes.list(self._query(attributes, sort, limit))

    @method(permission="hardware.processes", kind="read", slow_policy=SlowPolicy.LATEST)
    async def watch_processes(
        self,
        attributes: list[ProcessAttribute] | None = None,
        *,
        sort: ProcessSort = "cpu_percent",
        limit: Annotated[int, Field(ge=1)] = 100,
        interval_s: float = 1.0,
    ) -> AsyncIterator[ProcessList]:
        """Follow the processes of the machine. A reader that is too slow gets the latest list.

        Parameters:
            attributes, sort, limit: as of :meth:`processes`.
            interval_s: time between two readings, in seconds.

        Raises:
            InvalidParams: the interval is shorter than the server allows.
        """
        return self._processes.follow(self._query(attributes, sort, limit), self._interval(interval_s))

    def _query(self, attributes: list[ProcessAttribute] | None, sort: ProcessSort, limit: int) -> Query:
        wanted = DEFAULT if attributes is None else frozenset(attributes)
        return Query(wanted, sort, min(limit, self.config.most_processes), self.config.reveal_command_lines)
