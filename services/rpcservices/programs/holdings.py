"""Counts what the programs of each caller hold, so that nobody's programs take what others need.

Three things are scarce: places for programs that run, memory for their descriptions (arguments and labels, which are
kept, listed and sent with events), and room for their output. What runs counts against its owner: beyond the owner's
share another program is refused. What has ended makes way: of the owner who has the most, the oldest first.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rpcserver import Busy
from rpcwire.pool import share_of

TEXT_BYTES = 200
"""What a text of a description counts besides its own memory: encoding it takes as long as encoding so many bytes."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much all programs may hold together.

    Attributes:
        programs: programs that run at the same time.
        description_bytes: memory of descriptions.
        output_bytes: output that is kept.
        share: the part of each that the programs of one owner may hold while they run.
    """

    programs: int
    description_bytes: int
    output_bytes: int
    share: float


@dataclass(frozen=True, slots=True)
class Holding:
    """What one program holds.

    Attributes:
        owner: who has started it.
        description_bytes: the memory of its description, by :func:`weigh`.
        output_bytes: while it runs, the output that it may keep; then what it has kept.
    """

    owner: str
    description_bytes: int
    output_bytes: int


def weigh(argv: Iterable[str], labels: Mapping[str, str]) -> int:
    """Return how many bytes a description counts."""
    texts = [*argv, *labels, *labels.values()]
    return sum(map(sys.getsizeof, texts)) + TEXT_BYTES * len(texts)


class _Sums:
    """What the programs of each owner hold together."""

    def __init__(self) -> None:
        self.programs: Counter[str] = Counter()
        self.description_bytes: Counter[str] = Counter()
        self.output_bytes: Counter[str] = Counter()

    def change(self, holding: Holding, sign: int) -> None:
        """Add what a program holds, or take it away."""
        owner = holding.owner
        self.programs[owner] += sign
        self.description_bytes[owner] += sign * holding.description_bytes
        self.output_bytes[owner] += sign * holding.output_bytes
        if not self.programs[owner]:
            for counter in (self.programs, self.description_bytes, self.output_bytes):
                del counter[owner]


class Holdings:
    """What all programs hold: those that run or are being started, and those that have ended and are still kept.

    Parameters:
        bounds: how much that may be.
        most_ended: how many ended programs are kept.

    Attributes:
        bounds, most_ended: as above; others hold for what comes.
    """

    def __init__(self, bounds: Bounds, most_ended: int) -> None:
        self.bounds = bounds
        self.most_ended = most_ended
        self._running: dict[str, Holding] = {}
        self._endings: dict[str, Holding] = {}
        self._of_running = _Sums()
        self._of_ended = _Sums()

    def enter(self, program_id: str, holding: Holding) -> None:
        """Count a program that is about to be started.

        Raises:
            Busy: too many programs run, or those of the owner hold too much.
        """
        self._check(holding)
        self.readmit(program_id, holding)

    def readmit(self, program_id: str, holding: Holding) -> None:
        """Count a program that runs already, whatever the bounds say."""
        self._running[program_id] = holding
        self._of_running.change(holding, 1)

    def _check(self, new: Holding) -> None:
        bounds, of, owner = self.bounds, self._of_running, new.owner
        setting = "services.programs"
        if len(self._running) >= bounds.programs:
            raise Busy(f"{len(self._running)} programs run already: end some, or raise {setting}.max_programs")
        own = of.programs[owner]
        if not own:
            return  # One program of each owner always has room, whatever the others hold.
        most = share_of(bounds.programs, bounds.share)
        if own >= most:
            raise Busy(
                f"{own} programs of {owner} run already, and one caller may run {most} "
                f"({setting}.principal_share of max_programs): end some"
            )
        most = int(bounds.description_bytes * bounds.share)
        if of.description_bytes[owner] + new.description_bytes > most:
            raise Busy(
                f"the arguments and labels of programs of {owner} that run would take more than {most} bytes "
                f"({setting}.principal_share of description_bytes): end some, or give shorter ones"
            )
        most = int(bounds.output_bytes * bounds.share)
        if of.output_bytes[owner] + new.output_bytes > most:
            raise Busy(
                f"programs of {owner} that run could keep more than {most} bytes of output "
                f"({setting}.principal_share of kept_bytes): end some, or give a smaller retain_bytes"
            )

    def end(self, program_id: str, output_bytes: int) -> None:
        """Count a program as ended.

        Parameters:
            program_id: the program.
            output_bytes: the output that is kept of it.
        """
        holding = self._running.pop(program_id, None)
        if holding is None:
            return
        self._of_running.change(holding, -1)
        remainder = Holding(holding.owner, holding.description_bytes, output_bytes)
        self._endings[program_id] = remainder
        self._of_ended.change(remainder, 1)

    def leave(self, program_id: str) -> None:
        """Count a program no more."""
        if (holding := self._running.pop(program_id, None)) is not None:
            self._of_running.change(holding, -1)
        if (holding := self._endings.pop(program_id, None)) is not None:
            self._of_ended.change(holding, -1)

    def surplus(self) -> str | None:
        """Return the ended program that must make way: the oldest of the owner who has the most; ``None`` for none.

        The only one of its owner need not, however large it is: whoever has started it wants to see how it ended.
        """
        bounds, of_ended, running = self.bounds, self._of_ended, self._of_running
        for counter, in_use, most in (
            (of_ended.programs, 0, self.most_ended),
            (of_ended.description_bytes, running.description_bytes.total(), bounds.description_bytes),
            (of_ended.output_bytes, running.output_bytes.total(), bounds.output_bytes),
        ):
            if counter.total() + in_use > most:
                owner = next((owner for owner, _ in counter.most_common(1)), None)
                if owner is not None and (counter is of_ended.programs or of_ended.programs[owner] > 1):
                    return next(program_id for program_id, holding in self._endings.items() if holding.owner == owner)
        return None
