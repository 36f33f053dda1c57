"""The conditions of roles for the hardware service: which devices a caller may use, and which processes exist for them.

Devices are compared where they are used, and not before the method runs: which file a name or a link leads to is only
known then.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from rpcserver import PermissionDenied, Principal, ServiceConfig, ServiceRole

from .errors import HardwareRefused


class HardwareRole(ServiceConfig):
    """Which devices and processes the members of a role may use, if its permissions let them use any."""

    devices: tuple[str, ...] = Field(
        default=("*",),
        description="Serial ports and disks that they may use, by node or by_id of hardware.devices, such as "
        "/dev/ttyUSB0 or /dev/serial/by-id/usb-FTDI_*; * is any text.",
    )
    processes: Literal["all", "own"] = Field(
        default="all",
        description="The processes that they may see and act on: all, or only those of the caller's own user of the "
        "system, so far as the server knows that user.",
    )


def check_device(principal: Principal, role: ServiceRole | None, node: str, links: Sequence[str] = ()) -> None:
    """Make sure that a caller may use a device.

    Parameters:
        principal: the caller.
        role: the role of the caller.
        node: the file of the device, wherever links lead.
        links: the system's own links to that file, which outlive replugging.

    Raises:
        HardwareRefused: the role does not list the device.
    """
    conditions: HardwareRole | None = None if role is None else role.conditions
    names = (node, *links)
    if conditions is not None and any(
        name == pattern or fnmatchcase(name, pattern) for pattern in conditions.devices for name in names
    ):
        return
    rule = "roles" if role is None else f"{role.place}.hardware.devices"
    links_text = f" (or {', '.join(links)})" if links else ""
    raise HardwareRefused(
        f"{principal.name} may not use {node}: have the operator add it{links_text} to {rule}", device=node, rule=rule
    )


def limits_to_own(role: ServiceRole | None) -> bool:
    """Return whether the members of a role may see and act on their own processes only."""
    return role is None or role.conditions.processes == "own"


def check_own_user(principal: Principal, role: ServiceRole | None) -> None:
    """Make sure that the server knows which processes are a caller's own, if the role allows only those.

    Raises:
        PermissionDenied: it does not know the caller's user.
    """
    if limits_to_own(role) and principal.uid is None:
        rule = "roles" if role is None else f"{role.place}.hardware.processes"
        raise PermissionDenied(
            f"{principal.name} may use only processes of their own user, and the server does not know that user for "
            f"somebody who comes by {principal.method}: come by the server's Unix socket, or have the operator set "
            f'{rule} to "all"'
        )
