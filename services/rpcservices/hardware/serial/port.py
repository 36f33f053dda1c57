"""One open serial port: collects its input, and writes its output.

pyserial opens and sets up the port; the event loop reads and writes on the port's descriptor.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import termios
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from rpcservices.hardware.errors import SerialPortBusy, SerialPortGone, SerialTimeout
from rpcservices.hardware.models import SerialData, SerialLines, SerialSettings
from rpcservices.hardware.sampling.worker import Worker

from .system import UNPLUGGED_ERRORS, give_up_draining, hung_up, refused_settings, without_lines

READ_BYTES = 65_536
"""The most bytes in one item of a stream."""


class OpenPort:
    """A port that is open for one client.

    Parameters:
        id: the client's name for it.
        node: its file.
        port: pyserial's object of the open port.
        settings: its settings.
        buffer_bytes: how much input to keep for a slow reader. When the buffer is full, the port is not read, and its
            own flow control must hold the other side back.
        write_timeout_s: how long a write may go on without progress, in seconds.
    """

    def __init__(
        self, id: str, node: str, port: Any, settings: SerialSettings, buffer_bytes: int, write_timeout_s: float
    ) -> None:
        self.id = id
        self.node = node
        self.settings = settings
        self.closed = False
        self._port = port
        self._fd: int = port.fileno()
        self._buffer_bytes = buffer_bytes
        self._write_timeout_s = write_timeout_s
        self._worker = Worker("rpc-hardware-serial")
        self._loop = asyncio.get_running_loop()
        self._input: deque[bytes] = deque()
        self._waiting = 0
        self._resets = 0
        self._has_input = asyncio.Event()
        self._is_reading = False
        self._has_reader = False
        self._error: SerialPortGone | None = None
        self._writing = asyncio.Lock()
        self._ready = asyncio.Event()
        self._is_draining = False
        self._begin_reading()

    # --- input ------------------------------------------------------------------------------------------------------

    def _begin_reading(self) -> None:
        if not self._is_reading and not self.closed and self._error is None:
            self._is_reading = True
            self._loop.add_reader(self._fd, self._readable)

    def _end_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._lose(exc)
            return
        if not data:
            # Ready but empty: the other end has hung up, or a reset has just thrown the input away.
            if hung_up(self._fd):
                self._lose(None)
            return
        self._input.append(data)
        self._waiting += len(data)
        self._has_input.set()
        if self._waiting >= self._buffer_bytes:
            self._end_reading()

    def _lose(self, exc: OSError | None) -> None:
        why = "it was unplugged, or the other end hung up"
        if exc is not None and exc.errno not in UNPLUGGED_ERRORS:
            why = exc.strerror or "it failed"
        self._error = SerialPortGone(f"{self.node} is gone: {why}", port=self.node)
        self._end_reading()
        self._has_input.set()
        self._ready.set()

    async def read(self) -> AsyncIterator[SerialData]:
        """Yield the input since the port was opened.

        Raises:
            SerialPortBusy: another stream reads it already.
            SerialPortGone: it was unplugged. Everything that came before is given first.
        """
        if self._has_reader:
            raise SerialPortBusy(
                f"{self.node}: it is being read already: each byte can go to one reader", port=self.node
            )
        self._has_reader = True
        try:
            while True:
                while not self._input:
                    if self._error is not None:
                        raise self._error
                    if self.closed:
                        return
                    self._has_input.clear()
                    await self._has_input.wait()
                yield SerialData(data=self._take(), resets=self._resets)
        finally:
            self._has_reader = False

    def _take(self) -> bytes:
        """Take the input so far as one piece, of a limited size."""
        pieces = [self._input.popleft()]
        size = len(pieces[0])
        while self._input and size + len(self._input[0]) <= READ_BYTES:
            pieces.append(self._input.popleft())
            size += len(pieces[-1])
        self._waiting -= size
        if self._waiting < self._buffer_bytes:
            self._begin_reading()
        return b"".join(pieces)

    # --- output -----------------------------------------------------------------------------------------------------

    async def write(self, data: bytes, timeout_s: float | None = None) -> int:
        """Hand bytes to the system, one writer after another. Returns how many.

        Parameters:
            data: the bytes.
            timeout_s: how long the write may go on without progress, in seconds; if ``None``, the value given when the
                port was opened. With 0, bytes that the system does not take at once are not written.

        Raises:
            SerialTimeout: there was no progress for too long; it says how many bytes were written.
            SerialPortGone: it was unplugged.
        """
        limit_s = self._write_timeout_s if timeout_s is None else timeout_s
        async with self._writing:
            rest = memoryview(data)
            while rest:
                self.check()
                try:
                    count = os.write(self._fd, rest)
                except (BlockingIOError, InterruptedError):
                    count = 0
                except OSError as exc:
                    self._lose(exc)
                    continue
                rest = rest[count:]
                if not limit_s:
                    break
                if rest and not await self._writable(limit_s):
                    total = len(data) - len(rest)
                    raise SerialTimeout(
                        f"{self.node}: nothing was taken for {limit_s:g} s; is the other side held back "
                        "by flow control?",
                        port=self.node,
                        written=total,
                    )
            return len(data) - len(rest)

    async def _writable(self, limit_s: float) -> bool:
        """Wait until the system takes more bytes, or the port is gone."""
        ready = self._ready
        ready.clear()
        self._loop.add_writer(self._fd, ready.set)
        try:
            await asyncio.wait_for(ready.wait(), limit_s)
        except TimeoutError:
            return False
        finally:
            if not self.closed:
                self._loop.remove_writer(self._fd)
        return True

    async def drain(self) -> None:
        """Wait until the system has sent everything (tcdrain(3)).

        Raises:
            SerialPortGone: it was unplugged.
        """

        def drain() -> None:
            self._is_draining = True
            try:
                termios.tcdrain(self._fd)
            finally:
                self._is_draining = False

        await self._act(drain)

    # --- lines and settings -------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise if the port is gone.

        Raises:
            SerialPortGone: it is gone.
        """
        if self._error is not None:
            raise self._error
        if self.closed:
            raise SerialPortGone(f"{self.node} is closed", port=self.node)

    async def _act(self, action: Callable[[], Any]) -> Any:
        """Run a function that may block, in the port's own thread.

        Raises:
            SerialPortGone: it was unplugged.
        """
        self.check()
        try:
            return await self._worker.run(action)
        except (OSError, termios.error) as exc:
            number = exc.args[0] if exc.args else None
            if number in UNPLUGGED_ERRORS:
                self._lose(None)
                self.check()
            raise

    async def configure(self, settings: SerialSettings) -> None:
        """Change the settings of the port.

        Raises:
            ValueError: the driver refuses a setting.
            SerialPortGone: it was unplugged.
        """
        before = self.settings.model_dump()

        def change() -> None:
            try:
                with refused_settings():
                    self._port.apply_settings(settings.model_dump())
            except ValueError:
                # pyserial has kept the refused settings, and would set them again with the next ones. So restore the
                # old ones: it sets them one by one, and after the last one all are as they were.
                for name, value in before.items():
                    with contextlib.suppress(ValueError, termios.error):
                        self._port.apply_settings({name: value})
                raise

        await self._act(change)
        self.settings = settings

    async def lines(self) -> SerialLines:
        """Read the control lines, and how many bytes wait."""

        def read(name: str) -> bool | None:
            # Pseudo-terminals have no lines.
            with contextlib.suppress(OSError, termios.error):
                return bool(getattr(self._port, name))
            return None

        def read_all() -> SerialLines:
            incoming = {name: read(name) for name in ("cts", "dsr", "ri", "cd")}
            has_lines = incoming["cts"] is not None
            out_waiting = 0
            with contextlib.suppress(OSError, termios.error):
                out_waiting = int(self._port.out_waiting)
            return SerialLines(
                dtr=bool(self._port.dtr) if has_lines else None,
                rts=bool(self._port.rts) if has_lines else None,
                **incoming,
                break_condition=bool(self._port.break_condition),
                in_waiting=self._waiting,
                out_waiting=out_waiting,
                resets=self._resets,
            )

        lines: SerialLines = await self._act(read_all)
        return lines

    async def set_lines(self, *, dtr: bool | None, rts: bool | None, break_condition: bool | None) -> None:
        """Set control lines; ``None`` leaves one as it is. On a port without lines this does nothing, as in pyserial.

        Raises:
            SerialPortGone: it was unplugged.
        """

        def change() -> None:
            for name, value in (("dtr", dtr), ("rts", rts), ("break_condition", break_condition)):
                if value is not None:
                    with without_lines():
                        setattr(self._port, name, value)

        await self._act(change)

    async def send_break(self, duration_s: float) -> None:
        """Hold the line at break for a while.

        Raises:
            SerialPortGone: it was unplugged.
        """
        await self.set_lines(dtr=None, rts=None, break_condition=True)
        try:
            await asyncio.sleep(duration_s)
        finally:
            await self.set_lines(dtr=None, rts=None, break_condition=False)

    async def reset(self, *, input: bool, output: bool) -> int:
        """Throw away the input so far, or the output that was not sent yet. Returns how often input was thrown away.

        Raises:
            SerialPortGone: it was unplugged.
        """
        queue = {(True, True): termios.TCIOFLUSH, (True, False): termios.TCIFLUSH, (False, True): termios.TCOFLUSH}
        which = queue.get((input, output))
        if which is not None:
            await self._act(lambda: termios.tcflush(self._fd, which))
        if input:
            self._input.clear()
            self._waiting = 0
            self._resets += 1
            self._begin_reading()
        return self._resets

    def close(self) -> None:
        """Close the port."""
        if self.closed:
            return
        self.closed = True
        self._end_reading()
        self._loop.remove_writer(self._fd)
        self._has_input.set()
        self._ready.set()
        port, fd = self._port, self._fd

        def close() -> None:
            # Closing waits until the system has sent the output (30 seconds at most if the other side holds it back),
            # so it runs in the port's own thread.
            with contextlib.suppress(OSError):
                fcntl.ioctl(fd, termios.TIOCNXCL)
            with contextlib.suppress(OSError):
                port.close()

        if self._is_draining:
            # The drain in the port's thread may never return if the other side holds the output back. Use a descriptor
            # of our own: the port's is closed as soon as the drain ends.
            own = os.dup(fd)
            threading.Thread(target=give_up_draining, args=(own,), name="rpc-hardware-serial", daemon=True).start()
        self.closing = self._worker.run(close)
        self._worker.close()
