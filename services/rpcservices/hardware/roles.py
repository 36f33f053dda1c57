"""The conditions of roles for the hardware service."""

from __future__ import annotations

from fnmatch import fnmatchcase

from pydantic import Field

from rpcserver import Principal, ServiceConfig, ServiceRole

from .errors import HardwareRefused


class HardwareRole(ServiceConfig):
    """Which devices the members of a role may use, if its permissions let them use any."""

    devices: tuple[str, ...] = Field(
        default=("*",), description="Serial ports and disks that they may use, such as /dev/ttyUSB0; * is any text."
    )


def check_device(principal: Principal, role: ServiceRole | None, node: str) -> None:
    """Make sure that a caller may use a device.

    Parameters:
        principal: the caller.
        role: the role of the caller.
        node: the file of the device, wherever links lead.

    Raises:
        HardwareRefused: the role does not list the device.
    """
    conditions: HardwareRole | None = None if role is None else role.conditions
    if conditions is not None and any(fnmatchcase(node, pattern) for pattern in conditions.devices):
        return
    rule = "roles" if role is None else f"{role.place}.hardware.devices"
    raise HardwareRefused(
        f"{principal.name} may not use {node}: have the operator add it to {rule}", device=node, rule=rule
    )
