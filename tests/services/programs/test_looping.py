"""The keeper's own event loop, and what it writes down."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from rpcservices.programs.running import records
from rpcservices.programs.running.cgroups import Places
from rpcservices.programs.running.looping import SmallLoop
from rpcservices.programs.running.records import About, Order
from rpcservices.programs.running.spawning import Launch, TerminalSize
from rpcservices.programs.running.supervision import Ending, Supervision
from rpcservices.programs.terms import LimitSet, UserIds


def test_readers_writers_and_timers() -> None:
    loop, seen = SmallLoop(), []
    reading, writing = os.pipe()

    def readable() -> None:
        seen.append(os.read(reading, 10))
        loop.remove_reader(reading)
        assert not loop.remove_reader(reading)

    def writable() -> None:
        os.write(writing, b"x")
        loop.remove_writer(writing)

    loop.add_reader(reading, readable)
    loop.add_writer(writing, writable)
    loop.call_later(0.03, lambda: seen.append("second"))
    loop.call_later(0.02, lambda: seen.append("first"))
    loop.call_later(0.01, lambda: seen.append("never")).cancel()
    loop.call_later(0.04, loop.stop)
    loop.run()
    assert seen == [b"x", "first", "second"]
    os.close(reading)
    os.close(writing)


def test_a_closed_pipe_wakes_its_reader() -> None:
    loop, seen = SmallLoop(), []
    reading, writing = os.pipe()
    os.close(writing)

    def readable() -> None:
        seen.append(os.read(reading, 10))
        loop.stop()

    loop.add_reader(reading, readable)
    loop.run()
    assert seen == [b""]
    os.close(reading)


def test_a_timer_beyond_what_one_wait_can_last() -> None:
    loop, seen = SmallLoop(), []
    reading, writing = os.pipe()

    def readable() -> None:
        seen.append(os.read(reading, 10))
        loop.stop()

    loop.add_reader(reading, readable)
    loop.call_later(1e9, lambda: seen.append("never"))
    loop.call_later(0, lambda: os.write(writing, b"x"))
    loop.run()
    assert seen == [b"x"]
    os.close(reading)
    os.close(writing)


def test_an_order_travels() -> None:
    limits = LimitSet(memory_bytes=5, cpus=1.5)
    about = About("p1", "ada", ["x", "ä"], "/", 1.5, {"a": "b"}, "keep", terminal=TerminalSize(1, 2, "vt100"))
    launch = Launch(
        ["x"], "/", {"A": "ü"}, terminal=TerminalSize(1, 2, "vt100"), user=UserIds(1, 2, (3, 4)), limits=limits
    )
    order = Order(about, launch, Supervision("p1", limits, timeout_s=3), Places("/sys/fs/cgroup", {"pids": "/x"}))
    assert Order.load(order.dump()) == order


def test_records_of_other_versions(tmp_path: Path) -> None:
    about = About("p1", "ada", ["x"], "/", 1.5)
    assert records.about_from({**asdict(about), "new": 1}) == about
    assert records.ending_from({"code": 3, "new": 1}) == Ending(code=3)
    with pytest.raises(TypeError):
        records.about_from({"id": "p1"})
    assert records.read(str(tmp_path), "none.json") is None
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ValueError, match="object"):
        records.read(str(tmp_path), "list.json")
    records.write(str(tmp_path), "one.json", {"a": 1})
    assert records.read(str(tmp_path), "one.json") == {"a": 1}
    assert (tmp_path / "one.json").stat().st_mode & 0o077 == 0


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    command = [sys.executable, "-I", "-c", code]
    # Where coverage is measured, it would load modules of its own.
    around = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return set(subprocess.run(command, capture_output=True, text=True, check=True, env=around).stdout.split())


def test_the_keeper_and_the_launcher_are_light() -> None:
    heavy = {"asyncio", "pydantic", "msgspec", "psutil", "rpcwire", "rpcserver", "logging", "pathlib", "websockets"}
    assert not heavy & loaded_by("import rpcservices.programs.keeping.keeper")
    path = str(Path(records.__file__).with_name("launch.py"))
    command = [sys.executable, "-I", "-S", "-X", "importtime", path]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "resource" in told
    for module in ("rpcservices", "subprocess", "typing", "re", "enum", "collections"):
        assert not re.search(rf"\| +{module}$", told, re.MULTILINE)
