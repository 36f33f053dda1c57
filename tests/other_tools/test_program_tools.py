"""rsync and git over ``rpcclient run``, as they run over ssh."""

from __future__ import annotations

import filecmp
import os
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.client_programs.conftest import Daemon, daemon_with

__all__ = ["daemon_with"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def remote_shell(tmp_path: Path, daemon_with: Callable[..., Daemon], missing: Callable[[str], NoReturn]) -> Path:
    """A command that takes a host and a command line, as ssh does, and runs it through a server."""
    for tool in ("rsync", "git"):
        if shutil.which(tool) is None:
            missing(f"{tool} is not installed (Debian: {tool})")
    daemon = daemon_with()
    script = tmp_path / "remote-shell"
    python = shlex.quote(sys.executable)
    script.write_text(
        f"#!/bin/sh\nexport RPC_URL={shlex.quote(daemon.url)} RPC_TOKEN_FILE={shlex.quote(daemon.token_file)}\n"
        # Like sshd, it hands one line to a shell.
        f'shift\nexec {python} -m rpcclient run -- sh -c "$*"\n'
    )
    script.chmod(0o755)
    return script


def run(*command: Any, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr[-4000:] + done.stdout[-1000:]
    return done.stdout


def make_tree(folder: Path, seed: int, big_bytes: int = 8_000_000) -> None:
    """Files of all sizes: none, short, long; a link, rights, odd names."""
    data = random.Random(seed)
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "empty").touch()
    for number in range(300):
        (folder / "deep" / f"small {number}").write_bytes(data.randbytes(number * 7))
    for number in range(3):
        (folder / f"big{number}").write_bytes(data.randbytes(big_bytes + number))
    (folder / "deep" / "er" / "näme with spaces").write_text("x" * 100_000)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o750)
    (folder / "link").symlink_to("deep/er")


def same(one: Path, other: Path) -> bool:
    """Whether two trees hold the same names, rights and bytes."""
    found = [
        {
            path.relative_to(root): (path.lstat().st_mode, path.readlink() if path.is_symlink() else None)
            for path in sorted(root.rglob("*"))
        }
        for root in (one, other)
    ]
    names = [str(name) for name in found[0] if (one / name).is_file()]
    return found[0] == found[1] and filecmp.cmpfiles(one, other, names, shallow=False)[1:] == ([], [])


def test_rsync_of_a_small_tree(remote_shell: Path, tmp_path: Path) -> None:
    here, there, back = (tmp_path / name for name in ("here", "there", "back"))
    here.mkdir()
    make_tree(here, 1, big_bytes=500_000)
    run("rsync", "-a", "-e", remote_shell, f"{here}/", f"host:{there}/", cwd=tmp_path)
    run("rsync", "-a", "-e", remote_shell, f"host:{there}/", f"{back}/", cwd=tmp_path)
    assert same(here, there)
    assert same(here, back)


@pytest.mark.soak
def test_rsync_both_ways(remote_shell: Path, tmp_path: Path) -> None:
    here, there, back = (tmp_path / name for name in ("here", "there", "back"))
    here.mkdir()
    make_tree(here, 1)
    rsync = ["rsync", "-a", "--delete", "--stats", "-e", remote_shell]
    run(*rsync, f"{here}/", f"host:{there}/", cwd=tmp_path)
    assert same(here, there)
    run(*rsync, f"host:{there}/", f"{back}/", cwd=tmp_path)
    assert same(here, back)
    shutil.rmtree(here)
    here.mkdir()
    make_tree(here, 2)
    (here / "deep" / "small 7").unlink()
    with (here / "big1").open("r+b") as file:
        file.seek(4_000_000)
        file.write(b"changed")
    for options in (["-z"], ["--checksum", "--whole-file"], ["--inplace", "--bwlimit=100m"]):
        run(*rsync, *options, f"{here}/", f"host:{there}/", cwd=tmp_path)
        assert same(here, there)
        run(*rsync, *options, f"host:{there}/", f"{back}/", cwd=tmp_path)
        assert same(here, back)
        (here / "big2").write_bytes(random.Random(str(options)).randbytes(9_000_000))


@pytest.mark.soak
def test_git_clone_and_push(remote_shell: Path, tmp_path: Path) -> None:
    bare, clone, other = (tmp_path / name for name in ("bare.git", "clone", "other"))
    run("git", "clone", "--quiet", "--bare", ROOT, bare, cwd=tmp_path)
    told = {"GIT_SSH_COMMAND": str(remote_shell), "GIT_SSH_VARIANT": "simple"}
    git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    run("git", "clone", "--quiet", f"host:{bare}", clone, cwd=tmp_path, **told)
    assert run("git", "rev-parse", "HEAD", cwd=clone) == run("git", "rev-parse", "HEAD", cwd=bare)
    run("git", "fsck", "--strict", cwd=clone)
    (clone / "blob").write_bytes(random.Random(3).randbytes(20_000_000))
    run(*git, "add", "blob", cwd=clone)
    run(*git, "commit", "--quiet", "-m", "Add a blob", cwd=clone)
    run(*git, "push", "--quiet", "origin", "HEAD:refs/heads/proof", cwd=clone, **told)
    assert run("git", "rev-parse", "proof", cwd=bare) == run("git", "rev-parse", "HEAD", cwd=clone)
    run("git", "clone", "--quiet", "--depth=1", "--branch=proof", f"host:{bare}", other, cwd=tmp_path, **told)
    assert filecmp.cmp(clone / "blob", other / "blob", shallow=False)
    (other / "blob").write_text("small now")
    run(*git, "commit", "--quiet", "-am", "Change it", cwd=other)
    run(*git, "push", "--quiet", cwd=other, **told)
    run(*git, "fetch", "--quiet", "origin", cwd=clone, **told)
    assert run("git", "rev-parse", "origin/proof", cwd=clone) == run("git", "rev-parse", "HEAD", cwd=other)
    refused = subprocess.run([*git, "push", "origin", "HEAD:refs/heads/proof"], cwd=clone, check=False,
                             env={**os.environ, **told}, capture_output=True, text=True)  # fmt: skip
    assert refused.returncode == 1
    assert "rejected" in refused.stderr
