"""Which methods this side offers: a dictionary from full names, and how each one is run. Calls are looked up here and
nowhere else, so that nothing can be reached that was not offered."""

from __future__ import annotations

import difflib
import dis
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Protocol

from .contracts import Contract
from .service import MethodSpec, Service

_SUSPENDS = frozenset({"GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "BEFORE_ASYNC_WITH", "SEND"})


class Mode(Enum):
    """How a handler is run."""

    INLINE = "inline"
    """A coroutine function that awaits nothing: run at once, without a task."""
    TASK = "task"
    """A coroutine function: run in a task of its own."""
    THREAD = "thread"
    """A plain function: run in a thread."""
    STREAM = "stream"
    """An async generator function: its items are the answer."""
    THREAD_STREAM = "thread_stream"
    """A generator function: its items are the answer, each made in a thread."""


def mode_of(function: Callable[..., Any]) -> Mode:
    """How a function is to be run, from what it is."""
    if inspect.isasyncgenfunction(function):
        return Mode.STREAM
    if inspect.isgeneratorfunction(function):
        return Mode.THREAD_STREAM
    if not inspect.iscoroutinefunction(function):
        return Mode.THREAD
    code = inspect.unwrap(function).__code__
    awaits = any(instruction.opname in _SUSPENDS for instruction in dis.get_instructions(code))
    return Mode.TASK if awaits or code is not function.__code__ else Mode.INLINE


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """One offered method, ready to be called.

    Attributes:
        name: its full name.
        spec: its declaration.
        contract: what it takes and gives.
        call: the bound function.
        mode: how it is run.
        logger: where it logs.
    """

    name: str
    spec: MethodSpec
    contract: Contract
    call: Callable[..., Any]
    mode: Mode
    logger: logging.Logger


class Offers(Protocol):
    """Where the methods that this side offers are looked up."""

    def get(self, name: str, /) -> Offer | None:
        """The method of this full name."""
        ...

    def like(self, name: str) -> str | None:
        """The full name of the method that is most like a name, if one is."""
        ...

    def owner(self) -> object:
        """What must not become garbage while a handler runs."""
        ...


class Registry:
    """The methods that this side offers.

    Parameters:
        logger: this side's own; a service logs as ``services.NAME`` below it.

    Attributes:
        get: gives the method of a full name, if there is one.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._offers: dict[str, Offer] = {}
        self._services: dict[str, Service[Any]] = {}
        self.get: Callable[[str], Offer | None] = self._offers.get  # The dictionary's own, since every call asks.

    def add(self, service: Service[Any], *, reserved: bool = False) -> None:
        """Offer a service's methods.

        Parameters:
            service: an instance.
            reserved: allow the name ``rpc``, which belongs to the protocol.

        Raises:
            TypeError: a name is taken or reserved, or an annotation is missing or cannot be sent.
        """
        name = service.name
        if not reserved and name.partition(".")[0] == "rpc":
            raise TypeError(f"{type(service).__name__}: the service name {name!r} is reserved; choose another")
        if name in self._services:
            other = type(self._services[name])
            raise TypeError(f"{type(service).__qualname__}: {other.__qualname__} already offers a service {name!r}")
        offers = {
            spec.full_name: Offer(
                name=spec.full_name,
                spec=spec,
                contract=spec.contract,
                call=getattr(service, spec.attribute),
                mode=mode_of(spec.function),
                logger=self._logger.getChild(f"services.{name}"),
            )
            for spec in service.methods()
        }
        if not offers:
            raise TypeError(
                f"{type(service).__qualname__}: no method is marked with @method, so there is nothing to offer"
            )
        self._services[name] = service
        self._offers.update(offers)

    def like(self, name: str) -> str | None:
        """The full name of the method that is most like a name, if one is, as for ``wrok.note`` or ``note``."""
        near = difflib.get_close_matches(name, self._offers, 1)
        return near[0] if near else next((each for each in self._offers if each.rpartition(".")[2] == name), None)

    def owner(self) -> object:
        """What must not become garbage while a handler runs: nothing but this."""
        return self

    @property
    def offers(self) -> Mapping[str, Offer]:
        """All methods by full name."""
        return MappingProxyType(self._offers)

    @property
    def services(self) -> Mapping[str, Service[Any]]:
        """All services by name."""
        return MappingProxyType(self._services)
