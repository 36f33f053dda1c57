"""Dumps that the three databases' own tools write are restored by ``rpcclient sql``: a second dump is equal."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest

from tests.client_dbapi.live import TOKEN, Live
from tests.services.database.conftest import contrib_superuser, contrib_uri, my_sql, my_superuser, my_uri

__all__ = ["contrib_superuser", "contrib_uri", "my_superuser", "my_uri"]

LIMIT_S = 120


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Live]]:
    """Starts a server with some databases."""
    started: list[Live] = []

    def begin(**databases: Any) -> Live:
        (tmp_path / "server").mkdir()
        started.append(Live(tmp_path / "server", databases))
        return started[-1]

    yield begin
    for live in started:
        live.stop()


def sql(live: Live, *words: str, script: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ``rpcclient sql``."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RPC_")}
    return subprocess.run(
        [sys.executable, "-m", "rpcclient", "sql", *words],
        input=script, capture_output=True, timeout=LIMIT_S, env={**environment, "RPC_URL": live.url, "RPC_TOKEN": TOKEN},
    )  # fmt: skip


def restored(live: Live, *words: str, script: bytes) -> None:
    done = sql(live, *words, "--write", script=script)
    assert done.returncode == 0 and not done.stderr, done.stderr


def output_of(*command: str | Path) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S).stdout


# --- SQLite -----------------------------------------------------------------------------------------------------------

SQLITE = """
CREATE TABLE zone (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, raw BLOB, twice AS (id * 2) STORED);
CREATE TABLE "odd ""name" ([a b] REAL, `c` ANY, PRIMARY KEY ([a b])) WITHOUT ROWID;
CREATE TABLE log (what TEXT);
CREATE INDEX zone_name ON zone (name COLLATE NOCASE) WHERE id > 1;
CREATE VIRTUAL TABLE docs USING fts5(title, body, tokenize = 'porter unicode61');
CREATE VIRTUAL TABLE "it's" USING fts4(a, b);
CREATE VIRTUAL TABLE names USING fts5(name, content='zone', content_rowid='id');
CREATE VIRTUAL TABLE box USING rtree(id, x0, x1);
CREATE TRIGGER "on; insert" AFTER INSERT ON zone BEGIN
    INSERT INTO names(rowid, name) VALUES (new.id, new.name);
    INSERT INTO log SELECT CASE WHEN new.id > 1 THEN 'more; end;' ELSE 'one' END;
