"""What ``rpcclient top`` knows and shows: state and keys, without a terminal."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .top_tree import tree

if TYPE_CHECKING:
    from rpcclient.stubs.hardware import Process, ProcessList, ProcessSort, Snapshot

HISTORY = 300
"""Samples that are kept for sparklines."""

SORTS: tuple[tuple[str, ProcessSort], ...] = (
    ("P", "cpu_percent"),
    ("M", "memory_percent"),
    ("T", "cpu_times"),
    ("N", "pid"),
    ("A", "name"),
    ("G", "create_time"),
)
"""The keys that sort, as in htop (A and G are ours)."""

Key = tuple[int, float | None]
"""A process: its number, and when it started."""

_STEP = 8
"""How many characters a key moves the names by."""
_STALE_LISTS = 3
"""After so many lists that do not show it, a priority that the server was asked for is forgotten."""


@dataclass(frozen=True)
class Request:
    """What the server is to do with a process.

    Attributes:
        action: send a signal, or change the priority.
        process: which process.
        nice: the priority.
    """

    action: Literal["terminate", "nice"]
    process: Process
    nice: int = 0


@dataclass
class TopState:
    """The state of the screen. Keys change it by :meth:`key`.

    Attributes:
        selected_row: the row of the selected process among those shown.
        under: the process that was selected when the screen was drawn. Keys act on it.
        shift: how many characters of names are to the left of the screen.
        tree: processes stand below those that have started them.
        is_held: whether the user has chosen the selected process, so that it stays selected in whichever row it is.
        typing: what letters are for: the filter of names, or of users.
        wanted_nice: priorities that were asked for, and how many lists have come since.
    """

    snapshot: Snapshot | None = None
    process_list: ProcessList | None = None
    sort: ProcessSort = "cpu_percent"
    reverse: bool = False
    selected_row: int = 0
    under: Key | None = None
    is_held: bool = False
    offset: int = 0
    shift: int = 0
    tree: bool = False
    rows: int = 20
    pattern: str = ""
    user: str = ""
    typing: Literal["", "pattern", "user"] = ""
    asking: Process | None = None
    shows_help: bool = False
    command_lines: bool = False
    message: str = ""
    done: bool = False
    requests: list[Request] = field(default_factory=list)
    wanted_nice: dict[Key, tuple[int, int]] = field(default_factory=dict)
    cpu: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))
    memory: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))
    receive_rates: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))
    send_rates: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))
    read_rates: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))
    write_rates: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))
    inside_receive_rates: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))
    inside_send_rates: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def add_sample(self, snapshot: Snapshot) -> None:
        """Show a new sample, and add it to the histories."""
        self.snapshot = snapshot
        self.cpu.append(snapshot.cpu.percent if snapshot.cpu is not None else None)
        self.memory.append(snapshot.memory.percent if snapshot.memory is not None else None)
        network = snapshot.network
        # The server counts what goes through a bridge, a bond or a tunnel once: where it goes out.
        for traffic, receive_rates, send_rates in (
            (network.total if network is not None else None, self.receive_rates, self.send_rates),
            (network.inside if network is not None else None, self.inside_receive_rates, self.inside_send_rates),
        ):
            receive_rates.append(traffic.bytes_recv_per_s if traffic is not None else None)
            send_rates.append(traffic.bytes_sent_per_s if traffic is not None else None)
        # What goes through a partition, or a device that lies on disks, would count twice.
        disks = (
            [each for each in snapshot.disks.io if each.kind in ("disk", None)] if snapshot.disks is not None else []
        )
        self.read_rates.append(total([each.read_bytes_per_s for each in disks]))
        self.write_rates.append(total([each.write_bytes_per_s for each in disks]))

    @property
    def has_inside(self) -> bool:
        """Whether there are containers or virtual machines whose traffic does not count into the total."""
        network = self.snapshot.network if self.snapshot is not None else None
        return network is not None and any(each.counted == "inside" for each in network.interfaces)

    def add_list(self, process_list: ProcessList) -> None:
        """Show a new list of processes."""
        self.process_list = process_list
        now = {key_of(process): process.nice for process in process_list.processes}
        self.wanted_nice = {
            key: (nice, lists + 1)
            for key, (nice, lists) in self.wanted_nice.items()
            if now.get(key) != nice and lists < _STALE_LISTS
        }

    def forget_nice(self, process: Process) -> None:
        """Show the old priority of a process again: the server did not change it."""
        self.wanted_nice.pop(key_of(process), None)

    @property
    def processes_to_show(self) -> list[Process]:
        """The processes that the filter lets through, in the chosen order."""
        processes = self.process_list.processes if self.process_list is not None else []
        pattern = self.pattern.lower()
        if pattern:
            processes = [p for p in processes if pattern in " ".join([p.name or "", *(p.cmdline or ())]).lower()]
        if self.user:
            processes = [p for p in processes if (p.username or "").startswith(self.user)]
        processes = list(reversed(processes)) if self.reverse else processes
        return [process for _, process in tree(processes)] if self.tree else processes

    @property
    def branches(self) -> dict[Key, str]:
        """The branches that lead to each process in the tree; empty without a tree."""
        return {key_of(process): branch for branch, process in tree(self.processes_to_show)} if self.tree else {}

    def place(self, rows: int) -> list[Process]:
        """The processes that fit onto the screen, with the selected one among them."""
        self.rows = max(rows, 1)
        processes = self.processes_to_show
        if self.is_held:
            self.selected_row = next((n for n, p in enumerate(processes) if key_of(p) == self.under), self.selected_row)
        self.selected_row = min(max(self.selected_row, 0), max(len(processes) - 1, 0))
        self.under = key_of(processes[self.selected_row]) if processes else None
        self.offset = min(max(self.offset, self.selected_row - self.rows + 1, 0), self.selected_row)
        return processes[self.offset : self.offset + self.rows]

    def key(self, key: str) -> None:
        """Do what a key stands for."""
        self.message = ""
        if key == "interrupt":
            self.done = True
        elif self.typing:
            self._type(key)
        elif self.asking is not None:
            if key in ("y", "Y", "enter"):
                self.requests.append(Request("terminate", self.asking))
            self.asking = None
        elif self.shows_help:
            self.shows_help = False
        else:
            self._command(key)

    def _type(self, key: str) -> None:
        if key in ("enter", "escape"):
            if key == "escape":
                setattr(self, self.typing, "")
            self.typing = ""
        elif key == "backspace":
            setattr(self, self.typing, getattr(self, self.typing)[:-1])
        elif len(key) == 1:
            setattr(self, self.typing, getattr(self, self.typing) + key)

    def _command(self, key: str) -> None:
        steps = {"up": -1, "down": 1, "pageup": -self.rows, "pagedown": self.rows, "home": -(10**6), "end": 10**6}
        if key in ("q", "Q", "f10"):
            self.done = True
        elif key in steps:
            processes = self.processes_to_show
            self.selected_row = min(max(self.selected_row + steps[key], 0), max(len(processes) - 1, 0))
            self.under = key_of(processes[self.selected_row]) if processes else None
            self.is_held = key != "home"  # In the first row, the row stays selected and not the process.
        elif key in dict(SORTS):
            self.sort = dict(SORTS)[key]
        elif key in (">", "<", "f6"):
            order: list[ProcessSort] = [sort for _, sort in SORTS]
            self.sort = order[(order.index(self.sort) + (-1 if key == "<" else 1)) % len(order)]
        elif key in ("right", "left"):
            self.shift = max(self.shift + (_STEP if key == "right" else -_STEP), 0)
        elif key in ("t", "f5"):
            self.tree = not self.tree
        elif key == "I":
            self.reverse = not self.reverse
        elif key == "c":
            self.command_lines = not self.command_lines
        elif key in ("/", "f3", "f4", "\\"):
            self.typing = "pattern"
        elif key == "u":
            self.typing = "user"
        elif key == "escape":
            self.pattern = self.user = ""
        elif key in ("h", "?", "f1"):
            self.shows_help = True
        elif key in ("k", "f9", "f7", "f8", "[", "]"):
            self._act(key)

    def _act(self, key: str) -> None:
        # The process that the user saw counts, and not one that came to its row later.
        process = next((p for p in self.processes_to_show if key_of(p) == self.under), None)
        if process is None:
            self.message = "" if self.under is None else "the selected process has ended"
        elif process.create_time is None:
            self.message = "the server cannot tell this process from others"
        elif key in ("k", "f9"):
            self.asking = process
        else:
            before, _ = self.wanted_nice.get(key_of(process), (process.nice or 0, 0))
            nice = min(max(before + (-1 if key in ("f7", "]") else 1), -20), 19)
            self.wanted_nice[key_of(process)] = (nice, 0)
            self.requests.append(Request("nice", process, nice))


def key_of(process: Process) -> Key:
    """What tells a process from all others, also from a later one with the same number."""
    return process.pid, process.create_time


def total(values: list[float | None]) -> float | None:
    """The sum of what is known; ``None`` where nothing is."""
    numbers = [value for value in values if value is not None]
    return sum(numbers) if numbers else None
