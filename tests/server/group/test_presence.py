"""How nodes judge each other: who is suspect, who has died, who only could not hear, and who comes back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from rpcserver.group.hearing import MOST_ECHOES
from rpcserver.group.heralding import Handovers
from rpcserver.group.members import Announcement, Profile, Reason, State, first_epoch, next_epoch
from rpcserver.group.messages import (
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
)
from rpcserver.group.presence import MOST_CHECKS, MOST_TABLES, SOON_TABLES, Presence
from rpcserver.group.ring import WATCHERS
from rpcserver.group.roster import MOST_MEMBERS
from rpcserver.group.table import Entry
from rpcserver.group.wishes import MOST_WANTS
from tests.server.group.presence_world import Life, Node

EPOCH = first_epoch(0, 1.7e9, 0)


def told(number: int, *, epoch: int = EPOCH, edition: int = 0) -> Announcement:
    return Announcement(number, epoch, edition, f"node-{number}")


def make_pair() -> Presence:
    """Node 1 knows node 2, has just heard it, and has nothing to send."""
    presence = Presence(told(1), 0.0)
    presence.receive(2, told(2), 0.0)
    presence.tick(0.0)
    hear(presence, 2, 1, 0.0)
    presence.outbox.clear()
    return presence


def hear(presence: Presence, number: int, count: int, now: float, *, epoch: int = EPOCH, leaving: bool = False) -> None:
    presence.receive(number, Beat(epoch, count, leaving, 0.5, presence.roster.table.digest), now)


def echo(presence: Presence, now: float) -> None:
    """Bring back the last echo of a node."""
    presence.receive(presence.id, Echo(presence._hearing._number), now)


def sent(presence: Presence) -> list[tuple[int | None, Message]]:
    """What a node sends, but for its beats."""
    messages = [(target, message) for target, message in presence.outbox if type(message) is not Beat]
    presence.outbox.clear()
    return messages


def state(presence: Presence, number: int = 2) -> State:
    member = presence.roster.get(number, 0.0)
    assert member is not None
    return member.state


def pass_time(presence: Presence, until: float, *, echoes: bool = True) -> list[tuple[int | None, Message]]:
    """Let a node tick until then, with nothing but its own echoes, and return what it has sent."""
    messages: list[tuple[int | None, Message]] = []

    def take(now: float) -> None:
        for target, message in sent(presence):
            messages.append((target, message))
            if isinstance(message, Echo) and echoes:
                presence.receive(presence.id, message, now)

    while presence.due <= until:
        now = presence.due
        presence.tick(now)
        take(now + 0.001)
    take(until)
    messages += sent(presence)
    return messages


def verdicts(messages: list[tuple[int | None, Message]]) -> list[tuple[int, State, Reason]]:
    return [
        (message.id, message.state, message.reason)
        for target, message in messages
        if isinstance(message, Verdict) and target is None
    ]


# --- silence ----------------------------------------------------------------------------------------------------


def test_a_silent_member_is_asked_and_is_suspect_and_dies() -> None:
    presence = make_pair()
    assert pass_time(presence, 0.99) == []
    assert pass_time(presence, 1.01) == [(2, Ask())]
    messages = pass_time(presence, 1.31)
    assert (2, Ask()) not in messages
    assert verdicts(messages) == [(2, State.SUSPECT, Reason.SILENT)]
    assert state(presence) == State.SUSPECT
    assert verdicts(pass_time(presence, 1.99)) == []
    assert verdicts(pass_time(presence, 2.01)) == [(2, State.DIED, Reason.SILENT)]
    assert state(presence) == State.DIED


@pytest.mark.parametrize("sign", ["beat", "alive"])
def test_a_suspect_that_is_heard_is_up(sign: str) -> None:
    presence = make_pair()
    pass_time(presence, 1.5)
    if sign == "beat":
        hear(presence, 2, 2, 1.5)
    else:
        presence.receive(2, Alive(EPOCH), 1.5)
    assert state(presence) == State.UP
    assert verdicts(pass_time(presence, 2.49)) == []
    assert verdicts(pass_time(presence, 3.51)) == [(2, State.SUSPECT, Reason.SILENT), (2, State.DIED, Reason.SILENT)]


def test_beats_that_come_twice_or_late_or_of_another_life_keep_nobody_alive() -> None:
    presence = make_pair()
    hear(presence, 2, 7, 0.1)
    for now in (0.5, 1.0, 1.5, 2.0):
        hear(presence, 2, 7, now)
        hear(presence, 2, 3, now)
        hear(presence, 2, 99, now, epoch=EPOCH - 1)
        presence.receive(2, Alive(EPOCH - 1), now)
        pass_time(presence, now + 0.49)
    assert state(presence) == State.DIED


def test_a_member_whose_load_changes_is_known_to_those_who_watch_it() -> None:
    presence = make_pair()
    presence.receive(2, Beat(EPOCH, 5, is_leaving=False, load=0.75, digest=presence.roster.table.digest), 0.2)
    member = presence.roster.get(2, 0.2)
    assert member is not None
    assert member.load == 0.75
    presence.set_load(0.4)
    own = presence.roster.get(1, 0.2)
    assert own is not None
    assert own.load == 0.4
    presence.tick(0.5)
    assert [message.load for _, message in presence.outbox if isinstance(message, Beat)] == [0.4]


# --- what the broker says ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [Reason.DISCONNECTED, Reason.ABSENT, Reason.EXPIRED])
def test_who_has_lost_its_connection_dies_soon(reason: Reason) -> None:
    presence = make_pair()
    hear(presence, 2, 2, 0.3)
    presence.doubt(2, EPOCH, reason, 0.4)
    messages = pass_time(presence, 0.4)
    echo(presence, 0.401)
    assert verdicts(messages + sent(presence)) == [(2, State.SUSPECT, reason)]
    assert verdicts(pass_time(presence, 0.89)) == []
    assert verdicts(pass_time(presence, 0.91)) == [(2, State.DIED, reason)]


def test_who_has_a_new_connection_in_time_lives() -> None:
    presence = make_pair()
    presence.doubt(2, EPOCH, Reason.DISCONNECTED, 0.4)
    echo(presence, 0.401)
    assert state(presence) == State.SUSPECT
    hear(presence, 2, 2, 0.8)
    assert state(presence) == State.UP
    assert verdicts(pass_time(presence, 1.7)) == [(2, State.SUSPECT, Reason.DISCONNECTED)]


@pytest.mark.parametrize("epoch", [EPOCH - 1, next_epoch(EPOCH), first_epoch(EPOCH, 0.0, 0)])
def test_what_the_broker_says_of_another_life_means_nothing(epoch: int) -> None:
    presence = make_pair()
    presence.doubt(2, epoch, Reason.DISCONNECTED, 0.4)
    presence.doubt(1, EPOCH, Reason.DISCONNECTED, 0.4)
    presence.doubt(3, EPOCH, Reason.DISCONNECTED, 0.4)
    assert sent(presence) == []
    assert state(presence) == State.UP


def test_who_does_not_watch_a_member_tells_those_who_do() -> None:
    presence = Presence(told(100), 0.0)
    for number in range(1, 10):
        presence.receive(number, told(number), 0.0)
    presence.tick(0.0)
    assert set(presence.watches) == {7, 8, 9}
    presence.outbox.clear()
    presence.doubt(3, EPOCH, Reason.DISCONNECTED, 0.4)
    assert sent(presence) == [(None, Verdict(3, EPOCH, State.SUSPECT, Reason.DISCONNECTED))]
    assert state(presence, 3) == State.UP
    presence.receive(5, Verdict(8, EPOCH, State.SUSPECT, Reason.DISCONNECTED), 0.5)
    assert (8, Ask()) in sent(presence)
    echo(presence, 0.501)
    pass_time(presence, 1.12)  # The next one after it would have spoken at 1.0.
    assert state(presence, 8) == State.DIED


def test_an_entry_of_the_bucket_is_an_announcement_that_may_be_old() -> None:
    presence = make_pair()
    presence.enter([told(3)], 0.1)
    assert state(presence, 3) == State.UP
    presence.enter([told(1, epoch=EPOCH - 1)], 0.1)
    presence.enter([told(2, epoch=EPOCH - 1)], 0.1)
    assert {member.epoch for member in presence.roster.members(0.0)} == {EPOCH}
    for now, count in ((0.5, 2), (1.0, 3), (1.5, 4), (2.0, 5)):
        hear(presence, 2, count, now)
        pass_time(presence, now + 0.49)
    assert (state(presence, 2), state(presence, 3)) == (State.UP, State.DIED)


# --- when it is we who do not hear ------------------------------------------------------------------------------


def test_nobody_is_judged_without_a_connection() -> None:
    presence = make_pair()
    presence.lose_link(0.5)
    assert pass_time(presence, 60.0) == []
    assert state(presence) == State.UP
    presence.regain_link(60.0)
    assert presence.settled_at == 61.0
    assert verdicts(pass_time(presence, 61.29)) == []
    assert verdicts(pass_time(presence, 61.31)) == [(2, State.SUSPECT, Reason.SILENT)]
    assert verdicts(pass_time(presence, 61.96)) == [(2, State.DIED, Reason.SILENT)]


def test_nobody_is_judged_while_our_own_loop_was_blocked() -> None:
    presence = make_pair()
    pass_time(presence, 0.5)
    presence.tick(30.0)
    assert verdicts(sent(presence)) == []
    assert state(presence) == State.UP
    presence = make_pair()
    pass_time(presence, 1.4)
    presence.receive(3, told(3), 30.0)
    assert verdicts(sent(presence)) == []
    assert state(presence) == State.SUSPECT
    hear(presence, 2, 2, 30.1)
    assert state(presence) == State.UP


def test_nobody_is_judged_while_not_even_our_echo_comes_back() -> None:
    presence = make_pair()
    messages = pass_time(presence, 60.0, echoes=False)
    assert verdicts(messages) == []
    assert state(presence) == State.UP
    echo(presence, 60.1)
    assert verdicts(pass_time(presence, 61.39)) == []
    assert verdicts(pass_time(presence, 62.2)) == [(2, State.SUSPECT, Reason.SILENT), (2, State.DIED, Reason.SILENT)]


def test_nobody_is_judged_by_what_is_old() -> None:
    """A node that has more to read than it can goes on reading old messages: they do not show that it hears."""
    presence = make_pair()
    presence.receive(3, told(3), 0.0)
    messages, echoes = [], []
    for step in range(1, 400):  # For four seconds it reads news of others, and no echo of its own.
        now = step / 100
        presence.receive(3, replace(told(3), edition=step), now)
        if presence.due <= now:
            presence.tick(now)
        echoes += [(now, message) for _, message in presence.outbox if isinstance(message, Echo)]
        messages += sent(presence)
    assert verdicts(messages) == [] and presence.is_deaf and len(echoes) > 4
    # Now it reads them, each of them too late, and is not better off.
    for sent_at, message in echoes:
        if 4.4 - sent_at > 2.0:
            presence.receive(1, message, 4.4)
            assert presence.is_deaf
    presence.tick(4.5)
    assert verdicts(sent(presence)) == []
    echo(presence, 4.6)
    assert not presence.is_deaf
    hear(presence, 3, 1, 5.0)
    assert verdicts(pass_time(presence, 5.89)) == []
    # Its own beat was late, and so it waits longer.
    assert verdicts(pass_time(presence, 7.5))[0] == (2, State.SUSPECT, Reason.SILENT)


def test_a_death_needs_an_echo_of_its_own() -> None:
    presence = make_pair()
    assert verdicts(pass_time(presence, 1.9)) == [(2, State.SUSPECT, Reason.SILENT)]
    assert verdicts(pass_time(presence, 2.5, echoes=False)) == []
    assert state(presence) == State.SUSPECT and presence.is_deaf


def test_nobody_is_judged_for_a_time_in_which_the_broker_stood_still() -> None:
    """It delivers again just before the death is due; what was sent meanwhile is lost, also the other one's beats."""
    presence = make_pair()
    assert verdicts(pass_time(presence, 1.4)) == [(2, State.SUSPECT, Reason.SILENT)]
    assert verdicts(pass_time(presence, 1.9, echoes=False)) == []
    assert verdicts(pass_time(presence, 2.4)) == []
    assert not presence.is_deaf
    assert verdicts(pass_time(presence, 4.2)) == [(2, State.DIED, Reason.SILENT)]


