"""``rpcclient run``, ``ps``, ``logs``, ``kill`` and ``attach`` without a terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rpcclient import Client


@contextmanager
def going(there: Any, *words: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with subprocess.Popen(there.command(*words), env=there.environment, **pipes) as process:
        yield process
        process.kill()


@pytest.fixture
def client(there: Any) -> Iterator[Client]:
    with Client(there.environment["RPC_URL"], token_file=there.environment["RPC_TOKEN_FILE"]) as client:
        yield client


def test_output_errors_and_status(there: Any) -> None:
    done = there.run("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)
    done = there.run("run", "--merge-stderr", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\nerr\n", b"", 0)
    assert there.run("run", "sh", "-c", "kill -TERM $$").returncode == 128 + 15
    assert there.run("run", "--timeout", "0.2", "sleep", "60").returncode == 124
    done = there.run("run", "no-such-program")
    assert (done.returncode, done.stderr.count(b"no-such-program")) == (127, 1)
    assert there.run("run", "/etc/passwd").returncode == 126
    assert there.run("run", "true", RPC_URL="ws://127.0.0.1:1").returncode == 3
    assert there.run("run").returncode == 2
    assert there.run("run", "--env", "nonsense", "true").returncode == 2


def test_how_it_is_run(there: Any, tmp_path: Path) -> None:
    done = there.run("run", "--cwd", str(tmp_path), "-e", "WORD=a=b", "--", "sh", "-c", "pwd; echo $WORD $0", "x")
    assert done.stdout == f"{tmp_path}\na=b x\n".encode()
    assert there.run("run", "--user", "no-such-user", "true").returncode == 4
    assert b"HOME=/" in there.run("run", "--login-env", "env").stdout


def test_input_is_passed_on(there: Any, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    assert there.run("run", "cat", stdin=data).stdout == data
    assert there.run("run", "--no-stdin", "cat", stdin=data).stdout == b""
    assert there.run("run", "true", stdin=data).returncode == 0
    (tmp_path / "data").write_bytes(data)
    with (tmp_path / "data").open("rb") as file, going(there, "run", "cat", stdin=file) as process:
        assert process.communicate(timeout=30)[0] == data


def test_output_comes_as_it_is_written(there: Any) -> None:
    with going(there, "run", "sh", "-c", "echo one; read go; echo two", stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"one\n"
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"two\n"
        assert process.wait(30) == 0


def test_ctrl_c_is_passed_on_and_the_second_kills(there: Any, client: Client) -> None:
    script = "trap 'echo interrupted' INT; echo ready; while :; do sleep 0.05; done"
    with going(there, "run", "--label", "test=ctrl-c", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"interrupted\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 128 + 9
    assert client.programs.list(labels={"test": "ctrl-c"}, running=True) == []


def test_a_program_that_obeys_ctrl_c(there: Any) -> None:
    with going(there, "run", "sh", "-c", "echo ready; exec sleep 60") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 128 + 2


def test_ending_rpcclient_ends_the_program(there: Any, client: Client) -> None:
    for number, status in ((signal.SIGTERM, 128 + 1), (signal.SIGKILL, -9)):
        label = f"end={number}"
        with going(there, "run", "-l", label, "sh", "-c", "echo ready; exec sleep 60") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(number)
            assert process.wait(30) == status
        if number == signal.SIGTERM:
            assert client.programs.list(labels={"end": str(number)}, running=True) == []


def test_a_reader_that_has_seen_enough(there: Any, client: Client) -> None:
    with going(there, "run", "-l", "test=yes", "yes") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.wait(30) == 0
    assert client.programs.list(labels={"test": "yes"}, running=True) == []


def test_detached(there: Any, client: Client) -> None:
    script = "echo one; echo two; echo err >&2; exec sleep 60"
    program_id = there.ok("run", "--detach", "-l", "test=detached", "--", "sh", "-c", script).decode().strip()
    with client.programs.attach(program_id).output() as chunks:
        while next(chunks).stream != "stderr":
            pass
    (listed,) = json.loads(there.ok("ps", "--label", "test=detached"))
    assert (listed["id"], listed["argv"], listed["controlled"]) == (program_id, ["sh", "-c", script], False)

    done = there.run("logs", program_id)
    assert (done.stdout, done.stderr, done.returncode) == (b"one\ntwo\n", b"err\n", 0)
    assert there.run("logs", "--tail", "1", program_id).stdout == b"two\n"
    assert there.run("logs", "--tail", "0", program_id).stdout == b""
    assert there.run("logs", "--tail", "9", program_id).stdout == b"one\ntwo\n"

    with going(there, "logs", "-f", program_id) as following, going(there, "attach", program_id) as attached:
        assert following.stdout is not None
        assert attached.stdout is not None
        assert [following.stdout.readline() for _ in range(2)] == [b"one\n", b"two\n"]
        assert [attached.stdout.readline() for _ in range(2)] == [b"one\n", b"two\n"]
        assert there.ok("kill", "--signal", "CONT", program_id) == f"{program_id}: sent\n".encode()
        assert there.ok("kill", "--grace", "5", program_id) == f"{program_id}: ended by SIGTERM\n".encode()
        assert following.wait(30) == 0
        assert attached.wait(30) == 128 + 15
    assert there.run("attach", program_id).stdout == b"one\ntwo\n"
    assert json.loads(there.ok("ps", "--label", "test=detached")) == []
    assert len(json.loads(there.ok("ps", "--all", "--label", "test=detached"))) == 1
    assert there.ok("kill", "--signal", "TERM", program_id) == f"{program_id}: it has ended already\n".encode()
    client.programs.forget(program_id)
    for command in ("logs", "kill", "attach"):
        done = there.run(command, program_id)
        assert done.returncode == 5, command
        assert program_id.encode() in done.stderr


def test_leaving_what_one_is_attached_to(there: Any, client: Client) -> None:
    program = client.programs.start(["sh", "-c", "echo ready; exec cat"])
    with going(there, "attach", "--view", program.id) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert program.poll() is None
    with going(there, "attach", program.id, stdin=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"--take takes over" in process.stderr.read()
        assert process.wait(30) == 1
    done = there.run("attach", "--take", program.id, stdin=b"typed\n")
    assert (done.stdout, done.returncode) == (b"ready\ntyped\n", 0)
    assert there.run("attach", "--take", "--view", program.id).returncode == 2


def test_a_tail_of_long_lines(there: Any, client: Client) -> None:
    program = client.programs.start(["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo; printf end"])
    program.wait()
    assert there.ok("logs", "--tail", "1", program.id) == b"end"
    assert len(there.ok("logs", "--tail", "2", program.id)) == 300_004
    program.forget()


def test_ps_on_a_terminal(there: Any, client: Client) -> None:
    import pexpect

    with client.programs.start(["sleep", "60.5"], labels={"test": "ps"}):
        command, *words = there.command("ps", "-l", "test=ps")
        output, status = pexpect.run(
            " ".join([command, *words]), env=there.environment, withexitstatus=True, encoding="utf-8"
        )
    assert status == 0
    assert "sleep 60.5" in output
    assert "running" in output


def test_ps_cuts_nothing_but_labels_and_commands(there: Any, client: Client) -> None:
    import pexpect

    long = "x" * 300
    with client.programs.start(["sh", "-c", "sleep 60", long], labels={"test": "narrow"}) as program:
        info = program.info
        command, *words = there.command("ps", "-l", "test=narrow")
        child = pexpect.spawn(command, words, env={**there.environment, "COLUMNS": "80"}, dimensions=(24, 80))
        titles, row, *more = re.sub(r"\x1b\[[0-9;]*m", "", child.read().decode()).splitlines()
        child.close()
    assert titles.split() == ["id", "pid", "owner", "age", "state", "labels", "command"]
    assert not more and len(row) <= 80
    found = row.split()
    assert (found[0], found[1], found[2]) == (program.id, str(info.pid), info.owner)
    assert "running" in found


def test_ps_on_a_very_narrow_terminal(there: Any, client: Client) -> None:
    """Whole columns give way where there is no room for all: what is shown is not cut, but for the command."""
    import pexpect

    with client.programs.start(["sleep", "60.25"], labels={"test": "very-narrow"}) as program:
        command, *words = there.command("ps", "-l", "test=very-narrow")
        environment = {name: value for name, value in there.environment.items() if name not in ("COLUMNS", "LINES")}
        child = pexpect.spawn(command, words, env=environment, dimensions=(24, 40))
        titles, row = re.sub(r"\x1b\[[0-9;]*m", "", child.read().decode()).splitlines()
        child.close()
    assert titles.split() == ["id", "state", "command"]
    assert row.split() == [program.id, "running", "sleep", "60.25"]


def test_completion(there: Any, client: Client) -> None:
    with client.programs.start(["sleep", "60"]) as program:
        done = subprocess.run(
            [sys.executable, "-c", "from rpcclient.cli import main; main(prog_name='rpcclient')"],
            env={
                **there.environment,
                "_RPCCLIENT_COMPLETE": "bash_complete",
                "COMP_WORDS": f"rpcclient logs {program.id[:6]}",
                "COMP_CWORD": "2",
            },
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert f"plain,{program.id}" in done.stdout.split()


@pytest.mark.parametrize("stdin", [b"", b"first\nsecond\n"])
def test_a_terminal_where_there_is_none_here(there: Any, stdin: bytes) -> None:
    script = "test -t 0 && test -t 1 && echo terminal; stty -echo size; while read word; do echo got $word; done"
    done = there.run("run", "-tt", "--", "sh", "-c", script, stdin=stdin, COLUMNS="71", LINES="19")
    assert (done.returncode, done.stderr) == (0, b"")
    said = done.stdout.replace(b"\r\n", b"\n")
    assert said.startswith(b"terminal\n")
    assert b"19 71\n" in said
    for word in stdin.split():
        assert b"got " + word + b"\n" in said
    assert there.run("run", "-t", "--", "true").returncode == 2
    done = there.run("run", "-tt", "-n", "--", "sh", "-c", "test -t 0 && echo terminal", stdin=stdin)
    assert (done.returncode, done.stdout) == (0, b"terminal\r\n")
    done = there.run("run", "-tt", "-n", "--", "sh", "-c", "cat; echo nothing", stdin=stdin)
    assert (done.returncode, done.stdout.endswith(b"nothing\r\n")) == (0, True)


def test_the_time_between_term_and_kill(there: Any) -> None:
    polite = "trap 'sleep 0.5; echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    done = there.run("run", "--timeout", "0.5", "--grace", "25", "--", "sh", "-c", polite)
    assert (done.returncode, done.stdout) == (124, b"ready\nbye\n")
    done = there.run("run", "--timeout", "0.5", "--grace", "0", "--", "sh", "-c", polite)
    assert (done.returncode, done.stdout) == (124, b"ready\n")
    assert there.run("run", "--grace", "-1", "true").returncode == 2


def test_a_command_line_in_one_word(everywhere: Any) -> None:
    for words, separate, in_shell in [
        (["ls -la"], "-- ls -la", "-- sh -c 'ls -la'"),
        (["ls -l", "a b"], "-- ls -l 'a b'", "-- sh -c"),
        (["echo 'it"], "-- echo ", "-- sh -c"),
    ]:
        done = everywhere.run("run", "--", *words)
        said = done.stderr.decode()
        assert done.returncode == 127
        assert f"{words[0]!r} is one word" in said
        assert separate in said
        assert in_shell in said
    assert b"one word" not in everywhere.run("run", "--", "/no/such/program", "a b").stderr
    assert b"one word" not in everywhere.run("run", "--cwd", "/no/such folder", "--", "ls -la").stderr
