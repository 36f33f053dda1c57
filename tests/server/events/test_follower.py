"""What one client follows at many nodes, as a pure function: numbers, losses, lives, policies, and a network that loses
messages."""

from __future__ import annotations

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from rpcserver.events.follower import AGAIN_S, MOST_EVENTS, QUEUE_BYTES, RENEW_S, Follower, Item
from rpcwire.publishing import EventPolicy

NAME = "desk.rang"


def drain(follower: Follower) -> list[Item]:
    items = []
    while (item := follower.take()) is not None:
        items.append(item)
    return items


def follow(*, policy: EventPolicy = "drop_oldest", room: int = 100, epoch: int = 7, seq: int = 0) -> Follower:
    """A client that follows the node 1."""
    follower = Follower(policy, room)
    follower.set_target(1, "a", 1, 0.0)
    assert follower.take_questions(0.0) == [1]
    follower.on_mark(1, epoch, {NAME: seq}, {}, 0.0)
    assert [item.kind for item in drain(follower)] == ["following"]
    return follower


STEPS = st.sampled_from(["publish", "publish unheard", "mark", "take", "restart", "repeat"])


@example("drop_oldest", 1, ["publish", "restart", "mark"])
@given(st.sampled_from(["drop_oldest", "latest"]), st.integers(1, 4), st.lists(STEPS, max_size=80))
def test_what_is_published_comes_or_is_told_to_be_lost(policy: EventPolicy, room: int, steps: list[str]) -> None:
    """Whatever the network loses and however slow the client is: for each life of the node, the events that came and
    those that were told to be lost are all that there were since the client had heard of that life."""
    follower = follow(policy=policy, room=room)
    epoch, seq, got, base = 7, 0, Counter[int](), {7: 0}
    heard_last = {7: 0}

    def hear(items: list[Item]) -> None:
        for item in items:
            if item.kind in ("event", "lost", "resync"):
                got[item.epoch] += item.lost + (item.kind == "event")

    for step in steps:
        match step:
            case "publish" | "publish unheard":
                seq += 1
                if step == "publish":
                    base.setdefault(epoch, seq - 1)
                    heard_last[epoch] = seq
                    follower.on_event(1, NAME, epoch, seq, 0.0, b"1")
            case "mark":
                base.setdefault(epoch, seq)
                heard_last[epoch] = seq
                follower.on_mark(1, epoch, {NAME: seq}, {}, 0.0)
            case "repeat" if seq and heard_last.get(epoch) == seq:
                follower.on_event(1, NAME, epoch, seq, 0.0, b"1")
            case "take":
                hear([item] if (item := follower.take()) is not None else [])
            case "restart":
                epoch, seq = epoch + 1, 0
            case _:
                pass
        assert len(follower._items) <= room
    hear(drain(follower))
    told = sum(got.values())
    assert told == sum(heard_last[each] - base[each] for each in base)


def test_a_new_life_is_told_and_an_old_one_is_over() -> None:
    follower = follow(seq=5)
    follower.on_event(1, NAME, 8, 3, 0.0, b"1")
    follower.on_event(1, NAME, 7, 6, 0.0, b"1")
    assert [(item.kind, item.epoch, item.seq, item.lost) for item in drain(follower)] == [
        ("resync", 8, 0, 0),
        ("event", 8, 3, 0),
    ]


def test_nodes_are_asked_until_they_answer_and_then_again_and_again() -> None:
    follower = Follower("drop_oldest", 10)
    follower.set_target(1, "a", 1, 0.0)
    follower.set_target(2, "b", 1, 0.0)
    assert follower.take_questions(0.0) == [1, 2]
    assert follower.take_questions(0.5) == []
    follower.on_mark(1, 7, {NAME: 0}, {}, 0.5)
    assert follower.take_questions(AGAIN_S) == [2]
    assert follower.take_questions(0.5 + RENEW_S) == [1, 2]
    follower.on_mark(1, 7, {NAME: 0}, {}, 12.0)
    follower.on_mark(2, 7, {NAME: 0}, {}, 12.0)
    assert follower.take_questions(12.0) == []
    follower.set_target(1, "a", 2, 12.0)  # A new life.
    assert follower.take_questions(12.0) == [1]
    follower.ask_all(12.5)
    assert follower.take_questions(12.5) == [1, 2]


def test_refusals_and_ends_are_told_once() -> None:
    follower = Follower("drop_oldest", 10)
    follower.set_target(1, "a", 1, 0.0)
    for _ in range(2):
        follower.on_mark(1, 7, {}, {NAME: "no"}, 0.0)
    (refusal,) = drain(follower)
    assert (refusal.kind, refusal.event, refusal.reason) == ("refused", NAME, "no")
    follower.on_mark(1, 7, {NAME: 4}, {}, 0.0)
    assert [item.kind for item in drain(follower)] == ["following"]
    follower.remove_target(1, "It has died.")
    follower.remove_target(1, "It has died.")
    assert [(item.kind, item.reason) for item in drain(follower)] == [("gone", "It has died.")]
    follower.on_event(1, NAME, 7, 5, 0.0, b"1")
    follower.on_mark(1, 7, {NAME: 5}, {}, 0.0)
    assert not drain(follower)


def test_the_memory_of_a_slow_client_is_bounded() -> None:
    follower = follow(room=10_000)
    body = bytes(QUEUE_BYTES // 4)
    for seq in range(1, 11):
        follower.on_event(1, NAME, 7, seq, 0.0, body)
    items = drain(follower)
    assert [(item.seq, item.lost) for item in items] == [(7, 6), (8, 0), (9, 0), (10, 0)]
    for number in range(2 * MOST_EVENTS):
        follower.on_event(1, f"desk.e{number}", 7, 1, 0.0, b"1")
    assert len(drain(follower)) == MOST_EVENTS - 1


def test_the_latest_of_each_node_and_event_is_kept() -> None:
    follower = follow(policy="latest", room=1)
    follower.set_target(2, "b", 1, 0.0)
    for seq in range(1, 4):
        for node in (1, 2):
            for name in (NAME, "desk.fell"):
                follower.on_event(node, name, 7, seq, 0.0, b"1")
    assert [(item.id, item.event, item.seq, item.lost) for item in drain(follower)] == [
        (1, NAME, 3, 2),
        (1, "desk.fell", 3, 2),
        (2, NAME, 3, 2),
        (2, "desk.fell", 3, 2),
    ]


def test_a_client_that_wants_all_is_cut_off_when_there_is_no_room() -> None:
    follower = follow(policy="close", room=2)
    for seq in range(1, 5):
        follower.on_event(1, NAME, 7, seq, 0.0, b"1")
    assert follower.is_over
    assert [item.seq for item in drain(follower)] == [1, 2]
