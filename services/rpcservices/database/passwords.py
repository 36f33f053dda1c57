"""Reads passwords of databases from a file, the environment, or a folder of secrets."""

from __future__ import annotations

import os
from pathlib import Path

_OTHERS = 0o077
_WORLD = 0o007
"""The rights of others. Not those of the group: systemd gives the service's user access to a credential by an ACL,
which looks like a right of the group."""
_MOST_BYTES = 64 * 1024


def find_password(name: str, file: Path | None, variable: str | None, secrets_dir: Path | None) -> str | None:
    """Find the password for a database; ``None`` where none is configured.

    Parameters:
        name: the database's name.
        file: the file that holds it; it comes first.
        variable: the environment variable that holds it; it comes before the folder.
        secrets_dir: a folder with a file of the database's name; systemd's ``$CREDENTIALS_DIRECTORY`` where ``None``.

    Raises:
        ValueError: the place does not exist, or others may read the file; the message names it and the remedy.
    """
    if file is not None:
        return _read(f"databases.{name}.password_file", file, _OTHERS)
    if variable is not None:
        if variable not in os.environ:
            raise ValueError(f"databases.{name}.password_env: the variable {variable} is not set")
        return os.environ[variable]
    if secrets_dir is not None:
        if not secrets_dir.is_dir():
            raise ValueError(f"secrets_dir: no such folder: {secrets_dir}")
        return _from_folder("secrets_dir", secrets_dir, name, _OTHERS)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    return _from_folder("$CREDENTIALS_DIRECTORY", Path(credentials), name, _WORLD) if credentials else None


def _from_folder(key: str, folder: Path, name: str, forbidden: int) -> str | None:
    file = folder / name
    if file.parent != folder or not file.is_file():
        return None
    return _read(key, file, forbidden)


def _read(key: str, path: Path, forbidden: int) -> str:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & forbidden:
                raise ValueError(f"{key}: others may read the password; run: chmod 600 {path}")
            return file.read(_MOST_BYTES).decode().rstrip("\r\n")
    except OSError as exc:
        raise ValueError(f"{key}: {exc.strerror}: {path}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{key}: no text in UTF-8: {path}") from None
