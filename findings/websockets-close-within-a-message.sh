#!/usr/bin/env bash
# Guess: a close frame with code 1000 between two fragments of a message is answered with 1000, as RFC 6455 (5.4, 5.5.1) allows.
# What happens: websockets 17.4 answers 1002 "incomplete fragmented message" (Autobahn's case 7.1.5 counts that as a failure).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check websockets==17.4
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, CLIENT, SERVER, Protocol

server, client = Protocol(SERVER, state=OPEN), Protocol(CLIENT, state=OPEN)
for frame in (
    Frame(Opcode.TEXT, b"first half", fin=False),
    Frame(Opcode.CLOSE, b"\x03\xe8"),  # 1000, with neither half of the message missing by anybody's fault
):
    server.receive_data(frame.serialize(mask=True))
answer = server.close_sent
print("websockets", version("websockets"), "answers", answer)
assert (answer.code, answer.reason) == (1002, "incomplete fragmented message"), "it behaves otherwise now"
PYTHON
