"""Other kinds of machine, recorded: what their sysfs and procfs say comes out, and nothing raises."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rpcclient import AsyncClient
from rpcclient.cli.hw import lines
from rpcclient.stubs.hardware import Snapshot as StubSnapshot
from rpcservices.hardware.exposition import expose
from rpcservices.hardware.inventory.inventory import Inventory
from rpcservices.hardware.models import Device, Sensors, Snapshot
from rpcservices.hardware.readers import cgroup
from rpcservices.hardware.readers.battery import battery
from rpcservices.hardware.readers.cpu import topology
from rpcservices.hardware.readers.gpus import GpuReader
from rpcservices.hardware.readers.host import maker, virtualization
from rpcservices.hardware.readers.places import HERE, Places
from rpcservices.hardware.readers.pressure import pressure
from rpcservices.hardware.readers.sensors import sensors
from rpcservices.hardware.sampling.metrics import _distinct, metrics

from .conftest import expand

Machine = Callable[[str], Places]
Serve = Callable[..., None]

ALL = ["laptop", "server", "raspberry", "vm", "container", "container_v1", "broken"]


def devices(places: Places) -> dict[str, Device]:
    return {f"{device.subsystem} {device.name}": device for device in Inventory(places).list()}


@pytest.mark.parametrize("name", ALL)
def test_none_raises_and_every_answer_crosses_the_wire(name: str, machine: Machine, serve: Serve) -> None:
    places = machine(name)

    async def scenario(client: AsyncClient) -> None:
        snapshot = await client.hardware.snapshot()
        assert snapshot.reasons.keys() <= {"users"}  # They are this machine's.
        for capability in await client.hardware.capabilities():
            assert (capability.state == "available") == (capability.reason == ""), capability
        assert snapshot.sensors is not None
        for sensor in snapshot.sensors.readings:
            assert (sensor.current is None) == bool(sensor.reason), sensor
        assert snapshot.battery is not None
        for unit in snapshot.battery.batteries:
            assert unit.percent is not None or "percent" in unit.reasons

    serve(scenario, places)
    found = Inventory(places).list()
    assert len({device.id for device in found}) == len(found)
    for device in found:
        if not device.id.startswith("smbios/"):
            assert Inventory(places).at(device.id) == device


def test_laptop(machine: Machine) -> None:
    places = machine("laptop")
    found = battery(places)
    assert (found.present, found.power_plugged, len(found.batteries)) == (True, False, 2)
    assert found.percent == pytest.approx(100 * (20.9 + 16.76) / (22.47 + 23.48))
    assert found.secsleft == int(3600 * (20.9 + 16.76) / 6.742)
    assert (found.batteries[1].cycle_count, found.batteries[1].manufacturer) == (305, "SANYO")
    readings = {(s.chip, s.kind, s.label): s for s in sensors(places).readings}
    assert readings["coretemp", "temperature", "Package id 0"].critical == 100.0
    assert readings["thinkpad", "fan", ""].current in (2531.0, 65535.0)
    assert readings["thinkpad", "temperature", "GPU"].reason == "failed: Input/output error"
    assert topology(places) == (2, 1, "Intel(R) Core(TM) i5-8350U CPU @ 1.70GHz")
    assert maker(places) == ("LENOVO", "20L5CTO1WW")
    assert virtualization(places) is None


def test_devices_of_a_laptop(machine: Machine) -> None:
    found = devices(machine("laptop"))
    graphics = found["pci 0000:00:02.0"]
    assert (graphics.vendor, graphics.model, graphics.driver) == ("Intel Corporation", "UHD Graphics 620", "i915")
    assert (graphics.vendor_id, graphics.model_id) == ("8086", "5917")
    assert graphics.properties["pci_class"] == "Display controller"
    assert graphics.properties["subsystem_model"] == "ThinkPad T480"
    assert found["drm card0"].parent == graphics.id
    assert found["drm card0"].properties["connected"] == "eDP-1"
    adapter, port = found["usb 1-2"], found["tty ttyUSB0"]
    assert (adapter.vendor, adapter.serial, adapter.properties["removable"]) == ("FTDI", "A6008isP", 1)
    assert adapter.parent == found["usb usb1"].id
    assert found["usb usb1"].parent == found["pci 0000:00:14.0"].id
    assert (port.node, port.driver, port.serial) == ("/dev/ttyUSB0", "ftdi_sio", "A6008isP")
    assert port.by_id == "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A6008isP-if00-port0"
    assert port.parent == adapter.id
    disk, partition = found["block nvme0n1"], found["block nvme0n1p2"]
    assert (disk.model, disk.serial) == ("Samsung SSD 970 EVO Plus 500GB", "S4EVNX0M123456")
    assert disk.properties["size_bytes"] == 976773168 * 512
    assert (partition.parent, partition.properties["type"], partition.properties["label"]) == (disk.id, "ext4", "root")
    assert partition.by_id == "/dev/disk/by-id/nvme-Samsung_SSD_970_EVO_Plus_500GB_S4EVNX0M123456-part2"
    assert found["pci 0000:3d:00.0"].parent == found["pci 0000:00:1d.0"].id
    assert found["input input3"].properties["handlers"] == "event3"
    assert found["input input3"].node == "/dev/input/event3"
    assert found["dmi bios"].properties["date"] == "02/27/2024"
    assert not [name for name in found if "1-0:1.0" in name or "event3" in name]


def test_server(machine: Machine) -> None:
    places = machine("server")
    assert topology(places) == (4, 2, "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz")
    packages = [s.current for s in sensors(places).readings if s.chip == "coretemp"]
    assert packages == [52.0, 49.0]
    assert [s.current for s in sensors(places).readings if s.kind == "power"] == [182.0]
    found = devices(places)
    first = found["memory A1"]
    assert (first.properties["size_bytes"], first.properties["memory_type"]) == (32 * 2**30, "DDR4")
    assert (first.properties["form_factor"], first.properties["configured_clock_speed"]) == ("DIMM", 2666)
    assert first.properties["memory_type_details"] == "Synchronous Registered (Buffered)"
    assert first.properties["configured_voltage"] == 1200
    assert (first.model, first.serial) == ("HMA84GR7AFR4N-VK", "32A1B2C3")
    assert found["memory B1"].properties["size_bytes"] == 16 * 2**30
    assert found["memory A2"].properties["size_bytes"] == 0
    raid = found["pci 0000:18:00.0"]
    assert (raid.model, raid.properties["subsystem_model"]) == ("MegaRAID Tri-Mode SAS3516", "PERC H740P Mini")
    assert raid.properties["pci_subclass"] == "RAID bus controller"
    assert found["block sda"].parent == raid.id
    assert found["block sda"].properties["size"] == 1874329600 * 512 // 4096
    assert found["net eno1"].model == "NetXtreme BCM5720 Gigabit Ethernet PCIe"
    assert found["net eno1"].properties["link_speed"] == 1000
    assert found["dmi system"].serial == "7ABC123"
    (gpu,) = GpuReader(places, no_nvml).read().gpus
    assert (gpu.vendor, gpu.pci_bus_id, gpu.power_draw_w, gpu.clock_graphics_mhz) == ("amd", "0000:3b:00.0", 34.0, 300)
    assert gpu.reasons["clock_memory_mhz"].startswith("unsupported")


def no_nvml() -> NoReturn:
    raise ImportError


def test_raspberry_pi(machine: Machine) -> None:
    places = machine("raspberry")
    assert topology(places) == (2, 1, "BCM2835")
    (heat,) = sensors(places).readings
    assert (heat.chip, heat.current, heat.critical) == ("cpu-thermal", 51.121, 110.0)
    assert maker(places) == (None, "Raspberry Pi 4 Model B Rev 1.4")
    found = devices(places)
    assert found["dmi system"].serial == "10000000abcdef01"
    assert found["dmi system"].properties["compatible"] == "raspberrypi,4-model-b brcm,bcm2711"
    assert found["tty ttyAMA0"].node == "/dev/ttyAMA0"
    assert "tty ttyS0" not in found  # The kernel has a place for it, and nothing is there.
    assert found["block mmcblk0"].model == "SC32G"
    assert found["net eth0"].properties["mac"] == "dc:a6:32:01:02:03"


def test_a_serial_port_of_a_newer_kernel(machine: Machine) -> None:
    """It hangs on the serial core's port and controller; its driver is that of the device which they hang on."""
    places = machine("vm")
    expand(
        places.sys.parent,
        """
@ /sys/devices/pnp0/00:04
driver -> /sys/bus/pnp/drivers/serial
@ /sys/bus/pnp/drivers/serial
bind:
@ /sys/devices/pnp0/00:04/00:04:0
driver -> /sys/bus/serial-base/drivers/ctrl
@ /sys/bus/serial-base/drivers/ctrl
bind:
@ /sys/devices/pnp0/00:04/00:04:0/00:04:0.0
driver -> /sys/bus/serial-base/drivers/port
@ /sys/bus/serial-base/drivers/port
bind:
@ /sys/devices/pnp0/00:04/00:04:0/00:04:0.0/tty/ttyS0
type: 4
device -> /sys/devices/pnp0/00:04/00:04:0/00:04:0.0
subsystem -> /sys/class/tty
""",
    )
    assert devices(places)["tty ttyS0"].driver == "serial"


