"""A policy holds: what it does not allow is refused by the name of the rule, and what it allows works."""

from __future__ import annotations

import asyncio
import getpass
import os
import pwd
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rpcclient import AsyncClient
from rpcclient.stubs.programs import Limits, ProgramNotStarted, ProgramRefused, TerminalSize
from rpcserver import Principal, ServiceConfigError, ServiceRole
from rpcserver.config import ConfigError, ServerConfig
from rpcserver.server import Server
from rpcservices.programs import Programs
from rpcservices.programs.config import ProgramsConfig
from rpcservices.programs.errors import ProgramNotStarted as NotStarted
from rpcservices.programs.errors import ProgramRefused as Refused
from rpcservices.programs.permission.arguments import Refusal, check_arguments
from rpcservices.programs.permission.policy import Policy, Wish, check_users
from rpcservices.programs.permission.rules import ArgumentRule, ProgramRule, RoleRule
from rpcwire.errors import PermissionDenied

Serve = Callable[..., None]
TAIL, ECHO, SLEEP, ENV, PWD = (
    os.path.realpath(shutil.which(name) or "") for name in ("tail", "echo", "sleep", "env", "pwd")
)
ROLE = "roles.operator.programs"
LOG = f"{ROLE}.programs.log"


def proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def role(name: str, *, everybody: bool = False, **conditions: Any) -> dict[str, Any]:
    """A table of roles with one role for the programs service. The client of these tests comes through memory."""
    members = ["memory", "*"] if everybody else ["memory"]
    return {name: {"principals": members, "permissions": ["programs.*"], "programs": conditions}}


class Place:
    """A folder with data that may be read, a secret that may not, and links between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.work = folder / "work"
        self.outside = folder / "outside"
        self.sibling = folder / "data-of-others"
        for each in (self.data, self.data / "below", self.work, self.outside, self.sibling, folder / "bin"):
            each.mkdir()
        (self.data / "log").write_text("one\ntwo\n")
        (self.data / "below" / "log").write_text("three\n")
        self.secret = self.outside / "secret"
        self.secret.write_text("secret\n")
        (self.sibling / "log").write_text("secret\n")
        (self.data / "link").symlink_to(self.secret)
        (self.data / "folder-link").symlink_to(self.outside)
        (self.data / "inner-link").symlink_to(self.data / "below" / "log")
        (self.work / "link").symlink_to(self.outside)
        (self.work / "inner").mkdir()
        (self.work / "fd").symlink_to("/proc/self/fd")
        (folder / "echo-link").symlink_to(ECHO)
        self.tool = folder / "bin" / "tool"
        self.tool.write_text("#!/bin/sh\necho tool\n")
        self.tool.chmod(0o777)
        self.shared = folder / "shared"
        self.shared.mkdir()
        shutil.copy(self.tool, self.shared / "tool")
        (self.shared / "tool").chmod(0o755)
        self.shared.chmod(0o777)
        fake = folder / "bin" / "tail"
        fake.write_text(f"#!/bin/sh\ncat {self.secret}\n")
        fake.chmod(0o755)

    @property
    def config(self) -> dict[str, Any]:
        path = {"kind": "path", "under": str(self.data)}
        programs = {
            "log": {
                "path": TAIL,
                "options": {"-n": {"kind": "integer", "minimum": 1, "maximum": 100}, "--lines": {"kind": "integer"}, "-q": {"kind": "flag"}},
                "arguments": [{**path, "repeat": True}],
            },
            "unit": {
                "path": ECHO,
                "arguments": [{"kind": "choice", "choices": ["start", "stop"]}, {"kind": "pattern", "pattern": "[a-z]+"}],
                "separator": False,
            },
            "say": {"path": ECHO, "arguments": [{"kind": "text", "max_chars": 20, "optional": True}], "separator": False},
            "sleep": {"path": SLEEP, "arguments": [{"kind": "integer", "maximum": 3}]},
            "env": {"path": ENV},
            "pwd": {"path": PWD, "options": {"-P": {"kind": "flag"}}},
            "tool": {"path": str(self.tool)},
            "folder": {"path": str(self.folder)},
            "shared": {"path": str(self.shared / "tool")},
        }  # fmt: skip
        conditions = {
            "programs": programs,
            "cwd": [str(self.work)],
            "env": ["APP_MODE", "LC_*", "X*", "P*"],
            "users": ["nobody"],
            "limits": {"memory_bytes": 100_000_000, "processes": 20},
        }
        return {"roles": role("operator", **conditions), "environment": ("PATH",)}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def open_place() -> Iterator[Place]:
    """A place that other users may enter. It is not in pytest's own folder, which each run of pytest closes to them."""
    with tempfile.TemporaryDirectory(prefix="rpc") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield Place(folder)


Attempt = Callable[[Place], dict[str, Any]]

