"""How a serial port of the server is set up, and its lines: the attributes of ``serial.Serial`` of pyserial, and the
names that its users know from before version 3."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from rpcclient.serial_settings import SerialOptions, TimeLimits
from rpcwire.elsewhere import parent_error
from rpcwire.forking import Home, home

if TYPE_CHECKING:
    from rpcclient.stubs.hardware import SerialLines, SerialSession
    from rpcclient.sync.stubs.hardware import Hardware


class SerialSetup(TimeLimits, io.RawIOBase):
    """Settings and lines."""

    _hardware: Hardware
    _session: SerialSession
    _options: SerialOptions
    _home: Home  # Where it was opened.
    _rts = True
    _dtr = True
    _break = False

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on a closed serial port")
        if self._home is not home():
            raise parent_error("the serial port")

    def apply_settings(self, settings: dict[str, Any]) -> None:
        """Set the port up anew.

        Parameters:
            settings: ``baudrate``, ``bytesize``, ``parity``, ``stopbits``, ``xonxoff``, ``rtscts``, ``dsrdtr``,
                ``timeout``, ``write_timeout``, ``inter_byte_timeout``; what is left out stays.

        Raises:
            ValueError: a time is negative.
            InvalidParams: the port refuses a setting. Then all of them are as before.
        """
        self._check_open()
        options = self._options.with_changes(settings)
        self._hardware.configure_serial(self._session.id, options.settings())
        self._options = options
        for name in ("timeout", "write_timeout", "inter_byte_timeout"):
            setattr(self, name, settings.get(name, getattr(self, name)))

    def get_settings(self) -> dict[str, Any]:
        """How the port is set up."""
        return self._options.port_params() | {
            "timeout": self.timeout,
            "write_timeout": self.write_timeout,
            "inter_byte_timeout": self.inter_byte_timeout,
        }

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
        self._check_open()
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
        self._check_open()
        self._hardware.set_serial_lines(self._session.id, rts=bool(value))
        self._rts = bool(value)

    @property
    def dtr(self) -> bool:
        """Out: data terminal ready."""
        return self._dtr

    @dtr.setter
    def dtr(self, value: bool) -> None:
        self._check_open()
        self._hardware.set_serial_lines(self._session.id, dtr=bool(value))
        self._dtr = bool(value)

    @property
    def break_condition(self) -> bool:
        """Out: hold the line at break."""
        return self._break

    @break_condition.setter
    def break_condition(self, value: bool) -> None:
        self._check_open()
        self._hardware.set_serial_lines(self._session.id, break_condition=bool(value))
        self._break = bool(value)

    def send_break(self, duration: float = 0.25) -> None:
        """Hold the line at break for a while, in seconds."""
        self._check_open()
        self._hardware.send_break(self._session.id, duration)
