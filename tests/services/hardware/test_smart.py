"""SMART: smartctl is run and its JSON read. The answers of three disks are recorded; a script gives them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcclient import AsyncClient
from rpcclient.stubs.hardware import DeviceNotFound, SectionUnavailable, Smart
from rpcservices.hardware.smart import read

Serve = Callable[..., None]
RECORDED = Path(__file__).parent / "recorded"


def program(tmp_path: Path, body: str) -> str:
    path = tmp_path / "smartctl"
    path.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n{body}\n')
    path.chmod(0o755)
    return str(path)


def ask(serve: Serve, machine: Callable[[str], Any], tmp_path: Path, recorded: str) -> Smart:
    found: list[Smart] = []

    async def scenario(client: AsyncClient) -> None:
        found.append(await client.hardware.smart("nvme0n1"))

    serve(scenario, machine("laptop"), smartctl=program(tmp_path, f"cat {RECORDED / recorded}; exit 4"))
    return found[0]


def test_an_ata_disk(serve: Serve, machine: Callable[[str], Any], tmp_path: Path) -> None:
    found = ask(serve, machine, tmp_path, "smart_ata.json")
    assert (tmp_path / "arguments").read_text() == "--json=c --all -- /dev/nvme0n1\n"
    assert (found.model_name, found.passed, found.power_on_hours) == ("WDC WD40EFRX-68N32N0", True, 26317)
    assert [(a.id, a.raw_value, a.thresh) for a in found.attributes] == [(5, 0, 140), (194, 31, 0)]


def test_an_nvme_disk(serve: Serve, machine: Callable[[str], Any], tmp_path: Path) -> None:
    found = ask(serve, machine, tmp_path, "smart_nvme.json")
    assert (found.protocol, found.temperature_celsius) == ("NVMe", 38)
    assert found.nvme["percentage_used"] == 3
    assert "temperature_sensors" not in found.nvme


def test_a_disk_that_tells_nothing(serve: Serve, machine: Callable[[str], Any], tmp_path: Path) -> None:
    found = ask(serve, machine, tmp_path, "smart_virtual.json")
    assert found.passed is None
    assert "Unable to detect device type" in found.reason


@pytest.mark.parametrize("support", ['"available":false', '"available":true,"enabled":false', ""])
def test_a_disk_without_a_verdict_says_why(
    serve: Serve, machine: Callable[[str], Any], tmp_path: Path, support: str
) -> None:
    async def scenario(client: AsyncClient) -> None:
        found = await client.hardware.smart("nvme0n1")
        assert found.passed is None
        assert found.reason.startswith("unsupported" if support else "unknown")

    serve(scenario, machine("laptop"), smartctl=program(tmp_path, f"echo '{{\"smart_support\":{{{support}}}}}'"))


ODD = {
    "smartctl": {"exit_status": None, "messages": [None, {"string": 3}, "text"]},
    "model_name": "disk \udce9",
    "device": None,
    "smart_status": [],
    "temperature": {"current": "n/a"},
    "power_on_time": {"hours": 12},
    "ata_smart_attributes": {"table": [{"id": 5}, {"id": 9, "name": "Hours", "value": 3, "raw": None}, {}, None]},
    "nvme_smart_health_information_log": {"percentage_used": 3, "huge": 2**70, "flag": True, "list": [1]},
}


def test_json_of_other_forms(serve: Serve, machine: Callable[[str], Any], tmp_path: Path) -> None:
    """What is odd is None; the rest is told."""

    async def scenario(client: AsyncClient) -> None:
        found = await client.hardware.smart("nvme0n1")
        assert (found.model_name, found.temperature_celsius, found.power_on_hours) == ("disk �", None, 12)
        assert [(a.id, a.name, a.value, a.raw_value, a.raw_string) for a in found.attributes] == [
            (5, "", None, None, ""),
            (9, "Hours", 3, None, ""),
        ]
        assert found.nvme == {"percentage_used": 3}

    (tmp_path / "odd.json").write_text(json.dumps(ODD))
    serve(scenario, machine("laptop"), smartctl=program(tmp_path, f"cat {tmp_path}/odd.json"))


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
BLOCKS = [*ODD, "smart_support", "scsi_model_name", "serial_number", "power_cycle_count"]


@given(st.dictionaries(st.sampled_from(BLOCKS), JSON))
def test_any_json(said: dict[str, Any]) -> None:
    assert read("/dev/sda", said).node == "/dev/sda"


@pytest.mark.parametrize("output", ["[]", "null", "3", "nonsense"])
def test_what_is_no_object(serve: Serve, machine: Callable[[str], Any], tmp_path: Path, output: str) -> None:
    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(SectionUnavailable, match="no JSON object"):
            await client.hardware.smart("nvme0n1")

    serve(scenario, machine("laptop"), smartctl=program(tmp_path, f"echo '{output}'"))


def test_what_cannot_be_asked(serve: Serve, machine: Callable[[str], Any], tmp_path: Path) -> None:
    async def absent(client: AsyncClient) -> None:
        with pytest.raises(SectionUnavailable, match="not installed"):
            await client.hardware.smart("nvme0n1")
        (capability,) = [c for c in await client.hardware.capabilities() if c.section == "smart"]
        assert capability.state == "absent"

    async def present(client: AsyncClient) -> None:
        for disk in ("/etc/passwd", "--scan", "nvme9n9", ""):
            with pytest.raises(DeviceNotFound, match="there are: nvme0n1"):
                await client.hardware.smart(disk)
        with pytest.raises(SectionUnavailable, match="no JSON"):
            await client.hardware.smart("nvme0n1")

    places = machine("laptop")
    serve(absent, places, smartctl=str(tmp_path / "nothing"))
    serve(present, places, smartctl=program(tmp_path, "echo nonsense; exit 1"))
