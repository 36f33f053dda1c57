"""The description of a column, as far as a database gives it."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class ColumnDescription(Protocol):
    """The description of a column.

    Attributes:
        name: its name.
        type: its kind; the value is a word of :data:`rpcwire.rows.dataframes.KINDS`.
        db_type: the database's name of its type.
        precision: the digits of decimal numbers.
        scale: the digits of decimal numbers after the point.
        item: the kind of the items of an array.
        dimensions: the number of dimensions of an array, if it is known.
        zone: the name of the time zone of its times; ``None`` to leave times as they come.
    """

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> Enum: ...
    @property
    def precision(self) -> int | None: ...
    @property
    def scale(self) -> int | None: ...
    @property
    def db_type(self) -> str | None: ...
    @property
    def item(self) -> Enum | None: ...
    @property
    def dimensions(self) -> int | None: ...
    @property
    def zone(self) -> str | None: ...
