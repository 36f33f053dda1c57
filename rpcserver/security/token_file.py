"""The file with the named tokens, in the state folder. Whoever changes it holds a lock, reads it anew, and puts a whole
new file in its place, so that nobody reads half of one and no change is lost."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from rpcserver.config import ConfigError
from rpcwire.trusted_files import UntrustedFile, make_folder, open_file

from .named_tokens import MOST_TOKENS, TokenSet

NAME = "tokens.json"
_MOST_BYTES = MOST_TOKENS * 1024

LOCK_TIMEOUT_S = 5.0
"""How long to wait for others who change the file, in seconds. That takes them a few milliseconds."""

_TRY_AGAIN_S = 0.02
"""How often to try to get the lock, in seconds. flock(2) itself would wait without end."""

Stamp = tuple[int, int, int, int]
"""Tells whether a file has changed: its inode, its size, and when it and its mode or owner were written, in
nanoseconds."""


class TokenFile:
    """The file with the named tokens.

    Parameters:
        folder: the state folder of the server.

    Attributes:
        path: the file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._folder = folder
        self._lock = folder / "tokens.lock"
        self._new = folder / f"{NAME}.new"

    def stamp(self) -> Stamp | None:
        """Return what changes whenever the file does; ``None`` if there is no file."""
        try:
            info = self.path.stat()
        except OSError:
            return None
        return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns

    def check_folder(self) -> None:
        """Check that the folder of the file is there.

        Raises:
            ConfigError: it is not; somebody may have moved it.
        """
        if not self._folder.is_dir():
            raise ConfigError(f"the named tokens: {self._folder}: the folder is missing: put it back")

    def read(self) -> TokenSet:
        """Read the tokens; none if there is no file.

        Raises:
            ConfigError: the file cannot be read, others may read or change it, or it is malformed.
        """
        try:
            descriptor = open_file(self.path, secret=True)
        except FileNotFoundError:
            return TokenSet()
        except UntrustedFile as exc:
            raise ConfigError(f"the named tokens: {exc}") from None
        except OSError as exc:
            raise self._unreadable(exc) from exc
        try:
            with os.fdopen(descriptor, "rb") as file:
                data = file.read(_MOST_BYTES + 1)
        except OSError as exc:
            raise self._unreadable(exc) from exc
        if len(data) > _MOST_BYTES:
            raise ConfigError(f"{self.path}: larger than {_MOST_BYTES} bytes: this is no file of named tokens")
        try:
            return TokenSet.model_validate_json(data)
        except ValidationError as exc:
            error = exc.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, error["loc"]))
            raise ConfigError(
                f"{self.path}: malformed: {place}{': ' if place else ''}{error['msg']}: mend it, or remove it and make "
                "the tokens anew"
            ) from None

    def _unreadable(self, exc: OSError) -> ConfigError:
        return ConfigError(f"{self.path}: the named tokens cannot be read: {exc.strerror}")

    def update(self, edit: Callable[[TokenSet], TokenSet]) -> TokenSet:
        """Change the tokens. Others wait meanwhile who want to change them, too.

        Parameters:
            edit: makes the new set from the one in the file.

        Returns:
            The new set.

        Raises:
            ConfigError: the file cannot be read or written, others may read or change it, or another process keeps the
                lock.
            Exception: what ``edit`` raises; nothing has changed then.
        """
        try:
            self._check_user()
            make_folder(self._folder)
            lock = open_file(self._lock, os.O_RDWR | os.O_CREAT, follow=False)
        except UntrustedFile as exc:
            raise ConfigError(f"the named tokens: {exc}") from None
        except OSError as exc:
            raise ConfigError(f"{self._lock}: the named tokens cannot be changed: {exc.strerror}") from exc
        try:
            self._wait_for(lock)
            old = self.read()
            new = edit(old)
            if new != old:
                self._write(new)
            return new
        except OSError as exc:
            raise ConfigError(f"{self.path}: the named tokens cannot be written: {exc.strerror}") from exc
        finally:
            os.close(lock)

    def _wait_for(self, lock: int) -> None:
        until = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise ConfigError(
                        f"{self._lock}: another process has kept it for {LOCK_TIMEOUT_S:g} s: end that, or try again"
                    ) from None
                time.sleep(_TRY_AGAIN_S)
            else:
                return

    def _check_user(self) -> None:
        """Refuse to make a file that the server's user could not read."""
        with contextlib.suppress(FileNotFoundError):
            owner = self._folder.stat().st_uid
            if owner != os.geteuid():
                raise ConfigError(
                    f"{self._folder} belongs to user {owner}: run this as that user: "
                    f"sudo -u '#{owner}' rpcserver token …"
                )

    def _write(self, tokens: TokenSet) -> None:
        text = tokens.model_dump_json(indent=1, exclude_none=True) + "\n"
        if len(text.encode()) > _MOST_BYTES:
            raise ConfigError(f"{self.path}: it would be larger than {_MOST_BYTES} bytes: give tokens fewer networks")
        self._new.unlink(missing_ok=True)  # What somebody has left who was killed.
        descriptor = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self._new.replace(self.path)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
