"""polars: read and write through an engine."""

import json
import os
from datetime import date, datetime

import polars as pl
import sqlalchemy as sa

engine = sa.create_engine(os.environ["URL"])
frame = pl.DataFrame(
    {
        "id": range(1_000),
        "name": [f"näme {n}" for n in range(1_000)],
        "price": [n / 8 for n in range(1_000)],
        "day": [date(2026, 1, 1 + n % 28) for n in range(1_000)],
        "at": [datetime(2026, 1, 1 + n % 28, n % 24) for n in range(1_000)],
        "few": [None if n % 3 else n for n in range(1_000)],
    }
)
seen = []
# What write_database returns is left out: with psycopg it is no count of rows.
frame.write_database("t", engine, engine="sqlalchemy", if_table_exists="replace")
frame.head(5).write_database("t", engine, engine="sqlalchemy", if_table_exists="append")
query = "SELECT * FROM t ORDER BY id, name"
whole = pl.read_database(query, engine)
seen.append([[name, str(kind)] for name, kind in whole.schema.items()])
seen.append(whole.head(8).write_csv())
with engine.connect() as connection:
    parts = pl.read_database(query, connection, iter_batches=True, batch_size=300)
    seen.append(sum(len(part) for part in parts))
few = pl.read_database(
    sa.text("SELECT id FROM t WHERE id < :most ORDER BY id"), engine, execute_options={"parameters": {"most": 3}}
)
seen.append(few["id"].to_list())
engine.dispose()
print(json.dumps(seen))
