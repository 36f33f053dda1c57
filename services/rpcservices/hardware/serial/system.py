"""What the system does with a serial port: open it for one alone, tell that it is gone, let go of it."""

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

GONE = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.EBADF)
"""What the system answers for a port that was unplugged."""


def open_port(node: str, settings: SerialSettings) -> Any:
    """Open a port for nobody else, and set it up. It blocks.

    Raises:
        SerialPortNotFound, SerialPortBusy, SerialPortDenied: as they say.
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
    # pyserial's lock holds off those who lock, too; this holds off all others but root (tty_ioctl(4), TIOCEXCL).
    with contextlib.suppress(OSError):
        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
    return port


@contextlib.contextmanager
def refused_settings() -> Iterator[None]:
    """Tell settings that the driver refuses (tcsetattr(3)) from a port that is gone: ``termios.error`` is neither an
    ``OSError`` nor a ``ValueError``.

    Raises:
        ValueError: they are refused.
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
    """End a drain in another thread by throwing the output away, and let others have the port even if it goes on."""
    with contextlib.suppress(OSError, termios.error):
        termios.tcflush(fd, termios.TCOFLUSH)
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.TIOCNXCL)
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


@contextlib.contextmanager
def without_lines() -> Iterator[None]:
    """Take no notice where a port has no control lines, as pseudo-terminals have none."""
    try:
        yield
    except (OSError, termios.error) as exc:
        if (exc.args[0] if exc.args else None) not in (errno.EINVAL, errno.ENOTTY):
            raise
