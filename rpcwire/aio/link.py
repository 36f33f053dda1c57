"""What a :class:`~rpcwire.aio.peer.Peer` needs of the transport below it, and what it offers in return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Link(Protocol):
    """A way for whole frames to the other side. It calls the methods of :class:`FrameReceiver` back."""

    @property
    def is_open(self) -> bool:
        """Whether frames still go out: not once either side has begun to close."""
        ...

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in order, without waiting. Does nothing once closed."""
        ...

    def close(self, code: int, reason: str, *, patient: bool = True) -> None:
        """Close in an orderly way; what was sent before still goes out.

        Parameters:
            code: the WebSocket close code (RFC 6455, section 7.4).
            reason: for a person, at most 123 bytes.
            patient: wait while the other side takes what was sent before; else some seconds only.
        """
        ...

    def abort(self) -> None:
        """Drop the connection at once."""
        ...


class FrameReceiver(Protocol):
    """What a link reports."""

    def frame_received(self, frame: bytes) -> None:
        """One whole frame has come."""
        ...

    def writing_paused(self) -> None:
        """The other side does not take what was sent: hold back."""
        ...

    def writing_resumed(self) -> None:
        """It does again."""
        ...

    def link_lost(self, reason: str) -> None:
        """The connection has ended, for whatever reason. Called once."""
        ...
