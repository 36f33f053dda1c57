"""`rpcclient sql`: one statement, several from standard input, and the interactive one in a terminal."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from rpcclient.backoff import Pauses
from rpcclient.cli import rowtext, sqlnames, sqltext
from rpcclient.cli.sqlcompletion import Names, SqlCompleter
from rpcclient.cli.sqlsession import RECONNECT_S, REFRESH_S
from rpcclient.cli.tabletext import show_table
from rpcclient.stubs.database import Index, TableInfo, TableKind
from rpcwire.errors import ConnectFailed


@contextmanager
def serving(folder: Path, shell: Any, port: str = "0") -> Iterator[tuple[Any, subprocess.Popen[str]]]:
    """A command line against a server with an SQLite database, and the server."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RPC_", "RPCSERVER_"))},
        "RPCSERVER_STATE_DIR": str(folder / "state"),
        "RPCSERVER_SERVICES": json.dumps({"database": {"databases": {"main": {}, "still": {"readonly": True}}}}),
        "RPCSERVER_PLUGINS__DISABLED": '["programs", "hardware"]',
        "RPC_TOKEN_FILE": str(folder / "state" / "token"),
        "XDG_STATE_HOME": str(folder / "home"),
        "COLUMNS": "100",
        "TERM": "xterm",
        "PROMPT_TOOLKIT_NO_CPR": "1",  # Nobody answers here where the cursor is.
    }
    command = [sys.executable, "-m", "rpcserver", "serve", "--port", port, "--unix", "none"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        assert url, (folder / "log").read_text()
        try:
            yield type(shell)({**environment, "RPC_URL": url}), process
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def sql_shell(tmp_path_factory: pytest.TempPathFactory, shell: Any) -> Iterator[Any]:
    """A command line against a server with an SQLite database."""
    with serving(tmp_path_factory.mktemp("sql"), shell) as (found, _):
        yield found


@pytest.fixture
def zone(sql_shell: Any) -> Any:
    script = """
        DROP TABLE IF EXISTS zone;
        CREATE TABLE zone (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x;y', raw BLOB); -- a comment; with one
        CREATE TRIGGER IF NOT EXISTS t AFTER DELETE ON zone BEGIN SELECT 1; SELECT 2; END;
        INSERT INTO zone VALUES (1, 'a|b', x'00ff'), (2, 'two', NULL)
    """
    sql_shell.ok("sql", "main", "--write", stdin=script.encode())
    return sql_shell


SELECT = "SELECT id, name, raw, id FROM zone WHERE id >= :low ORDER BY id"


def test_json_is_the_default_in_a_pipe(zone: Any) -> None:
    rows = json.loads(zone.ok("sql", "main", SELECT, "low=1"))
    assert rows == [
        {"id": 1, "name": "a|b", "raw": "AP8=", "id_2": 1},
        {"id": 2, "name": "two", "raw": None, "id_2": 2},
    ]
    assert json.loads(zone.ok("sql", "main", SELECT, "low=7")) == []
    done = json.loads(zone.ok("sql", "main", "INSERT INTO zone (name) VALUES ('z')", "--write"))
    assert done == {"rowcount": 1, "last_insert_id": 3}


def test_csv_markdown_and_table(zone: Any) -> None:
    found = zone.ok("sql", "main", SELECT, "low=1", "--format", "csv").decode()
    assert list(csv.reader(io.StringIO(found))) == [
        ["id", "name", "raw", "id"], ["1", "a|b", "AP8=", "1"], ["2", "two", "", "2"],
    ]  # fmt: skip
    assert zone.ok("sql", "main", SELECT, "low=1", "--format", "markdown").decode().splitlines() == [
        "| id | name | raw | id |",
        "| --- | --- | --- | --- |",
        r"| 1 | a\|b | AP8= | 1 |",
        "| 2 | two |  | 2 |",
    ]
    assert zone.ok("sql", "main", SELECT, "low=1", "--format", "table").decode().splitlines() == [
        "id │ name │ raw    │ id",
        "───┼──────┼────────┼───",
        " 1 │ a|b  │ 0x00ff │  1",
        " 2 │ two  │ NULL   │  2",
        "(2 rows)",
    ]
    assert zone.ok("sql", "main", "SELECT ? + ?", "3", "4", "--format", "csv") == b"? + ?\n7\n"


def test_many_rows_come_page_by_page(zone: Any) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000) SELECT i, 'x' || i AS x FROM n"
    assert len(json.loads(zone.ok("sql", "main", numbers))) == 120_000
    assert zone.ok("sql", "main", numbers, "--format", "table").splitlines()[-1] == b"(120000 rows)"


