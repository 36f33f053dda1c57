"""Errors for using an object that belongs to the process that this one was forked from."""

from __future__ import annotations

from typing import NoReturn

from rpcwire.codec import Subprotocol
from rpcwire.errors import ConnectFailed, ConnectionClosed, ConnectionLost


def parent_error(what: str, remedy: str = "open it anew here") -> ConnectionClosed:
    """Make the error for using a connection of the parent.

    Parameters:
        what: the object that was used, for a person.
        remedy: what to do instead.
    """
    return ConnectionClosed(f"{what} belongs to the process that this one was forked from: {remedy}")


def parent_call_error() -> ConnectionLost:
    """Make the error, in the child, of a call that had no answer yet when the process forked."""
    return ConnectionLost("the process was forked while the call was under way: its answer goes to the parent")


def raise_unpicklable(kind: str) -> NoReturn:
    """Refuse to pickle an object, because its connection cannot go to another process.

    Parameters:
        kind: the name of the object's class.

    Raises:
        TypeError: always.
    """
    article = "an" if kind[0] in "AEIOU" else "a"
    raise TypeError(
        f"cannot pickle {article} {kind}, or an object that has one: its connection stays here; "
        "make one in the other process"
    )


def refuse_parent_memory(subprotocol: Subprotocol) -> NoReturn:  # noqa: ARG001 - in the place of a server's method
    """Refuse to connect, in a child, to a server in memory: its loop does not run there.

    Raises:
        ConnectFailed: always.
    """
    raise ConnectFailed("memory: the server runs in the process that this one was forked from", retryable=False)
