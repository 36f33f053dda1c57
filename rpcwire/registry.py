"""The methods that this side offers, by full name, and how to run each. Calls are looked up here and nowhere else. So
no caller can reach a function that was not offered."""

from __future__ import annotations

import difflib
import dis
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, Protocol

from .contracts import Contract
from .service import Guard, MethodSpec, Service

_SUSPENDING = frozenset({"GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "BEFORE_ASYNC_WITH", "SEND"})
"""The instructions of Python's byte code that ``await``, ``async for`` and ``async with`` are compiled to."""


class Mode(Enum):
    """How to run a handler."""

    INLINE = "inline"
    """A coroutine function that awaits nothing. It runs at once, without a task."""
    TASK = "task"
    """A coroutine function. It runs in a separate task."""
    THREAD = "thread"
    """A plain function. It runs in a thread."""
    STREAM = "stream"
    """An async generator function. Its items are the answer."""
    THREAD_STREAM = "thread_stream"
    """A generator function. Its items are the answer, and each is made in a thread."""


def mode_of(function: Callable[..., Any]) -> Mode:
    """Decide how to run a function.

    A coroutine function that awaits nothing needs no task: it can run at once, to its end. Without a task a server
    answers 40 to 75 % more small calls a second (two measurements of 64 calls at once over a Unix socket, client and
    server in one process, Python 3.11). Python has no function that tells whether a coroutine function awaits anything,
    and its source is not always there. So this looks for the instructions that ``await`` is compiled to. If a later
    Python compiles it to others, ``tests/wire/test_registry.py`` fails, and such a call is answered with an
    InternalError.

    Parameters:
        function: the function of a method.

    Returns:
        The mode. A coroutine function that another one wraps gets a task: its own code does not tell.
    """
    if inspect.isasyncgenfunction(function):
        return Mode.STREAM
    if inspect.isgeneratorfunction(function):
        return Mode.THREAD_STREAM
    if not inspect.iscoroutinefunction(function):
        return Mode.THREAD
    if inspect.unwrap(function) is not function:
        return Mode.TASK
    awaits = any(instruction.opname in _SUSPENDING for instruction in dis.get_instructions(function))
    return Mode.TASK if awaits else Mode.INLINE


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """One offered method, ready to be called.

    Attributes:
        name: the method's full name.
        spec: its declaration.
        contract: reads its parameters, and writes its result.
        call: the bound function.
        mode: how to run it.
        logger: its logger.
        guard: compares the parameters with the conditions of the caller's role; ``None`` if there are none.
    """

    name: str
    spec: MethodSpec
    contract: Contract
    call: Callable[..., Any]
    mode: Mode
    logger: logging.Logger
    guard: Guard | None = None


class Offers(Protocol):
    """Finds the methods that this side offers."""

    def get(self, name: str, /) -> Offer | None:
        """Find the method with this full name."""
        ...

    def like(self, name: str) -> str | None:
        """Find the full name that is most like a name; ``None`` if none is like it."""
        ...

    def owner(self) -> object:
        """Return the object that must not become garbage while a handler runs."""
        ...


class Registry:
    """The methods that this side offers.

    Parameters:
        logger: the logger of this side; a service logs as ``services.NAME`` below it.

    Attributes:
        get: finds the method with a full name; ``None`` if there is none.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._offers: dict[str, Offer] = {}
        self._services: dict[str, Service[Any]] = {}
        self.get: Callable[[str], Offer | None] = self._offers.get  # A built-in method: every call uses it.

    def add(self, service: Service[Any], *, has_reserved_name: bool = False) -> None:
        """Offer the methods of a service.

        Parameters:
            service: the service.
            has_reserved_name: whether to allow the name ``rpc``, which belongs to the protocol.

        Raises:
            TypeError: a name is used or reserved, or an annotation is missing or cannot be sent.
        """
        name = service.name
        if not has_reserved_name and name.partition(".")[0] == "rpc":
            raise TypeError(f"{type(service).__name__}: the service name {name!r} is reserved; choose another")
        if name in self._services:
            other = type(self._services[name])
            raise TypeError(f"{type(service).__qualname__}: {other.__qualname__} already offers a service {name!r}")
        specs = list(service.methods())
        for spec in specs:
            spec.contract.bound_work()
        offers = {
            spec.full_name: Offer(
                name=spec.full_name,
                spec=spec,
                contract=spec.contract,
                call=getattr(service, spec.attribute),
                mode=mode_of(spec.function),
                logger=self._logger.getChild(f"services.{name}"),
                guard=service.guard(spec),
            )
            for spec in specs
        }
        if not offers:
            raise TypeError(
                f"{type(service).__qualname__}: no method is marked with @method, so there is nothing to offer"
            )
        self._services[name] = service
        self._offers.update(offers)

    def offer_again(self, service: Service[Any], guard: Guard | None = None) -> None:
        """Offer the methods of a service that is offered already, by another object of its class.

        Parameters:
            service: the object that runs the methods from now on.
            guard: decides on each call in place of the service's own guards, which may raise to refuse all of them;
                ``None`` for the service's own ones.
        """
        self._services[service.name] = service
        for name, offer in self._offers.items():
            if offer.spec.service.name == service.name:
                own_guard = service.guard(offer.spec) if guard is None else guard
                call = getattr(service, offer.spec.attribute)
                self._offers[name] = replace(offer, call=call, guard=own_guard)

    def like(self, name: str) -> str | None:
        """Find the full name that is most like a name, such as ``wrok.note`` or ``note``; ``None`` if none is like
        it."""
        near = difflib.get_close_matches(name, self._offers, 1)
        return near[0] if near else next((each for each in self._offers if each.rpartition(".")[2] == name), None)

    def owner(self) -> object:
        """Return the registry: nothing else must stay while a handler runs."""
        return self

    @property
    def offers(self) -> Mapping[str, Offer]:
        """All methods by full name."""
        return MappingProxyType(self._offers)

    @property
    def services(self) -> Mapping[str, Service[Any]]:
        """All services by name."""
        return MappingProxyType(self._services)