def test_a_table_on_a_terminal(zone: Any) -> None:
    command, *words = zone.command("sql", "main", "SELECT 'a' || char(27) || '[31m' AS x, 1 AS n")
    shown = pexpect.spawn(command, words, env=zone.environment, encoding="utf-8", timeout=20)
    shown.expect(pexpect.EOF)
    assert "(1 row)" in shown.before
    assert "\x1b[31m" not in shown.before


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["main", "SELEC 1"], 1, "syntax error"),
        (["main", "DELETE FROM zone"], 1, "give --write"),
        (["nowhere", "SELECT 1"], 1, "there are: main, still"),
        (["main", SELECT, "lo=1"], 2, "params.low: missing"),
        (["main", SELECT, "low=1", "2"], 2, "by position"),
        (["main", "SELECT 1", "--format", "xml"], 2, "xml"),
        (["main", ""], 2, "no statement"),
    ],
)
def test_exit_status(zone: Any, words: list[str], status: int, said: str) -> None:
    if words[-1] == "":
        words = words[:-1]
    done = zone.run("sql", *words)
    assert (done.returncode, done.stdout) == (status, b""), done.stderr
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_statements_from_standard_input_are_one_transaction(zone: Any) -> None:
    done = zone.run(
        "sql", "main", "--write", stdin=b"DELETE FROM zone; INSERT INTO zone (nothing) VALUES (1); SELECT 1"
    )
    assert done.returncode == 1 and b"nothing" in done.stderr
    two = zone.ok("sql", "main", "--format", "csv", stdin=b"SELECT count(*) AS n FROM zone;SELECT 'x;y' AS s;")
    assert two == b"n\n2\ns\nx;y\n"
    assert zone.ok("sql", "main", "--format", "csv", stdin=b"SELECT 1 AS one") == b"one\n1\n"


def test_statements_that_commit_each_by_itself(zone: Any) -> None:
    done = zone.run("sql", "main", "-w", "--each", stdin=b"DELETE FROM zone WHERE id = 1; SELEC 1; SELECT 1")
    assert done.returncode == 1 and b"syntax error" in done.stderr
    assert json.loads(zone.ok("sql", "main", "SELECT id FROM zone")) == [{"id": 2}]
    assert (
        zone.ok("sql", "main", "-w", "--each", "--format", "csv", stdin=b"VACUUM; ANALYZE; SELECT 1 AS n") == b"n\n1\n"
    )
    assert b"--write" in zone.run("sql", "main", "--each", stdin=b"SELECT 1; DELETE FROM zone").stderr


def test_a_dump_with_transactions_of_its_own(zone: Any) -> None:
    dump = b"""
        PRAGMA foreign_keys=OFF;
        BEGIN TRANSACTION; -- as sqlite3 writes it
        DELETE FROM zone; INSERT INTO zone (id, name) VALUES (7, 'seven');
        COMMIT;
    """
    zone.ok("sql", "main", "--write", stdin=dump)
    assert json.loads(zone.ok("sql", "main", "SELECT id, name FROM zone")) == [{"id": 7, "name": "seven"}]
    done = zone.run("sql", "main", "--write", stdin=b"BEGIN; DELETE FROM zone")
    assert done.returncode == 1 and b"begun and not committed: it has been rolled back" in done.stderr
    done = zone.run("sql", "main", "--write", stdin=b"BEGIN; DELETE FROM zone; SELECT nothing; COMMIT")
    assert done.returncode == 1
    assert json.loads(zone.ok("sql", "main", "SELECT count(*) AS n FROM zone")) == [{"n": 1}]


