"""The largest call of each method: 1 MiB unless the method asks for more."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from rpcserver import Service, method
from rpcserver.server import Server
from rpcwire.codec import Subprotocol, codec_for
from rpcwire.limits import CALL_STEPS, METHOD_MESSAGE_BYTES
from rpcwire.messages import Notification, Request

MIB = 1024 * 1024
FORMS: list[Subprotocol] = ["jsonrpc", "rpc.v1.json", "rpc.v1.msgpack"]


class Desk(Service):
    """Counts characters."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    @method()
    async def small(self, text: str) -> int:
        """Take what each method takes."""
        self.calls.append("small")
        return len(text)

    @method(message_bytes=2 * MIB)
    async def large(self, text: str) -> int:
        """Take more."""
        self.calls.append("large")
        return len(text)

    @method(message_bytes=None)
    async def largest(self, text: str) -> int:
        """Take as much as the connection accepts."""
        self.calls.append("largest")
        return len(text)

    @method()
    async def wide(self, values: list[int | float | str | UUID | datetime | Decimal]) -> int:
        """Take values of many types."""
        self.calls.append("wide")
        return len(values)

    @method()
    async def pour(self, text: str, items: AsyncIterator[str]) -> int:
        """Take the large part over a stream."""
        return len(text) + sum([len(item) async for item in items])


def text_of(size: int) -> str:
    return "x" * size


async def answers(tools: Any, server: Server, form: Subprotocol, frames: list[bytes], count: int) -> list[Any]:
    """Send frames, and read so many answers, also those of batches."""
    codec = codec_for(form, batch_items=50)
    read = msgspec.msgpack.decode if codec.packed else msgspec.json.decode
    found: list[Any] = []
    async with tools.connect(server, form, max_size=None) as connection:
        for frame in frames:
            await connection.send(frame if codec.binary else frame.decode())
        while len(found) < count:
            answer = await connection.recv()
            lines = [answer] if codec.packed else [line for line in answer.split("\n") if line]
            for value in map(read, lines):
                found += value if isinstance(value, list) else [value]
    return sorted(found, key=lambda answer: answer["id"])


def call(form: Subprotocol, name: str, size: int, call_id: int) -> bytes:
    codec = codec_for(form)
    params = {"text": text_of(size)}
    body = msgspec.msgpack.encode(params) if codec.packed else msgspec.json.encode(params)
    return codec.encode(Request(name, call_id, msgspec.Raw(body), msgspec.UNSET))


def check_refused(answer: Any, name: str, size: int) -> None:
    error = answer["error"]
    assert (error["code"], error["data"]["type"], error["data"]["executed"]) == (-32005, "TooLarge", "no")
    assert error["data"]["errors"][0]["loc"] == ["params"]
    assert f"a call of {name} may have {METHOD_MESSAGE_BYTES} bytes" in error["message"]
    assert f"this one has {size}" in error["message"]
    assert "message_bytes" in error["message"]


@pytest.mark.parametrize("form", FORMS)
def test_a_larger_call_than_its_method_takes(tools: Any, form: Subprotocol) -> None:
    async def main() -> None:
        desk = Desk()
        async with tools.serve(desk, limits={"json_message_bytes": 4 * MIB}) as server:
            frames = [
                call(form, "desk.small", MIB, 1),
                call(form, "desk.small", MIB - 200, 2),
                call(form, "desk.large", 2 * MIB - 200, 3),
                call(form, "desk.large", 2 * MIB, 4),
                call(form, "desk.largest", 3 * MIB, 5),
                call(form, "desk.small", 1, 6),
            ]
            got = await answers(tools, server, form, frames, 6)
            check_refused(got[0], "desk.small", len(frames[0]))
            assert [answer.get("result") for answer in got] == [
                None, MIB - 200, 2 * MIB - 200, None, 3 * MIB, 1,
            ]  # fmt: skip
            assert f"may have {2 * MIB} bytes" in got[3]["error"]["message"]
            assert desk.calls == ["small", "large", "largest", "small"]
            await tools.until(lambda: not any(use.used_bytes for use in server.connections.memory.uses()))

    tools.run(main())


@pytest.mark.parametrize("form", FORMS)
def test_several_calls_in_one_frame_count_each(tools: Any, form: Subprotocol) -> None:
    async def main() -> None:
        desk = Desk()
        async with tools.serve(desk, limits={"json_message_bytes": 4 * MIB}) as server:
            sizes = [1, MIB + 10, 600 * 1024, 600 * 1024, MIB]
            names = ["small", "small", "small", "small", "large"]
            messages = [
                call(form, f"desk.{name}", size, i) for i, (name, size) in enumerate(zip(names, sizes, strict=True))
            ]
            got = await answers(tools, server, form, [codec_for(form).join(messages)], 5)
            assert [answer.get("result") for answer in got] == [1, None, 600 * 1024, 600 * 1024, MIB]
            error = got[1]["error"]
            assert (error["data"]["type"], error["data"]["executed"]) == ("TooLarge", "no")

    tools.run(main())


