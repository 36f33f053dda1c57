"""What is typed to rpcclient itself, and what is left switched on in a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcclient.cli.escapes import Action, Escapes
from rpcclient.cli.terminal import ScreenModes


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (b"ls\r", [b"ls\r"]),
        (b"~.", [Action.LEAVE]),
        (b"ls\r~.", [b"ls\r", Action.LEAVE]),
        (b"a~.", [b"a~."]),
        (b"\r~~.", [b"\r~."]),
        (b"\n~?~?x", [b"\n", Action.HELP, Action.HELP, b"x"]),
        (b"~\x1a", [Action.SUSPEND]),
        (b"~x~.", [b"~x~."]),
        (b"~\r~.", [b"~\r", Action.LEAVE]),
    ],
)
def test_escapes(typed: bytes, found: list[bytes | Action]) -> None:
    assert Escapes().feed(typed) == found


@given(st.binary(max_size=60).map(lambda data: data.replace(b"?", b"\r").replace(b"0", b"~")), st.integers(0, 60))
def test_pieces_make_no_difference(typed: bytes, place: int) -> None:
    def flat(items: list[bytes | Action]) -> list[int | Action]:
        return [part for item in items for part in (item if isinstance(item, bytes) else [item])]

    cut = Escapes()
    assert flat(cut.feed(typed[:place]) + cut.feed(typed[place:])) == flat(Escapes().feed(typed))


@given(st.binary(max_size=100).filter(lambda data: b"~" not in data))
def test_all_else_is_for_the_program(typed: bytes) -> None:
    assert b"".join(part for part in Escapes().feed(typed) if isinstance(part, bytes)) == typed


def test_modes_are_undone() -> None:
    modes = ScreenModes()
    for piece in (b"\x1b[?1049h\x1b[?2", b"5l text \x1b", b"[?1000;1006h", b"\x1b[?2004h\x1b[?2004l"):
        modes.feed(piece)
    assert modes.undo == b"\x1b[?1006l\x1b[?1000l\x1b[?1049l\x1b[?25h\x1b[0m"
    modes.feed(b"\x1b[?1006l\x1b[?1000l\x1b[?1049l\x1b[?25h")
    assert modes.undo == b""
