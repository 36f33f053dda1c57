# ruff: noqa: N802 - the names are pyserial's
"""Names of ``serial.Serial`` from before pyserial 3, which it still knows, as does much code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


class OldNames:
    """The old names; each does what the new one does."""

    if TYPE_CHECKING:

        @property
        def in_waiting(self) -> int: ...
        @property
        def is_open(self) -> bool: ...

        port: str

        @property
        def rts(self) -> bool: ...
        @rts.setter
        def rts(self, value: bool) -> None: ...
        @property
        def dtr(self) -> bool: ...
        @dtr.setter
        def dtr(self, value: bool) -> None: ...
        @property
        def cts(self) -> bool: ...
        @property
        def dsr(self) -> bool: ...
        @property
        def ri(self) -> bool: ...
        @property
        def cd(self) -> bool: ...

        @property
        def write_timeout(self) -> float | None: ...
        @write_timeout.setter
        def write_timeout(self, value: float | None) -> None: ...
        @property
        def inter_byte_timeout(self) -> float | None: ...
        @inter_byte_timeout.setter
        def inter_byte_timeout(self, value: float | None) -> None: ...

        def reset_input_buffer(self) -> None: ...
        def reset_output_buffer(self) -> None: ...
        def send_break(self, duration: float = 0.25) -> None: ...
        def get_settings(self) -> dict[str, Any]: ...
        def apply_settings(self, settings: dict[str, Any]) -> None: ...

    def isOpen(self) -> bool:
        """As :attr:`is_open`."""
        return self.is_open

    def inWaiting(self) -> int:
        """As :attr:`in_waiting`."""
        return self.in_waiting

    def flushInput(self) -> None:
        """As :meth:`reset_input_buffer`."""
        self.reset_input_buffer()

    def flushOutput(self) -> None:
        """As :meth:`reset_output_buffer`."""
        self.reset_output_buffer()

    def sendBreak(self, duration: float = 0.25) -> None:
        """As :meth:`send_break`."""
        self.send_break(duration)

    def setRTS(self, value: bool = True) -> None:
        """As :attr:`rts`."""
        self.rts = value

    def setDTR(self, value: bool = True) -> None:
        """As :attr:`dtr`."""
        self.dtr = value

    def getCTS(self) -> bool:
        """As :attr:`cts`."""
        return self.cts

    def getDSR(self) -> bool:
        """As :attr:`dsr`."""
        return self.dsr

    def getRI(self) -> bool:
        """As :attr:`ri`."""
        return self.ri

    def getCD(self) -> bool:
        """As :attr:`cd`."""
        return self.cd

    def getSettingsDict(self) -> dict[str, Any]:
        """As :meth:`get_settings`."""
        return self.get_settings()

    def applySettingsDict(self, settings: dict[str, Any]) -> None:
        """As :meth:`apply_settings`."""
        self.apply_settings(settings)

    @property
    def writeTimeout(self) -> float | None:
        """As :attr:`write_timeout`."""
        return self.write_timeout

    @writeTimeout.setter
    def writeTimeout(self, value: float | None) -> None:
        self.write_timeout = value

    @property
    def interCharTimeout(self) -> float | None:
        """As :attr:`inter_byte_timeout`."""
        return self.inter_byte_timeout

    @interCharTimeout.setter
    def interCharTimeout(self, value: float | None) -> None:
        self.inter_byte_timeout = value

    @property
    def portstr(self) -> str:
        """As :attr:`port`."""
        return self.port
