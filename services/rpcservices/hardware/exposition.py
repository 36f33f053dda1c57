"""Metrics in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4).

A metric's name is its place in a snapshot: ``cpu.percent`` becomes ``hardware_cpu_percent``. The label ``of`` names the
item that it belongs to, and the label ``kind`` the kind of item, such as ``ethernet`` for an interface. Counters end in
``_total``. A metric without a value is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from rpcserver.telemetry.exposition import CONTENT_TYPE, Family, write

from .sampling.metrics import Metric, known_paths

__all__ = ["CONTENT_TYPE", "expose", "name_of"]


def expose(all_metrics: Iterable[Metric]) -> str:
    """Write metrics as text. Those of the same name stand together, as the format requires."""
    families: dict[str, Family] = {}
    for metric in all_metrics:
        if metric.value is None:
            continue
        name = name_of(metric)
        family = families.get(name)
        if family is None:
            kind: Literal["counter", "gauge"] = "counter" if metric.kind == "counter" else "gauge"
            family = families[name] = Family(name, kind, known_paths().get(metric.path) or metric.path)
        labels = {name: value for name, value in (("of", metric.label), ("kind", metric.sort)) if value}
        family.add(metric.value, labels)
    return write(family for _, family in sorted(families.items()))


def name_of(metric: Metric) -> str:
    """The name of a metric in Prometheus."""
    name = "hardware_" + metric.path.replace(".", "_")
    return f"{name}_total" if metric.kind == "counter" else name
