"""``rpcclient shell``, driven as a person would: in a real terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pexpect
import pytest

from rpcclient import Client
from rpcclient.stubs.programs import TerminalSize
from tests.client_cli.tmux import Tmux

LIMIT_S = 40
SHELL = ("sh", "-c", "PS1='th''ere> ' ENV=/dev/null exec sh")
"""Its prompt is not in the command that begins it, which the terminal shows as well."""


class Person:
    """Somebody in front of a terminal in which a shell of this machine runs."""

    def __init__(self, there: Any) -> None:
        self.there = there
        self.terminal = pexpect.spawn(
            "/bin/sh", env={**there.environment, "PS1": "home> ", "TERM": "xterm"}, encoding="utf-8",
            dimensions=(24, 80), timeout=LIMIT_S,
        )  # fmt: skip
        self.sees("home> ")

    def types(self, text: str) -> None:
        self.terminal.send(text)

    def sees(self, text: str) -> None:
        self.terminal.expect_exact(text)

    def runs(self, *words: str) -> None:
        self.types(shlex.join(self.there.command(*words)) + "\r")

    def settings(self) -> list[Any]:
        """How the terminal is set: control characters and speeds aside."""
        return termios.tcgetattr(self.terminal.child_fd)[:4]


@pytest.fixture
def person(there: Any) -> Iterator[Person]:
    person = Person(there)
    before = person.settings()
    yield person
    person.types("\r")
    person.sees("home> ")
    assert person.settings() == before
    person.terminal.close(force=True)


@pytest.fixture
def client(there: Any) -> Iterator[Client]:
    with Client(there.environment["RPC_URL"], token_file=there.environment["RPC_TOKEN_FILE"]) as client:
        yield client


def test_a_shell(person: Person) -> None:
    person.runs("shell", "--", *SHELL)
    person.sees("there> ")
    person.types("echo $((6*7)); tty; stty size\r")
    person.sees("42\r\n/dev/pts/")
    person.sees("24 80\r\n")
    person.terminal.setwinsize(30, 100)
    # dash loses an interrupt that comes between its vfork and the exec of a program: nothing is begun here.
    person.types("(echo be''gun; read word)\r")
    person.sees("begun\r\n")
    person.types("\x03")  # It interrupts that, not the shell, and not rpcclient.
    person.sees("there> ")
    person.types("stty size; echo $TERM\r")
    person.sees("30 100\r\nxterm\r\n")
    person.types("exit 7\r")
    person.sees("home> ")
    person.types("echo status $?\r")
    person.sees("status 7\r\n")


def test_a_login_shell(person: Person) -> None:
    person.runs("shell")
    person.types("echo is $0; exit\r")
    person.sees("is ")
    person.sees("home> ")


def test_escapes(person: Person, client: Client) -> None:
    person.runs("shell", "--label", "test=escapes", "--", *SHELL)
    person.sees("there> ")
    assert len(client.programs.list(labels={"test": "escapes"}, running=True)) == 1
    person.types("\r~?")
    person.sees("~.   leave the session")
    person.types("\r~~x\r")
    person.sees("~x: ")  # The shell knows no such command.
    person.types("\r~.")
    person.sees("home> ")
    person.types("echo status $?\r")
    person.sees("status 129\r\n")
    assert client.programs.list(labels={"test": "escapes"}, running=True) == []


def test_suspending(person: Person) -> None:
    person.runs("shell", "--", *SHELL)
    person.sees("there> ")
    person.types("\r~\x1a")
    person.sees("home> ")
    person.types("fg\r")
    person.types("echo $((6*7))\r")
    person.sees("\r\n42\r\n")
    person.types("exit\r")
    person.sees("home> ")


def test_keeping_a_shell_and_coming_back(person: Person, client: Client) -> None:
    person.runs("shell", "--keep", "--label", "test=kept", "--", *SHELL)
    person.sees("there> ")
    person.types("WORD=kept\r")
    person.sees("there> ")
    person.types("~.")
    person.sees("goes on")
    person.sees("home> ")
    (program,) = client.programs.list(labels={"test": "kept"}, running=True)
    person.runs("attach", program.id)
    person.sees("there> ")
    person.types("echo still $WORD; exit 4\r")
    person.sees("still kept\r\n")
    person.sees("home> ")
    person.types("echo status $?\r")
    person.sees("status 4\r\n")


def test_looking_on(person: Person, client: Client) -> None:
    """Ctrl-C leaves, as nothing that is typed goes there; so does ~. as ever."""
    with client.programs.start(["sh", "-c", "echo re''ady; exec cat"], terminal=TerminalSize()) as program:
        for left in ("\x03", "~."):
            person.runs("attach", "--view", program.id)
            person.sees("only looks on; Ctrl-C or ~. leaves")
            person.sees("ready\r\n")
            person.types(f"nothing{left}" if left == "\x03" else left)
            person.sees("goes on")
            person.sees("home> ")
        assert program.poll() is None
        assert client.programs.attach(program.id).stdout.read(7) == b"ready\r\n"


def test_a_terminal_for_one_program(person: Person) -> None:
    person.runs("run", "--tty", "--", "sh", "-c", "test -t 0 && test -t 1 && echo it is one; exit 3")
    person.sees("it is one\r\n")
    person.sees("home> ")
    person.types("echo status $?\r")
    person.sees("status 3\r\n")


def test_without_a_terminal(there: Any) -> None:
    done = there.run("shell")
    assert done.returncode == 2
    assert b"must be a terminal" in done.stderr
    assert b"-tt" in done.stderr


@pytest.fixture
def tmux(there: Any, tmp_path: Path) -> Iterator[Tmux]:
    terminal = Tmux(tmp_path, {**there.environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"})
    yield terminal
    terminal.close()


def test_an_editor(there: Any, tmux: Tmux, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("first line\n" + "\n".join(f"line {number}" for number in range(2, 100)) + "\n")
    tmux.types(shlex.join(there.command("shell", "--cwd", str(tmp_path), "--", "vi", "text")), "Enter")
    tmux.shows(lambda screen: "first line" in screen and "line 23" in screen and "line 24" not in screen)
    tmux.resize(100, 40)
    tmux.shows(lambda screen: "line 39" in screen)
    tmux.types("i", "typed ~. here ")
    tmux.shows(lambda screen: "typed ~. here first line" in screen)
    tmux.types("Escape", ":wq", "Enter")
    tmux.shows(lambda screen: screen.rstrip().endswith("home>") and "line 39" not in screen)
    assert file.read_text().startswith("typed ~. here first line\nline 2\n")
    tmux.types("echo status $?", "Enter")
    tmux.shows(lambda screen: "\nstatus 0\n" in screen)


def test_a_screen_full_of_figures(there: Any, tmux: Tmux, tmp_path: Path, missing: Callable[[str], NoReturn]) -> None:
    if shutil.which("htop") is None:
        missing("there is no htop: install it")
    settings = f"HTOPRC={tmp_path}/htoprc"  # It would find those of its last run in the home folder.
    tmux.types(shlex.join(there.command("shell", "--", "env", settings, "htop")), "Enter")
    tmux.shows(lambda screen: "Load average" in screen and "CPU%" in screen)
    tmux.resize(120, 40)
    tmux.shows(lambda screen: any(len(line) > 100 for line in screen.splitlines()) and screen.count("\n") == 40)
    tmux.types("F5")
    tmux.shows(lambda screen: "F5List" in screen.replace(" ", ""))
    tmux.types("q")
    tmux.shows(lambda screen: screen.rstrip().endswith("home>") and "Load average" not in screen)
    tmux.types("echo status $?", "Enter")
    tmux.shows(lambda screen: "\nstatus 0\n" in screen)


def test_leaving_an_editor_leaves_its_screen(there: Any, tmux: Tmux, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("first line\n")
    tmux.types("echo before", "Enter")
    tmux.types(shlex.join(there.command("shell", "--cwd", str(tmp_path), "--", "vi", "text")), "Enter")
    tmux.shows(lambda screen: "first line" in screen and "before" not in screen)
    tmux.types("Enter", "~", ".")
    tmux.shows(lambda screen: "before" in screen and "first line" not in screen and screen.rstrip().endswith("home>"))
    tmux.types("stty -a", "Enter")
    tmux.shows(lambda screen: " icanon " in screen and " echo " in screen)


STILL_S = 1.0
"""A program that has written nothing for so long waits. Where it only was slow, less is counted than could be."""


def waits(client: Client, label: str) -> None:
    """Wait until a program that prints without end is made to wait."""
    (program,) = client.programs.list(labels={"test": label}, running=True)
    last, since = -1, 0.0
    while last < 0 or time.monotonic() < since + STILL_S:
        now = client.programs.get(program.id).stdout_bytes
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.02)


def shown_after_interrupt(person: Person) -> int:
    """How many bytes come after Ctrl-C."""
    person.types("\x03")
    person.sees("home> ")
    return len(person.terminal.before)


@pytest.mark.parametrize("command", ["shell", "run --tty"])
def test_an_interrupt_is_not_behind_megabytes_of_output(person: Person, client: Client, command: str) -> None:
    label = command.replace(" ", "")
    person.runs(*command.split(), "--label", f"test={label}", "--", "yes")
    person.sees("y\r\ny\r\n")
    waits(client, label)
    assert shown_after_interrupt(person) < 320 * 1024


def test_an_interrupt_of_a_kept_shell_is_behind_what_the_server_keeps_only(person: Person, client: Client) -> None:
    person.runs("shell", "--keep", "--label", "test=keptyes", "--", "yes")
    person.sees("y\r\ny\r\n")
    waits(client, "keptyes")
    seen = 0
    while seen < 4 << 20:  # What comes then is far behind the program, and in large pieces.
        seen += len(os.read(person.terminal.child_fd, 65536))
    waits(client, "keptyes")
    assert shown_after_interrupt(person) < 10 << 20
