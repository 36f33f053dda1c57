"""Several programs at once, by their labels, ids or owner: signalled, ended and forgotten. Group calls use them, since
the programs of each node have other ids."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from rpcserver import Context, InvalidParams, Principal, method
from rpcservices.programs.permission.policy import CONTROL
from rpcservices.programs.running.program import Program
from rpcservices.signals import signal_number

from .control import Controlling
from .errors import ProgramRefused
from .models import Exit, Seconds
from .run_methods import DAY_S


class MatchingMethods(Controlling):
    """Several programs at once, by their labels, ids or owner."""

    @method(permission=CONTROL)
    async def signal_matching(
        self,
        signal: str,
        *,
        labels: dict[str, str] | None = None,
        ids: list[str] | None = None,
        owner: str | None = None,
        ctx: Context,
    ) -> list[str]:
        """Send a signal to the process groups of all programs that match and still run, of those that you may control.

        Parameters:
            signal: its name, such as ``INT`` or ``SIGHUP``, in any case.
            labels: only those that have all of these labels.
            ids: only these.
            owner: only those of this owner.

        Returns:
            The ids of the programs that were still there, in the order of their starts.

        Raises:
            InvalidParams: there is no such signal, or nothing says which programs.
        """
        number = signal_number(signal)
        programs = self._choose(ctx.principal, labels, ids, owner)
        return [program.id for program in programs if program.exit is None and program.send_signal(number)]

    @method(permission=CONTROL, kind="idempotent", deadline_s=DAY_S)
    async def kill_matching(
        self,
        *,
        labels: dict[str, str] | None = None,
        ids: list[str] | None = None,
        owner: str | None = None,
        grace_s: Seconds = 0.0,
        ctx: Context,
    ) -> list[Exit]:
        """End all programs that match and still run, of those that you may control, all at the same time, with
        everything that they have started.

        Parameters:
            labels: only those that have all of these labels.
            ids: only these.
            owner: only those of this owner.
            grace_s: time to end by themselves after TERM, in seconds; 0 to kill at once.

        Returns:
            How each ended, in the order of their starts; ``survivors`` names what could not be ended.

        Raises:
            InvalidParams: nothing says which programs.
        """
        programs = self._choose(ctx.principal, labels, ids, owner)
        return await asyncio.gather(*(program.end(grace_s) for program in programs if program.exit is None))

    @method(permission=CONTROL, kind="idempotent")
    async def forget_matching(
        self,
        *,
        labels: dict[str, str] | None = None,
        ids: list[str] | None = None,
        owner: str | None = None,
        force: bool = False,
        ctx: Context,
    ) -> list[str]:
        """Free what is kept of all programs that match and have ended, of those that you may control.

        Parameters:
            labels: only those that have all of these labels.
            ids: only these.
            owner: only those of this owner.
            force: also those that still run: they are ended first.

        Returns:
            The ids of the programs that are forgotten, in the order of their starts.

        Raises:
            InvalidParams: nothing says which programs.
        """
        programs = [each for each in self._choose(ctx.principal, labels, ids, owner) if force or each.exit is not None]
        await asyncio.gather(*(program.end(0) for program in programs if program.exit is None))
        for program in programs:
            self.drop(program)
        return [program.id for program in programs]

    def _choose(
        self, principal: Principal, labels: Mapping[str, str] | None, ids: Collection[str] | None, owner: str | None
    ) -> list[Program]:
        if not labels and ids is None and owner is None:
            problem = "say which programs: by labels, ids or owner"
            errors = [{"loc": ["labels"], "msg": problem, "type": "value_error"}]
            raise InvalidParams(f"invalid parameters: labels: {problem}", errors=errors)
        matches = self.matcher(principal, labels, owner)
        return [
            program
            for program in self.programs.values()
            if matches(program) and (ids is None or program.id in ids) and self._may_control(principal, program)
        ]

    def _may_control(self, principal: Principal, program: Program) -> bool:
        try:
            self.policy.check_control(principal, program.about.owner)
        except ProgramRefused:
            return False
        return True
