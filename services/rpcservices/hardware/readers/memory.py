"""Memory and swap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil

from rpcservices.hardware.models import Memory, Swap
from rpcservices.hardware.rates import rate

from . import procfs
from .reasons import NO_BASELINE, RESET, Reasons

_FIELDS = ("total", "available", "used", "free", "active", "inactive", "buffers", "cached", "shared", "slab")


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """The state of memory and swap at one moment."""

    physical: Any
    swap: Any
    reasons: Reasons


def read() -> MemoryReading:
    """Read memory and swap."""
    reasons = Reasons()
    return MemoryReading(psutil.virtual_memory(), reasons.attempt("swap", procfs.swap_memory), reasons)


def _swap_reasons(old: Any, now: Any) -> dict[str, str]:
    if old is None:
        return dict.fromkeys(("sin_bytes_per_s", "sout_bytes_per_s"), NO_BASELINE)
    return {f"{name}_bytes_per_s": RESET for name in ("sin", "sout") if getattr(now, name) < getattr(old, name)}


def derive(before: MemoryReading | None, now: MemoryReading, dt_s: float | None) -> Memory:
    """Make the answer from two readings."""
    physical, swap = now.physical, now.swap
    old = before.swap if before is not None else None
    fields: dict[str, Any] = {f"{name}_bytes": getattr(physical, name, None) for name in _FIELDS}
    reasons = Reasons(now.reasons)
    for name, value in fields.items():
        reasons.note(value, name, "unsupported: this system does not tell")
    return Memory(
        **fields,
        percent=physical.percent,
        swap=None
        if swap is None
        else Swap(
            total_bytes=swap.total,
            used_bytes=swap.used,
            free_bytes=swap.free,
            percent=float(swap.percent),
            sin_bytes=swap.sin,
            sout_bytes=swap.sout,
            sin_bytes_per_s=rate(old and old.sin, swap.sin, dt_s),
            sout_bytes_per_s=rate(old and old.sout, swap.sout, dt_s),
            reasons=_swap_reasons(old, swap),
        ),
        reasons=reasons,
    )