def test_virtual_machine(machine: Machine) -> None:
    places = machine("vm")
    assert virtualization(places) == "qemu"
    assert sensors(places).readings == []
    assert sensors(places).reasons["temperature"].startswith("absent")
    assert not battery(places).present
    stalls = pressure(places)
    assert stalls.io_full is not None
    assert (stalls.io_full.avg10, stalls.io_full.total_us) == (1.25, 88776655)
    assert stalls.memory_some is None
    assert stalls.reasons["memory"] == "failed: Input/output error"
    group = cgroup.derive(None, cgroup.read(places), None)
    assert (group.version, group.memory_limit_bytes, group.cpu_limit_cores) == (2, None, None)
    assert group.reasons["memory_limit_bytes"] == "no limit"
    assert (group.memory_usage_bytes, group.cpu_usage_s, group.pids_limit) == (48234496, 5.123456, 4611)
    found = devices(places)
    assert found["block vda"].serial == "a1b2c3d4"
    assert found["block vda"].parent == found["pci 0000:00:02.0"].id
    assert found["net ens3"].properties["link_speed"] is None


def test_container(machine: Machine) -> None:
    places = machine("container")
    reading = cgroup.read(places)
    group = cgroup.derive(None, reading, None)
    assert (group.memory_limit_bytes, group.host_memory_bytes) == (512 * 2**20, 65805160 * 1024)
    assert (group.usable_memory_bytes, group.memory_percent) == (512 * 2**20, 25.0)
    assert (group.cpu_limit_cores, group.cpuset, group.cpu_throttled_s) == (1.5, list(range(8)), 4.5)
    assert (group.oom_kills, group.pids_current, group.swap_limit_bytes) == (2, 37, 0)
    later = cgroup.CgroupReading(
        **{f: getattr(reading, f) for f in reading.__slots__} | {"cpu_usage_s": 98765432e-6 + 3}
    )
    assert cgroup.derive(reading, later, 2.0).cpu_percent == pytest.approx(150.0)
    assert virtualization(places) == "containerd"


