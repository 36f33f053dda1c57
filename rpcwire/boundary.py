"""The one place where an exception becomes an error on the wire. The caller gets nothing of an undeclared exception
except an incident number, which the log shows beside the traceback."""

from __future__ import annotations

import logging
import secrets

from rpcwire.values.unsendable import Unsendable

from .errors import InternalError, RpcError, TransportError


def to_rpc_error(exc: BaseException, *, method: str, logger: logging.Logger) -> RpcError:
    """Make the error to answer with when a handler has raised ``exc``.

    Parameters:
        exc: the exception of the handler.
        method: the method's full name, for the log.
        logger: gets the traceback of an undeclared exception.

    Returns:
        ``exc`` itself if it may be sent; otherwise an :class:`InternalError` with an incident number.
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
    """Make the error to answer with when a result or an item cannot be sent. Call it while handling ``exc``.

    Parameters:
        exc: the exception of the encoder.
        method: the method's full name.
        logger: gets the traceback.
    """
    logger.error("%s gave something that cannot be sent", method, exc_info=exc)
    if isinstance(exc, Unsendable):
        return InternalError(f"{method} returned something that cannot be sent: {exc}", executed="yes")
    return InternalError(f"{method} returned something that is not of its declared type", executed="yes")
