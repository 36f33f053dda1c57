"""The main job in one go: start a server, use its three services from ordinary Python code over one WebSocket, stop.

Run it with `make demo`. Everything is real: the programs, the database (built from this Python's own library), this
machine's hardware.
"""

from __future__ import annotations

import ast
import math
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rpcclient import Client
from rpcclient.stubs.hardware import Snapshot

console = Console(highlight=False)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A server of our own, on a free port; gives its URL."""
    environment = {**os.environ, "RPCSERVER_STATE_DIR": str(folder)}
    command = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none", "--log-level", "WARNING"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            if not line:
                raise SystemExit("the server did not start")
            yield line.rpartition(" ")[2].strip()
        finally:
            process.terminate()
            status = process.wait(15)
            console.print(f"server stopped, exit status {status}", style="dim")


def title(text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}", align="left")


def programs(client: Client) -> None:
    title("programs")
    done = client.programs.run(["uname", "-srm"])
    console.print(f"uname -srm     {done.stdout.decode().strip()}   ({done.duration_s * 1000:.1f} ms)")
    done = client.programs.run(["sort", "-r"], input=b"alpha\nbeta\ngamma\n")
    console.print(f"sort -r        {done.stdout.decode().split()}   (its input came from here)")
    done = client.programs.run(["sh", "-c", "echo oops >&2; exit 3"])
    console.print(f"exit status    {done.code}, standard error {done.stderr.decode().strip()!r}")

    script = "for n in 1 2 3 4; do echo line $n; sleep 0.4; done"
    program = client.programs.start(["sh", "-c", script])
    begin = time.monotonic()
    with client.programs.output(program.id) as chunks:
        for chunk in chunks:
            for line in chunk.data.decode().splitlines():
                console.print(f"live output    {time.monotonic() - begin:4.1f} s  {line}")
    ended = client.programs.wait(program.id)
    console.print(f"then           {ended.status}")


def library() -> Iterator[dict[str, object]]:
    """This Python's standard library as rows: real data that every machine with Python has."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        nodes = list(ast.walk(ast.parse(text)))
        yield {
            "name": path.stem,
            "lines": text.count("\n"),
            "functions": sum(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in nodes),
            "classes": sum(isinstance(node, ast.ClassDef) for node in nodes),
        }


def database(client: Client) -> None:
    title("database")
    db = client.database
    db.execute(
        "main",
        "CREATE TABLE module (name TEXT PRIMARY KEY, lines INTEGER NOT NULL, functions INTEGER, classes INTEGER)",
    )
    transaction = db.begin("main")
    count = 0
    for row in library():
        insert = "INSERT INTO module VALUES (:name, :lines, :functions, :classes)"
        db.execute("main", insert, row, transaction=transaction.id)
        count += 1
    db.commit(transaction.id)
    console.print(f"{count} modules of this Python's library, written in one transaction\n")
    found = db.query(
        "main",
        "SELECT name, lines, functions, classes, round(1.0 * lines / functions, 1) AS lines_each FROM module "
        "WHERE functions > :least ORDER BY lines DESC LIMIT 5",
        {"least": 20},
    )
    table = Table(*(column.name for column in found.columns), box=None, pad_edge=False)
    for line in found:
        table.add_row(*(str(cell) for cell in line))
    console.print(table)


def hardware(client: Client) -> None:
    title("hardware")
    host, cpu, memory = client.hardware.host(), client.hardware.cpu(), client.hardware.memory()
    console.print(
        f"host           {host.hostname}: {host.distribution or host.system}, up {host.uptime_s / 3600:.1f} h"
    )
    load = "" if cpu.load_1m is None else f", load {cpu.load_1m:.2f}"
    console.print(f"processors     {cpu.logical} × {cpu.model or 'unknown'}{load}")
    console.print(f"memory         {size(memory.available_bytes)} of {size(memory.total_bytes)} available")
    for disk in client.hardware.disks().filesystems[:3]:
        if disk.total_bytes is not None and disk.free_bytes is not None:
            console.print(f"disk           {disk.mountpoint}: {size(disk.free_bytes)} of {size(disk.total_bytes)} free")
    missing = [c for c in client.hardware.capabilities() if c.state != "available"]
    console.print("not here       " + ("; ".join(f"{c.section} ({c.reason})" for c in missing) or "nothing is missing"))
    console.print("\nlive for three seconds, rates computed on the server:")
    with client.hardware.watch(["cpu", "network"], interval_s=0.5) as samples:
        for count, sample in enumerate(samples, 1):
            show(sample)
            if count == 6:
                break


def show(sample: Snapshot) -> None:
    percent = sample.cpu.percent if sample.cpu is not None and sample.cpu.percent is not None else 0.0
    interfaces = sample.network.interfaces if sample.network is not None else ()
    per_s = sum(interface.bytes_sent_per_s or 0.0 for interface in interfaces)
    console.print(f"  {'█' * round(percent / 5):20} {percent:5.1f} %   network {size(per_s)}/s sent")


def size(count: float) -> str:
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(int(math.log(max(count, 1), 1024)), len(units) - 1)
    return f"{count / 1024**power:.{min(power, 1)}f} {units[power]}"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="remote-services-demo-") as folder, server(Path(folder)) as url:
        with Client(url, token_file=f"{folder}/token") as client:
            hello = client.hello()
            who = hello.principal.name if hello.principal is not None else "nobody"
            console.print(f"connected to {hello.server} at {url}, {hello.subprotocol}, as {who}")
            programs(client)
            database(client)
            hardware(client)
        console.print()


if __name__ == "__main__":
    main()
