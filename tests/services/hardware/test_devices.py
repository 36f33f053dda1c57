"""The inventory of this machine, and real events of its kernel: network interfaces and disks that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcclient.stubs.hardware import DeviceEvent
from rpcservices.hardware.errors import SectionUnavailable
from rpcservices.hardware.inventory.inventory import Inventory
from rpcservices.hardware.inventory.uevents import (
    KernelSource,
    Source,
    UdevSource,
    Uevent,
    open_source,
    parse,
    why_no_udev,
)
from rpcservices.hardware.inventory.watcher import DeviceWatcher
from rpcservices.hardware.readers.places import Places

Serve = Callable[..., None]
Missing = Callable[[str], NoReturn]
LOOP_CTL_ADD, LOOP_CTL_REMOVE = 0x4C80, 0x4C81


def test_the_inventory_beside_sysfs_and_psutil(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        found = await client.hardware.devices()
        for subsystem, folder in (("pci", "bus/pci/devices"), ("block", "class/block"), ("net", "class/net")):
            listed = {path.name for path in (Path("/sys") / folder).glob("*") if path.is_dir()}
            assert {d.name for d in found if d.subsystem == subsystem} == listed
        ids = {device.id for device in found}
        assert len(ids) == len(found)
        assert all(device.parent in ids for device in found if device.parent is not None)
        macs = {a.address for each in psutil.net_if_addrs().values() for a in each if a.family == psutil.AF_LINK}
        assert macs <= {d.properties["mac"] for d in found if d.subsystem == "net"}
        for device in found:
            if device.subsystem == "pci":
                vendor = (Path("/sys") / device.id / "vendor").read_text().strip()
                assert f"0x{device.vendor_id}" == vendor
            if device.node is not None:
                assert Path(device.node).exists()
        assert {d.subsystem for d in await client.hardware.devices(["net"])} == {"net"}
        with pytest.raises(InvalidParams, match="subsystems"):
            await client.call("hardware.devices", {"subsystems": ["engine"]})

    serve(scenario)


@contextlib.contextmanager
def interface(missing: Missing) -> Iterator[str]:
    """A network interface that is made by the test."""
    name = f"rpctest{os.getpid() % 10_000}"
    for kind in ("dummy", "bridge", "ifb"):
        done = subprocess.run(["ip", "link", "add", name, "type", kind], capture_output=True, text=True)
        if done.returncode == 0:
            break
    else:
        missing(f"no network interface can be made here: {done.stderr.strip()}")
    try:
        yield name
    finally:
        subprocess.run(["ip", "link", "del", name], capture_output=True)


async def until(events: AsyncIterator[DeviceEvent], action: str, name: str) -> DeviceEvent:
    """The next event of this kind about this device; others, of other tests and programs, are passed over."""
    async with asyncio.timeout(20):
        async for event in events:
            if event.action == action and event.device is not None and event.device.name == name:
                return event
    raise AssertionError("the stream ended")


def test_an_interface_comes_and_goes(serve: Serve, missing: Missing) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with client.hardware.watch_devices(["net"]) as events:
            first = await anext(events)
            assert first.action == "snapshot"
            assert "lo" in {device.name for device in first.devices or ()}
            with interface(missing) as name:
                added = await until(events, "add", name)
                assert added.device is not None
                mac = Path(f"/sys/class/net/{name}/address").read_text().strip()
                assert added.device.properties["mac"] == mac
                other = f"{name}x"
                subprocess.run(["ip", "link", "set", name, "name", other], check=True)
                await until(events, "remove", name)
                await until(events, "add", other)
                subprocess.run(["ip", "link", "del", other], check=True)
                await until(events, "remove", other)

    serve(scenario)


def test_an_event_tells_of_devices_as_long_as_somebody_follows(serve: Serve, missing: Missing) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with client.hardware.device_changed() as events, client.hardware.watch_devices(["net"]) as watched:
            await anext(watched)  # From now on every change is told.
            with interface(missing) as name:
                values = (event.value async for event in events)
                added = await until(values, "add", name)
                assert added.devices is None
                subprocess.run(["ip", "link", "del", name], check=True)
                await until((event.value async for event in events), "remove", name)

    serve(scenario)


def test_a_disk_comes_changes_and_goes(serve: Serve, missing: Missing, tmp_path: Path) -> None:
    try:
        control = os.open("/dev/loop-control", os.O_RDWR)
        number = fcntl.ioctl(control, LOOP_CTL_ADD, 200 + os.getpid() % 1000)
    except OSError as exc:
        missing(f"no loop device can be made here: {exc}")
    name, image = f"loop{number}", tmp_path / "image"
    image.write_bytes(bytes(1_048_576))

    async def scenario(client: AsyncClient) -> None:
        async with client.hardware.watch_devices(["block"]) as events:
            first = await anext(events)
            assert name in {device.name for device in first.devices or ()}
            if not Path(f"/dev/{name}").exists():  # Without udev nobody but the kernel's own devtmpfs makes it.
                missing("no /dev/loopN appears here")
            attached = subprocess.run(["losetup", f"/dev/{name}", str(image)], capture_output=True, text=True)
            if attached.returncode:
                missing(f"no file can be made a disk here: {attached.stderr.strip()}")
            while True:
                changed = await until(events, "change", name)
                assert changed.device is not None
                if changed.device.properties["size_bytes"] == 1_048_576:
                    break
            assert changed.device.properties["backing_file"] == str(image)
            subprocess.run(["losetup", "-d", f"/dev/{name}"], check=True)
            # The kernel lets the file go when the last one closes the disk.
            while True:
                changed = await until(events, "change", name)
                if changed.device is not None and not changed.device.properties["size_bytes"]:
                    break
            fcntl.ioctl(control, LOOP_CTL_REMOVE, number)
            removed = await until(events, "remove", name)
            assert removed.device is not None
            assert removed.device.node == f"/dev/{name}"  # As last seen.

    try:
        serve(scenario)
    finally:
        subprocess.run(["losetup", "-d", f"/dev/{name}"], capture_output=True)
        with contextlib.suppress(OSError):
            fcntl.ioctl(control, LOOP_CTL_REMOVE, number)
        os.close(control)


def test_when_the_system_loses_events_everything_is_told_anew(serve: Serve, missing: Missing) -> None:
    trigger = Path("/sys/class/net/lo/uevent")

    async def scenario(client: AsyncClient) -> None:
        async with client.hardware.watch_devices(["net"]) as events:
            await anext(events)
            with interface(missing) as name:
                await until(events, "add", name)
                # The loop does nothing else meanwhile, and so the buffer overflows.
                try:
                    for _ in range(2000):
                        trigger.write_text("change")
                except OSError as exc:
                    missing(f"no device events can be made here: {exc}")
                subprocess.run(["ip", "link", "del", name], check=True)
                async with asyncio.timeout(20):
                    while (event := await anext(events)).action != "resync":
                        pass
            assert "buffer" in event.reason
            listed = {device.name for device in event.devices or ()}
            assert listed == {path.name for path in Path("/sys/class/net").glob("*") if path.is_dir()}
            assert name not in listed
            with interface(missing) as again:
                await until(events, "add", again)  # And it goes on.

    serve(scenario, device_events_bytes=4096)


def test_a_slow_reader_gets_the_list_anew_and_a_fast_one_every_event(missing: Missing) -> None:
    async def main() -> None:
        watcher = DeviceWatcher(Inventory(), lambda: KernelSource(8 << 20), 5)
        slow, fast = watcher.follow(frozenset({"net"})), watcher.follow(frozenset({"net"}))
        assert (await anext(slow)).action == (await anext(fast)).action == "snapshot"
        for _ in range(8):
            with interface(missing) as name:
                await until(fast, "add", name)  # type: ignore[arg-type]
            await until(fast, "remove", name)  # type: ignore[arg-type]
        event = await anext(slow)
        assert (event.action, event.reason) == ("resync", "the reader was too slow")
        assert {d.name for d in event.devices or ()} == set(psutil.net_if_stats())
        await slow.aclose()
        await fast.aclose()
        await watcher.close()

    asyncio.run(main())


def test_events_by_udevs_library(missing: Missing) -> None:
    """Where udev does not run, its library gives the kernel's events: what is received is the same."""
    try:
        theirs = UdevSource(1 << 20, source="kernel")
    except (ImportError, OSError) as exc:
        missing(f"libudev cannot be used here: {exc}")
    ours = KernelSource(1 << 20)
    with interface(missing):
        pass
    found = []
    for source in (theirs, ours):
        events = []
        while (event := source.receive()) is not None:
            events.append(event)
        found.append([event for event in events if "rpctest" in event.devpath])
        source.close()
    assert found[0] == found[1] != []


