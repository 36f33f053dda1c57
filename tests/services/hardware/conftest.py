"""A server with the hardware service, and recorded machines."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcservices.hardware import Hardware
from rpcservices.hardware.config import HardwareConfig
from rpcservices.hardware.readers.places import Places

Scenario = Callable[[AsyncClient], Coroutine[Any, Any, None]]
Serve = Callable[..., None]
Machine = Callable[[str], Places]

MACHINES = Path(__file__).parent / "machines"


def expand(root: Path, text: str) -> None:
    """Make the files that a recorded machine's text describes.

    ``@ /folder`` begins a folder; below it, ``name: content`` is a file, ``name -> /target`` a link, ``name !EIO`` a
    file that fails when it is read, ``name = hex`` a file with these bytes, and ``name <<`` a file with the lines up to
    ``>>``. A link called ``subsystem`` also makes the link back that the kernel makes: from the bus or class to the
    device.
    """
    folder = root
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("@ "):
            folder = root / line[2:].strip().lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
        elif line.endswith(" <<"):
            content = []
            for inner in lines:
                if inner == ">>":
                    break
                content.append(inner)
            _write(folder / line[:-3], ("\n".join(content) + "\n").encode())
        elif line.endswith(" !EIO"):
            # Reading the memory of the reader itself, at address 0, is an input/output error on every Linux.
            (folder / line[:-5]).symlink_to("/proc/self/mem")
        elif " -> " in line:
            name, target = line.split(" -> ")
            _link(root, folder / name, root / target.lstrip("/"))
            if name == "subsystem":
                below = "devices/" if target.startswith("/sys/bus/") else ""
                _link(root, root / target.lstrip("/") / f"{below}{folder.name}", folder)
        elif " = " in line:
            name, data = line.split(" = ")
            _write(folder / name, bytes.fromhex(data))
        else:
            name, _, content_of = line.partition(":")
            _write(folder / name, f"{content_of.strip()}\n".encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _link(root: Path, path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(target, path.parent))


def as_nobody(act: Callable[[], Any]) -> Any:
    """What something gives in a process of a user without privileges."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        os.write(theirs, json.dumps(act()).encode())
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as answer:  # noqa: PTH123 - a descriptor
        found = json.load(answer)
    os.waitpid(child, 0)
    return found


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Run a scenario against a server with the hardware service."""

    def run(scenario: Scenario, places: Places | None = None, **settings: Any) -> None:
        async def main() -> None:
            service = Hardware(HardwareConfig(**settings), places)
            server = Server(ServerConfig(state_dir=str(tmp_path / "state")), [service], token="t" * 32)
            await server.start(listen=False)
            try:
                async with AsyncClient(memory=server.connect_memory) as client:
                    client.service_here = service  # type: ignore[attr-defined]
                    await scenario(client)
            finally:
                await server.stop(grace_s=0)

        asyncio.run(main())

    return run


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """The file system of a recorded machine."""

    def build(name: str) -> Places:
        root = tmp_path / "machine"
        expand(root, (MACHINES / f"{name}.txt").read_text(encoding="utf-8"))
        places = Places.under(root)
        if not (places.proc / "stat").exists():  # What was not recorded is this machine's.
            (places.proc / "stat").symlink_to("/proc/stat")
        return places

    return build


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server as a process; gives its URL and its token's file."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("RPC_", "RPCSERVER_"))},
        "RPCSERVER_STATE_DIR": str(tmp_path),
        "RPCSERVER_PLUGINS__ENABLED": '["hardware"]',
    }
    (tmp_path / "config.toml").write_text('[services.hardware]\nserial_paths = ["/dev/pts/*"]\n')
    command = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none"]
    command += ["--config", str(tmp_path / "config.toml")]
    log = (tmp_path / "log").open("w")
    with log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        assert url, (tmp_path / "log").read_text()
        yield url, tmp_path / "token"
        process.terminate()
