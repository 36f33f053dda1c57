"""Snapshots as samples, made once for all who want the same metrics of the same snapshot."""

from __future__ import annotations

from collections import deque

from rpcservices.hardware.models import Sample, Snapshot

from .metrics import Metric, matches, metrics

_KEPT = 16
"""Samples that are kept, and snapshots: as many as there may be intervals and filters that are served in turn."""


class SampleMaker:
    """Makes samples."""

    def __init__(self) -> None:
        self._metrics: deque[tuple[Snapshot, list[Metric]]] = deque(maxlen=_KEPT)
        self._samples: deque[tuple[Snapshot, tuple[str, ...] | None, Sample]] = deque(maxlen=_KEPT)

    def sample(self, snapshot: Snapshot, patterns: tuple[str, ...] | None) -> Sample:
        """The metrics of a snapshot that fit some patterns; all where ``None``."""
        for kept, wanted, sample in self._samples:
            if kept is snapshot and wanted == patterns:
                return sample
        found = [each for each in self._all(snapshot) if matches(each.name, patterns)]
        sample = Sample(
            t_mono_s=snapshot.t_mono_s,
            t_wall_s=snapshot.t_wall_s,
            dt_s=snapshot.dt_s,
            values={each.name: each.value for each in found},
            reasons={each.name: each.reason for each in found if each.reason},
        )
        self._samples.append((snapshot, patterns, sample))
        return sample

    def _all(self, snapshot: Snapshot) -> list[Metric]:
        for kept, found in self._metrics:
            if kept is snapshot:
                return found
        found = list(metrics(snapshot))
        self._metrics.append((snapshot, found))
        return found