def test_an_error_says_which_statement_it_was(zone: Any) -> None:
    text = b"SELECT 1;\n\nINSERT INTO zone (nothing)\n  VALUES ('a long text that is cut');"
    for words in (["--write"], ["--write", "--each"]):
        done = zone.run("sql", "main", *words, stdin=text)
        assert b"statement 2, line 3 (INSERT INTO zone (nothing) VALUES ('a l\xe2\x80\xa6): " in done.stderr
        assert (b"; what came before it stays" in done.stderr) is ("--each" in words)
    done = zone.run("sql", "main", stdin=b"SELECT 1;\n-- x\n/* y\n*/ DELETE FROM zone")
    assert b"statement 2, line 4 (DELETE FROM zone): " in done.stderr and b"give --write" in done.stderr


def test_several_results_are_one_document_of_json(zone: Any) -> None:
    text = b"SELECT 1 AS a; SELECT 2 AS b WHERE 0; DELETE FROM zone WHERE id = 9; SELECT id FROM zone"
    for words in ([], ["--each"]):
        assert json.loads(zone.ok("sql", "main", "--write", *words, stdin=text)) == [
            [{"a": 1}],
            [],
            {"rowcount": 0, "last_insert_id": None},
            [{"id": 1}, {"id": 2}],
        ]


def test_what_a_statement_without_rows_prints(zone: Any) -> None:
    for form in ("table", "expanded"):
        assert zone.ok("sql", "main", "DELETE FROM zone WHERE id = 99", "-w", "--format", form) == b"(0 rows changed)\n"


def test_several_statements_as_an_argument(zone: Any) -> None:
    assert b"give several statements on standard input" in zone.run("sql", "main", "SELECT 1; SELECT 2").stderr
    assert b"standard input" not in zone.run("sql", "main", "SELEC 1; -- nothing more").stderr
    assert zone.ok("sql", "main", "SELECT ';' AS a; -- ;", "--format", "csv") == b"a\n;\n"


def test_values_without_the_names_that_a_statement_has(zone: Any) -> None:
    assert b"give each as NAME=VALUE" in zone.run("sql", "main", "SELECT :a", "3").stderr


def test_transactions_that_only_read(zone: Any) -> None:
    several = b"BEGIN; SELECT count(*) AS n FROM zone; COMMIT; SELECT 1 AS one"
    assert zone.ok("sql", "main", "--format", "csv", stdin=several) == b"n\n2\none\n1\n"
    assert b"begun and not committed" in zone.run("sql", "main", stdin=b"BEGIN; SELECT 1").stderr


def test_values_by_position_may_look_like_names(zone: Any) -> None:
    found = zone.ok("sql", "main", "SELECT ? AS x, ':y' AS y", "a=b", "--format", "csv")
    assert found == b"x,y\na=b,:y\n"
    assert json.loads(zone.ok("sql", "main", "SELECT :x AS x", "x=b=c")) == [{"x": "b=c"}]
    assert b"missing" in zone.run("sql", "main", "SELECT :x", "y=1").stderr


def test_expanded_rows_are_whole(zone: Any) -> None:
    sql = "SELECT 7 AS n, 'one' || char(10) || 'two' AS lines, printf('%.*c', 100, 'x') AS long, x'00ff' AS raw, NULL AS nix"
    assert zone.ok("sql", "main", sql, "--format", "expanded").decode().splitlines() == [
        "─[ 1 ]─",
        "n     │ 7",
        "lines │ one",
        "      │ two",
        f"long  │ {'x' * 100}",
        "raw   │ 0x00ff",
        "nix   │ NULL",
        "(1 row)",
    ]
    assert zone.ok("sql", "main", "UPDATE zone SET raw = NULL", "-w", "--format", "expanded") == b"(2 rows changed)\n"