END;
CREATE VIEW found AS SELECT title FROM docs WHERE docs MATCH 'running';
INSERT INTO zone (name, raw) VALUES ('a;b''c', x'00ff'), ('two' || char(13, 10) || 'lines', NULL), ('é ü 😀', zeroblob(3));
INSERT INTO "odd ""name" VALUES (1.5, 7), (-0.1, 'x');
DELETE FROM zone WHERE id = 3;
ANALYZE;
"""


@pytest.fixture
def sqlite_shell(missing: Callable[[str], NoReturn]) -> str:
    found = shutil.which("sqlite3")
    return found or missing("sqlite3 is not installed (Debian: sqlite3)")


def test_a_dump_of_sqlite3(tmp_path: Path, serve: Callable[..., Live], sqlite_shell: str) -> None:
    source = tmp_path / "source.db"
    with sqlite3.connect(source) as connection:
        connection.executescript(SQLITE)
        for number in range(300):
            connection.execute("INSERT INTO docs VALUES (?, ?)", [f"t{number}", f"runs word{number} it's"])
            connection.execute('INSERT INTO "it\'s" VALUES (?, ?)', [f"x{number}", "abc; 'def'"])
            connection.execute("INSERT INTO box VALUES (?, ?, ?)", [number, number, number + 1])
    connection.close()
    dump = output_of(sqlite_shell, source, ".dump")
    assert b"PRAGMA writable_schema=ON" in dump and b"CREATE TRIGGER" in dump
    live = serve(main={})
    restored(live, "main", script=dump)
    questions = (
        "SELECT count(*) AS n FROM found", "SELECT count(*) AS n FROM docs WHERE docs MATCH 'word7'",
        "SELECT count(*) AS n FROM \"it's\" WHERE \"it's\" MATCH 'def'", "SELECT count(*) AS n FROM box WHERE x0 > 289",
        "SELECT count(*) AS n FROM names WHERE names MATCH 'two'",
    )  # fmt: skip
    asked = sql(live, "main", "--format", "csv", script=";".join(questions).encode())
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.split()[1::2] == [b"300", b"1", b"300", b"10", b"1"]
    assert output_of(sqlite_shell, tmp_path / "server" / "services" / "database" / "main.sqlite3", ".dump") == dump
    # What was restored goes on: over the connection that restored it, too.
    restored(
        live, "main", script=b"INSERT INTO docs VALUES ('new', 'he ran, running'); INSERT INTO zone (name) VALUES ('z')"
    )
    checks = b"INSERT INTO docs(docs) VALUES ('integrity-check'); INSERT INTO names(names) VALUES ('integrity-check')"
    restored(live, "main", script=checks)
    assert sql(live, "main", "PRAGMA integrity_check", "--format", "csv").stdout.split()[1] == b"ok"
    assert sql(live, "main", questions[0], "--format", "csv").stdout.split()[1] == b"301"


# --- PostgreSQL -------------------------------------------------------------------------------------------------------

POSTGRESQL = r"""
CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('sad', 'it''s ok;');
CREATE DOMAIN price AS numeric(10, 2) CHECK (VALUE >= 0);
CREATE TABLE zone (
    id serial PRIMARY KEY, name text NOT NULL DEFAULT 'x;y', raw bytea, h hstore, m mood, p price, days int[],
    twice numeric GENERATED ALWAYS AS (p * 2) STORED
);
CREATE TABLE log (what text, at timestamptz DEFAULT '2026-01-01');
CREATE TABLE part (id int, x text) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE FUNCTION double(int) RETURNS int LANGUAGE plpgsql AS $f$
BEGIN
    RETURN $1 * 2; -- end;
END;
$f$;
CREATE FUNCTION kind(amount int, OUT word text) LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO log (what) VALUES ('; end;');
    SELECT CASE WHEN amount > 1 THEN 'many;' ELSE CASE amount WHEN 1 THEN 'one' END END;
END;
CREATE PROCEDURE forget() BEGIN ATOMIC DELETE FROM log WHERE what = ';'; DELETE FROM part; END;
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log (what) VALUES (NEW.name); RETURN NEW; END';
CREATE TRIGGER noting AFTER INSERT ON zone FOR EACH ROW WHEN (NEW.name <> ';') EXECUTE FUNCTION noted();
CREATE RULE several AS ON DELETE TO zone DO ALSO (INSERT INTO log (what) VALUES ('gone;)'); DELETE FROM part WHERE id = old.id; );
CREATE VIEW dear AS SELECT id, name FROM zone WHERE p > 1;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM zone;
COMMENT ON TABLE zone IS 'it''s; "a" \ comment';
INSERT INTO zone (name, raw, h, m, p, days) VALUES
    (E'tab\t back\\slash\nline', '\x00ff', 'a=>"1;", b=>NULL', 'it''s ok;', 1.5, '{1,NULL}'), ('\.', NULL, NULL, 'sad', 2, '{}'),
    ('é ü 😀', '', '', NULL, NULL, NULL);
INSERT INTO part SELECT i, 'row ' || i FROM generate_series(0, 9) i;
REFRESH MATERIALIZED VIEW counted;
"""


def pg_dump(uri: str, *options: str) -> bytes:
    """A plain dump, without the key that each one has of its own."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"), key=lambda path: int(path.parts[-3]))
    return output_of(versions[-1], *options, uri)


def without_key(dump: bytes) -> bytes:
    return re.sub(rb"(?m)^(\\(?:un)?restrict) .*$", rb"\1", dump)


