# Generated from rpcclient/aio/client.py by `make stubs`. Do not edit: change that, and generate anew.

"""The synchronous client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, overload

from rpcclient.following import follow_params
from rpcclient.headers import HeadersChoice
from rpcclient.memory import MemoryDial
from rpcclient.methods import Method, method_of
from rpcclient.options import CONNECT_GRACE_S, CallOptions, ConnectOptions
from rpcclient.proxies import ProxyChoice
from rpcclient.targets import TokenBy, find_target, memory_target, split_urls
from rpcclient.trust import PathText
from rpcwire.codec import Subprotocol
from rpcwire.elsewhere import raise_unpicklable
from rpcwire.errors import ConnectionClosed
from rpcwire.events import ProgressHook
from rpcwire.forking import ForkLock
from rpcwire.limits import BUFFER_ITEMS

from .batch import Batch
from .calling import Calls
from .connector import Connector
from .descriptions import Descriptions
from .stream import Stream

if TYPE_CHECKING:
    import ssl

    from rpcclient.describe import ServiceDescription
    from rpcclient.group.request import GroupProgressHook, NamedNode
    from rpcclient.models import EventNews, Hello, NodeInfo, NodesEvent, ServiceInfo
    from rpcwire.publishing import EventPolicy
    from rpcwire.service import Service

    from .database import Database
    from .dynamic import ServiceProxy
    from .group import Group
    from .hardware import Hardware
    from .lease import Lease
    from .programs import Programs

_T = TypeVar("_T")


class Client:
    """Calls the services of a server. Several threads may share one. The twin of :class:`rpcclient.AsyncClient`, method
    for method; it uses no event loop.

    ::

        with Client("ws://127.0.0.1:8765") as client:
            done = client.programs.run(["uname", "-a"])

    Parameters:
        url: ``ws://host:port``, ``wss://host:port`` or ``unix:///path``; else ``RPC_URL``; else the local server. A
            path after the port is where the WebSocket is. Of several URLs, in a list or with commas, the first is used
            that can be reached.
        token: proves who is calling; else that of ``token_file``, ``RPC_TOKEN``, ``RPC_TOKEN_FILE``, or the local
            server's own.
        token_file: a file whose first line is the token. Nobody else may be able to read or change it.
        token_by: how the token is sent: with the handshake (``header``), or by ``rpc.authenticate`` (``call``) right
            after it, where a proxy keeps the header to itself; else ``RPC_TOKEN_BY``, else ``header``.
        ca_file: PEM file with the authorities to trust for ``wss://``; else ``RPC_CA_FILE``, else the system's.
        cert_file: PEM file with a certificate of the client's own, for a server that asks for one; else
            ``RPC_CERT_FILE``.
        key_file: PEM file with its private key, where that is not in ``cert_file``; else ``RPC_KEY_FILE``.
        key_password: opens the private key; else ``RPC_KEY_PASSWORD``.
        ssl_context: complete settings for TLS, in place of these four.
        server_hostname: the name that the server's certificate must show, where that is not the URL's.
        headers: further headers of the handshake, values by name; else ``RPC_HEADERS``, one ``Name: value`` in a line.
            A function is called for each connection, and returns the headers for it, such as a signature with a time.
            It must be quick.
        proxy: the URL of a proxy (``http``, ``https``, ``socks5h``, ``socks5``, ``socks4a``, ``socks4``); ``None`` for
            none; ``True`` for ``RPC_PROXY``, else, for other machines, that of all programs (``HTTPS_PROXY``,
            ``ALL_PROXY``, ``NO_PROXY``). A Unix socket is never reached through one.
        allow_token_in_clear: send the token, or headers that prove who you are, also where neither TLS verifies the
            server nor the kernel says that the listener on this machine is yours or root's; else
            ``RPC_ALLOW_TOKEN_IN_CLEAR``, else not.
        timeout_s: the deadline of every call, in seconds; each method's own (60 s unless it says otherwise) where not
            given.
        connect_timeout_s: how long connecting may take, in seconds.
        subprotocol: the form of the wire; the best that both sides speak where not given.
        ping_interval_s: how long the server may be silent before it is pinged, in seconds; 0 for no pings.
        ping_timeout_s: how long a ping may stay without an answer, in seconds. While anything is sent or arrives, the
            connection is kept.
        reconnect: connect again when the connection is lost. Calls that were never sent are then sent; those whose
            answer was lost raise ConnectionLost.
        services: what this side offers to the server, which may call it over the same connection.
        memory: ``Server.connect_memory`` of a server in the same process, instead of a URL; its loop runs in another
            thread.
        node: the name or id of a node of the server's group: the connection leads there, through the server, as of
            :meth:`node`. Without a URL and a local server, the node is looked for on the local network (DNS-SD); it
            must then show a certificate of ``ca_file``.

    Raises:
        ValueError: a time is negative, or no number of seconds; or the name of the node is empty.
        ConnectFailed: the URL or the token cannot be used. (Connecting itself happens later, at the first call, at
            :meth:`connect`, or on entering the context. It fails if the token must not be sent there.)
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        token: str | None = None,
        token_file: PathText | None = None,
        token_by: TokenBy | None = None,
        ca_file: PathText | None = None,
        cert_file: PathText | None = None,
        key_file: PathText | None = None,
        key_password: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        headers: HeadersChoice | None = None,
        proxy: ProxyChoice = True,
        allow_token_in_clear: bool | None = None,
        timeout_s: float | None = None,
        connect_timeout_s: float = 10.0,
        subprotocol: Subprotocol | None = None,
        ping_interval_s: float = 20.0,
        ping_timeout_s: float = 20.0,
        reconnect: bool = True,
        services: Sequence[Service[Any]] = (),
        memory: MemoryDial | None = None,
        node: str | None = None,
    ) -> None:
        targets, locate = [memory_target()], None
        if memory is None:
            access: dict[str, Any] = {
                "token": token,
                "token_file": token_file,
                "token_by": token_by,
                "ca_file": ca_file,
                "cert_file": cert_file,
                "key_file": key_file,
                "key_password": key_password,
                "ssl_context": ssl_context,
                "server_hostname": server_hostname,
                "headers": headers,
                "proxy": proxy,
                "allow_token_in_clear": allow_token_in_clear,
            }
            if node is not None and split_urls(url) == [None]:
                from rpcclient.nearby import locate_node

                # TLS is for the node, which may be on the local network, and not for the server of this machine.
                locate = partial(locate_node, node, access)
                access = {**access, "cert_file": None, "key_file": None, "ssl_context": None, "server_hostname": None}
            targets = [find_target(each, **access) for each in split_urls(url)]
        options = ConnectOptions(
            targets[0],
            subprotocol=subprotocol,
            connect_timeout_s=connect_timeout_s,
            ping_interval_s=ping_interval_s,
            ping_timeout_s=ping_timeout_s,
            reconnect=reconnect,
            node=node,
            seeds=tuple(targets[1:]),
            locate=locate,
        )
        self._connector = Connector(options, memory)
        self._calls = Calls(self._connector, CallOptions(timeout_s=timeout_s))
        self._descriptions = Descriptions()
        self._nodes: dict[str, Self] = {}  # All copies of this client share them.
        self._nodes_lock = ForkLock()
        for service in services:
            self.offer(service)

    # --- its life -----------------------------------------------------------------------------------------------

    def connect(self, *, timeout_s: float | None = None) -> Self:
        """Connect now, rather than at the first call.

        Parameters:
            timeout_s: how long to try, in seconds; ``connect_timeout_s`` of the client where not given. Only a
                connection that was lost is tried more than once.

        Raises:
            ConnectFailed, Unauthenticated, PermissionDenied: the server cannot be reached, or refuses.
            NotSent: the time is over.
        """
        # By default a little longer than one attempt takes, so that the attempt itself says what is wrong.
        seconds = self._connector.options.connect_s + CONNECT_GRACE_S if timeout_s is None else timeout_s
        self._connector.peer(self._calls.now() + seconds)
        return self

    def close(self) -> None:
        """Close the connection, and those with other nodes. Calls under way fail with ConnectionLost."""
        for node in tuple(self._nodes.values()):
            node.close()
        self._connector.close()

    def abort(self) -> None:
        """End the connection at once, and wait for nothing. Calls under way fail with ConnectionLost. Any thread may
        call this. The client stays usable: its next call connects again."""
        for node in tuple(self._nodes.values()):
            node.abort()
        self._connector.abort()

    def __copy__(self) -> Self:
        return self._with_calls(self._calls)

    def __reduce__(self) -> NoReturn:
        raise_unpicklable(type(self).__name__)

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        node = self._connector.options.node
        place = self.url if node is None else f"node {node!r} through {self.url}"
        return f"<{type(self).__name__} of {place}>"

    @property
    def connected(self) -> bool:
        """Whether there is a connection at this moment."""
        return self._connector.connected

    @property
    def url(self) -> str:
        """The server's address."""
        return self._calls.url

    @property
    def calls(self) -> Calls:
        """What makes its calls. Stubs and other views get this, and not the client."""
        return self._calls

    # --- calls --------------------------------------------------------------------------------------------------

    def options(
        self,
        *,
        timeout_s: float | None = None,
        progress: ProgressHook | None = None,
        key: str | None = None,
        window: int | None = None,
        resend: bool | None = None,
    ) -> Self:
        """The same client and connection, with other options for the calls made through what is returned::

            client.options(timeout_s=5).programs.run(["make"])

        Parameters:
            timeout_s: the deadline of each call, in seconds.
            progress: called with the progress of each call.
            key: identifies the call for deduplication.
            window: for streams, items that the server may be ahead of the reader.
            resend: whether a call that was never sent may be sent over another connection (the default). A call that
                needs something of its own connection, such as an open transaction, may not.
        """
        return self._with_calls(
            self._calls.with_options(timeout_s=timeout_s, progress=progress, key=key, window=window, resend=resend)
        )

    def _with_calls(self, calls: Calls) -> Self:
        """Return the same client with other calls. Its views, which hold the calls, are made anew."""
        cls = type(self)
        values = {k: v for k, v in self.__dict__.items() if not isinstance(getattr(cls, k, None), cached_property)}
        other = object.__new__(cls)  # The usual way would make a connector, too.
        other.__dict__.update(values, _calls=calls)
        return other

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
            RpcError: the call failed; the subclass says how (:mod:`rpcclient.errors`).
        """
        return self._calls.invoke(method_of(method, returns), params)

    def notify(self, method: str, params: Mapping[str, Any] | Sequence[Any] | None = None) -> None:
        """Send a notification: the method runs, but the server sends no answer, not even an error.

        Raises:
            RpcError: it could not be sent.
        """
        self._calls.notify(method_of(method), params)

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
            The stream; the call is made when it is entered or its first item is asked for.
        """
        return self._calls.open(Method(method, items), params)

    def batch(self) -> Batch:
        """Several calls in one frame::

        with client.batch() as batch:
            one = batch.call("calc.add", [1, 2])
            two = batch.call("calc.add", [3, 4])
        print(one.result(), two.result())
        """
        return Batch(self._calls)

    # --- other nodes of its group ------------------------------------------------------------------------------

    def node(self, name: str) -> Self:
        """The same client for another node of the server's group. What is returned has everything that a client has;
        its connection leads through the server, and is made by its first call. It is kept: asked for again, the same
        connection serves. It is closed with this client, or alone::

            client.node("db-1").hardware.memory()

        Each such client has a connection of its own to the server, with this client's credentials, and services of its
        own to offer. For the node the caller is ``NAME via SERVER``, and its own roles decide.

        Parameters:
            name: the name or the id of the node. Its first call raises NodeNotFound if there is none, and NodeAmbiguous
                if there are several of that name.

        Raises:
            ValueError: the name is empty, or no text.
            ConnectionClosed: this client is closed.
        """
        if self._connector.is_closed:
            raise ConnectionClosed("the client is closed")
        with self._nodes_lock:
            node = self._nodes.get(name)
            if node is None or node._connector.is_closed:  # noqa: SLF001 - of this class
                connector = Connector(replace(self._connector.options, node=name), self._connector.memory)
                node = self._with_calls(Calls(connector, self._calls.options))
                vars(node).update(_connector=connector, _descriptions=Descriptions(), _nodes={})
                self._nodes[name] = node
        return node._with_calls(Calls(node._connector, self._calls.options))  # noqa: SLF001 - of this class

    def group(
        self,
        nodes: str | Iterable[str | NamedNode],
        *,
        timeout_s: float | None = None,
        parallel: int | None = None,
        stop_after_failures: int | None = None,
        canary: int | None = None,
        progress: GroupProgressHook | None = None,
    ) -> Group:
        """Nodes of the server's group, to be called together. Each of them has one outcome, whatever happens::

            for outcome in client.group("role=web,zone!=eu").programs.run(["uptime"]):
                print(outcome.node, outcome.state, outcome.result or outcome.error)

        Which nodes there are is decided once for each call, when it is made. They are called at once, unless one of the
        numbers, or ``rolling()`` of what is returned, says otherwise.

        Parameters:
            nodes: a selector, such as ``role=web,zone!=eu``, ``zone in (eu,us)`` or ``name=web-*``; or a list of names,
                ids, and nodes as those of :meth:`nodes` and of outcomes: ``client.group(outcomes.failed)`` is for those
                that have failed before.
            timeout_s: the deadline of each call as a whole, in seconds; that of the client, else that of the method
                where not given. It ends streams, too, if it is given here.
            parallel: the most nodes that are asked at a time.
            stop_after_failures: after so many outcomes that are not ``ok`` no further node is asked.
            canary: so many nodes are asked before all others, which are asked only if each of these is ``ok``.
            progress: called with the node, done, total and message, when a node reports its progress.

        Raises:
            InvalidParams: the selector or the list is empty, or neither.
            ValueError: a number is less than 1.
        """
        from .group import Group

        calls = self._calls.with_options(timeout_s=timeout_s)
        policy = {"parallel": parallel, "stop_after_failures": stop_after_failures, "canary": canary}
        return Group.of(calls, self._descriptions, nodes, policy, progress, limits_streams=timeout_s is not None)

    def everyone(
        self,
        *,
        timeout_s: float | None = None,
        parallel: int | None = None,
        stop_after_failures: int | None = None,
        canary: int | None = None,
        progress: GroupProgressHook | None = None,
    ) -> Group:
        """All nodes of the server's group, to be called together, as of :meth:`group`.

        Parameters:
            timeout_s, parallel, stop_after_failures, canary, progress: as of :meth:`group`.

        Raises:
            ValueError: a number is less than 1.
        """
        from .group import Group

        calls = self._calls.with_options(timeout_s=timeout_s)
        policy = {"parallel": parallel, "stop_after_failures": stop_after_failures, "canary": canary}
        return Group.of(calls, self._descriptions, None, policy, progress, limits_streams=timeout_s is not None)

    # --- leases of its group ------------------------------------------------------------------------------------

    def lease(
        self,
        name: str,
        *,
        ttl_s: float = 30.0,
        wait_s: float | None = None,
        on_lost: Callable[[], object] | None = None,
    ) -> Lease:
        """A lease of the server's group: a lock that at most one holds, wherever they are connected. It is acquired on
        entering the ``with`` block, and given back at its end::

            with client.lease("nightly", ttl_s=30) as lease:
                storage.write(data, fencing_token=lease.fencing_token)

        It needs the permission ``rpc.lease``. Without a group, it is one of the server alone.

        Parameters:
            name: its name.
            ttl_s: how long it lasts if this program cannot renew it, in seconds.
            wait_s: how long to wait for it, in seconds; 0 not to wait, ``None`` for ever.
            on_lost: called once, in the background, when it is lost.

        Returns:
            The lease, which is not acquired yet. Entering it raises LeaseHeld if somebody else holds it so long.

        Raises:
            ValueError: a parameter cannot be used.
        """
        from .lease import Lease

        return Lease(self._calls, name, "", ttl_s, wait_s, on_lost)

    # --- what there is ------------------------------------------------------------------------------------------

    def services(self) -> list[ServiceInfo]:
        """Return a short list of the services that the server offers.

        Raises:
            RpcError: as of any call.
        """
        from rpcclient.models import ServiceInfo

        return self.call("rpc.services", returns=list[ServiceInfo])

    def hello(self) -> Hello:
        """Return what the server is, who the caller is for it, and its limits.

        Raises:
            RpcError: as of any call.
        """
        from rpcclient.models import Hello

        return self.call("rpc.hello", returns=Hello)

    def nodes(self) -> list[NodeInfo]:
        """Return the nodes of the group to which the server belongs, sorted by name; a server without a group is its
        only node. Those that have died or left are listed for ten minutes. Whether the server is sure of them at the
        moment is told by the first event of :meth:`watch_nodes`.

        Raises:
            RpcError: as of any call.
        """
        from rpcclient.models import NodeInfo

        return self.call("rpc.nodes", returns=list[NodeInfo])

    def watch_nodes(self) -> Stream[NodesEvent]:
        """Watch the nodes of the group: at first all of them (``snapshot``), and then each change. A reader who is too
        slow for all changes gets all nodes anew (``resync``). Each event tells whether the server is sure of its nodes
        (``is_settled``), and ``settled`` and ``unsettled`` come when that changes::

        with client.watch_nodes() as events:
            for event in events:
                print(event.kind, [(node.name, node.state) for node in event.nodes])

        Returns:
            The stream; the call is made when it is entered or its first item is asked for.
        """
        from rpcclient.models import NodesEvent

        return self.stream("rpc.watch_nodes", items=NodesEvent)

    def subscribe(
        self, *events: str, policy: EventPolicy = "drop_oldest", buffer_items: int = BUFFER_ITEMS
    ) -> Stream[EventNews]:
        """Follow events of the server's services; ``client.group("role=web").subscribe()`` follows those of many
        nodes::

            with client.subscribe("hardware.device_changed") as news:
                for each in news:
                    print(each.event, each.lost, each.value)

        Of a single event there is a typed stream, too: the method of its name, here
        ``client.hardware.device_changed()``.

        Parameters:
            events: full names of events; without any, all that the client may follow.
            policy: what becomes of events while the reader is slow: ``drop_oldest``, ``latest`` (all but the newest of
                each event are dropped) or ``close`` (the stream ends with SlowConsumer). What is lost is told.
            buffer_items: how many events may wait at the server.

        Returns:
            The stream; the call is made when it is entered or its first item is asked for. It begins with an item
            ``following``.
        """
        from rpcclient.models import EventNews

        return self.stream("rpc.follow", follow_params(events, None, policy, buffer_items), items=EventNews)

    def describe(self, service: str) -> ServiceDescription:
        """Return a service's methods with their signatures and documentation.

        Parameters:
            service: the service's name.

        Raises:
            MethodNotFound: the server has no such service.
            RpcError: as of any call.
        """
        return self._descriptions.fetch(self._calls, service)

    def service(self, name: str) -> ServiceProxy:
        """Return any service by its name: ``client.service("greeter").hello(name="Ada")``.

        Parameters:
            name: the service's name, as in :meth:`services`.
        """
        from .dynamic import ServiceProxy

        return ServiceProxy(self._calls, self._descriptions, name)

    def offer(self, service: Service[Any]) -> None:
        """Offer a service to the server, which may call it over the same connection.

        Raises:
            TypeError: a method cannot be offered, or there is such a service already.
        """
        self._connector.offer(service)

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
