"""``rpcclient top --on``: the machines of many nodes beside each other, as they come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rpcclient.cli.fullscreen import FullScreen

from .typed import read_as

if TYPE_CHECKING:
    from rich.text import Text

    from rpcclient import Client
    from rpcclient.models import NodeInfo, NodesEvent

_SECTIONS = ["cpu", "memory", "disks", "network"]


class NodesTop(FullScreen):
    """The running program.

    Parameters:
        client: the node through which the others are asked.
        target: the nodes, as ``rpc.call_nodes`` takes them.
        interval_s: time between two samples, in seconds.
    """

    def __init__(self, client: Client, target: Mapping[str, Any], interval_s: float) -> None:
        from .top_state import NodesState

        super().__init__()
        self._client = client
        self._target = target
        self._interval_s = interval_s
        self._streams: list[Any] = []
        self._to_follow: set[str] = set()
        self.state = NodesState()

    @property
    def is_done(self) -> bool:
        """Whether the user has quit."""
        return self.state.done

    def draw(self, width: int, height: int) -> Sequence[Text]:
        """The lines of the screen."""
        from .top_screen import draw

        return draw(self.state, width, height)

    def open_streams(self) -> None:
        """Begin to follow the machines, and who joins and leaves."""
        self._follow_machines(self._target)
        self._streams.append(self.follow("nodes", self._client.watch_nodes()))

    def close_streams(self) -> None:
        """Follow nothing any more."""
        for stream in self._streams:
            stream.close()

    def handle(self, kind: str, value: Any) -> None:
        """Something has happened."""
        if kind == "machine":
            self._handle_machine(value)
        elif kind == "nodes":
            self._handle_nodes(value)
        elif kind == "key":
            self.state.key(value)

    def work(self) -> None:
        """Follow nodes that have joined or returned."""
        if self._to_follow:
            names, self._to_follow = sorted(self._to_follow), set()
            self._follow_machines({"names": names})

    def _follow_machines(self, target: Mapping[str, Any]) -> None:
        call = {
            "target": target,
            "method": "hardware.watch",
            "params": {"sections": _SECTIONS, "interval_s": self._interval_s},
        }
        self._streams.append(self.follow("machine", self._client.stream("rpc.call_nodes", call)))

    def _handle_machine(self, event: Mapping[str, Any]) -> None:
        from rpcclient.stubs.hardware import Snapshot
        from rpcwire.group.outcomes import outcome_from_wire

        kind = event["kind"]
        if kind == "start":
            for node in event["nodes"]:
                self.state.add_node(node["id"], node["name"])
            self.state.unknown += event["unknown"]
        elif kind == "item":
            self.state.add_sample(event["node"], read_as(Snapshot, event["item"]))
        elif kind == "outcome":
            end = outcome_from_wire(event)
            if end.id in self.state.rows:
                reason = "it sends no more" if end.error is None else end.error.message
                self.state.end_node(end.id, "ended" if end.state == "ok" else end.state, reason)

    def _handle_nodes(self, event: NodesEvent) -> None:
        """Ask for the machines of nodes that are there and not followed."""
        for node in event.nodes:
            row = self.state.rows.get(node.id)
            is_followed = row is not None and row.state in ("up", "waiting")
            if node.state == "up" and not is_followed and event.kind != "snapshot" and self._is_wanted(node):
                self.state.add_node(node.id, node.name)
                self._to_follow.add(node.id)

    def _is_wanted(self, node: NodeInfo) -> bool:
        from rpcwire.group.selectors import Everyone, Names, parse, select

        if "selector" in self._target:
            selection = select(parse(self._target["selector"]), [node])
        elif "names" in self._target:
            selection = select(Names(tuple(self._target["names"])), [node])
        else:
            selection = select(Everyone(), [node])
        return bool(selection.nodes)
