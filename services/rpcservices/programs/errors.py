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
    """What is in the way: ``argv``, ``cwd``, ``env``, ``user``, ``limits`` or ``pty``."""
    errno: str | None = None
    """The system's name of the error, such as ``ENOENT``."""


class ProgramRefused(ServiceError):
    """The server's policy does not allow it."""

    code = -32002
    executed = "no"
    field: str
    """The parameter that is refused, such as ``argv`` or ``env.LD_PRELOAD``."""
    rule: str
    """The name of the rule in the server's configuration."""


class StdinClosed(ServiceError):
    """The program takes no more input."""

    id: str


class NotController(ServiceError):
    """Another connection controls the program."""

    executed = "no"
    id: str


class NoTerminal(ServiceError):
    """The program has no pseudo-terminal."""

    executed = "no"
    id: str


class ProgramUnsuccessful(ServiceError):
    """A program that was to succeed has ended with another code than 0, by a signal, or at a limit."""

    executed = "yes"
    exit_code: int | None
    """Its exit code; None where a signal ended it."""
    signal: str | None
    """The name of the signal that ended it."""
    stdout: bytes = b""
    """The end of its standard output, where that would have been the answer."""
    stderr: bytes = b""
    """The end of its standard error, likewise."""
