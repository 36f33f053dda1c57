"""Roles that reach beyond the database, by themselves or by what they may become, are refused: reading is enough there."""

from __future__ import annotations

import psycopg
import pytest

from rpcservices.database.backends.mysql.privileges import reaching_beyond
from rpcservices.database.errors import DatabaseError, DatabaseOperationalError

from .conftest import my_sql

POSTGRESQL = {
    "superuser": "ALTER ROLE esc SUPERUSER",
    "member of a superuser": "GRANT postgres TO esc",
    "member of a superuser that does not inherit": "ALTER ROLE esc NOINHERIT; GRANT postgres TO esc",
    "member of a member": "CREATE ROLE esc2; GRANT postgres TO esc2; GRANT esc2 TO esc",
    "member with nothing but admin": "GRANT postgres TO esc WITH ADMIN TRUE, INHERIT FALSE, SET FALSE",
    "runs programs": "GRANT pg_execute_server_program TO esc",
    "member of one that writes files": "CREATE ROLE esc2; GRANT pg_write_server_files TO esc2; GRANT esc2 TO esc",
    "reads files by a function": "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO esc",
    "acts as less than it is": "GRANT postgres TO esc; GRANT app TO esc; ALTER ROLE esc SET role = 'app'",
}
ESCAPE = "DO $$ BEGIN EXECUTE 'SET ROLE postgres'; EXECUTE 'COPY (SELECT 1) TO PROGRAM ''touch {folder}/evil'''; END $$"


@pytest.fixture
def pg_role(pg_superuser, pg_uri):
    """The URI of a role of which more is made by what one gives."""
    with psycopg.connect(pg_superuser, autocommit=True, dbname="app") as connection:
        connection.execute("CREATE ROLE esc LOGIN PASSWORD 'app-secret'")

        def grant(sql):
            for statement in sql.split("; "):
                connection.execute(statement)
            return pg_uri.replace("app:", "esc:")

        yield grant
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM esc")
        connection.execute("DROP ROLE esc")
        connection.execute("DROP ROLE IF EXISTS esc2")


@pytest.mark.parametrize("way", ["query", "tables", "begin", "connect", "describe"])
def test_no_way_in_for_a_member_of_a_superuser(run_with, pg_role, tmp_path, way):
    async def work(bench):
        with pytest.raises(DatabaseOperationalError, match="allow_privileged_role") as caught:
            if way == "tables":
                await bench.db.tables("main")
            else:
                sql = () if way in {"begin", "connect"} else (ESCAPE.format(folder=tmp_path),)
                await getattr(bench.db, way)("main", *sql)
        assert caught.value.executed == "no" and not caught.value.retryable
        assert not (tmp_path / "evil").exists()

    run_with(work, main={"url": pg_role("GRANT postgres TO esc")})


@pytest.mark.parametrize("grants", POSTGRESQL.values(), ids=POSTGRESQL)
def test_privileged_roles_of_postgresql(run_with, pg_role, grants):
    async def work(bench):
        for call in (bench.db.query, bench.db.execute):
            with pytest.raises(DatabaseOperationalError, match="allow_privileged_role"):
                await call("main", "SELECT 1")
        assert (await bench.db.query("allowed", "SELECT 1")).scalar() == 1

    url = pg_role(grants)
    run_with(work, main={"url": url}, allowed={"url": url, "allow_privileged_role": True})


def test_an_ordinary_member_is_welcome(run_with, pg_role):
    async def work(bench):
        assert (await bench.db.query("main", "SELECT 1")).scalar() == 1

    run_with(
        work, main={"url": pg_role("GRANT app TO esc; ALTER ROLE esc CREATEDB CREATEROLE; GRANT pg_monitor TO esc")}
    )


