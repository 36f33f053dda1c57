"""Exceptions of drivers and of SQLAlchemy, turned into the errors of this service."""

from __future__ import annotations

import re
import sqlite3

from rpcwire.errors import Executed, RpcError

from .errors import (
    DatabaseDataError,
    DatabaseError,
    DatabaseIntegrityError,
    DatabaseInternalError,
    DatabaseNotSupportedError,
    DatabaseOperationalError,
    DatabaseProgrammingError,
    TxStateName,
)

_BY_NAME: dict[str, type[DatabaseError]] = {
    "DataError": DatabaseDataError,
    "OperationalError": DatabaseOperationalError,
    "IntegrityError": DatabaseIntegrityError,
    "InternalError": DatabaseInternalError,
    "ProgrammingError": DatabaseProgrammingError,
    "NotSupportedError": DatabaseNotSupportedError,
    "InterfaceError": DatabaseOperationalError,
    "DatabaseError": DatabaseError,
    "Error": DatabaseError,
}
_BY_STATE = {
    "22": DatabaseDataError,
    "23": DatabaseIntegrityError,
    "25": DatabaseOperationalError,
    "42": DatabaseProgrammingError,
}
"""Classes of SQLSTATE that drivers do not agree on."""
_MYSQL_CLASSES = {"21": DatabaseProgrammingError}
"""Those of MariaDB and MySQL that there are besides: numbers of columns that do not fit."""
_MYSQL_WRONG = frozenset({
    "1008", "1052", "1094", "1109", "1111", "1193", "1210", "1221", "1228", "1229", "1238", "1243", "1267", "1271",
    "1273", "1288", "1347", "1348", "1359", "1360", "1362", "1363", "1442", "1471", "1537", "1539", "1747", "1959",
    "4078", "4161",
})  # fmt: skip
"""Wrong statements and unknown names of MariaDB and MySQL whose SQLSTATE says nothing (HY000), or, of an
ambiguous column, that a constraint is broken."""
_REFUSED_WRITES = frozenset({"25006", "XAE07"})
"""A change where only reading is allowed; the second where MariaDB would first have to end the transaction."""
_SQLITE_DATA = re.compile(r"Could not decode to UTF-8|integer overflow|malformed JSON|.*out of range")
_SQLITE_STATE = re.compile(
    r"cannot (?:start|commit|rollback|release|open) |no such savepoint|.* is locked|"
    r".*(?:within|inside) (?:a )?transaction"
)
"""What SQLite says with its code for everything, SQLITE_ERROR, though the statement is right."""
_RETRYABLE_STATES = re.compile(r"40001|40P01|55P03|57P0[1-5]|53...|08...")
_RETRYABLE_CODES = frozenset({"1020", "1205", "1213", "1040", "1203", "2002", "2003", "2006", "2013"})
_RETRYABLE_MYSQL_STATE = "40001"
"""Of MariaDB's and MySQL's codes the others say it: 08S01 is that of a message which is too long, too."""
_MYSQL_LIMITS = frozenset({"1203", "1226"})
"""More connections, or statements, than the role may have: with 42000, though no statement is wrong."""
_LOST_CODES = frozenset({
    "0", "1053", "1152", "1158", "1159", "1160", "1161", "1184", "1927", "2006", "2013", "2014", "2055",
})  # fmt: skip
"""Of MariaDB and MySQL: the server or the way to it went (https://mariadb.com/kb/en/mariadb-error-code-reference/), or
asyncmy has no connection any more: 0."""
_LOST_MESSAGE = re.compile(r"client was disconnected by the server", re.IGNORECASE)
"""MySQL's 4031, whose number MariaDB has for something else."""
_MAY_COME_BACK = re.compile(r"too many|starting up|shutting down|recovery mode|not yet accepting", re.IGNORECASE)
_URL = re.compile(r"\b[a-z][a-z0-9+]*://\S+", re.IGNORECASE)
_PASSWORD = re.compile(r"(password|passwd|pwd)\s*[=:]\s*(?!(?:YES|NO)\))\S+", re.IGNORECASE)
"""MariaDB says "(using password: YES)", which is no secret."""
_LIMIT = 2000


