"""What two tables tell each other: what is news here, and what is news there."""

from __future__ import annotations

from dataclasses import dataclass, field

from .members import Announcement, State
from .messages import Entries
from .table import Entry, Row, Table


@dataclass(slots=True)
class News:
    """What comes of comparing.

    Attributes:
        is_dead: whether the other one takes this node for dead, in its present life.
        is_own_old: whether the other one does not know what this node tells now.
        wants: those who have to be asked for their announcements, as the other one knows them.
        steps: what members have said themselves: they are leaving, or have left.
        deaths: who is dead there and alive here: that has to be checked.
        answers: what the other one does not know.
        strangers: the ids of those who are alive here, and in that life unknown there.
    """

    is_dead: bool = False
    is_own_old: bool = False
    wants: list[Entry] = field(default_factory=list)
    steps: list[Entry] = field(default_factory=list)
    deaths: list[Entry] = field(default_factory=list)
    answers: list[Entry] = field(default_factory=list)
    strangers: list[int] = field(default_factory=list)


def compare(table: Table, own: Announcement, message: Entries) -> News:
    """Compare what another node knows with what this node knows.

    Parameters:
        table: what this node knows.
        own: what it tells about itself.
        message: what the other one knows. It is answered if it is whole.
    """
    news = News()
    rows = {row[0]: row for row in table.rows()}
    behind = []  # The ids of those of whom the other one knows an earlier life.
    for row in message.rows:
        number = row[0]
        known = rows.get(number)
        if known == row:  # As nearly all are.
            continue
        theirs = _read_row(row)
        if number == own.id:
            news.is_dead = theirs.epoch == own.epoch and theirs.state == State.DIED
            news.is_own_old = theirs.epoch < own.epoch or theirs.edition < own.edition
        elif known is not None:
            mine = _read_row(known)
            _compare_entries(mine, theirs, news)
            if mine.epoch > theirs.epoch and mine.state < State.DIED:
                behind.append(number)
        elif theirs.state < State.DIED:
            news.wants.append(theirs)
    if not message.is_whole:
        news.answers.clear()
        return news
    for number in rows.keys() - {row[0] for row in message.rows}:
        if rows[number][3] < State.DIED:
            news.answers.append(_read_row(rows[number]))
            behind.append(number)
    news.answers.sort()
    news.strangers = sorted(number for number in behind if number != own.id)
    return news


def _read_row(row: Row) -> Entry:
    number, epoch, edition, state = row
    return Entry(number, epoch, edition, State(state))


def _compare_entries(mine: Entry, theirs: Entry, news: News) -> None:
    is_live = theirs.state < State.DIED
    if theirs.epoch > mine.epoch and is_live:
        news.wants.append(theirs)
    elif theirs.epoch >= mine.epoch:
        if theirs.state == State.DIED and mine.state < State.DIED:
            news.deaths.append(theirs)
        elif theirs.state >= State.LEAVING:
            news.steps.append(theirs)
        if theirs.edition > mine.edition and is_live:
            news.wants.append(theirs)
    if is_ahead(mine, theirs):
        news.answers.append(mine)


def is_ahead(mine: Entry, theirs: Entry) -> bool:
    """Whether one entry knows more of a member than the other."""
    if mine.epoch != theirs.epoch:
        return mine.epoch > theirs.epoch
    return mine.edition > theirs.edition or (mine.state > theirs.state and mine.state >= State.LEAVING)
