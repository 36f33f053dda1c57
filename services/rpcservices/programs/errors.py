"""What the programs service declares to go wrong."""

from __future__ import annotations

from rpcwire.errors import ServiceError


class ProgramNotFound(ServiceError):
    """No program has this id."""

    executed = "no"
    id: str


class ProgramNotStarted(ServiceError):
    """The program could not be started."""

    executed = "no"
    field: str
    """The parameter that is in the way: ``argv``, ``cwd`` or ``env``."""
    errno: str | None = None
    """The system's name of the error, such as ``ENOENT``."""


class StdinClosed(ServiceError):
    """The program takes no more input."""

    id: str