ATTEMPTS: dict[str, tuple[Attempt, str]] = {
    # Programs that are not listed, or not by exactly this path.
    "another program": (lambda p: {"argv": ["/bin/sh", "-c", "id"]}, f"{ROLE}.programs"),
    "a bare name, to be found by PATH": (lambda p: {"argv": ["tail", str(p.data / "log")]}, f"{ROLE}.programs"),
    "a bare name and another PATH": (
        lambda p: {"argv": ["tail", str(p.data / "log")], "env": {"PATH": str(p.folder / "bin")}},
        f"{ROLE}.programs",
    ),
    "a relative path": (lambda p: {"argv": ["./tail"], "cwd": str(p.work)}, f"{ROLE}.programs"),
    "a path from the working directory": (lambda p: {"argv": [os.path.relpath(TAIL, p.work)]}, f"{ROLE}.programs"),
    "the same file by dots": (lambda p: {"argv": [f"/usr/../{TAIL}"]}, f"{ROLE}.programs"),
    "the same file by two slashes": (lambda p: {"argv": [f"/{TAIL}"]}, f"{ROLE}.programs"),
    "the same file by a trailing slash": (lambda p: {"argv": [f"{TAIL}/"]}, f"{ROLE}.programs"),
    "a link to a listed program": (lambda p: {"argv": [str(p.folder / "echo-link"), "start", "a"]}, f"{ROLE}.programs"),
    "a program by an open descriptor": (lambda p: {"argv": ["/proc/self/fd/3"]}, f"{ROLE}.programs"),
    "the server's own program": (lambda p: {"argv": ["/proc/self/exe", "-c", "print()"]}, f"{ROLE}.programs"),
    "a blank after the name": (lambda p: {"argv": [f"{TAIL} "]}, f"{ROLE}.programs"),
    "a command line in one word": (lambda p: {"argv": [f"{TAIL} {p.secret}"]}, f"{ROLE}.programs"),
    "a file that everybody may change": (lambda p: {"argv": [str(p.tool)]}, f"{ROLE}.programs.tool.path"),
    "a file in a folder that everybody may change": (
        lambda p: {"argv": [str(p.shared / "tool")]},
        f"{ROLE}.programs.shared.path",
    ),
    "a folder": (lambda p: {"argv": [str(p.folder)]}, f"{ROLE}.programs.folder.path"),
    # Arguments.
    "a path outside": (lambda p: {"argv": [TAIL, str(p.secret)]}, f"{LOG}.arguments[0]"),
    "a path outside by dots": (lambda p: {"argv": [TAIL, f"{p.data}/../outside/secret"]}, f"{LOG}.arguments[0]"),
    "a path outside by a link": (lambda p: {"argv": [TAIL, str(p.data / "link")]}, f"{LOG}.arguments[0]"),
    "a path through a linked folder": (
        lambda p: {"argv": [TAIL, str(p.data / "folder-link" / "secret")]},
        f"{LOG}.arguments[0]",
    ),
    "a folder whose name begins alike": (lambda p: {"argv": [TAIL, str(p.sibling / "log")]}, f"{LOG}.arguments[0]"),
    "a relative file": (lambda p: {"argv": [TAIL, "log"], "cwd": str(p.work)}, f"{LOG}.arguments[0]"),
    "a file of a process": (lambda p: {"argv": [TAIL, "/proc/self/environ"]}, f"{LOG}.arguments[0]"),
    "an open descriptor": (lambda p: {"argv": [TAIL, "/proc/self/fd/0"]}, f"{LOG}.arguments[0]"),
    "the root of another process": (
        lambda p: {"argv": [TAIL, f"/proc/1/root{p.secret}"]},
        f"{LOG}.arguments[0]",
    ),
    "the second of several paths": (
        lambda p: {"argv": [TAIL, str(p.data / "log"), str(p.secret)]},
        f"{LOG}.arguments[0]",
    ),
    "standard input": (lambda p: {"argv": [TAIL, "-"]}, f"{LOG}.arguments[0]"),
    "an empty path": (lambda p: {"argv": [TAIL, ""]}, f"{LOG}.arguments[0]"),
    "no path": (lambda p: {"argv": [TAIL]}, f"{LOG}.arguments[0]"),
    "an option that is not listed": (lambda p: {"argv": [TAIL, "-F", str(p.data / "log")]}, f"{LOG}.options"),
    "a long option that is not listed": (lambda p: {"argv": [TAIL, "--follow=name"]}, f"{LOG}.options"),
    "an abbreviated option": (lambda p: {"argv": [TAIL, "--line=5", str(p.data / "log")]}, f"{LOG}.options"),
    "options in one word": (lambda p: {"argv": [TAIL, "-qf", str(p.data / "log")]}, f"{LOG}.options"),
    "a value stuck to an option": (lambda p: {"argv": [TAIL, "-n5", str(p.data / "log")]}, f"{LOG}.options"),
    "an option after the paths": (lambda p: {"argv": [TAIL, str(p.data / "log"), "-f"]}, f"{LOG}.arguments[0]"),
    "an option after the separator": (lambda p: {"argv": [TAIL, "--", "--follow"]}, f"{LOG}.arguments[0]"),
    "a value that is an option": (lambda p: {"argv": [TAIL, "-n", "-f", str(p.data / "log")]}, f"{LOG}.options.-n"),
    "a value that is no number": (lambda p: {"argv": [TAIL, "-n", "5;id", str(p.data / "log")]}, f"{LOG}.options.-n"),
    "a number with a sign": (lambda p: {"argv": [TAIL, "-n", "+1", str(p.data / "log")]}, f"{LOG}.options.-n"),
    "a number in other digits": (lambda p: {"argv": [TAIL, "-n", "٣", str(p.data / "log")]}, f"{LOG}.options.-n"),
    "a number that is too large": (lambda p: {"argv": [TAIL, "-n", "101", str(p.data / "log")]}, f"{LOG}.options.-n"),
    "a number that is too small": (lambda p: {"argv": [TAIL, "-n", "0", str(p.data / "log")]}, f"{LOG}.options.-n"),
    "a flag with a value": (lambda p: {"argv": [TAIL, "-q=1", str(p.data / "log")]}, f"{LOG}.options.-q"),
    "an option without its value": (lambda p: {"argv": [TAIL, "-n"]}, f"{LOG}.options.-n"),
    "a word that is none of the choices": (lambda p: {"argv": [ECHO, "restart", "a"]}, f"{ROLE}.programs.say.arguments"),
    "more than matches a pattern": (lambda p: {"argv": [ECHO, "start", "a\nb"]}, f"{ROLE}.programs.unit.arguments[1]"),
    "a pattern that matches in part": (lambda p: {"argv": [ECHO, "start", "a;id"]}, f"{ROLE}.programs.unit.arguments[1]"),
    "too many arguments": (lambda p: {"argv": [ECHO, "start", "a", "b"]}, f"{ROLE}.programs.unit.arguments"),
    "an argument for a program without": (lambda p: {"argv": [ENV, "sh", "-c", "id"]}, f"{ROLE}.programs.env.arguments"),
    "an assignment for env": (lambda p: {"argv": [ENV, "LD_PRELOAD=/x", "sh"]}, f"{ROLE}.programs.env.arguments"),
    "a text that is too long": (lambda p: {"argv": [ECHO, "x" * 21]}, f"{ROLE}.programs.unit.arguments[0]"),
    "a text with an escape sequence": (lambda p: {"argv": [ECHO, "\x1b]0;x\x07"]}, f"{ROLE}.programs.unit.arguments[0]"),
    "a null character": (lambda p: {"argv": [TAIL, f"{p.data}/log\0x"]}, f"{LOG}.arguments[0]"),
    # The environment.
    "a library to load": (lambda p: {"argv": [ENV], "env": {"LD_PRELOAD": "/tmp/x.so"}}, f"{ROLE}.env"),
    "a variable that is not listed": (lambda p: {"argv": [ENV], "env": {"APP_MODE2": "x"}}, f"{ROLE}.env"),
    "another PATH": (lambda p: {"argv": [ENV], "env": {"PATH": "/tmp"}}, f"{ROLE}.env"),
    "a start-up file, by a prefix that is listed": (lambda p: {"argv": [ENV], "env": {"PYTHONSTARTUP": "x"}}, f"{ROLE}.env"),
    "a start-up file of the shell": (lambda p: {"argv": [ENV], "env": {"BASH_ENV": "/tmp/x"}}, f"{ROLE}.env"),
    "a function for the shell": (lambda p: {"argv": [ENV], "env": {"BASH_FUNC_x%%": "() { id; }"}}, f"{ROLE}.env"),
    "a configuration folder": (lambda p: {"argv": [ENV], "env": {"XDG_CONFIG_HOME": "/tmp"}}, f"{ROLE}.env"),
    "conversions of the C library": (lambda p: {"argv": [ENV], "env": {"GCONV_PATH": "/tmp"}}, f"{ROLE}.env"),
    # The working directory.
    "a directory outside": (lambda p: {"argv": [PWD], "cwd": str(p.outside)}, f"{ROLE}.cwd"),
    "a directory above": (lambda p: {"argv": [PWD], "cwd": f"{p.work}/.."}, f"{ROLE}.cwd"),
    "a directory by a link": (lambda p: {"argv": [PWD], "cwd": str(p.work / "link")}, f"{ROLE}.cwd"),
    "a directory by a descriptor": (lambda p: {"argv": [PWD], "cwd": "/proc/self/fd/3"}, "programs.cwd.proc"),
    "a directory by a descriptor and dots": (
        lambda p: {"argv": [PWD], "cwd": "/proc/1/../self/fd/3/.."},
        "programs.cwd.proc",
    ),
    "a directory by a link to descriptors": (
        lambda p: {"argv": [PWD], "cwd": str(p.work / "fd" / "0")},
        "programs.cwd.proc",
    ),
    "a directory by the system's link to descriptors": (
        lambda p: {"argv": [PWD], "cwd": "/dev/fd/3"},
        "programs.cwd.proc",
    ),
    "the server's directory by two slashes": (
        lambda p: {"argv": [PWD], "cwd": "//proc/self/cwd"},
        "programs.cwd.proc",
    ),
    "a descriptor by two slashes and dots": (
        lambda p: {"argv": [PWD], "cwd": "//dev/../proc/./self//fd/3"},
        "programs.cwd.proc",
    ),
    "the directory of a thread by a link": (
        lambda p: {"argv": [PWD], "cwd": "/proc/thread-self/cwd"},
        "programs.cwd.proc",
    ),
    "the root of another process as directory": (lambda p: {"argv": [PWD], "cwd": "/proc/1/root"}, "programs.cwd.proc"),
    "the directory of a thread": (lambda p: {"argv": [PWD], "cwd": "/proc/self/task/1/cwd"}, "programs.cwd.proc"),
    # Users and limits.
    "another user": (lambda p: {"argv": [ENV], "user": "daemon"}, f"{ROLE}.users"),
    "a user that does not exist": (lambda p: {"argv": [ENV], "user": "nobody-at-all"}, f"{ROLE}.users"),
    "a user by number": (lambda p: {"argv": [ENV], "user": "1"}, f"{ROLE}.users"),
    "more memory": (lambda p: {"argv": [ENV], "limits": Limits(memory_bytes=100_000_001)}, f"{ROLE}.limits.memory_bytes"),
    "more processes": (lambda p: {"argv": [ENV], "limits": Limits(processes=21)}, f"{ROLE}.limits.processes"),
}  # fmt: skip


