"""Reads batteries from ``/sys/class/power_supply`` (the kernel's Documentation/ABI/testing/sysfs-class-power)."""

from __future__ import annotations

from pathlib import Path

from rpcservices.hardware.models import Battery, BatteryUnit

from .places import HERE, Places, entries, number, text
from .reasons import Reasons

_ABSENT = "absent: the machine shows no battery"


def battery(places: Places = HERE) -> Battery:
    """The batteries, if there are any. Those of mice and keyboards (scope ``Device``) do not count."""
    supplies = [
        (folder, text(folder / "type"))
        for folder in entries(places.sys / "class" / "power_supply")
        if text(folder / "scope") != "Device"
    ]
    units = [_unit(folder) for folder, kind in supplies if kind == "Battery" and number(folder / "present") != 0]
    mains = [number(folder / "online") for folder, kind in supplies if kind in ("Mains", "USB")]
    if not units:
        return Battery(
            present=False,
            percent=None,
            power_plugged=any(mains) if mains else None,
            secsleft=None,
            reasons={"percent": _ABSENT, "secsleft": _ABSENT} | ({} if mains else {"power_plugged": _ABSENT}),
        )
    reasons = Reasons()
    states = {unit.status for unit in units}
    is_plugged: bool | None = None
    if any(online is not None for online in mains):
        is_plugged = any(mains)
    elif states & {"Charging", "Full"}:
        is_plugged = True
    elif "Discharging" in states:
        is_plugged = False
    reasons.note(is_plugged, "power_plugged", "unknown: neither the mains nor the battery tell")
    percent = _together(units)
    reasons.note(percent, "percent", "unknown: the battery does not tell")
    minutes_left: int | None = None
    if is_plugged:
        reasons["secsleft"] = "on mains"
    else:
        minutes_left = _time_left(units, supplies)
        reasons.note(minutes_left, "secsleft", "unknown: the battery does not tell")
    return Battery(
        present=True, percent=percent, power_plugged=is_plugged, secsleft=minutes_left, batteries=units, reasons=reasons
    )


def _unit(folder: Path) -> BatteryUnit:
    reasons = Reasons()
    volts = number(folder / "voltage_min_design") or number(folder / "voltage_now")

    def energy(what: str) -> float | None:
        """An energy in watt hours. Some batteries give a charge (µAh); with the nominal voltage that is an energy."""
        value = number(folder / f"energy_{what}")
        if value is not None:
            return value / 1e6
        charge = number(folder / f"charge_{what}")
        return None if charge is None or not volts else charge * volts / 1e12

    now, full, design = energy("now"), energy("full"), energy("full_design")
    percent: float | None = None
    if now is not None and full:
        percent = min(100.0 * now / full, 100.0)
    elif (charge := number(folder / "charge_now")) is not None and (whole := number(folder / "charge_full")):
        percent = min(100.0 * charge / whole, 100.0)  # Without a voltage we know only the share, not the energy.
    elif (capacity := number(folder / "capacity")) is not None:
        percent = float(capacity)
    power = number(folder / "power_now")
    amperes = number(folder / "current_now")
    watts: float | None = None
    if power is not None:
        watts = abs(power) / 1e6  # Some drivers give a negative power while the battery discharges.
    elif amperes is not None and (tension := number(folder / "voltage_now")) is not None:
        watts = abs(amperes) * tension / 1e12
    unit = BatteryUnit(
        name=folder.name,
        percent=percent,
        status=text(folder / "status"),
        energy_now_wh=now,
        energy_full_wh=full,
        energy_design_wh=design,
        power_w=watts,
        cycle_count=number(folder / "cycle_count"),
        technology=text(folder / "technology"),
        manufacturer=text(folder / "manufacturer"),
        model_name=text(folder / "model_name"),
    )
    for field in BatteryUnit.model_fields:
        reasons.note(getattr(unit, field), field, "unknown: the battery does not tell")
    return unit.model_copy(update={"reasons": reasons})


def _together(units: list[BatteryUnit]) -> float | None:
    """The charge of all batteries together, weighted by the capacity of each. A battery that does not tell its capacity
    gets the mean of the others."""
    with_percent = [(unit.percent, unit.energy_full_wh) for unit in units if unit.percent is not None]
    sizes = [full for _, full in with_percent if full]
    usual = sum(sizes) / len(sizes) if sizes else 1.0
    weights = [(percent, full or usual) for percent, full in with_percent]
    whole = sum(weight for _, weight in weights)
    return min(sum(percent * weight for percent, weight in weights) / whole, 100.0) if whole else None


def _time_left(units: list[BatteryUnit], supplies: list[tuple[Path, str | None]]) -> int | None:
    power = sum(unit.power_w or 0.0 for unit in units)
    if power > 0 and all(unit.energy_now_wh is not None for unit in units):
        return int(3600 * sum(unit.energy_now_wh or 0.0 for unit in units) / power)
    minutes = [number(folder / "time_to_empty_now") for folder, kind in supplies if kind == "Battery"]
    minutes_of_units = [value for value in minutes if value is not None and value >= 0]
    return sum(minutes_of_units) if minutes_of_units else None
