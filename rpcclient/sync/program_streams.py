# Generated from rpcclient/aio/program_streams.py by `make stubs`. Do not edit: change that, and generate anew.

"""The input and output of a program, for the synchronous client."""

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
    When the connection is lost, it goes on over a new one, after the last piece.

    Parameters:
        calls: makes the calls about the program.
        places: where reading begins.
        discards_output: whether the pieces are dropped, so that this does not count as reading.
    """

    def __init__(self, calls: ProgramCalls, places: Places, *, discards_output: bool = False) -> None:
        self._calls = calls
        self._discards_output = discards_output
        self._places = places
        self._stream: Stream[OutputChunk] | None = None
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> OutputChunk:
        calls, places = self._calls, self._places
        while not self._closed:
            if self._stream is None:
                calls.ensure_connection()
                if not self._discards_output:
                    calls.begin_reading()
            try:
                if self._stream is None:
                    self._stream = calls.without_resend().output(calls.id, **places.request)
                chunk = next(self._stream)
            except TransportError as exc:
                self._stream = None
                calls.reconnect(exc, places.losses)
            else:
                places.note_piece(chunk)
                return chunk
        raise StopIteration

    def close(self) -> None:
        """Stop reading. The program goes on."""
        self._closed = True  # This comes first, so that a reader in another task does not connect again.
        try:
            if self._stream is not None:
                self._stream.close()
        except LocalProtocolError:  # The stream belongs to another event loop, and is still open.
            self._closed = False
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ProgramOutput(Iterator[AnyStr], Generic[AnyStr]):
    """One output of a program: an iterator over its pieces as they come, as bytes or text. If the server no
    longer keeps a part, it raises :class:`rpcclient.programs.results.OutputLost`; the next piece is what follows."""

    def __init__(self, calls: ProgramCalls, places: Places, coding: Coding[AnyStr]) -> None:
        self._chunks = ProgramChunks(calls, places)
        self._pieces: Pieces[AnyStr] = Pieces(coding, may_begin_within=places.stream in places.tail_streams)

    @property
    def ended(self) -> bool:
        """Whether it was read to its end."""
        return self._pieces.has_ended

    @property
    def lost_bytes(self) -> int:
        """How many bytes could not be read, as the server no longer kept them."""
        return self._pieces.lost_bytes

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> AnyStr:
        piece = self._take(self._pieces.take_piece)
        if piece is None:
            raise StopIteration
        return piece

    def lines(self) -> Iterator[AnyStr]:
        r"""Return an iterator over the lines that come from here on, each with its end. After an error the next line is
        what follows. In text ``\r`` ends a line, too, as soon as it comes, and all ends are ``\n``.

        Raises:
            OutputLost: the server no longer keeps a part; at the end: it stopped reading (OutputCut).
            UnicodeDecodeError: the output is no text.
            ProgramNotFound: it was forgotten.
        """
        return _Lines(self)

    def readline(self) -> AnyStr:
        """Read the next line with its end. It is empty at the end of the output.

        Raises:
            OutputLost, UnicodeDecodeError, ProgramNotFound: as of :meth:`lines`.
        """
        line = self._take(self._pieces.take_line)
        return self._pieces.nothing if line is None else line

    def readlines(self) -> list[AnyStr]:
        """Read all lines up to the end of the output, each with its own end.

        Raises:
            OutputLost, UnicodeDecodeError, ProgramNotFound: as of :meth:`lines`.
        """
        return list(self.lines())

    def read(self, size: int = -1) -> AnyStr:
        """Read ``size`` bytes or characters, fewer at the end of the output.

        Parameters:
            size: how many; everything up to the end if negative.

        Raises:
            OutputLost, UnicodeDecodeError, ProgramNotFound: as of :meth:`lines`.
        """
        output = self._take(self._pieces.take_rest if size < 0 else lambda: self._pieces.take_exactly(size))
        return self._pieces.nothing if output is None else output

    def close(self) -> None:
        """Stop reading. The program goes on."""
        self._chunks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, take: Callable[[], AnyStr | None]) -> AnyStr | None:
        """Read on until ``take`` returns something, and return it; ``None`` at the end of the output."""
        pieces = self._pieces
        while (output := take()) is None and not pieces.has_ended:
            try:
                chunk = next(self._chunks)
            except StopIteration:
                pieces.end()
            else:
                pieces.put(chunk)
        return output


class _Lines(Iterator[AnyStr], Generic[AnyStr]):
    """The lines of an output. This is no generator, which would end with the first gap."""

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
        """Write to the input. This returns when the program, or its pipe, has accepted all. If the program
        does not read, the writer waits.

        Parameters:
            data: bytes, or text where the program was started with text.

        Returns:
            How much was written: all of it.

        Raises:
            StdinClosed: the input has ended.
            NotController: another connection controls it.
            ConnectionLost: the connection was lost meanwhile. The program may or may not have got the last piece.
        """
        self._calls.write(self._coding.encode(data))
        return len(data)

    def writelines(self, lines: Iterable[AnyStr | str | bytes]) -> None:
        """Write one piece after the other, without adding ends of lines.

        Parameters:
            lines: as of :meth:`write`.

        Raises:
            StdinClosed, NotController, ConnectionLost: as of :meth:`write`.
        """
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Do nothing: what was written has arrived."""

    def close(self) -> None:
        """End the input. A terminal gets its end-of-file character (Ctrl-D), and in the middle of a line two of them,
        as the first one only ends the line.

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
