"""Keeps the sessions of a running server in their file, and tells when one has expired."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from .session_file import SessionFile
from .sessions import Sessions

logger = logging.getLogger("rpcserver.security")

_LONGEST_TIMER_S = 3600.0
"""A timer runs on another clock than the one that tells the time of day, so that a long one must be set anew."""


class SessionKeeper:
    """Reads the file at the start, and writes it after each change. It belongs to the thread of the event loop.

    Parameters:
        file: the file.
        sessions: the sessions of the server.
        on_expiry: called when a session has expired.
    """

    def __init__(self, file: SessionFile, sessions: Sessions, on_expiry: Callable[[], None]) -> None:
        self._file = file
        self._sessions = sessions
        self._on_expiry = on_expiry
        self._timer: asyncio.TimerHandle | None = None
        self._lock = asyncio.Lock()
        self._change_count = self._saved_count = 0
        self._task: asyncio.Task[None] | None = None
        self._has_started = False

    def start(self) -> None:
        """Read the file, and keep it from now on."""
        self._sessions.replace(self._file.read().sessions)
        self._sessions.on_change = self._note_change
        self._has_started = True
        self._sessions.sweep()
        self._await_expiry()

    def _note_change(self) -> None:
        self._change_count += 1
        self._await_expiry()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._save_quietly())

    async def save(self) -> None:
        """Write the sessions down as they are now, if they are not.

        Raises:
            OSError: that is not possible.
        """
        wanted_count = self._change_count
        async with self._lock:
            if self._saved_count < wanted_count:
                count, sessions = self._change_count, self._sessions.snapshot()
                await asyncio.to_thread(self._file.write, sessions)
                self._saved_count = count

    async def _save_quietly(self) -> None:
        while self._saved_count < self._change_count:
            try:
                await self.save()
            except OSError as exc:
                logger.error("the sessions cannot be written: %s: those that were revoked come back at a restart", exc)  # noqa: TRY400
                return

    def _await_expiry(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._sessions.next_expiry()
        if at is not None:
            # A little later: a timer may run early by the resolution of its clock.
            wait_s = min(at - time.time() + 0.002, _LONGEST_TIMER_S)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer, at)

    def _on_timer(self, at: float) -> None:
        self._timer = None
        self._await_expiry()
        if time.time() >= at:
            self._on_expiry()

    async def stop(self) -> None:
        """Write the sessions down, with when they were last used, and keep them no more."""
        if not self._has_started:
            return
        self._sessions.on_change = lambda: None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sessions.list_live():
            self._change_count += 1  # Of uses.
        await self._save_quietly()
        if self._task is not None:
            await asyncio.wait([self._task])
