"""``rpcclient run`` and its like where something is missing: standard streams, room, the connection, the right word."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from rpcclient import Client


@pytest.fixture
def client(there: Any) -> Iterator[Client]:
    with Client(there.environment["RPC_URL"], token_file=there.environment["RPC_TOKEN_FILE"]) as client:
        yield client


def in_shell(there: Any, words: list[str], redirection: str) -> subprocess.CompletedProcess[bytes]:
    line = f"{shlex.join(there.command(*words))} {redirection}"
    return subprocess.run(["sh", "-c", line], env=there.environment, capture_output=True, timeout=60)


def test_closed_standard_streams(there: Any, client: Client) -> None:
    for words, redirection, out in (
        (["run", "--", "cat"], "<&-", b""),
        (["run", "--", "sh", "-c", "echo hi"], "<&-", b"hi\n"),
        (["run", "-l", "test=closed", "--", "sh", "-c", "echo hi"], ">&-", b""),
        (["run", "--", "sh", "-c", "echo hi; echo err >&2"], "2>&-", b"hi\n"),
        (["run", "--", "sh", "-c", "echo hi"], "<&- >&- 2>&-", b""),
        (["ps", "-l", "test=no-such"], ">&-", b""),
    ):
        done = in_shell(there, words, redirection)
        assert (done.returncode, done.stdout, done.stderr) == (0, out, b""), (words, redirection)
    assert client.programs.list(labels={"test": "closed"}, running=True) == []


def test_output_that_takes_no_more(there: Any, client: Client) -> None:
    done = in_shell(there, ["run", "-l", "test=full", "--", "sh", "-c", "echo hi; exec sleep 60"], ">/dev/full")
    assert done.returncode == 1
    assert done.stderr == b"rpcclient: standard output: No space left on device\n"
    assert client.programs.list(labels={"test": "full"}, running=True) == []
    done = in_shell(there, ["run", "-l", "test=full", "--", "cat"], "</proc/self/mem")
    assert (done.returncode, done.stderr) == (1, b"rpcclient: standard input: Input/output error\n")
    assert client.programs.list(labels={"test": "full"}, running=True) == []
    done = in_shell(there, ["ps", "--all"], ">/dev/full")
    assert (done.returncode, done.stderr) == (1, b"rpcclient: standard output: No space left on device\n")


@pytest.mark.parametrize(
    "words", [["run", "--bogus", "--", "ls"], ["run", "--jsson", "--", "ls"], ["shell", "--bogus"]]
)
def test_a_misspelt_option_is_no_program(there: Any, words: list[str]) -> None:
    done = there.run(*words)
    assert done.returncode == 2
    assert b"No such option" in done.stderr


def test_options_of_the_program_are_its_own(there: Any) -> None:
    assert there.ok("run", "echo", "--json", "-x", "--", "y") == b"--json -x -- y\n"


def test_the_global_deadline_holds(there: Any, client: Client) -> None:
    assert there.run("--timeout", "0.3", "run", "-l", "test=deadline", "--", "sleep", "60").returncode == 124
    assert client.programs.list(labels={"test": "deadline"}, running=True) == []
    assert there.run("--timeout", "0.3", "run", "--timeout", "50", "true").returncode == 0


def test_json_behind_the_command(there: Any) -> None:
    for words in (["ps", "--json"], ["hello", "--json"]):
        command, *rest = there.command(*words)
        said, status = pexpect.run(" ".join([command, *rest]), env=there.environment, withexitstatus=True, timeout=30)
        assert status == 0
        json.loads(said)


def test_ids_are_whole_and_may_be_short(there: Any, client: Client) -> None:
    one, two = (client.programs.start(["sleep", "60.25", "0" * 60], labels={"test": "ids"}) for _ in range(2))
    command, *rest = there.command("ps", "-l", "test=ids")
    environment = {name: value for name, value in there.environment.items() if name != "COLUMNS"}
    said = pexpect.run(" ".join([command, *rest]), env=environment, dimensions=(24, 80), encoding="utf-8", timeout=30)
    assert one.id in said
    assert two.id in said

    shared = one.id[: next(place for place, (a, b) in enumerate(zip(one.id, two.id, strict=True)) if a != b)]
    assert there.ok("kill", "-s", "cont", one.id[:-1]) == f"{one.id}: sent\n".encode()
    for command_name in ("kill", "logs", "attach", "forget"):
        done = there.run(command_name, shared)
        assert done.returncode == 2, command_name
        assert f"'{shared}' is the beginning of several ids:" in done.stderr.decode()
    two.kill()
    two.forget()
    one.kill()


def test_signals_by_name_and_number(there: Any, client: Client) -> None:
    with client.programs.start(
        ["sh", "-c", "trap 'echo got' USR1; echo ready; while :; do sleep 0.05; done"]
    ) as program:
        assert program.stdout.readline() == b"ready\n"
        for name in ("10", "usr1", "SIGUSR1", "SigUsr1"):
            assert there.ok("kill", "-s", name, program.id) == f"{program.id}: sent\n".encode()
            assert program.stdout.readline() == b"got\n"
        for name in ("99", "nonsense"):
            done = there.run("kill", "-s", name, program.id)
            assert (done.returncode, b"there is no signal" in done.stderr) == (2, True)


def test_forgetting(there: Any, client: Client) -> None:
    program = client.programs.start(["sh", "-c", "echo out; exec sleep 60"])
    done = there.run("forget", program.id)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"still runs: end it with kill, or give --force" in done.stderr
    assert there.ok("forget", "--force", program.id) == f"{program.id}: forgotten\n".encode()
    assert there.run("logs", program.id).returncode == 5
    assert there.run("forget", program.id).returncode == 5


def test_limits_and_retention(there: Any, client: Client) -> None:
    words = ["run", "-d", "--memory", "512m", "--cpus", "1.5", "--processes", "20", "--retain", "1000", "sleep", "60"]
    client.programs.forget(there.ok(*words).decode().strip())
    script = "import ctypes; b = bytearray(300_000_000); print(len(b))"
    assert there.ok("run", "--memory", "1g", "python3", "-c", script) == b"300000000\n"
    assert (
        there.run("run", "--memory", "64MiB", "python3", "-c", script + "; import time; time.sleep(60)").returncode > 0
    )
    for words in (["--memory", "much"], ["--memory", "0"], ["--cpus", "0"], ["--processes", "0"]):
        assert there.run("run", *words, "true").returncode == 2, words


def test_completion_offers_what_can_be_ended(there: Any, client: Client) -> None:
    ended = client.programs.start(["true"])
    ended.wait()
    with client.programs.start(["sleep", "60"]) as running:
        for command, offered in (("kill", False), ("attach", False), ("logs", True), ("forget", True)):
            words = {"_RPCCLIENT_COMPLETE": "bash_complete", "COMP_WORDS": f"rpcclient {command} ", "COMP_CWORD": "2"}
            done = there.run(**words)
            found = done.stdout.decode().split()
            assert f"plain,{running.id}" in found
            assert (f"plain,{ended.id}" in found) is offered, command
    ended.forget()


def test_a_dead_server_is_no_success(served: Any, tmp_path: Path) -> None:
    with served(tmp_path, '["database", "hardware"]') as there:
        words = there.command("--timeout", "2", "run", "--", "sh", "-c", "echo $$; exec sleep 60")
        with subprocess.Popen(words, env=there.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            pid = int(process.stdout.readline())
            there.process.send_signal(signal.SIGKILL)
            said = process.stderr.readline()
            assert said.startswith(b"rpcclient: the connection was lost; trying again for up to 2 s")
            assert process.wait(60) == 3
            assert b"no other could be made within 2 s" in process.stderr.read()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # A server that is killed cannot end what it runs.


def test_the_limit_that_ended_it_is_told(there: Any) -> None:
    large = "import time; block = bytearray(200_000_000); time.sleep(60)"
    done = there.run("run", "--memory", "50m", "--", sys.executable, "-c", large)
    assert (done.returncode, done.stderr) == (137, b"rpcclient: ended by its memory limit\n")
    done = there.run("run", "--timeout", "0.2", "--", "sleep", "60")
    assert (done.returncode, done.stderr) == (124, b"rpcclient: ended by its time limit\n")
    command, *rest = there.command("run", "--tty", "--timeout", "0.5", "--", "sleep", "60")
    said, status = pexpect.run(" ".join([command, *rest]), env=there.environment, withexitstatus=True, timeout=30)
    assert (said, status) == (b"rpcclient: ended by its time limit\r\n", 124)
    assert there.run("run", "--memory", "50m", "--", "false").stderr == b""
