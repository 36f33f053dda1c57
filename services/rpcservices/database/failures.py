"""Turns exceptions of drivers and of SQLAlchemy into the errors of this service."""

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
"""Classes of SQLSTATE that drivers map to different exceptions."""
_MYSQL_CLASSES = {"21": DatabaseProgrammingError}
"""A further class of MariaDB and MySQL: the number of columns does not fit."""
_MYSQL_WRONG = frozenset({
    "1008", "1052", "1094", "1109", "1111", "1193", "1210", "1221", "1228", "1229", "1238", "1243", "1267", "1271",
    "1273", "1288", "1347", "1348", "1359", "1360", "1362", "1363", "1442", "1471", "1537", "1539", "1747", "1959",
    "4078", "4161",
})  # fmt: skip
"""Codes of MariaDB and MySQL for wrong statements and unknown names. Their SQLSTATE is HY000, which says nothing, or,
for an ambiguous column, that of a broken constraint."""
_REFUSED_WRITES = frozenset({"25006", "XAE07"})
"""A change where only reading is allowed. MariaDB gives the second one if the change would first end the
transaction."""
_SQLITE_DATA = re.compile(r"Could not decode to UTF-8|integer overflow|malformed JSON|.*out of range")
_SQLITE_STATE = re.compile(
    r"cannot (?:start|commit|rollback|release|open) |no such savepoint|.* is locked|"
    r".*(?:within|inside) (?:a )?transaction"
)
"""Messages that SQLite gives with its general code SQLITE_ERROR though the statement is right."""
_RETRYABLE_STATES = re.compile(r"40001|40P01|55P03|57P0[1-5]|53...|08...")
_RETRYABLE_CODES = frozenset({"1020", "1205", "1213", "1040", "1203", "2002", "2003", "2006", "2013"})
_RETRYABLE_MYSQL_STATE = "40001"
"""The only SQLSTATE of MariaDB and MySQL that means "try again": 08S01 also stands for a message that is too long."""
_MYSQL_LIMITS = frozenset({"1203", "1226"})
"""The role has too many connections or statements. The SQLSTATE is 42000, though no statement is wrong."""
_LOST_CODES = frozenset({
    "0", "1053", "1152", "1158", "1159", "1160", "1161", "1184", "1927", "2006", "2013", "2014", "2055",
})  # fmt: skip
"""Codes of MariaDB and MySQL for a lost server or network (https://mariadb.com/kb/en/mariadb-error-code-reference/); 0
is asyncmy's, when it has no connection any more."""
_LOST_MESSAGE = re.compile(r"client was disconnected by the server", re.IGNORECASE)
"""The message of MySQL's 4031; MariaDB uses that number for something else."""
_MAY_COME_BACK = re.compile(r"too many|starting up|shutting down|recovery mode|not yet accepting", re.IGNORECASE)
_URL = re.compile(r"(?<![a-z0-9+])[a-z0-9+]++://\S++", re.IGNORECASE)
_PASSWORD = re.compile(r"(password|passwd|pwd)\s*+[=:]\s*+(?!(?:YES|NO)\))\S+", re.IGNORECASE)
"""A password in a message. MariaDB's "(using password: YES)" is no secret."""
_LIMIT = 2000


def _original(exc: BaseException) -> BaseException:
    """The driver's exception inside SQLAlchemy's."""
    inner = getattr(exc, "orig", None)
    return inner if isinstance(inner, BaseException) else exc


def _class_of(exc: BaseException) -> type[DatabaseError]:
    for cls in type(exc).__mro__:
        known_class = _BY_NAME.get(cls.__name__)
        if known_class is not None:
            return known_class
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
    """Remove what may be a secret from the message of a failure to connect."""
    return _PASSWORD.sub(r"\1=…", _URL.sub("(URL)", text))


