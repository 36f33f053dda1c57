"""The types of PostgreSQL as they travel: what each parameter is cast to, and what is made of each cell.

Numbers, text, dates, UUIDs, bytes, intervals and arrays arrive as Python has them. JSON, ranges, network addresses and
hstore arrive as the text that the database has for them.
"""

# SQLAlchemy's own dialects do not agree on the names of parameters.
# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import types as sqltypes
from sqlalchemy.dialects.postgresql import (
    ARRAY,
    BIT,
    CIDR,
    INET,
    INTERVAL,
    REGCONFIG,
    pg_catalog,
    ranges,
)
from sqlalchemy.dialects.postgresql.json import JSONPathType
from sqlalchemy.engine import processors

from .ranges import parse_multirange, parse_range

Processor = Callable[[Any], Any] | None


def _cast(base: type[Any], **members: Any) -> type[Any]:
    """A type whose parameters say what they are: from text alone the database could not always tell."""
    return type(f"_Rpc{base.__name__}", (base,), {"render_bind_cast": True, "cache_ok": True, **members})


class _Number:
    """Numbers, as Decimal or float: whichever the database has, and the type wants."""

    asdecimal: bool

    def bind_processor(self, dialect: Any) -> Processor:  # noqa: ARG002 - SQLAlchemy's signature
        return None

    def result_processor(self, dialect: Any, coltype: Any) -> Processor:  # noqa: ARG002
        exact: Callable[[Any], Any] = processors.to_decimal_processor_factory(
            Decimal,
            self._effective_decimal_return_scale,  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
        )
        if self.asdecimal:
            if coltype in ("decimal", "integer"):
                return None
            return exact if coltype == "float" else lambda value: exact(value) if isinstance(value, float) else value
        return None if coltype == "float" else processors.to_float


class _Numeric(_Number, sqltypes.Numeric[Any]):
    pass


class _Float(_Number, sqltypes.Float[Any]):
    pass


def _range_element(visit_name: str) -> Callable[[str], Any]:
    """What makes a bound of a range out of its text."""
    for beginning, convert in (
        ("int", int),
        ("num", Decimal),
        ("date", dt.date.fromisoformat),
    ):
        if visit_name.lower().startswith(beginning):
            return convert
    return dt.datetime.fromisoformat


class _Range(ranges.AbstractSingleRangeImpl[Any]):
    """A range."""

    def bind_processor(self, dialect: Any) -> Processor:  # noqa: ARG002
        return lambda value: str(value) if isinstance(value, ranges.Range) else value

    def result_processor(self, dialect: Any, coltype: Any) -> Processor:  # noqa: ARG002
        element = _range_element(self.__visit_name__)
        return lambda value: None if value is None else parse_range(value, element)


class _MultiRange(ranges.AbstractMultiRangeImpl[Any]):
    """Several ranges."""

    def bind_processor(self, dialect: Any) -> Processor:  # noqa: ARG002
        def process(value: Any) -> Any:
            return value if value is None or isinstance(value, str) else "{" + ",".join(map(str, value)) + "}"

        return process

    def result_processor(self, dialect: Any, coltype: Any) -> Processor:  # noqa: ARG002
        element = _range_element(self.__visit_name__)
        return lambda value: None if value is None else parse_multirange(value, element)


class _Network:
    """Addresses, as those of :mod:`ipaddress` unless the engine has ``native_inet_types=False``, as with psycopg."""

    render_bind_cast = True

    @staticmethod
    def _convert(text: str) -> Any:
        raise NotImplementedError

    def bind_processor(self, dialect: Any) -> Processor:  # noqa: ARG002
        return lambda value: None if value is None else str(value)

    def result_processor(self, dialect: Any, coltype: Any) -> Processor:  # noqa: ARG002
        if dialect.native_inet_types is False:
            return None
        convert = self._convert
        return lambda value: None if value is None else convert(value)


class _Inet(_Network, INET):
    @staticmethod
    def _convert(text: str) -> Any:
        return ipaddress.ip_interface(text) if "/" in text else ipaddress.ip_address(text)


class _Cidr(_Network, CIDR):
    @staticmethod
    def _convert(text: str) -> Any:
        return ipaddress.ip_network(text)


class _Vector:
    """Numbers that the database writes as text, with spaces between them."""

    def result_processor(self, dialect: Any, coltype: Any) -> Processor:  # noqa: ARG002
        return lambda value: None if value is None else [int(number) for number in value.split()]


class _Int2Vector(_Vector, pg_catalog.INT2VECTOR):
    cache_ok = True


class _OidVector(_Vector, pg_catalog.OIDVECTOR):
    cache_ok = True


COLSPECS = {
    sqltypes.Numeric: _Numeric,
    sqltypes.Float: _Float,
    sqltypes.ARRAY: _cast(ARRAY),
    sqltypes.String: _cast(sqltypes.String),
    sqltypes.Interval: _cast(INTERVAL),
    INTERVAL: _cast(INTERVAL),
    sqltypes.Date: _cast(sqltypes.Date),
    sqltypes.DateTime: _cast(sqltypes.DateTime),
    sqltypes.Time: _cast(sqltypes.Time),
    sqltypes.Integer: _cast(sqltypes.Integer),
    sqltypes.SmallInteger: _cast(sqltypes.SmallInteger),
    sqltypes.BigInteger: _cast(sqltypes.BigInteger),
    sqltypes.JSON.JSONPathType: JSONPathType,
    sqltypes.JSON.JSONIntIndexType: _cast(sqltypes.JSON.JSONIntIndexType, __visit_name__="json_int_index"),
    sqltypes.JSON.JSONStrIndexType: _cast(sqltypes.JSON.JSONStrIndexType, __visit_name__="json_str_index"),
    REGCONFIG: _cast(REGCONFIG),
    BIT: _cast(BIT),
    INET: _Inet,
    CIDR: _Cidr,
    pg_catalog.INT2VECTOR: _Int2Vector,
    pg_catalog.OIDVECTOR: _OidVector,
    ranges.AbstractSingleRange: _Range,
    ranges.AbstractMultiRange: _MultiRange,
}
"""What takes the place of SQLAlchemy's types."""
