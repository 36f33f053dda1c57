"""Ways around read-only, each refused by the database itself: this service never looks for words in a statement.

Each attempt is a list of statements, tried one call after another on a database that only reads, on the reading side
of one that may be changed, and within a read-only transaction. The last of them would change something, and must be
refused; afterwards everything is as it was.
"""

from __future__ import annotations

import asyncio

import pytest

from rpcserver import RpcError
from rpcservices.database.errors import DatabaseError, TransactionLost
from rpcservices.database.models import Outcome, Step, TxState

WRITES = [
    ["INSERT INTO canary VALUES (2)"],
    ["  \n\t/* SELECT */ -- SELECT\n INSERT INTO canary VALUES (2)"],
    ["UPDATE canary SET id = 2"],
    ["DELETE FROM canary"],
    ["DROP TABLE canary"],
    ["ALTER TABLE canary ADD COLUMN x INTEGER"],
    ["CREATE TABLE bird (x INTEGER)"],
    ["CREATE INDEX i ON canary (id)"],
    ["CREATE VIEW v AS SELECT 1"],
    ["SELECT 1; INSERT INTO canary VALUES (2)"],
    ["COMMIT", "INSERT INTO canary VALUES (2)"],
    ["ROLLBACK", "INSERT INTO canary VALUES (2)"],
    ["BEGIN", "INSERT INTO canary VALUES (2)"],
    ["WITH x AS (SELECT 2 AS id) INSERT INTO canary SELECT id FROM x"],
    ["EXPLAIN SELECT 1; DELETE FROM canary"],
]

SQLITE = [
    ["REPLACE INTO canary VALUES (2)"],
    ["INSERT INTO canary VALUES (2) RETURNING id"],
    ["ATTACH DATABASE '{folder}/new.db' AS other"],
    ["ATTACH '{folder}/main.sqlite3' AS other", "INSERT INTO other.canary VALUES (2)"],
    ["ATTACH ('{folder}' || '/new.db') AS other"],
    ["DETACH DATABASE main"],
    ["VACUUM INTO '{folder}/copy.db'"],
    ["VACUUM"],
    ["SELECT id FROM canary", "REINDEX"],  # A connection that has yet to learn of an index rebuilds none.
    ["ANALYZE"],
    ["PRAGMA query_only = OFF", "INSERT INTO canary VALUES (2)"],
    ["PRAGMA writable_schema = ON", "UPDATE sqlite_master SET sql = ''"],
    ["PRAGMA journal_mode = DELETE", "INSERT INTO canary VALUES (2)"],
    ["PRAGMA user_version = 7"],
    ["PRAGMA foreign_keys = OFF", "INSERT INTO canary VALUES (2)"],
    ["PRAGMA temp_store_directory = '{folder}'"],
    ["SELECT * FROM pragma_user_version(7)", "INSERT INTO canary VALUES (2)"],
    ["SELECT load_extension('{folder}/evil.so')"],
    ["SELECT fts3_tokenizer('simple', x'00')"],
    ["CREATE TEMP TABLE t (x)"],
    ["CREATE TEMP TRIGGER t AFTER INSERT ON canary BEGIN DELETE FROM canary; END"],
    ["CREATE VIRTUAL TABLE f USING fts5(x)"],
    ["SAVEPOINT s", "INSERT INTO canary VALUES (2)"],
]

