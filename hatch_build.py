"""Refuses to build a wheel or a source distribution without the console, which `make web` builds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CONSOLE = Path("rpcserver", "console_files")
NEEDED = ("index.html", "docs.html", "public.html", "index.html.gz", "index.html.br")
"""Files of each whole build; the last ones are made at its end."""


class ConsoleHook(BuildHookInterface[Any]):
    """Looks whether the console is there before anything is packed."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's own
        """Look for the console.

        Parameters:
            version: the kind of the wheel. One that is `editable` leads to the sources, where `make web` may still
                build the console.
            build_data: what is built; it stays as it is.
        """
        if version == "editable" or all((Path(self.root) / CONSOLE / name).is_file() for name in NEEDED):
            return
        what = "The console is not built, and what is installed must have it"
        self.app.abort(f"{what}: run `make web`, which puts it into {CONSOLE}.")
