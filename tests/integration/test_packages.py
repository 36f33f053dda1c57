"""The packages: a wheel in an environment where nothing else is, the Debian package through its life, and the image."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from debian import build

from .test_artifact import wheel as wheel
from .test_artifact import whole_source as whole_source

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = ROOT / "debian"
LIMIT_S = 1500.0


def run(*words: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
        cwd="/",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_the_debian_package_holds(tmp_path: Path, missing: Callable[[str], None]) -> None:
    """All but its environment, which takes minutes to make."""
    if shutil.which("dpkg-deb") is None:
        missing("dpkg-deb is not installed")
    tree = tmp_path / "package"
    tree.mkdir()
    configuration = build.put_files(tree)
    assert configuration == ["/etc/rpcserver/rpcserver.toml"]
    build.put_control(tree, "1.2", sys.executable, configuration)
    package = tmp_path / "rpcserver.deb"
    run("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, package)
    held = run("dpkg-deb", "--contents", package)
    for path in (
        "lib/systemd/system/rpcserver.service",
        "lib/systemd/system/rpcserver-strict.service",
        "lib/systemd/system/rpcserver.socket",
        "usr/lib/sysusers.d/rpcserver.conf",
        "usr/share/man/man8/rpcserver.8.gz",
        "usr/share/bash-completion/completions/rpcclient",
        "usr/bin/rpcserver -> /opt/rpcserver/bin/rpcserver",
    ):
        assert f" ./{path}\n" in held, held
    assert str(tmp_path) not in held
    unit = (tree / "lib/systemd/system/rpcserver.service").read_text()
    assert "ExecStart=/opt/rpcserver/bin/rpcserver serve\n" in unit and "Type=notify\n" in unit
    control = run("dpkg-deb", "--field", package)
    minor = sys.version_info.minor
    assert f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1})" in control and "Version: 1.2\n" in control
    assert not re.search(
        "rpcserver.toml$", (tree / "DEBIAN/md5sums").read_text().replace("examples/rpcserver.toml", "")
    )


@pytest.mark.parametrize("script", [*build.SCRIPTS, "lifecycle.sh", "booted.sh"])
def test_the_scripts_of_the_package_can_be_read(script: str) -> None:
    shell = (DEBIAN / script).read_text().splitlines()[0].removeprefix("#!")
    run(shell, "-n", DEBIAN / script)
    assert "set -e" in (DEBIAN / script).read_text()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], None]) -> Path:
    """The Debian package, or the one that DEB names."""
    for command in ("dpkg-deb", "unshare", "setpriv", "deb-systemd-helper"):
        if shutil.which(command) is None:
            missing(f"{command} is not installed: a Debian is needed")
    if os.geteuid() != 0:
        missing("root is needed for namespaces with a root folder of their own")
    named = os.environ.get("DEB")
    return Path(named) if named else build.build(tmp_path_factory.mktemp("package"), "/usr/bin/python3")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_life_of_the_debian_package(package: Path) -> None:
    """Installed, started, called, upgraded over itself with a kept program running, removed, purged: nothing is left."""
    said = run("bash", DEBIAN / "lifecycle.sh", package)
    assert said.endswith("== nothing is left\n"), said


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_life_of_the_debian_package_under_systemd(package: Path, missing: Callable[[str], None]) -> None:
    """The same on a minimal Debian that a real systemd has booted, with reload, the journal, and both units. DEBIAN_ROOT
    may name the root folder of such a Debian; else debootstrap makes one."""
    for command in ("systemd-nspawn", "debootstrap"):
        if shutil.which(command) is None:
            missing(f"{command} is not installed")
    root = os.environ.get("DEBIAN_ROOT")
    said = run("bash", DEBIAN / "booted.sh", package, *([root] if root else []))
    assert said.endswith("== nothing is left\n"), said


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_wheel_works_where_nothing_else_is(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", environment)
    commands = environment / "bin"
    run(commands / "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", f"{wheel}[server]")
    home = {"HOME": str(tmp_path), "RPCSERVER_STATE_DIR": str(tmp_path / "state")}
    assert "create  " in run(commands / "rpcserver", "install", "--user", "--dry-run", **home)
    words = [commands / "rpcserver", "serve", "--port", "0", "--unix", "none", "--token-file", tmp_path / "token"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, **home}, cwd="/") as server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().rpartition(" ")[2].strip()
            words = [commands / "rpcclient", "--url", url, "--token-file", tmp_path / "token"]
            assert run(*words, "call", "rpc.ping") == '"pong"\n'
            assert run(*words, "run", "--", "echo", "here") == "here\n"
            assert json.loads(run(*words, "sql", "main", "SELECT 1 AS one")) == [{"one": 1}]
        finally:
            server.terminate()


def test_the_image_is_not_roots_and_is_checked(missing: Callable[[str], None]) -> None:
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    instructions = [line.split(None, 1) for line in text.splitlines() if line and line[0] not in "# "]
    names = [name for name, _ in instructions]
    assert {"HEALTHCHECK", "VOLUME", "STOPSIGNAL"} < set(names)
    assert [value for name, value in instructions if name == "USER"] == ["10001:10001"]
    assert names.index("USER") < names.index("ENTRYPOINT")
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for name, value in instructions:
        if name == "COPY" and not value.startswith("--from="):
            sources = [word.rstrip("/") for word in shlex.split(value)[:-1]]
            assert set(sources) <= let_in and all((ROOT / source).exists() for source in sources)
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        missing("hadolint is not installed")
    assert run(linter, ROOT / "Dockerfile") == ""
