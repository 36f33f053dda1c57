"""Lists what can be read and used on this machine, and why the rest cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from rpcservices.hardware.serial.ports import why_no_serial

from .inventory.uevents import why_no_events, why_no_udev
from .models import Availability, Capability, Part, Section, Sensor, Snapshot
from .readers.hidden import why_hidden
from .readers.network import connections
from .readers.reasons import NO_BASELINE, RESET, others_denied
from .smart import why_no_smart

if TYPE_CHECKING:
    from .core import HardwareCore

_STATES: dict[str, Availability] = {
    "denied": "denied",
    "unsupported": "unsupported",
    "failed": "unsupported",
    "unknown": "unsupported",
}

_OTHERS = ("num_fds", "io_counters", "exe", "cwd", "open_files", "uss_bytes")
"""Attributes of a process that the system tells only to the process's own user and to root."""


def state_of(reason: str) -> Availability:
    """The state for the first word of a reason."""
    return _STATES.get(reason.partition(":")[0], "absent")


def missing(part: Part, reason: str) -> Capability:
    """The entry of something that is not available."""
    return Capability(section=part, state=state_of(reason), reason=reason)


def capabilities(snapshot: Snapshot, service: HardwareCore) -> list[Capability]:
    """List every part of the machine. It blocks.

    Parameters:
        snapshot: a snapshot of all sections.
        service: the service of the machine.
    """
    answer = [_section(name, snapshot) for name in get_args(Section)]
    denial = others_denied()
    lacks: dict[str, str] = dict.fromkeys(_OTHERS, denial) if denial else {}
    if why := why_hidden():
        lacks["processes"] = why
    answer.append(Capability(section="processes", state="available", metrics=lacks))
    reason = connections("inet", 1).reasons.get("connections")
    whose = {"pid": denial} if denial else {}
    answer.append(
        missing("connections", reason)
        if reason
        else Capability(section="connections", state="available", metrics=whose)
    )
    answer += _rest(service)
    return answer


def _section(name: Section, snapshot: Snapshot) -> Capability:
    answer = getattr(snapshot, name)
    if answer is None:
        return missing(name, snapshot.reasons.get(name, "failed"))
    reasons = _lasting(getattr(answer, "reasons", {}))
    nothing = _nothing(name, answer, reasons)
    if nothing:
        return missing(name, nothing)
    return Capability(section=name, state="available", metrics=reasons | _within(answer))


def _nothing(name: Section, answer: Any, reasons: dict[str, str]) -> str:
    """Why a section is empty; an empty text where it is not."""
    if name == "sensors" and not answer.readings:
        return reasons["temperature"]
    if name == "battery" and not answer.present:
        return reasons["percent"]
    if name == "gpus" and not answer.gpus:
        return reasons["nvidia"]
    if name == "cgroup" and answer.version is None:
        return reasons["version"]
    if name == "pressure" and all(resource in reasons for resource in ("cpu", "memory", "io")):
        return reasons["cpu"]
    if name == "network" and not answer.interfaces:
        return reasons.get("interfaces", "absent: the machine shows none")
    if name == "disks" and not answer.filesystems and not answer.io:
        return reasons.get("io", "absent: the machine shows none")
    return ""


_NAMES = ("cpu", "chip", "label", "mountpoint", "index", "name")
"""Fields that name an item."""


def _within(answer: Any) -> dict[str, str]:
    """The reasons of single items in a section: a processor, a sensor, a file system, a GPU."""
    reasons: dict[str, str] = {}
    for field in ("cores", "readings", "filesystems", "gpus", "batteries"):
        for item in getattr(answer, field, None) or ():
            parts = [getattr(item, key, None) for key in _NAMES]
            if isinstance(item, Sensor):
                parts.append(item.device.rpartition("/")[2])
            name = "/".join(str(part) for part in parts if part not in (None, ""))
            if getattr(item, "reason", ""):
                reasons[f"{field}.{name}"] = item.reason
            reasons |= {f"{field}.{name}.{k}": v for k, v in _lasting(getattr(item, "reasons", {})).items()}
    return reasons


def _lasting(reasons: Mapping[str, str]) -> dict[str, str]:
    """The reasons that remain after a second reading."""
    return {k: v for k, v in reasons.items() if v not in (NO_BASELINE, RESET)}


def _rest(service: HardwareCore) -> list[Capability]:
    events = why_no_events(service.places)
    smart = why_no_smart(service.config.smartctl)
    serial = why_no_serial() or ("" if _ports(service) else "absent: the machine shows no serial ports")
    no_udev = "" if events else why_no_udev(service.places)
    return [
        Capability(section="devices", state="available", metrics=service.inventory.lacks())
        if (service.places.sys / "class").is_dir()
        else missing("devices", "unsupported: the system has no sysfs"),
        missing("device_events", events)
        if events
        else Capability(
            section="device_events",
            state="available",
            metrics={"by_id": no_udev} if no_udev else {},
        ),
        missing("serial", serial) if serial else Capability(section="serial", state="available"),
        missing("smart", smart) if smart else Capability(section="smart", state="available"),
        _history(service),
    ]


def _history(service: HardwareCore) -> Capability:
    history = service.history_kept
    if history is None:
        return missing("history", "absent: it is off in the server's configuration (services.hardware.history)")
    left_out = (
        {
            "*": f"absent: {history.left_out} metrics are left out: services.hardware.history_metrics is "
            f"{history.most_metrics}"
        }
        if history.left_out
        else {}
    )
    return Capability(section="history", state="available", metrics=left_out)


def _ports(service: HardwareCore) -> bool:
    return bool(service.config.serial_paths or service.inventory.list(["tty"]))
