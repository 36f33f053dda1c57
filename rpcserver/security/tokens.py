"""The token of the owner. It is generated, stored in a file of mode 0600, and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from rpcserver.config import ConfigError
from rpcwire.context import OWNER, Principal
from rpcwire.trusted_files import UntrustedFile, make_folder, open_file

MIN_TOKEN_CHARS = 16


class TokenStore:
    """Stores only the SHA-256 of tokens.

    Parameters:
        token: the token that clients must send.
        name: the name of its principal.
    """

    def __init__(self, token: str, name: str = OWNER) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()
        self._principal = Principal(name, "token")

    @property
    def fingerprint(self) -> str:
        """What tells this token apart from others. It is no secret."""
        return hashlib.sha256(self._digest).hexdigest()[:16]

    def principal(self, token: str) -> Principal | None:
        """Return the principal of a token; ``None`` if the token is wrong."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        return self._principal if hmac.compare_digest(digest, self._digest) else None


def read_token(path: Path) -> str:
    """Read the token in a file.

    Raises:
        ConfigError: there is no such file, it cannot be read, others may read or change it, or its token is too short.
    """
    try:
        return _read(path)
    except OSError as exc:
        raise ConfigError(f"{path}: the token cannot be read: {exc.strerror}; name another with --token-file") from exc


def load_token(path: Path) -> str:
    """Read the token in a file. If the file is missing, generate a token and make the file.

    Raises:
        ConfigError: the file cannot be read or made, others may read or change it, or its token is too short.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise ConfigError(f"{path}: the token cannot be read: {exc.strerror}; name another with --token-file") from exc
    token = secrets.token_urlsafe(32)
    try:
        make_folder(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except UntrustedFile as exc:
        raise ConfigError(f"the token cannot be written: {exc}") from None
    except FileExistsError:
        return _read(path)  # Another server has made the file just now.
    except OSError as exc:
        raise ConfigError(
            f"{path}: the token cannot be written: {exc.strerror}; name another with --token-file"
        ) from exc
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        path.unlink(missing_ok=True)  # An empty file would keep the server from starting when there is room again.
        raise ConfigError(f"{path}: the token cannot be written: {exc.strerror}: make room, and try again") from exc
    return token


def _read(path: Path) -> str:
    try:
        descriptor = open_file(path, secret=True)
    except UntrustedFile as exc:
        raise ConfigError(f"the token: {exc}") from None
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        token = file.readline().strip()
    if len(token) < MIN_TOKEN_CHARS:
        raise ConfigError(
            f"{path}: the token is shorter than {MIN_TOKEN_CHARS} characters; remove the file for a new one"
        )
    return token
