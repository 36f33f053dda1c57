"""The log in the journal of systemd: a stand-in for it speaks its protocol, and refuses what the journal refuses."""

from __future__ import annotations

import ast
import contextlib
import fcntl
import io
import json
import logging
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rpcclient import Client
from rpcserver.daemon.events import EVENTS
from rpcserver.daemon.journal import Journal, encode_entry, goes_to_journal
from rpcserver.daemon.logs import JournalHandler, JsonFormatter, LimitedHandler
from rpcwire.logs import about

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
IDS = {event.name: event.message_id for event in EVENTS}


class StandIn:
    """What systemd-journald does with its socket (https://systemd.io/JOURNAL_NATIVE_PROTOCOL).

    Attributes:
        path: its socket.
        entries: what it has received.
        files: how many of these came in files.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal"
        self.entries: list[dict[str, str]] = []
        self.files = 0
        self._arrival = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def _receive(self) -> None:
        while True:
            data, descriptors, flags, _ = socket.recv_fds(self._socket, 1 << 20, 2)
            assert not flags & socket.MSG_TRUNC
            if data == b"end":
                return
            if descriptors:
                assert data == b"" and len(descriptors) == 1
                with os.fdopen(descriptors[0], "rb") as file:
                    assert fcntl.fcntl(file, fcntl.F_GET_SEALS) & SEALS == SEALS
                    file.seek(0)
                    data = file.read()
                self.files += 1
            with self._arrival:
                self.entries.append(decode(data))
                self._arrival.notify_all()

    def wait_for(self, name: str) -> dict[str, str]:
        """Wait for an event of this name."""
        with self._arrival:
            assert self._arrival.wait_for(lambda: any(e.get("EVENT") == name for e in self.entries), LIMIT_S), (
                self.entries
            )
            return next(e for e in self.entries if e.get("EVENT") == name)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"end", str(self.path))
        self._thread.join(LIMIT_S)
        self._socket.close()
        self.path.unlink()


def decode(data: bytes) -> dict[str, str]:
    """Read an entry, as strictly as the journal does."""
    fields: dict[str, str] = {}
    while data:
        line, newline, rest = data.partition(b"\n")
        assert newline, "a field ends with a newline"
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert len(value) == length and rest[:1] == b"\n"
            rest = rest[1:]
        assert re.fullmatch(rb"[A-Z][A-Z0-9_]{0,63}", name) and name.decode() not in fields, name
        fields[name.decode()] = value.decode()
        data = rest
    return fields


@pytest.fixture
def journal(short_folder: Path) -> Iterator[StandIn]:
    stand_in = StandIn(short_folder)
    with contextlib.closing(stand_in):
        yield stand_in


def make_record(template: str, *args: object, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("rpcserver.connection", level, "/x/link.py", 7, template, args, None, "adopt")
    record.__dict__.update(extra)
    return record


def test_a_server_writes_entries_with_fields(journal: StandIn, tmp_path: Path) -> None:
    """Its standard error is a socket, and JOURNAL_STREAM says that it is the journal's."""
    code = f"""
import os, sys
from functools import partial
from rpcserver.daemon import cli
status = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{{status.st_dev}}:{{status.st_ino}}"
cli.set_up = partial(cli.set_up, journal_socket={str(journal.path)!r})
cli.main(prog_name="rpcserver")
"""
    reading, writing = socket.socketpair()
    environment = {**os.environ, "RPCSERVER_STATE_DIR": str(tmp_path / "state"),
                   "RPCSERVER_PLUGINS__DISABLED": '["programs", "database", "hardware"]'}  # fmt: skip
    words = [
        sys.executable,
        "-c",
        code,
        "serve",
        "--port",
        "0",
        "--unix",
        "none",
        "--token-file",
        str(tmp_path / "token"),
    ]
    with reading, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=writing, text=True, env=environment) as server:
        writing.close()
        assert server.stdout is not None
        url = server.stdout.readline().rpartition(" ")[2].strip()
        with Client(url, token_file=str(tmp_path / "token")) as client:
            client.call("rpc.hello")
        entry = journal.wait_for("authenticated")
        assert (entry["PRINCIPAL"], entry["CONNECTION"], entry["PRIORITY"]) == ("owner", "c1", "6")
        assert entry["MESSAGE_ID"] == IDS["authenticated"] and entry["MESSAGE"].startswith("c1 is owner by ")
        assert entry["SYSLOG_IDENTIFIER"] == "rpcserver" and entry["CODE_FILE"].endswith("connections.py")
        entry = journal.wait_for("disconnected")
        assert entry["PRINCIPAL"] == "owner" and entry["CLIENT"].startswith("127.0.0.1:")
        server.send_signal(signal.SIGTERM)
        assert journal.wait_for("stopping")["SIGNAL"] == "SIGTERM"
        assert journal.wait_for("stopped")["MESSAGE_ID"] == IDS["stopped"]
        assert server.wait(LIMIT_S) == 0
        assert reading.recv(1000) == b"", "nothing goes to standard error besides"


