"""The output of a program, put together: pieces as they come, lines, or so many bytes; as bytes or as text."""

from __future__ import annotations

import codecs
from collections import deque
from itertools import islice
from typing import Any, AnyStr, Generic

from rpcclient.stubs.programs import OutputChunk

from .results import OutputCut, OutputLost
from .text import Coding, Mender, Newlines

_NO_TEXT = (OutputLost, UnicodeDecodeError)
"""What stands in the place of what cannot be had."""


class Pieces(Generic[AnyStr]):
    """What has arrived of one output and was not taken yet.

    A character whose bytes are split over two pieces comes with the second. Gaps stay in their place: whoever takes
    something gets what is before a gap, then :class:`OutputLost` once, then what is behind it. A character of which a
    part is in a gap is left out.

    Parameters:
        coding: as what it is wanted.
        begins_within: whether the reading begins where the output was cut anywhere, perhaps within a character.

    Attributes:
        ended: whether nothing more will arrive.
        lost_bytes: the length of all gaps so far.
        nothing: an empty one.
    """

    def __init__(self, coding: Coding[AnyStr], *, begins_within: bool = False) -> None:
        self.ended = False
        self.lost_bytes = 0
        self._items: deque[Any] = deque()  # Of AnyStr, OutputLost, and what is no text behind one.
        self._searched = 0  # So many at the beginning hold no end of a line, and no gap.
        self.nothing: Any = b"" if coding.encoding is None else ""
        self._newline: Any = b"\n" if coding.encoding is None else "\n"
        self._encoding = coding.encoding
        self._marked = bool(coding.mark)
        self._decoder: codecs.IncrementalDecoder | None = (
            None if coding.encoding is None else codecs.getincrementaldecoder(coding.encoding)(coding.errors)
        )
        self._newlines = Newlines()
        self._mender: Mender | None = Mender(coding.encoding) if coding.encoding and begins_within else None

    # --- what arrives -------------------------------------------------------------------------------------------

    def put(self, chunk: OutputChunk) -> None:
        """A piece has arrived.

        Raises:
            UnicodeDecodeError: it is no text; what follows that piece follows.
        """
        if chunk.lost_bytes:
            self._lost(OutputLost(chunk.stream, chunk.offset - chunk.lost_bytes, chunk.lost_bytes))
        if chunk.cut:
            self._lost(OutputCut(chunk.stream, chunk.offset))
        data = chunk.data
        if self._mender is not None:
            data = self._mender.mend(chunk.offset, data)
            if data:
                self._mender = None
        if data:
            self._add(data, last=False)

    def _lost(self, gap: OutputLost) -> None:
        self.lost_bytes += gap.lost_bytes
        self._items.append(gap)
        if self._decoder is not None and self._encoding is not None:
            self._restart(self._decoder)  # The rest of a character that had begun is in the gap.
            self._mender = Mender(self._encoding)

    def end(self) -> None:
        """Nothing more will arrive.

        Raises:
            UnicodeDecodeError: it ends within a character.
        """
        if not self.ended:
            self.ended = True
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
                piece = exc  # The gap before it is told first.
        if piece:
            self._items.append(piece)

    def _restart(self, decoder: codecs.IncrementalDecoder) -> None:
        """What follows does not follow what was there."""
        self._newlines.begin_anew()
        if self._marked:
            decoder.setstate((b"", decoder.getstate()[1]))  # The order of bytes, where one was told, stays.
        else:
            decoder.reset()

    def _decode(self, decoder: codecs.IncrementalDecoder, data: bytes, *, last: bool) -> str:
        try:
            return self._newlines.translated(decoder.decode(data, last))
        except UnicodeDecodeError:
            raise
        except UnicodeError:  # What UTF-16 and UTF-32 raise where their mark is missing.
            name = str(self._encoding)
            reason = f"no byte order mark begins it: read it as {name}-le or {name}-be"
            raise UnicodeDecodeError(name, data, 0, len(data), reason) from None

    # --- what is taken ------------------------------------------------------------------------------------------

    def piece(self) -> AnyStr | None:
        """The next piece; ``None`` where there is none yet, or no more.

        Raises:
            OutputLost: here is a gap.
        """
        if not self._items:
            return None
        self._searched = 0
        item = self._items.popleft()
        if isinstance(item, _NO_TEXT):
            raise item
        found: AnyStr = item
        return found

    def line(self) -> AnyStr | None:
        """The next line with its end; what is before a gap or the end of the output counts as one. ``None`` where it
        is not there yet, or there are no more.

        Raises:
            OutputLost: here is a gap.
        """
        for number, item in enumerate(islice(self._items, self._searched, None), self._searched):
            if isinstance(item, _NO_TEXT):
                return self._join(number) if number else self.piece()
            if self._newline in item:
                return self._take_line(number, item)
        self._searched = len(self._items)  # A long line is not searched again with every piece.
        return self._join(len(self._items)) if self.ended and self._items else None

    def _take_line(self, number: int, item: Any) -> AnyStr:
        if item.find(self._newline) == len(item) - 1:
            return self._join(number + 1)
        begin = self._join(number)
        self._items.popleft()
        first, *others, last = item.split(self._newline)
        # All lines at once: to cut off the first, again and again, would copy the rest each time.
        if last:
            self._items.appendleft(last)
        self._items.extendleft(line + self._newline for line in reversed(others))
        found: AnyStr = begin + first + self._newline
        return found

    def exactly(self, size: int) -> AnyStr | None:
        """So many bytes or characters; fewer before a gap or the end. ``None`` where they are not there yet.

        Raises:
            OutputLost: here is a gap.
        """
        have = 0
        for number, item in enumerate(self._items):
            if isinstance(item, _NO_TEXT):
                return self._join(number) if number else self.piece()
            if have + len(item) >= size:
                return self._split(number, size - have)
            have += len(item)
        return self._join(len(self._items)) if self.ended else None

    def rest(self) -> AnyStr | None:
        """All that is there up to the end or a gap. ``None`` where the end is not there yet.

        Raises:
            OutputLost: here is a gap.
        """
        for number, item in enumerate(self._items):
            if isinstance(item, _NO_TEXT):
                return self._join(number) if number else self.piece()
        return self._join(len(self._items)) if self.ended else None

    def _join(self, count: int) -> AnyStr:
        self._searched = 0
        taken = [self._items.popleft() for _ in range(count)]
        found: AnyStr = taken[0] if count == 1 else self.nothing.join(taken)
        return found

    def _split(self, number: int, place: int) -> AnyStr:
        """Everything before the item ``number``, and so much of that."""
        item = self._items[number]
        if place == len(item):
            return self._join(number + 1)
        found: AnyStr = self._join(number) + item[:place]
        self._items[0] = item[place:]
        return found
