"""The exceptions of PEP 249, and the translation of the errors of a call to them."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager

from rpcclient.stubs.database import (
    DatabaseDataError,
    DatabaseIntegrityError,
    DatabaseInternalError,
    DatabaseNotSupportedError,
    DatabaseOperationalError,
    DatabaseProgrammingError,
    TransactionLost,
)
from rpcclient.stubs.database import DatabaseError as RemoteDatabaseError
from rpcwire.errors import InvalidParams, PermissionDenied, ProtocolError, RpcError, TooLarge, TransportError


class Warning(builtins.Warning):  # noqa: A001 - PEP 249 names it so
    """An important warning."""


class Error(Exception):
    """The base class of all errors here.

    Attributes:
        sqlstate: the SQL standard's code, where the database gives one.
        driver_code: the database's own code.
        retryable: whether the same may succeed later.
        tx_state: the transaction after it, where the database said so: ``none``, ``active``, ``failed``, ``ended``.
        disconnected: whether the connection is of no more use.
    """

    sqlstate: str | None = None
    driver_code: str | None = None
    retryable: bool = False
    tx_state: str | None = None
    disconnected: bool = False


class InterfaceError(Error):
    """An error of this module, not of the database."""


class DatabaseError(Error):
    """An error of the database."""


class DataError(DatabaseError):
    """A value that does not fit."""


class OperationalError(DatabaseError):
    """The database cannot run the statement now, or cannot be reached."""


class IntegrityError(DatabaseError):
    """A constraint does not allow the change."""


class InternalError(DatabaseError):
    """The database met an error of its own."""


class ProgrammingError(DatabaseError):
    """The statement, or its parameters, are wrong."""


class NotSupportedError(DatabaseError):
    """The database does not support this."""


_CLASSES: tuple[tuple[type[RpcError], type[Error]], ...] = (
    (DatabaseDataError, DataError),
    (DatabaseIntegrityError, IntegrityError),
    (DatabaseInternalError, InternalError),
    (DatabaseNotSupportedError, NotSupportedError),
    (DatabaseOperationalError, OperationalError),
    (DatabaseProgrammingError, ProgrammingError),
    (RemoteDatabaseError, DatabaseError),
    (InvalidParams, ProgrammingError),
    (PermissionDenied, ProgrammingError),
    (TooLarge, DataError),
    (ProtocolError, InterfaceError),
)
"""Every other error becomes :class:`OperationalError`."""


def to_dbapi(error: RpcError) -> Error:
    """The exception of PEP 249 that stands for the error of a call. Its first argument is the database's own code where
    that is a number, as MySQL's drivers have it."""
    cls = next((theirs for ours, theirs in _CLASSES if isinstance(error, ours)), OperationalError)
    code = getattr(error, "driver_code", None)
    number = int(code) if isinstance(code, str) and code.isdigit() else None
    translation = cls(number, error.message) if number is not None else cls(error.message)
    translation.sqlstate = getattr(error, "sqlstate", None)
    translation.driver_code = code
    translation.retryable = error.retryable
    translation.disconnected = isinstance(error, TransportError | TransactionLost)
    if isinstance(error, RemoteDatabaseError):
        translation.tx_state = error.tx_state
        translation.disconnected = error.connection_lost
    return translation


def rolled_back(error: Error) -> Error:
    """The error to raise when a failed transaction is committed: of the same kind as the statement's.

    Parameters:
        error: the error of the statement that made the transaction fail.
    """
    *code, message = error.args
    copy = type(error)(*code, f"the transaction had failed, and has been rolled back: {message}")
    copy.sqlstate, copy.driver_code, copy.retryable = (
        error.sqlstate,
        error.driver_code,
        error.retryable,
    )
    copy.tx_state = "none"
    return copy


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate each error of a call to an exception of PEP 249."""
    try:
        yield
    except RpcError as exc:
        raise to_dbapi(exc) from exc
