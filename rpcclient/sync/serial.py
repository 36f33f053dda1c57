"""A serial port of the server, as a file-like object that behaves like pyserial's."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rpcclient.serial_settings import KEEP_BYTES, WRITE_BYTES, SerialOptions
from rpcwire.errors import RpcError

from .stream import Stream

if TYPE_CHECKING:
    from rpcclient.stubs.hardware import Hardware, SerialData, SerialLines


class _Input:
    """What has come in. A thread of its own fills it, and holds no more than this: the port itself can be garbage."""

    def __init__(self, stream: Stream[SerialData]) -> None:
        self.stream = stream
        self.data = bytearray()
        self.changed = threading.Condition()
        self.error: RpcError | None = None
        self.ended = False
        self.cancelled = False
        self.resets = 0
        threading.Thread(target=self._fill, name="rpc-serial", daemon=True).start()

    def _fill(self) -> None:
        try:
            for item in self.stream:
                with self.changed:
                    if item.resets >= self.resets:
                        self.data += item.data
                        self.changed.notify_all()
                    # Nothing is taken from the stream meanwhile, so that the server is told to wait.
                    while len(self.data) >= KEEP_BYTES and not self.ended:
                        self.changed.wait()
        except RpcError as exc:
            self.error = exc
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def end(self) -> None:
        """Want no more."""
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        self.stream.close()


class RemoteSerial(io.RawIOBase):
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

    Raises:
        SerialPortNotFound, SerialPortBusy, SerialPortDenied, SectionUnavailable: as of ``open_serial``.
    """

    def __init__(self, hardware: Hardware, port: str, options: SerialOptions) -> None:
        super().__init__()
        self._hardware = hardware
        self._options = options
        self._rts = self._dtr = True
        self._break = False
        self._session = hardware.open_serial(port, **options.opening())
        try:
            stream = hardware.read_serial(self._session.id).open()
        except BaseException:
            hardware.close_serial(self._session.id)
            raise
        self._input = _Input(stream)
        self.port = self._session.port
        self.timeout = options.timeout

    # --- its life -----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The port's file on the server."""
        return self.port

    @property
    def is_open(self) -> bool:
        """Whether it was not closed. (An unplugged port is open still: reading it fails.)"""
        return not self.closed

    def close(self) -> None:
        """Let go of the port; others can open it then."""
        if self.closed:
            return
        super().close()
        # It may have failed to open.
        if (held := getattr(self, "_input", None)) is not None:
            held.end()
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

    def _there(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on a closed serial port")

    # --- input --------------------------------------------------------------------------------------------------

    @property
    def in_waiting(self) -> int:
        """Bytes that have come in and can be read at once."""
        self._there()
        return len(self._input.data)

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
        with held.changed:
            held.cancelled = False
            searched = 0
            while True:
                end = self._enough(size, until, searched)
                if end is not None or held.ended or held.cancelled:
                    break
                searched = max(len(held.data) - len(until or b""), 0)
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                if len(held.data) >= KEEP_BYTES:
                    break  # More than is kept at once: give what there is.
                held.changed.wait(left)
            if end is None:
                end = len(held.data) if size is None else min(size, len(held.data))
                if end == 0 and held.error is not None and size != 0:
                    raise held.error
            found = bytes(held.data[:end])
            del held.data[:end]
            held.changed.notify_all()
            return found

    def _enough(self, size: int | None, until: bytes | None, searched: int) -> int | None:
        """How many bytes make the read complete; ``None`` where more have to come."""
        data = self._input.data
        if until is not None and (at := data.find(until, searched)) >= 0:
            end = at + len(until)
            return end if size is None else min(end, size)
        return size if size is not None and len(data) >= size else None

    def cancel_read(self) -> None:
        """Have a read in another thread return what it has."""
        with self._input.changed:
            self._input.cancelled = True
            self._input.changed.notify_all()

    def reset_input_buffer(self) -> None:
        """Throw away what has come in, here and on the server."""
        self._there()
        resets = self._hardware.reset_serial(self._session.id)
        with self._input.changed:
            self._input.resets = resets
            self._input.data.clear()
            self._input.changed.notify_all()

    # --- output -------------------------------------------------------------------------------------------------

    def write(self, data: Any, /) -> int:
        """Write bytes; returns how many, when the server's system has taken them.

        Raises:
            SerialTimeout: nothing was taken for ``write_timeout``.
            SerialPortGone: it was unplugged.
        """
        self._there()
        view = memoryview(data).cast("B")
        for start in range(0, len(view), WRITE_BYTES):
            self._hardware.write_serial(self._session.id, bytes(view[start : start + WRITE_BYTES]))
        return len(view)

    def writelines(self, lines: Iterable[Any], /) -> None:
        """Write several pieces."""
        self.write(b"".join(lines))

    def flush(self) -> None:
        """Wait until everything that was written has been sent."""
        # io calls this when it closes, also where opening has failed.
        if not self.closed and hasattr(self, "_input") and not self._input.ended:
            self._hardware.drain_serial(self._session.id)

    @property
    def out_waiting(self) -> int:
        """Bytes that the server's system still has to send."""
        return self._lines().out_waiting

    def reset_output_buffer(self) -> None:
        """Throw away what was not sent yet."""
        self._there()
        self._hardware.reset_serial(self._session.id, input=False, output=True)

    # --- settings and lines -------------------------------------------------------------------------------------

    def apply_settings(self, settings: dict[str, Any]) -> None:
        """Set the port up anew.

        Parameters:
            settings: ``baudrate``, ``bytesize``, ``parity``, ``stopbits``, ``xonxoff``, ``rtscts``, ``dsrdtr``,
                ``timeout``; what is left out stays.
        """
        self._there()
        options = self._options.changed(settings)
        self._hardware.configure_serial(self._session.id, options.settings())
        self._options = options
        self.timeout = settings.get("timeout", self.timeout)

    def get_settings(self) -> dict[str, Any]:
        """How the port is set up."""
        return self._options.wire() | {"timeout": self.timeout, "write_timeout": self._options.write_timeout}

    @property
    def baudrate(self) -> int:
        """Bits per second. Setting it sets the port up anew."""
        return self._options.baudrate

    @baudrate.setter
    def baudrate(self, value: int) -> None:
        self.apply_settings({"baudrate": value})

    @property
    def bytesize(self) -> int:
        """Data bits. Setting it sets the port up anew."""
        return self._options.bytesize

    @bytesize.setter
    def bytesize(self, value: int) -> None:
        self.apply_settings({"bytesize": value})

    @property
    def parity(self) -> str:
        """None, even, odd, mark or space, by its first letter. Setting it sets the port up anew."""
        return self._options.parity

    @parity.setter
    def parity(self, value: str) -> None:
        self.apply_settings({"parity": value})

    @property
    def stopbits(self) -> float:
        """Stop bits: 1, 1.5 or 2. Setting it sets the port up anew."""
        return self._options.stopbits

    @stopbits.setter
    def stopbits(self, value: float) -> None:
        self.apply_settings({"stopbits": value})

    @property
    def xonxoff(self) -> bool:
        """Flow control by characters. Setting it sets the port up anew."""
        return self._options.xonxoff

    @xonxoff.setter
    def xonxoff(self, value: bool) -> None:
        self.apply_settings({"xonxoff": value})

    @property
    def rtscts(self) -> bool:
        """Flow control by the lines RTS and CTS. Setting it sets the port up anew."""
        return self._options.rtscts

    @rtscts.setter
    def rtscts(self, value: bool) -> None:
        self.apply_settings({"rtscts": value})

    @property
    def dsrdtr(self) -> bool:
        """Flow control by the lines DSR and DTR. Setting it sets the port up anew."""
        return self._options.dsrdtr

    @dsrdtr.setter
    def dsrdtr(self, value: bool) -> None:
        self.apply_settings({"dsrdtr": value})

    def _lines(self) -> SerialLines:
        self._there()
        return self._hardware.serial_lines(self._session.id)

    @property
    def cts(self) -> bool:
        """In: clear to send."""
        return bool(self._lines().cts)

    @property
    def dsr(self) -> bool:
        """In: data set ready."""
        return bool(self._lines().dsr)

    @property
    def ri(self) -> bool:
        """In: ring indicator."""
        return bool(self._lines().ri)

    @property
    def cd(self) -> bool:
        """In: carrier detect."""
        return bool(self._lines().cd)

    @property
    def rts(self) -> bool:
        """Out: request to send."""
        return self._rts

    @rts.setter
    def rts(self, value: bool) -> None:
        self._there()
        self._hardware.set_serial_lines(self._session.id, rts=bool(value))
        self._rts = bool(value)

    @property
    def dtr(self) -> bool:
        """Out: data terminal ready."""
        return self._dtr

    @dtr.setter
    def dtr(self, value: bool) -> None:
        self._there()
        self._hardware.set_serial_lines(self._session.id, dtr=bool(value))
        self._dtr = bool(value)

    @property
    def break_condition(self) -> bool:
        """Out: hold the line at break."""
        return self._break

    @break_condition.setter
    def break_condition(self, value: bool) -> None:
        self._there()
        self._hardware.set_serial_lines(self._session.id, break_condition=bool(value))
        self._break = bool(value)

    def send_break(self, duration: float = 0.25) -> None:
        """Hold the line at break for a while, in seconds."""
        self._there()
        self._hardware.send_break(self._session.id, duration)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def __repr__(self) -> str:
        return f"<serial port {self.port!r} of {self._hardware._client.url}{' (closed)' if self.closed else ''}>"
