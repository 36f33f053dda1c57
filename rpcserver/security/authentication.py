"""Who somebody is. Every way to authenticate is here: the token in a request or in a call, the user at the other end of
a Unix socket, and a connection from the server's own process."""

from __future__ import annotations

import logging

from websockets.datastructures import Headers

from rpcwire.context import OWNER, Connection, Principal
from rpcwire.errors import Unauthenticated

from .tokens import TokenStore

logger = logging.getLogger("rpcserver.connection")


class Authentication:
    """Tells who somebody is, and counts the wrong tokens of each connection.

    Parameters:
        tokens: the tokens that open the server.
        owner_uid: the user who runs the server.
        attempts: how many wrong tokens a connection may give.
        unix_peer_credentials: whether the owner needs no token on a Unix socket.

    Attributes:
        tokens: as above.
        owner_uid: as above.
    """

    def __init__(self, tokens: TokenStore, owner_uid: int, *, attempts: int, unix_peer_credentials: bool) -> None:
        self.tokens = tokens
        self.owner_uid = owner_uid
        self._attempts = attempts
        self._unix_peer_credentials = unix_peer_credentials
        self._wrong_tokens: dict[Connection, int] = {}

    def by_unix_socket(self, uid: int | None) -> Principal | None:
        """Who is at the other end of a Unix socket; ``None`` where a token must say so.

        Parameters:
            uid: the user of the process there, where the kernel tells.
        """
        if self._unix_peer_credentials and uid is not None and uid == self.owner_uid:
            return Principal(OWNER, "peer", uid)
        return None

    def by_memory(self) -> Principal:
        """Who connects from the server's own process."""
        return Principal("memory", "memory", self.owner_uid)

    def by_request(self, headers: Headers) -> Principal | None:
        """Who sends an HTTP request; ``None`` where the request does not say.

        Parameters:
            headers: of the request.

        Raises:
            Unauthenticated: the header with the token is malformed, or the token is wrong.
        """
        token = bearer_token(headers)
        if token is None:
            return None
        principal = self.tokens.principal(token)
        if principal is None:
            raise Unauthenticated("the token is wrong")
        return principal

    def by_call(self, connection: Connection, token: str) -> Principal:
        """Who gives a token by a call.

        Parameters:
            connection: the connection on which the call came; its wrong tokens are counted.
            token: what was given.

        Raises:
            Unauthenticated: the token is wrong.
        """
        principal = self.tokens.principal(token)
        if principal is None:
            wrong = self._wrong_tokens.get(connection, 0) + 1
            self._wrong_tokens[connection] = wrong
            logger.warning("%s %s: wrong token (%d)", connection.id, connection.remote, wrong)
            raise Unauthenticated("token: wrong; the server's token is in its token file")
        return principal

    def may_try_again(self, connection: Connection) -> bool:
        """Whether a connection may give another token after a wrong one."""
        return self._wrong_tokens.get(connection, 0) < self._attempts

    def forget(self, connection: Connection) -> None:
        """A connection has ended: its wrong tokens count no more."""
        self._wrong_tokens.pop(connection, None)


def bearer_token(headers: Headers) -> str | None:
    """The token of ``Authorization: Bearer`` (RFC 6750, section 2.1); ``None`` where there is no such header.

    Raises:
        Unauthenticated: there are several headers, or the one is not of this form.
    """
    values = headers.get_all("Authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    if len(values) != 1 or scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the Authorization header must be: Bearer TOKEN")
    return token.strip()
