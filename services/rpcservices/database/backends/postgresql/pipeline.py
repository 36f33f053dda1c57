"""Sends several commands to PostgreSQL in one trip: those before a statement, and the cleaning that follows it.

Each part of a pipeline ends with a synchronization point. After it the server goes on, even if the part failed
(PostgreSQL manual, "Pipeline Mode" of libpq)."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg.abc import PQGen
from psycopg.generators import fetch, send
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

from .connection import StoppingConnection

CLEANING = (b"ROLLBACK", b"DISCARD ALL")
"""These end the transaction, and undo all settings, prepared statements and locks of a user."""


COPYING = frozenset({ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH})


def send_behind(driver: StoppingConnection, commands: Sequence[bytes]) -> None:
    """Queue commands whose answers nobody waits for, each as a part of its own."""
    driver.behind = len(commands)
    for command in commands:
        driver.pgconn.send_query_params(command, None)
        sync(driver)


def sync(driver: StoppingConnection) -> None:
    """End a part."""
    driver.pgconn.pipeline_sync()
    driver.parts += 1


def end_part(driver: StoppingConnection) -> None:
    """Note that the server has answered the end of a part. After the last part, leave pipeline mode."""
    driver.parts -= 1
    if not driver.parts:
        driver.behind = 0
        driver.pgconn.exit_pipeline_mode()


def rest_of(driver: StoppingConnection) -> PQGen[PGresult | None]:
    """Read the remaining results of a part; after the last part, leave pipeline mode. Returns the first error, or else
    the last result.

    Raises:
        psycopg.OperationalError: the statement is a COPY that nobody handles: the connection cannot be used again.
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
        elif result.status in COPYING:  # libpq would give this result again and again.
            raise psycopg.OperationalError("the connection is in the midst of a COPY")
        elif last is None or last.status != ExecStatus.FATAL_ERROR:
            last = result


def take_rest(driver: StoppingConnection) -> PQGen[PGresult | None]:
    """Read all remaining results of a pipeline. Returns the first error.

    Raises:
        psycopg.OperationalError: the connection is lost.
    """
    failure: PGresult | None = None
    while driver.parts:
        last = yield from rest_of(driver)
        if driver.pgconn.status == ConnStatus.BAD:
            raise psycopg.OperationalError("the connection is lost")
        if failure is None and last is not None and last.status == ExecStatus.FATAL_ERROR:
            failure = last
    return failure


def clean(driver: StoppingConnection, commands: Sequence[bytes]) -> PQGen[None]:
    """Clean the connection in a trip of its own.

    Parameters:
        driver: the connection.
        commands: the commands that clean it.

    Raises:
        psycopg.Error: a command failed, or the connection is lost.
    """
    driver.pgconn.enter_pipeline_mode()
    send_behind(driver, commands)
    yield from send(driver.pgconn)
    failure = yield from take_rest(driver)
    if failure is not None:
        raise psycopg.errors.error_from_result(failure)
