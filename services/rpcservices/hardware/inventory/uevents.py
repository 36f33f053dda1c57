"""Where the news about devices come from: udev where it runs, else the kernel itself."""

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
    """Something has happened to a device.

    Attributes:
        action: add, remove, change, move, bind, unbind, online or offline.
        devpath: the device's path below sysfs' root.
        subsystem: of the kernel.
        devpath_old: the former path (move).
    """

    action: str
    devpath: str
    subsystem: str
    devpath_old: str = ""


class Source(Protocol):
    """A source of events. It never blocks."""

    def fileno(self) -> int:
        """What becomes readable when there are events."""
        ...

    def receive(self) -> Uevent | None:
        """The next event; ``None`` where there is none now.

        Raises:
            OSError: with ``ENOBUFS``, events were lost.
        """
        ...

    def close(self) -> None:
        """Receive no more."""
        ...


def parse(message: bytes) -> Uevent | None:
    """A message of the kernel: ``action@devpath``, and ``KEY=value`` strings, each ended by a null byte
    (lib/kobject_uevent.c); ``None`` where it is none."""
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
        buffer_bytes: how much may wait to be received.

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
        """What becomes readable when there are events."""
        return self._socket.fileno()

    def receive(self) -> Uevent | None:
        """The next event."""
        while True:
            try:
                message, (sender, _) = self._socket.recvfrom(65_536)
            except BlockingIOError:
                return None
            # Another program may send here, too; the kernel's messages come from number 0.
            event = parse(message) if sender == 0 else None
            if event is not None:
                return event

    def close(self) -> None:
        """Receive no more."""
        self._socket.close()


class UdevSource:
    """Events as udev passes them on, once its rules have run: names, links and properties are there by then.

    Parameters:
        buffer_bytes: how much may wait to be received.
        source: ``udev``; ``kernel`` gives the kernel's events by udev's library.

    Raises:
        ImportError: pyudev or libudev is not installed.
        OSError: the system has no such events.
    """

    def __init__(self, buffer_bytes: int, source: str = "udev") -> None:
        import pyudev  # type: ignore[import-untyped]

        self._monitor: Any = pyudev.Monitor.from_netlink(pyudev.Context(), source=source)
        with contextlib.suppress(OSError):  # Without privileges the system's default holds.
            self._monitor.set_receive_buffer_size(buffer_bytes)
        self._monitor.start()

    def fileno(self) -> int:
        """What becomes readable when there are events."""
        return int(self._monitor.fileno())

    def receive(self) -> Uevent | None:
        """The next event."""
        try:
            device = self._monitor.poll(timeout=0)
        except OSError as exc:
            if exc.errno is not None:
                raise
            # pyudev says no more than that poll(2) reports an error, and does so until somebody has asked which.
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
            # pyudev tells of no name that is no UTF-8: the event is lost, and what it was about is listed anew.
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS)) from None

    def close(self) -> None:
        """Receive no more: the socket closes with the monitor."""
        self._monitor = None


def _pending_error(fd: int) -> int:
    """The error that a socket reports, which is thereby taken from it (socket(7), SO_ERROR)."""
    with socket.socket(fileno=os.dup(fd)) as same:
        return same.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.EIO


def udev_runs(places: Places) -> bool:
    """Whether udev's daemon is there to pass events on."""
    return (places.run / "udev" / "control").exists()


def open_source(places: Places, buffer_bytes: int) -> Source:
    """The best source of events that there is.

    Raises:
        OSError: there is none.
    """
    if udev_runs(places):
        with contextlib.suppress(ImportError, OSError):  # why_no_udev() tells of it.
            return UdevSource(buffer_bytes)
    return KernelSource(buffer_bytes)


def why_no_udev(places: Places) -> str:
    """Why events come from the kernel itself, without what udev's rules add; nothing where they come from udev."""
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
    """Why device events cannot be had; nothing where they can."""
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
