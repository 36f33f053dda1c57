"""The data of PostgreSQL's COPY, in the ways of two well-known drivers: ``copy_expert`` of psycopg2, and ``copy`` of
psycopg."""

from __future__ import annotations

import codecs
import datetime as dt
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from tempfile import SpooledTemporaryFile
from typing import Any, cast
from uuid import UUID

from rpcwire.sql import copy_direction

from .errors import DataError, InterfaceError, NotSupportedError, ProgrammingError

PIECE_BYTES = 64 * 1024
"""How much is read from a file at a time by default, in bytes; in characters from a file of text."""

_HELD_BYTES = 16 * 1024 * 1024
"""Up to so many bytes, written data stays in memory; beyond, it goes into a temporary file."""

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", "\b": r"\b", "\f": r"\f", "\v": r"\v"})
_PLAIN = (str, int, float, Decimal, UUID)


def copies_in(sql: str, dialect: str) -> bool:
    """Whether a COPY reads what a client sends; otherwise it writes what a client reads.

    Raises:
        NotSupportedError: the database has no COPY.
        ProgrammingError: it does neither.
    """
    if dialect != "postgresql":
        raise NotSupportedError(
            f"only PostgreSQL has COPY, and this database is {dialect}: use executemany, as to_sql of pandas does "
            "where no method is given"
        )
    way = copy_direction(sql)
    if way is None:
        raise ProgrammingError("sql: write COPY … FROM STDIN, or COPY … TO STDOUT")
    return way == "in"


def encode(data: str | bytes | bytearray | memoryview) -> bytes:
    """The bytes to send: text is encoded in UTF-8.

    Raises:
        DataError: it is no text.
    """
    try:
        return data.encode() if isinstance(data, str) else bytes(data)
    except UnicodeEncodeError as exc:
        raise DataError(f"data: no text: {exc}") from None


def pieces_of(file: Any, size: int) -> Iterator[bytes]:
    """The content of a file, piece by piece."""
    while piece := file.read(size):
        yield encode(piece)


class WatchedPieces(Iterator[bytes]):
    """Pieces for the server. They remember the error that ended them, because the server does not learn it.

    Attributes:
        error: what went wrong while they were made; ``None`` where nothing has.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.error: Exception | None = None

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except StopIteration:
            raise
        except Exception as exc:
            self.error = exc
            raise


def taker_of(file: Any) -> Callable[[bytes], Any]:
    """A function that writes bytes into a file; as text, if it is a file of text."""
    if not isinstance(file, io.TextIOBase):
        return cast("Callable[[bytes], Any]", file.write)
    decode = codecs.getincrementaldecoder("utf-8")().decode
    return lambda data: file.write(decode(data))


def row_text(row: Sequence[Any]) -> bytes:
    """A row in the text format of COPY
    (https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS).

    Raises:
        DataError: a value of a type that this cannot write.
    """
    return encode("\t".join(r"\N" if value is None else _text(value).translate(_ESCAPES) for value in row) + "\n")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, _PLAIN):
        return str(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"
    if isinstance(value, bytes | bytearray | memoryview):
        return rf"\x{bytes(value).hex()}"
    if isinstance(value, Mapping):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return "{" + ",".join("NULL" if item is None else _item(item) for item in value) + "}"
    raise DataError(f"row: COPY takes no {type(value).__name__} here: give its text")


def _item(value: Any) -> str:
    if isinstance(value, list | tuple):
        return _text(value)
    return '"' + _text(value).replace("\\", r"\\").replace('"', r"\"") + '"'


class CopyBase:
    """What both kinds of copies share: they collect the written data, and send it as a whole."""

    def __init__(self, sql: str, *, reads: bool) -> None:
        self._sql = sql
        self._reads = reads
        self._buffer: SpooledTemporaryFile[bytes] | None = None
        self._is_entered = False

    def _enter(self) -> None:
        self._is_entered = True
        if not self._reads:
            self._buffer = SpooledTemporaryFile(_HELD_BYTES)  # noqa: SIM115 - closed when the block is left

    def _put(self, data: bytes) -> None:
        if self._buffer is None:
            raise InterfaceError(
                "this COPY is read, and not written" if self._reads else "enter it with `with` before you write"
            )
        self._buffer.write(data)

    def _check_reading(self) -> None:
        if not self._reads:
            raise InterfaceError("this COPY is written, and not read")
        if not self._is_entered:
            raise InterfaceError("enter it with `with` before you read")

    def _leave(self) -> Iterator[bytes]:
        """The written data."""
        buffer, self._buffer = self._buffer, None
        assert buffer is not None
        with buffer:
            buffer.seek(0)
            yield from pieces_of(buffer, PIECE_BYTES)

    def _drop(self) -> None:
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None
