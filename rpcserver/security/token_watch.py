"""Keeps the named tokens of a running server as they are in their file, and writes down when they were used."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from rpcserver.config import ConfigError

from .named_tokens import NamedTokens
from .token_file import Stamp, TokenFile

logger = logging.getLogger("rpcserver.security")

LOOK_EVERY_S = 0.25
"""How often the server looks whether the file has changed, in seconds. That is one call of stat(2)."""

TRY_AGAIN_S = 2.0
"""How often the server tries to read a file that it could not use, in seconds: the fault may be in a folder above."""

WRITE_EVERY_S = 60.0
"""How often the server writes down when tokens were used, in seconds."""

_LONGEST_TIMER_S = 3600.0
"""A timer runs on another clock than the one that tells the time of day, so that a long one must be set anew."""


class TokenWatch:
    """Reads the file whenever it changes, and tells when a token has expired. It belongs to the thread of the event
    loop.

    Parameters:
        file: the file.
        tokens: the tokens of the server.
        on_change: called after the tokens have changed, or one has expired.
    """

    def __init__(self, file: TokenFile, tokens: NamedTokens, on_change: Callable[[], None]) -> None:
        self._file = file
        self._tokens = tokens
        self._on_change = on_change
        self._stamp: Stamp | None = None
        self._last_look: Stamp | None = None
        self._fault = ""
        self._next_try_s = 0.0
        self._look_timer: asyncio.TimerHandle | None = None
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._next_write_s = 0.0
        self._writing: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Read the file, and look from now on whether it changes.

        Raises:
            ConfigError: the file cannot be read, others may read or change it, or it is malformed.
        """
        self._stamp = self._last_look = self._file.stamp()
        self._tokens.replace(self._file.read())
        loop = asyncio.get_running_loop()
        self._next_write_s = loop.time() + WRITE_EVERY_S
        self._look_timer = loop.call_later(LOOK_EVERY_S, self._look)
        self._await_expiry()

    def prepare_reload(self) -> Callable[[], None]:
        """Read the file now. It may be called in another thread.

        Returns:
            What uses the tokens from now on, without a call of ``on_change``.

        Raises:
            ConfigError: as of :meth:`start`.
        """
        stamp = self._file.stamp()
        tokens = self._file.read()

        def commit() -> None:
            self._stamp = stamp
            if tokens != self._tokens.known:
                self._tokens.replace(tokens)
                self._await_expiry()

        return commit

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._look_timer = loop.call_later(LOOK_EVERY_S, self._look)
        before, stamp = self._last_look, self._file.stamp()
        self._last_look = stamp
        # Some tools remove a file before they write it anew. That is no end of all tokens.
        is_steady = stamp is not None or before is None
        if is_steady and (stamp != self._stamp or (self._fault and loop.time() >= self._next_try_s)):
            self._stamp = stamp
            self._next_try_s = loop.time() + TRY_AGAIN_S
            self._read()
        if self._tokens.uses and loop.time() >= self._next_write_s and self._writing is None:
            self._next_write_s = loop.time() + WRITE_EVERY_S
            uses = self._tokens.uses.copy()
            self._writing = loop.run_in_executor(None, self._write, uses)
            self._writing.add_done_callback(partial(self._on_written, uses))

    def _read(self) -> None:
        try:
            self._file.check_folder()
            tokens = self._file.read()
        except ConfigError as exc:
            # Whoever could spoil the file must not be able to lock everybody out, or to let anybody in.
            fault, self._fault = self._fault, str(exc)
            if fault != self._fault:
                logger.error("%s; the server goes on with the named tokens that it knows", exc)  # noqa: TRY400 - it says all
            return
        if self._fault:
            self._fault = ""
            logger.info("the named tokens can be read again")
        known = self._tokens.known
        if tokens == known:
            return
        self._tokens.replace(tokens)
        if tokens.without_uses() != known.without_uses():  # Otherwise this server itself has written down uses.
            logger.info("the named tokens have changed")
            self._await_expiry()
            self._on_change()

    def _await_expiry(self) -> None:
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
            self._expiry_timer = None
        now = time.time()
        at = self._tokens.known.next_expiry(now)
        if at is not None:
            # A little later: a timer may run early by the resolution of its clock.
            wait_s = min(at - now + 0.002, _LONGEST_TIMER_S)
            self._expiry_timer = asyncio.get_running_loop().call_later(wait_s, self._on_expiry, at)

    def _on_expiry(self, at: float) -> None:
        self._expiry_timer = None
        self._await_expiry()
        if time.time() >= at:
            self._on_change()

    def _write(self, uses: Mapping[str, float]) -> None:
        """Write down when tokens were used, in another thread. Whatever somebody has changed meanwhile stays so."""
        self._file.update(lambda tokens: tokens.with_uses(uses))

    def _on_written(self, uses: Mapping[str, float], writing: asyncio.Future[None]) -> None:
        self._writing = None
        if writing.cancelled():
            return
        if (exc := writing.exception()) is not None:
            logger.warning("when tokens were used cannot be written down: %s", exc)
        else:
            self._tokens.forget_uses(uses)

    async def stop(self) -> None:
        """Look no more, and write down when tokens were used."""
        for timer in (self._look_timer, self._expiry_timer):
            if timer is not None:
                timer.cancel()
        self._look_timer = self._expiry_timer = None
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self._tokens.uses:
            uses = self._tokens.uses.copy()
            writing = asyncio.get_running_loop().run_in_executor(None, self._write, uses)
            await asyncio.wait([writing])
            self._on_written(uses, writing)
