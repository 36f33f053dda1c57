"""Announces a record on the local network, in the background: neither the start nor the stop of the server waits."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rpcserver.config import ConfigError, DiscoveryConfig

from .record import SERVICE_TYPE, NotAnnounceable, Record

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

logger = logging.getLogger("rpcserver.discovery")

GOODBYE_S = 1.0
"""How long saying goodbye may take when the server stops, in seconds. Nothing waits for it until the very end."""


class Announcer:
    """Announces a server.

    Parameters:
        config: the settings.
        describe: returns what to announce. It is asked when the server listens, and is given the addresses of this
            machine.

    Attributes:
        is_announced: whether others can find the server.
    """

    def __init__(self, config: DiscoveryConfig, describe: Callable[[Sequence[str]], Record]) -> None:
        self.is_announced = False
        self._config = config
        self._describe = describe
        self._task: asyncio.Task[None] | None = None
        self._farewell: asyncio.Task[None] | None = None
        self._zeroconf: AsyncZeroconf | None = None

    def check(self) -> None:
        """Check that the library is there.

        Raises:
            ConfigError: it is not.
        """
        if self._config.enabled and importlib.util.find_spec("zeroconf") is None:
            raise ConfigError("discovery.enabled: it needs zeroconf: pip install 'remote-services[discovery]'")

    def start(self) -> None:
        """Announce the server, in the background: call this when it listens."""
        if self._config.enabled:
            self._task = asyncio.ensure_future(self._announce())

    def leave(self) -> None:
        """Begin to say that the server is gone. This may be called at any time."""
        if self._farewell is None and self._task is not None:
            self._farewell = asyncio.ensure_future(self._say_goodbye())

    async def stop(self) -> None:
        """Announce the server no more. This may be called at any time."""
        self.leave()
        if self._farewell is not None:
            await asyncio.gather(self._farewell, return_exceptions=True)

    async def _announce(self) -> None:
        await asyncio.to_thread(importlib.import_module, "zeroconf.asyncio")  # It takes long.
        try:
            record = self._describe(list(_own_addresses()))
        except NotAnnounceable as exc:
            logger.warning("%s", exc)
            return
        from zeroconf import InterfaceChoice, ServiceInfo
        from zeroconf.asyncio import AsyncZeroconf

        info = ServiceInfo(
            SERVICE_TYPE,
            record.instance,
            port=record.port,
            addresses=[_pack(address) for address in record.addresses],
            properties=dict(record.text),
            server=record.host,
        )
        try:
            self._zeroconf = AsyncZeroconf(interfaces=list(self._config.interfaces) or InterfaceChoice.All)
            # It asks first whether somebody has the name, which takes a second, and then announces it.
            await (await self._zeroconf.async_register_service(info))
        except Exception as exc:  # Sockets, names, and what the library makes of them.
            logger.warning("the server is not announced: %s: %s", type(exc).__name__, exc)
            return
        self.is_announced = True
        logger.info("announced as %s at %s, port %d", record.text["name"], ", ".join(record.addresses), record.port)

    async def _say_goodbye(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.is_announced = False
        if self._zeroconf is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(GOODBYE_S):
                    await self._zeroconf.async_close()


def _own_addresses() -> Iterator[str]:
    """Yield the addresses of this machine."""
    import ifaddr

    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            if isinstance(each.ip, str):
                yield each.ip
            else:  # Address, flow and scope.
                yield each.ip[0]


def _pack(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
