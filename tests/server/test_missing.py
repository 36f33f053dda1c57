"""The command of the daemon where only the client was installed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_what_to_install_is_said_in_a_line(tmp_path: Path) -> None:
    module, _, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
        "rpcserver"
    ].partition(":")
    absent = "import sys; sys.modules['pydantic_settings'] = None"
    done = subprocess.run(
        [sys.executable, "-c", f"{absent}; from {module} import {function} as command; command()"],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
    )
    assert done.stderr == "rpcserver: pydantic_settings is missing: pip install 'remote-services[server]'\n"
    assert done.returncode == 1
    there = subprocess.run([sys.executable, "-m", "rpcserver", "--help"], capture_output=True, text=True, timeout=30)
    assert there.stdout.startswith("Usage: rpcserver ")
