"""What a gathering (:mod:`.gathering`) is told at its start, and what it returns.

:class:`Send`, :class:`Cancel` and :class:`Wake` are commands for its driver, :class:`Item` and
:class:`~rpcwire.group.outcomes.NodeOutcome` are for the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from rpcwire.group.outcomes import NodeOutcome


@dataclass(frozen=True, slots=True)
class Addressee:
    """A node, in the life in which it is asked.

    Attributes:
        id: its id, which no other node has.
        epoch: the number of its life. A later life has a larger one.
        name: its name, which other nodes may have, too.
        is_here: whether it is the caller's own node, which is asked without the broker.
    """

    id: str
    epoch: int
    name: str
    is_here: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How long to wait, in seconds.

    Attributes:
        tries_s: before each further try to reach a node that the broker does not know. A broker of a cluster may not
            know for some time that a node has subscribed at another one; a node whose broker has died needs up to a
            second to be at another one; and the death of a node is known after two seconds.
        last_words_s: for the answer of a node whose death or leave is known.
        cancel_s: for the answer of a node that was told to cancel.
    """

    tries_s: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4, 0.8)
    last_words_s: float = 0.05
    cancel_s: float = 2.0


DELAYS = Delays()
"""The usual delays."""


@dataclass(frozen=True, slots=True)
class Send:
    """Command: send the request to an addressee, if :meth:`.gathering.Gathering.may_send` allows it at that moment.

    Attributes:
        to: the addressee.
        attempt: counts the tries from 1 on. What the broker says of a request must be told with the attempt that it
            is about.
    """

    to: Addressee
    attempt: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Command: tell an addressee to cancel the call."""

    to: Addressee


@dataclass(frozen=True, slots=True)
class Wake:
    """Command: call :meth:`.gathering.Gathering.on_time` at this time, in place of any earlier command of this kind."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Item:
    """An item of an addressee's stream.

    Attributes:
        origin: the addressee.
        item: the item.
        lost: how many items were lost directly before it.
    """

    origin: Addressee
    item: Any
    lost: int = 0


Output: TypeAlias = Send | Cancel | Wake | Item | NodeOutcome
"""A command for the driver, or news for the caller."""


@dataclass(slots=True)
class Drops:
    """Counts the answers that were dropped.

    Attributes:
        late: they came when their addressee had its outcome.
        duplicates: they came a second time.
        forgeries: they were of nobody who was asked: of another node or process, or without a request.
        contradictions: they contradicted what the same addressee had said before.
    """

    late: int = 0
    duplicates: int = 0
    forgeries: int = 0
    contradictions: int = 0
