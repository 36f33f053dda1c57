"""What scripts on standard input may hold besides statements."""

from __future__ import annotations

import click
import pytest

from rpcclient.cli.sqlscript import Part, Script, decode
from rpcclient.cli.sqlshadows import Shadows


def parts(text: str, syntax: str) -> list[tuple[str, int]]:
    return [(part.sql, part.line) for part in Script(text, syntax).parts()]


@pytest.mark.parametrize("sign", [";;", "//", "$$", "|", "\\\\"])
def test_delimiters(sign: str) -> None:
    text = f"""SELECT 1;
/*!50003 SET @saved = ';' */ ;
DELIMITER {sign}
/*!50003 CREATE*/ /*!50017 DEFINER=`a;`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON z FOR EACH ROW BEGIN
  SET NEW.a = '{sign}'; -- {sign}
END */{sign}

-- what follows
# {sign}
/* DELIMITER // */
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN SELECT 2; END {sign}
delimiter ;
SELECT 3
"""
    assert [(sql.split()[0], line) for sql, line in parts(text, "mariadb")] == [
        ("SELECT", 1), ("/*!50003", 2), ("/*!50003", 4), ("--", 11), ("SELECT", 13),
    ]  # fmt: skip
    assert parts(text, "mariadb")[2][0].endswith("END */") and parts(text, "mariadb")[3][0].endswith("; END")


def test_data_of_copies() -> None:
    text = "SET a = 1;\nCOPY public.t (a, b) FROM stdin; -- here\n1\tx;'\n\\\\.\n\\.\n\n\nCOPY t FROM STDIN;\n\\.\nSELECT 2;"
    assert list(Script(text, "postgresql").parts()) == [
        Part("SET a = 1", 1), Part("COPY public.t (a, b) FROM stdin", 2, b"1\tx;'\n\\\\.\n"),
        Part("COPY t FROM STDIN", 8, b""), Part("SELECT 2", 10),
    ]  # fmt: skip
    assert list(Script('COPY "from stdin" TO stdout; COPY (TABLE stdin) TO STDOUT;\nCOPY t FROM \'stdin\';', "postgresql").parts()) == [
        Part('COPY "from stdin" TO stdout', 1), Part("COPY (TABLE stdin) TO STDOUT", 1), Part("COPY t FROM 'stdin'", 2),
    ]  # fmt: skip
    assert list(Script("copy t from stdin csv;\r\n1,ä\r\n\\.\r\nSELECT 1", "postgresql").parts()) == [
        Part("copy t from stdin csv", 1, "1,ä\r\n".encode()), Part("SELECT 1", 4),
    ]  # fmt: skip
    assert list(Script("COPY t FROM STDIN;\n1\n", "postgresql").parts()) == [Part("COPY t FROM STDIN", 1, b"1\n")]


def test_commands_of_other_clients() -> None:
    text = "--\n\\restrict AbC\n\nSELECT 1;\n\\unrestrict AbC\n"
    assert parts(text, "postgresql") == [("SELECT 1", 4)]
    for text, syntax, said in (
        ("SELECT 1;\n\n\\connect other\n", "postgresql", r"line 3: \\connect is a command of psql"),
        ("SELECT 1;\n.mode csv\n", "sqlite", r"line 2: \.mode is a command of sqlite3"),
        ("SELECT 1;\nSELECT 2 \\gset\nSELECT 3;", "postgresql", r"line 2: \\gset is a command of psql"),
        ("SELECT 1;\nSELECT 2\n\\g", "postgresql", r"line 3: \\g is a command of psql"),
        ("SELECT '\\', E'\\'', 1 \\;", "postgresql", r"line 1: \\; is a command of psql"),
        ("SELECT 1;\nSELECT '\\''\\G\n", "mariadb", r"line 2: \\G is a command of mariadb"),
        ("SELECT 1;\n\\! true\n", "mariadb", r"line 2: \\! is a command of mariadb"),
        ("SELECT 1;\n\nsource other.sql;\n", "mariadb", r"line 3: source is a command of mariadb"),
        ("WARNINGS;", "mysql", r"line 1: WARNINGS is a command of mariadb"),
        ("DELIMITER\nSELECT 1;", "mysql", r"line 1: DELIMITER is a command of mariadb"),
    ):
        with pytest.raises(click.UsageError, match=f"{said}.*leave it out; nothing has run"):
            parts(text, syntax)
    assert parts("SELECT\n.5;", "sqlite") == [("SELECT\n.5", 1)]
    for text, syntax in (
        ("SELECT E'\\'', '\\', $x$ \\d $x$, \"\\\" -- \\g", "postgresql"),
        ("/*M!999999\\- enable the sandbox mode */ SELECT \\N, '\\G', \"\\G\" -- \\G", "mariadb"),
        ("SELECT status, `source` FROM t /* \\g */", "mariadb"),
    ):
        assert parts(text, syntax) == [(text, 1)]


@pytest.mark.parametrize(
    "sign", ["'//'", '"$$"', "`||`", "// -- as in their client, no more than the first word counts"]
)
def test_quoted_delimiters(sign: str) -> None:
    bare = sign.split()[0].strip("'\"`")
    text = f"DELIMITER {sign}\nSELECT 1; SELECT 2{bare}\ndelimiter ';'\nSELECT 3;"
    assert [sql for sql, _ in parts(text, "mariadb")] == ["SELECT 1; SELECT 2", "SELECT 3"]


