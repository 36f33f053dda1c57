"""How a service is declared: a class, its configuration model, and its public methods.

::

    class Greeter(Service):
        "Says hello."

        @method(permission="greeter.hello")
        async def hello(self, name: str) -> str:
            "Greet one person."
            return f"Hello, {name}!"
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypeVar as DefaultTypeVar

from .accounts import SMALL_BYTES
from .context import Context, Principal
from .contracts import Contract
from .errors import ServiceError, Unavailable
from .limits import DEFAULT_DEADLINE_S, MESSAGE_BYTES, METHOD_MESSAGE_BYTES
from .outcomes import Observer
from .publishing import BUFFER_ITEMS, Event, EventPolicy, annotate, describe
from .reading import readable
from .streams import SlowPolicy as SlowPolicy  # noqa: PLC0414 - services import it from here


class ServiceConfig(BaseModel):
    """The root of services' configuration models: immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class ServiceConfigError(ValueError):
    """A service cannot start with its configuration; the message names the key and the remedy.

    Parameters:
        message: begins with the key, without the name of the table.
        role: the role in whose table for the service the key is; ``None`` for ``[services.NAME]``.
    """

    def __init__(self, message: str, *, role: ServiceRole | None = None) -> None:
        super().__init__(message)
        self.role = role


MethodKind = Literal["read", "idempotent", "once"]
"""A ``read`` method changes nothing. An ``idempotent`` one has the same effect if it runs twice. A ``once`` one must
not run twice."""


@dataclass(frozen=True, slots=True)
class MethodOptions:
    """The options of :func:`method`.

    Attributes:
        name: the method's name on the wire; ``None`` for the function's name. It is for names that a service class
            cannot use, such as ``start`` and ``stop``, or should not use, such as ``list``.
        permission: the permission that a caller needs; ``None`` for ``service.method``.
        kind: see :data:`MethodKind`.
        deadline_s: how long a call may take if the caller says nothing, in seconds.
        errors: the errors that the method declares, besides those of the protocol.
        slow_policy: for a method that answers with a stream: what to do when the reader is slow.
        buffer_items: the number of items that may wait for a slow reader (``drop_oldest``, ``close``).
        shared_items: whether one item may go to many streams and never changes: then it is encoded once for all of
            them.
        window: for a method that answers with a stream of large items: the number of items that the server may be ahead
            of a generated client, if the caller says nothing; ``None`` for the client's own window.
        message_bytes: the largest call of the method, in bytes, at least 4096; ``None`` for as much as the connection
            accepts. A larger call is refused before its parameters are read. Items of streams do not count.
        group: whether it may be called on many nodes at once. It may not if what it does belongs to the connection over
            which it is called, such as a transaction.
        event: the function that declares an event, if the method answers with the stream of one (:func:`event`).
    """

    name: str | None = None
    permission: str | None = None
    kind: MethodKind = "once"
    deadline_s: float = DEFAULT_DEADLINE_S
    errors: tuple[type[ServiceError], ...] = ()
    slow_policy: SlowPolicy = SlowPolicy.BLOCK
    buffer_items: int = 1024
    shared_items: bool = False
    window: int | None = None
    message_bytes: int | None = METHOD_MESSAGE_BYTES
    group: bool = True
    event: Callable[..., Any] | None = None


_FunctionT = TypeVar("_FunctionT", bound=Callable[..., Any])
_MARK = "__rpc_method__"


def method(
    *,
    name: str | None = None,
    permission: str | None = None,
    kind: MethodKind = "once",
    deadline_s: float = DEFAULT_DEADLINE_S,
    errors: tuple[type[ServiceError], ...] = (),
    slow_policy: SlowPolicy = SlowPolicy.BLOCK,
    buffer_items: int = 1024,
    shared_items: bool = False,
    window: int | None = None,
    message_bytes: int | None = METHOD_MESSAGE_BYTES,
    group: bool = True,
) -> Callable[[_FunctionT], _FunctionT]:
    """Offer a method of a :class:`Service` to callers. The parameters are those of :class:`MethodOptions`."""
    options = MethodOptions(
        name=name,
        permission=permission,
        kind=kind,
        deadline_s=deadline_s,
        errors=errors,
        slow_policy=slow_policy,
        buffer_items=buffer_items,
        shared_items=shared_items,
        window=window,
        message_bytes=message_bytes,
        group=group,
    )

    def mark(function: _FunctionT) -> _FunctionT:
        setattr(function, _MARK, options)
        return function

    return mark


_PublishT = TypeVar("_PublishT", bound=Callable[..., None])


