"""Tickets: what somebody who is in makes for a web page, which exchanges it for a session. They are kept in memory
only: they last for a minute or so, and a server that is started anew has none."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from rpcwire.errors import Busy, TicketExpired, TicketUnknown, TicketUsed

from .named_tokens import digest_of
from .sessions import REMEDY, Maker

PREFIX = "rpcticket_"
"""The beginning of each ticket."""

REMEMBER_S = 600.0
"""How long a ticket is remembered after its time, in seconds, so that its page can be told why."""

TICKETS_PER_PRINCIPAL = 16
"""The most tickets of one principal that are good at the same time."""

MOST_TICKETS = 10_000
"""The most tickets that are remembered."""


@dataclass(slots=True)
class Ticket:
    """A ticket.

    Attributes:
        maker: the credentials that it was made with.
        role: the role that they gave; ``None`` for none.
        ttl_s: how long it is good, in seconds.
        made_s: when it was made, on the clock of the tickets.
        is_used: whether somebody has exchanged it.
    """

    maker: Maker
    role: str | None
    ttl_s: float
    made_s: float
    is_used: bool = False


class Tickets:
    """The tickets of a server. It belongs to the thread of the event loop.

    Parameters:
        clock: tells the time, in seconds, as :func:`time.monotonic` does.
        ttl_s: how long tickets are good, in seconds.

    Attributes:
        ttl_s: the same, for those that are made from now on.
    """

    def __init__(self, clock: Callable[[], float], ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self._clock = clock
        self._by_digest: dict[str, Ticket] = {}

    def make(self, maker: Maker, role: str | None) -> str:
        """Make a ticket.

        Parameters:
            maker, role: as of :class:`Ticket`.

        Raises:
            Busy: there are too many already.
        """
        now = self._clock()
        for digest, ticket in list(self._by_digest.items()):
            if now - ticket.made_s < ticket.ttl_s + REMEMBER_S:
                break
            del self._by_digest[digest]
        count = sum(each.maker.name == maker.name and self._is_good(each) for each in self._by_digest.values())
        if count >= TICKETS_PER_PRINCIPAL or len(self._by_digest) >= MOST_TICKETS:
            raise Busy(
                f"{count} tickets of {maker.name} wait to be used: use one, or try again in {self.ttl_s:g} s",
                retry_after_ms=int(self.ttl_s * 1000),
            )
        text = PREFIX + secrets.token_urlsafe(32)
        self._by_digest[digest_of(text)] = Ticket(maker, role, self.ttl_s, now)
        return text

    def check(self, text: str) -> Ticket:
        """Return a ticket that is good. Nobody can guess one, so only who has had a ticket learns what became of it.

        Parameters:
            text: the ticket as the page has it.

        Raises:
            TicketUnknown, TicketUsed, TicketExpired: it is not good; the message names the remedy.
        """
        ticket = self._by_digest.get(digest_of(text))
        if ticket is None:
            raise TicketUnknown(f"there is no such ticket: {REMEDY}")
        if ticket.is_used:
            raise TicketUsed(
                "this ticket was used before, and is good once only. If that was not you, look at the sessions: "
                f"`rpcserver session list`. To sign in, {REMEDY}"
            )
        if not self._is_good(ticket):
            raise TicketExpired(f"this ticket was good for {ticket.ttl_s:g} s, which are over: {REMEDY}")
        return ticket

    def free(self, text: str) -> None:
        """Take back that a ticket was used, because nothing came of it."""
        ticket = self._by_digest.get(digest_of(text))
        if ticket is not None:
            ticket.is_used = False

    def _is_good(self, ticket: Ticket) -> bool:
        return not ticket.is_used and self._clock() - ticket.made_s < ticket.ttl_s
