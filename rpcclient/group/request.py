"""What a group call asks for: which nodes, in which order, and which method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NoReturn, Protocol, TypeAlias

import msgspec
from msgspec import Raw

from rpcclient.methods import Method
from rpcwire.codec import Codec
from rpcwire.errors import InvalidParams, RpcError, ServiceError, from_wire
from rpcwire.group.nodes import NodeAmbiguous, NodeNotFound, NoNodes
from rpcwire.group.outcomes import ALL_AT_ONCE, GroupNode, NodeOutcome, Policy
from rpcwire.limits import GRACE_S

from .events import Event, change_result, read_event

GROUP_METHOD = "rpc.call_nodes"
"""The method of servers that calls a method on many nodes."""

ANSWER_GRACE_S = 5.0
"""How much longer than the deadline to wait for the server, which ends the call at the deadline, in seconds."""

GroupProgressHook: TypeAlias = Callable[[GroupNode, float, float | None, str | None], None]
"""Called with the node, and with done, total and message, when a node reports how far its call has come."""

_ERRORS: Mapping[str, type[ServiceError]] = {cls.__name__: cls for cls in (NodeAmbiguous, NodeNotFound, NoNodes)}
"""The errors of group calls themselves, by name."""


@dataclass(frozen=True, slots=True)
class GroupRequest:
    """Which nodes a group call asks, and how.

    Attributes:
        target: says which nodes, as on the wire.
        policy: says in which order, and when to stop.
        progress: called with the progress of each node.
        limits_streams: whether the deadline ends streams, too.
    """

    target: Mapping[str, Any]
    policy: Policy = ALL_AT_ONCE
    progress: GroupProgressHook | None = None
    limits_streams: bool = False

    def to_wire(self, method: str, body: bytes | None) -> dict[str, Any]:
        """Return the parameters of the call.

        Parameters:
            method: the full name of the method.
            body: its encoded parameters; ``None`` if it has none.
        """
        wire: dict[str, Any] = {"target": self.target, "method": method}
        if body is not None:
            wire["params"] = Raw(body)
        values = {field.name: getattr(self.policy, field.name) for field in fields(self.policy)}
        policy = {name: value for name, value in values.items() if value is not None and value is not False}
        return {**wire, "policy": policy} if policy else wire


EVERYONE: Mapping[str, Any] = {"everyone": True}
"""All nodes of the group."""
_SHOWN_NAMES = 4
"""How many names of a list of nodes people see."""


class NamedNode(Protocol):
    """A node, as :meth:`rpcclient.Client.nodes` and the outcomes of group calls have them."""

    @property
    def id(self) -> str:
        """Its id; empty if no node has the name."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...


def target_of(nodes: str | Iterable[str | NamedNode]) -> Mapping[str, Any]:
    """Say on the wire which nodes a call is for.

    Parameters:
        nodes: a selector such as ``role=web,zone!=eu``; or nodes, each by its name, its id, or as an object that has
            them.

    Raises:
        InvalidParams: it is neither, or empty.
    """
    if isinstance(nodes, str):
        if not nodes.strip():
            raise _wrong("the selector is empty: client.everyone() calls all nodes")
        return {"selector": nodes}
    try:
        names = [node if isinstance(node, str) else _name_of(node) for node in nodes]
    except TypeError:
        raise _wrong(f"must be a selector or a list of names, and not {type(nodes).__name__}") from None
    if not all(isinstance(name, str) and name for name in names):
        raise _wrong("each name of a node must be text, and not empty")
    if not names:
        raise _wrong("the list of names is empty: client.everyone() calls all nodes")
    return {"names": names}


def describe_target(target: Mapping[str, Any]) -> str:
    """Say for people which nodes a call is for.

    Parameters:
        target: what :func:`target_of` has returned, or :data:`EVERYONE`.
    """
    if (names := target.get("names")) is not None:
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        return f"[{', '.join(map(repr, names[:_SHOWN_NAMES]))}]{more}"
    return repr(target["selector"]) if "selector" in target else "everyone"


def _name_of(node: object) -> Any:
    return getattr(node, "id", None) or getattr(node, "name", None)


def _wrong(text: str) -> InvalidParams:
    return InvalidParams(f"nodes: {text}", errors=[{"loc": ["nodes"], "msg": text, "type": "group_target"}])


def check_for_groups(method: Method) -> None:
    """Refuse methods that cannot be called on many nodes.

    Parameters:
        method: what is known of the method.

    Raises:
        InvalidParams: it takes a stream, or needs a connection of its own.
    """
    if method.streams:
        raise InvalidParams(explain_refusal(method.name, "it takes a stream"))
    if not method.is_for_groups:
        raise InvalidParams(explain_refusal(method.name, "what it does belongs to a connection"))


def explain_refusal(name: str, reason: str) -> str:
    """Say that a method cannot be called on many nodes, and what to do instead.

    Parameters:
        name: the full name of the method.
        reason: why.
    """
    return f"{name} cannot be called on a group, since {reason}: call client.node(NAME).{name} of each node"


def refuse_member(service: str, name: str, refused: Iterable[str]) -> NoReturn:
    """Refuse an attribute that the stub of a group does not have.

    Parameters:
        service: the service's name.
        name: the attribute.
        refused: the methods that cannot be called on a group.

    Raises:
        AttributeError: always; its message says why there is no such method.
    """
    if name in refused:
        text = explain_refusal(f"{service}.{name}", "it takes a stream, or what it does belongs to a connection")
    else:
        text = f"the service {service!r} of a group has no method {name!r}"
    raise AttributeError(text)


class GroupMethod(Method):
    """The method of servers that calls another method on many nodes, and answers with what comes of it.

    Parameters:
        method: what is known of the other method.
        request: which nodes are asked, and how.
        streams: whether its answers are streams.

    Attributes:
        method, request: the parameters.
        streams_answers: whether its answers are streams.
        is_endless: whether only the beginning has a deadline.
        grace_s: how much longer than the deadline to wait for the server, in seconds.
        change: makes of each result what the caller gets; ``None`` if it gets it as it is.

    Raises:
        InvalidParams: the other method cannot be called on many nodes.
    """

    def __init__(self, method: Method, request: GroupRequest, *, streams: bool) -> None:
        check_for_groups(method)
        super().__init__(GROUP_METHOD, None, method.deadline_s)
        self.method = method
        self.request = request
        self.streams_answers = streams
        self.is_endless = streams and not request.limits_streams
        self.change: Callable[[Any], Any] | None = None
        self.grace_s = ANSWER_GRACE_S
        self.window = method.window

    def dump(self, params: Any, codec: Codec) -> bytes | None:
        """Encode the parameters of the call, with those of the other method.

        Raises:
            InvalidParams: they cannot be sent, or do not fit the method.
        """
        if codec.batches:  # The plain form does not tell the server the deadline, so that nothing will come of it.
            self.grace_s = GRACE_S
        wire = self.request.to_wire(self.method.name, self.method.dump(params, codec))
        try:
            return msgspec.msgpack.encode(wire) if codec.packed else msgspec.json.encode(wire)
        except UnicodeEncodeError:
            raise _wrong("a selector or a name has a character that is none") from None

    def load(self, raw: Raw | bytes, codec: Codec) -> Event:
        """Decode one event.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        event = read_event(raw, codec, self.method, streams=self.streams_answers)
        if self.change is not None and isinstance(event, NodeOutcome) and event.is_ok:
            return change_result(event, self.change)
        return event

    def error(self, code: int, message: str, data: object) -> RpcError:
        """Make the exception for the error that has ended the call as a whole."""
        return from_wire(code, message, data, _ERRORS)
