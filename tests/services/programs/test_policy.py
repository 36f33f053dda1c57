"""A policy holds: what it does not allow is refused by the name of the rule, and what it allows works."""

from __future__ import annotations

import asyncio
import getpass
import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rpcclient import AsyncClient
from rpcclient.stubs.programs import Limits, ProgramNotStarted, ProgramRefused, TerminalSize
from rpcserver import Principal, ServiceConfigError
from rpcserver.config import ConfigError, ServerConfig
from rpcserver.server import Server
from rpcservices.programs import Programs
from rpcservices.programs.config import ProgramsConfig
from rpcservices.programs.errors import ProgramNotStarted as NotStarted
from rpcservices.programs.permission.arguments import Refusal, check_arguments
from rpcservices.programs.permission.policy import Policy, Wish, check_users
from rpcservices.programs.permission.rules import ArgumentRule, ProgramRule, RoleRule

Serve = Callable[..., None]
TAIL, ECHO, SLEEP, ENV, PWD = (
    os.path.realpath(shutil.which(name) or "") for name in ("tail", "echo", "sleep", "env", "pwd")
)
ROLE = "services.programs.roles.operator"
LOG = f"{ROLE}.programs.log"


def proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


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
        }  # fmt: skip
        role = {
            "principals": ["memory"],
            "programs": programs,
            "cwd": [str(self.work)],
            "env": ["APP_MODE", "LC_*", "X*", "P*"],
            "users": ["nobody"],
            "limits": {"memory_bytes": 100_000_000, "processes": 20},
        }
        return {"roles": {"operator": role}, "environment": ("PATH",)}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


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
    "a directory by a descriptor": (lambda p: {"argv": [PWD], "cwd": "/proc/self/fd/3"}, "services.programs.cwd.proc"),
    "a directory by a descriptor and dots": (
        lambda p: {"argv": [PWD], "cwd": "/proc/1/../self/fd/3/.."},
        "services.programs.cwd.proc",
    ),
    "a directory by a link to descriptors": (
        lambda p: {"argv": [PWD], "cwd": str(p.work / "fd" / "0")},
        "services.programs.cwd.proc",
    ),
    "a directory by the system's link to descriptors": (
        lambda p: {"argv": [PWD], "cwd": "/dev/fd/3"},
        "services.programs.cwd.proc",
    ),
    "the server's directory by two slashes": (
        lambda p: {"argv": [PWD], "cwd": "//proc/self/cwd"},
        "services.programs.cwd.proc",
    ),
    "a descriptor by two slashes and dots": (
        lambda p: {"argv": [PWD], "cwd": "//dev/../proc/./self//fd/3"},
        "services.programs.cwd.proc",
    ),
    "the directory of a thread by a link": (
        lambda p: {"argv": [PWD], "cwd": "/proc/thread-self/cwd"},
        "services.programs.cwd.proc",
    ),
    "the root of another process as directory": (lambda p: {"argv": [PWD], "cwd": "/proc/1/root"}, "services.programs.cwd.proc"),
    "the directory of a thread": (lambda p: {"argv": [PWD], "cwd": "/proc/self/task/1/cwd"}, "services.programs.cwd.proc"),
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
            assert caught.value.rule == "services.programs.cwd.proc"
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
    config["roles"]["operator"]["programs"]["status"] = {
        "path": os.path.realpath(shutil.which("grep") or ""),
        "options": {"-E": {"kind": "pattern", "pattern": ".*"}},
        "arguments": [{"kind": "path", "under": "/proc"}],
    }
    grep = config["roles"]["operator"]["programs"]["status"]["path"]

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