def test_there_are_enough_attempts() -> None:
    assert len(ATTEMPTS) >= 40


@pytest.mark.parametrize("method", ["run", "start"])
def test_no_attempt_gets_through(serve: Serve, place: Place, method: str) -> None:
    async def scenario(client: AsyncClient) -> None:
        for name, (attempt, rule) in ATTEMPTS.items():
            wish = attempt(place)
            with pytest.raises(ProgramRefused) as caught:
                await getattr(client.programs, method)(**wish)
                pytest.fail(f"{name}: it was run")
            assert caught.value.rule == rule, name
            assert caught.value.executed == "no"
            assert rule in caught.value.message
            assert caught.value.code == -32002
            assert caught.value.field.split(".")[0].split("[")[0] in wish, name
        assert await client.programs.list() == []

    serve(scenario, **place.config)


def test_not_even_the_owner_goes_through_a_process(serve: Serve, place: Place) -> None:
    """CVE-2024-21626: there is no role, and so no list of folders."""

    async def scenario(client: AsyncClient) -> None:
        loop = place.folder / "loop"
        loop.symlink_to("loop")
        for cwd in (
            "//proc/self/cwd",
            "///proc/self/cwd",
            "/dev/fd/3",
            "/proc/thread-self/root",
            str(place.work / "fd" / "0"),
        ):
            with pytest.raises(ProgramRefused) as caught:
                await client.programs.run(["pwd"], cwd=cwd)
            assert caught.value.rule == "programs.cwd.proc"
        with pytest.raises(ProgramNotStarted, match="cwd"):
            await client.programs.run(["pwd"], cwd=str(loop))
        for cwd in (f"/{place.work}", f"{place.work}/inner/../inner", "/proc"):
            assert (await client.programs.run(["pwd", "-P"], cwd=cwd)).code == 0

    serve(scenario)