def event(*, name: str | None = None, permission: str | None = None) -> Callable[[_PublishT], _PublishT]:
    """Declare an event of a :class:`Service`: a method with one parameter and no body, whose call publishes::

        @event(permission="disks.watch")
        def disk_full(self, disk: Disk) -> None:
            "A disk has less than 5 % left."

        ...
        self.disk_full(Disk(mount="/", free_bytes=1024))

    Any thread may publish, and nobody waits for it: see :class:`EventOutlet`. The value must not change afterwards.
    Clients call ``disks.disk_full`` and get a stream of :class:`~rpcwire.publishing.Event`.

    Parameters:
        name: the event's name on the wire; ``None`` for the function's name.
        permission: the permission that a reader needs; ``None`` for ``service.event``.
    """

    def declare(function: _PublishT) -> _PublishT:
        return cast("_PublishT", _EventDeclaration(function, name, permission))

    return declare


class _EventDeclaration:
    """Publishes an event of an object, and gives its class the method that answers with a stream of the event."""

    def __init__(self, function: Callable[..., None], name: str | None, permission: str | None) -> None:
        self.__name__, self.__doc__, self.__module__ = function.__name__, function.__doc__, function.__module__
        self._function = function
        self._name = function.__name__ if name is None else name
        self._options = MethodOptions(
            name=self._name, permission=permission, kind="read", shared_items=True, event=function
        )

    def __set_name__(self, owner: type, attribute: str) -> None:
        event_name, declaration = self._name, self._function

        async def follow(
            self: Service[Any], policy: EventPolicy = "drop_oldest", buffer_items: int = BUFFER_ITEMS
        ) -> AsyncIterator[Event[Any]]:
            # Not a generator, which would begin only after the answer: the caller gets what is published from then on.
            return _outlet_of(self).follow(event_name, policy, buffer_items)

        follow.__name__ = event_name
        follow.__qualname__ = declaration.__qualname__
        follow.__module__ = declaration.__module__
        follow.__doc__ = describe(declaration)
        setattr(follow, _MARK, self._options)
        setattr(owner, f"_rpc_follow_{attribute}", follow)

    def __get__(self, service: Service[Any] | None, owner: type | None = None) -> Callable[..., None]:
        return self if service is None else partial(_publish, service, self._name)  # type: ignore[return-value]


def _publish(service: Service[Any], name: str, value: Any) -> None:
    _outlet_of(service).publish(name, value)


def _outlet_of(service: Service[Any]) -> EventOutlet:
    runtime: ServiceRuntime | None = service.__dict__.get("runtime")
    return _NO_OUTLET if runtime is None else runtime.events


class Subscription(Protocol):
    """The events that one reader gets, from the moment on at which it was made."""

    def __aiter__(self) -> Self:
        """Return itself."""
        ...

    async def __anext__(self) -> Event[Any]:
        """Wait for the next event.

        Raises:
            SlowConsumer: the policy is ``close``, and too many events have waited.
        """
        ...

    async def aclose(self) -> None:
        """Stop following."""
        ...


class EventOutlet(Protocol):
    """Where a service publishes its events, and where those get them who follow."""

    def publish(self, name: str, value: Any, /) -> None:
        """Publish an event, from any thread, at once. While nobody follows it, it is only counted.

        Parameters:
            name: the event's name, without that of the service.
            value: its value.
        """
        ...

    def follow(self, name: str, policy: EventPolicy, buffer_items: int, /) -> Subscription:
        """Begin to follow an event.

        Parameters:
            name: as of :meth:`publish`.
            policy: what becomes of events while the reader is slow.
            buffer_items: how many may wait.
        """
        ...

    def on_interest(self, name: str, callback: Callable[[bool], None], /) -> None:
        """Have a function called, in the event loop, when the first reader begins to follow an event, and when the last
        one stops: for events whose source costs something. If somebody follows it already, it is called at once.

        Parameters:
            name: as of :meth:`publish`.
            callback: gets whether anybody follows. It must be quick. Another one takes its place.
        """
        ...


class _NoOutlet:
    """Publishes nothing, because there is nobody outside a server who could follow."""

    def publish(self, name: str, value: Any) -> None:
        """Do nothing."""

    def follow(self, name: str, policy: EventPolicy, buffer_items: int) -> Subscription:  # noqa: ARG002
        """Refuse.

        Raises:
            Unavailable: in any case.
        """
        raise Unavailable(f"events, such as {name}, can be followed only at a server", executed="no")

    def on_interest(self, name: str, callback: Callable[[bool], None]) -> None:
        """Do nothing."""


