"""Turns snapshots into samples, once for all callers that ask for the same metrics of the same snapshot."""

from __future__ import annotations

from collections import deque

from rpcservices.hardware.models import Sample, Snapshot

from .metrics import Metric, metrics
from .patterns import Filter

_MOST_KEPT = 16
"""How many samples and snapshots to keep: the number of intervals and filters that may be served in turn."""


class SampleMaker:
    """Makes samples."""

    def __init__(self) -> None:
        self._metrics: deque[tuple[Snapshot, list[Metric]]] = deque(maxlen=_MOST_KEPT)
        self._samples: deque[tuple[Snapshot, tuple[str, ...] | None, Sample]] = deque(maxlen=_MOST_KEPT)

    def sample(self, snapshot: Snapshot, chosen_by: Filter | None) -> Sample:
        """Make the sample of the metrics that a filter chooses; of all metrics if ``None``."""
        patterns = None if chosen_by is None else chosen_by.names
        for of_snapshot, of_patterns, sample in self._samples:
            if of_snapshot is snapshot and of_patterns == patterns:
                return sample
        choice = [each for each in self._all(snapshot) if chosen_by is None or chosen_by.fits(each.name)]
        sample = Sample(
            t_mono_s=snapshot.t_mono_s,
            t_wall_s=snapshot.t_wall_s,
            dt_s=snapshot.dt_s,
            values={each.name: each.value for each in choice},
            reasons={each.name: each.reason for each in choice if each.reason},
        )
        self._samples.append((snapshot, patterns, sample))
        return sample

    def _all(self, snapshot: Snapshot) -> list[Metric]:
        for of_snapshot, all_metrics in self._metrics:
            if of_snapshot is snapshot:
                return all_metrics
        all_metrics = list(metrics(snapshot))
        self._metrics.append((snapshot, all_metrics))
        return all_metrics
