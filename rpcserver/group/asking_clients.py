"""Makes a group call of what a client has sent: the part of ``rpc.call_nodes`` that knows connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field

from rpcwire.aio.peer import Peer
from rpcwire.context import Context
from rpcwire.errors import InvalidParams
from rpcwire.group.outcomes import ALL_AT_ONCE, Policy
from rpcwire.group.selectors import Everyone, InvalidSelector, Names, Target, parse
from rpcwire.tracing import make_context, propagate
from rpcwire.values.dynamic import dump_plain
from rpcwire.values.encoded import EncodedObject

from .call_link import Evidence
from .calls import Caller, GroupCalls, GroupRequest


class CallTarget(BaseModel):
    """The nodes that a call is for: exactly one of these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    selector: Annotated[str | None, Field(description="Labels that they have, such as role=web,zone!=eu.")] = None
    names: Annotated[list[str] | None, Field(description="Names or ids; each of them has an outcome.")] = None
    everyone: Annotated[bool, Field(description="Whether all are meant.")] = False


class CallPolicy(BaseModel):
    """How the nodes are asked; without it all at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parallel: Annotated[int | None, Field(description="The most nodes that are asked at a time.")] = None
    batch: Annotated[int | None, Field(description="The size of the batches in which they are asked.")] = None
    stop_after_failures: Annotated[
        int | None, Field(description="After so many outcomes that are not ok no further node is asked.")
    ] = None
    canary: Annotated[
        int | None, Field(description="So many are asked first; the others only if each of them is ok.")
    ] = None
    enough: Annotated[int | None, Field(description="After so many outcomes that are ok the call ends.")] = None
    one: Annotated[
        bool, Field(description="Whether one is asked, the least loaded first, until the method may have run.")
    ] = False


class ClientLink(Evidence, Protocol):
    """What a group call needs of the client's link.

    Attributes:
        takes_bytes: the largest message that the client accepts, in bytes; ``None`` if it does not tell.
    """

    takes_bytes: int | None


def call_group(
    calls: GroupCalls,
    peer: Peer,
    link: ClientLink | None,
    target: CallTarget,
    method: str,
    params: list[Any] | dict[str, Any] | None,
    policy: CallPolicy | None,
    ctx: Context,
) -> AsyncIterator[EncodedObject]:
    """Make a group call for a client.

    Parameters:
        calls: the group calls of this node.
        peer: the connection of the client.
        link: its link; ``None`` for one in memory.
        target, method, params, policy: what the client asks for.
        ctx: the context of the client's call.

    Returns:
        What the client gets.

    Raises:
        InvalidParams: the target or the policy cannot be used.
        RpcError: as of :meth:`GroupCalls.call`.
    """
    codec = peer.session.codec
    request = GroupRequest(
        target=read_target(target),
        method=method,
        params=None if params is None else dump_plain(params, codec),
        policy=_read_policy(policy),
        ctx=make_context(0, ctx.key, propagate() or (None if ctx.traceparent is None else (ctx.traceparent, ""))),
        deadline_s=peer.loop.time() + ctx.remaining_s(),
    )
    caller = Caller(
        principal=ctx.principal,
        remote=ctx.connection.remote,
        takes_bytes=None if link is None else link.takes_bytes,
        codec=codec,
        account=peer.session.account,
        evidence=link,
    )
    return cast("AsyncIterator[EncodedObject]", calls.call(request, caller))


def read_target(target: CallTarget) -> Target:
    """Return the nodes that are meant.

    Raises:
        InvalidParams: the selector is wrong, or not exactly one of the fields is given.
    """
    fields = [name for name in ("selector", "names", "everyone") if getattr(target, name) not in (None, False)]
    if len(fields) != 1:
        what = f"it has {' and '.join(fields)}" if fields else "it has none of them"
        raise _wrong("target", [], f"give exactly one of selector, names and everyone: {what}")
    try:
        if target.selector is not None:
            return parse(target.selector)
        return Everyone() if target.names is None else Names(tuple(target.names))
    except InvalidSelector as exc:
        raise _wrong("target", fields, str(exc)) from None


def _read_policy(policy: CallPolicy | None) -> Policy:
    if policy is None:
        return ALL_AT_ONCE
    try:
        return Policy(**dict(policy))
    except ValueError as exc:
        raise _wrong("policy", [], str(exc)) from None


def _wrong(name: str, more: list[str], problem: str) -> InvalidParams:
    place = [name, *more]
    errors = [{"loc": place, "msg": problem, "type": "value_error"}]
    return InvalidParams(f"invalid parameters: {'.'.join(place)}: {problem}", errors=errors)
