# Generated from rpcclient/aio/lease.py by `make stubs`. Do not edit: change that, and generate anew.

"""Leases of the group: locks with a number that grows, and with an end that a frozen holder cannot outlive."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import NoReturn, Self

from rpcclient.leases import (
    ACQUIRE,
    GRACE_S,
    RELEASE,
    RELEASE_S,
    RENEW,
    RENEWALS,
    RETRY_S,
    LeaseGrant,
    check_lease,
    lost_error,
    read_clock,
)
from rpcwire.elsewhere import raise_unpicklable
from rpcwire.errors import ConnectionLost, LocalProtocolError, RpcError
from rpcwire.group.leases import MOST_WAIT_S, LeaseHeld, LeaseLost

from .calling import Calls
from .waits import Bell, begin

logger = logging.getLogger("rpcclient")


class Lease:
    """A lease of the group: at most one holds it at a time. It is held within a ``with`` block, and renewed in the
    background::

        with client.lease("nightly", ttl_s=30) as lease:
            storage.write(data, fencing_token=lease.fencing_token)
            lease.check()

    It ends :attr:`remaining_s` after the last renewal, by a clock that does not stop while the machine sleeps: before
    anybody else can have it. A program that was frozen longer than that finds it lost at its next :meth:`check`.
    Between that check and what it does then, it may be frozen again: so show :attr:`fencing_token` to whatever the
    lease protects, which refuses numbers lower than the highest it has seen (``rpcserver.Fence``).

    :meth:`Client.lease` makes it.

    Parameters:
        calls: makes the calls.
        name: its name.
        scope: what it is for: in each scope a name is another lease.
        ttl_s: how long it lasts without being renewed, in seconds.
        wait_s: how long to wait for it, in seconds; ``None`` for ever.
        on_lost: called once, in the background, when it is lost.

    Raises:
        ValueError: a parameter cannot be used.

    Attributes:
        name: its name.
        scope: what it is for.
        ttl_s: how long it lasts without being renewed, in seconds.
    """

    def __init__(
        self,
        calls: Calls,
        name: str,
        scope: str,
        ttl_s: float,
        wait_s: float | None,
        on_lost: Callable[[], object] | None,
    ) -> None:
        check_lease(name, scope, ttl_s, wait_s)
        self.name = name
        self.scope = scope
        self.ttl_s = ttl_s
        self._calls = calls
        self._wait_s = wait_s
        self._on_lost = on_lost
        self._id = ""
        self._token = 0
        self._deadline = 0.0
        self._reason = ""
        self._process = 0
        self._bell = Bell()
        self._work: object = None

    def __reduce__(self) -> NoReturn:
        raise_unpicklable(type(self).__name__)

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        was_held = self.is_held
        self.release()
        if not was_held and exc is None:
            raise lost_error(self.name, self._reason)

    def __repr__(self) -> str:
        scope = f" for {self.scope}" if self.scope else ""
        state = f"held, number {self._token}" if self.remaining_s > 0 else "not held"
        return f"<{type(self).__name__} {self.name!r}{scope}: {state}>"

    # --- what its holder asks -----------------------------------------------------------------------------------

    @property
    def fencing_token(self) -> int:
        """Its number: higher than that of each earlier holder. It stays when the lease is lost.

        Raises:
            LeaseLost: it was never acquired.
        """
        if not self._token:
            raise lost_error(self.name, "it was not acquired")
        return self._token

    @property
    def remaining_s(self) -> float:
        """How long it is held for certain from now on, in seconds; 0 if it is not."""
        if not self._id or self._reason or self._process != os.getpid():
            return 0.0
        return max(self._deadline - read_clock(), 0.0)

    @property
    def is_held(self) -> bool:
        """Whether it is held at this moment."""
        if self.remaining_s > 0:
            return True
        if not self._reason:
            self._reason = self._why_lost()
            self._bell.ring()
        return False

    def check(self, needs_s: float = 0.0) -> None:
        """Make sure that it is held.

        Parameters:
            needs_s: for how long from now on, in seconds.

        Raises:
            LeaseLost: it is not held any more, or not for so long.
        """
        if not self.is_held:
            raise lost_error(self.name, self._reason)
        if self.remaining_s < needs_s:
            raise lost_error(self.name, f"it could not be renewed lately, and is held for less than {needs_s:g} s")

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Make sure that it is held in the beginning and at the end of a ``with`` block.

        Raises:
            LeaseLost: it is not. What was done in the block may have been done while somebody else held it.
        """
        self.check()
        yield
        self.check()

    # --- its life -----------------------------------------------------------------------------------------------

    def acquire(self) -> Self:
        """Wait for it, and hold it from now on.

        Raises:
            LeaseHeld: somebody else has held it all that time.
            LocalProtocolError: it is held already.
            RpcError: as of any call.
        """
        if self._id:
            raise LocalProtocolError(f"the lease {self.name!r} was acquired already: make another one")
        until = None if self._wait_s is None else read_clock() + self._wait_s
        while True:
            holder, sent_at = secrets.token_hex(16), read_clock()
            grant = self._ask(holder, until)
            if read_clock() - sent_at > grant.ttl_s / 10:
                # The time counts from before the lease was asked for, and it had to be waited for.
                sent_at = read_clock()
                try:
                    grant = self._renew(holder, grant.ttl_s)
                except LeaseLost:
                    continue
            deadline = sent_at + grant.ttl_s
            if read_clock() < deadline:
                break
        self._token, self._deadline = grant.fencing_token, deadline
        self._reason, self._process, self._bell = "", os.getpid(), Bell()
        self._id = holder
        self._work = begin(self._keep, self._bell)
        return self

    def release(self) -> None:
        """Give it back. If the server cannot be reached, it expires."""
        holder, self._id = self._id, ""
        self._bell.ring()
        if not holder or self._process != os.getpid():
            return
        self._reason = self._reason or "it was given back"
        calls = self._calls.with_options(timeout_s=RELEASE_S)
        try:
            calls.invoke(RELEASE, {"name": self.name, "holder_id": holder, "scope": self.scope})
        except RpcError as exc:
            logger.info("the lease %r was not given back, and expires: %s", self.name, exc)

    def _ask(self, holder: str, until: float | None) -> LeaseGrant:
        while True:
            wait_s = MOST_WAIT_S if until is None else min(max(until - read_clock(), 0.0), MOST_WAIT_S)
            calls = self._calls.with_options(timeout_s=wait_s + GRACE_S)
            params = {"name": self.name, "holder_id": holder, "ttl_s": self.ttl_s, "scope": self.scope}
            try:
                grant: LeaseGrant = calls.invoke(ACQUIRE, {**params, "wait_s": wait_s})
            except (LeaseHeld, ConnectionLost):  # Of a connection that was lost nobody knows; it is asked again.
                if until is not None and read_clock() >= until:
                    raise
            else:
                return grant

    def _renew(self, holder: str, timeout_s: float) -> LeaseGrant:
        calls = self._calls.with_options(timeout_s=timeout_s)
        params = {"name": self.name, "holder_id": holder, "scope": self.scope}
        grant: LeaseGrant = calls.invoke(RENEW, params)
        return grant

    def _keep(self, bell: Bell) -> None:
        """Renew the lease again and again, until it is given back or lost."""
        holder, pause_s = self._id, self.ttl_s / RENEWALS
        while not bell.wait(min(pause_s, self.remaining_s)):
            sent_at = read_clock()
            if sent_at >= self._deadline:
                break
            try:
                grant = self._renew(holder, self._deadline - sent_at)
            except LeaseLost as exc:
                self._reason = self._reason or exc.message
                break
            except RpcError as exc:
                logger.debug("the lease %r cannot be renewed: %s", self.name, exc)
                pause_s = min(RETRY_S, self.ttl_s / 10)
                continue
            if self._reason or read_clock() >= self._deadline:
                break
            self._deadline, pause_s = sent_at + grant.ttl_s, self.ttl_s / RENEWALS
        if self._id == holder:
            self._lose()

    def _lose(self) -> None:
        self._reason = self._reason or self._why_lost()
        logger.warning("the lease %r is lost: %s", self.name, self._reason)
        if self._on_lost is not None:
            try:
                self._on_lost()
            except Exception:
                logger.exception("what was to be called when the lease %r is lost has failed", self.name)

    def _why_lost(self) -> str:
        if not self._id:
            return "it is not held"
        if self._process != os.getpid():
            return "it belongs to the process that has acquired it, of which this one is a copy"
        return f"it was not renewed within {self.ttl_s:g} s"