def test_container_with_the_first_version_of_control_groups(machine: Machine) -> None:
    places = machine("container_v1")
    group = cgroup.derive(None, cgroup.read(places), None)
    assert (group.version, group.path) == (1, "/docker/4e1f2a")
    assert (group.memory_limit_bytes, group.memory_usage_bytes) == (256 * 2**20, 64 * 2**20)
    assert (group.swap_limit_bytes, group.swap_usage_bytes, group.oom_kills) == (128 * 2**20, 2**20, 1)
    assert (group.cpu_limit_cores, group.cpuset) == (0.5, [0, 1, 4])
    assert (group.cpu_throttled_s, group.cpu_usage_s) == (1.23456789, 7.654321)
    assert (group.pids_limit, group.pids_current) == (None, 5)
    assert virtualization(places) == "docker"


def test_without_control_groups_there_is_no_word_of_limits(tmp_path: Path) -> None:
    """Where the system shows none, "no limit" would be a claim."""
    found = cgroup.derive(None, cgroup.read(Places.under(tmp_path)), None)
    for field in ("memory_limit_bytes", "memory_percent", "memory_working_set_percent", "swap_limit_bytes"):
        assert found.reasons[field] == "unsupported: the system shows no control groups", field


def test_broken_sensors(machine: Machine) -> None:
    places = machine("broken")
    readings = sensors(places).readings
    failed = [s for s in readings if s.current is None]
    assert [s.reason.partition(":")[0] for s in failed] == ["failed"] * len(failed)
    assert len(failed) == 5  # Three temperatures with no number or an error, one fault, one fan.
    values = {(s.chip, s.kind): s.current for s in readings if s.current is not None}
    assert values["nct6775", "voltage"] == 1.112
    assert values["nct6775", "current"] == 2.5
    assert values["nct6775", "power"] == 45.123456
    assert values["hwmon1", "temperature"] == 27.8  # A chip without a name.
    assert values["it8728", "temperature"] == 30.0  # A chip of the old layout.
    found = battery(places)
    assert found.present
    assert found.batteries[0].energy_now_wh == pytest.approx(24.0)
    assert found.batteries[0].power_w == pytest.approx(12.0)
    assert found.batteries[1].reasons["percent"].startswith("unknown")
    assert devices(places)["pci 0000:00:1f.0"].vendor is None
    assert pressure(places).reasons["cpu"] == "failed: the file has no figures"


