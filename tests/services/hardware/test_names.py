"""Names that are no UTF-8, as the system allows them: no call fails for one, and U+FFFD stands for what is no text."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from rpcclient import AsyncClient
from rpcservices.hardware.inventory.uevents import UdevSource
from rpcservices.hardware.readers.plain import plain

Serve = Callable[..., None]
Missing = Callable[[str], NoReturn]
SLEEP = shutil.which("sleep") or "sleep"


@contextmanager
def running(command: list[str | bytes], **around: Any) -> Iterator[int]:
    """A program, which has begun when this goes on."""
    with subprocess.Popen(command, **around) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def test_plain() -> None:
    assert plain("as it is: ä € 🙂") == "as it is: ä € 🙂"
    assert plain(b"caf\xe9 \xc3".decode("utf-8", "surrogateescape")) == "caf� �"
    assert plain("\ud800 half") == "� half"


def test_a_name_that_the_kernel_has_cut_in_the_middle(serve: Serve, tmp_path: Path) -> None:
    program = tmp_path / ("ä" * 10)
    shutil.copy(SLEEP, program)

    async def scenario(client: AsyncClient) -> None:
        with running([b"other", b"60"], executable=str(program)) as pid:
            found = await client.hardware.processes(limit=10_000)
            (listed,) = [each for each in found.processes if each.pid == pid]
            assert listed.name == "ä" * 7 + "�"
            by_name = await client.hardware.processes(sort="name", limit=10_000)
            assert pid in {each.pid for each in by_name.processes}
            assert (await client.hardware.process(pid)).process.exe == str(program)

    serve(scenario)


def test_command_lines_folders_and_files(serve: Serve, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/dir\xe9"
    os.mkdir(folder)  # noqa: PTH102 - bytes
    shown = f"{tmp_path}/dir�"
    opened = os.open(folder + b"/open\xff", os.O_CREAT | os.O_WRONLY)

    async def scenario(client: AsyncClient) -> None:
        with running([SLEEP.encode(), b"60"], cwd=folder, pass_fds=[opened]) as pid:
            details = await client.hardware.process(pid)
            assert details.process.cwd == shown
            assert [file.path for file in details.open_files or () if "open" in file.path] == [f"{shown}/open�"]
        with running([b"sh", b"-c", b"read line; : caf\xe9"], stdin=subprocess.PIPE) as pid:
            found = await client.hardware.processes(["cmdline", "exe", "cwd", "terminal"], limit=10_000)
            assert [each.cmdline for each in found.processes if each.pid == pid] == [["sh", "-c", "read line; : caf�"]]
            async with client.hardware.watch_processes(["cmdline"], interval_s=0.1, limit=10_000) as lists:
                assert pid in {each.pid for each in (await anext(lists)).processes}

    try:
        serve(scenario, reveal_command_lines=True)
    finally:
        os.close(opened)


def test_sockets(serve: Serve, tmp_path: Path) -> None:
    async def scenario(client: AsyncClient) -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.fsencode(tmp_path) + b"/s\xe9")
            for kind in ("unix", "all"):
                found = await client.hardware.connections(kind, limit=10_000)
                assert f"{tmp_path}/s�" in {each.path for each in found.connections}, kind

    serve(scenario)


def test_mounts_and_their_metrics(serve: Serve, tmp_path: Path, missing: Missing) -> None:
    folder = os.fsencode(tmp_path) + b"/mnt\xe9"
    os.mkdir(folder)  # noqa: PTH102 - bytes
    if subprocess.run([b"mount", b"-t", b"tmpfs", b"x", folder], capture_output=True).returncode:
        missing("this user may not mount anything")
    shown = f"{tmp_path}/mnt�"

    async def scenario(client: AsyncClient) -> None:
        hardware = client.hardware
        (mounted,) = [each for each in (await hardware.disks()).filesystems if each.mountpoint == shown]
        assert mounted.total_bytes
        assert (await hardware.snapshot()).disks is not None
        async with hardware.subscribe(["disks"], interval_s=0.1) as samples:
            assert (await anext(samples)).values[f"disks.filesystems.percent{{{shown}}}"] is not None
        async with hardware.watch(["disks"], interval_s=0.1) as snapshots:
            assert (await anext(snapshots)).disks is not None
        name = f"disks.filesystems.percent{{{shown}}}"
        assert name in await hardware.history_metrics()
        assert [series.metric for series in await hardware.history([name])] == [name]
        assert len(await hardware.capabilities()) > 10

    try:
        serve(scenario, history_interval_s=0.05)
    finally:
        subprocess.run([b"umount", folder], check=True)


def make_interface(missing: Missing) -> bytes:
    """A network interface whose name is no UTF-8."""
    name = b"rpc\xe9%d" % (os.getpid() % 10_000)
    for kind in (b"dummy", b"bridge", b"ifb"):
        made = subprocess.run([b"ip", b"link", b"add", name, b"type", kind], capture_output=True)
        if made.returncode == 0:
            break
    else:
        missing(f"no network interface can be made here: {made.stderr.decode(errors='replace').strip()}")
    return name


def test_events_by_udevs_library(missing: Missing) -> None:
    """It can tell nothing of such a device: the event counts as lost, and nothing else does."""
    try:
        source = UdevSource(1 << 20, source="kernel")
    except (ImportError, OSError) as exc:
        missing(f"libudev cannot be used here: {exc}")
    name = make_interface(missing)
    subprocess.run([b"ip", b"link", b"del", name], check=True)
    Path("/sys/class/net/lo/uevent").write_text("change")
    lost, event = 0, None
    while event is None or event.devpath != "/devices/virtual/net/lo":
        try:
            event = source.receive()
        except OSError as exc:
            assert exc.errno == errno.ENOBUFS
            lost += 1
    source.close()
    assert lost >= 2


def test_interfaces(serve: Serve, missing: Missing) -> None:
    name = make_interface(missing)
    shown = plain(os.fsdecode(name))

    async def scenario(client: AsyncClient) -> None:
        found = await client.hardware.network()
        (odd,) = [each for each in found.interfaces if each.name == shown]
        # psutil knows no such names, and then tells of no interface what it has besides counters.
        assert (
            odd.isup is not None
            or odd.reasons["isup"] == found.reasons["isup"] == "failed: there is a name that is no UTF-8"
        )
        async with client.hardware.watch_devices(["net"]) as events:
            listed = {device.name: device for device in (await anext(events)).devices or ()}
            assert listed[shown].properties["interface"] == shown
            subprocess.run([b"ip", b"link", b"del", name], check=True)
            async for event in events:
                if event.action == "remove" and event.device is not None and event.device.name == shown:
                    break
        assert shown not in {device.name for device in await client.hardware.devices(["net"])}

    try:
        serve(scenario)
    finally:
        subprocess.run([b"ip", b"link", b"del", name], capture_output=True)
