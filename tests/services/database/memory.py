"""How far the memory of a server and of a client rises while rows are read."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.services.database.conftest import Daemon

MIB = 2**20


def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait for something, and say how long that took. A look that takes long does not count against it."""
    begin = time.monotonic()
    while True:
        looked = time.monotonic() - begin
        if condition():
            return looked
        assert looked < seconds, "the event did not come in time"
        time.sleep(0.005)


def quiet(process: psutil.Process) -> bool:
    """Whether a process has done nothing for a moment."""
    before = sum(process.cpu_times()[:2])
    time.sleep(0.2)
    return bool(sum(process.cpu_times()[:2]) == before)


def status(pid: int, field: str) -> int:
    """A figure of /proc/PID/status, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


@contextmanager
def growth(pid: int, found: list[int]) -> Iterator[None]:
    """How far the memory of a process rises above what it holds now, by the kernel's own high-water mark."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before = status(pid, "VmRSS")
    yield
    found.append(status(pid, "VmHWM") - before)


READER = """
import sys
from pathlib import Path
from rpcclient import Client

def status(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024

def read(client, sql):
    count = total = 0
    with client.database.stream("main", sql) as pages:
        for page in pages:
            for row in page:
                count += 1
                total += row[0]
    return count, total

with Client(sys.argv[1], token=sys.argv[2]) as client:
    read(client, sys.argv[3])
    print("ready", flush=True)
    sys.stdin.readline()
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    count, total = read(client, sys.argv[4])
    print(count, total, status("VmHWM") - before, flush=True)
"""


def stream_rows(daemon: Daemon, warm: str, sql: str, count: int) -> tuple[int, int]:
    """A client in a process of its own streams so many rows; how far the client's and the server's memory rose.

    Parameters:
        daemon: the server.
        warm: what is streamed before, unmeasured.
        sql: what is measured: rows that begin with their number, from 1.
        count: how many they are.
    """
    words = [daemon.url, daemon.token, warm, sql]
    with subprocess.Popen(
        [sys.executable, "-c", READER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin is not None and reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        server: list[int] = []
        with growth(daemon.pid, server):
            reader.stdin.write("\n")
            reader.stdin.flush()
            found, total, client = map(int, reader.stdout.readline().split())
    assert found == count and total == count * (count + 1) // 2
    return client, server[0]