def test_what_is_allowed_works(serve: Serve, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_SECRET", "do not tell")

    async def scenario(client: AsyncClient) -> None:
        run = client.programs.run
        log, below = str(place.data / "log"), str(place.data / "below" / "log")
        assert (await run([TAIL, log])).stdout == b"one\ntwo\n"
        assert (await run([TAIL, "-n", "1", log])).stdout == b"two\n"
        assert (await run([TAIL, "--lines=1", log])).stdout == b"two\n"
        assert (await run([TAIL, "--lines", "1", log])).stdout == b"two\n"
        assert (await run([TAIL, "-q", "-n", "1", "--", log, below])).stdout == b"two\nthree\n"
        assert (await run([TAIL, str(place.data / "inner-link")])).stdout == b"three\n"
        assert (await run([ECHO, "start", "web"])).stdout == b"start web\n"
        assert (await run([ECHO, "hello there"])).stdout == b"hello there\n"
        assert (await run([ECHO])).stdout == b"\n"
        assert (await run([PWD])).stdout.decode().strip() == str(place.work)
        assert (await run([PWD, "-P"], cwd=str(place.work / "inner"))).stdout.decode().strip() == f"{place.work}/inner"
        shown = (await run([ENV], env={"APP_MODE": "x", "LC_TIME": "C", "XYZ": "1"})).stdout.decode().split()
        assert {"APP_MODE=x", "LC_TIME=C", "XYZ=1"} < set(shown)
        assert {entry.partition("=")[0] for entry in shown} == {"APP_MODE", "LC_TIME", "XYZ", "PATH", "RPC_PROGRAM_ID"}
        done = await run([TAIL, "/proc/self/status".replace("/proc/self/status", log)], user=getpass.getuser())
        assert done.code == 0

    serve(scenario, **place.config)


def test_policy_gives_limits_and_takes_rights(serve: Serve, place: Place) -> None:
    config = place.config
    config["roles"]["operator"]["programs"]["programs"]["status"] = {
        "path": os.path.realpath(shutil.which("grep") or ""),
        "options": {"-E": {"kind": "pattern", "pattern": ".*"}},
        "arguments": [{"kind": "path", "under": "/proc"}],
    }
    grep = config["roles"]["operator"]["programs"]["programs"]["status"]["path"]

    async def scenario(client: AsyncClient) -> None:
        # A path is resolved before the program runs, so "self" is the server there.
        done = await client.programs.run([grep, "-E", "NoNewPrivs", "/proc/self/status"])
        assert done.code == 0
        program = await client.programs.start([SLEEP, "3"])
        status = proc(program.pid, "status")
        assert "NoNewPrivs:\t1" in status
        limits = proc(program.pid, "limits")
        assert "Max data size             100000000" in limits
        await client.programs.kill(program.id)

    serve(scenario, cgroups=False, **config)  # A group would bound the memory, and not each process.


def test_a_directory_that_is_swapped_at_the_last_moment(place: Place) -> None:
    """Between the check and the start somebody puts a link in its place: it is noticed after the change of directory."""
    from rpcservices.programs.running.launching import Launcher
    from rpcservices.programs.running.spawning import Launch, LaunchError, spawn

    launcher = Launcher()
    (place.work / "inner").rmdir()
    (place.work / "inner").symlink_to(place.outside)
    launch = Launch((PWD,), str(place.work / "inner"), {}, cwd_exact=True)
    with pytest.raises(LaunchError, match="leads to another folder") as caught:
        spawn(launch, launcher)
    launcher.stop()
    assert caught.value.field == "cwd"


def test_another_user(serve: Serve, open_place: Place, missing: Callable[[str], None]) -> None:
    if os.geteuid() != 0:
        missing("only root can switch users")

    place = open_place

    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start([SLEEP, "3"], user="nobody", cwd=str(place.work))
        status = proc(program.pid, "status")
        nobody = pwd.getpwnam("nobody")
        line = next(line for line in status.splitlines() if line.startswith("Uid:"))
        assert {int(each) for each in line.split()[1:]} == {nobody.pw_uid}
        line = next(line for line in status.splitlines() if line.startswith("Groups:"))
        assert {int(each) for each in line.split()[1:]} <= set(os.getgrouplist("nobody", nobody.pw_gid))
        assert program.info.user == "nobody"
        await client.programs.kill(program.id)
        done = await client.programs.run([ENV], user="nobody", cwd=str(place.work))
        assert done.code == 0, done.stderr
        shown = done.stdout.decode().split()
        assert f"HOME={nobody.pw_dir}" in shown
        assert "USER=nobody" in shown

    serve(scenario, **place.config)


def test_another_user_opens_its_own_streams(serve: Serve, missing: Callable[[str], None]) -> None:
    """They are files in ``/dev``, too, and belong to whoever runs. Without a home folder it starts in ``/``."""
    if os.geteuid() != 0:
        missing("only root can switch users")

    async def scenario(client: AsyncClient) -> None:
        script = "cat /dev/stdin; echo out > /dev/stdout; echo err > /dev/stderr; pwd; echo - > /dev/null"
        for data in (b"", b"in\n"):
            done = await client.programs.run(["/bin/sh", "-c", script], input=data, user="nobody")
            assert (done.stdout, done.stderr) == (data + b"out\n/\n", b"err\n")
        program = await client.programs.start(
            ["sh", "-c", "tty; echo - > /dev/tty"], user="nobody", terminal=TerminalSize()
        )
        assert (await client.programs.wait(program.id)).status.code == 0

    serve(scenario, roles=role("any", everybody=True, may_run="anything", users=["nobody"]))
    assert Path("/dev/null").owner() == "root"


def test_a_program_belongs_to_nobody_who_could_change_it_for_others(serve: Serve, open_place: Place) -> None:
    """But it may belong to the user as whom it runs."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away, and switch users")
    place = open_place
    place.tool.chmod(0o755)
    os.chown(place.tool, pwd.getpwnam("nobody").pw_uid, -1)

    async def scenario(client: AsyncClient) -> None:
        for user in (None, "daemon"):
            with pytest.raises(ProgramRefused, match="belongs to user") as caught:
                await client.programs.run([str(place.tool)], user=user)
            assert caught.value.rule == f"{ROLE}.programs.tool.path"
        assert (await client.programs.run([str(place.tool)], user="nobody", cwd="/")).stdout == b"tool\n"
        with pytest.raises(ProgramNotStarted) as missing:
            await client.programs.run(["/no/such/tool"])
        assert missing.value.errno == "ENOENT"

    programs = {"tool": {"path": str(place.tool)}, "none": {"path": "/no/such/tool"}}
    serve(scenario, roles=role("operator", programs=programs, users=["nobody", "daemon"], cwd=["/"]))


def test_nothing_until_listed(serve: Serve) -> None:
    async def without_permission(client: AsyncClient) -> None:
        with pytest.raises(PermissionDenied, match=r'in the role owner: .* add "programs\.run" to roles\.owner'):
            await client.programs.run(["true"])

    serve(without_permission, roles={"owner": {"permissions": []}})

    async def without_programs(client: AsyncClient) -> None:
        with pytest.raises(ProgramRefused) as caught:
            await client.programs.run(["true"])
        assert caught.value.rule == "roles.mine.programs.programs"

    serve(without_programs, roles={"mine": {"principals": ["memory"], "permissions": ["programs.run"]}})


def test_the_owner_may_run_anything_as_themselves(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        assert (await client.programs.run(["sh", "-c", "id -un"])).stdout.decode().strip() == getpass.getuser()
        with pytest.raises(ProgramRefused, match=r"the role does not list 'daemon'") as caught:
            await client.programs.run(["true"], user="daemon")
        assert caught.value.rule == "roles.owner.programs.users"
        for env in ({"": "x"}, {"A=B": "x"}, {"A": "x\0y"}):
            with pytest.raises(ProgramNotStarted, match="env"):
                await client.programs.run(["true"], env=env)
        with pytest.raises(ProgramNotStarted, match="cwd"):
            await client.programs.run(["true"], cwd="relative")

    serve(scenario)
    serve(scenario, roles={"owner": {"permissions": ["*"]}})


def test_a_role_has_a_user_of_its_own(serve: Serve, kit: Any) -> None:
    """So that what it runs cannot read the server's token."""
    if os.geteuid() != 0:
        pytest.skip("only root may switch users")
    own = getpass.getuser()

    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["sh", "-c", "id -un"])
        assert done.stdout.decode().strip() == "nobody"
        for keep in ("kill", "keep"):
            program = await client.programs.start(["sh", "-c", "id -un; read x"], on_disconnect=keep)
            assert program.info.user == "nobody"
            async with client.programs.output(program.id) as chunks:
                assert await kit.read_until(chunks, b"\n") == b"nobody\n"
            await client.programs.kill(program.id)
        assert (await client.programs.run(["id", "-un"], user="daemon")).stdout == b"daemon\n"
        assert (await client.programs.run(["id", "-un"], user="nobody")).stdout == b"nobody\n"
        with pytest.raises(ProgramRefused, match="runs programs as nobody") as caught:
            await client.programs.run(["id"], user=own)
        assert caught.value.rule == "roles.all.programs.user"

    serve(scenario, roles=role("all", everybody=True, may_run="anything", user="nobody", users=["daemon"]))


