"""The sockets that the server listens on."""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rpcserver.config import UNIX, ConfigError, ListenConfig
from rpcwire.logs import printable
from rpcwire.transports import UnusableTransport, make_socket, schemes, transport_for
from rpcwire.trusted_files import UntrustedFile, make_folder

from .hosts import LOCALHOST, canonical, is_loopback


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address to bind.

    Attributes:
        family: the family of the address.
        address: the address, for :meth:`socket.socket.bind`.
    """

    family: socket.AddressFamily
    address: Any


def resolve(host: str, port: int) -> Endpoint:
    """Look an address up.

    Raises:
        ConfigError: the address does not exist.
    """
    bare = canonical(host)
    if bare.endswith(f".{LOCALHOST}"):
        bare = LOCALHOST
    zone = host.strip("[]").partition("%")[2]
    try:
        # Link-local addresses need their zone; the loopback address must have none.
        name = f"{bare}%{zone}" if zone and not is_loopback(bare) else bare
        family, _, _, _, address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as exc:  # A part of a name may be too long for IDNA.
        reason = (exc.strerror if isinstance(exc, OSError) else None) or exc
        raise ConfigError(f"listen.host: {printable(host, 100)}: {reason}") from exc
    return Endpoint(family, address)


def endpoint_of(sock: socket.socket) -> Endpoint:
    """The address of a bound socket of TCP."""
    return Endpoint(sock.family, sock.getsockname())


def check_exposure(host: str, endpoint: Endpoint, *, has_tls: bool) -> None:
    """Refuse to use an address without TLS that other machines can reach.

    Parameters:
        host: the address in the configuration, for the message.
        endpoint: the address that was looked up, which decides.
        has_tls: whether connections are encrypted.

    Raises:
        ConfigError: the address is not a loopback address, and there is no TLS.
    """
    if not is_loopback(endpoint.address[0]) and not has_tls:
        raise ConfigError(
            f"listen.host: {host} can be reached from other machines, and the token would cross the network "
            "unencrypted: set tls.certificate_file and tls.key_file, or listen on 127.0.0.1 and use SSH or a TLS proxy"
        )


def check_proxies(config: ListenConfig) -> None:
    """Refuse settings of proxies that admit nobody, or everybody.

    Raises:
        ConfigError: the settings contradict each other.
    """
    if UNIX in config.trusted_proxies and config.unix_peer_credentials:
        raise ConfigError(
            "listen.trusted_proxies: everybody behind a proxy that uses the Unix socket would be the user who runs "
            "the server: set listen.unix_peer_credentials = false"
        )
    for listener in config.proxy_protocol:
        trusts_unix = UNIX in config.trusted_proxies
        if not (trusts_unix if listener == UNIX else set(config.trusted_proxies) - {UNIX}):
            example = UNIX if listener == UNIX else "127.0.0.1"
            raise ConfigError(
                f"listen.proxy_protocol: nobody may send a PROXY header to {listener}: "
                f'name the proxies: listen.trusted_proxies = ["{example}"]'
            )


def bind_tcp(endpoint: Endpoint) -> socket.socket:
    """Bind a TCP socket.

    Raises:
        ConfigError: the address is in use, or does not belong to this machine.
    """
    sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if endpoint.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(endpoint.address)
    except OSError as exc:
        sock.close()
        remedy = ": use --port 0 for a free one" if exc.errno == errno.EADDRINUSE else ""
        host, port = endpoint.address[:2]
        raise ConfigError(f"listen: {host}:{port}: {exc.strerror}{remedy}") from exc
    return sock


def bind_unix(path: Path, mode: int = 0o600, group: str = "") -> socket.socket:
    """Bind a Unix socket. A socket that a dead server has left is replaced.

    Parameters:
        path: the socket.
        mode: its mode: who may connect. Whoever may must be able to reach its folder, too; one that is made here gets
            such a mode.
        group: its group; empty for the user's own.

    Raises:
        ConfigError: the path cannot be used, another server listens there, or others who may connect could not.
    """
    gid = group_id(group)
    try:
        is_new = not path.parent.exists()
        make_folder(path.parent)
        if is_new and mode != 0o600:
            os.chown(path.parent, -1, gid)
            path.parent.chmod(0o711 if mode & stat.S_IWOTH else 0o710)
        _check_reachable(path.parent, mode, gid)
        _remove_stale(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            sock.bind(str(path))
            if mode != 0o600:
                os.chown(path, -1, gid)
                path.chmod(mode)
        except BaseException:
            sock.close()
            raise
        finally:
            os.umask(mask)
    except UntrustedFile as exc:
        raise ConfigError(f"listen.unix: others could replace the socket: {exc}, or name another with --unix") from None
    except OSError as exc:
        raise ConfigError(f"listen.unix: {path}: {exc.strerror or exc}: name another with --unix") from exc
    return sock


def bind_by_plugin(url: str) -> tuple[socket.socket, bool]:
    """Bind a socket of a plugin's transport.

    Parameters:
        url: the address; its scheme names the transport.

    Returns:
        The socket, and whether the kernel identifies the clients at its other end.

    Raises:
        ConfigError: there is no such transport, or it cannot listen on this address.
    """
    scheme = url.partition(":")[0].lower()  # As clients compare it.
    try:
        transport = transport_for(scheme)
        if transport is not None:
            sock = make_socket(partial(transport.listen, url), url)
            try:
                sock.listen()
            except BaseException:
                sock.close()
                raise
            return sock, transport.identifies_peers is True
    except (OSError, ValueError, UnusableTransport) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise ConfigError(f"listen.also: {url}: {reason}") from exc
    names = ", ".join(schemes()) or "none"
    raise ConfigError(f"listen.also: {url}: no transport {scheme!r} is installed; there are: {names}")


def group_id(name: str) -> int:
    """Return the id of a group; -1 for the one that a new file has anyway.

    Raises:
        ConfigError: the system knows no such group.
    """
    if not name:
        return -1
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(
            f"listen.unix_group: the system knows no group {name[:100]!r}: write the name of one"
        ) from None


def _check_reachable(folder: Path, mode: int, gid: int) -> None:
    """Check that whoever may connect to a socket can also reach it.

    Parameters:
        folder: the folder of the socket.
        mode: the mode of the socket.
        gid: its group; -1 for the user's own.

    Raises:
        ConfigError: they cannot; the message says what to do.
    """
    if mode == 0o600:
        return
    group = os.getegid() if gid == -1 else gid
    real = folder.resolve()
    for each in (real, *real.parents):
        info = each.stat()
        is_open = info.st_mode & stat.S_IXOTH or (
            not mode & stat.S_IWOTH and info.st_gid == group and info.st_mode & stat.S_IXGRP
        )
        if not is_open:
            raise ConfigError(
                f"listen.unix_mode: others cannot reach the socket: they may not enter {each}: run: chmod o+x {each}, "
                "or name another place with listen.unix, such as /run/rpcserver/rpcserver.sock"
            )


def _remove_stale(path: Path) -> None:
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise ConfigError(f"listen.unix: {path} exists and is no socket: remove it, or use --unix")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise ConfigError(f"listen.unix: another server listens on {path}: stop it, or name another with --unix")
