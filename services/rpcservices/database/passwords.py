"""Reads passwords of databases from a file, the environment, or a folder of secrets."""

from __future__ import annotations

import os
from pathlib import Path

from rpcwire.trusted_files import UntrustedFile, read_secret


def find_password(name: str, file: Path | None, variable: str | None, secrets_dir: Path | None) -> str | None:
    """Find the password for a database; ``None`` where none is configured.

    Parameters:
        name: the database's name.
        file: the file that holds it; it comes first.
        variable: the environment variable that holds it; it comes before the folder.
        secrets_dir: a folder with a file of the database's name; systemd's ``$CREDENTIALS_DIRECTORY`` where ``None``.

    Raises:
        ValueError: the place does not exist, or others may read or change the file; the message names it and the
            remedy.
    """
    if file is not None:
        return _read(f"databases.{name}.password_file", file)
    if variable is not None:
        if variable not in os.environ:
            raise ValueError(f"databases.{name}.password_env: the variable {variable} is not set")
        return os.environ[variable]
    if secrets_dir is not None:
        if not secrets_dir.is_dir():
            raise ValueError(f"secrets_dir: no such folder: {secrets_dir}")
        return _from_folder("secrets_dir", secrets_dir, name)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if not credentials:
        return None
    # systemd gives the service's user access to a credential by an ACL, which looks like a right of the group.
    return _from_folder("$CREDENTIALS_DIRECTORY", Path(credentials), name, group_may_read=True)


def _from_folder(key: str, folder: Path, name: str, *, group_may_read: bool = False) -> str | None:
    file = folder / name
    if file.parent != folder or not file.is_file():
        return None
    return _read(key, file, group_may_read=group_may_read)


def _read(key: str, path: Path, *, group_may_read: bool = False) -> str:
    try:
        return read_secret(path, group_may_read=group_may_read)
    except UntrustedFile as exc:
        raise ValueError(f"{key}: {exc}") from None
    except OSError as exc:
        raise ValueError(f"{key}: {exc.strerror}: {path}") from None
    except ValueError as exc:
        raise ValueError(f"{key}: {path}: {exc}") from None
