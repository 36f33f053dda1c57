"""Decodes the output of programs and encodes their input, also where a character was cut."""

from __future__ import annotations

import codecs
import contextlib
from dataclasses import dataclass
from typing import Any, AnyStr, Generic, cast

from rpcwire.errors import InvalidParams


def invalid(name: str, text: str, *, item: int | None = None) -> InvalidParams:
    """Make the error for a parameter that cannot be used.

    Parameters:
        name: the parameter's name.
        text: what is wrong, and the remedy.
        item: the index of the wrong item, if the parameter is a list.
    """
    place = [name] if item is None else [name, item]
    error = {"loc": place, "msg": text, "type": "value_error"}
    return InvalidParams(f"{'.'.join(map(str, place))}: {text}", errors=[error], executed="no")


@dataclass(frozen=True)
class Coding(Generic[AnyStr]):
    """How output and input are given: as bytes, or as text in an encoding.

    Attributes:
        encoding: ``None`` for bytes.
        errors: what to do with bytes that are no text, as of :meth:`bytes.decode`.
    """

    encoding: str | None = None
    errors: str = "strict"

    @staticmethod
    def of(text: bool, encoding: str | None, errors: str | None) -> Coding[Any]:
        """Combine ``text``, ``encoding`` and ``errors`` as :mod:`subprocess` does: each of them asks for text.

        Raises:
            InvalidParams: there is no such encoding, or no such way to treat errors.
        """
        if not text and encoding is None and errors is None:
            return Coding()
        name, treatment = encoding or "utf-8", errors or "strict"
        try:
            codecs.lookup_error(treatment)
        except (LookupError, TypeError):
            raise invalid("errors", f"there is no way called {treatment!r} to treat them") from None
        try:
            with contextlib.suppress(UnicodeError):
                "a".encode(name)  # Some codecs, such as hex, are not for text. Only trying tells.
        except (LookupError, TypeError):
            raise invalid("encoding", f"there is no encoding {name!r}") from None
        return Coding(name, treatment)

    def decode(self, data: bytes, *, after: int | None = None, cut: bool = False) -> AnyStr:
        """Decode output. An incomplete character is left out only where output is known to be missing.

        Parameters:
            data: the output.
            after: where ``data`` begins, in bytes from the start of the output, if output before it is missing.
            cut: whether output after it is missing.

        Raises:
            UnicodeDecodeError: the output is no text in this encoding.
        """
        result: Any = data
        if self.encoding is not None:
            result = Newlines().translate(self._decode(self.encoding, data, after, cut))
        return cast("AnyStr", result)

    def _decode(self, encoding: str, data: bytes, after: int | None, cut: bool) -> str:
        if after is not None:
            data = Mender(encoding).mend(after, data)
        if not cut:
            return data.decode(encoding, self.errors)
        return codecs.getincrementaldecoder(encoding)(self.errors).decode(data)

    def encode(self, data: AnyStr | str | bytes, *, follows_input: bool = False) -> bytes:
        """Encode input for the program.

        Parameters:
            data: text or bytes.
            follows_input: whether there was input before it. Then it gets no byte order mark.

        Raises:
            InvalidParams: ``data`` is text, and no encoding was given; or it is neither text nor bytes.
        """
        if isinstance(data, (bytes, bytearray, memoryview)):
            return bytes(data)
        # Type checkers know that there is nothing else; those who use none do not.
        if not isinstance(data, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise invalid("input", f"bytes or text are needed, not {type(data).__name__}")
        if self.encoding is None:
            raise invalid("data", "it is text, and the program's input is bytes: encode it, or give text=True")
        data_bytes = data.encode(self.encoding, self.errors)
        return data_bytes.removeprefix(self.mark) if follows_input else data_bytes

    @property
    def mark(self) -> bytes:
        """The byte order mark with which text in this encoding begins, empty where it has none."""
        return b"" if self.encoding is None else "".encode(self.encoding)

    def check_order_of_bytes(self) -> None:
        """Check that output in this encoding can be read from another place than its beginning.

        Raises:
            InvalidParams: only a mark at the beginning says in which order the bytes are.
        """
        if self.encoding is not None and (name := codecs.lookup(self.encoding).name) in ("utf-16", "utf-32"):
            reason = f"{name} tells only at the beginning of an output in which order its bytes are"
            raise invalid("encoding", f"{reason}: to read from elsewhere, give {name}-le or {name}-be")


class InputCoding(Generic[AnyStr]):
    """Encodes the input of a program, piece by piece.

    Parameters:
        coding: whether the input is bytes or text, and in which encoding.
        follows_input: whether others may have written before. Then the first piece gets no byte order mark.
    """

    def __init__(self, coding: Coding[AnyStr], *, follows_input: bool = False) -> None:
        self._coding: Coding[AnyStr] = coding
        self._follows_input = follows_input

    def encode(self, data: AnyStr | str | bytes) -> bytes:
        """Encode the next piece. Only the first piece may have a byte order mark.

        Raises:
            InvalidParams: as of :meth:`Coding.encode`.
        """
        data_bytes = self._coding.encode(data, follows_input=self._follows_input or not data)
        self._follows_input = self._follows_input or bool(data_bytes)
        return data_bytes


class Newlines:
    r"""Turns every end of a line into ``\n``, as :mod:`subprocess` does for text: ``\r\n``, which terminals send, and
    ``\r``, with which a program writes over its line. A ``\r`` ends a line at once, before the next sign is known, so
    that a progress bar is seen while it moves.
    """

    def __init__(self) -> None:
        self._follows_return = False

    def translate(self, text: str) -> str:
        """Return the next piece of text with its ends of lines turned into line feeds."""
        if not text:
            return text
        rest = text[1:] if self._follows_return and text[0] == "\n" else text  # Its line has ended with "\r".
        self._follows_return = text[-1] == "\r"
        return rest.replace("\r\n", "\n").replace("\r", "\n") if "\r" in rest else rest

    def begin_anew(self) -> None:
        """Forget the last piece: the next one does not continue it."""
        self._follows_return = False


class Mender:
    """Leaves out the rest of a character whose beginning is missing. In UTF-8 the first byte of a character can be told
    from the others (RFC 3629, section 3); in UTF-16 and UTF-32 the offset tells. Other encodings give no sign.

    Parameters:
        encoding: the encoding of the output.
    """

    def __init__(self, encoding: str) -> None:
        name = codecs.lookup(encoding).name
        self._rest_bytes = 3 if name in ("utf-8", "utf-8-sig") else 0  # Bytes that may follow.
        self._unit_bytes = 2 if name.startswith("utf-16") else 4 if name.startswith("utf-32") else 1

    def mend(self, offset: int, data: bytes) -> bytes:
        """Return a piece that follows missing output, without the rest of a character at its beginning.

        Parameters:
            offset: where the piece begins, in bytes from the start of the output.
            data: the piece.
        """
        if self._unit_bytes > 1:
            drop = min(-offset % self._unit_bytes, len(data))
            if drop < len(data):
                self._unit_bytes = 1
            return data[drop:]
        drop = 0
        while self._rest_bytes and drop < len(data):
            if data[drop] & 0xC0 != 0x80:
                self._rest_bytes = 0
                break
            self._rest_bytes -= 1
            drop += 1
        return data[drop:]
