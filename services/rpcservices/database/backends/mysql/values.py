"""Parameters as MariaDB and MySQL take them, and the columns of their results."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

from asyncmy.constants import FIELD_TYPE

from rpcservices.database.backends.parameters import json_text
from rpcservices.database.models import Column, ColumnType

_NOT_NULL, _UNSIGNED, _BINARY_CHARSET = 1, 32, 63

_NAMES = {
    value: name.lower()
    for name, value in vars(FIELD_TYPE).items()
    if not name.startswith("_") and isinstance(value, int) and name not in {"CHAR", "INTERVAL"}
}
_SQL_NAMES = {
    "tiny": "tinyint", "short": "smallint", "long": "int", "longlong": "bigint", "int24": "mediumint",
    "newdecimal": "decimal", "var_string": "varchar", "string": "char", "tiny_blob": "tinyblob",
    "medium_blob": "mediumblob", "long_blob": "longblob", "newdate": "date",
}  # fmt: skip
_KINDS = {
    "tinyint": ColumnType.INTEGER, "smallint": ColumnType.INTEGER, "int": ColumnType.INTEGER,
    "bigint": ColumnType.INTEGER, "mediumint": ColumnType.INTEGER, "year": ColumnType.INTEGER,
    "float": ColumnType.FLOAT, "double": ColumnType.FLOAT, "decimal": ColumnType.DECIMAL,
    "date": ColumnType.DATE, "time": ColumnType.DURATION, "datetime": ColumnType.DATETIME,
    "timestamp": ColumnType.DATETIME, "json": ColumnType.JSON, "bit": ColumnType.BYTES,
}  # fmt: skip

_VALUE_TYPES = (bool, int, float, str, bytes, Decimal, dt.date, dt.time, dt.timedelta)


def to_mysql(value: Any) -> Any:
    """Turn a parameter into a value that asyncmy takes.

    Raises:
        TypeError: MariaDB has no type for it; the message names the remedy.
    """
    if isinstance(value, dt.datetime | dt.time) and value.tzinfo is not None:
        raise TypeError(
            "MariaDB and MySQL keep no time zone: give a time without one, in the zone that you mean "
            "(or aware_datetimes=utc in the URL of an engine of SQLAlchemy)"
        )
    if isinstance(value, list | dict):
        return json_text(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal | float) and not math.isfinite(value):
        raise ValueError(f"MariaDB and MySQL cannot hold {value}")
    if isinstance(value, str):
        value.encode()  # A lone surrogate is not text: this raises.
    if value is None or isinstance(value, _VALUE_TYPES):
        return value
    raise TypeError(f"MariaDB and MySQL take no {type(value).__name__}")


def column_of(field: Any) -> Column:
    """The column that asyncmy's field describes."""
    name = _NAMES.get(field.type_code, str(field.type_code))
    name = _SQL_NAMES.get(name, name)
    kind = _KINDS.get(name)
    if kind is None:
        binary = field.charsetnr == _BINARY_CHARSET
        kind = ColumnType.BYTES if binary else ColumnType.TEXT
        name = name if binary else name.replace("blob", "text")
    precision = scale = None
    if kind is ColumnType.DECIMAL:
        scale = field.scale
        precision = field.length - (0 if field.flags & _UNSIGNED else 1) - (1 if scale else 0)
    if field.flags & _UNSIGNED and kind is ColumnType.INTEGER:
        name += " unsigned"
    return Column(field.name, kind, name, not field.flags & _NOT_NULL, precision, scale, name != "float")
