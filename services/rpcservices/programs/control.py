"""Decides who may see and control a program, and what happens to it when its controller leaves."""

from __future__ import annotations

import asyncio

from rpcserver import Connection, Context
from rpcservices.programs.running.program import Program

from .core import ProgramsCore
from .errors import NotController, ProgramNotFound


class Controlling(ProgramsCore):
    """Finds programs for callers who may use them, and knows the controller of each."""

    def find(self, ctx: Context, program_id: str, *, control: bool = False) -> Program:
        """Find a program that the caller may see, or control.

        Raises:
            ProgramNotFound: there is none that they may see.
            ProgramRefused: they may see it, but not control it.
        """
        program = self.programs.get(program_id)
        if program is None or not self.policy.may_view(ctx.principal, program.about.owner):
            raise ProgramNotFound(
                f"id: you have no program {program_id[:40]!r}; list() shows yours", id=program_id[:40]
            )
        if control:
            self.policy.check_control(ctx.principal, program.about.owner)
        return program

    def take_control(self, ctx: Context, program_id: str, *, take: bool = False) -> Program:
        """Find a program, and let the caller's connection control it from now on.

        Parameters:
            ctx: the call.
            program_id: the program's id.
            take: whether to take control even if another connection has it.

        Raises:
            ProgramNotFound: there is none that the caller may see.
            ProgramRefused: the caller may see it, but not control it.
            NotController: another connection controls it.
        """
        program = self.find(ctx, program_id, control=True)
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
            self.closing[program.id] = connection.on_close(lambda: self._disconnected(program, connection))

    def _disconnected(self, program: Program, connection: Connection) -> None:
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
