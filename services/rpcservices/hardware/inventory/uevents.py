"""Receives events about devices: from udev if it runs, else from the kernel."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from dataclasses import dataclass
from typing import Any, Protocol

from rpcservices.hardware.readers.places import Places, text

_NETLINK_KOBJECT_UEVENT = 15
_KERNEL_GROUP = 1
_SO_RCVBUFFORCE = 33
_WHOLE_USER_NAMESPACE = ["0", "0", "4294967295"]


@dataclass(frozen=True, slots=True)
class Uevent:
    """An event of a device.

    Attributes:
        action: add, remove, change, move, bind, unbind, online or offline.
        devpath: the device's path below sysfs' root.
        subsystem: its subsystem in the kernel.
        devpath_old: the path before a move.
    """

    action: str
    devpath: str
    subsystem: str
    devpath_old: str = ""


class Source(Protocol):
    """A source of events. It never blocks."""

    def fileno(self) -> int:
        """The descriptor that becomes readable when there are events."""
        ...

    def receive(self) -> Uevent | None:
        """Receive the next event; ``None`` where there is none now.

        Raises:
            OSError: with ``ENOBUFS``, events were lost.
        """
        ...

    def close(self) -> None:
        """Stop receiving."""
        ...


def parse(message: bytes) -> Uevent | None:
    """Read a message of the kernel: ``action@devpath`` and ``KEY=value`` strings, each with a null byte at its end
    (lib/kobject_uevent.c). ``None`` for any other message."""
    head, *rest = message.split(b"\0")
    if b"@" not in head:
        return None
    pairs = (part.decode("utf-8", "surrogateescape").partition("=") for part in rest)
    fields = {name: value for name, sign, value in pairs if sign}
    if not fields.get("ACTION") or not fields.get("DEVPATH"):
        return None
    return Uevent(
        fields["ACTION"], fields["DEVPATH"], fields.get("SUBSYSTEM", ""), devpath_old=fields.get("DEVPATH_OLD", "")
    )


class KernelSource:
    """The kernel's own events (netlink(7), NETLINK_KOBJECT_UEVENT).

    Parameters:
        buffer_bytes: the size of the buffer for events that wait.

    Raises:
        OSError: the system has no such events.
    """

    def __init__(self, buffer_bytes: int) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, _NETLINK_KOBJECT_UEVENT
        )
        try:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
            except PermissionError:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            self._socket.bind((0, _KERNEL_GROUP))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The descriptor that becomes readable when there are events."""
        return self._socket.fileno()

    def receive(self) -> Uevent | None:
        """Receive the next event."""
        while True:
            try:
                message, (sender, _) = self._socket.recvfrom(65_536)
            except BlockingIOError:
                return None
            # Other programs may send here, too; only messages from number 0 are the kernel's.
            event = parse(message) if sender == 0 else None
            if event is not None:
                return event

    def close(self) -> None:
        """Stop receiving."""
        self._socket.close()


class UdevSource:
    """The events that udev passes on after its rules have run, so that names, links and properties are complete.

    Parameters:
        buffer_bytes: the size of the buffer for events that wait.
        source: ``udev``, or ``kernel`` for the kernel's events by udev's library.

    Raises:
        ImportError: pyudev or libudev is not installed.
        OSError: the system has no such events.
    """

    def __init__(self, buffer_bytes: int, source: str = "udev") -> None:
        import pyudev  # type: ignore[import-untyped]

        self._monitor: Any = pyudev.Monitor.from_netlink(pyudev.Context(), source=source)
        with contextlib.suppress(OSError):  # Without privileges the buffer keeps the system's default size.
            self._monitor.set_receive_buffer_size(buffer_bytes)
        self._monitor.start()

    def fileno(self) -> int:
        """The descriptor that becomes readable when there are events."""
        return int(self._monitor.fileno())

    def receive(self) -> Uevent | None:
        """Receive the next event."""
        try:
            device = self._monitor.poll(timeout=0)
        except OSError as exc:
            if exc.errno is not None:
                raise
            # pyudev only says that poll(2) reports an error, and repeats it until somebody reads the error.
            number = _pending_error(self.fileno())
            raise OSError(number, os.strerror(number)) from exc
        if device is None:
            return None
        try:
            return Uevent(
                str(device.action),
                str(device.device_path),
                str(device.subsystem or ""),
                str(device.properties.get("DEVPATH_OLD", "")),
            )
        except UnicodeDecodeError:
            # pyudev cannot give a name that is not UTF-8. The event is lost, so all devices are listed again.
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS)) from None

    def close(self) -> None:
        """Stop receiving: the socket closes with the monitor."""
        self._monitor = None


def _pending_error(fd: int) -> int:
    """Read the error of a socket, which also clears it (socket(7), SO_ERROR)."""
    with socket.socket(fileno=os.dup(fd)) as same:
        return same.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.EIO


def udev_runs(places: Places) -> bool:
    """Whether udev's daemon runs, so that it passes events on."""
    return (places.run / "udev" / "control").exists()


def open_source(places: Places, buffer_bytes: int) -> Source:
    """Open the best source of events on this machine.

    Raises:
        OSError: there is none.
    """
    if udev_runs(places):
        with contextlib.suppress(ImportError, OSError):  # why_no_udev() reports the reason.
            return UdevSource(buffer_bytes)
    return KernelSource(buffer_bytes)


def why_no_udev(places: Places) -> str:
    """Why events come from the kernel, without what udev's rules add; an empty text where they come from udev."""
    if not udev_runs(places):
        return "absent: udev does not run, so the kernel's own events are used"
    try:
        UdevSource(65_536).close()
    except ImportError:
        return "absent: pyudev is not installed (the extra udev), so the kernel's own events are used"
    except OSError as exc:
        return f"denied: udev's events: {os.strerror(exc.errno or 0)}; the kernel's own are used"
    return ""


def why_no_events(places: Places) -> str:
    """Why there are no device events; an empty text where there are."""
    if not hasattr(socket, "AF_NETLINK"):
        return "unsupported: device events are read from Linux's netlink"
    users = (text(places.proc / "self" / "uid_map") or "").split()
    if users and users != _WHOLE_USER_NAMESPACE:
        # lib/kobject_uevent.c: other user namespaces get the events of their own network interfaces only.
        return "unsupported: in this container the kernel reports network interfaces only"
    try:
        open_source(places, 65_536).close()
    except OSError as exc:
        return f"denied: {os.strerror(exc.errno or 0)}"
    return ""