def test_a_broker_that_is_far_away_makes_nobody_deaf() -> None:
    presence = make_pair()
    messages: list[tuple[int | None, Message]] = []
    echoes: list[tuple[float, Message]] = []
    for step in range(1, 600):  # Its echoes take 0.6 s.
        now = step / 100
        while echoes and echoes[0][0] <= now:
            presence.receive(1, echoes.pop(0)[1], now)
        if presence.due <= now:
            presence.tick(now)
        echoes += [(now + 0.6, message) for _, message in presence.outbox if isinstance(message, Echo)]
        messages += sent(presence)
    assert verdicts(messages) == [(2, State.SUSPECT, Reason.SILENT), (2, State.DIED, Reason.SILENT)]
    assert not presence.is_deaf
    # What takes longer than on the new connection is too old again.
    presence.regain_link(6.0)
    assert presence._hearing.patience_s == 0.3


def test_echoes_that_do_not_come_take_no_memory() -> None:
    presence = make_pair()
    pass_time(presence, 100.0, echoes=False)
    assert len(presence._hearing) == MOST_ECHOES


def test_newcomers_at_one_moment_get_few_tables() -> None:
    presence = Presence(told(1000), 0.0)
    presence.tick(0.0)
    presence.outbox.clear()
    for number in range(1, 101):
        presence.receive(number, told(number), 0.1)
    assert sum(isinstance(message, Entries) for _, message in sent(presence)) == SOON_TABLES
    presence.tick(0.5)
    assert [target for target, message in sent(presence) if isinstance(message, Entries)] in ([99, 100], [100, 99])
    # Who has learned meanwhile who is there needs none.
    presence = Presence(told(1000), 0.0)
    presence.tick(0.0)
    for number in range(1, 101):
        presence.receive(number, told(number), 0.1)
    presence.tick(0.1)
    presence.outbox.clear()
    for number in (99, 100):
        hear(presence, number, 1, 0.3)
    presence.tick(0.5)
    assert not any(isinstance(message, Entries) for _, message in sent(presence))


