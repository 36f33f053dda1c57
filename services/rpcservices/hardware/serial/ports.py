"""The serial ports: the list of them, those that clients may open, and those that are open."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from itertools import count

from rpcserver import Context, InvalidParams
from rpcservices.hardware.config import HardwareConfig
from rpcservices.hardware.errors import SerialNotOpen, SerialPortBusy, SerialPortNotFound
from rpcservices.hardware.inventory.inventory import Inventory
from rpcservices.hardware.models import Device, SerialPort, SerialSettings
from rpcservices.hardware.sampling.worker import Worker
from rpcwire.context import Connection

from .port import OpenPort
from .system import open_port

_MOST_PATH_CHARACTERS = 4095
"""The longest path that the system takes (PATH_MAX of limits.h, without the NUL)."""


def why_no_serial() -> str:
    """Why serial ports cannot be opened; an empty text where they can."""
    if importlib.util.find_spec("serial") is None:
        return "unsupported: pyserial is not installed (the extra `serial` has it)"
    return ""


class SerialPorts:
    """All serial ports of the machine.

    Parameters:
        inventory: lists them.
        config: says which may be opened; another one holds for ports that are opened afterwards.
        worker: the thread for calls that block.
    """

    def __init__(self, inventory: Inventory, config: HardwareConfig, worker: Worker) -> None:
        self._inventory = inventory
        self.config = config
        self._worker = worker
        self._numbers = count(1)
        self._open: dict[str, tuple[Connection, OpenPort, Callable[[], None]]] = {}

    async def list(self) -> list[SerialPort]:
        """The ports of the inventory."""
        devices = await self._worker.run(lambda: self._inventory.list(["tty"]))
        open_nodes = {port.node for _, port, _ in self._open.values()}
        return [_describe(device, device.node, open_nodes) for device in devices if device.node is not None]

    def _find(self, port: str) -> tuple[str, tuple[str, ...]]:
        """Find the file of a port that may be opened, and the system's links to it. It blocks.

        Raises:
            SerialPortNotFound: there is no such port.
        """
        devices = self._inventory.list(["tty"])
        for device in devices:
            if device.node is not None and port in (device.node, device.by_id, device.name):
                return device.node, _links(device)
        # Following the links of a path takes long if it has many folders, and the system itself takes no longer one.
        node = os.path.realpath(port) if len(port) <= _MOST_PATH_CHARACTERS and "\0" not in port else ""
        for device in devices:
            if device.node == node:
                return node, _links(device)
        # Check the file itself, not a link to it, which may have a harmless name.
        if any(fnmatchcase(node, pattern) for pattern in self.config.serial_paths) and os.path.exists(node):  # noqa: PTH110
            return node, ()
        names = ", ".join(device.node for device in devices if device.node) or "none"
        raise SerialPortNotFound(
            f"port: there is no serial port {port[:80]!r}; there are: {names} "
            "(services.hardware.serial_paths allows more)",
            port=port[:80],
        )

    async def open(
        self,
        ctx: Context,
        port: str,
        settings: SerialSettings,
        write_timeout_s: float,
        check: Callable[[str, Sequence[str]], None],
    ) -> OpenPort:
        """Open a port for a client, until the client closes it or its connection ends.

        Parameters:
            ctx: the client's call.
            port: its id, file or name.
            settings: how to set it up.
            write_timeout_s: how long a write may wait for the other side, in seconds.
            check: refuses, by an exception, a port that the client may not use. It gets the file and the system's links
                to it, in another thread.

        Raises:
            SerialPortNotFound: there is no such port.
            SerialPortBusy: somebody has it open.
            SerialPortDenied: the server's user may not open it.
            Exception: ``check`` has raised this.
            InvalidParams: the driver refuses a setting.
        """
        if len(self._open) >= self.config.serial_ports:
            raise SerialPortBusy(f"{len(self._open)} serial ports are open already", port=port[:80])

        def find_and_open() -> tuple[str, object]:
            node, links = self._find(port)
            check(node, links)
            return node, open_port(node, settings)

        try:
            node, driver_port = await self._worker.run(find_and_open)
        except ValueError as exc:
            raise InvalidParams(
                f"settings: the port refuses them: {exc}", errors=[{"loc": ["settings"], "msg": str(exc)}]
            ) from None
        id_ = f"port{next(self._numbers)}"
        session = OpenPort(id_, node, driver_port, settings, self.config.serial_buffer_bytes, write_timeout_s)
        forget = ctx.connection.on_close(lambda: self._closed(id_))
        if not ctx.connection.closed:
            self._open[id_] = (ctx.connection, session, forget)
        else:
            session.close()
        return session

    def get(self, ctx: Context, id: str) -> OpenPort:
        """Find a port that this client has open.

        Raises:
            SerialNotOpen: it has none of this id.
        """
        entry = self._open.get(id)
        if entry is None or entry[0] is not ctx.connection:
            raise SerialNotOpen(f"id: this connection has no open serial port {id[:40]!r}", id=id[:40])
        return entry[1]

    async def close(self, ctx: Context, id: str) -> None:
        """Close a port that this client has open. When this returns, others can open it."""
        session = self.get(ctx, id)
        _, _, forget = self._open[id]
        forget()
        self._closed(id)
        await session.closing

    def _closed(self, id_: str) -> None:
        entry = self._open.pop(id_, None)
        if entry is not None:
            entry[1].close()

    def close_all(self) -> None:
        """Close everything."""
        for id_ in list(self._open):
            self._closed(id_)


def _links(device: Device) -> tuple[str, ...]:
    return () if device.by_id is None else (device.by_id,)


def _describe(device: Device, node: str, open_nodes: set[str]) -> SerialPort:
    return SerialPort(
        id=device.by_id or node,
        node=node,
        name=device.name,
        by_id=device.by_id,
        vendor=device.vendor,
        vendor_id=device.vendor_id,
        model=device.model,
        model_id=device.model_id,
        serial=device.serial,
        driver=device.driver,
        device=device.id,
        in_use=node in open_nodes,
    )
