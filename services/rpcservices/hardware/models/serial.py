"""Serial ports."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Answer

ByteSize = Literal[5, 6, 7, 8]
"""Data bits."""

Parity = Literal["N", "E", "O", "M", "S"]
"""None, even, odd, mark, space: pyserial's letters."""


class SerialPort(Answer):
    """A serial port of the machine."""

    id: str = Field(description="what to open it by: a link that outlives replugging where there is one, else its file")
    node: str = Field(description="its file in /dev")
    name: str = Field(description="as the kernel calls it, such as ttyUSB0")
    by_id: str | None = Field(description="a link to its file which outlives replugging")
    vendor: str | None = Field(description="who made the adapter")
    vendor_id: str | None = Field(description="four hexadecimal digits")
    model: str | None
    model_id: str | None = Field(description="four hexadecimal digits")
    serial: str | None = Field(description="serial number of the adapter")
    driver: str | None
    device: str = Field(description="its id in the inventory of devices")
    in_use: bool = Field(description="whether a client of this server has it open")


class SerialSettings(Answer):
    """How a port is set up."""

    baudrate: int = Field(default=9600, ge=1, le=2**31 - 1, description="bits per second")
    bytesize: ByteSize = Field(default=8, description="data bits")
    parity: Parity = Field(default="N", description="none, even, odd, mark or space")
    stopbits: float = Field(default=1.0, ge=1, le=2, multiple_of=0.5, description="stop bits: 1, 1.5 or 2")
    xonxoff: bool = Field(default=False, description="flow control by the characters XON and XOFF")
    rtscts: bool = Field(default=False, description="flow control by the lines RTS and CTS")
    dsrdtr: bool = Field(default=False, description="flow control by the lines DSR and DTR")


class SerialSession(Answer):
    """A port that is open for one client."""

    id: str = Field(description="names it in the other calls, of the same connection")
    port: str = Field(description="its file in /dev")
    settings: SerialSettings


class SerialData(Answer):
    """What has come in."""

    data: bytes
    resets: int = Field(description="how often input had been thrown away when this came: older data is void")


class SerialLines(Answer):
    """The control lines. None: the port has no such line."""

    dtr: bool | None = Field(description="out: data terminal ready")
    rts: bool | None = Field(description="out: request to send")
    cts: bool | None = Field(description="in: clear to send")
    dsr: bool | None = Field(description="in: data set ready")
    ri: bool | None = Field(description="in: ring indicator")
    cd: bool | None = Field(description="in: carrier detect")
    break_condition: bool = Field(description="out: whether the line is held at break")
    in_waiting: int = Field(description="bytes that have come in and were not sent on yet")
    out_waiting: int = Field(description="bytes that the system still has to send")
    resets: int = Field(description="how often input was thrown away")
