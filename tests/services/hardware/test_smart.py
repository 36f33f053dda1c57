"""SMART: smartctl is run and its JSON read. The answers of three disks are recorded; a script gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.hardware import DeviceNotFound, SectionUnavailable, Smart

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
