"""The list of what is in a backup, which is its last member. A backup without it was not finished."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NAME = "manifest.json"
"""The name of the manifest in a backup."""

MOST_BYTES = 256 * 1024 * 1024
"""The largest manifest that is read, in bytes."""

_UNSAFE_PARTS = frozenset({"", ".", ".."})


class Member(BaseModel):
    """One file in a backup.

    Attributes:
        name: its name.
        size_bytes: its size, in bytes.
        sha256: its checksum, in hexadecimal digits.
        mode: the rights of its owner.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^(state/|audit/|token$)")]
    size_bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    mode: Annotated[int, Field(ge=0, le=0o700)]

    @property
    def is_safe(self) -> bool:
        """Whether the name leads nowhere but into the folder of its part."""
        return "\0" not in self.name and not _UNSAFE_PARTS.intersection(self.name.split("/"))


class Manifest(BaseModel):
    """What a backup says of itself.

    Attributes:
        format: the form of the backup.
        server_version: the version of the server that has made it.
        state_version: the version of the state (:mod:`rpcserver.state`).
        made: when it was made, by ISO 8601, in UTC.
        host: the name of the machine.
        members: the files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    server_version: str
    state_version: int
    made: str
    host: str
    members: tuple[Member, ...]
