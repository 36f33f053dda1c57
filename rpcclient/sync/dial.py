"""Connects a socket to a server and opens the WebSocket on it."""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import TYPE_CHECKING

from websockets.http11 import Response
from websockets.protocol import OPEN, Event

from rpcclient.eyeballs import Trail
from rpcclient.failures import broken_error, to_connect_error
from rpcclient.handshake import begin_handshake
from rpcclient.interim import Interim
from rpcclient.listeners import check_listener, check_way
from rpcclient.options import ConnectOptions
from rpcclient.proxies import Proxy
from rpcclient.refusals import HEAD_BYTES, to_refusal_error
from rpcclient.targets import Target
from rpcclient.tunnels import choose_address, tunnel_through
from rpcwire.errors import ConnectionClosed
from rpcwire.forking import hold_forks, keep_from_children
from rpcwire.head import HeadEnd
from rpcwire.threads.link import RECEIVE_BYTES, OpenSocket
from rpcwire.threads.waiter import READABLE, WRITABLE, Waiter

from .reach import addresses, reach

if TYPE_CHECKING:
    import ssl

    from rpcwire.threads.tls import Layer

RETRY_S = 0.01


def dial(options: ConnectOptions, waiter: Waiter) -> OpenSocket:
    """Connect to a server.

    Parameters:
        options: how to connect.
        waiter: what to wait with. Stopping it ends the attempt.

    Raises:
        ConnectFailed: it cannot be reached, or is no WebSocket server; the message says which.
        Unauthenticated: the token is wrong.
        PermissionDenied: it does not take this client.
        ConnectionClosed: the waiter was stopped.
    """
    target, trail = options.target, Trail()
    attempt = _Attempt(target, waiter, time.monotonic() + options.connect_timeout_s, trail)
    try:
        return attempt.open(options)
    except BaseException as exc:
        attempt.give_up()
        error = to_connect_error(exc, target, options.connect_timeout_s, trail)
        if error is None:
            raise
        raise error from exc


class _Attempt:
    """One attempt to connect."""

    def __init__(self, target: Target, waiter: Waiter, deadline: float, trail: Trail) -> None:
        self._target = target
        self._trail = trail
        self._waiter = waiter
        self._deadline = deadline
        self._sock: socket.socket | None = None
        self._tls: Layer | None = None

    def open(self, options: ConnectOptions) -> OpenSocket:
        target = self._target
        self._connect()
        assert self._sock is not None
        if target.tls is not None:
            self._secure(target.tls, target.server_hostname)
        ws, request = begin_handshake(target, options.message_bytes, options.subprotocol)
        ws.send_request(request)
        self._send(b"".join(ws.data_to_send()))
        events: list[Event] = []
        head, interim, head_end, rest = bytearray(), Interim(), HeadEnd(), b""
        while not events:
            data, last = self._receive()
            if data := interim.leave_out(data):
                head += data[: HEAD_BYTES - len(head)]
                end = head_end.find(data)
                ws.receive_data(data[:end])
                if ws.state is OPEN:
                    rest = data[end:]
                elif end < len(data):
                    ws.receive_data(data[end:])
            if last and ws.state is not OPEN:
                ws.receive_eof()
            events = ws.events_received()
            if ws.handshake_exc is not None:
                raise to_refusal_error(ws.handshake_exc, target, head)
            if last and not events:
                raise broken_error(self._target)
        (response,) = events
        assert isinstance(response, Response)
        return OpenSocket(self._sock, ws, self._tls, response, rest)

    def give_up(self) -> None:
        self._waiter.watch(None)
        if self._sock is not None:
            self._sock.close()

    # --- the socket ---------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        target = self._target
        if target.unix_path is not None:
            check_listener(self._connect_unix(target.unix_path), target)
            self._waiter.watch(self._sock)
        elif target.connect is not None:
            self._sock = target.connect(self._check())
            keep_from_children(self._sock)
            self._sock.setblocking(False)
            self._waiter.watch(self._sock)
        elif target.proxy is not None:
            check_way(target)
            self._connect_through(target.proxy)
        else:
            check_listener(self._reach(target.host.address, target.port), target)

    def _reach(self, host: str, port: int) -> socket.socket:
        self._sock = sock = reach(host, port, self._trail, self._waiter, self._check)
        self._waiter.watch(sock)
        return sock

    def _connect_through(self, proxy: Proxy) -> None:
        target, trail = self._target, self._trail
        host = target.host.name
        if not proxy.looks_names_up:
            server_addresses = addresses(target.host.address, target.port, trail, self._waiter, self._check)
            host = choose_address(server_addresses, proxy)
        trail.place = f"the proxy {proxy}"
        tunnel = tunnel_through(proxy, host, target.port)
        self._reach(proxy.host.address, proxy.port)
        if proxy.tls is not None:
            self._secure(proxy.tls, proxy.host.name)
        try:
            output = next(tunnel)
            while True:
                self._send(output)
                output = tunnel.send(self._receive_some())
        except StopIteration:
            trail.place = ""

    def _connect_unix(self, path: str) -> socket.socket:
        self._sock = sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        keep_from_children(sock)
        sock.setblocking(False)
        while code := sock.connect_ex(path):
            # The server's queue is full. The kernel does not say when there is room, so this tries again.
            if code != errno.EAGAIN:
                raise OSError(code, os.strerror(code))
            self._check()
            self._waiter.wait(0, RETRY_S)
        return sock

    def _secure(self, context: ssl.SSLContext, hostname: str) -> None:
        with hold_forks():  # This is the thread of a connection.
            from rpcwire.threads.tls import NestedTls, TlsLayer

        outer = self._tls
        tls = TlsLayer(context, hostname)
        done, output = tls.handshake(b"")
        while not done:
            self._send(output)
            data = self._receive_some()
            if not data:
                raise broken_error(self._target, self._trail.place)
            done, output = tls.handshake(data)
        self._send(output)
        self._tls = tls if outer is None else NestedTls(outer, tls)

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
        """Return the seconds that are left.

        Raises:
            TimeoutError: none are left.
            ConnectionClosed: the waiter was stopped.
        """
        if self._waiter.is_stopped:
            raise ConnectionClosed("the client was closed")
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s

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

    def _receive_some(self) -> bytes:
        """Receive at least one byte; none at the end only. (A message of TLS itself may bring no bytes.)"""
        data, last = self._receive()
        while not data and not last:
            data, last = self._receive()
        return data
