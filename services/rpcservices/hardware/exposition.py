"""Metrics in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4).

A metric's name is its place in a snapshot: ``cpu.percent`` becomes ``hardware_cpu_percent``. The label ``of`` names the
item that it belongs to, and the label ``kind`` the kind of item, such as ``ethernet`` for an interface. Counters end in
``_total``. A metric without a value is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .sampling.metrics import Metric, known_paths

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def expose(all_metrics: Iterable[Metric]) -> str:
    """Write metrics as text. Those of the same name stand together, as the format requires."""
    families: dict[str, list[Metric]] = {}
    for metric in all_metrics:
        if metric.value is not None:
            families.setdefault(name_of(metric), []).append(metric)
    lines: list[str] = []
    for name, members in sorted(families.items()):
        lines.append(f"# HELP {name} {_help(members[0].path)}")
        lines.append(f"# TYPE {name} {members[0].kind}")
        lines += [f"{name}{_labels(member)} {_value(member.value or 0.0)}" for member in members]
    return "\n".join(lines) + "\n" if lines else ""


def name_of(metric: Metric) -> str:
    """The name of a metric in Prometheus."""
    name = "hardware_" + metric.path.replace(".", "_")
    return f"{name}_total" if metric.kind == "counter" else name


def _help(path: str) -> str:
    meaning = known_paths().get(path) or path
    return meaning.replace("\\", r"\\").replace("\n", r"\n")


def _labels(metric: Metric) -> str:
    labels = [(name, value) for name, value in (("of", metric.label), ("kind", metric.sort)) if value]
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}"


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _value(value: float) -> str:
    if math.isfinite(value):
        return repr(int(value)) if value.is_integer() and abs(value) < 2**63 else repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
