"""Ends connections on the side of the database, as an operator, a crash or a limit of the server does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg

from .conftest import my_sql

LIMIT_S = 30.0


def _is_there(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


class Ending:
    """Ends the service's connections to a database.

    Parameters:
        kind: ``postgresql`` or ``mariadb``.
        superuser: how to reach the server with all rights.
    """

    def __init__(self, kind: str, superuser: str) -> None:
        self.kind = kind
        self._superuser = superuser

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        if self.kind == "mariadb":
            return [tuple(line.split("\t")) for line in my_sql(self._superuser, sql).splitlines()]
        with psycopg.connect(self._superuser, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def ids(self, *, asleep: bool = False) -> list[int]:
        """The connections of the role ``app``; of these, only those whose statement sleeps."""
        if self.kind == "mariadb":
            more = "AND info LIKE '%SLEEP(%'" if asleep else ""
            sql = f"SELECT id FROM information_schema.processlist WHERE user = 'app' {more}"
        else:
            more = "AND wait_event = 'PgSleep'" if asleep else ""
            sql = f"SELECT pid FROM pg_stat_activity WHERE usename = 'app' {more}"
        return [int(row[0]) for row in self._ask(sql)]

    def wait_asleep(self) -> None:
        """Wait until a statement sleeps."""
        end = time.monotonic() + LIMIT_S
        while not self.ids(asleep=True):
            assert time.monotonic() < end, "no statement sleeps"

    def end_all(self) -> int:
        """End all connections of the role ``app``; how many there were. They are gone when it returns."""
        ids = self.ids()
        for number in ids:
            end = f"KILL {number}" if self.kind == "mariadb" else f"SELECT pg_terminate_backend({number}, 20000)"
            self._ask(end)
        self.wait_gone(ids)
        return len(ids)

    def wait_gone(self, ids: list[int]) -> None:
        """Wait until connections are no more."""
        end = time.monotonic() + LIMIT_S
        # PostgreSQL forgets a connection before its process has closed the socket.
        while set(ids) & set(self.ids()) or (self.kind == "postgresql" and any(map(_is_there, ids))):
            assert time.monotonic() < end, "connections are still there"
