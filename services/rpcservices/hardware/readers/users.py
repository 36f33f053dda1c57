"""Reads who is logged in: from utmp(5), or from logind where the system has no utmp.

Newer systems have no utmp, since its times end in 2038. Many containers have neither. There the answer is unknown,
which is not the same as nobody being logged in.
"""

from __future__ import annotations

import ctypes
import pwd
from ctypes.util import find_library
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from rpcservices.hardware.models import User

from .places import entries
from .plain import plain
from .reasons import UnknownError

UTMP = Path("/var/run/utmp")
"""The file of utmp(5)."""
LOGIND = (Path("/run/systemd/seats"), Path("/run/systemd/sessions"))
"""The folders of logind. It keeps at least one seat there, seat0. The folders alone do not show that logind runs,
though its library takes the first one for that: systemd-tmpfiles(8) makes them, too, for example in images of
containers."""
_NEITHER = "the system keeps no record of who is logged in: neither utmp nor logind"
_TOO_OLD = "unsupported: logind tells it from version 254 on"


def users() -> list[User]:
    """The sessions of users who are logged in.

    Raises:
        UnknownError: the system keeps no record of them.
    """
    # A system that writes to the file writes at least its own start.
    if UTMP.exists() and UTMP.stat().st_size:
        return [_of_utmp(each) for each in psutil.users()]
    library = _library() if any(any(entries(folder)) for folder in LOGIND) else None
    if library is None:
        raise UnknownError(_NEITHER)
    return _of_logind(library)


def _of_utmp(each: Any) -> User:
    return User(
        name=plain(each.name),
        terminal=plain(each.terminal or "") or None,
        host=plain(each.host or "") or None,
        started=each.started,
        # psutil's types say that it is text; its documentation says that it may be missing.
        pid=each.pid if isinstance(each.pid, int) else None,
    )


@cache
def _library() -> Any:
    """libsystemd, whose sd-login(3) reads the files of logind; ``None`` where it is not installed."""
    try:
        library = ctypes.CDLL(find_library("systemd") or "libsystemd.so.0")
        _ = library.sd_get_sessions, library.sd_session_get_uid
    except (OSError, AttributeError):
        return None
    return library


def _of_logind(library: Any) -> list[User]:
    users: list[User] = []
    for session in _sessions(library):
        if not (_text(library.sd_session_get_class, session) or "user").startswith("user"):
            continue  # The screen that asks for a password, or a background session of a user who is not logged in.
        uid = _number(library.sd_session_get_uid, session, ctypes.c_uint32)
        if uid is None:
            continue  # The session has ended.
        start = _number(getattr(library, "sd_session_get_start_time", None), session, ctypes.c_uint64)
        users.append(
            User(
                name=_name(uid),
                terminal=_text(library.sd_session_get_tty, session) or _text(library.sd_session_get_display, session),
                host=_text(library.sd_session_get_remote_host, session),
                started=None if start is None else start / 1e6,
                pid=_number(getattr(library, "sd_session_get_leader", None), session, ctypes.c_int),
                reasons={} if start is not None else {"started": _TOO_OLD},
            )
        )
    return users


def _name(uid: int) -> str:
    try:
        return plain(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


def _sessions(library: Any) -> list[bytes]:
    addresses = ctypes.POINTER(ctypes.c_void_p)()
    count = library.sd_get_sessions(ctypes.byref(addresses))
    names = [_take(addresses[number]) for number in range(max(count, 0))]
    _free(ctypes.cast(addresses, ctypes.c_void_p))
    return names


def _text(ask: Any, session: bytes) -> str | None:
    address = ctypes.c_void_p()
    if ask(session, ctypes.byref(address)) < 0 or not address.value:
        return None
    return plain(_take(address.value).decode("utf-8", "surrogateescape")) or None


def _number(ask: Any, session: bytes, kind: Any) -> int | None:
    value = kind()
    return None if ask is None or ask(session, ctypes.byref(value)) < 0 else int(value.value)


def _take(address: int | None) -> bytes:
    """Copy a text of the library, and free its memory, which belongs to the caller."""
    if not address:
        return b""
    content = ctypes.string_at(address)
    _free(ctypes.c_void_p(address))
    return content


def _free(address: ctypes.c_void_p) -> None:
    free = ctypes.CDLL(None).free
    free.argtypes = [ctypes.c_void_p]
    free.restype = None
    free(address)