def kernel(buffer_bytes: int) -> Source:
    return KernelSource(buffer_bytes)


def library(buffer_bytes: int) -> Source:
    return UdevSource(buffer_bytes, source="kernel")


def flood(missing: Missing) -> None:
    """Nothing is read meanwhile, and so a small buffer overflows."""
    try:
        for _ in range(2000):
            Path("/sys/class/net/lo/uevent").write_text("change")
    except OSError as exc:
        missing(f"no device events can be made here: {exc}")


def test_why_events_are_the_kernels_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Udev may not run, and its library may not be installed; which of them it is says ``capabilities``."""
    places = Places.under(tmp_path)
    assert why_no_udev(places).startswith("absent: udev does not run")
    (places.run / "udev").mkdir(parents=True)
    (places.run / "udev" / "control").touch()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyudev", None)
        assert why_no_udev(places).startswith("absent: pyudev is not installed")
        open_source(places, 65_536).close()


@pytest.mark.parametrize("source", [kernel, library])
def test_an_overflow_is_told_to_all_by_either_source(source: Callable[[int], Source], missing: Missing) -> None:
    try:
        source(4096).close()
    except (ImportError, OSError) as exc:
        missing(f"libudev cannot be used here: {exc}")

    async def main() -> None:
        watcher = DeviceWatcher(Inventory(), lambda: source(4096), 5000)
        one, two = watcher.follow(frozenset({"net"})), watcher.follow(frozenset({"net"}))
        assert (await anext(one)).action == (await anext(two)).action == "snapshot"
        flood(missing)
        async with asyncio.timeout(20):
            for each in (one, two):
                while (await anext(each)).action != "resync":
                    pass
            third = watcher.follow(frozenset({"net"}))
            assert (await anext(third)).action == "snapshot"
            with interface(missing) as name:
                for each in (one, two, third):
                    await until(each, "add", name)  # type: ignore[arg-type]
        for each in (one, two, third):
            await each.aclose()
        await watcher.close()

    asyncio.run(main())


def test_where_the_source_breaks_all_are_told_and_the_next_begins_anew(missing: Missing) -> None:
    class Breaking(KernelSource):
        """The kernel's events, until it is broken."""

        broken = False

        def receive(self) -> Uevent | None:
            if self.broken:
                raise OSError(errno.EIO, "Input/output error")
            return super().receive()

    sources: list[Breaking] = []

    def begin() -> Breaking:
        sources.append(Breaking(1 << 20))
        return sources[-1]

    async def main() -> None:
        watcher = DeviceWatcher(Inventory(), begin, 5)
        one, two = watcher.follow(frozenset({"net"})), watcher.follow(frozenset({"net"}))
        assert (await anext(one)).action == (await anext(two)).action == "snapshot"
        sources[0].broken = True
        with interface(missing):
            pass
        async with asyncio.timeout(20):
            with pytest.raises(SectionUnavailable, match="any more"):
                await anext(one)
            third = watcher.follow(frozenset({"net"}))  # While the second has not looked yet.
            assert (await anext(third)).action == "snapshot"
            with pytest.raises(SectionUnavailable, match="any more"):
                await anext(two)
            with interface(missing) as name:
                await until(third, "add", name)  # type: ignore[arg-type]
        await third.aclose()
        assert watcher._task is None
        await watcher.close()

    asyncio.run(main())


