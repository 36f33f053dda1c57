"""Where the local server and the client meet when nobody says where: one place that both sides know."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8765


def state_dir() -> Path:
    """Where the server keeps what survives restarts: ``XDG_STATE_HOME/remote-services`` on Linux."""
    from platformdirs import PlatformDirs  # Whoever says where the server is does not load it.

    return PlatformDirs("remote-services", appauthor=False).user_state_path


def token_file() -> Path:
    """The token that a server generates for itself, and that local clients read."""
    return state_dir() / "token"


def socket_file() -> Path:
    """The Unix socket of the local server: in ``XDG_RUNTIME_DIR`` where that exists, else in a folder of the user's
    own below the system's temporary folder."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "remote-services" / "rpcserver.sock"
    import tempfile  # It loads a dozen modules, and few systems have no such folder.

    return Path(tempfile.gettempdir()) / f"remote-services-{os.getuid()}" / "rpcserver.sock"