_NO_OUTLET = _NoOutlet()


def _observe_nothing(_: Observer) -> None:
    """Do nothing, because there are no calls outside a server."""


@dataclass(frozen=True, slots=True)
class ServiceRole:
    """What a role means to one service.

    Attributes:
        name: the name of the role.
        permissions: the permissions of the service that it gives.
        conditions: its table for the service, ``[roles.NAME.SERVICE]``: an instance of the service's ``role_model``.
    """

    name: str
    permissions: frozenset[str]
    conditions: Any

    @property
    def place(self) -> str:
        """The place of the role in the configuration, for error messages."""
        return f"roles.{self.name}"


RoleFinder = Callable[[Principal], ServiceRole | None]
"""Finds the role of a caller; ``None`` if there is none."""


def _find_no_role(_: Principal) -> None:
    """Find no role, because there are none outside a server."""


class BackgroundTask(Protocol):
    """A task of an event loop, such as :class:`asyncio.Task`."""

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Have a function called when the task has ended."""
        ...

    def cancel(self) -> bool:
        """End the task."""
        ...

    def cancelled(self) -> bool:
        """Return whether the task was cancelled."""
        ...

    def exception(self) -> BaseException | None:
        """Return the exception with which the task has ended."""
        ...


def _log_failure(reason: str) -> None:
    """Log a failure, because there is no server that could start the service again."""
    logging.getLogger("rpcserver.services").error("a service has failed: %s", reason)


def _rely_on_nothing(_: BackgroundTask) -> None:
    """Do nothing, because there is no server that could start the service again."""


@dataclass(frozen=True, slots=True)
class ServiceRuntime:
    """The things that a service gets from the server before it starts.

    Attributes:
        state_dir: the service's own folder, with mode 0700, which survives restarts.
        logger: the service's own logger.
        message_bytes: the largest message that the server sends, in bytes: an answer must fit into it.
        observe: adds an observer of all calls, to other services, too (:class:`~rpcwire.outcomes.Outcome`).
        role_of: finds the role of a caller.
        roles: all roles of the configuration.
        fail: says that the service cannot go on, and why, in words that callers may read: the server stops it, and
            makes and starts another object of it after a pause. Any thread may call this.
        rely_on: names a task without which the service cannot go on: an exception of it is such a failure. The server
            cancels the task when the service has stopped.
        events: where it publishes its events, which :func:`event` declares.
    """

    state_dir: Path
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("rpcserver.services"))
    message_bytes: int = MESSAGE_BYTES
    observe: Callable[[Observer], None] = _observe_nothing
    role_of: RoleFinder = _find_no_role
    roles: tuple[ServiceRole, ...] = ()
    fail: Callable[[str], None] = _log_failure
    rely_on: Callable[[BackgroundTask], None] = _rely_on_nothing
    events: EventOutlet = field(default_factory=_NoOutlet)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a service can work.

    Attributes:
        ok: whether it can do all of its work.
        reason: why it cannot. Anybody may read that, on the page ``/readyz``.
        details: more about it, for those who may see what the server does (``rpcserver status``).
    """

    ok: bool = True
    reason: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that a service tells of itself, for ``rpcserver status`` and for the page ``/metrics``.

    Attributes:
        name: its name there, after that of the service and an underscore; that of a counter ends in ``_total``.
        value: the number now.
        text: what it means, for a person.
        labels: what tells it from others of the same name. There must be few such values in all.
    """

    name: str
    value: float
    text: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """A page with which the server's port answers a plain HTTP GET.

    Attributes:
        render: makes the text for each request.
        content_type: the type of the text.
        permission: the permission that the request needs, which must be one of the service's; ``None`` for none, so
            that anybody gets the page.
    """

    render: Callable[[], Awaitable[str]]
    content_type: str = "text/plain; charset=utf-8"
    permission: str | None = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Reload:
    """New settings that a service has prepared, and is ready to use.

    Attributes:
        commit: uses them from now on. The server calls it when everything else is prepared, too, in its event loop. It
            must not fail, and must not wait: whatever could was done before.
        abandon: gives back what was prepared, because the reload has failed elsewhere; ``None`` if nothing is to be
            done.
    """

    commit: Callable[[], None]
    abandon: Callable[[], Awaitable[None]] | None = None


Guard = Callable[[Principal, Mapping[str, Any]], None]
"""Gets the caller and the parameters by name, before the method runs. It raises an
:class:`~rpcwire.errors.RpcError` to refuse the call."""

_ConfigT = DefaultTypeVar("_ConfigT", bound=ServiceConfig, default=ServiceConfig)


def name_of_class(name: str) -> str:
    """Return the name on the wire of a service class that says none, by the name of the class."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Service(Generic[_ConfigT]):
    """The root of all services. The name on the wire is the name of the class in snake case, unless the class has an
    attribute ``name``. ``class Greeter(Service[GreeterConfig])`` declares the model of its configuration section.

    Attributes:
        permissions: the permissions that its methods and pages may name, each with what it is for. A method that names
            none has one of its own: its full name.
        role_model: the model of the service's table in a role, ``[roles.NAME.SERVICE]``: conditions on what the
            permissions allow. Its defaults hold for a role without such a table.
        owner_conditions: the conditions of the role ``owner`` if the configuration has no table for it; ``None`` for
            the defaults of ``role_model``.
        restart_unwell_s: for how long :meth:`health` may say that the service cannot work, or be silent, before the
            server starts it again, in seconds; ``None`` for always, because the service recovers by itself.
        transient_state: what in the folder of the service is of no use to a later start, by name; backups leave it out.
        page: a folder of built files with an ``index.html``, such as ``Path(__file__).parent / "page"``. The server
            shows them to everybody at ``/services/NAME/``; what they show of the service needs a session or a token.
        restart_keys: the keys of its settings that a reload (:meth:`prepare_reload`) cannot change, each with the
            reason.
        config: the service's configuration, validated.
        runtime: the things that it gets from the server, before :meth:`start` is called.
    """

    name: ClassVar[str]
    config_model: ClassVar[type[ServiceConfig]] = ServiceConfig
    permissions: ClassVar[Mapping[str, str]] = {}
    role_model: ClassVar[type[ServiceConfig]] = ServiceConfig
    owner_conditions: ClassVar[ServiceConfig | None] = None
    restart_unwell_s: ClassVar[float | None] = None
    transient_state: ClassVar[tuple[str, ...]] = ()
    page: ClassVar[Path | None] = None
    restart_keys: ClassVar[Mapping[str, str]] = {}
    runtime: ServiceRuntime

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = name_of_class(cls.__name__)
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, Service):
                (model,) = get_args(base)
                if isinstance(model, type):
                    cls.config_model = model

    def __init__(self, config: _ConfigT | None = None) -> None:
        self.config: _ConfigT = config if config is not None else self.config_model()  # type: ignore[assignment]

    def make_again(self) -> Self:
        """Make another object of the service with the same configuration, to be started in place of one that has
        failed. A class whose constructor takes anything but the configuration must override this."""
        return type(self)(self.config)

    async def start(self) -> None:
        """Called once, before the first call. After an exception, the methods answer ``Unavailable``, and the server
        makes and starts another object later; the server itself starts only without services that are not essential.

        Raises:
            ServiceConfigError: the service cannot start with its configuration; the operator reads the message. The
                server does not start.
        """

    async def stop(self) -> None:
        """Called once, after the last call, and after a start that has failed. It must end all tasks, processes and
        connections of the service."""

    async def warm_up(self) -> None:
        """Called in the background after the start, as soon as the server takes calls. It loads what calls need and the
        start does not, such as large modules, so that the first caller need not wait for them. Calls may come before it
        has ended. It must not hold up the event loop: modules are loaded in a thread (:func:`asyncio.to_thread`)."""

    async def prepare_reload(
        self,
        config: _ConfigT,  # noqa: ARG002 - services that can be reloaded override this
        roles: tuple[ServiceRole, ...],  # noqa: ARG002
    ) -> Reload | None:
        """Prepare for new settings while calls go on. The server asks at each reload, even if the settings are the
        same: a file that they name may be another one. Nothing may change before the server commits. A service that
        does not override this keeps the settings of its start.

        Parameters:
            config: the new settings, validated; those of ``restart_keys`` are as before. The server puts them into
                ``self.config`` just before it commits.
            roles: all roles, as they will be in ``self.runtime.roles`` then. :meth:`check_role` has accepted them, on
                another instance, made with the new settings and never started.

        Returns:
            What takes the settings into use; ``None`` if the service keeps those of its start.

        Raises:
            ServiceConfigError: the settings cannot be used; the operator reads the message. The whole reload then
                changes nothing.
        """
        return None

    async def reconsider_caller(self, name: str, principal: Principal | None, before: float) -> None:
        """Called when the credentials of somebody have ended or may have got another role, as after a reload, and at
        the start for each name that has a token, or that the settings know. The service ends what it keeps for them
        without a connection, if they may have it no more. The server itself ends their connections. It cancels this
        method after some seconds, since other callers wait.

        Parameters:
            name: their name.
            principal: who they are now, whose role ``self.runtime.role_of`` tells; ``None`` if their credentials have
                ended.
            before: when that was, in seconds since 1970. What they have begun later was begun by other credentials.
        """

    async def health(self) -> Health:
        """Return whether the service can work now; ``/readyz`` reports it."""
        return Health()

    def figures(self) -> Iterable[Figure]:
        """Return numbers that tell what the service does now, such as how many programs run. It is called after the
        start, in the event loop, whenever somebody looks; it must be quick."""
        return ()

    def check_settings(self, state_dir: Path) -> None:
        """Check what no model can check of the settings: what ``start()`` would raise :exc:`ServiceConfigError` for.
        ``rpcserver config check`` and ``config set`` call it on a service that is not started; it connects to nothing
        and changes nothing.

        Parameters:
            state_dir: the folder that the service would have.

        Raises:
            ServiceConfigError: as in :meth:`start`.
        """

    async def check_connections(self, state_dir: Path) -> Mapping[str, str]:  # noqa: ARG002 - for services that connect
        """Try what the service connects to, such as databases. ``rpcserver config check --connect`` calls it on a
        service that is not started; it changes nothing.

        Parameters:
            state_dir: the folder that the service would have.

        Returns:
            Why a connection fails, by the name under which the configuration has it; empty if all can be used.
        """
        return {}

    def check_role(self, role: ServiceRole) -> None:
        """Check what no model can check of a role's conditions: whether they fit the service's configuration. Called
        for each role, before the start.

        Parameters:
            role: the role, with its conditions.

        Raises:
            ServiceConfigError: the conditions make no sense; the message names the key.
        """

    def guard(self, method: MethodSpec) -> Guard | None:  # noqa: ARG002 - services with conditions override this
        """Return what compares the parameters of a method with the conditions of the caller's role; ``None`` if the
        permission alone decides. Called once for each method, before the start.

        Parameters:
            method: the method.
        """
        return None

    def http_pages(self) -> Mapping[str, Page]:
        """Return the pages of the service for plain HTTP GET, by path, such as ``/metrics``. Called before the
        start."""
        return {}

    @classmethod
    def methods(cls) -> Iterator[MethodSpec]:
        """Yield the methods that the class offers, in the order of their declaration.

        Raises:
            TypeError: an annotation is missing or cannot be sent, or a name is not allowed.
        """
        functions: dict[str, Callable[..., Any]] = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                if hasattr(getattr(value, "__func__", value), _MARK):
                    functions[name] = value
                else:
                    functions.pop(name, None)  # It overrides a method without @method, so it is not offered.
        for name, function in functions.items():
            yield MethodSpec(cls, name, function, getattr(getattr(function, "__func__", function), _MARK))


