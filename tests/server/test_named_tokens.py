"""Named tokens: made, shown once, accepted, replaced and refused."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from websockets.exceptions import InvalidStatus

from rpcserver.config import ConfigError
from rpcserver.daemon.cli import main as command
from rpcserver.security import named_tokens, token_file, token_watch
from rpcserver.security.named_tokens import PREFIX, NamedTokens, TokenError, TokenSet, check_name, digest_of
from rpcserver.security.token_file import TokenFile
from rpcserver.security.token_watch import TokenWatch
from rpcserver.server import Server

NOW = 1_800_000_000.0
ROLES = {"roles": {"adder": {"permissions": ["calc.add"]}}}


def make(file: TokenFile, name: str = "ci", role: str = "adder", **more: Any) -> str:
    """A new token in the file."""
    texts = []

    def edit(tokens: TokenSet) -> TokenSet:
        new, text = tokens.create(name, role, NOW if "expires" in more else 1.0, **more)
        texts.append(text)
        return new

    file.update(edit)
    return texts[0]


def file_of(tools: Any) -> TokenFile:
    return TokenFile(tools.folder)


def test_a_token_has_256_bits_and_only_its_digest_is_kept() -> None:
    tokens, text = TokenSet().create("ci", "adder", NOW)
    assert text.startswith(PREFIX) and len(text) == len(PREFIX) + 43
    assert text not in tokens.model_dump_json()
    assert tokens.tokens[0].digest == digest_of(text)
    assert TokenSet().create("ci", "adder", NOW)[1] != text


def test_the_life_of_a_name() -> None:
    clock = [NOW]
    known = NamedTokens(lambda: clock[0])
    tokens, first = TokenSet().create("ci", "adder", NOW, expires=NOW + 1000)
    with pytest.raises(TokenError, match="there is a token ci already"):
        tokens.create("ci", "adder", NOW)
    tokens, second = tokens.rotate("ci", 60, NOW + 10)
    known.replace(tokens)
    assert {known.principal(text).role for text in (first, second)} == {"adder"}  # type: ignore[union-attr]
    assert tokens.next_expiry(NOW + 10) == NOW + 70
    clock[0] = NOW + 70
    assert known.principal(first) is None and known.principal(second) is not None
    assert list(tokens.endings(clock[0])) == [], "the name still has a token"
    clock[0] = NOW + 1010
    assert known.principal(second) is None, "it is valid for as long as the first one was"
    assert [(end.name, end.at) for end in tokens.endings(clock[0])] == [("ci", NOW + 1010)]
    tokens, third = tokens.create("ci", "adder", NOW + 2000)
    known.replace(tokens)
    assert [end.at for end in tokens.endings(NOW + 2000)] == [NOW + 1010]
    known.replace(tokens.revoke("ci", NOW + 3000))
    assert known.principal(third) is None
    assert [end.at for end in known.known.endings(NOW + 3000)] == [NOW + 3000]
    assert "" not in {token.digest for token in tokens.tokens if token.state == "current"}
    assert known.principal("") is None


def test_a_rotation_without_overlap_ends_the_old_token_at_once() -> None:
    known = NamedTokens(lambda: NOW)
    tokens, first = TokenSet().create("ci", "adder", NOW)
    tokens, second = tokens.rotate("ci", 0, NOW)
    known.replace(tokens)
    assert known.principal(first) is None and known.principal(second) is not None


@pytest.mark.parametrize("name", ["owner", "memory", "", "a b", "é", "-x", "x" * 65, "*", "a\n", "../x"])
def test_names_that_no_token_may_have(name: str) -> None:
    with pytest.raises(TokenError):
        check_name(name)


@pytest.mark.parametrize(
    ("networks", "origin", "accepted"),
    [
        ((), "203.0.113.7", True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "11.1.2.3", False),
        (("10.0.0.0/8", "2001:db8::/32"), "2001:db8::7", True),
        (("2001:db8::7",), "2001:db8::8", False),
        (("10.0.0.0/8",), "unix:uid=0", False),
        (("unix",), "unix:uid=0", True),
        (("unix",), "10.1.2.3", False),
        (("0.0.0.0/0",), "unknown", False),
        (("0.0.0.0/0",), "", False),
    ],
)
def test_networks(networks: tuple[str, ...], origin: str, accepted: bool) -> None:
    tokens, _ = TokenSet().create("ci", "adder", NOW, networks=networks)
    assert tokens.tokens[0].is_accepted_from(origin) is accepted


@pytest.mark.parametrize("network", ["10.0.0.1/8", "host", "", "unix:uid=0"])
def test_what_is_no_network(network: str) -> None:
    with pytest.raises(TokenError, match="network"):
        TokenSet().create("ci", "adder", NOW, networks=(network,))


def test_a_named_token_gives_its_role(tools: Any) -> None:
    async def main() -> None:
        token = make(file_of(tools))
        async with tools.serve(**ROLES) as server, tools.connect(server, token=token) as connection:
            hello = (await tools.call(connection, "rpc.hello"))["result"]
            assert hello["principal"] == {"name": "ci", "method": "token", "role": "adder"}
            assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
            assert (await tools.call(connection, "calc.echo", ["x"]))["error"]["data"]["type"] == "PermissionDenied"
            async with tools.connect(server, token=None) as other:
                answer = await tools.call(other, "rpc.authenticate", [token])
                assert answer["result"]["name"] == "ci"
        (known,) = file_of(tools).read().tokens
        assert known.last_used is not None, "it is written down when the server stops, if not before"

    tools.run(main())


def test_wrong_tokens_are_refused_and_nothing_fails(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        token = make(file_of(tools))
        wrong = [token[:-1], token + "x", token.upper(), PREFIX, "ключ", "\u00e9\x00", " ", "x" * 10_000]
        auth = {"free_attempts": 100, "attempts": 100}
        async with tools.serve(**ROLES, auth=auth) as server, tools.connect(server, token=None) as connection:
            for text in ["", *wrong]:
                error = (await tools.call(connection, "rpc.authenticate", [text]))["error"]
                assert error["data"]["type"] == "Unauthenticated", text
            for header in (token[:-1], "", "\u00e9", "a b", '"'):
                request = tools.upgrade(server, Authorization=f"Bearer {header}")
                status, *_ = await tools.http(server, request)
                assert status in (400, 401), header
            assert (await tools.call(connection, "rpc.authenticate", [token]))["result"]["name"] == "ci"
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]

    tools.run(main())


def test_a_token_from_a_wrong_network_is_refused_as_a_wrong_one(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The client learns nothing. The operator does."""

    async def main() -> None:
        token = make(file_of(tools), networks=("192.0.2.0/24",))
        listen = {"trusted_proxies": ["127.0.0.1"]}
        async with tools.serve(**ROLES, listen=listen) as server:
            answers = []
            for text in (token, PREFIX + "x" * 43):
                request = tools.upgrade(server, Authorization=f"Bearer {text}", X_Forwarded_For="203.0.113.7")
                answers.append(await tools.http(server, request))
            assert answers[0][0] == answers[1][0] == 401 and answers[0][2] == answers[1][2]
            async with tools.connect(server, token=token, headers={"X-Forwarded-For": "192.0.2.9"}) as connection:
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
        assert "the token ci is not accepted from 203.0.113.7, but from 192.0.2.0/24" in caplog.text
        assert token not in caplog.text

    tools.run(main())