def _original(exc: BaseException) -> BaseException:
    """The driver's exception inside SQLAlchemy's."""
    inner = getattr(exc, "orig", None)
    return inner if isinstance(inner, BaseException) else exc


def _class_of(exc: BaseException) -> type[DatabaseError]:
    for cls in type(exc).__mro__:
        found = _BY_NAME.get(cls.__name__)
        if found is not None:
            return found
    if isinstance(exc, OverflowError | ValueError | TypeError | UnicodeError):
        return DatabaseDataError
    return DatabaseOperationalError


def _codes(exc: BaseException) -> tuple[str | None, str | None, str]:
    """SQLSTATE, the driver's code, and the message without them."""
    name = getattr(exc, "sqlite_errorname", None)
    if isinstance(name, str):
        more = ": use less of it (length() needs none), or raise max_row_bytes" if name == "SQLITE_TOOBIG" else ""
        return None, name, f"{exc}{more}"
    sqlstate = getattr(exc, "sqlstate", None)
    diag = getattr(exc, "diag", None)
    if diag is not None:
        primary = diag.message_primary or str(exc)
        hints = [
            f"{word}: {text}" for word, text in (("detail", diag.message_detail), ("hint", diag.message_hint)) if text
        ]
        return sqlstate, None, "; ".join([primary, *hints])
    args = exc.args
    if len(args) >= 2 and isinstance(args[0], int):
        return sqlstate, str(args[0]), str(args[1])
    return sqlstate if isinstance(sqlstate, str) else None, None, str(exc)


def redact(text: str) -> str:
    """The message of a failure to connect, without anything that may be a secret of the connection."""
    return _PASSWORD.sub(r"\1=…", _URL.sub("(URL)", text))


