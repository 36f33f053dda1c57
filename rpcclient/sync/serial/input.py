"""The input of a serial port of the server that has arrived and was not read yet."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from rpcclient.serial_settings import KEEP_BYTES
from rpcclient.sync.stream import Stream
from rpcwire.elsewhere import parent_error
from rpcwire.errors import RpcError
from rpcwire.forking import tell_in_children

if TYPE_CHECKING:
    from rpcclient.stubs.hardware import SerialData


class SerialInput:
    """The input that has arrived. A thread of its own fills it, and does not hold the port, which can be garbage."""

    def __init__(self, stream: Stream[SerialData]) -> None:
        self.stream = stream
        self.data = bytearray()
        self._make_lock()
        self.error: RpcError | None = None
        self.has_ended = False
        self.is_cancelled = False
        self.resets = 0
        self.arrived_s = 0.0
        tell_in_children(self)
        threading.Thread(target=self._fill, name="rpc-serial", daemon=True).start()

    def _make_lock(self) -> None:
        # An interruption may come within the Python code of a condition. Entering the condition could leave it locked;
        # entering the lock cannot.
        self.lock = threading.RLock()
        self.change = threading.Condition(self.lock)

    def _fill(self) -> None:
        try:
            for item in self.stream:
                with self.lock:
                    if item.resets >= self.resets:
                        self.data += item.data
                        self.arrived_s = time.monotonic()
                        self.change.notify_all()
                    # Meanwhile nothing is read from the stream, so that the server has to wait.
                    while len(self.data) >= KEEP_BYTES and not self.has_ended:
                        self.change.wait()
        except RpcError as exc:
            self.error = exc
        with self.lock:
            self.has_ended = True
            self.change.notify_all()

    def on_fork(self) -> None:
        """End in a forked child: the port and its input belong to the parent."""
        self._make_lock()
        self.data, self.has_ended, self.error = bytearray(), True, parent_error("the serial port")

    def end(self) -> None:
        """Stop reading."""
        with self.lock:
            self.has_ended = True
            self.change.notify_all()
        self.stream.close()

    def count(self) -> int:
        """Return how many bytes there are.

        Raises:
            RpcError: there are none, and none will come, as the port was unplugged.
        """
        with self.lock:
            if not self.data and self.error is not None:
                raise self.error
            return len(self.data)
