"""What an event carries, and how the declaration of one becomes a method that answers with a stream of them.

A service declares an event as a method without a body, with one parameter, whose type is that of the event's value.
Calling it publishes. Whoever wants the events calls the method of the same name on the wire, whose answer is a stream:
so permissions, discovery, stubs, and the way through another node are those of any method.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar, get_type_hints

from pydantic import Field

from .limits import BUFFER_ITEMS as BUFFER_ITEMS  # noqa: PLC0414 - stubs import it from here

ValueT = TypeVar("ValueT")

MOST_BUFFER_ITEMS = 10_000
"""The most events that may wait for one reader."""

EventPolicy: TypeAlias = Literal["drop_oldest", "latest", "close"]
"""What becomes of events while a reader is slow: the oldest that wait are dropped (``drop_oldest``), all but the newest
one (``latest``), or the stream ends with ``SlowConsumer`` (``close``). Nobody can keep a publisher waiting."""

BufferItems: TypeAlias = Annotated[int, Field(ge=1, le=MOST_BUFFER_ITEMS)]
"""How many events may wait for a slow reader."""


@dataclass(frozen=True, slots=True)
class Event(Generic[ValueT]):
    """An event, as a reader gets it.

    Attributes:
        node: the name of the node that has published it.
        id: the id of that node.
        epoch: the number of the life of its server, as 16 hexadecimal digits. Numbers begin anew with each life.
        seq: the number of the event: 1 for the first of its kind in this life.
        time: when it was published, in seconds since 1970.
        lost: how many events of its kind this reader has not got between the one before and this one.
        value: what has happened.
    """

    node: str
    id: str
    epoch: str
    seq: int
    time: float
    lost: int
    value: ValueT


def value_type(declaration: Callable[..., Any]) -> Any:
    """Return the type of an event's value: the annotation of the one parameter.

    Parameters:
        declaration: the function that declares the event.

    Raises:
        TypeError: it does not have exactly one parameter with a type, or returns something.
    """
    where = f"{declaration.__module__}.{declaration.__qualname__}"
    try:
        hints = get_type_hints(declaration, include_extras=True)
    except NameError as exc:
        raise TypeError(f"{where}: an annotation names something unknown: {exc}") from exc
    parameters = [each for each in inspect.signature(declaration).parameters.values() if each.name != "self"]
    is_plain = len(parameters) == 1 and parameters[0].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    if not is_plain or parameters[0].name not in hints:
        raise TypeError(
            f"{where}: an event has one parameter, with a type: its value. Make a model of several, such as a class "
            "with pydantic.BaseModel"
        )
    if hints.get("return", Any) is not type(None):
        raise TypeError(f"{where}: an event returns nothing: write '-> None'")
    return hints[parameters[0].name]


def annotate(follow: Callable[..., Any], declaration: Callable[..., Any]) -> None:
    """Write the types of an event into the function that answers with a stream of it.

    It is done when the types are asked for: a class may name types that are defined after it.

    Parameters:
        follow: the function, with the parameters ``policy`` and ``buffer_items``.
        declaration: the function that declares the event.

    Raises:
        TypeError: as of :func:`value_type`.
    """
    follow.__annotations__ = {
        "policy": EventPolicy,
        "buffer_items": BufferItems,
        "return": AsyncIterator[Event[value_type(declaration)]],  # type: ignore[misc]
    }


def describe(declaration: Callable[..., Any]) -> str:
    """Return the docstring of the method that answers with a stream of an event."""
    text = (inspect.getdoc(declaration) or declaration.__name__).strip()
    return (
        f"{text}\n\nThis is an event: the answer is a stream of all that happen from now on.\n\n"
        "Parameters:\n"
        "    policy: what becomes of events while you are slow: drop_oldest, latest (all but the newest are\n"
        "        dropped) or close.\n"
        "    buffer_items: how many events may wait for you.\n\n"
        "Raises:\n"
        "    SlowConsumer: the policy is close, and more events wait."
    )
