"""Turns a connection of a client into one with another node: the gateway's part of a circuit.

The client connects and authenticates as always, and then makes one call. From its answer on, this node passes every
frame on to the other node, and every frame of that node to the client. So a call through another node is encoded once
and decoded once, everything that a direct connection can is there, and what a socket does against senders that are too
fast does it for the whole way.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field

from rpcwire.aio.peer import Peer
from rpcwire.errors import InvalidRequest

from .circuits import Circuits
from .relay import ClientSide, Relay


class NodeConnection(BaseModel):
    """The node with which a connection goes on."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, Field(description="Id of the node.")]
    name: Annotated[str, Field(description="Its name.")]
    epoch: Annotated[str, Field(description="The number of its life, as text.")]
    is_here: Annotated[bool, Field(description="Whether it is the node that was asked: then nothing has changed.")]
    message_bytes: Annotated[int | None, Field(description="Largest message that it accepts, in bytes.")] = None
    message_nodes: Annotated[int | None, Field(description="Most values of a message that it accepts.")] = None
    batch_items: Annotated[int | None, Field(description="Most entries of a batch that it accepts.")] = None


async def lead_to(
    circuits: Circuits, peer: Peer, name: str, takes_bytes: int | None, timeout_s: float
) -> NodeConnection:
    """Lead a connection to another node, as soon as the call that has asked for it is answered. A handler calls this,
    in the task of that call.

    Parameters:
        circuits: the circuits of this node.
        peer: the connection.
        name: the name or id of the node.
        takes_bytes: the largest message that the client accepts, in bytes; ``None`` if it does not tell.
        timeout_s: how long that may take, in seconds.

    Returns:
        The answer of the call.

    Raises:
        InvalidRequest: something else is under way on the connection.
        RpcError: as of :meth:`Circuits.find` and :meth:`Circuits.open`.
    """
    member = circuits.find(name)
    if circuits.is_own(member):
        return NodeConnection(id=member.id, name=member.name, epoch=str(member.epoch), is_here=True)
    _check_unused(peer)
    connection, session = peer.connection, peer.session
    principal, task = connection.principal, asyncio.current_task()
    assert principal is not None, "a handler runs only after authentication"
    assert task is not None
    line, acceptance = await circuits.open(
        member, principal, session.codec.subprotocol, connection.remote, takes_bytes, timeout_s
    )
    try:
        _check_unused(peer)
    except InvalidRequest as exc:
        line.abort(exc.message)
        raise
    relay = Relay(cast("ClientSide", peer.link), line, peer, session.account)

    def start(_: asyncio.Task[Any]) -> None:
        # The answer is sent by now. If it could not be, the link is lost, and the relay with it.
        relay.start()

    task.add_done_callback(start)
    return NodeConnection(
        id=member.id,
        name=member.name,
        epoch=str(acceptance.epoch),
        is_here=False,
        message_bytes=acceptance.message_bytes,
        message_nodes=acceptance.message_nodes,
        batch_items=acceptance.batch_items,
    )


def _check_unused(peer: Peer) -> None:
    """Check that nothing else is under way on a connection.

    Raises:
        InvalidRequest: something is.
    """
    if peer.session.calls_running > 1 or len(peer.session.streams):
        raise InvalidRequest(
            "the connection is in use: make another one for rpc.connect_node, and nothing else on it before its answer",
            executed="no",
        )
