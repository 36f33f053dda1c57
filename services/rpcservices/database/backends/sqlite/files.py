"""Makes the files of embedded databases. It needs no more than Python's own driver, so that a server can do it when it
starts."""

from __future__ import annotations

import sqlite3


def create_embedded(file: str) -> None:
    """Make sure that an embedded database exists, with a journal that lets readers and a writer work side by side."""
    connection = sqlite3.connect(file)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
