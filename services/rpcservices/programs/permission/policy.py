"""Decides what a caller may start. A refusal names the rule."""

from __future__ import annotations

import errno
import os
import pwd
import re
import resource
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace

from rpcserver import Principal, ServiceConfigError, ServiceRole
from rpcservices.programs.errors import ProgramNotStarted, ProgramRefused
from rpcservices.programs.models import Limits
from rpcservices.programs.terms import LimitSet, UserIds
from rpcwire.service import RoleFinder
from rpcwire.trusted_files import UntrustedFile, check_program

from .arguments import (
    LONGEST_PATH_BYTES,
    Refusal,
    check_arguments,
    is_too_long,
    is_under,
    leads_through_process,
    resolve,
)
from .rules import ProgramRule, RoleRule

SERVICE = "programs"
RUN, VIEW, CONTROL = "programs.run", "programs.view", "programs.control"
"""The permissions of the service."""
OWNER_ROLE = "owner"
OWNER = RoleRule(may_run="anything", no_new_privs=False, others="control")
"""The conditions of the role ``owner`` if the configuration has none: anything, as the server's own user."""
_QUICK_TEXTS, _QUICK_CHARACTERS = 64, 1024
_MOST_ARGUMENT_BYTES, _LEAST_ARGUMENTS_BYTES, _MOST_ARGUMENTS_BYTES = 128 * 1024, 128 * 1024, 6 * 1024 * 1024
"""The longest argument that Linux takes, and the bounds of what it takes in all (execve(2))."""
_USER_NAME_CHARACTERS = 256
"""The longest name of a user, in characters (LOGIN_NAME_MAX of limits.h)."""
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
        cwd: the working directory; ``None`` for the default.
        env: the variables to set.
        user: the user as whom to run it; ``None`` for the server's own user.
        limits: the limits of the program.
    """

    argv: list[str]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    limits: Limits | None = None

    @property
    def is_quick(self) -> bool:
        """Whether to check it takes a moment, whatever the rules are. Otherwise a thread does it: to follow a path
        takes many calls of the system, and an operator's pattern microseconds for each character."""
        return (
            len(self.argv) + len(self.env) <= _QUICK_TEXTS
            and sum(map(len, self.argv)) + len(self.cwd or "") <= _QUICK_CHARACTERS
        )


@dataclass(frozen=True, slots=True)
class Permit:
    """What the caller may start.

    Attributes:
        argv: program and arguments.
        executable: the checked file; empty to search for ``argv[0]`` as usual.
        cwd: the working directory.
        cwd_exact: whether to check ``cwd`` again at the last moment.
        user: the user as whom to run it, with ``ids``; ``None`` for the server's own user.
        limits: the limits of the program.
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

    @property
    def user_name(self) -> str:
        """The name of that user; empty for the server's own user."""
        return "" if self.user is None else self.user.pw_name


def check_users(roles: Iterable[ServiceRole], owner_uid: int) -> list[str]:
    """Check the users of roles, and describe the roles that can take over the server: what they run, or write to, can
    read the server's secrets.

    Parameters:
        roles: all roles of the configuration.
        owner_uid: the server's own user.

    Returns:
        A sentence for each such role, but for that of the owner.

    Raises:
        ServiceConfigError: a role's programs cannot run as its user.
    """
    warnings: list[str] = []
    for role in roles:
        rule: RoleRule = role.conditions
        user = _find_user(rule.user) if rule.user else None
        if rule.user and user is None:
            raise ServiceConfigError(f"user: there is no user {rule.user!r} on this machine", role=role)
        if user is not None and owner_uid not in (user.pw_uid, 0):
            raise ServiceConfigError("user: the server is not root, so it cannot switch users", role=role)
        if role.name != OWNER_ROLE:
            warnings += _find_dangers(role, rule, owner_uid)
    return warnings


def _find_dangers(role: ServiceRole, rule: RoleRule, owner_uid: int) -> Iterator[str]:
    place = f"{role.place}.{SERVICE}"
    users = {rule.user, *rule.users} if rule.user else {""}
    as_server = any(not name or ((user := _find_user(name)) and user.pw_uid == owner_uid) for name in users)
    general = [program.path for program in rule.programs.values() if program.any_arguments]
    if RUN in role.permissions and as_server and (rule.may_run == "anything" or general):
        what = "any program" if rule.may_run == "anything" else f"{', '.join(general)} with any arguments"
        yield (
            f"{place}: whoever is in this role may run {what} as the server's own user. Such a program can read the "
            f"server's secrets and all its files, and so do all that the server may. Set {place}.user to another user, "
            "which needs a server of root, or list programs with rules for their arguments"
        )
    if CONTROL in role.permissions and rule.others == "control":
        yield (
            f"{place}: whoever is in this role may write to the programs of others. If one is a shell of the owner's, "
            f'they may do all that the server may. Set {place}.others = "view", or take "{CONTROL}" from '
            f"{role.place}.permissions"
        )


