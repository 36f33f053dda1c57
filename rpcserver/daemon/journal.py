"""Writes to the journal of systemd by its own protocol, so that each entry keeps its fields.

Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import IO, Any

SOCKET = "/run/systemd/journal/socket"
"""Where the journal listens."""

FIELD_CHARACTERS = 64
"""The longest name of a field."""

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_SEND_BUFFER_BYTES = 8 << 20
"""As sd_journal_send(3) asks for, so that bursts need not wait."""
_TOO_LARGE = frozenset({errno.EMSGSIZE, errno.ENOBUFS})
_SEALS = fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def goes_to_journal(environ: Mapping[str, str], stream: IO[Any]) -> bool:
    """Whether what is written to a stream ends in the journal (systemd.exec(5), ``$JOURNAL_STREAM``).

    Parameters:
        environ: the environment.
        stream: standard error.
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def encode_entry(fields: Iterable[tuple[str, str]]) -> bytes:
    """Write an entry as the journal reads it.

    Parameters:
        fields: names and values. A name has capital letters, digits and underscores, and begins with a letter.

    Raises:
        ValueError: a name is none.
    """
    entry = bytearray()
    for name, value in fields:
        if not _NAME.fullmatch(name) or len(name) > FIELD_CHARACTERS:
            raise ValueError(f"{name!r} is no name of a field in the journal")
        data = value.encode(errors="backslashreplace")
        if b"\n" in data:
            entry += name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
        else:
            entry += name.encode() + b"=" + data + b"\n"
    return bytes(entry)


class Journal:
    """The journal of this machine.

    Parameters:
        address: its socket.
    """

    def __init__(self, address: str = SOCKET) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def send(self, entry: bytes) -> None:
        """Send an entry. One that is larger than a datagram goes in a sealed file in memory.

        Raises:
            OSError: nobody listens.
        """
        try:
            # The address each time: the journal makes its socket anew when it starts again.
            self._socket.sendto(entry, self._address)
        except OSError as exc:
            if exc.errno not in _TOO_LARGE:
                raise
            self._send_file(entry)

    def _send_file(self, entry: bytes) -> None:
        descriptor = os.memfd_create("rpcserver-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with os.fdopen(descriptor, "wb") as file:
            file.write(entry)
            file.flush()
            fcntl.fcntl(file, *_SEALS)
            rights = array.array("i", [file.fileno()])
            # Not socket.send_fds(): it does not pass the address on (in Python 3.11 at least).
            self._socket.sendmsg([b""], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], 0, self._address)

    def close(self) -> None:
        """Send nothing from now on."""
        self._socket.close()
