"""What the system does not tell is said, and is not taken for nothing: processes of others, and who is logged in."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from ctypes.util import find_library
from typing import Any, NoReturn

import pytest

from rpcclient.cli.top_screen import draw
from rpcclient.cli.top_state import TopState
from rpcclient.stubs.hardware import ProcessList, Snapshot
from rpcservices.hardware.readers.hidden import hidden_from

from .mounting import LOOK, scene

Missing = Callable[[str], NoReturn]
WHY = "denied: the system shows the server's user no processes of others (hidepid)"


def seen(missing: Missing, option: str, *, nobody: bool = True) -> dict[str, Any]:
    words = "--nobody" if nobody else ""
    (answer,) = scene(missing, f'mount -t proc -o "$2" proc /proc; "$PYTHON" "$1" {words} host', LOOK, option)
    return dict(json.loads(answer))


@pytest.mark.parametrize("value", ["2", "4"])
def test_hidden_processes_are_told(missing: Missing, value: str) -> None:
    found = seen(missing, f"hidepid={value}")
    assert found["processes"]["total"] == len(found["processes"]["processes"]) < 5
    assert found["processes"]["reasons"] == {"processes": WHY}
    assert found["capabilities"]["processes"][2]["processes"] == WHY
    assert found["capabilities"]["processes"][2]["exe"].startswith("denied")
    # It runs, and its number must not be taken for a free one.
    assert found["first_process"].startswith("ProcessDenied: process 1: the system hides it")
    state = TopState(process_list=ProcessList.model_validate(found["processes"]))
    state.add_sample(Snapshot.model_validate(found["first"]))
    assert "others are hidden" in draw(state, 100, 20)[0].plain


def test_processes_of_which_only_the_number_is_shown(missing: Missing) -> None:
    found = seen(missing, "hidepid=1")["processes"]
    assert found["reasons"] == {}  # These are all of them.
    first = found["processes"][0]
    assert (first["pid"], first["name"], first["create_time"]) == (1, None, None)
    assert first["reasons"]["name"] == first["reasons"]["create_time"] == "denied: the server's user may not read it"


@pytest.mark.parametrize(
    ("option", "nobody"), [("hidepid=2", False), ("hidepid=0", True), ("hidepid=2,gid=65534", True)]
)
def test_who_may_see_them_is_told_nothing(missing: Missing, option: str, nobody: bool) -> None:
    """Root, everybody, and those of the group that the option names."""
    found = seen(missing, option, nobody=nobody)
    assert found["processes"]["reasons"] == {}
    assert found["processes"]["processes"][0]["pid"] == 1
    assert found["first_process"] == ""


@pytest.mark.parametrize(
    ("options", "capabilities", "groups", "hidden"),
    [
        ({}, 0, {0}, False),
        ({"hidepid": "noaccess"}, 0, {0}, False),  # As newer kernels write it.
        ({"hidepid": "invisible"}, 0, {0}, True),
        ({"hidepid": "invisible", "gid": "7"}, 0, {7}, False),
        ({"hidepid": "ptraceable", "gid": "7"}, 0, {7}, True),
        ({"hidepid": "ptraceable"}, 1 << 19, {0}, False),
    ],
)
def test_from_whom_they_are_hidden(options: dict[str, str], capabilities: int, groups: set[int], hidden: bool) -> None:
    assert hidden_from(options, capabilities, frozenset(groups)) == hidden


NO_RUN = "mount -t tmpfs run /run"


FOLDERS = "mkdir -p /run/systemd/seats /run/systemd/sessions /run/systemd/users"
"""What systemd-tmpfiles makes, also where logind has never run."""


@pytest.mark.parametrize("utmp", ["", "touch /run/utmp", FOLDERS, f"touch /run/utmp; {FOLDERS}"])
def test_without_any_record_nobody_knows_who_is_logged_in(missing: Missing, utmp: str) -> None:
    """A file to which nothing was ever written is none, and neither are folders without a seat."""
    (answer,) = scene(missing, f'{NO_RUN}; {utmp}\n"$PYTHON" "$1" users', LOOK)
    found = json.loads(answer)
    reason = "unknown: the system keeps no record of who is logged in: neither utmp nor logind"
    assert (found["first"]["users"], found["first"]["reasons"]) == (None, {"users": reason})
    assert found["capabilities"]["users"][:2] == ["unsupported", reason]


RECORD = """
import struct, sys
def record(kind, name, line, host, when, pid):
    # As utmp(5) has it on Linux.
    return struct.pack("=h2xi32s4s32s256shhiii4i20x", kind, pid, line, b"", name, host, 0, 0, 0, when, 0, 0, 0, 0, 0)
