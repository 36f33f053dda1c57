"""Alembic: write revisions from models, go up and down."""

import json
import os
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

ENV = """
import os, sys
sys.path.insert(0, os.getcwd())
from alembic import context
import sqlalchemy as sa
import models
engine = sa.create_engine(os.environ["URL"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=models.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
"""
FIRST = """
import sqlalchemy as sa
metadata = sa.MetaData(naming_convention={"ix": "ix_%(column_0_label)s", "fk": "fk_%(table_name)s_%(column_0_name)s"})
city = sa.Table("city", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(50)))
"""
SECOND = (
    FIRST
    + """
city.append_column(sa.Column("founded", sa.Date, index=True))
street = sa.Table("street", metadata, sa.Column("id", sa.Integer, primary_key=True),
                  sa.Column("name", sa.String(80), nullable=False, server_default="Lane"),
                  sa.Column("city_id", sa.ForeignKey("city.id")), sa.Column("length_m", sa.Numeric(10, 2)))
"""
)


def shape() -> dict:
    engine = sa.create_engine(os.environ["URL"])
    inspector = sa.inspect(engine)
    found = {
        table: {
            "columns": [[c["name"], str(c["type"]), c["nullable"]] for c in inspector.get_columns(table)],
            "keys": [[k["constrained_columns"], k["referred_table"]] for k in inspector.get_foreign_keys(table)],
            "indexes": sorted(str(index["name"]) for index in inspector.get_indexes(table)),
        }
        for table in sorted(inspector.get_table_names())
    }
    engine.dispose()
    return found


config = Config("alembic.ini")
config.set_main_option("script_location", "migrations")
Path("alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
command.init(config, "migrations")
Path("migrations/env.py").write_text(ENV)
seen = []
for number, models in enumerate([FIRST, SECOND]):
    # Python would take the byte code of a file of the same second and size for that of the new one.
    Path("models.py").write_text(models)
    import sys

    sys.dont_write_bytecode = True
    sys.modules.pop("models", None)
    command.revision(config, f"step {number}", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)
    seen.append(shape())
command.downgrade(config, "-1")
seen.append(shape())
command.downgrade(config, "base")
seen.append(shape())
command.upgrade(config, "head")
seen.append(shape())
print()
print(json.dumps(seen))
