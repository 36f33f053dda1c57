"""What ``rpcclient top --on`` knows and shows: state and keys, without a terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rpcclient.cli.top_state import total

from .ranges import natural_key

if TYPE_CHECKING:
    from rpcclient.stubs.hardware import Filesystem, Snapshot

HISTORY = 120
"""Samples that are kept for sparklines."""


@dataclass
class NodeRow:
    """One node.

    Attributes:
        id, name: of the node.
        state: ``up`` as long as it answers, else what became of it.
        reason: why it is in that state.
        snapshot: its last sample.
    """

    id: str
    name: str
    state: str = "waiting"
    reason: str = ""
    snapshot: Snapshot | None = None
    cpu: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))

    @property
    def is_up(self) -> bool:
        """Whether its figures are of now."""
        return self.state == "up"

    @property
    def cpu_percent(self) -> float | None:
        """How busy its processors are."""
        return None if self.snapshot is None or self.snapshot.cpu is None else self.snapshot.cpu.percent

    @property
    def load(self) -> float | None:
        """The processes that want to run, for each processor, over a minute."""
        cpu = None if self.snapshot is None else self.snapshot.cpu
        return None if cpu is None or cpu.load_1m is None or not cpu.logical else cpu.load_1m / cpu.logical

    @property
    def memory_percent(self) -> float | None:
        """The share of its memory that is in use."""
        return None if self.snapshot is None or self.snapshot.memory is None else self.snapshot.memory.percent

    @property
    def fullest(self) -> Filesystem | None:
        """Its fullest filesystem, of those that lie on disks."""
        if self.snapshot is None or self.snapshot.disks is None:
            return None
        disks = [
            disk
            for disk in self.snapshot.disks.filesystems
            if not disk.same_as and disk.fstype not in ("tmpfs", "devtmpfs", "ramfs") and disk.percent is not None
        ]
        return max(disks, key=lambda disk: disk.percent or 0.0, default=None)

    @property
    def disk_percent(self) -> float | None:
        """How full that is."""
        return None if self.fullest is None else self.fullest.percent

    @property
    def disk_rate(self) -> float | None:
        """Bytes that its disks read and write, each second."""
        if self.snapshot is None or self.snapshot.disks is None:
            return None
        disks = [each for each in self.snapshot.disks.io if each.kind in ("disk", None)]
        return total([rate for each in disks for rate in (each.read_bytes_per_s, each.write_bytes_per_s)])

    @property
    def receive_rate(self) -> float | None:
        """Bytes that it receives each second."""
        network = None if self.snapshot is None else self.snapshot.network
        return None if network is None or network.total is None else network.total.bytes_recv_per_s

    @property
    def send_rate(self) -> float | None:
        """Bytes that it sends each second."""
        network = None if self.snapshot is None else self.snapshot.network
        return None if network is None or network.total is None else network.total.bytes_sent_per_s


SORTS: dict[str, tuple[str, Callable[[NodeRow], float | None] | None]] = {
    "N": ("name", None),
    "P": ("cpu", lambda row: row.cpu_percent),
    "L": ("load", lambda row: row.load),
    "M": ("mem", lambda row: row.memory_percent),
    "F": ("full", lambda row: row.disk_percent),
    "D": ("disk", lambda row: row.disk_rate),
    "R": ("net", lambda row: total([row.receive_rate, row.send_rate])),
}
"""The keys that sort, what each sorts by, and its figure."""


@dataclass
class NodesState:
    """The state of the screen. Keys change it by :meth:`key`.

    Attributes:
        rows: the nodes, by their ids.
        unknown: names that no node has.
        sort, reverse: how the nodes are sorted.
        offset: how many nodes come before the first that is to be seen.
        page: how many nodes fit onto the screen.
        columns: how many of them are beside each other.
        is_table: whether each node has one line, also where the terminal has room for nodes beside each other.
        shows_help, done: whether the keys are explained, and whether the user has quit.
    """

    rows: dict[str, NodeRow] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    sort: str = "N"
    reverse: bool = False
    offset: int = 0
    page: int = 20
    columns: int = 1
    is_table: bool = False
    shows_help: bool = False
    done: bool = False

    def add_node(self, node_id: str, name: str) -> None:
        """Show a node, of which nothing is known yet; one that was there and has returned goes on."""
        row = self.rows.get(node_id)
        if row is None:
            self.rows[node_id] = NodeRow(node_id, name)
        else:
            row.state, row.reason = "waiting", ""

    def add_sample(self, node_id: str, snapshot: Snapshot) -> None:
        """Show a new sample of a node."""
        row = self.rows[node_id]
        row.snapshot = snapshot
        row.state, row.reason = "up", ""
        row.cpu.append(row.cpu_percent)

    def end_node(self, node_id: str, state: str, reason: str) -> None:
        """Show that a node gives no samples any more."""
        row = self.rows[node_id]
        row.state, row.reason = state, reason

    @property
    def rows_in_order(self) -> list[NodeRow]:
        """All nodes in the chosen order. Nodes without a figure come last."""
        figure = SORTS[self.sort][1]
        rows = sorted(self.rows.values(), key=lambda row: (natural_key(row.name), row.id))
        if figure is not None:
            rows.sort(key=lambda row: (not row.is_up or figure(row) is None, -(figure(row) or 0.0)))
        return rows[::-1] if self.reverse else rows

    def place(self, rows: int, columns: int = 1) -> list[NodeRow]:
        """The nodes that fit onto the screen.

        Parameters:
            rows: how many nodes fit below each other.
            columns: how many fit beside each other.
        """
        self.columns = columns
        self.page = max(rows, 1) * columns
        last = -(-max(len(self.rows) - self.page, 0) // columns) * columns
        self.offset = min(max(self.offset // columns * columns, 0), last)
        return self.rows_in_order[self.offset : self.offset + self.page]

    def key(self, key: str) -> None:
        """Do what a key stands for."""
        steps = {
            "up": -self.columns, "down": self.columns, "pageup": -self.page, "pagedown": self.page,
            "home": -(10**6), "end": 10**6,
        }  # fmt: skip
        if key in ("q", "Q", "f10", "interrupt"):
            self.done = True
        elif self.shows_help:
            self.shows_help = False
        elif key in ("h", "?", "f1"):
            self.shows_help = True
        elif key.upper() in SORTS and len(key) == 1:
            self.sort, self.reverse = key.upper(), False
        elif key in ("t", "T", "f5"):
            self.is_table = not self.is_table
        elif key in ("I", "i"):
            self.reverse = not self.reverse
        elif key in (">", "<", "f6"):
            order = list(SORTS)
            self.sort = order[(order.index(self.sort) + (-1 if key == "<" else 1)) % len(order)]
        elif key in steps:
            self.offset += steps[key]
