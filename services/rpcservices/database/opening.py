"""Opens the databases that the service needs at its start, each for itself: one that cannot be opened takes no other
with it. Its calls answer ``Unavailable``, and it is tried again after a pause, and again, until it is open."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import Callable

from rpcserver import Unavailable
from rpcserver.plugins.pauses import pause_s

from .backends.base import log
from .pool import NoFile, Target

FIRST_PAUSE_S = 1.0
"""The pause before a database is tried again, in seconds; each further one is twice as long."""

MOST_PAUSE_S = 60.0
"""The longest pause between two tries, in seconds. A try costs hardly anything."""

_REMEDIES = {
    "SQLITE_NOTADB": "put its file back from a backup, or move it away",
    "SQLITE_CORRUPT": "put its file back from a backup, or move it away",
    "SQLITE_CANTOPEN": "make its folder, and let the server's user write there",
    "SQLITE_PERM": "let the server's user write its file and its folder",
    "SQLITE_READONLY": "let the server's user write its file and its folder, or set readonly = true",
    "SQLITE_BUSY": "end the program that has locked its file",
    "SQLITE_FULL": "make room on its disk",
    "SQLITE_IOERR": "look after its disk",
}
"""What to do, by the beginning of SQLite's name for the fault (https://www.sqlite.org/rescode.html)."""


def explain_failure(exc: BaseException) -> str:
    """Say why a database cannot be opened, and what to do. Callers read it: it has no path and no secret.

    Parameters:
        exc: what the driver or the system has raised.
    """
    if isinstance(exc, sqlite3.Error):
        name = getattr(exc, "sqlite_errorname", None) or ""
        remedy = next((text for start, text in _REMEDIES.items() if name.startswith(start)), None)
        return f"{exc}: {remedy}" if remedy else f"{exc}"
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.strerror}: let the server's user write its file and its folder"
    return type(exc).__name__


class Opening:
    """One database, from the first try to open it until it is open. Its methods belong to the event loop's thread.

    Parameters:
        target: the database.

    Attributes:
        target: the database.
        reason: why it is not open, and what to do; empty if it is.
        failures: how often opening it has failed.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.reason = ""
        self.failures = 0
        self._next_try = 0.0
        self._work: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_asked = asyncio.Event()

    async def try_once(self) -> bool:
        """Try to open the database, and return whether it is open.

        A try that does not end in time, for instance because a disk does not answer, goes on, and the next one waits
        for it: else each would keep a thread.
        """
        if self._work is None:
            self._work = asyncio.ensure_future(asyncio.to_thread(self.target.make_files))
        limit_s = self.target.config.connect_timeout_s
        await asyncio.wait({self._work}, timeout=limit_s)
        if not self._work.done():
            self._note(f"it was not open within {limit_s:g} s: look whether its disk answers", "")
            return False
        work, self._work = self._work, None
        try:
            work.result()
        except NoFile as exc:
            self._note(explain_failure(exc.cause), f": {exc.file}")
            return False
        self.reason = ""
        return True

    def _note(self, reason: str, place: str) -> None:
        self.failures += 1
        if reason != self.reason:  # Else the log has it.
            log.error("databases.%s: the database cannot be opened: %s%s", self.target.name, reason, place)
        self.reason = reason

    def go_on(self, on_open: Callable[[], None]) -> None:
        """Try again in the background until the database is open.

        Parameters:
            on_open: called once, when it is open.
        """
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._persist(on_open))

    async def _persist(self, on_open: Callable[[], None]) -> None:
        while True:
            wait_s = pause_s(self.failures, FIRST_PAUSE_S, MOST_PAUSE_S, random.random())  # noqa: S311 - it only spreads
            self._next_try = time.monotonic() + wait_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._is_asked.wait()
            self._is_asked.clear()
            if await self.try_once():
                log.info("databases.%s: the database is open", self.target.name)
                on_open()
                return

    def hasten(self) -> None:
        """Try again at once."""
        self._is_asked.set()

    @property
    def wait_s(self) -> float:
        """The time until the next try, in seconds."""
        return max(self._next_try - time.monotonic(), 0.0)

    def error(self) -> Unavailable:
        """Make the answer to a call while the database is not open."""
        return Unavailable(
            f"databases.{self.target.name} cannot be opened: {self.reason}. The server tries it again by itself",
            executed="no",
            retry_after_ms=round(self.wait_s * 1000) + 1,
        )

    async def close(self) -> None:
        """Try no more."""
        for each in (self._task, self._work):
            if each is not None:
                each.cancel()
                await asyncio.wait({each})
