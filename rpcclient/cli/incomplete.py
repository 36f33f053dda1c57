"""What completion in a shell shares: how it asks the server, and what it offers."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import click

from . import context

WORD = re.compile(r"[\w.-]+")
"""What a shell may write into a command line by itself: a server's names with other characters are not offered."""
COMPLETION_TIMEOUT_S = 1.0
"""How long completion may take to ask the server."""


def read_settings(ctx: click.Context) -> context.Settings:
    """Read the global options, which click does not process when a shell completes."""
    values = {name: value for name, value in ctx.find_root().params.items() if value is not None}
    names = {field.name for field in fields(context.Settings)}
    settings = context.Settings(**{name: value for name, value in values.items() if name in names})
    return replace(settings, timeout_s=COMPLETION_TIMEOUT_S)
