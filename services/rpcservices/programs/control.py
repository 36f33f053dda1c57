"""Decides who may see and control a program, and what happens to it when its controller leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from rpcserver import Connection, Context, Guard, MethodSpec, Principal
from rpcservices.programs.permission.policy import CONTROL
from rpcservices.programs.running.program import Program

from .core import ProgramsCore
from .errors import NotController, ProgramNotFound


class Controlling(ProgramsCore):
    """Finds programs for callers who may use them, and knows the controller of each."""

    def guard(self, method: MethodSpec) -> Guard | None:
        """Check, before a method about one program runs, that the caller may see that program, or control it."""
        if all(parameter.name != "id" for parameter in method.contract.parameters):
            return None
        return self._check_control if method.permission == CONTROL else self._check_view

    def _check_view(self, principal: Principal, params: Mapping[str, Any]) -> None:
        """Make sure that a caller may see a program.

        Raises:
            ProgramNotFound: there is none that they may see.
        """
        program = self.find(params["id"])
        if not self.policy.may_view(principal, program.about.owner):
            raise _not_found(program.id)

    def _check_control(self, principal: Principal, params: Mapping[str, Any]) -> None:
        """Make sure that a caller may control a program.

        Raises:
            ProgramNotFound: there is none that they may see.
            ProgramRefused: they may see it, but not control it.
        """
        self._check_view(principal, params)
        self.policy.check_control(principal, self.find(params["id"]).about.owner)

    def find(self, program_id: str) -> Program:
        """Find a program.

        Raises:
            ProgramNotFound: there is none.
        """
        program = self.programs.get(program_id)
        if program is None:
            raise _not_found(program_id)
        return program

    def matcher(
        self, principal: Principal, labels: Mapping[str, str] | None, owner: str | None
    ) -> Callable[[Program], bool]:
        """Return a function that says of a program whether a caller may see it, and it is one of those that are meant.

        Parameters:
            principal: the caller.
            labels: only those that have all of these labels.
            owner: only those of this owner.
        """
        asked_labels = (labels or {}).items()

        def matches(program: Program) -> bool:
            about = program.about
            return (
                owner in (None, about.owner)
                and all(about.labels.get(name) == value for name, value in asked_labels)
                and self.policy.may_view(principal, about.owner)
            )

        return matches

    def take_control(self, ctx: Context, program_id: str, *, take: bool = False) -> Program:
        """Find a program, and let the caller's connection control it from now on.

        Parameters:
            ctx: the call.
            program_id: the program's id.
            take: whether to take control even if another connection has it.

        Raises:
            ProgramNotFound: there is none.
            NotController: another connection controls it.
        """
        program = self.find(program_id)
        connection = ctx.connection
        if program.controller is connection:
            return program
        if program.controller is not None and not take:
            raise NotController(
                f"another connection controls {program.id}: take over with control(id, take=True)", id=program.id
            )
        self.give_control(program, connection)
        return program

    def give_control(self, program: Program, connection: Connection) -> None:
        """Let a connection control a program, until either ends."""
        self.release(program)
        if program.exit is None:
            program.controller = connection
            self.closing[program.id] = connection.on_close(lambda: self._on_disconnect(program, connection))

    def _on_disconnect(self, program: Program, connection: Connection) -> None:
        if program.controller is not connection:
            return
        self.release(program)
        if program.exit is None and program.about.on_disconnect != "keep":
            loop = asyncio.get_running_loop()
            loop.call_later(program.about.reattach_s, self._on_controller_gone, program)

    def _on_controller_gone(self, program: Program) -> None:
        if program.exit is not None or program.controller is not None:
            return
        if program.about.on_disconnect == "hangup":
            program.hang_up()
        else:
            self.background(asyncio.ensure_future(program.end(self.config.grace_s)))


def _not_found(program_id: str) -> ProgramNotFound:
    """The same error for a program that is not there and for one that the caller may not see."""
    return ProgramNotFound(f"id: you have no program {program_id[:40]!r}; list() shows yours", id=program_id[:40])