@pytest.fixture
def pg_pair(contrib_superuser: str, contrib_uri: str) -> Iterator[tuple[str, str]]:
    """The URIs of two empty databases of one role."""
    names = ("source", "copy")
    with psycopg.connect(contrib_superuser, autocommit=True) as connection:
        for name in names:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name} OWNER app".encode())
        source, copy = (contrib_uri.replace("@/app", f"@/{name}") for name in names)
        yield source, copy
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.parametrize(
    "options",
    [[], ["--inserts"], ["--column-inserts", "--no-comments"], ["--clean", "--if-exists"], ["--encoding=LATIN1"]],
)
def test_a_dump_of_pg_dump(serve: Callable[..., Live], pg_pair: tuple[str, str], options: list[str]) -> None:
    source, copy = pg_pair
    text = POSTGRESQL.replace(" 😀", "") if "LATIN1" in str(options) else POSTGRESQL
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(text.encode())
    dump = pg_dump(source, *options)
    assert b"BEGIN ATOMIC" in dump and (b"FROM stdin;" in dump) is not ("inserts" in str(options))
    live = serve(main={"url": copy})
    restored(live, "main", script=dump)
    assert without_key(pg_dump(copy, *options)) == without_key(dump)
    if "--clean" in options:
        restored(live, "main", script=dump)
        assert without_key(pg_dump(copy, *options)) == without_key(dump)


def test_a_dump_of_pg_dump_with_large_objects(serve: Callable[..., Live], pg_pair: tuple[str, str]) -> None:
    source, copy = pg_pair
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(POSTGRESQL.encode())
        connection.execute("SELECT lo_from_bytea(0, '\\x00ff')")
    dump = pg_dump(source)
    assert b"lo_open" in dump
    restored(serve(main={"url": copy}), "main", script=dump)
    assert without_key(pg_dump(copy)) == without_key(dump)


def test_a_dump_that_does_not_fit_changes_nothing(serve: Callable[..., Live], pg_pair: tuple[str, str]) -> None:
    source, copy = pg_pair
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute(POSTGRESQL.encode())
    dump = pg_dump(source).replace(b"\n0\trow 0\n", b"\nzero\trow 0\n")
    line = dump.count(b"\n", 0, dump.index(b"COPY public.part_1")) + 1
    live = serve(main={"url": copy})
    done = sql(live, "main", "--write", script=dump)
    assert done.returncode == 1
    assert re.search(rf"statement \d+, line {line} \(COPY public\.part_1 .*invalid input syntax", done.stderr.decode())
    assert (
        sql(
            live, "main", "SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'public'", "--format", "csv"
        ).stdout.split()[1]
        == b"0"
    )
    refused = sql(live, "main", script=dump)
    assert b"give --write" in refused.stderr


# --- MariaDB ----------------------------------------------------------------------------------------------------------

MARIADB = r"""
CREATE TABLE zone (
    id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL DEFAULT 'x;y', raw BLOB, price DECIMAL(10, 2), at DATETIME(6),
    twice DECIMAL(12, 2) AS (price * 2) STORED, j JSON, KEY (name)
) COMMENT 'it''s; "a" \\ comment';
CREATE TABLE log (what TEXT) ENGINE=MyISAM;
CREATE VIEW dear AS SELECT id, name FROM zone WHERE price > 1;
CREATE SEQUENCE numbers START WITH 5;
INSERT INTO zone (name, raw, price, at, j) VALUES
    ('a;b''c"\\', x'00ff5c270a1a22c3', 1.5, '2026-01-02 03:04:05.000006', '{"a": ";"}'), ('é ü 😀\n', NULL, NULL, NULL, NULL);
DELIMITER //
CREATE TRIGGER noting AFTER INSERT ON zone FOR EACH ROW BEGIN
    INSERT INTO log VALUES (';;'); -- //
    IF NEW.id > 1 THEN INSERT INTO log VALUES ("it's; end"); END IF;
END //
CREATE PROCEDURE forget(IN least INT) COMMENT 'a; b' BEGIN
    DECLARE done INT DEFAULT 0;
    WHILE done < least DO DELETE FROM log LIMIT 1; SET done = done + 1; END WHILE;
END //
SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES' //
CREATE FUNCTION slash() RETURNS TEXT DETERMINISTIC BEGIN RETURN CONCAT('\', ';', '\'); END //
SET sql_mode = DEFAULT //
CREATE EVENT cleaning ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO BEGIN DELETE FROM log; DELETE FROM log; END //
DELIMITER ;
"""


