"""A terminal with a real screen: tmux."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

LIMIT_S = 60


class Tmux:
    """A terminal that shows what is on its screen.

    Parameters:
        folder: for its socket.
        environment: of the shell in it.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._socket = str(folder / "tmux")
        self._environment = environment
        self._tmux("-f", "/dev/null", "new-session", "-d", "-s", "s", "-x", "80", "-y", "24", "env PS1='home> ' sh")
        # What is typed sooner is shown before the first prompt, which then looks like the one after the command.
        self.shows(lambda screen: screen.rstrip() == "home>")

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, *words], env=self._environment, capture_output=True, text=True, timeout=LIMIT_S
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def types(self, *keys: str) -> None:
        self._tmux("send-keys", "-t", "s", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-t", "s", "-x", str(columns), "-y", str(rows))

    @property
    def screen(self) -> str:
        return self._tmux("capture-pane", "-p", "-t", "s")

    def shows(self, condition: Callable[[str], bool]) -> None:
        """Wait until the screen is like this."""
        end = time.monotonic() + LIMIT_S
        while not condition(screen := self.screen):
            assert time.monotonic() < end, screen
            time.sleep(0.02)

    def close(self) -> None:
        self._tmux("kill-server")
