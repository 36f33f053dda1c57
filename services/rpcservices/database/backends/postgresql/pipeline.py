"""Several commands to PostgreSQL in one trip: what goes before a statement, and the cleaning that follows it.

Each part ends with a synchronization point, after which the server goes on whatever failed before (PostgreSQL manual,
"Pipeline Mode" of libpq)."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg.abc import PQGen
from psycopg.generators import fetch, send
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

from .connection import StoppingConnection

CLEANING = (b"ROLLBACK", b"DISCARD ALL")
"""Ends the transaction, and forgets all that a user set, prepared or locked."""


COPYING = frozenset({ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH})


def send_behind(driver: StoppingConnection, commands: Sequence[bytes]) -> None:
    """Queue commands whose answers nobody waits for, each a part of its own."""
    driver.behind = len(commands)
    for command in commands:
        driver.pgconn.send_query_params(command, None)
        sync(driver)


def sync(driver: StoppingConnection) -> None:
    """End a part."""
    driver.pgconn.pipeline_sync()
    driver.parts += 1


def end_part(driver: StoppingConnection) -> None:
    """Note that a part's end has been answered; after the last the pipeline is left."""
    driver.parts -= 1
    if not driver.parts:
        driver.behind = 0
        driver.pgconn.exit_pipeline_mode()


def rest_of(driver: StoppingConnection) -> PQGen[PGresult | None]:
    """Take the results that are still to come, up to the end of a part, and after the last leave the pipeline; the
    last result, or the first error.

    Raises:
        psycopg.OperationalError: a COPY is under way, which nobody feeds or reads: the connection is of no use.
    """
    connection = driver.pgconn
    last: PGresult | None = None
    while True:
        result = yield from fetch(connection)
        if result is None:
            if not driver.parts or connection.status == ConnStatus.BAD:
                return last
        elif result.status == ExecStatus.PIPELINE_SYNC:
            end_part(driver)
            return last
        elif result.status in COPYING:  # libpq would say so again and again.
            raise psycopg.OperationalError("the connection is in the midst of a COPY")
        elif last is None or last.status != ExecStatus.FATAL_ERROR:
            last = result


def taken(driver: StoppingConnection) -> PQGen[PGresult | None]:
    """Take all that is still to come in a pipeline; the first error.

    Raises:
        psycopg.OperationalError: the connection is lost.
    """
    failed: PGresult | None = None
    while driver.parts:
        last = yield from rest_of(driver)
        if driver.pgconn.status == ConnStatus.BAD:
            raise psycopg.OperationalError("the connection is lost")
        if failed is None and last is not None and last.status == ExecStatus.FATAL_ERROR:
            failed = last
    return failed


def cleaned(driver: StoppingConnection, commands: Sequence[bytes]) -> PQGen[None]:
    """Do the cleaning by itself.

    Parameters:
        driver: the connection.
        commands: what it consists of.

    Raises:
        psycopg.Error: it failed, or the connection is lost.
    """
    driver.pgconn.enter_pipeline_mode()
    send_behind(driver, commands)
    yield from send(driver.pgconn)
    failed = yield from taken(driver)
    if failed is not None:
        raise psycopg.errors.error_from_result(failed)
