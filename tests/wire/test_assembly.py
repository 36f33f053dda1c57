"""WebSocket frames to messages, by RFC 6455."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from rpcwire.assembly import MAX_FRAGMENTS, Assembler, StreamBroken


def fragments(data: bytes, cuts: list[int], opcode: Opcode) -> list[Frame]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    return [Frame(opcode if i == 0 else Opcode.CONT, piece, fin=i == len(pieces) - 1) for i, piece in enumerate(pieces)]


@given(st.text(), st.lists(st.integers(0, 500), max_size=12))
def test_text_however_it_is_cut(text: str, cuts: list[int]) -> None:
    assembler = Assembler(binary=False)
    for _ in range(2):
        *first, last = fragments(text.encode(), cuts, Opcode.TEXT)
        assert [assembler.feed(frame) for frame in first] == [None] * len(first)
        assert assembler.feed(last) == text.encode()


@given(st.binary(), st.lists(st.integers(0, 500), max_size=12))
def test_bytes_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    assembler = Assembler(binary=True)
    *first, last = fragments(data, cuts, Opcode.BINARY)
    assert [assembler.feed(frame) for frame in first] == [None] * len(first)
    assert assembler.feed(last) == data


@pytest.mark.parametrize(("binary", "opcode"), [(False, Opcode.BINARY), (True, Opcode.TEXT)])
@pytest.mark.parametrize("fin", [True, False])
def test_the_wrong_kind_of_frame(binary: bool, opcode: Opcode, fin: bool) -> None:
    with pytest.raises(StreamBroken, match="frames") as caught:
        Assembler(binary=binary).feed(Frame(opcode, b"x", fin))
    assert caught.value.code == 1003


def test_invalid_utf8_also_across_fragments() -> None:
    assembler = Assembler(binary=False)
    euro = "€".encode()
    assert assembler.feed(Frame(Opcode.TEXT, euro[:1], fin=False)) is None
    assert assembler.feed(Frame(Opcode.CONT, euro[1:], fin=True)) == euro
    assembler.feed(Frame(Opcode.TEXT, euro[:1], fin=False))
    with pytest.raises(StreamBroken, match="byte 0") as caught:
        assembler.feed(Frame(Opcode.CONT, b"x", fin=True))
    assert caught.value.code == 1007


def test_too_many_fragments() -> None:
    assembler = Assembler(binary=True)
    assembler.feed(Frame(Opcode.BINARY, b"", fin=False))
    for _ in range(MAX_FRAGMENTS - 1):
        assembler.feed(Frame(Opcode.CONT, b"", fin=False))
    with pytest.raises(StreamBroken, match=str(MAX_FRAGMENTS)) as caught:
        assembler.feed(Frame(Opcode.CONT, b"", fin=False))
    assert caught.value.code == 1009
