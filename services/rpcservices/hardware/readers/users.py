"""Who is logged in: from utmp(5), and where the system keeps none, from logind.

Newer systems have no utmp, since its times end in 2038, and many containers have neither: there nobody can tell, which
is not the same as nobody being there.
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
"""Where utmp(5) is."""
LOGIND = (Path("/run/systemd/seats"), Path("/run/systemd/sessions"))
"""Where logind keeps what it knows: one seat at least, seat0. The folders alone are no sign of it, though its own
library takes the first for one: systemd-tmpfiles(8) makes them, too, as in images of containers."""
_NEITHER = "the system keeps no record of who is logged in: neither utmp nor logind"
_TOO_OLD = "unsupported: logind tells it from version 254 on"


def users() -> list[User]:
    """The sessions of users who are logged in.

    Raises:
        UnknownError: nobody keeps a record of them.
    """
    # Where a system writes to the file, its own start is in it at least.
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
        # By the types of psutil it is text, and by its documentation it may be missing.
        pid=each.pid if isinstance(each.pid, int) else None,
    )


@cache
def _library() -> Any:
    """libsystemd, whose sd-login(3) reads what logind keeps; ``None`` where there is none."""
    try:
        library = ctypes.CDLL(find_library("systemd") or "libsystemd.so.0")
        _ = library.sd_get_sessions, library.sd_session_get_uid
    except (OSError, AttributeError):
        return None
    return library


def _of_logind(library: Any) -> list[User]:
    found: list[User] = []
    for session in _sessions(library):
        if not (_text(library.sd_session_get_class, session) or "user").startswith("user"):
            continue  # The screen that asks for a password, or what runs for a user who is not there.
        uid = _number(library.sd_session_get_uid, session, ctypes.c_uint32)
        if uid is None:
            continue  # It has ended.
        started = _number(getattr(library, "sd_session_get_start_time", None), session, ctypes.c_uint64)
        found.append(
            User(
                name=_name(uid),
                terminal=_text(library.sd_session_get_tty, session) or _text(library.sd_session_get_display, session),
                host=_text(library.sd_session_get_remote_host, session),
                started=None if started is None else started / 1e6,
                pid=_number(getattr(library, "sd_session_get_leader", None), session, ctypes.c_int),
                reasons={} if started is not None else {"started": _TOO_OLD},
            )
        )
    return found


def _name(uid: int) -> str:
    try:
        return plain(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return str(uid)


def _sessions(library: Any) -> list[bytes]:
    listed = ctypes.POINTER(ctypes.c_void_p)()
    count = library.sd_get_sessions(ctypes.byref(listed))
    names = [_taken(listed[number]) for number in range(max(count, 0))]
    _free(ctypes.cast(listed, ctypes.c_void_p))
    return names


def _text(ask: Any, session: bytes) -> str | None:
    found = ctypes.c_void_p()
    if ask(session, ctypes.byref(found)) < 0 or not found.value:
        return None
    return plain(_taken(found.value).decode("utf-8", "surrogateescape")) or None


def _number(ask: Any, session: bytes, kind: Any) -> int | None:
    found = kind()
    return None if ask is None or ask(session, ctypes.byref(found)) < 0 else int(found.value)


def _taken(address: int | None) -> bytes:
    """A text that the library has made for its caller, who has to give the memory back."""
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
