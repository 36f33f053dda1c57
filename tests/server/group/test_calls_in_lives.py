"""Group calls by real rosters while everything goes wrong: what the callers are told is what the nodes have run.

A life that fails names its seed: ``.venv/bin/python -m tests.server.group.calling_world SEED`` lives it again and tells
what happens.
"""

from __future__ import annotations

import secrets

import pytest

from rpcserver.group.receiving import Receiving
from tests.server.group.calling_world import live_and_call
from tests.server.group.presence_world import Broken

LIVES = 400
MANY_LIVES = 100_000
USUAL = {
    "ok yes", "error yes", "error unknown", "refused no", "gone no", "died yes", "died unknown", "timeout yes",
    "timeout unknown", "cancelled no",
}  # fmt: skip


def test_no_outcome_contradicts_what_was_run() -> None:
    first = secrets.randbits(48)
    print(f"seeds from {first} to {first + LIVES - 1}")
    assert live_and_call(first, LIVES).keys() >= USUAL


def test_nodes_that_forget_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Receiving, "_remember", lambda self, call, deadline_s, fate: fate)
    with pytest.raises(Broken, match="ran"):
        live_and_call(0, 100)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_outcome_contradicts_what_was_run_in_many_lives() -> None:
    first = secrets.randbits(48)
    print(f"seeds from {first} to {first + MANY_LIVES - 1}")
    assert live_and_call(first, MANY_LIVES).keys() >= USUAL
