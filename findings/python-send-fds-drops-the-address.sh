#!/usr/bin/env bash
# Guess: socket.send_fds(sock, buffers, fds, flags, address) sends to that address, as its parameters say.
# What happens: Python drops the address, so it fails on an unconnected datagram socket, such as one to systemd.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 - "$folder/notify" <<'PYTHON'
import array
import errno
import os
import platform
import socket
import sys

path = sys.argv[1]
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(path)
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
reading, writing = os.pipe()
print("Python", platform.python_version())

rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing]))]
sender.sendmsg([b"BARRIER=1"], rights, 0, path)
message, descriptors, _, _ = socket.recv_fds(manager, 100, 1)
print(f"sendmsg with the address: {message.decode()} with {len(descriptors)} descriptor")
assert (message, len(descriptors)) == (b"BARRIER=1", 1)

try:
    socket.send_fds(sender, [b"BARRIER=1"], [writing], 0, path)
except OSError as exc:
    print(f"send_fds with the same address: {errno.errorcode[exc.errno]}: {exc.strerror}")
    assert exc.errno == errno.ENOTCONN, exc
else:
    raise SystemExit("it behaves otherwise now")
PYTHON
