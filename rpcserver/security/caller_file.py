"""The file that remembers whom the settings have known by certificates, and as users of the system. Settings do not say
who was taken out of them while no server ran, and whose kept programs must end at the next start."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from rpcwire.trusted_files import UntrustedFile, read_file

logger = logging.getLogger("rpcserver.security")

NAME = "callers.json"

Members = Mapping[str, tuple[int, frozenset[int]]]
"""Those who have connected as members of a group: their users and groups, by their names."""


class KnownCallers(BaseModel):
    """Whom the settings know.

    Attributes:
        format: the version of the file's format.
        names: the names of everybody.
        members: those among them who are known by a group.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    names: frozenset[str] = frozenset()
    members: Members = {}


class CallerFile:
    """The file. Its methods wait for the disk.

    Parameters:
        folder: the state folder of the server, which has locked it.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._new = folder / NAME, folder / f"{NAME}.new"
        self._content = KnownCallers()

    def read(self) -> KnownCallers:
        """Read the file; if it is missing or cannot be used, nobody was known, and the log says so."""
        try:
            self._content = KnownCallers.model_validate_json(read_file(self._path))
        except FileNotFoundError:
            pass
        except (OSError, UntrustedFile, ValidationError) as exc:
            text = "it is malformed" if isinstance(exc, ValidationError) else exc
            logger.warning(
                "%s: %s: programs of whoever was taken out of the settings meanwhile go on", self._path, text
            )
        return self._content

    def write(self, content: KnownCallers) -> None:
        """Write the file anew, if something has changed."""
        if content == self._content:
            return
        try:
            descriptor = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(content.model_dump_json())
            self._new.replace(self._path)
        except OSError as exc:
            logger.warning("%s cannot be written: %s", self._path, exc.strerror)
            return
        self._content = content
