"""A serial port of the server, with asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rpcclient.serial_settings import (
    FOREVER_S,
    KEEP_BYTES,
    WRITE_BYTES,
    SerialOptions,
    TimeLimits,
    to_bytes,
    write_timeout_error,
)
from rpcclient.stubs.hardware import SerialTimeout
from rpcwire.aio.cancelling import gives_way
from rpcwire.errors import RpcError

from .life import Life, running_loop

if TYPE_CHECKING:
    from rpcclient.stubs.hardware import SerialLines, SerialSession

    from .stream import AsyncStream
    from .stubs.hardware import AsyncHardware


class AsyncRemoteSerial(TimeLimits):
    r"""A serial port of the server, open for this client alone. The methods have the names of ``serial.Serial`` of
    pyserial, and are awaited; times are in seconds.

    ::

        async with await client.hardware.serial("/dev/ttyUSB0", 115200, timeout=1) as port:
            await port.write(b"AT\r\n")
            print(await port.readline())

    Attributes:
        port: its file on the server.
        closed: whether it was closed.
    """

    def __init__(
        self,
        hardware: AsyncHardware,
        session: SerialSession,
        stream: AsyncStream[Any],
        options: SerialOptions,
        url: str,
    ) -> None:
        self._hardware = hardware
        self._url = url
        self._session = session
        self._stream = stream
        self._options = options
        self._data = bytearray()
        self._change = asyncio.Condition()
        self._error: RpcError | None = None
        self._has_ended = False
        self._resets = 0
        self._life = Life(running_loop())
        self._task = self._life.loop.create_task(self._fill())
        self.port = session.port
        self.timeout = options.timeout
        self.write_timeout = options.write_timeout
        self.inter_byte_timeout = options.inter_byte_timeout
        self.closed = False

    @classmethod
    async def open(cls, hardware: AsyncHardware, port: str, options: SerialOptions, url: str) -> Self:
        """Open a port.

        Raises:
            HardwareRefused, SectionUnavailable, SerialPortNotFound, SerialPortBusy, SerialPortDenied: as of
                ``open_serial``.
        """
        session = await hardware.open_serial(port, **options.open_params())
        try:
            stream = await hardware.read_serial(session.id).open()
        except BaseException:
            await hardware.close_serial(session.id)
            raise
        return cls(hardware, session, stream, options, url)

    async def _fill(self) -> None:
        try:
            async for item in self._stream:
                async with self._change:
                    if item.resets >= self._resets:
                        self._data += item.data
                        self._change.notify_all()
                    # Meanwhile nothing is read from the stream, so that the server has to wait.
                    await self._change.wait_for(lambda: len(self._data) < KEEP_BYTES)
        except RpcError as exc:
            self._error = exc
        self._has_ended = True
        async with self._change:
            self._change.notify_all()

    @property
    def in_waiting(self) -> int:
        """The number of bytes that have arrived and can be read at once.

        Raises:
            SerialPortGone: it was unplugged, and everything that came before has been read.
        """
        self._check_open(in_loop=False)
        if not self._data and self._error is not None:
            raise self._error
        return len(self._data)

    async def read(self, size: int | None = 1) -> bytes:
        """Read bytes; fewer where the timeout has passed.

        Parameters:
            size: how many; all until the port is closed where ``None`` or negative.

        Raises:
            SerialPortGone: it was unplugged, and everything that came before has been read.
        """
        return await self._read_until(None if size is None or size < 0 else size, None)

    async def read_until(self, expected: bytes = b"\n", size: int | None = None) -> bytes:
        """Read up to some bytes, and these bytes, or ``size`` of them."""
        return await self._read_until(size, expected)

    async def readline(self) -> bytes:
        """Read up to the next line break, and the line break."""
        return await self._read_until(None, b"\n")

    @gives_way
    async def read_all(self) -> bytes:
        """Read what has arrived already."""
        return await self.read(self.in_waiting)

    @gives_way
    async def _read_until(self, size: int | None, until: bytes | None) -> bytes:
        self._check_open()

        def enough() -> bool:
            return self._find_end(size, until) is not None or self._has_ended or len(self._data) >= KEEP_BYTES

        async with self._change:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.timeout):
                    while not enough():
                        # The next byte may be awaited for a shorter time than the first.
                        gap = self.inter_byte_timeout if self._data else None
                        async with asyncio.timeout(gap):
                            await self._change.wait()
            end = self._find_end(size, until)
            if end is None:
                end = len(self._data) if size is None else min(size, len(self._data))
                if end == 0 and self._error is not None and size != 0:
                    raise self._error
            data = bytes(self._data[:end])
            del self._data[:end]
            self._change.notify_all()
            return data

    def _find_end(self, size: int | None, until: bytes | None) -> int | None:
        if until is not None and (at := self._data.find(until)) >= 0:
            return at + len(until) if size is None else min(at + len(until), size)
        return size if size is not None and len(self._data) >= size else None

    @gives_way
    async def reset_input_buffer(self) -> None:
        """Drop the input that has arrived, here and on the server."""
        self._check_open()
        self._resets = await self._hardware.reset_serial(self._session.id)
        async with self._change:
            self._data.clear()
            self._change.notify_all()

    @gives_way
    async def write(self, data: bytes | bytearray | memoryview | Iterable[int]) -> int:
        """Write bytes.

        Parameters:
            data: bytes of any kind, or a sequence of numbers.

        Returns:
            How many bytes were written. The server's system has accepted them. Fewer if :attr:`write_timeout` is 0.

        Raises:
            SerialTimeout: the other side accepted nothing for :attr:`write_timeout`.
            SerialPortGone: it was unplugged, or closed meanwhile.
        """
        self._check_open()
        whole, written_bytes = to_bytes(data), 0
        # Cancelling a task cancels its write on the server, too: no need to ask in steps.
        limit_s = FOREVER_S if self.write_timeout is None else self.write_timeout
        while written_bytes < len(whole):
            piece = whole[written_bytes : written_bytes + WRITE_BYTES]
            try:
                count = await self._hardware.write_serial(self._session.id, piece, timeout_s=limit_s)
            except SerialTimeout as exc:
                raise write_timeout_error(self.port, limit_s, written_bytes + exc.written) from None
            written_bytes += count
            if count < len(piece):
                break
        return written_bytes

    @gives_way
    async def flush(self) -> None:
        """Wait until everything that was written has been sent."""
        self._check_open()
        await self._hardware.drain_serial(self._session.id)

    @gives_way
    async def reset_output_buffer(self) -> None:
        """Drop the output that was not sent yet."""
        self._check_open()
        await self._hardware.reset_serial(self._session.id, input=False, output=True)

    @gives_way
    async def apply_settings(self, settings: dict[str, Any]) -> None:
        """Set the port up anew: ``baudrate``, ``parity`` and so on; what is left out stays.

        Raises:
            ValueError: a time is negative.
            InvalidParams: the port refuses a setting. Then all of them are as before.
        """
        self._check_open()
        options = self._options.with_changes(settings)
        await self._hardware.configure_serial(self._session.id, options.settings())
        self._options = options
        for name in ("timeout", "write_timeout", "inter_byte_timeout"):
            setattr(self, name, settings.get(name, getattr(self, name)))

    @gives_way
    async def lines(self) -> SerialLines:
        """The control lines."""
        self._check_open()
        return await self._hardware.serial_lines(self._session.id)

    @gives_way
    async def set_lines(
        self, *, dtr: bool | None = None, rts: bool | None = None, break_condition: bool | None = None
    ) -> None:
        """Set control lines; what is not given stays."""
        self._check_open()
        await self._hardware.set_serial_lines(self._session.id, dtr=dtr, rts=rts, break_condition=break_condition)

    @gives_way
    async def send_break(self, duration: float = 0.25) -> None:
        """Hold the line at break for a while, in seconds."""
        self._check_open()
        await self._hardware.send_break(self._session.id, duration)

    def _check_open(self, *, in_loop: bool = True) -> None:
        if self.closed:
            raise ValueError("I/O operation on a closed serial port")
        self._life.check_over("the serial port")
        if in_loop:
            self._life.check_place("the serial port")

    async def close(self) -> None:
        """Close the port. Others can open it then."""
        if self.closed:
            return
        self._life.check_place("the serial port")
        self.closed = True
        if self._life.is_over:
            return  # So is its connection, and with it the server has closed the port.
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._has_ended = True
        await self._stream.aclose()
        with contextlib.suppress(RpcError):  # The connection is gone, and with it the server has closed the port.
            await self._hardware.close_serial(self._session.id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self.readline():
            yield line

    def __repr__(self) -> str:
        return f"<serial port {self.port!r} of {self._url}{' (closed)' if self.closed else ''}>"


async def open_port(hardware: AsyncHardware, port: str, options: SerialOptions, url: str) -> AsyncRemoteSerial:
    """Open a port; see :meth:`AsyncRemoteSerial.open`. The synchronous client has a function of the same name."""
    return await AsyncRemoteSerial.open(hardware, port, options, url)
