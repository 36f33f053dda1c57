"""Where a part of a program's output is missing, the commands say so on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rpcclient import Client

CUT = b"what it left behind went on writing"


@pytest.fixture
def client(there: Any) -> Iterator[Client]:
    with Client(there.environment["RPC_URL"], token_file=there.environment["RPC_TOKEN_FILE"]) as client:
        yield client


def test_all_that_comes_after_the_end(there: Any) -> None:
    out = there.ok("run", "--", "sh", "-c", "seq 1000000 & exit 0")
    assert (len(out), out[-8:]) == (6_888_896, b"1000000\n")


@pytest.mark.parametrize("words", [["logs"], ["attach"], ["attach", "--view"]])
def test_the_first_gap_is_told(there: Any, client: Client, words: list[str]) -> None:
    program = client.programs.start(["seq", "100000"], retain_bytes=1024, overflow="skip")
    program.wait()
    gap = program.refresh().stdout_start
    assert gap > 0
    done = there.run(*words, program.id)
    assert done.stderr == f"rpcclient: {gap} bytes of stdout are no longer kept\n".encode()
    assert done.stdout.endswith(b"\n100000\n")
    # What was not asked for is not missing.
    assert there.ok("logs", "--tail", "2", program.id) == b"99999\n100000\n"
    program.forget()


def test_a_tail_that_is_kept_in_part(there: Any, client: Client) -> None:
    """What was asked for is missing, and that is told; what was not is not."""
    program = client.programs.start(["seq", "100000"], retain_bytes=1024, overflow="skip")
    program.wait()
    info = program.refresh()
    kept, total = info.stdout_bytes - info.stdout_start, info.stdout_bytes
    for words, missing in (
        (["logs", "--tail", "100000"], info.stdout_start),
        (["logs", "--follow", "--tail", "200000"], info.stdout_start),
        (["attach", "--tail", str(kept + 100)], 100),
        (["attach", "--view", "--tail", str(2 * total)], info.stdout_start),
    ):
        done = there.run(*words, program.id)
        assert done.stderr == f"rpcclient: {missing} bytes of stdout are no longer kept\n".encode(), words
        assert len(done.stdout) == kept
    for words, size in ((["logs", "--tail", "2"], 13), (["attach", "--tail", str(kept)], kept)):
        done = there.run(*words, program.id)
        assert (len(done.stdout), done.stderr) == (size, b""), words
    program.forget()
    whole = client.programs.start(["seq", "10"])
    whole.wait()
    for words in (["logs", "--tail", "20"], ["attach", "--tail", "1000"]):
        done = there.run(*words, whole.id)
        assert (len(done.stdout), done.stderr) == (21, b""), words
    whole.forget()


def test_each_output_has_its_own_gap(there: Any, client: Client) -> None:
    program = client.programs.start(["sh", "-c", "seq 100000; seq 100000 >&2"], retain_bytes=1024, overflow="skip")
    program.wait()
    said = there.run("logs", program.id).stderr
    for stream in (b"stdout", b"stderr"):
        assert said.count(b"bytes of %s are no longer kept\n" % stream) == 1
    program.forget()


def test_logs_end_although_the_program_goes_on_writing(there: Any, client: Client) -> None:
    with client.programs.start(["yes"], retain_bytes=1 << 20, overflow="skip") as program:
        done = there.run("logs", program.id)
        assert done.returncode == 0
        assert done.stdout.endswith((b"y\n", b"y"))
        assert there.run("logs", "--tail", "3", program.id).returncode == 0


def test_what_is_cut_is_told(there: Any, client: Client) -> None:
    # It writes little: otherwise 256 MiB come before the output is cut.
    writer = "while echo y; do sleep 0.1; done & exit 0"
    done = there.run("run", "-l", "test=cut", "--retain", "60", "--timeout", "3", "--", "sh", "-c", writer)
    assert (done.returncode, CUT in done.stderr) == (0, True)
    (info,) = client.programs.list(labels={"test": "cut"})
    for words in (["logs"], ["logs", "-f"], ["attach"]):
        assert CUT in there.run(*words, info.id).stderr, words
    client.programs.forget(info.id)
