"""sqlacodegen: models written from a schema."""

import json
import os
import subprocess

import sqlalchemy as sa

engine = sa.create_engine(os.environ["URL"])
metadata = sa.MetaData()
sa.Table("city", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(50), unique=True))
sa.Table(
    "street",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("city_id", sa.ForeignKey("city.id", name="fk_city"), index=True),
    sa.Column("length_m", sa.Numeric(10, 2), nullable=False),
    sa.Column("paved", sa.Boolean),
    sa.Column("built", sa.DateTime),
    sa.Column("plan", sa.LargeBinary),
    sa.Column("words", sa.JSON),
    sa.CheckConstraint("length_m > 0", name="ck_length"),
)
metadata.create_all(engine)
with engine.begin() as connection:
    connection.execute(sa.text("CREATE VIEW long_street AS SELECT id, length_m FROM street WHERE length_m > 100"))
engine.dispose()
shown = []
for generator in ("tables", "declarative", "dataclasses", "sqlmodels"):
    command = ["sqlacodegen", "--generator", generator, os.environ["URL"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    compile(done.stdout, generator, "exec")
    shown.append(done.stdout)
print(json.dumps(shown))