def test_another_user(serve: Serve, place: Place, missing: Callable[[str], None]) -> None:
    if os.geteuid() != 0:
        missing("only root can switch users")

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

    for folder in (place.folder, *place.folder.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/") and "pytest" in str(folder):
            folder.chmod(0o755)
    place.work.chmod(0o755)
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

    serve(scenario, roles={"any": {"principals": ["*"], "may_run": "anything", "users": ["nobody"]}})
    assert Path("/dev/null").owner() == "root"


def test_nothing_until_listed(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(ProgramRefused) as caught:
            await client.programs.run(["true"])
        assert caught.value.rule == "services.programs.unlisted"

    serve(scenario, unlisted="nobody")


def test_the_owner_may_run_anything_as_themselves(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        assert (await client.programs.run(["sh", "-c", "id -un"])).stdout.decode().strip() == getpass.getuser()
        with pytest.raises(ProgramRefused, match=r"only a role with users = \['daemon'\]") as caught:
            await client.programs.run(["true"], user="daemon")
        assert caught.value.rule == "services.programs.unlisted"
        for env in ({"": "x"}, {"A=B": "x"}, {"A": "x\0y"}):
            with pytest.raises(ProgramNotStarted, match="env"):
                await client.programs.run(["true"], env=env)
        with pytest.raises(ProgramNotStarted, match="cwd"):
            await client.programs.run(["true"], cwd="relative")

    serve(scenario)


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
        assert caught.value.rule == "services.programs.roles.all.user"

    serve(scenario, roles={"all": RoleRule(principals=("*",), may_run="anything", user="nobody", users=("daemon",))})


ANY = ProgramRule(path="/usr/bin/env", any_arguments=True)
SOME = ProgramRule(path="/usr/bin/df")


@pytest.mark.parametrize(
    ("role", "warning"),
    [
        (RoleRule(principals=("*",), may_run="anything"), "everybody may run any program"),
        (RoleRule(principals=("owner", "ada", "bob"), may_run="anything"), "ada, bob may run any program"),
        (RoleRule(principals=("ada",), programs={"a": ANY, "b": SOME}), "ada may run /usr/bin/env with any arguments"),
        (RoleRule(principals=("ada",), may_run="anything", user="root"), "ada may run any program"),
        (RoleRule(principals=("ada",), programs={"b": SOME}), ""),
        (RoleRule(principals=("owner",), may_run="anything"), ""),
        (RoleRule(may_run="anything"), ""),
        (RoleRule(principals=("ada",), may_run="anything", user="nobody"), ""),
    ],
)
def test_roles_that_can_take_over_the_server_are_told(role: RoleRule, warning: str) -> None:
    told = check_users({"r": role}, 0)
    if not warning:
        assert told == []
        return
    (text,) = told
    assert text.startswith(f"services.programs.roles.r: {warning}")
    assert "services.programs.roles.r.user" in text


def test_a_user_that_cannot_be_had_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ServiceConfigError, match=r"roles\.r\.user: there is no user 'no\.such'"):
        check_users({"r": RoleRule(user="no.such")}, 0)
    with pytest.raises(ServiceConfigError, match=r"roles\.r\.user: the server is not root"):
        check_users({"r": RoleRule(user="nobody")}, 12345)

    async def start() -> None:
        service = Programs(ProgramsConfig(roles={"r": RoleRule(user="no.such")}))
        server = Server(ServerConfig(state_dir=str(tmp_path)), [service], token="t" * 32)
        with pytest.raises(ConfigError, match=r"services\.programs\.roles\.r\.user: there is no user"):
            await server.start(listen=False)

    asyncio.run(start())


def test_it_is_told_at_the_start(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(client: AsyncClient) -> None:
        assert (await client.programs.run(["true"])).code == 0

    serve(scenario, roles={"all": RoleRule(principals=("*",), may_run="anything")})
    assert "services.programs.roles.all: everybody may run any program as the server's own user" in caplog.text


def policy(**roles: RoleRule) -> Policy:
    return Policy(roles, owner_may=True, home="/", owner_uid=1000)


def test_who_has_which_role() -> None:
    ada, owner = Principal("ada", "token"), Principal("uid:1000", "peer", 1000)
    rules = policy(team=RoleRule(principals=("ada",), others="view"), rest=RoleRule(principals=("*",)))
    assert (rules.role(ada) or ("",))[0].endswith("team")
    assert (rules.role(owner) or ("",))[0].endswith("rest")
    assert rules.may_view(ada, "owner")
    assert not rules.may_control(ada, "owner")
    assert rules.may_control(ada, "ada")
    assert not rules.may_view(owner, "ada")
    plain = policy()
    assert plain.role(ada) is None
    assert not plain.may_view(ada, "owner")
    assert plain.may_control(owner, "ada")
    assert plain.role(Principal("owner", "peer", 7)) is None  # A name alone makes nobody the owner.


def test_wrong_policies_are_refused() -> None:
    for role, text in (
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
            ProgramsConfig(roles={"r": role})  # type: ignore[dict-item]
    with pytest.raises(ValidationError, match="'ada' is in one and in two"):
        ProgramsConfig(roles={name: RoleRule(principals=("ada",)) for name in ("one", "two")})
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
    policy = Policy({"r": RoleRule(principals=("ada",), may_run="anything")}, owner_may=False, home="/", owner_uid=7)
    for path in ("/a" * 100_000, "/" * 4096, "/é" + "/." * 2047):
        with pytest.raises(NotStarted, match=r"cwd: .*at most 4095 bytes") as caught:
            policy.permit(Principal("ada", "token"), Wish(argv=["/bin/true"], cwd=path))
        assert len(str(caught.value)) < 200
    assert policy.permit(Principal("ada", "token"), Wish(argv=["/bin/true"], cwd="/" * 4095)).cwd == "/" * 4095


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
