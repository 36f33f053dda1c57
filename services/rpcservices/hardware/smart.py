"""What disks say of their own health: SMART, by ``smartctl`` (smartctl(8), ``--json``)."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from typing import Any

from .models import Smart, SmartAttribute
from .readers.plain import plain

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
        said = json.loads(output)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise SmartFailed(f"smartctl gave no JSON object (exit status {process.returncode})")
    return read(node, said)


def read(node: str, said: Mapping[str, Any]) -> Smart:
    """Smartctl's JSON as an answer. What a disk does not tell, or smartctl tells in another form, is None."""
    head = _block(said, "smartctl")
    messages = [_text(_mapping(each).get("string")) for each in _list(head, "messages")]
    passed = _block(said, "smart_status").get("passed")
    found = Smart(
        node=node,
        model_name=_text(said.get("model_name")) or _text(said.get("scsi_model_name")),
        serial_number=_text(said.get("serial_number")),
        firmware_version=_text(said.get("firmware_version")),
        protocol=_text(_block(said, "device").get("protocol")),
        passed=passed if isinstance(passed, bool) else None,
        temperature_celsius=_number(_block(said, "temperature").get("current")),
        power_on_hours=_whole(_block(said, "power_on_time").get("hours")),
        power_cycle_count=_whole(said.get("power_cycle_count")),
        attributes=[
            attribute
            for each in _list(_block(said, "ata_smart_attributes"), "table")
            if (attribute := _attribute(_mapping(each))) is not None
        ],
        nvme={
            plain(name): number
            for name, value in _block(said, "nvme_smart_health_information_log").items()
            if (number := _whole(value)) is not None
        },
        # Bits 0 to 2: the command line, the device, or a command to it failed. The others are the disk's verdicts.
        reason="; ".join(filter(None, messages)) if (_whole(head.get("exit_status")) or 0) & 0b111 else "",
    )
    if found.passed is None and not found.reason:
        return found.model_copy(update={"reason": _why_no_verdict(_block(said, "smart_support"))})
    return found


def _why_no_verdict(support: Mapping[str, Any]) -> str:
    if support.get("available") is False:
        return "unsupported: the disk has no SMART"
    if support.get("enabled") is False:
        return "unsupported: SMART is switched off in the disk (smartctl --smart=on)"
    return "unknown: the disk does not tell"


def _attribute(said: Mapping[str, Any]) -> SmartAttribute | None:
    number, raw = _whole(said.get("id")), _block(said, "raw")
    if number is None:
        return None
    return SmartAttribute(
        id=number,
        name=_text(said.get("name")) or "",
        value=_whole(said.get("value")),
        worst=_whole(said.get("worst")),
        thresh=_whole(said.get("thresh")),
        when_failed=_text(said.get("when_failed")) or "",
        raw_value=_whole(raw.get("value")),
        raw_string=_text(raw.get("string")) or "",
    )


# smartctl's JSON has changed with its versions, and tells what disks say, which may be anything.


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _block(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _mapping(said.get(name))


def _list(said: Mapping[str, Any], name: str) -> list[Any]:
    value = said.get(name)
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return plain(value) if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    """An integer that a message can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None
