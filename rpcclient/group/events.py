"""What a server tells of a group call: the nodes at first, then items, progress, and one outcome for each node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from rpcclient.methods import Method
from rpcwire.codec import Codec
from rpcwire.codec.base import UNREADABLE
from rpcwire.errors import RemoteProtocolError, RpcError
from rpcwire.group.nodes import NodeNotFound
from rpcwire.group.outcomes import GroupNode, NodeOutcome, outcome_from_wire
from rpcwire.values.dynamic import load_plain

_T_co = TypeVar("_T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Start:
    """The nodes that are asked: they do not change during the call.

    Attributes:
        nodes: all of them; those names that no node has are among them, with an empty id.
        is_settled: whether the server was sure that it knew all nodes.
        epochs: which life of each node is asked, by its id.
    """

    nodes: tuple[GroupNode, ...]
    is_settled: bool
    epochs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the call of one node has come.

    Attributes:
        id: the node's id.
        done, total, message: what it reports.
    """

    id: str
    done: float
    total: float | None
    message: str | None


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a node's stream.

    Attributes:
        id: the node's id.
        value: the item.
        lost: how many items before it did not arrive.
        error: why it cannot be read; ``None`` if it can.
    """

    id: str
    value: Any
    lost: int
    error: RpcError | None = None


@dataclass(frozen=True, slots=True)
class GroupItem(Generic[_T_co]):
    """One item of the merged streams of a group.

    Attributes:
        node: the node whose stream it is from.
        value: the item.
        lost: how many items of that node before it did not arrive.
    """

    node: GroupNode
    value: _T_co
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that a later version tells, and that this one need not know."""


Event: TypeAlias = Start | Progress | Item | NodeOutcome[Any] | Unknown


class _WireNode(msgspec.Struct):
    name: str
    id: str
    epoch: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]


class _WireEvent(msgspec.Struct):
    """All events. Which fields one has depends on its kind."""

    kind: str
    # start
    nodes: list[_WireNode] = []
    unknown: list[str] = []
    is_settled: bool = True
    # item and progress
    node: str = ""
    item: Raw | UnsetType = UNSET
    lost: int = 0
    done: float = 0.0
    total: float | None = None
    message: str | None = None
    # outcome
    name: str = ""
    id: str = ""
    epoch: str = ""
    state: str = ""
    executed: str = ""
    duration_s: float = 0.0
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    items: int = 0
    items_lost: int = 0


_JSON = msgspec.json.Decoder(_WireEvent)
_PACKED = msgspec.msgpack.Decoder(_WireEvent)


def read_event(raw: Raw | bytes, codec: Codec, method: Method, *, streams: bool) -> Event:
    """Read one event.

    Parameters:
        raw: its bytes.
        codec: the form of the wire.
        method: the method that is called on the nodes: it reads results and items. What it cannot read is the error of
            that one node.
        streams: whether its answers are streams. Then it reads their items, and an outcome has no result.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    try:
        event = _PACKED.decode(raw) if codec.packed else _JSON.decode(raw)
        if event.kind == "outcome":
            return _read_outcome(event, codec, method, streams=streams)
    except (*UNREADABLE, ValueError) as exc:
        raise RemoteProtocolError(f"an event of a group call is malformed: {exc}", executed="unknown") from None
    match event.kind:
        case "start":
            nodes = [GroupNode(node.name, node.id) for node in event.nodes]
            epochs = {node.id: int(node.epoch, 16) for node in event.nodes}
            return Start((*nodes, *(GroupNode(name, "") for name in event.unknown)), event.is_settled, epochs)
        case "item" if isinstance(event.item, Raw):
            try:
                return Item(event.node, method.load(event.item, codec) if streams else None, event.lost)
            except RpcError as exc:
                return Item(event.node, None, event.lost, exc)
        case "progress":
            return Progress(event.node, event.done, event.total, event.message)
        case "item":
            raise RemoteProtocolError("an event of a group call has no item", executed="unknown")
        case _:
            return Unknown()


def _read_outcome(event: _WireEvent, codec: Codec, method: Method, *, streams: bool) -> NodeOutcome[Any]:
    values: dict[str, Any] = {name: getattr(event, name) for name in _PLAIN}
    if isinstance(event.error, Raw):
        values["error"] = load_plain(event.error, codec)
    errors = method.declared_errors
    known = {**errors, NodeNotFound.__name__: NodeNotFound} if event.state == "unknown" else errors
    outcome = outcome_from_wire(values, known)
    if outcome.state != "ok" or streams or not isinstance(event.result, Raw):
        return outcome
    try:
        return replace(outcome, result=method.load(event.result, codec))
    except RpcError as exc:
        return fail(outcome, exc)


_PLAIN = ("name", "id", "epoch", "state", "executed", "duration_s", "items", "items_lost")


def change_result(outcome: NodeOutcome[Any], change: Callable[[Any], Any]) -> NodeOutcome[Any]:
    """Return an outcome that is ``ok`` with what a function makes of its result.

    Parameters:
        outcome: the outcome.
        change: the function; if it raises an RpcError, the outcome is an ``error``.
    """
    try:
        return replace(outcome, result=change(outcome.result))
    except RpcError as exc:
        return fail(outcome, exc)


def fail(outcome: NodeOutcome[Any], error: RpcError) -> NodeOutcome[Any]:
    """Return the outcome of a node whose answer cannot be read.

    Parameters:
        outcome: what the node has answered.
        error: why it cannot be read.
    """
    return replace(outcome, state="error", executed="yes", result=None, error=error)