def _find_user(name: str) -> pwd.struct_passwd | None:
    """Look a user up. The system is not asked for a name that is longer than any: some of its name services end the
    whole process then."""
    if len(name) > _USER_NAME_CHARACTERS:
        return None
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None


class Policy:
    """Decides by the roles of callers.

    Parameters:
        role_of: finds the role of a caller.
        home: the default working directory.
        owner_uid: the server's own user.
    """

    def __init__(self, role_of: RoleFinder, *, home: str, owner_uid: int) -> None:
        self._role_of = role_of
        self._home = home
        self._owner_uid = owner_uid

    # --- who ----------------------------------------------------------------------------------------------------

    def role(self, principal: Principal) -> tuple[str, RoleRule] | None:
        """Return the place of a caller's role in the configuration, and its conditions; ``None`` if there is none."""
        role = self._role_of(principal)
        return None if role is None else (f"{role.place}.{SERVICE}", role.conditions)

    def may_view(self, principal: Principal, owner: str) -> bool:
        """Whether a caller may see a program of ``owner``."""
        named_role = self.role(principal)
        return principal.name == owner or (named_role is not None and named_role[1].others != "none")

    def check_control(self, principal: Principal, owner: str) -> None:
        """Make sure that a caller may do more than look at a program of ``owner``.

        Raises:
            ProgramRefused: they may not.
        """
        named_role = self.role(principal)
        if principal.name == owner or (named_role is not None and named_role[1].others == "control"):
            return
        name = "roles" if named_role is None else f"{named_role[0]}.others"
        raise _refusal("id", name, f"it is a program of {owner}, which you may view, but not control")

    # --- what ---------------------------------------------------------------------------------------------------

    def permit(self, principal: Principal, wish: Wish) -> Permit:
        """Check a wish, and return the permit.

        Raises:
            ProgramRefused: a rule forbids it.
            ProgramNotStarted: the wish is not valid.
        """
        if not wish.argv or not wish.argv[0]:
            raise ProgramNotStarted("argv: empty: give the program and its arguments", field="argv")
        _check_size(wish)
        named_role = self.role(principal)
        if named_role is None:
            raise _refusal("argv", "roles", f"{principal.name} is in no role that may run programs")
        name, role = named_role
        user = self._check_user(name, role, wish.user)
        argv, executable = wish.argv, ""
        if role.may_run == "listed":
            argv, executable = _check_program(name, role, wish.argv, () if user is None else (user.pw_uid,))
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

    def _check_user(self, name: str, role: RoleRule, user_name: str | None) -> pwd.struct_passwd | None:
        choices = (*role.users, role.user) if role.user else role.users
        user_name = user_name or role.user
        if not user_name:
            return None
        user = _find_user(user_name)
        if user is not None and user.pw_uid == self._owner_uid:
            if role.user and user_name not in choices:
                raise _refusal("user", f"{name}.user", f"the role runs programs as {role.user}")
            return None
        if user_name not in choices:
            raise _refusal("user", f"{name}.users", f"the role does not list {user_name[:40]!r}")
        if user is None:
            raise ProgramNotStarted(f"user: there is no user {user_name[:40]!r} on this machine", field="user")
        if self._owner_uid != 0:
            raise ProgramNotStarted("user: the server is not root, so it cannot switch users", field="user")
        return user

    def _check_cwd(
        self, name: str, role: RoleRule, path: str | None, user: pwd.struct_passwd | None
    ) -> tuple[str, bool]:
        if path is None:
            if role.cwd:
                return role.cwd[0], True
            home = self._home if user is None else user.pw_dir
            return home if user is None or os.path.isdir(home) else "/", False  # As login(1) does.
        if not path.startswith("/") or "\0" in path:
            raise ProgramNotStarted(f"cwd: {path[:80]!r} is not an absolute path", field="cwd")
        if is_too_long(path):
            text = f"cwd: {path[:40]!r}... is too long: the system takes at most {LONGEST_PATH_BYTES} bytes"
            raise ProgramNotStarted(text, field="cwd", errno="ENAMETOOLONG")
        if leads_through_process(path):
            # CVE-2024-21626: a path to a directory through an open descriptor of a process.
            raise _refusal("cwd", f"{SERVICE}.cwd.proc", "it leads through another process")
        if role.may_run == "anything" and not role.cwd:
            return path, False
        real_path = resolve(path)
        if real_path is None or not any(is_under(real_path, os.path.realpath(folder)) for folder in role.cwd):
            raise _refusal("cwd", f"{name}.cwd", "it is not in or below a folder of the role")
        return real_path, True


