"""Small calls: how many a second with 64 in flight, and how long one takes, beside a raw echo in the same run.

Each round measures every contender once, so that what else the machine does hits all of them; the figures are medians
over the rounds. Server and client run on a core each where there are two.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop
from websockets.asyncio.client import connect
from websockets.sync.client import connect as sync_connect

from rpcclient import AsyncClient, Client

HERE = Path(__file__).parent
IN_FLIGHT = 64
MESSAGE = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "calc.add", "params": [1, 2]})

Figures = tuple[float, float]
"""Calls a second with 64 in flight, and the median of sequential calls in microseconds."""


@contextlib.contextmanager
def started(command: list[str], environment: dict[str, str] | None = None) -> Iterator[str]:
    """A server process; gives the first line that it prints."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(process.pid, {0})
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def raw_echo(url: str, seconds: float) -> Figures:
    async with connect(url, compression=None) as connection:
        times = []
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            await connection.send(MESSAGE)
            await connection.recv()
            times.append(time.perf_counter() - begin)
        done = 0
        begin = time.perf_counter()
        for _ in range(IN_FLIGHT):
            await connection.send(MESSAGE)
        while (now := time.perf_counter()) < begin + seconds:
            await connection.recv()
            await connection.send(MESSAGE)
            done += 1
        return done / (now - begin), statistics.median(times) * 1e6


async def async_client(url: str, token_file: str, seconds: float) -> Figures:
    async with AsyncClient(url, token_file=token_file) as client:
        times = []
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            await client.call("calc.add", [1, 2], returns=int)
            times.append(time.perf_counter() - begin)
        done = 0
        begin = time.perf_counter()
        end = begin + seconds

        async def worker() -> None:
            nonlocal done
            while time.perf_counter() < end:
                if await client.call("calc.add", [1, 2], returns=int) != 3:
                    raise AssertionError
                done += 1

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
        return done / (time.perf_counter() - begin), statistics.median(times) * 1e6


def sync_client(url: str, token_file: str, seconds: float) -> Figures:
    with Client(url, token_file=token_file) as client:
        times = []
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            client.call("calc.add", [1, 2], returns=int)
            times.append(time.perf_counter() - begin)
        counts = [0] * IN_FLIGHT
        begin = time.perf_counter()
        end = begin + seconds

        def worker(index: int) -> None:
            while time.perf_counter() < end:
                client.call("calc.add", [1, 2], returns=int)
                counts[index] += 1

        threads = [threading.Thread(target=worker, args=(index,)) for index in range(IN_FLIGHT)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - begin), statistics.median(times) * 1e6


def sync_batches(url: str, token_file: str, seconds: float) -> Figures:
    """One thread that keeps 64 calls in flight by batches of 64."""
    with Client(url, token_file=token_file) as client:
        done = 0
        begin = time.perf_counter()
        while (now := time.perf_counter()) < begin + seconds:
            with client.batch() as batch:
                results = [batch.call("calc.add", [1, 2], returns=int) for _ in range(IN_FLIGHT)]
            done += sum(result.result() == 3 for result in results)
        return done / (now - begin), math.nan


def raw_sync_echo(url: str, seconds: float) -> Figures:
    """websockets' own blocking client, one call after the other."""
    with sync_connect(url, compression=None) as connection:
        times = []
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            connection.send(MESSAGE)
            connection.recv()
            times.append(time.perf_counter() - begin)
        return math.nan, statistics.median(times) * 1e6


def run(rounds: int, seconds: float) -> dict[str, list[Figures]]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        token_file = f"{folder}/token"
        environment = {
            **os.environ,
            "RPCSERVER_STATE_DIR": folder,
            "RPCSERVER_PLUGINS__DISABLED": '["programs", "database", "hardware"]',
        }
        serve = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none", "--log-level", "WARNING"]
        plugin = ["--plugin", str(HERE / "calc.py"), "--token-file", token_file]
        line = stack.enter_context(started([*serve, *plugin], environment))
        url = line.rpartition(" ")[2]
        port = stack.enter_context(started([sys.executable, str(HERE / "echo.py")]))
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(0, {1})

        def on_loop(measure: Callable[[], object]) -> Figures:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                figures: Figures = runner.run(measure())  # type: ignore[arg-type]
                return figures

        contenders: dict[str, Callable[[], Figures]] = {
            "raw websockets echo": lambda: on_loop(lambda: raw_echo(f"ws://127.0.0.1:{port}", seconds)),
            "AsyncClient": lambda: on_loop(lambda: async_client(url, token_file, seconds)),
            "Client, 64 threads": lambda: sync_client(url, token_file, seconds),
            "Client, batches of 64": lambda: sync_batches(url, token_file, seconds),
            "raw websockets.sync": lambda: raw_sync_echo(f"ws://127.0.0.1:{port}", seconds),
        }
        found: dict[str, list[Figures]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, measure in contenders.items():
                found[name].append(measure())
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    options = parser.parse_args()
    found = run(options.rounds, options.seconds)
    base = found["raw websockets echo"]
    print(f"{'':22}{'calls/s, 64 in flight':>24}{'ratio':>8}{'sequential p50':>18}{'ratio':>8}")
    for name, rounds in found.items():
        rate = statistics.median(r for r, _ in rounds)
        p50 = statistics.median(p for _, p in rounds)
        rates = statistics.median(r / b for (r, _), (b, _) in zip(rounds, base, strict=True))
        p50s = statistics.median(p / b for (_, p), (_, b) in zip(rounds, base, strict=True))
        left = f"{rate:>24,.0f}{rates:>8.2f}" if rate == rate else f"{'–':>24}{'–':>8}"  # noqa: PLR0124 - NaN: not measured
        right = f"{p50:>15,.0f} µs{p50s:>8.2f}" if p50 == p50 else f"{'–':>18}{'–':>8}"  # noqa: PLR0124
        print(f"{name:22}{left}{right}")


if __name__ == "__main__":
    main()
