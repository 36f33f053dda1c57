"""Keeps services running: one that cannot start, or that fails, is started again after a pause, and again.

Meanwhile its methods answer ``Unavailable``. Each start has an object of its own, so that nothing of an earlier one is
left in it. A service whose code cannot even be imported has no object: all names below its own answer ``Unavailable``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from rpcserver.config import ConfigError, PluginsConfig
from rpcserver.health import TIMEOUT_S, ask_health
from rpcwire.errors import RpcError, Unavailable
from rpcwire.outcomes import Observer
from rpcwire.registry import Registry
from rpcwire.service import BackgroundTask, Health, Page, Service

from .finding import BrokenPlugin, PluginImportError
from .pauses import pause_s
from .running import stop_service

logger = logging.getLogger("rpcserver")

STOP_TIMEOUT_S = 5.0
"""How long a service that has failed may take to stop, in seconds."""

CHECKS = 4
"""How often a service is asked for its health within the time for which it may be unwell."""

Phase = Literal["starting", "running", "down", "stopped"]
"""What a service does. One that is ``down`` is started again later."""


def reason_of(exc: BaseException) -> str:
    """Say why a service has failed, for callers: nothing of it is a path or a secret. The log has the rest."""
    if isinstance(exc, RpcError):
        return exc.message
    if isinstance(exc, PluginImportError) and exc.__cause__ is not None:
        return reason_of(exc.__cause__)
    if isinstance(exc, ConfigError):
        return "its configuration cannot be used"
    if isinstance(exc, ImportError) and exc.name:
        return f"the Python module {exc.name} cannot be imported"
    if isinstance(exc, OSError) and exc.strerror:
        return f"{type(exc).__name__}: {exc.strerror}"
    return type(exc).__name__


class StartTimeout(RpcError):
    """The start of a service has taken too long."""


class Lifeline:
    """What one start of a service has of the server, until it ends.

    Parameters:
        on_failure: called once if the service fails, in the thread of the event loop, with the reason and the
            exception, if there is one.
    """

    def __init__(self, on_failure: Callable[[str, BaseException | None], None]) -> None:
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._tasks: set[BackgroundTask] = set()
        self.observers: list[Observer] = []
        self.is_over = False

    def fail(self, reason: str) -> None:
        """Say that the service cannot go on: :attr:`~rpcwire.service.ServiceRuntime.fail`."""
        with contextlib.suppress(RuntimeError):  # Meanwhile the loop may be closed.
            self._loop.call_soon_threadsafe(self._tell, reason, None)

    def rely_on(self, task: BackgroundTask) -> None:
        """Count an exception of a task as a failure: :attr:`~rpcwire.service.ServiceRuntime.rely_on`."""
        self._tasks.add(task)
        task.add_done_callback(self._on_end)

    def _on_end(self, task: BackgroundTask) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._tell(f"a task of it has ended: {reason_of(exc)}", exc)

    def _tell(self, reason: str, exc: BaseException | None) -> None:
        if not self.is_over:
            self.is_over = True
            self._on_failure(reason, exc)

    def cut(self) -> None:
        """Cancel the tasks that are left. Failures count no more."""
        self.is_over = True
        for task in list(self._tasks):
            task.cancel()


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How a service is.

    Attributes:
        name: its name.
        phase: what it does.
        reason: why it is not running, in words that callers may read; empty if it runs.
        failures: how often it has failed since the server started.
        next_start_s: the time until it is started again, in seconds; ``None`` if that is not planned.
        is_essential: whether the server is ready only with it.
    """

    name: str
    phase: Phase
    reason: str
    failures: int
    next_start_s: float | None
    is_essential: bool