@dataclass(frozen=True)
class MethodSpec:
    """One offered method: its place, its function and its contract."""

    service: type[Service[Any]]
    attribute: str
    function: Callable[..., Any]
    options: MethodOptions

    def __post_init__(self) -> None:
        if self.name.startswith("_"):
            raise TypeError(f"{self.full_name}: a private method cannot be offered; remove the underscore or @method")
        if isinstance(self.function, (staticmethod, classmethod)):
            raise TypeError(
                f"{self.full_name}: a {type(self.function).__name__} cannot be offered; make it a plain method"
            )
        if not self.name.isidentifier():
            raise TypeError(f"{self.full_name}: name={self.name!r} is no identifier, so no client could call it")
        most = self.options.message_bytes
        if most is not None and most < SMALL_BYTES:
            raise TypeError(f"{self.full_name}: message_bytes={most!r} must be at least {SMALL_BYTES}, or None")

    @property
    def full_name(self) -> str:
        """The name on the wire: ``service.method``."""
        return f"{self.service.name}.{self.name}"

    @property
    def name(self) -> str:
        """The method's own part of the name on the wire."""
        return self.options.name or self.attribute

    @property
    def permission(self) -> str:
        """The permission that a caller needs."""
        return self.options.permission or self.full_name

    @cached_property
    def contract(self) -> Contract:
        """The types of its parameters and result.

        Raises:
            TypeError: an annotation is missing or cannot be sent.
        """
        if self.options.event is not None:
            annotate(self.function, self.options.event)
        return Contract(self.function, context_type=Context)

    @cached_property
    def signature_text(self) -> str:
        """Its parameters and its result with their types, as text. To write types down takes long: it is done once."""
        return str(readable(self.contract.signature))

    @cached_property
    def doc(self) -> str:
        """Its docstring, without indentation."""
        return inspect.getdoc(self.function) or ""
