"""The roster keeps what is said of members consistent, in whatever order and however often it is said."""

from __future__ import annotations

import random
import sys
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rpcserver.group import roster as roster_module
from rpcserver.group.members import STEPS, Announcement, Profile, Reason, State, first_epoch, next_epoch
from rpcserver.group.roster import FORGET_S, SUSPICION_S, Roster
from rpcserver.group.table import Table
from rpcserver.group.watching import Change, ChangeKind, Watcher

FIRST = first_epoch(0, 1.7e9, 0)
SECOND = first_epoch(FIRST, 0.0, 0)
AGAIN = next_epoch(FIRST)
NODE = Announcement(7, FIRST, 0, "db-1", ("10.0.0.7:8765",), Profile((("role", "db"),), (("database", "1"),), "1"), 0.5)


def kinds(watcher: Watcher) -> list[str]:
    return [change.kind.value for change in watcher.take()]


def make_roster() -> tuple[Roster, Watcher]:
    """A roster that knows one node, which is up, and what watches it."""
    roster = Roster(wall_offset_s=1000.0)
    roster.announce(NODE, Reason.ANNOUNCED, 1.0)
    return roster, roster.watch(1.0)[1]


def state(roster: Roster) -> State:
    member = roster.get(7, 0.0)
    assert member is not None
    return member.state


def test_a_member_is_shown_with_all_that_it_has_told() -> None:
    roster, _ = make_roster()
    member = roster.get(7, 3.0)
    assert member is not None
    assert (member.id, member.epoch, member.name) == ("0000000000000007", FIRST, "db-1")
    assert (member.addresses, member.version, member.load) == (("10.0.0.7:8765",), "1", 0.5)
    assert (member.labels, member.services) == ({"role": "db"}, {"database": "1"})
    assert (member.state, member.reason, member.since) == (State.UP, Reason.ANNOUNCED, 1001.0)
    assert roster.get(8, 3.0) is None
    assert list(roster.members(3.0)) == [member]


def test_the_time_of_day_is_only_shown() -> None:
    roster, watcher = make_roster()
    roster.wall_offset_s -= 500.0
    member = roster.get(7, 3.0)
    assert member is not None
    assert member.since == 501.0
    roster.expire(3.0)
    assert not watcher.take()


def test_a_suspicion_passes_or_is_confirmed() -> None:
    roster, watcher = make_roster()
    assert roster.suspect(7, FIRST, Reason.SILENT, 2.0)
    assert not roster.suspect(7, FIRST, Reason.SILENT, 2.1)
    assert roster.clear(7, FIRST, 2.2)
    assert not roster.clear(7, FIRST, 2.3)
    roster.suspect(7, FIRST, Reason.SILENT, 3.0)
    roster.prolong_suspicions(4.0)
    roster.expire(3.0 + SUSPICION_S)
    assert roster.is_suspect(7)
    roster.expire(4.0 + SUSPICION_S)
    assert not roster.is_suspect(7)
    roster.suspect(7, FIRST, Reason.SILENT, 9.0)
    assert roster.move(7, FIRST, State.DIED, Reason.SILENT, 10.0)
    roster.expire(20.0)
    assert kinds(watcher) == ["suspect", "alive", "suspect", "alive", "suspect", "died"]


def test_a_life_that_has_died_never_comes_back() -> None:
    roster, watcher = make_roster()
    roster.move(7, FIRST, State.DIED, Reason.SILENT, 2.0)
    watcher.take()
    assert not roster.announce(replace(NODE, edition=5), Reason.ANNOUNCED, 3.0)
    assert not roster.clear(7, FIRST, 3.0)
    assert not roster.suspect(7, FIRST, Reason.SILENT, 3.0)
    assert not roster.move(7, FIRST, State.LEAVING, Reason.GOODBYE, 3.0)
    assert not watcher.take()
    assert roster.announce(replace(NODE, epoch=AGAIN, edition=1), Reason.ANNOUNCED, 4.0)
    assert kinds(watcher) == ["returned"]
    assert not roster.move(7, FIRST, State.DIED, Reason.SILENT, 5.0)
    assert not roster.announce(replace(NODE, edition=9), Reason.ANNOUNCED, 5.0)
    assert state(roster) == State.UP


def test_its_own_goodbye_is_the_truth_even_if_it_comes_late() -> None:
    roster, watcher = make_roster()
    roster.move(7, FIRST, State.DIED, Reason.SILENT, 2.0)
    assert roster.move(7, FIRST, State.LEFT, Reason.GOODBYE, 3.0)
    assert not roster.move(7, FIRST, State.DIED, Reason.SILENT, 4.0)
    assert kinds(watcher) == ["died", "left"]


