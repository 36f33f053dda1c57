"""Joins the frames of a WebSocket to messages (RFC 6455, section 5.4), within limits. websockets reads the frames."""

from __future__ import annotations

from typing import Protocol

from websockets.frames import Close, Frame, Opcode

ORDERLY = (1000, 1001)
"""The codes with which a side closes that is done, or goes away (RFC 6455, section 7.4.1)."""
MAX_FRAGMENTS = 1024
"""The most fragments of one message: many tiny fragments cost more than their bytes."""


class Closing(Protocol):
    """The part of websockets' state that tells how a connection ends.

    Attributes:
        close_sent: the close frame of this side.
        close_rcvd_then_sent: whether that frame answers one of the other side.
    """

    close_sent: Close | None
    close_rcvd_then_sent: bool | None


def takes_data(ws: Closing) -> bool:
    """Return whether to read frames with data. This side does not when it has begun to close. If the other side has,
    this side reads what came before the close frame, even if both came together."""
    return ws.close_sent is None or bool(ws.close_rcvd_then_sent)


def hears_after(ws: Closing) -> bool:
    """Return whether input still means something when this side has begun to close. It does not if the other side has
    closed first, or has broken a rule."""
    return ws.close_sent is None or (ws.close_sent.code in ORDERLY and not ws.close_rcvd_then_sent)


class StreamBroken(Exception):
    """The other side has broken a rule of WebSockets: the connection must be closed.

    Attributes:
        code: the close code (RFC 6455, section 7.4.1).
        reason: a text for a person.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Assembler:
    """Joins the fragments of messages.

    Parameters:
        binary: whether messages must come in binary frames; otherwise in text frames.

    Attributes:
        waiting_bytes: the size of the fragments that wait for the rest of their message.
    """

    __slots__ = ("_fragments", "_is_broken", "_opcode", "binary", "waiting_bytes")

    def __init__(self, *, binary: bool) -> None:
        self.binary = binary
        self._fragments: list[bytes] = []
        self._opcode = Opcode.CONT
        self._is_broken = False
        self.waiting_bytes = 0

    @property
    def is_between(self) -> bool:
        """Whether no fragmented message is open."""
        return not self._fragments and not self._is_broken

    def feed(self, frame: Frame) -> bytes | None:
        """Read a data frame.

        Returns:
            The whole message if this frame ends one; otherwise ``None``. After an error always ``None``.

        Raises:
            StreamBroken: the frame has the wrong kind, a text is not valid UTF-8, or a message has too many fragments.
        """
        if self._is_broken:
            return None
        opcode = frame.opcode
        if opcode is not Opcode.CONT:
            self._opcode = opcode
            if (opcode is Opcode.BINARY) is not self.binary:
                kind = "binary" if self.binary else "text"
                raise self._break(1003, f"this subprotocol uses {kind} frames")
            if frame.fin:
                return self._whole(bytes(frame.data))
        self._fragments.append(bytes(frame.data))
        self.waiting_bytes += len(frame.data)
        if len(self._fragments) > MAX_FRAGMENTS:
            raise self._break(1009, f"a message of more than {MAX_FRAGMENTS} fragments")
        if not frame.fin:
            return None
        message = b"".join(self._fragments)
        self._fragments.clear()
        self.waiting_bytes = 0
        return self._whole(message)

    def _whole(self, message: bytes) -> bytes:
        if self._opcode is Opcode.TEXT:
            try:
                message.decode()
            except UnicodeDecodeError as exc:
                raise self._break(1007, f"invalid UTF-8 at byte {exc.start}") from None
        return message

    def _break(self, code: int, reason: str) -> StreamBroken:
        self._is_broken = True
        return StreamBroken(code, reason)
