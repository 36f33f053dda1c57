"""Builds the environment of a program from a clean base and the caller's variables, without the server's own
variables."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from rpcservices.programs.terms import MARK

if TYPE_CHECKING:
    from rpcservices.programs.models import EnvBase

_LOGIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OF_THE_PLACE = frozenset({"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ"})
"""The server's variables that also fit another user."""


def login(user: pwd.struct_passwd) -> dict[str, str]:
    """The variables that a login sets (login(1))."""
    return {**_identity(user), "PATH": _LOGIN_PATH}


def _identity(user: pwd.struct_passwd) -> dict[str, str]:
    """The variables for a user's name, home and shell (environ(7))."""
    return {
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "SHELL": user.pw_shell or "/bin/sh",
    }


def own_user() -> pwd.struct_passwd | None:
    """The user of this process; ``None`` where the system has no entry for them, as in some containers."""
    try:
        return pwd.getpwuid(os.geteuid())
    except KeyError:
        return None


def build(
    base: EnvBase,
    names: Collection[str],
    variables: Mapping[str, str],
    program_id: str,
    *,
    user: pwd.struct_passwd | None = None,
    term: str | None = None,
    ask: Callable[[], pwd.struct_passwd | None] = own_user,
) -> dict[str, str]:
    """Build the whole environment of a program.

    Parameters:
        base: what to begin with.
        names: the variables of the server's environment that programs get. Those for the user's name, home and shell
            are set even if the server's environment lacks them.
        variables: the caller's variables.
        program_id: the program's id, which marks it and all that it starts.
        user: the user as whom it runs, if not the server's own user.
        term: the type of its terminal, if it has one.
        ask: gives the user of this process, see :func:`own_user`. To ask the system takes longer than all else here.
    """
    own = {name: value for name in names if (value := os.environ.get(name)) is not None}
    if user is not None:
        own = {name: value for name, value in own.items() if name in _OF_THE_PLACE} | login(user)
    elif (me := ask()) is None:
        own |= {"PATH": _LOGIN_PATH} if base == "login" else {}
    elif base == "login":
        own |= login(me)
    else:
        # If systemd or cron has started the server, it may lack these; if sudo has, they may be another user's.
        identity = _identity(me) | own | {"USER": me.pw_name, "LOGNAME": me.pw_name}
        own = {name: identity[name] for name in names if name in identity}
    if term is not None:
        own["TERM"] = term
    return {**own, **variables, MARK: program_id}
