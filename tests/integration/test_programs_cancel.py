"""Cancelling from the client really ends the work on the server."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import psutil

from rpcclient import AsyncClient

MARK = "86399.75"


def sleepers() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if MARK in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


async def wait_for(condition: Any, seconds: float) -> float:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "the event did not come in time"
        await asyncio.sleep(0.02)
    return time.monotonic() - begin


def test_cancelling_a_sleeping_program_leaves_no_process(server: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncClient(server.url, token_file=server.token_file) as client:
            script = f"sleep {MARK} & (sleep {MARK} & sleep {MARK}) & sleep {MARK}"
            call = asyncio.create_task(client.programs.run(["sh", "-c", script]))
            await wait_for(lambda: len(sleepers()) == 4, 10)
            call.cancel()
            await wait_for(lambda: not sleepers(), 2)
            assert (await client.programs.run(["echo", "still here"])).stdout == b"still here\n"

    asyncio.run(main())


def test_a_vanished_client_leaves_no_process(server: Any) -> None:
    async def main() -> None:
        client = await AsyncClient(server.url, token_file=server.token_file, reconnect=False).connect()
        call = asyncio.create_task(client.programs.run(["sh", "-c", f"sleep {MARK} & sleep {MARK}"]))
        await wait_for(lambda: len(sleepers()) == 2, 10)
        await client.close()
        await wait_for(lambda: not sleepers(), 2)
        assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], Exception)

    asyncio.run(main())
