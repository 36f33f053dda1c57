"""``rpcclient lease``: a command runs only while its lease is held."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

from tests.client.relays import by_connect, relay

LIMIT_S = 60


def test_a_command_runs_while_the_lease_is_held_and_alone(shell: Any) -> None:
    show = "import os; print(os.environ['RPC_LEASE'], os.environ['RPC_FENCING_TOKEN'])"
    name, first = shell.ok("lease", "nightly", "--", sys.executable, "-c", show).split()
    inner = shell.command("lease", "--wait", "0", "nightly", "true")
    done = shell.run("lease", "--ttl", "5", "nightly", *inner)
    assert done.returncode == 1 and b"LeaseHeld" in done.stderr and b"holds the lease 'nightly'" in done.stderr
    _, second = shell.ok("lease", "--wait", "0", "nightly", sys.executable, "-c", show).split()
    assert name == b"nightly" and int(second) > int(first)
    assert shell.run("lease", "nightly", "--", sys.executable, "-c", "raise SystemExit(7)").returncode == 7
    assert shell.run("lease", "nightly", "sh", "-c", "kill -9 $$").returncode == 137
    absent = shell.run("lease", "nightly", "--", "no-such-command")
    assert absent.returncode == 127 and b"no-such-command: there is no such command" in absent.stderr
    assert shell.run("lease", "nightly", "--", "/").returncode == 126
    assert shell.run("lease", "nightly", "--").returncode == 2
    wrong = shell.run("lease", "nightly", "--ttl", "5", "true")
    assert wrong.returncode == 2 and b"--ttl stands behind NAME" in wrong.stderr
    # Signals that Python ignores are not ignored by the command: a shell asks the kernel.
    ask = "sed -n 's/SigIgn:\t//p' /proc/self/status"
    ignored = int(shell.ok("lease", "nightly", "sh", "-c", ask).strip(), 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_a_command_ends_before_a_lease_that_cannot_be_renewed(shell: Any) -> None:
    with relay(by_connect) as proxy:
        words = ("--allow-token-in-clear", "--proxy", f"http://127.0.0.1:{proxy.port}", "lease", "--ttl", "2")
        trap = "trap 'echo ended; exit 3' TERM; echo began; while :; do sleep 0.05; done"
        process = subprocess.Popen(
            shell.command(*words, "backup", "sh", "-c", trap),
            env=shell.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"began\n"
    out, errors = process.communicate(timeout=LIMIT_S)
    assert out == b"ended\n" and process.returncode == 1
    assert b"the lease 'backup' could not be renewed, so the command was ended" in errors


def test_a_command_gets_signals_and_ends_with_rpcclient(shell: Any) -> None:
    trap = "trap 'echo ended; exit 3' TERM; echo $$; while :; do sleep 0.05; done"
    for number in (signal.SIGTERM, signal.SIGKILL):
        with subprocess.Popen(
            shell.command("lease", "--ttl", "20", "backup", "sh", "-c", trap),
            env=shell.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert int(process.stdout.readline())
            process.send_signal(number)
            assert process.stdout.read() == b"ended\n"  # Nobody writes any more: the command has ended, too.
            assert process.wait(LIMIT_S) == (3 if number == signal.SIGTERM else -9)