def make_large() -> Presence:
    """A node that watches 997, 998 and 999 of a group in which the first watcher has its verdicts told."""
    presence = Presence(told(1000), 0.0)
    for number in (*range(1, 30), 997, 998, 999):
        presence.receive(number, told(number), 0.0)
    presence.tick(0.0)
    presence.outbox.clear()
    return presence


def keep_alive(
    presence: Presence, numbers: tuple[int, ...], until: float, *, since: float = 0.0, herald: bool = False
) -> list[tuple[int | None, Message]]:
    """Let time pass while some are heard. If there is a herald, it tells at once what it is asked to tell."""
    messages, count = [], 2 + round(since * 10)
    for step in range(round(since * 10) + 1, round(until * 10) + 1):
        now = step / 10
        for number in numbers:
            hear(presence, number, count, now)
        count += 1
        news = pass_time(presence, now)
        for target, message in news:
            if herald and isinstance(message, Report):
                assert target is not None
                presence.receive(target, Verdicts(message.verdicts), now)
        messages += news
    return messages


def test_in_a_large_group_the_first_watcher_has_its_verdict_told_by_the_smallest() -> None:
    messages = keep_alive(make_large(), (28, 29, 997, 998), 2.9, herald=True)
    reports = [(target, message) for target, message in messages if isinstance(message, Report)]
    assert reports == [
        (1, Report((Verdict(999, EPOCH, State.SUSPECT, Reason.SILENT),))),
        (1, Report((Verdict(999, EPOCH, State.DIED, Reason.SILENT),))),
    ]
    assert verdicts(messages) == []


