"""The inventory of devices."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Answer

Subsystem = Literal["pci", "usb", "block", "net", "input", "tty", "drm", "memory", "dmi"]
"""A kind of device: the kernel's words, and ``memory`` for DIMMs, ``dmi`` for the system, its board and firmware."""


class Device(Answer):
    """A device. ``properties`` has what only its subsystem knows, under osquery's names (tables ``pci_devices``,
    ``usb_devices``, ``block_devices``, ``memory_devices``, ``system_info``, ``interface_details``)."""

    id: str = Field(description="its path in sysfs below the root, which is unique; smbios/... for what DMI lists")
    subsystem: Subsystem
    name: str = Field(description="as the kernel calls it, such as sda or 0000:00:1f.2")
    vendor: str | None = Field(default=None, description="who made it")
    vendor_id: str | None = Field(default=None, description="four hexadecimal digits")
    model: str | None = None
    model_id: str | None = Field(default=None, description="four hexadecimal digits")
    serial: str | None = Field(default=None, description="its serial number")
    driver: str | None = Field(default=None, description="the kernel's driver for it")
    node: str | None = Field(default=None, description="its file in /dev")
    by_id: str | None = Field(default=None, description="a link to that file which outlives replugging")
    parent: str | None = Field(default=None, description="id of the device that it hangs on, where that is listed")
    properties: dict[str, str | int | None] = Field(default_factory=dict)


class DeviceEvent(Answer):
    """Something about the devices. ``snapshot`` comes first, with all of them; then one for each change; ``resync``,
    again with all of them, where events were lost."""

    action: Literal["snapshot", "add", "remove", "change", "resync"]
    t_wall_s: float = Field(description="when it was seen, in seconds since 1970")
    device: Device | None = Field(default=None, description="which (add, remove, change); removed ones as last seen")
    devices: list[Device] | None = Field(default=None, description="all of them (snapshot, resync)")
    reason: str = Field(default="", description="what was lost (resync)")