class Life:
    """One service over all its starts.

    Parameters:
        name: its name.
        service: its object, which is not started; ``None`` if its code cannot be imported.
        plugin: loads its code, if it cannot be imported yet.

    Attributes:
        is_essential: whether the server is ready only with it.
        phase: what it does.
        reason: why it is down.
        failures: how often it has failed.
        recent_failures: how often it has failed without a longer success.
        started_s: when it last started, on the clock of :func:`time.monotonic`.
        down_s: when it went down, on that clock.
        chance: a random number between 0 and 1, from which its pause is made.
        next_start: when it is started again, on that clock; ``None`` if that is not planned.
        wake: set when that time has changed.
        start_limit: ends a start that takes too long; ``None`` if none is under way.
        start_began: when that start began, on the clock of the event loop.
        is_fresh: whether its object has never been started.
        lifeline: what it has of the server; ``None`` if it does not run.
    """

    def __init__(self, name: str, service: Service[Any] | None, plugin: BrokenPlugin | None) -> None:
        self.name = name
        self.service = service
        self.plugin = plugin
        self.is_essential = False
        self.phase: Phase = "stopped"
        self.reason = "" if plugin is None else reason_of(plugin.error)
        self.failures = 0
        self.recent_failures = 0
        self.started_s = 0.0
        self.down_s = 0.0
        self.chance = 0.5
        self.next_start: float | None = None
        self.wake = asyncio.Event()
        self.start_limit: asyncio.Timeout | None = None
        self.start_began = 0.0
        self.is_fresh = True
        self.lifeline: Lifeline | None = None

    @property
    def state(self) -> ServiceState:
        """How the service is."""
        wait_s = None if self.next_start is None else max(self.next_start - time.monotonic(), 0.0)
        reason = "" if self.phase == "running" else self.reason
        return ServiceState(self.name, self.phase, reason, self.failures, wait_s, self.is_essential)

    def error(self, usual_wait_s: float) -> Unavailable:
        """Make the answer to calls while the service is not running.

        Parameters:
            usual_wait_s: the time after which to call again if no start is planned, in seconds.
        """
        wait_s = usual_wait_s if self.next_start is None else max(self.next_start - time.monotonic(), 0.0)
        why = f": {self.reason}" if self.reason else ""
        return Unavailable(
            f"the service {self.name} is not running{why}. The server starts it again; its log says more",
            executed="no",
            retry_after_ms=round(wait_s * 1000) + 1,
        )

    def http_pages(self) -> Mapping[str, Page]:
        """Return the pages of the service. They are made by the object that runs when they are asked for."""
        pages = {} if self.service is None else self.service.http_pages()
        return {path: replace(page, render=partial(self._render, path)) for path, page in pages.items()}

    async def _render(self, path: str) -> str:
        if self.phase != "running" or self.service is None:
            raise self.error(1.0)
        return await self.service.http_pages()[path].render()


@dataclass(frozen=True, slots=True)
class Host:
    """What the upkeep needs of the server.

    Attributes:
        begin: starts an object of a service. It raises ``ConfigError`` if the service cannot work with its settings,
            and any exception if it cannot start.
        observe: calls an observer with the outcome of each call, after those that it calls already.
        forget_observer: calls an observer of calls no more.
        admit: offers a service whose code could not be imported when the server was made, and the pages of its life. It
            raises ``ConfigError`` or ``TypeError`` if that cannot be; it may be called again then.
        welcome: tells a service that has started again who has which role.
    """

    begin: Callable[[Service[Any], Lifeline], Awaitable[None]]
    observe: Callable[[Observer], None]
    forget_observer: Callable[[Observer], None]
    admit: Callable[[Service[Any], Life], None]
    welcome: Callable[[Service[Any]], Awaitable[None]]


async def _end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks that have not ended, and wait for their ends. What came of the others is of no interest any more."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()  # It does nothing to one that has ended.
    await asyncio.gather(*tasks, return_exceptions=True)


