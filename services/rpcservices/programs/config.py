"""The configuration of the programs service."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from rpcserver.plugins.old_roles import ConfigWithOldRoles, Grant, OldRoles, read_grants
from rpcservices.programs.permission.policy import OWNER

from .models import Seconds

_MIB = 1024 * 1024
OWN_VARIABLES = ("RPCSERVER_", "RPC_TOKEN")
"""Variables that begin like this are the server's own, and may hold its secrets: no program ever gets them."""


def _not_ours(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name.startswith(OWN_VARIABLES):
            raise ValueError(f"{name} is the server's own and may hold a secret; remove it")
    return names


def _there(numbers: tuple[int, ...]) -> tuple[int, ...]:
    most = os.sysconf("SC_NPROCESSORS_CONF")
    for number in numbers:
        if not 0 <= number < most:
            raise ValueError(f"there is no processor {number}: this machine has 0 to {most - 1}")
    return numbers


class ProgramsConfig(ConfigWithOldRoles):
    """How programs are run and remembered."""

    output_bytes: int = Field(
        default=4 * _MIB,
        ge=1024,
        description="The most output that `run` returns, per stream, in bytes; never more than fits into a message "
        "(limits.message_bytes).",
    )
    retain_bytes: int = Field(
        default=16 * _MIB, ge=1024, description="Output kept of a started program, per stream, in bytes."
    )
    max_retain_bytes: int = Field(
        default=1024 * _MIB,
        ge=1024,
        description="The most output that a caller may ask the server to keep, per stream, in bytes.",
    )
    memory_bytes: int = Field(
        default=_MIB,
        ge=4096,
        description="How much of that is always kept in memory, per stream, in bytes; the rest is in files.",
    )
    spare_memory_bytes: int = Field(
        default=64 * _MIB,
        ge=0,
        description="How much more all streams together may keep in memory before they use files, in bytes.",
    )
    kept_memory_bytes: int = Field(
        default=512 * _MIB,
        ge=0,
        description="The most output of all programs that is kept in memory, in bytes. Beyond it, output of started "
        "programs goes to files at once, and `run` drops what comes, and counts it as lost.",
    )
    retain_s: Seconds = Field(
        default=600.0, description="How long an ended program and its output are kept, in seconds."
    )
    max_retain_s: Seconds = Field(
        default=7 * 86400.0,
        description="The longest time for which a caller may ask the server to keep them, in seconds.",
    )
    max_ended: int = Field(
        default=1000,
        ge=1,
        description="Ended programs that are kept. Beyond it, the oldest of the owner who has the most is forgotten "
        "before its time.",
    )
    max_programs: int = Field(default=256, ge=1, description="Programs that may run at the same time.")
    description_bytes: int = Field(
        default=8 * _MIB,
        ge=4096,
        description="Memory for the arguments and labels of all programs that run or are kept, in bytes; each text "
        "counts 200 bytes more than it has. Beyond it, the oldest ended program of the owner who has the most is "
        "forgotten before its time.",
    )
    kept_bytes: int = Field(
        default=16 * 1024 * _MIB,
        ge=4096,
        description="The most output of all programs that is kept, in memory and files, in bytes: as much as those "
        "that run may keep, and what is there of those that have ended. Beyond it, the oldest ended one of the owner "
        "who has the most is forgotten before its time.",
    )
    principal_share: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="The part of max_programs, description_bytes, kept_bytes, kept_memory_bytes and spare_memory_bytes "
        "that the running programs of one principal may take, so that some is left for others. One or two programs are "
        "not divided.",
    )
    grace_s: Seconds = Field(
        default=2.0, description="Time between TERM and KILL when the server ends a program, in seconds."
    )
    environment: Annotated[tuple[str, ...], AfterValidator(_not_ours)] = Field(
        default=("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR"),
        description="Variables of the server's own environment that programs get. USER and LOGNAME name the user as "
        "whom they run. These two, HOME and SHELL are set even if the server has none.",
    )
    cgroups: bool = Field(
        default=True,
        description="Whether each program gets a control group of its own (cgroups(7)), if the server may make one.",
    )
    processors: Annotated[tuple[int, ...], AfterValidator(_there)] = Field(
        default=(),
        description="Numbers of the processors that programs may use; if none is named, all that the server may use. "
        "If the server runs on other processors, programs cannot slow its answers down.",
    )

    @classmethod
    def read_old_roles(cls, section: Mapping[str, Any]) -> OldRoles:
        """Translate ``unlisted`` and ``roles``, which the section had once."""
        permissions = ("programs.*",)
        owner = Grant(permissions, OWNER.model_dump(exclude_defaults=True), of_owner=True)
        return OldRoles(
            keys=tuple(key for key in ("unlisted", "roles") if key in section),
            grants=read_grants(
                section.get("roles", {}),
                lambda name, conditions: Grant(permissions, conditions, name),
                owner=Grant() if section.get("unlisted") == "nobody" else owner,
                everybody=Grant(),
            ),
        )
