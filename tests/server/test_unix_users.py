"""Other users of the machine on the Unix socket: the kernel tells who they are, and the settings which role they have."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import connect

from rpcserver.config import ConfigError, UnixAuthConfig
from rpcserver.door import listeners
from rpcserver.layers.loading import load_config
from rpcserver.security import unix_users
from rpcserver.security.unix_users import UnixUsers

ROLES = {"adder": {"permissions": ["calc.add"]}, "reader": {"permissions": []}}
USER, OTHER = "nobody", "daemon"


def test_users_and_groups_have_their_roles(tools: Any, place: Path, connect_as: Callable[..., socket.socket]) -> None:
    path = place / "own" / "s.sock"
    unix = {"users": {USER: "adder"}, "groups": {"games": "adder", "mail": "reader"}}

    async def hello(sock: socket.socket) -> dict[str, str] | None:
        async with connect("ws://localhost/", sock=sock, proxy=None) as connection:
            principal: dict[str, str] | None = (await tools.call(connection, "rpc.hello"))["result"]["principal"]
            allowed = "result" in await tools.call(connection, "calc.add", [1, 2])
            assert allowed == (principal is not None and principal["role"] == "adder")
            return principal

    async def main() -> None:
        listen = {"unix": str(path), "unix_mode": "0666", "tcp": False}
        async with tools.serve(listen=listen, auth={"unix": unix}, roles=ROLES):
            assert await hello(connect_as(path, USER)) == {"name": USER, "method": "peer", "role": "adder"}
            by_group = await hello(connect_as(path, OTHER, ["audio", "mail"]))
            assert by_group == {"name": OTHER, "method": "peer", "role": "reader"}
            first = await hello(connect_as(path, OTHER, ["mail", "games"]))
            assert first == {"name": OTHER, "method": "peer", "role": "adder"}, "the first group of the settings counts"
            assert await hello(connect_as(path, OTHER, ["audio"])) is None, "they need a token"

    tools.run(main())


def test_only_the_group_may_connect(tools: Any, place: Path, connect_as: Callable[..., socket.socket]) -> None:
    path = place / "own" / "s.sock"
    listen = {"unix": str(path), "unix_mode": "0660", "unix_group": "games", "tcp": False}

    async def main() -> None:
        async with tools.serve(listen=listen, auth={"unix": {"groups": {"games": "adder"}}}, roles=ROLES):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o710
            connect_as(path, OTHER, ["games"]).close()
            with pytest.raises(PermissionError):
                connect_as(path, OTHER, ["mail"])

    tools.run(main())


def test_by_default_nobody_else_may_connect(tools: Any, place: Path, connect_as: Callable[..., socket.socket]) -> None:
    path = place / "s.sock"

    async def main() -> None:
        async with tools.serve(listen={"unix": str(path)}):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with pytest.raises(PermissionError):
                connect_as(path, USER)

    tools.run(main())


def test_a_socket_that_others_cannot_reach(place: Path) -> None:
    (place / "closed").mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=r"they may not enter .*/closed: run: chmod o\+x"):
        listeners.bind_unix(place / "closed" / "s.sock", 0o666)


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({"auth": {"unix": {"users": {"nosuchuser": "adder"}}}}, "the system knows no user 'nosuchuser'"),
        ({"auth": {"unix": {"groups": {"nosuchgroup": "adder"}}}}, "the system knows no group 'nosuchgroup'"),
        ({"auth": {"unix": {"users": {USER: "ader"}}}}, "there is no role 'ader': did you mean adder?"),
        ({"auth": {"unix": {"users": {USER: "adder"}}}, "listen": {"unix_mode": "0600"}}, "set listen.unix_mode"),
        ({"auth": {"unix": {"users": {USER: "adder"}}}, "listen": {"unix": "none"}}, "there is no Unix socket"),
        (
            {"auth": {"unix": {"users": {USER: "adder"}}}, "listen": {"unix_peer_credentials": False}},
            "everybody needs a token",
        ),
        ({"listen": {"unix_group": "nosuchgroup"}}, "listen.unix_group: the system knows no group"),
    ],
)
def test_settings_that_stop_the_start(sections: dict[str, Any], text: str, tools: Any, place: Path) -> None:
    async def main() -> None:
        listen = {"unix": str(place / "s.sock"), "unix_mode": "0666", **sections.get("listen", {})}
        with pytest.raises(ConfigError, match=text):
            async with tools.serve(**{**sections, "listen": listen, "roles": ROLES}):
                pass

    tools.run(main())


def test_the_user_of_the_server_is_its_owner() -> None:
    name = pwd.getpwuid(os.geteuid()).pw_name
    with pytest.raises(ConfigError, match=r"roles.owner"):
        UnixUsers(UnixAuthConfig(users={name: "adder"}), os.geteuid())


def test_nobody_is_called_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs belong to a name: whoever had the owner's could use the owner's."""
    account = pwd.getpwnam(USER)
    monkeypatch.setattr(pwd, "getpwnam", lambda _: account)
    with pytest.raises(ConfigError, match="gives this name itself"):
        UnixUsers(UnixAuthConfig(users={"owner": "adder"}), 0)


def test_a_number_may_become_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    account = pwd.getpwnam(USER)
    names = {}
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: SimpleNamespace(pw_name=names[uid]))
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=0.0)
    monkeypatch.setattr(unix_users, "time", clock)
    users = UnixUsers(UnixAuthConfig(groups={grp.getgrgid(account.pw_gid).gr_name: "adder"}), 0)
    for now, name in ((0.0, None), (unix_users.REMEMBER_S, "ada"), (2 * unix_users.REMEMBER_S, "bob")):
        clock.now = now
        if name is not None:
            names[4711] = name
        principal = users.principal(4711, lambda: [account.pw_gid])
        assert (None if principal is None else principal.name) == name


def test_the_token_is_a_credential_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert load_config().token_path != tmp_path / "token", "there is no such credential"
    (tmp_path / "token").write_text("x" * 32)
    assert load_config().token_path == tmp_path / "token"
    assert load_config(overrides={"state_dir": "/elsewhere"}).token_path == tmp_path / "token"
    assert load_config(overrides={"auth": {"token_file": "/own"}}).token_path == Path("/own")
