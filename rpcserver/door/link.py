"""The server's end of a WebSocket: admits or refuses the HTTP request, then hands the connection to a peer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO, cast

from websockets.exceptions import InvalidHandshake, NegotiationError
from websockets.http11 import Request, Response
from websockets.protocol import CONNECTING, Event
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol as WebSocketSubprotocol

from rpcserver.config import UNIX
from rpcserver.memory import Shares
from rpcserver.security.authentication import Credentials
from rpcserver.security.certificates import METHOD as CERTIFICATE
from rpcserver.security.certificates import describe, seconds_left
from rpcwire.accounts import Loan
from rpcwire.aio.websocket import TURN_BYTES, WebSocketLink
from rpcwire.codec import SUBPROTOCOLS, codec_for
from rpcwire.context import Principal
from rpcwire.errors import Busy, Unauthenticated
from rpcwire.head import HeadEnd
from rpcwire.limits import (
    ANSWER_HEADER,
    BATCH_ITEMS_HEADER,
    MESSAGE_BYTES_HEADER,
    MESSAGE_NODES_HEADER,
    LinkLimits,
    parse_message_bytes,
)
from rpcwire.logs import ECHO_CHARACTERS, QUIET, about, printable

from .admission import Refusal, check_host, check_origin, peer_groups, peer_uid
from .asking import HttpRequest, read_request
from .entrance import Entrance
from .forwarding import HEADERS
from .http import REQUEST_BYTES, answer_preflight, refuse_malformed, require_upgrade, respond, share_with
from .pages import PAGES_OF_STATE
from .proxy_header import SIGNATURE, ProxyHeaderError, read_proxy_header
from .tls import send_alerts_through
from .waiting import RETRY_AFTER_S

logger = logging.getLogger("rpcserver.connection")

ARRIVING_BYTES = 64 * 1024
"""A larger part of a message that is arriving is counted."""
FILE_PIECE_BYTES = 64 * 1024
"""How much of a file is read at a time."""

LEAVE_S = 1.0
"""How long a client that has not authenticated in time may take to close its WebSocket, in seconds."""

LOOK_AT_CLOCK_S = 60.0
"""How often to look whether a client's certificate has expired, in seconds."""

VERSION = "13"
"""The one version of the WebSocket protocol (RFC 6455, section 4.1)."""


def select_subprotocol(_: ServerProtocol, offers: Sequence[WebSocketSubprotocol]) -> WebSocketSubprotocol | None:
    """Choose our own subprotocols before plain JSON-RPC. A client that offers none gets plain JSON-RPC; one that offers
    only others gets an error that names ours."""
    for name in SUBPROTOCOLS:
        if name in offers:
            return cast("WebSocketSubprotocol", name)
    if offers:
        raise NegotiationError(f"no common subprotocol; offer none, or one of {', '.join(SUBPROTOCOLS)}")
    return None


