"""Whatever names of metrics a caller sends, the server answers everybody else meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcservices.hardware import following_methods
from rpcservices.hardware.sampling import patterns
from rpcservices.hardware.sampling.history import History
from rpcservices.hardware.sampling.patterns import (
    MOST_NAMES,
    MOST_PATTERN_CHARACTERS,
    MOST_PATTERNS,
    Filter,
    first_places,
)

Serve = Callable[..., None]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["cpu.percent"], {"cpu.percent"}),
        (["cpu"], {"cpu.percent", "cpu.cores.percent{0}", "cpu.cores.percent{1}"}),
        (["cpu.cores.percent"], {"cpu.cores.percent{0}", "cpu.cores.percent{1}"}),
        (["cpu.cores.percent{1}"], {"cpu.cores.percent{1}"}),
        (["cpu.*{1}", "mem*"], {"cpu.cores.percent{1}", "memory.percent"}),
        (["*.percent"], {"cpu.percent", "memory.percent", "cpu.cores.percent{0}", "cpu.cores.percent{1}"}),
        (["cpu.cores.percent{[0]}"], {"cpu.cores.percent{0}"}),
        (["cpu.cores.percent{[0"], set()),
        (["cpu.per", "cpu.percent.x", ""], set()),
    ],
)
def test_what_a_filter_chooses(names: list[str], chosen: set[str]) -> None:
    metrics = ["cpu.percent", "cpu.cores.percent{0}", "cpu.cores.percent{1}", "memory.percent"]
    asked = Filter(names)
    for _ in range(2):  # It remembers.
        assert {metric for metric in metrics if asked.fits(metric)} == chosen


def test_a_filter_remembers_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_MOST_REMEMBERED", 10)
    asked = Filter(["a*"])
    for number in range(100):
        assert asked.fits(f"a{number}")
        assert not asked.fits(f"b{number}")
    assert len(asked._bare_decisions) <= 10
    for number in range(100):
        assert asked.fits(f"b{{a{number}") is asked.fits("b{a") is False
    assert len(asked._decisions) <= 10


def test_a_pattern_is_compared_once_with_all_metrics_that_differ_in_their_labels() -> None:
    asked = Filter(["*x"])
    compared: list[str] = []
    asked._patterns = [compared.append]
    for number in range(9):
        assert not asked.fits(f"cpu.cores.percent{{{number}}}")
    assert compared.count("cpu.cores.percent") == 1
    assert len(compared) == 10


def test_others_come_between_two_patterns(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """To compile the most and longest patterns that are allowed takes a tenth of a second."""
    patterns_of_turns: list[int] = []
    add = Filter.add

    def counting(self: Filter, name: str) -> None:
        patterns_of_turns[-1] += name.startswith("cpu.percent{")
        add(self, name)

    monkeypatch.setattr(Filter, "add", counting)
    names = [f"cpu.percent{{{'*a' * 240}{number}}}" for number in range(MOST_PATTERNS)]

    async def scenario(client: AsyncClient) -> None:
        service: Any = client.service_here  # type: ignore[attr-defined]
        service.history_kept = _history(metrics=1, samples=1)
        for ask in (client.hardware.history(names), client.hardware.subscribe(filter=names).open()):
            patterns_of_turns[:] = [0]
            asked = asyncio.ensure_future(ask)
            while not asked.done():
                await asyncio.sleep(0)
                patterns_of_turns.append(0)
            await asked
            assert sum(patterns_of_turns) == MOST_PATTERNS
            assert max(patterns_of_turns) == 1

    serve(scenario)


def test_each_name_counts_once() -> None:
    assert first_places(["a", "b", "a"] * 10_000) == {"a": 0, "b": 1}
    assert Filter(["a*"] * 1000 + ["b"]).names == ("a*", "b")
    assert len(Filter(["a*"] * 1000)._patterns) == 1


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([f"cpu.x{number}" for number in range(MOST_NAMES + 1)], "1001 names: at most 1000 are allowed"),
        ([f"cpu.*{number}" for number in range(MOST_PATTERNS + 1)], "33 names with wildcards: at most 32 are allowed"),
        (["cpu.*" + "?" * MOST_PATTERN_CHARACTERS], "a name with wildcards has at most 512 characters"),
    ],
)
def test_more_names_than_are_allowed(serve: Serve, names: list[str], text: str) -> None:
    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(InvalidParams, match=f"filter: {text}"):
            await client.hardware.subscribe(filter=names).open()
        with pytest.raises(InvalidParams, match=f"metrics: {text}"):
            await client.hardware.history(names)

    serve(scenario)


def _history(metrics: int, samples: int) -> History:
    kept = History(interval_s=1.0, fine_s=samples, coarse_step_s=300.0, coarse_s=300.0, most_metrics=metrics)
    begin = time.time() - samples
    for second in range(samples):
        kept.record(begin + second, [(f"cpu.cores.percent{{{number}}}", 1.0) for number in range(metrics)])
    return kept


def test_others_come_between_two_metrics_of_a_history(serve: Serve) -> None:
    """A long history does not hold up the server, and of several only one is made at a time."""

    async def scenario(client: AsyncClient) -> None:
        service: Any = client.service_here  # type: ignore[attr-defined]
        service.history_kept = _history(metrics=40, samples=20)
        turns = at_a_time = most = 0
        query = service.history_kept.query

        def counting(*args: Any) -> Any:
            nonlocal at_a_time, most
            at_a_time += 1
            most = max(most, at_a_time)
            yield from query(*args)
            at_a_time -= 1

        service.history_kept.query = counting
        asked = [asyncio.ensure_future(client.hardware.history(["cpu"])) for _ in range(3)]
        while not all(one.done() for one in asked):
            turns += 1
            await asyncio.sleep(0)
        assert [len(one.result()) for one in asked] == [40] * 3
        assert turns >= 3 * 40
        assert most == 1

    serve(scenario)


def test_more_points_than_fit_into_an_answer(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_methods, "_MOST_POINTS", 400)

    async def scenario(client: AsyncClient) -> None:
        service: Any = client.service_here  # type: ignore[attr-defined]
        service.history_kept = _history(metrics=30, samples=20)
        with pytest.raises(
            InvalidParams, match="more than 400 points: ask for fewer metrics, less time, larger step_s"
        ):
            await client.hardware.history(["cpu"])
        assert len(await client.hardware.history(["cpu"], step_s=10.0)) == 30
        assert len((await client.hardware.history(["cpu.cores.percent{3}"]))[0].points) == 20

    serve(scenario)
