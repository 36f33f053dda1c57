"""The numbers of events, and what a slow follower loses, as pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcserver.events.feed import Feed
from rpcwire.publishing import Event, EventPolicy


def publish(feed: Feed) -> None:
    feed.seq += 1
    event = Event("a", "00", "01", feed.seq, 0.0, 0, feed.seq)
    for queue in feed.queues:
        queue.put(event)


@given(
    st.sampled_from(["drop_oldest", "latest"]),
    st.integers(1, 5),
    st.integers(0, 3),
    st.lists(st.sampled_from(["publish", "take"]), max_size=60),
)
def test_each_event_comes_once_or_is_counted_as_lost(
    policy: EventPolicy, room: int, before: int, steps: list[str]
) -> None:
    feed = Feed("desk", "rang")
    for _ in range(before):
        publish(feed)
    queue = feed.join(policy, room)
    seen = before
    for step in steps:
        if step == "publish":
            publish(feed)
        elif (event := queue.take()) is not None:
            assert event.seq == event.value == seen + event.lost + 1
            seen = event.seq
        assert len(queue) <= (1 if policy == "latest" else room)
    rest = []
    while (event := queue.take()) is not None:
        assert event.seq == seen + event.lost + 1
        seen = event.seq
        rest.append(event)
    assert seen == feed.seq  # The newest is never lost.
    assert len(rest) <= 1 or policy == "drop_oldest"


@given(st.integers(1, 5), st.integers(0, 10))
def test_a_follower_that_wants_all_gets_what_had_room_and_then_its_end(room: int, count: int) -> None:
    feed = Feed("desk", "rang")
    queue = feed.join("close", room)
    for _ in range(count):
        publish(feed)
    assert queue.is_over is (count > room)
    events = [queue.take() for _ in range(min(count, room))]
    assert [event.seq for event in events if event is not None] == list(range(1, min(count, room) + 1))
    assert queue.take() is None


def test_who_leaves_twice_does_no_harm() -> None:
    feed = Feed("desk", "rang")
    first, second = feed.join("latest", 1), feed.join("latest", 1)
    feed.leave(first)
    feed.leave(first)
    assert feed.queues == [second]
    assert feed.full_name == "desk.rang"


@pytest.mark.parametrize("policy", ["drop_oldest", "latest", "close"])
def test_an_event_without_loss_is_the_same_object_for_all(policy: EventPolicy) -> None:
    """So it is encoded once."""
    feed = Feed("desk", "rang")
    queues = [feed.join(policy, 3) for _ in range(2)]
    publish(feed)
    one, other = (queue.take() for queue in queues)
    assert one is other is not None
