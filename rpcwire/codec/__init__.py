"""Turns frames into messages and back, in the three forms of the wire. Malformed input becomes a :class:`Malformed`
message; no exception leaves :meth:`Codec.decode`.

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
from .base import too_many_nodes as too_many_nodes
from .json_forms import JsonLines as JsonLines
from .json_forms import PlainJson as PlainJson
from .json_forms import strict_json as strict_json
from .msgpack_form import MessagePack as MessagePack

CODECS: tuple[type[Codec], ...] = (MessagePack, JsonLines, PlainJson)
"""Every form of the wire, in the order in which our clients offer them and servers prefer them. Both sides use this
table, and so do the tests that run on every form."""

SUBPROTOCOLS: tuple[Subprotocol, ...] = tuple(codec.subprotocol for codec in CODECS)
"""The names of all forms, in the same order."""


def codec_for(subprotocol: str | None, *, batch_items: int = BATCH_ITEMS) -> Codec:
    """Make the codec of a subprotocol.

    Parameters:
        subprotocol: its name; ``None`` for plain JSON-RPC.
        batch_items: the most entries of a JSON-RPC batch, if the form has batches.

    Raises:
        ValueError: there is no such subprotocol.
    """
    name = PlainJson.subprotocol if subprotocol is None else subprotocol
    for codec in CODECS:
        if codec.subprotocol == name:
            return codec(batch_items)
    raise ValueError(f"unknown subprotocol {subprotocol!r}: one of {', '.join(SUBPROTOCOLS)}")
