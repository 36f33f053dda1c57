"""What comes off the broker's socket: messages to this node at once, all else to the client library, nothing lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
import uvloop

from rpcserver.group.intake import MOST_FREQUENT, Intake, Subscriptions, TakeData

PREFIX = "rpcgroup.to.0000000000000007."
SUBJECT = PREFIX + "0000000000000009.circuit"
OWN = [(SUBJECT, b"one"), (SUBJECT, b""), (SUBJECT, b"MSG in\r\nMSG " + SUBJECT.encode() + b" 1 2\r\n" * 3)]
INFO = b'INFO {"server_id":"a"}\r\n'
BEAT = b"MSG rpcgroup.beat.0000000000000009 4 6\r\n\r\nMSG \r\n"
HEADERS = b"HMSG " + SUBJECT.encode() + b" 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
REST = [INFO, BEAT, b"PING\r\n", b"PONG\r\n", b"+OK\r\n", HEADERS, b"-ERR 'Slow Consumer'\r\n"]


class Library(asyncio.Protocol):
    """What the client library gets."""

    def __init__(self) -> None:
        self.data = b""
        self.events: list[str] = []

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool | None:
        self.events.append("eof")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(f"lost {exc}")

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")


def pack(subject: str, data: bytes, reply: str = "") -> bytes:
    """As the broker sends a message."""
    return f"MSG {subject} 1 {reply}{' ' if reply else ''}{len(data)}\r\n".encode() + data + b"\r\n"


def receive(pieces: list[bytes]) -> tuple[list[tuple[str, bytes]], bytes]:
    """Return what is taken of pieces, and what the library gets."""
    library, messages = Library(), list[tuple[str, bytes]]()
    intake = Intake(library, (PREFIX,), lambda subject, data: messages.append((subject.decode(), data)))
    for piece in pieces:
        intake.data_received(piece)
    return messages, library.data


def test_messages_are_taken_wherever_the_pieces_are_cut() -> None:
    parts = [
        INFO, pack(*OWN[0]), BEAT, pack(*OWN[1], reply="rpcgroup.to.0000000000000009.0000000000000007.circuit"),
        *REST[2:], pack(*OWN[2]),
    ]  # fmt: skip
    stream = b"".join(parts)
    wanted = OWN, b"".join(REST)
    assert receive([stream]) == wanted
    assert receive([stream[at : at + 1] for at in range(len(stream))]) == wanted
    for at in range(len(stream)):
        assert receive([stream[:at], stream[at:]]) == wanted
    for seed in range(300):
        chance = random.Random(seed)
        cuts = sorted(chance.choices(range(len(stream)), k=chance.randint(1, 12)))
        pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        assert receive(pieces) == wanted, seed


def test_answers_of_the_broker_are_taken_with_their_headers_wherever_the_pieces_are_cut() -> None:
    inbox = "rpcgroup.inbox.0000000000000007.answers."
    headers = b"NATS/1.0\r\nNats-Sequence: 7\r\n\r\n"
    entry = f"HMSG {inbox}one 9 {len(headers)} {len(headers) + 4}\r\n".encode() + headers + b"a\r\nb\r\n"
    end = f"HMSG {inbox}one 9 the.reply 28 28\r\n".encode() + b"NATS/1.0 204 the end\r\nx:y\r\n\r\n"[:28] + b"\r\n"
    stream = INFO + entry + HEADERS + pack(*OWN[0]) + end + b"PING\r\n"
    for at in range(len(stream)):
        library, log = Library(), list[tuple[bytes, bytes, bytes]]()

        def take(subject: bytes, headers: bytes, data: bytes, log: list[tuple[bytes, bytes, bytes]] = log) -> None:
            log.append((subject, headers, data))

        intake = Intake(library, (PREFIX,), lambda *_: None, reply_prefix=inbox, take_reply=take)
        intake.data_received(stream[:at])
        intake.data_received(stream[at:])
        subject = f"{inbox}one".encode()
        assert log == [(subject, headers, b"a\r\nb"), (subject, b"NATS/1.0 204 the end\r\nx:y\r\n\r\n"[:28], b"")]
        assert library.data == INFO + HEADERS + b"PING\r\n"


def test_an_answer_that_cannot_be_handled_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: bytes) -> None:
        raise ValueError

    library = Library()
    Intake(library, (PREFIX,), lambda *_: None, reply_prefix="in.", take_reply=fail).data_received(
        b"HMSG in.box 1 12 12\r\nNATS/1.0\r\n\r\n\r\nPING\r\n"
    )
    assert library.data == b"PING\r\n"
    assert "could not be handled" in caplog.text


def test_a_large_message_is_joined_once() -> None:
    data = bytes(range(256)) * 4096
    stream = pack(SUBJECT, data) + b"PING\r\n"
    pieces = [stream[at : at + 65536] for at in range(0, len(stream), 65536)]
    assert receive(pieces) == ([(SUBJECT, data)], b"PING\r\n")


@pytest.mark.parametrize("size", [b"x", b"-1", b"1" * 5000, b""])
def test_what_breaks_the_protocol_is_for_the_library(size: bytes) -> None:
    bad = b"MSG " + SUBJECT.encode() + b" 1 " + size + b"\r\n"
    assert receive([pack(SUBJECT, b"one") + bad]) == ([(SUBJECT, b"one")], bad)


def test_the_library_hears_of_the_connection_and_nothing_raises(caplog: pytest.LogCaptureFixture) -> None:
    library = Library()

    def fail(_subject: bytes, data: bytes) -> None:
        raise ValueError(data.decode())

    intake = Intake(library, (PREFIX,), fail)
    intake.data_received(pack(SUBJECT, b"no") + b"PING\r\n")
    assert library.data == b"PING\r\n"
    assert "could not be handled" in caplog.text
    intake.pause_writing()
    intake.resume_writing()
    assert intake.eof_received() is True
    intake.connection_lost(None)
    assert library.events == ["pause", "resume", "eof", "lost None"]


def test_messages_that_come_often_go_to_whom_the_first_has_named() -> None:
    library, log = Library(), list[tuple[str, bytes]]()

    def take(subject: bytes, data: bytes) -> TakeData | None:
        word = subject.decode().rpartition(".")[2]
        log.append((f"first {word}", data))
        return None if word == "seldom" else lambda data: log.append((word, data))

    intake = Intake(library, (PREFIX,), take, b"!")
    stream = b"".join(
        [
            pack(PREFIX + "often", b"!1"),
            pack(PREFIX + "seldom", b"!2"),
            pack(PREFIX + "often", b"!3"),
            b"PING\r\n",
            pack(PREFIX + "seldom", b"!4"),
            pack(PREFIX + "often", b"of the broker"),
            pack(PREFIX + "other", b"!5"),
            pack(PREFIX + "often", b"!6", reply="an.inbox"),  # Each reply may be another one: nobody remembers it.
            pack(PREFIX + "often", b"!7", reply="an.inbox"),
            pack(PREFIX + "often", b"!8"),
            pack(PREFIX + "other", b"!"),
        ]
    )
    wanted = [
        ("first often", b"1"), ("first seldom", b"2"), ("often", b"3"), ("first seldom", b"4"), ("first other", b"5"),
        ("first often", b"6"), ("first often", b"7"), ("often", b"8"), ("other", b""),
    ]  # fmt: skip
    intake.data_received(stream)
    assert (log, library.data) == (wanted, b"PING\r\n")
    again = wanted.copy()
    again[0], again[4] = ("often", b"1"), ("other", b"5")
    for at in range(len(stream)):
        log.clear()
        intake.data_received(stream[:at])
        intake.data_received(stream[at:])
        assert log == again


def test_few_subjects_are_kept_in_mind() -> None:
    firsts: list[bytes] = []

    def take(subject: bytes, data: bytes) -> TakeData:
        firsts.append(data)
        return lambda data: None

    intake = Intake(Library(), (PREFIX,), take)
    for _ in range(2):
        for number in range(MOST_FREQUENT):
            intake.data_received(pack(f"{PREFIX}{number}", b"a"))
    assert len(firsts) == MOST_FREQUENT
    for number in range(1000):
        intake.data_received(pack(f"{PREFIX}{number}", b"b"))
    assert len(intake._frequent) <= MOST_FREQUENT


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_subscribing_on_a_connection_that_has_ended_does_nothing(
    make_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """The node notices that later; until then it goes on with its work, and sets its timers."""

    class Broker(asyncio.Protocol):
        """The other end."""

        def data_received(self, data: bytes) -> None:
            received.put_nowait(data)

        def connection_lost(self, exc: Exception | None) -> None:
            end.set()

    async def use() -> None:
        loop = asyncio.get_running_loop()
        async with await loop.create_server(Broker, "127.0.0.1", 0) as server:
            transport, library = await loop.create_connection(Library, *server.sockets[0].getsockname())
            subscriptions = Subscriptions(transport)
            subscriptions.set(["a", "b"])
            assert await received.get() == b"SUB a 1000000000\r\nSUB b 1000000001\r\n"
            transport.abort()
            await end.wait()
            assert library.events == ["lost None"]
            subscriptions.set(["a", "c"])

    received: asyncio.Queue[bytes] = asyncio.Queue()
    end = asyncio.Event()
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(use())
