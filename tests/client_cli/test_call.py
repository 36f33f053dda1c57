"""`rpcclient call`: words to parameters, results to output, outcomes to exit status."""

from __future__ import annotations

import base64
import json
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest


def test_parameters_in_all_their_forms(shell: Any, tmp_path: Path) -> None:
    assert json.loads(shell.ok("call", "library.lend", "title=Emma")) == "Emma for 14 days"
    assert json.loads(shell.ok("call", "library.lend", "title=Emma", "days=3")) == "Emma for 3 days"
    assert json.loads(shell.ok("call", "library.lend", 'title:="Emma"', "days:=3")) == "Emma for 3 days"
    assert json.loads(shell.ok("call", "library.lend", "Emma", "3")) == "Emma for 3 days"
    assert json.loads(shell.ok("call", "library.lend", "title=-", stdin=b"Emma")) == "Emma for 14 days"
    assert json.loads(shell.ok("call", "library.lend", "-", stdin=b'{"title": "Emma"}')) == "Emma for 14 days"
    assert json.loads(shell.ok("call", "library.lend", "-", stdin=b'["Emma", 2]')) == "Emma for 2 days"
    (tmp_path / "title").write_text("Emma")
    assert json.loads(shell.ok("call", "library.lend", f"title=@{tmp_path}/title")) == "Emma for 14 days"


@pytest.mark.parametrize(
    "title", ["[red]", "{name}", "[0-9]*.log", "[[:alpha:]]", "[1] Emma", '"Emma', "'[\"a\"'", "{", "[", "[-x]"]
)
def test_text_that_only_looks_a_little_like_json_stays_text(shell: Any, title: str) -> None:
    assert json.loads(shell.ok("call", "library.lend", f"title={title}")) == f"{title} for 14 days"


def test_text_that_begins_like_json_can_be_sent(shell: Any, tmp_path: Path) -> None:
    """In each of the ways that the guide names, and as the error says."""
    title = '["it\'s", "unfinished"'
    said = shell.run("call", "library.lend", f"title={title}").stderr.decode()
    word = shlex.split(said.partition("to send it as text, write ")[2])[0]
    assert json.loads(shell.ok("call", "library.lend", word)) == f"{title} for 14 days"
    assert json.loads(shell.ok("call", "library.lend", "title=-", stdin=title.encode())) == f"{title} for 14 days"
    (tmp_path / "title").write_text(title)
    assert json.loads(shell.ok("call", "library.lend", f"title=@{tmp_path}/title")) == f"{title} for 14 days"
    assert json.loads(shell.ok("call", "library.lend", json.dumps(title))) == f"{title} for 14 days"


def test_bytes_go_as_they_are(shell: Any, tmp_path: Path) -> None:
    data = bytes(range(256)) * 100
    (tmp_path / "data").write_bytes(data)
    assert json.loads(shell.ok("call", "library.size", f"content=@{tmp_path}/data")) == len(data)
    assert json.loads(shell.ok("call", "library.size", "content=-", stdin=data)) == len(data)
    encoded = base64.urlsafe_b64encode(data[:300]).decode()
    assert json.loads(shell.ok("call", "library.size", f"content=base64:{encoded}")) == 300


def test_json_in_a_pipe(shell: Any) -> None:
    shelves = json.loads(shell.ok("call", "library.shelves"))
    assert shelves == [{"name": "poetry", "books": 12}, {"name": "[red]science[/red]", "books": 40}]
    assert shell.ok("call", "library.pages", "count=2") == b'"page 0\\n"\n"page 1\\n"\n'
    assert json.loads(shell.ok("call", "rpc.hello"))["principal"]["name"] == "owner"


