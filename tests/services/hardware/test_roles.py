"""Who may do what. Ada comes with a token, the owner by the Unix socket; anybody who is authenticated may read."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.hardware import DeviceNotFound, HardwareRefused, ProcessGone, SectionUnavailable
from rpcclient.stubs.hardware import SerialPortNotFound as PortNotFound
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcserver.tokens import TokenStore
from rpcservices.hardware import Hardware
from rpcservices.hardware.config import HardwareConfig

TOKEN = "the-token-of-ada-for-tests"
PREFIX = "services.hardware"
Scenario = Callable[[AsyncClient, AsyncClient], Awaitable[None]]
Attempt = Callable[[AsyncClient], Awaitable[Any]]
PID = os.getpid()

NEEDS: dict[str, list[Attempt]] = {
    "processes": [
        lambda c: c.hardware.processes(),
        lambda c: c.hardware.watch_processes(interval_s=0.1).open(),
        lambda c: c.hardware.process(PID),
        lambda c: c.hardware.connections(),
    ],
    "control": [
        lambda c: c.hardware.signal_process(PID, 0.0, "KILL"),
        lambda c: c.hardware.set_priority(PID, 0.0, 19),
        lambda c: c.hardware.set_affinity(PID, 0.0, [0]),
    ],
    "serial": [lambda c: c.hardware.open_serial("/dev/none"), lambda c: c.hardware.serial("/dev/none")],
    "smart": [lambda c: c.hardware.smart("none")],
}
"""What each right is for. Where it is there, nothing is harmed: the process is another one, the others do not exist."""

READS: list[Attempt] = [
    lambda c: c.hardware.capabilities(),
    lambda c: c.hardware.snapshot(),
    lambda c: c.hardware.cpu(),
    lambda c: c.hardware.devices(["block"]),
    lambda c: c.hardware.serial_ports(),
    lambda c: c.hardware.history_metrics(),
    lambda c: c.hardware.watch(["cpu"], interval_s=0.1).open(),
    lambda c: c.hardware.subscribe(["cpu"], interval_s=0.1).open(),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short one: the address of a Unix socket has little room."""
    with tempfile.TemporaryDirectory(prefix="rpc") as path:
        yield Path(path)


@asynccontextmanager
async def both(folder: Path, config: HardwareConfig) -> AsyncIterator[tuple[AsyncClient, AsyncClient]]:
    """The owner and Ada, connected to one server."""
    path = folder / "s"
    settings = ServerConfig.model_validate({"state_dir": str(folder), "listen": {"port": 0, "unix": str(path)}})
    server = Server(settings, [Hardware(config)], token=TOKEN)
    server.tokens = TokenStore(TOKEN, "ada")
    await server.start()
    try:
        async with AsyncClient(f"unix://{path}") as owner, AsyncClient(server.addresses[0], token=TOKEN) as ada:
            yield owner, ada
    finally:
        await server.stop(grace_s=0)


def run(folder: Path, scenario: Scenario, **config: Any) -> None:
    async def main() -> None:
        async with both(folder, HardwareConfig(**config)) as (owner, ada):
            await asyncio.wait_for(scenario(owner, ada), 60)

    asyncio.run(main())


async def allowed(client: AsyncClient, *rights: str) -> dict[str, str]:
    """See that a caller may read, and has these rights only; gives the rules that are against the others."""
    rules: dict[str, str] = {}
    for attempt in READS:
        await attempt(client)
    for right, attempts in NEEDS.items():
        for number, attempt in enumerate(attempts):
            if right in rights:
                try:
                    await attempt(client)
                except (ProcessGone, PortNotFound, DeviceNotFound, SectionUnavailable):
                    continue
            else:
                with pytest.raises(HardwareRefused) as caught:
                    await attempt(client)
                    pytest.fail(f"{right}, {number}: it was done")
                assert (caught.value.right, caught.value.executed, caught.value.code) == (right, "no", -32002)
                assert f'"{right}"' in caught.value.message
                assert caught.value.rule in caught.value.message or caught.value.rule.endswith("unlisted")
                rules[right] = caught.value.rule
    return rules


def test_without_roles_the_owner_may_everything_and_others_may_read(folder: Path) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        assert await allowed(owner, *NEEDS) == {}
        assert await allowed(ada) == dict.fromkeys(NEEDS, f"{PREFIX}.unlisted")

    run(folder, scenario)


def test_nobody_unlisted_may(folder: Path) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        for client in (owner, ada):
            assert await allowed(client) == dict.fromkeys(NEEDS, f"{PREFIX}.unlisted")

    run(folder, scenario, unlisted="nobody")


@pytest.mark.parametrize("right", list(NEEDS))
def test_each_right_alone(folder: Path, right: str) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        others = [each for each in NEEDS if each != right]
        assert await allowed(ada, right) == dict.fromkeys(others, f"{PREFIX}.roles.hers.may")
        assert await allowed(owner, *NEEDS) == {}

    run(folder, scenario, roles={"hers": {"principals": ["ada"], "may": [right]}})


def test_a_role_for_everybody_holds_for_the_owner_too(folder: Path) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        for client in (owner, ada):
            assert set(await allowed(client, "processes")) == {"control", "serial", "smart"}

    run(folder, scenario, roles={"all": {"principals": ["*"]}})


def test_what_is_refused_is_not_done(folder: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        started = psutil.Process(child.pid).create_time()

        async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
            with pytest.raises(HardwareRefused, match=r'ada may not act on processes: .* may = \["control"\]'):
                await ada.hardware.signal_process(child.pid, started, "KILL")
            assert child.poll() is None
            await owner.hardware.signal_process(child.pid, started, "KILL")

        run(folder, scenario)
