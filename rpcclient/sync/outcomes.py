# Generated from rpcclient/aio/outcomes.py by `make stubs`. Do not edit: change that, and generate anew.

"""What comes of a group call: one outcome for each node, and the items of the nodes' streams."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from rpcclient.group.events import GroupItem
from rpcclient.group.failures import GroupFailed
from rpcclient.group.request import GroupMethod
from rpcclient.group.roll import Roll
from rpcclient.options import EndlessOptions
from rpcwire.errors import LocalProtocolError, RemoteProtocolError, RpcError
from rpcwire.group.outcomes import GroupNode, NodeOutcome
from rpcwire.limits import LONGEST_S

from .calling import Calls
from .stream import Stream
from .waits import Turn, Waitable

_T_co = TypeVar("_T_co", covariant=True)


class _Answers(Waitable, Generic[_T_co]):
    """What a group call answers: it makes the call, and reads what comes of it.

    Parameters:
        calls: makes the call.
        method: the method of the server that calls the nodes.
        params: the parameters of the method that is called on the nodes.
    """

    def __init__(self, calls: Calls, method: GroupMethod, params: Any) -> None:
        if method.is_endless:
            calls = Calls(calls.connector, EndlessOptions.of(calls.options))
        self._calls = calls
        self._method = method
        self._stream: Stream[Any] = calls.open(method, params)
        self._roll: Roll[_T_co] = Roll(
            method.method.name, streams=method.streams_answers, progress=method.request.progress
        )
        self._turn = Turn()
        self._until = 0.0
        self._has_begun = False

    # --- what there is so far -----------------------------------------------------------------------------------

    @property
    def nodes(self) -> Sequence[GroupNode]:
        """The nodes that were asked. They do not change during the call. A name that no node has is among them, with an
        empty id.

        Raises:
            LocalProtocolError: the call was not made yet.
        """
        if self._roll.nodes is None:
            name = self._method.method.name
            raise LocalProtocolError(f"{name} was not called yet: wait() for its outcomes, or iterate over them")
        return self._roll.nodes

    @property
    def is_settled(self) -> bool:
        """Whether the server was sure that it knew all nodes; it may not be right after its start.

        Raises:
            LocalProtocolError: the call was not made yet.
        """
        return bool(self.nodes is not None and self._roll.is_settled)

    @property
    def missing(self) -> list[GroupNode]:
        """The nodes that have no outcome yet: none, once all outcomes are read.

        Raises:
            LocalProtocolError: the call was not made yet.
        """
        return self._roll.missing if self.nodes else []

    @property
    def outcomes(self) -> list[NodeOutcome[_T_co]]:
        """The outcomes so far, in the order in which they came.

        Raises:
            LocalProtocolError: the call was not made yet.
        """
        return list(self._roll.outcomes) if self.nodes else []

    @property
    def ok(self) -> list[NodeOutcome[_T_co]]:
        """The outcomes so far that are ``ok``.

        Raises:
            LocalProtocolError: the call was not made yet.
        """
        return [outcome for outcome in self.outcomes if outcome.is_ok]

    @property
    def failed(self) -> list[NodeOutcome[_T_co]]:
        """The outcomes so far that are not ``ok``.

        Raises:
            LocalProtocolError: the call was not made yet.
        """
        return [outcome for outcome in self.outcomes if not outcome.is_ok]

    # --- waiting ------------------------------------------------------------------------------------------------

    def open(self) -> Self:
        """Make the call, unless it was made before, and wait until the nodes are known.

        Raises:
            RpcError: the call failed as a whole.
        """
        while self._roll.nodes is None and not self._roll.is_over:
            with self._turn:
                if self._roll.nodes is None:
                    self._read()
        return self

    def wait(self) -> Self:
        """Wait until each node has its outcome.

        Returns:
            The same, so that what is to be done with it may follow at once.

        Raises:
            RpcError: the call failed as a whole.
        """
        try:
            while not self._roll.is_over:
                with self._turn:
                    self._read()
        except BaseException:
            self.close()
            raise
        return self

    def raise_for_failures(self) -> Self:
        """Wait until each node has its outcome, and raise an error if one is not ``ok``.

        Returns:
            The same.

        Raises:
            GroupFailed: an outcome is not ``ok``. It is an ExceptionGroup with the error of each such node.
            RpcError: the call failed as a whole.
        """
        self.wait()
        if failures := self.failed:
            raise GroupFailed(self._method.method.name, failures, len(self.nodes))
        return self

    def _read(self) -> GroupItem[_T_co] | NodeOutcome[_T_co] | None:
        """Read one event.

        Returns:
            The item or the outcome, if it was one.

        Raises:
            RpcError: the call failed as a whole.
        """
        roll = self._roll
        if roll.is_over:
            return None
        now = self._calls.now()
        if not self._has_begun:
            self._has_begun = True
            self._until = now + self._seconds()
        try:
            # A slow reader may ask long after the deadline for what has come before it.
            return roll.take(self._stream.read_by(max(self._until, now) + self._method.grace_s))
        except StopIteration:
            roll.finish()
        except TimeoutError:
            self._stream.close()
            roll.expire()
        except RemoteProtocolError as exc:
            self._stream.close()
            roll.finish(exc)
        except LocalProtocolError:
            self.close()
            raise
        except RpcError as exc:
            roll.finish(exc)
        return None

    def _seconds(self) -> float:
        """Return how long all of it may take, in seconds."""
        return LONGEST_S if self._method.is_endless else self._calls.options.seconds(self._method.deadline_s)

    # --- leaving ------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Cancel the call on all nodes that have no outcome yet. They stay :attr:`missing`."""
        self._has_begun = True
        self._roll.leave()
        self._stream.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not vars(self).get("_has_begun", True):
            name = self._method.method.name
            text = f"{name} was never called on the group: wait() for its outcomes, or iterate over them"
            warnings.warn(text, RuntimeWarning, stacklevel=2, source=self)

    # --- showing ------------------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """Return the outcomes so far as flat rows: one for each node, or as many as its result has rows or objects.

        Returns:
            Rows with ``node``, ``node_id``, ``state``, ``executed``, ``duration_s``, ``error``, and the fields of the
            result; fields within fields have a dot in their names. A result without fields is ``result``. A field of
            the result that is called as one of the others is ``result.NAME``.

        Raises:
            LocalProtocolError: the call was not made yet.
        """
        from rpcclient.group.tables import make_rows

        return make_rows(self.outcomes)

    def to_pandas(self) -> Any:
        """Return the rows of :meth:`rows` as a ``pandas.DataFrame``.

        Raises:
            ImportError: pandas is not installed.
            LocalProtocolError: the call was not made yet.
        """
        from rpcclient.group.tables import make_frame

        return make_frame(self.rows())

    def table(self) -> str:
        """Return the outcomes so far as a table for people, with a summary in its last line.

        Raises:
            LocalProtocolError: the call was not made yet.
        """
        from rpcclient.group.tables import make_table

        return make_table(self.nodes, self.outcomes)

    def _repr_html_(self) -> str | None:
        """Return the table for a notebook; ``None`` before the call was made."""
        from rpcclient.group.tables import make_html

        return None if self._roll.nodes is None else make_html(self._roll.nodes, self._roll.outcomes)

    def __repr__(self) -> str:
        from rpcclient.group.tables import summarize

        nodes, kind = self._roll.nodes, type(self).__name__
        text = "not called yet" if nodes is None else summarize(nodes, self._roll.outcomes)
        return f"<{kind} of {self._method.method.name}: {text}>"


class Outcomes(_Answers[_T_co]):
    """What became of a call on each node of a group: exactly one outcome for each. It is an iterable, which gives
    outcomes in the order in which they come; and a context manager, which cancels the call on those nodes that
    have no outcome yet. The call is made when the context is entered, the first outcome is asked for, or
    :meth:`wait` is called. Whoever iterates again gets the same outcomes again.

    ::

        for outcome in client.group("role=web").hardware.memory():
            print(outcome.node, outcome.state, outcome.result or outcome.error)
    """

    def change_results(self, change: Callable[[Any], Any]) -> None:
        """Let a function make of each result what the caller gets. This must be said before the call is made.

        Parameters:
            change: the function. If it raises an RpcError, the outcome of that node is an ``error``.
        """
        self._method.change = change

    def __iter__(self) -> Iterator[NodeOutcome[_T_co]]:
        index, outcomes = 0, self._roll.outcomes
        while True:
            while index < len(outcomes):
                yield outcomes[index]
                index += 1
            if self._roll.is_over:
                return
            with self._turn:
                if index == len(outcomes):
                    self._read()


class GroupStream(_Answers[None], Generic[_T_co]):
    """The items of the streams of all nodes of a group, merged in the order in which they come: an iterator, and
    a context manager that ends all of these streams. The call is made when the context is entered, or the first
    item is asked for. A node whose stream has ended has an outcome in :attr:`outcomes`.

    ::

        with client.group("role=web").hardware.watch(["cpu"]) as items:
            for item in items:
                print(item.node, item.value.cpu, item.lost)
    """

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> GroupItem[_T_co]:
        while not self._roll.is_over:
            event = self._read_in_turn()
            if isinstance(event, GroupItem):
                return event
        raise StopIteration

    def events(self) -> Iterator[GroupItem[_T_co] | NodeOutcome[None]]:
        """Yield the items, and between them the outcome of each node whose stream has ended, as they come.

        Raises:
            RpcError: the call failed as a whole.
        """
        index, outcomes = len(self._roll.outcomes), self._roll.outcomes
        while True:
            event = self._read_in_turn()
            if isinstance(event, GroupItem):
                yield event
            while index < len(outcomes):
                yield outcomes[index]
                index += 1
            if self._roll.is_over:
                return

    def _read_in_turn(self) -> Any:
        with self._turn:
            return self._read()
