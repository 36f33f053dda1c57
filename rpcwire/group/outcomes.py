"""What came of a group call on one node, and the policies by which nodes are asked.

Each node of the call has exactly one outcome. Its state says what happened, and ``executed`` whether the method has run
there:

============== ============== =====================================================================================
State          ``executed``   Meaning
============== ============== =====================================================================================
``ok``         yes            the node answered with a result
``error``      any            the node answered with an error of the method; or the call could not be made or followed
``refused``    no             the node declined: no permission, no such method, too busy, ...
``gone``       no             the node was not there
``died``       yes, unknown   the node died or left during the call
``timeout``    yes, unknown   the deadline came before the node's answer
``cancelled``  any            the caller, or the policy of the call, wanted no more; it is ``no`` for a node that was
                              not asked
``unknown``    no             no node has the name that was asked for
============== ============== =====================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, cast

from typing_extensions import TypeVar

from rpcwire.errors import ConnectionLost, Executed, NotSent, RpcError, ServiceError, TransportError, from_wire

State: TypeAlias = Literal["ok", "error", "refused", "gone", "died", "timeout", "cancelled", "unknown"]
"""What came of a group call on one node, see the table above."""

STATES: tuple[State, ...] = ("ok", "error", "refused", "gone", "died", "timeout", "cancelled", "unknown")

EXECUTED: Mapping[State, frozenset[Executed]] = {
    "ok": frozenset({"yes"}),
    "error": frozenset({"no", "yes", "unknown"}),
    "refused": frozenset({"no"}),
    "gone": frozenset({"no"}),
    "died": frozenset({"yes", "unknown"}),
    "timeout": frozenset({"yes", "unknown"}),
    "cancelled": frozenset({"no", "yes", "unknown"}),
    "unknown": frozenset({"no"}),
}
"""What may be known of the execution in each state."""


_T_co = TypeVar("_T_co", covariant=True, default=Any)


@dataclass(frozen=True, slots=True)
class GroupNode:
    """A node of a group call. As text it is its name.

    Attributes:
        name: its name; for a name that no node has, that name.
        id: its id; empty if no node has the name.
    """

    name: str
    id: str

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        return format(self.name, spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOutcome(Generic[_T_co]):
    """What came of a group call on one node.

    Parameters:
        name: the node's name; for ``unknown`` the name that was asked for.
        id: the node's id; empty for ``unknown``.
        epoch: which life of the node was asked; 0 for ``unknown``.
        state: see :data:`State`.
        executed: whether the method has run there, at least in part.
        result: for ``ok``, what the method answered.
        error: for all other states, what happened, with the remedy where there is one.
        items: the number of items of the node's stream that were passed on.
        items_lost: the number of items that the node has sent, and that did not arrive.
        duration_s: the time from the first request to the node to its end, in seconds; 0 if it was not asked.

    Raises:
        ValueError: the parts contradict each other.
    """

    name: str
    id: str
    epoch: int
    state: State
    executed: Executed
    result: _T_co | None = None
    error: RpcError | None = None
    items: int = 0
    items_lost: int = 0
    duration_s: float = 0.0

    def __post_init__(self) -> None:
        if self.executed not in EXECUTED[self.state]:
            raise ValueError(f"executed cannot be {self.executed!r} if the state is {self.state!r}")
        if (self.error is None) != (self.state == "ok"):
            raise ValueError("an outcome has an error if and only if it is not ok")

    @property
    def node(self) -> GroupNode:
        """The node."""
        return GroupNode(self.name, self.id)

    @property
    def is_ok(self) -> bool:
        """Whether the node has answered with a result."""
        return self.error is None

    def unwrap(self) -> _T_co:
        """Return the result.

        Raises:
            RpcError: the outcome is not ``ok``: its error.
        """
        if self.error is not None:
            raise self.error
        return cast("_T_co", self.result)

    def to_wire(self) -> dict[str, Any]:
        """Return the outcome as plain values; the result stays as it is."""
        wire: dict[str, Any] = {
            "name": self.name,
            "id": self.id,
            "epoch": f"{self.epoch:016x}",
            "state": self.state,
            "executed": self.executed,
            "duration_s": self.duration_s,
        }
        if self.error is None:
            wire["result"] = self.result
        else:
            wire["error"] = self.error.to_wire()
        if self.items or self.items_lost:
            wire |= {"items": self.items, "items_lost": self.items_lost}
        return wire


def outcome_from_wire(wire: Mapping[str, Any], known: Mapping[str, type[ServiceError]] | None = None) -> NodeOutcome:
    """Read an outcome that :meth:`NodeOutcome.to_wire` has written.

    Parameters:
        wire: its plain values.
        known: the errors that the method declares, by class name.

    Raises:
        ValueError: it is malformed.
    """
    try:
        error = wire.get("error")
        return NodeOutcome(
            name=_text(wire["name"]),
            id=_text(wire["id"]),
            epoch=_epoch(wire["epoch"]),
            state=wire["state"],
            executed=wire["executed"],
            result=wire.get("result"),
            error=None if error is None else error_from_wire(error, known),
            items=_count(wire.get("items", 0)),
            items_lost=_count(wire.get("items_lost", 0)),
            duration_s=float(wire["duration_s"]),
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as exc:
        raise ValueError(f"the outcome of a node is malformed: {type(exc).__name__}: {exc}") from None


_EPOCH_DIGITS = 16
_HEXADECIMAL = frozenset("0123456789abcdef")

_TRANSPORT: Mapping[object, type[TransportError]] = {cls.__name__: cls for cls in (ConnectionLost, NotSent)}
"""Errors of the way to a node. Otherwise only clients raise them, so they have no codes on the wire."""


def error_from_wire(wire: Mapping[str, Any], known: Mapping[str, type[ServiceError]] | None = None) -> RpcError:
    """Make the error of an outcome of its plain values: it may be one of the way to a node.

    Parameters:
        wire: the error object.
        known: the errors that the method declares, by class name.

    Raises:
        TypeError, KeyError: it is malformed.
    """
    data = wire.get("data")
    code = wire["code"]
    if not isinstance(code, int):
        raise TypeError("a code is expected")
    error = from_wire(code, _text(wire["message"]), data, known)
    cls = _TRANSPORT.get(data.get("type")) if isinstance(data, dict) else None
    if cls is None or error.code != cls.code:
        return error
    return cls(error.message, executed=error.executed, retryable=error.retryable, retry_after_ms=error.retry_after_ms)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value


def _epoch(value: object) -> int:
    text = _text(value)
    if len(text) != _EPOCH_DIGITS or not _HEXADECIMAL.issuperset(text):
        raise TypeError(f"a number of {_EPOCH_DIGITS} hexadecimal digits is expected")
    return int(text, 16)


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError("a number is expected")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the nodes of a group call are asked. Without parameters, all of them at once.

    Parameters:
        parallel: the most nodes that are asked at a time.
        batch: the nodes are asked in batches of this size, the next one when the one before has ended as a whole.
        stop_after_failures: after so many outcomes that are not ``ok`` no further node is asked. Those that are asked
            already go on.
        canary: so many nodes are asked before all others, which are asked only if each of these is ``ok``.
        enough: after so many outcomes that are ``ok`` the call ends: no further node is asked, and the others are
            cancelled.
        one: the nodes are asked one after another until the method may have run on one of them: the next one is asked
            only if it has certainly not run on the one before (``gone``, ``refused``).

    Raises:
        ValueError: a number is less than 1, or two parameters exclude each other.
    """

    parallel: int | None = None
    batch: int | None = None
    stop_after_failures: int | None = None
    canary: int | None = None
    enough: int | None = None
    one: bool = False

    def __post_init__(self) -> None:
        for field in ("parallel", "batch", "stop_after_failures", "canary", "enough"):
            number = getattr(self, field)
            if number is not None and number < 1:
                raise ValueError(f"{field} is {number}: use 1 or more, or leave it out")
        if self.parallel is not None and self.batch is not None:
            raise ValueError("parallel and batch exclude each other: batch is the size of the steps of a rolling call")
        others = (self.parallel, self.batch, self.stop_after_failures, self.canary, self.enough)
        if self.one and any(each is not None for each in others):
            raise ValueError("one excludes the other parameters: it asks one node at a time")


ALL_AT_ONCE = Policy()
"""Ask all nodes at once."""
FIRST = Policy(enough=1)
"""Ask all nodes at once, and take the first result."""
ONE = Policy(one=True)
"""Ask one node, and another one only if the method has certainly not run."""


def rolling(batch: int = 1, stop_after_failures: int = 1, canary: int | None = None) -> Policy:
    """Return the policy of a rolling call, which stops at its first failure unless more are allowed.

    Parameters:
        batch, stop_after_failures, canary: as of :class:`Policy`.

    Raises:
        ValueError: a number is less than 1.
    """
    return Policy(batch=batch, stop_after_failures=stop_after_failures, canary=canary)
