"""Connects a socket to a server and opens the WebSocket on it."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from dataclasses import dataclass

from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.protocol import OPEN, Event

from rpcclient.handshake import begin, refused
from rpcclient.options import ConnectOptions
from rpcclient.targets import Target
from rpcwire.errors import ConnectFailed, ConnectionClosed, RpcError

from .tls import TlsLayer
from .waiter import READABLE, WRITABLE, Waiter

RECEIVE_BYTES = 64 * 1024
RETRY_S = 0.01


@dataclass(frozen=True, slots=True)
class Opened:
    """A WebSocket that has just opened.

    Attributes:
        sock: its socket, which does not block.
        ws: its state.
        tls: what is between the two, if anything.
        response: the server's part of the handshake.
        events: what came together with that.
    """

    sock: socket.socket
    ws: ClientProtocol
    tls: TlsLayer | None
    response: Response
    events: list[Event]


def dial(options: ConnectOptions, waiter: Waiter) -> Opened:
    """Connect to a server.

    Parameters:
        options: how.
        waiter: what to wait with; to stop it breaks the attempt off.

    Raises:
        ConnectFailed: it cannot be reached, or is no WebSocket server; the message says which.
        Unauthenticated: the token is wrong.
        PermissionDenied: it does not take this client.
        ConnectionClosed: the waiter was stopped.
    """
    target = options.target
    attempt = _Attempt(target, waiter, time.monotonic() + options.connect_timeout_s)
    try:
        return attempt.open(options)
    except BaseException as exc:
        attempt.give_up()
        if isinstance(exc, TimeoutError) and exc.errno is None:
            raise ConnectFailed(f"{target.url}: no answer within {options.connect_timeout_s:g} s") from exc
        if isinstance(exc, ssl.SSLError):
            raise ConnectFailed(f"{target.url}: TLS: {_reason(exc)}", retryable=False) from exc
        if isinstance(exc, OSError):
            raise ConnectFailed(f"{target.url}: {exc.strerror or exc}: is rpcserver running there?") from exc
        if isinstance(exc, ValueError):  # A host or path that no socket takes.
            raise ConnectFailed(f"{target.url}: {exc}", retryable=False) from exc
        raise


def _reason(exc: ssl.SSLError) -> str:
    return getattr(exc, "verify_message", None) or exc.reason or str(exc)


class _Attempt:
    """One attempt to connect."""

    def __init__(self, target: Target, waiter: Waiter, deadline: float) -> None:
        self._target = target
        self._waiter = waiter
        self._deadline = deadline
        self._sock: socket.socket | None = None
        self._tls: TlsLayer | None = None

    def open(self, options: ConnectOptions) -> Opened:
        target = self._target
        self._connect()
        assert self._sock is not None
        if target.tls is not None:
            self._secure(target.tls)
        ws, request = begin(target, options.message_bytes, options.subprotocol)
        ws.send_request(request)
        self._send(b"".join(ws.data_to_send()))
        events: list[Event] = []
        while not events:
            data, last = self._receive()
            if data:
                ws.receive_data(data)
            if last and ws.state is not OPEN:
                ws.receive_eof()
            events = ws.events_received()
            if ws.handshake_exc is not None:
                raise refused(ws.handshake_exc, target)
            if last and not events:
                raise self._broken()
        response, *early = events
        assert isinstance(response, Response)
        return Opened(self._sock, ws, self._tls, response, early)

    def give_up(self) -> None:
        self._waiter.watch(None)
        if self._sock is not None:
            self._sock.close()

    def _broken(self) -> RpcError:
        return ConnectFailed(f"{self._target.url}: the connection broke during the handshake")

    # --- the socket ---------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        target = self._target
        if target.unix_path is not None:
            self._connect_to(socket.AF_UNIX, target.unix_path)
            return
        addresses = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        for index, (family, _, _, _, address) in enumerate(addresses, 1):
            try:
                self._connect_to(family, address)
                return
            except OSError:
                if index == len(addresses) or time.monotonic() >= self._deadline:
                    raise

    def _connect_to(self, family: int, address: object) -> None:
        self.give_up()
        self._sock = sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._waiter.watch(sock)
        code = sock.connect_ex(address)  # type: ignore[arg-type]  # of the kind that getaddrinfo gives
        while code == errno.EAGAIN:
            # A Unix socket whose queue is full. The kernel does not say when there is room.
            self._check()
            self._waiter.wait(0, RETRY_S)
            code = sock.connect_ex(address)  # type: ignore[arg-type]
        if code == errno.EINPROGRESS:
            self._wait(WRITABLE)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def _secure(self, context: ssl.SSLContext) -> None:
        tls = TlsLayer(context, self._target.host)
        done, output = tls.handshake(b"")
        while not done:
            self._send(output)
            data = self._receive_raw()
            if not data:
                raise self._broken()
            done, output = tls.handshake(data)
        self._send(output)
        self._tls = tls

    # --- bytes --------------------------------------------------------------------------------------------------

    def _wait(self, events: int) -> None:
        """Wait for the socket.

        Raises:
            TimeoutError: the time is over.
            ConnectionClosed: the waiter was stopped.
        """
        while not self._waiter.wait(events, self._check()):
            pass

    def _check(self) -> float:
        """The seconds that are left.

        Raises:
            TimeoutError: none.
            ConnectionClosed: the waiter was stopped.
        """
        if self._waiter.stopped:
            raise ConnectionClosed("the client was closed")
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _send(self, data: bytes) -> None:
        assert self._sock is not None
        view = memoryview(data if self._tls is None else self._tls.encrypt(data))
        while view:
            self._wait(WRITABLE)
            view = view[self._sock.send(view) :]

    def _receive_raw(self) -> bytes:
        assert self._sock is not None
        while True:
            self._wait(READABLE)
            try:
                return self._sock.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue

    def _receive(self) -> tuple[bytes, bool]:
        data = self._receive_raw()
        if self._tls is None or not data:
            return data, not data
        return self._tls.decrypt(data)
