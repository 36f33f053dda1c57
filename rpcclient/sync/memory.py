"""A connection to a server of the same process, whose event loop runs in another thread."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence

from rpcclient.memory import MemoryDial
from rpcwire.aio.memory import MemoryLink
from rpcwire.codec import Subprotocol
from rpcwire.errors import ConnectFailed, LocalProtocolError
from rpcwire.threads.interrupts import Flag
from rpcwire.threads.link import FrameReceiver


def check_thread() -> None:
    """Refuse to wait for a server in this very thread.

    Raises:
        LocalProtocolError: an event loop runs here.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise LocalProtocolError(
        "memory: an event loop runs in this thread, and Client would block it: use AsyncClient here"
    )


def dial_memory(memory: MemoryDial, subprotocol: Subprotocol) -> SyncMemoryLink:
    """Connect to a server of this process.

    Raises:
        ConnectFailed: its loop does not run.
    """
    try:
        return SyncMemoryLink(memory(subprotocol))
    except (RuntimeError, TimeoutError) as exc:
        raise ConnectFailed(f"memory: the server's event loop does not answer: {exc}") from exc


class SyncMemoryLink:
    """One end of a connection in memory, for threads. The server's loop takes the part of the reader.

    Parameters:
        end: the client's end, which belongs to the server's loop.
    """

    def __init__(self, end: MemoryLink) -> None:
        self.lock = threading.Lock()
        self.room = Flag(up=True)
        self.whole = True
        self._end = end
        self._end_flag = Flag()
        self._news = Flag()  # Something has arrived, or the end.
        self._receiver: FrameReceiver | None = None
        self._is_in_child = False
        self._reason = ""

    @property
    def batch_items(self) -> int:
        """Entries of a JSON-RPC batch that the server takes."""
        return self._end.batch_items

    @property
    def message_nodes(self) -> int:
        """Values, names, arrays and objects that the server takes in one message."""
        return self._end.message_nodes

    @property
    def is_open(self) -> bool:
        return not self._end_flag.is_set()

    def send(self, frames: Sequence[bytes]) -> None:
        self._on_loop(self._end.send, frames)
        self.whole = True

    @property
    def closes_by(self) -> float:
        return 0.0

    def close(self, code: int, reason: str, *, patient: bool = True) -> None:  # noqa: ARG002 - memory takes all at once
        self._on_loop(self._end.close, code, reason)

    def leave(self) -> None:
        self.close(1000, "")

    def abort(self) -> None:
        self._on_loop(self._end.abort)
        self.link_lost("aborted")

    def on_fork(self) -> None:
        self._is_in_child = True
        self.lock = threading.Lock()
        self.room, self._end_flag = Flag(up=True), Flag()
        self._end_flag.set()

    def wake(self) -> None:
        if self._receiver is not None:
            self._on_loop(self._receiver.woken)

    def listen(self, receiver: FrameReceiver) -> None:
        """Hand frames to ``receiver`` from now on. Call it before anything is sent: an answer that came before would be
        lost."""
        self._receiver = receiver
        self._on_loop(self._end.attach, self)

    def run(self, receiver: FrameReceiver) -> None:
        self._end_flag.wait(math.inf)
        receiver.link_lost(self._reason)

    def run_while(
        self,
        is_wanted: Callable[[], bool],
        receiver: FrameReceiver,  # noqa: ARG002 - as of a socket's link; who listens has it already
        until: float,
    ) -> None:
        """Receive while ``is_wanted`` returns true. :meth:`run` goes on after that.

        Parameters:
            is_wanted: whether to go on.
            receiver: gets the frames.
            until: the end of the wait, on the clock of :func:`time.monotonic`.
        """
        while True:
            self._news.clear()
            rest_s = until - time.monotonic()
            if not is_wanted() or self._end_flag.is_set() or rest_s <= 0:
                return
            self._news.wait(rest_s)

    def _on_loop(self, act: Callable[..., object], *args: object) -> None:
        if self._is_in_child:
            return  # In a forked child the server's loop does not run.
        try:
            self._end.loop.call_soon_threadsafe(act, *args)
        except RuntimeError:  # The loop is closed.
            self.link_lost("the server's loop has ended")

    # --- what the other end reports, in the loop's thread ----------------------------------------------------------

    def frame_received(self, frame: bytes) -> None:
        """Handle one whole frame."""
        if self._receiver is not None:
            self._receiver.frame_received(frame)
            self._news.set()

    def writing_paused(self) -> None:
        """Memory takes everything."""

    def writing_resumed(self) -> None:
        """Memory takes everything."""

    def link_lost(self, reason: str) -> None:
        """Note that the connection has ended."""
        self._reason = self._reason or reason
        self._end_flag.set()
        self._news.set()
