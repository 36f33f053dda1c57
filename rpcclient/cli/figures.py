"""Formats figures for people: sizes, bars, sparklines, durations."""

from __future__ import annotations

from collections.abc import Iterable

_STEPS = " ▁▂▃▄▅▆▇█"
NOTHING = "–"
"""The text for a missing value."""


def size(count: float | None, per: str = "") -> str:
    """Bytes in the largest fitting unit, such as ``1.5 GiB``."""
    if count is None:
        return NOTHING
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(value) < 1024 or unit == "PiB":
            figure = f"{value:.0f}" if unit == "B" or value >= 100 else f"{value:.1f}"
            return f"{figure} {unit}{per}"
        value /= 1024
    raise AssertionError("the last unit takes everything")


def percent(value: float | None) -> str:
    """A share, such as ``12.5 %``."""
    return NOTHING if value is None else f"{value:.1f} %"


def bar(share: float | None, width: int) -> str:
    """A bar for 0 to 100, of a fixed width."""
    if share is None:
        return "·" * width
    eighths = round(min(max(share, 0.0), 100.0) / 100 * width * 8)
    full, part = divmod(eighths, 8)
    blocks = "█" * full + (" ▏▎▍▌▋▊▉"[part] if part else "")
    return blocks.ljust(width, "·")[:width]


def sparkline(values: Iterable[float | None], width: int, most: float | None = None) -> str:
    """The last values as columns; the highest is ``most``, or the highest of them."""
    last = list(values)[-width:] if width > 0 else []
    numbers = [value for value in last if value is not None]
    top = most if most is not None else max(numbers, default=0.0)
    columns = [
        " " if value is None else _STEPS[min(int(value / top * 8 + 0.5), 8) if top > 0 else 0] or " " for value in last
    ]
    return "".join(columns).rjust(width)


def duration(seconds: float | None) -> str:
    """A time, such as ``3 d 04:05`` or ``04:05:06``."""
    if seconds is None:
        return NOTHING
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days} d {hour:02}:{minute:02}" if days else f"{hour:02}:{minute:02}:{second:02}"
