"""Decides what a caller may start. What is not allowed is refused with the name of the rule."""

from __future__ import annotations

import os
import pwd
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from rpcserver import Principal, RoleTable
from rpcservices.programs.errors import ProgramNotStarted, ProgramRefused
from rpcservices.programs.models import Limits
from rpcservices.programs.terms import LimitSet, UserIds

from .arguments import Refusal, check_arguments, is_under, leads_through_process, resolve
from .rules import ProgramRule, RoleRule

PREFIX = "services.programs"
OWNER = RoleRule(may_run="anything", no_new_privs=False, others="control")
"""What the local owner may do without being listed: anything, as themselves."""
_POWERFUL = re.compile(
    r"(LD|DYLD|PYTHON|PERL|RUBY|NODE|GIT|MALLOC|JAVA|JDK|BASH_FUNC)_?.*"
    r"|BASH_ENV|ENV|IFS|PATH|SHELL|SHELLOPTS|BASHOPTS|PS4|CDPATH|HOME|PROMPT_COMMAND|GCONV_PATH|LOCPATH|NLSPATH|HOSTALIASES"
    r"|RES_OPTIONS|LOCALDOMAIN|GLIBC_TUNABLES|TERMINFO|TERMINFO_DIRS|TERMCAP|TZDIR|EDITOR|VISUAL|PAGER|BROWSER"
    r"|LESS|LESSOPEN|LESSCLOSE|MANPAGER|CLASSPATH|_JAVA_OPTIONS|GETCONF_DIR|TMPDIR|XDG_.*|SSH_.*|SUDO_.*"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller wants to start.

    Attributes:
        argv: program and arguments.
        cwd: where; ``None`` for the default.
        env: variables to set.
        user: as whom; ``None`` for the server's own user.
        limits: what it may take.
    """

    argv: list[str]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    limits: Limits | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """What is started, then.

    Attributes:
        argv: program and arguments.
        executable: the very file; empty to look for ``argv[0]`` as usual.
        cwd: where.
        cwd_exact: whether it must be checked again at the last moment.
        user: as whom, with ``ids``; ``None`` for the server's own user.
        limits: what it may take.
        no_new_privs: whether nothing may give it more rights.
    """

    argv: list[str]
    executable: str
    cwd: str
    cwd_exact: bool
    user: pwd.struct_passwd | None
    ids: UserIds | None
    limits: LimitSet
    no_new_privs: bool


class Policy:
    """The rules of a configuration.

    Parameters:
        roles: the roles by name.
        owner_may: whether the local owner may run anything without being in one.
        home: where programs are started where nobody says otherwise.
        owner_uid: the server's own user.
    """

    def __init__(self, roles: Mapping[str, RoleRule], *, owner_may: bool, home: str, owner_uid: int) -> None:
        self._roles = RoleTable(PREFIX, roles, OWNER if owner_may else None, owner_uid)
        self._home = home
        self._owner_uid = owner_uid

    # --- who ----------------------------------------------------------------------------------------------------

    def role(self, principal: Principal) -> tuple[str, RoleRule] | None:
        """The role of a caller, and its name; ``None`` where there is none."""
        return self._roles.role(principal)

    def may_view(self, principal: Principal, owner: str) -> bool:
        """Whether a caller may see a program of ``owner``."""
        found = self.role(principal)
        return principal.name == owner or (found is not None and found[1].others != "none")

    def may_control(self, principal: Principal, owner: str) -> bool:
        """Whether a caller may write to, signal and end a program of ``owner``."""
        found = self.role(principal)
        return principal.name == owner or (found is not None and found[1].others == "control")

    def check_control(self, principal: Principal, owner: str) -> None:
        """See that a caller may do more than look at a program of ``owner``.

        Raises:
            ProgramRefused: they may not.
        """
        if not self.may_control(principal, owner):
            found = self.role(principal)
            name = f"{PREFIX}.unlisted" if found is None else f"{found[0]}.others"
            raise _refused("id", name, f"it is a program of {owner}, which you may view, but not control")

    # --- what ---------------------------------------------------------------------------------------------------

    def permit(self, principal: Principal, wish: Wish) -> Permit:
        """Check a wish.

        Raises:
            ProgramRefused: a rule is against it.
            ProgramNotStarted: it makes no sense.
        """
        if not wish.argv or not wish.argv[0]:
            raise ProgramNotStarted("argv: empty: give the program and its arguments", field="argv")
        found = self.role(principal)
        if found is None:
            raise _refused("argv", f"{PREFIX}.unlisted", f"{principal.name} is in no role that may run programs")
        name, role = found
        argv, executable = wish.argv, ""
        if role.may_run == "listed":
            argv, executable = _check_program(name, role, wish.argv)
        user = self._check_user(name, role, wish.user)
        _check_env(name, role, wish.env)
        cwd, exact = self._check_cwd(name, role, wish.cwd, user)
        return Permit(
            argv=argv,
            executable=executable,
            cwd=cwd,
            cwd_exact=exact,
            user=user,
            ids=None if user is None else _ids(user),
            limits=_check_limits(name, role, wish.limits),
            no_new_privs=role.no_new_privs,
        )

    def _check_user(self, name: str, role: RoleRule, wanted: str | None) -> pwd.struct_passwd | None:
        if wanted is None:
            return None
        try:
            user = pwd.getpwnam(wanted)
        except (KeyError, ValueError):
            user = None
        if user is not None and user.pw_uid == self._owner_uid:
            return None
        if wanted not in role.users and name == f"{PREFIX}.unlisted":
            raise _refused("user", name, f"only a role with users = [{wanted[:40]!r}] may run programs as they do")
        if wanted not in role.users:
            raise _refused("user", f"{name}.users", f"{wanted[:40]!r} is not among them")
        if user is None:
            raise ProgramNotStarted(f"user: there is no user {wanted[:40]!r} on this machine", field="user")
        if self._owner_uid != 0:
            raise ProgramNotStarted("user: the server is not root, so it cannot switch users", field="user")
        return user

    def _check_cwd(
        self, name: str, role: RoleRule, wanted: str | None, user: pwd.struct_passwd | None
    ) -> tuple[str, bool]:
        if wanted is None:
            if role.cwd:
                return role.cwd[0], True
            home = self._home if user is None else user.pw_dir
            return home if user is None or os.path.isdir(home) else "/", False  # As login(1) does.
        if not wanted.startswith("/") or "\0" in wanted:
            raise ProgramNotStarted(f"cwd: {wanted[:80]!r} is no absolute path", field="cwd")
        if leads_through_process(wanted):
            # CVE-2024-21626: a directory that is reached through somebody's open descriptor.
            raise _refused("cwd", f"{PREFIX}.cwd.proc", "it leads through another process")
        if role.may_run == "anything" and not role.cwd:
            return wanted, False
        resolved = resolve(wanted)
        if resolved is None or not any(is_under(resolved, os.path.realpath(folder)) for folder in role.cwd):
            raise _refused("cwd", f"{name}.cwd", "it is not in or below one of them")
        return resolved, True


def _refused(field: str, rule: str, text: str) -> ProgramRefused:
    return ProgramRefused(f"{field}: {text} ({rule})", field=field, rule=rule)


def _check_program(name: str, role: RoleRule, argv: list[str]) -> tuple[list[str], str]:
    """The program and its arguments by the rule that fits; else the refusal of the one that comes closest."""
    closest: tuple[str, Refusal] | None = None
    for key, rule in role.programs.items():
        if rule.path != argv[0]:
            continue
        where = f"{name}.programs.{key}"
        try:
            arguments = check_arguments(rule, argv)
        except Refusal as refusal:
            if closest is None or refusal.place > closest[1].place:
                closest = where, refusal
        else:
            return [argv[0], *arguments], _check_file(where, rule)
    if closest is None:
        raise _refused("argv", f"{name}.programs", f"{argv[0][:80]!r} is not among them by exactly this path")
    where, nearest = closest
    raise _refused(f"argv[{nearest.place}]", f"{where}.{nearest.rule}", nearest.text)


def _check_file(where: str, rule: ProgramRule) -> str:
    """The file that is to be executed, with no links on the way to it that others could change."""
    resolved = os.path.realpath(rule.path)
    place = resolved
    while True:
        try:
            mode = os.lstat(place).st_mode
        except OSError as exc:
            raise ProgramNotStarted(f"argv: {rule.path}: {exc.strerror}", field="argv", errno="ENOENT") from exc
        sticky = stat.S_ISDIR(mode) and mode & stat.S_ISVTX
        if mode & stat.S_IWOTH and not sticky:
            raise _refused("argv", f"{where}.path", f"everybody may change {place}")
        if place == "/":
            return resolved
        place = os.path.dirname(place)


def _check_env(name: str, role: RoleRule, env: Mapping[str, str]) -> None:
    for variable, value in env.items():
        if not variable or "=" in variable or "\0" in variable + value:
            text = f"env: {variable[:40]!r}: no name of a variable, or a null character in it"
            raise ProgramNotStarted(text, field="env")
        if role.may_run == "anything" and not role.env:
            continue
        if variable in role.env:
            continue
        by_prefix = any(rule.endswith("*") and variable.startswith(rule[:-1]) for rule in role.env)
        if not by_prefix or _POWERFUL.fullmatch(variable):
            raise _refused(f"env.{variable[:40]}", f"{name}.env", "it is not among them")


def _check_limits(name: str, role: RoleRule, wanted: Limits | None) -> LimitSet:
    """The limits that are asked for, within those of the role; the role's own where none is."""
    allowed, found = role.limits, LimitSet()
    for each in fields(LimitSet):
        most = getattr(allowed, each.name)
        asked = None if wanted is None else getattr(wanted, each.name)
        if asked is not None and most is not None and asked > most:
            raise _refused(f"limits.{each.name}", f"{name}.limits.{each.name}", f"it is more than {most}")
        value = most if asked is None else asked
        if value is not None:
            found = replace(found, **{each.name: value})
    return found


def _ids(user: pwd.struct_passwd) -> UserIds:
    return UserIds(user.pw_uid, user.pw_gid, tuple(os.getgrouplist(user.pw_name, user.pw_gid)))
