"""``rpcclient lease``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rpcwire.group.leases import LEAST_TTL_S, MOST_TTL_S

from . import context, outcome

if TYPE_CHECKING:
    from rpcclient import Lease

WARNING, ENDING = 1 / 2, 1 / 5
"""What part of its time a lease has left when the command is asked to end, and when it is killed. It is renewed when
two thirds are left."""
LOOK_S = 0.05
"""How often to look at the lease while it should have been renewed, in seconds."""
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("name")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] COMMAND [ARGUMENT ...]")
@click.option(
    "--ttl",
    "ttl_s",
    metavar="SECONDS",
    type=click.FloatRange(LEAST_TTL_S, MOST_TTL_S),
    default=30.0,
    show_default=True,
    help="How long it lasts when it cannot be renewed.",
)
@click.option(
    "--wait",
    "wait_s",
    metavar="SECONDS",
    type=click.FloatRange(0),
    help="How long to wait for it; 0 not to wait. For ever where not given.",
)
@context.pass_settings
@context.command
def command(
    settings: context.Settings, /, name: str, argv: tuple[str, ...], ttl_s: float, wait_s: float | None
) -> None:
    """Run COMMAND here while holding the lease NAME of the server's group: on all machines, only one at a time runs.

    COMMAND finds the number of the lease in RPC_FENCING_TOKEN: who holds it later has a higher one. When the lease
    cannot be renewed, COMMAND gets SIGTERM at half of its time, and SIGKILL before others can have it.

    The exit status is the command's own: 128+N where signal N ended it, 126 where it cannot be run, 127 where there is
    no such command; 1 where the lease is held by somebody else or is lost.
    """
    if argv[0].startswith("-") and argv[0] != "--":
        raise click.UsageError(f"{argv[0]} stands behind NAME: options go before it: rpcclient lease [OPTIONS] NAME")
    words = argv[1:] if argv[0] == "--" else argv
    if not words:
        raise click.UsageError("name the command to run: rpcclient lease NAME -- COMMAND")
    with settings.for_program().connect() as client:
        lease = client.lease(name, ttl_s=ttl_s, wait_s=wait_s)
        lease.acquire()
        try:
            status, was_lost = _run(lease, words)
        finally:
            lease.release()
    if was_lost:
        print(f"rpcclient: the lease {name!r} could not be renewed, so the command was ended", file=sys.stderr)
        status = outcome.FAILED
    sys.exit(status)


def _run(lease: Lease, words: Sequence[str]) -> tuple[int, bool]:
    """Run a command. Return its exit status, and whether it was ended because the lease was not renewed."""
    bound = Path(__file__).with_name("bound.py")
    variables = {"RPC_FENCING_TOKEN": f"{lease.fencing_token}", "RPC_LEASE": lease.name}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(bound), str(os.getpid()), *words], env={**os.environ, **variables}
    )
    watcher = _Watcher(lease, process)
    watcher.start()
    try:
        with _pass_signals_on(process):
            status = process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        watcher.end()
    return status if status >= 0 else 128 - status, watcher.has_ended_it


class _Watcher(threading.Thread):
    """Ends a command before its lease ends.

    Parameters:
        lease: the lease.
        process: the command.

    Attributes:
        has_ended_it: whether it has ended the command.
    """

    def __init__(self, lease: Lease, process: subprocess.Popen[bytes]) -> None:
        super().__init__(name="rpcclient-lease", daemon=True)
        self.has_ended_it = False
        self._lease = lease
        self._process = process
        self._end = threading.Event()

    def run(self) -> None:
        """Look at the lease as often as it needs."""
        while True:
            left_s = self._lease.remaining_s
            if left_s <= self._lease.ttl_s * ENDING:
                self.has_ended_it = True
                self._process.kill()
                return
            if left_s <= self._lease.ttl_s * WARNING and not self.has_ended_it:
                self.has_ended_it = True
                self._process.terminate()
            if self._end.wait(max(left_s - self._lease.ttl_s * WARNING, LOOK_S)):
                return

    def end(self) -> None:
        """Look no more."""
        self._end.set()
        self.join()


@contextlib.contextmanager
def _pass_signals_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass signals on to a command, which decides what to do. Ctrl-C it gets from the terminal itself."""

    def pass_on(number: int, frame: object) -> None:
        del frame
        process.send_signal(number)

    old = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    old[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
