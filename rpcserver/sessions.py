"""What the server's methods tell of tickets and sessions, and how sessions are revoked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from rpcserver.security.sessions import METHOD, Session, Sessions
from rpcwire.context import Principal

from .connections import Connections


class TicketInfo(BaseModel):
    """A ticket, by which one web page can sign in once."""

    model_config = ConfigDict(frozen=True)

    ticket: Annotated[str, Field(description="The ticket: open a page at URL#ticket=TICKET.")]
    expires_in_s: Annotated[float, Field(description="How long it is good, in seconds.")]
    urls: Annotated[list[str], Field(description="Addresses of the console, as seen from its machine.")]


class SessionSecret(BaseModel):
    """The session by which a connection has authenticated."""

    model_config = ConfigDict(frozen=True)

    id: str
    secret: Annotated[
        str | None, Field(description="What further connections authenticate by; null if they have it already.")
    ]
    expires_in_s: Annotated[float, Field(description="Time until it ends, in seconds.")]


class SessionInfo(BaseModel):
    """A session that has not ended."""

    model_config = ConfigDict(frozen=True)

    id: str
    principal: Annotated[str, Field(description="Whose it is.")]
    role: str | None
    made_by: Annotated[str, Field(description="How its ticket's maker had authenticated: token, peer, or other ways.")]
    address: Annotated[str, Field(description="Address of the client that has begun it, for a person.")]
    created_at: Annotated[float, Field(description="When it began, in seconds since 1970.")]
    expires_at: Annotated[float, Field(description="When it ends, in seconds since 1970.")]
    last_used_at: Annotated[float, Field(description="When somebody last authenticated by it, in seconds since 1970.")]
    connections: Annotated[int, Field(description="How many connections there are by it now.")]
    is_own: Annotated[bool, Field(description="Whether the caller has come by it.")]


def list_sessions(
    sessions: Sessions, connections: Connections, caller: Principal, *, of_all: bool
) -> Iterator[SessionInfo]:
    """Yield the sessions that have not ended, the oldest first.

    Parameters:
        sessions: the sessions of the server.
        connections: its connections.
        caller: who asks.
        of_all: whether to list those of other principals, too.
    """
    counts = Counter(
        each.principal.credential
        for each in connections
        if each.principal is not None and each.principal.method == METHOD
    )
    for session in sessions.list_live():
        if of_all or session.maker.name == caller.name:
            yield SessionInfo(
                id=session.id,
                principal=session.maker.name,
                role=session.role,
                made_by=session.maker.method,
                address=session.address,
                created_at=session.created,
                expires_at=sessions.end_of(session),
                last_used_at=session.last_used,
                connections=counts[session.id],
                is_own=is_by(caller, session),
            )


def is_by(principal: Principal, session: Session) -> bool:
    """Return whether somebody has come by a session."""
    return principal.method == METHOD and principal.credential == session.id
