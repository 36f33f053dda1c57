"""Databases that cannot be opened: the others go on, calls of these say why, and they are tried again."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rpcserver import Principal, ServiceConfigError, Unavailable
from rpcserver.config import ServerConfig
from rpcserver.daemon.cli import main
from rpcserver.server import Server
from rpcservices.database import Database, DatabaseServiceConfig, opening
from rpcservices.database.errors import UnknownDatabase
from rpcservices.database.opening import explain_failure
from rpcservices.database.pool import Target


async def reload(bench: Any, **databases: Any) -> None:
    """What the server does at a reload."""
    config = DatabaseServiceConfig.model_validate({"databases": databases})
    prepared = await bench.service.prepare_reload(config, bench.service.runtime.roles)
    bench.service.config = config
    prepared.commit()


async def until_open(bench: Any) -> None:
    """Wait until all databases are open."""
    async with asyncio.timeout(30):
        while bench.service._openings:
            await asyncio.sleep(0.002)


@pytest.fixture
def bad_file(tmp_path: Path) -> Path:
    """The file of the database ``shop``, which is no database."""
    file = tmp_path / "shop.sqlite3"
    file.write_text("This is a letter, and no database at all. " * 100)
    return file


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again by itself within a test."""
    monkeypatch.setattr(opening, "FIRST_PAUSE_S", 3600.0)
    monkeypatch.setattr(opening, "MOST_PAUSE_S", 3600.0)


@pytest.mark.usefixtures("patience")
def test_only_the_database_is_unavailable(run_with: Callable[..., Any], bad_file: Path, tmp_path: Path) -> None:
    """The others work, all are listed, and whoever may not know of it learns nothing."""

    async def work(bench: Any) -> None:
        db = bench.db
        assert (await db.query("main", "SELECT 7")).scalar() == 7
        assert [each.name for each in await db.databases()] == ["main", "shop"]
        for call in (
            db.query("shop", "SELECT 1"),
            db.execute("shop", "CREATE TABLE t (x)"),
            db.begin("shop"),
            db.connect("shop"),
            db.tables("shop"),
        ):
            with pytest.raises(
                Unavailable, match=r"databases\.shop cannot be opened: file is not a database: put its file"
            ) as info:
                await call
            error = info.value
            assert error.executed == "no" and error.retryable
            assert error.retry_after_ms is not None and error.retry_after_ms > 1000
            assert str(tmp_path) not in str(error)
        stranger = bench.peer("c2", Principal("ada", "token", None))
        with pytest.raises(UnknownDatabase, match="there are: main"):
            await stranger.query("shop", "SELECT 1")
        health = await bench.service.health()
        assert (health.ok, health.reason) == (False, "1 of 2 databases cannot be opened")
        assert "shop cannot be opened: file is not a database" in health.details
        figures = {each.labels["database"]: each.value for each in bench.service.figures() if each.name == "open"}
        assert figures == {"main": 1, "shop": 0}
        assert bad_file.read_text().startswith("This is a letter")

    roles = {"r": {"principals": ["ada"], "permissions": ["database.query"], "database": {"databases": ["main"]}}}
    run_with(work, None, roles, main={}, shop={})


