"""What all links of a server share: the rules by which they are let in, and the count of those that were."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rpcserver.config import ServerConfig
from rpcserver.connections import AdmittedLink
from rpcserver.security.authentication import Authentication

from .admission import Refusal, canonical_origin
from .forwarding import Proxies
from .hosts import canonical
from .pages import Pages
from .waiting import WaitingRoom

logger = logging.getLogger("rpcserver.connection")

STOPPING = Refusal(503, "the server is stopping")


class Entrance:
    """Counts the links that were let in, and holds what decides on the next one.

    Parameters:
        config: the server's configuration.
        authentication: tells who somebody is.
        pages: answers plain HTTP.
        stopping: whether the server is about to stop.
        adopt: makes a connection of a link that was let in, with the subprotocol agreed upon.

    Attributes:
        config: as above.
        authentication: as above.
        pages: as above.
        waiting: the connections that have not authenticated.
        proxies: whose word on addresses counts.
        allowed_hosts: the names of the server, in their one form.
        allowed_origins: the origins of web pages that may connect, in their one form.
        links: the WebSockets that were let in, until their sockets are closed.
    """

    def __init__(
        self,
        config: ServerConfig,
        authentication: Authentication,
        pages: Pages,
        stopping: Callable[[], bool],
        adopt: Callable[[AdmittedLink, str | None], None],
    ) -> None:
        self.config = config
        self.authentication = authentication
        self.pages = pages
        self.waiting = WaitingRoom(config.auth)
        self.proxies = Proxies(config.listen)
        self.allowed_hosts = frozenset(canonical(host) for host in (config.listen.host, *config.listen.allowed_hosts))
        self.allowed_origins = frozenset(canonical_origin(origin) for origin in config.listen.allowed_origins)
        self.links: set[AdmittedLink] = set()
        self._stopping = stopping
        self._adopt = adopt
        self._warned_of_proxy = False

    def full(self) -> Refusal | None:
        """Why no further connection can be taken, if so."""
        if self._stopping():
            return STOPPING
        if len(self.links) >= self.config.limits.connections:
            return Refusal(503, "too many connections: try again later, or raise limits.connections")
        return None

    def admit(self, link: AdmittedLink, subprotocol: str | None) -> None:
        """Let a WebSocket in.

        Parameters:
            link: the WebSocket, which is open.
            subprotocol: the form of the wire that both sides agreed upon, if they did.
        """
        self.links.add(link)
        self._adopt(link, subprotocol)

    def forget(self, link: AdmittedLink) -> None:
        """The socket of a link is closed."""
        self.links.discard(link)

    def warn_of_proxy(self, remote: str, headers: str) -> None:
        """Tell the log, once, that a proxy has come by the Unix socket, where the user at the other end counts.

        Parameters:
            remote: where the proxy comes from.
            headers: the names of the headers by which it is known.
        """
        if not self._warned_of_proxy:
            self._warned_of_proxy = True
            logger.warning(
                "%s is a reverse proxy (it sends %s): whoever comes through it needs a token. Set "
                "listen.unix_peer_credentials = false, since a request without these headers would pass for your own",
                remote,
                headers,
            )
