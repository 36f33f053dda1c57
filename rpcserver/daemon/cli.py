"""The command line of the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rpcserver.config import ConfigError, PluginsConfig, ServerConfig
from rpcserver.door.activation import ActivatedSocket, take_sockets
from rpcserver.hardening import protect_memory
from rpcserver.layers.loading import Configuration, load
from rpcserver.plugins.finding import BrokenPlugin, create_services, find_installed, find_services
from rpcserver.security.tokens import load_token
from rpcserver.security.ways import make_ways
from rpcserver.server import STOP_TIMEOUT_S, Server
from rpcwire.secret import secrets_in

from . import console, limits, requests, status
from .audit import audit
from .backup import backup, restore
from .completion import completion
from .config import config
from .early_reload import was_asked
from .installation import install, uninstall
from .logs import REPORT_S, LimitedHandler, set_up
from .notify import Notifier
from .options import config_option, plugin_option
from .permissions import permissions
from .reload import reload
from .reloads import Reloads
from .server_user import refuse_to_serve_for_another
from .sessions import session
from .supervision import supervise
from .tokens import token

if TYPE_CHECKING:
    from rpcwire.service import Service

logger = logging.getLogger("rpcserver")

HASTE_S = 1.0
"""How long calls and services may take to end after a second signal, in seconds."""

BARRIER_S = 1.0
"""How long the end waits for systemd to hear the last words, in seconds."""

THREAD_TIMEOUT_S = 1.0
"""How long a handler's thread may go on after the server has stopped, in seconds."""

CLOSE_TIMEOUT_S = 3.0
"""How long tasks that were cancelled may go on after the server has stopped, in seconds."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="remote-services")
def main() -> None:
    """Offer the services of this computer to clients on other computers."""


main.add_command(permissions)
main.add_command(token)
main.add_command(session)
main.add_command(audit)
main.add_command(config)
main.add_command(backup)
main.add_command(restore)
main.add_command(completion)
main.add_command(install)
main.add_command(uninstall)
main.add_command(reload)


@main.command()
@click.option("--host", help="Address to listen on; 127.0.0.1 by default.")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port; 8765 by default, 0 chooses a free one.")
@click.option("--unix", metavar="PATH", help='Path of the Unix socket; "none" for no Unix socket.')
@config_option
@click.option("--token-file", type=click.Path(path_type=Path), help="File with the token; made if it is missing.")
@plugin_option
@click.option(
    "--group",
    metavar="URL",
    help='Broker of the group to join, such as tls://HOST:4222; "embedded" to bring one.',
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]),
    help="Least severe level to log; INFO by default.",
)
def serve(
    host: str | None,
    port: int | None,
    unix: str | None,
    config_file: Path | None,
    token_file: Path | None,
    files: tuple[str, ...],
    group: str | None,
    log_level: str | None,
) -> None:
    """Run the server until SIGTERM or SIGINT stops it."""
    listen = {"host": host, "port": port, "unix": unix}
    overrides: dict[str, Any] = {
        "listen": {key: value for key, value in listen.items() if value is not None},
        "auth": {"token_file": str(token_file)} if token_file is not None else {},
        "log": {"level": log_level} if log_level is not None else {},
        "plugins": {"files": files} if files else {},
        "group": {"url": group} if group is not None else {},
    }
    set_keys = {key: value for key, value in overrides.items() if value}
    configuration = None
    try:
        configuration = load(config_file, set_keys)
        log = set_up(configuration.config.log.level, configuration.config.log.form)
        if configuration.notice:
            logger.warning("%s", configuration.notice)
        refuse_to_serve_for_another(configuration.config.state_path)
        protect_memory()
        sys.exit(run(configuration.config, log, _make_reader(configuration, config_file, set_keys)))
    except ConfigError as exc:
        exc = exc if configuration is None else configuration.explain(exc)
        click.echo(f"rpcserver: {exc}", err=True)
        sys.exit(2)


def _make_reader(
    configuration: Configuration, config_file: Path | None, set_keys: Mapping[str, Any]
) -> Callable[[], Configuration]:
    """Return what reads the configuration anew, as it was read before: the machine's files count as long as they did,
    and are not left out because somebody has closed their folder meanwhile."""
    may_leave_machine_out = configuration.closed_folder is not None
    return lambda: load(config_file, set_keys, may_leave_machine_out=may_leave_machine_out)


def run(config: ServerConfig, log: LimitedHandler, read: Callable[[], Configuration]) -> int:
    """Run a server until a signal ends it.

    Parameters:
        config: the configuration.
        log: writes the log.
        read: reads the configuration anew, for a reload.

    Returns:
        The exit status.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    broken_plugins: list[BrokenPlugin] = []
    classes = find_services(config.plugins, config.services, broken_plugins)
    services = create_services(classes, config.services, [plugin.name for plugin in broken_plugins])
    ways = make_ways(config.auth.ways)
    owner_token = load_token(config.token_path)
    settings = [config, *(service.config for service in services), *(way.config for way in ways)]
    log.hide([owner_token, *secrets_in(settings)])
    try:
        server = Server(config, services, token=owner_token, ways=ways, broken_plugins=broken_plugins)
    except TypeError as exc:
        raise ConfigError(f"a service cannot be offered: {exc}") from exc
    try:
        import uvloop
    except ImportError:
        factory = None
    else:
        factory = uvloop.new_event_loop
    notifier, sockets = Notifier(os.environ), take_sockets(os.environ)
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            status = runner.run(_serve(server, Reloads(server, read, log, notifier), log, notifier, sockets))
        finally:
            log.report()
        _leave_stuck_threads(server, status)  # Closing the loop would wait for them, too.
        leave = threading.Timer(CLOSE_TIMEOUT_S, _leave, (status, "tasks that were cancelled"))
        leave.daemon = True
        leave.start()
    leave.cancel()
    return status