def test_the_first_watcher_tells_everybody_itself_what_the_smallest_does_not_tell() -> None:
    """It may have died with the one about whom it was to tell, and the other watchers may be gone, too."""
    presence = make_large()
    messages = keep_alive(presence, (28, 29, 997, 998), 1.6)
    assert verdicts(messages) == []
    messages = keep_alive(presence, (28, 29, 997, 998), 2.3, since=1.6)
    assert verdicts(messages) == [(999, State.SUSPECT, Reason.SILENT)]
    messages = keep_alive(presence, (28, 29, 997, 998), 2.9, since=2.3)
    assert verdicts(messages) == [(999, State.DIED, Reason.SILENT)]


def test_a_later_verdict_has_a_time_of_its_own_to_be_told() -> None:
    """The first one's time must not stay: the node would be due again and again."""
    handovers = Handovers()
    handovers.add(Verdict(7, EPOCH, State.SUSPECT, Reason.SILENT), 1.0)
    death = Verdict(7, EPOCH, State.DIED, Reason.SILENT)
    handovers.add(death, 2.0)
    assert handovers.due == 2.0
    assert handovers.take(1.5) == []
    handovers.hear(Verdict(7, EPOCH, State.SUSPECT, Reason.SILENT))  # The earlier one was told, and the death was not.
    handovers.hear(death._replace(epoch=EPOCH - 1))
    assert handovers.take(2.0) == [death]
    assert handovers.due == math.inf


def test_a_verdict_that_is_not_true_any_more_is_not_told() -> None:
    presence = make_large()
    keep_alive(presence, (28, 29, 997, 998), 1.5)
    presence.receive(999, Alive(EPOCH), 1.5)
    assert state(presence, 999) == State.UP
    assert verdicts(keep_alive(presence, (28, 29, 997, 998, 999), 2.9, since=1.5)) == []


def test_what_was_handed_over_before_the_connection_was_lost_is_forgotten() -> None:
    presence = make_large()
    keep_alive(presence, (28, 29, 997, 998), 1.5)
    presence.lose_link(1.5)
    presence.regain_link(1.6)
    assert verdicts(keep_alive(presence, (28, 29, 997, 998, 999), 2.9, since=1.6)) == []


def test_the_next_watcher_tells_everybody_itself_if_it_has_heard_nothing() -> None:
    presence = make_large()
    assert verdicts(keep_alive(presence, (27, 28, 29, 997, 999), 1.6)) == []  # The first one would have spoken at 1.3.
    presence = make_large()
    messages = keep_alive(presence, (27, 28, 29, 997, 999), 3.0)
    assert not any(isinstance(message, Report) for _, message in messages)
    assert verdicts(messages) == [(998, State.SUSPECT, Reason.SILENT), (998, State.DIED, Reason.SILENT)]


def test_the_member_with_the_smallest_id_joins_what_others_report() -> None:
    presence = Presence(told(1), 0.0)
    for number in range(2, 31):
        presence.receive(number, told(number), 0.0)
    presence.tick(0.0)
    presence.outbox.clear()
    for number in (10, 11, 12):
        presence.receive(20, Report((Verdict(number, EPOCH, State.SUSPECT, Reason.SILENT),)), 0.1)
    presence.receive(20, Report((Verdict(11, EPOCH, State.DIED, Reason.SILENT),)), 0.2)  # That is told in its place.
    presence.receive(20, Report((Verdict(13, EPOCH - 1, State.DIED, Reason.SILENT),)), 0.2)  # An earlier life.
    presence.receive(20, Report((Verdict(77, EPOCH, State.DIED, Reason.SILENT),)), 0.2)  # Nobody.
    assert sent(presence) == []
    presence.tick(0.31)
    assert sorted(verdicts(sent(presence))) == [
        (10, State.SUSPECT, Reason.SILENT), (11, State.DIED, Reason.SILENT), (12, State.SUSPECT, Reason.SILENT)
    ]  # fmt: skip
    assert state(presence, 10) == State.SUSPECT


def test_who_is_claimed_dead_after_an_outage_is_told_when_it_may_hear_that() -> None:
    """Before, it may not have had a connection again: nobody would have told it that it must begin a new life."""
    presence = Presence(told(100), 0.0)
    for number in range(1, 10):
        presence.receive(number, told(number), 0.0)
    presence.tick(0.0)
    presence.lose_link(1.0)
    presence.regain_link(9.0)
    presence.outbox.clear()
    presence.receive(9, Entries([Entry(2, EPOCH, 0, State.DIED)], is_whole=False), 9.1)
    death = (2, Verdict(2, EPOCH, State.DIED, Reason.LEARNED))
    assert death in sent(presence)
    assert death not in pass_time(presence, 10.2)
    assert death in pass_time(presence, 10.35)
    assert state(presence, 2) == State.UP
    pass_time(presence, 10.7)
    assert state(presence, 2) == State.DIED


