"""Reads and writes whole frames of WebSockets (RFC 6455, section 5.2). Nearly every message is one short frame, and it
takes a fraction of the time here that it takes in websockets. websockets reads everything else: control frames,
fragments, long frames, and whatever breaks a rule."""

from __future__ import annotations

import secrets
from struct import Struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # websockets has no compiled part on this platform.
    from websockets.utils import apply_mask

WHOLE = 0x80
TEXT = 0x1
BINARY = 0x2
MASK_BIT = 0x80
TWO_BYTES = 126
"""Stands for a length in the next two bytes."""
EIGHT_BYTES = 127
"""Stands for a length in the next eight bytes."""
KEY_BYTES = 4
_KEYS = 256
"""The number of masking keys that are made at once: to ask the kernel for each takes as long as to mask."""
_MEDIUM = Struct("!BBH").pack
_LONG = Struct("!BBQ").pack


class WholeFrames:
    """Reads and writes whole messages of one kind on one connection.

    Parameters:
        binary: whether messages are binary; otherwise they are text.
        client: whether this is the client's end. A client masks its frames, and a server does not (section 5.1).
    """

    __slots__ = ("_binary", "_client", "_head", "_keys")

    def __init__(self, *, binary: bool, client: bool) -> None:
        self._binary = binary
        self._client = client
        self._head = WHOLE | (BINARY if binary else TEXT)
        self._keys: list[bytes] = []

    def read(self, data: bytes, begin: int, most_bytes: int) -> tuple[bytes, int] | None:
        """Read the frame that begins at a place, if it is a whole message of at most 65,535 bytes.

        Parameters:
            data: bytes that have arrived.
            begin: the place. Neither a frame nor a fragmented message may be open there.
            most_bytes: the largest message.

        Returns:
            The message, and the place of its end; ``None`` if websockets must read it: it is incomplete, no such
            frame, or breaks a rule.
        """
        start = begin + 2
        end = len(data)
        if end < start or data[begin] != self._head:
            return None
        size = data[begin + 1]
        if not self._client:
            size -= MASK_BIT  # Without a mask it is below zero now.
        if size >= TWO_BYTES:
            if size != TWO_BYTES or end < start + 2:
                return None
            size = data[start] << 8 | data[start + 1]
            start += 2
        if not self._client:
            start += KEY_BYTES
        if not 0 <= size <= most_bytes or end < start + size:
            return None
        end = start + size
        message = data[start:end]
        if not self._client:
            message = apply_mask(message, data[start - KEY_BYTES : start])
        if not self._binary:
            try:
                message.decode()
            except UnicodeDecodeError:
                return None
        return message, end

    def write(self, message: bytes) -> bytes:
        """Make the frame of a message, of any size."""
        size, mask = len(message), MASK_BIT if self._client else 0
        if size < TWO_BYTES:
            head = bytes((self._head, mask | size))
        elif size < 65536:
            head = _MEDIUM(self._head, mask | TWO_BYTES, size)
        else:
            head = _LONG(self._head, mask | EIGHT_BYTES, size)
        if not mask:
            return head + message
        if not self._keys:
            random = secrets.token_bytes(KEY_BYTES * _KEYS)
            self._keys = [random[at : at + KEY_BYTES] for at in range(0, len(random), KEY_BYTES)]
        key = self._keys.pop()
        return head + key + apply_mask(message, key)


class FrameBoundaries:
    """Follows the input that websockets reads, to know when no frame is open. It looks at lengths only: when a frame
    breaks a rule, websockets closes the connection."""

    __slots__ = ("_head", "_rest_bytes")

    def __init__(self) -> None:
        self._head = b""
        self._rest_bytes = 0

    @property
    def is_between(self) -> bool:
        """Whether the input so far ends with a whole frame."""
        return not self._rest_bytes and not self._head

    def follow(self, data: bytes, begin: int) -> int:
        """Follow the next input to the end of its first frame.

        Parameters:
            data: the input.
            begin: the place in it at which to begin.

        Returns:
            The place of the end of the frame; the end of the data if the frame is longer.
        """
        at, end = begin, len(data)
        while not self._rest_bytes and at < end:
            missing = _head_size(self._head) - len(self._head)
            self._head += data[at : at + missing]
            at = min(at + missing, end)
            if len(self._head) == _head_size(self._head):
                self._rest_bytes = _payload_size(self._head)
                self._head = b""
                if not self._rest_bytes:
                    return at
        step = min(self._rest_bytes, end - at)
        self._rest_bytes -= step
        return at + step


def _head_size(head: bytes) -> int:
    """Return the size of a frame's head with its masking key, as far as its beginning tells."""
    if len(head) < 2:
        return 2
    length = head[1] & 0x7F
    size = 4 if length == TWO_BYTES else 10 if length == EIGHT_BYTES else 2
    return size + (KEY_BYTES if head[1] & MASK_BIT else 0)


def _payload_size(head: bytes) -> int:
    length = head[1] & 0x7F
    if length == TWO_BYTES:
        return int.from_bytes(head[2:4])
    return int.from_bytes(head[2:10]) if length == EIGHT_BYTES else length
