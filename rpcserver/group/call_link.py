"""The link of a group call at an asked node: for the server it is a connection like any other, with one call at a time.

So the gate, limits, deadlines, audit, metrics, streams and cancelling are those of every call. It ends with the call,
and with it what a service has bound to it. If nothing is, it may serve a further call of the same caller: to make a
connection takes longer than most calls.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, cast

from rpcserver.memory import Shares
from rpcwire.aio.link import FrameReceiver, GoOn, Hold
from rpcwire.aio.peer import Peer
from rpcwire.codec import Codec
from rpcwire.context import Connection, Principal
from rpcwire.dispatch import Admission, Dispatch, Incoming
from rpcwire.errors import Cancelled, InvalidRequest
from rpcwire.limits import LinkLimits
from rpcwire.messages import CancelParams, EndParams, ErrorObject, Failure, Notification, StreamParams
from rpcwire.registry import Mode, Offer
from rpcwire.session import Session

from .call_wire import BEGUN, CALL_ID, STREAM, STREAM_ID


class Evidence(Protocol):
    """What a connection shows of who is on the other side."""

    @property
    def origin(self) -> str:
        """The whole address of the client."""
        ...

    def certificate(self) -> tuple[Mapping[str, Any], bytes] | None:
        """Return the certificate of the client, decoded and in DER; ``None`` for none."""
        ...

    def unix_groups(self) -> Collection[int]:
        """Return the groups of the process at the other end of a Unix socket."""
        ...


class CallLink:
    """The connection of a group call, at an asked node. It is a :class:`~rpcserver.connections.AdmittedLink`.

    Parameters:
        principal: who the caller is.
        remote: where the caller is, for a person.
        takes_bytes: the largest message that the caller accepts, in bytes; ``None`` if it does not tell.
        tell_late: called to tell the caller after a while that the method has begun (:meth:`tell_begin`).
        evidence: the connection of the client, if it is one of this node.

    Attributes:
        principal, takes_bytes, evidence: the parameters.
        number: counts the calls.
        is_stream: whether a call was answered with a stream.
        last_frame: the last frame of the last call.
        epoch: the life of the caller's node.
        limits: the limits of the link. The roster tells whether the caller's node lives, so that nobody pings.
        message_bytes: the largest message of the caller, in bytes.
        is_foreign: whether another node vouches for the caller.
    """

    kind = "node"
    address = None
    attempts_address = "node"
    certificate_serial = None

    def __init__(
        self,
        principal: Principal,
        remote: str,
        takes_bytes: int | None,
        tell_late: Callable[[CallLink], None],
        evidence: Evidence | None = None,
    ) -> None:
        self.principal: Principal | None = principal
        self.takes_bytes = takes_bytes
        self.evidence = evidence
        self.number = self.epoch = 0
        self.last_frame = b""
        self.limits = LinkLimits(ping_interval_s=0.0)
        self.message_bytes = 0
        self.origin = "node" if evidence is None else evidence.origin
        self.is_foreign = bool(principal.via)
        self._remote = remote
        self._answer: Callable[[bytes], None] = _drop
        self._on_end: Callable[[CallLink], None] = _forget
        self.is_stream = self._has_begun = False
        self._loop = asyncio.get_running_loop()
        self._peer: Peer | None = None
        self._frames: deque[bytes] = deque()
        self._rest: GoOn | None = None
        self._tell_late = tell_late
        self._is_open = True

    @property
    def remote(self) -> str:
        """Where the caller is, for a person."""
        return self._remote

    def certificate(self) -> tuple[Mapping[str, Any], bytes] | None:
        """Return the certificate that the client has shown to this node; ``None`` for none."""
        return None if self.evidence is None else self.evidence.certificate()

    def unix_groups(self) -> Collection[int]:
        """Return the groups of the client's process, if it is connected by the Unix socket of this node."""
        return () if self.evidence is None else self.evidence.unix_groups()

    def refuse_if_short(self, principal: Principal) -> str | None:  # noqa: ARG002 - it needs no open file
        """Return ``None``: the caller may stay."""
        return None

    def attach(self, receiver: FrameReceiver, codec: Codec) -> None:  # noqa: ARG002 - frames are of one kind
        """Hand frames to ``receiver`` from now on, which is a peer."""
        self._peer = cast("Peer", receiver)

    def grant_full_limits(self, shares: Shares, message_bytes: int) -> None:  # noqa: ARG002 - credit bounds the output
        """Give the caller its full limits.

        Parameters:
            shares: count the bytes that the link holds.
            message_bytes: the largest message of the caller, in bytes.
        """
        self.message_bytes = message_bytes

    # --- from the caller -----------------------------------------------------------------------------------------

    def begin(self, epoch: int, answer: Callable[[bytes], None], on_end: Callable[[CallLink], None]) -> None:
        """Begin a call. Its frames follow.

        Parameters:
            epoch: the life of the caller's node.
            answer: sends an answer to that node.
            on_end: called when the call is over.
        """
        self.number += 1
        self.epoch, self._answer, self._on_end = epoch, answer, on_end
        self._has_begun = False

    @property
    def is_reusable(self) -> bool:
        """Whether a further call may use this connection, because nothing is left on it of the last one."""
        peer = self._peer
        if peer is None or not self._is_open or self.is_stream or self._rest is not None or self._frames:
            return False
        connection = peer.connection
        return connection.principal is self.principal and not connection.has_callbacks

    def receive(self, frame: bytes) -> None:
        """Hand a frame of the caller to the peer, one after the other."""
        self._frames.append(frame)
        if self._rest is None:
            self._hand_on()

    def _hand_on(self) -> None:
        while self._frames and self._rest is None and self._peer is not None and self._is_open:
            self._note_rest(self._peer.frame_received(self._frames.popleft()))

    def _note_rest(self, rest: GoOn | None) -> None:
        self._rest = rest
        if isinstance(rest, Hold):
            rest.then(lambda: self._loop.call_soon(self._go_on))
        elif rest is not None:
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        rest = self._rest
        if rest is not None and self._is_open:
            self._note_rest(rest())
            self._hand_on()

    def cancel(self) -> None:
        """Cancel the call for its caller. It is answered when the work has stopped."""
        if self._peer is not None:
            encode = self._peer.session.codec.encode
            if self._peer.session.calls_running:
                self.receive(encode(Notification("rpc.cancel", CancelParams(CALL_ID))))
            else:
                self.receive(encode(Notification("rpc.stream.cancel", StreamParams(STREAM_ID))))

    def drop(self, reason: str) -> None:
        """End the connection at once, and all work that belongs to it.

        Parameters:
            reason: the reason, for a person.
        """
        self._end(reason)

    # --- for the dispatch ----------------------------------------------------------------------------------------

    def note_begin(self, offer: Offer) -> None:
        """Tell the caller that a method begins to run: so it knows of a death during the call that it has run."""
        self._has_begun = True
        if offer.contract.item is not None:
            self.is_stream = True
            self._answer(STREAM)
        elif offer.mode is Mode.INLINE or offer.spec.options.kind == "read":
            self._tell_late(self)
        else:
            # Its first step comes in the next turn of the loop: if this process ends before, the method has not run.
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self.tell_begin, self.number)

    def tell_begin(self, number: int) -> None:
        """Tell the caller that the method of a call runs, if it still does.

        Parameters:
            number: the number of the call.
        """
        if self.is_stream and self._is_open:
            self._answer(STREAM)
        elif self._has_begun and self.runs(number):
            self._answer(BEGUN)

    def runs(self, number: int) -> bool:
        """Return whether a call has no answer yet.

        Parameters:
            number: its number.
        """
        peer = self._peer
        return self.number == number and self._is_open and peer is not None and bool(peer.session.calls_running)

    # --- for the peer --------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether frames can still be sent."""
        return self._is_open

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in order. The last one ends the call."""
        if not self._is_open or self._peer is None:
            return
        for frame in frames:
            self._answer(frame)
        session = self._peer.session
        if not session.calls_running and not len(session.streams):
            on_end, self._on_end, self._answer = self._on_end, _forget, _drop
            self.last_frame = frames[-1]
            on_end(self)

    def close(self, code: int, reason: str, *, patient: bool = True) -> None:  # noqa: ARG002 - nobody waits for it
        """Close in an orderly way. Nothing more is read."""
        self._end(f"{code} {reason}".strip())

    def abort(self) -> None:
        """Drop the connection at once."""
        self._end("aborted")

    def _end(self, reason: str) -> None:
        if not self._is_open:
            return
        self._is_open = False
        peer = self._peer
        if peer is not None:
            self._tell_end(peer.session, reason)
            self._loop.call_soon(peer.link_lost, reason)
        self._on_end(self)

    def _tell_end(self, session: Session, reason: str) -> None:
        """Tell the caller that its call, which has no end yet, gets none: nobody would tell it any more."""
        wire = Cancelled(f"the node has ended the call: {reason}", executed="unknown").to_wire()
        if session.calls_running:
            self._answer(session.codec.encode(Failure(CALL_ID, wire)))
        elif len(session.streams):
            end = EndParams(STREAM_ID, ErrorObject(**wire))
            self._answer(session.codec.encode(Notification("rpc.stream.end", end)))


def _drop(data: bytes) -> None:
    del data


def _forget(link: CallLink) -> None:
    del link


class CallDispatch:
    """Decides on a group call as the server's own dispatch does, and has its caller told when the method begins.

    Parameters:
        dispatch: the server's.
        link: the link of the call.
    """

    def __init__(self, dispatch: Dispatch, link: CallLink) -> None:
        self._dispatch = dispatch
        self._link = link

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dispatch, name)

    def admit(self, connection: Connection, message: Incoming, codec: Codec) -> Admission:
        """Decide, as :meth:`~rpcwire.dispatch.Dispatch.admit`.

        Raises:
            RpcError: as there; and InvalidRequest if a parameter is a stream, or what the method does belongs to a
                connection.
        """
        offer = self._dispatch.offers.get(message.method)
        if offer is not None and not offer.spec.options.group:
            raise InvalidRequest(
                f"{offer.name} cannot be called on several nodes, since what it does belongs to a connection: call it "
                "on one node, as client.node(NAME)",
                executed="no",
            )
        if offer is not None and offer.contract.stream_parameters:
            raise InvalidRequest(
                f"{offer.name} takes a stream ({', '.join(offer.contract.stream_parameters)}), which cannot go to "
                "several nodes: call it on one node, as client.node(NAME)",
                executed="no",
            )
        admission = self._dispatch.admit(connection, message, codec)
        self._link.note_begin(admission[0])
        return admission