with open("/run/utmp", "wb") as file:
    file.write(record(2, b"reboot", b"~", b"6.1", 1000, 0))
    if sys.argv[1:]:
        file.write(record(7, b"ada", b"pts/3", b"box", 2000, 77))
"""


@pytest.mark.parametrize("somebody", [True, False])
def test_a_record_counts_also_where_nobody_is_logged_in(missing: Missing, somebody: bool) -> None:
    script = f'{NO_RUN}; "$PYTHON" -c "$2" {"yes" if somebody else ""}; "$PYTHON" "$1" users'
    (answer,) = scene(missing, script, LOOK, RECORD)
    listed = json.loads(answer)["first"]["users"]
    ada = {"name": "ada", "terminal": "pts/3", "host": "box", "started": 2000.0, "pid": 77, "reasons": {}}
    assert listed == ([ada] if somebody else [])


SESSIONS = r"""
mkdir -p /run/systemd/seats /run/systemd/sessions
session() { printf '%s\n' "UID=$2" "USER=$3" ACTIVE=1 IS_DISPLAY=0 STATE=active "REMOTE=$4" "CLASS=$5" TYPE=tty \
    "$6" "$7" SERVICE=sshd LEADER=4321 AUDIT=2 REALTIME=1700000000250000 MONOTONIC=5000 > "/run/systemd/sessions/$1"; }
session 2 0 root 1 user REMOTE_HOST=192.0.2.7 TTY=pts/1
session 3 0 root 0 user TTY=tty1 VTNR=1
session 4 99 greeter 0 greeter TTY=tty2 VTNR=2
session 5 4000000 gone 0 user DISPLAY=:7 VTNR=7
session c6 0 root 0 manager-early X=1 Y=1
"""
"""As logind writes them (session_save() in src/login/logind-session.c), and its own library reads them."""


def test_logind_knows_where_nobody_is_logged_in(missing: Missing) -> None:
    if find_library("systemd") is None:
        missing("there is no libsystemd")
    script = f'{NO_RUN}; {FOLDERS}; echo IS_SEAT0=1 >/run/systemd/seats/seat0\n"$PYTHON" "$1" users'
    (answer,) = scene(missing, script, LOOK)
    assert json.loads(answer)["first"]["users"] == []


def test_logind_is_asked_where_there_is_no_utmp(missing: Missing) -> None:
    try:
        library = ctypes.CDLL(find_library("systemd") or "libsystemd.so.0")
    except OSError as exc:
        missing(f"there is no libsystemd: {exc}")
    (answer,) = scene(missing, f'{NO_RUN}; {SESSIONS}\n"$PYTHON" "$1" users', LOOK)
    found = json.loads(answer)["first"]["users"]
    told = hasattr(library, "sd_session_get_start_time")
    same = {
        "started": 1700000000.25 if told else None,
        "pid": 4321 if told else None,
        "reasons": {} if told else {"started": "unsupported: logind tells it from version 254 on"},
    }
    listed = sorted(found, key=lambda user: str(user["terminal"]))
    assert listed == [
        {"name": "4000000", "terminal": ":7", "host": None, **same},
        {"name": "root", "terminal": "pts/1", "host": "192.0.2.7", **same},
        {"name": "root", "terminal": "tty1", "host": None, **same},
    ]
