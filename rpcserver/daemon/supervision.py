"""Keeps the service manager informed while the server runs: its line of status, and the watchdog."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from rpcserver.health import TIMEOUT_S
from rpcserver.server import Server
from rpcwire.logs import printable

from .notify import Notifier
from .reloads import Reloads

STATUS_S = 5.0
"""How often the line of status is renewed where there is no watchdog, in seconds."""

LEAST_S = 0.05
"""The least time between two looks, in seconds. No watchdog is so strict, but a variable may say anything."""

_PER_WATCHDOG = 3
"""How often within the time of the watchdog the server is looked at."""


async def supervise(server: Server, reloads: Reloads, notifier: Notifier) -> None:
    """Tell the state of a server until cancelled. The watchdog is fed only if the event loop runs this, and if each
    service has answered the question for its health: "unwell" is an answer, too, and silence is none.

    Parameters:
        server: the server, which has started.
        reloads: tell whether the last reload has failed.
        notifier: tells the service manager.
    """
    watchdog_s = notifier.watchdog_s
    interval_s = STATUS_S if watchdog_s is None else max(min(STATUS_S, watchdog_s / _PER_WATCHDOG), LEAST_S)
    while True:
        answers = await server.upkeep.ask_health(min(TIMEOUT_S, interval_s))
        reasons = {name: health.reason for name, (health, _) in answers.items() if not health.ok}
        fault = f"; not reloaded: {printable(reloads.fault, 200)}" if reloads.fault else ""
        notifier.status(f"{describe(server, reasons)}{fault}")
        if all(has_answered for _, has_answered in answers.values()):
            notifier.feed_watchdog()
        await asyncio.sleep(interval_s)


def describe(server: Server, reasons: Mapping[str, str]) -> str:
    """Describe the state of a server in one line.

    Parameters:
        server: the server.
        reasons: why each of its services cannot work that is unwell, by its name.
    """
    peers = server.connections.values()
    calls = sum(peer.session.calls_running for peer in peers)
    unwell = [f"{name} ({printable(reason, 100)})" for name, reason in reasons.items()]
    text = f"{_count(len(peers), 'connection')}, {_count(calls, 'call')} running"
    return f"{text}; unwell: {', '.join(unwell)}" if unwell else f"{text}; all services are well"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
