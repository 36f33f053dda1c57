"""Frames to messages and back, in the three forms of the wire. Every malformed input ends in a :class:`Malformed`
entry or a ``ParseError``; no other exception leaves this module.

==================  ============  =======  ==========================================================
subprotocol         frame         batches  several messages in one frame
==================  ============  =======  ==========================================================
none, ``jsonrpc``   text          yes      no, but for a batch (JSON-RPC 2.0, section 6)
``rpc.v1.json``     text          no       JSON Lines: one message a line
``rpc.v1.msgpack``  binary        no       a MessagePack array of messages
==================  ============  =======  ==========================================================
"""

from __future__ import annotations

from rpcwire.limits import BATCH_ITEMS

from .base import UNREADABLE as UNREADABLE
from .base import Codec as Codec
from .base import Decoded as Decoded
from .base import Malformed as Malformed
from .base import Subprotocol as Subprotocol
from .base import is_unicode as is_unicode
from .base import too_many as too_many
from .json_forms import JsonLines as JsonLines
from .json_forms import PlainJson as PlainJson
from .json_forms import strict_json as strict_json
from .msgpack_form import MessagePack as MessagePack

CODECS: tuple[type[Codec], ...] = (MessagePack, JsonLines, PlainJson)
"""Every form of the wire, in the order in which our clients offer them and servers prefer them. Both sides read this
table, and so do the tests that run on every form."""

OFFERED: tuple[Subprotocol, ...] = tuple(codec.subprotocol for codec in CODECS)
"""Their names, in the same order."""


def codec_for(subprotocol: str | None, *, batch_items: int = BATCH_ITEMS) -> Codec:
    """The codec that a negotiated subprotocol stands for; none means plain JSON-RPC.

    Parameters:
        subprotocol: its name.
        batch_items: entries that a JSON-RPC batch may have, where there are batches.

    Raises:
        ValueError: no such subprotocol.
    """
    name = PlainJson.subprotocol if subprotocol is None else subprotocol
    for codec in CODECS:
        if codec.subprotocol == name:
            return codec(batch_items)
    raise ValueError(f"unknown subprotocol {subprotocol!r}: one of {', '.join(OFFERED)}")
