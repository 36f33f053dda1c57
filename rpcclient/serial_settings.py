"""How a remote serial port is set up: pyserial's names, and the wire's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rpcclient.stubs.hardware import SerialSettings, SerialTimeout

KEEP_BYTES = 1024 * 1024
"""Input that is kept for a reader; beyond that the server is told to wait."""

WRITE_BYTES = 65_536
"""The most that one call writes, so that no call takes long."""

STEP_S = 0.25
"""How long the server tries before it is asked to go on, so that a write can be cancelled."""

FOREVER_S = 3600.0
"""What "no time limit" is on the wire."""


def limit_s(name: str, value: float | None) -> float | None:
    """A time limit that makes sense, as pyserial sees it.

    Parameters:
        name: what it is called.
        value: in seconds; ``None`` for no limit.

    Raises:
        ValueError: it is negative, or no number.
    """
    if value is not None and (not isinstance(value, (int, float)) or not value >= 0):
        raise ValueError(f"{name}: {value!r} is not a time limit: give seconds, 0 for no waiting, or None for no limit")
    return value


class TimeLimits:
    """The time limits of a port. Setting one raises ``ValueError`` where it is negative."""

    _timeout: float | None = None
    _write_timeout: float | None = None
    _inter_byte_timeout: float | None = None

    @property
    def timeout(self) -> float | None:
        """How long a read waits for what it asks for, in seconds; ``None`` for ever, 0 not at all."""
        return self._timeout

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        self._timeout = limit_s("timeout", value)

    @property
    def write_timeout(self) -> float | None:
        """How long a write waits for the other side to take anything, in seconds, likewise."""
        return self._write_timeout

    @write_timeout.setter
    def write_timeout(self, value: float | None) -> None:
        self._write_timeout = limit_s("write_timeout", value)

    @property
    def inter_byte_timeout(self) -> float | None:
        """How long a read that has got something waits for the next byte, in seconds."""
        return self._inter_byte_timeout

    @inter_byte_timeout.setter
    def inter_byte_timeout(self, value: float | None) -> None:
        self._inter_byte_timeout = limit_s("inter_byte_timeout", value)


@dataclass(frozen=True)
class SerialOptions:
    """What ``serial.Serial`` of pyserial takes, by its names; times in seconds, ``None`` for no limit.

    Raises:
        ValueError: a time is negative.
    """

    baudrate: int = 9600
    bytesize: int = 8
    parity: str = "N"
    stopbits: float = 1
    timeout: float | None = None
    xonxoff: bool = False
    rtscts: bool = False
    write_timeout: float | None = None
    dsrdtr: bool = False
    inter_byte_timeout: float | None = None
    exclusive: bool | None = None

    def __post_init__(self) -> None:
        for name in ("timeout", "write_timeout", "inter_byte_timeout"):
            limit_s(name, getattr(self, name))

    def wire(self) -> dict[str, Any]:
        """The settings of the port itself."""
        return {
            "baudrate": self.baudrate,
            "bytesize": self.bytesize,
            "parity": self.parity,
            "stopbits": float(self.stopbits),
            "xonxoff": self.xonxoff,
            "rtscts": self.rtscts,
            "dsrdtr": self.dsrdtr,
        }

    def opening(self) -> dict[str, Any]:
        """What ``open_serial`` takes."""
        return self.wire() | {"write_timeout_s": self.write_timeout or FOREVER_S}

    def settings(self) -> SerialSettings:
        """What ``configure_serial`` takes."""
        from rpcclient.stubs.hardware import SerialSettings

        return SerialSettings(**self.wire())

    def changed(self, settings: dict[str, Any]) -> SerialOptions:
        """The same with some changes; names that are unknown are left out, as pyserial does."""
        known = {field.name for field in dataclasses.fields(self)}
        return dataclasses.replace(self, **{name: value for name, value in settings.items() if name in known})


def to_bytes(data: Any) -> bytes:
    """What pyserial takes to write: bytes of any kind, or a sequence of numbers.

    Raises:
        TypeError: it is text, or one number.
    """
    if isinstance(data, (str, int)):
        raise TypeError(f"a {type(data).__name__} cannot be written to a serial port: encode it to bytes")
    return bytes(data)


class Patience:
    """How long a write goes on trying.

    Parameters:
        timeout_s: how long nothing may be taken, in seconds; ``None`` for any time.
        now: the present moment, on a clock that only runs forward.
    """

    def __init__(self, timeout_s: float | None, now: float) -> None:
        self._timeout_s = timeout_s
        self._moved = now

    def step_s(self, now: float) -> float:
        """How long to let the server try now, in seconds."""
        if self._timeout_s is None:
            return STEP_S
        return min(max(self._moved + self._timeout_s - now, 0.001), STEP_S) if self._timeout_s else 0.0

    def over(self, written: int, now: float) -> bool:
        """The server has tried, and has written so many bytes: whether that is all that may be hoped for."""
        if written:
            self._moved = now
        return self._timeout_s is not None and now - self._moved >= self._timeout_s


def took_nothing(port: str, timeout_s: float | None, written: int) -> SerialTimeout:
    """The error for a write that was not taken."""
    from rpcclient.stubs.hardware import SerialTimeout

    return SerialTimeout(
        f"{port}: nothing was taken for {timeout_s or 0:g} s; is the other side held back by flow control?",
        port=port,
        written=written,
    )