def test_a_restart_ends_the_life_before_and_a_new_life_of_the_same_process_does_not() -> None:
    roster, watcher = make_roster()
    roster.suspect(7, FIRST, Reason.SILENT, 1.5)
    roster.announce(replace(NODE, epoch=AGAIN, edition=1), Reason.ANNOUNCED, 2.0)
    assert not roster.is_suspect(7)
    roster.announce(replace(NODE, epoch=SECOND), Reason.ANNOUNCED, 3.0)
    assert kinds(watcher) == ["suspect", "changed", "died", "returned"]


def test_news_of_a_life_whose_announcement_has_not_come() -> None:
    for epoch, news, expected in (
        (AGAIN, State.DIED, ["died"]),
        (AGAIN, State.LEFT, ["left"]),
        (AGAIN, State.LEAVING, []),  # Its beats will tell.
        (SECOND, State.LEAVING, ["died"]),
        (SECOND, State.SUSPECT, ["died"]),
        (SECOND, State.LEFT, ["died"]),
    ):
        roster, watcher = make_roster()
        assert roster.move(7, epoch, news, Reason.SILENT, 2.0) == bool(expected)
        assert kinds(watcher) == expected
        # If that life is over, its announcement comes too late.
        late = roster.announce(replace(NODE, epoch=epoch, edition=1), Reason.ANNOUNCED, 3.0)
        assert late == (news < State.DIED)
    roster, watcher = make_roster()
    roster.move(7, FIRST, State.DIED, Reason.SILENT, 2.0)
    assert not roster.move(7, SECOND, State.DIED, Reason.SILENT, 2.0)
    assert not roster.announce(replace(NODE, epoch=SECOND), Reason.ANNOUNCED, 3.0)
    roster, _ = make_roster()
    assert not roster.suspect(7, SECOND, Reason.SILENT, 2.0)
    assert not roster.is_suspect(7)
    assert not roster.move(8, FIRST, State.DIED, Reason.SILENT, 2.0)


def test_nothing_is_told_of_a_life_that_was_over_before_its_announcement() -> None:
    """Watchers see that the life before has died, and no step of one that they have never seen."""
    for first in (State.DIED, State.LEFT):
        roster, watcher = make_roster()
        for news in (first, State.LEFT, State.LEFT):
            roster.move(7, SECOND, news, Reason.LEARNED, 2.0)
        assert [(change.kind.value, change.member and change.member.epoch) for change in watcher.take()] == [
            ("died", FIRST)
        ]
        assert state(roster) == State.LEFT
        third = first_epoch(SECOND, 0.0, 0)
        roster.announce(replace(NODE, epoch=third), Reason.ANNOUNCED, 3.0)
        roster.move(7, third, State.LEFT, Reason.GOODBYE, 4.0)
        assert kinds(watcher) == ["returned", "left"]


def test_who_has_been_gone_for_long_is_forgotten() -> None:
    roster, watcher = make_roster()
    roster.announce(replace(NODE, id=8), Reason.ANNOUNCED, 1.0)
    roster.announce(replace(NODE, id=9), Reason.ANNOUNCED, 1.0)
    roster.move(7, FIRST, State.DIED, Reason.SILENT, 2.0)
    roster.move(8, FIRST, State.DIED, Reason.SILENT, 3.0)
    roster.announce(replace(NODE, id=8, epoch=SECOND), Reason.ANNOUNCED, 4.0)
    watcher.take()
    roster.expire(1.9 + FORGET_S)
    assert not watcher.take()
    roster.expire(2.0 + FORGET_S)
    changes = watcher.take()
    assert [(change.kind, change.member and change.member.id) for change in changes] == [
        (ChangeKind.FORGOTTEN, "0000000000000007")
    ]
    roster.expire(10 * FORGET_S)
    assert not watcher.take()
    assert len(roster) == 2


def test_a_flood_of_ids_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(roster_module, "MOST_MEMBERS", 3)
    roster, _ = make_roster()
    taken = [roster.announce(replace(NODE, id=number), Reason.ANNOUNCED, 2.0) for number in range(6)]
    assert taken == [True, True, False, False, False, False]
    assert roster.rejections == 4
    assert roster.announce(replace(NODE, edition=1), Reason.ANNOUNCED, 2.0)


# --- watching ---------------------------------------------------------------------------------------------------


def test_a_watcher_gets_what_comes_after_its_snapshot() -> None:
    roster, early = make_roster()
    roster.announce(replace(NODE, id=8), Reason.ANNOUNCED, 2.0)
    snapshot, late = roster.watch(2.0)
    assert [member.id[-1] for member in snapshot.members] == ["7", "8"]
    roster.suspect(7, FIRST, Reason.SILENT, 3.0)
    assert kinds(early) == ["joined", "suspect"]
    changes = late.take()
    assert [change.version for change in changes] == [snapshot.version + 1]
    roster.unwatch(late)
    roster.clear(7, FIRST, 4.0)
    assert not late.take()
    assert kinds(early) == ["alive"]


