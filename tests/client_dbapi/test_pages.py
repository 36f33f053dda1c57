"""Closing rows under way: a connection that is gone closes them as well; anything else is a bug, and shows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rpcclient import AsyncStream, Stream
from rpcclient.dbapi.aio import AsyncPages
from rpcclient.dbapi.connection import SyncPages
from rpcclient.dbapi.port import Pages, run
from rpcclient.errors import ConnectionLost


class Failing(Stream[Any]):
    """A stream whose end fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__(lambda: pytest.fail("it is never opened"))
        self.error = error

    def close(self) -> None:
        raise self.error


class AsyncFailing(AsyncStream[Any]):
    """Likewise."""

    def __init__(self, error: Exception) -> None:
        super().__init__(lambda: pytest.fail("it is never opened"))
        self.error = error

    async def aclose(self) -> None:
        raise self.error


def close(flavour: str, error: Exception) -> None:
    pages: Pages = SyncPages(Failing(error)) if flavour == "sync" else AsyncPages(AsyncFailing(error))
    if flavour == "sync":
        run(pages.close())
    else:
        asyncio.run(pages.close())


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_closing_rows_under_way(flavour: str) -> None:
    close(flavour, ConnectionLost("it is gone"))
    with pytest.raises(AttributeError, match="a bug"):
        close(flavour, AttributeError("a bug"))
