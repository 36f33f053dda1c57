"""Passes the frames of a client on to another node, and back. It reads none of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rpcwire.accounts import Account
from rpcwire.aio.link import FrameReceiver, GoOn

from .circuit import Drain, End
from .line import Line

GOING_AWAY_CODE = 1001
"""The close code for the node if the client's connection was lost (RFC 6455, section 7.4.1)."""
TURN_FRAMES = 64
"""How many frames of the other node to pass on at once, as one write."""


class ClientSide(Protocol):
    """The link of the client."""

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        ...

    def hand_over(self, receiver: FrameReceiver) -> None:
        """Hand frames to another receiver from now on."""
        ...

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in order."""
        ...

    def close(self, code: int, reason: str, *, patient: bool = True) -> None:
        """Close in an orderly way."""
        ...


class Relay:
    """The way of one client's frames through this node. It takes the place of the peer of the client's connection,
    which gets no more frames, and still learns when the connection ends.

    Parameters:
        link: the link of the client.
        line: the circuit to the other node.
        peer: the peer.
        account: counts what waits here.
    """

    def __init__(self, link: ClientSide, line: Line, peer: FrameReceiver, account: Account | None) -> None:
        self._link = link
        self._line = line
        self._peer = peer
        self._account = account
        self._is_paused = False
        self._end: End | None = None
        link.hand_over(self)

    def start(self) -> None:
        """Pass on what comes from the other node: the client knows by now that it talks to it."""
        self._line.start(self, self._account)

    def drop(self, reason: str) -> None:
        """Drop the circuit, because the client was not told of it."""
        self._line.abort(reason)

    # --- from the client ---------------------------------------------------------------------------------------

    def frame_received(self, frame: bytes) -> GoOn | None:
        """Pass a frame on. If too much waits, nothing more is read of the client."""
        line = self._line
        line.send(frame)
        return line.hold() if line.is_full else None

    def writing_paused(self) -> None:
        """Pass nothing on to the client: it does not read."""
        self._is_paused = True
        self._peer.writing_paused()

    def writing_resumed(self) -> None:
        """Pass on again."""
        self._is_paused = False
        self._peer.writing_resumed()
        self.line_received()

    def link_lost(self, reason: str) -> None:
        """Tell the other node and the peer that the client is gone."""
        code, _, text = reason.partition(" ")
        if code.isdigit() and len(code) == 4:
            self._line.close(int(code), text)
        else:
            self._line.close(GOING_AWAY_CODE, reason)
        self._is_paused = True
        self._peer.link_lost(reason)

    # --- from the other node -----------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether the client takes a frame at once."""
        return not self._is_paused

    def take_frame(self, frame: bytes) -> None:
        """Pass a frame on to the client."""
        self._link.send((frame,))

    def line_received(self) -> None:
        """Pass frames on to the client."""
        line = self._line
        while not self._is_paused and line.circuit.has_frames:
            frames: list[bytes] = []
            while len(frames) < TURN_FRAMES and line.circuit.has_frames and (frame := line.take()) is not None:
                frames.append(frame)
            self._link.send(frames)

    def line_has_room(self) -> None:
        """Do nothing: the hold of the client's link is over."""

    def line_drains(self, drain: Drain) -> None:
        """Do nothing: a node that stops closes the circuit itself."""

    def line_ended(self, end: End) -> None:
        """Close the connection of the client, with the reason."""
        self._link.close(end.code, end.reason)
