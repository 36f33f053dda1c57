"""The server's end of a WebSocket: admits or refuses the HTTP request, then hands the connection to a peer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, cast

from websockets.exceptions import InvalidHandshake, NegotiationError
from websockets.http11 import Request, Response
from websockets.protocol import CONNECTING, Event
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol as WebSocketSubprotocol

from rpcserver.config import UNIX
from rpcwire.aio.websocket import WebSocketLink
from rpcwire.codec import OFFERED
from rpcwire.context import Principal
from rpcwire.errors import Unauthenticated
from rpcwire.limits import ANSWER_HEADER, BATCH_ITEMS_HEADER, MESSAGE_BYTES_HEADER, LinkLimits, parse_message_bytes
from rpcwire.logs import QUIET

from .admission import Refusal, check_host, check_origin, peer_uid
from .asking import read_request
from .entrance import Entrance
from .forwarding import HEADERS
from .http import REQUEST_BYTES, HeadEnd, refuse_malformed, respond, upgrade_required
from .proxy_header import SIGNATURE, ProxyHeaderError, read_proxy_header
from .tls import told_through
from .waiting import RETRY_AFTER_S

logger = logging.getLogger("rpcserver.connection")

VERSION = "13"
"""The one version of the WebSocket protocol (RFC 6455, section 4.1)."""


def select_subprotocol(_: ServerProtocol, offered: Sequence[WebSocketSubprotocol]) -> WebSocketSubprotocol | None:
    """Ours before plain JSON-RPC; none offered means plain JSON-RPC; others only is an error that names ours."""
    for name in OFFERED:
        if name in offered:
            return cast("WebSocketSubprotocol", name)
    if offered:
        raise NegotiationError(f"no common subprotocol; offer none, or one of {', '.join(OFFERED)}")
    return None


class ServerLink(WebSocketLink):
    """One accepted socket.

    Parameters:
        entrance: decides whether it is let in.
        limits: how the link guards itself.
        sock: the socket, from which nothing was read.
        peer: the address at its other end, as accept(2) tells it.
    """

    def __init__(self, entrance: Entrance, limits: LinkLimits, sock: socket.socket, peer: Any) -> None:
        config = entrance.config
        ws = ServerProtocol(
            select_subprotocol=select_subprotocol,
            max_size=config.auth.unauthenticated_message_bytes,
            logger=QUIET,
        )
        super().__init__(ws, limits, holds_reading=True)
        self.handshaker = ws
        self.entrance = entrance
        self.principal: Principal | None = None
        self.is_unix = sock.family == socket.AF_UNIX
        self._listener = UNIX if self.is_unix else "tcp"
        if self.is_unix:
            uid = peer_uid(sock)
            self.source = entrance.proxies.unix_source(uid)
            self.principal = entrance.authentication.by_unix_socket(uid)
        elif sock.family in (socket.AF_INET, socket.AF_INET6):
            self.source = entrance.proxies.source(str(peer[0]), peer[1])
        else:
            self.source = entrance.proxies.other_source(peer)
            self._listener = ""
        self._opening: asyncio.Task[None] | None = None
        self._handed_over = False
        self._dropped = False
        self._head_end = HeadEnd()
        self._awaited: Callable[[], None] | None = None
        self._kept = b""
        self._replied = False
        self.takes_bytes: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def remote(self) -> str:
        """Where it comes from, for a person."""
        return str(self.source)

    @property
    def address(self) -> str | None:
        """What limits per address go by."""
        return self.source.counted_address

    # --- its beginning ------------------------------------------------------------------------------------------

    def begin(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Count the connection, and bring it to where HTTP can be spoken.

        Parameters:
            sock: the socket.
            tls: where the connection is to be encrypted.
        """
        self.entrance.waiting.arrive(self)
        self._restart_timer()
        self._opening = self.loop.create_task(self._open_transport(sock, tls))
        self._opening.add_done_callback(lambda _: self._opened(sock))

    async def _open_transport(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        config = self.entrance.config
        try:
            if self._listener in config.listen.proxy_protocol:
                await self._read_proxy_header(sock)
            timeout_s = config.auth.timeout_s if tls is not None else None
            self._handed_over = True
            with told_through(sock):
                await self.loop.connect_accepted_socket(lambda: self, sock, ssl=tls, ssl_handshake_timeout=timeout_s)
        except ProxyHeaderError as exc:
            logger.warning("%s refused: %s", self.remote, exc)
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
            logger.info("%s gone before it spoke HTTP: %s", self.remote, exc)

    async def _read_proxy_header(self, sock: socket.socket) -> None:
        proxy = self.source
        if not proxy.is_proxy:
            raise ProxyHeaderError("listen.trusted_proxies does not name it")
        client = await read_proxy_header(sock)
        if client.address is not None:
            self.source = self.entrance.proxies.source(client.address, client.port, str(proxy))
            self.entrance.waiting.leave(self)
            self.entrance.waiting.arrive(self)

    def _opened(self, sock: socket.socket) -> None:
        self._opening = None
        if not self._handed_over:
            sock.close()  # From then on it is the transport's.
        if self.transport is None:
            self.ended()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is ready for HTTP: admit it for a while, or refuse it at once."""
        super().connection_made(transport)
        if self._dropped:
            self.abort()
            return
        refusal = self.entrance.full()
        if refusal is not None:
            self._refuse(refusal)

    def _restart_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.entrance.config.auth.timeout_s, self._too_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        timeout_s = self.entrance.config.auth.timeout_s
        if self.ws.state is not CONNECTING:
            self.fail(1008, f"not authenticated within {timeout_s:g} s")
        elif self.entrance.waiting.stands_in_line(self):
            self._refuse(Refusal(503, f"no place to authenticate became free within {timeout_s:g} s: try again later"))
        else:
            self._reason = "no WebSocket handshake in time"
            self.abort()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._dropped = True
        if self.transport is None and self._opening is not None:
            self._opening.cancel()
        super().abort()

    # --- what the waiting room wants ----------------------------------------------------------------------------

    def dismiss(self, refusal: Refusal) -> None:
        """Go, although nothing was asked yet, and with a word where there is still one to say."""
        transport = self.transport
        if transport is None or transport.is_closing() or self._replied:
            self.abort()
            return
        logger.warning("%s refused: %s", self.remote, refusal.text)
        self._replied = True
        self._reason = f"HTTP {refusal.status}"
        self.finish_reading()
        transport.write(_refusal(refusal).serialize())
        if transport.can_write_eof():
            transport.close()
        else:
            transport.abort()  # The other side may put TLS's good-bye off, and be counted nowhere meanwhile.

    def proceed(self) -> None:
        """There is a place: do what was asked for."""
        answer, self._awaited = self._awaited, None
        if answer is None:
            return
        self._restart_timer()
        answer()
        self._feed_kept()

    def authenticated(self) -> None:
        """The other side is known now: it gets the full limits, and all the time it wants."""
        self.ws.max_message_size = self.entrance.config.limits.message_bytes
        self.entrance.waiting.leave(self)
        self._stop_timer()

    # --- the bytes of the request -------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes have come. Until the request is answered, nothing behind it is looked at."""
        if self.receiver is not None or self._ignores_input:
            super().data_received(data)
            return
        if self._head_end.read == 0 and data.startswith((SIGNATURE, b"PROXY ")):
            self._refuse(Refusal(400, "this listener takes no PROXY header: add it to listen.proxy_protocol"))
            return
        end = self._head_end.find(data)
        if end:
            super().data_received(data[:end])
        if self._head_end.read > REQUEST_BYTES and not self._head_end.found and not self._ignores_input:
            self._refuse(Refusal(431, f"the request has more than {REQUEST_BYTES} bytes"))
        if end < len(data) and not self._ignores_input:
            self._kept += data[end:]
            self._feed_kept()

    def _feed_kept(self) -> None:
        """What came behind the request is the WebSocket's, once there is one."""
        if self.receiver is not None:
            data, self._kept = self._kept, b""
            if data:
                super().data_received(data)
        elif len(self._kept) > self.entrance.config.auth.unauthenticated_message_bytes:
            self._kept = b""
            self._refuse(Refusal(400, "too much was sent before the answer to the handshake (RFC 6455, section 4.1)"))

    # --- the handshake ------------------------------------------------------------------------------------------

    def handshake(self, event: Event) -> None:
        """An HTTP request has come."""
        response = self._admit(cast("Request", event))
        if response is not None:
            self.reply(response)

    def _admit(self, request: Request) -> Response | None:
        """Let a request in, or say what to answer; ``None`` where the answer was sent or is being made."""
        entrance = self.entrance
        client = entrance.proxies.client(self.source, request.headers)
        if isinstance(client, Refusal):
            return self._refused(client, head=request.method == "HEAD")
        self.source = client
        self._doubt_proxies(request)
        asked = read_request(request, entrance.config.listen.path_prefix)
        if isinstance(asked, Refusal):
            return self._refused(asked, head=request.method == "HEAD")
        refusal = check_host(asked.authority, entrance.allowed_hosts) or check_origin(
            asked.headers, asked.authority, entrance.allowed_origins
        )
        if refusal is not None:
            return self._refused(refusal, head=asked.is_head)
        if asked.method not in ("GET", "HEAD"):
            return respond(405, f"{asked.method[:20]} is not for this port: use GET or HEAD\n", Allow="GET, HEAD")
        if not asked.wants_websocket:
            self.finish_reading()
            known = self.principal is not None or entrance.pages.is_known(asked.headers)
            return self._proceed_when(lambda: entrance.pages.answer(self, asked), known=known)
        if asked.path != "/":
            where = f"{entrance.config.listen.path_prefix}/"
            return respond(404, f"the WebSocket is at {where}\n", head=asked.is_head)
        return self._open(request)

    def _doubt_proxies(self, request: Request) -> None:
        """A request that comes by a proxy is not the proxy's user's."""
        found = ", ".join(name for name in HEADERS if name in request.headers)
        if found and self.principal is not None:
            self.principal = None
            self.entrance.warn_of_proxy(self.remote, found)

    def _proceed_when(self, answer: Callable[[], None], *, known: bool) -> Response | None:
        """Answer a request at once where its sender is known, once there is a place for a stranger where not."""
        if known:
            self.entrance.waiting.leave(self)
            self._stop_timer()  # It may take the answer as slowly as it likes, as long as it takes it.
            answer()
            return None
        self._awaited = answer
        refusal = self.entrance.waiting.ask(self)
        if refusal is None:
            if self._awaited is not None:
                self._restart_timer()  # In line, it has as much time again.
            return None
        self._awaited = None
        return self._refused(refusal)

    def _open(self, request: Request) -> Response | None:
        try:
            self.principal = self.entrance.authentication.by_request(request.headers) or self.principal
        except Unauthenticated as wrong:
            logger.warning("%s refused: %s", self.remote, wrong.message)
            return respond(401, f"{wrong.message}\n", WWW_Authenticate=self.entrance.authentication.challenges)
        versions = request.headers.get_all("Sec-WebSocket-Version")
        if versions != [VERSION]:
            named = ", ".join(versions)[:20]
            logger.warning("%s refused: WebSocket version %s", self.remote, named or "not given")
            text = f"the version of the WebSocket protocol must be {VERSION}: Sec-WebSocket-Version: {VERSION}\n"
            if not versions:
                return respond(400, text, Sec_WebSocket_Version=VERSION)
            return upgrade_required(text, Sec_WebSocket_Version=VERSION)
        try:
            self.takes_bytes = parse_message_bytes(request.headers.get_all(MESSAGE_BYTES_HEADER))
        except ValueError as wrong:
            return self._refused(Refusal(400, str(wrong)))
        response = self.handshaker.accept(request)
        if response.status_code != 101:
            exc = self.ws.handshake_exc
            logger.warning("%s refused: %s", self.remote, exc)
            self._reason = "handshake refused"
            response.headers[ANSWER_HEADER] = "rpcserver"
            return response if isinstance(exc, InvalidHandshake) else respond(400, "not a WebSocket handshake\n")
        limits = self.entrance.config.limits
        response.headers[MESSAGE_BYTES_HEADER] = str(limits.message_bytes)
        response.headers[BATCH_ITEMS_HEADER] = str(limits.batch_items)
        return self._proceed_when(lambda: self._accept(response), known=self.principal is not None)

    def _accept(self, response: Response) -> None:
        refusal = self.entrance.full()
        if refusal is not None:
            self._refuse(refusal)
            return
        self.handshaker.send_response(response)
        self._write()
        self.entrance.admit(self, self.ws.subprotocol)

    def _refuse(self, refusal: Refusal) -> None:
        self.reply(self._refused(refusal))

    def _refused(self, refusal: Refusal, *, head: bool = False) -> Response:
        """The answer to what is refused, which the log tells, too."""
        logger.warning("%s refused: %s", self.remote, refusal.text)
        return _refusal(refusal, head=head)

    def reply(self, response: Response) -> None:
        """Answer an HTTP request, and close."""
        self._reply(response.serialize(), f"HTTP {response.status_code}")

    def _reply(self, data: bytes, reason: str) -> None:
        transport = self.transport
        if self.ws.state is not CONNECTING or self._replied or transport is None or transport.is_closing():
            return
        if self._awaited is not None:  # It stands in line, and has no more business there.
            self._awaited = None
            self.entrance.waiting.leave(self)
            self.entrance.waiting.arrive(self)
        self._reason = self._reason or reason
        self._replied = True
        self.finish_reading()
        transport.write(data)
        if transport.can_write_eof():
            transport.write_eof()  # Rather than close: what the client is still sending would cost it the answer.
            self._expect_close()
        else:
            transport.close()

    def eof_received(self) -> bool:
        """The other side will send no more; it may wait for an answer all the same."""
        if self._awaited is not None and not self._ignores_input:
            return False  # A WebSocket that only one side can write to is none.
        super().eof_received()
        return (
            self._ignores_input and not self._replied and self.transport is not None and self.transport.can_write_eof()
        )

    def handshake_failed(self, exc: Exception) -> None:
        """What came is no HTTP request."""
        if not self._head_end.read:
            return  # Nothing came: that is how load balancers look whether somebody is there.
        chunks = [chunk for chunk in self.ws.data_to_send() if chunk]
        logger.warning("%s refused: %s", self.remote, exc.__cause__ or exc)
        self._reply(b"".join(chunks) or refuse_malformed(exc).serialize(), "handshake failed")

    def ended(self) -> None:
        """The socket is closed."""
        self._stop_timer()
        self._awaited = None
        self.entrance.waiting.leave(self)
        self.entrance.forget(self)


def _send_last(sock: socket.socket, data: bytes) -> None:
    """Send a few bytes before a socket is closed, as far as that goes without waiting."""
    with contextlib.suppress(OSError):
        sock.send(data)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(65536)  # What is left unread would cost the other side the answer.


def _refusal(refusal: Refusal, *, head: bool = False) -> Response:
    """A refusal as a response; one that passes says when to try again."""
    if refusal.status in (429, 503):
        return respond(refusal.status, refusal.text + "\n", head=head, Retry_After=str(RETRY_AFTER_S))
    return respond(refusal.status, refusal.text + "\n", head=head)
