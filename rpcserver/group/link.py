"""The connection of a node to the broker: made in the background, and made anew whenever it is lost.

It knows how the broker delivers messages, and not what they say.

- A connection that is lost is thrown away, with all that waits in it, and a new one is made: nothing old is sent late.
- The link is up when a message of this node to itself has come back. ``flush()`` alone is no barrier: its ping
  overtakes the subscriptions, unless the loop has run once between them.
- Until it is up, nothing that comes in is given to anybody.
- What is larger than the broker allows, headers included, never reaches it: the broker would close the connection.
- What the broker publishes by itself is not believed, whichever subject it has. Whoever asks the broker for something
  chooses the subject of its answer, and the permissions of a user do not bind the broker: so a node could have it say
  something for another node. Its answers have headers, or do not begin with :data:`MARK`.
- Everything that is refused is told where it belongs: to the caller where there is one, else in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import secrets
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rpcwire.errors import TooLarge, Unavailable
from rpcwire.logs import printable

from .intake import Intake, Subscriptions, TakeData
from .members import format_id
from .subjects import PREFIX, all_of, beat_of, inbox_of, join_words, to_node

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

logger = logging.getLogger("rpcserver.group")

CONNECT_S = 5.0
"""How long a try to connect may take, in seconds. Within it each server of a cluster is tried again and again."""
RETRY_S = 0.2
"""How long to wait before the same server is tried again, in seconds."""
OTHER_S = 2.0
"""How long after the loss of one of several brokers it is waited for a connection to another one, in seconds."""
PING_S, MOST_PINGS = 0.5, 2
"""How often the broker is pinged, in seconds, and how many answers may be missing: so a frozen one is noticed."""
PROBE_S = 2.0
"""How long a message of this node to itself may take, in seconds."""
MOST_POSTS = 20_000
"""How many messages may wait to be sent. Further ones are dropped, and counted."""
FEW_POSTS = 16
"""If more messages wait to be sent, whoever has many to send waits."""
CANCEL_AGAIN_S = 0.1
"""After this time what goes on when the link is closed is cancelled once more, in seconds."""
REPORT_S = 60.0
"""How often the log tells again why there is no connection, in seconds."""
WRITE_BYTES = 512 * 1024
"""If more bytes wait for the socket, posts wait before it."""
_PROBE = "probe"
_ANSWERS = "answers"
_ALL, _BEAT = f"{PREFIX}.all.", f"{PREFIX}.beat."
_OWN_SUBJECT = re.compile(rb"rpcgroup\.to\.[0-9a-f]{16}\.([0-9a-f]{16})\.([\w-]++)((?:\.[\w-]++)*+)", re.ASCII)
_PUBLIC_SUBJECT = re.compile(rb"rpcgroup\.(beat|all)\.([0-9a-f]{16})", re.ASCII)
_ABSENT = "503"
"""The status in a message of the broker: nobody has subscribed to the subject of a request (NATS ADR-4)."""
_STORED = "Nats-Stream"
"""The header that the broker adds to whatever it reads from a stream (NATS ADR-31), which anybody can have written."""
MARK = b"\x01"
"""How each message of a node begins. An answer of the broker is JSON, or has headers."""
_HEADER_BYTES = 256
"""Room for the headers that the broker or this module may add."""


class NoBroker(Unavailable):
    """There is no connection to the broker at the moment. Nothing was sent."""


class Delivery(NamedTuple):
    """A message that another node has sent to this one alone.

    Attributes:
        source: the id of the sender. The broker lets nobody else publish under it.
        rest: the words of the subject after the kind.
        data: the message.
        is_absent: the broker says that nobody listens for the message to ``source`` whose reply this would be.
    """

    source: int
    rest: tuple[str, ...]
    data: bytes
    is_absent: bool


Handler: TypeAlias = Callable[[Delivery], None]
"""Takes a message, at once. It must not raise."""
DataHandler: TypeAlias = Callable[[int, bytes], None]
"""Takes the sender's id and a message to this node alone, at once. It must not raise."""
TakeAnswer: TypeAlias = Callable[[bytes, bytes], None]
"""Takes the headers of an answer of the broker, as they are, and its data, at once."""
PublicHandler: TypeAlias = Callable[[int, bytes], None]
"""Takes the sender's id and a message that was for several nodes, at once. It must not raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """How to reach the broker.

    Attributes:
        urls: the URLs of its servers.
        user: the user, "" for none.
        password: the password.
        tls: the settings of TLS, if it is used.
    """

    urls: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None


class Link:
    """The connection to the broker. It belongs to the event loop in which :meth:`start` is called.

    Say first who takes messages (:meth:`on`), then start it.

    Parameters:
        own: the id of this node.
        name: its name, which the broker shows.
        settings: returns how to reach the broker: it is asked before each connection.

    Attributes:
        own: the id of this node.
        is_up: whether there is a connection, on which messages come back.
        most_bytes: the largest message that the broker takes, in bytes.
        on_up: called when the link is up.
        on_down: called when it is lost.
        on_all: takes what nodes tell everybody.
        on_beat: takes the beats of the nodes that :meth:`listen_to` names.
        starts: how often the link came up.
        drops: how many posts were dropped, because there was no connection or too many waited.
    """

    def __init__(self, own: int, name: str, settings: Callable[[], LinkSettings]) -> None:
        self.own = own
        self.is_up = False
        self.most_bytes = 0
        self.on_up: Callable[[], None] = _do_nothing
        self.on_down: Callable[[], None] = _do_nothing
        self.on_all: PublicHandler = _drop
        self.on_beat: PublicHandler = _drop
        self.starts = 0
        self.drops = 0
        self._name = name
        self._settings = settings
        self._handlers: dict[str, Handler] = {_PROBE: self._take_probe}
        self._data_handlers: dict[str, DataHandler] = {}
        self._connection: Client | None = None
        self._socket: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self._probe = ""
        self._probe_back = asyncio.Event()
        self._subscriptions: Subscriptions | None = None
        self._watches: frozenset[int] = frozenset()
        self._posts: deque[tuple[str, bytes, str]] = deque()
        self._together: list[bytes] | None = None
        self._has_work = asyncio.Event()
        self._drains: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._flushes: set[asyncio.Future[None]] = set()
        self._urls = ""
        self._is_closed = False
        self._lost_at = -OTHER_S
        self._inboxes: dict[bytes, TakeAnswer] = {}
        self._turns: asyncio.Event = asyncio.Event()  # Set at each change of is_up, and replaced.
        self._problem = ""
        self._told_problem = ""
        self._told_at = 0.0

    def on(self, kind: str, handler: Handler) -> None:
        """Say who takes the messages of a kind. Messages of one sender come in their order.

        Parameters:
            kind: the kind: letters, digits, ``-`` and ``_``.
            handler: takes them.
        """
        if kind in self._handlers:
            raise ValueError(f"somebody takes messages of the kind {kind!r} already")
        to_node(self.own, self.own, kind)
        self._handlers[kind] = handler

    def on_frequent(self, kind: str, handler: DataHandler) -> None:
        """Say who takes the messages of a kind that come often: those with no further words in their subject. The
        others, and the first of each sender, go to the handler of :meth:`on`. All come in one order.

        Parameters:
            kind: the kind, of which :meth:`on` has said who takes its messages.
            handler: takes them.
        """
        self._data_handlers[kind] = handler

    @property
    def connection(self) -> Client:
        """The connection of the client library, for what this module does not do (the bucket).

        Raises:
            NoBroker: there is none.
        """
        if self._connection is None or not self.is_up:
            raise self._no_broker()
        return self._connection

    @property
    def problem(self) -> str:
        """Why there is no connection, for a person; empty if there is one, or none was tried yet."""
        return "" if self.is_up else self._problem

    @property
    def has_room(self) -> bool:
        """Whether what is posted is sent soon. If there is no connection, it is dropped at once."""
        return len(self._posts) < FEW_POSTS

    async def drain(self) -> None:
        """Wait until what was posted is sent, or the connection is lost."""
        while self._posts and self.is_up:
            drain = asyncio.Event()
            self._drains.append(drain)
            self._has_work.set()
            await drain.wait()

    # --- its life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect, and return at once."""
        self._tasks = [asyncio.ensure_future(self._keep_up()), asyncio.ensure_future(self._write())]

    async def close(self, flush_s: float = 1.0) -> None:
        """Send what waits, and close the connection.

        Parameters:
            flush_s: how long sending may take, in seconds.
        """
        if self.is_up and self._connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(flush_s):
                    while self._posts:
                        await self._send_posts()
                    await self._flush(self._connection, flush_s)
        self._is_closed = True
        self._lost.set()
        self._turn()
        tasks = {task for task in self._tasks if not task.done()}
        while tasks:  # While it connects, the client library may swallow that it is cancelled.
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=CANCEL_AGAIN_S)
        await self._discard()

    def _turn(self) -> None:
        self._turns.set()
        self._turns = asyncio.Event()

    async def wait_for_other(self, most_s: float) -> None:
        """Wait for a connection to another broker, if one of several was lost just now: what has not been sent need
        not fail. If there is only one, or none has been there for a while, it is not waited for.

        Parameters:
            most_s: how long to wait at the most, in seconds.
        """
        now = asyncio.get_running_loop().time()
        rest_s = min(self._lost_at + OTHER_S - now, most_s)
        if self.is_up or self._is_closed or rest_s <= 0 or len(self._settings().urls) < 2:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await self._turns.wait()

    def become(self, own: int) -> None:
        """Connect anew as another node.

        Parameters:
            own: the id of this node from now on.
        """
        self.own = own
        self._posts.clear()
        self._lost.set()

    async def _keep_up(self) -> None:
        while not self._is_closed:
            try:
                await self._connect()
            except Exception as exc:  # The client library raises what it likes, also of sockets and TLS.
                if not self._is_closed:
                    self._explain(exc)
                await self._discard()
                await asyncio.sleep(RETRY_S * (1 + random.random()))  # noqa: S311 - no secret
                continue
            self._problem = self._told_problem = ""
            self.is_up = True
            self.starts += 1
            self._turn()
            logger.info("the broker at %s is reached", self._urls)
            _call(self.on_up)
            await self._lost.wait()
            self.is_up = False
            self._lost_at = asyncio.get_running_loop().time()
            self._posts.clear()
            self._tell_drained()
            logger.warning("the connection to the broker was lost; direct calls go on")
            _call(self.on_down)
            await self._discard()

    async def _connect(self) -> None:
        from nats.aio.client import Client

        settings = self._settings()
        self._urls = ", ".join(settings.urls)
        lost = self._lost = asyncio.Event()

        async def on_end() -> None:
            lost.set()

        client = self._connection = Client()
        more: dict[str, Any] = {}
        if settings.user:
            more |= {"user": lambda: _reveal(client, settings, settings.user)}
            more |= {"password": lambda: _reveal(client, settings, settings.password)}
        if settings.tls is not None:
            more["tls"] = settings.tls
        async with asyncio.timeout(CONNECT_S):
            await client.connect(
                list(settings.urls),
                name=f"{self._name} {format_id(self.own)}",
                allow_reconnect=False,
                connect_timeout=CONNECT_S,  # type: ignore[arg-type]  # It is waited for.
                reconnect_time_wait=RETRY_S,  # type: ignore[arg-type]  # It is slept.
                ping_interval=PING_S,  # type: ignore[arg-type]
                max_outstanding_pings=MOST_PINGS,
                inbox_prefix=inbox_of(self.own),
                error_cb=self._note_error,
                disconnected_cb=on_end,
                closed_cb=on_end,
                lame_duck_mode_cb=on_end,
                skip_subject_validation=True,  # All subjects are made in this package.
                **more,
            )
        _reveal(client, settings, "")
        self.most_bytes = client.max_payload - _HEADER_BYTES
        self._take_inbound(client)
        await client.subscribe(f"{PREFIX}.to.{format_id(self.own)}.>", cb=self._take)
        self._subscribe()
        await asyncio.sleep(0)  # So that the subscriptions are written before the ping of the flush.
        await self._flush(client, PROBE_S)
        self._probe = secrets.token_hex(8)
        self._probe_back.clear()
        await client.publish(to_node(self.own, self.own, _PROBE), MARK + self._probe.encode())
        try:
            async with asyncio.timeout(PROBE_S):
                await self._probe_back.wait()
        except TimeoutError:
            raise ConnectionError(
                "the broker does not deliver what this node sends to itself: its user needs the permissions that "
                f"docs/group-operations.md lists{'; ' if self._problem else ''}{self._problem}"
            ) from None
        if lost.is_set():
            raise ConnectionError(self._problem or "the broker has closed the connection")

    async def _flush(self, client: Client, timeout_s: float) -> None:
        """Wait until the broker has read what was written. This may be cancelled, unlike the library's own: when the
        answer to that one comes after all, its reading ends."""
        flush = asyncio.ensure_future(client.flush(timeout_s))  # type: ignore[arg-type]  # It is waited for.
        self._flushes.add(flush)
        flush.add_done_callback(self._flushes.discard)
        await asyncio.shield(flush)

    async def _discard(self) -> None:
        connection, self._connection, self._socket, self._subscriptions = self._connection, None, None, None
        if connection is not None:
            # Its last words may wait for a socket that nobody reads.
            try:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(1.0):
                        await connection.close()
            finally:
                _abort(connection)
        for flush in list(self._flushes):  # Nobody reads their answers any more.
            flush.cancel()
            await asyncio.wait([flush])

    async def _note_error(self, exc: Exception) -> None:
        self._problem = printable(f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__, 500)
        if self.is_up:
            logger.warning("the broker: %s", self._problem)

    def _explain(self, exc: Exception) -> None:
        text = printable(str(exc) or type(exc).__name__, 500)
        if isinstance(exc, TimeoutError):
            text = self._problem or "it does not answer"
        if "authorization violation" in text.lower():  # As nats-server says it, and in capitals nats-py.
            text += ". It does not know this node's user and password, which group.credentials_file names"
        self._problem = text
        now = asyncio.get_running_loop().time()
        if text != self._told_problem or now >= self._told_at + REPORT_S:
            self._told_problem, self._told_at = text, now
            logger.warning("the broker at %s cannot be reached: %s; it is tried again", self._urls, text)

    def _no_broker(self) -> NoBroker:
        return NoBroker(f"there is no connection to the group's broker{': ' if self.problem else ''}{self.problem}")

    # --- what comes in -------------------------------------------------------------------------------------------

    def _take_inbound(self, client: Client) -> None:
        """Take messages in the turn of the loop in which they arrive: calls through other nodes would notice the two
        turns more that the client library takes.

        So they also come in the order in which the broker has sent them. The library has a queue for each subscription,
        and an echo would overtake the beats before it.

        Raises:
            ConnectionError: the library is of a version that does not show its socket.
        """
        socket = _find_socket(client)
        if socket is None:
            raise ConnectionError("this version of nats-py is not known: install that of constraints.txt")

        def take(subject: bytes, data: bytes) -> TakeData | None:
            if self._connection is not client:
                return None
            if subject.startswith(to_own):
                return self._deliver(subject, data, is_absent=False)
            self._deliver_public(subject, data)
            return None

        prefix = f"{PREFIX}.to.{format_id(self.own)}."
        to_own = prefix.encode()
        self._socket = socket
        inbox = f"{self._inbox}."
        library = socket.get_protocol()
        assert isinstance(library, asyncio.Protocol)
        answer = self._take_answer
        socket.set_protocol(Intake(library, (prefix, _ALL, _BEAT), take, MARK, reply_prefix=inbox, take_reply=answer))
        self._subscriptions = Subscriptions(socket)

    async def _take(self, message: Msg) -> None:
        headers: Mapping[str, str] = message.headers or {}
        if not headers:
            if message.data.startswith(MARK):
                self._deliver(message.subject.encode(), message.data[len(MARK) :], is_absent=False)
        elif headers.get("Status") == _ABSENT and _STORED not in headers and not message.data:
            self._deliver(message.subject.encode(), b"", is_absent=True)

    def _deliver(self, subject: bytes, data: bytes, *, is_absent: bool) -> TakeData | None:
        """Deliver a message to this node. Return who takes further ones with this subject, if they come often."""
        parts = _read_subject(subject)
        if parts is None:
            return None
        source, kind, rest = parts
        handler = self._handlers.get(kind)
        if handler is not None and (self.is_up or kind == _PROBE):
            handler(Delivery(source, rest, data, is_absent))
        take = None if rest else self._data_handlers.get(kind)
        connection = self._connection
        if take is None:
            return None

        def take_data(data: bytes) -> None:
            if self.is_up and self._connection is connection:
                take(source, data)

        return take_data

    def _take_probe(self, delivery: Delivery) -> None:
        if delivery.source == self.own and delivery.data.decode(errors="replace") == self._probe:
            self._probe_back.set()

    def _deliver_public(self, subject: bytes, data: bytes) -> None:
        # Who heard others before it could speak would think that it has spoken already.
        match = _PUBLIC_SUBJECT.fullmatch(subject)
        if match is None or not self.is_up:
            return
        take = self.on_beat if match[1] == b"beat" else self.on_all
        take(int(match[2], 16), data)

    def listen_to(self, numbers: Iterable[int]) -> None:
        """Listen to the beats of these nodes, and no longer to those of others."""
        targets = frozenset(numbers)
        if targets != self._watches:
            self._watches = targets
            self._subscribe()

    def _subscribe(self) -> None:
        if self._subscriptions is not None:
            self._subscriptions.set([f"{_ALL}*", f"{self._inbox}.*", *map(beat_of, self._watches)])

    @property
    def _inbox(self) -> str:
        return f"{inbox_of(self.own)}.{_ANSWERS}"

    @contextlib.contextmanager
    def open_inbox(self, take: TakeAnswer) -> Iterator[str]:
        """Take what the broker answers to one request. Within this context yield the subject for its answers.

        Parameters:
            take: takes them, in the order in which they come.
        """
        subject = f"{self._inbox}.{secrets.token_hex(8)}"
        self._inboxes[subject.encode()] = take
        try:
            yield subject
        finally:
            del self._inboxes[subject.encode()]

    def _take_answer(self, subject: bytes, headers: bytes, data: bytes) -> None:
        take = self._inboxes.get(subject)
        if take is not None:
            take(headers, data)

    # --- what goes out -------------------------------------------------------------------------------------------

    async def send(self, target: int, kind: str, data: bytes, *rest: str, notes_absence: bool = False) -> None:
        """Send a message to one node, and wait while the connection has no room for it.

        Parameters:
            target: the id of the node.
            kind: the kind of the message, by which the target finds its handler.
            data: the message.
            rest: further words, of letters, digits, ``-`` and ``_``.
            notes_absence: whether the handler of this kind here is told, with the same further words, if nobody listens
                there (:attr:`Delivery.is_absent`).

        Raises:
            NoBroker: there is no connection.
            TooLarge: the broker takes no message of that size. Nothing was sent.
        """
        await self._publish(*self._address(target, kind, data, rest, notes_absence=notes_absence))

    def post(self, target: int, kind: str, data: bytes, *rest: str, notes_absence: bool = False) -> None:
        """Send a message to one node soon, in the order of posts. If there is no connection, it is dropped.

        Parameters:
            target, kind, data, rest, notes_absence: as of :meth:`send`.

        Raises:
            TooLarge: the broker takes no message of that size.
        """
        if not rest and not notes_absence and self.is_up and not self._posts and len(data) <= self.most_bytes:
            socket = self._find_free_socket()
            if socket is not None and self._together is None:
                size = b"%d\r\n" % (len(MARK) + len(data))
                socket.write(b"".join((_head_to_node(target, self.own, kind), size, MARK, data, b"\r\n")))
                return
        self._post(*self._address(target, kind, data, rest, notes_absence=notes_absence))

    def post_to_all(self, data: bytes) -> None:
        """Send a message to everybody soon.

        Raises:
            TooLarge: the broker takes no message of that size.
        """
        self._post(all_of(self.own), data, "")

    def post_beat(self, data: bytes) -> None:
        """Send a beat to those who watch this node soon.

        Raises:
            TooLarge: the broker takes no message of that size.
        """
        self._post(beat_of(self.own), data, "")

    def _address(
        self, target: int, kind: str, data: bytes, rest: tuple[str, ...], *, notes_absence: bool
    ) -> tuple[str, bytes, str]:
        words = join_words(rest)
        reply = to_node(self.own, target, kind) + words if notes_absence else ""
        return to_node(target, self.own, kind) + words, data, reply

    def _check_size(self, data: bytes) -> None:
        if len(data) > self.most_bytes:
            raise TooLarge(
                f"a message to the group has {len(data)} bytes, and the broker takes {self.most_bytes}: send less at "
                "once, or raise max_payload of the broker",
                executed="no",
            )

    def _post(self, subject: str, data: bytes, reply: str) -> None:
        if not self.is_up or len(self._posts) >= MOST_POSTS:
            self.drops += 1
            return
        self._check_size(data)
        if not self._posts and self._write_at_once(subject, data, reply):
            return
        self._posts.append((subject, data, reply))
        self._has_work.set()

    def _find_free_socket(self) -> asyncio.Transport | None:
        """Return the socket if a message can be written to it within this turn of the loop, because nothing waits
        before it. The client library takes three turns, which a call through another node would notice."""
        connection, socket = self._connection, self._socket
        if connection is None or socket is None or connection._pending:  # noqa: SLF001 - nothing public writes at once
            return None
        return None if socket.get_write_buffer_size() > WRITE_BYTES or socket.is_closing() else socket

    def _write_at_once(self, subject: str, data: bytes, reply: str) -> bool:
        socket = self._find_free_socket()
        if socket is None:
            return False
        head = f"PUB {subject} {reply} {len(MARK) + len(data)}\r\n".encode()
        if self._together is not None:
            self._together += (head, MARK, data, b"\r\n")
        else:
            socket.write(b"".join((head, MARK, data, b"\r\n")))
        return True

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Write all that is posted within this context at its end, to the socket at once: each write takes long."""
        if self._together is not None:
            yield
            return
        parts = self._together = []
        try:
            yield
        finally:
            self._together = None
            socket = self._socket
            if parts and socket is not None and not socket.is_closing():
                socket.write(b"".join(parts))

    async def _publish(self, subject: str, data: bytes, reply: str) -> None:
        connection = self.connection
        self._check_size(data)
        try:
            await connection.publish(subject, MARK + data, reply=reply)
        except Exception as exc:  # The connection has been lost, and perhaps the library has failed to say so.
            self._lost.set()
            raise self._no_broker() from exc

    async def _write(self) -> None:
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            if not self.is_up or self._connection is None:
                self._tell_drained()
                continue
            try:
                await self._send_posts()
            except Exception:
                logger.debug("the connection to the broker ends while something is sent", exc_info=True)
                self._posts.clear()
                self._lost.set()
            self._tell_drained()

    def _tell_drained(self) -> None:
        waiting, self._drains = self._drains, []
        for each in waiting:
            each.set()

    async def _send_posts(self) -> None:
        while self._posts:
            await self._publish(*self._posts.popleft())


def _reveal(client: Client, settings: LinkSettings, text: str) -> str:
    """Return a text that may be sent to the broker now.

    The library encrypts only if the broker's greeting asks for it, and that is not encrypted itself: whoever stands
    between could leave it out, and would be given the password.

    Raises:
        ConnectionError: the connection must be encrypted, and is not.
    """
    greeting = client._server_info  # noqa: SLF001 - nothing public tells whether the connection is encrypted
    if settings.tls is not None and not greeting.get("tls_required"):
        raise ConnectionError("the broker does not encrypt: give it a certificate, or write nats:// if it is local")
    return text


def _find_socket(client: Client) -> asyncio.Transport | None:
    """Return the socket of the library's connection; ``None`` if it has none yet, or does not show it."""
    writer = getattr(client._transport, "_io_writer", None)  # noqa: SLF001 - nothing public tells the socket
    return None if writer is None else writer.transport


def _abort(client: Client) -> None:
    """Close the socket. The library leaves it open if its closing is cancelled, or fails."""
    socket = _find_socket(client)
    if socket is not None:
        socket.abort()


def _read_subject(subject: bytes) -> tuple[int, str, tuple[str, ...]] | None:
    """Return the sender of a message to one node, its kind, and further words; ``None`` if the subject is another one.

    A node that makes a consumer of the bucket can have the broker deliver its entry here: then the subject is that of
    the entry.
    """
    match = _OWN_SUBJECT.fullmatch(subject)
    if match is None:
        return None
    words = match[3].decode().split(".")[1:] if match[3] else ()
    return int(match[1], 16), match[2].decode(), tuple(words)


@lru_cache(8)
def _head_to_node(target: int, own: int, kind: str) -> bytes:
    """Return what goes before the size of a message to a node."""
    return f"PUB {to_node(target, own, kind)} ".encode()


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        logger.exception("the group cannot follow the state of its connection")


def _do_nothing() -> None:
    pass


def _drop(source: int, data: bytes) -> None:
    del source, data
