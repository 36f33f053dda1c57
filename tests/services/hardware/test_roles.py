"""Who may do what. Ada comes with a token, the owner by the Unix socket."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.hardware import (
    DeviceNotFound,
    HardwareRefused,
    ProcessDenied,
    ProcessGone,
    SectionUnavailable,
    SerialPortDenied,
)
from rpcclient.stubs.hardware import SerialPortNotFound as PortNotFound
from rpcserver import PermissionDenied
from rpcservices.hardware import Hardware
from rpcservices.hardware.config import HardwareConfig
from rpcservices.hardware.readers.places import Places

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
    "read": [
        lambda c: c.hardware.capabilities(),
        lambda c: c.hardware.snapshot(),
        lambda c: c.hardware.cpu(),
        lambda c: c.hardware.devices(["block"]),
        lambda c: c.hardware.serial_ports(),
        lambda c: c.hardware.history_metrics(),
        lambda c: c.hardware.watch(["cpu"], interval_s=0.1).open(),
        lambda c: c.hardware.subscribe(["cpu"], interval_s=0.1).open(),
    ],
}
"""What each permission is for. Where it is there, nothing is harmed: the process is another one, the others do not exist."""


@pytest.fixture
def run(with_ada: Callable[..., None]) -> Run:
    def run(scenario: Scenario, roles: dict[str, Any], places: Places | None = None, **config: Any) -> None:
        with_ada(Hardware(HardwareConfig(**config), places), scenario, roles)

    return run


def permissions(*names: str) -> list[str]:
    return [f"hardware.{name}" for name in names]


async def check_permissions(client: AsyncClient, *names: str, role: str | None) -> None:
    """See that a caller has these permissions only, and that each refusal names the one that is missing, and where to
    add it."""
    place = "is in no role" if role is None else f"to roles.{role}.permissions"
    for name, attempts in NEEDS.items():
        for number, attempt in enumerate(attempts):
            if name in names:
                try:
                    await attempt(client)
                except (ProcessGone, PortNotFound, DeviceNotFound, SectionUnavailable):
                    continue
            else:
                with pytest.raises(PermissionDenied) as caught:
                    await attempt(client)
                    pytest.fail(f"{name}, {number}: it was done")
                assert (caught.value.executed, caught.value.code) == ("no", -32002)
                assert f'"hardware.{name}"' in caught.value.message
                assert place in caught.value.message


def test_without_roles_the_owner_may_everything_and_others_nothing(run: Run) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        await check_permissions(owner, *NEEDS, role="owner")
        await check_permissions(ada, role=None)

    run(scenario, {})


def test_everybody_may_only_read(run: Run) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        await check_permissions(owner, "read", role="owner")
        await check_permissions(ada, "read", role="everybody")

    role = {"permissions": ["hardware.read"]}
    run(scenario, {"owner": role, "everybody": {"principals": ["*"], **role}})


@pytest.mark.parametrize("name", list(NEEDS))
def test_each_permission_alone(run: Run, name: str) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        await check_permissions(ada, name, role="hers")
        await check_permissions(owner, *NEEDS, role="owner")

    run(scenario, {"hers": {"principals": ["ada"], "permissions": permissions(name)}})


def test_a_role_for_everybody_is_not_the_owners(run: Run) -> None:
    """Unlike one that names the owner."""
    role = {"permissions": permissions("read", "processes")}

    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        await check_permissions(owner, *NEEDS, role="owner")
        await check_permissions(ada, "read", "processes", role="all")

    async def named(owner: AsyncClient, ada: AsyncClient) -> None:
        for client in (owner, ada):
            await check_permissions(client, "read", "processes", role="all")

    run(scenario, {"all": {"principals": ["*"], **role}})
    run(named, {"all": {"principals": ["*", "owner"], **role}})


def test_what_is_refused_is_not_done(run: Run) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        started = psutil.Process(child.pid).create_time()

        async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
            with pytest.raises(
                PermissionDenied, match=r'ada may not call hardware\.signal_process: .*"hardware\.control"'
            ):
                await ada.hardware.signal_process(child.pid, started, "KILL")
            assert child.poll() is None
            await owner.hardware.signal_process(child.pid, started, "KILL")

        run(scenario, {"hers": {"principals": ["ada"], "permissions": permissions("read", "processes")}})


USB, DISK = "/dev/ttyUSB0", "/dev/nvme0n1p2"
BY_ID = {
    USB: "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A6008isP-if00-port0",
    DISK: "/dev/disk/by-id/nvme-Samsung_SSD_970_EVO_Plus_500GB_S4EVNX0M123456-part2",
}


@pytest.mark.parametrize(
    ("patterns", "usb", "disk"),
    [
        (["*"], True, True),
        ([], False, False),
        ([USB], True, False),
        ([DISK], False, True),
        (["/dev/ttyUSB*", "/dev/nvme*"], True, True),
        (["/dev/serial/by-id/usb-FTDI_*"], True, False),
        ([BY_ID[DISK]], False, True),
        (["ttyUSB0", "nvme0n1p2", "/dev"], False, False),
    ],
)
def test_devices_of_a_role(
    run: Run, machine: Callable[[str], Places], tmp_path: Path, patterns: list[str], usb: bool, disk: bool
) -> None:
    """By their files, and by the links of the system, whatever a caller calls them."""
    asked = tmp_path / "asked"
    program = tmp_path / "smartctl"
    program.write_text(f"#!/bin/sh\necho asked >> {asked}\nexit 1\n")
    program.chmod(0o755)

    async def scenario(_: AsyncClient, ada: AsyncClient) -> None:
        for node, allowed, attempt in (
            (USB, usb, ada.hardware.open_serial),
            (DISK, disk, ada.hardware.smart),
        ):
            for name in (node, BY_ID[node], Path(node).name):
                with pytest.raises((HardwareRefused, PortNotFound, SerialPortDenied, SectionUnavailable)) as caught:
                    await attempt(name)
                assert isinstance(caught.value, HardwareRefused) != allowed, (name, caught.value)
                if isinstance(caught.value, HardwareRefused):
                    error = caught.value
                    assert (error.device, error.rule, error.code) == (node, "roles.hers.hardware.devices", -32002)
                    assert node in error.message
                    assert BY_ID[node] in error.message
                    assert error.executed == "no"
        assert asked.exists() == disk

    role = {"principals": ["ada"], "permissions": ["hardware.*"], "hardware": {"devices": patterns}}
    run(scenario, {"hers": role}, machine("laptop"), smartctl=str(program))


def test_a_link_of_the_callers_own_is_no_way_around(run: Run, tmp_path: Path) -> None:
    """What counts is the file that it leads to."""
    far, near = os.openpty()
    link = tmp_path / "allowed"
    link.symlink_to(os.ttyname(near))

    async def scenario(_: AsyncClient, ada: AsyncClient) -> None:
        with pytest.raises(HardwareRefused) as caught:
            await ada.hardware.open_serial(str(link))
        assert caught.value.device == os.ttyname(near)

    try:
        role = {"principals": ["ada"], "permissions": ["hardware.*"], "hardware": {"devices": [str(link)]}}
        run(scenario, {"hers": role}, serial_paths=["/dev/pts/*"])
    finally:
        os.close(far)
        os.close(near)


OWN = {"permissions": ["hardware.*"], "hardware": {"processes": "own"}}
CHILD = """
import os
import socket
if USER:
    os.setgid(USER)
    os.setuid(USER)
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
input()
"""


@asynccontextmanager
async def running_as(user: int) -> AsyncIterator[tuple[psutil.Process, int]]:
    """A process of a user (the own one if 0), and the port where it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD.replace("USER", repr(user)),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd="/",
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield psutil.Process(process.pid), int(await process.stdout.readline())
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_processes_of_the_callers_own_user_only(run: Run) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        async with running_as(0) as (mine, my_port), running_as(65534) as (other, others_port):
            for client, all_of_them in ((owner, False), (ada, True)):
                hardware, expected = client.hardware, {mine.pid, other.pid} if all_of_them else {mine.pid}
                processes = await hardware.processes(["username"], sort="create_time", limit=10_000)
                assert {p.pid for p in processes.processes} & {mine.pid, other.pid} == expected
                assert processes.total == len(processes.processes)
                async with hardware.watch_processes(sort="create_time", limit=10_000, interval_s=0.1) as stream:
                    watched = await anext(stream)
                assert {p.pid for p in watched.processes} & {mine.pid, other.pid} == expected
                sockets = await hardware.connections("tcp4", limit=10_000)
                ports = {c.local_port for c in sockets.connections} & {my_port, others_port}
                assert ports == ({my_port, others_port} if all_of_them else {my_port})
            start, nice = other.create_time(), other.nice()
            for attempt in (
                owner.hardware.process(other.pid),
                owner.hardware.process(other.pid, start - 60),
                owner.hardware.signal_process(other.pid, start, "KILL"),
                owner.hardware.set_priority(other.pid, start, 19),
                owner.hardware.set_affinity(other.pid, start, [0]),
                owner.hardware.set_affinity(other.pid, start - 60, [0]),
            ):
                with pytest.raises(ProcessDenied, match="is not your own, and your role allows no others") as caught:
                    await attempt
                assert (caught.value.pid, caught.value.executed) == (other.pid, "no")
            assert other.is_running()
            assert other.nice() == nice
            assert (await owner.hardware.process(mine.pid)).process.pid == mine.pid
            assert await owner.hardware.set_priority(mine.pid, mine.create_time(), 19) == 19
            await owner.hardware.signal_process(mine.pid, mine.create_time(), "KILL")
            await ada.hardware.signal_process(other.pid, start, "KILL")

    run(scenario, {"owner": OWN, "hers": {"principals": ["ada"], "permissions": ["hardware.*"]}})


def test_whose_user_nobody_knows_has_no_own_processes(run: Run) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        for attempt in (*NEEDS["processes"], *NEEDS["control"]):
            with pytest.raises(
                PermissionDenied, match=r"comes by token: .* roles\.hers\.hardware\.processes"
            ) as caught:
                await attempt(ada)
            assert caught.value.executed == "no"
        assert await owner.hardware.processes()
        assert await ada.hardware.cpu()

    run(scenario, {"hers": {"principals": ["ada"], **OWN}})
