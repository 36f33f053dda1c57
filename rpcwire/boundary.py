"""The one place where an exception becomes an error on the wire. Nothing of an undeclared exception gets out but an
incident number, which the log shows beside the traceback."""

from __future__ import annotations

import logging
import secrets

from rpcwire.values.unsendable import Unsendable

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


def unsendable_answer(exc: Exception, *, method: str, logger: logging.Logger) -> InternalError:
    """What to answer where a handler has returned, or streams, what cannot be sent. Call it while handling ``exc``.

    Parameters:
        exc: what the encoder raised.
        method: the method's full name.
        logger: gets the traceback.
    """
    logger.error("%s gave something that cannot be sent", method, exc_info=exc)
    if isinstance(exc, Unsendable):
        return InternalError(f"{method} returned something that cannot be sent: {exc}", executed="yes")
    return InternalError(f"{method} returned something that is not of its declared type", executed="yes")
