"""What a program reads and writes, for the asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import AnyStr, Generic, Self

from rpcclient.programs.coming_back import Places
from rpcclient.programs.pieces import Pieces
from rpcclient.programs.text import Coding, InputCoding
from rpcclient.stubs.programs import OutputChunk
from rpcwire.aio.cancelling import gives_way
from rpcwire.errors import LocalProtocolError, TransportError

from .program_calls import AsyncProgramCalls
from .stream import AsyncStream


class AsyncProgramChunks(AsyncIterator[OutputChunk]):
    """The pieces of a program's output: an async iterator, and an async context manager that ends the reading.
    When the connection is lost, it goes on over a new one, where the last piece ended.

    Parameters:
        calls: makes the calls about the program.
        places: from where.
        passes: whether it only lets the output go by.
    """

    def __init__(self, calls: AsyncProgramCalls, places: Places, *, passes: bool = False) -> None:
        self._calls = calls
        self._passes = passes
        self._places = places
        self._stream: AsyncStream[OutputChunk] | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> OutputChunk:
        calls, places = self._calls, self._places
        while not self._closed:
            if self._stream is None:
                await calls.hold()
                if not self._passes:
                    calls.begin_reading()
            try:
                if self._stream is None:
                    self._stream = calls.steady().output(calls.id, **places.request)
                chunk = await anext(self._stream)
            except TransportError as exc:
                self._stream = None
                await calls.come_back(exc, places.losses)
            else:
                places.got(chunk)
                return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Read no more. The program goes on."""
        self._closed = True  # First, as whoever reads meanwhile is not to come back.
        try:
            if self._stream is not None:
                await self._stream.aclose()
        except LocalProtocolError:  # It was not tried where it lives: nothing has happened.
            self._closed = False
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class AsyncProgramOutput(AsyncIterator[AnyStr], Generic[AnyStr]):
    """One output of a program: an async iterator over its pieces as they come, as bytes or text. Where a part of it
    is no longer kept, :class:`rpcclient.programs.results.OutputLost` is raised; the next piece is what follows."""

    def __init__(self, calls: AsyncProgramCalls, places: Places, coding: Coding[AnyStr]) -> None:
        self._chunks = AsyncProgramChunks(calls, places)
        self._pieces: Pieces[AnyStr] = Pieces(coding, begins_within=places.stream in places.within)

    @property
    def ended(self) -> bool:
        """Whether it was read to its end."""
        return self._pieces.ended

    @property
    def lost_bytes(self) -> int:
        """How many bytes could not be read, as they were no longer kept."""
        return self._pieces.lost_bytes

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyStr:
        piece = await self._take(self._pieces.piece)
        if piece is None:
            raise StopAsyncIteration
        return piece

    def lines(self) -> AsyncIterator[AnyStr]:
        r"""Its lines as they come, each with its end, from where the reading is now. Where one raises, the next is what
        follows. In text ``\r`` ends a line, too, as soon as it comes, and all ends are ``\n``.

        Raises:
            OutputLost: a part is no longer kept, or, at the end, its output was cut while it still came (OutputCut).
            UnicodeDecodeError: it is no text.
            ProgramNotFound: it was forgotten.
        """
        return _AsyncLines(self)

    async def readline(self) -> AnyStr:
        """The next line with its end; empty at the end of the output.

        Raises:
            OutputLost, UnicodeDecodeError, ProgramNotFound: as of :meth:`lines`.
        """
        line = await self._take(self._pieces.line)
        return self._pieces.nothing if line is None else line

    async def readlines(self) -> list[AnyStr]:
        """All lines up to its end, each with its own.

        Raises:
            OutputLost, UnicodeDecodeError, ProgramNotFound: as of :meth:`lines`.
        """
        return [line async for line in self.lines()]

    async def read(self, size: int = -1) -> AnyStr:
        """So many bytes or characters, fewer at the end of the output.

        Parameters:
            size: how many; everything up to the end where negative.

        Raises:
            OutputLost, UnicodeDecodeError, ProgramNotFound: as of :meth:`lines`.
        """
        found = await self._take(self._pieces.rest if size < 0 else lambda: self._pieces.exactly(size))
        return self._pieces.nothing if found is None else found

    async def aclose(self) -> None:
        """Read no more. The program goes on."""
        await self._chunks.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _take(self, what: Callable[[], AnyStr | None]) -> AnyStr | None:
        """Take something, reading on until it is there; ``None`` where there is no more."""
        pieces = self._pieces
        while (found := what()) is None and not pieces.ended:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                pieces.end()
            else:
                pieces.put(chunk)
        return found


class _AsyncLines(AsyncIterator[AnyStr], Generic[AnyStr]):
    """The lines of an output: no generator, as that would end with the first gap."""

    def __init__(self, output: AsyncProgramOutput[AnyStr]) -> None:
        self._output: AsyncProgramOutput[AnyStr] = output

    async def __anext__(self) -> AnyStr:
        line = await self._output.readline()
        if not line:
            raise StopAsyncIteration
        return line


class AsyncProgramInput(Generic[AnyStr]):
    """The standard input, or the terminal, of a program: an async context manager that closes it."""

    def __init__(self, calls: AsyncProgramCalls, coding: InputCoding[AnyStr]) -> None:
        self._calls = calls
        self._coding: InputCoding[AnyStr] = coding

    @gives_way
    async def write(self, data: AnyStr | str | bytes) -> int:
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
        await self._calls.write(self._coding.encode(data))
        return len(data)

    async def writelines(self, lines: Iterable[AnyStr | str | bytes]) -> None:
        """Write one after the other; no ends of lines are added.

        Parameters:
            lines: as of :meth:`write`.

        Raises:
            StdinClosed, NotController, ConnectionLost: as of :meth:`write`.
        """
        for line in lines:
            await self.write(line)

    async def flush(self) -> None:
        """Nothing: what was written has arrived."""

    async def close(self) -> None:
        """Tell it that there is no more input. A terminal gets its end-of-file character (Ctrl-D); in the middle of a
        line twice, as the first one only ends the line.

        Raises:
            NotController: another connection controls it.
        """
        await self._calls.close_stdin()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
