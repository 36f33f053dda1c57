"""What the process of the server uses, under the names that client libraries of Prometheus give it
(https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics)."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from .exposition import Family

_PROC = Path("/proc")


def families() -> Iterator[Family]:
    """Yield the metrics of this process. What the system does not tell is left out."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield _one(
        "process_cpu_seconds_total",
        used.ru_utime + used.ru_stime,
        "Processor time in all, in seconds.",
        is_counter=True,
    )
    try:
        pages = int((_PROC / "self/statm").read_text().split()[1])
        open_files = len(os.listdir(_PROC / "self/fd")) - 1  # noqa: PTH208 - quicker; the descriptor of the folder is one
    except OSError:
        pass
    else:
        size = pages * os.sysconf("SC_PAGE_SIZE")
        yield _one("process_resident_memory_bytes", size, "Memory in use, in bytes.")
        yield _one("process_open_fds", open_files, "Open files, sockets included.")
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY:
        yield _one("process_max_fds", limit, "The most open files that the system allows.")
    if (began_s := _began_s()) is not None:
        yield _one("process_start_time_seconds", began_s, "Start of the process, in seconds since 1970.")
    yield _one("process_threads", threading.active_count(), "Threads of Python.")


def _one(name: str, value: float, text: str, *, is_counter: bool = False) -> Family:
    family = Family(name, "counter" if is_counter else "gauge", text)
    family.add(value)
    return family


@cache
def _began_s() -> float | None:
    """The start of the process (proc_pid_stat(5), starttime), in seconds since 1970."""
    try:
        stat = (_PROC / "self/stat").read_text()
        since_boot_s = int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    return round(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot_s, 2)
