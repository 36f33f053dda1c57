"""A column of profiles is as a list of them, and keeps equal ones once."""

from __future__ import annotations

import tracemalloc

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from rpcserver.group.members import Announcement, Profile, Reason, State
from rpcserver.group.messages import decode, from_wire
from rpcserver.group.profiles import Profiles
from rpcserver.group.table import Table

steps = st.lists(st.tuples(st.sampled_from(["insert", "replace", "remove"]), st.integers(0), st.integers(0, 5)))


@given(steps)
def test_it_is_as_a_list(steps: list[tuple[str, int, int]]) -> None:
    profiles, model = Profiles(), list[Profile]()
    for action, number, version in steps:
        profile = Profile(version=str(version))
        if action == "insert" or not model:
            index = number % (len(model) + 1)
            profiles.insert(index, profile)
            model.insert(index, profile)
        elif action == "replace":
            index = number % len(model)
            profiles[index] = model[index] = profile
        else:
            index = number % len(model)
            del profiles[index], model[index]
        assert [profiles[index] for index in range(len(profiles))] == model
        assert profiles.count == len(set(model))
        assert len(profiles._profiles) <= 6


def test_a_profile_is_as_its_parts() -> None:
    parts = (("role", "db"), ("zone", "eu")), (("database", "1.4.0"),), "1.4.0"
    profile = Profile(*parts)
    assert (profile.labels, profile.services, profile.version) == profile.unpack() == parts
    assert profile == Profile(*parts) != Profile(*parts[:2])
    assert hash(profile) == hash(Profile(*parts))
    assert eval(repr(profile)) == profile
    assert profile != parts


def test_a_thousand_members_are_small_even_if_each_has_other_labels() -> None:
    """They come as messages do: nothing of one is shared with another."""
    wire = [
        Announcement(
            number,
            1,
            0,
            f"node-{number}",
            (f"wss://node-{number}.example:8765",),
            Profile((("role", "web"), ("zone", f"zone-{number}")), (("database", "1.4.0"), ("hardware", "1.4.0")), "1"),
        ).to_wire()
        for number in range(1000)
    ]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        table = Table()
        for number, values in enumerate(wire):
            fresh = decode(msgspec.msgpack.encode({"kind": "announcement", **values}))
            announcement = from_wire(number, fresh)
            assert isinstance(announcement, Announcement)
            table.put(announcement, State.UP, Reason.ANNOUNCED, 0.0)
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held < 450 * 1024
