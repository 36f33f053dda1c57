# Generated from rpcclient/aio/picking.py by `make stubs`. Do not edit: change that, and generate anew.

"""Calls for one result: of the node of a group that is the least busy, or of the one that answers first."""

from __future__ import annotations

from typing import Any, cast

from rpcclient.group.failures import error_without_result
from rpcclient.group.request import GroupMethod, GroupRequest
from rpcclient.methods import Method
from rpcwire.errors import LocalProtocolError
from rpcwire.events import ProgressHook
from rpcwire.threads.inbox import StreamReader

from .calling import Calls
from .outcomes import GroupStream, Outcomes
from .stream import Stream


class PickCalls(Calls):
    """Calls a group, and gives one node's result. Views of the client use it as they use the calls of one server.

    Parameters:
        calls: makes the calls of the group.
        request: the nodes; its policy takes one result.
    """

    __slots__ = ("_request",)

    def __init__(self, calls: Calls, request: GroupRequest) -> None:
        super().__init__(calls.connector, calls.options)
        self._request = request

    def with_options(
        self,
        *,
        timeout_s: float | None = None,
        progress: ProgressHook | None = None,
        key: str | None = None,
        window: int | None = None,
        resend: bool | None = None,
    ) -> PickCalls:
        """Return the same nodes with other options; see :meth:`rpcclient.options.CallOptions.override`."""
        calls = super().with_options(timeout_s=timeout_s, progress=progress, key=key, window=window, resend=resend)
        return PickCalls(calls, self._request)

    def _plain(self) -> Calls:
        return Calls(self.connector, self.options)

    def invoke(self, method: Method, params: Any) -> Any:
        """Call a method on the group, and return the first result.

        Parameters:
            method, params: as of :meth:`Calls.invoke`.

        Raises:
            GroupFailed: several nodes were asked, and none has a result.
            RpcError: the one node on which the method may have run has raised it; or the call failed as a whole.
        """
        outcomes = Outcomes[Any](self._plain(), GroupMethod(method, self._request, streams=False), params)
        with outcomes:
            for outcome in outcomes:
                if outcome.is_ok:
                    return outcome.result
        raise error_without_result(method.name, outcomes.outcomes)

    def notify(self, method: Method, params: Any) -> None:  # noqa: ARG002 - of the base
        """Refuse: a notification has no answer.

        Raises:
            LocalProtocolError: always.
        """
        raise LocalProtocolError(f"{method.name}: a group takes no notifications: call it")

    def open(self, method: Method, params: Any) -> Stream[Any]:
        """Make a stream of the items of the one node.

        Parameters:
            method, params: as of :meth:`Calls.open`.

        Raises:
            LocalProtocolError: the streams of several nodes would be mixed.
        """
        if not self._request.policy.one:
            raise LocalProtocolError(
                f"{method.name} answers with a stream, and first() would mix those of several nodes: use one()"
            )
        stream = GroupStream[Any](self._plain(), GroupMethod(method, self._request, streams=True), params)

        def begin() -> StreamReader[Any]:
            stream.open()
            return cast("StreamReader[Any]", _Items(stream, method.name))

        return Stream(begin)


class _Items:
    """Reads the items of the one node as a stream of one server is read.

    Parameters:
        stream: the stream of the group.
        name: the full name of the method.
    """

    def __init__(self, stream: GroupStream[Any], name: str) -> None:
        self._stream = stream
        self._name = name

    def __next__(self) -> Any:
        try:
            return next(self._stream).value
        except StopIteration:
            if not self._stream.ok and (outcomes := self._stream.outcomes) and not self._stream.missing:
                raise error_without_result(self._name, outcomes) from None
            raise

    def close(self) -> None:
        self._stream.close()
