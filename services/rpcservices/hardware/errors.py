"""What the hardware service declares to go wrong."""

from __future__ import annotations

from rpcwire.errors import ServiceError


class SectionUnavailable(ServiceError):
    """A whole section cannot be read at the moment. (A single value that cannot be read is None, with a reason.)"""

    section: str
    reason: str


class HardwareRefused(ServiceError):
    """The caller's role in the server's configuration does not list the device."""

    code = -32002
    executed = "no"
    device: str
    """The file of the device."""
    rule: str
    """The place of the rule in the server's configuration."""


class DeviceNotFound(ServiceError):
    """There is no such device."""

    executed = "no"
    device: str


class ProcessGone(ServiceError):
    """The process has ended. Its number may be another's by now, which was left alone."""

    executed = "no"
    pid: int


class ProcessDenied(ServiceError):
    """The server's user may not do this to the process, or the caller's role allows only the caller's own."""

    executed = "no"
    pid: int


class SerialPortNotFound(ServiceError):
    """There is no such serial port, or it may not be used as one."""

    executed = "no"
    port: str


class SerialPortBusy(ServiceError):
    """Somebody else has the port open, or reads it."""

    executed = "no"
    port: str


class SerialPortDenied(ServiceError):
    """The server's user may not open the port."""

    executed = "no"
    port: str


class SerialPortGone(ServiceError):
    """The port was unplugged, or is closed."""

    port: str


class SerialTimeout(ServiceError):
    """The port took no more bytes: the other side holds them back."""

    port: str
    written: int
    """How many of the bytes were written."""


class SerialNotOpen(ServiceError):
    """This connection has no open port of this id."""

    executed = "no"
    id: str