def test_a_notification_and_a_method_with_a_stream(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        desk = Desk()
        codec = codec_for("rpc.v1.msgpack")
        body = msgspec.Raw(msgspec.msgpack.encode({"text": text_of(MIB)}))
        both = msgspec.Raw(msgspec.msgpack.encode({"text": text_of(MIB), "items": {"stream": "c1"}}))
        async with tools.serve(desk) as server:
            frames = [
                codec.encode(Notification("desk.small", body)),
                codec.encode(Request("desk.pour", 1, both, msgspec.UNSET)),
                call("rpc.v1.msgpack", "desk.small", 3, 2),
            ]
            got = await answers(tools, server, "rpc.v1.msgpack", frames, 2)
            assert "send the large part over the stream 'items'" in got[0]["error"]["message"]
            assert got[1]["result"] == 3
            assert desk.calls == ["small"]
        assert any("desk.small" in line and "TooLarge" in line for line in caplog.messages)

    with caplog.at_level(logging.INFO):
        tools.run(main())


@pytest.mark.parametrize("form", FORMS)
def test_a_call_of_types_that_take_many_steps_has_fewer_values(tools: Any, form: Subprotocol) -> None:
    codec = codec_for(form)
    encode = (msgspec.msgpack if codec.packed else msgspec.json).encode

    def wide(count: int, call_id: int) -> bytes:
        return codec.encode(Request("desk.wide", call_id, msgspec.Raw(encode([[1] * count])), msgspec.UNSET))

    async def main() -> None:
        desk = Desk()
        async with tools.serve(desk) as server:
            most = int(CALL_STEPS / 11)
            got = await answers(tools, server, form, [wide(most - 5, 1), wide(most + 5, 2), wide(1, 3)], 3)
            assert [answer.get("result") for answer in got] == [most - 5, None, 1]
            error = got[1]["error"]
            assert (error["data"]["type"], error["data"]["executed"]) == ("TooLarge", "no")
            assert f"this call may have at most {most} values" in error["message"]
            assert desk.calls == ["wide", "wide"]

    tools.run(main())


def test_the_limits_of_messages_are_told(tools: Any) -> None:
    async def main() -> None:
        roles = {"wall": {"principals": ["wall"], "permissions": [], "limits": {"message_bytes": 65536}}}
        async with tools.serve(Desk(), roles=roles) as server, tools.connect(server) as one:
            uses = (await tools.call(one, "rpc.limits"))["result"]
            found = {(use["scope"], use["holder"], use["what"]): (use["limit"], use["setting"]) for use in uses}
            assert found["server", "", "bytes of a message in MessagePack"] == (16 * MIB, "limits.message_bytes")
            assert found["server", "", "bytes of a message in JSON"] == (MIB, "limits.json_message_bytes")
            assert found["role", "wall", "bytes of a message"] == (65536, "roles.wall.limits.message_bytes")
            assert found["method", "", "bytes of a call"][0] == MIB
            assert found["method", "desk.large", "bytes of a call"] == (2 * MIB, "@method(message_bytes=...)")
            assert found["method", "desk.largest", "bytes of a call"] == (16 * MIB, "limits.message_bytes")
            assert ("method", "desk.small", "bytes of a call") not in found
            assert found["method", "desk.wide", "values of a call"][0] == int(CALL_STEPS / 11)
            assert ("method", "desk.small", "values of a call") not in found
            document = (await tools.call(one, "rpc.discover", call_id=2))["result"]
            told = {m["name"]: m.get("x-message_bytes") for m in document["methods"]}
            nodes = {m["name"]: m.get("x-message_nodes") for m in document["methods"]}
            assert (nodes["desk.small"], nodes["desk.wide"]) == (None, int(CALL_STEPS / 11))
            assert (told["desk.small"], told["desk.large"], told["desk.largest"]) == (MIB, 2 * MIB, None)

    tools.run(main())


def test_a_limit_that_nobody_could_keep() -> None:
    class Odd(Service):
        """Asks for too little."""

        @method(message_bytes=100)
        async def tiny(self) -> None:
            """Take nothing."""

    with pytest.raises(TypeError, match=r"odd\.tiny: message_bytes=100 must be at least 4096, or None"):
        list(Odd.methods())
