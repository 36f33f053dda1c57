"""Calls and streams through another node, beside the same ones directly, in one run.

Two servers in processes of their own, of which one brings the broker. Direct and through the other node take turns, of
a few calls each; the figures are medians. Two ratios are printed: that of the medians, about which the promises are,
and the median of the ratios of two neighbouring turns. Whatever else the machine does meets both turns, so the second
one varies less on a busy machine.

``python benchmarks/nodes.py [--rounds N] [--seconds S]``
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rpcclient import AsyncClient

IN_FLIGHT = 64
ITEM_BYTES = 128 * 1024
CALLS = 5
"""The calls of one turn."""
CALL_TURNS = 100
"""The turns of one round."""
PLUGIN = '''
from collections.abc import AsyncIterator

from rpcserver import Service, method


class Work(Service):
    """Arithmetic, and bytes."""

    @method(kind="read")
    async def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @method()
    async def pour(self, size: int) -> AsyncIterator[bytes]:
        """Send bytes for ever."""
        while True:
            yield bytes(size)
'''


@contextmanager
def server(folder: Path, name: str, group: str) -> Iterator[str]:
    """A server that is a node; gives the URL for clients."""
    place = folder / name
    place.mkdir()
    (place / "plugin.py").write_text(PLUGIN)
    (place / "rpcserver.toml").write_text(
        f'state_dir = "{place}/state"\n[listen]\nport = 0\nunix = "none"\n[plugins]\nfiles = ["{place}/plugin.py"]\n'
        f'disabled = ["programs", "database", "hardware"]\n[group]\nname = "{name}"\n'
        f"trust_gateway_names = true\n{group}"
        '[roles.all]\npermissions = ["*"]\nprincipals = ["* via gateway"]\n'
    )
    command = [sys.executable, "-m", "rpcserver", "serve", "--config", str(place / "rpcserver.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


async def measure_call(client: AsyncClient, _seconds: float) -> float:
    """Return the median of a few calls one after the other, in microseconds."""
    times = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        await client.call("work.add", [1, 2], returns=int)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e6


async def measure_rate(client: AsyncClient, seconds: float) -> float:
    """Return the calls a second with 64 in flight."""
    count, begin = 0, time.perf_counter()

    async def work() -> None:
        nonlocal count
        while time.perf_counter() < begin + seconds:
            await client.call("work.add", [1, 2], returns=int)
            count += 1

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return count / (time.perf_counter() - begin)


async def measure_stream(client: AsyncClient, seconds: float) -> float:
    """Return the MB/s of a stream."""
    async with client.stream("work.pour", {"size": ITEM_BYTES}, items=bytes) as stream:
        await anext(stream)
        size, begin = 0, time.perf_counter()
        async for item in stream:
            size += len(item)
            if time.perf_counter() > begin + seconds:
                break
    return size / (time.perf_counter() - begin) / 1e6


async def run(urls: dict[str, str], token_files: dict[str, Path], rounds: int, seconds: float) -> None:
    async with (
        AsyncClient(urls["gateway"], token_file=token_files["gateway"]) as gateway,
        AsyncClient(urls["db"], token_file=token_files["db"]) as direct,
    ):
        while not any(each.name == "db" for each in await gateway.nodes()):  # noqa: ASYNC110 - once, at the start
            await asyncio.sleep(0.1)
        through = await gateway.node("db").connect()
        await measure_rate(direct, seconds)  # So that both have run everything.
        await measure_rate(through, seconds)
        for name, act, turns, promise, unit in (
            ("one call", measure_call, rounds * CALL_TURNS, "at most 3", "µs"),
            ("64 in flight", measure_rate, rounds, "at least 0.4", "calls/s"),
            ("a stream", measure_stream, rounds, "at least 0.3", "MB/s"),
        ):
            figures = [(await act(direct, seconds), await act(through, seconds)) for _ in range(turns)]
            one, two = (statistics.median(each) for each in zip(*figures, strict=True))
            ratio = statistics.median(two / one for one, two in figures)
            print(
                f"{name}: direct {one:,.0f} {unit}, through a node {two:,.0f} {unit}: {two / one:.2f} ({promise}), "
                f"in neighbouring turns {ratio:.2f}"
            )


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, urls = Path(name), {}
        broker = 'url = "embedded"\n[group.broker]\nport = 0\nnodes = ["db"]\n'
        urls["gateway"] = stack.enter_context(server(folder, "gateway", broker))
        state = folder / "gateway" / "state" / "group" / "broker"
        credentials = json.dumps(str(state / "nodes" / "db.json"))
        own = f'url = "{find_url(state)}"\ncredentials_file = {credentials}\n'
        urls["db"] = stack.enter_context(server(folder, "db", own))
        token_files = {each: folder / each / "state" / "token" for each in urls}
        asyncio.run(run(urls, token_files, options.rounds, options.seconds))


def find_url(state: Path) -> str:
    """Return the URL of the embedded broker, which it has written itself."""
    [ports] = list((state / "ports").glob("*.ports"))
    return str(json.loads(ports.read_text())["nats"][0])


if __name__ == "__main__":
    main()