def test_a_caller_learns_what_the_own_role_gives(tools: Any) -> None:
    async def main() -> None:
        token = make(file_of(tools))
        async with tools.serve(**ROLES) as server:
            async with tools.connect(server, token=token) as connection:
                assert (await tools.call(connection, "rpc.list_permissions"))["result"] == ["calc.add"]
            async with tools.connect(server) as connection:
                owned = (await tools.call(connection, "rpc.list_permissions"))["result"]
                assert owned == sorted(owned) and {"calc.add", "rpc.status", "rpc.sessions"} <= set(owned)
            async with tools.connect(server, token=None) as connection:
                assert (await tools.call(connection, "rpc.list_permissions"))["error"]["data"][
                    "type"
                ] == "Unauthenticated"

    tools.run(main())


def test_a_running_server_notices_changes_of_the_file(tools: Any) -> None:
    async def main() -> None:
        file = file_of(tools)
        async with tools.serve(**ROLES) as server:
            token = make(file)
            await tools.until(lambda: server.authentication.named_tokens.known.tokens)
            async with tools.connect(server, token=token):
                pass
            file.update(lambda tokens: tokens.revoke("ci", NOW))
            await tools.until(lambda: server.authentication.named_tokens.principal(token) is None)
            with pytest.raises(InvalidStatus):
                async with tools.connect(server, token=token):
                    pass

    tools.run(main())


