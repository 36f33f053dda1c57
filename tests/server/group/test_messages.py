"""Messages between nodes survive the trip, and whatever else comes is refused with the name of the field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcserver.group.members import MOST_EDITION, MOST_EPOCH, MOST_ID, InvalidGroupMessage, Reason, State
from rpcserver.group.messages import (
    MOST_ECHO,
    Alive,
    Ask,
    Beat,
    Compare,
    Echo,
    Entries,
    Goodbye,
    Message,
    Report,
    Verdict,
    Verdicts,
    Want,
    decode,
    from_wire,
    join_verdicts,
    read_beat,
    to_wire,
)
from rpcserver.group.table import Entry
from tests.server.group.test_members import ANNOUNCEMENTS, VALUES

IDS, EPOCHS = st.integers(0, MOST_ID), st.integers(0, MOST_EPOCH)
BEATS = st.builds(
    Beat,
    epoch=EPOCHS,
    number=st.integers(0, (1 << 32) - 1),
    is_leaving=st.booleans(),
    load=st.integers(0, 65500).map(lambda steps: steps / 100),
    digest=st.integers(0, (1 << 64) - 1),
)
ENTRIES = st.builds(
    Entry, id=IDS, epoch=EPOCHS, edition=st.integers(0, MOST_EDITION), state=st.sampled_from(tuple(State))
)
_TABLE = to_wire(Entries([Entry(1, 2, 3, State.UP), Entry(4, 5, 6, State.DIED)], is_whole=True))
VERDICTS = st.builds(Verdict, IDS, EPOCHS, st.sampled_from((State.SUSPECT, State.DIED)), st.sampled_from(tuple(Reason)))
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    ANNOUNCEMENTS,
    BEATS,
    VERDICTS,
    st.builds(Verdicts, st.lists(VERDICTS, max_size=5).map(tuple)),
    st.builds(Report, st.lists(VERDICTS, max_size=5).map(tuple)),
    st.builds(Goodbye, EPOCHS, st.sampled_from((State.LEAVING, State.LEFT))),
    st.builds(Alive, EPOCHS),
    st.sampled_from([Ask(), Want(), Compare()]),
    st.builds(Echo, st.integers(0, MOST_ECHO)),
    st.builds(Entries, st.lists(ENTRIES, max_size=5), is_whole=st.booleans()),
)


@given(IDS, MESSAGES)
def test_a_message_survives_the_trip(source: int, message: Message) -> None:
    wire = to_wire(message)
    if not isinstance(message, tuple):
        source = message.id
    assert from_wire(source, wire) == message
    assert type(from_wire(source, wire)) is type(message)


@given(MESSAGES, VALUES, st.data())
def test_anything_in_a_field_is_taken_or_refused(message: Message, value: Any, data: st.DataObject) -> None:
    wire = to_wire(message)
    wire[data.draw(st.sampled_from(sorted(wire)))] = value
    try:
        from_wire(7, wire)
    except InvalidGroupMessage as error:
        assert len(str(error)) < 400


@given(VALUES)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(InvalidGroupMessage):
        from_wire(7, value)


@given(st.binary(max_size=40))
def test_bytes_are_a_beat_or_are_refused(data: bytes) -> None:
    try:
        beat = read_beat(data)
    except InvalidGroupMessage as error:
        assert error.field == "beat"
    else:
        assert read_beat(beat.pack()) == beat


@given(st.lists(st.tuples(st.none() | IDS, MESSAGES), max_size=20))
def test_joint_verdicts_say_the_same(messages: list[tuple[int | None, Message]]) -> None:
    joint = join_verdicts(messages)

    def apart(all_of_them: list[tuple[int | None, Message]]) -> list[str]:
        return sorted(
            repr((target, each))
            for target, message in all_of_them
            for each in (message.verdicts if isinstance(message, Verdicts) else [message])
        )

    assert apart(joint) == apart(messages)
    assert sum(target is None and type(message) is Verdict for target, message in joint) <= 1


@pytest.mark.parametrize(
    ("wire", "field"),
    [
        ({"kind": "goodbye", "epoch": 1, "state": 0}, "state"),
        ({"kind": "goodbye", "epoch": 1, "state": True}, "state"),
        ({"kind": "goodbye", "state": 2}, "epoch"),
        ({"kind": "verdict", "id": 5, "epoch": 1, "state": 3, "reason": "silent"}, "id"),
        ({"kind": "verdict", "id": "0" * 16, "epoch": 1, "state": 4, "reason": "silent"}, "state"),
        ({"kind": "verdict", "id": "0" * 16, "epoch": 1, "state": 3, "reason": "why not"}, "reason"),
        ({"kind": "verdicts", "verdicts": {}}, "verdicts"),
        ({"kind": "verdicts", "verdicts": [[1, 2, 3, "silent"]] * 1001}, "verdicts"),
        ({"kind": "verdicts", "verdicts": [[1, 2, 3, "silent"], [1, 2, 3]]}, "verdicts.1"),
        ({"kind": "verdicts", "verdicts": [[1, 2, 0, "silent"]]}, "verdicts.0.state"),
        ({"kind": "echo"}, "number"),
        ({"kind": "entries", "is_whole": 1}, "is_whole"),
        ({"kind": "entries", "ids": [], "is_whole": True}, "ids"),
        ({"kind": "entries", "ids": bytes(7), "is_whole": True}, "ids"),
        ({"kind": "entries", "ids": bytes(8), "is_whole": True}, "entries"),
        ({**_TABLE, "states": b"\x00\x09"}, "states"),
        ({**_TABLE, "epochs": bytes(8)}, "entries"),
        ({**_TABLE, "ids": bytes(8 * 20_001)}, "ids"),
        ({"kind": "beat", "data": "text"}, "beat"),
        ({"kind": "Ask"}, "kind"),
        ({"kind": ["ask"]}, "kind"),
    ],
)
def test_a_wrong_field_is_named(wire: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidGroupMessage) as caught:
        from_wire(7, wire)
    assert caught.value.field == field


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\xa1\xff", b"\x92\xc0", b"\x91" * 5000 + b"\xc0"])
def test_bytes_that_cannot_be_read_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidGroupMessage):
        decode(data)