class Terminal:
    """The interactive command in a terminal."""

    def __init__(self, shell: Any, *words: str) -> None:
        command, *arguments = shell.command("sql", *words)
        self.child = pexpect.spawn(
            command, arguments, env=shell.environment, encoding="utf-8", timeout=20, dimensions=(40, 120)
        )

    def wait(self, pattern: str) -> str:
        self.child.expect(pattern)
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.child.before)

    def say(self, line: str) -> None:
        self.child.send(line + "\r")

    def ask(self, line: str, answer: str, prompt: str = "main>") -> None:
        """Type a line, and wait for its answer and the next prompt: what is typed before would get lost."""
        self.say(line)
        self.wait(answer)
        self.wait(prompt)

    def leave(self) -> None:
        self.say("\\q")
        self.child.expect(pexpect.EOF)
        self.child.close()
        assert self.child.exitstatus == 0


@pytest.fixture
def terminal(zone: Any) -> Callable[..., Terminal]:
    return lambda *words: Terminal(zone, *words)


def test_statements_and_errors(terminal: Callable[..., Terminal]) -> None:
    term = terminal("main")
    term.wait("read only")
    term.wait("main>")
    term.say("SELECT name,")
    term.wait(r"\.\.\.")
    term.say("  id FROM zone;")
    term.wait(r"two .*│ +2")
    term.wait(r"\(2 rows\)")
    term.wait("main>")
    term.ask("SELECT absent FROM zone;", "no such column: absent")
    term.ask("DELETE FROM zone;", "start with --write")
    term.ask("SELECT 1; SELECT 2;", r"\(1 row\)[^(]*\(1 row\)")
    term.ask("\\nonsense", "there is no command")
    term.ask("\\?", "Ctrl-C")
    term.leave()


def test_tables(terminal: Callable[..., Terminal]) -> None:
    term = terminal("main")
    term.wait("main>")
    term.ask("\\d", r"zone +table")
    term.ask("\\d zone", r"name +TEXT +not null +'x;y'")
    term.ask("\\d nowhere", "DatabaseProgrammingError")
    term.leave()


def test_a_table_with_a_name_that_needs_quotes(terminal: Callable[..., Terminal], zone: Any) -> None:
    zone.ok("sql", "main", "--write", 'CREATE TABLE IF NOT EXISTS "My Tab" (yes INTEGER)')
    term = terminal("main")
    term.wait("main>")
    term.ask('\\d "My Tab"', r"yes +INTEGER")
    term.ask("\\d My Tab", r"yes +INTEGER")
    term.child.send("SELECT count(*) FROM My\t")
    term.wait('"My Tab"')
    term.say(";")
    term.wait(r"\(1 row\)")
    term.wait("main>")
    term.leave()


def test_expanded_display(terminal: Callable[..., Terminal]) -> None:
    term = terminal("main")
    term.wait("main>")
    term.ask("\\x", "expanded display is on")
    term.ask("SELECT printf('%.*c', 80, 'x') AS long;", f"long │ {'x' * 80}\r")
    term.ask("\\x", "expanded display is off")
    term.ask("SELECT 1 AS one;", "───")
    term.leave()


def test_commands_on_a_line_after_an_unfinished_statement(terminal: Callable[..., Terminal]) -> None:
    term = terminal("main")
    term.wait("main>")
    term.say("SELECT 40 + 2")
    term.wait(r"\.\.\.")
    term.ask("\\d zone", r"name +TEXT")  # What was typed stands there again.
    term.ask("AS answer;", "42")
    term.say("SELECT 'text")
    term.wait(r"\.\.\.")
    term.ask("\\q' AS t;", r"\(1 row\)")
    term.say("SELECT 1,")
    term.wait(r"\.\.\.")
    term.leave()


def test_a_server_that_went_away(tmp_path: Path, sql_shell: Any) -> None:
    with serving(tmp_path, sql_shell) as (shell, process):
        term = Terminal(shell, "main", "--write")
        term.wait("main>")
        term.ask("CREATE TEMP TABLE mine (x); BEGIN; INSERT INTO mine VALUES (1);", r"\(1 row", r"main\*>")
        process.terminate()
        process.wait(20)
        term.say("SELECT 1;")
        term.wait("its transaction was rolled back; its settings and temporary tables are gone")
        term.wait("reconnecting…")
        term.wait(r"ConnectFailed: no connection to ws://.* within 10 s")
        term.wait("main>")
        term.say("\\d")
        term.wait("reconnecting…")
        term.child.sendintr()
        term.wait("cancelled")
        term.wait("main>")
    with serving(tmp_path, sql_shell, shell.environment["RPC_URL"].rpartition(":")[2]):
        term.ask("SELECT 40 + 2 AS answer;", "42")
        term.leave()