def test_what_a_client_says_forges_no_field(journal: StandIn) -> None:
    handler = JournalHandler(io.StringIO(), Journal(str(journal.path)))
    with contextlib.closing(handler):
        evil = "x\nPRIORITY=0\x1b[1m"
        handler.handle(
            make_record("%s %s disconnected: %s", "c1", "10.0.0.1:5", evil, **about("10.0.0.1:5", is_known=True))
        )
        handler.hide(["tweety-pie"])
        try:
            raise RuntimeError("tweety-pie\nis the password")
        except RuntimeError:
            failure = make_record("%s failed, incident %s", "desk.add", "12ab", level=logging.ERROR)
            failure.exc_info = sys.exc_info()
            handler.handle(failure)
        large = "é" * 60_000
        entry = encode_entry([("MESSAGE", large * 100)])
        handler._journal.send(entry)
        journal.wait_for("call-failed")
    first = journal.wait_for("disconnected")
    assert first["PRIORITY"] == "6" and "\x1b" not in str(first) and first["REASON"] == "x\\x0aPRIORITY=0\\x1b[1m"
    second = journal.wait_for("call-failed")
    assert (second["METHOD"], second["INCIDENT"], second["PRIORITY"]) == ("desk.add", "12ab", "3")
    assert "Traceback" in second["MESSAGE"] and "tweety" not in str(second)


def test_a_large_entry_comes_in_a_sealed_file(journal: StandIn) -> None:
    sender = Journal(str(journal.path))
    with contextlib.closing(sender):
        text = "a line\n" * 3_000_000
        sender.send(encode_entry([("EVENT", "large"), ("MESSAGE", text)]))
        assert journal.wait_for("large")["MESSAGE"] == text and journal.files == 1


def test_while_the_journal_does_not_listen_lines_go_to_standard_error(short_folder: Path) -> None:
    stream = io.StringIO()
    handler = JournalHandler(stream, Journal(str(short_folder / "journal")))
    with contextlib.closing(handler):
        handler.handle(make_record("stopped"))
        assert stream.getvalue() == "stopped\n"
        with contextlib.closing(StandIn(short_folder)) as journal:
            handler.handle(make_record("stopped"))
            journal.wait_for("stopped")
        handler.handle(make_record("stopped"))
        with contextlib.closing(StandIn(short_folder)) as journal:  # It has started again.
            handler.handle(make_record("stopped"))
            journal.wait_for("stopped")
    assert stream.getvalue() == "stopped\n" * 2


def test_only_a_stream_of_the_journal_is_one(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        status = os.fstat(file.fileno())
        assert goes_to_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, file)
        for other in (f"{status.st_dev}:{status.st_ino + 1}", "", "x"):
            assert not goes_to_journal({"JOURNAL_STREAM": other}, file)
        assert not goes_to_journal({}, file)
    assert not goes_to_journal({"JOURNAL_STREAM": "1:2"}, io.StringIO())
    with pytest.raises(ValueError, match="no name"):
        encode_entry([("_PID", "1")])


def test_lines_of_json() -> None:
    stream = io.StringIO()
    handler = LimitedHandler(stream, formatter=JsonFormatter())
    extra = about("10.0.0.1:5", is_known=True) | {"connection": "c1", "principal": "ada"}
    handler.handle(make_record("%s is %s by %s", "c1", "ada\n\u2028", "token", **extra))
    handler.handle(make_record("something else", level=logging.WARNING))
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "INFO",
        "logger": "rpcserver.connection",
        "message": "c1 is ada\n\\u2028 by token",
        "event": "authenticated",
        "message_id": IDS["authenticated"],
        "connection": "c1",
        "principal": "ada\\x0a\\u2028",
        "authentication": "token",
        "client": "10.0.0.1:5",
    }
    assert "event" not in second and second["message"] == "something else"


def test_every_event_is_logged_somewhere_and_has_an_id_of_its_own() -> None:
    texts = set()
    for folder in ("rpcserver", "rpcwire", "services"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "events.py":
                tree = ast.parse(path.read_text(encoding="utf-8"))
                texts |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert [event.name for event in EVENTS if event.template not in texts] == []
    assert len({event.message_id for event in EVENTS}) == len({event.name for event in EVENTS}) == len(EVENTS)
    assert all(re.fullmatch("[0-9a-f]{32}", event.message_id) for event in EVENTS)
    assert all(len(event.fields) <= event.template.count("%") for event in EVENTS)
    table = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for event in EVENTS:
        assert f"| `{event.name}` | `{event.message_id}` |" in table, event.name


def test_the_journal_takes_the_catalog(tmp_path: Path, missing: Callable[[str], None]) -> None:
    if shutil.which("journalctl") is None:
        missing("journalctl is not installed")
    for folder in ("usr/lib/systemd/catalog", "var/lib/systemd/catalog"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "config" / "systemd" / "rpcserver.catalog", tmp_path / "usr/lib/systemd/catalog")
    for words in (["--update-catalog"], ["--dump-catalog", *IDS.values()]):
        done = subprocess.run(
            ["journalctl", f"--root={tmp_path}", *words], capture_output=True, text=True, timeout=LIMIT_S
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert all(event.subject in done.stdout for event in EVENTS)
