"""Puts the pieces of a program's output together: into lines, or a number of bytes or characters."""

from __future__ import annotations

import codecs
from collections import deque
from itertools import islice
from typing import Any, AnyStr, Generic

from rpcclient.stubs.programs import OutputChunk

from .results import OutputCut, OutputLost
from .text import Coding, Mender, Newlines

_INTERRUPTIONS = (OutputLost, UnicodeDecodeError)
"""What stands in the place of output that cannot be returned. It is raised."""


class Pieces(Generic[AnyStr]):
    """The output that has arrived and was not taken yet.

    A character whose bytes are split over two pieces comes with the second. Gaps stay in their place: the reader gets
    the output before a gap, then :class:`OutputLost` once, then the output behind it. A character of which a part is
    in a gap is left out.

    Parameters:
        coding: whether to return bytes or text, and in which encoding.
        may_begin_within: whether reading may begin in the middle of a character.

    Attributes:
        has_ended: whether nothing more will arrive.
        lost_bytes: the length of all gaps so far.
        nothing: empty bytes, or empty text.
    """

    def __init__(self, coding: Coding[AnyStr], *, may_begin_within: bool = False) -> None:
        self.has_ended = False
        self.lost_bytes = 0
        self._items: deque[Any] = deque()  # Pieces of output, gaps, and errors of decoding that come after a gap.
        self._searched_count = 0  # How many items at the beginning hold no end of a line, and no gap.
        self.nothing: Any = b"" if coding.encoding is None else ""
        self._newline: Any = b"\n" if coding.encoding is None else "\n"
        self._encoding = coding.encoding
        self._has_mark = bool(coding.mark)
        self._decoder: codecs.IncrementalDecoder | None = (
            None if coding.encoding is None else codecs.getincrementaldecoder(coding.encoding)(coding.errors)
        )
        self._newlines = Newlines()
        self._mender: Mender | None = Mender(coding.encoding) if coding.encoding and may_begin_within else None

    # --- what arrives -------------------------------------------------------------------------------------------

    def put(self, chunk: OutputChunk) -> None:
        """Add a piece.

        Raises:
            UnicodeDecodeError: the piece is no text. The pieces after it can be added.
        """
        if chunk.lost_bytes:
            self._add_gap(OutputLost(chunk.stream, chunk.offset - chunk.lost_bytes, chunk.lost_bytes))
        if chunk.cut:
            self._add_gap(OutputCut(chunk.stream, chunk.offset))
        data = chunk.data
        if self._mender is not None:
            data = self._mender.mend(chunk.offset, data)
            if data:
                self._mender = None
        if data:
            self._add(data, last=False)

    def _add_gap(self, gap: OutputLost) -> None:
        self.lost_bytes += gap.lost_bytes
        self._items.append(gap)
        if self._decoder is not None and self._encoding is not None:
            self._restart(self._decoder)  # The rest of a character that has begun is in the gap.
            self._mender = Mender(self._encoding)

    def end(self) -> None:
        """Note that nothing more will arrive.

        Raises:
            UnicodeDecodeError: the output ends in the middle of a character.
        """
        if not self.has_ended:
            self.has_ended = True
            self._add(b"", last=True)

    def _add(self, data: bytes, *, last: bool) -> None:
        if self._decoder is None:
            piece: Any = data
        else:
            try:
                piece = self._decode(self._decoder, data, last=last)
            except UnicodeDecodeError as exc:
                self._restart(self._decoder)
                if not any(isinstance(item, OutputLost) for item in self._items):
                    raise
                piece = exc  # It is raised after the gap before it.
        if piece:
            self._items.append(piece)

    def _restart(self, decoder: codecs.IncrementalDecoder) -> None:
        """Forget a character that has begun: the next piece does not continue it."""
        self._newlines.begin_anew()
        if self._has_mark:
            decoder.setstate((b"", decoder.getstate()[1]))  # The order of bytes that a mark has set stays.
        else:
            decoder.reset()

    def _decode(self, decoder: codecs.IncrementalDecoder, data: bytes, *, last: bool) -> str:
        try:
            return self._newlines.translate(decoder.decode(data, last))
        except UnicodeDecodeError:
            raise
        except UnicodeError:  # UTF-16 and UTF-32 raise it if their byte order mark is missing.
            name = str(self._encoding)
            reason = f"no byte order mark begins it: read it as {name}-le or {name}-be"
            raise UnicodeDecodeError(name, data, 0, len(data), reason) from None

    # --- what is taken ------------------------------------------------------------------------------------------

    def take_piece(self) -> AnyStr | None:
        """Return the next piece; ``None`` if none has arrived, or none is left.

        Raises:
            OutputLost: here is a gap.
        """
        if not self._items:
            return None
        self._searched_count = 0
        item = self._items.popleft()
        if isinstance(item, _INTERRUPTIONS):
            raise item
        result: AnyStr = item
        return result

    def take_line(self) -> AnyStr | None:
        """Return the next line with its end. Output before a gap, or before the end, counts as a line. ``None`` if no
        whole line has arrived, or none is left.

        Raises:
            OutputLost: here is a gap.
        """
        for number, item in enumerate(islice(self._items, self._searched_count, None), self._searched_count):
            if isinstance(item, _INTERRUPTIONS):
                return self._join(number) if number else self.take_piece()
            if self._newline in item:
                return self._cut_line(number, item)
        self._searched_count = len(self._items)  # A long line is not searched again with every piece.
        return self._join(len(self._items)) if self.has_ended and self._items else None

    def _cut_line(self, number: int, item: Any) -> AnyStr:
        if item.find(self._newline) == len(item) - 1:
            return self._join(number + 1)
        begin = self._join(number)
        self._items.popleft()
        first, *others, last = item.split(self._newline)
        # All lines are split at once. Cutting off one line after the other would copy the rest each time.
        if last:
            self._items.appendleft(last)
        self._items.extendleft(line + self._newline for line in reversed(others))
        result: AnyStr = begin + first + self._newline
        return result

    def take_exactly(self, size: int) -> AnyStr | None:
        """Return ``size`` bytes or characters; fewer before a gap or the end. ``None`` if they have not arrived yet.

        Raises:
            OutputLost: here is a gap.
        """
        length = 0
        for number, item in enumerate(self._items):
            if isinstance(item, _INTERRUPTIONS):
                return self._join(number) if number else self.take_piece()
            if length + len(item) >= size:
                return self._split(number, size - length)
            length += len(item)
        return self._join(len(self._items)) if self.has_ended else None

    def take_rest(self) -> AnyStr | None:
        """Return all output up to the end or a gap. ``None`` if neither has arrived yet.

        Raises:
            OutputLost: here is a gap.
        """
        for number, item in enumerate(self._items):
            if isinstance(item, _INTERRUPTIONS):
                return self._join(number) if number else self.take_piece()
        return self._join(len(self._items)) if self.has_ended else None

    def _join(self, count: int) -> AnyStr:
        self._searched_count = 0
        parts = [self._items.popleft() for _ in range(count)]
        result: AnyStr = parts[0] if count == 1 else self.nothing.join(parts)
        return result

    def _split(self, number: int, place: int) -> AnyStr:
        """Return everything before the item ``number``, and the item up to ``place``."""
        item = self._items[number]
        if place == len(item):
            return self._join(number + 1)
        result: AnyStr = self._join(number) + item[:place]
        self._items[0] = item[place:]
        return result
