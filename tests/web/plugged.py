"""What journeys plug into the machine and pull out again: the other end of a serial line, and a network interface."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import subprocess
import termios
import time
import tty
from pathlib import Path

LIMIT_S = 20.0
"""How long to wait for bytes."""

SPEEDS = {getattr(termios, f"B{rate}"): rate for rate in (9600, 19200, 115_200)}


class Line:
    """A serial line without hardware: a pseudo-terminal behind a link, which outlives replugging as udev's links do.

    Parameters:
        link: where the link is.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self._far = self._near = -1

    def plug(self) -> None:
        """Plug in something that has said nothing yet."""
        self.unplug()
        self._far, self._near = pty.openpty()
        tty.setraw(self._near)
        self.link.symlink_to(os.ttyname(self._near))

    def unplug(self) -> None:
        """Pull it out."""
        self.link.unlink(missing_ok=True)
        for end in (self._far, self._near):
            if end >= 0:
                os.close(end)
        self._far = self._near = -1

    def write(self, data: bytes) -> None:
        """Say something at the other end."""
        while data:
            data = data[os.write(self._far, data) :]

    def expect(self, data: bytes) -> bytes:
        """Read at the other end as many bytes as are expected, and return them.

        Raises:
            TimeoutError: they do not come; it says what has come.
        """
        came = b""
        end = time.monotonic() + LIMIT_S
        while len(came) < len(data):
            if not select.select([self._far], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"there came {came!r} only")
            came += os.read(self._far, len(data) - len(came))
        return came

    def read_settings(self) -> bytes:
        """Return how the port is set up now, as JSON."""
        flags = termios.tcgetattr(self._near)
        settings = {
            "baudrate": SPEEDS.get(flags[4]),
            "stopbits": 2 if flags[2] & termios.CSTOPB else 1,
            "xonxoff": bool(flags[0] & termios.IXON),
        }
        return json.dumps(settings).encode()


class Interface:
    """A network interface that comes and goes."""

    def __init__(self) -> None:
        self.name = f"rpcweb{os.getpid() % 10_000}"
        self.why_not = ""

    def add(self) -> bool:
        """Make it. Returns whether this machine can; `why_not` says what it lacks."""
        for kind in ("dummy", "bridge", "ifb"):
            command = ["ip", "link", "add", self.name, "type", kind]
            with contextlib.suppress(FileNotFoundError):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                self.why_not = done.stderr.strip()
                if done.returncode == 0:
                    return True
        return False

    def remove(self) -> None:
        """Take it away, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(["ip", "link", "del", self.name], capture_output=True, check=False)
