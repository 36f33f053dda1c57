"""The system's side of a serial port: opens it exclusively, recognizes that it is gone, and releases it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import termios
from collections.abc import Iterator
from typing import Any

from rpcservices.hardware.errors import SerialPortBusy, SerialPortDenied, SerialPortNotFound
from rpcservices.hardware.models import SerialSettings

UNPLUGGED_ERRORS = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.EBADF)
"""The system's errors for a port that was unplugged."""


def open_port(node: str, settings: SerialSettings) -> Any:
    """Open a port exclusively, and set it up. It blocks.

    Raises:
        SerialPortNotFound: there is no such port.
        SerialPortBusy: somebody has it open.
        SerialPortDenied: the server's user may not open it.
        ValueError: the driver refuses a setting.
        ImportError: pyserial is not installed.
    """
    import serial

    try:
        with refused_settings():
            port = serial.Serial(node, timeout=0, exclusive=True, **settings.model_dump())
    except (serial.SerialException, termios.error) as exc:
        number = exc.args[0] if isinstance(exc, termios.error) else exc.errno
        reason = number or getattr(exc.__context__, "errno", None)
        if reason in (errno.EACCES, errno.EPERM):
            raise SerialPortDenied(
                f"{node}: the server's user may not open it; add the user to the group that owns the file", port=node
            ) from None
        if reason in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            raise SerialPortNotFound(f"{node}: no such port", port=node) from None
        if reason in (errno.EBUSY, errno.EAGAIN):
            raise SerialPortBusy(f"{node}: somebody else has it open", port=node) from None
        raise SerialPortNotFound(
            f"{node}: not a serial port ({os.strerror(reason or errno.EINVAL)})", port=node
        ) from None
    # pyserial's lock stops only programs that lock, too. This stops all but root (tty_ioctl(4), TIOCEXCL).
    with contextlib.suppress(OSError):
        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
    return port


@contextlib.contextmanager
def refused_settings() -> Iterator[None]:
    """Turn the driver's refusal of settings (tcsetattr(3)) into a ``ValueError``.

    Raises:
        ValueError: the driver refuses the settings.
        termios.error: another error, such as that the port is gone. This class is no ``OSError``.
    """
    try:
        yield
    except termios.error as exc:
        if exc.args[0] != errno.EINVAL:
            raise
        raise ValueError("the driver takes no such data bits, parity or stop bits") from None


def hung_up(fd: int) -> bool:
    """Whether the other end of a line is gone."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))


def give_up_draining(fd: int) -> None:
    """End a drain in another thread by throwing the output away, and allow others to open the port even if the drain
    goes on."""
    with contextlib.suppress(OSError, termios.error):
        termios.tcflush(fd, termios.TCOFLUSH)
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.TIOCNXCL)
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


@contextlib.contextmanager
def without_lines() -> Iterator[None]:
    """Ignore the error of a port without control lines, such as a pseudo-terminal."""
    try:
        yield
    except (OSError, termios.error) as exc:
        if (exc.args[0] if exc.args else None) not in (errno.EINVAL, errno.ENOTTY):
            raise