def test_a_slow_watcher_is_told_to_take_a_snapshot() -> None:
    roster, _ = make_roster()
    _, watcher = roster.watch(1.0, most=3)
    for edition in range(1, 4):
        roster.announce(replace(NODE, edition=edition), Reason.ANNOUNCED, 2.0)
    assert len(watcher) == 3
    for edition in range(4, 9):
        roster.announce(replace(NODE, edition=edition), Reason.ANNOUNCED, 2.0)
    assert len(watcher) == 1
    version = roster.version
    assert watcher.take() == [Change(version, ChangeKind.RESYNC, None)]
    assert roster.snapshot(2.0).version == version
    roster.announce(replace(NODE, edition=9), Reason.ANNOUNCED, 2.0)
    assert kinds(watcher) == ["changed"]


# --- properties -------------------------------------------------------------------------------------------------

EPOCHS = st.sampled_from((FIRST, AGAIN, SECOND, next_epoch(SECOND)))
NEWS = st.one_of(
    st.tuples(st.just("announce"), st.integers(1, 3), EPOCHS, st.integers(0, 2)),
    st.tuples(st.sampled_from(("leaving", "died", "left", "suspect", "clear")), st.integers(1, 3), EPOCHS, st.just(0)),
)


def tell(roster: Roster, kind: str, number: int, epoch: int, edition: int) -> None:
    if kind == "announce":
        roster.announce(replace(NODE, id=number, epoch=epoch, edition=edition), Reason.ANNOUNCED, 1.0)
    elif kind == "suspect":
        roster.suspect(number, epoch, Reason.SILENT, 1.0)
    elif kind == "clear":
        roster.clear(number, epoch, 1.0)
    else:
        roster.move(number, epoch, State[kind.upper()], Reason.GOODBYE, 1.0)


@given(st.lists(NEWS, max_size=30))
def test_a_watcher_that_applies_the_changes_has_the_roster(news: list[tuple[str, int, int, int]]) -> None:
    roster = Roster()
    snapshot, watcher = roster.watch(0.0)
    view = {member.id: member for member in snapshot.members}
    for one in news:
        tell(roster, *one)
        for change in watcher.take():
            assert change.member is not None
            before = view.get(change.member.id)
            if change.kind not in (ChangeKind.JOINED, ChangeKind.RETURNED, ChangeKind.CHANGED):
                assert before is not None and before.epoch == change.member.epoch
                assert (before.state, change.member.state) in STEPS
            view[change.member.id] = change.member
    live = {member.id: member for member in roster.members(0.0) if member.state < State.DIED}
    assert {id_: member for id_, member in view.items() if member.state < State.DIED} == live


@given(st.lists(NEWS, max_size=12), st.randoms(use_true_random=False))
def test_nodes_that_have_heard_the_same_agree_on_who_is_there(
    news: list[tuple[str, int, int, int]], chance: random.Random
) -> None:
    """In whatever order and however often they have heard it, once all nodes have announced themselves again."""
    rosters = [Roster(), Roster()]
    # A life that is told to be over is announced before or after that; suspicion passes by itself.
    last = [("announce", number, SECOND + 5, 0) for number in (1, 2, 3)]
    for roster in rosters:
        mixed = [*news, *chance.choices(news, k=3)] if news else []
        chance.shuffle(mixed)
        for one in (*mixed, *last):
            tell(roster, *one)
    assert rosters[0].table.digest == rosters[1].table.digest


@given(st.lists(NEWS, max_size=30))
def test_the_digest_is_that_of_the_living_members(news: list[tuple[str, int, int, int]]) -> None:
    roster = Roster()
    for one in news:
        tell(roster, *one)
    fresh = Table()
    for index in range(len(roster.table)):
        entry = roster.table.entry(index)
        if entry.state < State.DIED:
            fresh.put(roster.table.announcement(index), entry.state, Reason.ENTRY, 0.0)
    assert roster.table.digest == fresh.digest
    for index in reversed(range(len(roster.table))):
        roster.table.remove(index)
    assert roster.table.digest == 0


def test_equal_profiles_are_kept_once() -> None:
    table = Table()
    for number in range(100):
        profile = Profile((("role", "web"),), (("database", "1"),), str(number % 2))
        table.put(replace(NODE, id=number, profile=profile), State.UP, Reason.ENTRY, 0.0)
    assert len({id(table._profiles[index]) for index in range(100)}) == table._profiles.count == 2
    for index in reversed(range(100)):
        table.remove(index)
    assert table._profiles.count == 0


def test_a_thousand_suspicions_leave_nothing_behind() -> None:
    roster = Roster()
    for number in range(1000):
        roster.announce(replace(NODE, id=number), Reason.ANNOUNCED, 0.0)
        roster.suspect(number, FIRST, Reason.SILENT, 0.0)
    for number in range(1000):
        roster.clear(number, FIRST, 0.5)
    roster.expire(0.5)
    assert sys.getsizeof(roster._suspicions) == sys.getsizeof({})