ANY = ProgramRule(path="/usr/bin/env", any_arguments=True)
SOME = ProgramRule(path="/usr/bin/df")
ALL = frozenset({"programs.run", "programs.view", "programs.control"})


def service_role(rule: RoleRule, name: str = "r", permissions: frozenset[str] = ALL) -> ServiceRole:
    return ServiceRole(name, permissions, rule)


@pytest.mark.parametrize(
    ("rule", "warnings"),
    [
        (RoleRule(may_run="anything"), ["run any program"]),
        (RoleRule(programs={"a": ANY, "b": SOME}), ["run /usr/bin/env with any arguments"]),
        (RoleRule(may_run="anything", user="root"), ["run any program"]),
        (RoleRule(may_run="anything", user="nobody", users=("root",)), ["run any program"]),
        (RoleRule(programs={"b": SOME}), []),
        (RoleRule(may_run="anything", user="nobody"), []),
        (RoleRule(may_run="anything", user="nobody", users=("daemon", "no.such")), []),
        (RoleRule(programs={"b": SOME}, others="view"), []),
        (RoleRule(programs={"b": SOME}, others="control"), ["write to the programs of others"]),
        (RoleRule(may_run="anything", others="control"), ["run any program", "write to the programs of others"]),
    ],
)
def test_roles_that_can_take_over_the_server_are_told(rule: RoleRule, warnings: list[str]) -> None:
    told = check_users([service_role(rule)], 0)
    assert len(told) == len(warnings)
    for text, warning in zip(told, warnings, strict=True):
        assert text.startswith(f"roles.r.programs: whoever is in this role may {warning}")
        assert "Set roles.r.programs." in text


