"""Has a process that is ready (`ready.py`) run a command with the streams, folder and environment of this one, and ends
as the command ends. It runs with ``python -I -S``, so it starts fast."""

from __future__ import annotations

import os
import signal
import socket
import sys

with socket.socket(socket.AF_UNIX) as asking:
    asking.connect(sys.argv[1])
    arguments = [os.fsencode(word) for word in sys.argv[2:]]
    environment = [name + b"=" + value for name, value in os.environb.items()]
    data = b"\0".join([os.getcwdb(), b"%d" % len(arguments), *arguments, *environment])  # noqa: PTH109 - pathlib would make it slow
    sent = socket.send_fds(asking, [data], [0, 1, 2])
    asking.sendall(data[sent:])
    asking.shutdown(socket.SHUT_WR)
    status = int(asking.recv(100))
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
