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
from rpcservices.hardware.sampling.patterns import Filter

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
    (fine,) = kept.query(Filter(["cpu.percent"]), end - 59, end, None, 10)
    assert fine.step_s == 1.0
    assert [p.mean for p in fine.points] == [float(s) for s in range(940, 1000)]
    (both,) = kept.query(Filter(["cpu.percent"]), START, end, None, 10)
    assert both.step_s == 1.0
    # Coarse points as far back as they are kept, then fine ones, and nothing twice.
    coarse, fine_too = [p for p in both.points if p.step_s == 10.0], [p for p in both.points if p.step_s == 1.0]
    assert len(coarse) == 60 - 5
    assert (coarse[-1].min, coarse[-1].mean, coarse[-1].max) == (930.0, 934.5, 939.0)
    assert [p.mean for p in fine_too] == [float(s) for s in range(940, 1000)]
    assert next(kept.query(Filter(["cpu.*"]), end - 4, end, 1.0, 10)).points[0].mean == 995.0
    assert next(kept.query(Filter(["cpu.*"]), end - 40, end, 10.0, 10)).step_s == 10.0
    assert list(kept.query(Filter(["memory"]), START, end, None, 10)) == []


@pytest.mark.parametrize("up_s", [12, 40, 180, 360, 1080])
@pytest.mark.parametrize("back_s", [60, 359, 360])
def test_the_last_hour_is_fine_however_long_the_server_is_up(up_s: int, back_s: int) -> None:
    """The default of `history()`, in seconds for ten: the fine points reach back a little less than they are kept."""
    kept = history(fine_s=360.0, coarse_step_s=30.0, coarse_s=8640.0)
    for second in range(up_s + 1):
        kept.record(START + 12.3 + second, [("cpu.percent", 1.0)])
    now = START + 12.3 + up_s + 0.3
    (series,) = kept.query(Filter(["cpu.percent"]), now - back_s, now, None, 10)
    assert {p.step_s for p in series.points} == {1.0}
    assert len(series.points) == pytest.approx(min(up_s, back_s), abs=1)
    assert series.points[-1].t_wall_s == pytest.approx(now - 0.3)


def test_a_step_joins_fine_points_from_the_first_sample_on() -> None:
    kept = history()
    kept.record(START + 1, [("x", 1.0), ("y", None)])
    (one,) = kept.query(Filter(["x"]), START - 3600, START + 1, 10.0, 10)
    assert (one.step_s, [(p.t_wall_s, p.mean) for p in one.points]) == (10.0, [(START, 1.0)])
    for second in range(2, 35):
        kept.record(START + second, [("x", float(second))])
    (many,) = kept.query(Filter(["x"]), START, START + 34, 10.0, 10)
    assert [(p.t_wall_s, p.mean, p.min, p.max) for p in many.points] == [
        (START, 5.0, 1.0, 9.0),
        (START + 10, 14.5, 10.0, 19.0),
        (START + 20, 24.5, 20.0, 29.0),
        (START + 30, 32.0, 30.0, 34.0),
    ]
    (finer,) = kept.query(Filter(["x"]), START, START + 34, 0.1, 10)
    assert finer.step_s == 1.0


def test_what_is_only_coarsely_known_is_joined_too() -> None:
    kept = history()
    for second in range(300):
        kept.record(START + second, [("x", float(second))])
    (series,) = kept.query(Filter(["x"]), START, START + 299, 20.0, 10)
    assert {p.step_s for p in series.points} == {20.0}
    assert [p.mean for p in series.points] == pytest.approx([9.5 + 20 * n for n in range(15)])
    (mixed,) = kept.query(Filter(["x"]), START, START + 299, 5.0, 10)
    assert {p.step_s for p in mixed.points} == {10.0, 5.0}


def test_the_bucket_under_way_is_given_where_fine_points_are_gone() -> None:
    kept = history(fine_s=3.0)
    for second in range(25):
        kept.record(START + second, [("x", float(second))])
    (series,) = kept.query(Filter(["x"]), START, START + 24, None, 10)
    assert [(p.t_wall_s - START, p.step_s, p.max) for p in series.points] == [
        (0.0, 10.0, 9.0),
        (10.0, 10.0, 19.0),
        (20.0, 10.0, 24.0),
    ]


def test_devices_that_come_and_go_all_day_do_not_fill_the_memory() -> None:
    kept = history(fine_s=5.0, most_metrics=3)
    for second in range(600):
        kept.record(START + second, [("x", 1.0), (f"of{{{second // 20}}}", 1.0)])
        assert len(kept.fine.names()) <= 3
        assert len(kept.coarse.names()) <= 3
    assert "x" in kept.coarse.names()


def test_gaps_are_none_and_devices_that_are_gone_make_room() -> None:
    kept = history(fine_s=10.0, coarse_s=20.0, most_metrics=2)
    kept.record(START, [("a", 1.0), ("b", 2.0), ("c", 3.0)])
    assert kept.left_out == 1
    kept.record(START + 1, [("a", None)])
    (a,) = kept.query(Filter(["a"]), START, START + 1, 1.0, 10)
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
    for series in kept.query(Filter(["x"]), START - 100, START + 1000, 10.0, 10):
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
        for bad in (float("nan"), float("inf")):
            with pytest.raises(InvalidParams, match="start_s"):
                await client.hardware.history(["cpu"], start_s=bad)
        with pytest.raises(InvalidParams, match=r"'cpu.percnt'; did you mean cpu.percent"):
            await client.hardware.history(["memory", "cpu.percnt"])
        with pytest.raises(InvalidParams, match="end_s"):
            await client.hardware.history(["cpu"], start_s=-1, end_s=-10)

    serve(scenario, history_interval_s=0.1)


def test_what_has_no_history_is_refused(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        history = client.hardware.history
        for bad in ("cpu.times.user", "cpu.cores.times.idle{0}", "host.uptime_s", "host", "cpu.times"):
            with pytest.raises(InvalidParams, match=r"has no history: .*hardware.history_metrics gives") as caught:
                await history(["cpu.percent", bad])
            assert [each["loc"] for each in caught.value.errors] == [["metrics", 1]], bad
        with pytest.raises(InvalidParams, match=r"network.interfaces.bytes_recv_per_s has one"):
            await history(["network.interfaces.bytes_recv{eth0}"])
        for good in ("cpu", "cpu.*", "*", "*eth0*", "network.interfaces.bytes_recv_per_s{none}", "cpu.ctx_switches*"):
            await history([good])

    serve(scenario)


def test_what_is_left_out_is_told(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        async with client.hardware.watch(["cpu"], interval_s=0.1) as beats:
            while not await client.hardware.history_metrics():
                await anext(beats)
        (capability,) = [c for c in await client.hardware.capabilities() if c.section == "history"]
        assert "history_metrics is 3" in capability.metrics["*"]

    serve(scenario, history_interval_s=0.1, history_metrics=3)


def test_without_history(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        with pytest.raises(InvalidParams, match="keeps no history"):
            await client.hardware.history(["cpu"])
        assert await client.hardware.history_metrics() == []
        (capability,) = [c for c in await client.hardware.capabilities() if c.section == "history"]
        assert capability.state == "absent"

    serve(scenario, history=False)
