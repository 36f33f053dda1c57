"""The configuration of the hardware service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from rpcserver import ServiceConfig
from rpcserver.plugins.old_roles import ConfigWithOldRoles, Grant, OldRoles, read_grants
from rpcwire.errors import describe_fields, field_errors

_BASIC_PERMISSIONS = ("hardware.read", "hardware.metrics")
"""What everybody could do who had authenticated, whatever the roles said."""


class _OldRole(ServiceConfig):
    """A role as the section had them once, without its members."""

    may: tuple[Literal["processes", "control", "serial", "smart"], ...] = ("processes",)


class HardwareConfig(ConfigWithOldRoles):
    """How often clients may read the machine, and what they may see of it."""

    min_interval_s: float = Field(default=0.1, gt=0, description="The shortest interval of a subscription, in seconds.")
    section_timeout_s: float = Field(
        default=2.0, gt=0, description="How long sensors, disks, batteries and GPUs may take to answer, in seconds."
    )
    max_processes: int = Field(default=10_000, ge=1, description="The most processes that one answer lists.")
    max_connections: int = Field(
        default=10_000, ge=1, description="The most network connections that one answer lists."
    )
    reveal_command_lines: bool = Field(
        default=False, description="Show command lines unchanged, including any passwords and tokens in them."
    )
    device_events: int = Field(
        default=1000, ge=1, description="How many device events a reader may be behind before it gets a new list."
    )
    device_events_bytes: int = Field(
        default=8 * 1024 * 1024, ge=1024, description="The buffer for the system's device events, in bytes."
    )
    serial_paths: tuple[str, ...] = Field(
        default=(),
        description="Files that clients may open as serial ports, besides those of the inventory; * is any text.",
    )
    serial_buffer_bytes: int = Field(
        default=1024 * 1024, ge=1, description="Input of one serial port that is kept for a slow reader, in bytes."
    )
    serial_ports: int = Field(default=64, ge=1, description="The most serial ports that may be open at once.")
    smartctl: str = Field(default="smartctl", description="The program that reads SMART data: a name or a path.")
    metrics_page: bool = Field(
        default=False,
        description="Show the metrics for Prometheus at /metrics, to whoever has the permission hardware.metrics.",
    )
    history: bool = Field(
        default=True, description="Keep the last day of all metrics in memory; of counters, the rates."
    )
    history_interval_s: float = Field(default=10.0, gt=0, description="Time between two kept samples, in seconds.")
    history_fine_s: float = Field(default=3600.0, gt=0, description="How long every sample is kept, in seconds.")
    history_coarse_step_s: float = Field(
        default=300.0,
        gt=0,
        description="After that time, one point is kept for each interval of this length, in seconds.",
    )
    history_coarse_s: float = Field(default=86_400.0, gt=0, description="How long those points are kept, in seconds.")
    history_metrics: int = Field(default=1000, ge=1, description="The most metrics that are kept (about 10 kB each).")

    @classmethod
    def read_old_roles(cls, section: Mapping[str, Any]) -> OldRoles:
        """Translate ``unlisted`` and ``roles``, which the section had once."""

        def make(name: str, keys: Mapping[str, Any]) -> Grant:
            try:
                role = _OldRole.model_validate(keys)
            except ValidationError as exc:
                raise ValueError(describe_fields(field_errors(exc, prefix=("roles", name)))) from exc
            return Grant((*_BASIC_PERMISSIONS, *(f"hardware.{right}" for right in role.may)), role=name)

        everybody = Grant(_BASIC_PERMISSIONS)
        owner = everybody if section.get("unlisted") == "nobody" else Grant(("hardware.*",), of_owner=True)
        return OldRoles(
            keys=tuple(key for key in ("unlisted", "roles") if key in section),
            grants=read_grants(section.get("roles", {}), make, owner=owner, everybody=everybody),
        )