def test_whoever_may_run_nothing_or_is_the_owner_is_not_told_of() -> None:
    rule = RoleRule(may_run="anything", others="control")
    assert check_users([service_role(rule, "owner")], 0) == []
    assert check_users([service_role(rule, permissions=frozenset({"programs.view"}))], 0) == []
    (text,) = check_users([service_role(rule, permissions=frozenset({"programs.control"}))], 0)
    assert "write to the programs of others" in text
    texts = check_users([service_role(rule, name, frozenset({"programs.run"})) for name in ("one", "owner", "two")], 0)
    assert [text.partition(":")[0] for text in texts] == ["roles.one.programs", "roles.two.programs"]


def test_a_user_that_cannot_be_had_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ServiceConfigError, match=r"user: there is no user 'no\.such'"):
        check_users([service_role(RoleRule(user="no.such"))], 0)
    with pytest.raises(ServiceConfigError, match=r"user: the server is not root"):
        check_users([service_role(RoleRule(user="nobody"))], 12345)

    async def start() -> None:
        config = ServerConfig.model_validate({"state_dir": str(tmp_path), "roles": role("r", user="no.such")})
        server = Server(config, [Programs()], token="t" * 32)
        with pytest.raises(ConfigError, match=r"^roles\.r\.programs\.user: there is no user"):
            await server.start(listen=False)

    asyncio.run(start())


