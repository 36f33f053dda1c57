"""Leases of places, and rates, whatever happens in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rpcwire.quotas import Lease, Places, Rate

STEPS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["begin", "end", "shrink"])), max_size=200)


@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 100), STEPS)
def test_leases(server: int, principal: int, own: int, steps: list[tuple[int, str]]) -> None:
    """Nobody has more places than there are, and a refusal means that none is left but for what others hold."""
    above = (Places(principal), Places(server))
    leases = [Lease(own, above) for _ in range(3)]
    used = [0, 0, 0]
    for index, step in steps:
        lease = leases[index]
        if step == "begin":
            if used[index] < lease.size or lease.extend(used[index]):
                used[index] += 1
            else:
                size = sum(each.size for each in leases)
                assert used[index] == own or size == min(server, principal)
        elif step == "end" and used[index]:
            used[index] -= 1
        elif step == "shrink":
            lease.shrink(used[index])
            assert lease.size == used[index]
        assert all(u <= each.size <= own for u, each in zip(used, leases, strict=True))
        assert {places.used for places in above} == {sum(each.size for each in leases)}
        assert all(places.used <= places.limit for places in above)
    for lease in leases:
        lease.shrink(0)
    assert [places.used for places in above] == [0, 0]


def test_a_place_is_free_again_after_others_have_given_back_what_they_do_not_use() -> None:
    places = Places(100)
    first, second = Lease(100, (places,)), Lease(100, (places,))
    assert first.extend(0)
    assert second.extend(0)
    assert (first.size, second.size) == (64, 36)
    assert not second.extend(36)
    assert second.shortage(1) is places
    first.shrink(1)
    assert second.extend(36)
    assert second.size == 99


@given(st.floats(0.1, 1e6), st.lists(st.tuples(st.floats(0, 10), st.integers(0, 2000)), min_size=1, max_size=100))
def test_a_rate_allows_no_more_than_its_burst_and_what_time_brings(
    per_s: float, steps: list[tuple[float, int]]
) -> None:
    rate = Rate(per_s)
    now, taken = 1.0, 0.0
    for wait_s, number in steps:
        now += wait_s
        allowed = min(rate.left(now), number)
        rate.take(allowed)
        taken += allowed
        assert taken <= rate.most + per_s * (now - 1.0) + 1e-6 * max(taken, 1.0)
    if rate.left(now) < 1:
        assert rate.left(now + rate.wait_s() * 1.001) >= 0.999