def mariadb_dump(socket: str, database: str, *options: str) -> bytes:
    """A dump, without what tells when and of which database it was made."""
    account = ["-S", socket, "-u", "app", "-papp-secret"]
    found = output_of("mariadb-dump", "--no-defaults", *account, "--skip-dump-date", *options, database)
    return re.sub(rb"(Database: |[`'])%s\b" % database.encode(), rb"\1one", found)


@pytest.fixture
def my_pair(my_superuser: str, my_uri: str) -> Iterator[tuple[str, str]]:
    """The URLs of two empty databases of one role."""
    for name in ("source", "copy"):
        my_sql(
            my_superuser,
            f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4; GRANT ALL ON {name}.* TO app@localhost",
        )
    yield my_uri.replace("/app?", "/source?"), my_uri.replace("/app?", "/copy?")
    my_sql(my_superuser, "DROP DATABASE source; DROP DATABASE copy")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--hex-blob", "--skip-extended-insert"],
        ["--skip-quote-names", "--skip-add-drop-table"],
        ["--tz-utc=0", "--single-transaction"],
    ],
)
def test_a_dump_of_mariadb_dump(
    serve: Callable[..., Live], my_superuser: str, my_pair: tuple[str, str], options: list[str]
) -> None:
    source, copy = my_pair
    live = serve(source={"url": source}, copy={"url": copy})
    restored(live, "source", "--each", script=MARIADB.encode())  # Which is text with DELIMITER, too.
    wanted = ["--routines", "--triggers", "--events", *options]
    dump = mariadb_dump(my_superuser, "source", *wanted)
    assert b"DELIMITER ;;" in dump and b"/*!50106 CREATE*/" in dump
    restored(live, "copy", "--each", script=dump)
    assert mariadb_dump(my_superuser, "copy", *wanted) == dump
    restored(live, "copy", script=b"INSERT INTO zone (name) VALUES ('z')")  # The trigger works.
    asked = sql(
        live,
        "copy",
        "SELECT slash() AS s, hex(raw) AS r, (SELECT count(*) FROM log) AS n FROM zone WHERE id = 1",
        "--format",
        "csv",
    )
    assert asked.stdout.splitlines()[1] == b"\\;\\,00FF5C270A1A22C3,2"


def test_a_dump_that_cannot_be_one_transaction(
    serve: Callable[..., Live], my_superuser: str, my_pair: tuple[str, str]
) -> None:
    source, copy = my_pair
    live = serve(source={"url": source}, copy={"url": copy})
    restored(live, "source", "--each", script=MARIADB.encode())
    dump = mariadb_dump(my_superuser, "source")
    before = mariadb_dump(my_superuser, "copy")
    done = sql(live, "copy", "--write", script=dump)
    line = dump.count(b"\n", 0, dump.index(b"DROP ")) + 1
    assert done.returncode == 2
    assert re.search(
        rf"statement \d+, line {line} \(.*DROP .*give --each.*nothing has run", done.stderr.decode().replace("\n", " ")
    )
    assert mariadb_dump(my_superuser, "copy") == before
    broken = sql(
        live, "copy", "--write", "--each", script=b"CREATE TABLE a (x INT);\nCREATE TABLE b (x INT);\nSELEC 1;"
    )
    assert b"statement 3, line 3 (SELEC 1): " in broken.stderr and b"what came before it stays" in broken.stderr
    assert sql(live, "copy", "SELECT count(*) AS n FROM a", "--format", "csv").stdout.split() == [b"n", b"0"]
