"""The configuration of the programs service."""

from __future__ import annotations

from pydantic import Field

from rpcwire.service import ServiceConfig


class ProgramsConfig(ServiceConfig):
    """How programs are run and remembered."""

    output_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1024, description="The most output that run returns, per stream, in bytes."
    )
    retain_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1024, description="Output kept of a started program, per stream, in bytes."
    )
    retain_s: float = Field(
        default=600.0, ge=0, description="How long an ended program and its output are kept, in seconds."
    )
    programs: int = Field(default=256, ge=1, description="Programs that may run at the same time.")
    grace_s: float = Field(
        default=2.0, ge=0, description="Time between TERM and KILL when the server ends a program, in seconds."
    )
    environment: tuple[str, ...] = Field(
        default=("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR"),
        description="Variables of the server's own environment that programs get.",
    )
