"""The files that are generated and checked in: `python -m tests.generated` writes them, `--check` compares them."""

from __future__ import annotations

import argparse
import difflib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rpcserver.config import PluginsConfig
from rpcserver.daemon.events import make_catalog
from rpcserver.plugins.finding import find_services
from rpcserver.plugins.settings_file import render
from rpcserver.plugins.stubgen import ASYNCHRONOUS, SYNCHRONOUS, generate_class, generate_group_class, generate_models
from rpcserver.plugins.typescript import generate_typescript
from tests.manuals import pages, scripts
from tests.reload_table import write_table
from tests.twins import VIEWS, synchronous

ROOT = Path(__file__).resolve().parent.parent
STUBBED = ("database", "hardware", "programs")
IMPORTS = ("--select", "I")
"""What ruff mends of a stub: the order of its imports."""
WHATEVER = ("--exit-zero", "--config", 'lint.extend-safe-fixes = ["C416"]')
"""What ruff mends of a twin: also imports that only asyncio needs, and what is plainer without it."""


def formatted(path: Path, text: str, *fixes: str) -> str:
    """Python source as ruff formats it.

    Parameters:
        path: where it is to be.
        text: the source.
        fixes: options of ruff that say what it mends besides.
    """
    for command in (["check", "--quiet", "--fix", *fixes], ["format", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(path), "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        text = done.stdout
    return text


def files() -> Iterator[tuple[Path, str]]:
    """Every generated file and what it must hold."""
    classes = find_services(PluginsConfig(enabled=STUBBED))
    for service in classes:
        path = ROOT / "rpcclient" / "stubs" / f"{service.name}.py"
        yield path, formatted(path, generate_models(service), *IMPORTS)
        for folder, colour in (("aio", ASYNCHRONOUS), ("sync", SYNCHRONOUS)):
            path = ROOT / "rpcclient" / folder / "stubs" / f"{service.name}.py"
            models = f"rpcclient.stubs.{service.name}"
            yield path, formatted(path, generate_class(service, colour, models), *IMPORTS)
            stubs = f"rpcclient.{folder}.stubs.{service.name}"
            path = path.with_name(f"group_{service.name}.py")
            yield path, formatted(path, generate_group_class(service, colour, models, stubs), *IMPORTS)
        yield (
            ROOT / "web" / "client" / "src" / "stubs" / f"{service.name}.ts",
            generate_typescript(service, "../index.js"),
        )
    for view in VIEWS:
        source = ROOT / "rpcclient" / "aio" / f"{view}.py"
        path = ROOT / "rpcclient" / "sync" / f"{view}.py"
        text = synchronous(source.read_text(encoding="utf-8"), str(source.relative_to(ROOT)))
        yield path, formatted(path, text, *WHATEVER)
    settings = render(classes)
    yield ROOT / "config" / "rpcserver.toml", settings
    yield ROOT / "config" / "systemd" / "rpcserver.catalog", "\n".join(make_catalog()) + "\n"
    guide = ROOT / "docs" / "server.md"
    yield guide, write_table(guide.read_text(encoding="utf-8"), classes)
    for name, text in pages(settings):
        yield ROOT / "config" / "man" / name, text
    for name, text in scripts():
        yield ROOT / "config" / "completion" / name, text


def main() -> int:
    """Write or compare; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a file is not current")
    check = parser.parse_args().check
    stale = False
    for path, text in files():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        stale = True
        name = str(path.relative_to(ROOT))
        if check:
            sys.stdout.writelines(
                difflib.unified_diff(old.splitlines(True), text.splitlines(True), name, "generated", n=1)
            )
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    if check and stale:
        print("generated files are not current: run `make stubs`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
