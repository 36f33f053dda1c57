"""What disks say of their own health: SMART, by ``smartctl`` (smartctl(8), ``--json``)."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from typing import Any

from .models import Smart, SmartAttribute

TIMEOUT_S = 30.0
"""A disk that sleeps takes a while to wake."""


class SmartFailed(Exception):
    """smartctl gave no answer; the message says why."""


def why_no_smart(program: str) -> str:
    """Why SMART data cannot be had; nothing where they can."""
    if shutil.which(program) is None:
        return "absent: smartctl is not installed (the package smartmontools has it)"
    return ""


async def ask(program: str, node: str) -> Smart:
    """Ask a disk.

    Parameters:
        program: smartctl.
        node: the disk's file.

    Raises:
        SmartFailed: there was no answer in time, or none that can be read.
    """
    process = await asyncio.create_subprocess_exec(
        program,
        "--json=c",
        "--all",
        "--",
        node,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    except TimeoutError:
        raise SmartFailed(f"smartctl gave no answer within {TIMEOUT_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return read(node, json.loads(output))
    except ValueError:
        raise SmartFailed(f"smartctl gave no JSON (exit status {process.returncode})") from None


def read(node: str, said: Mapping[str, Any]) -> Smart:
    """Smartctl's JSON as an answer. What a disk does not tell is None."""
    status = said.get("smartctl", {}).get("exit_status", 0)
    messages = [str(m.get("string", "")) for m in said.get("smartctl", {}).get("messages", [])]
    return Smart(
        node=node,
        model_name=said.get("model_name") or said.get("scsi_model_name"),
        serial_number=said.get("serial_number"),
        firmware_version=said.get("firmware_version"),
        protocol=said.get("device", {}).get("protocol"),
        passed=said.get("smart_status", {}).get("passed"),
        temperature_celsius=said.get("temperature", {}).get("current"),
        power_on_hours=said.get("power_on_time", {}).get("hours"),
        power_cycle_count=said.get("power_cycle_count"),
        attributes=[_attribute(each) for each in said.get("ata_smart_attributes", {}).get("table", [])],
        nvme={
            name: value
            for name, value in said.get("nvme_smart_health_information_log", {}).items()
            if isinstance(value, int)
        },
        # Bits 0 to 2: the command line, the device, or a command to it failed. The others are the disk's verdicts.
        reason="; ".join(filter(None, messages)) if status & 0b111 else "",
    )


def _attribute(said: Mapping[str, Any]) -> SmartAttribute:
    return SmartAttribute(
        id=said["id"],
        name=said["name"],
        value=said["value"],
        worst=said["worst"],
        thresh=said.get("thresh"),
        when_failed=said.get("when_failed") or "",
        raw_value=said["raw"]["value"],
        raw_string=said["raw"]["string"],
    )
