"""Finds out who a client is: by the header of its request (:mod:`~rpcserver.security.ways`), by the token in a call, by
the ticket or the session of a web page, by the certificate of TLS, or by the user at the other end of a Unix socket. A
client in the server's own process needs no proof.

After some wrong attempts of an address, or under a name, further ones are delayed, longer each time. At most
:data:`READ_WITHIN_S` of the delay comes before the credentials are read, so that right ones get in within that time,
whatever others at the same address do. The rest comes before the answer to wrong ones."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from websockets.datastructures import Headers

from rpcserver.config import AuthConfig
from rpcwire.context import OWNER, Connection, Principal
from rpcwire.errors import (
    Busy,
    InvalidRequest,
    SessionUnknown,
    TicketUnknown,
    Unauthenticated,
    Unavailable,
)

from .attempts import WrongAttempts
from .certificates import METHOD as CERTIFICATE
from .certificates import Certificates, check_roles
from .named_tokens import NamedTokens
from .penalties import Penalties
from .sessions import METHOD as SESSION
from .sessions import REMEDY, SECRET_PREFIX, Maker, SessionGrant, Sessions
from .tickets import Tickets
from .tokens import TokenStore
from .unix_users import UnixUsers
from .way import Way
from .ways import BearerToken, ask, ask_again, ask_name, by_scheme

READ_WITHIN_S = 0.75
"""The longest delay before credentials are read, in seconds."""

REFUSED_AFTER_S = 0.01
"""The least time from the check of wrong credentials to the answer, in seconds. To find out that a token has expired,
or is not accepted from this network, takes longer than to find out that there is none. Whoever has stolen it must not
see that."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client shows, before it is checked.

    Attributes:
        way: the way to check it.
        text: the credentials.
        keys: the address and the name by which wrong attempts are counted.
        address: the address, as limits count it.
        origin: the whole address; a word that stands for it where there is none, such as ``unix:uid=1000``.
        kind: whether the text is a ticket, the secret of a session, or what the way reads.
    """

    way: Way[Any]
    text: str
    keys: tuple[str, ...]
    address: str
    origin: str
    kind: ProofKind = "token"


ProofKind = Literal["token", "ticket", "session"]
"""What a call of ``rpc.authenticate`` shows."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a call of ``rpc.authenticate`` shows.

    Attributes:
        kind: what it is.
        text: the text of it.
    """

    kind: ProofKind
    text: str = field(repr=False)


class _Fault(Exception):
    """What is wrong with credentials, for the log. Whoever has shown them does not learn it."""


class Evidence(Protocol):
    """What a connection shows of whoever is at its other end, as long as it is open."""

    @property
    def origin(self) -> str:
        """The whole address, as of :class:`Credentials`."""
        ...

    def certificate(self) -> tuple[Mapping[str, Any], bytes] | None:
        """Return the certificate of the client, which TLS has verified, decoded and in DER; ``None`` for none."""
        ...

    def unix_groups(self) -> Collection[int]:
        """Return the groups of the process at the other end of a Unix socket."""
        ...


class Authentication:
    """Finds out who a client is, and delays further attempts after wrong ones.

    Parameters:
        tokens: the owner's token.
        owner_uid: the user who runs the server.
        config: how many attempts there may be, and how long they are delayed.
        unix_peer_credentials: whether the owner, and users with a role of their own, need no token on a Unix socket.
        ways: further ways to authenticate by a request, besides the token.

    Raises:
        ConfigError: two ways have the same scheme, or a certificate is described wrongly.

    Attributes:
        named_tokens: the tokens of others than the owner.
        sessions: the sessions of web pages.
        unix_users: the users and groups of the system that need no token on the Unix socket.
        owner_uid: the user who runs the server.
        wrong_attempts: the count of wrong attempts, and their log.
        is_vouched_for: returns whether the node of the group that has vouched for somebody may still do so.
    """

    def __init__(
        self,
        tokens: TokenStore,
        owner_uid: int,
        config: AuthConfig,
        *,
        unix_peer_credentials: bool,
        ways: Iterable[Way[Any]] = (),
    ) -> None:
        self.named_tokens = NamedTokens(time.time)
        self.sessions = Sessions(time.time, self._find_maker, config.session_ttl_s)
        self._tickets = Tickets(time.monotonic, config.ticket_ttl_s)
        self._bearer = BearerToken(tokens, self.named_tokens, self.sessions)
        self._ways = by_scheme([self._bearer, *ways])
        self.owner_uid = owner_uid
        self.wrong_attempts = WrongAttempts()
        self.is_vouched_for: Callable[[Principal], bool] = lambda _: False
        self._attempts = config.attempts
        self._timeout_s = config.timeout_s
        self._penalties = Penalties(config.free_attempts, config.penalty_s)
        self._way_of_method: dict[str, Way[Any]] = {}  # Of principals that ways have found.
        self._unix_peer_credentials = unix_peer_credentials
        self._certificates = Certificates(config.certificates)
        self.unix_users = UnixUsers(config.unix, owner_uid)
        self._wrong_tokens: dict[Connection, int] = {}
        self._asking: set[Connection] = set()
        self._unanswered_counts: Counter[Connection] = Counter()  # Wrong tokens of each.

    @property
    def tokens(self) -> TokenStore:
        """The owner's token, whether a request or a call gives it."""
        return self._bearer.tokens

    @tokens.setter
    def tokens(self, tokens: TokenStore) -> None:
        self._bearer.tokens = tokens

    def prepare_reload(
        self, config: AuthConfig, roles: Collection[str], *, unix_peer_credentials: bool
    ) -> Callable[[], None]:
        """Prepare for other settings. Wrong attempts stay counted. It may be called in another thread.

        Parameters:
            config, unix_peer_credentials: as of the class; the ways are the same.
            roles: the names of all roles.

        Returns:
            What uses the settings from now on. :meth:`renew` then tells of everybody who is in whether they still are.

        Raises:
            ConfigError: a certificate, a user or a group is described wrongly, or has a role that does not exist.
        """
        certificates = Certificates(config.certificates)
        check_roles(config.certificates, roles)
        unix_users = UnixUsers(config.unix, self.owner_uid)
        unix_users.check_roles(roles)

        def commit() -> None:
            self._certificates = certificates
            unix_users.remember_members(self.unix_users.members)
            self.unix_users = unix_users
            self._unix_peer_credentials = unix_peer_credentials
            self._attempts, self._timeout_s = config.attempts, config.timeout_s
            self._tickets.ttl_s, self.sessions.ttl_s = config.ticket_ttl_s, config.session_ttl_s
            self._penalties.change(config.free_attempts, config.penalty_s)

        return commit

    def by_unix_socket(self, uid: int | None, groups: Callable[[], Collection[int]] = frozenset) -> Principal | None:
        """Find out who is at the other end of a Unix socket; ``None`` if they need a token.

        Parameters:
            uid: the user of the other process; ``None`` if the kernel does not tell.
            groups: returns the groups of the other process.
        """
        if not self._unix_peer_credentials or uid is None:
            return None
        if uid == self.owner_uid:
            return Principal(OWNER, "peer", uid)
        return self.unix_users.principal(uid, groups)

    def is_owner_here(self, principal: Principal) -> bool:
        """Return whether somebody is the owner on the Unix socket."""
        return principal.method == "peer" and principal.uid == self.owner_uid

    @property
    def knows_certificates(self) -> bool:
        """Whether a certificate may identify a client."""
        return bool(self._certificates)

    def by_certificate(self, certificate: Mapping[str, Any], der: bytes) -> Principal:
        """Find out who shows a certificate, which TLS has verified.

        Parameters:
            certificate: as :meth:`ssl.SSLSocket.getpeercert` returns it.
            der: the same in DER.

        Raises:
            LookupError: it identifies nobody; the message says why.
        """
        return self._certificates.principal(certificate, der)

    def list_in_settings(self) -> Iterator[Principal]:
        """Yield everybody but the owner whom the settings know by a certificate, or on the Unix socket. Of the members
        of a group these are those who have connected."""
        yield from self._certificates.principals()
        if self._unix_peer_credentials:
            yield from self.unix_users.principals()

    def renew(self, principal: Principal, evidence: Evidence | None) -> Principal | None:
        """Find out who somebody is now, of whom it was found out before; ``None`` if their credentials are valid no
        more. Their role may be another one.

        Parameters:
            principal: who they were.
            evidence: what their connection shows; ``None`` for one in memory.
        """
        if principal.via:
            return principal if self.is_vouched_for(principal) else None
        if principal.method == SESSION:
            return self.sessions.renew(principal, "" if evidence is None else evidence.origin)
        way = self._way_of_method.get(principal.method)
        if way is not None:
            return ask_again(way, principal)
        if principal.method == "token" and principal.credential:
            return self.named_tokens.renew(principal, "" if evidence is None else evidence.origin)
        if evidence is not None and principal.method == CERTIFICATE:
            return self._renew_by_certificate(evidence)
        if evidence is not None and principal.method == "peer":
            return self.by_unix_socket(principal.uid, evidence.unix_groups)
        return principal

    def _renew_by_certificate(self, evidence: Evidence) -> Principal | None:
        certificate = evidence.certificate()
        try:
            return None if certificate is None else self._certificates.principal(*certificate)
        except LookupError:
            return None

    def by_memory(self) -> Principal:
        """Return the principal of a client in the server's own process."""
        return Principal("memory", "memory", self.owner_uid)

    def read(self, headers: Headers, address: str, origin: str = "") -> Credentials | None:
        """Read what the sender of an HTTP request shows; ``None`` if it shows nothing.

        Parameters:
            headers: the headers of the request.
            address: the address of the client, as limits count it.
            origin: the whole address, as of :class:`Credentials`.

        Raises:
            Unauthenticated: the header Authorization is malformed.
        """
        values = headers.get_all("Authorization")
        if not values:
            return None
        scheme, _, text = values[0].partition(" ")
        way = self._ways.get(scheme.lower())
        text = text.strip()
        if len(values) != 1 or way is None or not text:
            raise Unauthenticated(f"the Authorization header must be: {self.forms}")
        return self._credentials(way, text, address, origin)

    def _credentials(self, way: Way[Any], text: str, address: str, origin: str) -> Credentials:
        keys = [f"address {address}"]
        if (name := ask_name(way, text)) is not None:
            keys.append(f"name {way.scheme} {name}")
        return Credentials(way, text, tuple(keys), address, origin)

    def delay_before_s(self, credentials: Credentials) -> float:
        """Return how long to wait before :meth:`check`, in seconds."""
        return min(self._delay_s(credentials), READ_WITHIN_S, self._timeout_s / 2)

    def delay_after_s(self, credentials: Credentials) -> float:
        """Return how long after the begin of :meth:`check` wrong credentials are answered, in seconds."""
        before_s = self.delay_before_s(credentials)
        return max(min(self._delay_s(credentials), self._timeout_s * 0.8) - before_s, REFUSED_AFTER_S)

    def _delay_s(self, credentials: Credentials) -> float:
        return self._penalties.delay_s(credentials.keys, time.monotonic())

    def check(self, credentials: Credentials, who: str) -> Principal:
        """Find out who shows these credentials.

        Parameters:
            credentials: the credentials.
            who: the client, for the log.

        Returns:
            Who it is; whoever has made it, for a ticket.

        Raises:
            Unauthenticated: the credentials are wrong, or cannot be checked. The attempt is counted.
        """
        try:
            return self._find_out(credentials)
        except Unauthenticated as exc:
            fault = exc.__cause__ if isinstance(exc.__cause__, _Fault) else exc.message
            self._penalties.note_wrong(credentials.keys, time.monotonic())
            kind = credentials.kind
            if kind == "ticket" or self._is_session(credentials):
                self.sessions.counts["ticket" if kind == "ticket" else "session", "refused"] += 1
            self.wrong_attempts.note(who, credentials.address, str(fault))
            raise

    def _find_out(self, credentials: Credentials) -> Principal:
        way, text, origin = credentials.way, credentials.text, credentials.origin
        if credentials.kind == "ticket":
            return self._check_ticket(text, origin)
        principal = ask(way, text)
        if principal is None:
            raise self.sessions.explain(text) if self._is_session(credentials) else Unauthenticated(way.wrong)
        if way is not self._bearer:
            self._way_of_method[principal.method] = way
        elif principal.method == SESSION:
            if self.sessions.renew(principal, origin) is None:
                fault = _Fault(f"the session {principal.credential} is not accepted from {origin or '?'}")
                raise SessionUnknown(f"there is no such session: {REMEDY}") from fault
            self.sessions.note_use(principal)
        elif principal.credential:
            if self.named_tokens.renew(principal, origin) is None:
                networks = ", ".join(self.named_tokens.networks_of(principal))
                fault = _Fault(f"the token {principal.name} is not accepted from {origin or '?'}, but from {networks}")
                raise Unauthenticated(way.wrong) from fault  # Whoever has stolen it learns nothing.
            self.named_tokens.note_use(principal)
        return principal

    def _is_session(self, credentials: Credentials) -> bool:
        """Return whether credentials are meant as the secret of a session."""
        is_bearer = credentials.way is self._bearer and credentials.text.startswith(SECRET_PREFIX)
        return credentials.kind == "session" or is_bearer

    @property
    def forms(self) -> str:
        """The allowed forms of the header Authorization, for a person."""
        return ", or ".join(way.form for way in self._ways.values())

    @property
    def challenges(self) -> str:
        """The value of ``WWW-Authenticate`` (RFC 9110, section 11.6.1)."""
        return ", ".join(f'{way.scheme} realm="rpcserver"' for way in self._ways.values())

    async def by_call(self, connection: Connection, proof: Proof, address: str, origin: str = "") -> Principal:
        """Find out who sends a token, a ticket or the secret of a session by a call.

        Parameters:
            connection: the connection of the call, whose wrong tokens are counted.
            proof: what the call shows.
            address: the address of the client, as limits count it.
            origin: the whole address, as of :class:`Credentials`.

        Returns:
            As of :meth:`check`.

        Raises:
            Unauthenticated: the token is wrong, or the connection has sent too many wrong ones.
            Busy: another attempt of the connection is not over yet.
        """
        if connection in self._asking:
            raise Busy("another attempt to authenticate is under way on this connection: wait for its answer")
        if not self.may_try_again(connection):
            raise Unauthenticated("too many wrong tokens: connect again")
        credentials = replace(self._credentials(self._bearer, proof.text, address, origin), kind=proof.kind)
        before_s = self.delay_before_s(credentials)
        if before_s:
            self._asking.add(connection)
            try:
                await asyncio.sleep(before_s)
            finally:
                self._asking.discard(connection)
        loop = asyncio.get_running_loop()
        answer_at = loop.time() + REFUSED_AFTER_S
        try:
            return self.check(credentials, f"{connection.id} {connection.remote}")
        except Unauthenticated as exc:
            count = self._wrong_tokens.get(connection, 0) + 1
            # Where attempts have the longest delay, each connection has one: it would keep others out of its place.
            self._wrong_tokens[connection] = self._attempts if before_s >= READ_WITHIN_S else count
            self._unanswered_counts[connection] += 1
            try:
                await asyncio.sleep(answer_at - loop.time())
            finally:
                self._unanswered_counts[connection] -= 1
                if self._unanswered_counts[connection] <= 0:
                    del self._unanswered_counts[connection]
            if type(exc) is not Unauthenticated:
                raise exc from None
            raise Unauthenticated("token: wrong: give a named token, or the one in the server's token file") from None

    # --- tickets and sessions -------------------------------------------------------------------------------------

    def create_ticket(self, principal: Principal, evidence: Evidence | None) -> tuple[str, float]:
        """Make a ticket for a session of somebody.

        Parameters:
            principal: who it is for, and what their role is.
            evidence: what their connection shows; ``None`` for one in memory.

        Returns:
            The ticket, and how long it is good, in seconds.

        Raises:
            InvalidRequest: they come through another node or by a certificate.
            Unavailable: the settings allow no sessions, or the credentials have just ended.
            Busy: there are too many tickets already.
        """
        if not self.sessions.ttl_s:
            raise Unavailable("auth.session_ttl_s = 0 allows no sessions: set another time", executed="no")
        maker = self._describe_maker(principal, evidence)
        if maker is None:
            raise Unavailable(f"the credentials of {principal.name} have just ended", executed="no")
        ticket = self._tickets.make(maker, self.sessions.role_of(principal))
        self.sessions.counts["ticket", "created"] += 1
        return ticket, self._tickets.ttl_s

    def _describe_maker(self, principal: Principal, evidence: Evidence | None) -> Maker | None:
        """Describe the credentials of somebody, so that it can be found out later whether they are still good."""
        if principal.via:
            raise InvalidRequest(f"you come through the node {principal.via}: get a ticket of that node", executed="no")
        if principal.method == CERTIFICATE:
            # TLS has verified it on this connection only, and lists of revoked certificates end such connections.
            raise InvalidRequest(
                "you come by a certificate: install it in the browser, or get the ticket with a token", executed="no"
            )
        if principal.method == SESSION:
            return self.sessions.maker_of(principal.credential)
        way = self._way_of_method.get(principal.method)
        is_owners_token = principal.method == "token" and not principal.credential
        return Maker(
            name=principal.name,
            method=principal.method,
            uid=principal.uid,
            role=principal.role,
            credential=principal.credential,
            groups=frozenset(evidence.unix_groups())
            if evidence is not None and principal.method == "peer"
            else frozenset(),
            scheme="" if way is None else way.scheme,
            owner_token=self.tokens.fingerprint if is_owners_token else "",
        )

    def _find_maker(self, maker: Maker, origin: str | None) -> Principal | None:
        """Find out who has the credentials of a ticket now; ``None`` if they are not good any more, or not accepted
        from an address, which is ``None`` for any."""
        principal = maker.principal
        if maker.scheme:
            way = self._ways.get(maker.scheme.lower())
            return None if way is None else ask_again(way, principal)
        if maker.owner_token:
            return principal if maker.owner_token == self.tokens.fingerprint else None
        if maker.method == "token":
            tokens = self.named_tokens
            return tokens.current(principal) if origin is None else tokens.renew(principal, origin)
        if maker.method == "peer":
            return self.by_unix_socket(maker.uid, lambda: maker.groups)
        return self.by_memory() if maker.method == "memory" else None

    def _check_ticket(self, text: str, origin: str) -> Principal:
        """Return who has made a ticket, if it is good."""
        ticket = self._tickets.check(text)
        unknown = TicketUnknown(f"there is no such ticket: {REMEDY}")
        if not self.sessions.has_maker(ticket.maker, ticket.role):
            raise unknown from _Fault(f"the credentials of {ticket.maker.name}, who has made the ticket, have ended")
        principal = self._find_maker(ticket.maker, origin)
        if principal is None:
            raise unknown from _Fault(f"the ticket of {ticket.maker.name} is not accepted from {origin or '?'}")
        return principal

    def exchange_ticket(self, text: str, address: str) -> SessionGrant:
        """Begin a session for a ticket that :meth:`by_call` has just found good. It is good for nothing then.

        Parameters:
            text: the ticket.
            address: the address of the client, for a person.

        Raises:
            Unauthenticated: meanwhile somebody has used it.
            Busy: there are too many sessions.
        """
        ticket = self._tickets.check(text)
        grant = self.sessions.begin(ticket.maker, ticket.role, address)
        ticket.is_used = True
        self.sessions.counts["ticket", "exchanged"] += 1
        return grant

    def take_back(self, text: str, grant: SessionGrant) -> None:
        """Forget a session that could not be written down. Its ticket is good again.

        Parameters:
            text: the ticket.
            grant: the session.
        """
        self._tickets.free(text)
        self.sessions.forget(grant.session)

    # --- wrong attempts of a connection ---------------------------------------------------------------------------

    def may_try_again(self, connection: Connection) -> bool:
        """Return whether a connection may send another token after a wrong one."""
        return self._wrong_tokens.get(connection, 0) < self._attempts

    def has_ended_attempts(self, connection: Connection) -> bool:
        """Return whether a connection may send no further token, and each wrong one is about to be answered."""
        return not self.may_try_again(connection) and not self._unanswered_counts[connection]

    def forget(self, connection: Connection) -> None:
        """Forget the wrong tokens of a connection, because it has ended."""
        self._wrong_tokens.pop(connection, None)
        self._unanswered_counts.pop(connection, None)
