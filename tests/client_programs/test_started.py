"""Handles of started programs, in the synchronous client: what ``subprocess.Popen`` has, and more."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Any

import psutil
import pytest

from rpcclient import Client, OutputLost
from rpcclient.errors import DeadlineExceeded, InvalidParams
from rpcclient.stubs.programs import NotController, NoTerminal, ProgramNotFound, StdinClosed, TerminalSize


def test_a_conversation(client: Client) -> None:
    with client.programs.start(["sh", "-c", "while read line; do echo got $line; done; exit 5"], text=True) as program:
        for word in ("one\n", "two\n"):
            assert program.stdin.write(word) == 4
            assert program.stdout.readline() == f"got {word}"
        assert program.poll() is None
        program.stdin.close()
        assert program.stdout.read() == ""
        ended = program.wait()
    assert (ended.status.code, program.returncode, program.poll()) == (5, 5, 5)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(program.pid).wait(20)
    assert client.programs.get(program.id).running is False
    assert "exit code 5" in repr(program)
    program.forget()
    with pytest.raises(ProgramNotFound):
        program.refresh()


def test_pieces_lines_and_sizes(client: Client) -> None:
    argv = ["sh", "-c", "printf 'one\\ntwo\\n\\nthree'; printf 'err\\n' >&2"]
    with client.programs.start(argv) as program:
        assert b"".join(program.stdout) == b"one\ntwo\n\nthree"
        assert program.stdout.ended
    attached = client.programs.attach(program.id)
    assert list(attached.stdout.lines()) == [b"one\n", b"two\n", b"\n", b"three"]
    assert list(attached.stderr.lines()) == [b"err\n"]
    attached = client.programs.attach(program.id, offset=1, text=True)
    assert [attached.stdout.read(4) for _ in range(4)] == ["ne\nt", "wo\n\n", "thre", "e"]
    assert attached.stderr.read() == "rr\n"
    assert attached.stdout.readline() == ""
    tail = client.programs.attach(program.id, tail_bytes=5)
    assert (tail.stdout.read(), tail.stderr.read()) == (b"three", b"err\n")
    at = client.programs.attach(program.id, offsets={"stdout": 8})
    assert (at.stdout.read(), at.stderr.read()) == (b"\nthree", b"err\n")


def test_characters_split_over_pieces(client: Client) -> None:
    script = "printf '\\303'; read go; printf '\\251\\n'"
    with client.programs.start(["sh", "-c", script], text=True) as program:
        with program.output() as chunks:
            assert next(chunks).data == b"\xc3"
        program.stdin.write("\n")
        assert program.stdout.read() == "é\n"
        assert program.wait().status.code == 0


def test_both_outputs_in_their_order(client: Client) -> None:
    script = "echo one; read go; echo two >&2; read go; echo three"
    with client.programs.start(["sh", "-c", script]) as program:
        found = []
        for chunk in program.output():
            found.append((chunk.stream, chunk.offset, chunk.data, chunk.lost_bytes))
            if len(found) < 3:
                program.stdin.write(b"\n")
    assert found == [("stdout", 0, b"one\n", 0), ("stderr", 0, b"two\n", 0), ("stdout", 4, b"three\n", 0)]
    assert [chunk.data for chunk in program.output(wait=False)] == [b"one\nthree\n", b"two\n"]


def test_communicate(client: Client) -> None:
    data = bytes(range(256)) * 8192  # More than any pipe holds, and than is kept in between.
    program = client.programs.start(["sh", "-c", "cat; echo end >&2; exit 3"], overflow="wait", retain_bytes=262_144)
    done = program.communicate(data)
    assert done.stdout == data
    assert (done.stderr, done.returncode, done.truncated) == (b"end\n", 3, False)
    assert program.communicate().stdout[-10:] == data[-10:]  # As far as it is kept.
    text = client.programs.start(["cat"], text=True).communicate("é")
    assert (text.stdout, text.returncode) == ("é", 0)
    nobody_reads = client.programs.start(["true"]).communicate(bytes(1_000_000))
    assert nobody_reads.returncode == 0


def test_communicating_for_some_time(client: Client) -> None:
    with client.programs.start(["sh", "-c", "echo begin; read go; echo end"], text=True) as program:
        with pytest.raises(DeadlineExceeded, match=r"still runs after 0\.2 s"):
            program.communicate(timeout_s=0.2)
        assert program.returncode is None
        assert program.communicate("go\n", timeout_s=20).stdout == "begin\nend\n"


def test_waiting_for_some_time(client: Client) -> None:
    with client.programs.start(["sleep", "60"]) as program:
        with pytest.raises(DeadlineExceeded):
            program.wait(0.1)
        assert program.poll() is None
    assert program.returncode == -signal.SIGTERM


def test_signals(client: Client) -> None:
    script = "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done"
    with client.programs.start(["sh", "-c", script], text=True) as program:
        lines = program.stdout.lines()
        assert next(lines) == "ready\n"
        for name in ("USR1", "SIGUSR1", signal.SIGUSR1, 10):
            assert program.send_signal(name)
            assert next(lines) == "usr1\n"
        with pytest.raises(InvalidParams, match="no signal 99"):
            program.send_signal(99)
        ended = program.kill()
        assert (ended.status.signal, ended.survivors) == ("SIGKILL", [])
        assert not program.send_signal("TERM")


def test_terminating_is_patient(client: Client) -> None:
    with client.programs.start(
        ["sh", "-c", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"]
    ) as program:
        assert program.stdout.readline() == b"ready\n"
        assert program.terminate(grace_s=20).status.code == 7
        assert program.stdout.read() == b"bye\n"
    with client.programs.start(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]) as program:
        assert program.stdout.readline() == b"ready\n"
        assert program.terminate(grace_s=0.1).status.signal == "SIGKILL"


def test_leaving_the_block(client: Client) -> None:
    with client.programs.start(["sh", "-c", "echo one; exec sleep 60"]) as program:
        assert program.stdout.readline() == b"one\n"
    assert program.returncode == -15
    with client.programs.start(["sh", "-c", "echo one; exec >&- 2>&-; sleep 0.2; exit 3"]) as program:
        assert program.stdout.read() == b"one\n"
    assert program.returncode == 3  # Its output was read to its end, so it could end by itself.
    with pytest.raises(ZeroDivisionError), client.programs.start(["sleep", "60"]) as program:
        raise ZeroDivisionError
    assert program.returncode == -15
    with client.programs.start(["sleep", "60"], on_disconnect="keep") as kept:
        pass
    assert kept.poll() is None
    with client.programs.attach(kept.id) as attached:
        pass
    assert attached.poll() is None
    with client.programs.start(["sleep", "60"]) as detached:
        detached.detach()
    assert detached.poll() is None
    kept.kill()
    detached.kill()


def test_a_gap_is_no_secret(client: Client) -> None:
    program = client.programs.start(
        ["sh", "-c", "head -c 100000 /dev/zero; printf 'the end'"], retain_bytes=2048, overflow="skip"
    )
    program.wait()
    pieces: list[Any] = []
    with pytest.raises(OutputLost) as caught:
        pieces.append(program.stdout.read())
    assert (caught.value.stream, caught.value.offset) == ("stdout", 0)
    pieces.append(program.stdout.read())
    assert pieces[0].endswith(b"the end")
    assert caught.value.lost_bytes + len(pieces[0]) == 100_007
    assert program.stdout.lost_bytes == caught.value.lost_bytes
    done = program.communicate()
    assert done.stdout_lost_bytes == caught.value.lost_bytes
    assert done.truncated


def test_lines_go_on_behind_a_gap_and_what_is_no_text(client: Client) -> None:
    with client.programs.start(["seq", "100000"], retain_bytes=1024, overflow="skip", text=True) as program:
        program.wait()
        lines = program.stdout.lines()
        with pytest.raises(OutputLost):
            next(lines)
        found = list(lines)
        assert found[-1] == "100000\n"
        assert len(found) > 100
    with client.programs.start(["sh", "-c", "printf '\\377\\n'; read go; echo text"], text=True) as program:
        lines = program.stdout.lines()
        with pytest.raises(UnicodeDecodeError):
            next(lines)
        program.stdin.write("\n")
        assert list(lines) == ["text\n"]


def test_a_terminal(client: Client) -> None:
    with client.programs.start(
        ["sh", "-c", "stty size; read go; stty size; tty"], terminal=TerminalSize(rows=30, columns=90), text=True
    ) as program:
        assert program.stdout.readline() == "30 90\n"
        program.resize(40, 100)
        program.stdin.write("\n")
        said = program.stdout.read()
        assert "40 100\n/dev/pts/" in said
        assert program.wait().status.code == 0
    with client.programs.start(["sleep", "60"]) as program, pytest.raises(NoTerminal):
        program.resize(10, 10)


def test_one_controls_and_others_look(client: Client, daemon: Any) -> None:
    with daemon.client() as other, client.programs.start(["cat"], text=True) as program:
        program.stdin.write("one\n")
        looking = other.programs.attach(program.id, text=True)
        assert looking.stdout.readline() == "one\n"
        with pytest.raises(NotController):
            looking.stdin.write("no\n")
        with pytest.raises(NotController):
            other.programs.attach(program.id, control=True)
        taken = other.programs.attach(program.id, take=True, text=True)
        taken.stdin.write("two\n")
        with pytest.raises(NotController):
            program.stdin.write("no\n")
        assert program.stdout.read(8) == "one\ntwo\n"
        program.control(take=True)
        program.stdin.close()
        assert program.wait().status.code == 0
        assert taken.wait().status.code == 0
        with pytest.raises(StdinClosed):
            program.stdin.write("late")


def test_writing_waits_for_the_program(client: Client) -> None:
    with client.programs.start(["sh", "-c", "read go; exec cat"], overflow="wait") as program:
        size = 4_000_000
        writer = threading.Thread(target=lambda: program.stdin.write(b"go\n" + b"x" * size))
        writer.start()
        assert len(program.stdout.read(size)) == size
        writer.join(20)
        assert not writer.is_alive()
        program.stdin.close()
        assert program.wait().status.code == 0


def test_text_or_bytes(client: Client) -> None:
    with client.programs.start(["cat"]) as program, pytest.raises(InvalidParams, match="give text=True"):
        program.stdin.write("text")
    with client.programs.start(["cat"], encoding="utf-16-le") as program, program.stdin as stdin:
        stdin.write("é")
        stdin.close()
        assert program.stdout.read() == "é"
    with client.programs.start(["printf", "a\\377b"], text=True) as strict, pytest.raises(UnicodeDecodeError):
        strict.stdout.read()
    assert client.programs.start(["printf", "a\\377b"], errors="replace").stdout.read() == "a\ufffdb"


def test_lists_and_watching(client: Client) -> None:
    with client.programs.watch(labels={"test": "watching"}) as events:
        with client.programs.start(["sleep", "60"], labels={"test": "watching"}) as program:
            (listed,) = client.programs.list(labels={"test": "watching"}, running=True)
            assert listed.id == program.id
        program.forget()
        found = [next(events) for _ in range(3)]
    assert [(event.kind, event.program.id) for event in found] == [
        ("started", program.id), ("exited", program.id), ("forgotten", program.id),
    ]  # fmt: skip
    assert found[1].exit is not None
    assert found[1].exit.status.signal == "SIGTERM"


def test_what_a_program_leaves_behind(client: Client) -> None:
    """Leaving the block ends it, too, whether the end of the program was seen or not."""
    for waits in (False, True):
        with client.programs.start(["sh", "-c", "sleep 60 >&- 2>&- & echo $!"], text=True) as program:
            left = psutil.Process(int(program.stdout.read()))
            if waits:
                assert program.wait().status.code == 0
            assert left.is_running()
        left.wait(20)
        assert program.returncode == 0