@pytest.mark.parametrize("spoil", ["others", "malformed", "link"])
def test_a_file_that_is_spoilt_changes_nothing(
    spoil: str, tools: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever spoils it neither lets anybody in nor locks anybody out. A server does not start with it."""

    def damage(file: TokenFile) -> None:
        if spoil == "malformed":
            file.path.write_text('{"format": 1, "tokens": [{"name": "ci"}]}')
        elif spoil == "others":
            file.path.write_text(TokenSet().create("evil", "owner", 1.0)[0].model_dump_json())
            file.path.chmod(0o644)
        else:
            file.path.unlink()
            file.path.mkdir()

    async def main() -> None:
        file = file_of(tools)
        token = make(file)
        async with tools.serve(**ROLES) as server:
            damage(file)
            await tools.until(lambda: "goes on with the named tokens" in caplog.text)
            assert [known.name for known in server.authentication.named_tokens.known.tokens] == ["ci"]
            async with tools.connect(server, token=token):
                pass
        with pytest.raises(ConfigError, match=r"named tokens|malformed"):
            await Server(tools.config(), [], token=tools.TOKEN).start()

    tools.run(main())


def test_a_fault_is_told_once_and_its_end_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also one of the folder, of which the file itself shows nothing."""
    monkeypatch.setattr(token_watch, "TRY_AGAIN_S", 0.0)
    folder = tmp_path / "state"
    file = TokenFile(folder)
    make(file)
    data = file.path.read_bytes()
    tokens = NamedTokens(lambda: NOW)

    async def main() -> None:
        watch = TokenWatch(file, tokens, lambda: None)
        watch.start()

        def spoil_folder() -> None:
            folder.chmod(0o777)
            file.path.touch()

        faults = [
            ("malformed", lambda: file.path.write_bytes(data[:50]), lambda: file.path.write_bytes(data)),
            ("may read or change", lambda: file.path.chmod(0o644), lambda: file.path.chmod(0o600)),
            ("chmod go-w", spoil_folder, lambda: folder.chmod(0o700)),
            ("is missing", lambda: folder.rename(tmp_path / "other"), lambda: (tmp_path / "other").rename(folder)),
        ]
        for text, spoil, mend in faults:
            caplog.clear()
            spoil()
            for _ in range(4):
                watch._look()
            assert text in caplog.text
            assert caplog.text.count("goes on with the named tokens that it knows") == 1
            mend()
            for _ in range(2):
                watch._look()
            assert caplog.text.count("the named tokens can be read again") == 1
            assert [token.name for token in tokens.known.tokens] == ["ci"]
        await watch.stop()

    with caplog.at_level(logging.INFO, "rpcserver"):
        asyncio.run(main())


def test_a_file_that_is_removed_ends_its_tokens_unless_it_comes_back_at_once(tmp_path: Path) -> None:
    """Some tools remove a file before they write it anew."""
    file = TokenFile(tmp_path)
    make(file)
    data = file.path.read_bytes()
    tokens = NamedTokens(lambda: NOW)

    async def main() -> None:
        watch = TokenWatch(file, tokens, lambda: None)
        watch.start()
        file.path.unlink()
        watch._look()
        assert tokens.known.tokens
        file.path.write_bytes(data)
        file.path.chmod(0o600)
        watch._look()
        assert tokens.known.tokens
        file.path.unlink()
        watch._look()
        watch._look()
        assert not tokens.known.tokens
        await watch.stop()

    asyncio.run(main())


def test_a_note_of_use_never_loses_a_revocation(tmp_path: Path) -> None:
    """Both change the same file, at the same time."""
    file = TokenFile(tmp_path)
    known = NamedTokens(lambda: NOW)
    names = [f"t{number}" for number in range(20)]
    for name in names:
        make(file, name)
    known.replace(file.read())
    watch = TokenWatch(file, known, lambda: None)

    def use() -> None:
        for token in known.known.tokens:
            watch._write({token.id: NOW})

    user = threading.Thread(target=use)
    user.start()
    for name in names:
        file.update(lambda tokens, name=name: tokens.revoke(name, NOW))  # type: ignore[misc]
    user.join()
    assert {token.state for token in file.read().tokens} == {"revoked"}
    assert len(file.read().tokens) == len(names)


def test_a_note_of_use_is_no_change_of_rights(tmp_path: Path) -> None:
    """Nobody need be asked anew because of it."""
    file = TokenFile(tmp_path)
    make(file)
    known, changes = NamedTokens(lambda: NOW), []

    async def main() -> None:
        watch = TokenWatch(file, known, lambda: changes.append(known.known))
        watch.start()
        watch._write({known.known.tokens[0].id: NOW})
        watch._look()
        assert known.known.tokens[0].last_used == NOW and not changes
        file.update(lambda tokens: tokens.change("ci", NOW, role="other"))
        watch._look()
        assert len(changes) == 1
        await watch.stop()

    asyncio.run(main())


def test_a_use_that_comes_while_an_earlier_one_is_written_down(tmp_path: Path) -> None:
    file, clock = TokenFile(tmp_path), [NOW]
    make(file)
    known = NamedTokens(lambda: clock[0])

    async def main() -> None:
        watch = TokenWatch(file, known, lambda: None)
        watch.start()
        (token,) = known.known.tokens
        known.note_use(token.principal)
        earlier = known.uses.copy()
        clock[0] += 1
        known.note_use(token.principal)
        known.forget_uses(earlier)
        assert known.uses == {token.id: NOW + 1}
        await watch.stop()
        assert not known.uses

    asyncio.run(main())
    assert file.read().tokens[0].last_used == NOW + 1


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "state")
    make(file)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert {path.name for path in file.path.parent.iterdir()} == {"tokens.json", "tokens.lock"}


