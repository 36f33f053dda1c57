"""How a remote serial port is set up: pyserial's names, and the wire's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rpcclient.stubs.hardware import SerialSettings

KEEP_BYTES = 1024 * 1024
"""Input that is kept for a reader; beyond that the server is told to wait."""

WRITE_BYTES = 65_536
"""The most that one call writes, so that no call takes long."""

FOREVER_S = 3600.0
"""What "no time limit" is on the wire."""


@dataclass(frozen=True)
class SerialOptions:
    """What ``serial.Serial`` of pyserial takes, by its names; times in seconds, ``None`` for no limit."""

    baudrate: int = 9600
    bytesize: int = 8
    parity: str = "N"
    stopbits: float = 1
    timeout: float | None = None
    xonxoff: bool = False
    rtscts: bool = False
    write_timeout: float | None = None
    dsrdtr: bool = False

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
