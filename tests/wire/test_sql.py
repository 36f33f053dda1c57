"""How databases read SQL: what is quoted, and where a statement ends."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpcwire import sql
from rpcwire.sql import bare, commits_before, first_word, is_blank, is_open, mysql_syntax, split, statement_end
from tests.examples import count_examples

ATOMIC = """
CREATE OR REPLACE FUNCTION f(begin int, x text DEFAULT 'begin atomic;') RETURNS int LANGUAGE sql
BEGIN ATOMIC
  SELECT CASE WHEN begin > 1 THEN CASE begin WHEN 2 THEN 'end;' ELSE "end" END END; -- end;
  INSERT INTO t VALUES (1); /* end; /* ; */ */
  SELECT $$ end; $$, t.end FROM t;
END;
"""
RULE = """
CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO log VALUES (';)'); UPDATE n SET x = (x + 1); NOTIFY t; );
"""
TRIGGER = "CREATE TRIGGER t AFTER DELETE ON z BEGIN SELECT 1; SELECT CASE WHEN 1 THEN 2 END; END;"


@pytest.mark.parametrize(
    ("syntax", "text", "statements"),
    [
        ("", "SELECT 1;", ["SELECT 1;"]),
        ("", "SELECT ';' ; SELECT 2", ["SELECT ';' ;", "SELECT 2"]),
        ("", "/* ; */ ;; -- ;\n", []),
        ("postgresql", "SELECT 1; /* /* ; */ ; */ SELECT 2; /* /* */ */ ;", ["SELECT 1;", "/* /* ; */ ; */ SELECT 2;"]),
        ("postgresql", f"{ATOMIC}{RULE}SELECT 1;", [ATOMIC.strip(), RULE.strip(), "SELECT 1;"]),
        ("postgresql", f"CREATE SCHEMA s {ATOMIC} SELECT 1", [f"CREATE SCHEMA s {ATOMIC}".strip(), "SELECT 1"]),
        ("postgresql", "BEGIN; SELECT 1; END; SELECT 2;", ["BEGIN;", "SELECT 1;", "END;", "SELECT 2;"]),
        ("postgresql", "CREATE TABLE t (a int); BEGIN; END", ["CREATE TABLE t (a int);", "BEGIN;", "END"]),
        ("postgresql", "SELECT ')'; SELECT 1); SELECT 2", ["SELECT ')';", "SELECT 1);", "SELECT 2"]),
        ("postgresql", "SELECT $1$2; SELECT a$b$c; x$b$", ["SELECT $1$2;", "SELECT a$b$c;", "x$b$"]),
        ("postgresql", "SELECT $é$;$é$; SELECT $$;$$", ["SELECT $é$;$é$;", "SELECT $$;$$"]),
        ("postgresql", "SELECT '\\'; SELECT E'\\';';", ["SELECT '\\';", "SELECT E'\\';';"]),
        ("postgresql escaping", "SELECT '\\'; SELECT 1'", ["SELECT '\\'; SELECT 1'"]),
        ("sqlite", f"{TRIGGER} SELECT [;], `;`", [TRIGGER, "SELECT [;], `;`"]),
        ("sqlite", "SELECT /* a /* ; */ 5; SELECT 6", ["SELECT /* a /* ; */ 5;", "SELECT 6"]),
        ("mysql", "# a;b\n; /*!40101 SET @x = ';' */; /* c */; SELECT 'd\\';';", ["/*!40101 SET @x = ';' */;", "SELECT 'd\\';';"]),
        ("mysql", "/*!50003 CREATE TRIGGER t BEGIN SELECT 1; /* ; */ END */; SELECT 2--1;", ["/*!50003 CREATE TRIGGER t BEGIN SELECT 1; /* ; */ END */;", "SELECT 2--1;"]),
        ("mariadb", "/*M!100000 SELECT '*/;' */; SELECT 2", ["/*M!100000 SELECT '*/;' */;", "SELECT 2"]),
        ("mysql plain", "SELECT '\\'; SELECT \"\\\";", ["SELECT '\\';", 'SELECT "\\";']),
        ("mysql ansi", "SELECT '\\';'; SELECT \"\\\";", ["SELECT '\\';';", 'SELECT "\\";']),
        ("mysql", "SELECT 'a\\", ["SELECT 'a\\"]),
    ],
)  # fmt: skip
def test_where_statements_end(syntax, text, statements):
    assert split(text, syntax) == statements


SQLITE_TOKENS = [
    "create ", "CREATE\n", "temp ", "temporary ", "trigger ", "end", "END ", ";", ";", ";", " ", "/* ; */", "--x\n", "'a;'",
    '"b"', "`c`", "[d;]", "explain ", "query plan ", "x", "1", "-", "/", "*", "$", "é", "\x0b", "\f", "begin ", "'a''b'", "'",
]  # fmt: skip


@settings(max_examples=count_examples(2000))
@given(
    st.sampled_from(["", "create trigger ", "explain create temp trigger "]), st.lists(st.sampled_from(SQLITE_TOKENS))
)
def test_sqlite_itself_says_where_a_statement_ends(before, tokens):
    text = before + "".join(tokens)
    ends = [
        place + 1 for place, sign in enumerate(text) if sign == ";" and sqlite3.complete_statement(text[: place + 1])
    ]
    end = statement_end(text, "sqlite")
    assert (end and end[1]) == (ends[0] if ends else None)


@pytest.mark.parametrize("sign", ["//", ";;", "$$", "|", "END_OF"])
def test_other_signs_that_end_statements(sign):
    text = f"/*!50003 CREATE PROCEDURE p() BEGIN SELECT 1; SELECT '{sign}' /* {sign} */; END */ {sign} SELECT 2{sign}x"
    first = statement_end(text, "mysql", 0, sign)
    second = statement_end(text, "mysql", first[1], sign)
    assert text[: first[0]].endswith("END */ ") and text[first[1] : second[0]] == " SELECT 2"
    assert statement_end(text, "mysql", second[1], sign) is None


@pytest.mark.parametrize(
    ("syntax", "text", "found"),
    [
        ("", "'a", True), ("", "'a'''", False), ("", '"a""', True), ("", "/* a", True), ("", "-- a", False),
        ("postgresql", "/* /* */", True), ("postgresql", "/* /* */ */", False), ("sqlite", "/* /* */", False),
        ("postgresql", "$a$ x $b$", True), ("postgresql", "E'\\'", True), ("postgresql", "'\\'", False),
        ("mysql", "'\\'", True), ("mysql", "'\\", True), ("mysql plain", "'\\'", False), ("sqlite", "[a", True),
        ("sqlite", "`a", True), ("mysql", "`a`", False),
    ],
)  # fmt: skip
def test_texts_that_end_within_quotes(syntax, text, found):
    assert is_open(text, syntax) is found


@pytest.mark.parametrize(
    ("syntax", "sql", "said", "word"),
    [
        ("", "-- x\n (SELECT 1", " \n (SELECT 1", "SELECT"),
        ("postgresql", "/* /* ' */ */ select '--'", "  select '--'", "SELECT"),
        ("mysql", "#x\n/*!50003 CREATE*/ /*M!5 TABLE*/ t", " \n  CREATE    TABLE  t", ""),
        ("mysql", "/* x */ SHOW `/*!`", "  SHOW `/*!`", "SHOW"),
        ("", "/* only", " ", ""),
        ("", "", "", ""),
        ("", "42", "42", ""),
    ],
)
def test_statements_without_comments(syntax, sql, said, word):
    assert (bare(sql, syntax), first_word(sql, syntax)) == (said, word)


def test_texts_that_say_nothing():
    assert is_blank(" ; -- x\n/* ; */", "") and not is_blank("/*! x */", "mysql") and is_blank("# x", "mysql")
    assert not is_blank("# x", "postgresql") and is_blank("/* /* */ */", "postgresql")


@pytest.mark.parametrize(
    ("sql", "commits"),
    [
        ("/*!40000 ALTER TABLE t DISABLE KEYS */", True), ("/*!50003 CREATE*/ /*!50017 DEFINER=a@b*/ TRIGGER t", True),
        ("-- x\nDROP TABLE IF EXISTS t", True), ("LOCK TABLES t WRITE", True), ("CREATE TEMPORARY TABLE t (a int)", False),
        ("CREATE OR REPLACE TEMPORARY TABLE t (a int)", False), ("INSERT INTO t VALUES ('; DROP TABLE t')", False),
        ("/* DROP */ SELECT 1", False), ("DROP PREPARE x", False), ("UNLOCK TABLES", False), ("OPTIMIZE LOCAL TABLE t", True),
    ],
)  # fmt: skip
def test_statements_that_commit(sql, commits):
    assert commits_before(sql, "mariadb") is commits
    assert not commits_before(sql, "postgresql")


def test_modes():
    assert mysql_syntax("STRICT_TRANS_TABLES") == "mysql" and mysql_syntax("ansi_quotes,X") == "mysql ansi"
    assert mysql_syntax("ANSI_QUOTES,NO_BACKSLASH_ESCAPES") == "mysql plain"


@settings(deadline=None)
@given(st.text("ab;'\"`$-/*#\\!\n [](E)"), st.sampled_from(["", "sqlite", "postgresql", "mysql", "mysql plain"]))
def test_splitting_loses_nothing_but_what_says_nothing(text, syntax):
    place = 0
    for statement in split(text, syntax):
        found = text.index(statement, place)
        assert is_blank(text[place:found], syntax) or not text[place:found].strip()
        place = found + len(statement)


def test_long_strings_take_no_time_and_no_memory():
    text = "INSERT INTO t VALUES ('" + "a''b\\\\" * 500_000 + "');"
    for syntax in ("", "postgresql", "mysql", "sqlite"):
        assert split(text + " SELECT 1;", syntax) == [text, "SELECT 1;"]


PARTS = st.sampled_from(
    ["'", "''", '"', "`", "$$", "$t$", "$1", "-- x\n", "/*", "*/", "*", "/", "[", "]", ";", ":", "::", "\\", "?", "E'", "#",
     "a", "bc", " ", "\n", ":id", "$", "é", "case ", "end ", "(", ")", "/*!", "/*M!", "%"]
)  # fmt: skip


@settings(max_examples=count_examples(400))
@given(st.lists(PARTS, max_size=80).map("".join), st.sampled_from(["", "sqlite", "postgresql", "mysql", "mysql plain"]))
def test_text_that_is_searched_in_pieces_is_read_as_it_is_in_one(text, syntax):
    """Long statements are searched piece by piece, so that nobody else waits long; here the pieces are tiny."""
    target = r"(?P<end>;)|\\(?P<colon>:)|(?<![:\w\\]):(?P<name>[A-Za-z_]\w*)\b(?!:(?!:))|\?"

    def read():
        return [(match.span(), match["skip"], end) for match, end in sql.scan(text, sql.pattern(syntax, target))]

    whole = read()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sql, "PIECE", 40)
        assert read() == whole


def test_first_words_behind_very_many_comments_are_not_looked_for():
    assert first_word("--\n" * 999 + "SELECT 1", "") == "SELECT"
    assert first_word("--\n" * 1000 + "SELECT 1", "") == ""
