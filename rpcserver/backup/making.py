"""Makes a backup, while the server runs or not.

A database of SQLite is copied by SQLite itself, so that the copy is one state of it however much is written meanwhile.
All other files are either replaced as a whole, or grow at their end; of those the backup has what was there.
"""

from __future__ import annotations

import hashlib
import io
import os
import socket
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import IO
from urllib.parse import quote

from rpcserver.config import ConfigError, ServerConfig
from rpcserver.state import read_version

from .inventory import StateFile, list_state, parts_of
from .manifest import NAME, Manifest, Member

BUSY_S = 30.0
"""How long to wait for a lock on a database, in seconds."""

_PIECE_BYTES = 1024 * 1024


class BackupError(ConfigError):
    """A backup cannot be made or restored; the message says why."""


def make_backup(config: ServerConfig, file: Path, server_version: str, transient: Collection[str] = ()) -> Manifest:
    """Write a backup of a server's state into a new file, which only this user may read.

    Parameters:
        config: the configuration of the server.
        file: the file to make: a tar, compressed by gzip if its name ends in ``.gz`` or ``.tgz``.
        server_version: the version of this program.
        transient: see :func:`~.inventory.list_state`.

    Returns:
        What it holds.

    Raises:
        BackupError: the file exists, there is no state, or something cannot be read or written.
        ConfigError: the state is of a newer server.
    """
    state_version = read_version(config.state_path)
    if state_version is None:
        raise BackupError(f"{config.state_path}: there is no state of a server yet: nothing to back up")
    if any(file.absolute().is_relative_to(part.path.absolute()) for part in parts_of(config)):
        raise BackupError(f"{file}: it lies in the state of the server: name a file elsewhere")
    part_file = file.with_name(f"{file.name}.part")
    if file.exists():
        raise BackupError(f"{file}: it exists already: name another file")
    try:
        part_file.unlink(missing_ok=True)
        descriptor = os.open(part_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as out:
                manifest = _write(config, out, file, server_version, state_version, transient)
                out.flush()
                os.fsync(out.fileno())
            os.link(part_file, file)  # Unlike a renaming, this replaces nothing.
        finally:
            part_file.unlink()
    except FileExistsError:
        raise BackupError(f"{file}: it exists already: name another file") from None
    except OSError as exc:
        raise BackupError(f"{exc.filename or file}: {exc.strerror}: the backup is not made") from exc
    except sqlite3.Error as exc:
        raise BackupError(f"a database cannot be copied: {exc}: the backup is not made") from exc
    return manifest


def _write(
    config: ServerConfig,
    out: IO[bytes],
    file: Path,
    server_version: str,
    state_version: int,
    transient: Collection[str],
) -> Manifest:
    made_s = time.time()
    members: list[Member] = []
    mode = "w:gz" if file.suffix in (".gz", ".tgz") else "w:"
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for each in list_state(parts_of(config), transient):
            members += _add(archive, each, file.parent, made_s)
        manifest = Manifest(
            server_version=server_version,
            state_version=state_version,
            made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(made_s)),
            host=socket.gethostname(),
            members=tuple(members),
        )
        data = manifest.model_dump_json(indent=1).encode()
        archive.addfile(_entry(NAME, len(data), 0o600, made_s), io.BytesIO(data))
    return manifest


def _entry(name: str, size_bytes: int, mode: int, made_s: float) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size_bytes, mode, int(made_s)
    return entry


def _add(archive: tarfile.TarFile, each: StateFile, folder: Path, made_s: float) -> list[Member]:
    """Add a file, unless it is not there any more. Its size and its checksum are those of what was added."""
    with tempfile.TemporaryFile(dir=folder) as copy:  # Only this user can read it, and it has no name.
        try:
            if each.is_database:
                _copy_database(each.path, folder, copy)
            else:
                _copy_file(each.path, copy)
        except FileNotFoundError:
            return []
        size_bytes = copy.tell()
        copy.seek(0)
        checksum = hashlib.file_digest(copy, "sha256").hexdigest()
        copy.seek(0)
        archive.addfile(_entry(each.name, size_bytes, each.mode, made_s), copy)
    return [Member(name=each.name, size_bytes=size_bytes, sha256=checksum, mode=each.mode)]


def _copy_file(path: Path, copy: IO[bytes]) -> None:
    with path.open("rb") as source:
        left = os.fstat(source.fileno()).st_size
        while left > 0 and (piece := source.read(min(left, _PIECE_BYTES))):
            copy.write(piece)
            left -= len(piece)


def _copy_database(path: Path, folder: Path, copy: IO[bytes]) -> None:
    """Copy a database by SQLite's own backup (https://www.sqlite.org/backup.html)."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".backup-") as private:
        target = Path(private, "database")
        source = f"file:{quote(str(path.absolute()))}?mode=ro"
        with (
            closing(sqlite3.connect(source, uri=True, timeout=BUSY_S)) as database,
            closing(sqlite3.connect(target)) as image,
        ):
            database.backup(image)
        with target.open("rb") as data:
            while piece := data.read(_PIECE_BYTES):
                copy.write(piece)
