"""Builds the Debian package: `make deb`.

The package has a virtual environment of its own below /opt/rpcserver, over the distribution's Python: what the server
needs is newer than what Debian stable has, and nothing of the distribution changes. dpkg-deb packs it; debhelper is not
needed for that.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rpcserver.installing.contents import SERVICES, find_share, list_files
from rpcserver.installing.layout import PACKAGE
from rpcserver.installing.placing import at
from web.building import build_console

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HOME = Path("/opt/rpcserver")
"""The environment on the machine."""
SCRIPTS = ("postinst", "prerm", "postrm")
DESCRIPTION = """services of this computer for clients on other computers
 A daemon offers typed services over WebSocket: it runs programs, queries databases, reads the hardware, and has
 whatever services plugins add. Clients call them as if they were local Python functions.
 .
 The package has the server, the command rpcclient and the Python client, in an environment of its own.
"""


def run(*words: str | Path, **environment: str) -> str:
    """Run a command, and return what it prints."""
    done = subprocess.run(
        [str(word) for word in words],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1577836800", **environment},
    )
    return done.stdout


def make_environment(tree: Path, python: str, wheel: Path | None) -> str:
    """Make the environment below /opt/rpcserver.

    Parameters:
        tree: the root folder of the package.
        python: the distribution's Python, by its path.
        wheel: the wheel of this project; ``None`` to build it.

    Returns:
        The version of this project.
    """
    home = at(tree, HOME)
    run(python, "-m", "venv", "--without-pip", home)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    with tempfile.TemporaryDirectory() as folder:
        if wheel is None:
            build_console(ROOT / "rpcserver" / "console_files")
            run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
            (wheel,) = Path(folder).glob("*.whl")
        run(
            *pip, "--python", home / "bin" / "python", "install", "--no-compile", "--only-binary", ":all:",
            "--constraint", ROOT / "constraints.txt", f"{wheel}[all]",
        )  # fmt: skip
    for script in (home / "bin").iterdir():
        if script.name.lower().startswith("activate"):
            script.unlink()  # They hold the path of this folder, and nobody works in this environment by hand.
        elif not script.is_symlink() and (text := script.read_bytes()).startswith(b"#!"):
            script.write_bytes(text.replace(str(home).encode(), str(HOME).encode()))
    settings = home / "pyvenv.cfg"
    lines = [line for line in settings.read_text().splitlines() if not line.startswith("command ")]
    settings.write_text("\n".join(lines) + "\n")
    for unneeded in [*home.rglob("tests"), *home.rglob("include")]:
        if unneeded.is_dir():
            shutil.rmtree(unneeded)
    for record in home.rglob("direct_url.json"):
        record.unlink()  # It tells where the wheel was when the package was built.
    # Compiled here, since the server may not write there; by content, so that times do not matter.
    mode = "unchecked-hash"
    run(
        home / "bin" / "python",
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        mode,
        "-s",
        tree,
        "-p",
        "/",
        home / "lib",
    )
    (name,) = home.glob("lib/python3*/site-packages/remote_services-*.dist-info")
    return name.name.removesuffix(".dist-info").partition("-")[2]


def put_files(tree: Path) -> list[str]:
    """Put units, configuration, manual pages and completion in place, and return the files that are an operator's."""
    configuration = []
    program = str(HOME / "bin" / "rpcserver")
    for file in list_files(find_share(), PACKAGE, program=program, systemd=None, services=SERVICES):
        path, data = at(tree, file.path), file.data
        if path.parent.parent.name == "man":
            path, data = path.with_name(f"{path.name}.gz"), gzip.compress(data, mtime=0)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if file.is_configuration:
            configuration.append(str(file.path))
    for command in ("rpcserver", "rpcclient"):
        link = tree / "usr" / "bin" / command
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(HOME / "bin" / command)
    at(tree, PACKAGE.configuration / "conf.d").mkdir()
    documents = tree / "usr" / "share" / "doc" / "rpcserver"
    documents.mkdir(parents=True)
    shutil.copy(HERE / "copyright", documents)
    for name in ("rpcserver.toml", "production.toml"):
        (documents / "examples").mkdir(exist_ok=True)
        (documents / "examples" / name).write_text((ROOT / "config" / name).read_text(encoding="utf-8"))
    return configuration


def put_control(tree: Path, version: str, python: str, configuration: Iterable[str]) -> None:
    """Write what dpkg reads: control, conffiles, md5sums, and the scripts of the package."""
    control = tree / "DEBIAN"
    control.mkdir()
    files = [
        path
        for path in sorted(tree.rglob("*"))
        if path.is_file() and not path.is_symlink() and control not in path.parents
    ]
    major, minor = run(python, "-c", "import sys; print(*sys.version_info[:2])").split()
    depends = f"python3 (>= {major}.{minor}), python3 (<< {major}.{int(minor) + 1})"
    fields = {
        "Package": "rpcserver",
        "Version": version,
        "Architecture": run("dpkg", "--print-architecture").strip(),
        "Maintainer": "The remote-services developers <noreply@localhost>",
        "Installed-Size": str(sum(path.stat().st_size for path in files) // 1024 + 1),
        "Depends": f"{depends}, init-system-helpers, passwd, procps",
        "Section": "net",
        "Priority": "optional",
        "Description": DESCRIPTION.rstrip(),
    }
    (control / "control").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    (control / "conffiles").write_text("".join(f"{path}\n" for path in configuration))
    sums = [(hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(), path) for path in files]
    (control / "md5sums").write_text(
        "".join(
            f"{digest}  {path.relative_to(tree)}\n"
            for digest, path in sums
            if f"/{path.relative_to(tree)}" not in configuration
        )
    )
    for name in SCRIPTS:
        script = control / name
        shutil.copy(HERE / name, script)
        script.chmod(0o755)


def build(output: Path, python: str, wheel: Path | None = None) -> Path:
    """Build the package.

    Parameters:
        output: the folder for it.
        python: the distribution's Python, by its path.
        wheel: the wheel of this project; ``None`` to build it.

    Returns:
        The package.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "package"
        tree.mkdir()
        version = make_environment(tree, python, wheel)
        put_control(tree, version, python, put_files(tree))
        for path in [tree, *tree.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        output.mkdir(parents=True, exist_ok=True)
        architecture = run("dpkg", "--print-architecture").strip()
        package = output / f"rpcserver_{version}_{architecture}.deb"
        run("dpkg-deb", "--root-owner-group", "-Zxz", "-z3", "--build", tree, package)
    return package


def main() -> None:
    """Build, and say where the package is."""
    parser = argparse.ArgumentParser(description="Build the Debian package.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--python", default="/usr/bin/python3", help="the distribution's Python")
    parser.add_argument("--wheel", type=Path, help="the wheel of this project; else it is built")
    arguments = parser.parse_args()
    print(build(arguments.output, arguments.python, arguments.wheel))


if __name__ == "__main__":
    main()
