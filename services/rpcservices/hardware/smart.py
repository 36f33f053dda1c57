"""Asks disks for their health (SMART), by ``smartctl`` (smartctl(8), ``--json``)."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from typing import Any

from .models import Smart, SmartAttribute
from .readers.plain import plain

TIMEOUT_S = 30.0
"""The time limit; a disk that sleeps takes a while to wake."""


class SmartFailed(Exception):
    """smartctl gave no answer; the message says why."""


def why_no_smart(program: str) -> str:
    """Why there are no SMART data; an empty text where there are."""
    if shutil.which(program) is None:
        return "absent: smartctl is not installed (the package smartmontools has it)"
    return ""


async def ask(program: str, node: str) -> Smart:
    """Ask a disk for its health.

    Parameters:
        program: the path of smartctl.
        node: the disk's file.

    Raises:
        SmartFailed: there was no answer in time, or the answer cannot be read.
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
        answer = json.loads(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise SmartFailed(f"smartctl gave no JSON object (exit status {process.returncode})")
    return read(node, answer)


def read(node: str, answer: Mapping[str, Any]) -> Smart:
    """Turn smartctl's JSON into an answer. A value is None if the disk does not tell it or smartctl's form is
    unknown."""
    head = _block(answer, "smartctl")
    messages = [_text(_mapping(each).get("string")) for each in _list(head, "messages")]
    verdict = _block(answer, "smart_status").get("passed")
    smart = Smart(
        node=node,
        model_name=_text(answer.get("model_name")) or _text(answer.get("scsi_model_name")),
        serial_number=_text(answer.get("serial_number")),
        firmware_version=_text(answer.get("firmware_version")),
        protocol=_text(_block(answer, "device").get("protocol")),
        passed=verdict if isinstance(verdict, bool) else None,
        temperature_celsius=_number(_block(answer, "temperature").get("current")),
        power_on_hours=_whole(_block(answer, "power_on_time").get("hours")),
        power_cycle_count=_whole(answer.get("power_cycle_count")),
        attributes=[
            attribute
            for each in _list(_block(answer, "ata_smart_attributes"), "table")
            if (attribute := _attribute(_mapping(each))) is not None
        ],
        nvme={
            plain(name): number
            for name, value in _block(answer, "nvme_smart_health_information_log").items()
            if (number := _whole(value)) is not None
        },
        # Bits 0 to 2 mean that the command line, the device or a command failed. The other bits are about the disk.
        reason="; ".join(filter(None, messages)) if (_whole(head.get("exit_status")) or 0) & 0b111 else "",
    )
    if smart.passed is None and not smart.reason:
        return smart.model_copy(update={"reason": _why_no_verdict(_block(answer, "smart_support"))})
    return smart


def _why_no_verdict(support: Mapping[str, Any]) -> str:
    if support.get("available") is False:
        return "unsupported: the disk has no SMART"
    if support.get("enabled") is False:
        return "unsupported: SMART is switched off in the disk (smartctl --smart=on)"
    return "unknown: the disk does not tell"


def _attribute(entry: Mapping[str, Any]) -> SmartAttribute | None:
    number, raw = _whole(entry.get("id")), _block(entry, "raw")
    if number is None:
        return None
    return SmartAttribute(
        id=number,
        name=_text(entry.get("name")) or "",
        value=_whole(entry.get("value")),
        worst=_whole(entry.get("worst")),
        thresh=_whole(entry.get("thresh")),
        when_failed=_text(entry.get("when_failed")) or "",
        raw_value=_whole(raw.get("value")),
        raw_string=_text(raw.get("string")) or "",
    )


# smartctl's JSON changes between versions, and holds what disks tell, which may be anything. So check every value.


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _block(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _mapping(mapping.get(name))


def _list(mapping: Mapping[str, Any], name: str) -> list[Any]:
    value = mapping.get(name)
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return plain(value) if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    """An integer that a message can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None