PSUTIL = """
import json, psutil
print(json.dumps({
    "temperatures": {k: [[s.label, s.current, s.high, s.critical] for s in v] for k, v in psutil.sensors_temperatures().items()},
    "fans": {k: [[s.label, s.current] for s in v] for k, v in psutil.sensors_fans().items()},
}))
"""


@pytest.mark.parametrize("name", ["laptop", "server", "raspberry"])
def test_sensors_beside_psutil_on_the_same_machine(
    name: str, machine: Machine, tmp_path: Path, missing: Callable[[str], NoReturn]
) -> None:
    """psutil looks into /sys only: in a mount namespace of its own, that is the recorded machine's."""
    places = machine(name)
    script = f'mount --bind "{places.sys}" /sys && exec "{sys.executable}" -c "$1"'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", PSUTIL], capture_output=True, text=True)
    if done.returncode:
        missing(f"no mount namespace can be made here: {done.stderr.strip()}")
    said: dict[str, dict[str, list[list[Any]]]] = json.loads(done.stdout)
    ours = [s for s in sensors(places).readings if s.current is not None]
    for kind, key in (("temperature", "temperatures"), ("fan", "fans")):
        theirs = sorted((chip, entry[0], entry[1]) for chip, found in said[key].items() for entry in found)
        assert sorted((s.chip, s.label, s.current) for s in ours if s.kind == kind) == theirs


TWO_DISKS = """
@ /sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/hwmon1
name: nvme
temp1_input: 38850
temp1_label: Composite
device -> /sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0
@ /sys/devices/pci0000:00/0000:02:00.0/nvme/nvme1/hwmon2
name: nvme
temp1_input: 41850
temp1_label: Composite
device -> /sys/devices/pci0000:00/0000:02:00.0/nvme/nvme1
@ /sys/devices/virtual/hwmon/hwmon3
name: twin
temp1_input: 1000
temp2_input: 2000
temp3_input: 3000
temp3_label: x
@ /sys/class/hwmon
hwmon1 -> /sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/hwmon1
hwmon2 -> /sys/devices/pci0000:00/0000:02:00.0/nvme/nvme1/hwmon2
hwmon3 -> /sys/devices/virtual/hwmon/hwmon3
"""
"""Two disks whose sensors have one name (drivers/nvme/host/hwmon.c), and a chip without a device that has no labels."""


def test_sensors_of_one_name_are_told_apart_by_their_device(tmp_path: Path) -> None:
    def of(text: str, root: Path) -> tuple[Sensors, dict[str, float | None]]:
        expand(root, text)
        found = sensors(Places.under(root))
        snapshot = Snapshot(t_mono_s=0.0, t_wall_s=0.0, dt_s=None, sensors=found)
        return found, {each.label: each.value for each in metrics(snapshot) if each.path.endswith(".current")}

    found, named = of(TWO_DISKS, tmp_path / "both")
    assert [(s.chip, s.label, s.device) for s in found.readings[:2]] == [
        ("nvme", "Composite", "devices/pci0000:00/0000:01:00.0/nvme/nvme0"),
        ("nvme", "Composite", "devices/pci0000:00/0000:02:00.0/nvme/nvme1"),
    ]
    assert named == {
        "nvme/nvme0/temperature/Composite": 38.85, "nvme/nvme1/temperature/Composite": 41.85,
        "twin/temperature": 1.0, "twin/temperature#2": 2.0, "twin/temperature/x": 3.0,
    }  # fmt: skip
    # Where one of them goes, the other keeps its name.
    _, alone = of(
        TWO_DISKS.replace("hwmon1 -> /sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/hwmon1\n", ""), tmp_path / "one"
    )
    assert alone["nvme/nvme1/temperature/Composite"] == 41.85
    page = expose(metrics(Snapshot(t_mono_s=0.0, t_wall_s=0.0, dt_s=None, sensors=found)))
    series = [line.partition("} ")[0] for line in page.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series))
    said = dict(
        lines(
            StubSnapshot.model_validate({"t_mono_s": 0, "t_wall_s": 0, "dt_s": None, "sensors": found.model_dump()}), []
        )
    )
    assert said["sensors"].startswith("nvme0 Composite 38.85 °C, nvme1 Composite 41.85 °C, ")


def test_labels_are_distinct_whatever_they_are() -> None:
    seen: set[str] = set()
    found = [_distinct(label, seen) for label in ("a", "a#2", "a", "a", "a#2", "b")]
    assert found == ["a", "a#2", "a#3", "a#4", "a#2#2", "b"]


