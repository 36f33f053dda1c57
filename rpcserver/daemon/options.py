"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    envvar="RPCSERVER_CONFIG",
    help="Configuration file (TOML) of the server; else the one that RPCSERVER_CONFIG names.",
)
"""The option ``--config``, which commands get as ``config_file``."""
