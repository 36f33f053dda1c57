"""The interface between a :class:`~rpcwire.aio.peer.Peer` and the transport below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class Hold:
    """Lets a link read nothing more until somebody has room: a receiver returns it in place of :class:`GoOn`, and the
    link takes no turns for it meanwhile. Whoever calls it as one goes on at once."""

    __slots__ = ("_is_over", "_step")

    def __init__(self) -> None:
        self._is_over = False
        self._step: Callable[[], object] | None = None

    def __call__(self) -> None:
        """Do nothing: all of the frame is handled."""

    def then(self, step: Callable[[], object]) -> None:
        """Take a step, one only, when the hold is over."""
        if self._is_over:
            step()
        else:
            self._step = step

    def release(self) -> None:
        """End the hold."""
        self._is_over = True
        step, self._step = self._step, None
        if step is not None:
            step()


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
