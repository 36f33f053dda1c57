"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    envvar="RPCSERVER_CONFIG",
    help="Configuration file (TOML); else that of RPCSERVER_CONFIG, else those of the machine and the user.",
)
"""The option ``--config``, which commands get as ``config_file``."""

plugin_option = click.option(
    "--plugin", "files", multiple=True, metavar="FILE", help="Python file with a service; may be given several times."
)
"""The option ``--plugin``, which commands get as ``files``."""
