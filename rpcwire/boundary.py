"""The one place where an exception becomes an error on the wire. Nothing of an undeclared exception gets out but an
incident number, which the log shows beside the traceback."""

from __future__ import annotations

import logging
import secrets

from .errors import InternalError, RpcError, TransportError


def to_rpc_error(exc: BaseException, *, method: str, logger: logging.Logger) -> RpcError:
    """What to answer when a handler has raised ``exc``.

    Parameters:
        exc: what the handler raised.
        method: the method's full name, for the log.
        logger: gets the traceback of what the handler does not declare.

    Returns:
        ``exc`` itself where it may be sent; else an :class:`InternalError` with an incident number.
    """
    if isinstance(exc, RpcError) and not isinstance(exc, TransportError):
        return exc
    incident = secrets.token_hex(4)
    logger.error("%s failed, incident %s", method, incident, exc_info=exc)
    return InternalError(
        f"{method} failed; the log there has the reason under incident {incident}",
        executed="yes",
        details={"incident": incident},
    )
