"""What one server's part in a group takes of its memory: the server is real, and alone in a process of its own, so that
it shares nothing with any other node.

The group's part is what this server has in memory more than one without a group, in the same process: the roster, the
connection to the broker with the buffers of its library, and what answers the calls of other nodes. The code of all
that is loaded before, and not counted. It is told in two ways:

- what Python holds: all its objects, by tracemalloc(3). That is exact, and does not depend on what was there before.
- what the process has more of pages of its own (``smaps_rollup``), in another process, where nothing is traced: once as
  it is, and once after free pages were given back, by malloc_trim(3). It contains whatever bursts of messages have left
  behind, and pages that are used in part.

:mod:`benchmarks.group_nodes` uses it; ``python -m benchmarks.group_weight URL [--trace]`` is the process, which answers
lines of its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

from rpcserver.config import ServerConfig
from rpcserver.server import Server
from tests.server.group.answering import TOKEN
from tests.server.group.crowd import POLL_S, Process, Work, measure_memory, read_memory


async def start_server(folder: Path, group: dict[str, str]) -> Server:
    """Start a server, and wait until it trusts its roster."""
    config = ServerConfig.model_validate(
        {"state_dir": str(folder), "listen": {"port": 0, "unix": "none"}, "grace_s": 0, "group": group}
    )
    server = Server(config, (Work(),), token=TOKEN)
    await server.start(listen=False)
    while not server.group.membership.node.is_settled:  # noqa: ASYNC110 - once, at the start
        await asyncio.sleep(POLL_S)
    return server


async def weigh(server: Server) -> dict[str, int]:
    """Tell what this process has in memory, in bytes: as it is, with free pages given back, and what Python holds.

    The metrics are read first, as whoever watches a server does. Until then a server keeps a number for each late turn
    of its loop, up to 1,000: they would be counted for the one with a group alone, which runs much longer.
    """
    await server.metrics.render()
    as_it_is = read_memory()
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    return {"as_it_is": as_it_is, "trimmed": measure_memory(), "held": held}


async def work(url: str, folder: Path, *, is_traced: bool) -> None:
    """Weigh a server without a group, then be one with a group, and weigh it whenever a line asks for that."""
    group = {"url": url, "name": "traced" if is_traced else "weighed"}
    for settings in (group, {}):  # So that both have run everything.
        await (await start_server(folder, settings)).stop(grace_s=0)
    if is_traced:
        tracemalloc.start()
    bare = await start_server(folder, {})
    gc.collect()
    without = await weigh(bare)
    await bare.stop(grace_s=0)
    del bare
    server = await start_server(folder, group)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        members = len(server.group.membership.node.presence.roster)
        part = {name: size - without[name] for name, size in (await weigh(server)).items()}
        print(json.dumps({"members": members, **part}), flush=True)


async def start_process(url: str, *, is_traced: bool) -> Process:
    """Start a process with one server."""
    command = [sys.executable, "-m", __name__, url, *(["--trace"] if is_traced else [])]
    pipe = asyncio.subprocess.PIPE
    return Process(["one"], await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))


async def ask(traced: Process, untraced: Process) -> dict[str, Any]:
    """Weigh both servers, and return the parts of the group, in bytes, and how many members they know."""
    part = await untraced.do("weigh")
    return {**part, "held": (await traced.do("weigh"))["held"]}


def main() -> None:
    """Be the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(work(options.url, Path(folder), is_traced=options.trace))


if __name__ == "__main__":
    main()