def test_a_lock_that_somebody_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that notes a use must be able to stop all the same."""
    file = TokenFile(tmp_path)
    make(file)
    monkeypatch.setattr(token_file, "LOCK_TIMEOUT_S", 0.05)
    with (tmp_path / "tokens.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match=r"tokens\.lock: another process has kept it for 0\.05 s"):
            make(file, "other")
    make(file, "other")


def test_a_file_has_room_for_a_number_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest revocations make room; valid tokens do not."""
    monkeypatch.setattr(named_tokens, "MOST_TOKENS", 3)
    tokens = TokenSet()
    for number in range(5):
        tokens, _ = tokens.create(f"t{number}", "adder", NOW + number)
        tokens = tokens.revoke(f"t{number}", NOW + number)
    assert [token.name for token in tokens.tokens] == ["t2", "t3", "t4"]
    for name in "abc":
        tokens, _ = tokens.create(name, "adder", NOW + 10)
    assert [token.name for token in tokens.tokens] == ["a", "b", "c"]
    with pytest.raises(TokenError, match="there are 3 tokens already: revoke some"):
        tokens.create("d", "adder", NOW + 10)
    with pytest.raises(TokenError, match="there are 3 tokens already: revoke some"):
        tokens.rotate("a", 60, NOW + 10)
    assert len(tokens.revoke("a", NOW + 20).create("d", "adder", NOW + 30)[0].tokens) == 3


