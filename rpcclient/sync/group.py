# Generated from rpcclient/aio/group.py by `make stubs`. Do not edit: change that, and generate anew.

"""Nodes of a group that are called together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from rpcclient.describe import ServiceDescription
from rpcclient.following import follow_params
from rpcclient.group.request import (
    EVERYONE,
    GroupMethod,
    GroupProgressHook,
    GroupRequest,
    NamedNode,
    describe_target,
    target_of,
)
from rpcclient.leases import scope_of
from rpcclient.methods import Method, method_of
from rpcclient.models import EventNews
from rpcclient.proxy import DynamicMethod, bind, dress, names_of, overview
from rpcwire.errors import RpcError
from rpcwire.group.outcomes import Policy
from rpcwire.limits import BUFFER_ITEMS

from .calling import Calls
from .descriptions import Descriptions
from .dynamic import ServiceProxy
from .outcomes import GroupStream, Outcomes
from .picking import PickCalls
from .stream import Stream
from .waits import value_now

if TYPE_CHECKING:
    from rpcwire.publishing import EventPolicy

    from .database import Database
    from .group_programs import GroupPrograms
    from .hardware import Hardware
    from .lease import Lease
    from .programs import Programs
    from .stubs.group_database import GroupDatabase
    from .stubs.group_hardware import GroupHardware

_T = TypeVar("_T")


class Group:
    """Nodes of the server's group that are called together; :meth:`rpcclient.Client.group` makes it. Its services
    have the methods of those of one server, and each answers with :class:`Outcomes`, or with
    :class:`GroupStream` where one server answers with a stream::

        outcomes = client.group("role=web").programs.run(["uptime"]).wait()
        print(outcomes.table())

    Parameters:
        calls: makes the calls.
        descriptions: the descriptions of the server's services.
        request: the nodes, and how they are asked.
    """

    def __init__(self, calls: Calls, descriptions: Descriptions, request: GroupRequest) -> None:
        self._calls = calls
        self._descriptions = descriptions
        self._request = request

    @classmethod
    def of(
        cls,
        calls: Calls,
        descriptions: Descriptions,
        nodes: str | Iterable[str | NamedNode] | None,
        policy: Mapping[str, Any],
        progress: GroupProgressHook | None,
        *,
        limits_streams: bool,
    ) -> Self:
        """Make a group of nodes.

        Parameters:
            calls, descriptions: as of the class.
            nodes: a selector, or names, ids and nodes; ``None`` for all nodes.
            policy: how they are asked, as of :class:`~rpcwire.group.outcomes.Policy`.
            progress: called with the progress of each node.
            limits_streams: whether the deadline ends streams, too.

        Raises:
            InvalidParams: the selector or the list is empty, or neither.
            ValueError: a number is less than 1.
        """
        target = EVERYONE if nodes is None else target_of(nodes)
        return cls(calls, descriptions, GroupRequest(target, Policy(**policy), progress, limits_streams))

    @property
    def calls(self) -> Calls:
        """What makes its calls."""
        return self._calls

    @property
    def request(self) -> GroupRequest:
        """The nodes, and how they are asked."""
        return self._request

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {describe_target(self._request.target)} of {self._calls.url}>"

    # --- how they are asked -------------------------------------------------------------------------------------

    def rolling(self, batch: int = 1, *, stop_after_failures: int = 1, canary: int | None = None) -> Self:
        """The same nodes, asked in batches: the next batch begins when the one before has ended as a whole.

        Parameters:
            batch: how many nodes are asked at a time.
            stop_after_failures: after so many outcomes that are not ``ok`` no further node is asked.
            canary: so many nodes are asked before all others, which are asked only if each of these is ``ok``; that of
                the group where not given.

        Raises:
            ValueError: a number is less than 1, or the group has ``parallel``.
        """
        canary = self._request.policy.canary if canary is None else canary
        return self._with_policy(batch=batch, stop_after_failures=stop_after_failures, canary=canary)

    def any(self, n: int) -> Self:
        """The same nodes, of which so many results are enough: then the others are cancelled.

        Parameters:
            n: how many outcomes that are ``ok`` end the call.

        Raises:
            ValueError: the number is less than 1.
        """
        return self._with_policy(enough=n)

    def first(self) -> Pick:
        """The node that answers first: its result is returned as that of one server is, and the others are cancelled::

            client.group("role=web").first().hardware.memory()

        A call raises GroupFailed if no node has a result.
        """
        return Pick(self._calls, self._descriptions, self._with_policy(enough=1).request)

    def one(self) -> Pick:
        """One node, the least busy first: its result is returned as that of one server is. Another one is asked only if
        the method has certainly not run on the node before. An error of the method is raised as one server's::

            client.group("role=web").one().hardware.memory()

        Raises:
            ValueError: the group has ``parallel``, ``stop_after_failures`` or ``canary``.
        """
        return Pick(self._calls, self._descriptions, self._with_policy(one=True).request)

    def _with_policy(self, **policy: Any) -> Self:
        request = replace(self._request, policy=replace(self._request.policy, **policy))
        return type(self)(self._calls, self._descriptions, request)

    def lease(
        self,
        name: str,
        *,
        ttl_s: float = 30.0,
        wait_s: float | None = None,
        on_lost: Callable[[], object] | None = None,
    ) -> Lease:
        """A lease for work on these nodes, as of :meth:`rpcclient.Client.lease`: of the same name for another
        selector there is another one. The truth of it is the whole group's, whichever nodes there are::

            with client.group("role=web").lease("restart") as lease:
                ...

        Parameters:
            name, ttl_s, wait_s, on_lost: as of :meth:`rpcclient.Client.lease`.

        Raises:
            ValueError: a parameter cannot be used.
            InvalidParams: the selector cannot be used.
        """
        from .lease import Lease

        return Lease(self._calls, name, scope_of(self._request.target), ttl_s, wait_s, on_lost)

    # --- calls --------------------------------------------------------------------------------------------------

    @overload
    def call(self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Outcomes[Any]: ...
    @overload
    def call(
        self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None, *, returns: type[_T]
    ) -> Outcomes[_T]: ...
    def call(
        self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None, *, returns: Any = None
    ) -> Outcomes[Any]:
        """Call any method by its name on all nodes.

        Parameters:
            method: the full name, such as ``programs.run``.
            params: by name (a mapping) or by position (a sequence).
            returns: the type to read results as; plain data where not given.

        Returns:
            One outcome for each node.
        """
        group_method = GroupMethod(method_of(method, returns), self._request, streams=False)
        return Outcomes(self._calls, group_method, params)

    @overload
    def stream(self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> GroupStream[Any]: ...
    @overload
    def stream(
        self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None, *, items: type[_T]
    ) -> GroupStream[_T]: ...
    def stream(
        self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None, *, items: Any = None
    ) -> GroupStream[Any]:
        """Call a method that answers with a stream on all nodes.

        Parameters:
            method, params: as of :meth:`call`.
            items: the type to read the items as; plain data where not given.

        Returns:
            The items of all nodes.
        """
        group_method = GroupMethod(method_of(method, items), self._request, streams=True)
        return GroupStream(self._calls, group_method, params)

    def subscribe(
        self, *events: str, policy: EventPolicy = "drop_oldest", buffer_items: int = BUFFER_ITEMS
    ) -> Stream[EventNews]:
        """Follow events of the nodes, also of those that join later or return. Each node decides by its own roles which
        events the client gets; the stream tells that (``refused``), and what becomes of the nodes (``following``,
        ``gone``)::

        with client.everyone().subscribe("hardware.device_changed") as news:
            for each in news:
                print(each.node, each.event, each.lost, each.value)

        Parameters:
            events: full names of events; without any, all that the client may follow.
            policy: what becomes of events while the reader is slow: ``drop_oldest``, ``latest`` (all but the newest of
                each node and event are dropped) or ``close`` (the stream ends with SlowConsumer). What is lost is told.
            buffer_items: how many events may wait at the server.

        Returns:
            The stream; the call is made when it is entered or its first item is asked for.
        """
        params = follow_params(events, self._request.target, policy, buffer_items)
        return self._calls.open(Method("rpc.follow", EventNews), params)

    def service(self, name: str) -> GroupServiceProxy:
        """Return any service by its name: ``client.group("role=web").service("greeter").hello(name="Ada")``.

        Parameters:
            name: the service's name. The server must offer it, too, since it describes it.
        """
        return GroupServiceProxy(self._calls, self._descriptions, self._request, name)

    @cached_property
    def programs(self) -> GroupPrograms:
        """Run programs."""
        from .group_programs import GroupPrograms

        return GroupPrograms(self)

    @cached_property
    def database(self) -> GroupDatabase:
        """Query databases."""
        from .stubs.group_database import GroupDatabase

        return GroupDatabase(self)

    @cached_property
    def hardware(self) -> GroupHardware:
        """Read the machines."""
        from .stubs.group_hardware import GroupHardware

        return GroupHardware(self)


class Pick:
    """One node of a group, which is chosen anew for each call. It has the services of a client. What belongs to a
    connection is refused, such as transactions and programs that one talks to: :meth:`rpcclient.Client.node` has
    them.

    Parameters:
        calls: makes the calls.
        descriptions: the descriptions of the server's services.
        request: the nodes, and how one is chosen.
    """

    def __init__(self, calls: Calls, descriptions: Descriptions, request: GroupRequest) -> None:
        self._own = calls
        self._calls = PickCalls(calls, request)
        self._descriptions = descriptions

    @property
    def calls(self) -> PickCalls:
        """What makes its calls. Stubs get this."""
        return self._calls

    @overload
    def call(self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Any: ...
    @overload
    def call(
        self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None, *, returns: type[_T]
    ) -> _T: ...
    def call(self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None, *, returns: Any = None) -> Any:
        """Call any method by its name.

        Parameters:
            method: the full name, such as ``programs.run``.
            params: by name (a mapping) or by position (a sequence).
            returns: the type to read the result as; plain data where not given.

        Returns:
            The result.

        Raises:
            GroupFailed: several nodes were asked, and none has a result.
            RpcError: the one node on which the method may have run has raised it; or the call failed as a whole.
        """
        return self._calls.invoke(method_of(method, returns), params)

    @overload
    def stream(self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> Stream[Any]: ...
    @overload
    def stream(
        self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None, *, items: type[_T]
    ) -> Stream[_T]: ...
    def stream(
        self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None, *, items: Any = None
    ) -> Stream[Any]:
        """Call a method that answers with a stream.

        Parameters:
            method, params: as of :meth:`call`.
            items: the type to read the items as; plain data where not given.

        Returns:
            The stream.

        Raises:
            LocalProtocolError: it is that of ``first()``, which would mix the streams of several nodes.
        """
        return self._calls.open(Method(method, items), params)

    def service(self, name: str) -> ServiceProxy:
        """Return any service by its name.

        Parameters:
            name: the service's name. The server must offer it, too, since it describes it.
        """
        return ServiceProxy(self._calls, self._descriptions, name, self._own)

    @cached_property
    def programs(self) -> Programs:
        """Run programs."""
        from .programs import Programs

        return Programs(self._calls)

    @cached_property
    def database(self) -> Database:
        """Query databases."""
        from .database import Database

        return Database(self._calls)

    @cached_property
    def hardware(self) -> Hardware:
        """Read the machine."""
        from .hardware import Hardware

        return Hardware(self._calls)


class GroupServiceProxy:
    """A service of a group by its name. Each attribute is one of its methods: ``service.method(...)`` calls it on
    all nodes, and gives :class:`Outcomes`, or :class:`GroupStream` for one that streams.

    Parameters:
        calls: makes the calls.
        descriptions: the descriptions of the server's services.
        request: the nodes, and how they are asked.
        name: the service's name.
    """

    def __init__(self, calls: Calls, descriptions: Descriptions, request: GroupRequest, name: str) -> None:
        self._calls = calls
        self._descriptions = descriptions
        self._request = request
        self._name = name

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            description = DynamicMethod.find(self.describe(), name)
            method, params = DynamicMethod(description), bind(description, args, kwargs)
            group_method = GroupMethod(method, self._request, streams=description.streams)
            kind: type[GroupStream[Any] | Outcomes[Any]]
            kind = GroupStream if description.streams else Outcomes
            return kind(self._calls, group_method, params).open()

        return dress(call, self._description_now(), name)

    def describe(self) -> ServiceDescription:
        """Return the signatures and the documentation of the methods.

        Raises:
            MethodNotFound: the server has no such service.
            RpcError: as of any call.
        """
        return self._descriptions.fetch(self._calls, self._name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *names_of(self._description_now())]

    def __repr__(self) -> str:
        return f"<service {self._name!r} of {describe_target(self._request.target)}>"

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """All methods with their signatures, for ``help()``."""
        try:
            return overview(self._name, self._description_now())
        except RpcError as exc:
            return f"The service {self._name!r}, which cannot be described now: {exc}"

    def _description_now(self) -> ServiceDescription | None:
        return value_now(self.describe, self._descriptions.get(self._name))
