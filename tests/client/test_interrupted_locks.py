"""Ctrl-C at any moment leaves no lock locked that the thread of the connection needs: all calls would hang from then on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from msgspec import Raw

from rpcclient.sync.attempt import Attempt
from rpcclient.sync.serial.input import SerialInput
from rpcwire.service import SlowPolicy
from rpcwire.streams import IncomingStream, OutgoingStream
from rpcwire.threads.inbox import Inbox
from rpcwire.threads.interrupts import Flag
from rpcwire.threads.outbox import Outbox


class Host:
    """What inboxes and outboxes need of a connection, which is not there."""

    def note_consumed(self, stream: IncomingStream, items: int) -> None:
        """Items were read."""

    def cancel_stream(self, stream: IncomingStream) -> None:
        """No more is wanted."""


def interrupted(act: Callable[[], Any], call: int) -> bool:
    """Do something that is interrupted as one of the Python functions begins that it calls, which is where signals are
    looked at.

    Parameters:
        act: what.
        call: the number of the function among those called, from 1.

    Returns:
        Whether there were so many.
    """
    seen = 0

    def trace(_: FrameType, event: str, __: Any) -> None:
        nonlocal seen
        seen += event == "call"
        if seen == call:
            raise KeyboardInterrupt

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except (KeyboardInterrupt, StopIteration):
        pass
    finally:
        sys.settrace(before)
    return seen >= call


def an_inbox() -> Inbox:
    inbox = Inbox(Host(), IncomingStream("s1", 8))  # type: ignore[arg-type]
    inbox.put([Raw(b"1"), Raw(b"2"), Raw(b"3")])
    return inbox


def an_outbox() -> Outbox:
    return Outbox(Host(), OutgoingStream("s1"), SlowPolicy.BLOCK, 1)  # type: ignore[arg-type]


ACTS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "an item is taken": (an_inbox, lambda inbox: inbox.get()),
    "a stream is dropped": (an_inbox, lambda inbox: inbox.drop()),
    "an upload is stopped": (an_outbox, lambda outbox: outbox.stop()),
    "a flag is waited for": (Flag, lambda flag: flag.wait(0)),
    "a flag that is up": (lambda: Flag(up=True), lambda flag: flag.wait(0)),
    "a flag is raised": (Flag, lambda flag: flag.set()),
    "a connection is waited for": (Attempt, lambda attempt: attempt.wait(0)),
    "a flag is lowered": (lambda: Flag(up=True), lambda flag: flag.clear()),
}


@pytest.mark.parametrize("name", ACTS)
def test_no_lock_stays_locked(name: str) -> None:
    make, act = ACTS[name]
    call = 1
    while True:
        made = make()
        went_on = interrupted(lambda: act(made), call)  # noqa: B023 - it is called at once
        flag = made._end if isinstance(made, Attempt) else made
        waiters = flag._waiters if isinstance(flag, Flag) else made._waiters
        assert not waiters.lock.locked(), f"interrupted at call {call}"
        if not went_on:
            break
        call += 1
    assert call > 1


class NoData:
    """A stream of a serial port at which nothing comes in."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def close(self) -> None:
        """No more is wanted."""


@pytest.mark.parametrize("act", [SerialInput.end, SerialInput.count], ids=["end", "count"])
def test_no_lock_of_a_serial_port_stays_locked(act: Callable[[SerialInput], Any]) -> None:
    call = 1
    while True:
        held = SerialInput(NoData())  # type: ignore[arg-type]
        went_on = interrupted(lambda: act(held), call)  # noqa: B023 - it is called at once
        assert not held.lock._is_owned(), f"interrupted at call {call}"  # type: ignore[attr-defined]
        if not went_on:
            break
        call += 1
    assert call > 1
