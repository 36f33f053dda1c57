"""Connects a socket to a host: looks its name up, and tries its addresses side by side (RFC 8305)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable

from rpcclient.eyeballs import ATTEMPT_DELAY_S, Address, LookupResult, NoAddressAnswers, Trail, look_up
from rpcwire.forking import keep_from_children


async def reach(host: str, port: int, trail: Trail) -> socket.socket:
    """Connect to the first address of a host that answers.

    Parameters:
        host: a name, or an address.
        port: TCP port.
        trail: notes what became of each address.

    Raises:
        OSError: the name is unknown, or no address answers.
        UnicodeError: the name is malformed.
    """
    todo = deque(await addresses(host, port, trail))
    running: dict[asyncio.Task[socket.socket], Address] = {}
    try:
        while todo or running:
            if todo:
                address = todo.popleft()
                trail.note_attempt(address)
                running[asyncio.create_task(_connect(address))] = address
            done, _ = await asyncio.wait(
                running, timeout=ATTEMPT_DELAY_S if todo else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                if (exc := task.exception()) is None:
                    del running[task]
                    trail.note_success()
                    return task.result()
                trail.note_failure(running.pop(task), exc)
        raise NoAddressAnswers(str(trail))
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_close)


async def reach_unix(path: str) -> socket.socket:
    """Connect to a Unix socket.

    Parameters:
        path: its path.

    Raises:
        OSError: nobody answers.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    keep_from_children(sock)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, path)
    except BaseException:
        sock.close()
        raise
    return sock


async def reach_by(connect: Callable[[float], socket.socket], timeout_s: float) -> socket.socket:
    """Connect by a plugin's transport, in a thread.

    Parameters:
        connect: makes the socket. It is given the time limit in seconds.
        timeout_s: that limit.

    Raises:
        OSError: nobody answers.
        ValueError: the URL is malformed.
    """
    connect_future = asyncio.get_running_loop().run_in_executor(None, connect, timeout_s)
    try:
        sock = await asyncio.shield(connect_future)
    except asyncio.CancelledError:
        connect_future.add_done_callback(_close)
        raise
    keep_from_children(sock)
    sock.setblocking(False)
    return sock


async def addresses(host: str, port: int, trail: Trail) -> list[Address]:
    """Look up the addresses of a host, in the order in which to try them.

    Parameters:
        host: a name, or an address.
        port: TCP port.
        trail: notes that the name is being looked up.

    Raises:
        OSError: the name is unknown.
        UnicodeError: the name is malformed.
    """
    loop = asyncio.get_running_loop()
    result_future: asyncio.Future[LookupResult] = loop.create_future()

    def settle(result: LookupResult) -> None:
        if not result_future.done():  # Otherwise nobody waits any more.
            result_future.set_result(result)

    def on_result(result: LookupResult) -> None:
        with contextlib.suppress(RuntimeError):  # The loop has ended.
            loop.call_soon_threadsafe(settle, result)

    trail.note_lookup()
    look_up(host, port, on_result)
    result = await result_future
    trail.note_addresses()
    if isinstance(result, Exception):
        raise result
    return list(result)


async def _connect(address: Address) -> socket.socket:
    sock = address.socket()
    try:
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def _close(task: asyncio.Future[socket.socket]) -> None:
    """Close a socket that is not needed: another address was faster, or nobody waits any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
