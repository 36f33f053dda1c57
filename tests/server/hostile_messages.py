"""Makes hostile messages: trees that resemble messages of the protocol, with faults in their structure, their encoding,
their frames and their cuts. All chance comes from one seed."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FORMS = ("jsonrpc", "rpc.v1.json", "rpc.v1.msgpack")


class Pairs(list[tuple[Any, Any]]):
    """An object in which names may occur twice, and need not be text."""


class Bytes(bytes):
    """A node that is encoded already, whatever it is."""


METHODS = (
    "calc.add", "calc.echo", "calc.count", "calc.total", "calc.boom", "calc.refuse", "rpc.hello", "rpc.ping",
    "rpc.discover", "rpc.services", "rpc.authenticate", "rpc.cancel", "rpc.progress", "rpc.stream.item",
    "rpc.stream.end", "rpc.stream.credit", "rpc.stream.cancel", "calc.__class__", "calc", "", "rpc.", ".", "calc.add.add",
)  # fmt: skip
NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 255, 2**31, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), 0.5, 1e308, float("nan"), float("inf"), True, False,
)  # fmt: skip
TEXTS = ("", "a", "good-1", "s1", "c1", "\0", "\u202e", "é" * 50, "x" * 300, '"\\/', "[" * 70, "\ud800", "2026-01-01")


@dataclass(frozen=True, slots=True)
class Attack:
    """What to send.

    Attributes:
        data: the bytes.
        pieces: the places at which the writes are cut.
        is_whole: whether no message and no frame is open at the end.
    """

    data: bytes
    pieces: tuple[int, ...]
    is_whole: bool


class Maker:
    """Makes attacks in one form of the wire.

    Parameters:
        seed: the same seed makes the same attacks.
        form: the subprotocol.
        frame: encodes a frame of a client.
    """

    def __init__(self, seed: str, form: str, frame: Callable[..., bytes]) -> None:
        self._random = random.Random(seed)
        self._packed = form == "rpc.v1.msgpack"
        self._form = form
        self._frame = frame

    def attack(self) -> Attack:
        """Make the next attack."""
        chance = self._random
        content = self._content()
        if chance.random() < 0.3:
            content = self._spoil(content)
        data, is_whole = self._frames(content)
        if chance.random() < 0.1 and len(data) > 1:
            data, is_whole = data[: chance.randrange(1, len(data))], False
        cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 0, 1, 3))))
        return Attack(data, tuple(cuts), is_whole)

    # --- trees --------------------------------------------------------------------------------------------------

    def _content(self) -> bytes:
        chance = self._random
        count = 60 if chance.random() < 0.02 else chance.choice((1, 1, 1, 1, 1, 2, 5))
        messages = [self._encode(self._mutate(self._message())) for _ in range(count)]
        if self._packed:
            return b"".join(messages)
        if self._form == "jsonrpc":
            return messages[0] if count == 1 and chance.random() < 0.8 else b"[" + b",".join(messages) + b"]"
        return chance.choice((b"\n", b"\n", b"\r\n", b"\n\n", b" ")).join(messages)

    def _message(self) -> Pairs:
        chance = self._random
        call_id = chance.choice((None, 1, 2, chance.randrange(10**9), str(chance.random()), 0.5, -1))
        kind = chance.random()
        if kind < 0.15:
            answer = chance.choice((("result", self._value(2)), ("error", Pairs([("code", 1), ("message", "x")]))))
            return Pairs([("jsonrpc", "2.0"), ("id", call_id), answer])
        method = chance.choice(METHODS)
        message = Pairs([("jsonrpc", "2.0"), ("method", method)])
        if chance.random() < 0.8:
            message.append(("id", call_id))
        if chance.random() < 0.9:
            message.append(("params", self._params(method)))
        if chance.random() < 0.1:
            message.append(("ctx", Pairs([("ttl_ms", self._value(0)), ("key", self._value(0))])))
        return message

    def _params(self, method: str) -> Any:
        chance = self._random
        if method == "rpc.authenticate":
            return Pairs([("token", chance.choice((None, 5, [], Pairs())))])  # Wrong tokens have tests of their own.
        if chance.random() < 0.3:
            return self._value(3)
        stream = chance.choice(("s1", "c1", "c2", self._value(0)))
        return {
            "calc.add": [chance.choice(NUMBERS), chance.choice(NUMBERS)],
            "calc.echo": [chance.choice(TEXTS)],
            "calc.count": Pairs([("n", chance.choice((0, 3, -1, "x"))), ("size", chance.choice((0, 10, 1.5)))]),
            "calc.total": [Pairs([("$stream", stream)])],
            "rpc.cancel": Pairs([("id", self._value(0))]),
            "rpc.progress": Pairs([("id", self._value(0)), ("done", self._value(0))]),
            "rpc.stream.item": Pairs([("stream", stream), ("items", [self._value(1), self._value(1)])]),
            "rpc.stream.end": Pairs([("stream", stream)]),
            "rpc.stream.credit": Pairs([("stream", stream), ("n", self._value(0))]),
            "rpc.stream.cancel": Pairs([("stream", stream)]),
        }.get(method, [])

    def _value(self, depth: int) -> Any:
        chance = self._random
        kind = chance.random()
        if depth <= 0 or kind < 0.5:
            return chance.choice((chance.choice(NUMBERS), chance.choice(TEXTS), None))
        if kind < 0.6:
            return self._tower(chance.choice((10, 63, 64, 65, 200, 5000)))
        if kind < 0.8:
            return [self._value(depth - 1) for _ in range(chance.randrange(5))]
        return Pairs((self._name(), self._value(depth - 1)) for _ in range(chance.randrange(5)))

    def _tower(self, height: int) -> Bytes:
        if self._packed:
            return Bytes(self._random.choice((b"\x91", b"\x81\xa1x")) * height + b"\xc0")
        left, right = self._random.choice(((b"[", b"]"), (b'{"x":', b"}")))
        return Bytes(left * height + b"1" + right * height)

    def _name(self) -> Any:
        return self._random.choice(("id", "method", "params", "result", "a", "a", "", 5 if self._packed else "5"))

    def _mutate(self, message: Pairs) -> Any:
        """Change up to three places of a message."""
        chance = self._random
        for _ in range(chance.choice((0, 1, 1, 2, 3))):
            if not message:
                break
            at = chance.randrange(len(message))
            name, value = message[at]
            match chance.randrange(6):
                case 0:
                    del message[at]
                case 1:
                    message.insert(chance.randrange(len(message) + 1), (name, value))
                case 2:
                    message[at] = (self._name(), value)
                case 3:
                    message[at] = (name, self._value(3))
                case 4:
                    message.append((self._name(), self._value(2)))
                case _ if isinstance(value, list) and value:
                    value[chance.randrange(len(value))] = ("x", 1) if isinstance(value, Pairs) else self._value(2)
        return message if chance.random() < 0.97 else self._value(3)

    # --- bytes --------------------------------------------------------------------------------------------------

    def _encode(self, value: Any) -> bytes:
        return _pack(value) if self._packed else _write_json(value)

    def _spoil(self, data: bytes) -> bytes:
        chance, at = self._random, self._random.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0:
                return data[:at]
            case 1:
                return data[at:]
            case 2:
                return data[:at] + chance.randbytes(chance.choice((1, 2, 8))) + data[at:]
            case 3:
                return data[:at] + data[at : at + 20] * chance.choice((2, 50)) + data[at:]
            case 4:
                return chance.randbytes(chance.randrange(100))
            case _:
                flipped = bytearray(data)
                for _ in range(min(len(data), chance.randrange(1, 9))):
                    flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                return bytes(flipped)

    def _frames(self, content: bytes) -> tuple[bytes, bool]:
        """Return frames that hold the content, and whether they leave nothing open."""
        chance, opcode = self._random, 2 if self._packed else 1
        kind = chance.random()
        if kind < 0.75:
            return self._frame(opcode, content), True
        if kind < 0.9:
            places = sorted(chance.randrange(len(content) + 1) for _ in range(chance.randrange(1, 5)))
            parts = [content[a:b] for a, b in zip([0, *places], [*places, len(content)], strict=True)]
            frames = [self._frame(opcode if i == 0 else 0, part, fin=False) for i, part in enumerate(parts[:-1])]
            if chance.random() < 0.5:
                frames.insert(1, self._frame(9, b"ping"))
            if chance.random() < 0.8:
                return b"".join([*frames, self._frame(0, parts[-1])]), True
            return b"".join(frames), False
        odd = chance.choice(({"masked": False}, {"rsv": 0x40}, {"fin": False}, {}))
        code = chance.choice((0, 1, 2, 3, 7, 8, 9, 10, 11, 15))
        return self._frame(code, content[: chance.choice((0, 2, 125, 126, len(content)))], **odd), odd != {"fin": False}


def _write_json(value: Any) -> bytes:
    if isinstance(value, Bytes):
        return bytes(value)
    if isinstance(value, Pairs):
        return b"{" + b",".join(_write_json(str(name)) + b":" + _write_json(inner) for name, inner in value) + b"}"
    if isinstance(value, (list, tuple)):
        return b"[" + b",".join(_write_json(inner) for inner in value) + b"]"
    return json.dumps(value).encode()


def _pack(value: Any) -> bytes:
    if isinstance(value, Bytes):
        return bytes(value)
    if isinstance(value, Pairs):
        return b"\xdf" + struct.pack(">I", len(value)) + b"".join(_pack(name) + _pack(inner) for name, inner in value)
    if isinstance(value, (list, tuple)):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(_pack(inner) for inner in value)
    if isinstance(value, str):
        data = value.encode(errors="surrogatepass")
        return b"\xdb" + struct.pack(">I", len(data)) + data
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    return b"\xcf" + struct.pack(">Q", value) if value >= 0 else b"\xd3" + struct.pack(">q", max(value, -(2**63)))
