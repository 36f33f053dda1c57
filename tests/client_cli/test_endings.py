"""Whatever ends a command that has the whole terminal, the terminal is as it was."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

LIMIT_S = 60
PAINTS = "import sys, time; print('\\x1b[?1049h\\x1b[?25l\\x1b[?2004hpainted', flush=True); time.sleep(86394)"
"""A program that switches modes of its terminal on, and leaves them so."""
ON = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")


class Window:
    """A terminal with a command in it, which stays when the command ends."""

    def __init__(self, shell: Any, *words: str) -> None:
        self.said = b""
        self._master, self._slave = os.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = self.modes
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *shell.command(*words)],
            env={**shell.environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PROMPT_TOOLKIT_NO_CPR": "1"},
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
        )

    @property
    def modes(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    @property
    def switched_on(self) -> set[bytes]:
        """The modes of the screen that are on; 25 means that the cursor is hidden. Lines are always broken (7)."""
        on: set[bytes] = set()
        for match in ON.finditer(self.said):
            for mode in match[1].split(b";"):
                if (match[2] == b"h") != (mode == b"25") and mode != b"7":
                    on.add(mode)
                else:
                    on.discard(mode)
        return on

    def types(self, data: bytes) -> None:
        os.write(self._master, data)

    def _hear(self) -> bool:
        heard = bool(select.select([self._master], [], [], 0.05)[0])
        if heard:
            self.said += os.read(self._master, 65536)
        return heard

    def shows(self, wanted: bytes) -> None:
        end = time.monotonic() + LIMIT_S
        while wanted not in self.said:
            self._hear()
            assert time.monotonic() < end, self.said[-2000:]
            assert self.process.poll() is None, self.said[-2000:]

    def takes_the_terminal(self) -> None:
        """Wait for its modes to be others."""
        end = time.monotonic() + LIMIT_S
        while self.modes == self.before:
            self._hear()
            assert time.monotonic() < end, self.said[-2000:]

    def ended(self) -> int:
        """Wait for its end, and for all that it says; its exit status, or minus the number of a signal."""
        end = time.monotonic() + LIMIT_S
        while self.process.poll() is None:
            self._hear()
            assert time.monotonic() < end, self.said[-2000:]
        while self._hear():
            pass
        return self.process.returncode

    def is_as_before(self) -> bool:
        return self.modes == self.before and not self.switched_on

    def shut(self) -> None:
        """The person closes it."""
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self._master >= 0:
            self.shut()


@pytest.fixture
def window(everywhere: Any) -> Iterator[Callable[..., Window]]:
    with contextlib.ExitStack() as stack:

        def open_window(*words: str, shell: Any = None) -> Window:
            found = Window(shell or everywhere, *words)
            stack.callback(found.close)
            return found

        yield open_window


FULL: dict[str, tuple[list[str], bytes]] = {
    "top": (["top", "--interval", "0.3"], b"F10 quit"),
    "shell": (["shell", "--", sys.executable, "-c", PAINTS], b"painted"),
    "run --tty": (["run", "--tty", "--", sys.executable, "-c", PAINTS], b"painted"),
    "sql": (["sql", "main"], b"main"),
}


@pytest.mark.parametrize("name", FULL)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1])
def test_a_signal(window: Callable[..., Window], name: str, number: signal.Signals) -> None:
    words, ready = FULL[name]
    opened = window(*words)
    opened.shows(ready)
    opened.takes_the_terminal()
    opened.process.send_signal(number)
    status = opened.ended()
    assert opened.is_as_before(), (status, opened.switched_on)
    # A session sees its program out, and says how that ended; the rest ends as it would.
    assert status == -number or (name in ("shell", "run --tty") and status > 0), status


def test_an_interrupt_and_a_quit_that_are_typed(window: Callable[..., Window]) -> None:
    for typed, status in ((b"\x03", 0), (b"\x1c", -signal.SIGQUIT)):
        opened = window("top", "--interval", "0.3")
        opened.shows(b"F10 quit")
        opened.types(typed)
        assert (opened.ended(), opened.is_as_before()) == (status, True)


@pytest.mark.parametrize("name", ["top", "shell"])
def test_a_lost_server(served: Any, tmp_path: Path, window: Callable[..., Window], name: str) -> None:
    words, ready = FULL[name]
    with served(tmp_path, '["database"]') as there:
        opened = window("--timeout", "2", *words, shell=there)
        opened.shows(ready)
        there.process.kill()
        if name == "shell":
            opened.shows(b"the connection was lost")
            opened.types(b"\r~.")
        status = opened.ended()
    assert (opened.is_as_before(), status > 0, b"Traceback" in opened.said) == (True, True, False)


def test_an_error_within(everywhere: Any, window: Callable[..., Window]) -> None:
    """Whatever it is: here drawing fails."""
    code = (
        "import rpcclient.cli.top_screen as screen, rpcclient.cli as cli\n"
        "draw, count = screen.draw, []\n"
        "def fails(*given):\n"
        "    count.append(1)\n"
        "    if len(count) > 3: raise ZeroDivisionError('a mistake')\n"
        "    return draw(*given)\n"
        "screen.draw = fails\n"
        "cli.main(['top', '--interval', '0.1'], prog_name='rpcclient')"
    )
    command = lambda: [sys.executable, "-c", code]  # noqa: E731 - short
    opened = window(shell=SimpleNamespace(environment=everywhere.environment, command=command))
    assert (opened.ended(), opened.is_as_before()) == (1, True)
    # It is told after that, where a person sees it.
    assert opened.said.rindex(b"ZeroDivisionError") > opened.said.rindex(b"\x1b[?1049l")


@pytest.mark.parametrize("name", FULL)
def test_a_window_that_is_closed(window: Callable[..., Window], name: str) -> None:
    """Nobody is there to be told, and nothing goes on."""
    words, ready = FULL[name]
    opened = window(*words)
    opened.shows(ready)
    opened.shut()
    assert opened.process.wait(LIMIT_S) != 0
