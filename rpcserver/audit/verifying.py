"""Verifies an audit log: names the first line that was changed, removed, inserted or moved, and other faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .chain import Head, Link, chain_of, read_link, sum_lines
from .files import list_files, name_file
from .reading import read_raw_lines

MOST_FINDINGS = 20
"""The most faults that are reported."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault in an audit log.

    Attributes:
        place: the file and the line in it, such as ``audit-000000000001.jsonl:17``; the folder if it is no line.
        seq: the number of the line; ``None`` if it cannot be read.
        text: what is wrong.
    """

    place: str
    seq: int | None
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(slots=True)
class Report:
    """What a verification has found.

    Attributes:
        files: the number of files.
        lines: the number of lines.
        first_seq: the number of the first line; 0 if there is none.
        head: the last line of the last whole block.
        unsealed_lines: the lines after it, which have no chain yet.
        torn_bytes: the size of an unfinished line at the end.
        findings: the faults, in the order of the log, at most :data:`MOST_FINDINGS`.
    """

    files: int = 0
    lines: int = 0
    first_seq: int = 0
    head: Head = field(default_factory=Head)
    unsealed_lines: int = 0
    torn_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)


def verify(folder: Path, known_head: Head | None = None) -> Report:
    """Verify an audit log. A server may be writing to it.

    Parameters:
        folder: the folder of its files.
        known_head: a head that was told before, and kept somewhere else: the log must contain it.

    Raises:
        OSError: a file cannot be read.
    """
    verification = _Verification(folder, known_head)
    verification.run()
    return verification.report


class _Verification:
    def __init__(self, folder: Path, known_head: Head | None) -> None:
        self.report = Report()
        self._folder = folder
        self._known_head = known_head
        self._has_known_head = False
        self._chain: str | None = None
        self._next_seq = 0
        self._block: list[tuple[str, Link, bytes]] = []
        self._is_block_bad = False
        self._last_removed_seq = 0

    def run(self) -> None:
        files = list_files(self._folder)
        self.report.files = len(files)
        for index, (first, path) in enumerate(files):
            self._read_file(first, path, is_last=index == len(files) - 1)
        report = self.report
        report.unsealed_lines = len(self._block)
        last_removed_seq = self._last_removed_seq
        if report.first_seq > 1 and last_removed_seq < report.first_seq - 1:
            explanation = (
                f"rotation has removed lines up to {self._last_removed_seq}"
                if self._last_removed_seq
                else "nothing was removed"
            )
            self._add(
                str(self._folder),
                report.first_seq,
                f"lines {last_removed_seq + 1} to {report.first_seq - 1} are missing at the beginning: {explanation}",
            )
        self._check_known_head()

    def _add(self, place: str, seq: int | None, text: str) -> None:
        if len(self.report.findings) < MOST_FINDINGS:
            self.report.findings.append(Finding(place, seq, text))

    def _read_file(self, first: int, path: Path, *, is_last: bool) -> None:
        for number, (line, is_whole) in enumerate(read_raw_lines(path), 1):
            place = f"{path.name}:{number}"
            if not is_whole:
                if is_last:
                    self.report.torn_bytes = len(line)
                else:
                    self._spoil(place, None, "the line has no end, and another file follows")
                return
            try:
                link = read_link(line)
            except ValueError as exc:
                self._spoil(place, None, f"this is no line of an audit log: {exc}")
                if self._chain is None:  # It is the first line of all: no chain of its block can fit.
                    self._chain, self._next_seq, self.report.first_seq = "", first, first
                self._next_seq += 1
                continue
            if number == 1:
                self._begin_file(place, first, link)
            self._read_line(place, link, line)

    def _begin_file(self, place: str, first: int, link: Link) -> None:
        report = self.report
        if link.event != "file" or not link.after:
            self._spoil(place, link.seq, "the first line of a file must say after which chain it comes")
        elif self._chain is None:
            report.first_seq = self._next_seq = link.seq
            self._chain = link.after
        elif link.seq > self._next_seq:
            self._spoil(
                place, link.seq, f"lines {self._next_seq} to {link.seq - 1} are missing before it: a file was removed"
            )
            self._block.clear()
            self._chain, self._next_seq, self._is_block_bad = link.after, link.seq, False
        elif link.after != self._chain or self._block:
            self._spoil(place, link.seq, "the file does not follow the end of the one before it")
            self._block.clear()
            self._chain = link.after
        if link.seq != first:
            self._add(place, link.seq, f"the file was renamed: it was {name_file(link.seq)}")
        if self._chain is None:
            self._chain, self._next_seq = "", link.seq
            report.first_seq = link.seq

    def _read_line(self, place: str, link: Link, line: bytes) -> None:
        report = self.report
        if link.seq > self._next_seq:
            missing = (
                f"line {self._next_seq} is" if link.seq == self._next_seq + 1 else
                f"lines {self._next_seq} to {link.seq - 1} are"
            )  # fmt: skip
            self._spoil(place, link.seq, f"{missing} missing before line {link.seq}")
        elif link.seq < self._next_seq:
            self._spoil(
                place, link.seq, f"line {link.seq} stands where line {self._next_seq} must be: it was inserted or moved"
            )
        if link.event == "removed":
            self._last_removed_seq = max(self._last_removed_seq, link.removed_range[1])
        elif link.event == "cut":
            self._add(place, link.seq, "when the server started here, the end of the log had been cut off or changed")
        report.lines += 1
        self._next_seq = link.seq + 1
        self._block.append((place, link, line))
        if link.chain:
            self._end_block(link)

    def _end_block(self, link: Link) -> None:
        block = b"\n".join([*(line for _, _, line in self._block[:-1]), link.body])
        assert self._chain is not None
        if not self._is_block_bad and chain_of(self._chain, block) != link.chain:
            self._name_change()
        if self._known_head is not None and self._known_head.seq == link.seq:
            self._has_known_head = self._known_head.chain == link.chain
        self._chain = link.chain
        self.report.head = Head(link.seq, link.chain)
        self._block.clear()
        self._is_block_bad = False

    def _name_change(self) -> None:
        """Name the first line of a block that was changed."""
        *others, (last_place, last, _) = self._block
        if len(last.sums) == 8 * len(others):
            for index, (place, link, line) in enumerate(others):
                if sum_lines([line]) != last.sums[8 * index : 8 * index + 8]:
                    self._add(place, link.seq, f"line {link.seq} was changed")
                    return
        among = f" (or one of the lines {others[0][1].seq} to {last.seq - 1}, with its sum)" if others else ""
        self._add(last_place, last.seq, f"line {last.seq}{among} was changed: its chain does not fit")

    def _spoil(self, place: str, seq: int | None, text: str) -> None:
        """Report a fault, after which the chain of the block cannot fit."""
        if not self._is_block_bad:
            self._add(place, seq, text)
        self._is_block_bad = True

    def _check_known_head(self) -> None:
        known_head, report = self._known_head, self.report
        if known_head is None or known_head.seq == 0 or self._has_known_head:
            return
        if known_head.seq > report.head.seq:
            text = f"the log ends with line {report.head.seq}, and line {known_head.seq} is known: its end was cut off"
        elif known_head.seq < report.first_seq:
            return  # Its file was removed, as rotation does.
        else:
            text = f"line {known_head.seq} has not the chain that is known: the log was written anew"
        self._add(str(self._folder), known_head.seq, text)


def iterate(report: Report) -> Iterator[str]:
    """Yield lines for a person about a verification."""
    for finding in report.findings:
        yield str(finding)
    if report.unsealed_lines or report.torn_bytes:
        yield (
            f"{report.unsealed_lines} lines and {report.torn_bytes} bytes at the end have no chain yet: the server is "
            "writing them, or was killed"
        )
