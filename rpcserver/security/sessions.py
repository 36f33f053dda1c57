"""Sessions: what a web page gets for a ticket. Nothing here reads a file or a clock of its own.

A session never gives more than the credentials that its ticket was made with: it ends with them, and as soon as they
give another role. It has a fixed end, which using it does not move. So a secret that somebody has stolen does not live
on because it is used."""

from __future__ import annotations

import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rpcwire.context import Principal
from rpcwire.errors import Busy, SessionEnded, SessionUnknown, Unauthenticated

from .named_tokens import digest_of

METHOD = "session"
"""How somebody has authenticated who comes by a session."""

SECRET_PREFIX = "rpcsession_"  # noqa: S105 - the beginning of secrets
"""The beginning of each secret of a session."""

SESSIONS_PER_PRINCIPAL = 64
"""The most sessions of one principal. For a further one, the oldest makes way."""

MOST_SESSIONS = 10_000
"""The most sessions, those included that have ended and are remembered."""

MOST_ANCESTORS = 8
"""How many sessions may have made tickets one for the next."""

REMEMBER_S = 86_400.0
"""How long it is remembered that a session has ended, in seconds, so that its page can be told why."""

REMEDY = "get a new ticket: `rpcserver console`, or `rpcclient console`"
"""What somebody can do whose session or ticket is good for nothing."""

Ending = Literal["revoked", "credentials", "displaced"]
_WHY: dict[Ending | Literal["expired"], str] = {
    "expired": "this session has expired",
    "revoked": "this session was revoked",
    "credentials": "the credentials that this session was made with have ended, or have another role",
    "displaced": "this session has made way for newer ones of the same principal",
}

_Time = Annotated[float, Field(ge=0)]


class Maker(BaseModel):
    """The credentials that a ticket was made with, by which the server finds out whether they are still good.

    Attributes:
        name, method, uid, role, credential: as of :class:`~rpcwire.context.Principal`.
        groups: the groups of the process at the other end of a Unix socket.
        scheme: the scheme of a plugin's way to authenticate; empty for the server's own.
        owner_token: what tells apart the tokens of the owner, if it was one of them.
        sessions: the ids of the session that has made the ticket, if one has, and of those of which that was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    method: str
    uid: int | None = None
    role: str = ""
    credential: str = ""
    groups: frozenset[int] = frozenset()
    scheme: str = ""
    owner_token: str = ""
    sessions: Annotated[tuple[str, ...], Field(max_length=MOST_ANCESTORS)] = ()

    @property
    def principal(self) -> Principal:
        """Who it was."""
        return Principal(self.name, self.method, self.uid, self.role, self.credential)


class Session(BaseModel):
    """What is kept of a session. Times are in seconds since 1970.

    Attributes:
        id: what tells it apart. It is no secret.
        digest: the SHA-256 of its secret.
        maker: the credentials that its ticket was made with.
        role: the role that they gave then; ``None`` for none.
        created: when it began.
        expires: when it ends at the latest.
        address: the address of the client that has begun it, for a person.
        last_used: when somebody last authenticated by it.
        ended: when it ended before that time; ``None`` if it has not.
        ending: why it ended then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    maker: Maker
    role: str | None
    created: _Time
    expires: _Time
    address: str
    last_used: _Time
    ended: _Time | None = None
    ending: Ending | None = None

    @property
    def principal(self) -> Principal:
        """Whoever has it."""
        return Principal(self.maker.name, METHOD, self.maker.uid, self.role or "", self.id)


