"""Values that are encoded already: whoever passes on what others have encoded need not know its type."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from rpcwire.codec import Codec
from rpcwire.limits import BODY_LEVELS

from .unsendable import unsendable
from .wiretypes import WireType

SHALLOW_BYTES = 64
"""A value of so few bytes cannot nest too deeply."""


class Encoded(bytes):
    """A value in the form of the wire of the connection over which it goes."""


class _Mark:
    """Marks a type whose values may be :class:`Encoded`."""


MARK = _Mark()
"""The mark, for ``Annotated``."""

EncodedObject: TypeAlias = Annotated[dict[str, Any], MARK]
"""The type of an object that a handler may give as :class:`Encoded`."""


class EncodedType(WireType):
    """Writes values of a type that is marked with :data:`MARK`."""

    def dump(self, value: Any, codec: Codec, around: int = BODY_LEVELS) -> bytes:
        """Encode a value, as :meth:`WireType.dump`. Nothing is changed of a value that is :class:`Encoded`.

        Raises:
            ValueError, Unsendable: as of :meth:`WireType.dump`.
        """
        if type(value) is not Encoded:
            return super().dump(value, codec, around)
        if len(value) > SHALLOW_BYTES:
            try:
                codec.check(value, around, names=False)
            except ValueError as exc:
                raise unsendable(None, exc, binary=codec.packed) from exc
        return value


def is_marked(annotation: Any) -> bool:
    """Return whether values of a type may be :class:`Encoded`."""
    return MARK in getattr(annotation, "__metadata__", ())
