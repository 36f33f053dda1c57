"""The commands ``rpcserver config``: print, show, check and change the configuration."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click

from rpcserver.config import ConfigError, PluginsConfig
from rpcserver.layers.files import read_layer, system_file, user_file
from rpcserver.layers.loading import Configuration, load
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.security.ways import make_ways
from rpcserver.server import Server

from .options import config_option, plugin_option
from .reading import read_configuration
from .server_user import act_as_owner, become_owner

_P = ParamSpec("_P")


def _tells_errors(command: Callable[_P, None]) -> Callable[_P, None]:
    """Print a ConfigError, and exit with status 2."""

    @wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ConfigError as exc:
            click.echo(f"rpcserver: {exc}", err=True)
            sys.exit(2)

    return run


@click.group(invoke_without_command=True, short_help="Print, show, check or change the configuration.")
@plugin_option
@click.pass_context
@_tells_errors
def config(context: click.Context, files: tuple[str, ...]) -> None:
    """Print a configuration file with every key, its default and its meaning; or show, check or change the
    configuration of this machine's server.

    The server reads /etc/rpcserver/rpcserver.toml, the files of /etc/rpcserver/conf.d in the order of their names, and
    the user's own file, ~/.config/rpcserver/rpcserver.toml, as far as they exist. `--config FILE` takes their place.
    """
    if context.invoked_subcommand is None:
        from rpcserver.plugins.settings_file import render

        click.echo(render(find_services(PluginsConfig(files=files))), nl=False)


def _make_server(configuration: Configuration) -> Server:
    """Make the server of a configuration, which is not started."""
    settings = configuration.config
    try:
        services = create_services(find_services(settings.plugins), settings.services)
        return Server(settings, services, token="-" * 32, ways=make_ways(settings.auth.ways))
    except TypeError as exc:
        raise ConfigError(f"a service cannot be offered: {exc}") from exc
    except ConfigError as exc:
        raise configuration.explain(exc) from exc


def _is_secret(configuration: Configuration, server: Server, key: Sequence[str]) -> bool:
    """Whether the value of a key is hidden where settings are shown."""
    from rpcserver.layers.showing import MASK, settings

    tables: dict[Any, Any] = {("services", service.name): service.config for service in server.services}
    return any(path == tuple(key) and value == MASK for path, value in settings(configuration.config, tables))


@config.command(short_help="Show the settings in force.")
@config_option
@click.option("--origin", is_flag=True, help="Tell where each value comes from: file and line, variable, or default.")
@click.option("--changed", is_flag=True, help="Leave out what is at its default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of keys, values and origins.")
@_tells_errors
def show(config_file: Path | None, origin: bool, changed: bool, as_json: bool) -> None:
    """Show the settings in force, as TOML. Secrets are hidden. A server that runs may have read older ones."""
    from rpcserver.layers.showing import origin_of_setting, settings, write_settings

    configuration = read_configuration(config_file)
    try:
        services = create_services(find_services(configuration.config.plugins), configuration.config.services)
        ways = make_ways(configuration.config.auth.ways)
    except ConfigError as exc:
        raise configuration.explain(exc) from exc
    tables: dict[Any, Any] = {("services", service.name): service.config for service in services}
    for name, way in zip(configuration.config.auth.ways, ways, strict=True):
        tables["auth", "ways", name] = way.config
    entries = list(settings(configuration.config, tables))
    if changed:
        entries = [
            (path, value) for path, value in entries if origin_of_setting(configuration.origins, path) != "default"
        ]
    if as_json:
        rows = [
            {"key": ".".join(map(str, path)), "value": value, "origin": origin_of_setting(configuration.origins, path)}
            for path, value in entries
        ]
        click.echo(json.dumps(rows, indent=2, default=str))
        return
    for line in write_settings(entries, configuration.origins if origin else None):
        click.echo(line)


@config.command(short_help="Check the configuration as the server would at its start.")
@config_option
@click.option("--connect", is_flag=True, help="Also open each database, and what else services connect to.")
@_tells_errors
def check(config_file: Path | None, connect: bool) -> None:
    """Check the configuration as the server would at its start: every key and value, roles, certificates, and the modes
    and owners of files. It binds no address and changes nothing. The exit status is 2 if something is wrong. When
    root asks, the user to whom the state folder belongs must be able to use them."""
    configuration = read_configuration(config_file)
    become_owner(configuration.config.state_path)
    # As that user, who must be able to read all that root could.
    configuration = load(config_file, may_leave_machine_out=configuration.closed_folder is not None)
    server = _make_server(configuration)
    try:
        server.check()
        if connect:
            for service in server.services:
                failures = asyncio.run(
                    service.check_connections(configuration.config.state_path / "services" / service.name)
                )
                for name, reason in failures.items():
                    click.echo(f"rpcserver: services.{service.name}: {name}: {reason}", err=True)
                if failures:
                    sys.exit(2)
    except ConfigError as exc:
        raise configuration.explain(exc) from exc
    names = ", ".join(map(str, configuration.files)) or "no file: all is at its default"
    click.echo(f"the configuration can be used: {names}")


@config.command(short_help="Print the JSON Schema of the file, for editors.")
@plugin_option
@_tells_errors
def schema(files: tuple[str, ...]) -> None:
    """Print the JSON Schema of the configuration file. Editors complete and check it by that: with Even Better TOML or
    Taplo, write `#:schema ./rpcserver.schema.json` as the first line of the file."""
    from rpcserver.plugins.settings_schema import make_schema

    click.echo(json.dumps(make_schema(find_services(PluginsConfig(files=files))), indent=2))


@config.command("set", short_help="Set a key in a file.")
@config_option
@click.argument("pairs", metavar="KEY VALUE [KEY VALUE]...", nargs=-1, required=True)
@_tells_errors
def set_keys(config_file: Path | None, pairs: tuple[str, ...]) -> None:
    """Set KEY, such as listen.port, to VALUE in the configuration file; comments and everything else stay. Keys that
    need each other, such as tls.certificate_file and tls.key_file, are set together.

    Without --config it is /etc/rpcserver/rpcserver.toml for root, and ~/.config/rpcserver/rpcserver.toml for others.
    VALUE is TOML (5, true, ["a", "b"]), a word, or - for a line of standard input: others can read the words of a
    command, which must have no secret. The file changes only if the configuration can be used afterwards.
    """
    from rpcserver.layers.editing import read_value

    if len(pairs) % 2:
        raise ConfigError(f"{pairs[-1][:80]}: it has no value: give a value for each key")
    words = dict(zip(pairs[::2], pairs[1::2], strict=True))
    values = {key: _read_line() if word == "-" else read_value(word) for key, word in words.items()}
    _edit(config_file, values, keys_to_show={key for key, word in words.items() if word != "-"})


def _read_line() -> str:
    return sys.stdin.readline().rstrip("\r\n")


@config.command("unset", short_help="Remove a key from a file.")
@config_option
@click.argument("key")
@_tells_errors
def unset_key(config_file: Path | None, key: str) -> None:
    """Remove KEY from the configuration file, so that its default, or an earlier file, counts again."""
    _edit(config_file, {key: None})


def _edit(config_file: Path | None, values: Mapping[str, Any], keys_to_show: Collection[str] = ()) -> None:
    """Change the file, if the whole configuration can be used with it.

    Parameters:
        config_file: the file; ``None`` for the usual one of this user.
        values: the new values by their keys; ``None`` removes a key.
        keys_to_show: the keys whose values were words of the command.
    """
    from rpcserver.layers.editing import change, read_key, replace_file

    file = config_file or (system_file() if os.geteuid() == 0 else user_file())
    exists = file.exists()
    if exists:
        read_layer(file)  # Only a file that this user may trust is changed.
    text = file.read_text(encoding="utf-8") if exists else ""
    for key, value in values.items():
        text = change(text, read_key(key), value)
    configuration = read_configuration(config_file, new_texts={file: text})
    try:
        with act_as_owner(configuration.config.state_path):
            server = _make_server(configuration)
            server.check()
    except ConfigError as exc:
        raise configuration.explain(exc) from exc
    replace_file(file, text)
    for key in keys_to_show:
        if _is_secret(configuration, server, read_key(key)):
            click.echo(
                f"rpcserver: {key} is a secret, and others could read it in this command, in the list of processes: "
                "the next time, give - and write the value to standard input",
                err=True,
            )
    done = ", ".join(f"{key} {'is removed' if value is None else 'is set'}" for key, value in values.items())
    click.echo(f"{file}: {done}; a running server takes it by `rpcserver reload`, which says what needs a restart")
    for key in values:
        for path, origin in _find_other_origins(configuration.origins, tuple(read_key(key)), file):
            click.echo(
                f"rpcserver: {'.'.join(map(str, path))}: {origin} goes before {file}: the value there is in force",
                err=True,
            )


def _find_other_origins(origins: Mapping[Any, str], key: tuple[str, ...], file: Path) -> list[tuple[Any, str]]:
    """Return the values at a key, or within a table at it, that another place than the file has set, with the place."""
    return [
        (path, origin)
        for path, origin in origins.items()
        if (path[: len(key)] == key or key[: len(path)] == path) and not origin.startswith(f"{file}:")
    ]
