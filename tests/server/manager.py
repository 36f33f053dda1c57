"""A stand-in for systemd that speaks its protocols: sd_notify(3) with barriers, sd_listen_fds(3), the watchdog."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LIMIT_S = 60.0
"""How long anything may take."""

_HIGH = 50
"""Where descriptors are put that shall become 3, 4, and so on."""

_HAND_OVER = f"""
import os, sys
for place in range(int(os.environ["LISTEN_FDS"])):
    os.dup2({_HIGH} + place, 3 + place)
    os.close({_HIGH} + place)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[1], sys.argv[1:])
"""


class Unit:
    """A service, started as systemd starts one of ``Type=notify-reload``.

    Parameters:
        folder: where its socket for notifications lies.
        arguments: of ``rpcserver``.
        sockets: listening sockets by their names, in the order of their numbers.
        watchdog_s: ``WatchdogSec=``; ``None`` for none.
        environment: further variables.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        sockets: Mapping[str, socket.socket] | None = None,
        watchdog_s: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.told: queue.Queue[dict[str, str]] = queue.Queue()
        self.history: list[dict[str, str]] = []
        self.fed_at: float | None = None  # As of systemd.service(5), the watchdog waits for the end of the start.
        self.starved = threading.Event()
        self._watchdog_s = watchdog_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = folder / f"notify-{time.monotonic_ns()}"
        self._socket.bind(str(address))
        self._socket.settimeout(0.1)
        sockets = sockets or {}
        variables = {**os.environ, **(environment or {}), "NOTIFY_SOCKET": str(address), "PYTHONUNBUFFERED": "1"}
        if watchdog_s is not None:
            variables["WATCHDOG_USEC"] = str(round(watchdog_s * 1e6))
        command = [sys.executable, "-m", "rpcserver", *arguments]
        high: list[int] = []
        if sockets:
            variables |= {"LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": ":".join(sockets)}
            high = [os.dup2(sock.fileno(), _HIGH + place) for place, sock in enumerate(sockets.values())]
            command = [sys.executable, "-c", _HAND_OVER, *command]
        self.process = subprocess.Popen(
            command, env=variables, pass_fds=high, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for descriptor in high:
            os.close(descriptor)
        self._listening = True
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while self._listening:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, 65536, 4)
            except TimeoutError:
                data, descriptors = b"", []
            except OSError:
                return
            for descriptor in descriptors:
                os.close(descriptor)  # This answers a barrier.
            if data and not descriptors:
                message = dict(line.split("=", 1) for line in data.decode().splitlines())
                if "WATCHDOG" in message or ("READY" in message and self.fed_at is None):
                    self.fed_at = time.monotonic()
                self.history.append(message)
                self.told.put(message)
            elif self._is_starving():
                self._watchdog_s = None
                self.starved.set()
                self.process.send_signal(signal.SIGABRT)

    def _is_starving(self) -> bool:
        if self._watchdog_s is None or self.fed_at is None:
            return False
        return time.monotonic() - self.fed_at > self._watchdog_s

    def wait_for(self, key: str, value: str | None = None) -> dict[str, str]:
        """Wait until the service has told something. Returns the whole message."""
        end = time.monotonic() + LIMIT_S
        while True:
            try:
                message = self.told.get(timeout=max(0.1, end - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"{key} was not told; told: {self.history}") from None
            if key in message and value in (None, message[key]):
                return message

    def stop(self, signum: int = signal.SIGTERM) -> tuple[int, str]:
        """Stop it. Returns its exit status and what it has printed."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            output, _ = self.process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            output, _ = self.process.communicate()
        self._listening = False
        self._thread.join(LIMIT_S)
        self._socket.close()
        return self.process.returncode, output
