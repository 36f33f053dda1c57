"""``rpcclient top``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from . import context
from .fullscreen import FullScreen, check_terminal
from .many.options import many_options

if TYPE_CHECKING:
    from rich.text import Text

    from rpcclient import Client
    from rpcclient.stubs.hardware import ProcessAttribute

    from .top_state import TopState

_ATTRIBUTES: list[ProcessAttribute] = [
    "ppid", "name", "username", "status", "cpu_percent", "cpu_times", "memory_info", "num_threads", "nice", "cmdline",
]  # fmt: skip
_MOST = 1000


@click.command()
@click.option("--interval", "interval_s", metavar="SECONDS", type=click.FloatRange(min=0.1), default=1.0,
              show_default=True, help="Time between two samples.")  # fmt: skip
@many_options
@context.pass_settings
@context.command
def command(settings: context.Settings, interval_s: float) -> None:
    """Watch the server's machine and its processes; with --on or --nodes, the machines of many nodes beside each other.
    Keys are as in htop; h shows them."""
    check_terminal("rpcclient call hardware.watch", "rpcclient hw, or rpcclient call hardware.watch")
    with settings.connect() as client:
        if settings.many.is_given:
            from .many.top import NodesTop

            NodesTop(client, settings.many.target(), interval_s).run()
        else:
            Top(client, interval_s).run()


class Top(FullScreen):
    """The running program.

    Parameters:
        client: the server.
        interval_s: time between two samples, in seconds.
    """

    def __init__(self, client: Client, interval_s: float) -> None:
        from .top_state import TopState

        super().__init__()
        self._client = client
        self._interval_s = interval_s
        self.state: TopState = TopState()
        self._streams: list[Any] = []

    @property
    def is_done(self) -> bool:
        """Whether the user has quit."""
        return self.state.done

    def draw(self, width: int, height: int) -> Sequence[Text]:
        """The lines of the screen."""
        from .top_screen import draw

        self._sort = self.state.sort
        return draw(self.state, width, height)

    def handle(self, kind: str, value: Any) -> None:
        """Something has happened."""
        if kind == "sample":
            self.state.add_sample(value)
        elif kind == "processes":
            self.state.add_list(value)
        elif kind == "key":
            self.state.key(value)

    def work(self) -> None:
        """Do what the user asked for, and follow the processes in the order that is wanted now."""
        self._ask()
        if self.state.sort != self._sort:
            self._streams.pop().close()
            self._streams.append(self._follow_processes())

    def open_streams(self) -> None:
        """Begin to follow the machine and its processes."""
        self._streams += [self._follow_samples(), self._follow_processes()]

    def close_streams(self) -> None:
        """Follow nothing any more."""
        for stream in self._streams:
            stream.close()

    def _ask(self) -> None:
        """Do what the user asked for, and show what the server refuses."""
        from rpcwire.errors import RpcError

        hardware = self._client.hardware
        requests, self.state.requests = self.state.requests, []
        for request in requests:
            process = request.process
            assert process.create_time is not None, "else nothing was asked for"
            try:
                if request.action == "terminate":
                    hardware.signal_process(process.pid, process.create_time)
                    self.state.message = f"TERM was sent to {process.name} ({process.pid})"
                else:
                    nice = hardware.set_priority(process.pid, process.create_time, request.nice)
                    self.state.message = f"{process.name} ({process.pid}) has the priority {nice}"
            except RpcError as exc:
                self.state.message = exc.message
                self.state.forget_nice(process)

    # --- what comes in ----------------------------------------------------------------------------------------------

    def _follow_samples(self) -> Any:
        sections: Any = ["host", "cpu", "memory", "disks", "network", "sensors"]
        # At once, and not after the first interval: rates come later.
        self.events.put(("sample", self._client.hardware.snapshot(sections)))
        return self.follow("sample", self._client.hardware.watch(sections, interval_s=self._interval_s))

    def _follow_processes(self) -> Any:
        sort = self.state.sort
        self.events.put(("processes", self._client.hardware.processes(_ATTRIBUTES, sort=sort, limit=_MOST)))
        lists = self._client.hardware.watch_processes(_ATTRIBUTES, sort=sort, limit=_MOST, interval_s=self._interval_s)
        return self.follow("processes", lists)