def test_a_pause_between_attempts_never_takes_all_the_time_there_is_for_them() -> None:
    longest = Pauses(chance=lambda: 1.0)
    pauses = [longest.after_failure_s(ConnectFailed("down")) for _ in range(20)]
    assert max(pauses) + REFRESH_S <= RECONNECT_S


def test_transactions_show_in_the_prompt(terminal: Callable[..., Terminal], zone: Any) -> None:
    term = terminal("main", "--write")
    term.wait("read and write")
    term.wait("main>")
    term.ask("BEGIN;", r"\(done\)|changed", r"main\*>")
    term.ask("DELETE FROM zone;", r"\(2 rows changed\)", r"main\*>")
    term.ask("ROLLBACK;", r"\(done\)|changed")
    term.ask("DELETE FROM zone WHERE id = 1;", r"\(1 row changed\)")
    term.leave()
    assert json.loads(zone.ok("sql", "main", "SELECT id FROM zone")) == [{"id": 2}]


def test_a_transaction_that_only_reads_shows_in_the_prompt(terminal: Callable[..., Terminal]) -> None:
    term = terminal("main")
    term.wait("read only")
    term.wait("main>")
    term.ask("BEGIN;", r"\(done\)", r"main\*>")
    term.ask("SELECT 1;", r"\(1 row\)", r"main\*>")
    term.ask("COMMIT;", r"\(done\)")
    term.leave()


@pytest.mark.parametrize("word", ["exit", "QUIT;"])
def test_words_of_people_who_are_lost(terminal: Callable[..., Terminal], word: str) -> None:
    term = terminal("main")
    term.wait("main>")
    term.ask("help", "Ctrl-C")
    term.say(word)
    term.child.expect(pexpect.EOF)


def test_an_index_that_keeps_a_constraint_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    one = Index("name_key", ["name"], unique=True)
    show_table(TableInfo("t", TableKind.TABLE, None, [], [], [], [one, Index("i", ["name"], unique=False)], [one], []))
    assert capsys.readouterr().out.splitlines()[-2:] == ["unique name_key (name)", "index i (name)"]


def test_ctrl_c_cancels_the_statement(terminal: Callable[..., Terminal]) -> None:
    term = terminal("main")
    term.wait("main>")
    term.ask("SELECT 1 AS running;", r"\(1 row\)")
    term.child.send("SELECT half a statem")
    term.child.sendintr()
    term.wait("main>")
    term.child.send("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;\r")
    term.wait("FROM n;")
    # Until prompt_toolkit has left the terminal's raw mode, Ctrl-C is a key; then it is a signal.
    while term.child.isalive():
        term.child.sendintr()
        try:
            term.child.expect("cancelled", timeout=0.3)
            break
        except pexpect.TIMEOUT:
            continue
    term.wait("main>")
    term.ask("SELECT 40 + 2 AS answer;", "42")
    term.leave()


def test_completion_and_history(terminal: Callable[..., Terminal]) -> None:
    term = terminal("main")
    term.wait("main>")
    term.child.send("SELECT count(*) AS remembered FROM zo\t")
    term.wait(r"zone|mne\x1b")  # Only what is new may be drawn.
    term.say(";")
    term.wait(r"\(1 row\)")
    term.wait("main>")
    term.leave()
    again = terminal("main")
    again.wait("main>")
    again.child.send("\x1b[A\x1b[A\r")  # Before the last, which left.
    again.wait(r"\(1 row\)")
    again.wait("main>")
    again.leave()


