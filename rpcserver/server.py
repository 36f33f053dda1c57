"""The server's life: makes the parts, starts them, and stops them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

from rpcserver.audit.metrics import show_metrics
from rpcserver.audit.trail import Trail
from rpcserver.discovery.announcer import Announcer
from rpcserver.discovery.record import Record, make_record
from rpcserver.door.activation import ActivatedSocket
from rpcserver.door.door import Door
from rpcserver.door.entrance import Entrance
from rpcserver.door.files import CONSOLE, folders_of
from rpcserver.door.pages import Pages, pages_of
from rpcserver.door.public_docs import EVERY_SERVICE, PublicDocs
from rpcserver.plugins.finding import BrokenPlugin
from rpcserver.plugins.openrpc import document
from rpcserver.plugins.running import check_service_settings, start_service
from rpcserver.plugins.upkeep import Host, Life, Lifeline, Upkeep
from rpcserver.reload.changes import Change
from rpcserver.reload.reloading import NewSettings, Parts, reload
from rpcserver.reload.report import ReloadReport
from rpcserver.security.authentication import Authentication
from rpcserver.security.caller_file import CallerFile
from rpcserver.security.callers import CallerNews
from rpcserver.security.certificates import check_roles
from rpcserver.security.gate import RoleGate
from rpcserver.security.roles import Roles
from rpcserver.security.session_file import SessionFile
from rpcserver.security.session_keeping import SessionKeeper
from rpcserver.security.token_file import TokenFile
from rpcserver.security.token_watch import TokenWatch
from rpcserver.security.tokens import TokenStore
from rpcserver.security.unix_users import check_settings
from rpcserver.security.way import Way
from rpcwire.aio.memory import MemoryLink
from rpcwire.codec import Subprotocol
from rpcwire.context import Principal
from rpcwire.dispatch import Dispatch, Gate
from rpcwire.outcomes import Observer
from rpcwire.pool import Pool
from rpcwire.registry import Registry
from rpcwire.service import Service

from .config import ConfigError, ServerConfig
from .connections import Connections
from .group_side import GroupSide
from .stalls import StallProbe
from .state import lock_state, migrate_state
from .system import ServiceCondition, System, SystemParts
from .telemetry.metrics import Metrics
from .trimming import Trimmer

logger = logging.getLogger("rpcserver")
connections_logger = logging.getLogger("rpcserver.connection")

_POOLS = count(1)
"""Numbers the pools of threads, so that each server in a process knows its own threads."""

ARRIVAL_S = 0.5
"""How long those who have just connected may take to be admitted when the server stops, in seconds. Most need some
milliseconds; without them they would see a broken connection instead of an answer."""

STOP_TIMEOUT_S = 5.0
"""How long a service may take to stop before the server goes on, in seconds."""


def _check_credentials(config: ServerConfig, authentication: Authentication, roles: set[str]) -> None:
    """Check that certificates, users and groups may connect, and have roles that exist.

    Raises:
        ConfigError: they cannot; the message says why.
    """
    check_roles(config.auth.certificates, roles)
    check_settings(
        config.auth.unix,
        config.listen.unix_mode,
        has_socket=config.unix_path is not None,
        asks_kernel=config.listen.unix_peer_credentials,
    )
    authentication.unix_users.check_roles(roles)


class Server:
    """Offers services over WebSocket.

    Parameters:
        config: the configuration.
        services: the services to offer.
        token: the token of the owner.
        observers: called with the outcome of each call, over all connections.
        ways: further ways to authenticate by the header Authorization, besides the token.
        broken_plugins: plugins whose code cannot be imported. Their services are offered when it can be.
        console: the folder with the built console; if it has none, browsers get a page that says so.

    Raises:
        TypeError: two services have one name, a method cannot be offered, or an observer is not a plain function.
        ConfigError: two ways to authenticate have one scheme, a role is malformed, or a service that is named as
            essential is not there.

    Attributes:
        config: the configuration.
        services: the services, without that of the protocol itself.
        upkeep: keeps the services running.
        registry: all methods that the server offers.
        roles: who may do what.
        dispatch: decides on every call.
        authentication: finds out who a client is.
        connections: the peers of all connections, by connection.
        door: the listeners, and the connections that are not admitted yet.
        stalls: measures how long the event loop has answered nobody.
        metrics: counts what happens, for the page ``/metrics``.
        group: what makes the server a node of its group.
        announcer: announces the server on the local network, if the configuration wants it.
        trail: the audit log; ``None`` if the configuration wants none, and before the start.
        is_stopping: whether the server will stop soon.
        version: the version of the server.
    """

    def __init__(
        self,
        config: ServerConfig,
        services: Iterable[Service[Any]],
        *,
        token: str,
        observers: Iterable[Observer] = (),
        ways: Iterable[Way[Any]] = (),
        broken_plugins: Iterable[BrokenPlugin] = (),
        console: Path = CONSOLE,
    ) -> None:
        self.config = config
        self._console = console
        self.services = list(services)
        self.is_stopping = False
        self._refuses_all = False
        self._ways: list[Way[Any]] = list(ways)
        self.version = version("remote-services")
        self._threads = f"rpc-handler-{next(_POOLS)}_"
        self._executor = Pool(config.limits.threads, self._threads[:-1], share=config.limits.threads_share)
        self.stalls = StallProbe()
        self.trail: Trail | None = None
        self._state_lock: int | None = None
        self.registry = Registry(logger)
        broken_plugins = list(broken_plugins)
        self.roles = Roles(
            config.roles, self.services, os.geteuid(), System, [plugin.name for plugin in broken_plugins]
        )
        host = Host(
            begin=self._begin_service,
            observe=self._observe,
            forget_observer=self._forget_observer,
            admit=self._admit_service,
            welcome=self._welcome_service,
        )
        self.upkeep = Upkeep(self.services, broken_plugins, config.plugins, self.registry, host)
        self.upkeep.check_names("console.public_docs", config.console.public_docs, (EVERY_SERVICE, System.name))
        gate = RoleGate(self.roles, self.upkeep.why_absent)
        self._stop_tracing: Callable[[], None] = lambda: None
        self.dispatch = self._make_dispatch(gate.decide, observers)
        self.authentication = Authentication(
            TokenStore(token),
            os.geteuid(),
            config.auth,
            unix_peer_credentials=config.listen.unix_peer_credentials,
            ways=self._ways,
        )
        _check_credentials(config, self.authentication, {role.name for role in self.roles})
        named_tokens = self.authentication.named_tokens
        self.token_watch = TokenWatch(TokenFile(config.state_path), named_tokens, self._on_tokens_changed)
        sessions = self.authentication.sessions
        sessions.role_of = self._role_of
        self._session_keeper = SessionKeeper(SessionFile(config.state_path), sessions, self._on_tokens_changed)
        self._caller_news = CallerNews(
            self.authentication, self.roles, self.upkeep.running, CallerFile(config.state_path)
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self.connections = Connections(
            self.dispatch,
            self.authentication,
            self.roles,
            config.limits,
            config.auth.violations,
            self._executor,
            logger,
        )
        self.group = self._make_group_side()
        self.connections.save_sessions = self._session_keeper.save
        self._trimmer = Trimmer(self.connections.memory.note_peak)
        self.metrics = Metrics(
            self.registry,
            self.connections,
            self.stalls,
            self.upkeep.ask_health,
            self.upkeep.running,
            self._count_waiting,
            lambda: self.authentication.wrong_attempts.count,
            lambda: len(self.authentication.sessions.list_live()),
            lambda: self.authentication.sessions.counts,
            lambda: self.door.certificate_expiries,
            self.group,
            self.version,
        )
        if config.metrics.enabled:
            self.dispatch.measure(self.metrics.calls)
        self.announcer = Announcer(config.discovery, self._describe_announcement)
        self._openrpc: dict[str, Any] | None = None
        self._openrpc_lock = asyncio.Lock()
        self._public_docs = PublicDocs(config.console, self._describe_for_all)
        self._system = system = self._make_system()
        self.registry.add(system, has_reserved_name=True)
        for service in self.services:
            self.registry.add(service)
        self.door = self._make_door(system)

    def _make_dispatch(self, gate: Gate, observers: Iterable[Observer]) -> Dispatch:
        if not self.config.opentelemetry.enabled:
            return Dispatch(self.registry, gate, observers, logger=connections_logger)
        try:
            from rpcwire.traced import TracedDispatch

            from .telemetry import tracing
        except ImportError as exc:
            text = f"opentelemetry.enabled: {exc}: pip install 'remote-services[otel]', or set it to false"
            raise ConfigError(text) from None
        observers = [*observers, tracing.make_observer()]
        return TracedDispatch(self.registry, gate, observers, logger=connections_logger)

    def _start_tracing(self) -> None:
        from .telemetry import tracing

        try:
            self._stop_tracing = tracing.start()
        except ImportError as exc:
            raise ConfigError(f"opentelemetry.enabled: {exc}: pip install 'remote-services[otel]'") from None
        except ValueError as exc:
            raise ConfigError(f"opentelemetry.enabled: {exc}") from None

    def _make_system(self) -> System:
        parts = SystemParts(
            registry=self.registry,
            connections=self.connections,
            roles=self.roles,
            settings=lambda: self.config,
            version=self.version,
            openrpc=self._describe_methods,
            stalls=self.stalls,
            authentication=self.authentication,
            show_audit=self._show_audit,
            show_metrics=self.metrics.render,
            ask_health=self.upkeep.ask_health,
            running=self.upkeep.running,
            count_waiting=self._count_waiting,
            conditions=self._describe_services,
            group=self.group,
            list_pages=self._list_pages,
            reconsider=self._on_tokens_changed,
        )
        return System(parts)

    def _make_group_side(self) -> GroupSide:
        return GroupSide(
            settings=lambda: self.config,
            version=self.version,
            services=self.upkeep.running,
            addresses=lambda: self.addresses,
            registry=self.registry,
            roles=self.roles,
            authentication=self.authentication,
            connections=self.connections,
            dispatch=self.dispatch,
            drain_s=STOP_TIMEOUT_S,
        )

    def _list_pages(self) -> list[str]:
        """List the addresses of the console, as seen from this machine; none if it is turned off."""
        if not self.config.console.enabled:
            return []
        return [
            "http" + url.removeprefix("ws").replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
            for url in self.addresses
            if url.startswith(("ws://", "wss://"))
        ]

    def _role_of(self, principal: Principal) -> str | None:
        role = self.roles.of(principal)
        return None if role is None else role.name

    def _make_door(self, system: System) -> Door:
        config = self.config
        pages = Pages(
            self.upkeep.ask_health,
            lambda answers: not self.is_stopping and self.upkeep.is_ready(answers),
            pages_of([system, *self.upkeep]),
            self.authentication,
            self.roles,
            config.console,
            self._public_docs,
            config.listen.path_prefix,
            folders_of(self._console, self.services),
        )
        entrance = Entrance(
            config,
            self.authentication,
            pages,
            lambda: self._refuses_all,
            self.connections.adopt,
            self.connections.refuse,
            self.connections.end,
            self.connections.refusals,
        )
        return Door(entrance)

    def check(self) -> None:
        """Check what :meth:`start` would need of files, addresses and settings. Nothing is bound, made or changed.

        Raises:
            ConfigError: something cannot be used; the message says what.
        """
        self.door.check()
        self.group.check()
        self.announcer.check()
        TokenFile(self.config.state_path).read()
        for service in self.services:
            check_service_settings(service, self.config.state_path)

    async def start(self, *, listen: bool = True, sockets: Sequence[ActivatedSocket] = ()) -> None:
        """Lock the state folder, start the services, then listen.

        Parameters:
            listen: whether to listen on the addresses in the configuration; if not, only :meth:`connect_memory` reaches
                the server.
            sockets: listening sockets that systemd has opened.

        Raises:
            ConfigError: another server uses the state folder, or an address cannot be used; the message says why and
                what to do.
            Exception: an essential service cannot start, and raises this. The services that have started are stopped.
        """
        self._loop = asyncio.get_running_loop()
        self.group.board.start()
        self.connections.start()
        if self.config.metrics.enabled:
            self.metrics.start()
        self._trimmer.start()
        for way in self._ways:
            way.on_change(self._on_way_changed)
        try:
            self._state_lock = lock_state(self.config.state_path)
            migrate_state(self.config.state_path, self.version)
            if self.config.opentelemetry.enabled:
                self._start_tracing()
            self.token_watch.start()
            self._session_keeper.start()
            self.announcer.check()
            await self.group.prepare()
            await self.upkeep.start()
            if self.config.audit.enabled:
                self._begin_audit()
            await self._caller_news.tell(is_start=True)
            self.stalls.start()  # Before, nobody is there whom the loop could keep waiting.
            if listen:
                self.door.open(sockets)
            self.group.start()
            if listen:
                self.announcer.start()
        except BaseException:
            await self.stop(grace_s=0)
            raise

    def _describe_announcement(self, interfaces: Sequence[str]) -> Record:
        """Say what the local network is told of this server."""
        return make_record(
            node_id=self.group.id,
            name=self.group.name,
            version=self.version,
            urls=self.addresses,
            public_urls=self.config.group.addresses,
            interfaces=interfaces,
            only=self.config.discovery.interfaces,
        )

    @property
    def openrpc(self) -> dict[str, Any]:
        """The OpenRPC document of all methods. It is made when it is first asked for."""
        if self._openrpc is None:
            self._openrpc = document(self.registry.offers.values(), title="rpcserver", version=self.version)
        return self._openrpc

    async def _describe_methods(self) -> dict[str, Any]:
        """Return :attr:`openrpc`, made in a thread: it takes so long that others would notice."""
        async with self._openrpc_lock:
            while self._openrpc is None:
                await asyncio.to_thread(lambda: self.openrpc)
            return self._openrpc

    async def _describe_for_all(self, names: Collection[str] | None) -> dict[str, Any]:
        """Return the OpenRPC document of some services, or of all, made in a thread, too."""
        offers = [each for each in self.registry.offers.values() if names is None or each.spec.service.name in names]
        return await asyncio.to_thread(document, offers, title="rpcserver", version=self.version)

    def _describe_services(self) -> list[ServiceCondition]:
        return [
            ServiceCondition(
                name=state.name, phase=state.phase, reason=state.reason, failures=state.failures,
                next_start_s=None if state.next_start_s is None else round(state.next_start_s, 3),
                essential=state.is_essential,
            )
            for state in self.upkeep.states
        ]  # fmt: skip

    async def _begin_service(self, service: Service[Any], lifeline: Lifeline) -> None:
        def observe(observer: Observer) -> None:
            self._observe(observer)
            lifeline.observers.append(observer)

        events = [spec.name for spec in service.methods() if spec.options.event is not None]
        await start_service(
            service,
            self.config.state_path,
            self.config.limits.message_bytes,
            observe,
            self.roles.finder(service.name),
            tuple(self.roles.views(service.name).values()),
            lifeline.fail,
            lifeline.rely_on,
            self.group.board.outlet(service.name, events),
        )

    def _observe(self, observer: Observer) -> None:
        self.dispatch.observe(observer)

    def _forget_observer(self, observer: Observer) -> None:
        self.dispatch.stop_observing(observer)

    def _admit_service(self, service: Service[Any], life: Life) -> None:
        """Offer a service whose code can be imported now. If that fails, it may be tried again."""
        new_pages, pages = pages_of([life]), self.door.entrance.pages
        pages.check_new(new_pages)
        self.roles.admit(service)
        self.registry.add(service)
        self.services.append(service)
        pages.add(new_pages)
        pages.add_folders(folders_of(self._console, [service]))
        self._openrpc = None
        self._public_docs.forget()
        if self.trail is not None:
            self.trail.learn_methods()
        self.reconsider()

    async def _welcome_service(self, service: Service[Any]) -> None:
        await self._caller_news.welcome(service)

    def _begin_audit(self) -> None:
        self.trail = trail = Trail(
            self.config.audit, self.config.audit_path, self.registry, self.dispatch, self._role_of, self.version
        )
        self.dispatch.observe_closely(trail)
        self.connections.on_authenticated = trail.note_connected
        self.connections.on_end = trail.note_disconnected
        self.door.entrance.on_page = trail.note_page
        self.door.entrance.pages.why_closed = trail.why_no_pages
        self.door.entrance.on_refusal = trail.note_refused

    def _count_waiting(self) -> dict[str, int]:
        return self.door.entrance.waiting.by_state()

    def _show_audit(self) -> str:
        return "" if self.trail is None else show_metrics(self.trail.log)

    @property
    def addresses(self) -> list[str]:
        """The addresses of the server, as URLs for clients."""
        return self.door.addresses

    def connect_memory(self, subprotocol: Subprotocol = "rpc.v1.msgpack") -> MemoryLink:
        """Make a connection without a socket, within this process, that has authenticated. Any thread may call this
        when the server has started.

        Returns:
            The client's end, which belongs to the server's loop.
        """
        return self.connections.connect_memory(subprotocol)

    # --- changed settings -----------------------------------------------------------------------------------------

    async def reload(self, settings: NewSettings) -> list[Change]:
        """Take new settings into use while calls go on, or change nothing.

        Parameters:
            settings: the settings that were read.

        Returns:
            What has changed, also of what needs a restart and stays as it was.

        Raises:
            ConfigError: something cannot be used; the message begins with its key. Nothing has changed.
        """
        parts = Parts(
            upkeep=self.upkeep,
            system=System,
            roles=self.roles,
            authentication=self.authentication,
            token_watch=self.token_watch,
            connections=self.connections,
            door=self.door,
            executor=self._executor,
            on_commit=self._use,
        )
        changes = await reload(parts, self.config, settings)
        self._caller_news.tell_soon()
        return changes

    def _use(self, config: ServerConfig) -> None:
        self.config = config
        self.upkeep.change(config.plugins)
        if self.trail is not None:
            self.trail.change(config.audit)
        self.group.change(config)

    def set_reloader(self, reloader: Callable[[], Awaitable[ReloadReport]] | None) -> None:
        """Say what the method ``rpc.reload`` calls.

        Parameters:
            reloader: reads the configuration anew, and has the server use it; ``None`` if that cannot be done.
        """
        self._system.reloader = reloader

    # --- changed rights -------------------------------------------------------------------------------------------

    def reconsider(self) -> None:
        """Ask anew who everybody is and what they may do, because tokens, other credentials or roles have changed."""
        self.connections.reconsider()
        self._caller_news.tell_soon()

    def _on_tokens_changed(self) -> None:
        if not self.is_stopping:
            self.reconsider()

    def _on_way_changed(self) -> None:
        loop = self._loop
        if loop is not None and not self.is_stopping:
            with contextlib.suppress(RuntimeError):  # Meanwhile the loop may be closed.
                loop.call_soon_threadsafe(self._on_tokens_changed)

    async def stop(self, grace_s: float | None = None, patience_s: float = STOP_TIMEOUT_S) -> None:
        """Stop listening, let running calls end, close the connections, and stop the services.

        Parameters:
            grace_s: the time for running calls, and for their answers on a slow network, in seconds; ``None`` for the
                time in the configuration.
            patience_s: the time for cancelled calls, for connections and for each service to end, in seconds.
        """
        self.is_stopping = True
        self.group.leave()
        grace_s = self.config.grace_s if grace_s is None else grace_s
        try:
            self.door.stop_accepting()
            await self.door.empty(min(grace_s, ARRIVAL_S))
            self._refuses_all = True
            self.door.close()
            led_away = self.group.drain("the server is stopping", grace_s, patience_s)
            await self.connections.close("the server is stopping", grace_s, patience_s, led_away)
            await self._caller_news.close(patience_s)
            await self.group.stop()
            await self.upkeep.stop(patience_s)
            await self.announcer.stop()
            await self.token_watch.stop()
            await self._session_keeper.stop()
            self.authentication.wrong_attempts.report()
        except (
            Exception
        ):  # Not if it was cancelled: then it is asked once more to stop, and the log goes on until then.
            await self._stop_audit(patience_s)
            raise
        await self._stop_audit(patience_s)
        self.stalls.stop()
        self.metrics.stop()
        self._trimmer.stop()
        await asyncio.to_thread(self._stop_tracing)
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._state_lock is not None:
            os.close(self._state_lock)
            self._state_lock = None

    async def _stop_audit(self, patience_s: float) -> None:
        if self.trail is not None:
            await self.trail.close(patience_s)

    def join_threads(self, timeout_s: float) -> int:
        """Wait for the threads of handlers that are plain functions, after the server has stopped.

        Parameters:
            timeout_s: the longest wait for each thread, in seconds.

        Returns:
            The number of threads that still run: nothing can stop a thread from outside.
        """
        threads = [thread for thread in threading.enumerate() if thread.name.startswith(self._threads)]
        for thread in threads:
            thread.join(timeout_s)
        return sum(thread.is_alive() for thread in threads)
