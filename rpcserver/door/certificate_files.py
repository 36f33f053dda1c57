"""Keeps the settings of TLS as the files of certificates say, and takes new files without a restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rpcserver.config import ConfigError, TlsConfig
from rpcserver.security.expiry import certificates_expire_at, lists_expire_at
from rpcserver.security.revocation import revoked_serials
from rpcwire.trusted_files import UntrustedFile, read_file

from .tls import tls_context

logger = logging.getLogger("rpcserver")

LOOK_S = 0.4
"""How often to look whether the files have changed, in seconds. Revocation must reach connections within a second, and
two looks come before it."""

LOOKS_UNTIL_RETRY = 5
"""After how many looks files are tried again that could not be used: the fault may be in a folder above them."""

MOST_SESSIONS = 1024
"""The most sessions of TLS 1.2 that are kept for clients who come back."""

_State = tuple[tuple[int, int, int, int] | None, ...]
"""What shows that a file was changed, of each file; ``None`` for a missing one."""


class CertificateFiles:
    """The settings of TLS for new connections. When a file has changed, and then has stayed the same from one look to
    the next, new settings are made; a file may be half written before. If they cannot be used, the old ones stay, and
    the log says so once for each fault.

    Parameters:
        config: names the files.
        on_authorities: called after new settings are in use whose authorities, or lists of revoked certificates, are
            new: with the serial numbers of revoked certificates; ``None`` if the authorities themselves are new.

    Raises:
        ConfigError: a file is missing or cannot be used, others may change it, or read the key.

    Attributes:
        context: the settings for the next connection; ``None`` without TLS.
        expiries: when the certificates in use expire, and the list of revoked ones, in seconds since 1970, by the keys
            of the configuration that name their files. Of several in one file, the first to expire counts.
    """

    def __init__(self, config: TlsConfig, on_authorities: Callable[[frozenset[int] | None], None]) -> None:
        self._config = config
        self._on_authorities = on_authorities
        self._files = _files_of(config)
        self._state = self._state_in_use = self._last_look = _look_at(self._files)
        self._timer: asyncio.TimerHandle | None = None
        self._fault = ""
        self._looks_until_retry = 0
        self.context: ssl.SSLContext | None = tls_context(config)
        self.expiries = _read_expiries(config)
        _read_revoked(config)

    def start(self) -> None:
        """Look at the files from time to time, in the running event loop."""
        if self.context is not None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look_again)

    def prepare_reload(self, config: TlsConfig) -> Callable[[], None]:
        """Read all files anew, and try them in new settings of TLS. It may be called in another thread.

        Parameters:
            config: names the files. TLS stays on or off.

        Returns:
            What uses the new settings for new connections.

        Raises:
            ConfigError: as of the class. The settings in use stay as they are.
        """
        files = _files_of(config)
        state = _look_at(files)
        context = tls_context(config)
        serials = _read_revoked(config)
        expiries = _read_expiries(config)

        def commit() -> None:
            if config == self._config and state == self._state_in_use:
                return  # The settings in use say the same.
            asks_otherwise = _asks_of_clients(config) != _asks_of_clients(self._config)
            self._config, self._files, self._state = config, files, state
            self._last_look = state
            self._use(context, expiries, state, serials, asks_otherwise=asks_otherwise)

        return commit

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_again(self) -> None:
        self.start()
        self.look()

    def look(self) -> None:
        """Look at the files, and make new settings if they have changed and are complete."""
        state, before = _look_at(self._files), self._last_look
        self._last_look = state
        if state != self._state:
            if state == before:
                self._load(state)
        elif self._fault:
            self._looks_until_retry -= 1
            if self._looks_until_retry <= 0:
                self._load(state)
        elif self.context is not None and self.context.session_stats()["number"] > MOST_SESSIONS:
            self.context = tls_context(self._config)  # The kept sessions go with the old settings.

    def _load(self, state: _State) -> None:
        is_new = state != self._state
        self._state = state
        try:
            context = tls_context(self._config)
            serials = _read_revoked(self._config)
            expiries = _read_expiries(self._config)
        except ConfigError as exc:
            fault, self._fault = self._fault, str(exc)
            self._looks_until_retry = LOOKS_UNTIL_RETRY
            if fault != self._fault or is_new:
                logger.error("new certificates are not used, and the old ones stay in use: %s", exc)  # noqa: TRY400 - an operator's
            return
        self._use(context, expiries, state, serials, asks_otherwise=False)

    def _use(
        self,
        context: ssl.SSLContext | None,
        expiries: Mapping[str, int],
        state: _State,
        serials: frozenset[int],
        *,
        asks_otherwise: bool,
    ) -> None:
        self.context, self.expiries = context, expiries
        self._fault = ""
        old, self._state_in_use = self._state_in_use, state
        if context is not None:
            logger.info("new certificates are in use for new connections")
        if asks_otherwise or old[0] != state[0]:
            self._on_authorities(None)
        elif old[1] != state[1]:
            self._on_authorities(serials)


def _files_of(config: TlsConfig) -> list[str]:
    """The files that a configuration names: first the authorities of clients, and the lists of revoked certificates."""
    own = [config, *config.names.values()]
    own_files = [file for each in own for file in (each.certificate_file, each.key_file) if file]
    return [config.client_ca_file, config.client_crl_file, *own_files]


def _asks_of_clients(config: TlsConfig) -> tuple[str, bool, str]:
    """What clients must show, without the content of files. A list of revoked certificates that is new says itself
    which connections must end; without a list, those that were let in stay in."""
    return config.client_ca_file, bool(config.client_crl_file), config.client_certificates


def _read_revoked(config: TlsConfig) -> frozenset[int]:
    file = config.client_crl_file
    try:
        return revoked_serials(read_file(file)) if file else frozenset()
    except (OSError, UntrustedFile, ValueError) as exc:
        raise ConfigError(f"tls.client_crl_file: {file}: {exc}") from exc


def _read_expiries(config: TlsConfig) -> Mapping[str, int]:
    files = {
        "tls.certificate_file": config.certificate_file,
        **{f"tls.names.{name}.certificate_file": each.certificate_file for name, each in config.names.items()},
        "tls.client_ca_file": config.client_ca_file,
        "tls.client_crl_file": config.client_crl_file,
    }
    expiries: dict[str, int] = {}
    for key, file in files.items():
        read = lists_expire_at if key == "tls.client_crl_file" else certificates_expire_at
        # It is only shown: OpenSSL has taken the file, and says what it lacks.
        with contextlib.suppress(OSError, UntrustedFile, ValueError):
            if file and (time_s := read(read_file(file))) is not None:
                expiries[key] = time_s
    return expiries


def _look_at(files: Sequence[str]) -> _State:
    return tuple(_state_of(file) for file in files)


def _state_of(file: str) -> tuple[int, int, int, int] | None:
    try:
        info = Path(file).stat() if file else None
    except (OSError, ValueError):
        return None
    return None if info is None else (info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino)
