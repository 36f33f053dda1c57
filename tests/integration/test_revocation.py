"""A revoked token, and a smaller role, over all three services: transactions, programs, subscriptions, serial ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from rpcclient import AsyncClient
from rpcclient.errors import ConnectionLost, PermissionDenied, RpcError, Unauthenticated
from rpcserver.config import ServerConfig
from rpcserver.security.named_tokens import TokenSet
from rpcserver.security.token_file import TokenFile
from rpcserver.server import Server
from rpcservices.database import Database
from rpcservices.hardware import Hardware
from rpcservices.hardware.config import HardwareConfig
from rpcservices.programs import Programs
from rpcservices.programs.config import ProgramsConfig

SECONDS = 20.0
TOKEN = "a-token-for-the-tests"
ROLES = {
    "operator": {
        "permissions": ["*"],
        "programs": {"may_run": "anything"},
    },
    "reader": {"permissions": ["database.query", "hardware.read"]},
}


@dataclass
class Open:
    """What somebody has open.

    Attributes:
        client: whose it is.
        tasks: calls and streams that would never end by themselves.
        programs: the processes of their programs.
    """

    client: AsyncClient
    tasks: dict[str, asyncio.Future[Any]]
    programs: list[psutil.Process]


@pytest.fixture
def port() -> Iterator[str]:
    """A serial port."""
    far, near = pty.openpty()
    tty.setraw(near)
    yield os.ttyname(near)
    os.close(far)
    os.close(near)


Run = Callable[[Callable[[Server, TokenFile, AsyncClient], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Run:
    """Runs a scenario with a server, the file of its tokens, and its owner."""

    def run(scenario: Callable[[Server, TokenFile, AsyncClient], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            config = {"state_dir": str(tmp_path), "listen": {"port": 0, "unix": "none"}, "roles": ROLES}
            hardware = Hardware(HardwareConfig(serial_paths=("/dev/pts/*",)))
            server = Server(
                ServerConfig.model_validate(config),
                [Database(), hardware, Programs(ProgramsConfig(grace_s=0.2))],
                token=TOKEN,
            )
            await server.start()
            try:
                async with AsyncClient(server.addresses[0], token=TOKEN) as owner:
                    await scenario(server, TokenFile(tmp_path), owner)
            finally:
                await server.stop(grace_s=0)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main())

    return run


def create(file: TokenFile, name: str) -> str:
    texts = []

    def edit(tokens: TokenSet) -> TokenSet:
        new, text = tokens.create(name, "operator", 1.0)
        texts.append(text)
        return new

    file.update(edit)
    return texts[0]


@contextlib.asynccontextmanager
async def opened(server: Server, token: str, port: str) -> AsyncIterator[Open]:
    """Something of each kind, open."""
    async with AsyncClient(server.addresses[0], token=token) as client:
        transaction = await client.database.begin("main")
        insert = "INSERT INTO notes VALUES ('of a transaction')"
        await client.database.execute("main", insert, transaction=transaction.id)
        kept = await client.programs.start(["sleep", "1000"], on_disconnect="keep")
        bound = await client.programs.start(["sleep", "1000"], reattach_s=1000)
        serial = await client.hardware.open_serial(port)
        reading = await client.hardware.read_serial(serial.id).open()
        samples = await client.hardware.subscribe(["memory"], interval_s=0.1).open()
        await anext(samples)
        running = asyncio.ensure_future(client.programs.run(["sleep", "1000"]))
        infos = [await client.programs.get(each.id) for each in (kept, bound)]
        yield Open(
            client,
            {
                "serial": asyncio.ensure_future(_all(reading)),
                "subscription": asyncio.ensure_future(_all(samples)),
                "run": running,
                "wait": asyncio.ensure_future(client.call("programs.wait", {"id": bound.id})),
            },
            [psutil.Process(info.pid) for info in infos],
        )


async def _all(stream: Any) -> None:
    async for _ in stream:
        pass


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


async def check_nothing_is_left(server: Server, owner: AsyncClient, port: str, left: Open) -> None:
    """Nothing of what was open is left, and the owner can use all of it."""
    await until(lambda: not any(_lives(process) for process in left.programs))
    async with asyncio.timeout(SECONDS):
        while True:  # The port is given back as soon as its reader has ended.
            try:
                serial = await owner.hardware.open_serial(port)
            except RpcError:
                await asyncio.sleep(0.005)
            else:
                break
    await owner.hardware.close_serial(serial.id)
    # SQLite has one writer: this waits until the transaction is rolled back.
    await owner.database.execute("main", "INSERT INTO notes VALUES ('of the owner')")
    rows = await owner.database.query("main", "SELECT text FROM notes")
    assert [tuple(row) for row in rows.rows] == [("of the owner",)]
    await until(lambda: len(server.connections) == 1)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_revoked_token_leaves_nothing_open(run: Run, port: str) -> None:
    async def scenario(server: Server, file: TokenFile, owner: AsyncClient) -> None:
        await owner.database.execute("main", "CREATE TABLE notes (text TEXT)")
        token, other_token = create(file, "ci"), create(file, "other")
        await until(lambda: server.authentication.named_tokens.principal(other_token))
        async with (
            AsyncClient(server.addresses[0], token=other_token) as other,
            opened(server, token, port) as left,
        ):
            theirs = await other.programs.start(["sleep", "1000"], on_disconnect="keep")
            file.update(lambda tokens: tokens.revoke("ci", 2.0))
            for name, task in left.tasks.items():
                with pytest.raises((ConnectionLost, Unauthenticated)):
                    await asyncio.wait_for(task, SECONDS)
                assert task.done(), name
            with pytest.raises(Unauthenticated):
                await asyncio.wait_for(left.client.database.query("main", "SELECT 1"), SECONDS)
            assert (await theirs.poll()) is None, "the programs of others go on"
            await theirs.kill()
        await check_nothing_is_left(server, owner, port, left)

    run(scenario)


def test_a_smaller_role_leaves_nothing_open(run: Run, port: str) -> None:
    async def scenario(server: Server, file: TokenFile, owner: AsyncClient) -> None:
        await owner.database.execute("main", "CREATE TABLE notes (text TEXT)")
        token = create(file, "ci")
        await until(lambda: server.authentication.named_tokens.principal(token))
        async with opened(server, token, port) as left:
            file.update(lambda tokens: tokens.change("ci", 2.0, role="reader"))
            for name in ("serial", "run", "wait"):
                # On a busy machine the connection may end before the answer, and the call is sent once more.
                with pytest.raises(PermissionDenied, match=r"any more|may not call"):
                    await asyncio.wait_for(left.tasks[name], SECONDS)
            with pytest.raises(ConnectionLost):
                await asyncio.wait_for(left.tasks["subscription"], SECONDS)
            assert (await left.client.database.query("main", "SELECT 1 AS one")).rows
            with pytest.raises(PermissionDenied):
                await left.client.programs.start(["true"])
        await check_nothing_is_left(server, owner, port, left)

    run(scenario)


def test_kept_programs_of_whoever_was_revoked_end_at_the_next_start(tmp_path: Path) -> None:
    """The token is revoked while no server runs."""
    config = ServerConfig.model_validate(
        {"state_dir": str(tmp_path), "listen": {"port": 0, "unix": "none"}, "roles": {"operator": ROLES["operator"]}}
    )
    file = TokenFile(tmp_path)

    @contextlib.asynccontextmanager
    async def serve() -> AsyncIterator[Server]:
        server = Server(config, [Programs(ProgramsConfig(grace_s=0.2))], token=TOKEN)
        await server.start()
        try:
            yield server
        finally:
            await server.stop(grace_s=0)

    async def main() -> None:
        tokens = {name: create(file, name) for name in ("ci", "other")}
        processes: dict[str, psutil.Process] = {}
        async with serve() as server:
            for name, token in tokens.items():
                async with AsyncClient(server.addresses[0], token=token) as client:
                    program = await client.programs.start(["sleep", "1000"], on_disconnect="keep")
                    processes[name] = psutil.Process((await client.programs.get(program.id)).pid)
        file.update(lambda known: known.revoke("ci", 2_000_000_000.0))
        async with serve() as server:
            await until(lambda: not _lives(processes["ci"]))
            assert _lives(processes["other"])
            async with AsyncClient(server.addresses[0], token=tokens["other"]) as client:
                for each in await client.programs.list():
                    await client.programs.kill(each.id)

    asyncio.run(main())
