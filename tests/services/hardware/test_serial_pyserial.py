"""A remote serial port behaves as its users know pyserial's: what is unplugged, held back, closed in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serial

import rpcclient.pyserial  # noqa: F401 - registers rpc://
from rpcclient import AsyncClient, Client
from rpcclient.errors import InvalidParams
from rpcclient.stubs.hardware import SerialPortBusy, SerialPortGone, SerialTimeout
from rpcclient.sync.serial.port import RemoteSerial

Serve = Callable[..., None]
PTYS: dict[str, Any] = {"serial_paths": ["/dev/pts/*"]}
MORE_THAN_IT_TAKES = bytes(200_000)


class Line:
    """A pseudo-terminal: one end is the serial port, the other end what is plugged into it."""

    def __init__(self) -> None:
        self.far, self._near = pty.openpty()
        tty.setraw(self._near)
        self.port = os.ttyname(self._near)

    def unplug(self) -> None:
        for fd in (self._near, self.far):
            if fd >= 0:
                os.close(fd)
        self._near = self.far = -1


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


@pytest.fixture
def port(served: tuple[str, Path], line: Line) -> Iterator[RemoteSerial]:
    url, token_file = served
    with Client(url, token_file=token_file) as client, client.hardware.serial(line.port, timeout=20) as opened:
        yield opened


def gone(port: Any, error: type[Exception]) -> None:
    """Ask how much waits until the port is gone; the test's time limit ends this, too."""
    with pytest.raises(error):
        while True:
            port.in_waiting  # noqa: B018 - it raises


def test_whoever_asks_how_much_waits_learns_of_an_unplugged_port(port: RemoteSerial, line: Line) -> None:
    os.write(line.far, b"xyz")
    assert port.read(1) == b"x"
    line.unplug()
    assert port.read(2) == b"yz"
    gone(port, SerialPortGone)
    with pytest.raises(SerialPortGone):
        port.read_all()


def test_by_a_url_too(served: tuple[str, Path], line: Line) -> None:
    url, token_file = served
    with serial.serial_for_url(f"rpc://{url.removeprefix('ws://')}{line.port}?token_file={token_file}") as port:
        assert port.in_waiting == 0
        line.unplug()
        gone(port, serial.SerialException)


def test_and_with_asyncio(serve: Serve, line: Line) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with await client.hardware.serial(line.port, timeout=20) as port:
            line.unplug()
            with pytest.raises(SerialPortGone):
                await port.read(1)
            gone(port, SerialPortGone)
            with pytest.raises(SerialPortGone):
                await port.read_all()

    serve(scenario, **PTYS)


def test_a_write_timeout_may_be_set_later(port: RemoteSerial) -> None:
    port.write_timeout = 0.2
    with pytest.raises(SerialTimeout, match=r"nothing was taken for 0.2 s") as caught:
        port.write(MORE_THAN_IT_TAKES)
    assert 0 < caught.value.written < len(MORE_THAN_IT_TAKES)
    assert port.get_settings()["write_timeout"] == 0.2
    port.apply_settings({"write_timeout": 0})
    assert port.write(MORE_THAN_IT_TAKES) == 0


def test_a_write_timeout_set_later_by_a_url(served: tuple[str, Path], line: Line) -> None:
    url, token_file = served
    with serial.serial_for_url(f"rpc://{url.removeprefix('ws://')}{line.port}?token_file={token_file}") as port:
        port.write_timeout = 0.2
        with pytest.raises(serial.SerialTimeoutException):
            port.write(MORE_THAN_IT_TAKES)


def test_a_write_timeout_set_later_with_asyncio(serve: Serve, line: Line) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with await client.hardware.serial(line.port) as port:
            port.write_timeout = 0.2
            with pytest.raises(SerialTimeout):
                await port.write(MORE_THAN_IT_TAKES)
            with pytest.raises(InvalidParams, match="timeout_s"):
                await client.hardware.write_serial("port1", b"x", timeout_s=-1)

    serve(scenario, **PTYS)


class Writing:
    """A write in another thread that the far end does not take."""

    def __init__(self, port: RemoteSerial) -> None:
        self.found: list[object] = []
        self.thread = threading.Thread(target=self._write, args=(port,))
        self.thread.start()

    def _write(self, port: RemoteSerial) -> None:
        try:
            self.found.append(port.write(MORE_THAN_IT_TAKES))
        except Exception as exc:
            self.found.append(exc)

    def begun(self, line: Line) -> None:
        """Something has come out at the far end; what follows does not fit in."""
        os.read(line.far, 1)

    def end(self) -> object:
        self.thread.join(20)
        assert not self.thread.is_alive(), "the write hangs"
        return self.found[0]


def test_closing_ends_a_write(port: RemoteSerial, line: Line) -> None:
    writing = Writing(port)
    writing.begun(line)
    port.close()
    assert isinstance(writing.end(), Exception)


