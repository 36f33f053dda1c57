"""The link of a connection that comes over a circuit: for the server it is a connection like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from rpcserver.memory import Shares
from rpcwire.aio.link import FrameReceiver, GoOn, Hold
from rpcwire.codec import Codec
from rpcwire.context import Principal
from rpcwire.limits import LinkLimits

from .circuit import Drain, End
from .line import Line


class CircuitLink:
    """One connection over a circuit, at the node to which it leads. It is a
    :class:`~rpcserver.connections.AdmittedLink`.

    While the client does not read, nothing more of what it sends is read, as on a socket: so it cannot ask for more
    than it reads.

    Parameters:
        line: the circuit.
        principal: who the client is, as the gateway says.
        remote: where the client is, for a person.
        takes_bytes: the largest message that the client accepts, in bytes; ``None`` if it does not tell.
        drain: lets the calls of the connection end, and closes it; called if the gateway stops.

    Attributes:
        principal, takes_bytes: the parameters.
        limits: the limits of the link. The gateway pings the client, and the roster tells whether the gateway lives, so
            that nobody pings here.
        message_bytes: the largest message of the client, in bytes.
    """

    kind = "node"
    address = None
    attempts_address = "node"
    origin = "node"
    certificate_serial = None

    def __init__(
        self,
        line: Line,
        principal: Principal,
        remote: str,
        takes_bytes: int | None,
        drain: Callable[[CircuitLink, Drain], None],
    ) -> None:
        self.principal: Principal | None = principal
        self.takes_bytes = takes_bytes
        self.limits = LinkLimits(ping_interval_s=0.0)
        self._line = line
        self._remote = remote
        self._drain = drain
        self._loop = asyncio.get_running_loop()
        self._receiver: FrameReceiver | None = None
        self._rest: GoOn | None = None
        self._is_paused = False
        self._is_due = False

    @property
    def gateway(self) -> str:
        """The name of the node that has led the client here."""
        return "" if self.principal is None else self.principal.via

    @property
    def remote(self) -> str:
        """Where the client is, for a person."""
        return self._remote

    @property
    def message_bytes(self) -> int:
        """The largest message of the client, in bytes."""
        return self._line.circuit.most_frame_bytes

    def certificate(self) -> tuple[Mapping[str, Any], bytes] | None:
        """Return ``None``: the client has shown its certificate to the gateway, if it has one."""
        return None

    def unix_groups(self) -> Collection[int]:
        """Return nothing: whoever is behind a circuit is no process of this machine."""
        return ()

    def refuse_if_short(self, principal: Principal) -> str | None:  # noqa: ARG002 - a circuit needs no open file
        """Return ``None``: the client may stay."""
        return None

    def attach(self, receiver: FrameReceiver, codec: Codec) -> None:  # noqa: ARG002 - a circuit has frames of one kind
        """Hand frames to ``receiver`` from now on."""
        self._receiver = receiver
        self._line.start(self, None)

    def grant_full_limits(self, shares: Shares, message_bytes: int) -> None:
        """Give the client its full limits.

        Parameters:
            shares: count the bytes that the link holds.
            message_bytes: the largest message of the client, in bytes.
        """
        self._line.circuit.most_frame_bytes = message_bytes
        self._line.count_by(shares.outgoing)

    # --- for the peer ------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        return self._line.is_open

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in order."""
        line = self._line
        for frame in frames:
            line.send(frame)
        if line.is_full and line.is_open and not self._is_paused and self._receiver is not None:
            self._is_paused = True
            self._receiver.writing_paused()

    def close(self, code: int, reason: str, *, patient: bool = True) -> None:  # noqa: ARG002 - the line sees progress
        """Close in an orderly way. Nothing more is read."""
        if self._line.is_open:
            self._line.close(code, reason)
        elif self._line.circuit.end is None:
            return
        receiver, self._receiver, self._rest = self._receiver, None, None
        if receiver is not None:
            self._loop.call_soon(receiver.link_lost, f"{code} {reason}".strip())

    def abort(self) -> None:
        """Drop the connection at once."""
        self._line.abort("the node has dropped the connection")

    # --- for the line ------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether the peer takes a frame at once."""
        return self._rest is None and not self._is_paused and self._receiver is not None

    def take_frame(self, frame: bytes) -> None:
        """Hand a frame on."""
        assert self._receiver is not None
        rest = self._receiver.frame_received(frame)
        if rest is not None:
            self._note_rest(rest)

    def line_received(self) -> None:
        """Hand on what has arrived, one frame in a turn of the loop if it takes long."""
        while self._receiver is not None and self._rest is None and not self._is_paused:
            frame = self._line.take()
            if frame is None:
                return
            self._note_rest(self._receiver.frame_received(frame))

    def _note_rest(self, rest: GoOn | None) -> None:
        self._rest = rest
        if isinstance(rest, Hold):
            rest.then(lambda: self._loop.call_soon(self._go_on))
        elif rest is not None:
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        rest = self._rest
        if rest is not None:
            self._note_rest(rest())
            self.line_received()

    def line_has_room(self) -> None:
        """Let the peer send again."""
        if self._is_paused:
            self._is_paused = False
            if self._receiver is not None:
                self._receiver.writing_resumed()
            self.line_received()

    def line_drains(self, drain: Drain) -> None:
        """Let the calls end, and close: the client's own node stops."""
        self._drain(self, drain)

    def line_ended(self, end: End) -> None:
        """End the connection, when the frame is handled that has come last."""
        if self._rest is not None:
            self._loop.call_soon(self.line_ended, end)
            return
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.link_lost(f"{end.code} {end.reason}".strip())