def test_it_is_told_at_the_start(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(client: AsyncClient) -> None:
        assert (await client.programs.run(["true"])).code == 0

    roles = {
        **role("one", everybody=True, may_run="anything"),
        **role("two", may_run="anything", user=getpass.getuser()),
    }
    roles["two"]["principals"] = []  # A token or a certificate can have it.
    serve(scenario, roles={**roles, "owner": {"permissions": ["*"]}})
    for name in ("one", "two"):
        text = f"roles.{name}.programs: whoever is in this role may run any program as the server's own user"
        assert caplog.text.count(text) == 1
    assert "roles.owner.programs" not in caplog.text


def policy(*, owner_uid: int = 1000, **roles: tuple[str, RoleRule]) -> Policy:
    """A policy with one role for each of these principals; "*" is everybody else."""
    views = {principal: service_role(rule, name) for name, (principal, rule) in roles.items()}
    return Policy(lambda caller: views.get(caller.name, views.get("*")), home="/", owner_uid=owner_uid)


def test_what_a_role_says_of_the_programs_of_others() -> None:
    ada, bob, eve = (Principal(name, "token") for name in ("ada", "bob", "eve"))
    rules = policy(team=("ada", RoleRule(others="view")), chief=("bob", RoleRule(others="control")))
    assert (rules.role(ada) or ("",))[0] == "roles.team.programs"
    assert rules.role(eve) is None
    assert rules.may_view(ada, "owner")
    assert rules.may_view(eve, "eve")
    assert not rules.may_view(eve, "ada")
    rules.check_control(ada, "ada")
    rules.check_control(bob, "ada")
    for caller, rule in ((ada, "roles.team.programs.others"), (eve, "roles")):
        with pytest.raises(Refused) as caught:
            rules.check_control(caller, "owner")
        assert caught.value.rule == rule
    with pytest.raises(Refused, match="eve is in no role"):
        rules.permit(eve, Wish(argv=["/bin/true"]))


def test_wrong_policies_are_refused() -> None:
    def with_role(roles: dict[str, Any]) -> Server:
        return Server(ServerConfig.model_validate({"roles": roles}), [Programs()], token="t" * 32)

    for rule, text in (
        ({"programs": {"x": {"path": "tail"}}}, "absolute"),
        ({"programs": {"x": {"path": "/usr/../bin/tail"}}}, "absolute"),
        ({"programs": {"x": {"path": "/x", "options": {"n": {"kind": "flag"}}}}}, "option"),
        ({"programs": {"x": {"path": "/x", "arguments": [{"kind": "flag"}]}}}, "flag"),
        ({"programs": {"x": {"path": "/x", "arguments": [{"kind": "choice"}]}}}, "choices"),
        ({"programs": {"x": {"path": "/x", "arguments": [{"kind": "path"}]}}}, "under"),
        ({"programs": {"x": {"path": "/x", "arguments": [{"kind": "pattern", "pattern": "("}]}}}, "expression"),
        (
            {"programs": {"x": {"path": "/x", "arguments": [{"kind": "text", "repeat": True}, {"kind": "text"}]}}},
            "repeat",
        ),
        (
            {"programs": {"x": {"path": "/x", "arguments": [{"kind": "integer", "minimum": 5, "maximum": 1}]}}},
            "more than the maximum",
        ),
        ({"unknown": 1}, "unknown"),
    ):
        with pytest.raises(ValidationError, match=text):
            RoleRule.model_validate(rule)
        with pytest.raises(ConfigError, match=rf"roles\.r\.programs\.(\w+\b.*{text}|unknown)"):
            with_role({"r": {"programs": rule}})
    with pytest.raises(ConfigError, match="'ada' is in one"):
        with_role({name: {"principals": ["ada"]} for name in ("one", "two")})
    for name in ("RPC_TOKEN", "RPC_TOKEN_FILE", "RPCSERVER_AUTH__TOKEN_FILE"):
        with pytest.raises(ValidationError, match="secret"):
            ProgramsConfig(environment=("PATH", name))


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        ("(?=.*[0-9])[a-z0-9]+", "it cannot look ahead"),
        ("(?!root)[a-z]+", "it cannot look ahead"),
        ("[a-z]+(?<!root)", "it cannot look behind"),
        (r"([a-z])\1+", "it cannot refer to an earlier group"),
        ("(?>a|ab)c", "leave out what keeps Python from trying again"),
        ("[a-z]++", "leave out what keeps Python from trying again"),
        (r"[a-z]+\Z", "leave it out"),
        ("[a-z]{1,5000}", "limit the length by max_chars"),
        ("([a-z]", r"missing \)"),
        ("[z-a]", "invalid character class range"),
        ("\udc80", "surrogates not allowed"),
    ],
)
def test_patterns_that_re2_cannot_read_are_refused_with_a_remedy(pattern: str, remedy: str) -> None:
    with pytest.raises(ValidationError, match=f"this is not a regular expression.*{remedy}"):
        ArgumentRule(kind="pattern", pattern=pattern)


