"""Prints what the service says of the machine, as JSON: for tests that give it namespaces of its own.

``look.py [--fuse PLACE] [--hung PLACE] [--interval S] [--nobody] SECTION...``: a snapshot of some sections, what follows
one, the capabilities and the processes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "services")]

from rpcclient import AsyncClient  # noqa: E402 - it may run anywhere
from rpcclient.errors import RpcError  # noqa: E402
from rpcserver.config import ServerConfig  # noqa: E402
from rpcserver.server import Server  # noqa: E402
from rpcservices.hardware import Hardware  # noqa: E402
from rpcservices.hardware.config import HardwareConfig  # noqa: E402
from tests.services.hardware.mounting import fuse  # noqa: E402


def missing(reason: str) -> NoReturn:
    sys.exit(f"missing: {reason}")


async def look(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as state:
        service = Hardware(HardwareConfig(section_timeout_s=options.limit, metrics_page=True))
        server = Server(ServerConfig(state_dir=state), [service], token="t" * 32)
        await server.start(listen=False)
        try:
            async with AsyncClient(memory=server.connect_memory) as client:
                first = await client.call("hardware.snapshot", {"sections": options.sections})
                async with client.hardware.watch(options.sections, interval_s=options.interval) as snapshots:
                    second = (await anext(snapshots)).model_dump(mode="json")
                sample = None
                if options.sections != ["users"]:
                    async with client.hardware.subscribe(options.sections, interval_s=0.1) as samples:
                        sample = (await anext(samples)).model_dump(mode="json")
                listed = (await client.hardware.processes(["name"], sort="pid", limit=10_000)).model_dump(mode="json")
                try:
                    await client.hardware.process(1)
                    first_process = ""
                except RpcError as exc:
                    first_process = f"{exc.type}: {exc.message}"
                lacks = {c.section: [c.state, c.reason, c.metrics] for c in await client.hardware.capabilities()}
                page = await service.http_pages()["/metrics"].render()
                return {
                    "first": first, "second": second, "sample": sample, "page": page, "processes": listed,
                    "first_process": first_process, "capabilities": lacks,
                }  # fmt: skip
        finally:
            await server.stop(grace_s=0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fuse", type=Path)
    parser.add_argument("--hung", type=Path)
    parser.add_argument("--interval", type=float, default=0.3)
    parser.add_argument("--limit", type=float, default=2.0)
    parser.add_argument("--nobody", action="store_true")
    parser.add_argument("sections", nargs="+")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if options.fuse is not None:
            stack.enter_context(fuse(options.fuse, missing))
        if options.hung is not None:
            stack.enter_context(fuse(options.hung, missing, silent=True))
        if options.nobody:
            asyncio.run(look(options))  # What is imported late has to be there: the folder may be its owner's alone.
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        print(json.dumps(asyncio.run(look(options))))


if __name__ == "__main__":
    main()
