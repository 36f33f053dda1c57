"""The methods about devices: the inventory, and what changes in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from rpcserver import method

from .core import HardwareCore
from .errors import SectionUnavailable
from .inventory.uevents import why_no_events
from .models import Device, DeviceEvent, Subsystem


class DeviceMethods(HardwareCore):
    """The devices of the machine."""

    @method(permission="hardware.read", kind="read")
    async def devices(self, subsystems: list[Subsystem] | None = None) -> list[Device]:
        """The devices of the machine: PCI, USB, disks, network, input, serial ports, graphics, memory modules, board.

        Parameters:
            subsystems: which; all where not given.
        """
        return await self._worker.run(lambda: self.inventory.list(subsystems))

    @method(permission="hardware.read", kind="read", errors=(SectionUnavailable,))
    async def watch_devices(self, subsystems: list[Subsystem] | None = None) -> AsyncIterator[DeviceEvent]:
        """Follow the devices: all of them at first, then each one that is added, removed or changed. Where events were
        lost, because there were too many or the reader was too slow, all of them again (``resync``).

        Parameters:
            subsystems: which; all where not given.

        Raises:
            SectionUnavailable: the system reports no device events.
        """
        reason = await self._worker.run(lambda: why_no_events(self.places))
        if reason:
            raise SectionUnavailable(f"device events cannot be had: {reason}", section="device_events", reason=reason)
        return self._watcher.follow(None if subsystems is None else frozenset(subsystems))