def test_a_death_that_follows_its_suspicion_at_once_is_believed_later() -> None:
    """The suspect may not have had the time to answer."""
    presence = make_pair()
    presence.receive(3, told(3), 0.0)
    presence.receive(3, Verdict(2, EPOCH, State.SUSPECT, Reason.SILENT), 0.1)
    presence.receive(3, Verdict(2, EPOCH, State.DIED, Reason.SILENT), 0.2)
    assert state(presence) == State.SUSPECT
    presence.receive(2, told(2, epoch=next_epoch(EPOCH), edition=1), 0.3)
    keep_alive(presence, (3,), 0.7)
    assert state(presence) == State.UP


def test_who_is_late_itself_waits_longer_for_others() -> None:
    presence = make_pair()
    presence.tick(0.8)  # Its beat was due at 0.5.
    presence.outbox.clear()
    assert verdicts(pass_time(presence, 1.5)) == []
    assert (2, State.SUSPECT, Reason.SILENT) in verdicts(pass_time(presence, 2.4))
    # Soon it is in time again.
    hear(presence, 2, 2, 2.4)
    presence._late_s = 0.3
    for step in range(5, 25):
        hear(presence, 2, step, step / 2)
        pass_time(presence, step / 2)
    assert verdicts(pass_time(presence, 13.4)) == [(2, State.SUSPECT, Reason.SILENT)]


def test_many_are_not_asked_while_the_entries_are_being_read() -> None:
    presence = make_pair()
    presence.expect_entries(5.0)
    table = Entries([Entry(number, EPOCH, 0, State.UP) for number in range(2, 502)], is_whole=True)
    presence.receive(2, table, 0.1)
    assert not any(isinstance(message, Want) for _, message in keep_alive(presence, (2,), 3.0))
    presence.enter([told(number) for number in range(3, 500)], 3.1)
    hear(presence, 2, 90, 3.4)
    assert {target for target, message in pass_time(presence, 3.6) if isinstance(message, Want)} == {500, 501}
    # If they do not come, all are asked in the end.
    presence = make_pair()
    presence.expect_entries(5.0)
    presence.receive(2, table, 0.1)
    assert any(isinstance(message, Want) for _, message in keep_alive(presence, (2,), 6.0))


# --- lives ------------------------------------------------------------------------------------------------------


def test_who_is_taken_for_dead_begins_a_new_life() -> None:
    presence = make_pair()
    presence.receive(2, Verdict(1, EPOCH, State.SUSPECT, Reason.SILENT), 0.1)
    assert sent(presence) == [(None, Alive(EPOCH))]
    presence.receive(2, Verdict(1, EPOCH, State.DIED, Reason.SILENT), 0.2)
    assert sent(presence) == [(None, told(1, epoch=next_epoch(EPOCH), edition=1))]
    assert presence.epoch == next_epoch(EPOCH)
    for late in (State.SUSPECT, State.DIED):
        presence.receive(2, Verdict(1, EPOCH, late, Reason.SILENT), 0.3)
    assert sent(presence) == []
    presence.receive(2, Entries((Entry(1, presence.epoch, 1, State.DIED),), is_whole=False), 0.4)
    assert presence.epoch == EPOCH + 2


def test_the_dead_who_are_heard_are_told() -> None:
    presence = make_pair()
    pass_time(presence, 2.1)
    assert 2 in set(presence.watches)
    hear(presence, 2, 2, 5.0)
    assert sent(presence)[0] == (2, Verdict(2, EPOCH, State.DIED, Reason.SILENT))
    assert state(presence) == State.DIED
    presence.receive(2, told(2, epoch=next_epoch(EPOCH), edition=1), 5.1)
    assert state(presence) == State.UP


def test_one_that_others_take_for_dead_has_the_time_to_say_that_it_lives() -> None:
    for answer, expected in ((None, State.DIED), (told(9, epoch=EPOCH + 1, edition=1), State.UP)):
        presence = Presence(told(100), 0.0)
        for number in (9, 10, 11, 12):
            presence.receive(number, told(number), 0.0)
        presence.tick(0.0)
        assert 9 not in set(presence.watches)
        _, watcher = presence.roster.watch(0.0)
        presence.settled_at = 0.0
        presence.receive(10, Verdict(9, EPOCH, State.DIED, Reason.SILENT), 0.1)
        assert state(presence, 9) == State.UP
        assert presence.due <= 0.4
        if answer is not None:
            presence.receive(9, answer, 0.2)
        presence.tick(0.41)
        echo(presence, 0.411)
        assert state(presence, 9) == expected
        assert [change.kind.value for change in watcher.take()] == (["changed"] if answer else ["died"])


def test_one_that_others_take_for_dead_has_the_time_to_connect_after_an_outage() -> None:
    presence = Presence(told(100), 0.0)
    for number in (9, 10, 11, 12):
        presence.receive(number, told(number), 0.0)
    presence.lose_link(2.0)
    presence.regain_link(5.0)
    presence.receive(10, Entries((Entry(9, EPOCH, 0, State.DIED),), is_whole=False), 5.1)
    for now in (5.6, 6.2):
        presence.tick(now)
        echo(presence, now + 0.001)
    assert state(presence, 9) == State.UP
    for now in (6.4, 6.8):  # It is told once more first.
        assert state(presence, 9) == State.UP
        presence.tick(now)
        echo(presence, now + 0.001)
    assert state(presence, 9) == State.DIED


