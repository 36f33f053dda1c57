"""What a program has left lives as long as the server: it goes on after the program's end, and ends with the server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcservices.programs.keeping.ledger import read_notes

Serve = Callable[..., None]
NUMBERS = count(1)

WAYS = {
    "background": "sleep {} >/dev/null 2>&1 </dev/null &",
    "session": "setsid sleep {} >/dev/null 2>&1 </dev/null &",
    "twice": "(setsid sh -c 'setsid sleep {} & exit' >/dev/null 2>&1 </dev/null &)",
    "nohup": "nohup sleep {} >/dev/null 2>&1 </dev/null &",
    "holds output": "sleep {} &",
    "without a mark": "env -i /usr/bin/env sleep {} >/dev/null 2>&1 </dev/null &",
    "hidden": "setsid env -i /usr/bin/env sh -c '/usr/bin/env sleep {} & exit' >/dev/null 2>&1 </dev/null &",
    "deaf": "(trap '' TERM HUP INT; exec setsid sleep {} >/dev/null 2>&1 </dev/null) &",
}
"""How a program can leave a process that sleeps."""


@pytest.fixture
def seconds(kit: Any) -> Iterator[str]:
    """A time to sleep by which the process is found."""
    name = f"86{os.getpid()}.{next(NUMBERS):04d}"
    yield name
    for process in kit.with_argument(name):
        process.kill()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cgroups", [True, False])
def test_it_goes_on_and_ends_with_the_server(
    serve: Serve, kit: Any, seconds: str, way: str, cgroups: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(client: AsyncClient) -> None:
        done = await client.programs.run(["sh", "-c", WAYS[way].format(seconds) + "\nexit 3"])
        assert done.code == 3
        await kit.until(lambda: kit.with_argument(seconds))
        assert (await client.programs.run(["true"])).code == 0
        notes = client.service_here.ledger  # type: ignore[attr-defined]
        if "hidden" not in way:  # In the end only what is left is noted.
            await kit.until(lambda: len(notes.running) == 1)
        assert kit.with_argument(seconds)

    serve(main, grace_s=0.2, cgroups=cgroups)
    assert not kit.with_argument(seconds)
    assert "could not be ended" not in caplog.text


def test_what_has_ended_by_itself_is_forgotten(serve: Serve, kit: Any, seconds: str) -> None:
    async def main(client: AsyncClient) -> None:
        service = client.service_here  # type: ignore[attr-defined]
        for _ in range(20):
            await client.programs.run(["true"])
        await client.programs.run(["sh", "-c", f"setsid sleep {seconds} >/dev/null 2>&1 </dev/null &"])
        await kit.until(lambda: len(service.ledger.running) == 1 and len(service.remains) == 1)
        (left,) = kit.with_argument(seconds)
        left.kill()
        await kit.until(lambda: not service.ledger.running and not len(service.remains), 60)

    serve(main)


def test_a_program_that_runs_is_not_among_them(serve: Serve, kit: Any, seconds: str) -> None:
    """What one has left is ended, and a kept program beside it goes on with all that it has started."""
    known: dict[str, Any] = {}

    async def before(client: AsyncClient) -> None:
        script = f"setsid sleep {seconds}1 & sleep {seconds}1 & read x"
        known["kept"] = await client.programs.start(["sh", "-c", script], on_disconnect="keep")
        await client.programs.run(["sh", "-c", f"setsid sleep {seconds} >/dev/null 2>&1 </dev/null &"])
        await kit.until(lambda: len(kit.with_argument(f"{seconds}1")) == 2 and kit.with_argument(seconds))

    async def after(client: AsyncClient) -> None:
        assert not kit.with_argument(seconds)
        assert len(kit.with_argument(f"{seconds}1")) == 2
        await client.programs.kill(known["kept"].id)
        await kit.until(lambda: not kit.with_argument(f"{seconds}1"))

    serve(before)
    serve(after)


def test_what_a_kept_program_has_left_ends_with_the_server_too(serve: Serve, kit: Any, seconds: str) -> None:
    async def main(client: AsyncClient) -> None:
        script = f"setsid sleep {seconds} >/dev/null 2>&1 </dev/null & exit 5"
        program = await client.programs.start(["sh", "-c", script], on_disconnect="keep")
        assert (await client.programs.wait(program.id)).status.code == 5
        assert kit.with_argument(seconds)

    serve(main, grace_s=0.2)
    assert not kit.with_argument(seconds)


def test_killing_a_program_that_has_ended_ends_it(serve: Serve, kit: Any, seconds: str) -> None:
    async def main(client: AsyncClient) -> None:
        script = f"setsid sleep {seconds} >/dev/null 2>&1 </dev/null &"
        program = await client.programs.start(["sh", "-c", script])
        await client.programs.wait(program.id)
        await kit.until(lambda: kit.with_argument(seconds))
        assert (await client.programs.kill(program.id)).survivors == []
        assert not kit.with_argument(seconds)

    serve(main)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_real_server(tmp_path: Path, kit: Any, seconds: str, signum: int) -> None:
    """If a server is killed, the next one ends what is left."""
    (tmp_path / "run").mkdir(mode=0o700)
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    state = tmp_path / "state" / "remote-services"

    def start() -> tuple[subprocess.Popen[str], str]:
        with (tmp_path / "log").open("a") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "rpcserver", "serve", "--port", "0"],
                stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
            )  # fmt: skip
        assert server.stdout is not None
        return server, server.stdout.readline().rpartition(" ")[2].strip()

    def end(server: subprocess.Popen[str], number: int) -> None:
        server.send_signal(number)
        server.wait(20)
        assert server.stdout is not None
        server.stdout.close()

    async def leave(client: AsyncClient) -> None:
        await client.programs.run(["sh", "-c", f"setsid sleep {seconds} >/dev/null 2>&1 </dev/null &"])
        await kit.until(lambda: kit.with_argument(seconds))

    async def look(client: AsyncClient) -> None:
        await kit.until(lambda: not kit.with_argument(seconds))
        assert (await client.programs.run(["true"])).code == 0

    def talk(url: str, scenario: Callable[[AsyncClient], Awaitable[None]]) -> None:
        async def main() -> None:
            async with AsyncClient(url, token_file=str(state / "token"), reconnect=False) as client:
                await asyncio.wait_for(scenario(client), 60)

        asyncio.run(main())

    server, url = start()
    try:
        talk(url, leave)
    finally:
        end(server, signum)
    if signum == signal.SIGKILL:
        assert kit.with_argument(seconds)
        assert len(read_notes(next(str(path) for path in state.rglob("hosted")))) == 1
        server, url = start()
        try:
            talk(url, look)
        finally:
            end(server, signal.SIGTERM)
    assert not kit.with_argument(seconds)
