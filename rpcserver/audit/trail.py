"""The audit trail: turns what happens on a server into lines of its audit log. It belongs to the thread of the event
loop.

A call that ends before the next flush of the log has one line, with the time of its end and its duration. A longer one
has a line when it has arrived, and another one when it ends, which names the first."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from rpcserver.config import AuditConfig
from rpcwire.codec import Codec
from rpcwire.context import Connection, Principal
from rpcwire.dispatch import Dispatch
from rpcwire.errors import RpcError, Unavailable
from rpcwire.events import IncomingCall
from rpcwire.outcomes import Outcome, Start, Subject
from rpcwire.registry import Offer, Registry

from .levels import level_of
from .lines import CallLine, Times, encode_line, quote, quote_raw, write_answered, write_id
from .log import Answered, Log
from .parameters import choose_writing, methods_with_secrets
from .strangers import PERIOD_S, Kind, Strangers, host_of

logger = logging.getLogger("rpcserver.audit")

SMALL_BYTES = 512
"""The size of parameters that are kept as they are until their line is made, in bytes."""

MOST_STARTED = 4096
"""The most calls whose handlers have begun that are remembered until the next flush, which then comes at once."""

OPEN_WHILE_REFUSING = frozenset({"rpc.hello", "rpc.authenticate", "rpc.ping", "rpc.discover", "rpc.services"})
"""The methods that may be called while calls are refused because the audit log cannot be written."""

_CALLS = frozenset({"call", "notification"})


class OpenCall(msgspec.Struct, gc=False, eq=False):
    """A call whose handler has begun, and may take long.

    Attributes:
        call: the call.
        has_ended: whether it was answered.
        seq: the number of the line that says that it has arrived; 0 if there is none.
    """

    call: Start
    has_ended: bool = False
    seq: int = 0


class Ended(msgspec.Struct, gc=False, eq=False):
    """A call that has ended well, and has no line yet. To call this makes the line.

    Attributes:
        trail: the audit trail.
        outcome: the call's outcome.
        params_note: what was kept of its parameters.
        start: what was noted when its handler began.
    """

    trail: Trail
    outcome: Outcome
    params_note: Any
    start: OpenCall | None

    def __call__(self) -> CallLine:
        """Make the line."""
        return self.trail.write_ended(self.outcome, self.params_note, self.start)


class Trail:
    """Writes the audit log of a running server. It observes calls (:class:`~rpcwire.outcomes.CloseObserver`).

    Parameters:
        config: the settings.
        folder: the folder of the files.
        registry: the methods of the server.
        dispatch: decides on every call.
        role_of: returns the name of somebody's role; ``None`` if there is none.
        version: the version of the server.

    Raises:
        ConfigError: the files cannot be used; the message says why and what to do.

    Attributes:
        small_bytes: see :class:`~rpcwire.outcomes.CloseObserver`.
        log: the lines.
    """

    def __init__(
        self,
        config: AuditConfig,
        folder: Path,
        registry: Registry,
        dispatch: Dispatch,
        role_of: Callable[[Principal], str | None],
        version: str,
    ) -> None:
        levels = {name: level_of(name, config.levels) for name in registry.offers}
        self._exceptions = {name: level for name, level in levels.items() if level != "all"}
        self._methods = {name: quote_raw(name) for name in registry.offers}
        secret = methods_with_secrets(registry) if config.parameters == "hash" else registry.offers
        self._hashed = {name: quote(name) for name in registry.offers if name not in secret}
        self._write_params = choose_writing(config.parameters, registry)
        self.small_bytes = SMALL_BYTES if config.parameters == "hash" else -1
        self._dispatch = dispatch
        self._may_refuse = config.when_full == "refuse"
        self._let_in: Callable[[], None] | None = None
        self._reason = ""
        self._role_of = role_of
        self._loop = asyncio.get_running_loop()
        self._started: list[OpenCall] = []
        self._strangers = Strangers()
        self._strangers_timer: asyncio.TimerHandle | None = None
        self._times = Times()
        self.log = Log(config, folder, self._times, self._note_received, self._encode_answered, self._on_change)
        self._start(version)

    def _start(self, version: str) -> None:
        end, head_before = self.log.end, self.log.head_before
        self.log.add(
            "start",
            version=version,
            pid=os.getpid(),
            unsealed=len(end.unsealed) or None,
            torn_bytes=end.torn_bytes or None,
        )
        if head_before is not None and (
            head_before.seq > end.seq or (head_before.seq == end.head.seq and head_before != end.head)
        ):
            logger.error(
                "the audit log ends with line %d, and audit.head_file knows line %d: its end was cut off or changed",
                end.seq,
                head_before.seq,
            )
            self.log.add("cut", expected=str(head_before), found=str(end.head))
        self.log.flush()
        logger.info("audit log: it goes on after line %s", end.head)

    # --- calls ------------------------------------------------------------------------------------------------

    def keep(self, method: str, params: Any, codec: Codec) -> Any:
        """Return what the line of a call says of its parameters."""
        if self._write_params is None or self._exceptions.get(method) == "off":
            return None
        return self._write_params(method, params, codec)

    def started(self, call: Start) -> OpenCall | None:
        """Remember a call that may take long."""
        if call.connection.principal is None or call.method in self._exceptions:
            return None
        open_call = OpenCall(call)
        self._started.append(open_call)
        if len(self._started) >= MOST_STARTED:
            self.log.flush()
        else:
            self.log.flush_soon()
        return open_call

    def answered(self, connection: Connection, call: IncomingCall, sent_bytes: int) -> None:
        """Note that a call was answered. Lines are made many at a time: in between, other code would keep pushing this
        one out of the processor's cache."""
        principal, start = connection.principal, call.start
        if start is not None:
            start.has_ended = True
        if call.method in self._exceptions:
            return
        if principal is None:
            self._note_stranger(connection, call.method, "call", None)
            return
        who = connection.note
        if who is None or who[0] is not principal or who[1] is not connection.allowed:
            who = self._note_client(connection, principal)
        self.log.append(
            (
                who[3],
                call.method,
                call.id,
                call.arrived_s or 0.0,
                call.received_bytes,
                call.params_note,
                start,
                sent_bytes,
                time.monotonic(),
            )
        )

    def _encode_answered(self, seq: int, answered: Answered) -> bytes:
        client, method, call_id, arrived_s, received_bytes, params_note, start, sent_bytes, ended_s = answered
        duration_us = int((ended_s - arrived_s) * 1_000_000)
        name = self._hashed.get(method)
        has_line = start is not None and start.seq
        if (
            name is not None
            and type(params_note) is bytes
            and not has_line
            and received_bytes
            and sent_bytes
            and type(call_id) is int
            and -(2**63) <= call_id < 2**63
        ):
            at = self._times.write(ended_s)
            digest = sha256(params_note).hexdigest()
            return write_answered(seq, at, client, name, call_id, duration_us, received_bytes, sent_bytes, digest)
        line = CallLine(
            seq,
            self._times.write(ended_s),
            "completed",
            Raw(client.encode("ascii")),
            self._methods.get(method) or quote_raw(method),
            call=write_id(call_id),
            outcome="ok",
            duration_us=duration_us,
            received_bytes=received_bytes,
            sent_bytes=sent_bytes,
        )
        self._add_rest(line, method, params_note, start)
        return encode_line(line)

    def ended(self, outcome: Outcome, params_note: Any, start: Any) -> None:
        """Note what came of a call. Lines are made many at a time: in between, other code would keep pushing this one
        out of the processor's cache."""
        method, error = outcome.method, outcome.error
        if method in self._exceptions and (error is None or self._exceptions[method] == "off"):
            return
        if start is not None and outcome.subject in _CALLS:
            start.has_ended = True
        if outcome.principal is None:
            subject, error = outcome.subject, outcome.error
            self._note_stranger(outcome.connection, outcome.method, subject, error, is_known=outcome.kind is not None)
        elif error is None:
            self.log.append(Ended(self, outcome, params_note, start))
        else:  # It may hold the variables of all functions through which it went.
            self.log.append(self.write_ended(outcome, params_note, start))

    def write_ended(self, outcome: Outcome, params_note: Any, start: OpenCall | None) -> CallLine:
        """Make the line about the end of a call.

        Parameters:
            outcome: its outcome.
            params_note: what was kept of its parameters.
            start: what was noted when its handler began.
        """
        assert outcome.principal is not None
        line = CallLine(
            0,
            self._times.write(outcome.ended_s),
            "completed",
            self._describe(outcome.connection, outcome.principal),
            self._methods.get(outcome.method) or quote_raw(outcome.method),
            outcome.subject,
            write_id(outcome.id),
            "ok",
            "",
            int(outcome.duration_s * 1_000_000),
            outcome.received_bytes,
            outcome.sent_bytes,
            outcome.items,
        )
        if outcome.error is not None:
            line.outcome, line.executed = quote_raw(outcome.error.type, 100), outcome.error.executed
        self._add_rest(line, outcome.method, params_note, start)
        return line

    def _add_rest(self, line: CallLine, method: str, params_note: Any, start: OpenCall | None) -> None:
        if start is not None and start.seq:
            line.received = start.seq
        elif params_note is not None:
            self._add_params(line, method, params_note)

    def _note_received(self) -> None:
        """Write of each call that has arrived and has not ended that it has arrived."""
        started, self._started = self._started, []
        for open_call in started:
            call = open_call.call
            principal = call.connection.principal
            if open_call.has_ended or principal is None:
                continue
            line = CallLine(
                0,
                self._times.write(call.arrived_s),
                "received",
                self._describe(call.connection, principal),
                self._methods.get(call.method) or quote_raw(call.method),
                call.subject,
                write_id(call.id),
            )
            if call.params_note is not None:
                self._add_params(line, call.method, call.params_note)
            seq = self.log.next_seq
            if self.log.append(line):
                open_call.seq = seq

    def _add_params(self, line: CallLine, method: str, params_note: Any) -> None:
        """Say something of parameters in a line. Small ones were kept as they are."""
        if type(params_note) is bytes:
            if self._write_params is None:
                return
            params_note = self._write_params(method, params_note, None)
        if type(params_note) is str:
            line.params_sha256 = params_note
        else:
            line.params = params_note

    def _describe(self, connection: Connection, principal: Principal) -> Raw:
        """Write who is on the other side of a connection, once for each connection."""
        who = connection.note
        if who is None or who[0] is not principal or who[1] is not connection.allowed:
            who = self._note_client(connection, principal)
        return who[2]  # type: ignore[no-any-return]

    def _note_client(self, connection: Connection, principal: Principal) -> tuple[Any, ...]:
        """Note at a connection who is on the other side, as bytes and as text."""
        fields = f'"address":{quote(connection.remote)},"connection":{quote(connection.id)}'
        client = self._write_client(principal, fields)
        who = connection.note = (principal, connection.allowed, client, bytes(client).decode("ascii"))
        return who

    def _write_client(self, principal: Principal, fields: str) -> Raw:
        role = self._role_of(principal)
        parts = [f'"principal":{quote(principal.name)}', f'"by":{quote(principal.method)}']
        if role is not None:
            parts.append(f'"role":{quote(role)}')
        if principal.credential:
            parts.append(f'"credential":{quote(principal.credential)}')
        return Raw(f"{{{','.join([*parts, fields])}}}".encode("ascii"))

    # --- connections and pages ------------------------------------------------------------------------------------

    def note_connected(self, connection: Connection) -> None:
        """Note that somebody has authenticated on a connection."""
        if connection.principal is not None:
            self.log.add("connected", client=self._describe(connection, connection.principal))

    def note_disconnected(self, connection: Connection, reason: str) -> None:
        """Note that a connection has ended on which somebody had authenticated."""
        if connection.principal is not None:
            self.log.add("disconnected", client=self._describe(connection, connection.principal), reason=reason[:200])

    def note_page(self, remote: str, principal: Principal | None, request: str, answer: str) -> None:
        """Note that a page was asked for.

        Parameters:
            remote: the address of the client.
            principal: who has asked; ``None`` for nobody known.
            request: the method and the path.
            answer: the status of the answer.
        """
        if principal is not None:
            client = self._write_client(principal, f'"address":{quote(remote)}')
            self.log.add("page", client=client, request=request[:200], outcome=answer)
        elif self._count_stranger(Kind("page", host_of(remote), "", answer)):
            self.log.add("page", client=_write_stranger(remote), request=request[:200], outcome=answer)

    def note_refused(self, remote: str, text: str) -> None:
        """Note that a connection was refused before there was a WebSocket.

        Parameters:
            remote: the address of the client.
            text: the status of the answer, or what went wrong.
        """
        if self._count_stranger(Kind("refused", host_of(remote), "", text)):
            self.log.add("refused", client=_write_stranger(remote), outcome=text)

    # --- strangers ----------------------------------------------------------------------------------------------

    def _note_stranger(
        self, connection: Connection, method: str, subject: Subject, error: RpcError | None, *, is_known: bool = True
    ) -> None:
        result, executed = ("ok", "yes") if error is None else (error.type, error.executed)
        remote = connection.remote
        if self._count_stranger(Kind("completed", host_of(remote), method if is_known else "", result)):
            self.log.add(
                "completed",
                client=_write_stranger(remote, connection.id),
                method=method,
                subject=subject,
                outcome=result,
                executed=executed,
            )

    def _count_stranger(self, kind: Kind) -> bool:
        if self._strangers_timer is None:
            self._strangers_timer = self._loop.call_later(PERIOD_S, self._report_strangers)
        return self._strangers.note(kind)

    def _report_strangers(self) -> None:
        if self._strangers_timer is not None:
            self._strangers_timer.cancel()
            self._strangers_timer = None
        for kind, count in self._strangers.report():
            self.log.add(
                kind.event,
                client=_write_stranger(kind.address),
                method=kind.method or None,
                outcome=kind.outcome,
                count=count,
            )

    # --- a full or slow disk ------------------------------------------------------------------------------------

    def _on_change(self, reason: str | None) -> None:
        """Refuse calls while the log cannot be written, if the settings want that."""
        if not self._may_refuse:
            return
        if reason is not None:
            self._reason = reason
            if self._let_in is None:
                logger.error("new calls are refused, as audit.when_full says")
                self._let_in = self._dispatch.put_before_gate(self._refuse)
        elif self._let_in is not None:
            logger.warning("calls are let in again")
            self._let_in()
            self._let_in = None

    def _refuse(self, _connection: Connection, method: str, offer: Offer | None) -> RpcError | None:
        if offer is None or method in OPEN_WHILE_REFUSING:
            return None
        text = f"the audit log cannot be written ({self._reason}), and without it no call may run: try again later"
        return Unavailable(text)

    # --- the end ----------------------------------------------------------------------------------------------

    async def close(self, patience_s: float) -> None:
        """Write what waits, and close the files.

        Parameters:
            patience_s: how long to wait for the disk, in seconds.
        """
        self._report_strangers()
        await self.log.close(patience_s)


def _write_stranger(remote: str, connection: str | None = None) -> Raw:
    """Write where somebody is who has not authenticated."""
    more = "" if connection is None else f',"connection":{quote(connection)}'
    return Raw(f'{{"address":{quote(remote)}{more}}}'.encode("ascii"))
