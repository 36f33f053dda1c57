"""Puts the state of a backup in place of what is there. All of it is unpacked and checked before anything changes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from rpcserver.config import ServerConfig
from rpcserver.state import LOCK, check_version, lock_state
from rpcwire.trusted_files import UntrustedFile, make_folder, open_file

from .inventory import NEW_FOLDER, SET_ASIDE, Part, list_state, parts_of
from .making import BackupError
from .manifest import MOST_BYTES, NAME, Manifest, Member

_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore has done.

    Attributes:
        manifest: what the backup says of itself.
        aside: the folders into which it has moved what was there.
    """

    manifest: Manifest
    aside: tuple[Path, ...]


def read_backup(file: Path, into: Path) -> Manifest:
    """Unpack a backup into an empty folder, and check all of it.

    Parameters:
        file: the backup.
        into: the folder.

    Returns:
        What it says of itself.

    Raises:
        BackupError: it is no backup, or is damaged or incomplete.
        ConfigError: its state is of a newer server.
        OSError: it cannot be read, or the folder cannot be written.
    """
    sums: dict[str, tuple[int, str]] = {}
    text: bytes | None = None
    with os.fdopen(open_file(file, secret=True), "rb") as data:
        try:
            with tarfile.open(fileobj=data, mode="r:*") as archive:
                for entry in archive:
                    source = archive.extractfile(entry) if entry.isreg() else None
                    if source is None or text is not None or entry.name in sums:
                        raise BackupError(f"{file}: {entry.name[:200]!r} does not belong into a backup")
                    if entry.name == NAME:
                        text = source.read(MOST_BYTES)
                    else:
                        sums[entry.name] = _unpack(source, entry.name, into)
        except (tarfile.TarError, EOFError, OSError) as exc:
            if isinstance(exc, OSError) and exc.errno is not None:
                raise
            raise BackupError(f"{file}: it is no backup, or is damaged: {exc}") from exc
    if text is None:
        raise BackupError(f"{file}: it has no {NAME}: it is no backup, or was not finished")
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as exc:
        raise BackupError(f"{file}: its {NAME} is malformed: {exc.errors()[0]['msg']}") from None
    check_version(manifest.state_version, manifest.server_version, f"the backup {file}")
    if {each.name: (each.size_bytes, each.sha256) for each in manifest.members} != sums:
        raise BackupError(f"{file}: it is damaged: its files are not those that its {NAME} tells")
    for each in manifest.members:
        (into / each.name).chmod(each.mode)
    return manifest


def _unpack(source: IO[bytes], name: str, into: Path) -> tuple[int, str]:
    """Write a file of a backup; return its size and its checksum."""
    try:
        member = Member(name=name, size_bytes=0, sha256="0" * 64, mode=0)
    except ValidationError:
        member = None
    if member is None or not member.is_safe:
        raise BackupError(f"{name[:200]!r} does not belong into a backup")
    path = into
    for part in name.split("/"):
        path.mkdir(mode=0o700, exist_ok=True)
        path /= part
    checksum, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while piece := source.read(_PIECE_BYTES):
            checksum.update(piece)
            size += file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return size, checksum.hexdigest()


def restore_backup(config: ServerConfig, file: Path, *, replace: bool) -> Restored:
    """Put the state of a backup in place.

    Parameters:
        config: the configuration of the server.
        file: the backup.
        replace: whether to replace a state that is there. It is moved aside, and stays.

    Raises:
        BackupError: the backup cannot be used, or there is a state already.
        ConfigError: a server uses the state folder, or the backup is of a newer server.
    """
    folder = config.state_path
    lock = lock_state(folder)  # A server that runs has it.
    try:
        parts = parts_of(config)
        if not replace and any(True for _ in list_state(parts)):
            raise BackupError(
                f"{folder}: there is a state already: give --replace to move it aside, or name another folder"
            )
        _refuse_listeners(folder)
        new_folder = folder / NEW_FOLDER
        shutil.rmtree(new_folder, ignore_errors=True)
        new_folder.mkdir(mode=0o700)
        try:
            manifest = read_backup(file, new_folder)
            return Restored(manifest, tuple(_put_in_place(parts, new_folder)))
        finally:
            shutil.rmtree(new_folder, ignore_errors=True)
    except UntrustedFile as exc:
        raise BackupError(str(exc)) from None
    except OSError as exc:
        raise BackupError(f"{exc.filename or file}: {exc.strerror}: nothing was restored") from exc
    finally:
        os.close(lock)


def _refuse_listeners(folder: Path) -> None:
    """Make sure that no process listens at a socket in the state folder, such as the keeper of a kept program: it would
    go on with what was moved aside, and nobody could find it.

    Raises:
        BackupError: one does.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not each.startswith(SET_ASIDE)]
        for path in (Path(place, name) for name in files):
            if path.is_socket() and _has_listener(path):
                raise BackupError(
                    f"{path.parent}: a process that outlives the server uses it: end the kept programs first "
                    "(rpcclient kill)"
                )


def _has_listener(path: Path) -> bool:
    """Return whether a process accepts connections at a Unix socket, however long its path is."""
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"/proc/self/fd/{descriptor}/{path.name}")
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _put_in_place(parts: list[Part], new_folder: Path) -> Iterator[Path]:
    """Move aside what is there, and move what was unpacked to its place. If that fails, all is moved back.

    Yields:
        The folders into which things were moved.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    moves: list[tuple[Path, Path]] = []

    def move(source: Path, target: Path) -> None:
        _move(source, target)
        moves.append((source, target))

    aside_folders: list[Path] = []
    try:
        for part in parts:
            new = new_folder / part.name
            is_file = part.name == "token"
            home = part.path.parent if is_file else part.path
            if is_file and not new.exists():
                continue
            make_folder(home)
            aside = home / f"{SET_ASIDE}{stamp}"
            old = [part.path] if is_file else _entries(home)
            for path in old:
                if path.exists():
                    aside.mkdir(mode=0o700, exist_ok=True)
                    move(path, aside / path.name)
            if aside.exists() and aside not in aside_folders:
                aside_folders.append(aside)
            for path in [new] if is_file else _entries(new):
                move(path, part.path if is_file else home / path.name)
    except BaseException:
        for source, target in reversed(moves):
            with contextlib.suppress(OSError):
                _move(target, source)
        raise
    yield from aside_folders


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, but for what a restore itself needs there."""
    if not folder.is_dir():
        return []
    names = {LOCK, "tokens.lock", NEW_FOLDER, "install"}
    return [path for path in folder.iterdir() if path.name not in names and not path.name.startswith(SET_ASIDE)]


def _move(source: Path, target: Path) -> None:
    """Move a file or a folder, to another file system, too."""
    shutil.move(source, target)
