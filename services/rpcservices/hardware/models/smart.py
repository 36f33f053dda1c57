"""What disks say of their own health."""

from __future__ import annotations

from pydantic import Field

from .base import Answer


class SmartAttribute(Answer):
    """One attribute of an ATA disk (smartctl's names)."""

    id: int
    name: str = Field(description="empty where smartctl does not know it")
    value: int | None = Field(description="normalised: the higher, the better")
    worst: int | None = Field(description="lowest value so far")
    thresh: int | None = Field(description="at or below it, the disk is about to fail")
    when_failed: str = Field(description="now, past, or empty")
    raw_value: int | None
    raw_string: str = Field(description="the raw value as the maker means it")


class Smart(Answer):
    """What a disk says of its own health."""

    node: str = Field(description="its file")
    model_name: str | None
    serial_number: str | None
    firmware_version: str | None
    protocol: str | None = Field(description="ATA, NVMe or SCSI")
    passed: bool | None = Field(description="whether the disk finds itself healthy")
    temperature_celsius: float | None
    power_on_hours: int | None
    power_cycle_count: int | None
    attributes: list[SmartAttribute] = Field(description="of an ATA disk")
    nvme: dict[str, int] = Field(description="health log of an NVMe disk, under smartctl's names")
    reason: str = Field(default="", description="why values are missing; empty where none of the verdict is")
