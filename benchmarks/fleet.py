"""``uptime`` on many nodes by one command, beside asyncssh with a connection to each and Fabric's ThreadingGroup.

Each node is a whole server of ours with the programs service, and beside it in the same process stands a server of
asyncssh. All runs of one round follow one another: whole commands with the start of Python and all connections, as
somebody types them, and then the same from a program whose connections stand.

``python -m benchmarks.fleet [--nodes N] [--processes P] [--rounds R]``. Fabric is of the dependency group ``bench``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import asyncssh

from rpcclient import AsyncClient
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcservices.programs import Programs
from tests.server.group.test_joining import run_broker

from .fleet_ssh import connect_ssh, run_over_ssh
from .group_calls import wait_for_all

TOKEN = "t" * 32
COMMAND = "uptime"


async def start_server(url: str, folder: Path, name: str, *, listen: bool) -> Server:
    """Start one node, with the programs service."""
    config = ServerConfig.model_validate(
        {
            "state_dir": str(folder / name),
            "listen": {"port": 0, "unix": "none"},
            "grace_s": 0,
            "group": {"url": url, "name": name, "labels": {"role": "web"}, "trust_gateway_names": True},
            "roles": {
                "all": {
                    "principals": ["* via gateway"],
                    "permissions": ["*"],
                    "programs": {"may_run": "anything"},
                }
            },
        }
    )
    server = Server(config, (Programs(),), token=TOKEN)
    await server.start(listen=listen)
    return server


async def run_for_ssh(process: asyncssh.SSHServerProcess[str]) -> None:
    """Run what a client of SSH asks for."""
    assert process.command is not None
    local = await asyncio.create_subprocess_exec(*process.command.split(), stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    out, err = await local.communicate()
    process.stdout.write(out.decode())
    process.stderr.write(err.decode())
    process.exit(local.returncode or 0)


class OpenServer(asyncssh.SSHServer):
    """Lets everybody in."""

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - everybody
        """Return that nobody has to show who they are."""
        return False


async def be_nodes(url: str, folder: Path, first: int, count: int) -> None:
    """Be so many nodes, and as many servers of SSH, until standard input ends."""
    ports = []
    key = asyncssh.generate_private_key("ssh-ed25519")
    for number in range(first, first + count):
        server = await start_server(url, folder, f"web-{number}", listen=False)
        link = server.group.membership.node.link
        while link is not None and not link.is_up:  # noqa: ASYNC110 - one after the other, so that all can connect
            await asyncio.sleep(0.01)
        listener = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[key], server_factory=OpenServer, process_factory=run_for_ssh
        )
        ports.append(listener.get_port())
    print(json.dumps(ports), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


# --- what is compared ---------------------------------------------------------------------------------------------


async def run_whole(command: Sequence[str], environment: dict[str, str]) -> None:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=environment)
    out, err = await process.communicate()
    assert not process.returncode, (out + err).decode(errors="replace")


async def measure(nodes: int, processes: int, rounds: int) -> None:
    """Measure, and print."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(run_broker(folder / "broker"))
        workers, first = [], 0
        for index in range(processes):
            count = (nodes - first) // (processes - index)
            command = [sys.executable, "-m", "benchmarks.fleet", "--be", url, str(folder), str(first), str(count)]
            worker = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
            stack.callback(worker.kill)
            workers.append(worker)
            first += count
        ports: list[int] = []
        for worker in workers:
            assert worker.stdout is not None
            ports += json.loads(await worker.stdout.readline())
        server = await start_server(url, folder, "gateway", listen=True)
        stack.push_async_callback(server.stop, grace_s=0)
        address = server.addresses[0]
        client = await stack.enter_async_context(AsyncClient(address, token=TOKEN, proxy=None))
        await wait_for_all(client, nodes)
        (folder / "token").touch(0o600)
        (folder / "token").write_text(TOKEN)
        environment = {**os.environ, "RPC_URL": address, "RPC_TOKEN_FILE": str(folder / "token"), "RPC_PROXY": "none"}
        connections = await connect_ssh(ports)

        async def call_group() -> None:
            outcomes = await client.group("role=web,name!=gateway").programs.run([COMMAND])
            assert len(outcomes.ok) == nodes, outcomes.table()

        over_ssh = [sys.executable, str(Path(__file__).with_name("fleet_ssh.py"))]
        numbers = [COMMAND, *map(str, ports)]
        on = [sys.executable, "-m", "rpcclient", "run", "--on", "role=web,name!=gateway", "--", COMMAND]
        work: dict[str, Callable[[], Awaitable[None]]] = {
            "rpcclient run --on": lambda: run_whole(on, environment),
            "asyncssh": lambda: run_whole([*over_ssh, "asyncssh", *numbers], environment),
            "Fabric": lambda: run_whole([*over_ssh, "fabric", *numbers], environment),
            "client.group(), connected": call_group,
            "asyncssh, connected": lambda: run_over_ssh(connections, COMMAND),
        }
        spans: dict[str, list[float]] = {name: [] for name in work}
        for index in range(rounds + 1):
            for name, step in work.items():
                begin = time.perf_counter()
                await step()
                if index:  # The first round is for whatever is made once.
                    spans[name].append(time.perf_counter() - begin)
        print(f"{COMMAND} on {nodes} nodes in {processes} processes, {rounds} rounds")
        for name, seconds in spans.items():
            ratio = statistics.median(a / b for a, b in zip(spans["rpcclient run --on"], seconds, strict=True))
            print(f"{name:26} {statistics.median(seconds) * 1e3:8.0f} ms, rpcclient run --on takes {ratio:5.2f} of it")


def main() -> None:
    """Measure, and print."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--be", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be is not None:
        url, folder, first, count = options.be
        asyncio.run(be_nodes(url, Path(folder), int(first), int(count)))
    else:
        asyncio.run(measure(options.nodes, options.processes, options.rounds))


if __name__ == "__main__":
    main()