def test_completions(zone: Any) -> None:
    from rpcclient import Client

    token = Path(zone.environment["RPC_TOKEN_FILE"]).read_text().strip()
    with Client(zone.environment["RPC_URL"], token=token) as client:
        completer = SqlCompleter(Names(client, "main"), "sqlite")

        def proposed(before: str, after: str = "") -> list[str]:
            found = completer.get_completions(Document(before + after, len(before)), CompleteEvent())
            return [completion.text for completion in found]

        assert proposed("SELECT * FROM z") == ["zone"]
        assert proposed("\\d zo") == ["zone"]
        assert proposed("SELECT na", " FROM zone") == ["name"]
        assert proposed("SELECT z.", " FROM zone AS z") == ["id", "name", "raw"]
        assert proposed("SELECT zone.r", " FROM zone") == ["raw"]
        assert proposed("sel") == ["select"]
        assert "zone" in proposed("SELECT 1, ")
        assert proposed("SELECT x.") == proposed("\\") == []


class Known(Names):
    """Names that are known without a server."""

    def __init__(self, **tables: list[str]) -> None:
        self._tables, self._columns = list(tables), dict(tables)


@pytest.mark.parametrize(
    ("dialect", "before", "after", "wanted"),
    [
        ("postgresql", "SELECT * FROM My", "", ['"My Tab"']),
        ("postgresql", "SELECT * FROM my", "", ['"My Tab"']),
        ("mariadb", "SELECT * FROM My", "", ["`My Tab`"]),
        ("sqlite", 'SELECT * FROM "My T', "", ['"My Tab"']),
        ("postgresql", 'SELECT * FROM "My Tab', "", ['"My Tab"']),
        ("mysql", "SELECT * FROM `My T", "", ["`My Tab`"]),
        ("postgresql", "SELECT * FROM pdx_I", "", ['"pdx_I"']),
        ("sqlite", "SELECT * FROM pdx_I", "", []),
        ("postgresql", "SELECT * FROM pdx_i", "", []),
        ("postgresql", "SELECT * FROM pdx_", "", ["pdx_i", '"pdx_I"']),
        ("postgresql", "SELECT * FROM PDX", "", ["pdx_i", '"pdx_I"']),
        ("postgresql", "SELECT * FROM ord", "", ['"order"']),
        ("mariadb", "SELECT * FROM q", "", ['`q"u``o`']),
        ("postgresql", "SELECT * FROM q", "", ['"q""u`o"']),
        ("postgresql", "SELECT a", ' FROM "My Tab"', ['"a b"', "all", "alter", "and", "as", "asc"]),
        ("postgresql", "SELECT t.a", ' FROM "My Tab" AS t', ['"a b"']),
        ("postgresql", 'SELECT "My Tab".', ' FROM "My Tab"', ['"a b"', "c"]),
        ("postgresql", 'SELECT "pdx_I".', ' FROM "pdx_I"', ["big"]),
        ("postgresql", "SELECT pdx_i.", " FROM pdx_i", ["small"]),
        ("postgresql", "SELECT * FROM public.pdx_I", "", ['"pdx_I"']),
        ("postgresql", "\\d My", "", ['"My Tab"']),
        ("postgresql", "SELECT 'My", "", []),
        ("postgresql", "SELECT 'it''s' FROM My", "", ['"My Tab"']),
    ],
)  # fmt: skip
def test_completions_are_quoted_as_the_database_needs_it(
    dialect: str, before: str, after: str, wanted: list[str]
) -> None:
    tables = {"My Tab": ["a b", "c"], "pdx_i": ["small"], "pdx_I": ["big"], "order": ["x"], 'q"u`o': ["x"]}
    found = SqlCompleter(Known(**tables), dialect).get_completions(
        Document(before + after, len(before)), CompleteEvent()
    )
    assert [completion.text for completion in found] == wanted


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("zone", (None, "zone")),
        ("My Tab", (None, "My Tab")),
        ('"My Tab"', (None, "My Tab")),
        ("`My Tab`", (None, "My Tab")),
        ("public.zone", ("public", "zone")),
        ('public."My.Tab"', ("public", "My.Tab")),
        ('"My Schema"."a""b"', ("My Schema", 'a"b')),
        ('"My Schema".zone', ("My Schema", "zone")),
    ],
)
def test_names_that_people_write(text: str, meant: tuple[str | None, str]) -> None:
    assert sqlnames.schema_and_name(text) == meant


