"""The manual pages, and what completes words in shells: both are made from the help of the commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rpcclient.cli.main import COMMANDS
from rpcserver.daemon.cli import main as server

CONFIG = Path(__file__).resolve().parents[2] / "config"


def shown(page: str) -> str:
    """A page as people read it. A request of roff that is wrong fails the test."""
    done = subprocess.run(
        ["man", "--warnings", "--local-file", str(CONFIG / "man" / page)],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "120", "MAN_KEEP_FORMATTING": ""},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_pages_tell_every_command(missing: Callable[[str], None]) -> None:
    if shutil.which("man") is None:
        missing("man is not installed")
    page = shown("rpcserver.8")
    assert "rpcserver - offer the services of this computer" in page
    assert "rpcserver token create [OPTIONS] NAME" in page and "--expires TIME" in page
    for name in server.commands:
        assert f"rpcserver {name} " in page
    page = shown("rpcclient.1")
    for name in COMMANDS:
        assert f"rpcclient {name} " in page
    assert "\\? there tells more" in page, "a backslash of a help text is no request"
    page = shown("rpcserver.toml.5")
    assert "trusted_proxies = []" in page and "RPCSERVER_LISTEN__PORT" in page


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell that finds the commands."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("rpcclient", "rpcserver"):
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {name} "$@"\n')
        (folder / name).chmod(0o755)
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "dumb", **home}


@pytest.mark.parametrize(("words", "wanted"), [("rpcserver conf", "config"), ("rpcclient ser", "services")])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_complete(shell, words, wanted, environment, tmp_path, missing) -> None:
    if shutil.which(shell) is None:
        missing(f"{shell} is not installed")
    program, word = words.split()
    if shell == "fish":
        folder = tmp_path / ".config" / "fish" / "completions"
        folder.mkdir(parents=True)
        shutil.copy(CONFIG / "completion" / f"{program}.fish", folder)
        done = subprocess.run(
            ["fish", "-c", f"complete -C '{words}'"], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.stdout.split()[0] == wanted, done.stderr
        if program == "rpcserver":
            assert done.stdout.split("\t")[1].startswith("Print, show, check"), "the whole description"
        return
    if shell == "bash":
        script = (
            f'source "$1"; COMP_WORDS=({words}) COMP_CWORD=1; _{program}_completion {program}; echo "${{COMPREPLY[@]}}"'
        )
        file = str(CONFIG / "completion" / f"{program}.bash")
        done = subprocess.run(
            ["bash", "-c", script, "bash", file], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.stdout.split() == [wanted], done.stderr
        return
    import pexpect

    folder = CONFIG / "completion"
    child = pexpect.spawn("zsh", ["-f", "-i"], env=environment, encoding="utf-8", timeout=60, cwd=str(tmp_path))
    child.sendline(
        f"unsetopt zle_bracketed_paste; PS1='ready''> '; fpath=({folder} $fpath); autoload -U compinit; compinit -u"
    )
    child.expect("ready> ")
    child.send(f"{program} {word}\t--help\n")
    child.expect(f"Usage: {program} {wanted}")
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()
