"""The environment of a program: a clean base, what the caller sets, and never what is the server's own."""

from __future__ import annotations

import os
import pwd
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from rpcservices.programs.terms import MARK

if TYPE_CHECKING:
    from rpcservices.programs.models import EnvBase

_LOGIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OF_THE_PLACE = frozenset({"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ"})
"""Of the server's variables, those that are as good for another user."""


def login(user: pwd.struct_passwd) -> dict[str, str]:
    """What a login sets (login(1))."""
    return {**_identity(user), "PATH": _LOGIN_PATH}


def _identity(user: pwd.struct_passwd) -> dict[str, str]:
    """Who somebody is, and where at home (environ(7))."""
    return {
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "SHELL": user.pw_shell or "/bin/sh",
    }


def _own_user() -> pwd.struct_passwd | None:
    """The user as whom this process runs; ``None`` where nobody knows them, as in some containers."""
    try:
        return pwd.getpwuid(os.geteuid())
    except KeyError:
        return None


def build(
    base: EnvBase,
    names: Collection[str],
    given: Mapping[str, str],
    program_id: str,
    *,
    user: pwd.struct_passwd | None = None,
    term: str | None = None,
) -> dict[str, str]:
    """The whole environment of a program.

    Parameters:
        base: what to begin with.
        names: variables of the server's own environment that programs get. Of these, who the user is, and where at
            home, is told also where the server's environment does not.
        given: what the caller sets.
        program_id: marks the program and all that it starts.
        user: as whom it runs, if not as the server's own user.
        term: the type of its terminal, if it has one.
    """
    own = {name: os.environ[name] for name in names if name in os.environ}
    known = _own_user()
    if user is not None:
        own = {name: value for name, value in own.items() if name in _OF_THE_PLACE} | login(user)
    elif base == "login":
        own |= {"PATH": _LOGIN_PATH} if known is None else login(known)
    elif known is not None:
        # Started by systemd or cron the server may have none of them, and by sudo those of somebody else.
        told = _identity(known) | own | {"USER": known.pw_name, "LOGNAME": known.pw_name}
        own = {name: told[name] for name in names if name in told}
    if term is not None:
        own["TERM"] = term
    return {**own, **given, MARK: program_id}
