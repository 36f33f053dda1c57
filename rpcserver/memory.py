"""The memory that clients may make the server hold: one ceiling, divided among uses, principals and connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from rpcserver.config import LimitsConfig
from rpcwire.accounts import Account
from rpcwire.logs import printable

CALLS_SHARE, ARRIVING_SHARE, OUTGOING_SHARE = 2, 4, 4
"""The parts of each limit, as divisors: a half for calls and streams, a quarter each for messages that are arriving and
for output. So whoever fills one part with large calls still gets Busy for the next call, and keeps the connection."""

_OF_CONNECTION = f"1/{CALLS_SHARE} of limits.memory_per_connection_bytes"

NOBODY = ""
"""Stands for clients that have not authenticated, where principals are named."""


@dataclass(frozen=True, slots=True)
class Use:
    """The memory that somebody uses for something.

    Attributes:
        scope: ``server`` or ``principal``.
        holder: ``server``, or the name of the principal, who may be called so, too.
        purpose: ``calls``, ``arriving`` or ``outgoing``.
        used_bytes: the bytes that are held now.
        most_bytes: the most that were held at one time.
        limit_bytes: the most that may be held.
    """

    scope: Literal["server", "principal"]
    holder: str
    purpose: str
    used_bytes: int
    most_bytes: int
    limit_bytes: int


class Shares:
    """The accounts of one principal, or of the whole server.

    Parameters:
        name: whose they are, for a person.
        limit_bytes: the limit of all of them together.
        setting: the setting of this limit.
        above: the accounts of the whole server; ``None`` for its own.
        refusals: counts what the whole server refuses, by the setting; ``None`` for accounts below it.

    Attributes:
        calls: counts large parameters while their handlers run, items of streams that wait for their readers, and
            answers that wait for the others of their batch.
        arriving: counts the parts of large messages that have arrived.
        outgoing: counts output that waits for clients that read slowly.
    """

    __slots__ = ("arriving", "calls", "name", "outgoing")

    def __init__(
        self,
        name: str,
        limit_bytes: int,
        setting: str,
        above: Shares | None = None,
        refusals: Counter[str] | None = None,
    ) -> None:
        def account(what: str, divisor: int, parent: Account | None) -> Account:
            return Account(f"{what} of {name}", limit_bytes // divisor, f"1/{divisor} of {setting}", parent)

        self.name = name
        self.calls: Account = account("calls and streams", CALLS_SHARE, None if above is None else above.calls)
        self.arriving: Account = account("arriving messages", ARRIVING_SHARE, None if above is None else above.arriving)
        self.outgoing: Account = account("output", OUTGOING_SHARE, None if above is None else above.outgoing)
        if refusals is not None:
            self.calls.refusals = self.arriving.refusals = self.outgoing.refusals = refusals

    def change(self, limit_bytes: int) -> None:
        """Have another limit from now on, for all of the accounts together. What is held stays so."""
        self.calls.limit_bytes = limit_bytes // CALLS_SHARE
        self.arriving.limit_bytes = limit_bytes // ARRIVING_SHARE
        self.outgoing.limit_bytes = limit_bytes // OUTGOING_SHARE

    def uses(self, scope: Literal["server", "principal"], holder: str) -> Iterator[Use]:
        """Yield the present use of each account.

        Parameters:
            scope, holder: as of :class:`Use`.
        """
        for purpose, account in (("calls", self.calls), ("arriving", self.arriving), ("outgoing", self.outgoing)):
            used_bytes = account.used_bytes
            yield Use(scope, holder, purpose, used_bytes, account.most_bytes, account.limit_bytes)


class Memory:
    """The accounts of a server. All methods belong to the thread of the event loop.

    Parameters:
        limits: the settings.
        refusals: counts what is refused, by the setting of the limit.
    """

    def __init__(self, limits: LimitsConfig, refusals: Counter[str]) -> None:
        self._limits = limits
        self._whole = Shares("the server", self._limit(limits.memory_bytes), "limits.memory_bytes", refusals=refusals)
        self._principals: dict[str, Shares] = {}
        self._connections: Counter[str] = Counter()
        self._left: set[str] = set()

    def _limit(self, size_bytes: int) -> int:
        return max(size_bytes, self._limits.least_memory_bytes)

    def change(self, limits: LimitsConfig, accounts: Iterable[Account | None]) -> None:
        """Have other limits from now on.

        Parameters:
            limits: the settings.
            accounts: those of the connections that are open.
        """
        self._limits = limits
        self._whole.change(self._limit(limits.memory_bytes))
        for shares in self._principals.values():
            shares.change(self._limit(limits.memory_per_principal_bytes))
        for account in accounts:
            if account is not None:
                account.limit_bytes = self._connection_bytes

    @property
    def _connection_bytes(self) -> int:
        return self._limit(self._limits.memory_per_connection_bytes) // CALLS_SHARE

    def join(self, name: str) -> Shares:
        """Return the accounts of a principal, because one of its connections begins.

        Parameters:
            name: the principal's name; :data:`NOBODY` for clients that have not authenticated.
        """
        self._connections[name] += 1
        shares = self._principals.get(name)
        if shares is None:
            limit, setting = self._limit(self._limits.memory_per_principal_bytes), "limits.memory_per_principal_bytes"
            whose = f"the principal {printable(name, 40)}" if name else "clients that have not authenticated"
            shares = self._principals[name] = Shares(whose, limit, setting, self._whole)
        return shares

    def leave(self, name: str) -> None:
        """Note that a connection of a principal has ended. Its accounts are kept while handlers still hold something,
        so that whoever connects again has no new ones."""
        self._connections[name] -= 1
        self._left.add(name)
        for left in tuple(self._left):
            if self._connections[left] > 0:
                self._left.discard(left)
            elif not any(use.used_bytes for use in self._principals[left].uses("principal", left)):
                self._left.discard(left)
                del self._principals[left], self._connections[left]

    def of_connection(self, shares: Shares) -> Account:
        """Make the account for the calls and streams of one connection of a principal."""
        return Account("calls and streams of this connection", self._connection_bytes, _OF_CONNECTION, shares.calls)

    def note_peak(self) -> int:
        """Return the most bytes that the whole server has held since the last time, for all purposes, and that it does
        not hold any more."""
        accounts = (self._whole.calls, self._whole.arriving, self._whole.outgoing)
        freed_bytes = sum(max(account.recent_bytes - account.used_bytes, 0) for account in accounts)
        for account in accounts:
            account.recent_bytes = account.used_bytes
        return freed_bytes

    def uses(self) -> list[Use]:
        """List the present use: of the whole server first, then of each principal that is connected or holds
        something."""
        uses = list(self._whole.uses("server", "server"))
        for name, shares in sorted(self._principals.items()):
            uses += shares.uses("principal", name)
        return uses
