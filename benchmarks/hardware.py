"""The hardware service beside the same psutil calls made locally, and what two hundred subscribers cost.

    python benchmarks/hardware.py [--seconds 3] [--subscribers 200]

Everything is measured in one run. The call's own cost is that of ``rpc.ping`` over the same connection, and of encoding
and decoding an answer of this size. Where Glances is installed, its server is asked for the same sections by its REST
API, one GET each over one connection.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil

from rpcclient import AsyncClient
from rpcclient.stubs.hardware import Section, Snapshot
from rpcwire.codec import MessagePack
from rpcwire.values.wiretypes import WireType

SECTIONS: list[Section] = ["cpu", "memory", "disks", "network"]


def locally() -> None:
    """What :data:`SECTIONS` are made of, by psutil."""
    psutil.cpu_times(percpu=True)
    psutil.cpu_times()
    psutil.cpu_freq(percpu=True)
    psutil.cpu_stats()
    psutil.getloadavg()
    psutil.virtual_memory()
    psutil.swap_memory()
    psutil.disk_io_counters(perdisk=True)
    for part in psutil.disk_partitions():
        psutil.disk_usage(part.mountpoint)
    psutil.net_io_counters(pernic=True)
    psutil.net_if_stats()
    psutil.net_if_addrs()


@contextmanager
def server() -> Iterator[tuple[str, str, int]]:
    """A server of our own; gives its URL, its token and its process id."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "RPCSERVER_STATE_DIR": folder, "RPCSERVER_PLUGINS__ENABLED": '["hardware"]'}
        command = [
            sys.executable,
            "-m",
            "rpcserver",
            "serve",
            "--port",
            "0",
            "--unix",
            "none",
            "--log-level",
            "WARNING",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            url = process.stdout.readline().rpartition(" ")[2].strip()
            try:
                yield url, (Path(folder) / "token").read_text().strip(), process.pid
            finally:
                process.terminate()


def say(what: str, ms: float, beside: float | None = None) -> None:
    ratio = "" if beside is None else f"   × {ms / beside:.2f}"
    print(f"{what:58} {ms:8.3f} ms{ratio}")


@contextmanager
def glances() -> Iterator[http.client.HTTPConnection | None]:
    """A connection to a Glances of our own; ``None`` where it is not installed."""
    if find_spec("glances") is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "glances", "-w", "-B", "127.0.0.1", "-p", str(port), "--disable-webui"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen([*command, "--disable-check-update"], stdout=quiet, stderr=quiet) as process:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                try:
                    connection.connect()
                    break
                except ConnectionRefusedError:
                    time.sleep(0.2)
            yield connection
        finally:
            process.terminate()


def ask_glances(connection: http.client.HTTPConnection) -> None:
    """What Glances says of :data:`SECTIONS`; it refreshes what it serves by itself, every other second."""
    for section in ("cpu", "load", "mem", "memswap", "fs", "diskio", "network"):
        connection.request("GET", f"/api/4/{section}")
        json.loads(connection.getresponse().read())


async def compare(client: AsyncClient, seconds: float, other: http.client.HTTPConnection | None) -> None:
    """Time turns of all contenders one after the other, so that each meets the same machine."""
    times: dict[str, list[float]] = {"psutil": [], "ping": [], "nothing": [], "snapshot": []}
    contenders: dict[str, Callable[[], Awaitable[object]]] = {
        "ping": lambda: client.call("rpc.ping"),
        "nothing": lambda: client.hardware.snapshot([]),
        "snapshot": lambda: client.hardware.snapshot(SECTIONS),
    }
    if other is not None:
        times["glances"] = []
        contenders["glances"] = lambda: asyncio.to_thread(ask_glances, other)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        locally()
        times["psutil"].append(time.perf_counter() - begin)
        for name, contender in contenders.items():
            begin = time.perf_counter()
            await contender()
            times[name].append(time.perf_counter() - begin)
    kind, codec = WireType(Snapshot), MessagePack()
    raw = kind.dump(await client.hardware.snapshot(SECTIONS), codec)
    for _ in range(200):
        begin = time.perf_counter()
        kind.dump(kind.load(raw, codec), codec)
        times.setdefault("codec", []).append(time.perf_counter() - begin)
    ms = {name: statistics.median(values) * 1000 for name, values in times.items()}
    print(f"medians of {len(times['psutil'])} turns")
    say("the same psutil calls, locally", ms["psutil"])
    own = ms["nothing"] + ms["codec"]
    say("a call: rpc.ping", ms["ping"])
    say("the call's own cost: snapshot() of no section", ms["nothing"])
    say(f"  and {len(raw)} bytes encoded and decoded", ms["codec"])
    say("snapshot() of cpu, memory, disks, network", ms["snapshot"], ms["psutil"])
    say("  of that, without the call's own cost", ms["snapshot"] - own, ms["psutil"])
    if other is not None:
        say("Glances, the same sections by its REST API", ms["glances"], ms["psutil"])


def cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def subscribe(url: str, token: str, pid: int, subscribers: int, seconds: float) -> None:
    """Many connections, each with one stream of samples at one second; one of them never reads."""
    clients = [AsyncClient(url, token=token) for _ in range(subscribers)]
    for client in clients:  # One by one: a server lets only a few wait to authenticate.
        await client.connect()
    counts = [0] * subscribers

    async def read(index: int) -> None:
        async with clients[index].hardware.subscribe(SECTIONS, interval_s=1.0) as samples:
            if index == 0:
                await asyncio.sleep(3600)
            async for _ in samples:
                counts[index] += 1

    tasks = [asyncio.create_task(read(index)) for index in range(subscribers)]
    while min(counts[1:]) < 2:  # noqa: ASYNC110 - until all of them are under way
        await asyncio.sleep(0.1)
    before, begin = list(counts), time.perf_counter()
    used = cpu_s(pid)
    await asyncio.sleep(seconds)
    used, taken = cpu_s(pid) - used, time.perf_counter() - begin
    got = [now - old for now, old in zip(counts[1:], before[1:], strict=True)]
    print(
        f"{subscribers} subscribers at 1 s, one of them frozen: server {100 * used / taken:.1f} % of a processor; ",
        end="",
    )
    print(f"each of the others got {min(got)} to {max(got)} samples in {taken:.1f} s")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(client.close() for client in clients))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--subscribers", type=int, default=200)
    given = parser.parse_args()
    with server() as (url, token, pid):
        with glances() as other:
            async with AsyncClient(url, token=token) as client:
                await compare(client, given.seconds, other)
        if given.subscribers:
            await subscribe(url, token, pid, given.subscribers, max(given.seconds, 3.0))


if __name__ == "__main__":
    asyncio.run(main())
