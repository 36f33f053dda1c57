"""What users install: our wheel away from the sources, and a plugin from a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from web.building import build_console

pytestmark = pytest.mark.timeout(300)
"""The console is built for them, and wheels are built of it."""

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


SENTENCE = (
    "The console is not built, and what is installed must have it: run `make web`, which puts it into "
    "rpcserver/console_files."
)


def run(*command: str | Path, folder: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environment},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def copy_source(source: Path, folder: Path) -> Path:
    """Copy the sources of a package into a folder, without what was built of them."""
    ignored = shutil.ignore_patterns(
        ".*", "tests", "*.egg-info", "__pycache__", "node_modules", "console_files", "dist"
    )
    return Path(shutil.copytree(source, folder / source.name, ignore=ignored))


def make_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a package into a folder, as `pip install` does."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*build, "--wheel-dir", folder, source)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def whole_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our sources with the console built in them."""
    source = copy_source(ROOT, tmp_path_factory.mktemp("source"))
    build_console(source / "rpcserver" / "console_files")
    return source


@pytest.fixture(scope="module")
def wheel(whole_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel."""
    return make_wheel(whole_source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def target(wheel: Path, tmp_path: Path) -> Path:
    """A folder with our wheel and the example plugin's, installed as `pip install` does, and nothing of the sources."""
    target = tmp_path / "installed"
    plugin = make_wheel(copy_source(ROOT / "examples" / "greeter", tmp_path), tmp_path / "wheel-greeter")
    for each in (wheel, plugin):
        run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, each)
    return target


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as packed:
        return {name for name in packed.namelist() if "/console_files/" in name}


def test_the_wheel_and_the_source_distribution_have_the_console(
    wheel: Path, whole_source: Path, tmp_path: Path
) -> None:
    folder = whole_source / "rpcserver" / "console_files"
    built = {f"rpcserver/console_files/{path.relative_to(folder)}" for path in folder.rglob("*") if path.is_file()}
    assert len(built) > 20 and {f"rpcserver/console_files/{name}" for name in ("index.html", "docs.html.br")} < built
    assert names_in(wheel) == built
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, folder=whole_source)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
        assert built < names
        packed.extractall(tmp_path / "again", filter="data")
    # Whoever has the source distribution alone can build the same wheel.
    (again,) = (tmp_path / "again").iterdir()
    assert names_in(make_wheel(again, tmp_path / "wheel-again")) == built


@pytest.mark.parametrize("lacks", ["everything", "docs.html", "index.html.br"])
def test_nothing_is_built_without_the_console(whole_source: Path, tmp_path: Path, lacks: str) -> None:
    source = copy_source(ROOT, tmp_path)
    if lacks != "everything":
        shutil.copytree(whole_source / "rpcserver" / "console_files", source / "rpcserver" / "console_files")
        (source / "rpcserver" / "console_files" / lacks).unlink()
    for kind in ("wheel", "sdist"):
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(tmp_path / "dist")],
            cwd=source,
            capture_output=True,
            text=True,
            timeout=110,
        )
        said = (done.stdout + done.stderr).strip().splitlines()
        assert done.returncode != 0 and not list((tmp_path / "dist").glob("*"))
        assert said[-1] == SENTENCE and not any("Traceback" in line for line in said), said
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    done = subprocess.run([*build, str(source)], capture_output=True, text=True, timeout=110)
    assert done.returncode != 0 and SENTENCE in done.stdout + done.stderr and "Traceback" not in done.stderr


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
