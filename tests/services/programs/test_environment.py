"""Who a program is told to be."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcservices.programs.permission import environment

Serve = Callable[..., None]
IDENTITY = ("USER", "LOGNAME", "HOME", "SHELL")


async def told(client: AsyncClient, **options: Any) -> dict[str, str]:
    done = await client.programs.run(["env"], text=True, **options)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_it_is_the_user_as_whom_it_runs(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where whoever has started the server left that out, or is somebody else."""
    me = pwd.getpwuid(os.geteuid())
    for name in IDENTITY:
        monkeypatch.delenv(name, raising=False)

    async def nothing(client: AsyncClient) -> None:
        found = await told(client)
        assert [found[name] for name in IDENTITY] == [me.pw_name, me.pw_name, me.pw_dir, me.pw_shell or "/bin/sh"]
        assert (await told(client, env={"USER": "given"}))["USER"] == "given"
        assert (await told(client, env_base="login"))["LOGNAME"] == me.pw_name

    serve(nothing)
    for name, value in {"USER": "somebody", "LOGNAME": "somebody", "HOME": "/somewhere", "SHELL": "/bin/some"}.items():
        monkeypatch.setenv(name, value)

    async def others(client: AsyncClient) -> None:
        found = await told(client)
        assert [found[name] for name in IDENTITY] == [me.pw_name, me.pw_name, "/somewhere", "/bin/some"]
        kept = await client.programs.start(["env"], on_disconnect="keep")
        async with client.programs.output(kept.id) as chunks:
            lines = b"".join([chunk.data async for chunk in chunks]).splitlines()
        assert f"USER={me.pw_name}".encode() in lines

    serve(others)


def test_another_user(serve: Serve, missing: Callable[[str], None]) -> None:
    if os.geteuid() != 0:
        missing("only root can switch users")
    nobody = pwd.getpwnam("nobody")

    async def scenario(client: AsyncClient) -> None:
        found = await told(client, user="nobody")
        assert [found[name] for name in IDENTITY] == ["nobody", "nobody", nobody.pw_dir, nobody.pw_shell]

    may = {"may_run": "anything", "users": ["nobody"]}
    serve(scenario, roles={"owner": {"permissions": ["programs.*"], "programs": may}})


def test_a_user_whom_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a number for a user."""

    def unknown(number: int) -> pwd.struct_passwd:
        raise KeyError(number)

    monkeypatch.setattr(environment.pwd, "getpwuid", unknown)
    monkeypatch.setenv("HOME", "/here")
    monkeypatch.delenv("USER", raising=False)
    found = environment.build("clean", ["HOME", "USER"], {}, "p1")
    assert (found["HOME"], "USER" in found) == ("/here", False)
    assert "PATH" in environment.build("login", [], {}, "p1")
