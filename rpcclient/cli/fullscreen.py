"""A program on the whole screen of a terminal: threads bring what happens, and one loop draws."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.text import Text

_WITHOUT_CURSOR = ("dumb", "unknown")
"""Kinds of terminal (TERM) that only write line after line, such as those of editors and of logs."""

Event = tuple[str, Any]
"""What has happened, and what belongs to it."""


def check_terminal(in_pipe: str, instead: str) -> None:
    """Make sure that the terminal can show a whole screen.

    Parameters:
        in_pipe: what to use in a pipe.
        instead: what to use on such a terminal.

    Raises:
        click.UsageError: it cannot.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(f"top needs a terminal; in a pipe, use: {in_pipe}")
    if os.environ.get("TERM") in _WITHOUT_CURSOR:
        raise click.UsageError(
            f"top draws on the whole screen, and this terminal cannot do that (TERM is {os.environ['TERM']}); use "
            f"{instead}"
        )


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


class FullScreen(ABC):
    """The running program."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._suspend: Callable[[], None] = lambda: None

    @property
    @abstractmethod
    def is_done(self) -> bool:
        """Whether the user has quit."""

    @abstractmethod
    def draw(self, width: int, height: int) -> Sequence[Text]:
        """The lines of the screen."""

    @abstractmethod
    def handle(self, kind: str, value: Any) -> None:
        """Something has happened: a key, or what :meth:`follow` brings."""

    @abstractmethod
    def open_streams(self) -> None:
        """Begin to follow what is shown."""

    @abstractmethod
    def close_streams(self) -> None:
        """Follow nothing any more."""

    @abstractmethod
    def work(self) -> None:
        """Do what keys have asked for. Ctrl-C ends it."""

    def run(self) -> None:
        """Run until the user quits.

        Raises:
            RpcError: the connection was lost.
        """
        from rich.console import Console, Group
        from rich.live import Live

        from .keys import raw_terminal, suspend

        console = Console(highlight=False)
        with ExitStack() as stack:
            terminal = stack.enter_context(raw_terminal())
            live = stack.enter_context(Live(console=console, screen=True, auto_refresh=False))
            wake, stop = os.pipe()
            stack.callback(os.close, wake)
            reading = threading.Thread(target=self._read_keys, args=(terminal, wake), daemon=True)
            self.open_streams()
            for number, name in ((signal.SIGWINCH, "resize"), (signal.SIGTSTP, "suspend")):
                before = signal.signal(number, lambda *_, name=name: self.events.put((name, None)))
                stack.callback(signal.signal, number, before)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                stack.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, self._interrupt))
            self._suspend = partial(suspend, live, terminal)
            reading.start()
            try:
                while not self.is_done:
                    live.update(Group(*self.draw(*console.size)), refresh=True)
                    self._handle(self.events.get())
                    while not self.events.empty():
                        self._handle(self.events.get())
                    with _interruptible():
                        self.work()
            except KeyboardInterrupt:
                pass  # A way to quit like any other.
            finally:
                os.close(stop)
                self.close_streams()
                reading.join(1)

    def follow(self, kind: str, stream: Any) -> Any:
        """Have the items of a stream come as events of a kind; its error as ``failed``. It is opened and returned."""
        from rpcwire.errors import RpcError

        stream.open()

        def read() -> None:
            try:
                for item in stream:
                    self.events.put((kind, item))
            except RpcError as exc:
                self.events.put(("failed", exc))

        threading.Thread(target=read, daemon=True).start()
        return stream

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Quit at Ctrl-C; a second one ends whatever that waits for.

        KeyboardInterrupt could come while an object is finalized, where Python only reports it.
        """
        signal.signal(number, signal.default_int_handler)
        self.events.put(("key", "interrupt"))

    def _handle(self, event: Event) -> None:
        kind, value = event
        if kind == "suspend":
            self._suspend()
        elif kind == "failed":
            raise value
        elif kind != "resize":
            self.handle(kind, value)

    def _read_keys(self, terminal: int, stop: int) -> None:
        from .keys import read_keys

        while (keys := read_keys(terminal, stop)) is not None:
            for key in keys:
                self.events.put(("key", key))
        self.events.put(("key", "interrupt"))