def test_one_that_we_hear_is_not_dead_because_others_say_so() -> None:
    presence = make_pair()
    presence.settled_at = 0.0
    presence.receive(3, Verdict(2, EPOCH, State.DIED, Reason.SILENT), 0.1)
    hear(presence, 2, 2, 0.3)
    presence.tick(0.45)
    echo(presence, 0.451)
    assert state(presence) == State.UP
    assert (2, Verdict(2, EPOCH, State.DIED, Reason.SILENT)) in sent(presence)


def test_a_beat_of_a_life_that_is_unknown_here_is_asked_about() -> None:
    presence = make_pair()
    hear(presence, 2, 1, 0.1, epoch=EPOCH + 1)
    assert sent(presence) == [(2, Want())]
    hear(presence, 2, 1, 0.1, epoch=EPOCH - 1)
    assert sent(presence) == [(2, Verdict(2, EPOCH - 1, State.DIED, Reason.RESTARTED))]
    hear(presence, 77, 1, 0.1)
    assert sent(presence) == []


def test_of_two_processes_with_one_id_the_later_one_stays() -> None:
    presence = make_pair()
    presence.receive(1, told(1), 0.1)
    presence.receive(1, told(1, epoch=EPOCH - 1), 0.1)
    assert not presence.is_displaced
    presence.receive(1, told(1, epoch=first_epoch(EPOCH, 0.0, 1)), 0.1)
    assert presence.is_displaced
    assert pass_time(presence, 5.0) == []
    assert presence.outbox == []


def test_leaving_and_having_left() -> None:
    presence = make_pair()
    presence.leave(0.1)
    presence.leave(0.1)
    assert sent(presence) == [(None, Goodbye(EPOCH, State.LEAVING))]
    assert (presence.state, state(presence, 1)) == (State.LEAVING, State.LEAVING)
    presence.tick(0.5)
    assert [message.is_leaving for _, message in presence.outbox if isinstance(message, Beat)] == [True]
    presence.outbox.clear()
    presence.receive(2, Verdict(1, EPOCH, State.DIED, Reason.SILENT), 0.6)
    assert sent(presence) == []  # It is about to go anyway.
    presence.finish(0.7)
    assert sent(presence) == [(None, Goodbye(EPOCH, State.LEFT))]
    assert pass_time(presence, 5.0) == []
    other = make_pair()
    pass_time(other, 0.5)
    hear(other, 2, 2, 0.6)
    other.receive(3, Verdict(2, EPOCH, State.SUSPECT, Reason.SILENT), 0.6)
    hear(other, 2, 3, 0.7, leaving=True)
    assert state(other) == State.LEAVING
    other.receive(2, Goodbye(EPOCH, State.LEFT), 0.8)
    assert state(other) == State.LEFT
    other.tick(other.due)
    assert set(other.watches) == set()


# --- what was missed --------------------------------------------------------------------------------------------


def test_tables_are_compared_if_they_differ_for_long_and_neither_changes() -> None:
    presence = make_pair()
    compares = []
    for step in range(1, 8):
        now = 0.4 * step
        presence.tick(now)
        presence.receive(2, Beat(EPOCH, step + 1, is_leaving=False, load=0.0, digest=12345), now)
        compares += [round(now, 1) for target, message in sent(presence) if message == Compare() and target == 2]
    assert compares == [1.6, 2.8]


def test_comparing_asks_for_what_is_new_and_tells_what_is_new_there() -> None:
    presence = make_pair()
    for number in (3, 4, 5, 6):
        presence.receive(number, told(number, edition=2), 0.1)
    presence.receive(5, Goodbye(EPOCH, State.LEFT), 0.1)
    presence.outbox.clear()
    theirs = (
        Entry(1, EPOCH - 1, 0, State.UP),  # An old life of our own.
        Entry(2, EPOCH + 1, 0, State.UP),  # A life that is new to us.
        Entry(3, EPOCH, 3, State.LEAVING),  # It is leaving, and it has told something else.
        Entry(4, EPOCH, 1, State.UP),  # Old news.
        Entry(5, EPOCH, 2, State.UP),  # It has left.
        Entry(7, EPOCH, 0, State.UP),  # Somebody new.
        Entry(8, EPOCH, 0, State.DIED),  # Somebody who is of no interest any more.
    )
    presence.receive(2, Entries(theirs, is_whole=True), 0.2)
    assert state(presence, 3) == State.LEAVING
    messages = sent(presence)
    assert (2, told(1)) in messages
    assert [target for target, message in messages if message == Want()] == [2, 3, 7]
    answer = messages[-1][1]
    assert isinstance(answer, Entries)
    assert not answer.is_whole
    assert [(number, state) for number, _, _, state in answer.rows] == [
        (4, State.UP),
        (5, State.LEFT),
        (6, State.UP),
    ]
    assert presence.roster.get(8, 0.0) is None