def _leave_stuck_threads(server: Server, status: int) -> None:
    """Exit even if handlers that are plain functions do not end: Python itself would wait for their threads."""
    count = server.join_threads(THREAD_TIMEOUT_S)
    if count:
        _leave(status, f"{count} handlers")


def _leave(status: int, what: str) -> None:
    """Exit although something does not end, such as a statement that a database's library cannot interrupt."""
    logger.error("exiting although %s do not end", what)
    logging.shutdown()
    os._exit(status)


async def _serve(
    server: Server,
    reloads: Reloads,
    log: LimitedHandler,
    notifier: Notifier,
    sockets: Sequence[ActivatedSocket] = (),
) -> int:
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[str] = loop.create_future()
    second_signal = asyncio.Event()

    def on_signal(name: str) -> None:
        if stop.done():
            second_signal.set()
        else:
            stop.set_result(name)

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, on_signal, signum.name)
    loop.add_signal_handler(signal.SIGHUP, reloads.ask)
    if was_asked():
        reloads.ask()
    reports = asyncio.ensure_future(_report(log))
    try:
        return await _live(server, reloads, stop, second_signal, notifier, sockets)
    finally:
        reports.cancel()
        notifier.wait_until_heard(BARRIER_S)
        notifier.close()


async def _warm_up(server: Server) -> None:
    """Load what calls need, now that the server takes them."""
    await server.upkeep.warm_up()
    # All objects that exist now stay. So the garbage collector need not look at them when it runs for a large result.
    gc.collect()
    gc.freeze()


async def _report(log: LimitedHandler) -> None:
    """Have the log say from time to time what it has left out."""
    while True:
        await asyncio.sleep(REPORT_S)
        log.report()


async def _live(
    server: Server,
    reloads: Reloads,
    stop: asyncio.Future[str],
    second_signal: asyncio.Event,
    notifier: Notifier,
    sockets: Sequence[ActivatedSocket],
) -> int:
    """Start a server, wait for the signal to stop, and stop it.

    Parameters:
        server: the server.
        reloads: reloads the server when it runs.
        stop: gets the name of the first signal.
        second_signal: is set by the second one.
        notifier: tells the service manager.
        sockets: listening sockets that systemd has opened.

    Returns:
        The exit status.
    """
    if (status := await _start(server, stop, sockets)) is not None:
        return status
    for address in server.addresses:
        click.echo(f"rpcserver: listening on {address}")
    notifier.ready()
    reloads.start()
    warming = asyncio.ensure_future(_warm_up(server))
    supervision = asyncio.ensure_future(supervise(server, reloads, notifier)) if notifier.is_active else None
    name = await stop
    server.set_reloader(None)
    await reloads.close()
    warming.cancel()
    if supervision is not None:
        supervision.cancel()
    notifier.stopping(server.config.grace_s + STOP_TIMEOUT_S * (2 + len(server.services)))
    logger.info("%s: stopping; running calls have %g s", name, server.config.grace_s)
    status = await _stop(server, second_signal)
    logger.info("stopped")
    return status


