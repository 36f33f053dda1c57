"""Running a program and streaming its output, beside a local subprocess and SSH (asyncssh's server and client), in one
run.

Each round measures every contender once, so that what else the machine does hits all of them; the figures are medians
over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncssh
import uvloop

from rpcclient import AsyncClient

MIB = 1024 * 1024
CHUNK_BYTES = 128 * 1024
Run = Callable[[], Awaitable[None]]
Stream = Callable[[list[str]], Awaitable[int]]


def printer(size: int) -> list[str]:
    return ["head", "-c", str(size), "/dev/zero"]


# --- the contenders ---------------------------------------------------------------------------------------------


async def local_run() -> None:
    process = await asyncio.create_subprocess_exec("true", stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    await process.communicate()
    assert process.returncode == 0


async def local_stream(argv: list[str]) -> int:
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, limit=MIB)
    assert process.stdout is not None
    taken = 0
    while data := await process.stdout.read(CHUNK_BYTES):
        taken += len(data)
    assert await process.wait() == 0
    return taken


def over_rpc(client: AsyncClient) -> tuple[Run, Stream]:
    async def run() -> None:
        assert (await client.programs.run(["true"])).code == 0

    async def stream(argv: list[str]) -> int:
        taken = 0
        async with await client.programs.start(argv, overflow="wait") as program:
            async for piece in program.stdout:
                taken += len(piece)
            assert (await program.wait()).status.code == 0
        await program.forget()
        return taken

    return run, stream


def over_ssh(connection: asyncssh.SSHClientConnection) -> tuple[Run, Stream]:
    async def run() -> None:
        assert (await connection.run("true", encoding=None)).exit_status == 0

    async def stream(argv: list[str]) -> int:
        taken = 0
        async with connection.create_process(" ".join(argv), encoding=None) as process:
            while data := await process.stdout.read(CHUNK_BYTES):
                taken += len(data)
        assert process.exit_status == 0
        return taken

    return run, stream


# --- their servers ----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def started(command: list[str], environment: dict[str, str] | None = None) -> AsyncIterator[str]:
    """A server process on a core of its own, if there is one; gives the first line that it prints."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, env=environment)
    assert process.stdout is not None
    try:
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(process.pid, {0})
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


async def serve_ssh() -> None:
    """asyncssh's server, with a handler that does as the programs service does: start, stream, wait."""

    async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
        assert process.command is not None
        local = await asyncio.create_subprocess_exec(
            *process.command.split(), stdin=DEVNULL, stdout=PIPE, stderr=PIPE, limit=MIB
        )
        assert local.stdout is not None
        assert local.stderr is not None

        async def pass_on(source: asyncio.StreamReader, target: asyncssh.SSHWriter[bytes]) -> None:
            while data := await source.read(CHUNK_BYTES):
                target.write(data)
                await target.drain()

        await asyncio.gather(pass_on(local.stdout, process.stdout), pass_on(local.stderr, process.stderr))
        process.exit(await local.wait())

    class Server(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - everybody
            return False

    key = asyncssh.generate_private_key("ssh-ed25519")
    listener = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[key], server_factory=Server, process_factory=handle, encoding=None
    )
    print(listener.get_port(), flush=True)
    await listener.wait_closed()


# --- measuring --------------------------------------------------------------------------------------------------


async def median_s(run: Run, seconds: float) -> float:
    times = []
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        await run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


async def rate(stream: Stream, size: int) -> float:
    begin = time.perf_counter()
    assert await stream(printer(size)) == size
    return size / MIB / (time.perf_counter() - begin)


async def measure(rounds: int, seconds: float, size: int) -> dict[str, list[tuple[float, float]]]:
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        environment = {
            **os.environ,
            "RPCSERVER_STATE_DIR": folder,
            "RPCSERVER_PLUGINS__DISABLED": '["database", "hardware"]',
        }
        serve = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none", "--log-level", "WARNING"]
        line = await stack.enter_async_context(started([*serve, "--token-file", f"{folder}/token"], environment))
        port = await stack.enter_async_context(started([sys.executable, __file__, "--serve-ssh"]))
        if (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(0, {1})
        client = await stack.enter_async_context(AsyncClient(line.rpartition(" ")[2], token_file=f"{folder}/token"))
        ssh: Any = await stack.enter_async_context(
            asyncssh.connect("127.0.0.1", int(port), known_hosts=None, username="bench", client_keys=None)
        )
        contenders = {
            "local subprocess": (local_run, local_stream),
            "remote-services": over_rpc(client),
            "asyncssh": over_ssh(ssh),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, (run, stream) in contenders.items():
                found[name].append((await median_s(run, seconds), await rate(stream, size)))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure of run")
    parser.add_argument("--mib", type=int, default=128, help="for each figure of streaming")
    parser.add_argument("--serve-ssh", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if options.serve_ssh:
            runner.run(serve_ssh())
            return
        found = runner.run(measure(options.rounds, options.seconds, options.mib * MIB))
    base = found["local subprocess"]
    ssh = found["asyncssh"]
    heads = ("run true, p50", "over local", "streamed", "of asyncssh")
    print("".join([" " * 20, *(f"{head:>18}" for head in heads)]))
    for name, figures in found.items():
        p50 = statistics.median(s for s, _ in figures)
        over = statistics.median(s - b for (s, _), (b, _) in zip(figures, base, strict=True))
        mibs = statistics.median(m for _, m in figures)
        ratio = statistics.median(m / a for (_, m), (_, a) in zip(figures, ssh, strict=True))
        print(f"{name:20}{p50 * 1000:>15.2f} ms{over * 1000:>+15.2f} ms{mibs:>12,.0f} MiB/s{ratio:>17.2f}×")


if __name__ == "__main__":
    main()