def test_a_death_that_a_table_tells_is_checked_first() -> None:
    presence = Presence(told(100), 0.0)
    for number in (9, 10, 11, 12):
        presence.receive(number, told(number), 0.0)
    presence.outbox.clear()
    presence.settled_at = 0.0
    presence.receive(10, Entries((Entry(9, EPOCH, 0, State.DIED),), is_whole=False), 0.1)
    assert sent(presence) == [(9, Verdict(9, EPOCH, State.DIED, Reason.LEARNED))]
    assert state(presence, 9) == State.UP
    presence.tick(0.5)
    echo(presence, 0.501)
    assert state(presence, 9) == State.DIED


@pytest.mark.parametrize("theirs", [(), (Entry(3, EPOCH - 1, 0, State.DIED),), (Entry(3, EPOCH - 1, 0, State.UP),)])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_life_that_another_one_does_not_know_is_checked(theirs: tuple[Entry, ...], is_there: bool) -> None:
    """Perhaps it has ended before the others have heard of it. Then nobody watches it, who has to."""
    presence = Presence(told(100), 0.0)
    entries = tuple(Entry(number, EPOCH, 0, State.UP) for number in (6, 7, 8, 9, 100))
    for number in (3, 6, 7, 8, 9):
        presence.receive(number, told(number), 0.0)
    table = Entries((*theirs, *entries), is_whole=True)
    messages: list[tuple[int | None, Message]] = []
    for step in range(1, 12):
        now = 0.5 * step
        for number in (7, 8, 9):
            hear(presence, number, step, now)
        messages += pass_time(presence, now)
        if step in (1, 5):  # The first time its own table is new, and the others may not have heard all of that yet.
            presence.receive(9, table, now)
            presence.tick(now)
            assert set(presence.watches) == ({7, 8, 9} if step == 1 else {3, 7, 8, 9})
        if is_there and step == 6:
            hear(presence, 3, 17, now)
    assert state(presence, 3) == (State.UP if is_there else State.DIED)
    died = [(3, State.SUSPECT, Reason.SILENT), (3, State.DIED, Reason.SILENT)]
    assert verdicts(messages) == ([] if is_there else died)
    assert set(presence.watches) == {7, 8, 9}


def test_few_lives_are_checked_at_once() -> None:
    presence = Presence(told(1000), 0.0)
    for number in range(1, 101):
        presence.receive(number, told(number), 0.0)
    for step in range(5):
        for number in (98, 99, 100):
            hear(presence, number, step + 1, 0.5 * step)
        presence.tick(0.5 * step)
    presence.receive(100, Entries((Entry(100, EPOCH, 0, State.UP),), is_whole=True), 2.1)
    presence.tick(2.1)
    assert len(set(presence.watches)) == WATCHERS + MOST_CHECKS


def test_who_is_asked_answers_and_not_without_limit() -> None:
    presence = make_pair()
    presence.receive(2, Ask(), 0.1)
    presence.receive(2, Want(), 0.1)
    (_, beat), (_, announcement) = presence.outbox
    assert isinstance(beat, Beat)
    assert announcement == told(1)
    presence.outbox.clear()
    for _ in range(100):
        presence.receive(2, Compare(), 0.1)
    assert len(sent(presence)) == MOST_TABLES
    for first in range(10, 100_000, 10_000):
        many = tuple(Entry(number, EPOCH, 0, State.UP) for number in range(first, first + 10_000))
        presence.receive(2, Entries(many, is_whole=False), 0.1)
    assert sent(presence) == []
    assert len(presence._wishes) == MOST_MEMBERS
    presence.tick(1.0)
    assert sum(isinstance(message, Want) for _, message in sent(presence)) == MOST_WANTS


def test_who_has_just_come_asks_only_those_whom_the_bucket_does_not_tell() -> None:
    """Each of a thousand would ask a thousand, twice: for the two tables that it gets."""
    presence = make_pair()
    table = Entries(tuple(Entry(number, EPOCH, 0, State.UP) for number in range(2, 502)), is_whole=True)
    for source in (2, 3):
        presence.receive(source, table, 0.1)
    for number in range(3, 400):
        presence.enter([told(number)], 0.4)
    messages = []
    for step in range(1, 6):
        hear(presence, 2, 1 + step, 0.5 * step)
        presence.tick(0.5 * step)
        messages += sent(presence)
    assert sorted(target for target, message in messages if target and isinstance(message, Want)) == list(
        range(400, 502)
    )


def test_a_change_is_told() -> None:
    presence = make_pair()
    profile = Profile((("role", "db"),))
    presence.change(replace(told(9, epoch=1), profile=profile), 0.1)
    assert sent(presence) == [(None, replace(told(1, edition=1), name="node-9", profile=profile))]


def test_a_newcomer_is_told_who_is_there_by_the_two_that_watch_it_first() -> None:
    tellers = []
    for own in range(10, 20):
        presence = Presence(told(own), 0.0)
        for number in range(10, 20):
            presence.receive(number, told(number, edition=1), 0.0)
        presence.outbox.clear()
        presence.receive(5, told(5), 0.1)
        tellers += [own for target, message in sent(presence) if isinstance(message, Entries) and target == 5]
    assert tellers == [10, 11]


# --- groups -----------------------------------------------------------------------------------------------------


