"""The door: listens on the addresses in the configuration, and makes a link for each accepted socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import Any

from rpcserver.config import ConfigError, ServerConfig
from rpcwire.limits import LinkLimits

from . import listeners
from .accepting import Listener
from .activation import ActivatedSocket
from .certificate_files import CertificateFiles
from .entrance import STOPPING, Entrance
from .link import ServerLink
from .tls import tls_context
from .waiting import GIVE_WAY_TOGETHER, Arrival

LOOK_S = 0.01
"""How often to look whether everybody who has connected is admitted, in seconds."""


def _no_listener() -> ConfigError:
    return ConfigError("listen: neither TCP nor a Unix socket is on: set listen.tcp or listen.unix")


def _link_limits(config: ServerConfig) -> LinkLimits:
    return LinkLimits(
        ping_interval_s=config.keepalive.ping_interval_s,
        ping_timeout_s=config.keepalive.ping_timeout_s,
        outgoing_bytes=config.limits.outgoing_bytes,
        stall_s=config.limits.stall_s,
    )


def check_settings(config: ServerConfig) -> None:
    """Check the settings of listeners as far as it can be done without binding an address.

    Raises:
        ConfigError: one of them cannot be used.
    """
    listeners.check_proxies(config.listen)
    if config.listen.tcp:
        has_tls = tls_context(config.tls) is not None
        endpoint = listeners.resolve(config.listen.host, config.listen.port)
        listeners.check_exposure(config.listen.host, endpoint, has_tls=has_tls)
    if config.unix_path is not None:
        listeners.group_id(config.listen.unix_group)
    if not config.listen.tcp and config.unix_path is None and not config.listen.also:
        raise _no_listener()


class Door:
    """The listeners of a server.

    Parameters:
        entrance: decides which connections to admit.

    Attributes:
        entrance: the entrance.
        listeners: one for each address.
    """

    def __init__(self, entrance: Entrance) -> None:
        config = entrance.config
        self.entrance = entrance
        self.listeners: list[Listener] = []
        self._config = config
        self._unix_path: Path | None = None
        self._certificate_files: CertificateFiles | None = None
        self._link_limits = _link_limits(config)

    def check(self) -> None:
        """Check the settings of the listeners as far as it can be done without binding an address.

        Raises:
            ConfigError: one of them cannot be used.
        """
        check_settings(self._config)

    def prepare_reload(self, config: ServerConfig) -> Callable[[], None]:
        """Prepare for another configuration, in which the addresses are the same. New settings of TLS are made and
        tried. It may be called in another thread.

        Parameters:
            config: the new configuration.

        Returns:
            What uses it from now on.

        Raises:
            ConfigError: a setting or a file cannot be used.
        """
        listeners.check_proxies(config.listen)
        files = self._certificate_files
        use_certificates = None if files is None else files.prepare_reload(config.tls)

        def commit() -> None:
            self._config = config
            self._link_limits = _link_limits(config)
            self.entrance.change(config)
            if use_certificates is not None:
                use_certificates()

        return commit

    def open(self, sockets: Sequence[ActivatedSocket] = ()) -> None:
        """Listen on all addresses.

        Parameters:
            sockets: sockets that systemd has opened. One of TCP takes the place of the configured address of TCP, and
                one of Unix that of the Unix socket.

        Raises:
            ConfigError: an address cannot be used; the message says why and what to do.
        """
        config = self._config
        listeners.check_proxies(config.listen)
        by_unix = [one for one in sockets if one.sock.family == socket.AF_UNIX]
        by_tcp = [one for one in sockets if one.sock.family != socket.AF_UNIX]
        if by_tcp or config.listen.tcp:
            files = CertificateFiles(config.tls, self.entrance.recheck_certificates)
            self._certificate_files = files
            has_tls = files.context is not None
            for one in by_tcp:
                endpoint = listeners.endpoint_of(one.sock)
                listeners.check_exposure(f"{one.name} of the socket unit", endpoint, has_tls=has_tls)
                self._accept_from(one.sock, files if has_tls else None)
            if not by_tcp:
                endpoint = listeners.resolve(config.listen.host, config.listen.port)
                listeners.check_exposure(config.listen.host, endpoint, has_tls=has_tls)
                self._accept_from(listeners.bind_tcp(endpoint), files if has_tls else None)
            files.start()
        for one in by_unix:
            self._accept_from(one.sock)
        if not by_unix and (path := config.unix_path) is not None:
            self._accept_from(listeners.bind_unix(path, int(config.listen.unix_mode, 8), config.listen.unix_group))
            self._unix_path = path
        for url in config.listen.also:
            sock, identifies_peers = listeners.bind_by_plugin(url)
            self._accept_from(sock, url=url, identifies_peers=identifies_peers)
        if not self.listeners:
            raise _no_listener()

    def _accept_from(
        self, sock: socket.socket, tls: CertificateFiles | None = None, url: str = "", *, identifies_peers: bool = True
    ) -> None:
        def on_accept(accepted_sock: socket.socket, peer: Any) -> bool:
            link = ServerLink(self.entrance, self._link_limits, accepted_sock, peer, identifies_peers=identifies_peers)
            is_short = not link.is_known and self.entrance.descriptors.are_short()
            if is_short:
                self.entrance.waiting.make_room()
            link.begin(accepted_sock, None if tls is None else tls.context)
            return is_short

        make_room = partial(self.entrance.waiting.make_room, GIVE_WAY_TOGETHER)
        self.listeners.append(Listener(sock, on_accept, make_room, url, has_tls=tls is not None))

    def stop_accepting(self) -> None:
        """Stop listening. Sockets that systemd has opened go on listening there, for the next server."""
        for listener in self.listeners:
            listener.close()
        self.listeners.clear()

    async def empty(self, timeout_s: float) -> None:
        """Wait until everybody who has connected is admitted, or gone.

        Parameters:
            timeout_s: the longest wait, in seconds: some may only be silent.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while self._arrivals() and loop.time() < end:  # noqa: ASYNC110 - once, at the end, for a moment
            await asyncio.sleep(LOOK_S)

    def _arrivals(self) -> list[Arrival]:
        """Those who have connected and are not admitted yet."""
        links: AbstractSet[object] = self.entrance.links
        return [arrival for arrival in self.entrance.waiting if arrival not in links]

    def close(self) -> None:
        """Stop listening, and dismiss the connections that are not admitted yet."""
        self.stop_accepting()
        if self._certificate_files is not None:
            self._certificate_files.close()
        if self._unix_path is not None:
            self._unix_path.unlink(missing_ok=True)
            self._unix_path = None
        for arrival in self._arrivals():
            arrival.dismiss(STOPPING)

    @property
    def certificate_expiries(self) -> Mapping[str, int]:
        """When the certificates in use expire, as :attr:`.certificate_files.CertificateFiles.expiries`."""
        files = self._certificate_files
        return {} if files is None else files.expiries

    @property
    def addresses(self) -> list[str]:
        """The addresses of the server, as URLs for clients."""
        urls = []
        for listener in self.listeners:
            address = listener.sock.getsockname()
            if listener.url:
                urls.append(listener.url)
            elif listener.sock.family == socket.AF_UNIX:
                urls.append(f"unix://{address}")
            else:
                scheme = "wss" if listener.has_tls else "ws"
                host, port = address[:2]
                path = f"{self._config.listen.path_prefix}/" if self._config.listen.path_prefix else ""
                urls.append(f"{scheme}://[{host}]:{port}{path}" if ":" in host else f"{scheme}://{host}:{port}{path}")
        return urls
