"""A stream that the synchronous client reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from rpcwire.forking import ForkLock
from rpcwire.threads.inbox import StreamReader

_T_co = TypeVar("_T_co", covariant=True)


class Stream(Iterator[_T_co], Generic[_T_co]):
    """The items of a stream: an iterator, and a context manager that ends it. The call is made when the context is
    entered, or the first item is asked for. Its errors are raised there. Several threads may share a stream: each item
    goes to one of them.

    ::

        with client.programs.output(id) as chunks:
            for chunk in chunks:
                ...
    """

    def __init__(self, begin: Callable[[], StreamReader[Any]]) -> None:
        self._begin = begin
        self._reader: StreamReader[Any] | None = None
        self._closed = False
        self._open_lock = ForkLock()

    def open(self) -> Self:
        """Make the call, unless it was made before.

        Raises:
            RpcError: the call failed.
        """
        if self._reader is None and not self._closed:
            with self._open_lock:
                if self._reader is None and not self._closed:
                    self._reader = self._begin()
                    if self._closed:  # It was closed during the call.
                        self._reader.close()
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T_co:
        reader = self._reader
        if reader is None:
            reader = self._open_reader()
        item: _T_co = reader.__next__()
        return item

    def _open_reader(self) -> StreamReader[Any]:
        self.open()
        if self._reader is None:
            raise StopIteration
        return self._reader

    def read_by(self, until: float) -> _T_co:
        """Return the next item, if it comes in time. The end is raised as an iterator raises it.

        Parameters:
            until: how long to wait, on the clock of deadlines.

        Raises:
            TimeoutError: it has not come.
            RpcError: the call failed, or the stream has ended with an error.
        """
        reader = self._reader or self._open_reader()
        item: _T_co = reader.__next__(until)
        return item

    def close(self) -> None:
        """End the stream. The server stops its work for it."""
        self._closed = True
        if self._reader is not None:
            self._reader.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
