"""What has come in at a serial port of the server, and was not read yet."""

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
    """What has come in. A thread of its own fills it, and holds no more than this: the port itself can be garbage."""

    def __init__(self, stream: Stream[SerialData]) -> None:
        self.stream = stream
        self.data = bytearray()
        self._make_lock()
        self.error: RpcError | None = None
        self.ended = False
        self.cancelled = False
        self.resets = 0
        self.arrived = 0.0
        tell_in_children(self)
        threading.Thread(target=self._fill, name="rpc-serial", daemon=True).start()

    def _make_lock(self) -> None:
        # An interruption may come within the Python code of a condition: entered by itself, it might stay locked.
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)

    def _fill(self) -> None:
        try:
            for item in self.stream:
                with self.lock:
                    if item.resets >= self.resets:
                        self.data += item.data
                        self.arrived = time.monotonic()
                        self.changed.notify_all()
                    # Nothing is taken from the stream meanwhile, so that the server is told to wait.
                    while len(self.data) >= KEEP_BYTES and not self.ended:
                        self.changed.wait()
        except RpcError as exc:
            self.error = exc
        with self.lock:
            self.ended = True
            self.changed.notify_all()

    def on_fork(self) -> None:
        """This is a child: the port is its parent's, and so is what comes in."""
        self._make_lock()
        self.data, self.ended, self.error = bytearray(), True, parent_error("the serial port")

    def end(self) -> None:
        """Want no more."""
        with self.lock:
            self.ended = True
            self.changed.notify_all()
        self.stream.close()

    def here(self) -> int:
        """How many bytes there are.

        Raises:
            RpcError: there are none, and none will come: the port was unplugged.
        """
        with self.lock:
            if not self.data and self.error is not None:
                raise self.error
            return len(self.data)