async def _start(server: Server, stop: asyncio.Future[str], sockets: Sequence[ActivatedSocket]) -> int | None:
    """Start a server, unless the signal to stop comes before it has started.

    Parameters:
        server, stop, sockets: as of :func:`_live`.

    Returns:
        The exit status if it does not run; ``None`` if it does.
    """
    start = asyncio.ensure_future(server.start(sockets=sockets))
    first: list[asyncio.Future[Any]] = [start, stop]
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    if not start.done():
        logger.info("%s before the server had started", stop.result())
        start.cancel()
        await asyncio.wait([start])
        return 0
    try:
        await start
    except ConfigError:
        raise
    except Exception as exc:
        logger.critical("the server cannot start: %s: %s", type(exc).__name__, exc, exc_info=exc)
        return 1
    return None


async def _stop(server: Server, second_signal: asyncio.Event) -> int:
    """Stop a server; at once, when a second signal comes.

    Returns:
        The exit status.
    """
    shutdown = asyncio.ensure_future(server.stop())
    again = asyncio.ensure_future(second_signal.wait())
    await asyncio.wait([shutdown, again], return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    if shutdown.done():
        if (failure := shutdown.exception()) is None:
            return 0
        logger.critical("the server has not stopped as it should", exc_info=failure)
        return 1
    logger.warning("asked again: stopping at once")
    shutdown.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await shutdown
    await server.stop(grace_s=0, patience_s=HASTE_S)
    return 0


main.add_command(console.command, "console")
main.add_command(limits.command, "limits")
main.add_command(status.command, "status")
main.add_command(requests.command, "requests")


@main.command()
def plugins() -> None:
    """List the installed service plugins."""
    for name, point in find_installed().items():
        where = point.dist.name if point.dist is not None else "?"
        click.echo(f"{name}\t{point.value}\t{where}")


@main.command()
@click.argument("services", metavar="[SERVICE]...", nargs=-1)
@click.option(
    "--language",
    type=click.Choice(["python", "typescript"]),
    default="python",
    show_default=True,
    help="Language of the stub.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="File to write to, standard output by default; for several services a folder.",
)
@plugin_option
def stubs(services: tuple[str, ...], language: str, output: Path | None, files: tuple[str, ...]) -> None:
    """Write typed client stubs for each SERVICE, which is installed or in a FILE; for all services if none is named."""
    from rpcserver.plugins.stubgen import StubError, generate
    from rpcserver.plugins.typescript import generate_typescript

    try:
        classes = _find_stubbed(services, files)
        write = generate if language == "python" else generate_typescript
        texts = {name: write(service) for name, service in classes.items()}
        if len(services) != 1 and output is None:
            raise ConfigError("--output: name a folder for the stubs of several services")
    except (ConfigError, StubError, TypeError) as exc:
        click.echo(f"rpcserver: {exc}", err=True)
        sys.exit(2)
    if len(services) == 1:
        (text,) = texts.values()
        if output is None:
            click.echo(text, nl=False)
        else:
            output.write_text(text, encoding="utf-8")
        return
    assert output is not None
    output.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (output / f"{name}.{'py' if language == 'python' else 'ts'}").write_text(text, encoding="utf-8")


def _find_stubbed(services: tuple[str, ...], files: tuple[str, ...]) -> dict[str, type[Service[Any]]]:
    """Find the services to write stubs for.

    Parameters:
        services: their names; all that are installed or in ``files`` where empty.
        files: files with services.

    Raises:
        ConfigError: one of them is not there.
    """
    points = find_installed()
    enabled = tuple(name for name in services if name in points) if services else tuple(points)
    config = PluginsConfig(enabled=enabled, disabled=() if enabled else tuple(points), files=files)
    classes = {cls.name: cls for cls in find_services(config)}
    for service in services:
        if service not in classes:
            names = ", ".join(sorted({*points, *classes}))
            raise ConfigError(f"no service {service!r} is installed: name one of {names}, or its file with --plugin")
    return {name: classes[name] for name in services or classes}
