"""What the columns of rows are, as far as a database tells."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Described(Protocol):
    """What is known of a column.

    Attributes:
        name: what it is called.
        type: its value is a word as of :data:`rpcwire.rows.dataframes.KINDS`.
        db_type: what the database calls its type.
        precision, scale: of decimal numbers, digits in all, and after the point.
        item: of an array, what its items are, as of ``type``.
        dimensions: of an array, how many dimensions it has, as far as known.
        zone: the time zone that its times are in, by its name; as they come where ``None``.
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