@pytest.mark.parametrize(
    ("setting", "other"),
    [
        ("SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "SET sql_mode = ''"),
        ("/*!50003 SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES' */", "/*!50003 SET sql_mode = @saved_sql_mode */"),
        ('SET @@session.sql_mode := "no_backslash_escapes"', "set session sql_mode=@OLD_SQL_MODE"),
        ("SET NAMES utf8, LOCAL sql_mode='NO_BACKSLASH_ESCAPES'", "SET @@sql_mode = 'STRICT_TRANS_TABLES'"),
    ],
)
def test_modes_that_the_script_sets(setting: str, other: str) -> None:
    text = (
        "SET @saved_sql_mode = @@sql_mode, @OLD_SQL_MODE=@@SQL_MODE;\n"
        f"SELECT '\\';';\n{setting};\nSELECT '\\';\nSELECT 'b';\n{other};\nSELECT '\\';';\n"
    )
    assert [sql for sql, _ in parts(text, "mariadb")] == [
        "SET @saved_sql_mode = @@sql_mode, @OLD_SQL_MODE=@@SQL_MODE", "SELECT '\\';'", setting, "SELECT '\\'",
        "SELECT 'b'", other, "SELECT '\\';'",
    ]  # fmt: skip


def test_quotes_that_the_script_sets() -> None:
    for mode in ("ANSI", "'ORACLE'", '"ansi_quotes"'):
        text = f'SET sql_mode={mode}; SELECT "\\"; SELECT 2;'
        assert [sql for sql, _ in parts(text, "mysql")][1:] == ['SELECT "\\"', "SELECT 2"]
    assert len(parts('SET sql_mode=DEFAULT; SELECT "\\"; SELECT 2;', "mysql")) == 2
    text = "SET standard_conforming_strings = off;\nSELECT '\\';';\nSET standard_conforming_strings TO on; SELECT '\\';"
    assert [sql for sql, _ in parts(text, "postgresql")][1::2] == ["SELECT '\\';'", "SELECT '\\'"]


def test_bytes_that_are_no_text() -> None:
    text = decode(b"INSERT INTO t VALUES (_binary '\xff\\0\\'''\\n\\\\a;', _binary 'ok', 'z\xc3\xbc');", "mariadb")
    ((sql, _),) = parts(text, "mariadb")
    number = b"\xff\0''\n\\a;".hex()
    assert sql == f"INSERT INTO t VALUES (_binary  x'{number}', _binary 'ok', 'zü')"
    ((sql, _),) = parts(decode(b"SELECT _binary'\xff\\'", "mariadb"), "mysql plain")
    assert sql == "SELECT _binary x'ff5c'"
    ((sql, _),) = parts(decode(b"SELECT '\xfe', \"\xff\"", "mariadb"), "mariadb")
    assert sql == "SELECT  x'fe',  x'ff'"
    for text in (b"SELECT 1;\nSELECT `\xff`", b"SELECT 1;\nSELECT \xff"):
        with pytest.raises(click.UsageError, match="statement in line 2 are bytes that are no UTF-8"):
            parts(decode(text, "mariadb"), "mariadb")
    with pytest.raises(click.UsageError, match="in line 1 are bytes"):
        parts(decode(b'SELECT "\xff"', "mariadb"), "mysql ansi")


@pytest.mark.parametrize(
    ("name", "codec"), [("LATIN1", "latin-1"), ("WIN1252", "cp1252"), ("EUC_JP", "euc_jp"), ("UTF8", "utf-8")]
)
def test_dumps_in_other_encodings(name: str, codec: str) -> None:
    text = f"SET client_encoding = '{name}';\nSELECT '{'日本' if name == 'EUC_JP' else 'Zürich'}';\n"
    assert decode(text.encode(codec), "postgresql") == text
    assert decode(b"\xef\xbb\xbfSELECT 1", "sqlite") == "SELECT 1"
    with pytest.raises(click.UsageError, match="line 3 is not in UTF8: write it in UTF-8"):
        decode(b"SELECT 1;\n\n'\xff'", "postgresql")
    with pytest.raises(click.UsageError, match="it is in MULE_INTERNAL, which is not known here"):
        decode(b"SET client_encoding = 'MULE_INTERNAL';", "postgresql")


def test_virtual_tables_of_a_dump() -> None:
    tables = [("zone",)]
    shadows = Shadows(lambda sql: list(tables))
    made = "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','it''s','it''s',0,'CREATE VIRTUAL TABLE \"it''s\" using fts5(a)')"
    assert not shadows.changes(made) and not shadows.changes("SELECT 1")
    assert shadows.changes("PRAGMA writable_schema=ON") and list(shadows.instead("PRAGMA writable_schema=ON")) == []
    assert shadows.changes(made) and not shadows.changes("INSERT INTO sqlite_schema VALUES (1)")
    steps = shadows.instead(made)
    assert next(steps) == 'CREATE VIRTUAL TABLE "it\'s" using fts5(a)'
    tables += [("it's",), ("it's_\"data",)]
    assert list(steps) == ['DELETE FROM "it\'s_""data"']
    assert len(list(shadows.instead("PRAGMA writable_schema=OFF"))) == 4 and not shadows.changes(made)
