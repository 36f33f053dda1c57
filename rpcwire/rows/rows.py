"""Rows of a table, exact and fast: :class:`Rows` is a sequence of tuples with names that knows both forms of the wire.

In JSON the rows are an array of arrays, each cell a :data:`~rpcwire.values.tagged.Value`. In MessagePack they are one
``bin`` that holds MessagePack again: an array of chunks ``[rows, [[kind, cells], ...]]``, one pair for each column.
Within a column all cells are of one kind (or nil), so that a whole column is encoded and decoded in one step:

==============  ==================================================================
kind            cells
==============  ==================================================================
``""``          nil, booleans, integers of 64 bits, floats, strings, bin: themselves
``datetime``    ISO 8601 text without an offset
``datetimetz``  ISO 8601 text with its offset
``date``        ISO 8601 text; ``time``, ``duration`` and ``uuid`` likewise
``decimal``     text
``tagged``      anything else, each cell as a tagged value (:mod:`rpcwire.values.tagged`)
==============  ==================================================================
"""

from __future__ import annotations

import datetime as dt
import gc
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, overload
from uuid import UUID

import msgspec
from msgspec import Raw
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from rpcwire.codec import UNREADABLE
from rpcwire.values.packing import AS_BYTES
from rpcwire.values.tagged import from_tagged, to_tagged

from .row import Row, row_type

if TYPE_CHECKING:
    from .dataframes import Facts
    from .descriptions import ColumnDescription

_PLAIN = frozenset({NoneType, bool, int, float, str, bytes})
_MOST_ROWS = 2**31
_FEW_ROWS = 256
"""So many rows do not let the garbage collector run, or once."""
_FIRST_BATCH, _LARGEST_BATCH = 16, 4096
_RowT = TypeVar("_RowT")

_BY_TYPE: dict[type, str] = {dt.date: "date", dt.timedelta: "duration", UUID: "uuid", Decimal: "decimal"}

_pack = msgspec.msgpack.Encoder(decimal_format="string").encode
_Chunk = tuple[int, list[tuple[str, Raw]]]
_read_chunks = msgspec.msgpack.Decoder(list[_Chunk]).decode
_read_chunk = msgspec.msgpack.Decoder(_Chunk).decode


def _cells_decoder(item: Any) -> Callable[[Raw], list[Any]]:
    return msgspec.msgpack.Decoder(list[item]).decode


_read_texts = _cells_decoder(str | None)
_read_any = msgspec.msgpack.Decoder(list[Any]).decode


def _read_datetimetz(raw: Raw) -> list[Any]:
    parse = dt.datetime.fromisoformat
    return [None if text is None else parse(text) for text in _read_texts(raw)]


def _read_time(raw: Raw) -> list[Any]:
    parse = dt.time.fromisoformat
    return [None if text is None else parse(text) for text in _read_texts(raw)]


def _read_tagged(raw: Raw) -> list[Any]:
    return [from_tagged(cell) for cell in _read_any(raw)]


_READERS: dict[str, Callable[[Raw], list[Any]]] = {
    "": _read_any,
    "datetime": _cells_decoder(dt.datetime | None),
    "datetimetz": _read_datetimetz,
    "date": _cells_decoder(dt.date | None),
    "time": _read_time,
    "duration": _cells_decoder(dt.timedelta | None),
    "uuid": _cells_decoder(UUID | None),
    "decimal": _cells_decoder(Decimal | None),
    "tagged": _read_tagged,
}


