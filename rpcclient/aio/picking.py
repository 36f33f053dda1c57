"""Calls for one result: of the node of a group that is the least busy, or of the one that answers first."""

from __future__ import annotations

from typing import Any, cast

from rpcclient.group.failures import error_without_result
from rpcclient.group.request import GroupMethod, GroupRequest
from rpcclient.methods import Method
from rpcwire.aio.streams import StreamReader
from rpcwire.errors import LocalProtocolError
from rpcwire.events import ProgressHook

from .calling import AsyncCalls
from .outcomes import AsyncGroupStream, AsyncOutcomes
from .stream import AsyncStream


class AsyncPickCalls(AsyncCalls):
    """Calls a group, and gives one node's result. Views of the client use it as they use the calls of one server.

    Parameters:
        calls: makes the calls of the group.
        request: the nodes; its policy takes one result.
    """

    __slots__ = ("_request",)

    def __init__(self, calls: AsyncCalls, request: GroupRequest) -> None:
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
    ) -> AsyncPickCalls:
        """Return the same nodes with other options; see :meth:`rpcclient.options.CallOptions.override`."""
        calls = super().with_options(timeout_s=timeout_s, progress=progress, key=key, window=window, resend=resend)
        return AsyncPickCalls(calls, self._request)

    def _plain(self) -> AsyncCalls:
        return AsyncCalls(self.connector, self.options)

    async def invoke(self, method: Method, params: Any) -> Any:
        """Call a method on the group, and return the first result.

        Parameters:
            method, params: as of :meth:`AsyncCalls.invoke`.

        Raises:
            GroupFailed: several nodes were asked, and none has a result.
            RpcError: the one node on which the method may have run has raised it; or the call failed as a whole.
        """
        outcomes = AsyncOutcomes[Any](self._plain(), GroupMethod(method, self._request, streams=False), params)
        async with outcomes:
            async for outcome in outcomes:
                if outcome.is_ok:
                    return outcome.result
        raise error_without_result(method.name, outcomes.outcomes)

    async def notify(self, method: Method, params: Any) -> None:  # noqa: ARG002 - of the base
        """Refuse: a notification has no answer.

        Raises:
            LocalProtocolError: always.
        """
        raise LocalProtocolError(f"{method.name}: a group takes no notifications: call it")

    def open(self, method: Method, params: Any) -> AsyncStream[Any]:
        """Make a stream of the items of the one node.

        Parameters:
            method, params: as of :meth:`AsyncCalls.open`.

        Raises:
            LocalProtocolError: the streams of several nodes would be mixed.
        """
        if not self._request.policy.one:
            raise LocalProtocolError(
                f"{method.name} answers with a stream, and first() would mix those of several nodes: use one()"
            )
        stream = AsyncGroupStream[Any](self._plain(), GroupMethod(method, self._request, streams=True), params)

        async def begin() -> StreamReader[Any]:
            await stream.open()
            return cast("StreamReader[Any]", _AsyncItems(stream, method.name))

        return AsyncStream(begin)


class _AsyncItems:
    """Reads the items of the one node as a stream of one server is read.

    Parameters:
        stream: the stream of the group.
        name: the full name of the method.
    """

    def __init__(self, stream: AsyncGroupStream[Any], name: str) -> None:
        self._stream = stream
        self._name = name

    async def __anext__(self) -> Any:
        try:
            return (await anext(self._stream)).value
        except StopAsyncIteration:
            if not self._stream.ok and (outcomes := self._stream.outcomes) and not self._stream.missing:
                raise error_without_result(self._name, outcomes) from None
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()
