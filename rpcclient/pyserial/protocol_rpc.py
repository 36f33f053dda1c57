"""The class that pyserial makes for ``rpc://`` URLs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qs, urlsplit

from serial.serialutil import PortNotOpenError, SerialBase, SerialException, SerialTimeoutException

from rpcclient.headers import public_headers_of
from rpcclient.serial_settings import to_bytes
from rpcclient.sync.client import Client
from rpcclient.sync.serial.port import RemoteSerial
from rpcclient.targets import ACCESS_FLAGS, ACCESS_SECONDS, ACCESS_TEXTS, without_secrets
from rpcwire.errors import RpcError

_P = ParamSpec("_P")
_T = TypeVar("_T")

_OPTIONS = frozenset({"tls", "header", *ACCESS_TEXTS, *ACCESS_SECONDS, *ACCESS_FLAGS})
_FALSE = frozenset({"0", "", "false", "no"})


def client_of(url: str) -> tuple[Client, str]:
    """The client and the port that a URL names.

    Raises:
        SerialException: the URL is malformed.
    """
    url_text = repr(without_secrets(url))
    try:
        parts = urlsplit(url)
    except ValueError:
        raise SerialException(f"{url_text}: the host is malformed: write rpc://HOST:PORT/dev/ttyX") from None
    if parts.scheme != "rpc" or not parts.path.strip("/"):
        raise SerialException(f"{url_text}: write rpc://HOST:PORT/dev/ttyX, or rpc:///dev/ttyX for the local server")
    query = parse_qs(parts.query, keep_blank_values=True)
    options: dict[str, Any] = {name: values[-1] for name, values in query.items()}
    unknown = options.keys() - _OPTIONS
    if unknown:
        raise SerialException(f"{url_text}: unknown option {min(unknown)!r}; there are: {', '.join(sorted(_OPTIONS))}")
    target = None
    tls = options.pop("tls", "0") not in _FALSE
    for name in options.keys() & ACCESS_FLAGS:
        options[name] = options[name] not in _FALSE
    if parts.netloc:
        target = f"{'wss' if tls else 'ws'}://{parts.netloc}"
    try:
        if lines := query.get("header"):
            options.pop("header")
            text = "\n".join(lines)
            options["headers"] = public_headers_of(text, "URLs end up in logs", "put this header into RPC_HEADERS")
        for name in options.keys() & ACCESS_SECONDS:
            options[name] = _seconds(name, options[name])
        client = Client(target, **options)
    except (RpcError, ValueError) as exc:
        raise SerialException(f"{url_text}: {exc}") from exc
    # /dev/ttyUSB0 is the path of the URL as it stands; /ttyUSB0 is a port's name.
    return client, parts.path if parts.path.startswith("/dev/") else parts.path.strip("/")


def _seconds(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is not a number of seconds") from None


class Serial(SerialBase):
    """A serial port of a server, for pyserial."""

    BAUDRATES = (
        50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400,
        460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000,
    )  # fmt: skip

    # What SerialBase keeps, by its own names.
    _port: str | None
    _baudrate: int
    _bytesize: int
    _parity: str
    _stopbits: float
    _timeout: float | None
    _write_timeout: float | None
    _inter_byte_timeout: float | None
    _xonxoff: bool
    _rtscts: bool
    _dsrdtr: bool
    _break_state: bool
    _rts_state: bool
    _dtr_state: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._client: Client | None = None
        self._remote: RemoteSerial | None = None
        super().__init__(*args, **kwargs)

    def open(self) -> None:
        """Connect to the server, and open the port.

        Raises:
            SerialException: that failed; its cause says why.
        """
        if self.is_open:
            raise SerialException("Port is already open.")
        if self._port is None:
            raise SerialException("Port must be configured before it can be used.")
        client, port = client_of(self._port)
        try:
            client.connect()
            self._remote = client.hardware.serial(
                port,
                self._baudrate,
                self._bytesize,
                self._parity,
                self._stopbits,
                self._timeout,
                bool(self._xonxoff),
                bool(self._rtscts),
                self._write_timeout,
                bool(self._dsrdtr),
                self._inter_byte_timeout,
            )
        except RpcError as exc:
            client.close()
            raise SerialException(f"could not open port {without_secrets(self._port)}: {exc}") from exc
        self._client = client
        self.is_open = True
        if not self._dsrdtr:
            self._update_dtr_state()
        if not self._rtscts:
            self._update_rts_state()

    def close(self) -> None:
        """Close the port, and the connection."""
        if self.is_open:
            self.is_open = False
            if self._remote is not None:
                self._remote.close()
            if self._client is not None:
                self._client.close()
        super().close()

    def _do(self, action: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do something with the port; what goes wrong becomes pyserial's exception."""
        try:
            return action(*args, **kwargs)
        except RpcError as exc:
            if type(exc).__name__ == "SerialTimeout":
                raise SerialTimeoutException("Write timeout") from exc
            raise SerialException(str(exc)) from exc
        except ValueError as exc:
            if self.is_open:
                raise
            raise PortNotOpenError from exc

    @property
    def _there(self) -> RemoteSerial:
        if not self.is_open or self._remote is None:
            raise PortNotOpenError
        return self._remote

    def _reconfigure_port(self) -> None:
        remote = self._there
        names = ("baudrate", "bytesize", "parity", "stopbits", "xonxoff", "rtscts", "dsrdtr")
        settings = {name: getattr(self, f"_{name}") for name in names}
        remote.timeout = self._timeout
        remote.write_timeout = self._write_timeout
        remote.inter_byte_timeout = self._inter_byte_timeout
        before = remote.get_settings()
        if any(before[name] != value for name, value in settings.items()):
            self._do(remote.apply_settings, settings)

    # --- bytes --------------------------------------------------------------------------------------------------

    @property
    def in_waiting(self) -> int:
        """Bytes that can be read at once."""
        return self._do(lambda: self._there.in_waiting)

    def read(self, size: int = 1) -> bytes:
        """Read bytes; fewer where the timeout has passed."""
        return self._do(self._there.read, size)

    def read_until(self, expected: bytes = b"\n", size: int | None = None) -> bytes:
        """Read up to and with some bytes, at once and not one by one."""
        return self._do(self._there.read_until, expected, size)

    def cancel_read(self) -> None:
        """Have a read in another thread return."""
        self._there.cancel_read()

    def cancel_write(self) -> None:
        """Have a write in another thread return."""
        self._there.cancel_write()

    def write(self, data: Any, /) -> int:
        """Write bytes."""
        return self._do(self._there.write, to_bytes(data))

    def flush(self) -> None:
        """Wait until everything has been sent."""
        if self.is_open:
            self._do(self._there.flush)

    def reset_input_buffer(self) -> None:
        """Throw away what has come in."""
        self._do(self._there.reset_input_buffer)

    def reset_output_buffer(self) -> None:
        """Throw away what was not sent yet."""
        self._do(self._there.reset_output_buffer)

    @property
    def out_waiting(self) -> int:
        """Bytes that still have to be sent."""
        return self._do(lambda: self._there.out_waiting)

    # --- lines --------------------------------------------------------------------------------------------------

    def _set(self, name: str, value: bool) -> None:
        remote = self._there
        self._do(lambda: setattr(remote, name, value))

    def _update_break_state(self) -> None:
        self._set("break_condition", self._break_state)

    def _update_rts_state(self) -> None:
        self._set("rts", self._rts_state)

    def _update_dtr_state(self) -> None:
        self._set("dtr", self._dtr_state)

    @property
    def cts(self) -> bool:
        """In: clear to send."""
        return self._do(lambda: self._there.cts)

    @property
    def dsr(self) -> bool:
        """In: data set ready."""
        return self._do(lambda: self._there.dsr)

    @property
    def ri(self) -> bool:
        """In: ring indicator."""
        return self._do(lambda: self._there.ri)

    @property
    def cd(self) -> bool:
        """In: carrier detect."""
        return self._do(lambda: self._there.cd)