def acknowledge(sock: socket.socket) -> None:
    """Acknowledge at once what has arrived. At the end of a TLS handshake the server has nothing to send that would do
    it, and many clients send their request only after that, which the system would otherwise delay by 40 ms (Nagle's
    algorithm and delayed acknowledgements, RFC 1122, sections 4.2.3.2 and 4.2.3.4)."""
    if hasattr(socket, "TCP_QUICKACK") and sock.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # The other side has gone, which the event loop has not noticed yet.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class ServerLink(WebSocketLink):
    """One accepted socket.

    Parameters:
        entrance: decides whether to admit it.
        limits: the limits of the link.
        sock: the socket, from which nothing was read.
        peer: the address at its other end, as accept(2) gives it.
        identifies_peers: whether the process at the other end of a Unix socket is the client itself.
    """

    __slots__ = (
        "_answer_later",
        "_arriving",
        "_delay",
        "_has_replied",
        "_has_transport",
        "_head_end",
        "_is_aborted",
        "_listener",
        "_opening_task",
        "_outgoing",
        "_page_request",
        "_reader",
        "_rest",
        "_room",
        "_sending",
        "_shares",
        "_timer",
        "entrance",
        "is_unix",
        "principal",
        "source",
        "takes_bytes",
    )  # fmt: skip

    def __init__(
        self,
        entrance: Entrance,
        limits: LinkLimits,
        sock: socket.socket,
        peer: Any,
        *,
        identifies_peers: bool = True,
    ) -> None:
        config = entrance.config
        ws = ServerProtocol(
            select_subprotocol=select_subprotocol,
            max_size=config.auth.unauthenticated_message_bytes,
            logger=QUIET,
        )
        ws.debug = False  # It would log the headers of requests, and so tokens.
        super().__init__(ws, limits, holds_reading=True)
        self._turn_bytes = 0  # Until the client has authenticated, all of its input waits for its turn.
        self.entrance = entrance
        self.principal: Principal | None = None
        self.is_unix = sock.family == socket.AF_UNIX
        self._listener = UNIX if self.is_unix else "tcp"
        if self.is_unix:
            uid = peer_uid(sock)
            self.source = entrance.proxies.unix_source(uid)
            if identifies_peers:
                self.principal = entrance.authentication.by_unix_socket(uid, partial(peer_groups, sock))
        elif sock.family in (socket.AF_INET, socket.AF_INET6):
            self.source = entrance.proxies.source(str(peer[0]), peer[1])
        else:
            self.source = entrance.proxies.other_source(peer)
            self._listener = ""
        self._opening_task: asyncio.Task[None] | None = None
        self._has_transport = False
        self._is_aborted = False
        self._head_end = HeadEnd()
        self._answer_later: Callable[[], None] | None = None
        self._rest = b""
        self._has_replied = False
        self.takes_bytes: int | None = None
        self._page_request: tuple[str, Principal | None] | None = None  # The page that was asked for, and by whom.
        self._sending: asyncio.Task[None] | None = None  # Of a file.
        self._room: asyncio.Future[None] | None = None  # Done when the client has read enough of it.
        self._reader: str | None = None  # The allowed origin of a web page that may read the answer.
        self._timer: asyncio.TimerHandle | None = None
        self._shares: Shares | None = None
        self._arriving: Loan | None = None  # Most connections never have a large message on its way.
        self._outgoing: Loan | None = None
        self._delay: asyncio.TimerHandle | None = None

    @property
    def remote(self) -> str:
        """The address of the client, for a person."""
        return str(self.source)

    @property
    def kind(self) -> str:
        """The transport: ``tcp``, ``tls``, ``unix``, or ``other`` for that of a plugin."""
        if self.transport is not None and self.transport.get_extra_info("ssl_object") is not None:
            return "tls"
        return "unix" if self.is_unix else self._listener or "other"

    @property
    def address(self) -> str | None:
        """The address to which limits per address apply."""
        return self.source.counted_address

    @property
    def attempts_address(self) -> str:
        """The address by which wrong attempts to authenticate are counted."""
        return self.source.attempts_address

    @property
    def origin(self) -> str:
        """The whole address of the client, as networks of tokens are compared with it."""
        return self.source.address

    @property
    def is_known(self) -> bool:
        """Whether the client has authenticated."""
        return self.principal is not None

    @property
    def message_bytes(self) -> int:
        """The largest message of the client, in bytes."""
        most = self.ws.max_message_size
        return sys.maxsize if most is None else most

    def certificate(self) -> tuple[Mapping[str, Any], bytes] | None:
        """Return the certificate of the client, which TLS has verified, decoded and in DER; ``None`` for none."""
        certificate = self._certificate()
        if certificate is None or self.transport is None:
            return None
        return certificate, self.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)

    def unix_groups(self) -> Collection[int]:
        """Return the groups of the process at the other end of a Unix socket."""
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        if sock is None or not self.is_unix:
            return frozenset()
        with socket.socket(fileno=os.dup(sock.fileno())) as whole:  # That of uvloop cannot be asked.
            return peer_groups(whole)

    # --- the beginning ------------------------------------------------------------------------------------------

    def begin(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Count the connection, and prepare it for HTTP.

        Parameters:
            sock: the socket.
            tls: the settings of TLS; ``None`` for a connection without TLS.
        """
        self.entrance.waiting.arrive(self)
        # The one clock of everything up to authentication: nothing that the client does starts it again.
        self._timer = self.loop.call_later(self.entrance.config.auth.timeout_s, self._too_late)
        self._opening_task = self.loop.create_task(self._open_transport(sock, tls))
        self._opening_task.add_done_callback(lambda _: self._on_opened(sock))

    async def _open_transport(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        config = self.entrance.config
        try:
            if self._listener in config.listen.proxy_protocol:
                await self._read_proxy_header(sock)
            timeout_s = config.auth.timeout_s if tls is not None else None
            self._has_transport = True
            with send_alerts_through(sock) if tls is not None else contextlib.nullcontext():
                await self.loop.connect_accepted_socket(lambda: self, sock, ssl=tls, ssl_handshake_timeout=timeout_s)
        except ProxyHeaderError as exc:
            self._log("%s refused: %s", str(exc))
            self.entrance.on_refusal(self.remote, "PROXY header refused")
            if tls is None:
                _send_last(
                    sock,
                    _refusal(
                        Refusal(
                            400, f"a connection to this port must begin with the PROXY header of a trusted proxy: {exc}"
                        )
                    ).serialize(),
                )
        except OSError as exc:
            self._log("%s gone before it spoke HTTP: %s", str(exc) or type(exc).__name__, logging.INFO)
            self.entrance.on_refusal(self.remote, "gone before it spoke HTTP")

    async def _read_proxy_header(self, sock: socket.socket) -> None:
        proxy = self.source
        if not proxy.is_proxy:
            raise ProxyHeaderError("listen.trusted_proxies does not name it")
        client = await read_proxy_header(sock)
        if client.address is not None:
            self.source = self.entrance.proxies.source(client.address, client.port, str(proxy))
            self.entrance.waiting.leave(self)
            self.entrance.waiting.arrive(self)

    def _on_opened(self, sock: socket.socket) -> None:
        self._opening_task = None
        if not self._has_transport:
            sock.close()  # Otherwise the transport closes it.
        if self.transport is None:
            self.on_end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request, or refuse the connection at once: it is ready for HTTP now."""
        super().connection_made(transport)
        if self._is_aborted:
            self.abort()
            return
        if transport.get_extra_info("ssl_object") is not None:
            acknowledge(transport.get_extra_info("socket"))
        refusal = self.entrance.refuse_if_full(self)
        if refusal is not None:
            self._refuse(refusal)
        elif self.principal is None:
            self._identify_by_certificate()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        timeout_s = self.entrance.config.auth.timeout_s
        if self.ws.state is not CONNECTING:
            self.fail(1008, f"not authenticated within {timeout_s:g} s")
            self._timer = self.loop.call_later(LEAVE_S, self.abort)  # Its place is for the next one.
        elif self.entrance.waiting.stands_in_line(self):
            self._refuse(Refusal(503, f"no place to authenticate became free within {timeout_s:g} s: try again later"))
        else:
            self._reason = "no WebSocket handshake in time"
            self.entrance.on_refusal(self.remote, self._reason)
            self.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._is_aborted = True
        if self.transport is None and self._opening_task is not None:
            self._opening_task.cancel()
        super().abort()

    # --- the certificate of the client ---------------------------------------------------------------------------

    @property
    def certificate_serial(self) -> int | None:
        """The serial number of the certificate that the client has shown; ``None`` if it has shown none."""
        certificate = self._certificate()
        return None if certificate is None else int(certificate["serialNumber"], 16)

    def _certificate(self) -> dict[str, Any] | None:
        """The certificate that TLS has verified; ``None`` if there is none."""
        tls = None if self.transport is None else self.transport.get_extra_info("ssl_object")
        return None if tls is None else tls.getpeercert()

    def _identify_by_certificate(self) -> None:
        """Find out who the client is by its certificate, if that is not the certificate of a proxy."""
        authentication = self.entrance.authentication
        if not authentication.knows_certificates or self.source.is_proxy:
            return
        certificate = self.certificate()
        if certificate is None:
            return
        try:
            self.principal = authentication.by_certificate(*certificate)
        except LookupError as exc:
            text = f"its certificate is {describe(certificate[0])}, and {exc}"
            self._log("%s needs a token: %s", text, logging.INFO)

    def _expire(self) -> None:
        """Close the connection when the certificate of the client has expired."""
        certificate = self._certificate()
        if certificate is None:
            return
        left_s = seconds_left(certificate)
        if left_s <= 0:
            self._timer = None
            self.entrance.end(lambda link: link is self, "its certificate has expired")
        else:
            # Whoever sets the clock must not make it last longer.
            self._timer = self.loop.call_later(min(left_s, LOOK_AT_CLOCK_S), self._expire)

    # --- called by the waiting room ----------------------------------------------------------------------------

    def dismiss(self, refusal: Refusal) -> None:
        """Close before the client has authenticated, with a refusal if no answer was sent yet."""
        transport = self.transport
        if self.ws.state is not CONNECTING:
            self._log("%s dismissed: %s", refusal.text)
            self.fail(1013, refusal.text)
            self.abort()
            return
        if transport is None or transport.is_closing() or self._has_replied:
            self.abort()
            return
        self._log("%s refused: %s", refusal.text)
        self.entrance.on_refusal(self.remote, f"HTTP {refusal.status}")
        self._answer_later = None
        self._has_replied = True
        self._reason = f"HTTP {refusal.status}"
        self.finish_reading()
        transport.write(_refusal(refusal).serialize())
        if transport.can_write_eof():
            transport.close()
        else:
            transport.abort()  # With TLS the other side could delay the end, and would be counted nowhere.

    def proceed(self) -> None:
        """Answer the request, because there is a place."""
        answer, self._answer_later = self._answer_later, None
        if answer is None:
            return
        answer()
        self._feed_rest()

    def refuse_if_short(self, principal: Principal) -> str | None:
        """Return why a client that has authenticated by a call may not stay; ``None`` if it may. Until then it had only
        a descriptor that strangers give back when others need it.

        Parameters:
            principal: who it is.
        """
        refusal = self.entrance.refuse_if_short(principal)
        if refusal is None and not self.is_open:
            return "this connection had to give way to others: try again later"
        return None if refusal is None else refusal.text

    def grant_full_limits(self, shares: Shares, message_bytes: int) -> None:
        """Give the client its full limits and as much time as it needs, because it has authenticated.

        Parameters:
            shares: count the bytes that this link holds.
            message_bytes: the largest message of the client, in bytes.
        """
        self._shares = shares
        self.ws.max_message_size = message_bytes
        self._turn_bytes = TURN_BYTES
        self.entrance.waiting.leave(self)
        self._stop_timer()
        if self.principal is not None and self.principal.method == CERTIFICATE:
            self._expire()

    # --- the bytes of the request -------------------------------------------------------------------------------

    def head_received(self, data: bytes) -> None:
        """Read the request. Until it is answered, the input behind it waits."""
        if self._head_end.size == 0 and data.startswith((SIGNATURE, b"PROXY ")):
            self._refuse(Refusal(400, "this listener takes no PROXY header: add it to listen.proxy_protocol"))
            return
        end = self._head_end.find(data)
        if end:
            super().head_received(data[:end])
        if self._head_end.size > REQUEST_BYTES and not self._head_end.is_complete and not self._ignores_input:
            self._refuse(Refusal(431, f"the request has more than {REQUEST_BYTES} bytes"))
        if end < len(data) and not self._ignores_input:
            self._rest += data[end:]
            self._feed_rest()

    def take_turn(self, step: Callable[[], None]) -> None:
        """Have more of the input read in a later turn of the loop. Clients that have not authenticated share one."""
        if self._turn_bytes:
            super().take_turn(step)
        else:
            self.entrance.turns.take(step)

    def _read_rest_before(self, step: Callable[[], None]) -> None:
        """Take the last step when all input was read. That of a client that has not authenticated is dropped: nobody
        could read the answers."""
        if not self._turn_bytes:
            self._waiting, self._frame_rest = b"", None
        super()._read_rest_before(step)

    def input_waits(self, size_bytes: int) -> None:
        """Count the part of a message that has arrived. Close the connection if there is no room for it: who has sent
        the message is not known before all of it is there."""
        if self._shares is None:
            return  # Before authentication, messages are small.
        if self._arriving is None:
            if size_bytes <= ARRIVING_BYTES:
                return
            self._arriving = Loan(self._shares.arriving)
        try:
            self._arriving.resize(size_bytes if size_bytes > ARRIVING_BYTES else 0)
        except Busy as exc:
            logger.warning("%s dropped in the middle of a message: %s", self.remote, exc.message)
            self._arriving.give_back()
            self.fail(1013, "too many large messages are arriving: try again later")

    def output_waits(self, size_bytes: int) -> None:
        """Count output that waits. Drop the connection if there is no room for it."""
        if self._shares is None or self._is_lost:
            return
        if self._outgoing is None:
            self._outgoing = Loan(self._shares.outgoing)
        try:
            self._outgoing.resize(size_bytes)
        except Busy as exc:
            logger.warning("%s dropped: it reads too slowly: %s", self.remote, exc.message)
            self._reason = f"the other side reads too slowly: {size_bytes} bytes wait"
            self.abort()

    def _feed_rest(self) -> None:
        """Read the input behind the request, if there is a WebSocket now."""
        if self.receiver is not None:
            data, self._rest = self._rest, b""
            if data:
                self.data_received(data)
        elif len(self._rest) > self.entrance.config.auth.unauthenticated_message_bytes:
            self._rest = b""
            self._refuse(Refusal(400, "too much was sent before the answer to the handshake (RFC 6455, section 4.1)"))

    # --- the handshake ------------------------------------------------------------------------------------------

    def handshake(self, event: Event) -> None:
        """Answer an HTTP request, or admit it."""
        response = self._admit(cast("Request", event))
        if response is not None:
            self.reply(response)

    def _admit(self, request: Request) -> Response | None:
        """Admit a request, or return the answer; ``None`` if the answer was sent or will be."""
        entrance = self.entrance
        client = entrance.proxies.client(self.source, request.headers)
        if isinstance(client, Refusal):
            return self._log_refusal(client, head=request.method == "HEAD")
        self.source = client
        self._doubt_proxies(request)
        http_request = read_request(request, entrance.config.listen.path_prefix)
        if isinstance(http_request, Refusal):
            return self._log_refusal(http_request, head=request.method == "HEAD")
        refusal = check_host(http_request.authority, entrance.allowed_hosts) or check_origin(
            http_request.headers, http_request.authority, entrance.allowed_origins
        )
        if refusal is not None:
            return self._log_refusal(refusal, head=http_request.is_head)
        if http_request.path in PAGES_OF_STATE:
            self._reader = http_request.headers.get("Origin")
            if http_request.is_preflight:
                self._page_request = (f"OPTIONS {http_request.path}", None)
                return answer_preflight()
        if http_request.method not in ("GET", "HEAD"):
            method = printable(http_request.method, 20)
            return respond(405, f"{method} is not for this port: use GET or HEAD\n", Allow="GET, HEAD")
        if not http_request.wants_websocket:
            self.finish_reading()
        elif http_request.path != "/":
            where = f"{entrance.config.listen.path_prefix}/"
            return respond(404, f"the WebSocket is at {where}\n", head=http_request.is_head)
        try:
            credentials = entrance.authentication.read(request.headers, self.attempts_address, self.origin)
        except Unauthenticated as exc:
            self._log("%s refused: %s", exc.message)
            return self._go_on(request, http_request, None, exc)
        if credentials is None:
            return self._go_on(request, http_request, None, None)
        delay_s = entrance.authentication.delay_before_s(credentials)
        if not delay_s:
            return self._check(request, http_request, credentials)
        refusal = entrance.waiting.delay(self)
        if refusal is not None:
            return self._log_refusal(refusal, head=http_request.is_head)
        self._go_on_after(delay_s, lambda: self._check(request, http_request, credentials))
        return None

    def _check(self, request: Request, http_request: HttpRequest, credentials: Credentials) -> Response | None:
        """Find out who shows these credentials. If they are wrong, go on after a delay that grows with each attempt."""
        authentication = self.entrance.authentication
        answer_at = self.loop.time() + authentication.delay_after_s(credentials)
        try:
            principal = authentication.check(credentials, self.remote)
        except Unauthenticated as exc:
            failure = exc
            self.entrance.waiting.send_back(self)
            delay_s = answer_at - self.loop.time()
            self._go_on_after(delay_s, lambda: self._go_on(request, http_request, None, failure))
            return None
        return self._go_on(request, http_request, principal, None)

    def _go_on_after(self, delay_s: float, step: Callable[[], Response | None]) -> None:
        def answer() -> None:
            response = step()
            if response is not None:
                self.reply(response)

        self._answer_later = answer
        self._delay = self.loop.call_later(delay_s, self.proceed)

    def _go_on(
        self, request: Request, http_request: HttpRequest, principal: Principal | None, failure: Unauthenticated | None
    ) -> Response | None:
        """Answer a request of which is known who has sent it."""
        if not http_request.wants_websocket:
            # Whoever shows wrong credentials gets only what everybody gets, even if the other end is known.
            who = principal if failure is not None else principal or self.principal
            request_line = f"{http_request.method} {http_request.path}"
            self._page_request = (request_line[:ECHO_CHARACTERS], who)
            return self._proceed_when(
                lambda: self.entrance.pages.answer(self, http_request, who),
                is_known=principal is not None or self.is_known,
            )
        if failure is not None:
            return respond(401, f"{failure.message}\n", WWW_Authenticate=self.entrance.authentication.challenges)
        self.principal = principal or self.principal
        return self._open(request)

    def _doubt_proxies(self, request: Request) -> None:
        """Forget who is at the other end of the connection if the request came through a proxy: it is not the proxy's
        own."""
        proxy_headers = ", ".join(name for name in HEADERS if name in request.headers)
        if proxy_headers and self.principal is not None:
            method, self.principal = self.principal.method, None
            self.entrance.warn_of_proxy(self.remote, proxy_headers, method)

    def _proceed_when(self, answer: Callable[[], None], *, is_known: bool) -> Response | None:
        """Answer a request at once if its sender has authenticated; otherwise when there is a place."""
        if is_known:
            self.entrance.waiting.leave(self)
            self._stop_timer()  # It may read the answer slowly: the stall limit bounds that.
            answer()
            return None
        self._answer_later = answer
        refusal = self.entrance.waiting.ask(self)
        if refusal is None:
            return None
        self._answer_later = None
        return self._log_refusal(refusal)

    def _open(self, request: Request) -> Response | None:
        versions = request.headers.get_all("Sec-WebSocket-Version")
        if versions != [VERSION]:
            version = ", ".join(versions)[:20]
            self._log("%s refused: WebSocket version %s", version or "not given")
            text = f"the version of the WebSocket protocol must be {VERSION}: Sec-WebSocket-Version: {VERSION}\n"
            if not versions:
                return respond(400, text, Sec_WebSocket_Version=VERSION)
            return require_upgrade(text, Sec_WebSocket_Version=VERSION)
        try:
            self.takes_bytes = parse_message_bytes(request.headers.get_all(MESSAGE_BYTES_HEADER))
        except ValueError as exc:
            return self._log_refusal(Refusal(400, str(exc)))
        response = cast("ServerProtocol", self.ws).accept(request)
        if response.status_code != 101:
            failure = self.ws.handshake_exc
            self._log("%s refused: %s", str(failure))
            self._reason = "handshake refused"
            response.headers[ANSWER_HEADER] = "rpcserver"
            return response if isinstance(failure, InvalidHandshake) else respond(400, "not a WebSocket handshake\n")
        limits = self.entrance.config.limits
        packed = codec_for(self.ws.subprotocol).packed
        response.headers[MESSAGE_BYTES_HEADER] = str(limits.incoming_bytes(packed=packed))
        response.headers[MESSAGE_NODES_HEADER] = str(limits.message_nodes)
        response.headers[BATCH_ITEMS_HEADER] = str(limits.batch_items)
        return self._proceed_when(lambda: self._accept(response), is_known=self.principal is not None)

    def _accept(self, response: Response) -> None:
        refusal = self.entrance.refuse_if_full(self) or self.entrance.refuse_if_short(self.principal)
        if refusal is not None:
            self._refuse(refusal)
            return
        cast("ServerProtocol", self.ws).send_response(response)
        self._write()
        self.entrance.admit(self, self.ws.subprotocol)

    def _log(self, template: str, text: str, level: int = logging.WARNING) -> None:
        """Log what happens to a client that has not authenticated.

        Parameters:
            template: the line, with a place for the address and one for the text.
            text: what has happened.
            level: its level.
        """
        remote = self.remote
        logger.log(level, template, remote, printable(text, 400), extra=about(remote, is_known=False))

    def _refuse(self, refusal: Refusal) -> None:
        self.reply(self._log_refusal(refusal))

    def _log_refusal(self, refusal: Refusal, *, head: bool = False) -> Response:
        """Log a refusal, and make its answer."""
        self._log("%s refused: %s", refusal.text)
        return _refusal(refusal, head=head)

    def reply(self, response: Response) -> None:
        """Answer an HTTP request, and close."""
        if self._reader is not None:
            share_with(response, self._reader)
        self._reply(response.serialize(), f"HTTP {response.status_code}")

    def reply_file(self, response: Response, file: BinaryIO) -> None:
        """Answer an HTTP request with a file, as fast as the client reads it, and close. The file is closed then."""
        self._stop_timer()  # It may read the file slowly: the stall limit bounds that.
        self._reply(response.serialize(), f"HTTP {response.status_code}", file)

    def _reply(self, data: bytes, reason: str, file: BinaryIO | None = None) -> None:
        transport = self.transport
        if self.ws.state is not CONNECTING or self._has_replied or transport is None or transport.is_closing():
            if file is not None:
                file.close()
            return
        self._answer_later = None
        self.entrance.waiting.send_back(self)  # It needs no place any more.
        self._reason = self._reason or reason
        self._has_replied = True
        if self._page_request is not None:
            self.entrance.on_page(self.remote, self._page_request[1], self._page_request[0], reason)
        else:
            self.entrance.on_refusal(self.remote, reason)
        self.finish_reading()
        transport.write(data)
        if file is None:
            self._end_reply(transport)
        else:
            self._sending = self.loop.create_task(self._send_file(transport, file))

    async def _send_file(self, transport: asyncio.Transport, file: BinaryIO) -> None:
        """Send a file, of which at most some pieces wait in memory. A client that stops reading is dropped."""
        with file:
            while not transport.is_closing():
                piece = await asyncio.to_thread(file.read, FILE_PIECE_BYTES)
                if not piece:
                    self._end_reply(transport)
                    return
                if self._room is not None:
                    await self._room
                if not transport.is_closing():
                    transport.write(piece)

    def pause_writing(self) -> None:
        """Note that more output waits than the other side reads."""
        super().pause_writing()
        if self._sending is not None:
            self._room = self.loop.create_future()

    def resume_writing(self) -> None:
        """Note that the output was sent."""
        super().resume_writing()
        self._go_on_sending()

    def _go_on_sending(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    def _end_reply(self, transport: asyncio.Transport) -> None:
        """Say that the answer is whole."""
        if transport.is_closing():
            return
        if transport.can_write_eof():
            try:
                transport.write_eof()  # Not close: if the client is still sending, it would never get the answer.
            except OSError:  # The client has reset the connection, which the event loop has not noticed yet.
                self.abort()
            else:
                self._expect_close()
        else:
            transport.close()

    def eof_received(self) -> bool:
        """Note that the client sends no more. It may still wait for an answer."""
        if self._answer_later is not None and not self._ignores_input:
            return False  # A WebSocket needs two sides that can write.
        super().eof_received()
        return (
            self._ignores_input
            and not self._has_replied
            and self.transport is not None
            and self.transport.can_write_eof()
        )

    def handshake_failed(self, exc: Exception) -> None:
        """Answer input that is not an HTTP request."""
        if not self._head_end.size:
            return  # Nothing came: load balancers check in this way whether the server runs.
        chunks = [chunk for chunk in self.ws.data_to_send() if chunk]
        self._log("%s refused: %s", str(exc.__cause__ or exc))
        self._reply(b"".join(chunks) or refuse_malformed(exc).serialize(), "handshake failed")

    def on_end(self) -> None:
        """Leave the waiting room and the entrance, because the socket is closed."""
        self._stop_timer()
        self._go_on_sending()  # Its task sees that the socket is closed.
        if self._delay is not None:
            self._delay.cancel()
        self._answer_later = None
        for loan in (self._arriving, self._outgoing):
            if loan is not None:
                loan.give_back()
        self.entrance.waiting.leave(self)
        self.entrance.forget(self)


def _send_last(sock: socket.socket, data: bytes) -> None:
    """Send a few bytes before a socket is closed, without waiting."""
    with contextlib.suppress(OSError):
        sock.send(data)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(65536)  # If input stayed unread, the other side would never get the answer.


def _refusal(refusal: Refusal, *, head: bool = False) -> Response:
    """Make the response of a refusal. If it is temporary, the response says when to try again."""
    if refusal.status in (429, 503):
        return respond(refusal.status, refusal.text + "\n", head=head, Retry_After=str(RETRY_AFTER_S))
    return respond(refusal.status, refusal.text + "\n", head=head)
