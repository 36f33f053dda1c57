"""The interface between a :class:`~rpcwire.aio.peer.Peer` and the transport below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Link(Protocol):
    """Carries whole frames to the other side and back. It reports to a :class:`FrameReceiver`."""

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent. They cannot when either side has begun to close."""
        ...

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in order, without waiting. Does nothing when the link is closed."""
        ...

    def close(self, code: int, reason: str, *, patient: bool = True) -> None:
        """Close in an orderly way: frames sent before still arrive.

        Parameters:
            code: the WebSocket close code (RFC 6455, section 7.4).
            reason: a text for a person, at most 123 bytes.
            patient: whether to wait as long as the other side keeps reading what was sent before; otherwise wait some
                seconds only.
        """
        ...

    def abort(self) -> None:
        """Drop the connection at once."""
        ...


class GoOn(Protocol):
    """Handles more of a frame in a later turn of the event loop."""

    def __call__(self) -> GoOn | None:
        """Handle more. Returns what handles the rest; ``None`` if there is none."""
        ...


class FrameReceiver(Protocol):
    """The object to which a link reports."""

    def frame_received(self, frame: bytes) -> GoOn | None:
        """Handle one whole frame, or as much of it as one turn of the event loop takes.

        Returns:
            What handles the rest, one turn after the other; ``None`` if there is none. No other frame may come before
            all of this one is handled.
        """
        ...

    def writing_paused(self) -> None:
        """Send less: the link accepts no more output for now."""
        ...

    def writing_resumed(self) -> None:
        """Send again: the link accepts output again."""
        ...

    def link_lost(self, reason: str) -> None:
        """End everything: the connection has ended, for whatever reason. Called once."""
        ...
