#!/usr/bin/env bash
# Guess: a column of bytes that pandas writes with to_sql comes back as bytes from read_sql_table.
# What happens: pandas 3.1.1 declares it TEXT; read_sql_table then turns the very bytes that SQLite kept into str.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 sqlalchemy==2.1.9
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import pandas as pd
import sqlalchemy as sa

engine = sa.create_engine("sqlite://")
pd.DataFrame({"key": [b"AB", b"C\x00"]}).to_sql("t", engine, index=False)
declared = str(sa.inspect(engine).get_columns("t")[0]["type"])
by_query = pd.read_sql("SELECT key FROM t", engine)["key"].tolist()
by_table = pd.read_sql_table("t", engine)["key"].tolist()
print("pandas", version("pandas"), "sqlalchemy", version("sqlalchemy"))
print("declared:", declared, "| by query:", by_query, "| by table:", by_table)
assert declared == "TEXT", "it is declared otherwise now"
assert by_query == [b"AB", b"C\x00"], "what is kept is no longer bytes"
assert by_table == ["AB", "C\x00"], "it behaves otherwise now"
PYTHON
