"""Servers of SSH as they run on real machines: the ``sshd`` of OpenSSH, one for each node, with the settings that
Debian installs. `fleet.py` starts them as its children.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

START_S = 30.0
"""How long all of them may take to start, in seconds."""

SETTINGS = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
StrictModes no
PermitRootLogin prohibit-password
PidFile none
MaxStartups 1000
MaxSessions 1000
UsePAM {use_pam}
KbdInteractiveAuthentication no
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
SetEnv HOME={folder}/home
"""
"""The last six are Debian's, but for the home: there no ``.bashrc`` makes the shell slower. The others say where the
server is, whose keys it takes, and that as many connections as come may come at once."""


def find_sshd() -> str | None:
    """Return the path of ``sshd``; ``None`` where it is not installed."""
    return shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


@contextmanager
def run_sshds(sshd: str, folder: Path, count: int) -> Iterator[tuple[list[int], Path]]:
    """Run so many servers, which let in whoever has one key, as the user who runs this.

    Parameters:
        sshd: the path of ``sshd``.
        folder: where keys and settings are written.
        count: how many.

    Returns:
        Their ports, and the file with the private key of the user.
    """
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    (folder / "home").mkdir()
    is_root = os.geteuid() == 0
    if is_root:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # As its unit does. It refuses to start without.
    with ExitStack() as stack:
        ports = _free_ports(count)
        for port in ports:
            settings = folder / f"sshd_{port}"
            # PAM asks for rights that only root has.
            settings.write_text(SETTINGS.format(port=port, folder=folder, use_pam="yes" if is_root else "no"))
            with (folder / f"sshd_{port}.log").open("wb") as log:
                command = [sshd, "-D", "-e", "-f", str(settings)]
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        deadline = time.monotonic() + START_S
        for port in ports:
            _wait_for_greeting(port, deadline, folder / f"sshd_{port}.log")
        yield ports, folder / "user_key"


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        holders = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(holder.getsockname()[1]) for holder in holders]


def _wait_for_greeting(port: int, deadline: float, log: Path) -> None:
    """Wait until the server on this port says what it is."""
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=START_S) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except ConnectionRefusedError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"sshd does not answer on port {port}: {log.read_text()}")
        time.sleep(0.01)