def test_without_prompt_toolkit(zone: Any, tmp_path: Path) -> None:
    (tmp_path / "prompt_toolkit.py").write_text("raise ImportError('not here')")
    command, *words = zone.command("sql", "main")
    environment = {**zone.environment, "PYTHONPATH": str(tmp_path)}
    child = pexpect.spawn(command, words, env=environment, encoding="utf-8", timeout=20)
    child.expect(re.escape("pip install 'remote-services[cli]'"))
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2


@pytest.mark.parametrize(
    ("text", "dialect", "statements", "rest"),
    [
        ("SELECT 1;", "", ["SELECT 1"], ""),
        ("SELECT ';' ; SELECT 2", "", ["SELECT ';'"], " SELECT 2"),
        ("SELECT 'it''s;'; -- ;\n", "", ["SELECT 'it''s;'"], " -- ;\n"),
        ("/* ; */ ;;", "", [], ""),
        ("SELECT $a$ ; $a$;", "postgresql", ["SELECT $a$ ; $a$"], ""),
        ("SELECT $a$ ; $b$;", "postgresql", [], "SELECT $a$ ; $b$;"),
        ("SELECT E'\\';';", "postgresql", ["SELECT E'\\';'"], ""),
        ("SELECT '\\';';# ;", "mariadb", ["SELECT '\\';'"], "# ;"),
        ("SELECT `;`;", "mysql", ["SELECT `;`"], ""),
        ("CREATE TRIGGER t AFTER DELETE ON z BEGIN SELECT 1; END;", "sqlite", ["CREATE TRIGGER t AFTER DELETE ON z BEGIN SELECT 1; END"], ""),
        ("SELECT [;];", "sqlite", ["SELECT [;]"], ""),
        ("SELECT 'open;", "", [], "SELECT 'open;"),
        ("SELECT /* a /* b */ ; */ 5; x", "postgresql", ["SELECT /* a /* b */ ; */ 5"], " x"),
        ("SELECT /* a /* b */ ;", "postgresql", [], "SELECT /* a /* b */ ;"),
        ("SELECT /* a /* b */ 5;", "sqlite", ["SELECT /* a /* b */ 5"], ""),
        ("SELECT 2--1;-- ;\nSELECT 3;", "mariadb", ["SELECT 2--1", "-- ;\nSELECT 3"], ""),
        ("SELECT 2--1;", "postgresql", [], "SELECT 2--1;"),
        ("/*!40101 SET NAMES utf8 */; /* x */;", "mariadb", ["/*!40101 SET NAMES utf8 */"], ""),
        ("SELECT 1;\nDELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; SELECT '//'; END //\n-- x\ndelimiter ;\nCALL p(); SELECT", "mariadb",
         ["SELECT 1", "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT '//'; END", "CALL p()"], " SELECT"),
        ("DELIMITER $$\nSELECT 1; SELECT 2$$ SELECT 3 $$", "mysql", ["SELECT 1; SELECT 2", "SELECT 3"], ""),
        ("DELIMITER //\nSELECT 1;", "mysql", [], "SELECT 1;"),
        ("DELIMITER //\nSELECT 1;", "postgresql", ["DELIMITER //\nSELECT 1"], ""),
    ],
)  # fmt: skip
def test_where_statements_end(text: str, dialect: str, statements: list[str], rest: str) -> None:
    assert sqltext.split(text, dialect) == (statements, rest)


@pytest.mark.parametrize(
    ("text", "before", "command"),
    [
        ("\\q", "", "\\q"),
        ("  \\d zone \n", "", "\\d zone"),
        ("SELECT 1\n\\d", "SELECT 1", "\\d"),
        ("SELECT 'a\n\\d", "SELECT 'a\n\\d", ""),
        ("SELECT 'a'\n\\d", "SELECT 'a'", "\\d"),
        ("SELECT /* a\n\\d", "SELECT /* a\n\\d", ""),
        ("SELECT 1 -- a\n\\d", "SELECT 1 -- a", "\\d"),
        ("\\d\nSELECT 1", "\\d\nSELECT 1", ""),
    ],
)
def test_commands_in_the_last_line(text: str, before: str, command: str) -> None:
    assert sqltext.backslash(text, "sqlite") == (before, command)


