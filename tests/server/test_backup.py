"""Backup and restoring of the state, its version, and upgrades over kept programs."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sqlite3
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rpcserver import state
from rpcserver.backup.making import BackupError, make_backup
from rpcserver.backup.restoring import restore_backup
from rpcserver.config import ConfigError, PluginsConfig, ServerConfig
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.security.token_file import TokenFile
from rpcserver.server import Server
from rpcserver.state import STATE_VERSION, VERSION_FILE, lock_state, migrate_state, read_version

TOKEN = "a-token-for-the-tests"


@pytest.fixture
def run() -> Callable[[Any], None]:
    """One event loop is enough here: it makes no difference to files."""
    return asyncio.run


def config_of(folder: Path, **more: Any) -> ServerConfig:
    listen = {"port": 0, "unix": "none"}
    auth = {"token_file": str(folder.parent / f"{folder.name}.token")}
    return ServerConfig.model_validate({"state_dir": str(folder), "grace_s": 0, "listen": listen, "auth": auth, **more})


def services() -> Any:
    classes = [cls for cls in find_services(PluginsConfig()) if cls.name in ("database", "programs")]
    return create_services(classes, {})


async def call(server: Server, name: str, **params: Any) -> Any:
    """One call in memory; its result."""
    from rpcclient import AsyncClient

    async with AsyncClient(memory=server.connect_memory) as client:
        return await client.call(name, params)


def written(folder: Path) -> Path:
    """A state with something of each kind."""
    os.close(lock_state(folder))
    migrate_state(folder, "0.1.0")
    TokenFile(folder).update(lambda tokens: tokens.create("ada", "owner", now=time.time())[0])
    home = folder / "services" / "shop"
    home.mkdir(parents=True, mode=0o700)
    (home / "notes.txt").write_text("one\n")
    (home / "run.sh").write_text("#!/bin/sh\n")
    (home / "run.sh").chmod(0o700)
    with closing(sqlite3.connect(home / "goods.db")) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE goods (name TEXT)")
        database.execute("INSERT INTO goods VALUES ('tea')")
    folder.with_name(f"{folder.name}.token").write_text("the-token-of-the-owner")
    folder.with_name(f"{folder.name}.token").chmod(0o600)
    return home


def goods(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        return [name for (name,) in database.execute("SELECT name FROM goods ORDER BY rowid")]


# --- making and restoring --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["b.tar", "b.tar.gz"])
def test_a_backup_is_restored_elsewhere(tmp_path: Path, name: str) -> None:
    home = written(tmp_path / "old")
    (home / "cache").mkdir()
    (home / "cache" / "x").write_text("x")
    file = tmp_path / name
    manifest = make_backup(config_of(tmp_path / "old"), file, "0.1.0", ["services/shop/cache"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in manifest.members] == [
        "state/services/shop/goods.db", "state/services/shop/notes.txt", "state/services/shop/run.sh",
        "state/tokens.json", "state/version.json", "token",
    ]  # fmt: skip
    assert manifest.state_version == STATE_VERSION and manifest.server_version == "0.1.0"
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part") or path.name.startswith(".backup")]

    done = restore_backup(config_of(tmp_path / "new"), file, replace=False)
    assert done.manifest == manifest and done.aside == ()
    new = tmp_path / "new" / "services" / "shop"
    assert goods(new / "goods.db") == ["tea"]
    assert (new / "notes.txt").read_text() == "one\n"
    assert stat.S_IMODE((new / "run.sh").stat().st_mode) == 0o700
    assert [token.name for token in TokenFile(tmp_path / "new").read().tokens] == ["ada"]
    assert (tmp_path / "new.token").read_text() == "the-token-of-the-owner"
    for path in (tmp_path / "new").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_state_that_is_there_is_replaced_only_when_told_and_moved_aside(tmp_path: Path) -> None:
    home, config, file = written(tmp_path / "old"), config_of(tmp_path / "old"), tmp_path / "b.tar"
    make_backup(config, file, "0.1.0")
    (home / "notes.txt").write_text("two\n")
    with pytest.raises(BackupError, match="there is a state already: give --replace"):
        restore_backup(config, file, replace=False)
    assert (home / "notes.txt").read_text() == "two\n"
    done = restore_backup(config, file, replace=True)
    assert (home / "notes.txt").read_text() == "one\n"
    old, token = done.aside
    assert (old / "services" / "shop" / "notes.txt").read_text() == "two\n" and token.parent == tmp_path
    # What was moved aside is no part of the next backup.
    assert make_backup(config, tmp_path / "again.tar", "0.1.0").members == done.manifest.members


def test_nobody_restores_over_a_running_server_or_writes_into_its_state(tmp_path: Path) -> None:
    config, file = config_of(tmp_path / "old"), tmp_path / "b.tar"
    written(tmp_path / "old")
    make_backup(config, file, "0.1.0")
    with pytest.raises(BackupError, match="exists already"):
        make_backup(config, file, "0.1.0")
    with pytest.raises(BackupError, match="lies in the state of the server"):
        make_backup(config, tmp_path / "old" / "b.tar", "0.1.0")
    lock = lock_state(tmp_path / "old")
    with pytest.raises(ConfigError, match="another server uses"):
        restore_backup(config, file, replace=True)
    os.close(lock)
    with pytest.raises(BackupError, match="no state of a server yet"):
        make_backup(config_of(tmp_path / "nowhere"), tmp_path / "c.tar", "0.1.0")
    assert not (tmp_path / "c.tar").exists()


def test_a_backup_that_is_damaged_changes_nothing(tmp_path: Path) -> None:
    config, file, bad = config_of(tmp_path / "new"), tmp_path / "b.tar", tmp_path / "bad.tar"
    written(tmp_path / "old")
    make_backup(config_of(tmp_path / "old"), file, "0.1.0")
    data = file.read_bytes()

    def members() -> dict[str, bytes]:
        with tarfile.open(file) as archive:
            return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]

    def packed(contents: dict[str, bytes], link: str = "") -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, content in contents.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            if link:
                entry = tarfile.TarInfo(link)
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
                archive.addfile(entry)
        return out.getvalue()

    whole = members()
    manifest = json.loads(whole["manifest.json"])
    newer = {**manifest, "state_version": STATE_VERSION + 1, "server_version": "9.1"}
    without_manifest = {name: content for name, content in whole.items() if name != "manifest.json"}
    flipped = {**whole, "state/services/shop/notes.txt": b"ONE\n"}
    for content, message in (
        (b"not a tar", "it is no backup, or is damaged"),
        (data[: len(data) // 2], "is no backup, or"),
        (packed(without_manifest), "has no manifest.json"),
        (packed(flipped), "it is damaged"),
        (packed({**whole, "manifest.json": b"{}"}), "malformed"),
        (packed({**without_manifest, "state/../../x": b"", "manifest.json": whole["manifest.json"]}), "not belong"),
        (packed({"/etc/x": b"", **whole}), "does not belong"),
        (packed({"other/x": b"", **whole}), "does not belong"),
        (packed(without_manifest, link="state/services/link"), "does not belong"),
        (packed({**whole, "manifest.json": json.dumps(newer).encode()}), r"of a newer server, 9\.1: .* install"),
    ):
        bad.write_bytes(content)
        bad.chmod(0o600)
        with pytest.raises(ConfigError, match=message):
            restore_backup(config, bad, replace=True)
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["lock"]
    assert not (tmp_path / "x").exists()
    file.chmod(0o644)
    with pytest.raises(BackupError, match=r"others may read .* chmod 600"):
        restore_backup(config, file, replace=True)


def test_a_restore_that_fails_puts_back_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rpcserver.backup import restoring

    home, config, file = written(tmp_path / "old"), config_of(tmp_path / "old"), tmp_path / "b.tar"
    make_backup(config, file, "0.1.0")
    (home / "notes.txt").write_text("two\n")
    real, count = restoring._move, [0]

    def move(source: Path, target: Path) -> None:
        count[0] += 1
        if count[0] == 5:
            raise OSError(28, "No space left on device", str(target))
        real(source, target)

    monkeypatch.setattr(restoring, "_move", move)
    with pytest.raises(BackupError, match="No space left on device: nothing was restored"):
        restore_backup(config, file, replace=True)
    assert (home / "notes.txt").read_text() == "two\n" and goods(home / "goods.db") == ["tea"]


def test_a_backup_of_a_running_server_is_one_state_of_each_database(tmp_path: Path, run: Any) -> None:
    """Two tables always change together: the copy never has half of a change."""
    config, file = config_of(tmp_path / "state"), tmp_path / "b.tar"

    async def main() -> None:
        server = Server(config, services(), token=TOKEN)
        await server.start(listen=False)
        try:
            for table in ("a", "b"):
                await call(server, "database.execute", database="main", sql=f"CREATE TABLE {table} (n INTEGER)")
            stop = asyncio.Event()

            async def write() -> int:
                n = 0
                while not stop.is_set() or n < 5:
                    n += 1
                    statements = [f"INSERT INTO {table} VALUES ({n})" for table in ("a", "b")]
                    await call(server, "database.script", database="main", sql="; ".join(statements))
                return n

            writing = asyncio.create_task(write())
            manifest = await asyncio.to_thread(make_backup, config, file, "0.1.0", ["services/programs/output"])
            stop.set()
            assert await writing >= 5
            names = [each.name for each in manifest.members]
            assert "state/services/database/main.sqlite3" in names
            assert not [name for name in names if name.endswith(("-wal", "-shm")) or "lock" in name]
        finally:
            await server.stop(0)

    run(main())
    restore_backup(config_of(tmp_path / "new"), file, replace=False)
    with closing(sqlite3.connect(tmp_path / "new" / "services" / "database" / "main.sqlite3")) as database:
        counts = [database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("a", "b")]
        assert counts[0] == counts[1]
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_commands(tmp_path: Path) -> None:
    written(tmp_path / "old")
    environment = {**os.environ, "RPCSERVER_AUTH__TOKEN_FILE": str(tmp_path / "old.token")}

    def rpcserver(state_dir: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rpcserver", *arguments], capture_output=True, text=True, check=False,
            env={**environment, "RPCSERVER_STATE_DIR": str(tmp_path / state_dir)},
        )  # fmt: skip

    done = rpcserver("old", "backup", str(tmp_path / "b.tgz"))
    assert done.returncode == 0 and "6 files" in done.stdout, done.stderr
    done = rpcserver("old", "restore", str(tmp_path / "b.tgz"))
    assert done.returncode == 2 and "--replace" in done.stderr
    done = rpcserver("old", "restore", "--replace", str(tmp_path / "b.tgz"))
    assert done.returncode == 0 and "what was there is in" in done.stdout, done.stderr


# --- the version of the state ---------------------------------------------------------------------------------------------------


def test_a_newer_state_is_refused_and_untouched(tmp_path: Path, run: Any) -> None:
    written(tmp_path / "state")
    newer = '{"version": 7, "server": "2.5.0"}'
    (tmp_path / "state" / VERSION_FILE).write_text(newer)

    async def main() -> None:
        server = Server(config_of(tmp_path / "state"), services(), token=TOKEN)
        with pytest.raises(ConfigError, match=r"of a newer server, 2\.5\.0: .*version 7.*install rpcserver 2\.5\.0"):
            await server.start(listen=False)

    run(main())
    assert (tmp_path / "state" / VERSION_FILE).read_text() == newer
    with pytest.raises(ConfigError, match="newer"):
        make_backup(config_of(tmp_path / "state"), tmp_path / "b.tar", "0.1.0")


def test_an_older_state_is_migrated_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "state"
    os.close(lock_state(folder))
    (folder / "token").write_text("made at the first start")
    assert read_version(folder) is None
    (folder / "tokens.json").write_text("{}")
    assert read_version(folder) == 0, "the first servers wrote no version"
    steps: list[int] = []

    def step(number: int) -> Callable[[Path], None]:
        def migrate(place: Path) -> None:
            assert place == folder
            steps.append(number)
            if steps == [0, 1, 2]:
                raise OSError(28, "No space left on device")

        return migrate

    monkeypatch.setattr(state, "STATE_VERSION", 3)
    monkeypatch.setattr(state, "MIGRATIONS", {number: step(number) for number in range(3)})
    with pytest.raises(ConfigError, match="No space left on device: the state cannot be migrated"):
        migrate_state(folder, "0.3.0")
    assert read_version(folder) == 2
    migrate_state(folder, "0.3.0")
    migrate_state(folder, "0.3.0")
    assert steps == [0, 1, 2, 2] and read_version(folder) == 3
    (folder / VERSION_FILE).write_text("nonsense")
    with pytest.raises(ConfigError, match="malformed: restore a backup"):
        migrate_state(folder, "0.3.0")


def test_an_upgrade_over_running_kept_programs_loses_none(tmp_path: Path, run: Any) -> None:
    config = config_of(tmp_path / "state")

    async def main() -> None:
        old = Server(config, services(), token=TOKEN)
        await old.start(listen=False)
        argv = ["sh", "-c", "echo before; read line; echo got $line; read line"]
        ids = [(await call(old, "programs.start", argv=argv, on_disconnect="keep"))["id"] for _ in range(2)]
        await old.stop(0)
        file = tmp_path / "b.tar"
        make_backup(config, file, "0.1.0")
        with pytest.raises(BackupError, match=r"outlives the server uses it: end the kept programs first"):
            restore_backup(config, file, replace=True)
        (tmp_path / "state" / VERSION_FILE).unlink()  # As the first servers left it.

        new = Server(config, services(), token=TOKEN)
        await new.start(listen=False)
        try:
            assert read_version(tmp_path / "state") == STATE_VERSION
            infos = {info["id"]: info for info in await call(new, "programs.list")}
            assert set(ids) <= set(infos)
            for program_id in ids:
                assert infos[program_id]["running"] is True, infos[program_id]
                await call(new, "programs.kill", id=program_id, grace_s=5)
        finally:
            await new.stop(0)

    run(main())
