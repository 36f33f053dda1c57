"""What the transactions of both clients share: their identity and their state."""

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


def isolation_of(level: Isolation | IsolationName | None) -> Isolation | None:
    """Return the isolation level of a name.

    Raises:
        InvalidParams: there is no level of this name.
    """
    try:
        return None if level is None else Isolation(level)
    except ValueError:
        names = ", ".join(repr(member.value) for member in Isolation)
        message = f"there is no level {level!r}: one of {names}"
        error = {"loc": ["isolation"], "msg": message, "type": "enum"}
        raise InvalidParams(f"isolation: {message}", errors=[error], executed="no") from None


class TransactionState:
    """The state of a transaction, as far as the client knows it.

    Attributes:
        state: the state after the last statement: ``none`` before the transaction begins; ``active``; ``failed``, when
            it can only be rolled back, wholly or to a savepoint; ``ended``. ``None`` if the last statement was
            cancelled or exceeded its deadline, so that the state is not known: ``renew`` asks the server.
    """

    def __init__(self) -> None:
        self.state: TxState | None = TxState.NONE
        self._info: Transaction | None = None
        self._is_settled = True  # Whether nothing is left to commit or to roll back.
        self._savepoint_count = 0

    @property
    def info(self) -> Transaction:
        """The server's answer to ``begin``: id, isolation, leases.

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
        """The id that its statements pass as ``transaction``."""
        return self.info.id

    def _check_may_begin(self) -> None:
        if not self._is_settled:
            raise DatabaseProgrammingError("the transaction is open already", tx_state="active", executed="no")

    def _note_begin(self, info: Transaction) -> None:
        self._info, self.state, self._is_settled, self._savepoint_count = info, TxState.ACTIVE, False, 0

    def _note_end(self) -> None:
        self.state, self._is_settled = TxState.ENDED, True

    def _note_success(self, result: Any) -> None:
        """Note that a statement has succeeded."""
        state = getattr(result, "tx_state", None)
        if isinstance(state, TxState):
            self.state = state
            self._is_settled = self._is_settled or state is TxState.ENDED  # COMMIT or ROLLBACK in SQL ended it.
        elif self.state is None:
            self.state = TxState.ACTIVE

    def _note_failure(self, exc: BaseException) -> None:
        """Note that a statement has failed."""
        if isinstance(exc, DatabaseError):
            self.state = TxState(exc.tx_state)
        elif isinstance(exc, TransactionLost) or (isinstance(exc, TransportError) and not isinstance(exc, NotSent)):
            self.state = TxState.ENDED  # It has ended with its connection.
        elif not (isinstance(exc, RpcError) and exc.executed == "no"):
            self.state = None

    def _next_savepoint(self) -> str:
        self._savepoint_count += 1
        return f"sp{self._savepoint_count}"

    @property
    def _wants_rollback(self) -> bool:
        return not self._is_settled and self.state is not TxState.ENDED


Note = Callable[[BaseException], None]
"""Notes an exception of a statement in the transaction's state."""
