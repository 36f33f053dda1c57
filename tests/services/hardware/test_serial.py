"""Serial ports over real pseudo-terminals: nothing is lost, nobody else gets in, and an unplugged port is told."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pty
import random
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
from rpcclient.stubs.hardware import (
    SerialNotOpen,
    SerialPortBusy,
    SerialPortGone,
    SerialPortNotFound,
    SerialTimeout,
)
from rpcclient.stubs.hardware import SerialSettings as StubSettings
from rpcservices.hardware.errors import SerialPortGone as Gone
from rpcservices.hardware.models import SerialSettings
from rpcservices.hardware.serial import ports
from rpcservices.hardware.serial.port import OpenPort
from rpcservices.hardware.serial.system import open_port

Serve = Callable[..., None]
TEN_MB = 10 * 1024 * 1024
PTYS: dict[str, Any] = {"serial_paths": ["/dev/pts/*"]}


class Line:
    """A pseudo-terminal: one end is the serial port, the other end what is plugged into it."""

    def __init__(self) -> None:
        self.far, near = pty.openpty()
        tty.setraw(near)
        self.port = os.ttyname(near)
        # Open until the server has the port, so that no hang-up is seen before.
        self._near = near

    def taken(self) -> None:
        """The server has the port."""
        if self._near >= 0:
            os.close(self._near)
            self._near = -1

    def unplug(self) -> None:
        self.taken()
        if self.far >= 0:
            os.close(self.far)
            self.far = -1


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.unplug()


def data_of(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def test_ten_megabytes_each_way_at_the_same_time(serve: Serve, line: Line) -> None:
    sent, answer = data_of(TEN_MB), data_of(TEN_MB)[::-1]
    arrived = hashlib.sha256()

    def far_end() -> None:
        def write() -> None:
            view = memoryview(answer)
            while view:
                view = view[os.write(line.far, view[:65536]) :]

        writer = threading.Thread(target=write)
        writer.start()
        left = TEN_MB
        while left:
            data = os.read(line.far, 65536)
            arrived.update(data)
            left -= len(data)
        writer.join()

    async def scenario(client: AsyncClient) -> None:
        async with await client.hardware.serial(line.port, 4_000_000) as port:
            line.taken()
            other = threading.Thread(target=far_end)
            other.start()
            writing = asyncio.ensure_future(port.write(sent))
            received = bytearray()
            while len(received) < TEN_MB:
                received += await port.read(min(TEN_MB - len(received), 65536))
            assert await writing == TEN_MB
            await asyncio.to_thread(other.join)
            assert bytes(received) == answer
            assert arrived.digest() == hashlib.sha256(sent).digest()

    serve(scenario, **PTYS)


def test_one_at_a_time(serve: Serve, line: Line) -> None:
    async def scenario(client: AsyncClient) -> None:
        first = await client.hardware.open_serial(line.port)
        with pytest.raises(SerialPortBusy, match="somebody else has it open"):
            await client.hardware.open_serial(line.port)
        with pytest.raises(serial.SerialException, match="exclusively lock"):
            serial.Serial(line.port, exclusive=True)  # Another program on the same machine.
        reader = client.hardware.read_serial(first.id)
        await reader.open()
        with pytest.raises(SerialPortBusy, match="read already"):
            async with client.hardware.read_serial(first.id) as second:
                await anext(second)
        await client.hardware.close_serial(first.id)
        assert [item async for item in reader] == []
        again = await client.hardware.open_serial(line.port)
        with pytest.raises(SerialNotOpen):
            await client.hardware.write_serial(first.id, b"x")
        await client.hardware.close_serial(again.id)

    serve(scenario, **PTYS)


def test_somebody_elses_lock_counts(serve: Serve, line: Line) -> None:
    async def scenario(client: AsyncClient) -> None:
        with serial.Serial(line.port, exclusive=True), pytest.raises(SerialPortBusy):
            await client.hardware.open_serial(line.port)

    serve(scenario, **PTYS)


def test_unplugged(serve: Serve, line: Line) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with await client.hardware.serial(line.port, timeout=20) as port:
            line.taken()
            os.write(line.far, b"the last words")
            assert await port.read(4) == b"the "
            line.unplug()
            assert await port.read(100) == b"last words"
            with pytest.raises(SerialPortGone, match="unplugged"):
                await port.read(1)
            with pytest.raises(SerialPortGone):
                await port.write(b"anybody there?")
            with pytest.raises(SerialPortGone):
                await port.lines()

    serve(scenario, **PTYS)


def test_a_client_that_goes_away_lets_go(serve: Serve, line: Line, tmp_path: Path) -> None:
    async def scenario(client: AsyncClient) -> None:
        memory = client._connector.memory
        async with AsyncClient(memory=memory) as other:
            opened = await other.hardware.open_serial(line.port)
            with pytest.raises(SerialPortBusy):
                await client.hardware.open_serial(line.port)
            with pytest.raises(SerialNotOpen):  # The id is good on its own connection only.
                await client.hardware.write_serial(opened.id, b"x")
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(SerialPortBusy):
                    await client.hardware.open_serial(line.port)
                    break

    serve(scenario, **PTYS)


def test_what_may_be_opened(serve: Serve, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    plain = tmp_path / "plain"
    plain.write_text("")

    async def scenario(client: AsyncClient) -> None:
        for path in ("/etc/passwd", "/dev/null", str(tmp_path / "link"), "/dev/pts/99999", "", "../etc/passwd"):
            with pytest.raises(SerialPortNotFound, match="there is no serial port"):
                await client.hardware.open_serial(path)
        # Neither a NUL nor a path that the system would not take is looked up: following a long one takes a minute.
        monkeypatch.setattr(ports, "_MOST_PATH_CHARACTERS", 100)
        for path in (f"{line.port}\0", "/dev/" + "../dev/" * 100 + line.port.removeprefix("/dev/")):
            with pytest.raises(SerialPortNotFound, match="there is no serial port"):
                await client.hardware.open_serial(path)
        with pytest.raises(SerialPortNotFound, match="not a serial port"):
            await client.hardware.open_serial(str(plain))
        for baudrate in (0, 2**31, 10**12):
            with pytest.raises(InvalidParams, match="baudrate"):
                await client.hardware.open_serial(line.port, baudrate=baudrate)
        opened = await client.hardware.open_serial(line.port)
        with pytest.raises(InvalidParams, match="baudrate"):
            await client.call("hardware.configure_serial", {"id": opened.id, "settings": {"baudrate": 10**12}})
        with contextlib.suppress(InvalidParams):  # The driver decides.
            await client.hardware.configure_serial(opened.id, StubSettings(baudrate=2**31 - 1))
        await client.hardware.close_serial(opened.id)
        with pytest.raises(InvalidParams, match="parity"):
            await client.call("hardware.open_serial", {"port": line.port, "parity": "X"})

    serve(scenario, serial_paths=["/dev/pts/*", f"{tmp_path}/*"])


def test_a_port_that_is_not_allowed(serve: Serve, line: Line) -> None:
    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(SerialPortNotFound, match="serial_paths"):
            await client.hardware.open_serial(line.port)

    serve(scenario)


def test_settings_lines_and_buffers(serve: Serve, line: Line) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with await client.hardware.serial(line.port, 19200, timeout=20) as port:
            with serial.Serial(line.port) as beside:
                line.taken()
                import termios

                assert termios.tcgetattr(beside.fd)[4] == termios.B9600  # Whoever opens last sets it up.
                await port.apply_settings({"baudrate": 115200, "stopbits": 2})
                assert termios.tcgetattr(beside.fd)[4] == termios.B115200
                assert termios.tcgetattr(beside.fd)[2] & termios.CSTOPB
            lines = await port.lines()
            assert lines.cts is None  # A pseudo-terminal has none.
            await port.set_lines(dtr=False, rts=True)
            await port.send_break(0.01)
            assert not (await port.lines()).break_condition
            os.write(line.far, b"old")
            assert await port.read(1) == b"o"
            await port.reset_input_buffer()
            assert port.in_waiting == 0
            os.write(line.far, b"new\nline")
            assert await port.readline() == b"new\n"
            assert await port.read(4) == b"line"
            port.timeout = 0
            assert await port.read(10) == b""
            await port.write(b"out")
            assert os.read(line.far, 10) == b"out"
            await port.flush()

    serve(scenario, **PTYS)


def test_settings_that_the_port_refuses(serve: Serve, line: Line) -> None:
    """A pseudo-terminal has eight data bits, and no parity."""

    async def scenario(client: AsyncClient) -> None:
        async with await client.hardware.serial(line.port, 19200, timeout=20) as port:
            line.taken()
            for refused in ({"bytesize": 7}, {"parity": "E"}):
                with pytest.raises(InvalidParams, match="settings: the port refuses them: the driver takes no such"):
                    await port.apply_settings(refused)
            await port.apply_settings({"stopbits": 2})  # What was refused does not come back with it.
            os.write(line.far, b"goes on\n")
            assert await port.readline() == b"goes on\n"

    serve(scenario, **PTYS)


def test_opening_with_settings_that_the_port_refuses(serve: Serve, line: Line) -> None:
    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(InvalidParams, match="settings: the port refuses them"):
            for _ in range(2):  # The system takes them once, while something else changes with them.
                await (await client.hardware.serial(line.port, bytesize=7)).close()
        async with await client.hardware.serial(line.port):
            line.taken()

    serve(scenario, **PTYS)


@pytest.mark.parametrize("name", ["timeout", "write_timeout", "inter_byte_timeout"])
def test_times_that_are_none(served: tuple[str, Path], serve: Serve, line: Line, name: str) -> None:
    """As pyserial has it: a negative time is a mistake."""
    url, token_file = served
    with Client(url, token_file=token_file) as client:
        for bad in (-1, -0.5, float("nan"), "soon"):
            with pytest.raises(ValueError, match=f"{name}: .* is not a time limit"):
                client.hardware.serial(line.port, **{name: bad})
        with client.hardware.serial(line.port) as port:
            with pytest.raises(ValueError, match=name):
                setattr(port, name, -3)
            with pytest.raises(ValueError, match=name):
                port.apply_settings({name: -3})
            assert getattr(port, name) is None
            port.apply_settings({name: 2})
            assert port.get_settings()[name] == 2

    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(ValueError, match=name):
            await client.hardware.serial(line.port, **{name: -1})
        async with await client.hardware.serial(line.port) as port:
            await port.apply_settings({name: 2})
            assert getattr(port, name) == 2
            with pytest.raises(ValueError, match=name):
                setattr(port, name, -3)

    serve(scenario, **PTYS)


def test_input_that_is_thrown_away_while_it_is_read_is_no_hang_up(line: Line) -> None:
    async def main() -> None:
        settings = SerialSettings()
        port = OpenPort("p", line.port, open_port(line.port, settings), settings, 1000, 1.0)
        line.taken()
        port._readable()  # Told to be ready; but what there was is gone by now.
        port.check()
        line.unplug()
        with pytest.raises(Gone):
            async for _ in port.read():
                pass
        port.close()
        await port.closing

    asyncio.run(main())


def test_old_input_stays_away_after_a_reset(serve: Serve, line: Line) -> None:
    """What was on its way when input was thrown away must not come after it."""

    async def scenario(client: AsyncClient) -> None:
        async with await client.hardware.serial(line.port, timeout=20) as port:
            line.taken()
            for _ in range(20):
                os.write(line.far, b"old" * 500)
                await port.reset_input_buffer()
                os.write(line.far, b"\n")
                # Bytes that were in the pseudo-terminal itself may still come; but none after the next reset.
                await port.read_until(b"\n")

    serve(scenario, **PTYS)


def test_the_other_side_takes_nothing(serve: Serve, line: Line) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with await client.hardware.serial(line.port, write_timeout=0.2) as port:
            line.taken()
            with pytest.raises(SerialTimeout, match="nothing was taken") as caught:
                await port.write(bytes(1_000_000))
            assert 0 <= caught.value.written < 65536

    serve(scenario, **PTYS)


def test_a_slow_reader_holds_the_port_back(serve: Serve, line: Line) -> None:
    """With a full buffer the server reads no more, the terminal fills up, and the far end has to wait."""

    async def scenario(client: AsyncClient) -> None:
        opened = await client.hardware.open_serial(line.port)
        line.taken()
        os.set_blocking(line.far, False)
        written, stuck = 0, 0
        while stuck < 200:
            try:
                written += os.write(line.far, bytes(4096))
                stuck = 0
            except BlockingIOError:
                stuck += 1
                await client.hardware.serial_lines(opened.id)  # The server has had its turn.
        assert written < 1_000_000
        received = 0
        async with client.hardware.read_serial(opened.id) as items:
            async for item in items:
                received += len(item.data)
                if received == written:
                    break
        assert os.write(line.far, b"more") == 4

    serve(scenario, serial_buffer_bytes=10_000, **PTYS)


# The synchronous client, and pyserial, over a socket.


def test_a_file_like_object(served: tuple[str, Path], line: Line) -> None:
    url, token_file = served
    with Client(url, token_file=token_file) as client:
        with client.hardware.serial(line.port, 115200, timeout=20) as port:
            line.taken()
            assert (port.baudrate, port.parity, port.is_open, port.name) == (115200, "N", True, line.port)
            assert port.write(b"AT\r\n") == 4
            assert os.read(line.far, 100) == b"AT\r\n"
            os.write(line.far, b"OK\r\nREADY\r\n\x01\x02\x03")
            assert port.readline() == b"OK\r\n"
            assert port.read_until(b"\r\n") == b"READY\r\n"
            buffer = bytearray(3)
            assert port.readinto(buffer) == 3
            assert buffer == b"\x01\x02\x03"
            port.timeout = 0.05
            assert port.read(5) == b""
            port.baudrate = 9600
            assert port.get_settings()["baudrate"] == 9600
            assert (port.cts, port.dtr, port.out_waiting) == (False, True, 0)
            port.dtr = False
            port.break_condition = True
            port.break_condition = False
            port.timeout = None
            threading.Timer(0.1, port.cancel_read).start()
            assert port.read(1) == b""
            port.cancel_read()  # Also where the read begins after it, as may happen at any time with two threads.
            assert port.read(1) == b""
            os.write(line.far, b"rubbish")
            port.read(1)
            port.reset_input_buffer()
            assert port.in_waiting == 0
            port.reset_output_buffer()
            os.write(line.far, b"one\ntwo\n")
            port.timeout = 1
            assert [next(iter(port)), next(iter(port))] == [b"one\n", b"two\n"]
            with pytest.raises(SerialPortBusy):
                client.hardware.serial(line.port)
            line.unplug()
            with pytest.raises(SerialPortGone):
                port.read(1)
        assert not port.is_open
        with pytest.raises(ValueError, match="closed"):
            port.read(1)


def test_ten_megabytes_by_the_synchronous_client(served: tuple[str, Path], line: Line) -> None:
    url, token_file = served
    sent = data_of(TEN_MB)
    with Client(url, token_file=token_file) as client, client.hardware.serial(line.port, timeout=60) as port:
        line.taken()

        def echo() -> None:
            left = TEN_MB
            while left:
                data = os.read(line.far, 65536)
                left -= len(data)
                while data:
                    data = data[os.write(line.far, data) :]

        far = threading.Thread(target=echo)
        writer = threading.Thread(target=port.write, args=(sent,))
        far.start()
        writer.start()
        received = bytearray()
        while len(received) < TEN_MB:
            piece = port.read(min(TEN_MB - len(received), 100_000))
            assert piece
            received += piece
        writer.join()
        far.join()
        assert bytes(received) == sent


def test_existing_code_opens_a_url(served: tuple[str, Path], line: Line) -> None:
    url, token_file = served
    host = url.removeprefix("ws://")
    port_url = f"rpc://{host}{line.port}?token_file={token_file}"
    with serial.serial_for_url(port_url, 115200, timeout=20) as port:
        line.taken()
        port.write(b"ping\n")
        assert os.read(line.far, 100) == b"ping\n"
        os.write(line.far, b"pong\nrest")
        assert port.readline() == b"pong\n"
        assert port.read(4) == b"rest"
        assert port.in_waiting == 0
        port.baudrate = 57600
        port.timeout = 0.05
        assert port.read(1) == b""
        port.rts = False
        assert port.cts is False
        port.send_break(0.01)
        port.reset_input_buffer()
        port.reset_output_buffer()
        port.flush()
        assert port.out_waiting == 0
        assert port.get_settings()["baudrate"] == 57600
        with pytest.raises(serial.SerialException, match="somebody else"):
            serial.serial_for_url(port_url)
        line.unplug()
        port.timeout = 20
        with pytest.raises(serial.SerialException, match="unplugged"):
            port.read(1)
    with pytest.raises(serial.SerialException):
        port.read(1)
    with pytest.raises(serial.SerialException, match="no serial port"):
        serial.serial_for_url(f"rpc://{host}/dev/nothing?token_file={token_file}")
    with pytest.raises(serial.SerialException, match="unknown option"):
        serial.serial_for_url(f"rpc://{host}/dev/x?colour=red")
    with pytest.raises(serial.SerialException, match="write rpc://"):
        serial.serial_for_url("rpc://")


def test_ports_of_a_recorded_laptop(serve: Serve, machine: Callable[[str], Any]) -> None:
    async def scenario(client: AsyncClient) -> None:
        (port,) = await client.hardware.serial_ports()
        assert port.id == "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A6008isP-if00-port0"
        assert (port.node, port.vendor, port.serial, port.in_use) == ("/dev/ttyUSB0", "FTDI", "A6008isP", False)

    serve(scenario, machine("laptop"))


def test_ways_to_the_server_in_a_url(served: tuple[str, Path], line: Line) -> None:
    url, token_file = served
    host = url.removeprefix("ws://")
    port_url = f"rpc://{host}{line.port}?token_file={token_file}"
    ways = "&token_by=call&proxy=none&header=X-A:%20b&header=X-C:d"
    with serial.serial_for_url(f"{port_url}{ways}", timeout=10) as port:
        assert port.is_open
    with pytest.raises(serial.SerialException, match="headers: Host: the client sets it itself"):
        serial.serial_for_url(f"rpc://{host}/dev/x?header=Host:x")
    with pytest.raises(serial.SerialException, match="token_by: 'x'"):
        serial.serial_for_url(f"rpc://{host}/dev/x?token_by=x")
    through = f"{port_url}&proxy=http%3A%2F%2F127.0.0.1%3A1"
    with pytest.raises(serial.SerialException, match="could read the token") as caught:
        serial.serial_for_url(through)
    assert "token_file" not in str(caught.value)
    with pytest.raises(serial.SerialException, match="Connection refused"):
        serial.serial_for_url(f"{through}&allow_token_in_clear=1")
    for secret in ("user:canary@", "canary@"):
        for rest in ("?nosuch=1", "/dev/x", "/dev/x?token=canary", ":x/dev/x"):
            with pytest.raises(serial.SerialException) as caught:
                serial.serial_for_url(f"rpc://{secret}{host}{rest}")
            assert "canary" not in str(caught.value)
