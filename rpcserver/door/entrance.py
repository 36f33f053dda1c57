"""The entrance, which all links of a server share: it applies the rules of admission, and counts the admitted links."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from rpcserver.config import ServerConfig
from rpcserver.connections import AdmittedLink
from rpcserver.security.authentication import Authentication
from rpcserver.security.certificates import METHOD as CERTIFICATE
from rpcwire.context import Principal
from rpcwire.logs import about

from .admission import Refusal, canonical_origin
from .descriptors import Descriptors
from .forwarding import Proxies
from .hosts import canonical
from .pages import Pages
from .turns import Turns
from .waiting import WaitingRoom

logger = logging.getLogger("rpcserver.connection")

STOPPING = Refusal(503, "the server is stopping")
CHECKED_AGAIN = Refusal(503, "certificates must be checked again: connect again")


class Entrance:
    """Counts the admitted links, and has what a link needs to decide on its own admission.

    Parameters:
        config: the server's configuration.
        authentication: finds out who a client is.
        pages: answers plain HTTP.
        is_stopping: tells whether the server will stop soon.
        adopt: makes a connection of an admitted link and its subprotocol.
        refuse: returns why a link may not become a connection; ``None`` if it may.
        end: ends the connections of the links for which its first argument returns ``True``; the second one is the
            reason that the clients get.
        refusals: counts what is refused, by the setting of the limit.

    Attributes:
        config: the server's configuration.
        authentication: finds out who a client is.
        pages: answers plain HTTP.
        waiting: the connections that have not authenticated.
        turns: whose input of these is read next.
        descriptors: tells whether strangers have to give way.
        proxies: the trusted proxies.
        allowed_hosts: the names of the server, in their one form.
        allowed_origins: the origins of web pages that may connect, in their one form.
        links: the admitted WebSockets, until their sockets are closed.
        end: as above.
        on_page: called when a page was answered, with the address of the client, who it is, the request, and the
            status.
        on_refusal: called when a connection was refused before there was a WebSocket, with the address of the client,
            and the status or what went wrong.
    """

    def __init__(
        self,
        config: ServerConfig,
        authentication: Authentication,
        pages: Pages,
        is_stopping: Callable[[], bool],
        adopt: Callable[[AdmittedLink, str | None], None],
        refuse: Callable[[AdmittedLink], str | None],
        end: Callable[[Callable[[AdmittedLink], bool], str], None],
        refusals: Counter[str],
    ) -> None:
        self._refusals = refusals
        self.authentication = authentication
        self.pages = pages
        self.waiting = WaitingRoom(config.auth, refusals)
        self.turns = Turns()
        self.descriptors = Descriptors(config.limits.reserved_descriptors)
        self._read(config)
        self.links: set[AdmittedLink] = set()
        self.on_page: Callable[[str, Principal | None, str, str], None] = lambda *_: None
        self.on_refusal: Callable[[str, str], None] = lambda *_: None
        self._is_stopping = is_stopping
        self._adopt = adopt
        self._refuse = refuse
        self.end = end
        self._has_warned_of_proxy = False

    def _read(self, config: ServerConfig) -> None:
        self.config = config
        self.proxies = Proxies(config.listen)
        self.allowed_hosts = frozenset(canonical(host) for host in (config.listen.host, *config.listen.allowed_hosts))
        self.allowed_origins = frozenset(canonical_origin(origin) for origin in config.listen.allowed_origins)

    def change(self, config: ServerConfig) -> None:
        """Have another configuration from now on, which was checked."""
        self._read(config)
        self.pages.change(config.console)
        self.descriptors.reserve = config.limits.reserved_descriptors
        self.waiting.change(config.auth)

    def refuse_if_full(self, link: AdmittedLink) -> Refusal | None:
        """Return a refusal if the server admits no further connection, in all or of this client; otherwise ``None``.

        Parameters:
            link: the WebSocket that is about to be admitted.
        """
        if self._is_stopping():
            return STOPPING
        if len(self.links) >= self.config.limits.connections:
            self._refusals["limits.connections"] += 1
            return Refusal(503, "too many connections: try again later, or raise limits.connections")
        reason = self._refuse(link)
        if reason is not None:
            return Refusal(503, f"{reason}: close some, or try again later")
        return None

    def refuse_if_short(self, principal: Principal | None) -> Refusal | None:
        """Return a refusal if whoever is in needs the descriptors that are left, and no stranger can give way;
        otherwise ``None``. Strangers themselves are let in, since they can give way later.

        Parameters:
            principal: who is about to be let in; ``None`` for a stranger.
        """
        if principal is None or self.authentication.is_owner_here(principal) or not self.descriptors.are_short():
            return None
        if self.waiting.make_room():
            return None
        self._refusals["limits.reserved_descriptors"] += 1
        return Refusal(503, "too few open files are left: try again later, or raise the server's limit (ulimit -n)")

    def admit(self, link: AdmittedLink, subprotocol: str | None) -> None:
        """Admit a WebSocket.

        Parameters:
            link: the WebSocket, which is open.
            subprotocol: the subprotocol of the handshake; ``None`` for none.
        """
        self.links.add(link)
        self._adopt(link, subprotocol)

    def forget(self, link: AdmittedLink) -> None:
        """Forget a link, because its socket is closed."""
        self.links.discard(link)

    def recheck_certificates(self, serials: frozenset[int] | None) -> None:
        """Close the connections of clients that were let in by a certificate that may be valid no more, and those that
        are about to be let in. If the certificate is valid, they get in again.

        Parameters:
            serials: the serial numbers of revoked certificates; ``None`` if all certificates are to be checked again.
        """

        def is_doubtful(link: AdmittedLink) -> bool:
            if link.principal is None or link.principal.method != CERTIFICATE:
                return False
            serial = link.certificate_serial
            return serials is None or serial is None or serial in serials

        self.end(is_doubtful, "its certificate must be checked again: connect again")
        links: AbstractSet[object] = self.links
        for arrival in list(self.waiting):
            if arrival not in links:  # TLS has checked its certificate before, or is about to, by the old files.
                arrival.dismiss(CHECKED_AGAIN)

    def warn_of_proxy(self, remote: str, headers: str, method: str) -> None:
        """Log once that a proxy is at the other end of a connection, on which the sender needs no token.

        Parameters:
            remote: the address of the proxy.
            headers: the names of the headers that show the proxy.
            method: how the other end has authenticated.
        """
        if method == CERTIFICATE:
            logger.warning(
                "%s is a reverse proxy (it sends %s): its certificate is that of none of its clients, who need a token",
                remote,
                headers,
                extra=about(remote, is_known=False),
            )
        elif not self._has_warned_of_proxy:
            self._has_warned_of_proxy = True
            logger.warning(
                "%s is a reverse proxy (it sends %s): whoever comes through it needs a token. Set "
                "listen.unix_peer_credentials = false, since a request without these headers would pass for your own",
                remote,
                headers,
            )
