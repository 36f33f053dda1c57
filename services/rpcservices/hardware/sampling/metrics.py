"""Turns a snapshot into metrics: numbers with names."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

from rpcservices.hardware.models import Section, Snapshot

from .patterns import Filter, has_wildcard

Kind = Literal["gauge", "counter"]


class Metric(NamedTuple):
    """A number of a snapshot.

    Attributes:
        path: its place in the snapshot, such as ``network.interfaces.bytes_recv``.
        label: the item that it belongs to, such as ``eth0``; empty where there is only one.
        value: the number; ``None`` where there is none.
        kind: whether it is a gauge, which goes up and down, or a counter.
        reason: why there is no value, where known.
        sort: the kind of item, such as ``ethernet``; empty where there is only one kind.
    """

    path: str
    label: str
    value: float | None
    kind: Kind
    reason: str = ""
    sort: str = ""

    @property
    def name(self) -> str:
        """Path and label together."""
        return f"{self.path}{{{self.label}}}" if self.label else self.path


COUNTERS = frozenset({
    "ctx_switches", "interrupts", "soft_interrupts", "sin_bytes", "sout_bytes", "read_count", "write_count",
    "read_bytes", "write_bytes", "busy_time_ms", "bytes_sent", "bytes_recv", "packets_sent", "packets_recv",
    "errin", "errout", "dropin", "dropout", "cpu_usage_s", "cpu_throttled_s", "oom_kills", "total_us",
    "user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice", "cycle_count",
})  # fmt: skip
"""The names of counters. (No gauge has one of these names.)"""

_MOST_COMPARED = 200
"""How many characters of an unknown name are compared with the names that there are."""

WITHOUT_HISTORY: frozenset[Section] = frozenset({"host", "users"})
"""Sections that have no figures worth a history."""


def _kind(name: str) -> Kind:
    return "counter" if name in COUNTERS else "gauge"


def has_history(path: str) -> bool:
    """Whether a metric has a history. Counters have none; their rates have."""
    return _kind(path.rpartition(".")[2]) == "gauge" and path.partition(".")[0] not in WITHOUT_HISTORY


_LABELS: dict[str, Callable[[Any], str]] = {
    "CpuCore": lambda core: str(core.cpu),
    "Filesystem": lambda filesystem: filesystem.mountpoint,
    "DiskIo": lambda io: io.name,
    "NetworkInterface": lambda interface: interface.name,
    "Sensor": lambda sensor: "/".join(
        filter(None, (sensor.chip, sensor.device.rpartition("/")[2], sensor.kind, sensor.label))
    ),
    "BatteryUnit": lambda unit: unit.name,
    "Gpu": lambda gpu: str(gpu.index),
}
_NOT_METRICS = frozenset({"cpu", "index", "boot_time", "online", "bind"})
"""Numbers that only name something, and flags that only explain other fields."""


class _Shape(NamedTuple):
    numbers: tuple[str, ...]
    models: tuple[str, ...]
    lists: tuple[str, ...]


@cache
def _shape(model: type[BaseModel]) -> _Shape:
    numbers, models, lists = [], [], []
    for name, field in model.model_fields.items():
        kinds = {field.annotation}
        if get_origin(field.annotation) in (Union, types.UnionType):
            kinds = set(get_args(field.annotation))
        kinds.discard(type(None))
        (kind,) = kinds if len(kinds) == 1 else (None,)
        if kind in (int, float, bool) and name not in _NOT_METRICS:
            numbers.append(name)
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            models.append(name)
        elif get_origin(kind) is list and isinstance(get_args(kind)[0], type):
            lists.append(name)
    return _Shape(tuple(numbers), tuple(models), tuple(lists))


def metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """All numbers of a snapshot, in the order of its fields."""
    for name in _shape(Snapshot).models:
        section = getattr(snapshot, name)
        if section is not None:
            yield from _walk(name, "", section)


def _walk(path: str, label: str, model: BaseModel) -> Iterator[Metric]:
    shape = _shape(type(model))
    reasons: dict[str, str] = getattr(model, "reasons", {})
    sort = str(getattr(model, "kind", None) or "")
    for name in shape.numbers:
        value = getattr(model, name)
        reason = "" if value is not None else str(reasons.get(name) or getattr(model, "reason", ""))
        yield Metric(f"{path}.{name}", label, None if value is None else float(value), _kind(name), reason, sort)
    for name in shape.models:
        inner = getattr(model, name)
        if inner is not None:
            yield from _walk(f"{path}.{name}", label, inner)
    for name in shape.lists:
        labels: set[str] = set()
        for item in getattr(model, name) or ():
            of = _LABELS.get(type(item).__name__)
            if of is None:
                break
            inner_label = _distinct(of(item), labels)
            yield from _walk(f"{path}.{name}", f"{label}/{inner_label}" if label else inner_label, item)


def _distinct(label: str, labels: set[str]) -> str:
    """Make a label unique by a number: two sensors of one chip may have the same name."""
    unique, number = label, 1
    while unique in labels:
        number += 1
        unique = f"{label}#{number}"
    labels.add(unique)
    return unique


@cache
def known_paths() -> Mapping[str, str]:
    """Every path that a metric may have on any machine, with its meaning."""
    return {
        path: meaning
        for name in _shape(Snapshot).models
        for path, meaning in _paths(name, _kind_of(Snapshot, name)).items()
    }


def _paths(path: str, model: type[BaseModel]) -> dict[str, str]:
    shape = _shape(model)
    meanings = {f"{path}.{name}": model.model_fields[name].description or "" for name in shape.numbers}
    for name in (*shape.models, *shape.lists):
        kind = _kind_of(model, name)
        if kind is not None and (name in shape.models or kind.__name__ in _LABELS):
            meanings |= _paths(f"{path}.{name}", kind)
    return meanings


def _kind_of(model: type[BaseModel], name: str) -> Any:
    """The model that a field holds, alone or in a list; ``None`` where it holds none."""
    annotation = model.model_fields[name].annotation
    for kind in (annotation, *get_args(annotation)):
        inner = get_args(kind)[0] if get_origin(kind) is list else kind
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None


def near_names(pattern: str) -> list[str] | None:
    """The names similar to a pattern that fits no metric of any machine; ``None`` if the pattern fits one."""
    if fits_any(pattern, known_paths()):
        return None
    return get_close_matches(pattern.partition("{")[0][:_MOST_COMPARED], known_paths(), n=3)


def fits_any(pattern: str, paths: Collection[str]) -> bool:
    """Whether a metric of one of these paths can fit a pattern."""
    bare = pattern.partition("{")[0]
    if bare in paths:
        return True
    if not has_wildcard(bare):
        return any(path.startswith(f"{bare}.") for path in paths)
    if any(map(Filter([bare]).fits, paths)):
        return True
    literal = re.split(r"[*?\[]", bare)[0]
    # The pattern may include the label in braces.
    return literal != bare and any(path.startswith(literal) for path in paths)
