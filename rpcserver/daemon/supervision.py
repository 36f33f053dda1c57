"""Keeps the service manager informed while the server runs: its line of status, and the watchdog."""

from __future__ import annotations

import asyncio

from rpcserver.health import TIMEOUT_S, ask_health
from rpcserver.server import Server
from rpcwire.logs import printable

from .notify import Notifier

STATUS_S = 5.0
"""How often the line of status is renewed where there is no watchdog, in seconds."""

_PER_WATCHDOG = 3
"""How often within the time of the watchdog the server is looked at."""


async def supervise(server: Server, notifier: Notifier) -> None:
    """Tell the state of a server until cancelled. The watchdog is fed only if the event loop runs this, and if each
    service has answered the question for its health: "unwell" is an answer, too, and silence is none.

    Parameters:
        server: the server, which has started.
        notifier: tells the service manager.
    """
    watchdog_s = notifier.watchdog_s
    interval_s = STATUS_S if watchdog_s is None else min(STATUS_S, watchdog_s / _PER_WATCHDOG)
    while True:
        answers = await asyncio.gather(*(ask_health(each, min(TIMEOUT_S, interval_s)) for each in server.services))
        notifier.status(describe(server, [health.reason if not health.ok else "" for health, _ in answers]))
        if all(has_answered for _, has_answered in answers):
            notifier.feed_watchdog()
        await asyncio.sleep(interval_s)


def describe(server: Server, reasons: list[str]) -> str:
    """Describe the state of a server in one line.

    Parameters:
        server: the server.
        reasons: for each of its services why it cannot work; empty if it can.
    """
    peers = server.connections.values()
    calls = sum(peer.session.calls_running for peer in peers)
    unwell = [
        f"{service.name} ({printable(reason, 100)})"
        for service, reason in zip(server.services, reasons, strict=True)
        if reason
    ]
    text = f"{_count(len(peers), 'connection')}, {_count(calls, 'call')} running"
    return f"{text}; unwell: {', '.join(unwell)}" if unwell else f"{text}; all services are well"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
