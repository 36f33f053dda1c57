"""The output and input of programs as bytes or text, and characters that were cut."""

from __future__ import annotations

import codecs
import contextlib
from dataclasses import dataclass
from typing import Any, AnyStr, Generic, cast

from rpcwire.errors import InvalidParams


def invalid(name: str, text: str, *, item: int | None = None) -> InvalidParams:
    """The error for a parameter that this side cannot use.

    Parameters:
        name: of the parameter.
        text: what is wrong, and the remedy.
        item: which item of it is meant, where it is one.
    """
    place = [name] if item is None else [name, item]
    error = {"loc": place, "msg": text, "type": "value_error"}
    return InvalidParams(f"{'.'.join(map(str, place))}: {text}", errors=[error], executed="no")


@dataclass(frozen=True)
class Coding(Generic[AnyStr]):
    """Bytes, or text in some encoding.

    Attributes:
        encoding: ``None`` for bytes.
        errors: what to do with bytes that are no text, as of :meth:`bytes.decode`.
    """

    encoding: str | None = None
    errors: str = "strict"

    @staticmethod
    def of(text: bool, encoding: str | None, errors: str | None) -> Coding[Any]:
        """What ``text``, ``encoding`` and ``errors`` mean together, as in :mod:`subprocess`: each asks for text.

        Raises:
            InvalidParams: there is no such encoding, or no such way to treat errors.
        """
        if not text and encoding is None and errors is None:
            return Coding()
        name, how = encoding or "utf-8", errors or "strict"
        try:
            codecs.lookup_error(how)
        except (LookupError, TypeError):
            raise invalid("errors", f"there is no way called {how!r} to treat them") from None
        try:
            with contextlib.suppress(UnicodeError):
                "a".encode(name)  # Some codecs, such as hex, are not for text; only this tells.
        except (LookupError, TypeError):
            raise invalid("encoding", f"there is no encoding {name!r}") from None
        return Coding(name, how)

    def decode(self, data: bytes, *, after: int | None = None, cut: bool = False) -> AnyStr:
        """Output as it is wanted. An incomplete character is left out where output is known to be missing, and only
        there.

        Parameters:
            data: the output.
            after: where it begins, in bytes from the start of the output, if something before it is missing.
            cut: whether something after it is missing.

        Raises:
            UnicodeDecodeError: it is no text in this encoding.
        """
        found: Any = data
        if self.encoding is not None:
            found = Newlines().translated(self._decoded(self.encoding, data, after, cut))
        return cast("AnyStr", found)

    def _decoded(self, encoding: str, data: bytes, after: int | None, cut: bool) -> str:
        if after is not None:
            data = Mender(encoding).mend(after, data)
        if not cut:
            return data.decode(encoding, self.errors)
        return codecs.getincrementaldecoder(encoding)(self.errors).decode(data)

    def encode(self, data: AnyStr | str | bytes, *, begun: bool = False) -> bytes:
        """Input for the program.

        Parameters:
            data: text or bytes.
            begun: whether there was input before it: then no byte order mark begins it.

        Raises:
            InvalidParams: it is text, and no encoding was given; or it is neither text nor bytes.
        """
        if isinstance(data, (bytes, bytearray, memoryview)):
            return bytes(data)
        # Type checkers know that there is nothing else; those who use none do not.
        if not isinstance(data, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise invalid("input", f"bytes or text are needed, not {type(data).__name__}")
        if self.encoding is None:
            raise invalid("data", "it is text, and the program's input is bytes: encode it, or give text=True")
        encoded = data.encode(self.encoding, self.errors)
        return encoded.removeprefix(self.mark) if begun else encoded

    @property
    def mark(self) -> bytes:
        """The byte order mark with which text in this encoding begins, empty where it has none."""
        return b"" if self.encoding is None else "".encode(self.encoding)

    def check_begins(self) -> None:
        """See that output can be read from elsewhere than its beginning.

        Raises:
            InvalidParams: the encoding says at the beginning in which order its bytes are.
        """
        if self.encoding is not None and (name := codecs.lookup(self.encoding).name) in ("utf-16", "utf-32"):
            said = f"{name} tells only at the beginning of an output in which order its bytes are"
            raise invalid("encoding", f"{said}: to read from elsewhere, give {name}-le or {name}-be")


class InputCoding(Generic[AnyStr]):
    """The input of a program, all of it in one encoding.

    Parameters:
        coding: bytes, or text in that encoding.
        begun: whether others may have written before: then no byte order mark begins it.
    """

    def __init__(self, coding: Coding[AnyStr], *, begun: bool = False) -> None:
        self._coding: Coding[AnyStr] = coding
        self._begun = begun

    def encode(self, data: AnyStr | str | bytes) -> bytes:
        """What comes next, as bytes; what is first may have a byte order mark.

        Raises:
            InvalidParams: as of :meth:`Coding.encode`.
        """
        encoded = self._coding.encode(data, begun=self._begun or not data)
        self._begun = self._begun or bool(encoded)
        return encoded


class Newlines:
    r"""Makes every end of a line ``\n``, as :mod:`subprocess` does for text: ``\r\n``, as terminals have it, and
    ``\r``, by which a program writes over its line. That ends a line at once, and not only when it is known what
    follows: a progress bar is seen as it moves.
    """

    def __init__(self) -> None:
        self._returned = False

    def translated(self, text: str) -> str:
        """The next piece of text, with its lines ended like that."""
        if not text:
            return text
        rest = text[1:] if self._returned and text[0] == "\n" else text  # It belongs to the one before.
        self._returned = text[-1] == "\r"
        return rest.replace("\r\n", "\n").replace("\r", "\n") if "\r" in rest else rest

    def begin_anew(self) -> None:
        """What follows does not follow what was there."""
        self._returned = False


class Mender:
    """Leaves out the rest of a character whose beginning is missing: of UTF-8, where a character's first byte tells
    (RFC 3629, 3), and of UTF-16 and UTF-32, where the place does. Other encodings do not tell.

    Parameters:
        encoding: of the output.
    """

    def __init__(self, encoding: str) -> None:
        name = codecs.lookup(encoding).name
        self._rest = 3 if name in ("utf-8", "utf-8-sig") else 0  # So many bytes may still belong to it.
        self._unit = 2 if name.startswith("utf-16") else 4 if name.startswith("utf-32") else 1

    def mend(self, offset: int, data: bytes) -> bytes:
        """The next piece after what is missing, without what belongs to it.

        Parameters:
            offset: where the piece begins, in bytes from the start of the output.
            data: the piece.
        """
        if self._unit > 1:
            drop = min(-offset % self._unit, len(data))
            if drop < len(data):
                self._unit = 1
            return data[drop:]
        drop = 0
        while self._rest and drop < len(data):
            if data[drop] & 0xC0 != 0x80:
                self._rest = 0
                break
            self._rest -= 1
            drop += 1
        return data[drop:]
