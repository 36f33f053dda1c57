"""What belongs to the state of a server, and where each part of it lies."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from rpcserver.config import ServerConfig
from rpcserver.state import LOCK

SQLITE_HEADER = b"SQLite format 3\0"
"""The first bytes of a database of SQLite (https://www.sqlite.org/fileformat.html, section 1.3)."""

SET_ASIDE = "before-restore-"
"""Begins the names of folders in the state folder into which a restore has moved what was there."""

NEW_FOLDER = "restore.new"
"""The folder in the state folder into which a restore unpacks at first."""

_TEMPORARY = frozenset({
    LOCK, "tokens.lock", "tokens.json.new", "callers.json.new", "sessions.json", "sessions.json.new", NEW_FOLDER,
    "install",
})  # fmt: skip
"""What in the state folder is no state: locks, files half written, what `rpcserver install` notes of a machine, and
sessions: a backup must not bring back those that were revoked."""

_OF_BROKER = frozenset(f"group/broker/{name}" for name in ("broker.json", "lock", "ports", "store"))
"""What the embedded broker of a group makes anew. Its credentials, and those of the nodes, are state."""

_COMPANIONS = ("-wal", "-shm", "-journal")
"""The ends of the names of files that SQLite keeps beside a database. A copy by SQLite has what is in them."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the state: a folder or a single file.

    Attributes:
        name: its name in a backup.
        path: where it lies.
    """

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class StateFile:
    """A file of the state.

    Attributes:
        name: its name in a backup, with slashes.
        path: where it lies.
        mode: its mode: the owner's rights.
        is_database: whether it is a database of SQLite.
    """

    name: str
    path: Path
    mode: int
    is_database: bool


def parts_of(config: ServerConfig) -> list[Part]:
    """Return the parts of a server's state. Some lie outside the state folder, if the configuration says so.

    Parameters:
        config: the configuration.
    """
    parts = [Part("state", config.state_path)]
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    is_credential = bool(folder) and config.token_path.parent == Path(folder or "")
    if not is_credential and not _is_in(config.token_path, config.state_path):  # Else systemd keeps the token.
        parts.append(Part("token", config.token_path))
    if config.audit.enabled and not _is_in(config.audit_path, config.state_path):
        parts.append(Part("audit", config.audit_path))
    return parts


def _is_in(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder.absolute())


def list_state(parts: Collection[Part], transient: Collection[str] = ()) -> Iterator[StateFile]:
    """Yield all files of the state, by name.

    Parameters:
        parts: the parts.
        transient: names of files and folders, relative to the state folder, that need no backup.

    Raises:
        OSError: a folder cannot be read.
    """
    for part in parts:
        if part.path.is_dir():
            yield from _walk(part, part.path, frozenset(transient))
        elif part.path.exists():
            yield _file(part.name, part.path)


def _walk(part: Part, folder: Path, transient: frozenset[str]) -> Iterator[StateFile]:
    for path in sorted(folder.iterdir()):
        relative = path.relative_to(part.path).as_posix()
        is_top = path.parent == part.path
        if part.name == "state" and (
            relative in transient
            or relative in _OF_BROKER
            or (is_top and (path.name in _TEMPORARY or path.name.startswith(SET_ASIDE)))
        ):
            continue
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue  # It has ended meanwhile.
        if stat.S_ISDIR(mode):
            yield from _walk(part, path, transient)
        elif stat.S_ISREG(mode) and not _is_companion(path):
            yield _file(f"{part.name}/{relative}", path)


def _file(name: str, path: Path) -> StateFile:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        return StateFile(name, path, stat.S_IMODE(mode) & stat.S_IRWXU, file.read(16) == SQLITE_HEADER)


def _is_companion(path: Path) -> bool:
    """Return whether SQLite keeps a file beside a database."""
    for end in _COMPANIONS:
        if path.name.endswith(end) and path.with_name(path.name.removesuffix(end)).is_file():
            with path.with_name(path.name.removesuffix(end)).open("rb") as file:
                return file.read(16) == SQLITE_HEADER
    return False
