"""Reads pressure stall information: ``/proc/pressure`` (Documentation/accounting/psi.rst)."""

from __future__ import annotations

from rpcservices.hardware.models import Pressure, Stall

from .places import HERE, Places
from .reasons import Reasons, why


def parse(content: str) -> dict[str, Stall]:
    """The lines of one file, by their first word: ``some`` or ``full``. Other lines are left out."""
    stalls: dict[str, Stall] = {}
    for line in content.splitlines():
        kind, *pairs = line.split()[:5] or [""]
        values = {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
        try:
            stalls[kind] = Stall(
                avg10=float(values["avg10"]),
                avg60=float(values["avg60"]),
                avg300=float(values["avg300"]),
                total_us=int(values["total"]),
            )
        except (KeyError, ValueError):
            continue
    return stalls


def pressure(places: Places = HERE) -> Pressure:
    """How much processes wait for processors, memory, disks and interrupts."""
    reasons = Reasons()
    folder = places.proc / "pressure"
    by_resource: dict[str, Stall] = {}
    for resource in ("cpu", "memory", "io", "irq"):
        try:
            stalls = parse((folder / resource).read_text(encoding="ascii", errors="replace"))
        except FileNotFoundError:
            reasons[resource] = "unsupported: the kernel does not count it" + (
                "" if resource == "irq" else " (needs CONFIG_PSI, and psi=1 where it is off by default)"
            )
        except OSError as exc:
            # A kernel booted with psi=0 shows the files and answers EOPNOTSUPP.
            reasons[resource] = why(exc)
        else:
            by_resource |= {f"{resource}_{kind}": stall for kind, stall in stalls.items()}
            if not stalls:
                reasons[resource] = "failed: the file has no figures"
    return Pressure.model_validate({**by_resource, "reasons": reasons})
