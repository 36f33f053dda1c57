"""Reads the configuration anew when the operator asks for it, by SIGHUP or by the method ``rpc.reload``, and has the
server use it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from rpcserver.config import ConfigError
from rpcserver.layers.loading import Configuration
from rpcserver.plugins.finding import read_sections
from rpcserver.reload.reloading import NewSettings
from rpcserver.reload.report import ReloadFailed, ReloadReport, lay_out, make_report
from rpcserver.security.tokens import read_token
from rpcserver.server import Server
from rpcwire.errors import Unavailable
from rpcwire.secret import secrets_in

from .logs import LimitedHandler, set_level
from .notify import Notifier

logger = logging.getLogger("rpcserver.reload")


class Reloads:
    """Reloads a server, one reload after the other. Whoever asks while one is under way gets the next one, which reads
    everything anew; all who ask meanwhile share it. All methods belong to the thread of the event loop.

    Parameters:
        server: the server, which has started.
        read: reads the configuration, as at the start. It runs in another thread.
        log: writes the log; new secrets are hidden in it.
        notifier: tells the service manager.

    Attributes:
        fault: why the last reload has failed; empty if it has not.
    """

    def __init__(
        self, server: Server, read: Callable[[], Configuration], log: LimitedHandler, notifier: Notifier
    ) -> None:
        self._server = server
        self._read = read
        self._log = log
        self._notifier = notifier
        self._running: asyncio.Task[ReloadReport] | None = None
        self._next: asyncio.Task[ReloadReport] | None = None
        self._has_started = self._is_closed = False
        self._was_asked = False
        self.fault = ""

    def start(self) -> None:
        """Reload from now on when somebody asks, because the server has started; now, if somebody has asked before."""
        self._has_started = True
        self._server.set_reloader(self.reload)
        if self._was_asked:
            self.ask()

    def ask(self) -> None:
        """Reload soon, or when the server has started. The log says what came of it."""
        if self._has_started:
            self._begin()
        self._was_asked = True

    async def reload(self) -> ReloadReport:
        """Reload, and return what has changed.

        Raises:
            ReloadFailed: something cannot be used; nothing has changed.
            Unavailable: the server is stopping.
        """
        task = self._begin()
        if task is not None:
            await asyncio.wait([task])
            if not task.cancelled():
                return task.result()
        raise Unavailable("the server is stopping: start it with the new configuration")

    def _begin(self) -> asyncio.Task[ReloadReport] | None:
        if self._is_closed:
            return None
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._run(self._running))
            self._next.add_done_callback(_retrieve)
        return self._next

    async def _run(self, before: asyncio.Task[ReloadReport] | None) -> ReloadReport:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        self._notifier.reloading()
        try:
            report = await self._reload()
        except ConfigError as exc:
            self.fault = str(exc)
            logger.error("the configuration is not reloaded, and nothing has changed: %s", exc)  # noqa: TRY400 - an operator's
            self._notifier.status(f"not reloaded: {exc}")
            raise ReloadFailed(f"nothing has changed: {exc}") from None
        except Exception as exc:
            self.fault = f"{type(exc).__name__}: see the log"
            logger.exception("the configuration is not reloaded")
            raise
        else:
            self.fault = ""
            logger.info("reloaded: %s", "; ".join(lay_out(report)))
            return report
        finally:
            self._running = None
            self._notifier.ready()

    async def _reload(self) -> ReloadReport:
        configuration, settings = await asyncio.to_thread(self._load)
        self._log.hide([settings.token, *secrets_in([settings.config, *settings.services.values()])])
        try:
            changes = await self._server.reload(settings)
        except ConfigError as exc:
            raise configuration.explain(exc) from exc
        set_level(self._server.config.log.level)
        return make_report(changes, [str(file) for file in configuration.files])

    def _load(self) -> tuple[Configuration, NewSettings]:
        configuration = self._read()
        kinds = [type(service) for service in self._server.services]
        absent = [life.name for life in self._server.upkeep if life.service is None]
        sections = configuration.config.services
        if configuration.config.plugins != self._server.config.plugins:
            # A plugin that was added is loaded by a restart only, and its settings are checked then.
            absent += [name for name in sections if name not in {kind.name for kind in kinds}]
        try:
            services = read_sections(kinds, sections, absent)
        except ConfigError as exc:
            raise configuration.explain(exc) from exc
        config = configuration.config
        path = config.model_copy(update={"state_dir": self._server.config.state_dir}).token_path
        return configuration, NewSettings(
            config, {kind.name: each for kind, each in zip(kinds, services, strict=True)}, read_token(path)
        )

    async def close(self) -> None:
        """Reload no more, because the server stops. A reload that is under way changes nothing any more."""
        self._is_closed = True
        tasks = [task for task in (self._running, self._next) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _retrieve(task: asyncio.Task[ReloadReport]) -> None:
    """Take note of the outcome, which nobody else may ask for."""
    if not task.cancelled():
        task.exception()
