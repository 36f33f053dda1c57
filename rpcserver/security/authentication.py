"""Finds out who a client is: by the header of its request (:mod:`~rpcserver.security.ways`), by the token in a call, or
by the user at the other end of a Unix socket. A client in the server's own process needs no proof."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from websockets.datastructures import Headers

from rpcwire.context import OWNER, Connection, Principal
from rpcwire.errors import Unauthenticated
from rpcwire.logs import about

from .tokens import TokenStore
from .way import Way
from .ways import BearerToken, ask, by_scheme

logger = logging.getLogger("rpcserver.connection")


class Authentication:
    """Finds out who a client is, and counts the wrong tokens of each connection.

    Parameters:
        tokens: the tokens that open the server.
        owner_uid: the user who runs the server.
        attempts: the number of wrong tokens after which a connection is closed.
        unix_peer_credentials: whether the owner needs no token on a Unix socket.
        ways: further ways to authenticate by a request, besides the token.

    Raises:
        ConfigError: two ways have the same scheme.

    Attributes:
        owner_uid: the user who runs the server.
    """

    def __init__(
        self,
        tokens: TokenStore,
        owner_uid: int,
        *,
        attempts: int,
        unix_peer_credentials: bool,
        ways: Iterable[Way[Any]] = (),
    ) -> None:
        self._bearer = BearerToken(tokens)
        self._ways = by_scheme([self._bearer, *ways])
        self.owner_uid = owner_uid
        self._attempts = attempts
        self._unix_peer_credentials = unix_peer_credentials
        self._wrong_tokens: dict[Connection, int] = {}

    @property
    def tokens(self) -> TokenStore:
        """The tokens that open the server, whether a request or a call gives one."""
        return self._bearer.tokens

    @tokens.setter
    def tokens(self, tokens: TokenStore) -> None:
        self._bearer.tokens = tokens

    def by_unix_socket(self, uid: int | None) -> Principal | None:
        """Find out who is at the other end of a Unix socket; ``None`` if they need a token.

        Parameters:
            uid: the user of the other process; ``None`` if the kernel does not tell.
        """
        if self._unix_peer_credentials and uid is not None and uid == self.owner_uid:
            return Principal(OWNER, "peer", uid)
        return None

    def by_memory(self) -> Principal:
        """Return the principal of a client in the server's own process."""
        return Principal("memory", "memory", self.owner_uid)

    def by_request(self, headers: Headers) -> Principal | None:
        """Find out who sends an HTTP request; ``None`` if the request does not tell.

        Parameters:
            headers: the headers of the request.

        Raises:
            Unauthenticated: the header Authorization is malformed, or its credentials are wrong.
        """
        values = headers.get_all("Authorization")
        if not values:
            return None
        scheme, _, credentials = values[0].partition(" ")
        way = self._ways.get(scheme.lower())
        if len(values) != 1 or way is None or not credentials.strip():
            raise Unauthenticated(f"the Authorization header must be: {self.forms}")
        principal = ask(way, credentials.strip())
        if principal is None:
            raise Unauthenticated(way.wrong)
        return principal

    @property
    def forms(self) -> str:
        """The allowed forms of the header Authorization, for a person."""
        return ", or ".join(way.form for way in self._ways.values())

    @property
    def challenges(self) -> str:
        """The value of ``WWW-Authenticate`` (RFC 9110, section 11.6.1)."""
        return ", ".join(f'{way.scheme} realm="rpcserver"' for way in self._ways.values())

    def by_call(self, connection: Connection, token: str) -> Principal:
        """Find out who sends a token by a call.

        Parameters:
            connection: the connection of the call, whose wrong tokens are counted.
            token: the token.

        Raises:
            Unauthenticated: the token is wrong.
        """
        principal = self.tokens.principal(token)
        if principal is None:
            count = self._wrong_tokens.get(connection, 0) + 1
            self._wrong_tokens[connection] = count
            extra = about(connection.remote, is_known=False)
            logger.warning("%s %s: wrong token (%d)", connection.id, connection.remote, count, extra=extra)
            raise Unauthenticated("token: wrong: give the one in the server's token file")
        return principal

    def may_try_again(self, connection: Connection) -> bool:
        """Return whether a connection may send another token after a wrong one."""
        return self._wrong_tokens.get(connection, 0) < self._attempts

    def forget(self, connection: Connection) -> None:
        """Forget the wrong tokens of a connection, because it has ended."""
        self._wrong_tokens.pop(connection, None)
