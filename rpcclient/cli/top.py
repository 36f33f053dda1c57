"""``rpcclient top``."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from . import context

if TYPE_CHECKING:
    from rpcclient import Client
    from rpcclient.stubs.hardware import ProcessAttribute

    from .top_state import TopState

_ATTRIBUTES: list[ProcessAttribute] = [
    "ppid", "name", "username", "status", "cpu_percent", "cpu_times", "memory_info", "num_threads", "nice", "cmdline",
]  # fmt: skip
_MOST = 1000
_WITHOUT_CURSOR = ("dumb", "unknown")
"""Kinds of terminal (TERM) that only write line after line, such as those of editors and of logs."""

_Event = tuple[str, Any]


@click.command()
@click.option("--interval", "interval_s", metavar="SECONDS", type=click.FloatRange(min=0.1), default=1.0,
              show_default=True, help="Time between two samples.")  # fmt: skip
@context.pass_settings
@context.command
def command(settings: context.Settings, interval_s: float) -> None:
    """Watch the server's machine and its processes. Keys are as in htop; h shows them."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("top needs a terminal; in a pipe, use: rpcclient call hardware.watch")
    if os.environ.get("TERM") in _WITHOUT_CURSOR:
        raise click.UsageError(
            f"top draws on the whole screen, and this terminal cannot do that (TERM is {os.environ['TERM']}); use "
            "rpcclient hw, or rpcclient call hardware.watch"
        )
    with settings.connect() as client:
        Top(client, interval_s).run()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt within the block, so that it ends a long call."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Top:
    """The running program: threads bring samples, lists and keys, and one loop draws.

    Parameters:
        client: the server.
        interval_s: time between two samples, in seconds.
    """

    def __init__(self, client: Client, interval_s: float) -> None:
        from .top_state import TopState

        self._client = client
        self._interval_s = interval_s
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self.state: TopState = TopState()
        self._suspend: Callable[[], None] = lambda: None

    def run(self) -> None:
        """Run until the user quits.

        Raises:
            RpcError: the connection was lost.
        """
        from rich.console import Console, Group
        from rich.live import Live

        from .keys import raw_terminal, suspend
        from .top_screen import draw

        console = Console(highlight=False)
        with ExitStack() as stack:
            terminal = stack.enter_context(raw_terminal())
            live = stack.enter_context(Live(console=console, screen=True, auto_refresh=False))
            wake, stop = os.pipe()
            stack.callback(os.close, wake)
            threads = [threading.Thread(target=self._keys, args=(terminal, wake), daemon=True)]
            streams = [self._follow_samples(), self._follow_processes()]
            for number, name in ((signal.SIGWINCH, "resize"), (signal.SIGTSTP, "suspend")):
                before = signal.signal(number, lambda *_, name=name: self._events.put((name, None)))
                stack.callback(signal.signal, number, before)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                stack.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, self._interrupt))
            self._suspend = partial(suspend, live, terminal)
            threads[0].start()
            try:
                while not self.state.done:
                    width, height = console.size
                    live.update(Group(*draw(self.state, width, height)), refresh=True)
                    sort = self.state.sort
                    self._handle(self._events.get())
                    while not self._events.empty():
                        self._handle(self._events.get())
                    with _interruptible():
                        self._ask()
                        if self.state.sort != sort:
                            streams.pop().close()
                            streams.append(self._follow_processes())
            except KeyboardInterrupt:
                pass  # A way to quit like any other.
            finally:
                os.close(stop)
                for stream in streams:
                    stream.close()
                threads[0].join(1)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Quit at Ctrl-C; a second one ends whatever that waits for.

        KeyboardInterrupt could come while an object is finalized, where Python only reports it.
        """
        signal.signal(number, signal.default_int_handler)
        self._events.put(("key", "interrupt"))

    def _handle(self, event: _Event) -> None:
        kind, value = event
        if kind == "sample":
            self.state.add_sample(value)
        elif kind == "processes":
            self.state.add_list(value)
        elif kind == "key":
            self.state.key(value)
        elif kind == "suspend":
            self._suspend()
        elif kind == "failed":
            raise value

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
        self._events.put(("sample", self._client.hardware.snapshot(sections)))
        return self._follow("sample", self._client.hardware.watch(sections, interval_s=self._interval_s))

    def _follow_processes(self) -> Any:
        sort = self.state.sort
        self._events.put(("processes", self._client.hardware.processes(_ATTRIBUTES, sort=sort, limit=_MOST)))
        lists = self._client.hardware.watch_processes(_ATTRIBUTES, sort=sort, limit=_MOST, interval_s=self._interval_s)
        return self._follow("processes", lists)

    def _follow(self, kind: str, stream: Any) -> Any:
        from rpcwire.errors import RpcError

        stream.open()

        def read() -> None:
            try:
                for item in stream:
                    self._events.put((kind, item))
            except RpcError as exc:
                self._events.put(("failed", exc))

        threading.Thread(target=read, daemon=True).start()
        return stream

    def _keys(self, terminal: int, stop: int) -> None:
        from .keys import read_keys

        while (keys := read_keys(terminal, stop)) is not None:
            for key in keys:
                self._events.put(("key", key))
        self._events.put(("key", "interrupt"))