class SessionSet(BaseModel):
    """All sessions, as the file has them.

    Attributes:
        format: the version of the file's format.
        sessions: the sessions, the oldest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    sessions: Annotated[tuple[Session, ...], Field(max_length=MOST_SESSIONS)] = ()


@dataclass(frozen=True, slots=True)
class SessionGrant:
    """A session that has just begun.

    Attributes:
        session: the session.
        secret: its secret, which is kept nowhere.
    """

    session: Session
    secret: str


class Sessions:
    """The sessions of a server. It belongs to the thread of the event loop.

    Parameters:
        clock: tells the time, in seconds since 1970.
        find_maker: finds out who has the credentials that a ticket was made with; ``None`` if they are not good any
            more. The second argument is the address that asks; ``None`` for any.
        ttl_s: how long a session lasts, in seconds.

    Attributes:
        role_of: returns the name of somebody's role; ``None`` for none.
        on_change: called when a session has begun or ended, or lasts for another time.
        counts: how often something became of a ticket or a session since the start, by the two words for it.
    """

    def __init__(
        self, clock: Callable[[], float], find_maker: Callable[[Maker, str | None], Principal | None], ttl_s: float
    ) -> None:
        self._clock = clock
        self._find_maker = find_maker
        self._ttl_s = ttl_s
        self._by_id: dict[str, Session] = {}
        self._by_digest: dict[str, str] = {}
        self.counts: Counter[tuple[str, str]] = Counter()
        self.role_of: Callable[[Principal], str | None] = lambda _: None
        self.on_change: Callable[[], None] = lambda: None

    @property
    def ttl_s(self) -> float:
        """How long a session lasts, in seconds. A shorter time holds for those that have begun, too."""
        return self._ttl_s

    @ttl_s.setter
    def ttl_s(self, ttl_s: float) -> None:
        if ttl_s != self._ttl_s:
            self._ttl_s = ttl_s
            self.on_change()

    def replace(self, sessions: Iterable[Session]) -> None:
        """Have these sessions from now on, and no others."""
        self._by_id = {session.id: session for session in sessions}
        self._by_digest = {session.digest: session.id for session in self._by_id.values()}

    def snapshot(self) -> SessionSet:
        """Return all sessions, without those whose end nobody needs to know any more."""
        self._forget_old()
        return SessionSet(sessions=tuple(self._by_id.values()))

    # --- who somebody is ----------------------------------------------------------------------------------------

    def find(self, secret: str) -> Session | None:
        """Return the session with a secret, whether it has ended or not; ``None`` if there is none."""
        digest = digest_of(secret)
        session = self._by_id.get(self._by_digest.get(digest, ""))
        return session if session is not None and hmac.compare_digest(session.digest, digest) else None

    def principal(self, secret: str) -> Principal | None:
        """Return whoever has a secret; ``None`` if it is wrong, or its session has ended."""
        session = self.find(secret)
        return None if session is None or self.why_ended(session) is not None else session.principal

    def explain(self, secret: str) -> Unauthenticated:
        """Return the error for somebody who has shown a secret that is good for nothing. Only who has the secret of a
        session learns that there was one."""
        session = self.find(secret)
        why = None if session is None else self.why_ended(session)
        if why is None:
            return SessionUnknown(f"there is no such session: {REMEDY}")
        return SessionEnded(f"{_WHY[why]}: {REMEDY}")

    def renew(self, principal: Principal, origin: str) -> Principal | None:
        """Return who somebody is now who has authenticated by a session; ``None`` if it has ended, or is not accepted
        from an address.

        Parameters:
            principal: who they were.
            origin: their address.
        """
        session = self._by_id.get(principal.credential)
        if session is None or self.why_ended(session) is not None or self._find_maker(session.maker, origin) is None:
            return None
        return session.principal

    def why_ended(self, session: Session) -> Ending | Literal["expired"] | None:
        """Return why a session has ended; ``None`` if it has not.

        Parameters:
            session: the session.
        """
        if session.ending is not None:
            return session.ending
        if self._clock() >= self.end_of(session):
            return "expired"
        return None if self.has_maker(session.maker, session.role) else "credentials"

    def has_maker(self, maker: Maker, role: str | None) -> bool:
        """Return whether credentials are good, and give a role.

        Parameters:
            maker: the credentials.
            role: the name of the role; ``None`` for none.
        """
        if any(each not in self._by_id or self._by_id[each].ending is not None for each in maker.sessions):
            return False
        principal = self._find_maker(maker, None)
        return principal is not None and principal.name == maker.name and self.role_of(principal) == role

    def end_of(self, session: Session) -> float:
        """Return when a session expires, in seconds since 1970: no later than those of which it was made.

        Parameters:
            session: the session.
        """
        family = [session, *(self._by_id[each] for each in session.maker.sessions if each in self._by_id)]
        return min(min(each.expires, each.created + self._ttl_s) for each in family)

    def maker_of(self, session_id: str) -> Maker | None:
        """Return the credentials for tickets that a session makes; ``None`` if there is no such session.

        Parameters:
            session_id: the id of the session.

        Raises:
            Busy: too many sessions have made tickets one for the next.
        """
        session = self.get(session_id)
        if session is None:
            return None
        if len(session.maker.sessions) >= MOST_ANCESTORS:
            raise Busy(f"{MOST_ANCESTORS} sessions have made tickets one for the next: {REMEDY}")
        return session.maker.model_copy(update={"sessions": (*session.maker.sessions, session_id)})

    # --- beginning and end --------------------------------------------------------------------------------------

    def begin(self, maker: Maker, role: str | None, address: str) -> SessionGrant:
        """Begin a session.

        Parameters:
            maker, role, address: as of :class:`Session`.

        Raises:
            Busy: there are too many sessions.
        """
        self._forget_old()
        if len(self._by_id) >= MOST_SESSIONS and not self._forget_ended():
            raise Busy(f"there are {MOST_SESSIONS} sessions already: revoke some: `rpcserver session list` shows them")
        own = [each for each in self.list_live() if each.maker.name == maker.name]
        for each in own[: max(len(own) - SESSIONS_PER_PRINCIPAL + 1, 0)]:
            self._end(each, "displaced")
        secret, now = SECRET_PREFIX + secrets.token_urlsafe(32), self._clock()
        session = Session(
            id=secrets.token_hex(8),
            digest=digest_of(secret),
            maker=maker,
            role=role,
            created=now,
            expires=now + self._ttl_s,
            address=address,
            last_used=now,
        )
        self._by_id[session.id] = session
        self._by_digest[session.digest] = session.id
        self.on_change()
        return SessionGrant(session, secret)

    def forget(self, session: Session) -> None:
        """Forget a session that has never been told to anybody."""
        self._by_id.pop(session.id, None)
        self._by_digest.pop(session.digest, None)
        self.on_change()

    def get(self, session_id: str) -> Session | None:
        """Return the session with an id that has not ended; ``None`` if there is none."""
        session = self._by_id.get(session_id)
        return None if session is None or self.why_ended(session) is not None else session

    def list_live(self) -> list[Session]:
        """Return the sessions that have not ended, the oldest first."""
        return [session for session in self._by_id.values() if self.why_ended(session) is None]

    def revoke(self, session: Session) -> None:
        """End a session now, and those that were made of it."""
        self.counts["session", "revoked"] += 1
        self._end(session, "revoked")
        self.on_change()

    def sweep(self) -> None:
        """Note for good which sessions have ended with what they were made of, so that none comes back if that does."""
        lost = [session for session in self._by_id.values() if self.why_ended(session) == "credentials"]
        for session in lost:
            if session.ending is None:
                self._end(session, "credentials")
        if any(session.ending is None for session in lost):
            self.on_change()

    def note_use(self, principal: Principal) -> None:
        """Note that somebody has authenticated by a session."""
        session = self._by_id.get(principal.credential)
        if session is not None:
            self._by_id[session.id] = session.model_copy(update={"last_used": self._clock()})

    def next_expiry(self) -> float | None:
        """Return when the next session expires, in seconds since 1970; ``None`` if none will."""
        now = self._clock()
        ends = (self.end_of(session) for session in self._by_id.values() if session.ending is None)
        return min((end for end in ends if end > now), default=None)

    def _end(self, session: Session, ending: Ending) -> None:
        self._by_id[session.id] = session.model_copy(update={"ended": self._clock(), "ending": ending})

    def _ended(self) -> Iterator[tuple[float, Session]]:
        """Yield the sessions that have ended, with the times of their ends."""
        now = self._clock()
        for session in self._by_id.values():
            end = self.end_of(session) if session.ended is None else session.ended
            if end <= now:
                yield end, session

    def _forget_old(self) -> None:
        limit = self._clock() - REMEMBER_S
        for end, session in list(self._ended()):
            if end <= limit:
                self._by_digest.pop(session.digest, None)
                del self._by_id[session.id]

    def _forget_ended(self) -> bool:
        """Forget the session that has ended first, to make room. Return whether there was one."""
        _, session = min(self._ended(), key=lambda each: each[0], default=(0.0, None))
        if session is None:
            return False
        self._by_digest.pop(session.digest, None)
        del self._by_id[session.id]
        return True