def make_group(size: int) -> Life:
    """A group that has come together, with nothing wrong."""
    life = Life(seed=size)
    life.hosts = life.nodes = [Node(life.random.getrandbits(64), 1000 * life.random.random()) for _ in range(size)]
    life._queue.clear()
    life.duplicates = 0.0
    told_before = []
    for node in life.nodes:
        node.epoch = first_epoch(0, node.wall_s, life.random.getrandbits(12))
        told_before.append(Announcement(node.id, node.epoch, 1, "node"))
    for node, announcement in zip(life.nodes, told_before, strict=True):
        machine = Presence(announcement, node.clock_s)
        machine.outbox.clear()
        for other in told_before:
            machine.enter([other], node.clock_s)
        machine.outbox.clear()
        _, node.watcher = machine.roster.watch(node.clock_s)
        node.view = {other.id: (other.epoch, State.UP) for other in told_before}
        node.version = machine.roster.version
        life.start(node, machine)
    life.run(2.0)
    life.check_agreement()
    return life


def count_messages(life: Life) -> dict[str, int]:
    """Count from now on what is sent, by its kind: ``beat`` and ``all`` for what goes to everybody."""
    counts = {"beat": 0, "all": 0, "one": 0}
    send = life.send

    def count(source: Any, destination: int | None, payload: Any) -> None:
        counts["one" if destination is not None else "beat" if type(payload) is Beat else "all"] += 1
        send(source, destination, payload)

    life.send = count  # type: ignore[method-assign]
    return counts


def test_each_member_is_watched_by_three_and_nothing_is_sent_but_beats() -> None:
    life = make_group(60)
    watched = [number for node in life.nodes for number in node.machine.watches]
    assert all(watched.count(node.id) == WATCHERS for node in life.nodes)
    counts = count_messages(life)
    life.run(12.0)
    assert counts["beat"] == 60 * 20
    assert counts["one"] == 0
    assert counts["all"] <= 5  # The one with the smallest id announces itself now and then.


@pytest.mark.parametrize("tells", [True, False])
def test_a_third_of_a_group_dies_at_once_and_all_others_see_that_and_nothing_else(tells: bool) -> None:
    """Whether the broker says that nobody listens, or not. Some lose all three that watch them."""
    life = make_group(90)
    if not tells:
        life.miss = lambda *_: None  # type: ignore[method-assign]
    victims = life.random.sample(life.nodes, 30)
    ring = sorted(node.id for node in life.nodes)
    gone = {node.id for node in victims}
    alone = [n for i, n in enumerate(ring) if {n, *(ring[(i + k) % 90] for k in (1, 2, 3))} <= gone]
    assert alone
    for node in victims:
        life.strain(node, life.now)
        life.kill(node)
    counts = count_messages(life)
    life.run(life.now + 3.0)
    for node in life.nodes:
        if node.machine is not None:
            seen = {number for number, (_, state) in node.view.items() if state == State.DIED}
            assert seen == gone
    assert counts["all"] <= 3 * len(victims)
    life.run(life.now + 2.0)
    life.check_agreement()


def test_a_life_that_only_one_has_heard_of_is_over_for_it_too() -> None:
    """It begins and ends while that one is cut off from the others."""
    life = make_group(12)
    ring = sorted(life.nodes, key=lambda node: node.id)
    only, victim = ring[1], ring[6]
    assert victim.id not in set(only.machine.watches)
    life.strain(victim, life.now)
    life.kill(victim)
    life.run(life.now + 4.0)
    only.side = victim.side = 1
    life.strain(only, life.now + 0.5)
    life.entries.clear()
    life.begin(victim)
    life.run(life.now + 0.5)
    assert life.knows(only, victim.id)
    life.strain(victim, life.now)
    life.kill(victim)
    only.side = victim.side = 0
    life.run(life.now + 6.0)
    life.check_agreement()


def test_two_groups_that_have_never_heard_of_each_other_become_one() -> None:
    life = make_group(12)
    for node in life.nodes[6:]:
        life.strain(node, life.now)
        life.kill(node)
    life.run(life.now + 4.0)
    for node in life.nodes[6:]:
        node.side = 1
        life.entries.clear()
        life.begin(node)
    for node in life.nodes[:6]:
        for other in life.nodes[6:]:
            table = node.machine.roster.table
            table.remove(table.find(other.id))
            node.view.pop(other.id)
        node.machine.roster._absences.clear()
        node.machine.roster.ring_version += 1
    life.run(life.now + 3.0)
    assert {len(node.machine.roster) for node in life.nodes} == {6}
    for node in life.nodes:
        node.side = 0
    life.run(life.now + 6.0)
    life.check_agreement()
    assert {len(node.machine.roster) for node in life.nodes} == {12}


def test_a_broker_that_was_away_makes_nobody_die_and_who_died_meanwhile_is_known_within_two_seconds() -> None:
    life = make_group(20)
    victim, *others = life.nodes
    life.is_up = False
    for node in life.nodes:
        life.notice(node, node.machine)
    life.strain(victim, life.now)
    life.kill(victim)
    life.run(life.now + 30.0)
    life.mend_broker()
    life.run(life.now + 2.3)  # Nodes take up to 0.4 s to connect.
    for node in others:
        assert {n: state for n, (_, state) in node.view.items() if state != State.UP} == {victim.id: State.DIED}
