"""Processes as a tree: who has started whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rpcclient.stubs.hardware import Process


def tree(processes: Sequence[Process]) -> list[tuple[str, Process]]:
    """The processes with the branches that lead to each, parents before their children, and those of one parent in the
    order in which they are given.

    A process whose parent is not among them stands at the left.
    """
    numbers = {process.pid for process in processes}
    children: dict[int, list[Process]] = {}
    roots: list[Process] = []
    for process in processes:
        parent = process.ppid
        if parent is None or parent == process.pid or parent not in numbers:
            roots.append(process)
        else:
            children.setdefault(parent, []).append(process)
    rows = list(_below(roots, children))
    # Of a list that was not read in one moment, some may be their own ancestors: they are shown, too.
    numbers_in_rows = {process.pid for _, process in rows}
    return [*rows, *(("", process) for process in processes if process.pid not in numbers_in_rows)]


def _below(roots: Sequence[Process], children: dict[int, list[Process]]) -> Iterator[tuple[str, Process]]:
    """The branches below these processes. Without recursion, because a chain of processes may be of any length."""
    waiting = [("", "", root) for root in reversed(roots)]
    while waiting:
        branch, beside, process = waiting.pop()
        yield branch, process
        own = children.pop(process.pid, [])
        for number, child in enumerate(reversed(own)):
            last = number == 0
            waiting.append((beside + ("└─ " if last else "├─ "), beside + ("   " if last else "│  "), child))
