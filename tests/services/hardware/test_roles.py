"""Who may do what. Ada comes with a token, the owner by the Unix socket; anybody who is authenticated may read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Awaitable, Callable
from typing import Any

import psutil
import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.hardware import DeviceNotFound, HardwareRefused, ProcessGone, SectionUnavailable
from rpcclient.stubs.hardware import SerialPortNotFound as PortNotFound
from rpcservices.hardware import Hardware
from rpcservices.hardware.config import HardwareConfig

PREFIX = "services.hardware"
Scenario = Callable[[AsyncClient, AsyncClient], Awaitable[None]]
Run = Callable[..., None]
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
def run(with_ada: Callable[..., None]) -> Run:
    def run(scenario: Scenario, **config: Any) -> None:
        with_ada(Hardware(HardwareConfig(**config)), scenario)

    return run


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


def test_without_roles_the_owner_may_everything_and_others_may_read(run: Run) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        assert await allowed(owner, *NEEDS) == {}
        assert await allowed(ada) == dict.fromkeys(NEEDS, f"{PREFIX}.unlisted")

    run(scenario)


def test_nobody_unlisted_may(run: Run) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        for client in (owner, ada):
            assert await allowed(client) == dict.fromkeys(NEEDS, f"{PREFIX}.unlisted")

    run(scenario, unlisted="nobody")


@pytest.mark.parametrize("right", list(NEEDS))
def test_each_right_alone(run: Run, right: str) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        others = [each for each in NEEDS if each != right]
        assert await allowed(ada, right) == dict.fromkeys(others, f"{PREFIX}.roles.hers.may")
        assert await allowed(owner, *NEEDS) == {}

    run(scenario, roles={"hers": {"principals": ["ada"], "may": [right]}})


def test_a_role_for_everybody_holds_for_the_owner_too(run: Run) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        for client in (owner, ada):
            assert set(await allowed(client, "processes")) == {"control", "serial", "smart"}

    run(scenario, roles={"all": {"principals": ["*"]}})


def test_what_is_refused_is_not_done(run: Run) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        started = psutil.Process(child.pid).create_time()

        async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
            with pytest.raises(HardwareRefused, match=r'ada may not act on processes: .* may = \["control"\]'):
                await ada.hardware.signal_process(child.pid, started, "KILL")
            assert child.poll() is None
            await owner.hardware.signal_process(child.pid, started, "KILL")

        run(scenario)
