"""The settings of a remote serial port, under pyserial's names and under those of the wire."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rpcclient.stubs.hardware import SerialSettings, SerialTimeout

KEEP_BYTES = 1024 * 1024
"""How much input is kept for a reader, in bytes. Beyond that the server has to wait."""

WRITE_BYTES = 65_536
"""The most that one call writes, in bytes, so that no call takes long."""

STEP_S = 0.25
"""How long one call lets the server try to write, in seconds. Between two calls a write can be cancelled."""

FOREVER_S = 3600.0
"""The time limit that stands for no limit on the wire, in seconds."""


def check_limit(name: str, value: float | None) -> float | None:
    """Return a time limit, after checking it as pyserial does.

    Parameters:
        name: the setting's name.
        value: the limit in seconds; ``None`` for no limit.

    Raises:
        ValueError: the limit is negative, or no number.
    """
    if value is not None and (not isinstance(value, (int, float)) or not value >= 0):
        raise ValueError(f"{name}: {value!r} is not a time limit: give seconds, 0 for no waiting, or None for no limit")
    return value


class TimeLimits:
    """The time limits of a port. Setting one to a negative value raises ``ValueError``."""

    _timeout: float | None = None
    _write_timeout: float | None = None
    _inter_byte_timeout: float | None = None

    @property
    def timeout(self) -> float | None:
        """How long a read waits for all the bytes it asks for, in seconds; ``None`` to wait for ever, 0 not to wait."""
        return self._timeout

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        self._timeout = check_limit("timeout", value)

    @property
    def write_timeout(self) -> float | None:
        """How long a write waits for the other side to accept bytes, in seconds; ``None`` and 0 as for a read."""
        return self._write_timeout

    @write_timeout.setter
    def write_timeout(self, value: float | None) -> None:
        self._write_timeout = check_limit("write_timeout", value)

    @property
    def inter_byte_timeout(self) -> float | None:
        """How long a read waits for the next byte after it has received one, in seconds."""
        return self._inter_byte_timeout

    @inter_byte_timeout.setter
    def inter_byte_timeout(self, value: float | None) -> None:
        self._inter_byte_timeout = check_limit("inter_byte_timeout", value)


@dataclass(frozen=True)
class SerialOptions:
    """The parameters of pyserial's ``serial.Serial``, under its names; times in seconds, ``None`` for no limit.

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
            check_limit(name, getattr(self, name))

    def port_params(self) -> dict[str, Any]:
        """Return the settings of the port itself, without the time limits."""
        return {
            "baudrate": self.baudrate,
            "bytesize": self.bytesize,
            "parity": self.parity,
            "stopbits": float(self.stopbits),
            "xonxoff": self.xonxoff,
            "rtscts": self.rtscts,
            "dsrdtr": self.dsrdtr,
        }

    def open_params(self) -> dict[str, Any]:
        """Return the parameters of ``open_serial``."""
        return self.port_params() | {"write_timeout_s": self.write_timeout or FOREVER_S}

    def settings(self) -> SerialSettings:
        """Return the parameter of ``configure_serial``."""
        from rpcclient.stubs.hardware import SerialSettings

        return SerialSettings(**self.port_params())

    def with_changes(self, settings: dict[str, Any]) -> SerialOptions:
        """Return these options with some of them changed. Unknown names are ignored, as pyserial ignores them."""
        names = {field.name for field in dataclasses.fields(self)}
        return dataclasses.replace(self, **{name: value for name, value in settings.items() if name in names})


def to_bytes(data: Any) -> bytes:
    """Turn what pyserial's ``write`` accepts into bytes: bytes of any kind, or a sequence of numbers.

    Raises:
        TypeError: the data is text, or one number.
    """
    if isinstance(data, (str, int)):
        raise TypeError(f"a {type(data).__name__} cannot be written to a serial port: encode it to bytes")
    return bytes(data)


class Patience:
    """Decides how long a write goes on.

    Parameters:
        timeout_s: for how long the other side may accept nothing, in seconds; ``None`` for any time.
        now: the time, on a clock that only runs forward, in seconds.
    """

    def __init__(self, timeout_s: float | None, now: float) -> None:
        self._timeout_s = timeout_s
        self._last_progress = now

    def step_s(self, now: float) -> float:
        """Return how long the next call lets the server try, in seconds."""
        if self._timeout_s is None:
            return STEP_S
        return min(max(self._last_progress + self._timeout_s - now, 0.001), STEP_S) if self._timeout_s else 0.0

    def is_over(self, count: int, now: float) -> bool:
        """Note how many bytes a call has written, and return whether the write has taken too long."""
        if count:
            self._last_progress = now
        return self._timeout_s is not None and now - self._last_progress >= self._timeout_s


def write_timeout_error(port: str, timeout_s: float | None, count: int) -> SerialTimeout:
    """Make the error for a write that the other side did not accept in time."""
    from rpcclient.stubs.hardware import SerialTimeout

    return SerialTimeout(
        f"{port}: nothing was taken for {timeout_s or 0:g} s; is the other side held back by flow control?",
        port=port,
        written=count,
    )
