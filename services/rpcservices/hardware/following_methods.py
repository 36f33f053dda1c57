"""The methods that follow the machine, and that give its history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from functools import partial
from typing import Annotated

from pydantic import Field

from rpcserver import Context, InvalidParams, SlowPolicy, method

from .core import HardwareCore, all_sections
from .gpu_processes import ProcessView
from .models import Sample, Section, Series, Snapshot
from .sampling.fanout import closing
from .sampling.metrics import WITHOUT_HISTORY, fits_any, has_history, known_paths, near_names
from .sampling.patterns import Filter, first_places, has_wildcard
from .sampling.samples import SampleMaker

_MOST_SERIES = 1000
_MOST_POINTS = 131_072
"""The most points in one answer: encoding so many takes a tenth of a second or two."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class FollowingMethods(HardwareCore):
    """Streams of readings, and history."""

    @method(permission="hardware.read", kind="read", slow_policy=SlowPolicy.LATEST, shared_items=True)
    async def watch(
        self, sections: list[Section] | None = None, *, interval_s: float = 1.0, ctx: Context
    ) -> AsyncIterator[Snapshot]:
        """Follow some sections, with rates computed here over each interval. A reader that is too slow gets the
        latest reading, not all of them.

        Parameters:
            sections: which; all where not given.
            interval_s: time between two readings, in seconds. Two digits of it count, so that readers share them.

        Raises:
            InvalidParams: the interval is shorter than the server allows.
        """
        choice, view = all_sections(sections), self._view(ctx)
        snapshots = self._sampler.follow(choice, self._interval(interval_s))
        return snapshots if view.sees_all or "gpus" not in choice else self._limit_all(snapshots, view)

    async def _limit_all(self, snapshots: AsyncIterator[Snapshot], view: ProcessView) -> AsyncIterator[Snapshot]:
        async for snapshot in closing(snapshots):
            yield await self._limit(snapshot, view)

    @method(permission="hardware.read", kind="read", slow_policy=SlowPolicy.LATEST, shared_items=True)
    async def subscribe(
        self,
        sections: list[Section] | None = None,
        *,
        interval_s: float = 1.0,
        filter: list[str] | None = None,  # noqa: A002 - the name on the wire
        on_change: bool = False,
    ) -> AsyncIterator[Sample]:
        """Follow metrics: numbers with names, such as ``cpu.percent`` or
        ``network.interfaces.bytes_recv_per_s{eth0}``. A reader that is too slow gets the latest sample.

        Parameters:
            sections: which; all where not given.
            interval_s: time between two readings, in seconds. Two digits of it count, so that readers share them.
            filter: names of metrics, without braces for all of a kind; ``*`` and ``?`` stand for anything. At most
                1,000 names, 32 of them with wildcards.
            on_change: leave out samples in which nothing has changed since the one before.

        Raises:
            InvalidParams: the interval is shorter than the server allows, the sections have no such metric, or the
                filter is too long.
        """
        choice = all_sections(sections)
        paths = _paths_of(choice)
        chosen_by = None
        if filter is not None:
            if not filter:
                raise InvalidParams(
                    "filter: empty: leave it out for all metrics",
                    errors=[{"loc": ["filter"], "msg": "must not be empty", "type": "value_error"}],
                )
            chosen_by = await _choose("filter", filter, partial(_check_section, choice, paths))
        snapshots = self._sampler.follow(choice, self._interval(interval_s))
        return _samples(snapshots, chosen_by, self._samples, on_change=on_change)

    @method(permission="hardware.read", kind="read")
    async def history(
        self,
        metrics: Annotated[list[str], Field(min_length=1)],
        *,
        start_s: Finite | None = None,
        end_s: Finite | None = None,
        step_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None,
    ) -> list[Series]:
        """What metrics were: the last hour finely, the last day coarsely (as the server is configured). Counters are
        kept as their rates, and the host's own figures not at all.

        Parameters:
            metrics: their names, as :meth:`subscribe` gives and takes them; at most 1,000, 32 of them with wildcards.
            start_s: from when on, in seconds since 1970, or, if negative, before now; an hour ago where not given.
            end_s: until when, likewise; now where not given.
            step_s: the time that each point is to cover, in seconds; as fine as is known where not given. The
                server keeps less of what is older: such points cover more, as they say.

        Raises:
            InvalidParams: there is no such metric, or it has no history; the time ends before it begins, the server
                keeps no history, or the answer would have more than 131,072 points.
        """
        history = self.history_kept
        if history is None:
            raise InvalidParams("metrics: the server keeps no history: set services.hardware.history to true")
        chosen_by = await _choose("metrics", metrics, partial(_check_history, _paths_with_history()))
        now = time.time()
        start = now - 3600 if start_s is None else _moment(start_s, now)
        end = now if end_s is None else _moment(end_s, now)
        if end < start:
            raise InvalidParams(
                "end_s: the time ends before it begins",
                errors=[{"loc": ["end_s"], "msg": "must not be before start_s"}],
            )
        series_list: list[Series] = []
        count = 0
        async with self._history_in_turn:
            for series in history.query(chosen_by, start, end, step_s, _MOST_SERIES):
                count += len(series.points)
                if count > _MOST_POINTS:
                    raise InvalidParams(
                        f"metrics: more than {_MOST_POINTS} points: ask for fewer metrics, less time, larger step_s",
                        errors=[{"loc": ["metrics"], "msg": "too many points", "type": "value_error"}],
                    )
                series_list.append(series)
                await asyncio.sleep(0)  # Others come between two metrics.
        return series_list

    @method(permission="hardware.read", kind="read")
    async def history_metrics(self) -> list[str]:
        """The names of the metrics that have a history."""
        return self.history_kept.names() if self.history_kept is not None else []


