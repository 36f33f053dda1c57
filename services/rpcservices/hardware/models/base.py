"""What all answers of the hardware service share. A value that cannot be read is None, and ``reasons`` says why, by
field. Names are psutil's where it has them, with the unit added where it is not in the name already."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Section = Literal[
    "host", "cpu", "memory", "disks", "network", "sensors", "battery", "users", "cgroup", "pressure", "gpus"
]
"""A part of the machine that :class:`Snapshot` can hold."""

Part = Literal[
    "host",
    "cpu",
    "memory",
    "disks",
    "network",
    "sensors",
    "battery",
    "users",
    "cgroup",
    "pressure",
    "gpus",
    "processes",
    "connections",
    "devices",
    "device_events",
    "serial",
    "smart",
    "history",
]
"""Everything that the hardware service can do on some machine."""

Availability = Literal["available", "unsupported", "denied", "absent"]
"""Whether something can be had: if not, the system does not offer it, the server may not, or the machine has none."""


class Answer(BaseModel):
    """The root of what the service answers."""

    model_config = ConfigDict(frozen=True)


class Capability(Answer):
    """Whether a part of the machine can be read or used here."""

    section: Part
    state: Availability = Field(description="available; unsupported by the system; denied to the server; absent")
    reason: str = Field(default="", description="why not, for a person")
    metrics: dict[str, str] = Field(
        default_factory=dict, description="what is missing of an available section, and why, by field"
    )
