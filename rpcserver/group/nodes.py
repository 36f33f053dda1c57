"""What clients are told of the nodes of the group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .members import Member, State, format_id
from .node import Node
from .watching import Change, ChangeKind, Snapshot

NodeState = Literal["up", "suspect", "leaving", "died", "left"]


_STATES: Mapping[State, NodeState] = {
    State.UP: "up",
    State.SUSPECT: "suspect",
    State.LEAVING: "leaving",
    State.DIED: "died",
    State.LEFT: "left",
}


class NodeInfo(BaseModel):
    """One node of the group."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(description="The name for people; several nodes may have the same.")]
    id: Annotated[str, Field(description="The id, which no other node has, and which restarts do not change.")]
    epoch: Annotated[str, Field(description="The number of its life, as 16 hexadecimal digits: a later one is larger.")]
    is_self: Annotated[bool, Field(description="Whether it is the server that answers.")]
    state: Annotated[NodeState, Field(description="up, suspect, leaving, died or left.")]
    since: Annotated[float, Field(description="When it came into that state, in seconds since 1970.")]
    reason: Annotated[str, Field(description="Why it is in that state, in one word for programs.")]
    explanation: Annotated[str, Field(description="The same as a sentence.")]
    labels: dict[str, str]
    addresses: Annotated[list[str], Field(description="URLs under which clients reach it directly.")]
    services: Annotated[dict[str, str], Field(description="Its services with their versions; empty where unknown.")]
    version: Annotated[str, Field(description="The version of its server.")]
    load: Annotated[
        float, Field(description="How busy it was last: 1.0 if as many processes want to run as it has processors.")
    ]


class NodesEvent(BaseModel):
    """What has happened in the group."""

    model_config = ConfigDict(frozen=True)

    kind: Annotated[
        str,
        Field(
            description="snapshot or resync, with all nodes; or joined, returned, changed, suspect, alive, leaving, "
            "left, died or forgotten, with one; or settled or unsettled, with none, when is_settled has changed."
        ),
    ]
    version: Annotated[int, Field(description="Counts the changes that this server has seen.")]
    nodes: list[NodeInfo]
    is_settled: Annotated[
        bool,
        Field(
            description="Whether the server is sure of its nodes now. It is not without a connection to the broker, "
            "nor in the first second of one, nor while it reads too slowly."
        ),
    ]


def describe_members(node: Node) -> list[NodeInfo]:
    """Return all nodes, sorted by name and id.

    Parameters:
        node: the node that is asked.
    """
    return _sort(node, node.members())


async def watch_members(node: Node) -> AsyncIterator[NodesEvent]:
    """Yield all nodes as they are, and then each change.

    Parameters:
        node: the node that is asked.
    """
    has_begun, is_settled = False, True
    async for news in node.watch():
        match news:
            case Snapshot(version, members):
                begin = "resync" if has_begun else "snapshot"
                has_begun, is_settled = True, node.is_settled
                yield NodesEvent(kind=begin, version=version, nodes=_sort(node, members), is_settled=is_settled)
            case Change(version, kind, member):
                if kind in (ChangeKind.SETTLED, ChangeKind.UNSETTLED):
                    is_settled = kind is ChangeKind.SETTLED
                nodes = [] if member is None else [_describe(node, member)]
                yield NodesEvent(kind=kind.value, version=version, nodes=nodes, is_settled=is_settled)


def _sort(node: Node, members: list[Member] | tuple[Member, ...]) -> list[NodeInfo]:
    return sorted((_describe(node, member) for member in members), key=lambda info: (info.name, info.id))


def _describe(node: Node, member: Member) -> NodeInfo:
    return NodeInfo(
        name=member.name,
        id=member.id,
        epoch=f"{member.epoch:016x}",
        is_self=member.id == format_id(node.id),
        state=_STATES[member.state],
        since=round(member.since, 3),
        reason=member.reason.value,
        explanation=member.reason.words,
        labels=dict(member.labels),
        addresses=list(member.addresses),
        services=dict(member.services),
        version=member.version,
        load=member.load,
    )
