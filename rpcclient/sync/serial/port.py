"""A serial port of the server, as a file-like object that behaves like pyserial's."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rpcclient.serial_settings import KEEP_BYTES, WRITE_BYTES, Patience, SerialOptions, to_bytes, write_timeout_error
from rpcclient.stubs.hardware import SerialTimeout
from rpcwire.errors import RpcError
from rpcwire.forking import home
from rpcwire.threads.interrupts import INTERRUPT_S, check_interpreter

from .input import SerialInput
from .names import OldNames
from .setup import SerialSetup

if TYPE_CHECKING:
    from rpcclient.sync.stubs.hardware import Hardware


class RemoteSerial(OldNames, SerialSetup):
    r"""A serial port of the server, open for this client alone. Methods and attributes are those of ``serial.Serial``
    of pyserial; times are in seconds. Several threads may use it.

    ::

        with client.hardware.serial("/dev/ttyUSB0", 115200, timeout=1) as port:
            port.write(b"AT\r\n")
            print(port.readline())

    Parameters:
        hardware: the service.
        port: the port's id, file or name on the server.
        options: how it is set up.
        url: where the server is.

    Raises:
        HardwareRefused, SectionUnavailable, SerialPortNotFound, SerialPortBusy, SerialPortDenied: as of
            ``open_serial``.
    """

    def __init__(self, hardware: Hardware, port: str, options: SerialOptions, url: str) -> None:
        super().__init__()
        self._hardware = hardware
        self._url = url
        self._options = options
        self._is_opened = False
        self._write_cancelled = False
        self.port = port
        self.timeout = options.timeout
        self.write_timeout = options.write_timeout
        self.inter_byte_timeout = options.inter_byte_timeout
        self.open()

    # --- its life -----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the port, again after :meth:`close`, as it was set up then.

        Raises:
            ValueError: it is open.
            HardwareRefused, SectionUnavailable, SerialPortNotFound, SerialPortBusy, SerialPortDenied: as of
                ``open_serial``.
        """
        if self._is_opened:
            raise ValueError("the serial port is open already")
        self._session = self._hardware.open_serial(self.port, **self._options.open_params())
        try:
            stream = self._hardware.read_serial(self._session.id).open()
        except BaseException:
            self._hardware.close_serial(self._session.id)
            raise
        self._input = SerialInput(stream)
        self._home = home()
        self.port = self._session.port
        self._is_opened = True

    @property
    def name(self) -> str:
        """The port's file on the server."""
        return self.port

    @property
    def is_open(self) -> bool:
        """Whether it was not closed. (An unplugged port is open still: reading it fails.)"""
        return self._is_opened

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return not getattr(self, "_is_opened", False)  # It may have failed to open.

    def close(self) -> None:
        """Close the port. Others can open it then. A write under way in another thread fails."""
        if self.closed:
            return
        self._is_opened = False
        self._input.end()
        if self._home is not home():
            return  # The port is the parent's.
        try:
            self._hardware.close_serial(self._session.id)
        except RpcError:
            pass  # The connection is gone, and with it the server has closed the port.

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def writable(self) -> bool:
        """Whether it can be written."""
        return True

    # --- input --------------------------------------------------------------------------------------------------

    @property
    def in_waiting(self) -> int:
        """The number of bytes that have arrived and can be read at once.

        Raises:
            SerialPortGone: it was unplugged, and everything that came before has been read.
        """
        self._check_open()
        return self._input.count()

    def read(self, size: int | None = 1) -> bytes:
        """Read bytes.

        Parameters:
            size: how many; all until the port is closed where ``None`` or negative.

        Returns:
            The bytes; fewer if :attr:`timeout` has passed, or :meth:`cancel_read` was called.

        Raises:
            SerialPortGone: it was unplugged, and everything that came before has been read.
        """
        return self._read_until(None if size is None or size < 0 else size, None)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; returns how many bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read_until(self, expected: bytes = b"\n", size: int | None = None) -> bytes:
        """Read up to some bytes, and these bytes.

        Parameters:
            expected: which.
            size: the most to read.
        """
        return self._read_until(size, bytes(expected))

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read up to the next line break, and the line break."""
        return self._read_until(None if size is None or size < 0 else size, b"\n")

    def read_all(self) -> bytes:
        """Read what has arrived already."""
        return self.read(self.in_waiting)

    def _read_until(self, size: int | None, until: bytes | None) -> bytes:
        self._check_open()
        buffer = self._input
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        with buffer.lock:
            searched_bytes = 0
            while True:
                end = self._find_end(size, until, searched_bytes)
                if end is not None or buffer.has_ended:
                    break
                if buffer.is_cancelled:
                    buffer.is_cancelled = False
                    break
                searched_bytes = max(len(buffer.data) - len(until or b""), 0)
                left_s = self._left_s(deadline)
                if left_s is not None and left_s <= 0:
                    break
                if len(buffer.data) >= KEEP_BYTES:
                    break  # No more input is kept at once: return this.
                check_interpreter()
                buffer.change.wait(INTERRUPT_S if left_s is None else min(left_s, INTERRUPT_S))
            if end is None:
                end = len(buffer.data) if size is None else min(size, len(buffer.data))
                if end == 0 and buffer.error is not None and size != 0:
                    raise buffer.error
            data = bytes(buffer.data[:end])
            del buffer.data[:end]
            buffer.change.notify_all()
            return data

    def _left_s(self, deadline: float | None) -> float | None:
        """Return how long a read may still wait, in seconds."""
        now = time.monotonic()
        left_s = None if deadline is None else deadline - now
        if self.inter_byte_timeout is None or not self._input.data:
            return left_s
        gap_s = self._input.arrived_s + self.inter_byte_timeout - now
        return gap_s if left_s is None else min(left_s, gap_s)

    def _find_end(self, size: int | None, until: bytes | None, searched_bytes: int) -> int | None:
        """Return how many bytes complete the read; ``None`` if more have to come."""
        data = self._input.data
        if until is not None and (at := data.find(until, searched_bytes)) >= 0:
            end = at + len(until)
            return end if size is None else min(end, size)
        return size if size is not None and len(data) >= size else None

    def cancel_read(self) -> None:
        """Make a read in another thread return what it has. If no read waits, this holds for the next one that would
        wait: as with pyserial, the other thread may not have reached it yet."""
        with self._input.lock:
            self._input.is_cancelled = True
            self._input.change.notify_all()

    def reset_input_buffer(self) -> None:
        """Drop the input that has arrived, here and on the server."""
        self._check_open()
        resets = self._hardware.reset_serial(self._session.id)
        with self._input.lock:
            self._input.resets = resets
            self._input.data.clear()
            self._input.change.notify_all()

    # --- output -------------------------------------------------------------------------------------------------

    def write(self, data: Any, /) -> int:
        """Write bytes.

        Parameters:
            data: bytes of any kind, or a sequence of numbers.

        Returns:
            How many bytes were written. The server's system has accepted them. Fewer if :meth:`cancel_write` was
            called, or :attr:`write_timeout` is 0.

        Raises:
            SerialTimeout: the other side accepted nothing for :attr:`write_timeout`.
            SerialPortGone: it was unplugged, or closed meanwhile.
        """
        self._check_open()
        whole, written_bytes = to_bytes(data), 0
        patience = Patience(self.write_timeout, time.monotonic())
        while written_bytes < len(whole):
            piece = whole[written_bytes : written_bytes + WRITE_BYTES]
            step_s = patience.step_s(time.monotonic())
            try:
                count = self._hardware.write_serial(self._session.id, piece, timeout_s=step_s)
            except SerialTimeout as exc:
                count = exc.written
            written_bytes += count
            if count < len(piece):
                if not step_s:
                    break
                if patience.is_over(count, time.monotonic()):
                    raise write_timeout_error(self.port, self.write_timeout, written_bytes)
            if written_bytes < len(whole) and self._write_cancelled:
                self._write_cancelled = False
                break
        return written_bytes

    def cancel_write(self) -> None:
        """Make a write in another thread return how much it has written. If none waits, this holds for the next one."""
        self._write_cancelled = True

    def writelines(self, lines: Iterable[Any], /) -> None:
        """Write several pieces."""
        self.write(b"".join(lines))

    def flush(self) -> None:
        """Wait until everything that was written has been sent."""
        # io calls this when it closes.
        if not self.closed and not self._input.has_ended:
            self._hardware.drain_serial(self._session.id)

    @property
    def out_waiting(self) -> int:
        """Bytes that the server's system still has to send."""
        return self._lines().out_waiting

    def reset_output_buffer(self) -> None:
        """Drop the output that was not sent yet."""
        self._check_open()
        self._hardware.reset_serial(self._session.id, input=False, output=True)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def __repr__(self) -> str:
        return f"<serial port {self.port!r} of {self._url}{' (closed)' if self.closed else ''}>"


def open_port(hardware: Hardware, port: str, options: SerialOptions, url: str) -> RemoteSerial:
    """Open a port; see :class:`RemoteSerial`. The asynchronous client has a function of the same name."""
    return RemoteSerial(hardware, port, options, url)
