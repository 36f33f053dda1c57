"""Batches: several calls that leave in one frame."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, overload

from rpcwire.errors import Cancelled, LocalProtocolError, RpcError, WireError

from .methods import Method

_T = TypeVar("_T")


class BatchResult(Generic[_T]):
    """The outcome of one call of a batch. It is known once the batch's ``with`` block has ended."""

    def __init__(self, method: Method, params: Any, *, wants_answer: bool) -> None:
        self.method = method
        self.params = params
        self.wants_answer = wants_answer
        self._outcome: tuple[_T | None, RpcError | None] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the outcome is known."""
        return self._outcome is not None

    def settle(self, value: _T | None, error: RpcError | None) -> None:
        """Set the outcome. For the client's use."""
        self._outcome = (value, error)

    def fail(self, error: RpcError | WireError) -> None:
        """Set the error as the outcome. For the client's use."""
        if isinstance(error, WireError):
            error = self.method.error(error.code, error.message, error.data)
        self.settle(None, error)

    def result(self) -> _T:
        """The call's result.

        Raises:
            RpcError: the call failed, or the batch ended before its answer came.
            LocalProtocolError: the batch was not sent yet.
        """
        if self._outcome is None:
            raise LocalProtocolError("the batch was not sent yet: leave its 'with' block first")
        value, error = self._outcome
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # None is a result like any other


class BatchBase:
    """Collects calls, and sends them together when its ``with`` block ends. If the block raises, it sends nothing."""

    def __init__(self) -> None:
        self.entries: list[BatchResult[Any]] = []

    @overload
    def call(self, method: str, params: Any = None) -> BatchResult[Any]: ...
    @overload
    def call(self, method: str, params: Any = None, *, returns: type[_T]) -> BatchResult[_T]: ...
    def call(self, method: str, params: Any = None, *, returns: Any = None) -> BatchResult[Any]:
        """Add a call.

        Parameters:
            method, params, returns: as of the client's ``call``.

        Returns:
            What its outcome can be read from, after the ``with`` block.
        """
        entry: BatchResult[Any] = BatchResult(Method(method, returns), params, wants_answer=True)
        self.entries.append(entry)
        return entry

    def notify(self, method: str, params: Any = None) -> None:
        """Add a notification."""
        self.entries.append(BatchResult(Method(method), params, wants_answer=False))

    def _withdraw(self) -> None:
        """Settle all calls, because the ``with`` block raised an exception and so nothing is sent."""
        self._settle_rest(Cancelled("the batch was not sent: its 'with' block raised an exception", executed="no"))

    def _cut(self, cause: BaseException) -> None:
        """Settle the calls that have no outcome, because sending or waiting ended early."""
        text = "the batch ended before the answer to this call came"
        self._settle_rest(cause if isinstance(cause, RpcError) else Cancelled(text, executed="unknown"))

    def _settle_rest(self, error: RpcError) -> None:
        for entry in self.entries:
            if not entry.is_settled:
                entry.settle(None, error)
