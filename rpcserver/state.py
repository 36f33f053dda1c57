"""Locks the state folder, which belongs to one server at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from rpcwire.trusted_files import UntrustedFile, make_folder, open_file

from .config import ConfigError

LOCK = "lock"
"""The file in the state folder that the server locks. It is empty, and is never removed."""


def lock_state(folder: Path) -> int:
    """Lock the state folder for this server. Make it, with mode 0700, if it is missing. The kernel unlocks it when the
    server ends, however it ends (flock(2)).

    Parameters:
        folder: the state folder.

    Returns:
        A descriptor; to close it unlocks the folder.

    Raises:
        ConfigError: another server has locked it, or it cannot be used or trusted.
    """
    try:
        make_folder(folder)
        descriptor = open_file(folder / LOCK, os.O_RDWR | os.O_CREAT, follow=False)
    except UntrustedFile as exc:
        raise ConfigError(f"state_dir: {exc}") from None
    except OSError as exc:
        raise ConfigError(f"state_dir: {folder}: {exc.strerror}: name another folder") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(descriptor)
        if not isinstance(exc, BlockingIOError):
            raise ConfigError(f"state_dir: {folder} cannot be locked: {exc.strerror}: name another folder") from exc
        raise ConfigError(
            f"state_dir: another server uses {folder}: stop it, or name another folder with state_dir or "
            "RPCSERVER_STATE_DIR"
        ) from exc
    return descriptor
