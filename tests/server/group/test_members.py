"""What a node tells about itself is checked: whatever comes is either right or names the field that is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcserver.group import members
from rpcserver.group.members import (
    MOST_EDITION,
    MOST_EPOCH,
    MOST_ID,
    Announcement,
    InvalidGroupMessage,
    Profile,
    Reason,
    first_epoch,
    format_id,
    is_same_process,
    next_epoch,
    parse_id,
    read_announcement,
)

GOOD: dict[str, object] = {
    "epoch": 5,
    "edition": 1,
    "name": "db-1",
    "addresses": ["10.0.0.7:8765"],
    "labels": {"role": "db", "k8s.io/zone": "eu 1"},
    "services": {"database": "1.4.0"},
    "version": "1.4.0",
    "load": 0.5,
}
NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=128)
ANNOUNCEMENTS = st.builds(
    Announcement,
    id=st.integers(0, MOST_ID),
    epoch=st.integers(0, MOST_EPOCH),
    edition=st.integers(0, MOST_EDITION),
    name=NAMES,
    addresses=st.lists(st.from_regex(r"[!-~]{1,128}", fullmatch=True), max_size=16).map(tuple),
    profile=st.builds(
        Profile,
        labels=st.dictionaries(NAMES, TEXTS, max_size=5).map(lambda pairs: tuple(sorted(pairs.items()))),
        services=st.dictionaries(NAMES, TEXTS, max_size=5).map(lambda pairs: tuple(sorted(pairs.items()))),
        version=TEXTS,
    ),
    load=st.floats(0, 655),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=10,
)


@given(ANNOUNCEMENTS)
def test_an_announcement_survives_the_trip(announcement: Announcement) -> None:
    assert read_announcement(announcement.id, announcement.to_wire()) == announcement


@given(st.sampled_from(sorted(GOOD)), VALUES)
def test_anything_in_a_field_is_taken_or_refused_with_its_name(field: str, value: Any) -> None:
    try:
        read_announcement(7, {**GOOD, field: value})
    except InvalidGroupMessage as error:
        assert error.field.split(".")[0].split(",")[0] == field
        assert error.errors[0]["loc"][0].split(",")[0] == field
        assert len(str(error)) < 400


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "-a"}, "name"),
        ({"name": "a" * 64}, "name"),
        ({"name": "a\n"}, "name"),
        ({"epoch": -1}, "epoch"),
        ({"epoch": True}, "epoch"),
        ({"epoch": 1 << 64}, "epoch"),
        ({"epoch": 1.0}, "epoch"),
        ({"edition": 1 << 32}, "edition"),
        ({"addresses": "10.0.0.7"}, "addresses"),
        ({"addresses": ["a"] * 17}, "addresses"),
        ({"addresses": ["a", "b c"]}, "addresses.1"),
        ({"addresses": ["a\n"]}, "addresses.0"),
        ({"addresses": [""]}, "addresses.0"),
        ({"labels": []}, "labels"),
        ({"labels": {str(number): "" for number in range(33)}}, "labels"),
        ({"labels": {"role": 1}}, "labels.role"),
        ({"labels": {"role": "a\x1b[31m"}}, "labels.role"),
        ({"labels": {"role": "\ud800"}}, "labels.role"),
        ({"labels": {1: "a"}}, "labels, the name of an entry"),
        ({"labels": {"a=b": "a"}}, "labels, the name of an entry"),
        ({"services": {"a/b": "1"}}, "services, the name of an entry"),
        ({"services": {"a": "1" * 129}}, "services.a"),
        ({"version": 1}, "version"),
        ({"load": -0.1}, "load"),
        ({"load": float("nan")}, "load"),
        ({"load": float("inf")}, "load"),
        ({"load": "1"}, "load"),
        ({"load": True}, "load"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidGroupMessage) as caught:
        read_announcement(7, {**GOOD, **change})
    assert caught.value.field == field


def test_what_is_missing_is_named_or_empty() -> None:
    with pytest.raises(InvalidGroupMessage, match=r"^announcement: "):
        read_announcement(7, [])
    with pytest.raises(InvalidGroupMessage, match=r"^announcement: "):
        read_announcement(7, {str(number): 0 for number in range(100)})
    with pytest.raises(InvalidGroupMessage, match=r"^id: "):
        read_announcement(1 << 64, GOOD)
    least = read_announcement(7, {"epoch": 1, "edition": 0, "name": "a", "what a later version tells": 1})
    assert least == Announcement(7, 1, 0, "a")


def test_ids_are_16_digits() -> None:
    assert parse_id(format_id(7)) == 7
    for text in ("", "7", "0" * 15 + "G", "0" * 15 + "A", "0" * 17, "0" * 15 + "\u0661", "0" * 16 + "\n"):
        with pytest.raises(InvalidGroupMessage):
            parse_id(text)


@given(st.integers(0, MOST_EPOCH >> 1), st.floats(0, 1e11), st.integers(0, MOST_EPOCH))
def test_a_later_life_has_a_larger_epoch_whatever_the_clock_says(last: int, wall_s: float, random_bits: int) -> None:
    first = first_epoch(last, wall_s, random_bits)
    assert last < first <= MOST_EPOCH
    assert not is_same_process(last, first)
    following = next_epoch(first)
    assert following > first or first == MOST_EPOCH
    assert is_same_process(first, following)


def test_two_copies_of_a_node_that_start_together_differ() -> None:
    assert first_epoch(0, 1.7e9, 1) != first_epoch(0, 1.7e9, 2)
    assert not is_same_process(first_epoch(0, 1.7e9, 1), first_epoch(0, 1.7e9, 2))


def test_each_reason_has_words() -> None:
    assert all(reason.words.endswith(".") for reason in Reason)
    assert tuple(Reason) == members.REASONS