def _refusal(field: str, rule: str, text: str) -> ProgramRefused:
    return ProgramRefused(f"{field}: {text} ({rule})", field=field, rule=rule)


def _check_size(wish: Wish) -> None:
    """Refuse arguments and variables that no program can be given, before anything looks at each of them."""
    texts = [*wish.argv, *wish.env, *wish.env.values()]
    stack_bytes = resource.getrlimit(resource.RLIMIT_STACK)[0]
    most_bytes = _MOST_ARGUMENTS_BYTES
    if stack_bytes != resource.RLIM_INFINITY:
        most_bytes = min(most_bytes, max(_LEAST_ARGUMENTS_BYTES, stack_bytes // 4))
    size_bytes = sum(map(len, texts)) + len(texts)
    if size_bytes > most_bytes:
        text = f"argv: {size_bytes} bytes of arguments and variables: the system takes at most {most_bytes}"
    elif len(longest := max(texts, key=len)) >= _MOST_ARGUMENT_BYTES:
        most_bytes = _MOST_ARGUMENT_BYTES - 1
        text = f"argv: an argument or a variable of {len(longest)} bytes: the system takes at most {most_bytes}"
    else:
        return
    raise ProgramNotStarted(f"{text}: give it by standard input, or in a file", field="argv", errno="E2BIG")


def _check_program(name: str, role: RoleRule, argv: list[str], trusted_uids: Iterable[int]) -> tuple[list[str], str]:
    """Check the program and its arguments. If no rule fits, raise the refusal of the one that fits best."""
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
            return [argv[0], *arguments], _check_file(where, rule, trusted_uids)
    if closest is None:
        raise _refusal(
            "argv", f"{name}.programs", f"{argv[0][:80]!r} is not listed: the role names programs by exact paths"
        )
    where, nearest = closest
    raise _refusal(f"argv[{nearest.place}]", f"{where}.{nearest.rule}", nearest.text)


def _check_file(where: str, rule: ProgramRule, trusted_uids: Iterable[int]) -> str:
    """Resolve the file to execute, and make sure that nobody could change it but root, the server's user, and the user
    as whom it runs."""
    try:
        return check_program(rule.path, trusted_uids=trusted_uids)
    except UntrustedFile as exc:
        raise _refusal("argv", f"{where}.path", str(exc)) from None
    except OSError as exc:
        symbol = errno.errorcode.get(exc.errno or 0)
        raise ProgramNotStarted(f"argv: {rule.path}: {exc.strerror}", field="argv", errno=symbol) from exc


def _check_env(name: str, role: RoleRule, env: Mapping[str, str]) -> None:
    for variable, value in env.items():
        if not variable or "=" in variable or "\0" in variable + value:
            text = f"env: {variable[:40]!r}: it is not a name of a variable, or its value has a null character"
            raise ProgramNotStarted(text, field="env")
        if role.may_run == "anything" and not role.env:
            continue
        if variable in role.env:
            continue
        by_prefix = any(rule.endswith("*") and variable.startswith(rule[:-1]) for rule in role.env)
        if not by_prefix or _POWERFUL.fullmatch(variable):
            raise _refusal(f"env.{variable[:40]}", f"{name}.env", "the role does not list this variable")


def _check_limits(name: str, role: RoleRule, requested_limits: Limits | None) -> LimitSet:
    """Check the requested limits against the role's. A limit that is not requested is the role's."""
    most_allowed, result = role.limits, LimitSet()
    for each in fields(LimitSet):
        most = getattr(most_allowed, each.name)
        request = None if requested_limits is None else getattr(requested_limits, each.name)
        if request is not None and most is not None and request > most:
            raise _refusal(f"limits.{each.name}", f"{name}.limits.{each.name}", f"it is more than {most}")
        value = most if request is None else request
        if value is not None:
            result = replace(result, **{each.name: value})
    return result


def _ids(user: pwd.struct_passwd) -> UserIds:
    return UserIds(user.pw_uid, user.pw_gid, tuple(os.getgrouplist(user.pw_name, user.pw_gid)))
