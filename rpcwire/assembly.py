"""WebSocket frames to messages (RFC 6455, section 5.4), within limits. The framing itself is websockets' work."""

from __future__ import annotations

from websockets.frames import Frame, Opcode

MAX_FRAGMENTS = 1024
"""Fragments of one message. Many tiny ones cost more than their bytes."""


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

    __slots__ = ("_fragments", "_opcode", "binary")

    def __init__(self, *, binary: bool) -> None:
        self.binary = binary
        self._fragments: list[bytes] = []
        self._opcode = Opcode.CONT

    def feed(self, frame: Frame) -> bytes | None:
        """Take in a data frame.

        Returns:
            The whole message where this frame ends one; ``None`` otherwise.

        Raises:
            StreamBroken: the wrong kind of frame, invalid UTF-8 in text, too many fragments.
        """
        if frame.opcode is not Opcode.CONT:
            self._opcode = frame.opcode
            if (frame.opcode is Opcode.BINARY) is not self.binary:
                wanted = "binary" if self.binary else "text"
                raise StreamBroken(1003, f"this subprotocol uses {wanted} frames")
            if frame.fin:
                return self._whole(bytes(frame.data))
        self._fragments.append(bytes(frame.data))
        if len(self._fragments) > MAX_FRAGMENTS:
            raise StreamBroken(1009, f"a message of more than {MAX_FRAGMENTS} fragments")
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
                raise StreamBroken(1007, f"invalid UTF-8 at byte {exc.start}") from None
        return message
