"""The way to the service, as :mod:`.session` and :mod:`.results` see it.

They are written once, as coroutines, for both kinds of client. Over the synchronous client nothing in them ever waits
in the coroutine's sense, so that :func:`run` takes each to its end in one step, without an event loop.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from typing import Any, Protocol, TypeVar

from rpcclient.stubs.database import Page

from .statements import SentParameters

_T = TypeVar("_T")


class Pages(Protocol):
    """Pages of rows, as they arrive."""

    async def next(self) -> Page | None:
        """The next page; ``None`` after the last.

        Raises:
            Error: the statement failed.
        """
        ...

    async def close(self) -> None:
        """Stop; never fails."""
        ...


class Pieces(Protocol):
    """The data that a COPY writes, as they arrive."""

    async def next(self) -> bytes | None:
        """The next piece; ``None`` after the last.

        Raises:
            Error: the statement failed.
        """
        ...

    async def close(self) -> None:
        """Stop; never fails."""
        ...


class Port(Protocol):
    """Calls the database service. All errors are those of PEP 249."""

    def check_life(self) -> None:
        """Refuse to go on if the connection belongs to another process, or to an event loop that has ended.

        Raises:
            OperationalError: it belongs to the process that this one was forked from, or to an event loop that has
                ended.
        """
        ...

    def check_place(self) -> None:
        """Refuse to wait in another event loop than the connection's.

        Raises:
            InterfaceError: it belongs to another event loop, which is not closed.
        """
        ...

    async def call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a method of the service."""
        ...

    async def stream(self, database: str, sql: str, params: SentParameters, session: str) -> Pages:
        """Start a statement whose rows come page by page."""
        ...

    def to_upload(self, pieces: Iterator[bytes]) -> Any:
        """The data in the form in which the client accepts them for a call."""
        ...

    async def copy_out(self, database: str, sql: str, session: str) -> Pieces:
        """Start a COPY that writes to the client."""
        ...

    async def close(self) -> None:
        """Close the client, if it is this connection's own."""
        ...


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never waits to its end."""
    try:
        work.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    work.close()
    raise RuntimeError("a synchronous port waited")
