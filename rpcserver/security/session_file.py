"""The file with the sessions, in the state folder. Only the server that has locked the folder writes it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from pydantic import ValidationError

from rpcwire.trusted_files import UntrustedFile, open_file

from .sessions import MOST_SESSIONS, SessionSet

logger = logging.getLogger("rpcserver.security")

NAME = "sessions.json"
_MOST_BYTES = MOST_SESSIONS * 4096


class SessionFile:
    """The file. Its methods wait for the disk.

    Parameters:
        folder: the state folder of the server, which has locked it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path, self._new = folder / NAME, folder / f"{NAME}.new"

    def read(self) -> SessionSet:
        """Read the sessions; none if there is no file. If it cannot be used, the log says so, and all sessions have
        ended: whoever had one can sign in again, and nobody gets in by a file that others could have changed."""
        try:
            with os.fdopen(open_file(self._path, secret=True), "rb") as file:
                return SessionSet.model_validate_json(file.read(_MOST_BYTES))
        except FileNotFoundError:
            return SessionSet()
        except (OSError, UntrustedFile, ValidationError) as exc:
            text = f"{self._path}: it is malformed" if isinstance(exc, ValidationError) else exc
            logger.error("all sessions have ended: %s", text)  # noqa: TRY400 - an operator's
            return SessionSet()

    def write(self, sessions: SessionSet) -> None:
        """Write the file anew.

        Raises:
            OSError: that is not possible.
        """
        self._new.unlink(missing_ok=True)  # What somebody has left who was killed.
        descriptor = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(sessions.model_dump_json(exclude_none=True))
            file.flush()
            os.fsync(file.fileno())
        self._new.replace(self._path)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
