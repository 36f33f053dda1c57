"""A process that has loaded the command ``rpcclient`` already: each command that it is asked for runs in a fork of it.

To load Python and the command takes most of the time of a short command, and these tests run hundreds. What a fork
runs is the whole command with its own arguments, environment, folder and standard streams. `launcher.py` asks for it.
"""

from __future__ import annotations

import os
import pkgutil
import runpy
import socket
import sys
from importlib import import_module

REQUEST_BYTES = 8 << 20


def load() -> None:
    """Load what commands load."""
    import rpcclient.cli
    from rpcclient import Client

    assert Client
    for module in pkgutil.iter_modules(rpcclient.cli.__path__, "rpcclient.cli."):
        import_module(module.name)
    for name in ("rich.console", "rich.table", "rich.progress", "rich.markup", "rich.text", "rpcclient.stubs.programs",
                 "rpcclient.stubs.database", "rpcclient.stubs.hardware", "rpcwire.threads.peer",
                 "rpcwire.contracts", "rpcclient.models", "rpcclient.cli.session"):  # fmt: skip
        import_module(name)


def take(asking: socket.socket) -> list[str]:
    """Take over what a launcher sends: its streams, folder and environment. Return the arguments."""
    data, streams, _, _ = socket.recv_fds(asking, REQUEST_BYTES, 3)
    while piece := asking.recv(REQUEST_BYTES):
        data += piece
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    folder, count, *rest = data.split(b"\0")
    arguments, environment = rest[: int(count)], rest[int(count) :]
    os.chdir(folder)
    for name in set(os.environb):
        del os.environb[name]
    for pair in environment:
        name, _, value = pair.partition(b"=")
        os.environb[name] = value
    return [os.fsdecode(argument) for argument in arguments]


def serve(listener: socket.socket) -> list[str]:
    """Fork for each launcher that asks. Return only in the forks, with the arguments of the command."""
    while True:
        asking, _ = listener.accept()
        if os.fork():
            asking.close()
            while _has_ended():
                pass
            continue
        listener.close()
        command = os.fork()
        if not command:
            with asking:
                return take(asking)
        _, status = os.waitpid(command, 0)
        asking.sendall(b"%d" % os.waitstatus_to_exitcode(status))
        os._exit(0)


def _has_ended() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


if __name__ == "__main__":
    load()
    sys.argv[1:] = serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("rpcclient", run_name="__main__", alter_sys=True)
