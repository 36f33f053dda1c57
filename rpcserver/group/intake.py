"""Takes the messages to this node off the broker's socket in the turn of the loop in which they arrive.

The client library reads the socket in one task, and hands each message to another one: that is three turns of the loop,
of which a call through another node would need twelve. So its protocol is wrapped by this one, which takes the messages
of some subjects, and gives everything else to the library: greetings, pings, errors, and messages with headers. What is
taken comes in the order in which the broker has sent it, whichever subscription it is for. Answers of the broker under
one prefix are taken, too, with their headers: who has just come reads a thousand entries at once.

The protocol of the broker (docs.nats.io, reference/protocols, client): lines that end with CRLF. After a line ``MSG
subject sid [reply] size`` or ``HMSG subject sid [reply] header_size size`` follow that many bytes, and CRLF.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TypeAlias

from rpcwire.logs import about

logger = logging.getLogger("rpcserver.group")

TakeData: TypeAlias = Callable[[bytes], None]
"""Takes the data of a message whose subject it knows, at once."""
Take: TypeAlias = Callable[[bytes, bytes], TakeData | None]
"""Takes the subject of a message and its data, at once. If messages with this subject come often, it returns who takes
the data of further ones: to read the same subject again and again takes as long as all the rest."""
TakeReply: TypeAlias = Callable[[bytes, bytes, bytes], None]
"""Takes the subject of an answer of the broker, its headers as they are, and its data, at once."""
MOST_FREQUENT = 64
"""How many subjects are kept in mind whose messages come often."""
_END = b"\r\n"
_MOST_DIGITS = 12
_FIRST_SID = 1_000_000_000
"""The library counts its own subscriptions from 1 on."""
_MESSAGES = (b"MSG ", b"HMSG ")


class Intake(asyncio.Protocol):
    """The protocol of the broker's socket. Set it in place of the library's before a message has come.

    Parameters:
        library: the protocol of the client library.
        prefixes: how the subjects begin whose messages are taken.
        take: takes them, without the mark. If it raises, that is logged.
        mark: how the data of each must begin; others are dropped.
        reply_prefix: how the subjects begin whose messages with headers are taken; empty if there are none.
        take_reply: takes them. If it raises, that is logged.
    """

    def __init__(
        self,
        library: asyncio.Protocol,
        prefixes: tuple[str, ...],
        take: Take,
        mark: bytes = b"",
        *,
        reply_prefix: str = "",
        take_reply: TakeReply | None = None,
    ) -> None:
        self._library = library
        self._mark = mark
        self._frequent: dict[bytes, TakeData] = {}  # By the line of the message up to the size.
        self._heads = tuple(b"MSG " + prefix.encode() for prefix in prefixes)
        self._take = take
        self._reply_head = b"HMSG " + reply_prefix.encode()
        self._take_reply = take_reply
        self._parts: list[bytes] = []
        self._missing_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take the messages that are whole by now, and keep the beginning of one that is not."""
        if self._parts:
            self._parts.append(data)
            self._missing_bytes -= len(data)
            if self._missing_bytes > 0:
                return
            data = b"".join(self._parts)
            self._parts = []
        # Everything before `begin` is handled, and everything from there to `at` is for the library.
        begin = at = 0
        while (line_end := data.find(_END, at)) >= 0:
            body = end = line_end + 2
            if data.startswith(_MESSAGES, at):
                size_at = data.rfind(b" ", at, line_end)
                size = data[size_at + 1 : line_end]
                if not size.isdigit() or len(size) > _MOST_DIGITS:
                    break  # The library says what is wrong.
                end += int(size) + 2
                if end > len(data):
                    self._keep(data, begin, at, end - len(data))
                    return
                head = data[at:size_at]
                take_data = self._frequent.get(head)
                if take_data is not None or head.startswith(self._heads):
                    if begin < at:
                        self._library.data_received(data[begin:at])
                    if data.startswith(self._mark, body):
                        self._hand_over(head, take_data, data[body + len(self._mark) : end - 2])
                    begin = end
                elif self._take_reply is not None and head.startswith(self._reply_head):
                    if begin < at:
                        self._library.data_received(data[begin:at])
                    self._hand_over_reply(self._take_reply, head, data[body : end - 2])
                    begin = end
            at = end
            if at == len(data):  # As nearly always.
                break
        else:
            self._keep(data, begin, at, 1)
            return
        if begin == len(data):
            return
        self._library.data_received(data[begin:])

    def _keep(self, data: bytes, begin: int, at: int, missing_bytes: int) -> None:
        if begin < at:
            self._library.data_received(data[begin:at])
        if at < len(data):
            self._parts, self._missing_bytes = [data[at:] if at else data], missing_bytes

    def _hand_over(self, head: bytes, take_data: TakeData | None, data: bytes) -> None:
        try:
            if take_data is not None:
                take_data(data)
                return
            subject, _, rest = head[4:].partition(b" ")
            take_data = self._take(subject, data)
            if take_data is not None and b" " not in rest:  # Subjects of replies could be others each time.
                if len(self._frequent) >= MOST_FREQUENT:
                    self._frequent.clear()
                self._frequent[head] = take_data
        except Exception:
            # Other nodes could cause this again and again.
            extra = about("the broker", is_known=False)
            logger.exception("a message of the group could not be handled", extra=extra)

    def _hand_over_reply(self, take_reply: TakeReply, head: bytes, message: bytes) -> None:
        try:
            _, subject, *_, size = head.split(b" ")
            take_reply(subject, message[: int(size)], message[int(size) :])
        except Exception:
            logger.exception("an answer of the broker could not be handled", extra=about("the broker", is_known=False))

    def eof_received(self) -> bool | None:
        """Tell the library."""
        return self._library.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the library."""
        self._library.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell the library."""
        self._library.pause_writing()

    def resume_writing(self) -> None:
        """Tell the library."""
        self._library.resume_writing()


class Subscriptions:
    """Subscriptions of which the library knows nothing, since their messages are taken before it. Each of its own has a
    queue and a task, which takes several KiB.

    Parameters:
        transport: the socket. What the library has written before must not wait.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._sids: dict[str, int] = {}
        self._next_sid = _FIRST_SID

    def set(self, subjects: Iterable[str]) -> None:
        """Be subscribed to these subjects, and to no others. On a connection that ends nothing happens.

        Parameters:
            subjects: the subjects.
        """
        if self._transport.is_closing():  # uvloop's would raise.
            return
        wishes = frozenset(subjects)
        lines = [f"UNSUB {self._sids.pop(subject)}\r\n" for subject in self._sids.keys() - wishes]
        for subject in sorted(wishes - self._sids.keys()):
            lines.append(f"SUB {subject} {self._next_sid}\r\n")
            self._sids[subject] = self._next_sid
            self._next_sid += 1
        if lines:
            self._transport.write("".join(lines).encode())
