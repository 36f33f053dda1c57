"""The order by load."""

from __future__ import annotations

import random
from collections import Counter

from rpcserver.group.ordering import order_by_load


def test_the_least_loaded_comes_first() -> None:
    loads = {"a": 2.0, "b": 0.5, "c": float("nan"), "d": 0.0, "e": float("inf")}
    order = order_by_load(loads, loads.__getitem__, random.Random(1))
    assert order[:3] == ["d", "b", "a"]
    assert set(order[3:]) == {"c", "e"}


def test_nodes_with_nearly_the_same_load_share_the_work() -> None:
    loads = {"a": 0.11, "b": 0.19, "c": 0.25}
    source = random.Random(1)
    firsts = Counter(order_by_load(loads, loads.__getitem__, source)[0] for _ in range(1_000))
    assert firsts.keys() == {"a", "b"}
    assert min(firsts.values()) > 400
