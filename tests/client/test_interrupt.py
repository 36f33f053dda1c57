"""Ctrl-C in a program that uses the client, as a real process with a real signal."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import sys, threading
from rpcclient import Client

client = Client(sys.argv[1], token_file=sys.argv[2])
client.connect()
try:
    client.call("desk.wait")
except KeyboardInterrupt:
    print("interrupted", client.connected, client.call("desk.add", [1, 2]), flush=True)
client.close()
print([thread.name for thread in threading.enumerate()], flush=True)
"""


def run(process: Any, program: str) -> tuple[str, str]:
    process.start()
    command = [sys.executable, "-c", program, process.url, str(process.token_file)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        process.expect("desk began")
        child.send_signal(signal.SIGINT)
        return child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()


def test_ctrl_c_cancels_on_the_server(process: Any) -> None:
    out, err = run(process, PROGRAM)
    process.expect("desk cancelled")
    assert out == "interrupted True 3\n['MainThread']\n"
    assert err == ""


def test_ctrl_c_ends_a_program_that_does_not_expect_it(process: Any) -> None:
    program = """
import sys
from rpcclient import Client

with Client(sys.argv[1], token_file=sys.argv[2]) as client:
    client.call("desk.wait")
"""
    out, err = run(process, program)
    process.expect("desk cancelled")
    assert out == ""
    assert err.strip().endswith("KeyboardInterrupt")
    assert "During handling" not in err


def test_a_program_that_forgets_to_close_ends(process: Any) -> None:
    process.start()
    program = """
import sys
from rpcclient import Client

client = Client(sys.argv[1], token_file=sys.argv[2])
stream = client.stream("rpc.services")
print(client.call("desk.add", [1, 2]))
"""
    command = [sys.executable, "-X", "dev", "-c", program, process.url, str(process.token_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "3\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "work",
    ["client.call('desk.wait')", "list(client.stream('desk.stall'))"],
    ids=["answer", "item"],
)
def test_an_interrupt_that_comes_just_before_the_wait(process: Any, work: str) -> None:
    """It wakes nobody then. Here another thread gets the signal, which does not wake the one that waits either."""
    program = f"""
import signal, sys, threading
from rpcclient import Client

def interrupt():
    sys.stdin.readline()
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

with Client(sys.argv[1], token_file=sys.argv[2]) as client:
    client.connect()
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        {work}
    except KeyboardInterrupt:
        print("interrupted", client.call("desk.add", [1, 2]))
"""
    process.start()
    command = [sys.executable, "-c", program, process.url, str(process.token_file)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        process.expect("desk began")
        out, _ = child.communicate("now\n", timeout=60)
    finally:
        child.kill()
        child.wait()
    assert out == "interrupted 3\n"
