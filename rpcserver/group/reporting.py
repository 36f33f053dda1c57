"""Tells those who observe calls, such as the audit log, of what comes from another node and never gets a connection, on
which it would be a call: group calls and circuits that are refused before they begin, and wishes for events."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from rpcwire.context import Connection, Principal
from rpcwire.dispatch import Dispatch
from rpcwire.errors import RpcError
from rpcwire.events import IncomingCall
from rpcwire.messages import Envelope, MessageId

from .call_wire import CALL_ID, codec_of
from .members import format_id

logger = logging.getLogger("rpcserver.group")

CONNECTION = "group"
"""The id that stands in the place of a connection's."""
FOLLOW = "rpc.follow"
"""The method whose call makes a wish for events."""
CONNECT = "rpc.connect_node"
"""The method whose call makes a circuit."""


class Nobody:
    """The other side, where there is no connection with it."""

    async def call(self, *_: Any, **__: Any) -> Any:
        """Fail: nobody would answer."""
        raise AssertionError("there is no connection")

    async def notify(self, *_: Any, **__: Any) -> None:
        """Fail: nobody would hear it."""
        raise AssertionError("there is no connection")


def describe_place(source: int, remote: str = "") -> str:
    """Return where the client of another node is, for a person.

    Parameters:
        source: the id of the node.
        remote: what the node tells of it, if that may be believed.
    """
    node = f"the node {format_id(source)}"
    return f"{remote} via {node}" if remote else node


class Reporter:
    """Tells observers what was refused, or granted, without a connection.

    Parameters:
        dispatch: what the server's calls go through; it knows the observers.
    """

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    def report_call(
        self, principal: Principal | None, remote: str, frame: bytes, error: RpcError, *, is_packed: bool
    ) -> None:
        """Tell of a group call that is refused.

        Parameters:
            principal: the client; ``None`` if nobody may vouch for it.
            remote: where it is.
            frame: the frame with the call. If its end is missing, nobody knows which method was called.
            error: the reason.
            is_packed: whether values are MessagePack; otherwise they are JSON.
        """
        if not self._dispatch.is_observed:
            return
        messages = codec_of(is_packed=is_packed).decode(frame).messages
        request = messages[0] if messages else None
        method, params = "", None
        if isinstance(request, Envelope) and isinstance(request.method, str):
            method, params = request.method, None if request.params is UNSET else request.params
        self._report(principal, remote, CALL_ID, method, params, error, is_packed=is_packed)

    def report_wish(
        self,
        principal: Principal | None,
        remote: str,
        number: int,
        events: Sequence[str] | None,
        error: RpcError | None = None,
    ) -> None:
        """Tell of a wish for events, which is as good as a call of ``rpc.follow`` at this node.

        Parameters:
            principal, remote: as of :meth:`report_call`.
            number: tells it from other wishes of its node.
            events: their full names; ``None`` for all.
            error: why it is refused; ``None`` if it is granted.
        """
        if self._dispatch.is_observed:
            params = Raw(msgspec.msgpack.encode({"events": events}))
            self._report(principal, remote, number, FOLLOW, params, error, is_packed=True)

    def report_circuit(self, principal: Principal | None, remote: str, own: int, error: RpcError) -> None:
        """Tell of a circuit that is refused, which is as good as a call of ``rpc.connect_node`` at this node.

        Parameters:
            principal, remote: as of :meth:`report_call`.
            own: the id of this node.
            error: why it is refused.
        """
        if self._dispatch.is_observed:
            params = Raw(msgspec.msgpack.encode({"node": format_id(own)}))
            self._report(principal, remote, CALL_ID, CONNECT, params, error, is_packed=True)

    def _report(
        self,
        principal: Principal | None,
        remote: str,
        number: MessageId,
        method: str,
        params: Raw | None,
        error: RpcError | None,
        *,
        is_packed: bool,
    ) -> None:
        connection = Connection(CONNECTION, remote, Nobody(), principal, logger=logger)
        call = IncomingCall(number, method, params, None, arrived_ns=self._dispatch.arrival_ns())
        if error is None:
            self._dispatch.report_end(connection, call)
        else:
            self._dispatch.report_refusal(connection, call, error, codec_of(is_packed=is_packed))