def test_why_there_are_no_events_in_a_container(missing: Missing) -> None:
    """A user namespace gets the events of its own network interfaces only."""
    code = "from rpcservices.hardware.inventory.uevents import *; print(why_no_events(Places()))"
    words = ["unshare", "--user", "--map-root-user", sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode and "unshare" in done.stderr:
        missing(f"no user namespace can be made here: {done.stderr.strip()}")
    assert done.stdout.startswith("unsupported: in this container"), done.stderr


def test_nobody_watches_nothing_runs(serve: Serve) -> None:
    async def main() -> None:
        watcher = DeviceWatcher(Inventory(), lambda: KernelSource(1 << 20), 5)
        for _ in range(3):
            one = watcher.follow(None)
            await anext(one)
            assert watcher._task is not None
            await one.aclose()
            assert watcher._task is None
        await watcher.close()

    asyncio.run(main())


def test_messages_of_other_programs_are_not_believed() -> None:
    source = KernelSource(1 << 20)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15) as liar:
        liar.bind((0, 0))
        with contextlib.suppress(OSError):  # Without privileges the kernel refuses already.
            liar.sendto(b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/rpctestliar\0SUBSYSTEM=block\0", (0, 1))
    found = []
    while (event := source.receive()) is not None:
        found.append(event.devpath)
    source.close()
    assert "/devices/rpctestliar" not in found


@given(st.binary(max_size=200))
@example(b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=net\0")
@example(b"libudev\0\xfe\xed\xca\xfe")
def test_any_message(message: bytes) -> None:
    event = parse(message)
    assert event is None or (event.action and event.devpath)
