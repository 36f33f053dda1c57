"""The state folder: its lock, since it belongs to one server at a time, and the version of what is in it.

A server that finds an older state brings it to its own version before anything else reads it. One that finds a newer
state does not start: it could not read it, and might destroy it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from rpcwire.trusted_files import UntrustedFile, make_folder, open_file, read_file

from .config import ConfigError

logger = logging.getLogger("rpcserver.state")

LOCK = "lock"
"""The file in the state folder that the server locks. It is empty, and is never removed."""

VERSION_FILE = "version.json"
"""The file in the state folder that tells the version of the state, and which server has written it."""

_BEFORE_STATE = frozenset({LOCK, "token"})
"""What a new server puts into the folder before it has a state."""

STATE_VERSION = 1
"""The version of the state that this server writes. It grows when an older server could not read the state any more."""


def _begin_versions(_: Path) -> None:
    """Change nothing: version 1 differs from the state of the first servers by the file with the version only."""


MIGRATIONS: Mapping[int, Callable[[Path], None]] = {0: _begin_versions}
"""Brings the state folder from each version to the next one. A migration that is broken off is begun anew, so it must
stand that."""


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


def read_version(folder: Path) -> int | None:
    """Return the version of the state in a folder; 0 if it has none, as that of the first servers; ``None`` if there is
    no state.

    Parameters:
        folder: the state folder.

    Raises:
        ConfigError: the state is of a newer server, or its version cannot be read.
    """
    path = folder / VERSION_FILE
    try:
        data = json.loads(read_file(path))
        version, server = int(data["version"]), str(data["server"])
    except FileNotFoundError:
        if not folder.is_dir():
            return None
        return 0 if any(each.name not in _BEFORE_STATE for each in folder.iterdir()) else None
    except UntrustedFile as exc:
        raise ConfigError(f"state_dir: {exc}") from None
    except OSError as exc:
        raise ConfigError(f"state_dir: {path}: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"state_dir: {path} is malformed: restore a backup, or write what it was: "
            '{"version": 1, "server": "0.1.0"}'
        ) from None
    check_version(version, server, f"state_dir: {folder}")
    return version


def check_version(version: int, server: str, what: str) -> None:
    """Make sure that this server can read a state.

    Parameters:
        version: the version of the state.
        server: the version of the server that has written it.
        what: where the state is, for the error message.

    Raises:
        ConfigError: it is newer.
    """
    if version > STATE_VERSION:
        raise ConfigError(
            f"{what} is of a newer server, {server[:50]}: its state has version {version}, and this server can read up "
            f"to {STATE_VERSION}: install rpcserver {server[:50]} or later, or restore a backup that this version has "
            "made, or name another folder with state_dir"
        )


def migrate_state(folder: Path, server: str) -> None:
    """Bring the state to the version of this server. Call this when the folder is locked, before anything reads it.

    Parameters:
        folder: the state folder.
        server: the version of this server.

    Raises:
        ConfigError: the state is of a newer server, or cannot be read or written.
    """
    version = read_version(folder)
    if version == STATE_VERSION:
        return
    try:
        while version is not None and version < STATE_VERSION:
            MIGRATIONS[version](folder)
            version += 1
            _write_version(folder, version, server)
            logger.info("the state in %s has version %d now", folder, version)
        if version is None:
            _write_version(folder, STATE_VERSION, server)
    except OSError as exc:
        raise ConfigError(f"state_dir: {exc.filename or folder}: {exc.strerror}: the state cannot be migrated") from exc


def _write_version(folder: Path, version: int, server: str) -> None:
    new = folder / f"{VERSION_FILE}.new"
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"version": version, "server": server}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / VERSION_FILE)
