"""What the transactions of both clients share: which one it is, and in what state it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from rpcclient.stubs.database import (
    DatabaseError,
    DatabaseProgrammingError,
    Isolation,
    Transaction,
    TransactionLost,
    TxState,
)
from rpcwire.errors import InvalidParams, NotSent, RpcError, TransportError

IsolationName = Literal["read uncommitted", "read committed", "repeatable read", "serializable"]


def isolation_of(given: Isolation | IsolationName | None) -> Isolation | None:
    """The isolation level that is meant.

    Raises:
        InvalidParams: there is none of this name.
    """
    try:
        return None if given is None else Isolation(given)
    except ValueError:
        known = ", ".join(repr(level.value) for level in Isolation)
        message = f"there is no level {given!r}: one of {known}"
        error = {"loc": ["isolation"], "msg": message, "type": "enum"}
        raise InvalidParams(f"isolation: {message}", errors=[error], executed="no") from None


class TransactionState:
    """Which transaction is open, and what is known of its state.

    Attributes:
        state: after the last statement: ``none`` before it is begun; ``active``; ``failed``, when it can only be rolled
            back, to a savepoint or altogether; ``ended``. ``None`` where a statement was cut short (cancelled, or its
            deadline passed): ``renew`` asks the server.
    """

    def __init__(self) -> None:
        self.state: TxState | None = TxState.NONE
        self._info: Transaction | None = None
        self._settled = True  # Nothing is left to commit or to roll back.
        self._points = 0

    @property
    def info(self) -> Transaction:
        """What the server said when it began: id, isolation, leases.

        Raises:
            TransactionLost: it has not been begun.
        """
        if self._info is None:
            reason = "it has not been begun"
            raise TransactionLost(
                f"transaction: {reason}: call begin, or enter it with `with`",
                transaction="", reason=reason, executed="no",
            )  # fmt: skip
        return self._info

    @property
    def id(self) -> str:
        """What statements that belong to it name as ``transaction``."""
        return self.info.id

    def _may_begin(self) -> None:
        if not self._settled:
            raise DatabaseProgrammingError("the transaction is open already", tx_state="active", executed="no")

    def _begun(self, info: Transaction) -> None:
        self._info, self.state, self._settled, self._points = info, TxState.ACTIVE, False, 0

    def _ended(self) -> None:
        self.state, self._settled = TxState.ENDED, True

    def _succeeded(self, result: Any) -> None:
        """A statement went well."""
        state = getattr(result, "tx_state", None)
        if isinstance(state, TxState):
            self.state = state
            self._settled = self._settled or state is TxState.ENDED  # By a COMMIT or ROLLBACK in SQL.
        elif self.state is None:
            self.state = TxState.ACTIVE

    def _failed(self, exc: BaseException) -> None:
        """A statement did not."""
        if isinstance(exc, DatabaseError):
            self.state = TxState(exc.tx_state)
        elif isinstance(exc, TransactionLost) or (isinstance(exc, TransportError) and not isinstance(exc, NotSent)):
            self.state = TxState.ENDED  # It belonged to its connection.
        elif not (isinstance(exc, RpcError) and exc.executed == "no"):
            self.state = None

    def _next_point(self) -> str:
        self._points += 1
        return f"sp{self._points}"

    @property
    def _wants_rollback(self) -> bool:
        return not self._settled and self.state is not TxState.ENDED


Note = Callable[[BaseException], None]
"""Told of an exception, so that the state stays known."""
