"""The memory of the roster: columns of numbers, sorted by id, because a node keeps a thousand members in 150 KiB."""

from __future__ import annotations

import hashlib
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from .members import MOST_LOAD, REASONS, Announcement, Member, Reason, State, format_id
from .profiles import Profiles
from .texts import Texts

_LOAD_STEPS = 100
_DIGEST = struct.Struct("!QQIB")
_MASK = (1 << 64) - 1
_REASON_NUMBERS = {reason: number for number, reason in enumerate(REASONS)}


class Entry(NamedTuple):
    """What nodes compare of a member, to find out who knows more.

    Attributes:
        id: the number of the node.
        epoch: the number of its life.
        edition: the number of what it has told last.
        state: its state.
    """

    id: int
    epoch: int
    edition: int
    state: State


Row: TypeAlias = tuple[int, int, int, int]
"""The same as plain numbers. A thousand of them are made and compared in a fraction of a millisecond."""


class Table:
    """The members, sorted by id. They are addressed by their index, which is valid until the next change.

    Attributes:
        ids: the id of each member, ascending.
        epochs: the epoch of each member.
        states: the :class:`State` of each member as a number.
        digest: a number that is the same in two tables with the same living members, in the same lives and editions.
            Suspicion does not count: it passes.
    """

    def __init__(self) -> None:
        self.ids = array("Q")
        self.epochs = array("Q")
        self.states = bytearray()
        self.digest = 0
        self._editions = array("I")
        self._reasons = bytearray()
        self._since = array("d")
        self._loads = array("H")
        self._texts = Texts()
        self._profiles = Profiles()

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, number: int) -> int:
        """Return the index of a member by its id, or -1."""
        index = bisect_left(self.ids, number)
        return index if index < len(self.ids) and self.ids[index] == number else -1

    def place(self, number: int) -> int:
        """Return the index at which an id stands or would stand."""
        return bisect_left(self.ids, number)

    def put(self, announcement: Announcement, state: State, reason: Reason, now: float) -> None:
        """Add a member, or replace what it has news.

        Parameters:
            announcement: what it has news.
            state: its state.
            reason: why it is in it.
            now: the time, in seconds of the clock that does not jump.
        """
        index = bisect_left(self.ids, announcement.id)
        if index == len(self.ids) or self.ids[index] != announcement.id:
            self.ids.insert(index, announcement.id)
            self.epochs.insert(index, 0)
            self.states.insert(index, State.LEFT)
            self._editions.insert(index, 0)
            self._reasons.insert(index, 0)
            self._since.insert(index, now)
            self._loads.insert(index, 0)
            self._texts.insert(index, b"")
            self._profiles.insert(index, announcement.profile)
        self.digest = self.digest - self._weigh(index) & _MASK
        self.epochs[index] = announcement.epoch
        self._editions[index] = announcement.edition
        self._texts[index] = "\n".join((announcement.name, *announcement.addresses)).encode()
        self._profiles[index] = announcement.profile
        if self.states[index] != state:
            self._since[index] = now
        self.states[index] = state
        self._reasons[index] = _REASON_NUMBERS[reason]
        self.digest = self.digest + self._weigh(index) & _MASK
        self.set_load(index, announcement.load)

    def set_state(self, index: int, state: State, reason: Reason, now: float) -> None:
        """Change the state of a member; the parameters are those of :meth:`put`."""
        before = self.states[index]
        self._reasons[index] = _REASON_NUMBERS[reason]
        self._since[index] = now
        if before <= State.SUSPECT and state <= State.SUSPECT:
            self.states[index] = state  # The digest does not contain it.
            return
        self.digest = self.digest - self._weigh(index) & _MASK
        self.states[index] = state
        self.digest = self.digest + self._weigh(index) & _MASK

    def set_load(self, index: int, load: float) -> None:
        """Note how busy a member is."""
        self._loads[index] = int(min(load, MOST_LOAD) * _LOAD_STEPS + 0.5)

    def remove(self, index: int) -> None:
        """Forget a member."""
        self.digest = self.digest - self._weigh(index) & _MASK
        for column in (
            *(self.ids, self.epochs, self.states, self._editions, self._reasons),
            *(self._since, self._loads, self._texts, self._profiles),
        ):
            del column[index]

    def entry(self, index: int) -> Entry:
        """Return what nodes compare of a member."""
        return Entry(self.ids[index], self.epochs[index], self._editions[index], State(self.states[index]))

    def rows(self) -> Iterator[Row]:
        """Yield what nodes compare, of all members."""
        return zip(self.ids, self.epochs, self._editions, self.states, strict=True)

    def announcement(self, index: int) -> Announcement:
        """Return what a member has told last."""
        name, *addresses = self._texts[index].decode().split("\n")
        return Announcement(
            id=self.ids[index],
            epoch=self.epochs[index],
            edition=self._editions[index],
            name=name,
            addresses=tuple(addresses),
            profile=self._profiles[index],
            load=self._loads[index] / _LOAD_STEPS,
        )

    def member(self, index: int, now: float, wall_s: float) -> Member:
        """Return a member as programs see it.

        Parameters:
            index: its index.
            now: the time, in seconds of the clock that does not jump.
            wall_s: the time of day, in seconds since 1970.
        """
        news = self.announcement(index)
        labels, services, version = news.profile.unpack()
        return Member(
            id=format_id(news.id),
            epoch=news.epoch,
            name=news.name,
            labels=dict(labels),
            addresses=news.addresses,
            services=dict(services),
            version=version,
            state=State(self.states[index]),
            reason=REASONS[self._reasons[index]],
            since=wall_s - (now - self._since[index]),
            load=news.load,
        )

    def _weigh(self, index: int) -> int:
        """The part of a member in the digest."""
        state = self.states[index]
        if state >= State.DIED:
            return 0
        news = _DIGEST.pack(self.ids[index], self.epochs[index], self._editions[index], state == State.LEAVING)
        return int.from_bytes(hashlib.blake2b(news, digest_size=8).digest(), "big")
