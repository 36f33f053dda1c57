"""The commands ``backup`` and ``restore``."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import click

from rpcserver.config import ConfigError, ServerConfig

from .options import config_option
from .server_user import load_as_server_user


@click.command(short_help="Write the state of the server into a file.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
def backup(file: Path, config_file: Path | None) -> None:
    """Write the state of the server into FILE, a tar, which is compressed if its name ends in .gz or .tgz. The server
    may run meanwhile. Only you may read the file: it holds tokens.

    It has the tokens, the embedded databases, the records and the output of kept programs, the audit log, and what
    other services keep; not the configuration, certificates, or databases elsewhere.
    """
    from rpcserver.backup.making import make_backup

    try:
        config = load_as_server_user(config_file)
        manifest = make_backup(config, file, version("remote-services"), _transient(config))
    except ConfigError as exc:
        _fail(exc)
    size = sum(each.size_bytes for each in manifest.members)
    click.echo(f"{file}: {len(manifest.members)} files of {config.state_path}, {size} bytes")


def _transient(config: ServerConfig) -> list[str]:
    """List what services keep in their folders only as long as they run."""
    from rpcserver.plugins.finding import BrokenPlugin, find_services

    broken_plugins: list[BrokenPlugin] = []
    classes: list[Any] = find_services(config.plugins, broken_plugins=broken_plugins)
    return [f"services/{cls.name}/{name}" for cls in classes for name in cls.transient_state]


@click.command(short_help="Put the state of a backup in place.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@config_option
@click.option("--replace", is_flag=True, help="Replace the state that is there; it is moved aside, and stays.")
def restore(file: Path, config_file: Path | None, replace: bool) -> None:
    """Put the state in FILE, which `rpcserver backup` has made, in place. The server must not run: stop it first. All
    of FILE is checked before anything changes."""
    from rpcserver.backup.restoring import restore_backup

    try:
        config = load_as_server_user(config_file)
        done = restore_backup(config, file, replace=replace)
    except ConfigError as exc:
        _fail(exc)
    manifest = done.manifest
    click.echo(f"{config.state_path}: {len(manifest.members)} files of {manifest.host}, from {manifest.made}")
    for folder in done.aside:
        click.echo(f"what was there is in {folder}: remove it when you need it no more")


def _fail(exc: ConfigError) -> NoReturn:
    click.echo(f"rpcserver: {exc}", err=True)
    sys.exit(2)