@pytest.mark.parametrize(
    ("statement", "controls"),
    [
        ("BEGIN", True), ("begin immediate", True), ("-- a dump\nSTART TRANSACTION", True), ("/* x */ COMMIT", True),
        ("END", True), ("ROLLBACK", True), ("ROLLBACK TO a", False), ("ROLLBACK TRANSACTION TO SAVEPOINT a", False),
        ("SAVEPOINT a", False), ("CREATE TRIGGER t AFTER DELETE ON z BEGIN SELECT 1; END", False), ("SELECT 1", False),
        ("BEGINNING", False),
    ],
)  # fmt: skip
def test_statements_about_transactions(statement: str, controls: bool) -> None:
    assert sqltext.controls_transaction(statement) is controls


@pytest.mark.parametrize(
    ("statement", "dialect", "named"),
    [
        ("SELECT $$:x$$", "postgresql", False), ("SELECT /* /* */ :a */ 1", "postgresql", False),
        ("SELECT 'it\\'s :x'", "mariadb", False), ("SELECT 'it\\', :x", "sqlite", True), ("SELECT `:x`", "mysql", False),
        ("SELECT 1 --:x", "mariadb", True),
        ("SELECT :a", "", True), ("SELECT ?", "", False), ("SELECT ':a'", "", False), ("SELECT ?::int", "", False),
        ('SELECT ":a"', "", False), ("SELECT 1 -- :a", "", False), ("SELECT x[1:n]", "", False), ("SELECT a=:b", "", True),
    ],
)  # fmt: skip
def test_statements_whose_parameters_have_names(statement: str, dialect: str, named: bool) -> None:
    assert sqltext.names_parameters(statement, dialect) is named


@settings(deadline=None)
@given(st.text("ab;'\"`$-/*#\\\n [](E)"), st.sampled_from(["", "sqlite", "postgresql", "mariadb"]))
def test_splitting_loses_nothing(text: str, dialect: str) -> None:
    statements, rest = sqltext.split(text, dialect)
    assert text.endswith(rest)
    place = 0
    for statement in statements:
        place = text.index(statement, place) + len(statement)
    assert place <= len(text) - len(rest)


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | st.text(st.characters(exclude_categories=["Cs"])), st.integers()), max_size=4))
def test_csv_and_json_can_be_read_back(rows: list[tuple[str | None, int]]) -> None:
    for form in ("csv", "json"):
        out = io.StringIO(newline="")
        writer = rowtext.writer(form, out)
        writer.begin(["text", "number"])
        writer.rows(rows)
        writer.end(len(rows), None)
        if form == "json":
            assert [tuple(row.values()) for row in json.loads(out.getvalue())] == rows
        else:
            back = list(csv.reader(io.StringIO(out.getvalue(), newline="")))
            assert back[1:] == [[text or "", str(number)] for text, number in rows]


@pytest.mark.parametrize(
    ("statement", "control"),
    [
        ("begin", ("begin", None)),
        ("/* now */ START TRANSACTION isolation level\nrepeatable  read", ("begin", "repeatable read")),
        ("BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY", ("begin", "read committed")),
        ("COMMIT WORK", ("commit", None)),
        ("end", ("commit", None)),
        ("rollback", ("rollback", None)),
        ("ABORT", ("rollback", None)),
        ("ROLLBACK TO a", None),
        ("COMMIT AND CHAIN", None),
        ("COMMIT PREPARED 'x'", None),
        ("BEGIN NOT ATOMIC SELECT 1; END", None),
        ("SELECT 'begin'", None),
    ],
)
def test_what_begins_and_ends_a_transaction(statement: str, control: tuple[str, str | None] | None) -> None:
    found = sqltext.control_of(statement)
    assert (None if found is None else (found.method, found.isolation)) == control
