"""How a serial port of the server is set up, and its lines: the attributes of ``serial.Serial`` of pyserial, and the
names that its users know from before version 3."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from rpcclient.serial_settings import SerialOptions, TimeLimits
from rpcwire.elsewhere import parent_error
from rpcwire.forking import Home, home

if TYPE_CHECKING:
    from rpcclient.stubs.hardware import SerialLines, SerialSession
    from rpcclient.sync.stubs.hardware import Hardware

_T = TypeVar("_T")


class Setting(Generic[_T]):
    """A setting of the port, an attribute as of ``serial.Serial``. Setting it sets the port up anew.

    Parameters:
        text: what it means.
    """

    def __init__(self, text: str) -> None:
        self.__doc__ = f"{text} Setting it sets the port up anew."

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, port: None, owner: type) -> Self: ...
    @overload
    def __get__(self, port: SerialSetup, owner: type) -> _T: ...
    def __get__(self, port: SerialSetup | None, owner: type) -> Any:
        return self if port is None else getattr(port._options, self._name)  # noqa: SLF001 - a part of that class

    def __set__(self, port: SerialSetup, value: _T) -> None:
        port.apply_settings({self._name: value})


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

    baudrate = Setting[int]("Bits per second.")
    bytesize = Setting[int]("Data bits.")
    parity = Setting[str]("None, even, odd, mark or space, by its first letter.")
    stopbits = Setting[float]("Stop bits: 1, 1.5 or 2.")
    xonxoff = Setting[bool]("Flow control by characters.")
    rtscts = Setting[bool]("Flow control by the lines RTS and CTS.")
    dsrdtr = Setting[bool]("Flow control by the lines DSR and DTR.")

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
