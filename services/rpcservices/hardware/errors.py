"""What the hardware service declares to go wrong."""

from __future__ import annotations

from rpcwire.errors import ServiceError


class SectionUnavailable(ServiceError):
    """A whole section cannot be read at the moment. (A single value that cannot be read is None, with a reason.)"""

    section: str
    reason: str


class ProcessGone(ServiceError):
    """The process has ended. Its number may be another's by now, which was left alone."""

    executed = "no"
    pid: int


class ProcessDenied(ServiceError):
    """The server's user may not do this to the process."""

    executed = "no"
    pid: int
