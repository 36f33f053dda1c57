"""The thread that writes the audit log: what comes last is written, too, and the head file is written as soon as it can."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rpcserver.audit import writer as writing
from rpcserver.audit.chain import Head
from rpcserver.audit.heads import parse_head
from rpcserver.audit.writer import Block, Writer

LIMIT_S = 60.0


def wait(condition: Callable[[], object]) -> None:
    """Wait until a condition is true."""
    never = threading.Event()
    for _ in range(int(LIMIT_S / 0.005)):
        if condition():
            return
        never.wait(0.005)
    raise AssertionError("it did not happen")


def block(seq: int, *, begins_file: bool = False) -> Block:
    return Block(b"line %d\n" % seq, Head(seq, f"{seq:064x}"), "2026-11-29T22:10:00.000Z", seq if begins_file else 0)


def content_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("audit-*")))


def test_what_comes_last_while_the_disk_is_busy_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread has nothing to write and brings lines onto the disk when the last block comes and the log is closed."""
    synced, may_sync, waits_s = [0], threading.Event(), 0.2
    busy, real_sync = threading.Event(), os.fdatasync

    def sync(descriptor: int) -> None:
        synced[0] += 1
        if synced[0] > 1:
            busy.set()
            assert may_sync.wait(LIMIT_S)
        real_sync(descriptor)

    monkeypatch.setattr("os.fdatasync", sync)
    writer = Writer(tmp_path / "audit", waits_s, None, lambda _: None)
    writer.put(block(1, begins_file=True))
    wait(lambda: synced[0] == 1)
    writer.put(block(2))  # It is brought onto the disk later, when the thread has nothing else to do.
    assert busy.wait(LIMIT_S)
    writer.put(block(3))
    unwritten: list[int] = []
    closing = threading.Thread(target=lambda: unwritten.append(writer.close(LIMIT_S)))
    closing.start()
    wait(lambda: writer._is_closing)
    may_sync.set()
    closing.join(LIMIT_S)
    assert unwritten == [0]
    assert content_of(tmp_path / "audit") == b"line 1\nline 2\nline 3\n"
    assert writer.head.seq == 3


def test_a_writer_that_gets_on_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the patience is: only a disk that takes nothing is given up."""
    real_write, may_write, joins = os.write, threading.Semaphore(0), [0]

    def write(descriptor: int, data: memoryview) -> int:
        assert may_write.acquire(timeout=LIMIT_S)
        return real_write(descriptor, data[:2])

    monkeypatch.setattr("os.write", write)
    monkeypatch.setattr(writing, "RETRY_S", 0.0)
    writer = Writer(tmp_path / "audit", 1.0, None, lambda _: None)
    writer.put(block(1, begins_file=True))
    thread = writer._thread
    assert thread is not None
    real_join = thread.join

    def join(timeout: float | None = None) -> None:
        joins[0] += 1
        before = writer.backlog_bytes
        may_write.release()
        wait(lambda: writer.backlog_bytes < before or not before)
        real_join(timeout)

    monkeypatch.setattr(thread, "join", join)
    assert writer.close(0.0) == 0
    assert joins[0] >= 4
    wait(lambda: not thread.is_alive())
    assert content_of(tmp_path / "audit") == b"line 1\n"


@pytest.mark.parametrize("failures", [1, 3])
def test_the_head_file_is_tried_again_without_new_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failures: int
) -> None:
    """Later and later; and the log says once that it cannot be written, and once that it can again."""
    caplog.set_level(logging.WARNING, "rpcserver.audit")
    monkeypatch.setattr(writing, "HEAD_FILE_S", 0.001)
    pauses: list[float] = []
    real_pwrite = os.pwrite

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        pauses.append(writer._head_pause_s)
        if len(pauses) <= failures:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_pwrite(descriptor, data, offset)

    monkeypatch.setattr("os.pwrite", pwrite)
    head_file = tmp_path / "head"
    writer = Writer(tmp_path / "audit", 1.0, head_file, lambda _: None)
    writer.put(block(1, begins_file=True))
    wait(lambda: "is written again" in caplog.text)
    wait(lambda: parse_head(head_file.read_bytes()) == writer.head)
    writer.close(LIMIT_S)
    assert pauses == [0.001 * 2**n for n in range(failures + 1)]
    assert [record.getMessage() for record in caplog.records] == [
        "audit.head_file cannot be written: No space left on device",
        "audit.head_file is written again",
    ]


def test_the_pause_between_attempts_has_a_limit(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "audit", 1.0, None, lambda _: None)
    writer._head_failures = writing.MOST_FAILURES
    assert writer._head_pause_s == writing.MOST_PAUSE_S
    writer.close(LIMIT_S)
