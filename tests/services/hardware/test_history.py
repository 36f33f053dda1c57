"""History: bounded, fine for a while and coarse for longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcclient import AsyncClient
from rpcclient.errors import InvalidParams
from rpcservices.hardware.sampling.history import History

Serve = Callable[..., None]
START = 1_700_000_100.0


def history(**changes: float) -> History:
    settings = {"interval_s": 1.0, "fine_s": 60.0, "coarse_step_s": 10.0, "coarse_s": 600.0, "most_metrics": 5}
    return History(**settings | changes)  # type: ignore[arg-type]


def test_the_last_minute_finely_and_the_last_ten_coarsely() -> None:
    kept = history()
    for second in range(1000):
        kept.record(START + second, [("cpu.percent", float(second))])
    end = START + 999
    (fine,) = kept.query(["cpu.percent"], end - 59, end, None, 10)
    assert fine.step_s == 1.0
    assert [p.mean for p in fine.points] == [float(s) for s in range(940, 1000)]
    (coarse,) = kept.query(["cpu.percent"], START, end, None, 10)
    assert coarse.step_s == 10.0
    assert len(coarse.points) == 60
    # The last bucket is not full yet, so the newest point is the one before it.
    assert (coarse.points[-1].min, coarse.points[-1].mean, coarse.points[-1].max) == (980.0, 984.5, 989.0)
    assert kept.query(["cpu.*"], end - 4, end, 1.0, 10)[0].points[0].mean == 995.0
    assert kept.query(["cpu.*"], end - 40, end, 10.0, 10)[0].step_s == 10.0
    assert kept.query(["memory"], START, end, None, 10) == []


def test_gaps_are_none_and_devices_that_are_gone_make_room() -> None:
    kept = history(fine_s=10.0, coarse_s=20.0, most_metrics=2)
    kept.record(START, [("a", 1.0), ("b", 2.0), ("c", 3.0)])
    assert kept.left_out == 1
    kept.record(START + 1, [("a", None)])
    (a,) = kept.query(["a"], START, START + 1, 1.0, 10)
    assert [p.mean for p in a.points] == [1.0, None]
    for second in range(2, 40):
        kept.record(START + second, [("a", 1.0), ("c", 3.0)])
    assert set(kept.fine.names()) == {"a", "c"}
    assert kept.left_out == 0


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=200))
def test_means_lie_between_the_bounds(values: list[float]) -> None:
    kept = history()
    for second, value in enumerate(values):
        kept.record(START + second, [("x", value)])
    for series in kept.query(["x"], START - 100, START + 1000, 10.0, 10):
        for point in series.points:
            assert point.min is not None
            assert point.mean is not None
            assert point.max is not None
            slack = 1e-6 * max(abs(point.min), abs(point.max))
            assert point.min - slack <= point.mean <= point.max + slack


def test_over_the_wire(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with asyncio.timeout(20):
            async with client.hardware.watch(["cpu"], interval_s=0.1) as beats:
                while "cpu.percent" not in await client.hardware.history_metrics():
                    await anext(beats)
                await anext(beats)
        (series,) = await client.hardware.history(["cpu.percent"], start_s=-60)
        assert series.points
        assert all(p.mean is None or 0 <= p.mean <= 100 for p in series.points)
        assert time.time() - 60 < series.points[0].t_wall_s <= time.time()
        assert {s.metric for s in await client.hardware.history(["memory"])} >= {
            "memory.percent",
            "memory.swap.percent",
        }
        with pytest.raises(InvalidParams, match="end_s"):
            await client.hardware.history(["cpu"], start_s=-1, end_s=-10)

    serve(scenario, history_interval_s=0.1)


def test_without_history(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(InvalidParams, match="keeps no history"):
            await client.hardware.history(["cpu"])
        assert await client.hardware.history_metrics() == []
        (capability,) = [c for c in await client.hardware.capabilities() if c.section == "history"]
        assert capability.state == "absent"

    serve(scenario, history=False)