MARIADB = {
    "file": "GRANT FILE ON *.* TO mrole@localhost",
    "by default role": "GRANT FILE ON *.* TO filer; GRANT filer TO mrole@localhost; SET DEFAULT ROLE filer FOR mrole@localhost",
    "by role": "GRANT FILE ON *.* TO filer; GRANT filer TO mrole@localhost",
    "by role of a role": "GRANT FILE ON *.* TO filer; GRANT filer TO clerk; GRANT clerk TO mrole@localhost",
    "all": "GRANT ALL ON *.* TO filer; GRANT filer TO mrole@localhost",
    "accounts": "GRANT INSERT ON mysql.* TO mrole@localhost",
    "accounts by pattern": "GRANT UPDATE ON `my%`.* TO mrole@localhost",
    "accounts by table": "GRANT SELECT ON mysql.global_priv TO mrole@localhost",
    "accounts by column": "GRANT UPDATE (Priv) ON mysql.global_priv TO filer; GRANT filer TO mrole@localhost",
    "accounts by all": "GRANT INSERT ON *.* TO mrole@localhost",
    "everybody": "GRANT FILE ON *.* TO PUBLIC",
}


@pytest.fixture
def my_role(my_superuser, my_uri):
    """The URL of a role of which more is made by what one gives."""
    my_sql(
        my_superuser, "CREATE USER mrole@localhost IDENTIFIED BY 'app-secret'; GRANT ALL ON app.* TO mrole@localhost"
    )
    my_sql(my_superuser, "CREATE ROLE filer, clerk")

    def grant(sql):
        my_sql(my_superuser, sql)
        return my_uri.replace("app:", "mrole:")

    my_sql(my_superuser, "GRANT FILE ON *.* TO PUBLIC; REVOKE FILE ON *.* FROM PUBLIC")
    yield grant
    my_sql(my_superuser, "DROP USER mrole@localhost; DROP ROLE filer, clerk; REVOKE FILE ON *.* FROM PUBLIC")


@pytest.mark.parametrize("grants", MARIADB.values(), ids=MARIADB)
def test_privileged_roles_of_mariadb(run_with, my_role, grants, tmp_path):
    async def work(bench):
        for sql in (f"SELECT 'x' INTO OUTFILE '{tmp_path}/evil'", "SELECT load_file('/etc/hostname')", "SELECT 1"):
            with pytest.raises(DatabaseOperationalError, match="allow_privileged_role"):
                await bench.db.query("main", sql)
        assert not (tmp_path / "evil").exists()
        assert (await bench.db.query("allowed", "SELECT 1")).scalar() == 1

    url = my_role(grants)
    run_with(work, main={"url": url}, allowed={"url": url, "allow_privileged_role": True})


def test_an_ordinary_role_of_mariadb_stays_what_it_was(run_with, my_role):
    async def work(bench):
        assert (await bench.db.query("main", "SELECT CURRENT_ROLE()")).scalar() == "clerk"
        with pytest.raises(DatabaseError):
            await bench.db.query("main", "SELECT * FROM mysql.global_priv")

    grants = (
        "GRANT SELECT ON app.* TO clerk; GRANT PROCESS ON *.* TO clerk; GRANT clerk TO mrole@localhost; "
        "GRANT filer TO mrole@localhost; SET DEFAULT ROLE clerk FOR mrole@localhost"
    )
    run_with(work, main={"url": my_role(grants)})


@pytest.mark.parametrize(
    ("grant", "right"),
    [
        ("GRANT USAGE ON *.* TO `a`@`b`", None),
        ("GRANT SELECT, FILE ON *.* TO `a`@`b`", "FILE on *.*"),
        ("GRANT SELECT (`FILE`, `b`) ON `app`.`t` TO `a`@`b`", None),
        ("GRANT SELECT ON `mys\\_l`.* TO `a`@`b`", None),
        ("GRANT SELECT ON `mys_l`.* TO `a`@`b`", "SELECT on `mys_l`.*"),
        ('GRANT ALL PRIVILEGES ON "%".* TO "a"@"b"', 'ALL PRIVILEGES on "%".*'),
        ("GRANT EXECUTE ON PROCEDURE `app`.`p` TO `a`@`b`", None),
        ("GRANT `root`@`%` TO `a`@`b`", None),
    ],
)
def test_grants_are_read(grant, right):
    assert reaching_beyond([grant]) == right
