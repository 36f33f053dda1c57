"""What both sides know of leases: their bounds, and the errors about them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from rpcwire.errors import Executed, ServiceError
from rpcwire.secret import Secret

LEAST_TTL_S, MOST_TTL_S = 1.0, 3600.0
"""How long a lease may last without being renewed, in seconds."""
MOST_WAIT_S = 3600.0
"""How long one call may wait for a lease, in seconds. A client that waits longer asks again."""
NAME_CHARACTERS = 200
"""The longest name of a lease, in characters."""
SCOPE_CHARACTERS = 4096
"""The longest scope of a lease, in characters."""
ID_PATTERN = r"^[0-9a-f]{32}$"
"""The form of the number by which a holder proves that it is the one."""

LeaseName = Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS)]
"""The name of a lease."""
LeaseScope = Annotated[str, Field(max_length=SCOPE_CHARACTERS)]
"""What a lease is for, such as a selector: leases of the same name in two scopes have nothing to do with each other."""
LeaseId = Annotated[str, Field(pattern=ID_PATTERN), Secret()]
"""A random number that the holder makes, and that nobody else knows."""
LeaseTtl = Annotated[float, Field(ge=LEAST_TTL_S, le=MOST_TTL_S)]
"""How long a lease lasts without being renewed, in seconds."""


class LeaseHeld(ServiceError):
    """Somebody else holds the lease, or has held it so lately that they may still believe to.

    Attributes:
        lease: the name of the lease.
        holder: who holds it, as the roles of the server that granted it know them; empty if that is not known.
        node: the name of that server; empty if that is not known.
    """

    executed: Executed = "no"
    lease: str
    holder: str = ""
    node: str = ""


class LeaseLost(ServiceError):
    """The lease is not held any more: it has expired, or somebody else holds it by now.

    Attributes:
        lease: the name of the lease.
    """

    executed: Executed = "no"
    lease: str


class StaleFencingToken(ServiceError):
    """Somebody else has acted with a later number of the lease: who acts with this one has lost it.

    Attributes:
        lease: the name of the lease.
        fencing_token: the number that was shown.
        highest: the highest number that has been seen.
    """

    executed: Executed = "no"
    lease: str
    fencing_token: int
    highest: int
