"""The exit status by outcome: one table, which ``rpcclient --help`` shows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from . import characters

if TYPE_CHECKING:
    from rpcwire.errors import RpcError

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
REFUSED = 4
NOT_FOUND = 5
DEADLINE = 124
INTERRUPTED = 130

MEANINGS = {
    OK: "the call succeeded",
    FAILED: "the call failed",
    USAGE: "wrong usage, or parameters that do not fit",
    UNREACHABLE: "no connection, or it was lost",
    REFUSED: "not authenticated, or not allowed",
    NOT_FOUND: "no such service, method, program or node",
    DEADLINE: "the deadline passed",
    INTERRUPTED: "interrupted by Ctrl-C; the call was cancelled",
}


_HERE = {
    "list() shows yours": "rpcclient ps --all shows yours",
    "rpc.discover lists those there are": "rpcclient services lists those there are",
    "client.nodes() lists those there are": "rpcclient nodes lists those there are",
    "allow_token_in_clear=True": "--allow-token-in-clear",
    "a token from token=, RPC_TOKEN": "a token from --token-file, RPC_TOKEN",
}
"""Remedies of error messages that are for Python, and what they are on a command line."""


def status_of(error: RpcError) -> int:
    """The exit status that an error stands for."""
    from rpcclient.stubs.programs import ProgramNotFound
    from rpcwire import errors

    table = (
        (errors.DeadlineExceeded, DEADLINE),
        (errors.TransportError, UNREACHABLE),
        (errors.Unauthenticated, REFUSED),
        (errors.PermissionDenied, REFUSED),
        (errors.MethodNotFound, NOT_FOUND),
        (ProgramNotFound, NOT_FOUND),
        (errors.InvalidParams, USAGE),
    )
    if error.type in ("NodeNotFound", "NoNodes"):
        return NOT_FOUND
    if error.code == errors.PermissionDenied.code:  # What a service declares for itself.
        return REFUSED
    return next((status for kind, status in table if isinstance(error, kind)), FAILED)


def report(error: RpcError) -> int:
    """Say what went wrong on standard error, a line for the whole and one for each field.

    Returns:
        The exit status.
    """
    message = error.message
    for in_python, here in _HERE.items():
        message = message.replace(in_python, here)
    # The lines of a server's message must not look like messages of this program.
    text = characters.visible(f"{error.type}: {message}").replace("\n", "\n  ")
    print(f"rpcclient: {text}", file=sys.stderr)
    for field in error.errors if len(error.errors) > 1 else ():  # Of a single one the line above tells all.
        where = ".".join(str(part) for part in field.get("loc", ()))
        print("  " + characters.visible_line(f"{where}: {field.get('msg', '')}"), file=sys.stderr)
    for name, value in error.details.items():
        if value not in (None, []):
            print("  " + characters.visible_line(f"{name} = {value!r}"), file=sys.stderr)
    if error.retryable:
        after = f" in {error.retry_after_ms} ms" if error.retry_after_ms is not None else ""
        print(f"  the same call may succeed later{after}", file=sys.stderr)
    return status_of(error)