def test_what_patterns_match() -> None:
    for pattern, fits, others in (
        ("app-[a-z]+", ["app-web"], ["app-", "app-web2", "my app-web", "APP-web"]),
        (r"(?i)v\d+(?:\.\d+)*", ["v1", "V1.20.3"], ["v", "v1.", "v\u0661"]),
        ("[\\pL ]+", ["né à", "Ω"], ["a1"]),
        ("a|ab", ["a", "ab"], ["abc"]),
        ("^[a-z]+$", ["abc"], ["abc1"]),
    ):
        rule = ProgramRule(path="/x", arguments=(ArgumentRule(kind="pattern", pattern=pattern),))
        for text in fits:
            assert check_arguments(rule, ["/x", text]) == ["--", text]
        for text in others:
            with pytest.raises(Refusal, match="does not match"):
                check_arguments(rule, ["/x", text])


def test_a_working_directory_longer_than_the_system_takes_is_refused() -> None:
    rules = policy(owner_uid=7, r=("ada", RoleRule(may_run="anything")))
    for path in ("/a" * 100_000, "/" * 4096, "/é" + "/." * 2047):
        with pytest.raises(NotStarted, match=r"cwd: .*at most 4095 bytes") as caught:
            rules.permit(Principal("ada", "token"), Wish(argv=["/bin/true"], cwd=path))
        assert len(str(caught.value)) < 200
    assert rules.permit(Principal("ada", "token"), Wish(argv=["/bin/true"], cwd="/" * 4095)).cwd == "/" * 4095


RULE = ProgramRule(
    path="/x",
    options={"-a": ArgumentRule(kind="flag"), "--name": ArgumentRule(kind="text"), "-n": ArgumentRule(kind="integer")},
    arguments=(
        ArgumentRule(kind="pattern", pattern="[a-z]{1,3}"),
        ArgumentRule(kind="text", optional=True, repeat=True),
    ),
)
WORDS = st.one_of(
    st.sampled_from(["-a", "--name", "--name=x", "-n", "-n=1", "--", "-", "1", "abc", "-x", "--", "", "--name="]),
    st.text(max_size=5),
)


@given(st.lists(WORDS, max_size=6))
def test_whatever_is_given_nothing_but_options_begins_with_a_hyphen(words: list[str]) -> None:
    try:
        found = check_arguments(RULE, ["/x", *words])
    except Refusal as refusal:
        assert 1 <= refusal.place <= len(words) + 1
        return
    at = found.index("--")
    assert all(not word.startswith("-") and word.isprintable() for word in found[at + 1 :])
    options = found[:at]
    while options:
        option = options.pop(0)
        if option == "-n":
            assert options.pop(0).isdecimal()
        else:
            assert option == "-a" or option.startswith("--name=")


def test_the_system_is_asked_for_no_name_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of its name services end the whole process then, and each takes time."""
    asked: list[str] = []
    look_up = pwd.getpwnam

    def getpwnam(name: str) -> pwd.struct_passwd:
        asked.append(name)
        return look_up(name)

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)
    rules = policy(all=("*", RoleRule(may_run="anything", users=("nobody",))))
    for length in (1, 256, 257, 1000):
        with pytest.raises(Refused) as caught:
            rules.permit(Principal("ada", "token"), Wish(["true"], user="Z" * length))
        assert caught.value.rule == "roles.all.programs.users"
    assert [len(name) for name in asked] == [1, 256]


def test_what_takes_long_to_check_is_checked_beside_the_loop(
    serve: Serve, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To follow thousands of paths takes seconds."""
    threads: list[bool] = []
    permit = Policy.permit

    def note_thread(self: Policy, principal: Principal, wish: Wish) -> Any:
        threads.append(threading.current_thread() is not threading.main_thread())
        return permit(self, principal, wish)

    monkeypatch.setattr(Policy, "permit", note_thread)

    async def scenario(client: AsyncClient) -> None:
        log = str(place.data / "log")
        assert (await client.programs.run([TAIL, "-q", log])).stdout == b"one\ntwo\n"
        assert (await client.programs.run([TAIL, "-q", *[log] * 100])).stdout == b"one\ntwo\n" * 100
        with pytest.raises(ProgramRefused):
            await client.programs.start([TAIL, log], env={f"V{number}": "x" for number in range(100)})
        with pytest.raises(ProgramRefused):
            await client.programs.start([TAIL, log], cwd="/x" * 1000)
        assert (await client.programs.run([TAIL, f"{place.data}{'/x' * 1000}"])).code == 1

    serve(scenario, **place.config)
    assert threads == [False, True, True, True, True]


def test_more_than_the_system_takes_is_refused_before_it_is_looked_at(serve: Serve, place: Place) -> None:
    async def scenario(client: AsyncClient) -> None:
        for argv, env in (
            ([ECHO, *["x" * 2000] * 4000], {}),
            ([ECHO, "x" * 131072], {}),
            ([ECHO], {f"V{number}": "x" * 2000 for number in range(4000)}),
        ):
            with pytest.raises(ProgramNotStarted, match="give it by standard input, or in a file") as caught:
                await client.programs.run(argv, env=env)
            assert (caught.value.field, caught.value.errno, caught.value.executed) == ("argv", "E2BIG", "no")
        assert len((await client.programs.run([ECHO, "x" * 131071])).stdout) == 131072

    serve(scenario)
    serve(scenario, roles=role("any", everybody=True, may_run="anything"))
