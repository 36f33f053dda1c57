"""The audit trail: turns what happens on a server into lines of its audit log. It belongs to the thread of the event
loop.

Calls that are answered before the next flush of the log have a line together with the others of their connection and
their method. A longer one has a line when it has arrived, and another one when it ends, which names the first."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import monotonic_ns
from typing import Any

import msgspec
from msgspec import Raw

from rpcserver.config import AuditConfig
from rpcwire.codec import Codec
from rpcwire.context import Connection, Principal
from rpcwire.dispatch import Dispatch
from rpcwire.errors import RpcError, Unavailable
from rpcwire.events import IncomingCall, NotificationReceived
from rpcwire.outcomes import ANSWER_FIELDS, Answers, Outcome, Subject
from rpcwire.registry import Offer, Registry

from .calls import CALL_BYTES, FIRST_CALLS, MOST_CALLS, STEP, Calls, Large, ParamsColumns, shorten, write_calls
from .levels import level_of
from .lines import CallLine, Times, quote, quote_raw, write_call, write_id
from .log import Log
from .parameters import choose_writing, methods_with_secrets
from .strangers import PERIOD_S, Kind, Strangers, host_of

logger = logging.getLogger("rpcserver.audit")

SMALL_BYTES = 128
"""The size of parameters that are kept as they are until their line is made, in bytes."""

MOST_OPEN_CALLS = 4096
"""The most calls whose handlers have begun that are remembered until the next flush, which then comes at once."""

OPEN_WHILE_REFUSING = frozenset({"rpc.hello", "rpc.authenticate", "rpc.ping", "rpc.discover", "rpc.services"})
"""The methods that may be called while calls are refused because the audit log cannot be written."""

_join = b"".join
"""Makes bytes of one buffer, in half the time of ``bytes()``."""

_CALLS = frozenset({"call", "notification"})


class OpenCall(msgspec.Struct, gc=False, eq=False):
    """A call whose handler has begun, and may take long.

    Attributes:
        connection: its connection.
        message: the call; ``None`` as soon as it has ended, or its arrival has a line.
        seq: the number of the line that says that it has arrived; 0 if there is none.
    """

    connection: Connection
    message: IncomingCall | NotificationReceived | None
    seq: int = 0


class Caller:
    """Who is on the other side of a connection. It is noted at the connection.

    Parameters:
        client: who it is, and from where, as an object of JSON.

    Attributes:
        calls: the calls that were answered and have no line yet, by their methods.
    """

    __slots__ = ("calls", "client")

    def __init__(self, client: Raw) -> None:
        self.client = client
        self.calls: dict[str, Calls] = {}


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
        needs_codec: see :class:`~rpcwire.outcomes.CloseObserver`.
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
        self._config = config
        self._registry = registry
        self.learn_methods()
        self.needs_codec = config.parameters == "redacted"
        self._dispatch = dispatch
        self._may_refuse = config.when_full == "refuse"
        self._let_in: Callable[[], None] | None = None
        self._reason = ""
        self._trouble: str | None = None
        self._role_of = role_of
        self._loop = asyncio.get_running_loop()
        self._open_calls: list[OpenCall] = []
        self._growing: dict[int, Calls] = {}
        self._strangers = Strangers()
        self._strangers_timer: asyncio.TimerHandle | None = None
        self._times = Times()
        self.log = Log(config, folder, self._times, self._before_flush, self._on_change)
        self._start(version)

    def learn_methods(self) -> None:
        """Note what is to be written about each method. Call this again when more methods are offered."""
        config, registry = self._config, self._registry
        levels = {name: level_of(name, config.levels) for name in registry.offers}
        self._exceptions = {name: level for name, level in levels.items() if level != "all"}
        self._methods = {name: quote_raw(name) for name in registry.offers}
        secret = methods_with_secrets(registry) if config.parameters == "hash" else registry.offers
        self._hashed_methods = registry.offers.keys() - secret
        self._write_params = choose_writing(config.parameters, registry)

    def _start(self, version: str) -> None:
        end, head_before = self.log.end, self.log.head_before
        self.log.add(
            "start",
            version=version,
            pid=os.getpid(),
            unsealed=len(end.unsealed_lines) or None,
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

    def keep(self, method: str, params: Any, codec: Codec | None) -> Any:
        """Return the parameters themselves, if they are small, or what the line of the call says of them."""
        if self._write_params is None or self._exceptions.get(method) == "off":
            return None
        if codec is None and len(memoryview(params)) <= SMALL_BYTES:
            return bytes(params)
        return self._write_params(method, params, codec)

    def started(self, connection: Connection, message: IncomingCall | NotificationReceived) -> OpenCall | None:
        """Remember a call that may take long."""
        if connection.principal is None or message.method in self._exceptions:
            return None
        open_call = OpenCall(connection, message)
        self._open_calls.append(open_call)
        if len(self._open_calls) >= MOST_OPEN_CALLS:
            self.log.flush()
        else:
            self.log.flush_soon()
        return open_call

    def answered(self, connection: Connection, call: IncomingCall, sent_bytes: int) -> None:
        """Note that a call was answered. Lines are made of many calls at a time: in between, other code would keep
        pushing this one out of the processor's cache."""
        try:
            caller = connection.note
            if caller is not None and call.start is None:
                calls = caller.calls.get(call.method)
                if calls is not None and calls.total < calls.limit:
                    note: Any = call.params
                    if note is not None:
                        note = _join((note,))
                        if len(note) > SMALL_BYTES:
                            note = Large(len(note), self.keep(call.method, note, None))
                    calls += (call.arrived_ns, monotonic_ns(), (call.id,), (sent_bytes,), (note,))
                    calls.total += 1
                    return
            self._note_answer(connection, call, sent_bytes)
        except Exception as exc:
            self._note_fault("completed", exc, connection, call.method, call.id)

    def answered_together(self, connection: Connection, answers: Answers) -> None:
        """Note that several calls were answered. What they have in common is found at once for all of them."""
        try:
            if len(answers) == ANSWER_FIELDS:
                self.answered(connection, answers[1], answers[2])
                return
            ended_ns = monotonic_ns()
            offers = answers[::ANSWER_FIELDS]
            together, sizes = answers[1::ANSWER_FIELDS], answers[2::ANSWER_FIELDS]
            if connection.note is None or self.needs_codec or len(offers) > FIRST_CALLS:
                for call, sent_bytes in zip(together, sizes, strict=True):
                    self.answered(connection, call, sent_bytes)
            elif offers.count(offers[0]) == len(offers):
                self._note_group(connection, offers[0].name, ended_ns, together, sizes)
            else:
                for offer in dict.fromkeys(offers):
                    places = [place for place, each in enumerate(offers) if each is offer]
                    group = [together[place] for place in places]
                    self._note_group(connection, offer.name, ended_ns, group, [sizes[place] for place in places])
        except Exception as exc:
            self._note_fault("completed", exc, connection, "", None)

    def _note_group(
        self, connection: Connection, method: str, ended_ns: int, together: list[IncomingCall], sizes: list[int]
    ) -> None:
        """Note calls of one method that have arrived and were answered together."""
        count = len(together)
        caller: Caller = connection.note
        try:
            ids = [call.id for call in together]
            notes = self._keep_together(method, together)
        except Exception:  # Of one of them nothing can be said: the others have their lines.
            for call, sent_bytes in zip(together, sizes, strict=True):
                self.answered(connection, call, sent_bytes)
            return
        calls = caller.calls.get(method)
        if calls is None or calls.total + count > calls.limit:
            if method in self._exceptions:
                return
            calls = self._begin_line(caller, method, count)
            if calls is None:
                self.log.count_loss(count)
                return
        calls += (together[0].arrived_ns, ended_ns, ids, sizes, notes)
        calls.total += count

    def _keep_together(self, method: str, together: list[IncomingCall]) -> list[Any]:
        """Return what is kept of the parameters of calls until their line is made."""
        params = [call.params for call in together]
        first = params[0]
        if params.count(first) == len(params):
            note: Any = None if first is None else _join((first,))
            if note is not None and len(note) > SMALL_BYTES:
                note = Large(len(note), self.keep(method, note, None))
            return [note] * len(params)
        notes: list[Any] = [None if each is None else _join((each,)) for each in params]
        for index, note in enumerate(notes):
            if note is not None and len(note) > SMALL_BYTES:
                notes[index] = Large(len(note), self.keep(method, note, None))
        return notes

    def _note_answer(self, connection: Connection, call: IncomingCall, sent_bytes: int) -> None:
        """Note a call that was answered, also if it is the first one of its line, or ran for a while."""
        method, start, ended_ns = call.method, call.start, monotonic_ns()
        if start is not None:
            start.message = None
        if method in self._exceptions or call.arrived_ns is None:
            return
        if connection.principal is None:
            self._note_stranger(connection, method, "call", None)
            return
        caller = self._caller(connection, connection.principal)
        if call.params is not None and not call.received_bytes:
            call.received_bytes = len(memoryview(call.params))
            call.params_note = self.keep(method, call.params, None)
        if self.needs_codec or (start is not None and start.seq):
            line = CallLine(
                self._times.write(ended_ns),
                "completed",
                caller.client,
                self._methods.get(method) or quote_raw(method),
                call=write_id(call.id),
                outcome="ok",
                duration_us=(ended_ns - call.arrived_ns) // 1000,
                received_bytes=call.received_bytes,
                sent_bytes=sent_bytes,
            )
            self._add_rest(line, method, call.params_note, start)
            self.log.append(write_call(line))
            return
        note = call.params_note
        if call.received_bytes and type(note) is not bytes:
            note = Large(call.received_bytes, note)
        calls = self._begin_line(caller, method)
        if calls is None:
            self.log.count_loss()
            return
        calls += (call.arrived_ns, ended_ns, (call.id,), (sent_bytes,), (note,))
        calls.total += 1

    def _begin_line(self, caller: Caller, method: str, count: int = 1) -> Calls | None:
        """Return the calls of a method that have no line yet, with room for some more, at most for
        :data:`~rpcserver.audit.calls.FIRST_CALLS`; ``None`` if there is no room."""
        calls = caller.calls.get(method)
        if calls is not None and self._has_room(calls, count):
            return calls
        calls = Calls(caller.client, method, partial(caller.calls.pop, method))
        if not self.log.reserve(calls.reserved_bytes):
            self._end_lines()
            if not self.log.reserve(calls.reserved_bytes):
                return None
        caller.calls[method] = self._growing[id(calls)] = calls
        return calls

    def _has_room(self, calls: Calls, count: int) -> bool:
        """Return whether there is room for some more calls in a line, and reserve more if that is needed. If there is
        none, make the line."""
        if calls.total + count <= calls.limit:
            return True
        limit = min(calls.limit * STEP, MOST_CALLS)
        if calls.total + count <= limit and self.log.reserve((limit - calls.limit) * CALL_BYTES):
            calls.limit = limit
            return True
        self._end_line(calls)
        return False

    def _end_line(self, calls: Calls) -> None:
        """Make the line of calls that were answered."""
        calls.on_end()
        del self._growing[id(calls)]
        name = self._methods.get(calls.method) or quote_raw(calls.method)
        try:
            line = write_calls(calls, name, self._times, self._describe_params)
        except Exception:  # Of one of them nothing can be said: each gets a line of its own.
            for call in calls.apart():
                self.log.append_reserved(self._write_alone(call, name), 0)
            self.log.release(calls.reserved_bytes)
        else:
            self.log.append_reserved(line, calls.reserved_bytes)

    def _write_alone(self, call: Calls, name: Raw) -> bytes:
        """Write the line of one call, or say that it cannot be written."""
        try:
            return write_calls(call, name, self._times, self._describe_params)
        except Exception as exc:
            _, _, (call_id,), *_ = call
            return self._write_fault("completed", exc, call.client, call.method, call_id)

    def _write_fault(self, event: str, exc: Exception, client: Raw | None, method: str, call_id: Any) -> bytes:
        """Write a line that stands for one about a call that could not be made."""
        try:
            call: Any = write_id(call_id)
        except Exception:
            call = None
        return self.log.write_fault(event, exc, client=client, method=method or None, call=call)

    def _note_fault(self, event: str, exc: Exception, connection: Connection, method: str, call_id: Any) -> None:
        """Have a line stand for one about a call that could not be made."""
        caller: Caller | None = connection.note
        self.log.append(self._write_fault(event, exc, None if caller is None else caller.client, method, call_id))

    def _end_lines(self) -> None:
        """Make the lines of all calls that were answered."""
        for calls in list(self._growing.values()):
            self._end_line(calls)

    def _describe_params(self, method: str, notes: list[Any]) -> ParamsColumns:
        """Say something of the parameters of calls, in a line about all of them."""
        if method in self._hashed_methods:
            try:  # They are small, and often the same.
                hashes = {note: sha256(note).hexdigest() for note in set(notes)}
            except TypeError:
                pass  # Some calls have none, or large ones, of which the hash was kept.
            else:
                if len(hashes) == 1:
                    return len(notes[0]), hashes[notes[0]], None
                return shorten(list(map(len, notes))), [hashes[note] for note in notes], None
        sizes = [0 if note is None else note.size_bytes if type(note) is Large else len(note) for note in notes]
        values = [self._write_note(method, note.value if type(note) is Large else note) for note in notes]
        hash_texts = shorten([value if type(value) is str else None for value in values])
        return shorten(sizes), hash_texts or "", shorten([None if type(value) is str else value for value in values])

    def ended(self, outcome: Outcome, params_note: Any, start: Any) -> None:
        """Note what else came of a call."""
        method, error = outcome.method, outcome.error
        if method in self._exceptions and (error is None or self._exceptions[method] == "off"):
            return
        if start is not None and outcome.subject in _CALLS:
            start.message = None
        if outcome.principal is None:
            subject, error = outcome.subject, outcome.error
            self._note_stranger(outcome.connection, outcome.method, subject, error, is_known=outcome.kind is not None)
            return
        try:
            line = write_call(self._describe_end(outcome, outcome.principal, params_note, start))
        except Exception as exc:
            self._note_fault("completed", exc, outcome.connection, method, outcome.id)
        else:
            self.log.append(line)

    def _describe_end(
        self, outcome: Outcome, principal: Principal, params_note: Any, start: OpenCall | None
    ) -> CallLine:
        line = CallLine(
            self._times.write(int(outcome.ended_s * 1e9)),
            "completed",
            self._caller(outcome.connection, principal).client,
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

    def _before_flush(self) -> None:
        """Make the lines of all calls that have ended, and of those that have arrived and go on."""
        self._end_lines()
        open_calls, self._open_calls = self._open_calls, []
        for open_call in open_calls:
            message, principal = open_call.message, open_call.connection.principal
            open_call.message = None
            if message is None or principal is None:
                continue
            try:
                line = self._write_arrival(message, self._caller(open_call.connection, principal))
            except Exception as exc:
                call_id = message.id if isinstance(message, IncomingCall) else None
                self._note_fault("received", exc, open_call.connection, message.method, call_id)
                continue
            seq = self.log.next_seq
            if self.log.append(line):
                open_call.seq = seq

    def _write_arrival(self, message: IncomingCall | NotificationReceived, caller: Caller) -> bytes:
        """Write the line of a call that has arrived and goes on."""
        assert message.arrived_ns is not None
        line = CallLine(
            self._times.write(message.arrived_ns),
            "received",
            caller.client,
            self._methods.get(message.method) or quote_raw(message.method),
        )
        if isinstance(message, IncomingCall):
            line.call = write_id(message.id)
        else:
            line.subject = "notification"
        if message.params_note is not None:
            self._add_params(line, message.method, message.params_note)
        return write_call(line)

    def _add_params(self, line: CallLine, method: str, params_note: Any) -> None:
        """Say something of parameters in a line."""
        value = self._write_note(method, params_note)
        if type(value) is str:
            line.params_sha256 = value
        else:
            line.params = value  # type: ignore[assignment]

    def _write_note(self, method: str, params_note: Any) -> str | Raw | None:
        """Write about parameters. Small ones were kept as they are."""
        if type(params_note) is not bytes:
            return params_note  # type: ignore[no-any-return]
        return None if self._write_params is None else self._write_params(method, params_note, None)

    def _caller(self, connection: Connection, principal: Principal) -> Caller:
        """Return who is on the other side of a connection. It is written once for each connection."""
        caller: Caller | None = connection.note
        if caller is None:
            fields = f'"address":{quote(connection.remote)},"connection":{quote(connection.id)}'
            caller = connection.note = Caller(self._write_client(principal, fields))
        return caller

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
            self.log.add("connected", client=self._caller(connection, connection.principal).client)

    def note_disconnected(self, connection: Connection, reason: str) -> None:
        """Note that a connection has ended on which somebody had authenticated."""
        if connection.principal is not None:
            caller = self._caller(connection, connection.principal)
            for calls in list(caller.calls.values()):
                self._end_line(calls)
            self.log.add("disconnected", client=caller.client, reason=reason[:200])

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

    def change(self, config: AuditConfig) -> None:
        """Follow other settings from now on, and write down which have changed. Lines of calls that have ended are made
        by the old ones.

        Parameters:
            config: the settings; the files are those of the start.
        """
        changed = [name for name in type(config).model_fields if getattr(config, name) != getattr(self._config, name)]
        self.log.flush()
        self._config = config
        self.learn_methods()
        self._may_refuse = config.when_full == "refuse"
        self.needs_codec = config.parameters == "redacted"
        self._dispatch.observe_closely(self)
        if changed:
            self.log.add("settings", changed=", ".join(changed))
        self.log.change(config)
        self._on_change(self._trouble)

    # --- a full or slow disk ------------------------------------------------------------------------------------

    def _on_change(self, reason: str | None) -> None:
        """Refuse calls while the log cannot be written, if the settings want that."""
        self._trouble = reason
        if reason is not None and self._may_refuse:
            self._reason = reason
            if self._let_in is None:
                logger.error("new calls are refused, as audit.when_full says")
                self._let_in = self._dispatch.put_before_gate(self._refuse)
        else:
            self._admit_again()

    def _admit_again(self) -> None:
        if self._let_in is not None:
            logger.warning("calls are let in again")
            self._let_in()
            self._let_in = None

    def _refuse(self, _connection: Connection, method: str, offer: Offer | None) -> RpcError | None:
        if offer is None or method in OPEN_WHILE_REFUSING:
            return None
        return Unavailable(self._why("no call may run"))

    def why_no_pages(self) -> str | None:
        """Return why no page may be shown now; ``None`` if pages may be shown."""
        return None if self._let_in is None else self._why("no page is shown")

    def _why(self, what: str) -> str:
        return f"the audit log cannot be written ({self._reason}), and without it {what}: try again later"

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