@lru_cache(maxsize=64)
def _zone(name: str) -> dt.tzinfo | None:
    """Return a time zone; ``None`` if this machine does not know it: then times keep their offsets."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _in_zone(cell: Any, zone: dt.tzinfo) -> Any:
    if isinstance(cell, dt.datetime) and cell.tzinfo is not None:
        try:
            return cell.astimezone(zone)
        except OverflowError:  # The time is at an end of the calendar.
            return cell
    return [_in_zone(item, zone) for item in cell] if isinstance(cell, list) else cell


def _tag(cells: Iterable[Any]) -> tuple[str, list[Any]]:
    return "tagged", [to_tagged(cell, binary=True) for cell in cells]


def _iso(cells: Iterable[Any]) -> list[str | None]:
    return [None if cell is None else cell.isoformat() for cell in cells]


def _encode_column(cells: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """Return the kind of a column, and its cells in types that msgspec encodes."""
    kinds = set(map(type, cells))
    if kinds <= _PLAIN:
        return "", cells
    kinds.discard(NoneType)
    if len(kinds) > 1:
        return _tag(cells)
    (only,) = kinds
    if only is dt.datetime:
        zones = {cell.utcoffset() is None for cell in cells if cell is not None}
        if zones == {True} and not any(cell is not None and cell.tzinfo is not None for cell in cells):
            return "datetime", cells
        return ("datetimetz", _iso(cells)) if zones == {False} else _tag(cells)
    if only is dt.time:
        return "time", _iso(cells)
    kind = _BY_TYPE.get(only)
    return (kind, cells) if kind is not None else _tag(cells)


def pack_rows(rows: Sequence[Sequence[Any]], width: int) -> bytes:
    """Encode one chunk of rows.

    Parameters:
        rows: rows of ``width`` cells, each of a type in :mod:`rpcwire.values.tagged`.
        width: the number of columns.

    Raises:
        TypeError: a cell has another type.
        ValueError: a string has lone surrogates, so it is not valid Unicode.
    """
    columns = list(zip(*rows, strict=True)) if rows else [()] * width
    parts = [_encode_column(cells) for cells in columns]
    try:
        return _pack((len(rows), parts))
    except OverflowError:  # An integer has more than 64 bits.
        return _pack((len(rows), [_tag(cells) if kind == "" else (kind, cells) for kind, cells in parts]))


def _unpack_chunk(chunk: _Chunk) -> tuple[int, list[list[Any]]]:
    count, columns = chunk
    if not 0 <= count < _MOST_ROWS:
        raise ValueError(f"a chunk of {count} rows")
    cells: list[list[Any]] = []
    for kind, raw in columns:
        read = _READERS.get(kind)
        if read is None:
            raise ValueError(f"unknown kind of column {kind[:32]!r}: one of {', '.join(map(repr, _READERS))}")
        cells.append(read(raw))
        if len(cells[-1]) != count:
            raise ValueError(f"a column of {len(cells[-1])} cells among {count} rows")
    return count, cells


def _in_batches(chunks: Iterable[Iterator[_RowT]]) -> Iterator[_RowT]:
    """Yield the rows of all chunks. They are made in batches, small ones first, and the garbage collector pauses
    meanwhile: it runs when many objects were made, but none of these is garbage. Otherwise a large result would make it
    look at all that the program holds."""
    return itertools.chain.from_iterable(_batches(itertools.chain.from_iterable(chunks)))


def _batches(rows: Iterator[_RowT]) -> Iterator[list[_RowT]]:
    size = _FIRST_BATCH
    while True:
        was_on = gc.isenabled()
        gc.disable()
        try:
            batch = list(itertools.islice(rows, size))
        finally:
            if was_on:
                gc.enable()
        if not batch:
            return
        yield batch
        size = min(size * 4, _LARGEST_BATCH)


class Rows(Sequence[Row]):
    """The rows of a result: tuples with names. They are decoded when they are needed.

    It shows as a table in a terminal, in an interactive Python and in a notebook, and converts: :meth:`to_dicts`,
    :meth:`to_pandas`, :meth:`to_arrow`, :meth:`column`.

    Parameters:
        chunks: rows, encoded by :func:`pack_rows`.
        count: the number of rows.
        names: the names of the columns; empty if unknown.
    """

    __slots__ = ("_chunks", "_columns", "_count", "_descriptions", "_has_zones", "_names", "_rows")

    def __init__(self, chunks: Sequence[bytes] = (), count: int = 0, names: Sequence[str] = ()) -> None:
        self._chunks: Sequence[bytes] | None = chunks
        self._columns: list[tuple[int, list[list[Any]]]] | None = None
        self._rows: list[Row] | None = None
        self._count = count
        self._names: tuple[str, ...] | None = tuple(names)
        self._descriptions: Sequence[ColumnDescription] = ()
        self._has_zones = False

    def describe(self, columns: Sequence[ColumnDescription]) -> None:
        """Set the names and kinds of the columns.

        Parameters:
            columns: a description of each column.
        """
        self._names, self._descriptions, self._has_zones = None, columns, False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns; none if they are unknown."""
        if self._names is None:
            self._names = tuple([column.name for column in self._descriptions])
        return self._names

    @property
    def kinds(self) -> list[str]:
        """The kinds of the columns, words of :data:`rpcwire.rows.dataframes.KINDS`; none if they are unknown."""
        return [column.type.value for column in self._descriptions]

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]], names: Sequence[str] = ()) -> Rows:
        """Make rows from plain sequences.

        Parameters:
            rows: each with as many cells as the first.
            names: the names of the columns.

        Raises:
            TypeError: a cell of a type that cannot be sent.
            ValueError: rows of different lengths, or text with lone surrogates.
        """
        rows = list(rows)
        width = len(rows[0]) if rows else len(names)
        return cls([pack_rows(rows, width)], len(rows), names)

    def _decode(self) -> list[tuple[int, list[list[Any]]]]:
        if self._columns is None:
            try:
                self._columns = [_unpack_chunk(_read_chunk(chunk)) for chunk in self._chunks or ()]
            except msgspec.MsgspecError as exc:
                raise ValueError(f"malformed rows: {exc}") from None
        if not self._has_zones:
            self._has_zones = True
            self._set_zones(self._columns)
        return self._columns

    def _set_zones(self, chunks: list[tuple[int, list[list[Any]]]]) -> None:
        """Convert times to the zones of their columns, as drivers return them: on the wire they have offsets."""
        for place, column in enumerate(self._descriptions):
            zone = None if column.zone is None else _zone(column.zone)
            if zone is not None:
                for _, columns in chunks:
                    columns[place] = [_in_zone(cell, zone) for cell in columns[place]]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        if self._rows is not None:
            return iter(self._rows)
        make = row_type(self.names)
        chunks = (
            map(make, zip(*columns, strict=True)) if columns else itertools.repeat(make(), count)
            for count, columns in self._decode()
        )
        return itertools.chain.from_iterable(chunks) if self._count <= _FEW_ROWS else _in_batches(chunks)

    def tuples(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows as plain tuples, which are made faster than tuples with names."""
        chunks: Iterator[Iterator[tuple[Any, ...]]] = (
            zip(*columns, strict=True) if columns else itertools.repeat((), count) for count, columns in self._decode()
        )
        return itertools.chain.from_iterable(chunks) if self._count <= _FEW_ROWS else _in_batches(chunks)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if self._rows is None:
            self._rows = list(self)
        return self._rows[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sequence) and not isinstance(other, str | bytes):
            return len(self) == len(other) and all(
                tuple(mine) == tuple(theirs) for mine, theirs in zip(self, other, strict=True)
            )
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        from .texttable import REPR_ROWS, text_table

        return text_table(self.names, self, REPR_ROWS)

    def __str__(self) -> str:
        from .texttable import text_table

        return text_table(self.names, self)

    def _repr_html_(self) -> str:
        from .texttable import html_table

        return html_table(self.names, self)

    def column(self, which: int | str) -> list[Any]:
        """Return all cells of one column.

        Parameters:
            which: the position of the column from 0, or its name (the first column of that name).

        Raises:
            KeyError: no column has this name.
            IndexError: there is no column at this position.
        """
        if isinstance(which, str):
            if which not in self.names:
                raise KeyError(f"no column {which!r}: {self._what_columns()}")
            which = self.names.index(which)
        elif self._count and not -self._width() <= which < self._width():
            raise IndexError(f"no column {which}: {self._what_columns()}")
        return [cell for count, columns in self._decode() if count for cell in columns[which]]

    def _width(self) -> int:
        return len(self.names) or len(next((columns for _, columns in self._decode()), ()))

    def _what_columns(self) -> str:
        if self.names:
            return f"the columns are {', '.join(self.names)}"
        return f"there are {self._width() or 'none'}"

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return each row as a dictionary. Of columns with the same name, the last one counts."""
        return [dict(zip(self.names, row, strict=True)) for row in self]

    def to_pandas(self) -> Any:
        """Make a ``pandas.DataFrame``, with the types in the table of :mod:`rpcwire.rows.dataframes`.

        Raises:
            ImportError: pandas is not installed.
        """
        from .dataframes import to_pandas

        return to_pandas(*self._for_frames())

    def to_arrow(self) -> Any:
        """Make a ``pyarrow.Table``, with the types in the table of :mod:`rpcwire.rows.dataframes`.

        Raises:
            ImportError: pyarrow is not installed.
            TypeError: a column holds cells that have no common type in Arrow.
        """
        from .dataframes import to_arrow

        return to_arrow(*self._for_frames())

    def _for_frames(self) -> tuple[list[str], list[Facts], list[list[Any]], int]:
        from .dataframes import Facts

        width = self._width()
        names = list(self.names) or [f"column_{place}" for place in range(1, width + 1)]
        facts = [Facts.of(column) for column in self._descriptions] or [Facts()] * width
        return names, facts, [self.column(place) for place in range(width)], self._count

    def packed(self) -> bytes:
        """Return the rows in MessagePack."""
        chunks = self._chunks or ()
        return _array_header(len(chunks)) + b"".join(chunks)

    @classmethod
    def unpacked(cls, data: bytes) -> Rows:
        """Make rows from the bytes of :meth:`packed`.

        Raises:
            ValueError: the data are not rows.
        """
        try:
            columns = [_unpack_chunk(chunk) for chunk in _read_chunks(data)]
        except UNREADABLE as exc:
            raise ValueError(f"malformed rows: {exc}") from None
        rows = cls(count=sum(count for count, _ in columns))
        rows._chunks, rows._columns = None, columns
        return rows

    @classmethod
    def _load(cls, data: Any) -> Rows:
        if isinstance(data, Rows):
            return data
        try:
            if isinstance(data, bytes):
                return cls.unpacked(data)
            if isinstance(data, list | tuple):
                return cls.of([from_tagged(row if isinstance(row, list) else list(row)) for row in data])
        except (TypeError, ValueError) as exc:
            raise PydanticCustomError("rows", "{reason}", {"reason": str(exc)}) from exc
        raise PydanticCustomError("rows", "rows are an array of arrays")

    @staticmethod
    def _dump(value: Rows, info: core_schema.SerializationInfo[Any]) -> Any:
        if not isinstance(value, Rows):
            raise TypeError("not Rows")
        if info.mode == "json":
            return [[to_tagged(cell, binary=False) for cell in row] for row in value]
        if value._chunks is None:
            value = Rows.of(value, value.names)
        return value.packed()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._load,
            metadata=dict(AS_BYTES),
            serialization=core_schema.plain_serializer_function_ser_schema(cls._dump, info_arg=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "array", "items": {"type": "array"}, "description": "Rows; each cell a Value (protocol.md)"}


def _array_header(count: int) -> bytes:
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")
