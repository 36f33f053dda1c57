"""WebSocket frames to messages (RFC 6455, section 5.4), within limits. The framing itself is websockets' work."""

from __future__ import annotations

from typing import Protocol

from websockets.frames import Close, Frame, Opcode

MAX_FRAGMENTS = 1024
"""Fragments of one message. Many tiny ones cost more than their bytes."""


class Closing(Protocol):
    """What websockets knows of the end of a connection.

    Attributes:
        close_sent: the close frame of this side.
        close_rcvd_then_sent: whether it answers the other side's.
    """

    close_sent: Close | None
    close_rcvd_then_sent: bool | None


def takes_data(ws: Closing) -> bool:
    """Whether frames with data are still wanted: not once this side has begun to close. Where the other side has, what
    it sent before its close frame is wanted, even if both came together."""
    return ws.close_sent is None or bool(ws.close_rcvd_then_sent)


class StreamBroken(Exception):
    """The WebSocket stream itself is wrong: it must be closed.

    Attributes:
        code: the close code (RFC 6455, section 7.4.1).
        reason: for a person.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Assembler:
    """Puts the fragments of messages together.

    Parameters:
        binary: whether messages must come in binary frames; in text frames otherwise.
    """

    __slots__ = ("_broken", "_fragments", "_opcode", "binary")

    def __init__(self, *, binary: bool) -> None:
        self.binary = binary
        self._fragments: list[bytes] = []
        self._opcode = Opcode.CONT
        self._broken = False

    def feed(self, frame: Frame) -> bytes | None:
        """Take in a data frame.

        Returns:
            The whole message where this frame ends one; ``None`` otherwise, and for whatever follows a frame that broke
            the stream.

        Raises:
            StreamBroken: the wrong kind of frame, invalid UTF-8 in text, too many fragments.
        """
        if self._broken:
            return None
        opcode = frame.opcode
        if opcode is not Opcode.CONT:
            self._opcode = opcode
            if (opcode is Opcode.BINARY) is not self.binary:
                wanted = "binary" if self.binary else "text"
                raise self._break(1003, f"this subprotocol uses {wanted} frames")
            if frame.fin:
                return self._whole(bytes(frame.data))
        self._fragments.append(bytes(frame.data))
        if len(self._fragments) > MAX_FRAGMENTS:
            raise self._break(1009, f"a message of more than {MAX_FRAGMENTS} fragments")
        if not frame.fin:
            return None
        message = b"".join(self._fragments)
        self._fragments.clear()
        return self._whole(message)

    def _whole(self, message: bytes) -> bytes:
        if self._opcode is Opcode.TEXT:
            try:
                message.decode()
            except UnicodeDecodeError as exc:
                raise self._break(1007, f"invalid UTF-8 at byte {exc.start}") from None
        return message

    def _break(self, code: int, reason: str) -> StreamBroken:
        self._broken = True
        return StreamBroken(code, reason)
