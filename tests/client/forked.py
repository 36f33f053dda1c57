"""Forks, for the scripts that tests run: pytest's own process has too many threads to be forked."""

from __future__ import annotations

import json
import os
import select
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

LIMIT_S = 40.0


class Child:
    """A child that does one thing and tells what came of it."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._answer, told = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(told)
            return
        os.close(self._answer)
        try:
            try:
                answer = ["returned", act()]
            except BaseException as exc:
                answer = [type(exc).__name__, getattr(exc, "executed", None), str(exc)]
                if os.environ.get("SHOW"):
                    traceback.print_exc()
            os.write(told, json.dumps(answer, default=repr).encode())
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(0)

    def answer(self) -> Any:
        """What it returned or raised."""
        ready, _, _ = select.select([self._answer], [], [], LIMIT_S)
        if not ready:
            os.kill(self.pid, 9)
        data = os.read(self._answer, 1 << 20) if ready else b""
        os.close(self._answer)
        os.waitpid(self.pid, 0)
        return json.loads(data) if data else "it said nothing"


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() >= end:
            raise TimeoutError
        time.sleep(0.005)
