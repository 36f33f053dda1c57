"""pandas: write tables, read them whole, in parts and by query."""

import json
import os

import numpy as np
import pandas as pd
import sqlalchemy as sa

engine = sa.create_engine(os.environ["URL"])
count = 2_500
frame = pd.DataFrame(
    {
        "id": np.arange(count),
        "price": np.arange(count) / 8,
        "name": [f"näme {n}" for n in range(count)],
        "at": pd.date_range("2026-01-01", periods=count, freq="h"),
        "on": pd.Series([n % 2 == 0 for n in range(count)]),
        "blob": [bytes([n % 256, 0, 92]) for n in range(count)],
        "few": [None if n % 3 else n for n in range(count)],
    }
)
# pandas takes bytes for text unless it is told.
binary = {"blob": sa.LargeBinary}
seen = []
# What to_sql returns is left out: with psycopg it is no count of rows.
frame.to_sql("t", engine, index=False, chunksize=500, dtype=binary)
frame.head(10).to_sql("t", engine, index=False, if_exists="append", dtype=binary)
whole = pd.read_sql_table("t", engine)
seen.append([[name, str(kind)] for name, kind in whole.dtypes.items()])
seen.append(json.loads(whole.drop(columns="blob").tail(12).to_json(date_format="iso")))
seen.append([bytes(cell).hex() for cell in whole["blob"].head(5)])
parts = list(pd.read_sql(sa.text("SELECT id, name FROM t WHERE id >= :least ORDER BY id"), engine,
                         params={"least": 1_000}, chunksize=400))  # fmt: skip
seen.append([len(part) for part in parts])
parsed = pd.read_sql("SELECT id, at FROM t ORDER BY id LIMIT 3", engine, parse_dates=["at"], index_col="id")
seen.append([str(parsed.dtypes["at"]), parsed.index.tolist()])
with engine.begin() as connection:
    small = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=pd.Index([5, 6], name="key"))
    small.to_sql("u", connection, if_exists="replace")
    small.to_sql("u", connection, if_exists="replace", method="multi")
    seen.append(pd.read_sql("u", connection, index_col="key").to_json())
seen.append(sorted(sa.inspect(engine).get_table_names()))
engine.dispose()
print(json.dumps(seen))
