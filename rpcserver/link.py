"""The server's end of a WebSocket: admits or refuses the HTTP request, then hands the connection to a peer."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from websockets.exceptions import InvalidHandshake, NegotiationError
from websockets.http11 import Request, Response
from websockets.protocol import CONNECTING, Event
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol as WebSocketSubprotocol

from rpcwire.aio.websocket import WebSocketLink
from rpcwire.codec import OFFERED
from rpcwire.context import OWNER, Principal
from rpcwire.limits import MESSAGE_BYTES_HEADER, LinkLimits
from rpcwire.logs import QUIET

from .admission import Refusal, bearer_token, check_host, check_origin, peer_uid
from .http import refuse_malformed, respond

if TYPE_CHECKING:
    from .server import Server

logger = logging.getLogger("rpcserver.connection")


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
        server: whose socket it is.
        limits: how the link guards itself.
        unix: whether the socket is a Unix socket.
    """

    def __init__(self, server: Server, limits: LinkLimits, *, unix: bool) -> None:
        config = server.config
        ws = ServerProtocol(
            select_subprotocol=select_subprotocol,
            max_size=config.auth.unauthenticated_message_bytes,
            logger=QUIET,
        )
        super().__init__(ws, limits, holds_reading=True)
        self.handshaker = ws
        self.server = server
        self.unix = unix
        self.remote = "unix"
        self.address = "unix"
        self.principal: Principal | None = None
        self._replied = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A socket was accepted: admit it for a while, or refuse it at once."""
        super().connection_made(transport)
        sock: socket.socket = transport.get_extra_info("socket")
        if self.unix:
            self.principal = self._owner(sock)
        else:
            self.address, port = transport.get_extra_info("peername")[:2]
            self.remote = f"{self.address}:{port}"
        refusal = self.server.full() or self.server.waiting.admit(self)
        if refusal is not None:
            logger.warning("%s refused: %s", self.remote, refusal.text)
            self._refuse_early(refusal)
            return
        self._timer = self.loop.call_later(self.server.config.auth.timeout_s, self._too_late)

    def hold(self) -> None:
        """There is no place to authenticate yet: read nothing for now."""
        if self.transport is not None:
            self.transport.pause_reading()

    def proceed(self) -> None:
        """There is a place now."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _owner(self, sock: socket.socket) -> Principal | None:
        uid = peer_uid(sock)
        self.remote = f"unix:uid={uid}"
        return Principal(OWNER, "peer", uid) if uid is not None and uid == self.server.owner_uid else None

    def _refuse_early(self, refusal: Refusal) -> None:
        """Answer before anything was read."""
        assert self.transport is not None
        self.transport.write(respond(refusal.status, refusal.text + "\n").serialize())
        self.transport.close()

    def _too_late(self) -> None:
        if self.ws.state is CONNECTING:
            self._reason = "no WebSocket handshake in time"
            self.abort()
        else:
            self.fail(1008, f"not authenticated within {self.server.config.auth.timeout_s:g} s")

    def authenticated(self) -> None:
        """The other side is known now: it gets the full limits, and all the time it wants."""
        self.ws.max_message_size = self.server.config.limits.message_bytes
        self.server.waiting.leave(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- the handshake ------------------------------------------------------------------------------------------

    def handshake(self, event: Event) -> None:
        """An HTTP request has come."""
        request = cast("Request", event)
        if "Upgrade" not in request.headers or request.method != "GET":
            self.finish_reading()
        response = self._admit(request)
        if response is not None:
            self.reply(response)

    def _admit(self, request: Request) -> Response | None:
        """Let a handshake in, or say what to answer; ``None`` where the answer was sent or is being made."""
        head = request.method == "HEAD"
        server = self.server
        refusal = check_host(request.headers, server.allowed_hosts) or check_origin(
            request.headers, server.allowed_origins
        )
        if refusal is not None:
            logger.warning("%s refused: %s", self.remote, refusal.text)
            return respond(refusal.status, refusal.text + "\n", head=head)
        if request.method not in ("GET", "HEAD"):
            return respond(405, f"{request.method[:20]} is not for this port: use GET or HEAD\n", Allow="GET, HEAD")
        if "Upgrade" not in request.headers:
            self.server.pages.answer(self, request)
            return None
        if request.path.partition("?")[0] != "/":
            return respond(404, "the WebSocket is at /\n", head=head)
        return self._open(request)

    def _open(self, request: Request) -> Response | None:
        token = bearer_token(request.headers)
        if isinstance(token, str):
            self.principal = self.server.tokens.principal(token)
        if isinstance(token, Refusal) or (token is not None and self.principal is None):
            text = token.text if isinstance(token, Refusal) else "the token is wrong"
            logger.warning("%s refused: %s", self.remote, text)
            return respond(401, text + "\n", WWW_Authenticate='Bearer realm="rpcserver"')
        if self.server.stopping:
            return respond(503, "the server is stopping\n")
        response = self.handshaker.accept(request)
        if response.status_code != 101:
            exc = self.ws.handshake_exc
            logger.warning("%s refused: %s", self.remote, exc)
            self._reason = "handshake refused"
            return response if isinstance(exc, InvalidHandshake) else respond(400, "not a WebSocket handshake\n")
        response.headers[MESSAGE_BYTES_HEADER] = str(self.server.config.limits.message_bytes)
        self.handshaker.send_response(response)
        self._write()
        self.server.adopt(self, self.ws.subprotocol)
        return None

    def reply(self, response: Response) -> None:
        """Answer an HTTP request, and close."""
        transport = self.transport
        if self.ws.state is not CONNECTING or self._replied or transport is None or transport.is_closing():
            return
        self._reason = self._reason or f"HTTP {response.status_code}"
        self._replied = True
        self.finish_reading()
        transport.write(response.serialize())
        if transport.can_write_eof():
            transport.write_eof()  # Rather than close: what the client is still sending would cost it the answer.
            self._expect_close()
        else:
            transport.close()

    def eof_received(self) -> bool:
        """The other side will send no more; it may wait for an answer all the same."""
        super().eof_received()
        return self._finished and not self._replied and self.transport is not None and self.transport.can_write_eof()

    def handshake_failed(self, exc: Exception) -> None:
        """What came is no HTTP request."""
        assert self.transport is not None
        chunks = [chunk for chunk in self.ws.data_to_send() if chunk]
        if self.transport.is_closing():
            return
        logger.warning("%s refused: %s", self.remote, exc.__cause__ or exc)
        self.transport.write(b"".join(chunks) or refuse_malformed(exc).serialize())
        self.transport.close()

    def ended(self) -> None:
        """The socket is closed."""
        if self._timer is not None:
            self._timer.cancel()
        self.server.waiting.leave(self)
        self.server.forget(self)