async def _choose(field: str, names: list[str], check: Callable[[str, int], None]) -> Filter:
    """Make a filter of the names that a caller asks for. Others come between two patterns.

    Parameters:
        field: the parameter with the names.
        names: the names.
        check: gets each name, and its place; it raises an error if the name is no answer to the question.

    Raises:
        InvalidParams: there are too many, one is too long or fits no metric, or ``check`` refuses it.
    """
    chosen_by = Filter()
    for name, number in _distinct(field, names).items():
        _check(field, name, number)
        check(name, number)
        chosen_by.add(name)
        if has_wildcard(name):
            await asyncio.sleep(0)
    return chosen_by


def _distinct(field: str, names: list[str]) -> dict[str, int]:
    """The names that a caller asks for, each once, and its place among the parameters.

    Raises:
        InvalidParams: there are too many, or one is too long.
    """
    try:
        return first_places(names)
    except ValueError as exc:
        error = {"loc": [field], "msg": str(exc), "type": "value_error"}
        raise InvalidParams(f"{field}: {exc}", errors=[error]) from None


def _check(field: str, pattern: str, number: int) -> None:
    """Refuse a name that no metric has.

    Raises:
        InvalidParams: the name fits no metric.
    """
    near = near_names(pattern)
    if near is not None:
        hint = f"; did you mean {' or '.join(near)}?" if near else "; hardware.subscribe gives the names"
        raise InvalidParams(
            f"{field}: there is no metric {pattern[:80]!r}{hint}",
            errors=[{"loc": [field, number], "msg": "no such metric", "type": "value_error"}],
        )


def _paths_with_history() -> set[str]:
    return {path for path in known_paths() if has_history(path)}


def _check_history(paths: set[str], pattern: str, number: int) -> None:
    """Refuse a metric that has no history.

    Raises:
        InvalidParams: the metric has none.
    """
    if fits_any(pattern, paths):
        return
    bare = pattern.partition("{")[0]
    hint = "hardware.history_metrics gives those that have one"
    if f"{bare}_per_s" in paths:
        hint = f"{bare}_per_s has one"
    raise InvalidParams(
        f"metrics: {pattern[:80]!r} has no history: counters are kept as their rates, and figures of "
        f"{' and '.join(sorted(WITHOUT_HISTORY))} not at all; {hint}",
        errors=[{"loc": ["metrics", number], "msg": "has no history", "type": "value_error"}],
    )


def _paths_of(sections: Collection[Section]) -> set[str]:
    """The metrics of some sections.

    Raises:
        InvalidParams: there are none.
    """
    paths = {path for path in known_paths() if path.partition(".")[0] in sections}
    if not paths:
        raise InvalidParams(
            f"sections: {', '.join(sorted(sections)) or 'none'}: nothing that has metrics; hardware.watch gives what "
            "has none",
            errors=[{"loc": ["sections"], "msg": "no metrics", "type": "value_error"}],
        )
    return paths


def _check_section(sections: Collection[Section], paths: set[str], pattern: str, number: int) -> None:
    """Refuse a metric that could never get a value.

    Raises:
        InvalidParams: the sections have no metric that fits.
    """
    if not fits_any(pattern, paths):
        raise InvalidParams(
            f"filter: {pattern[:80]!r} is no metric of the sections that were asked for "
            f"({', '.join(sorted(sections))}): add its section, or leave it out",
            errors=[{"loc": ["filter", number], "msg": "not in these sections", "type": "value_error"}],
        )


def _moment(moment_s: float, now: float) -> float:
    return now + moment_s if moment_s < 0 else moment_s


async def _samples(
    snapshots: AsyncIterator[Snapshot], chosen_by: Filter | None, maker: SampleMaker, *, on_change: bool
) -> AsyncIterator[Sample]:
    before: dict[str, float | None] | None = None
    async for snapshot in closing(snapshots):
        sample = maker.sample(snapshot, chosen_by)
        if on_change and sample.values == before:
            continue
        before = sample.values
        yield sample