def test_it_is_tried_again(
    run_with: Callable[..., Any], bad_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names one reason once, however often it is tried."""
    monkeypatch.setattr(opening, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(opening, "MOST_PAUSE_S", 0.002)

    async def work(bench: Any) -> None:
        async with asyncio.timeout(30):
            while bench.service._openings["shop"].failures < 4:
                await asyncio.sleep(0.002)
        bad_file.unlink()
        await until_open(bench)
        assert (await bench.db.query("shop", "SELECT 8")).scalar() == 8
        assert (await bench.service.health()).ok

    with caplog.at_level(logging.INFO):
        run_with(work, main={}, shop={})
    lines = [each.getMessage() for each in caplog.records if "databases.shop" in each.getMessage()]
    assert len(lines) == 2
    assert lines[0].startswith(
        "databases.shop: the database cannot be opened: file is not a database: put its file back"
    )
    assert lines[0].endswith(str(bad_file))
    assert lines[1] == "databases.shop: the database is open"


@pytest.mark.usefixtures("patience")
def test_a_reload_tries_it_at_once(run_with: Callable[..., Any], bad_file: Path) -> None:
    """While it is not open, it does not keep the operator from changing other settings, or its own."""

    async def work(bench: Any) -> None:
        await reload(bench, main={}, shop={}, books={})
        assert (await bench.db.query("books", "SELECT 1")).scalar() == 1
        with pytest.raises(Unavailable):
            await bench.db.query("shop", "SELECT 1")
        before = bench.service._openings["shop"]
        await reload(bench, main={}, shop={"max_rows": 5})
        assert bench.service._openings["shop"] is not before
        with pytest.raises(Unavailable):
            await bench.db.query("shop", "SELECT 1")
        bad_file.unlink()
        await reload(bench, main={}, shop={"max_rows": 5})
        await until_open(bench)
        assert (await bench.db.query("shop", "SELECT 1")).scalar() == 1
        assert not before._task or before._task.done()

    run_with(work, main={}, shop={})


@pytest.mark.usefixtures("patience")
def test_a_database_that_cannot_be_opened_can_be_taken_out(run_with: Callable[..., Any], bad_file: Path) -> None:
    async def work(bench: Any) -> None:
        assert bad_file.exists()
        await reload(bench, main={})
        with pytest.raises(UnknownDatabase):
            await bench.db.query("shop", "SELECT 1")
        assert (await bench.service.health()).ok

    run_with(work, main={}, shop={})


def test_a_reload_takes_no_database_that_works(run_with: Callable[..., Any], tmp_path: Path) -> None:
    """Neither a new database nor other settings of one that works may name what cannot be opened."""

    async def work(bench: Any) -> None:
        nowhere = {"attached": {"x": str(tmp_path / "nowhere" / "x.sqlite3")}}
        for databases in ({"main": nowhere}, {"main": {}, "shop": nowhere}):
            with pytest.raises(
                ServiceConfigError, match="cannot be opened: unable to open database file: make its fold"
            ):
                await reload(bench, **databases)
            assert (await bench.db.query("main", "SELECT 1")).scalar() == 1
            assert (await bench.service.health()).ok

    run_with(work, main={})


def test_a_disk_that_does_not_answer(run_with: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The service starts without it, and all tries share one thread."""
    monkeypatch.setattr(opening, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(opening, "MOST_PAUSE_S", 0.002)
    answers, tries = threading.Event(), []
    make_files = Target.make_files

    def make_slowly(target: Target) -> None:
        if target.name == "shop":
            tries.append(target)
            answers.wait(60)
        make_files(target)

    monkeypatch.setattr(Target, "make_files", make_slowly)

    async def work(bench: Any) -> None:
        try:
            assert (await bench.db.query("main", "SELECT 1")).scalar() == 1
            with pytest.raises(Unavailable, match=r"it was not open within 0\.01 s: look whether its disk answers"):
                await bench.db.query("shop", "SELECT 1")
            async with asyncio.timeout(30):
                while bench.service._openings["shop"].failures < 4:
                    await asyncio.sleep(0.002)
        finally:
            answers.set()
        await until_open(bench)
        assert len(tries) == 1
        assert (await bench.db.query("shop", "SELECT 1")).scalar() == 1

    run_with(work, main={}, shop={"connect_timeout_s": 0.01})


def test_a_stop_ends_the_tries(run_with: Callable[..., Any], bad_file: Path) -> None:
    async def work(bench: Any) -> None:
        assert bad_file.exists()
        (each,) = bench.service._openings.values()
        await bench.service.stop()
        assert each._task.cancelled()

    run_with(work, main={}, shop={})


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("letter", "file is not a database: put its file back from a backup"),
        ("folder", "unable to open database file: make its folder"),
        ("lock", "database is locked: end the program that has locked its file"),
        (OSError(13, "Permission denied", "/secret/path"), "Permission denied: let the server's user"),
        (ValueError("/secret/path"), "ValueError"),
    ],
)
def test_each_fault_has_a_remedy(tmp_path: Path, fault: Any, why: str) -> None:
    file = tmp_path / "x.sqlite3"
    if fault == "letter":
        file.write_text("This is no database. " * 100)
    elif fault == "folder":
        file.mkdir()
    cause: Any = fault
    if isinstance(fault, str):
        holder = sqlite3.connect(file) if fault == "lock" else None
        try:
            if holder is not None:
                holder.execute("BEGIN EXCLUSIVE")
            connection = sqlite3.connect(file, timeout=0)
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.Error as exc:
            cause = exc
        finally:
            if holder is not None:
                holder.close()
    assert explain_failure(cause).startswith(why)


@pytest.mark.usefixtures("patience")
def test_pages_status_and_metrics_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody reads on ``/readyz`` that something is wrong; which database it is, only those who may see it."""
    monkeypatch.delenv("RPCSERVER_CONFIG", raising=False)
    path, folder = tmp_path / "sock", tmp_path / "services" / "database"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "shop.sqlite3").write_text("This is no database. " * 100)
    service = Database(DatabaseServiceConfig.model_validate({"databases": {"main": {}, "shop": {}}}))
    config = ServerConfig.model_validate({"state_dir": str(tmp_path), "listen": {"port": 0, "unix": str(path)}})

    def get(address: str, page: str) -> tuple[int, str]:
        request = urllib.request.Request(f"{address}{page}", headers={"Authorization": f"Bearer {'t' * 32}"})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read().decode()

    async def work() -> None:
        server = Server(config, [service], token="t" * 32)
        await server.start()
        try:
            address = (
                next(each for each in server.addresses if each.startswith("ws:")).replace("ws:", "http:").rstrip("/")
            )
            code, text = await asyncio.to_thread(get, address, "/readyz")
            reason = "1 of 2 databases cannot be opened"
            assert (code, json.loads(text)["services"]) == (503, {"database": {"ok": False, "reason": reason}})
            _, text = await asyncio.to_thread(get, address, "/metrics")
            assert 'database_open{database="shop"} 0' in text.splitlines()
            assert 'database_open{database="main"} 1' in text.splitlines()
            assert 'rpcserver_service_up{service="database"} 0' in text.splitlines()
            runner = CliRunner(env={"RPCSERVER_LISTEN__UNIX": str(path), "COLUMNS": "200"})
            answer = await asyncio.to_thread(runner.invoke, main, ["status", "--json"])
            (health,) = json.loads(answer.output)["health"]
            assert health["details"].startswith("shop cannot be opened: file is not a database: put its file back")
            assert os.fspath(tmp_path) not in health["details"]
            answer = await asyncio.to_thread(runner.invoke, main, ["status"])
            assert "shop cannot be opened" in " ".join(answer.output.split())
        finally:
            await server.stop(grace_s=0)

    asyncio.run(work())


def test_without_any_database_the_service_does_not_start(run_with: Callable[..., Any], bad_file: Path) -> None:
    """So it is the server that starts it again, or does not start itself if the service is essential."""

    async def work(_bench: Any) -> None:
        raise AssertionError

    with pytest.raises(
        Unavailable, match=r"databases\.shop cannot be opened: file is not a database: put its file back"
    ):
        run_with(work, shop={})
    assert bad_file.exists()
