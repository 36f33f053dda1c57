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
        self._opened = False
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
        if self._opened:
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
        self._opened = True

    @property
    def name(self) -> str:
        """The port's file on the server."""
        return self.port

    @property
    def is_open(self) -> bool:
        """Whether it was not closed. (An unplugged port is open still: reading it fails.)"""
        return self._opened

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return not getattr(self, "_opened", False)  # It may have failed to open.

    def close(self) -> None:
        """Let go of the port; others can open it then. A write under way in another thread fails."""
        if self.closed:
            return
        self._opened = False
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
        """Bytes that have come in and can be read at once.

        Raises:
            SerialPortGone: it was unplugged, and everything that came before has been read.
        """
        self._there()
        return self._input.here()

    def read(self, size: int | None = 1) -> bytes:
        """Read bytes.

        Parameters:
            size: how many; all until the port is closed where ``None`` or negative.

        Returns:
            Fewer where :attr:`timeout` has passed, or :meth:`cancel_read` was called.

        Raises:
            SerialPortGone: it was unplugged, and everything that came before has been read.
        """
        return self._take(None if size is None or size < 0 else size, None)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; returns how many bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read_until(self, expected: bytes = b"\n", size: int | None = None) -> bytes:
        """Read up to and with some bytes.

        Parameters:
            expected: which.
            size: the most to read.
        """
        return self._take(size, bytes(expected))

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read up to and with the next line break."""
        return self._take(None if size is None or size < 0 else size, b"\n")

    def read_all(self) -> bytes:
        """Read what has come in already."""
        return self.read(self.in_waiting)

    def _take(self, size: int | None, until: bytes | None) -> bytes:
        self._there()
        held = self._input
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        with held.lock:
            searched = 0
            while True:
                end = self._enough(size, until, searched)
                if end is not None or held.ended:
                    break
                if held.cancelled:
                    held.cancelled = False
                    break
                searched = max(len(held.data) - len(until or b""), 0)
                left = self._left(deadline)
                if left is not None and left <= 0:
                    break
                if len(held.data) >= KEEP_BYTES:
                    break  # More than is kept at once: give what there is.
                check_interpreter()
                held.changed.wait(INTERRUPT_S if left is None else min(left, INTERRUPT_S))
            if end is None:
                end = len(held.data) if size is None else min(size, len(held.data))
                if end == 0 and held.error is not None and size != 0:
                    raise held.error
            found = bytes(held.data[:end])
            del held.data[:end]
            held.changed.notify_all()
            return found

    def _left(self, deadline: float | None) -> float | None:
        """How long a read may still wait, in seconds."""
        now = time.monotonic()
        left = None if deadline is None else deadline - now
        if self.inter_byte_timeout is None or not self._input.data:
            return left
        gap = self._input.arrived + self.inter_byte_timeout - now
        return gap if left is None else min(left, gap)

    def _enough(self, size: int | None, until: bytes | None, searched: int) -> int | None:
        """How many bytes make the read complete; ``None`` where more have to come."""
        data = self._input.data
        if until is not None and (at := data.find(until, searched)) >= 0:
            end = at + len(until)
            return end if size is None else min(end, size)
        return size if size is not None and len(data) >= size else None

    def cancel_read(self) -> None:
        """Have a read in another thread return what it has; where none waits, the next one that would: as with
        pyserial, it is not lost if that thread has not come to it yet."""
        with self._input.lock:
            self._input.cancelled = True
            self._input.changed.notify_all()

    def reset_input_buffer(self) -> None:
        """Throw away what has come in, here and on the server."""
        self._there()
        resets = self._hardware.reset_serial(self._session.id)
        with self._input.lock:
            self._input.resets = resets
            self._input.data.clear()
            self._input.changed.notify_all()

    # --- output -------------------------------------------------------------------------------------------------

    def write(self, data: Any, /) -> int:
        """Write bytes.

        Parameters:
            data: bytes of any kind, or a sequence of numbers.

        Returns:
            How many, when the server's system has taken them. Fewer where :meth:`cancel_write` was called, or
            :attr:`write_timeout` is 0.

        Raises:
            SerialTimeout: nothing was taken for :attr:`write_timeout`.
            SerialPortGone: it was unplugged, or closed meanwhile.
        """
        self._there()
        whole, done = to_bytes(data), 0
        patience = Patience(self.write_timeout, time.monotonic())
        while done < len(whole):
            piece = whole[done : done + WRITE_BYTES]
            step_s = patience.step_s(time.monotonic())
            try:
                written = self._hardware.write_serial(self._session.id, piece, timeout_s=step_s)
            except SerialTimeout as exc:
                written = exc.written
            done += written
            if written < len(piece):
                if not step_s:
                    break
                if patience.is_over(written, time.monotonic()):
                    raise write_timeout_error(self.port, self.write_timeout, done)
            if done < len(whole) and self._write_cancelled:
                self._write_cancelled = False
                break
        return done

    def cancel_write(self) -> None:
        """Have a write in another thread return how much it has written; where none waits, the next one that does."""
        self._write_cancelled = True

    def writelines(self, lines: Iterable[Any], /) -> None:
        """Write several pieces."""
        self.write(b"".join(lines))

    def flush(self) -> None:
        """Wait until everything that was written has been sent."""
        # io calls this when it closes.
        if not self.closed and not self._input.ended:
            self._hardware.drain_serial(self._session.id)

    @property
    def out_waiting(self) -> int:
        """Bytes that the server's system still has to send."""
        return self._lines().out_waiting

    def reset_output_buffer(self) -> None:
        """Throw away what was not sent yet."""
        self._there()
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
