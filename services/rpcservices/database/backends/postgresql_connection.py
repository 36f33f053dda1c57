"""A connection of psycopg that stops for certain: a request to cancel that reaches the server before the statement has
begun there hits nothing, so it is repeated until the statement has ended."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from .base import STOP_WAITS_S, finish

log = logging.getLogger("rpcserver.services.database")

_T = TypeVar("_T")
CANCEL_WAIT_S = 5.0
"""How long sending a request to cancel may take."""
_INTERVAL_S = 0.1
"""How often psycopg looks whether it was interrupted."""


class StoppingConnection(psycopg.AsyncConnection[Any]):
    """It differs only in what a cancelled task leaves behind: psycopg asks the server once to stop, and after 5 s
    closes the connection while the server works on."""

    async def wait(self, gen: PQGen[_T], interval: float = _INTERVAL_S, timeout: float | None = None) -> _T:  # noqa: ASYNC109 - an override
        """Do what a generator asks for; where the task is cancelled, have the server stop first."""
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                await finish(self._stop(gen, interval))
            raise

    async def _stop(self, gen: PQGen[Any], interval: float) -> None:
        for wait_s in STOP_WAITS_S:
            try:
                await self.cancel_safe(timeout=CANCEL_WAIT_S)
                async with asyncio.timeout(wait_s):
                    await waiting.wait_async(gen, self.pgconn.socket, interval=interval)
            except TimeoutError:
                continue
            except psycopg.errors.QueryCanceled:
                return
            except Exception as exc:
                log.debug("a cancelled statement ended otherwise: %s", type(exc).__name__)
            return
        log.warning("the database did not stop a statement: its connection is closed")
        self.pgconn.finish()
