"""Decides, by the roles of the configuration, who may do more than read the machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, get_args

from pydantic import Field

from rpcserver import Principal, Role, RoleTable

from .errors import HardwareRefused

Right = Literal["processes", "control", "serial", "smart"]
"""``processes``: see processes, and whose sockets are. ``control``: signal them, set their priority and affinity.
``serial``: open serial ports. ``smart``: ask disks for their health. Everything else anybody may read."""

PREFIX = "services.hardware"
_VERBS: Mapping[Right, str] = {
    "processes": "see processes and connections", "control": "act on processes", "serial": "open serial ports",
    "smart": "ask disks for SMART data",
}  # fmt: skip


class HardwareRole(Role):
    """What a group of callers may do besides reading the machine, which everybody may."""

    may: tuple[Right, ...] = Field(
        default=("processes",),
        description="What they may do: processes (see them, and connections), control (signal processes, set their "
        "priority and affinity), serial (open serial ports), smart (ask disks for their health).",
    )


OWNER = HardwareRole(may=get_args(Right))
"""The role of a local owner who is in no other: everything."""


class Access:
    """The roles of the service.

    Parameters:
        roles: the roles by name.
        owner_may: whether the local owner may do everything without being in a role.
    """

    def __init__(self, roles: Mapping[str, HardwareRole], *, owner_may: bool) -> None:
        self._roles = RoleTable(PREFIX, roles, OWNER if owner_may else None, os.geteuid())

    def check(self, principal: Principal, right: Right) -> None:
        """Make sure that a caller may do something.

        Parameters:
            principal: the caller.
            right: the right that the caller needs.

        Raises:
            HardwareRefused: the role lacks the right; the error names both.
        """
        role = self._roles.role(principal)
        if role is None:
            rule = f"{PREFIX}.unlisted"
            remedy = f'list them in a role ({PREFIX}.roles.NAME) with may = ["{right}"]'
        elif right not in role[1].may:
            rule = f"{role[0]}.may"
            remedy = f'add "{right}" to {rule}'
        else:
            return
        raise HardwareRefused(
            f"{principal.name} may not {_VERBS[right]}: have the operator {remedy}", right=right, rule=rule
        )
