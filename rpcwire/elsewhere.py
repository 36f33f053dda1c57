"""What belongs to another process, of which this one is a fork."""

from __future__ import annotations

from typing import NoReturn

from rpcwire.codec import Subprotocol
from rpcwire.errors import ConnectFailed, ConnectionClosed, ConnectionLost


def of_parent(what: str, remedy: str = "open it anew here") -> ConnectionClosed:
    """The error for using something over a connection of the parent.

    Parameters:
        what: what is used.
        remedy: what to do instead.
    """
    return ConnectionClosed(f"{what} belongs to the process that this one was forked from: {remedy}")


def answered_there() -> ConnectionLost:
    """The error of a call that was under way when the process forked, in the child."""
    return ConnectionLost("the process was forked while the call was under way: its answer goes to the parent")


def raise_unpicklable(kind: str) -> NoReturn:
    """Refuse to take something to another process by pickle, with what holds it.

    Parameters:
        kind: the name of its class.

    Raises:
        TypeError: always.
    """
    raise TypeError(
        f"cannot pickle a {kind}, or an object that has one: its connection stays here; make one in the other process"
    )


def of_parent_memory(subprotocol: Subprotocol) -> NoReturn:  # noqa: ARG001 - in the place of a server's method
    """What connects in a child to a server in memory, whose loop does not run there.

    Raises:
        ConnectFailed: always.
    """
    raise ConnectFailed("memory: the server runs in the process that this one was forked from", retryable=False)
