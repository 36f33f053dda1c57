# Generated from rpcclient/aio/program_streams.py by `make stubs`. Do not edit: change that, and generate anew.

"""What a program reads and writes, for the synchronous client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import AnyStr, Generic, Self

from rpcclient.programs.coming_back import Places
from rpcclient.programs.pieces import Pieces
from rpcclient.programs.text import Coding, InputCoding
from rpcclient.stubs.programs import OutputChunk
from rpcwire.errors import LocalProtocolError, TransportError

from .program_calls import ProgramCalls
from .stream import Stream


class ProgramChunks(Iterator[OutputChunk]):
    """The pieces of a program's output: an iterator, and a context manager that ends the reading.
    When the connection is lost, it goes on over a new one, where the last piece ended.

    Parameters:
        calls: makes the calls about the program.
        places: from where.
        passes: whether it only lets the output go by.
    """

    def __init__(self, calls: ProgramCalls, places: Places, *, passes: bool = False) -> None:
        self._calls = calls
        self._passes = passes
        self._places = places
        self._stream: Stream[OutputChunk] | None = None
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> OutputChunk:
        calls, places = self._calls, self._places
        while not self._closed:
            if self._stream is None:
                calls.hold()
                if not self._passes:
                    calls.begin_reading()
            try:
                if self._stream is None:
                    self._stream = calls.steady().output(calls.id, **places.request)
                chunk = next(self._stream)
            except TransportError as exc:
                self._stream = None
                calls.come_back(exc, places.losses)
            else:
                places.got(chunk)
                return chunk
        raise StopIteration

    def close(self) -> None:
        """Read no more. The program goes on."""
        self._closed = True  # First, as whoever reads meanwhile is not to come back.
        try:
            if self._stream is not None:
                self._stream.close()
        except LocalProtocolError:  # It was not tried where it lives: nothing has happened.
            self._closed = False
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ProgramOutput(Iterator[AnyStr], Generic[AnyStr]):
    """One output of a program: an iterator over its pieces as they come, as bytes or text. Where a part of it
    is no longer kept, :class:`rpcclient.programs.results.OutputLost` is raised; the next piece is what follows."""

    def __init__(self, calls: ProgramCalls, places: Places, coding: Coding[AnyStr]) -> None:
        self._chunks = ProgramChunks(calls, places)
        self._pieces: Pieces[AnyStr] = Pieces(coding, begins_within=places.stream in places.within)

    @property
    def ended(self) -> bool:
        """Whether it was read to its end."""
        return self._pieces.ended

    @property
    def lost_bytes(self) -> int:
        """How many bytes could not be read, as they were no longer kept."""
        return self._pieces.lost_bytes

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> AnyStr:
        piece = self._take(self._pieces.piece)
        if piece is None:
            raise StopIteration
        return piece

    def lines(self) -> Iterator[AnyStr]:
        r"""Its lines as they come, each with its end, from where the reading is now. Where one raises, the next is what
        follows. In text ``\r`` ends a line, too, as soon as it comes, and all ends are ``\n``.

        Raises:
            OutputLost: a part is no longer kept, or, at the end, its output was cut while it still came (OutputCut).
            UnicodeDecodeError: it is no text.
            ProgramNotFound: it was forgotten.
        """
        return _Lines(self)

    def readline(self) -> AnyStr:
        """The next line with its end; empty at the end of the output.

        Raises:
            OutputLost, UnicodeDecodeError, ProgramNotFound: as of :meth:`lines`.
        """
        line = self._take(self._pieces.line)
        return self._pieces.nothing if line is None else line

    def readlines(self) -> list[AnyStr]:
        """All lines up to its end, each with its own.

        Raises:
            OutputLost, UnicodeDecodeError, ProgramNotFound: as of :meth:`lines`.
        """
        return list(self.lines())

    def read(self, size: int = -1) -> AnyStr:
        """So many bytes or characters, fewer at the end of the output.

        Parameters:
            size: how many; everything up to the end where negative.

        Raises:
            OutputLost, UnicodeDecodeError, ProgramNotFound: as of :meth:`lines`.
        """
        found = self._take(self._pieces.rest if size < 0 else lambda: self._pieces.exactly(size))
        return self._pieces.nothing if found is None else found

    def close(self) -> None:
        """Read no more. The program goes on."""
        self._chunks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, what: Callable[[], AnyStr | None]) -> AnyStr | None:
        """Take something, reading on until it is there; ``None`` where there is no more."""
        pieces = self._pieces
        while (found := what()) is None and not pieces.ended:
            try:
                chunk = next(self._chunks)
            except StopIteration:
                pieces.end()
            else:
                pieces.put(chunk)
        return found


class _Lines(Iterator[AnyStr], Generic[AnyStr]):
    """The lines of an output: no generator, as that would end with the first gap."""

    def __init__(self, output: ProgramOutput[AnyStr]) -> None:
        self._output: ProgramOutput[AnyStr] = output

    def __next__(self) -> AnyStr:
        line = self._output.readline()
        if not line:
            raise StopIteration
        return line


class ProgramInput(Generic[AnyStr]):
    """The standard input, or the terminal, of a program: a context manager that closes it."""

    def __init__(self, calls: ProgramCalls, coding: InputCoding[AnyStr]) -> None:
        self._calls = calls
        self._coding: InputCoding[AnyStr] = coding

    def write(self, data: AnyStr | str | bytes) -> int:
        """Write to it. This returns when the program, or its pipe, has taken all of it: a program that does not read
        makes the writer wait.

        Parameters:
            data: bytes, or text where the program was started with text.

        Returns:
            How much was written: all of it.

        Raises:
            StdinClosed: it takes no more input.
            NotController: another connection controls it.
            ConnectionLost: the connection was lost meanwhile; whether the program got the last piece is not known.
        """
        self._calls.write(self._coding.encode(data))
        return len(data)

    def writelines(self, lines: Iterable[AnyStr | str | bytes]) -> None:
        """Write one after the other; no ends of lines are added.

        Parameters:
            lines: as of :meth:`write`.

        Raises:
            StdinClosed, NotController, ConnectionLost: as of :meth:`write`.
        """
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing: what was written has arrived."""

    def close(self) -> None:
        """Tell it that there is no more input. A terminal gets its end-of-file character (Ctrl-D); in the middle of a
        line twice, as the first one only ends the line.

        Raises:
            NotController: another connection controls it.
        """
        self._calls.close_stdin()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
