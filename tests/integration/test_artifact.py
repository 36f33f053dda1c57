"""What users install: our wheel away from the sources, and a plugin from a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALL = """
import json, sys
from rpcclient import Client
heavy = [name for name in ("sqlalchemy", "psutil", "rpcserver", "rpcservices") if name in sys.modules]
with Client(sys.argv[1], token_file=sys.argv[2]) as client:
    said = client.service("greeter").hello(name="Ada")
    counted = list(client.service("greeter").count_in("Ada", beats=2))
    uname = client.programs.run(["uname"]).stdout.decode().strip()
import rpcclient
print(json.dumps([said, counted, uname, heavy, rpcclient.__file__]))
"""


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder with our wheel and the example plugin's, installed as `pip install` does, and nothing of the sources."""
    target = tmp_path / "installed"
    for source in (ROOT, ROOT / "examples" / "greeter"):
        copy = tmp_path / source.name
        ignored = shutil.ignore_patterns(".*", "tests", "*.egg-info", "__pycache__")
        shutil.copytree(source, copy, ignore=ignored)
        wheels = tmp_path / f"wheel-{source.name}"
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        run(*build, "--wheel-dir", wheels, copy)
        (wheel,) = wheels.glob("*.whl")
        run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel)
    return target


def test_the_wheel_and_a_plugin(target: Path, tmp_path: Path) -> None:
    configuration = tmp_path / "rpcserver.toml"
    configuration.write_text('[services.greeter]\ngreeting = "Good day"\n')
    token = tmp_path / "token"
    # -P and the target on the path: neither the sources nor their folder can be imported by accident.
    environment = {**os.environ, "PYTHONPATH": str(target), "RPCSERVER_STATE_DIR": str(tmp_path / "state")}
    command = [sys.executable, "-P", "-m", "rpcserver", "serve", "--port", "0", "--unix", "none"]
    options = ["--token-file", str(token), "--config", str(configuration)]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().rpartition(" ")[2].strip()
        try:
            assert url
            shown = run(sys.executable, "-P", "-c", CALL, url, token, PYTHONPATH=str(target))
        finally:
            server.terminate()
    said, counted, uname, heavy, place = json.loads(shown)
    assert said == "Good day, Ada!"
    assert counted == ["1", "2", "Good day, Ada!"]
    assert uname == os.uname().sysname
    assert heavy == []
    assert Path(place).is_relative_to(target)
    for package in ("rpcwire", "rpcclient", "rpcserver", "rpcservices"):
        assert (target / package / "py.typed").exists(), package
    assert not (target / "services").exists()
    assert not (target / "tests").exists()


def test_the_plugins_own_tests(target: Path) -> None:
    tests = ROOT / "examples" / "greeter" / "tests"
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, PYTHONPATH=str(target))
