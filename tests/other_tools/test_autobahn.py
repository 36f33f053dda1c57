"""Autobahn's cases against the link that our servers use. Its ``wstest`` is for Python 2.7 only, so it is not in
lock.txt: name it by WSTEST, or have it on the path."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from websockets.sync.client import connect

ROOT = Path(__file__).parents[2]
KNOWN = {
    "7.1.5": "A close frame between two fragments of a message: websockets answers 1002, incomplete fragmented message; "
    "Autobahn wants 1000.",
}
"""Cases that fail, with the reason."""


@contextmanager
def echo() -> Iterator[int]:
    """What is tried, and its port."""
    words = [sys.executable, "-m", "tests.other_tools.autobahn_echo", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().strip()
            assert port
            yield int(port)
        finally:
            server.terminate()


def test_what_is_tried_echoes() -> None:
    with echo() as port, connect(f"ws://127.0.0.1:{port}", proxy=None) as there:
        for message in ("Zürich", b"\x00\xff", "", "x" * 100_000):
            there.send(message)
            assert there.recv(60) == message


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_servers_link(tmp_path: Path, missing: Callable[[str], NoReturn]) -> None:
    wstest = os.environ.get("WSTEST") or shutil.which("wstest")
    if not wstest:
        missing("Autobahn's wstest is not there (Python 2.7: autobahntestsuite 0.8.2); name it by WSTEST")
    with echo() as port:
        # 9: large messages and many fragments, beyond the limits of a session. 12, 13: compression, which is off.
        spec = {"outdir": str(tmp_path), "servers": [{"url": f"ws://127.0.0.1:{port}"}], "cases": ["*"],
                "exclude-cases": ["9.*", "12.*", "13.*"], "exclude-agent-cases": {}}  # fmt: skip
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        command = [wstest, "-m", "fuzzingclient", "-s", str(tmp_path / "spec.json")]
        subprocess.run(command, check=True, capture_output=True, timeout=500, cwd=tmp_path)
    (cases,) = json.loads((tmp_path / "index.json").read_text()).values()
    counts = Counter(case["behavior"] for case in cases.values())
    print(f"Autobahn: {len(cases)} cases, {dict(counts)}")
    assert len(cases) == 247
    passing = {"OK", "NON-STRICT", "INFORMATIONAL"}
    assert {number for number, case in cases.items() if case["behavior"] not in passing} == set(KNOWN)
    assert counts["NON-STRICT"] <= 13
