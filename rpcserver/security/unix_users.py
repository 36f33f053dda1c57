"""Finds out who is at the other end of a Unix socket, by the user and the groups that the kernel tells."""

from __future__ import annotations

import difflib
import grp
import pwd
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache

from rpcserver.config import ConfigError, UnixAuthConfig
from rpcwire.context import Principal

from .caller_file import Members
from .named_tokens import RESERVED

REMEMBER_S = 10.0
"""How long the name of a user may be remembered, in seconds. An administrator may give the number to somebody else."""


class UnixUsers:
    """The users and groups of the system that need no token on the Unix socket, and their roles. The names in the
    configuration are looked up once, at the start: to look them up for each connection could take long, where they come
    over the network. Only the name of somebody who is known by a group is looked up later.

    Parameters:
        config: the users and groups, and their roles.
        owner_uid: the user who runs the server.

    Raises:
        ConfigError: there is no such user or group, or a user cannot be in a role in this way.
    """

    def __init__(self, config: UnixAuthConfig, owner_uid: int) -> None:
        self._users: dict[int, Principal] = {}
        for name, role in config.users.items():
            uid = _look_up(f"auth.unix.users.{name}", "user", name, lambda each: pwd.getpwnam(each).pw_uid)
            if uid == owner_uid:
                raise ConfigError(f"auth.unix.users.{name}: this user runs the server: write a table [roles.owner]")
            if name in RESERVED:
                raise ConfigError(f"auth.unix.users.{name}: the server gives this name itself: use a named token")
            self._users[uid] = Principal(name, "peer", uid, role)
        self._groups = {
            _look_up(f"auth.unix.groups.{name}", "group", name, lambda each: grp.getgrnam(each).gr_gid): role
            for name, role in config.groups.items()
        }
        self._members: dict[str, tuple[int, frozenset[int]]] = {}  # The user and the groups of each, by their name.
        self._places = {
            **{f"auth.unix.users.{name}": role for name, role in config.users.items()},
            **{f"auth.unix.groups.{name}": role for name, role in config.groups.items()},
        }

    def __bool__(self) -> bool:
        return bool(self._places)

    def check_roles(self, names: Collection[str]) -> None:
        """Check that there are the roles that users and groups have.

        Parameters:
            names: the names of all roles.

        Raises:
            ConfigError: there is no such role.
        """
        for place, role in self._places.items():
            if role not in names:
                near = difflib.get_close_matches(role[:100], names, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(names))}"
                raise ConfigError(f"{place}: there is no role {role[:100]!r}: {hint}")

    def principal(self, uid: int, groups: Callable[[], Collection[int]]) -> Principal | None:
        """Find out who a user is; ``None`` if they need a token. A user's own role goes before those of groups, and of
        these the first one in the configuration counts.

        Parameters:
            uid: the user.
            groups: returns the groups of the user's process.
        """
        if uid in self._users:
            return self._users[uid]
        if not self._groups:
            return None
        gids = frozenset(groups())
        role = self._role_of(gids)
        name = None if role is None else user_name(uid)
        if role is None or name is None or name in RESERVED:
            return None
        self._members[name] = uid, gids  # The system has a bounded number of users with names.
        return Principal(name, "peer", uid, role)

    def principals(self) -> Iterator[Principal]:
        """Yield the users who are named, and those members of the groups who have connected."""
        yield from self._users.values()
        for name, (uid, gids) in self._members.items():
            role = self._role_of(gids)
            if role is not None and uid not in self._users:
                yield Principal(name, "peer", uid, role)

    def forget_former_members(self) -> frozenset[str]:
        """Return the names of those who have connected as members of a group that gives them no role any more, once."""
        former = {
            name for name, (uid, gids) in self._members.items() if uid not in self._users and not self._role_of(gids)
        }
        for name in former:
            del self._members[name]
        return frozenset(former)

    def _role_of(self, gids: Collection[int]) -> str | None:
        return next((role for gid, role in self._groups.items() if gid in gids), None)

    @property
    def members(self) -> Members:
        """Those who have connected as members of a group."""
        return dict(self._members)

    def remember_members(self, members: Members) -> None:
        """Remember who has connected as a member of a group before, under other settings.

        Parameters:
            members: as of :attr:`members`.
        """
        self._members = {**members, **self._members}


def _look_up(place: str, kind: str, name: str, find: Callable[[str], int]) -> int:
    try:
        return find(name)
    except (KeyError, ValueError):
        raise ConfigError(f"{place}: the system knows no {kind} {name[:100]!r}: write the name of one") from None


def user_name(uid: int) -> str | None:
    """Return the name of a user; ``None`` if the user has none. It is remembered for :data:`REMEMBER_S`."""
    return _find_name(uid, int(time.monotonic() / REMEMBER_S))


@lru_cache(maxsize=1024)
def _find_name(uid: int, _period: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def check_settings(config: UnixAuthConfig, mode: str, *, has_socket: bool, asks_kernel: bool) -> None:
    """Refuse users and groups that could never connect.

    Parameters:
        config: the users and groups.
        mode: the mode of the socket.
        has_socket: whether there is a Unix socket.
        asks_kernel: whether the user at its other end counts.

    Raises:
        ConfigError: they could not; the message says why.
    """
    tables: Mapping[str, object] = {"users": config.users, "groups": config.groups}
    place = next((f"auth.unix.{name}" for name, table in tables.items() if table), None)
    if place is None:
        return
    if not has_socket:
        raise ConfigError(f"{place}: there is no Unix socket: set listen.unix")
    if not asks_kernel:
        raise ConfigError(f"{place}: with listen.unix_peer_credentials = false everybody needs a token: remove it")
    if mode == "0600":
        raise ConfigError(
            f"{place}: only the user who runs the server may connect to the Unix socket: set listen.unix_mode = "
            '"0666", or "0660" and listen.unix_group'
        )
