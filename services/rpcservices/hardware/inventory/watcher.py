"""Follows the devices: keeps the list, and tells all followers what changes in it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Literal

from rpcservices.hardware.errors import SectionUnavailable
from rpcservices.hardware.models import Device, DeviceEvent, Subsystem
from rpcservices.hardware.readers.plain import plain
from rpcservices.hardware.readers.reasons import why
from rpcservices.hardware.sampling.worker import Worker

from .inventory import Inventory
from .subsystems import READERS
from .uevents import Source, Uevent

logger = logging.getLogger("rpcserver.services.hardware")

_LOST_HERE = "the system's buffer for device events was full, or one of them could not be read"
_LOST_THERE = "the reader was too slow"


class _Follower:
    """The events that one reader has not taken yet. If there are too many, it gets the whole list instead."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.events: deque[DeviceEvent] = deque()
        self.loss = ""
        self.error: SectionUnavailable | None = None
        self.has_news = asyncio.Event()

    def put(self, event: DeviceEvent) -> None:
        if self.loss:
            return
        if len(self.events) >= self.most:
            self.lose(_LOST_THERE)
        else:
            self.events.append(event)
        self.has_news.set()

    def fail(self, error: SectionUnavailable) -> None:
        self.error = error
        self.has_news.set()

    def lose(self, reason: str) -> None:
        self.events.clear()
        self.loss = reason
        self.has_news.set()


class DeviceWatcher:
    """Reads events once for all followers. It runs while there is a follower.

    Parameters:
        inventory: reads devices.
        open_source: starts to receive events.
        most_events: the most events that may wait for one follower.
    """

    def __init__(self, inventory: Inventory, open_source: Callable[[], Source], most_events: int) -> None:
        self._inventory = inventory
        self._open_source = open_source
        self._most_events = most_events
        self._worker = Worker("rpc-hardware-devices")
        self._followers: set[_Follower] = set()
        self._devices: dict[str, Device] = {}
        self._has_list = False
        self._task: asyncio.Task[None] | None = None

    async def follow(self, subsystems: frozenset[Subsystem] | None) -> AsyncGenerator[DeviceEvent, None]:
        """Yield all devices, and then every change.

        Parameters:
            subsystems: which; all where ``None``.

        Raises:
            OSError: events cannot be received.
            SectionUnavailable: receiving events has failed.
        """

        def is_chosen(device: Device) -> bool:
            return subsystems is None or device.subsystem in subsystems

        def everything(action: Literal["snapshot", "resync"], reason: str = "") -> DeviceEvent:
            devices = [device for device in self._devices.values() if is_chosen(device)]
            return DeviceEvent(action=action, t_wall_s=time.time(), devices=devices, reason=reason)

        follower = _Follower(self._most_events)
        self._followers.add(follower)
        try:
            if self._task is None:
                source = self._open_source()
                self._task = asyncio.get_running_loop().create_task(self._run(source))
            while not (self._has_list or follower.error):
                follower.has_news.clear()
                await follower.has_news.wait()
            if follower.error is not None:
                raise follower.error
            follower.events.clear()
            follower.loss = ""
            yield everything("snapshot")
            while True:
                while not (follower.events or follower.loss or follower.error):
                    follower.has_news.clear()
                    await follower.has_news.wait()
                if follower.loss:
                    reason, follower.loss = follower.loss, ""
                    yield everything("resync", reason)
                elif not follower.events:
                    assert follower.error is not None, "why else did it wake"
                    raise follower.error
                else:
                    event = follower.events.popleft()
                    if event.device is None or is_chosen(event.device):
                        yield event
        finally:
            self._followers.discard(follower)
            if not self._followers and follower.error is None:
                self._end()

    def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        self._has_list = False
        self._devices = {}

    async def close(self) -> None:
        """End everything."""
        task = self._task
        self._end()
        if task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._worker.close()

    # --- the reader -------------------------------------------------------------------------------------------------

    async def _run(self, source: Source) -> None:
        """Receive events before listing, so that no change is missed. A device that comes twice is reported once."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(source.fileno(), ready.set)
        try:
            await self._list()
            while True:
                await ready.wait()
                ready.clear()
                await self._receive(source)
        except Exception as exc:
            logger.exception("device events cannot be received any more")
            self._fail(why(exc))
        finally:
            loop.remove_reader(source.fileno())
            source.close()

    def _fail(self, reason: str) -> None:
        """Tell all followers that receiving has failed. The next follower starts again."""
        text = f"device events cannot be received any more: {reason}"
        for follower in self._followers:
            follower.fail(SectionUnavailable(text, section="device_events", reason=reason))
        self._followers = set()
        self._end()

    async def _list(self) -> None:
        devices = await self._worker.run(self._inventory.list)
        self._devices = {device.id: device for device in devices}
        self._has_list = True
        for follower in self._followers:
            follower.has_news.set()

    async def _receive(self, source: Source) -> None:
        has_loss = False
        while True:
            try:
                event = source.receive()
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    raise
                has_loss = True
                continue
            if event is None:
                break
            # Events from before the loss are in the list that follows.
            if not has_loss and event.subsystem in READERS:
                await self._handle(event)
        if has_loss:
            logger.warning("device events were lost: listing all devices anew")
            await self._list()
            for follower in self._followers:
                follower.lose(_LOST_HERE)

    async def _handle(self, event: Uevent) -> None:
        if event.devpath_old and event.devpath_old != event.devpath:
            self._remove(event.devpath_old)
        if event.action == "remove":
            self._remove(event.devpath)
            return
        device = await self._worker.run(lambda: self._inventory.at(event.devpath))
        if device is None:
            # It is gone already, and the event of its removal follows; or the inventory does not list it.
            return
        before = self._devices.get(device.id)
        if before == device and event.action == "add":
            return  # It was in the list already.
        self._devices[device.id] = device
        self._tell("add" if before is None else "change", device)

    def _remove(self, devpath: str) -> None:
        device = self._devices.pop(plain(devpath.lstrip("/")), None)
        if device is not None:
            self._tell("remove", device)

    def _tell(self, action: Literal["add", "remove", "change"], device: Device) -> None:
        event = DeviceEvent(action=action, t_wall_s=time.time(), device=device)
        for follower in self._followers:
            follower.put(event)