def test_tables_on_a_terminal(in_terminal: Callable[..., str]) -> None:
    shown = in_terminal("call", "library.shelves")
    assert "poetry" in shown
    assert "[red]science[/red]" in shown  # The server's text is no markup.
    assert "{" not in shown
    assert json.loads(in_terminal("--json", "call", "library.shelves"))[0]["books"] == 12
    assert in_terminal("call", "library.pages", "count=2").split() == ["page", "0", "page", "1"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["call", "library.lend", "title=none"], 1, "NoSuchBook: no book has this title"),
        (["call", "library.lend", "days=x"], 2, "title: Missing required argument"),
        (["call", "library.lend", "title=x", "notes=it's"], 2, """write 'notes=["it'"'"'s"]'"""),
        (["call", "library.lend", "title=Emma", "3"], 2, "all parameters as key=value"),
        (["call", "library.lend", "title=Emma", "title=Ulysses"], 2, "given twice"),
        (["call", "library.lend", "title:=Emma"], 2, "not JSON"),
        (["call", "library.lend", 'notes=["date"'], 2, "notes: it begins like JSON and is not JSON: Expecting"),
        (["call", "library.lend", 'notes=["date"'], 2, """to send it as text, write 'notes:="[\\"date\\""'"""),
        (["call", "library.lend", "Emma", "3", '{"a": 1'], 2, "parameter 3: it begins like JSON and is not JSON"),
        (["call", "library.lend", "title=" + "[" * 100_000], 2, "title: lists and objects are nested too deep"),
        (["call", "library.lend", "title:=" + "[" * 100_000], 2, "title: lists and objects are nested too deep"),
        (["cal", "library.lend"], 2, "No such command 'cal': did you mean call?"),
        (["library.lend"], 2, "to call a method, write: rpcclient call library.lend"),
        (["nothing"], 2, "No such command 'nothing': rpcclient --help lists them"),
        (["--url", "ws://[::1", "hello"], 2, "url: 'ws://[::1'"),
        (["--url", "ws://x:70000", "hello"], 2, "url: 'ws://x:70000'"),
        (["--url", "ws://x:70000", "run", "date"], 2, "url: 'ws://x:70000'"),
        (["call", "library.lend", "title=@/no/such/file"], 2, "No such file"),
        (["call", "library.lend", "-"], 2, "not JSON"),
        (["--url", "ws://127.0.0.1:1", "hello"], 3, "is rpcserver running there?"),
        (["--url", "ws://127.0.0.1/none", "hello"], 3, "At port 80, as the URL names none; by default it is 8765."),
        (["--url", "http://127.0.0.1", "hello"], 2, "write ws://host:port"),
        (["call", "library.nothing"], 5, "no method 'library.nothing'"),
        (["call", "nothing.at_all"], 5, "no method 'nothing.at_all'"),
        (["call", "library.lnd", "title=x"], 5, "no method 'library.lnd'; did you mean library.lend? "),
        (["call", "shelves"], 5, "no method 'shelves'; did you mean library.shelves? "),
        (
            ["call", "library.lend", "title=x", "dys=3"],
            2,
            "dys: Unexpected keyword argument; there are: title, days, no",
        ),
        (["call", "rpc.ping", "1"], 2, "Unexpected positional argument; there are: none"),
        (["services", "nothing"], 5, "no service 'nothing'"),
        (["call", "library.shelves", "--lest", "3"], 2, "No such option '--lest'"),
        (["call", "library.shelves", "--jsn"], 2, "'--jsn'. (Did you mean one of: '--json', '--on'?)"),
        (
            ["call", "library.shelves", "--timeout", "3"],
            2,
            "'--timeout' here: it goes before the command: rpcclient --",
        ),
        (["hello", "--url=ws://x"], 2, "'--url' here: it goes before the command: rpcclient --url"),
        (["call", "nothing"], 5, "rpcclient services lists those there are"),
        (["--timeout", "0.2", "call", "library.bind", "log=/dev/null"], 124, "DeadlineExceeded"),
        (["--timeout", "-1", "hello"], 2, "--timeout"),
    ],
)
def test_exit_status_and_one_clear_line(shell: Any, words: list[str], status: int, said: str) -> None:
    done = shell.run(*words)
    assert done.returncode == status, done.stderr
    assert said in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    assert done.stdout == b""


def test_a_wrong_token(shell: Any) -> None:
    done = shell.run("hello", RPC_TOKEN="x" * 40)
    assert done.returncode == 4
    assert b"the token is wrong" in done.stderr
    assert b"xxxx" not in done.stderr


def test_interrupting_cancels_on_the_server(shell: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = shell.command("call", "library.bind", f"log={log}")
    with subprocess.Popen(command, env=shell.environment, stderr=subprocess.PIPE) as process:
        wait_for(lambda: log.exists() and log.read_text() == "started")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
        assert process.returncode == 130
        assert said == b"rpcclient: interrupted\n"
    wait_for(lambda: log.read_text() == "cancelled")


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "the event did not come in time"
        time.sleep(0.01)


def test_a_reader_that_has_seen_enough(shell: Any) -> None:
    command = shell.command("call", "library.pages", "count=1000000")
    with subprocess.Popen(command, env=shell.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b'"page 0\\n"\n'
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(10) == 0


def test_progress_on_a_terminal(shell: Any, tmp_path: Path) -> None:
    import pexpect

    command, *arguments = shell.command("call", "library.bind", f"log={tmp_path}/log")
    child = pexpect.spawn(command, arguments, env=shell.environment, encoding="utf-8", timeout=15)
    child.expect("folding sheets")
    child.expect("25%")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


def test_rows_are_shown_as_rows(served: Callable[..., Any], tmp_path: Path) -> None:
    sql = "sql=SELECT 1 AS n, 'é' AS t, 1.5 AS f, NULL AS z, x'00ff' AS b UNION ALL SELECT 2, 'b', 2, 'x', 'y'"
    rows = [[1, "é", 1.5, None, {"$bytes": "AP8="}], [2, "b", 2.0, "x", "y"]]
    with served(tmp_path, '["programs", "hardware"]') as there:
        result = json.loads(there.ok("call", "database.query", "database=main", sql))
        assert result["rows"] == rows
        assert [column["name"] for column in result["columns"]] == ["n", "t", "f", "z", "b"]
        (item,) = map(json.loads, there.ok("call", "database.stream", "database=main", sql).splitlines())
        assert item["rows"] == rows
        assert json.loads(there.ok("call", "database.query", "database=main", "sql=SELECT 1 WHERE 0"))["rows"] == []
        command, *arguments = there.command("call", "database.query", "database=main", "sql=SELECT 1, '\x1b[31m'")
        shown = pexpect.run(shlex.join([command, *arguments]), env=there.environment, timeout=30, encoding="utf-8")
        assert '[1,"\\u001b[31m"]' in shown
        assert "\x1b[31m" not in shown
