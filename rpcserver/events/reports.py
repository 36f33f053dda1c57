"""Tells those who observe calls, such as the audit log, of wishes for events: once, and again when the answer changes.
Wishes are repeated all the time."""

from __future__ import annotations

from rpcserver.group.reporting import Reporter, describe_place
from rpcwire.context import Principal
from rpcwire.errors import Busy, MethodNotFound, PermissionDenied, RpcError

from .board import Board
from .messages import Follow, Mark

MOST_WISHES = 10_000
"""The most wishes whose answers are remembered. The longest known are forgotten first; they are told again."""

_Answer = tuple[frozenset[str], frozenset[str]]
"""The events that are told, and those that are refused."""


class WishReports:
    """What was told of the wishes of other nodes, and of this one.

    Parameters:
        reporter: tells the observers.
        board: the events of this server.
        own: the id of this node.
    """

    def __init__(self, reporter: Reporter, board: Board, own: int) -> None:
        self._reporter = reporter
        self._board = board
        self._own = own
        self._answers: dict[tuple[int, int], _Answer] = {}

    def note_answer(self, source: int, wish: Follow, principal: Principal, mark: Mark, *, is_full: bool) -> None:
        """Tell how a wish was answered, if that is new.

        Parameters:
            source: the node of the client.
            wish: the wish.
            principal: the client.
            mark: the answer.
            is_full: whether it was refused because there are too many.
        """
        key = source, wish.number
        answer = frozenset(mark.seqs), frozenset(mark.refusals)
        before = self._answers.pop(key, None)
        if before is None and len(self._answers) >= MOST_WISHES:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = answer
        if answer == before:
            return
        place = describe_place(source)
        if mark.seqs and source != self._own:  # A client of this node has called rpc.follow, which is told already.
            self._reporter.report_wish(principal, place, wish.number, sorted(mark.seqs))
        refusals: dict[type[RpcError], list[str]] = {}
        for name in mark.refusals:
            refusals.setdefault(self._kind_of(name, is_full=is_full), []).append(name)
        for kind, names in refusals.items():
            events = wish.names if "" in names else sorted(names)
            self._reporter.report_wish(
                principal, place, wish.number, events, kind(mark.refusals[names[0]], executed="no")
            )

    def _kind_of(self, name: str, *, is_full: bool) -> type[RpcError]:
        if is_full:
            return Busy
        return PermissionDenied if not name or name in self._board.feeds else MethodNotFound

    def note_refusal(self, source: int, wish: Follow, error: RpcError) -> None:
        """Tell that a wish was refused, because nobody may vouch for its client.

        Parameters:
            source: the node of the client.
            wish: the wish.
            error: the reason.
        """
        self._answers.pop((source, wish.number), None)
        self._reporter.report_wish(None, describe_place(source), wish.number, wish.names, error)

    def forget(self, source: int, number: int) -> None:
        """Forget a wish that has ended.

        Parameters:
            source: the node of its client.
            number: its number there.
        """
        self._answers.pop((source, number), None)