def test_zones_of_one_kind(tmp_path: Path) -> None:
    for n in (0, 1):
        expand(tmp_path, f"@ /sys/class/thermal/thermal_zone{n}\ntype: acpitz\ntemp: {n + 20}000\n")
    assert [(s.chip, s.device.rpartition("/")[2]) for s in sensors(Places.under(tmp_path)).readings] == [
        ("acpitz", "thermal_zone0"), ("acpitz", "thermal_zone1"),
    ]  # fmt: skip


def supply(name: str, **files: object) -> str:
    content = "".join(f"{file}: {value}\n" for file, value in files.items())
    return f"@ /sys/class/power_supply/{name}\ntype: Battery\nstatus: Discharging\n{content}"


@pytest.mark.parametrize(
    ("second", "percent", "together"),
    [
        # As Documentation/ABI/testing/sysfs-class-power allows: a share alone, a charge without a voltage, nothing.
        ({"capacity": 10}, 10.0, (80 * 60 + 50 * 20 + 10 * 40) / 120),
        ({"charge_now": 1_000_000, "charge_full": 4_000_000}, 25.0, (80 * 60 + 50 * 20 + 25 * 40) / 120),
        ({}, None, (80 * 60 + 50 * 20) / 80),
    ],
)
def test_a_battery_that_tells_only_its_share(
    tmp_path: Path, second: dict[str, object], percent: float | None, together: float
) -> None:
    """It counts as much as the others do on the average."""
    expand(tmp_path, supply("BAT0", energy_now=48_000_000, energy_full=60_000_000, power_now=10_000_000))
    expand(tmp_path, supply("BAT1", energy_now=10_000_000, energy_full=20_000_000, power_now=0))
    expand(tmp_path, supply("BAT2", **second))
    found = battery(Places.under(tmp_path))
    assert (found.batteries[2].percent, found.percent) == (percent, pytest.approx(together))
    assert found.batteries[2].energy_now_wh is None
    assert found.batteries[2].reasons["energy_now_wh"].startswith("unknown")
    assert (found.secsleft, found.reasons["secsleft"]) == (None, "unknown: the battery does not tell")


def test_batteries_that_all_tell_only_their_share(tmp_path: Path) -> None:
    expand(tmp_path, supply("BAT0", capacity=80) + supply("BAT1", capacity=20))
    assert battery(Places.under(tmp_path)).percent == 50.0


@pytest.mark.parametrize(
    ("name", "statistics", "limit"),
    [
        ("container", "anon 100\nfile 100663296\ninactive_file 67108864\nactive_file 4096\n", 512 * 2**20),
        ("container_v1", "cache 1\ninactive_file 5\ntotal_cache 1\ntotal_inactive_file 16777216\n", 256 * 2**20),
    ],
)
def test_the_working_set_is_without_what_is_kept_of_files(
    machine: Machine, name: str, statistics: str, limit: int
) -> None:
    """As Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst have ``memory.stat``."""
    places = machine(name)
    own = places.sys / "fs" / "cgroup" / ("memory" if name.endswith("v1") else "")
    without = cgroup.derive(None, cgroup.read(places), None)
    assert (without.memory_working_set_bytes, without.memory_working_set_percent) == (None, None)
    assert without.reasons["memory_working_set_bytes"].startswith("absent")
    (own / "memory.stat").write_text(statistics)
    found = cgroup.derive(None, cgroup.read(places), None)
    assert found.memory_usage_bytes is not None
    needed = found.memory_usage_bytes - (67108864 if name == "container" else 16777216)
    assert (found.memory_working_set_bytes, found.memory_working_set_percent) == (needed, 100 * needed / limit)
    (own / "memory.stat").write_text(f"inactive_file {2**40}\n")  # Two files are not read in one moment.
    assert cgroup.derive(None, cgroup.read(places), None).memory_working_set_bytes == 0


def test_the_working_set_of_this_machines_group(serve: Serve, missing: Callable[[str], NoReturn]) -> None:
    groups = cgroup.hierarchies(HERE)
    group = groups.get("memory", groups.get(""))
    if group is None or not (group.own / "memory.stat").exists():
        missing("the system shows no figures of a control group's memory")

    async def scenario(client: AsyncClient) -> None:
        found = await client.hardware.cgroup()
        assert found.memory_usage_bytes is not None
        assert found.memory_working_set_bytes is not None
        assert 0 < found.memory_working_set_bytes <= found.memory_usage_bytes

    serve(scenario)
