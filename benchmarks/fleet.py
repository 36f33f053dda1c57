"""``uptime`` on many nodes by one command, beside asyncssh with a connection to each and Fabric's ThreadingGroup.

Each node is a whole server of ours with the programs service. Beside it stand two servers of SSH: ``sshd`` of OpenSSH,
with Debian's settings, as on a real machine; and in the process of the node one of asyncssh, which authenticates nobody
and starts the program itself: no shell, no session of PAM, no process for the connection.

All runs of one round follow one another. First come whole commands, as somebody types them: the start of Python, its
imports, all connections, the programs, their output. Then the same from a program whose connections stand.

``python -m benchmarks.fleet [--nodes N] [--processes P] [--rounds R]``. Fabric is of the dependency group ``bench``.
Without ``sshd`` (Debian: ``openssh-server``) its rows are left out.
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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import asyncssh

from rpcclient import AsyncClient
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcservices.programs import Programs
from tests.server.group.answering import wait_for_all
from tests.server.group.test_joining import run_broker

from .fleet_ssh import connect_ssh, run_over_ssh
from .fleet_sshd import find_sshd, run_sshds

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
        environment = {
            **os.environ,
            "RPC_URL": address,
            "RPC_TOKEN_FILE": str(folder / "token"),
            "RPC_PROXY": "none",
            # Wherever this is measured, all commands find their modules compiled, as installed ones do.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
        }
        target = f"role=web,name!={server.config.group.name}"
        on = [sys.executable, "-m", "rpcclient", "run", "--on", target, "--", COMMAND]

        async def call_group() -> None:
            outcomes = await client.group(target).programs.run([COMMAND])
            assert len(outcomes.ok) == nodes, outcomes.table()

        whole: dict[str, Callable[[], Awaitable[None]]] = {"rpcclient run --on": lambda: run_whole(on, environment)}
        connected: dict[str, Callable[[], Awaitable[None]]] = {"client.group()": call_group}
        key_file = folder / "asyncssh_key"
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(key_file))
        peers = {"server of asyncssh": (ports, key_file)}
        sshd = find_sshd()
        if sshd is None:
            print("sshd is not installed: there are no rows for it")
        else:
            peers = {"sshd": stack.enter_context(run_sshds(sshd, folder, nodes)), **peers}
        for name, (ssh_ports, ssh_key) in peers.items():
            for library in ("asyncssh", "Fabric"):
                script = str(Path(__file__).with_name("fleet_ssh.py"))
                command = [sys.executable, script, library.lower(), str(ssh_key), COMMAND, *map(str, ssh_ports)]
                whole[f"{library} to {name}"] = partial(run_whole, command, environment)
            connections = await connect_ssh(ssh_ports, str(ssh_key))
            connected[f"asyncssh to {name}"] = partial(run_over_ssh, connections, COMMAND)
        print(f"{COMMAND} on {nodes} nodes in {processes} processes, {rounds} rounds")
        print_table("whole commands", await take_turns(whole, rounds))
        print_table("over connections that stand", await take_turns(connected, rounds))


async def take_turns(work: Mapping[str, Callable[[], Awaitable[None]]], rounds: int) -> dict[str, list[float]]:
    """Do everything in turn, so many times, and return how long each took, in seconds."""
    spans: dict[str, list[float]] = {name: [] for name in work}
    for index in range(rounds + 1):
        for name, step in work.items():
            begin = time.perf_counter()
            await step()
            if index:  # The first round is for whatever is made once.
                spans[name].append(time.perf_counter() - begin)
    return spans


def print_table(title: str, spans: Mapping[str, Sequence[float]]) -> None:
    """Print the medians, and which part of each the first one takes."""
    print(title)
    first = next(iter(spans.values()))
    for name, seconds in spans.items():
        ratio = statistics.median(a / b for a, b in zip(first, seconds, strict=True))
        print(f"  {name:30} {statistics.median(seconds) * 1e3:6.0f} ms, of which the first takes {ratio:4.2f}")


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