class Commands:
    """Runs ``rpcserver token`` in a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.file = TokenFile(folder / "state")
        self.config = folder / "server.toml"
        self.config.write_text(f'state_dir = "{folder / "state"}"\n[roles.viewer]\n')

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(command, ["token", *words, "--config", str(self.config)])


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def test_the_commands(commands: Commands) -> None:
    made = commands("create", "ci", "--role", "viewer", "--expires", "90d", "--network", "10.0.0.0/8")
    token = made.stdout.strip()
    assert made.exit_code == 0 and token.startswith(PREFIX) and "\n" not in token
    (row,) = json.loads(commands("list", "--json").stdout)
    assert (row["name"], row["role"], row["state"], row["networks"]) == ("ci", "viewer", "valid", ["10.0.0.0/8"])
    assert token not in commands("list").stdout
    new = commands("rotate", "ci", "--overlap", "2h").stdout.strip()
    assert new != token
    assert [row["state"] for row in json.loads(commands("list", "--json").stdout)] == ["replaced", "valid"]
    assert commands("change", "ci", "--role", "owner", "--any-network").exit_code == 0
    assert {(token.role, token.networks) for token in commands.file.read().tokens} == {("owner", ())}
    assert commands("revoke", "ci").exit_code == 0
    assert [row["state"] for row in json.loads(commands("list", "--json").stdout)] == ["revoked"]


def test_a_token_that_goes_into_a_file_for_all_to_read(commands: Commands, tmp_path: Path) -> None:
    """As `rpcserver token create ci > ci.token` makes it with the usual umask: a client would refuse the file."""
    file = tmp_path / "its own.token"
    warning = f"rpcserver: others may read the file: run: chmod 600 '{file}'\n"
    for number, (mode, is_open) in enumerate([(0o644, True), (0o640, True), (0o600, False)]):
        file.touch()
        file.chmod(mode)
        with file.open("w") as stdout:
            done = subprocess.run(
                [
                    sys.executable, "-m", "rpcserver", "token", "create", f"t{number}", "--role", "viewer",
                    "--config", str(commands.config),
                ],
                stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=True,
            )  # fmt: skip
        assert (warning in done.stderr) is is_open, done.stderr
        assert file.read_text().startswith(PREFIX)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("create", "ci", "--role", "viewr"), "there is no role 'viewr' in the configuration: did you mean viewer?"),
        (("create", "owner", "--role", "viewer"), "the name owner is reserved"),
        (("create", "ci", "--role", "viewer", "--expires", "soon"), "neither a duration such as 90d nor a date"),
        (("create", "ci", "--role", "viewer", "--expires", "2001-01-01"), "this time has passed"),
        (("create", "ci", "--role", "viewer", "--expires", "999999999w"), "this time is after the year 9999"),
        (("create", "ci", "--role", "viewer", "--network", "10.0.0.1/8"), "has host bits set"),
        (("revoke", "c1"), "there is no token 'c1'"),
        (("rotate", "ci"), "there is no valid token 'ci'"),
        (("rotate", "ci", "--overlap", "x"), "is no duration"),
        (("change", "ci"), "nothing to change"),
        (("change", "ci", "--role", "viewer"), "there is no valid token 'ci'"),
    ],
)
def test_what_the_commands_refuse(words: tuple[str, ...], text: str, commands: Commands) -> None:
    result = commands(*words)
    assert result.exit_code == 2
    assert text in result.stderr and not result.stdout
    assert commands.file.read().tokens == ()
