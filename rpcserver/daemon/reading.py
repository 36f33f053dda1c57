"""Reads the configuration for a command of a person, and says what it has left out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from rpcserver.layers.loading import Configuration, load


def read_configuration(
    config_file: Path | None,
    overrides: Mapping[str, Any] | None = None,
    *,
    new_texts: Mapping[Path, str] | None = None,
) -> Configuration:
    """Read the configuration. Standard error says so if that of the machine is closed to this user.

    Parameters:
        config_file, overrides, new_texts: as of :func:`~rpcserver.layers.loading.load`.

    Raises:
        ConfigError: as of that.
    """
    configuration = load(config_file, overrides, new_texts=new_texts)
    if configuration.notice:
        click.echo(f"rpcserver: {configuration.notice}", err=True)
    return configuration
