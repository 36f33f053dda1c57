"""The configuration of the hardware service."""

from __future__ import annotations

from pydantic import Field

from rpcwire.service import ServiceConfig


class HardwareConfig(ServiceConfig):
    """How often the machine may be read."""

    least_interval_s: float = Field(
        default=0.1, gt=0, description="The shortest interval of a subscription, in seconds."
    )
    most_processes: int = Field(default=10_000, ge=1, description="The most processes that one answer lists.")
