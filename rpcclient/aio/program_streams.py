"""The input and output of a program, for the asynchronous client."""

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
    When the connection is lost, it goes on over a new one, after the last piece.

    Parameters:
        calls: makes the calls about the program.
        places: where reading begins.
        discards_output: whether the pieces are dropped, so that this does not count as reading.
    """

    def __init__(self, calls: AsyncProgramCalls, places: Places, *, discards_output: bool = False) -> None:
        self._calls = calls
        self._discards_output = discards_output
        self._places = places
        self._stream: AsyncStream[OutputChunk] | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> OutputChunk:
        calls, places = self._calls, self._places
        while not self._closed:
            if self._stream is None:
                await calls.ensure_connection()
                if not self._discards_output:
                    calls.begin_reading()
            try:
                if self._stream is None:
                    self._stream = calls.without_resend().output(calls.id, **places.request)
                chunk = await anext(self._stream)
            except TransportError as exc:
                self._stream = None
                await calls.reconnect(exc, places.losses)
            else:
                places.note_piece(chunk)
                return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop reading. The program goes on."""
        self._closed = True  # This comes first, so that a reader in another task does not connect again.
        try:
            if self._stream is not None:
                await self._stream.aclose()
        except LocalProtocolError:  # The stream belongs to another event loop, and is still open.
            self._closed = False
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class AsyncProgramOutput(AsyncIterator[AnyStr], Generic[AnyStr]):
    """One output of a program: an async iterator over its pieces as they come, as bytes or text. If the server no
    longer keeps a part, it raises :class:`rpcclient.programs.results.OutputLost`; the next piece is what follows."""

    def __init__(self, calls: AsyncProgramCalls, places: Places, coding: Coding[AnyStr]) -> None:
        self._chunks = AsyncProgramChunks(calls, places)
        self._pieces: Pieces[AnyStr] = Pieces(coding, may_begin_within=places.stream in places.tail_streams)

    @property
    def ended(self) -> bool:
        """Whether it was read to its end."""
        return self._pieces.has_ended

    @property
    def lost_bytes(self) -> int:
        """How many bytes could not be read, as the server no longer kept them."""
        return self._pieces.lost_bytes

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyStr:
        piece = await self._take(self._pieces.take_piece)
        if piece is None:
            raise StopAsyncIteration
        return piece

    def lines(self) -> AsyncIterator[AnyStr]:
        r"""Return an iterator over the lines that come from here on, each with its end. After an error the next line is
        what follows. In text ``\r`` ends a line, too, as soon as it comes, and all ends are ``\n``.

        Raises:
            OutputLost: the server no longer keeps a part; at the end: it stopped reading (OutputCut).
            UnicodeDecodeError: the output is no text.
            ProgramNotFound: it was forgotten.
        """
        return _AsyncLines(self)

    async def readline(self) -> AnyStr:
        """Read the next line with its end. It is empty at the end of the output.

        Raises:
            OutputLost, UnicodeDecodeError, ProgramNotFound: as of :meth:`lines`.
        """
        line = await self._take(self._pieces.take_line)
        return self._pieces.nothing if line is None else line

    async def readlines(self) -> list[AnyStr]:
        """Read all lines up to the end of the output, each with its own end.

        Raises:
            OutputLost, UnicodeDecodeError, ProgramNotFound: as of :meth:`lines`.
        """
        return [line async for line in self.lines()]

    async def read(self, size: int = -1) -> AnyStr:
        """Read ``size`` bytes or characters, fewer at the end of the output.

        Parameters:
            size: how many; everything up to the end if negative.

        Raises:
            OutputLost, UnicodeDecodeError, ProgramNotFound: as of :meth:`lines`.
        """
        output = await self._take(self._pieces.take_rest if size < 0 else lambda: self._pieces.take_exactly(size))
        return self._pieces.nothing if output is None else output

    async def aclose(self) -> None:
        """Stop reading. The program goes on."""
        await self._chunks.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _take(self, take: Callable[[], AnyStr | None]) -> AnyStr | None:
        """Read on until ``take`` returns something, and return it; ``None`` at the end of the output."""
        pieces = self._pieces
        while (output := take()) is None and not pieces.has_ended:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                pieces.end()
            else:
                pieces.put(chunk)
        return output


class _AsyncLines(AsyncIterator[AnyStr], Generic[AnyStr]):
    """The lines of an output. This is no generator, which would end with the first gap."""

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
        await self._calls.write(self._coding.encode(data))
        return len(data)

    async def writelines(self, lines: Iterable[AnyStr | str | bytes]) -> None:
        """Write one piece after the other, without adding ends of lines.

        Parameters:
            lines: as of :meth:`write`.

        Raises:
            StdinClosed, NotController, ConnectionLost: as of :meth:`write`.
        """
        for line in lines:
            await self.write(line)

    async def flush(self) -> None:
        """Do nothing: what was written has arrived."""

    async def close(self) -> None:
        """End the input. A terminal gets its end-of-file character (Ctrl-D), and in the middle of a line two of them,
        as the first one only ends the line.

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