def _shortened(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _LIMIT else text[:_LIMIT] + "…"


def _mysql_class(sqlstate: str, code: str) -> type[DatabaseError] | None:
    """What asyncmy calls OperationalError unless it knows better, by what it is."""
    if code in _MYSQL_LIMITS:
        return DatabaseOperationalError
    return DatabaseProgrammingError if code in _MYSQL_WRONG else _MYSQL_CLASSES.get(sqlstate[:2])


def _sqlite_class(exc: BaseException, code: str | None, message: str) -> type[DatabaseError] | None:
    """What Python's module calls OperationalError, or nothing in particular, by what it is."""
    if not isinstance(exc, sqlite3.Error):
        return None
    if code is not None and code.startswith("SQLITE_CONSTRAINT"):
        return DatabaseIntegrityError
    if _SQLITE_DATA.match(message):
        return DatabaseDataError
    if code == "SQLITE_AUTH" or "not authorized" in message or (code or "").startswith("SQLITE_READONLY"):
        return DatabaseProgrammingError
    if code == "SQLITE_ERROR" and not _SQLITE_STATE.match(message):
        return DatabaseProgrammingError  # Syntax, and names that there are not.
    return None


def is_refused(error: DatabaseError) -> bool:
    """Whether the database understood a statement, and does not allow here what it would do."""
    return error.sqlstate in _REFUSED_WRITES or (error.driver_code or "").startswith(("SQLITE_AUTH", "SQLITE_READONLY"))


def is_lost(exc: BaseException) -> bool:
    """Whether an exception says that the connection to the database is gone."""
    if isinstance(exc, RpcError):
        return isinstance(exc, DatabaseError) and exc.connection_lost
    exc = _original(exc)
    diag = getattr(exc, "diag", None)
    if diag is not None:
        # PostgreSQL closes the connection after what is fatal; of what it could not say, psycopg gives no code.
        severity = diag.severity_nonlocalized or diag.severity
        if severity is None:
            return getattr(exc, "sqlstate", None) is None and type(exc).__name__ == "OperationalError"
        return severity in ("FATAL", "PANIC")
    _, code, message = _codes(exc)
    return isinstance(exc, ConnectionError) or code in _LOST_CODES or _LOST_MESSAGE.search(message) is not None


def lost_error(exc: Exception, executed: Executed) -> Exception:
    """The error for work on a connection that is gone.

    Parameters:
        exc: what was raised; what refused the work before it was sent stays as it is.
        executed: whether the database has seen it.
    """
    if isinstance(exc, RpcError) and not isinstance(exc, DatabaseOperationalError):
        return exc
    error = translate_error(exc)
    if not isinstance(error, DatabaseError):
        return error
    return DatabaseOperationalError(
        error.message, executed="no" if error.executed == "no" else executed, retryable=True, connection_lost=True,
        sqlstate=error.sqlstate, driver_code=error.driver_code, step=error.step, tx_state=error.tx_state,
    )  # fmt: skip


def _may_connect_later(exc: BaseException, message: str) -> bool:
    """Whether a failure to connect, of which the driver gives no code, may be over later."""
    if "FATAL:" in message:  # PostgreSQL answered, and psycopg drops the code.
        return _MAY_COME_BACK.search(message) is not None
    return isinstance(exc, OSError) or type(exc).__name__ in {"OperationalError", "InterfaceError"}


def connection_failure(exc: Exception) -> RpcError:
    """The error of this service for an exception while connecting: nothing was executed.

    Parameters:
        exc: what was raised; an :class:`~rpcwire.errors.RpcError` comes back as it is.
    """
    if isinstance(exc, RpcError):
        return exc
    error = translate_error(exc)
    assert isinstance(error, DatabaseError)
    original = _original(exc)
    retryable = error.retryable
    if error.sqlstate is None and error.driver_code is None:
        retryable = _may_connect_later(original, error.message)
    return type(error)(
        redact(error.message), executed="no", retryable=retryable,
        sqlstate=error.sqlstate, driver_code=error.driver_code,
    )  # fmt: skip


def translate_error(
    exc: BaseException,
    *,
    tx_state: TxStateName = "none",
    step: int | None = None,
    executed: Executed = "yes",
) -> RpcError:
    """The error of this service that stands for an exception of a driver.

    Parameters:
        exc: what was raised; an :class:`~rpcwire.errors.RpcError` comes back, told the state where it did not know it.
        tx_state: the state of the transaction after it.
        step: which statement of several it was.
        executed: whether the database has seen the statement; not known where the connection was lost meanwhile.
    """
    if isinstance(exc, RpcError):
        if isinstance(exc, DatabaseError) and exc.tx_state == "none":
            exc.tx_state = tx_state
            exc.step = step if exc.step is None else exc.step
            exc.details = {**exc.details, "tx_state": tx_state, "step": exc.step}
        return exc
    exc = _original(exc)
    sqlstate, code, message = _codes(exc)
    cls = _class_of(exc)
    if sqlstate in _REFUSED_WRITES:
        cls = DatabaseProgrammingError
    elif sqlstate is not None:
        found = _mysql_class(sqlstate, code) if code is not None else None
        if cls is not DatabaseNotSupportedError:
            cls = found or _BY_STATE.get(sqlstate[:2], cls)
    else:
        cls = _sqlite_class(exc, code, message) or cls
    if message.startswith("Could not decode to UTF-8"):
        message += "; read it as bytes: CAST(x AS BLOB)"
    retryable = bool(
        (sqlstate and code is None and _RETRYABLE_STATES.fullmatch(sqlstate))
        or sqlstate == _RETRYABLE_MYSQL_STATE
        or code in _RETRYABLE_CODES
        or (code and code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")))
    )
    lost = executed == "yes" and is_lost(exc)
    if lost:
        cls, executed, retryable = DatabaseOperationalError, "unknown", True
    return cls(
        _shortened(message) or type(exc).__name__,
        executed=executed, retryable=retryable, connection_lost=lost,
        sqlstate=sqlstate, driver_code=code, step=step, tx_state=tx_state,
    )  # fmt: skip