def test_unplugging_ends_a_write(port: RemoteSerial, line: Line) -> None:
    writing = Writing(port)
    writing.begun(line)
    line.unplug()
    assert isinstance(writing.end(), SerialPortGone)


def test_a_write_is_cancelled(port: RemoteSerial, line: Line) -> None:
    writing = Writing(port)
    writing.begun(line)
    port.cancel_write()
    written = writing.end()
    assert isinstance(written, int)
    assert 0 < written < len(MORE_THAN_IT_TAKES)


def test_closing_ends_a_write_with_asyncio(serve: Serve, line: Line) -> None:
    async def scenario(client: AsyncClient) -> None:
        opened = await client.hardware.open_serial(line.port)
        writing = asyncio.ensure_future(client.hardware.write_serial(opened.id, MORE_THAN_IT_TAKES))
        await asyncio.to_thread(os.read, line.far, 1)
        await client.hardware.close_serial(opened.id)
        async with asyncio.timeout(20):
            with pytest.raises(SerialPortGone, match="closed"):
                await writing

    serve(scenario, **PTYS)


@pytest.mark.parametrize("obeys", [True, False])
def test_a_drain_that_does_not_return_lets_go_with_its_client(
    serve: Serve, line: Line, monkeypatch: pytest.MonkeyPatch, obeys: bool
) -> None:
    """As of a UART whose other side holds the output back: tcdrain(3) returns when the output is thrown away, or, with
    a driver that is stuck, not even then."""
    held, released = threading.Event(), threading.Event()

    def tcdrain(fd: int) -> None:
        held.set()
        released.wait(60)

    def tcflush(fd: int, queue: int) -> None:
        if queue == termios.TCOFLUSH and obeys:
            released.set()

    monkeypatch.setattr(termios, "tcdrain", tcdrain)
    monkeypatch.setattr(termios, "tcflush", tcflush)

    async def scenario(client: AsyncClient) -> None:
        async with AsyncClient(memory=client._connector.memory) as other:
            opened = await other.hardware.open_serial(line.port)
            draining = asyncio.ensure_future(other.hardware.drain_serial(opened.id))
            await asyncio.to_thread(held.wait, 20)
        draining.cancel()
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(SerialPortBusy):
                    await client.hardware.open_serial(line.port)
                    break
        released.set()

    serve(scenario, **PTYS)


def test_names_that_pyserials_users_know(port: RemoteSerial, line: Line) -> None:
    assert port.isOpen()
    assert port.write([65, 84]) == 2
    assert port.write(bytearray(b"!")) == 1
    written = b""
    while len(written) < 3:  # It may arrive in pieces.
        written += os.read(line.far, 10)
    assert written == b"AT!"
    for wrong in ("text", 5):
        with pytest.raises(TypeError, match="encode it"):
            port.write(wrong)
    os.write(line.far, b"abc")
    assert port.read(1) == b"a"
    while port.inWaiting() < 2:
        pass
    port.flushInput()
    port.flushOutput()
    assert port.inWaiting() == 0
    port.setRTS(False)
    port.setDTR(False)
    assert (port.rts, port.dtr, port.getCTS(), port.getDSR(), port.getRI(), port.getCD()) == (False,) * 6
    port.sendBreak(0.01)
    port.writeTimeout, port.interCharTimeout = 3.0, 0.1
    assert (port.write_timeout, port.inter_byte_timeout) == (3.0, 0.1)
    settings = port.getSettingsDict()
    port.applySettingsDict(settings | {"baudrate": 19200})
    assert (port.baudrate, port.portstr) == (19200, line.port)
    missing = {n for n in dir(serial.Serial) if not n.startswith("_")} - set(dir(port))
    assert missing <= {
        # Of other systems, of pyserial's own making, or about the descriptor, which is the server's.
        "BAUDRATES", "BAUDRATE_CONSTANTS", "BYTESIZES", "PARITIES", "STOPBITS", "nonblocking", "set_input_flow_control",
        "set_output_flow_control", "rs485_mode", "getSupportedBaudrates", "getSupportedByteSizes", "setXON",
        "getSupportedParities", "getSupportedStopbits", "iread_until", "exclusive", "setPort", "set_low_latency_mode",
    }  # fmt: skip


def test_a_pause_between_bytes_ends_a_read(port: RemoteSerial, line: Line) -> None:
    port.inter_byte_timeout = 0.05
    os.write(line.far, b"ab")
    assert port.read(100).startswith(b"a")


def test_a_port_is_opened_again(port: RemoteSerial, line: Line) -> None:
    with pytest.raises(ValueError, match="open already"):
        port.open()
    port.close()
    assert not port.isOpen()
    port.open()
    os.write(line.far, b"again\n")
    assert port.readline() == b"again\n"
