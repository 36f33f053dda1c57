"""Rows become tables of pandas and Arrow with nothing lost."""

from __future__ import annotations

import builtins
import datetime as dt
import math
import uuid
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpcwire.rows.rows import Rows

UTC = dt.UTC
CELLS = {
    "integer": st.integers(-(2**63), 2**63 - 1),
    "boolean": st.booleans(),
    "float": st.floats(allow_nan=False),
    "text": st.text(st.characters(exclude_categories=["Cs"])),
    "bytes": st.binary(),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False, places=4, max_value=10**20, min_value=-(10**20)),
    "date": st.dates(),
    "time": st.times(),
    "datetime": st.datetimes(),
    "datetime_tz": st.datetimes(timezones=st.just(UTC)),
    "duration": st.timedeltas(dt.timedelta(-(10**8)), dt.timedelta(10**8)),
    "uuid": st.uuids(),
}
tables = st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4).flatmap(
    lambda kinds: st.tuples(
        st.just(kinds), st.lists(st.tuples(*[st.none() | CELLS[kind] for kind in kinds]), max_size=6)
    )
)


Kind = Enum("Kind", {kind.upper(): kind for kind in [*CELLS, "array", "json", "any"]})


class Told(NamedTuple):
    """What the database service tells of a column."""

    name: str
    type: Kind
    precision: int | None = None
    scale: int | None = None
    db_type: str | None = None
    item: Kind | None = None
    dimensions: int | None = None
    zone: str | None = None


def described(kinds, rows):
    found = Rows.of(rows)
    found.describe([Told(f"c{place}", Kind(kind)) for place, kind in enumerate(kinds)])
    return found


def plain(cell):
    """What a cell of pandas is in Python."""
    if cell is None or cell is pd.NaT or cell is pd.NA or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, pd.Timestamp):
        return cell.to_pydatetime(warn=False)
    if isinstance(cell, pd.Timedelta):
        return cell.to_pytimedelta()
    return cell.item() if hasattr(cell, "item") else cell


@settings(deadline=None)
@given(tables)
def test_pandas_holds_every_cell(table):
    kinds, rows = table
    frame = described(kinds, rows).to_pandas()
    assert len(frame) == len(rows) and list(frame.columns) == [f"c{place}" for place in range(len(kinds))]
    for place in range(len(kinds)):
        assert [plain(cell) for cell in frame.iloc[:, place]] == [row[place] for row in rows]


@settings(deadline=None)
@given(tables)
def test_arrow_holds_every_cell(table):
    kinds, rows = table
    found = described(kinds, rows).to_arrow()
    assert found.num_rows == len(rows)
    for place in range(len(kinds)):
        assert found.column(place).to_pylist() == [row[place] for row in rows]


def test_types_do_not_depend_on_the_rows():
    """An empty result, or a column of NULL, has the types of a full one."""
    kinds = ["integer", "float", "text", "datetime", "datetime_tz", "boolean"]
    one = [(1, 1.5, "a", dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, tzinfo=UTC), True)]
    for rows in (one, []):
        frame = described(kinds, rows).to_pandas()
        assert [str(dtype) for dtype in frame.dtypes] == [
            "int64", "float64", str(pd.Series(["x"]).dtype), "datetime64[us]", "datetime64[us, UTC]", "bool",
        ]  # fmt: skip
        table = described(kinds, rows).to_arrow()
        assert [str(kind) for kind in table.schema.types] == [
            "int64", "double", "string", "timestamp[us]", "timestamp[us, tz=UTC]", "bool",
        ]  # fmt: skip
    nulls = described(kinds, [(None,) * 6]).to_pandas()
    assert [str(dtype) for dtype in nulls.dtypes][:1] == ["Int64"] and nulls.isna().all().all()


def test_what_fits_no_type_stays_an_object():
    rows = Rows.of(
        [(2**64 + 1, 1, dt.datetime(2026, 1, 1)), (0, "a", dt.datetime(2026, 1, 1, tzinfo=UTC))], ["a", "b", "c"]
    )
    frame = rows.to_pandas()
    assert [list(frame[name]) for name in "abc"] == [rows.column(name) for name in "abc"]
    for place, reason in ((0, "'a'"), (1, "int and str"), (2, "'c'")):
        with pytest.raises(TypeError, match=reason):
            Rows.of([(row[place],) for row in rows], ["abc"[place]]).to_arrow()
    big = Rows.of([(2**64 - 1,), (None,)], ["a"])
    assert big.to_arrow().column(0).to_pylist() == [2**64 - 1, None] and big.to_pandas()["a"][0] == 2**64 - 1


def test_names_may_be_missing_or_occur_twice():
    rows = Rows.of([(1, 2)])
    assert list(rows.to_pandas().columns) == rows.to_arrow().column_names == ["column_1", "column_2"]
    twice = Rows.of([(1, uuid.UUID(int=7))], ["x", "x"])
    assert list(twice.to_pandas().columns) == twice.to_arrow().column_names == ["x", "x"]
    assert twice.to_arrow().column(1).to_pylist() == [uuid.UUID(int=7)]
    assert Rows().to_pandas().shape == (0, 0) and Rows().to_arrow().num_rows == 0


def test_offsets_become_utc_and_lists_stay():
    zone = dt.timezone(dt.timedelta(hours=5))
    rows = Rows.of([(dt.datetime(2026, 1, 1, 5, tzinfo=zone), [1, None], Decimal("1.50"))], ["at", "list", "money"])
    assert rows.to_pandas()["at"][0] == pd.Timestamp("2026-01-01", tz="UTC")
    table = rows.to_arrow()
    assert table.to_pylist() == [
        {"at": dt.datetime(2026, 1, 1, tzinfo=UTC), "list": [1, None], "money": Decimal("1.50")}
    ]
    assert table.schema.field("list").type == pa.list_(pa.int64())


@pytest.mark.parametrize(("method", "package"), [("to_pandas", "pandas"), ("to_arrow", "pyarrow")])
def test_what_is_not_installed_is_named(monkeypatch, method, package):
    real = builtins.__import__

    def refuse(name, *arguments):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(name)
        return real(name, *arguments)

    import importlib

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ImportError, match=f"{method} needs the package {package}: pip install {package}"):
        getattr(Rows.of([(1,)], ["a"]), method)()


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [
        ((10, 2), pa.decimal128(10, 2)),
        ((38, 0), pa.decimal128(38, 0)),
        ((50, 10), pa.decimal256(50, 10)),
    ],
)
def test_decimals_have_the_declared_type_on_each_page(declared, wanted):
    for cells in ([Decimal(1)], [Decimal(1234567), None], [None], []):
        rows = Rows.of([(cell,) for cell in cells])
        rows.describe([Told("money", Kind.DECIMAL, *declared)])
        table = rows.to_arrow()
        assert table.schema.field("money").type == wanted
        assert table.column(0).to_pylist() == cells


@pytest.mark.parametrize("declared", [(None, None), (2, 1), (100, 2), (0, 0)])
def test_decimals_that_no_declaration_holds_are_as_wide_as_they_need(declared):
    rows = Rows.of([(Decimal("1.2345"),), (Decimal(12),)])
    rows.describe([Told("money", Kind.DECIMAL, *declared)])
    assert rows.to_arrow().column(0).to_pylist() == [Decimal("1.2345"), Decimal(12)]