def _shorten(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _LIMIT else text[:_LIMIT] + "…"


def _mysql_class(sqlstate: str, code: str) -> type[DatabaseError] | None:
    """The right class for an exception that asyncmy calls OperationalError; ``None`` where that is right."""
    if code in _MYSQL_LIMITS:
        return DatabaseOperationalError
    return DatabaseProgrammingError if code in _MYSQL_WRONG else _MYSQL_CLASSES.get(sqlstate[:2])


def _sqlite_class(exc: BaseException, code: str | None, message: str) -> type[DatabaseError] | None:
    """The right class for an exception that Python's module calls OperationalError or DatabaseError; ``None`` where
    that is right."""
    if not isinstance(exc, sqlite3.Error):
        return None
    if code is not None and code.startswith("SQLITE_CONSTRAINT"):
        return DatabaseIntegrityError
    if _SQLITE_DATA.match(message):
        return DatabaseDataError
    if code == "SQLITE_AUTH" or "not authorized" in message or (code or "").startswith("SQLITE_READONLY"):
        return DatabaseProgrammingError
    if code == "SQLITE_ERROR" and not _SQLITE_STATE.match(message):
        return DatabaseProgrammingError  # Wrong syntax, and unknown names.
    return None


def is_refused(error: DatabaseError) -> bool:
    """Whether the database understood a statement, and refused it."""
    return error.sqlstate in _REFUSED_WRITES or (error.driver_code or "").startswith(("SQLITE_AUTH", "SQLITE_READONLY"))


def is_lost(exc: BaseException) -> bool:
    """Whether an exception says that the connection to the database is lost."""
    if isinstance(exc, RpcError):
        return isinstance(exc, DatabaseError) and exc.connection_lost
    exc = _original(exc)
    diag = getattr(exc, "diag", None)
    if diag is not None:
        # PostgreSQL closes the connection after a fatal error. If it could send none, psycopg's error has no code.
        severity = diag.severity_nonlocalized or diag.severity
        if severity is None:
            return getattr(exc, "sqlstate", None) is None and type(exc).__name__ == "OperationalError"
        return severity in ("FATAL", "PANIC")
    _, code, message = _codes(exc)
    return isinstance(exc, ConnectionError) or code in _LOST_CODES or _LOST_MESSAGE.search(message) is not None


def lost_error(exc: Exception, executed: Executed) -> Exception:
    """The error for work on a lost connection.

    Parameters:
        exc: the exception. One that refused the work before it was sent comes back as it is.
        executed: whether the database has seen the work.
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
    """Whether a later attempt to connect may succeed, after a failure for which the driver gives no code."""
    if "FATAL:" in message:  # PostgreSQL answered, and psycopg drops the code.
        return _MAY_COME_BACK.search(message) is not None
    return isinstance(exc, OSError) or type(exc).__name__ in {"OperationalError", "InterfaceError"}


def connection_failure(exc: Exception) -> RpcError:
    """Translate an exception while connecting: nothing was executed.

    Parameters:
        exc: the exception; an :class:`~rpcwire.errors.RpcError` comes back as it is.
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
    """Translate an exception of a driver to the error of this service.

    Parameters:
        exc: the exception; an :class:`~rpcwire.errors.RpcError` comes back, with ``tx_state`` set if it had none.
        tx_state: the state of the transaction after it.
        step: the number of the statement, where there are several.
        executed: whether the database has seen the statement. A lost connection makes it "unknown".
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
        mysql_class = _mysql_class(sqlstate, code) if code is not None else None
        if cls is not DatabaseNotSupportedError:
            cls = mysql_class or _BY_STATE.get(sqlstate[:2], cls)
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
    is_loss = executed == "yes" and is_lost(exc)
    if is_loss:
        cls, executed, retryable = DatabaseOperationalError, "unknown", True
    return cls(
        _shorten(message) or type(exc).__name__,
        executed=executed, retryable=retryable, connection_lost=is_loss,
        sqlstate=sqlstate, driver_code=code, step=step, tx_state=tx_state,
    )  # fmt: skip
