"""Writes metrics as text for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4).

A service that has figures of its own writes them with it, and shows them as its part of the page ``/metrics``
(:meth:`rpcserver.Service.http_pages`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Family:
    """The metrics of one name.

    Parameters:
        name: the name; that of a counter ends in ``_total``.
        kind: what it is.
        text: what it means, for a person.

    Attributes:
        lines: the metrics as they are written.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    lines: list[str] = field(default_factory=list)

    def add(self, value: float, labels: Mapping[str, str] | None = None, suffix: str = "") -> None:
        """Add one metric.

        Parameters:
            value: its value.
            labels: its labels.
            suffix: the end of its name, as in histograms.
        """
        self.lines.append(f"{self.name}{suffix}{write_labels(labels or {})} {write_value(value)}")


def write(families: Iterable[Family]) -> str:
    """Write metrics as text. Those without a value are left out."""
    lines: list[str] = []
    for family in families:
        if family.lines:
            text = family.text.replace("\\", r"\\").replace("\n", r"\n")
            lines += (f"# HELP {family.name} {text}", f"# TYPE {family.name} {family.kind}", *family.lines)
    return "\n".join(lines) + "\n" if lines else ""


def write_labels(labels: Mapping[str, str]) -> str:
    """Write labels as they stand after a name."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def write_value(value: float) -> str:
    """Write a number."""
    if math.isfinite(value):
        return repr(int(value)) if float(value).is_integer() and abs(value) < 2**63 else repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
