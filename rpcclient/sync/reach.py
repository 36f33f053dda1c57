"""Connects a socket to a host: looks its name up, and tries its addresses side by side (RFC 8305)."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator

from rpcclient.eyeballs import ATTEMPT_DELAY_S, Address, LookupResult, NoAddressAnswers, Trail, look_up
from rpcwire.threads.waiter import Waiter

_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR})


def reach(host: str, port: int, trail: Trail, waiter: Waiter, check: Callable[[], float]) -> socket.socket:
    """Connect to the first address of a host that answers.

    Parameters:
        host: a name, or an address.
        port: TCP port.
        trail: notes what became of each address.
        waiter: what to wait with.
        check: returns the seconds that are left, and raises if none are.

    Returns:
        The socket, which does not block.

    Raises:
        OSError: the name is unknown, or no address answers.
        UnicodeError: the name is malformed.
    """
    todo = deque(addresses(host, port, trail, waiter, check))
    running: dict[socket.socket, Address] = {}
    try:
        while todo or running:
            if todo:
                _begin(todo.popleft(), trail, running)
            next_at = time.monotonic() + ATTEMPT_DELAY_S if todo else float("inf")
            while running and (left_s := min(next_at - time.monotonic(), check())) > 0:
                ready = waiter.wait_for_any(running, left_s)
                for winner in _pop_connected(ready, trail, running):
                    del running[winner]
                    trail.note_success()
                    return winner
                if ready:
                    break  # Succeeded or failed, the next address is tried at once (section 5).
        raise NoAddressAnswers(str(trail))
    finally:
        for sock in running:
            sock.close()


def addresses(host: str, port: int, trail: Trail, waiter: Waiter, check: Callable[[], float]) -> list[Address]:
    """Look up the addresses of a host, in the order in which to try them.

    Parameters:
        host: a name, or an address.
        port: TCP port.
        trail: notes that the name is being looked up.
        waiter, check: as of :func:`reach`.

    Raises:
        OSError: the name is unknown.
        UnicodeError: the name is malformed.
    """
    results: list[LookupResult] = []

    def on_result(result: LookupResult) -> None:
        results.append(result)
        waiter.wake()

    trail.note_lookup()
    look_up(host, port, on_result)
    while not results:
        waiter.wait(0, check())
    trail.note_addresses()
    result = results[0]
    if isinstance(result, Exception):
        raise result
    return list(result)


def _begin(address: Address, trail: Trail, running: dict[socket.socket, Address]) -> None:
    trail.note_attempt(address)
    try:
        sock = address.socket()
    except OSError as exc:
        trail.note_failure(address, exc)
        return
    running[sock] = address
    code = sock.connect_ex(address.sockaddr)
    if code and code not in _UNDER_WAY:
        _note_failure(sock, code, trail, running)


def _pop_connected(
    ready: list[socket.socket], trail: Trail, running: dict[socket.socket, Address]
) -> Iterator[socket.socket]:
    for sock in ready:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            _note_failure(sock, code, trail, running)
        else:
            yield sock


def _note_failure(sock: socket.socket, code: int, trail: Trail, running: dict[socket.socket, Address]) -> None:
    trail.note_failure(running.pop(sock), OSError(code, os.strerror(code)))
    sock.close()
