"""Standard streams in the modes in which others leave them: non-blocking, closed, full, or read by nobody."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shlex
import subprocess
import termios
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rpcclient import Client

LINES = 200_000
SEQ = "".join(f"{n}\n" for n in range(1, LINES + 1)).encode()
SMALL_BYTES = 4096


@pytest.fixture
def client(there: Any) -> Iterator[Client]:
    with Client(there.environment["RPC_URL"], token_file=there.environment["RPC_TOKEN_FILE"]) as client:
        yield client


def is_non_blocking(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_NONBLOCK)


def waiting_bytes(descriptor: int) -> int:
    return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4), "little")


def read_slowly(reading: int, writing: int, process: subprocess.Popen[bytes]) -> bytes:
    """All that a process writes to a pipe; but at first nothing before the pipe is full, several times."""
    found, full = b"", 0
    end = time.monotonic() + 60
    while process.poll() is None or waiting_bytes(reading):
        assert time.monotonic() < end
        if full < 5 and process.poll() is None:
            if select.select([], [writing], [], 0)[1]:
                time.sleep(0.005)
                continue
            full += 1
            found += os.read(reading, SMALL_BYTES // 2)
        elif select.select([reading], [], [], 0.05)[0]:
            found += os.read(reading, 1 << 20)
    return found


def through_small_pipe(there: Any, words: list[str], stream: str) -> tuple[bytes, int]:
    """What a command writes to a pipe that holds little, in non-blocking mode, and its exit status."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, SMALL_BYTES)
    os.set_blocking(writing, False)
    streams: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, stream: writing}
    try:
        with subprocess.Popen(there.command(*words), env=there.environment, **streams) as process:
            try:
                found = read_slowly(reading, writing, process)
            finally:
                process.kill()
        assert is_non_blocking(writing)  # We have it, too, and rely on that.
        return found, process.returncode
    finally:
        os.close(reading)
        os.close(writing)


def writers(client: Client) -> dict[str, tuple[list[str], str]]:
    """Commands that write much, and where."""
    program = client.programs.start(["seq", str(LINES)], retain_bytes=1 << 24)
    program.wait()
    seq = ["seq", str(LINES)]
    return {
        "run": (["run", "--", *seq], "stdout"),
        "run, errors": (["run", "--", "sh", "-c", f"{shlex.join(seq)} >&2"], "stderr"),
        "logs": (["logs", program.id], "stdout"),
        "logs --tail": (["logs", "--tail", str(LINES), program.id], "stdout"),
        "attach": (["attach", program.id], "stdout"),
        "call": (["call", "rpc.discover"], "stdout"),
        "call, a stream": (["call", "programs.output", f"id={program.id}"], "stdout"),
        "call --json": (["call", "--json", "rpc.discover"], "stdout"),
        "help": (["--help"], "stdout"),
        "services": (["services"], "stdout"),
        "ps": (["ps", "--all"], "stdout"),
        "an error": (["call", "programs.get", "id=" + "x" * 100], "stderr"),
    }


def test_what_is_non_blocking_is_waited_for(there: Any, client: Client) -> None:
    for name, (words, stream) in writers(client).items():
        expected = there.run(*words)
        found, status = through_small_pipe(there, words, stream)
        assert (found, status) == (getattr(expected, stream), expected.returncode), name
        if name in ("run", "run, errors", "logs", "logs --tail", "attach"):
            assert found == SEQ, name


@pytest.mark.parametrize(
    ("words", "given", "out"),
    [
        (["run", "--", "cat"], b"some\nwords\n", b"some\nwords\n"),
        (["call", "programs.run", "-"], b'{"argv": ["true"]}', None),
        (["call", "programs.run", 'argv:=["wc", "-c"]', "input=-"], b"x" * 200_000, None),
    ],
)
def test_input_that_is_non_blocking_is_waited_for(
    there: Any, words: list[str], given: bytes, out: bytes | None
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with subprocess.Popen(
        there.command(*words), env=there.environment, stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        # It waits, and has found nothing so far: then it comes in two pieces.
        assert process.stdout is not None
        assert not select.select([process.stdout], [], [], 2)[0]
        assert process.poll() is None
        os.write(writing, given[:3])
        assert is_non_blocking(reading)
        os.close(reading)
        with os.fdopen(writing, "wb") as file:
            file.write(given[3:])
        found, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")
    assert found == out or (out is None and b'"code": 0' in found)


def test_a_full_disk_is_an_error(there: Any, client: Client) -> None:
    for name, (words, stream) in writers(client).items():
        line = f"{shlex.join(there.command(*words))} {'2' if stream == 'stderr' else ''}>/dev/full"
        done = subprocess.run(["sh", "-c", line], env=there.environment, capture_output=True, timeout=60)
        assert done.returncode > 0, name
        if stream == "stdout":
            assert done.stderr == b"rpcclient: standard output: No space left on device\n", name


def test_what_nobody_reads_ends_quietly(there: Any, client: Client) -> None:
    for name, (words, stream) in writers(client).items():
        if stream != "stdout":
            continue
        with subprocess.Popen(
            there.command(*words), env=there.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b"", name
            assert process.wait(30) in (0, 1), name


def test_a_reader_that_leaves_in_the_middle(there: Any) -> None:
    line = f"{shlex.join(there.command('run', '--', 'seq', '3000000'))} | head -n 2"
    done = subprocess.run(["sh", "-c", line], env=there.environment, capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"1\n2\n", b"")


def test_the_mode_of_a_terminal_is_left_as_it_is(there: Any) -> None:
    """A shell's own terminal may be in non-blocking mode, when another program has left it so."""
    master, slave = os.openpty()
    os.set_blocking(slave, False)
    with subprocess.Popen(
        there.command("run", "-n", "--", "seq", "20000"), env=there.environment, stdin=slave, stdout=slave, stderr=slave
    ) as process:
        found = b""
        while not found.endswith(b"\r\n20000\r\n"):
            assert select.select([master], [], [], 30)[0]
            found += os.read(master, 1024)
        assert process.wait(30) == 0
    assert is_non_blocking(slave)
    assert found.count(b"\n") == 20_000
    for descriptor in (master, slave):
        with contextlib.suppress(OSError):
            os.close(descriptor)
