"""The methods about devices: the inventory, and what changes in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from rpcserver import Context, method

from .core import HardwareCore
from .errors import DeviceNotFound, HardwareRefused, SectionUnavailable
from .inventory.uevents import why_no_events
from .models import Device, DeviceEvent, Smart, Subsystem
from .roles import check_device
from .smart import SmartFailed, ask, why_no_smart


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

    @method(permission="hardware.smart", kind="read", errors=(SectionUnavailable, DeviceNotFound, HardwareRefused))
    async def smart(self, disk: str, *, ctx: Context) -> Smart:
        """What a disk says of its own health (SMART).

        Parameters:
            disk: its name, file or link, as :meth:`devices` lists it.

        Raises:
            DeviceNotFound: there is no such disk.
            SectionUnavailable: smartctl is not installed, or gives no answer.
            HardwareRefused: the caller's role does not list the disk.
        """
        reason = why_no_smart(self.config.smartctl)
        if reason:
            raise SectionUnavailable(f"SMART data cannot be had: {reason}", section="smart", reason=reason)
        disks = await self._worker.run(lambda: self.inventory.list(["block"]))
        device = next((d for d in disks if disk in (d.name, d.node, d.by_id, d.id)), None)
        if device is None or device.node is None:
            names = ", ".join(d.name for d in disks) or "none"
            raise DeviceNotFound(f"disk: there is no disk {disk[:80]!r}; there are: {names}", device=disk[:80])
        role = self.runtime.role_of(ctx.principal)
        check_device(ctx.principal, role, device.node, [device.by_id] if device.by_id else [])
        try:
            return await ask(self.config.smartctl, device.node)
        except SmartFailed as exc:
            raise SectionUnavailable(str(exc), section="smart", reason=f"failed: {exc}") from None
