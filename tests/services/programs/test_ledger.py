"""The notes on running programs, by which the server that comes after a killed one ends what is left."""

from __future__ import annotations

from pathlib import Path

from rpcservices.programs.keeping.ledger import Ledger, read_notes
from rpcservices.programs.keeping.leftovers import Trace


def opened(path: Path, most_bytes: int = 100_000) -> Ledger:
    ledger = Ledger(str(path), most_bytes)
    ledger.open()
    return ledger


def test_what_was_not_struck_is_found_by_the_next(tmp_path: Path) -> None:
    first = opened(tmp_path / "notes")
    assert first.running == {}
    first.note(Trace("p1"))
    first.note(Trace("p2"))
    first.note(Trace("p1", 5, 6))
    first.strike("p2")
    first.close()
    second = opened(tmp_path / "notes")
    assert second.running == {"p1": Trace("p1", 5, 6)}
    second.strike("p1")
    second.close()
    assert read_notes(str(tmp_path / "notes")) == {}


def test_lines_that_say_nothing(tmp_path: Path) -> None:
    """One that was cut off, and one of another boot, whose process ids mean nothing now."""
    (tmp_path / "notes").write_text("+ p1 5 6 another-boot\n+ p2 5\n\n- p3\n\xe4\n+ p4 x y z\n")
    assert read_notes(str(tmp_path / "notes")) == {"p1": Trace("p1")}


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    ledger = opened(tmp_path / "notes", 2000)
    ledger.note(Trace("stays", 1, 2))
    for number in range(500):
        ledger.note(Trace(f"p{number}", 1, 2))
        ledger.strike(f"p{number}")
    ledger.close()
    assert (tmp_path / "notes").stat().st_size < 4000
    assert read_notes(str(tmp_path / "notes")) == {"stays": Trace("stays", 1, 2)}


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    ledger = opened(tmp_path / "missing" / "notes")
    ledger.note(Trace("p1", 1, 2))
    assert ledger.running == {"p1": Trace("p1", 1, 2)}
    ledger.strike("p1")
    ledger.close()
    (tmp_path / "folder").mkdir()
    opened(tmp_path / "folder").close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
