"""Reads what a node has answered as the type that its method declares."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from rpcwire.values.wiretypes import WireType

_T = TypeVar("_T")


@lru_cache(maxsize=16)
def _reader(kind: Hashable) -> WireType:
    from rpcwire.values.wiretypes import WireType

    return WireType(kind)


def read_as(kind: type[_T], value: Any) -> _T:
    """Read plain data as a type.

    Parameters:
        kind: the type.
        value: what a call without a contract has given.

    Raises:
        RemoteProtocolError: it is not of this type.
    """
    from rpcwire.codec import MessagePack
    from rpcwire.values.dynamic import dump_plain

    codec = MessagePack()
    return cast("_T", _reader(cast("Hashable", kind)).load_answer(dump_plain(value, codec), codec))
