"""Standard input, output and errors: the one place by which all commands read and write.

Whoever began this process may have closed them, or switched them to non-blocking mode (open(2), ``O_NONBLOCK``). That
mode belongs to the open file, which others share, and who may rely on it: it stays as it is, and whoever would be told
to try again waits here until that is worth it (poll(2)).
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from . import characters, outcome
from .terminal import Guard

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

STDIN, STDOUT, STDERR = 0, 1, 2
NAMES = ("standard input", "standard output", "standard error")
BUFFER_BYTES = 64 * 1024

_guard = Guard()


def open_standard() -> None:
    """Put /dev/null where one of them is closed: the next socket would take its number, and what is written would go
    to the server."""
    for descriptor in range(len(NAMES)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # The lowest number that is free.
    if sys.stdin is None:
        sys.stdin = os.fdopen(STDIN, "r", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(STDOUT, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(STDERR, "w", closefd=False)


@contextlib.contextmanager
def take_over() -> Iterator[None]:
    """Let this module do all reading and writing of this process. In the end, give the terminal its old modes back."""
    open_standard()
    characters.register()
    with _guard:
        if sys.stdout is sys.__stdout__ or sys.__stdout__ is None:
            sys.stdin = _reader(sys.stdin)
            sys.stdout = _writer(sys.stdout, STDOUT)
            sys.stderr = _writer(sys.stderr, STDERR)
        yield


def _reader(stream: TextIO) -> TextIO:
    return io.TextIOWrapper(io.BufferedReader(_Waiting(STDIN)), stream.encoding, stream.errors)


def _writer(stream: TextIO, descriptor: int) -> TextIO:
    errors = characters.SHOWN if stream.errors in characters.NO_CHOICE else stream.errors
    return io.TextIOWrapper(
        io.BufferedWriter(_Waiting(descriptor), BUFFER_BYTES),
        stream.encoding,
        errors,
        line_buffering=descriptor == STDERR or os.isatty(descriptor),
        write_through=bool(getattr(stream, "write_through", False)),
    )


class _Waiting(io.RawIOBase):
    """A standard descriptor, which stays open."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.name = NAMES[descriptor]

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def readable(self) -> bool:
        return self._descriptor == STDIN

    def writable(self) -> bool:
        return self._descriptor != STDIN

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        with memoryview(buffer) as view:
            data = read(self._descriptor, len(view))
            view[: len(data)] = data
            return len(data)

    def write(self, data: ReadableBuffer, /) -> int:
        return _write_some(self._descriptor, data)


def read(descriptor: int, most: int) -> bytes:
    """Read what is available, and wait for it if nothing is; empty at the end.

    Raises:
        OSError: it cannot be read; ``filename`` says which it is.
    """
    while True:
        try:
            return read_now(descriptor, most)
        except BlockingIOError:
            _await(descriptor, select.POLLIN)


def read_now(descriptor: int, most: int) -> bytes:
    """Read as :func:`read` does, but never wait.

    Raises:
        BlockingIOError: there is nothing yet.
        OSError: it cannot be read; ``filename`` says which it is.
    """
    try:
        return os.read(descriptor, most)
    except BlockingIOError:
        raise
    except OSError as exc:
        raise name_stream(exc, descriptor) from exc


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything, however slowly the reader takes it.

    Raises:
        BrokenPipeError: nobody reads it any more.
        OSError: it takes no more otherwise, such as a full disk; ``filename`` says which it is.
    """
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += _write_some(descriptor, view[done:])


def _write_some(descriptor: int, data: ReadableBuffer) -> int:
    _guard.before_write(descriptor, data)
    while True:
        try:
            count = os.write(descriptor, data)
        except BlockingIOError:
            _await(descriptor, select.POLLOUT)
        except OSError as exc:
            raise name_stream(exc, descriptor) from exc
        else:
            _guard.after_write(descriptor, data, count)
            return count


def _await(descriptor: int, event: int) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll()


def name_stream(exc: OSError, descriptor: int) -> OSError:
    """The same error with the name of the stream that it concerns."""
    return OSError(exc.errno, exc.strerror, NAMES[descriptor])


def report_failure(exc: OSError) -> int:
    """Say that one of them, or a file, takes or gives no more; nothing is said where nobody reads any more.

    Returns:
        The exit status.
    """
    if exc.errno == errno.EPIPE:
        silence()  # Whoever read the output has seen enough.
        return outcome.OK
    where = f"{exc.filename}: " if exc.filename else ""
    with contextlib.suppress(OSError):
        print(f"rpcclient: {where}{exc.strerror or exc}", file=sys.stderr, flush=True)
    silence()
    return outcome.FAILED


def silence() -> None:
    """Discard what is not written yet: otherwise Python would report the error once more when it closes the output."""
    for descriptor in (STDOUT, STDERR):
        try:
            (sys.stdout, sys.stderr)[descriptor - 1].flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