POSTGRESQL = [
    ["SET TRANSACTION READ WRITE", "INSERT INTO canary VALUES (2)"],
    ["SET default_transaction_read_only = off", "INSERT INTO canary VALUES (2)"],
    ["SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "INSERT INTO canary VALUES (2)"],
    ["SELECT set_config('transaction_read_only', 'off', false)", "INSERT INTO canary VALUES (2)"],
    ["SELECT set_config('default_transaction_read_only', 'off', false)", "INSERT INTO canary VALUES (2)"],
    ["RESET ALL", "INSERT INTO canary VALUES (2)"],
    ["DISCARD ALL", "INSERT INTO canary VALUES (2)"],
    ["COMMIT AND CHAIN", "INSERT INTO canary VALUES (2)"],
    ["START TRANSACTION READ WRITE", "INSERT INTO canary VALUES (2)"],
    ["SAVEPOINT s", "SET TRANSACTION READ WRITE", "INSERT INTO canary VALUES (2)"],
    ["DO $$ BEGIN COMMIT; {set_off}; COMMIT; INSERT INTO canary VALUES (2); END $$"],
    ["DO $$ BEGIN {set_off}; COMMIT; INSERT INTO canary VALUES (2); END $$"],
    ["DO $$ BEGIN EXECUTE 'INSERT INTO canary VALUES (2)'; END $$"],
    ["SELECT writes()"],
    ["CALL commits_and_writes()"],
    ["WITH x AS (DELETE FROM canary RETURNING id) SELECT * FROM x"],
    ["SELECT * INTO bird FROM canary"],
    ["CREATE TABLE bird AS SELECT * FROM canary"],
    ["EXPLAIN ANALYZE DELETE FROM canary"],
    ["PREPARE p AS INSERT INTO canary VALUES (2)", "EXECUTE p"],
    ["DECLARE c CURSOR FOR SELECT id FROM canary", "DELETE FROM canary WHERE CURRENT OF c"],
    ["SELECT nextval('numbers')"],
    ["COPY canary FROM PROGRAM 'echo 2'"],
    ["COPY canary TO PROGRAM 'touch {folder}/evil'"],
    ["COPY canary TO '{folder}/evil'"],
    ["COPY canary FROM STDIN"],
    ["SELECT pg_read_file('/etc/passwd')"],
    ["SELECT lo_import('/etc/passwd')"],
    ["SELECT lo_create(0)"],
    ["SET ROLE postgres", "INSERT INTO canary VALUES (2)"],
    ["SET SESSION AUTHORIZATION postgres"],
    ["ALTER ROLE app SUPERUSER"],
    ["TRUNCATE canary"],
    ["GRANT ALL ON canary TO public"],
    ["COMMENT ON TABLE canary IS 'x'"],
    ["REFRESH MATERIALIZED VIEW nothing"],
    ["NOTIFY x", "VACUUM canary"],
    ["LOAD 'plpgsql'", "INSERT INTO canary VALUES (2)"],
    ["COMMIT AND CHAIN", "SET TRANSACTION READ WRITE", "INSERT INTO canary VALUES (2)"],
    ["ROLLBACK AND CHAIN", "SET TRANSACTION READ WRITE", "INSERT INTO canary VALUES (2)"],
    ["SAVEPOINT s", "END AND CHAIN", "SET transaction_read_only = off", "INSERT INTO canary VALUES (2)"],
    ["SELECT 1/0", "ABORT AND CHAIN", "SET TRANSACTION READ WRITE", "INSERT INTO canary VALUES (2)"],
    ["SET default_transaction_read_only = off", "COMMIT AND CHAIN", "SELECT 1/0", "ROLLBACK AND CHAIN", "SELECT writes()"],
    ["COMMIT", "BEGIN", "SET TRANSACTION READ WRITE", "INSERT INTO canary VALUES (2)"],
]  # fmt: skip

MARIADB = [
    ["SET SESSION TRANSACTION READ WRITE", "INSERT INTO canary VALUES (2)"],
    ["SET SESSION tx_read_only = 0", "INSERT INTO canary VALUES (2)"],
    ["SET STATEMENT tx_read_only = 0 FOR INSERT INTO canary VALUES (2)"],
    ["START TRANSACTION READ WRITE", "INSERT INTO canary VALUES (2)"],
    ["SET autocommit = 1", "INSERT INTO canary VALUES (2)"],
    ["BEGIN NOT ATOMIC COMMIT; SET SESSION tx_read_only = 0; INSERT INTO canary VALUES (2); END"],
    ["BEGIN NOT ATOMIC ROLLBACK; SET SESSION tx_read_only = 0; INSERT INTO canary VALUES (2); END"],
    ["BEGIN NOT ATOMIC {go_on}; COMMIT; CREATE TABLE bird (x INT); DELETE FROM canary; END", "DROP TABLE canary"],
    ["EXECUTE IMMEDIATE 'COMMIT'", "INSERT INTO canary VALUES (2)"],
    ["EXECUTE IMMEDIATE 'INSERT INTO canary VALUES (2)'"],
    ["PREPARE p FROM 'INSERT INTO canary VALUES (2)'", "EXECUTE p"],
    ["XA END 'x'", "INSERT INTO canary VALUES (2)"],
    ["XA COMMIT 'x' ONE PHASE", "INSERT INTO canary VALUES (2)"],
    ["CALL commits_and_writes()"],
    ["SELECT writes()"],
    ["REPLACE INTO canary VALUES (2)"],
    ["INSERT DELAYED INTO canary VALUES (2)"],
    ["LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE canary"],
    ["LOAD DATA INFILE '/etc/passwd' INTO TABLE canary"],
    ["SELECT * FROM canary INTO OUTFILE '{folder}/evil'"],
    ["SELECT 1 INTO DUMPFILE '{folder}/evil'"],
    ["SELECT load_file('/etc/passwd') + (SELECT id FROM nowhere)"],
    ["HANDLER canary OPEN", "INSERT INTO canary VALUES (2)"],
    ["LOCK TABLES canary WRITE"],
    ["TRUNCATE canary"],
    ["RENAME TABLE canary TO bird"],
    ["CREATE TABLE bird AS SELECT * FROM canary"],
    ["/*!50000 INSERT INTO canary VALUES (2) */"],
    ["/*M! DELETE FROM canary */"],
    ["ANALYZE DELETE FROM canary"],
    ["GRANT ALL ON app.* TO app@localhost WITH GRANT OPTION"],
    ["SET GLOBAL read_only = 0"],
    ["CREATE PROCEDURE p() DELETE FROM canary"],
    ["CREATE EVENT e ON SCHEDULE EVERY 1 SECOND DO DELETE FROM canary"],
    ["INSTALL SONAME 'ha_spider'"],
    ["DO (SELECT 1)", "SET SESSION TRANSACTION READ WRITE", "DELETE FROM canary"],
    ["SET SESSION tx_read_only = 0", "INSERT INTO loose VALUES (2)"],
    ["SET SESSION tx_read_only = 0", "SELECT NEXTVAL(numbers)"],
    ["SET SESSION tx_read_only = 0", "SELECT SETVAL(numbers, 50)"],
    ["SET autocommit = 0", "SET SESSION tx_read_only = 0", "INSERT INTO loose VALUES (2)"],
    ["SET completion_type = CHAIN, tx_read_only = 0", "COMMIT", "INSERT INTO loose VALUES (2)"],
    ["SET PASSWORD = PASSWORD('x')"],
    ["SET DEFAULT ROLE NONE"],
    ["REPAIR TABLE loose"],
]  # fmt: skip

SET_OFF = "PERFORM set_config('default_transaction_read_only', 'off', false)"
GO_ON = "DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END"
CORPUS = {"sqlite": WRITES + SQLITE, "postgresql": WRITES + POSTGRESQL, "mariadb": WRITES + MARIADB}


def test_the_corpus_is_large_enough():
    assert len(WRITES) + len(SQLITE) + len(POSTGRESQL) + len(MARIADB) >= 40


async def prepare(db, name):
    for table in ("canary", "bird"):
        await db.execute("main", f"DROP TABLE IF EXISTS {table}")
    await db.execute("main", "CREATE TABLE canary (id INTEGER)")
    await db.execute("main", "INSERT INTO canary VALUES (1)")
    await db.execute("main", "CREATE INDEX known ON canary (id)")
    if name == "postgresql":
        await db.execute("main", "DROP SEQUENCE IF EXISTS numbers")
        await db.execute("main", "CREATE SEQUENCE numbers")
        body = "INSERT INTO canary VALUES (2);"
        await db.execute("main", f"CREATE OR REPLACE FUNCTION writes() RETURNS void LANGUAGE sql AS $$ {body} $$")
        await db.execute(
            "main",
            "CREATE OR REPLACE PROCEDURE commits_and_writes() LANGUAGE plpgsql AS $$ BEGIN "
            f"PERFORM set_config('default_transaction_read_only', 'off', false); COMMIT; {body} END $$",
        )
    if name == "mariadb":
        await db.execute("main", "DROP TABLE IF EXISTS loose")
        await db.execute("main", "CREATE TABLE loose (id INTEGER) ENGINE=Aria")
        await db.execute("main", "DROP SEQUENCE IF EXISTS numbers")
        await db.execute("main", "CREATE SEQUENCE numbers")
        await db.execute("main", "DROP PROCEDURE IF EXISTS commits_and_writes")
        await db.execute(
            "main",
            "CREATE PROCEDURE commits_and_writes() BEGIN COMMIT; SET SESSION tx_read_only = 0; "
            "INSERT INTO canary VALUES (2); END",
        )
        await db.execute("main", "DROP FUNCTION IF EXISTS writes")
        await db.execute("main", "CREATE FUNCTION writes() RETURNS INT BEGIN DELETE FROM canary; RETURN 1; END")


async def state(db, name):
    tables = {table.name for table in await db.tables("main")}
    rows = [tuple(row) for row in await db.query("main", "SELECT id FROM canary")]
    loose = []
    if name == "mariadb":  # No transaction undoes what becomes of these.
        loose = [tuple(row) for row in await db.query("main", "SELECT id FROM loose")]
        loose += [tuple(row) for row in await db.query("main", "SELECT next_not_cached_value FROM numbers")]
    return tables, rows, loose, await db.table("main", "canary")


WAYS = ["query", "readonly database", "readonly transaction", "transaction of a readonly database", "readonly session",
        "session of a readonly database", "transaction in a session", "batch", "atomic batch"]  # fmt: skip


async def opened(db, way):
    """The database and the transaction of a way, where it has one."""
    if "session" in way:
        name = "reading" if "database" in way else "main"
        session = (await db.connect(name, readonly=way == "readonly session")).id
        if "transaction" in way:
            await db.begin("main", session=session, readonly=True)
        return name, session
    if "transaction" in way:
        name = "reading" if "database" in way else "main"
        return name, (await db.begin(name, readonly=name == "main")).id
    return "reading", None


async def closed(db, way, tx):
    try:
        await (db.disconnect(tx) if "session" in way else db.rollback(tx))
    except RpcError:
        pass


@pytest.mark.parametrize("way", WAYS)
def test_every_attempt_is_refused(run_with, any_database, sql, way, tmp_path):
    def text(statement):
        return statement.replace("{folder}", str(tmp_path)).replace("{set_off}", SET_OFF).replace("{go_on}", GO_ON)

    async def in_a_batch(db, statements):
        try:
            done = await db.batch("reading", [Step(text(one)) for one in statements], atomic=way == "atomic batch")
        except DatabaseError:
            return True
        return done[-1].outcome is Outcome.ERROR

    async def attempt(db, statements):
        if "batch" in way:
            return await in_a_batch(db, statements)
        database, tx = await opened(db, way)
        try:
            for number, statement in enumerate(statements):
                try:
                    if way == "query":
                        await db.query("main", text(statement))
                    else:
                        await db.execute(database, text(statement), transaction=tx)
                    if way == "transaction in a session" and await db.renew(tx) is not TxState.ACTIVE:
                        return True  # What comes now is the session's, which may write.
                except DatabaseError:
                    if number == len(statements) - 1:
                        return True
                except TransactionLost:
                    return True  # An earlier statement ended it, and there is no way back in.
            return False
        finally:
            if tx:
                await closed(db, way, tx)

    async def work(bench):
        db = bench.db
        await prepare(db, sql.name)
        before = await state(db, sql.name)
        files = {path.name for path in tmp_path.iterdir()}
        let_through = [statements for statements in CORPUS[sql.name] if not await attempt(db, statements)]
        assert let_through == []
        assert await state(db, sql.name) == before
        known = {path.name for path in tmp_path.iterdir()} - files
        assert not {name for name in known if not name.endswith(("-wal", "-shm"))}

    url = any_database.get("url", f"sqlite:///{tmp_path}/main.sqlite3")
    run_with(work, main=any_database, reading={"url": url, "readonly": True})


@pytest.mark.parametrize("call", ["stream", "executemany"])
@pytest.mark.parametrize(
    "chain", [["SELECT 1/0", "ABORT AND CHAIN"], ["COMMIT AND CHAIN", "SET TRANSACTION READ WRITE"]]
)
def test_a_chained_transaction_only_reads(run_with, pg_uri, call, chain):
    async def work(bench):
        db = bench.db
        await prepare(db, "postgresql")
        tx = (await db.connect("reading")).id
        await db.begin("reading", session=tx)
        await db.execute("reading", "SET default_transaction_read_only = off", transaction=tx)
        await db.commit(tx)
        await db.begin("reading", session=tx)
        for statement in chain:
            try:
                if call == "executemany":
                    await db.executemany("reading", statement, [[]], transaction=tx)
                else:
                    await db.execute("reading", statement, transaction=tx)
            except DatabaseError:
                pass
        if await db.renew(tx) is TxState.FAILED:
            await db.execute("reading", "ABORT AND CHAIN", transaction=tx)
        with pytest.raises(DatabaseError, match="read-only"):
            if call == "executemany":
                await db.executemany("reading", "INSERT INTO canary VALUES (?)", [[2]], transaction=tx)
            else:
                [page async for page in await db.stream("reading", "SELECT writes()", transaction=tx)]
        assert len(await db.query("main", "SELECT id FROM canary")) == 1

    run_with(work, main={"url": pg_uri}, reading={"url": pg_uri, "readonly": True})


@pytest.mark.parametrize("change", ["lo_from_bytea(0, 'x')", "lo_put(777, 0, 'x')", "lo_unlink(777)"])
def test_no_large_object_is_changed(run_with, contrib_uri, change):
    """PostgreSQL before version 16 lets transactions that only read change them."""
    statement = f"SELECT {change}"

    async def work(bench):
        db = bench.db

        async def objects():
            return [tuple(row) for row in await db.query("main", "SELECT oid FROM pg_largeobject_metadata ORDER BY 1")]

        async def refused_in(calls):
            try:
                await calls()
            except DatabaseError:
                return True
            return False

        async def at_commit(database):
            tx = (await db.begin(database, readonly=database == "main")).id
            await db.query(database, statement, transaction=tx)
            await db.commit(tx)

        async def at_a_commit_in_sql(database):
            tx = (await db.begin(database, readonly=database == "main")).id
            try:
                await db.query(database, statement, transaction=tx)
                await db.query(database, "COMMIT", transaction=tx)
            finally:
                await db.rollback(tx)

        if not await db.query("main", "SELECT oid FROM pg_largeobject_metadata WHERE oid = 777"):
            await db.execute("main", "SELECT lo_from_bytea(777, 'good')")
        before = await objects()
        for database in ("main", "reading"):
            assert await refused_in(lambda database=database: at_commit(database))
            assert await refused_in(lambda database=database: at_a_commit_in_sql(database))
        assert await refused_in(lambda: db.executemany("reading", statement, [[]]))
        for atomic in (False, True):
            await refused_in(lambda atomic=atomic: db.batch("reading", [Step(statement)], atomic=atomic))
        session = (await db.connect("reading")).id
        await refused_in(lambda: db.execute("reading", statement, transaction=session))
        assert len(await db.query("reading", "SELECT 1", transaction=session)) == 1, "the session stays usable"
        await db.disconnect(session)
        await refused_in(lambda: db.execute("reading", statement))
        assert await objects() == before
        data = await db.query("main", "SELECT convert_from(lo_get(777), 'UTF8')")
        assert [tuple(row) for row in data] == [("good",)]

    run_with(work, main={"url": contrib_uri}, reading={"url": contrib_uri, "readonly": True})


def test_no_script_runs_in_a_transaction_that_only_reads(run_with, any_database):
    async def work(bench):
        session = (await bench.db.connect("main")).id
        await bench.db.begin("main", session=session, readonly=True)
        with pytest.raises(DatabaseError, match="only reading"):
            await bench.db.script("main", "COMMIT; CREATE TABLE bird (x INTEGER)", atomic=False, transaction=session)
        await bench.db.rollback(session)
        changed = await bench.db.script("main", "SELECT 1; SELECT 2", atomic=False, transaction=session)
        assert changed.statements == 2

    run_with(work, main=any_database)


def test_profiles_do_not_tell_how_to_leave(run_with, my_uri):
    async def work(bench):
        db = bench.db
        await prepare(db, "mariadb")
        session = (await db.connect("reading")).id
        await db.execute("reading", "SET profiling = 1, tx_read_only = 0", transaction=session)
        await db.begin("reading", session=session)
        told = await db.query("reading", "SHOW PROFILES", transaction=session)
        assert not [row for row in told if "XA START" in row[2]]
        with pytest.raises(DatabaseError, match="READ ONLY"):
            await db.execute("reading", "INSERT INTO loose VALUES (2)", transaction=session)
        await db.rollback(session)

    run_with(work, main={"url": my_uri}, reading={"url": my_uri, "readonly": True})


WATCH = """BEGIN NOT ATOMIC
DECLARE found TEXT DEFAULT NULL;
DECLARE seen INT DEFAULT 0;
WHILE NOT IS_USED_LOCK('watched') IS NULL DO
    SET seen = seen + (SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '/***%');
    SET found = IFNULL(found, (SELECT INFO FROM information_schema.PROCESSLIST
        WHERE (INFO LIKE '%XA START%' OR INFO_BINARY LIKE '%XA START%') AND ID <> CONNECTION_ID() LIMIT 1));
END WHILE;
SELECT found, seen;
END"""


def test_no_other_connection_sees_how_to_leave(run_with, my_uri):
    async def work(bench):
        db = bench.db
        session = (await db.connect("reading")).id
        await db.begin("reading", session=session)
        await db.execute("reading", "DO GET_LOCK('watched', 10)", transaction=session)
        watching = asyncio.ensure_future(db.query("reading", WATCH))
        for _ in range(2000):
            await db.query("reading", "SELECT 1")
        await db.disconnect(session)
        found = (await watching)[0]
        assert found.found is None and found.seen

    run_with(work, reading={"url": my_uri, "readonly": True})


def test_a_writable_sqlite_stays_within_its_file(run_with, tmp_path):
    async def work(bench):
        for statement in (
            f"ATTACH DATABASE '{tmp_path}/new.db' AS other",
            f"VACUUM INTO '{tmp_path}/copy.db'",
            "ATTACH '' AS scratch",
            "ATTACH ('') AS scratch",
            "EXPLAIN ATTACH '' AS scratch",
            "/* VACUUM */ ATTACH '' AS vacuum_db",
            "ATTACH ':memory:' AS scratch",
            "SELECT load_extension('x')",
            "PRAGMA writable_schema = ON",
            "PRAGMA temp_store_directory = 'x'",
        ):
            with pytest.raises(DatabaseError):
                await bench.db.execute("main", statement)
        session = (await bench.db.connect("main")).id
        with pytest.raises(DatabaseError):
            await bench.db.execute("main", "ATTACH '' AS scratch", transaction=session)
        await bench.db.execute("main", "CREATE TABLE t (x)")
        await bench.db.execute("main", "VACUUM")
        await bench.db.execute("main", "VACUUM main", transaction=session)
        listed = await bench.db.query("main", "PRAGMA database_list", transaction=session)
        assert {row.name for row in listed} <= {"main", "temp"}
        await bench.db.script("main", "VACUUM; VACUUM", atomic=False)
        await bench.db.execute("main", "PRAGMA user_version = 3")
        assert (await bench.db.query("main", "PRAGMA user_version")).scalar() == 3
        assert not (tmp_path / "new.db").exists() and not (tmp_path / "copy.db").exists()

    run_with(work)


def test_privileged_roles_are_refused_in_mariadb(run_with, my_superuser):
    async def work(bench):
        with pytest.raises(DatabaseError, match="allow_privileged_role"):
            await bench.db.query("root", "SELECT 1")
        assert (await bench.db.query("allowed", "SELECT 1")).scalar() == 1

    url = f"mariadb://root@localhost/mysql?unix_socket={my_superuser}"
    run_with(work, root={"url": url}, allowed={"url": url, "allow_privileged_role": True})
