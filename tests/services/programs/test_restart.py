"""The daemon is killed, and another finds the programs that it was to keep."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rpcclient import AsyncClient
from rpcclient.errors import ConnectionLost
from rpcservices.programs.keeping.ledger import read_notes


class Daemon:
    """A real server process; it is killed where it stands."""

    def __init__(self, folder: Path) -> None:
        (folder / "run").mkdir(mode=0o700, exist_ok=True)
        environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "XDG_RUNTIME_DIR": str(folder / "run")}
        with (folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rpcserver", "serve", "--port", "0"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("rpcserver: listening on ws://"), (folder / "server.log").read_text()
        self.url = line.rpartition(" ")[2].strip()
        self.token_file = str(folder / "state" / "remote-services" / "token")

    def talk(self, scenario: Callable[[AsyncClient], Awaitable[None]]) -> None:
        async def main() -> None:
            async with AsyncClient(self.url, token_file=self.token_file, reconnect=False) as client:
                await asyncio.wait_for(scenario(client), 60)

        asyncio.run(main())

    def kill(self, signum: int = signal.SIGKILL) -> int:
        self.process.send_signal(signum)
        code = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_kept_program_survives_the_daemon(tmp_path: Path, kit: Any, signum: int) -> None:
    known: dict[str, Any] = {}
    gate = tmp_path / "gate"
    count = 400_000
    script = f"""
import os, time
for n in range({count}):
    if n == {count // 2}:
        print("", end="", flush=True)
        while not os.path.exists({str(gate)!r}): time.sleep(0.01)
    print(f"{{n:09d}}")
raise SystemExit(11)
"""
    whole = b"".join(b"%09d\n" % n for n in range(count))

    async def before(client: AsyncClient) -> None:
        kept = await client.programs.start(["python3", "-c", script], on_disconnect="keep")
        waiting = await client.programs.start(["sh", "-c", "read x; exit $x"], on_disconnect="keep")
        lost = await client.programs.start(["sleep", "86395.25"])
        known.update(kept=kept, waiting=waiting, lost=lost)
        digest, at = hashlib.sha256(), 0
        async with client.programs.output(kept.id) as chunks:
            async for chunk in chunks:
                digest.update(chunk.data)
                at = chunk.offset + len(chunk.data)
                if at >= count // 4:
                    break
        known.update(digest=digest, at=at)

    async def after(client: AsyncClient) -> None:
        assert {info.id for info in await client.programs.list()} == {known["kept"].id, known["waiting"].id}
        async with client.programs.output(known["kept"].id, offset=known["at"]) as chunks:
            async for chunk in chunks:
                assert chunk.lost_bytes == 0
                known["digest"].update(chunk.data)
        assert known["digest"].digest() == hashlib.sha256(whole).digest()
        assert (await client.programs.wait(known["kept"].id)).status.code == 11
        info = await client.programs.get(known["waiting"].id)
        assert info.running
        assert (info.pid, info.pid_start) == (known["waiting"].pid, known["waiting"].info.pid_start)
        await client.programs.write(info.id, b"13\n")
        assert (await client.programs.wait(info.id)).status.code == 13
        await kit.until(lambda: not kit.with_argument("86395.25"))

    daemon = Daemon(tmp_path)
    try:
        daemon.talk(before)
        assert daemon.kill(signum) == (-signal.SIGKILL if signum == signal.SIGKILL else 0)
        assert psutil.pid_exists(known["waiting"].pid)
        gate.touch()  # It goes on writing while there is nobody to read.
        daemon = Daemon(tmp_path)
        daemon.talk(after)
    finally:
        daemon.kill(signal.SIGTERM)
        for process in kit.with_argument("86395.25"):
            process.kill()


def test_what_is_not_kept_is_ended_by_the_next_daemon(tmp_path: Path, kit: Any) -> None:
    """Whatever it is made of, and also where it hears nothing but KILL."""
    mark = "86395.5"
    stubborn = f"trap '' HUP TERM; setsid sleep {mark} & (setsid sh -c 'sleep {mark}; true' &) & while :; do sleep {mark}; done"
    notes = str(tmp_path / "state" / "remote-services" / "services" / "programs" / "hosted")

    async def before(client: AsyncClient) -> None:
        await client.programs.start(["sh", "-c", stubborn])
        await client.programs.start(["sleep", mark], on_disconnect="hangup", reattach_s=1000)
        running = asyncio.ensure_future(client.programs.run(["sh", "-c", f"sleep {mark}; true"]))
        await client.programs.run(["true"])
        await kit.until(lambda: len(kit.with_argument(mark)) == 5)
        await kit.until(lambda: len(read_notes(notes)) == 3)
        daemon.kill()
        with pytest.raises(ConnectionLost):
            await running

    async def after(client: AsyncClient) -> None:
        await kit.until(lambda: not kit.with_argument(mark))
        assert await client.programs.list() == []
        await kit.until(lambda: not read_notes(notes))

    daemon = Daemon(tmp_path)
    try:
        daemon.talk(before)
        assert len(kit.with_argument(mark)) == 5
        daemon = Daemon(tmp_path)
        daemon.talk(after)
    finally:
        daemon.kill(signal.SIGTERM)
        for process in kit.with_argument(mark):
            process.kill()
