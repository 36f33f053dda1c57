"""Connects a socket to a name: looks it up, and tries its addresses side by side (RFC 8305)."""

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
        check: the seconds that are left; raises where none are.

    Returns:
        The socket, which does not block.

    Raises:
        OSError: the name is unknown, or no address answers.
        UnicodeError: it is no name.
    """
    todo = deque(addresses(host, port, trail, waiter, check))
    running: dict[socket.socket, Address] = {}
    try:
        while todo or running:
            if todo:
                _begin(todo.popleft(), trail, running)
            next_at = time.monotonic() + ATTEMPT_DELAY_S if todo else float("inf")
            while running and (left := min(next_at - time.monotonic(), check())) > 0:
                ended = waiter.wait_for_any(running, left)
                for winner in _connected(ended, trail, running):
                    del running[winner]
                    trail.note_success()
                    return winner
                if ended:
                    break  # Whatever became of it, the next address has its turn (section 5).
        raise NoAddressAnswers(str(trail))
    finally:
        for sock in running:
            sock.close()


def addresses(host: str, port: int, trail: Trail, waiter: Waiter, check: Callable[[], float]) -> list[Address]:
    """The addresses of a host, in the order in which to try them.

    Parameters:
        host: a name, or an address.
        port: TCP port.
        trail: notes that the name is being looked up.
        waiter, check: as of :func:`reach`.

    Raises:
        OSError: the name is unknown.
        UnicodeError: it is no name.
    """
    answers: list[LookupResult] = []

    def on_result(found: LookupResult) -> None:
        answers.append(found)
        waiter.wake()

    trail.note_lookup()
    look_up(host, port, on_result)
    while not answers:
        waiter.wait(0, check())
    trail.note_addresses()
    found = answers[0]
    if isinstance(found, Exception):
        raise found
    return list(found)


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
        _failed(sock, code, trail, running)


def _connected(
    ended: list[socket.socket], trail: Trail, running: dict[socket.socket, Address]
) -> Iterator[socket.socket]:
    for sock in ended:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            _failed(sock, code, trail, running)
        else:
            yield sock


def _failed(sock: socket.socket, code: int, trail: Trail, running: dict[socket.socket, Address]) -> None:
    trail.note_failure(running.pop(sock), OSError(code, os.strerror(code)))
    sock.close()