class Upkeep:
    """Starts services, and starts again those that fail. All methods belong to the event loop's thread.

    Parameters:
        services: the objects of the services. When one is made again, it replaces the other one here.
        broken_plugins: the services whose code cannot be imported.
        settings: the settings of plugins.
        registry: the methods of the server.
        host: the server.

    Raises:
        ConfigError: a service that is named as essential is not offered.

    Attributes:
        running: the objects of the services that run: in the order of the services those that have started with the
            server, then the others in the order of their starts.
    """

    def __init__(
        self,
        services: list[Service[Any]],
        broken_plugins: Iterable[BrokenPlugin],
        settings: PluginsConfig,
        registry: Registry,
        host: Host,
    ) -> None:
        self._services = services
        self._settings = settings
        self._registry = registry
        self._host = host
        self.running: list[Service[Any]] = []
        self._lives = {each.name: Life(each.name, each, None) for each in services}
        for plugin in broken_plugins:
            self._lives.setdefault(plugin.name, Life(plugin.name, None, plugin))
        self.check(settings)
        self._note_essential()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retirements: set[asyncio.Task[None]] = set()
        self._is_closing = False

    def __iter__(self) -> Iterator[Life]:
        return iter(self._lives.values())

    def check(self, settings: PluginsConfig) -> None:
        """Check that the services are offered that settings name as essential.

        Parameters:
            settings: the settings of plugins.

        Raises:
            ConfigError: one is not.
        """
        self.check_names("plugins.essential", settings.essential)

    def check_names(self, key: str, names: Iterable[str], besides: Collection[str] = ()) -> None:
        """Check that services are offered that a setting names.

        Parameters:
            key: the setting.
            names: the names of the services.
            besides: what else the setting may name.

        Raises:
            ConfigError: one is not offered.
        """
        for name in names:
            if name not in self._lives and name not in besides:
                there = ", ".join([*self._lives, *besides]) or "none"
                raise ConfigError(f"{key}: no service {name[:100]!r} is offered; there are: {there}")

    def change(self, settings: PluginsConfig) -> None:
        """Use other settings from now on: also for services that are down, and for a start that is under way.

        Parameters:
            settings: the settings, which :meth:`check` has accepted. The same services are offered.
        """
        before, self._settings = self._settings.restart, settings
        self._note_essential()
        if settings.restart == before:
            return
        for life in self:
            if life.next_start is not None:
                life.next_start = life.down_s + self._pause_s(life)
                life.wake.set()
            elif life.start_limit is not None and not life.start_limit.expired():
                life.start_limit.reschedule(life.start_began + settings.restart.start_s)

    def _note_essential(self) -> None:
        for life in self:
            life.is_essential = life.name in self._settings.essential

    def _pause_s(self, life: Life) -> float:
        restart = self._settings.restart
        return pause_s(life.recent_failures, restart.first_s, restart.most_s, life.chance)

    @property
    def states(self) -> list[ServiceState]:
        """How all services are."""
        return [life.state for life in self]

    def why_absent(self, method: str) -> Unavailable | None:
        """Return the answer to a call of a method that is not there because its service's code cannot be imported;
        ``None`` if there is no such service.

        Parameters:
            method: the full name.
        """
        life = self._lives.get(method.partition(".")[0])
        return None if life is None or life.plugin is None else life.error(self._settings.restart.first_s)

    async def ask_health(self, timeout_s: float) -> dict[str, tuple[Health, bool]]:
        """Ask all services whether they can work.

        Parameters:
            timeout_s: how long one may take, in seconds.

        Returns:
            By the name of each: its health, and whether it has answered at all. One that does not run is not asked: the
            server answers for it.
        """
        answers = await asyncio.gather(*(self._ask(life, timeout_s) for life in self))
        return dict(zip(self._lives, answers, strict=True))

    async def _ask(self, life: Life, timeout_s: float) -> tuple[Health, bool]:
        if life.phase == "running" and life.service is not None:
            return await ask_health(life.service, timeout_s)
        return Health(ok=False, reason=f"not running: {life.reason}" if life.reason else "not running"), True

    def is_ready(self, answers: Mapping[str, tuple[Health, bool]]) -> bool:
        """Return whether the server can do its work: with the essential services, or with all if none is named.

        Parameters:
            answers: what :meth:`ask_health` has returned.
        """
        names = self._settings.essential or answers
        return all(answers[name][0].ok for name in names)

    # --- starting -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start all services at the same time, so that one that takes long delays the server no more than it must.

        Nothing else depends on which of them is ready first: failures are noted in the order of the services, observers
        are called in that order, and the services are stopped in the reverse one.

        Raises:
            ConfigError: a service cannot work with its settings.
            Exception: an essential service cannot start, and raises this. Those that have started go on; the others
                are ended, as they are if this is cancelled.
        """
        begin = asyncio.get_running_loop().create_task
        starts = {life.name: begin(self._start(life)) for life in self if life.plugin is None}
        try:
            for life in self:
                if life.plugin is None:
                    await self._take_start(life, starts[life.name])
                elif life.is_essential:
                    raise life.plugin.error
                else:
                    self._go_down(life, life.reason, life.plugin.error)
        finally:
            await _end_tasks(starts.values())
            self._put_in_order()

    async def _take_start(self, life: Life, start: asyncio.Task[None]) -> None:
        try:
            await start
        except ConfigError:
            raise
        except Exception as exc:
            if life.is_essential:
                raise
            self._go_down(life, reason_of(exc), exc)

    def _put_in_order(self) -> None:
        """Put what the services have added to the server into the order of the services."""
        places = {name: place for place, name in enumerate(self._lives)}
        self.running.sort(key=lambda service: places[service.name])
        for service in self.running:
            lifeline = self._lives[service.name].lifeline
            for observer in [] if lifeline is None else lifeline.observers:
                self._host.forget_observer(observer)
                self._host.observe(observer)

    async def _start(self, life: Life) -> None:
        """Start a service, by a new object if its object has been started before.

        Raises:
            Exception: it cannot start. What it has begun is ended.
        """
        life.phase, life.next_start = "starting", None
        service = life.service
        if service is None:
            service = self._load(life)
        elif not life.is_fresh:
            service = self._make_again(life, service)
        life.is_fresh = False
        failure: list[tuple[str, BaseException | None]] = []

        def on_failure(reason: str, exc: BaseException | None) -> None:
            if life.lifeline is lifeline:
                self._fail(life, reason, exc)
            else:  # It has not even started.
                failure.append((reason, exc))

        lifeline = Lifeline(on_failure)
        life.start_began = asyncio.get_running_loop().time()
        life.start_limit = limit = asyncio.timeout_at(life.start_began + self._settings.restart.start_s)
        try:
            try:
                async with limit:
                    await self._host.begin(service, lifeline)
            finally:
                life.start_limit = None
            if failure:
                reason, exc = failure[0]
                raise Unavailable(reason) from exc
        except BaseException as exc:
            lifeline.is_over = True
            await self._clean_up(service, lifeline)
            if isinstance(exc, TimeoutError) and limit.expired():
                raise StartTimeout(f"it did not start within {self._settings.restart.start_s:g} s") from exc
            raise
        life.lifeline, life.phase, life.started_s = lifeline, "running", time.monotonic()
        self.running.append(service)
        if service.restart_unwell_s is not None:
            self._do(self._watch(life, lifeline, service, service.restart_unwell_s), self._tasks)

    async def warm_up(self) -> None:
        """Have the services load what calls need, one after another. Call this when the server takes calls."""
        for service in self.running.copy():
            await self._warm_up(service)

    async def _warm_up(self, service: Service[Any]) -> None:
        try:
            await service.warm_up()
        except Exception:
            logger.exception("the service %s could not warm up", service.name)

    def _load(self, life: Life) -> Service[Any]:
        """Import the code of a service that could not be imported before."""
        assert life.plugin is not None
        service = life.plugin.make()
        if service.name != life.name:
            raise ConfigError(f"the plugin {life.name} has a service {service.name!r}: start the server again")
        life.service = service
        try:
            self._host.admit(service, life)
        except BaseException:
            life.service = None
            raise
        life.plugin = None
        self._refuse_calls(life, service)
        return service

    def _make_again(self, life: Life, before: Service[Any]) -> Service[Any]:
        service = before.make_again()
        self._services[self._services.index(before)] = service
        life.service = service
        self._refuse_calls(life, service)
        return service

    def _refuse_calls(self, life: Life, service: Service[Any]) -> None:
        def refuse(_principal: object, _arguments: object) -> None:
            raise life.error(self._settings.restart.first_s)

        self._registry.offer_again(service, refuse)

    async def _clean_up(self, service: Service[Any], lifeline: Lifeline) -> None:
        """End what a service has begun whose start has failed. It may not have come far, so that this may fail, too."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await service.stop()
        except Exception as exc:
            logger.debug("the service %s, which has not started, cannot be stopped", service.name, exc_info=exc)
        self._cut(lifeline)

    def _cut(self, lifeline: Lifeline) -> None:
        lifeline.cut()
        for observer in lifeline.observers:
            self._host.forget_observer(observer)

    # --- failures ---------------------------------------------------------------------------------------------------

    def _fail(self, life: Life, reason: str, exc: BaseException | None) -> None:
        """Take a running service out of service, because it cannot go on."""
        service, lifeline = life.service, life.lifeline
        assert service is not None
        assert lifeline is not None
        lifeline.is_over = True
        self.running.remove(service)
        life.lifeline, life.phase = None, "down"
        life.reason = reason
        if time.monotonic() - life.started_s >= self._settings.restart.steady_s:
            life.recent_failures = 0
        self._refuse_calls(life, service)
        self._do(self._retire(life, service, lifeline, exc), self._retirements)

    async def _retire(self, life: Life, service: Service[Any], lifeline: Lifeline, exc: BaseException | None) -> None:
        await stop_service(service, STOP_TIMEOUT_S)
        self._cut(lifeline)
        self._go_down(life, life.reason, exc)

    def _go_down(self, life: Life, reason: str, exc: BaseException | None) -> None:
        """Plan another start of a service that does not run, and log why."""
        life.phase = "down"
        is_news = not life.recent_failures or life.reason != reason
        life.reason = reason
        life.failures += 1
        life.recent_failures += 1
        if life.service is not None:
            self._refuse_calls(life, life.service)
        if self._is_closing:
            return
        life.chance = random.random()  # noqa: S311 - it only spreads the starts
        life.down_s = time.monotonic()
        wait_s = self._pause_s(life)
        life.next_start = life.down_s + wait_s
        text = "the service %s is down: %s; it is started again in %.3g s"
        if is_news:
            logger.error(text, life.name, reason, wait_s, exc_info=exc)
        else:
            logger.warning(text, life.name, reason, wait_s)
        self._do(self._start_later(life), self._tasks)

    async def _start_later(self, life: Life) -> None:
        while life.next_start is not None and (wait_s := life.next_start - time.monotonic()) > 0:
            life.wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await life.wake.wait()
        try:
            await self._start(life)
        except Exception as exc:
            self._go_down(life, reason_of(exc), exc)
            return
        lifeline, service = life.lifeline, life.service
        assert service is not None
        await self._host.welcome(service)
        if life.lifeline is lifeline:  # Else it has failed meanwhile.
            self._registry.offer_again(service)
            logger.info("the service %s runs", life.name)
            await self._warm_up(service)

    async def _watch(self, life: Life, lifeline: Lifeline, service: Service[Any], limit_s: float) -> None:
        """Count it as a failure if a service is unwell for too long."""
        well = time.monotonic()
        interval_s = limit_s / CHECKS
        while not lifeline.is_over:
            await asyncio.sleep(interval_s)
            health, _ = await ask_health(service, min(TIMEOUT_S, limit_s))
            if health.ok:
                well = time.monotonic()
            elif time.monotonic() - well >= limit_s and life.lifeline is lifeline:
                self._fail(life, f"it was unwell for {limit_s:g} s: {health.reason}", None)

    def _do(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def stop(self, patience_s: float) -> None:
        """Stop all services that run, the last one first. None is started again.

        Parameters:
            patience_s: how long each may take, in seconds.
        """
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
        if tasks := self._tasks | self._retirements:
            await asyncio.wait(tasks, timeout=patience_s)
        for service in reversed(self.running.copy()):
            life = self._lives[service.name]
            if life.lifeline is not None:
                life.lifeline.is_over = True
            await stop_service(service, patience_s)
            self.running.remove(service)
            if life.lifeline is not None:
                self._cut(life.lifeline)
            life.lifeline, life.phase = None, "stopped"
