"""A further form of the wire takes a class and a line in the table of `rpcwire.codec`: this one is made here, put into
the table, agreed upon in the handshake, and spoken by both clients."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from websockets.sync.client import connect

import rpcclient.handshake
import rpcserver.door.link
import rpcwire.codec
from rpcclient import AsyncClient, Client
from rpcclient.errors import InvalidParams
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcwire.codec import CODECS, SUBPROTOCOLS, JsonLines, Subprotocol, codec_for
from rpcwire.errors import ParseError, TooLarge

from .conftest import TOKEN, Running

NAME = "test.deflated"


class DeflatedJson(JsonLines):
    """JSON Lines, compressed: binary frames whose parameters and results are JSON."""

    subprotocol = cast("Subprotocol", NAME)
    binary = True
    wraps = True

    def wrap(self, frame: bytes) -> bytes:
        return zlib.compress(frame)

    def unwrap(self, frame: bytes, limit: int) -> bytes:
        inside = zlib.decompressobj()
        try:
            data = inside.decompress(frame, limit)
        except zlib.error as exc:
            raise ParseError(f"not compressed: {exc}") from None
        if inside.unconsumed_tail:
            raise TooLarge(f"a frame of more than {limit} bytes", executed="no")
        return data


@pytest.fixture
def deflating(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, modules: Any) -> Iterator[Running]:
    monkeypatch.setattr(rpcwire.codec, "CODECS", (DeflatedJson, *CODECS))
    monkeypatch.setattr(rpcclient.handshake, "SUBPROTOCOLS", (NAME, *SUBPROTOCOLS))
    monkeypatch.setattr(rpcserver.door.link, "SUBPROTOCOLS", (NAME, *SUBPROTOCOLS))
    config = ServerConfig(state_dir=str(tmp_path), listen={"port": 0, "unix": "none"})
    running = Running(lambda: Server(config, [modules["contract_service"].Contract()], token=TOKEN))
    yield running
    running.stop()


def test_each_form_is_in_the_table_under_its_name() -> None:
    assert set(get_args(Subprotocol)) == set(SUBPROTOCOLS)
    for codec in CODECS:
        assert type(codec_for(codec.subprotocol)) is codec
        assert codec_for(codec.subprotocol, batch_items=7).batch_items == 7
    with pytest.raises(ValueError, match=f"one of {', '.join(SUBPROTOCOLS)}"):
        codec_for(NAME)


@pytest.mark.parametrize("over", ["tcp", "memory"])
def test_a_form_of_ones_own(deflating: Running, over: str) -> None:
    where: dict[str, Any] = {"url": deflating.server.addresses[0], "token": TOKEN}
    if over == "memory":
        where = {"memory": deflating.server.connect_memory, "subprotocol": NAME}
    with Client(**where) as client:
        assert client.hello().subprotocol == NAME
        assert client.call("contract.add", [1, 2]) == 3
        assert list(client.stream("contract.count", [3])) == [0, 1, 2]
        with pytest.raises(InvalidParams):
            client.call("contract.add", ["x"])
        with client.batch() as batch:
            answers = [batch.call("contract.add", [n, n]) for n in range(3)]
        assert [answer.result() for answer in answers] == [0, 2, 4]


def test_a_form_of_ones_own_asynchronously(deflating: Running) -> None:
    async def main() -> None:
        async with AsyncClient(deflating.server.addresses[0], token=TOKEN) as client:
            assert (await client.hello()).subprotocol == NAME
            assert await asyncio.gather(*(client.call("contract.add", [n, 1]) for n in range(5))) == [1, 2, 3, 4, 5]
            assert [item async for item in client.stream("contract.count", [3])] == [0, 1, 2]

    asyncio.run(main())


def test_what_a_frame_holds_is_checked(deflating: Running) -> None:
    """What cannot be unwrapped, or holds more than one side takes, gets an error; the connection stays usable."""
    too_much = deflating.server.config.limits.message_bytes + 1
    headers = {"Authorization": f"Bearer {TOKEN}"}
    url = deflating.server.addresses[0]
    with connect(url, subprotocols=[cast("Any", NAME)], additional_headers=headers, compression=None) as connection:
        for sent, error in (
            (b"as it is", "ParseError"),
            (zlib.compress(b" " * too_much), "TooLarge"),
            (zlib.compress(b"{}"), "InvalidRequest"),
        ):
            connection.send(sent)
            assert json.loads(zlib.decompress(cast("bytes", connection.recv(20))))["error"]["data"]["type"] == error
        connection.send(zlib.compress(b'{"jsonrpc":"2.0","id":1,"method":"contract.add","params":[1,2]}'))
        assert json.loads(zlib.decompress(cast("bytes", connection.recv(20))))["result"] == 3


@pytest.mark.parametrize("over", ["tcp", "memory"])
def test_errors_keep_their_details(deflating: Running, over: str) -> None:
    where: dict[str, Any] = {"url": deflating.server.addresses[0], "token": TOKEN}
    if over == "memory":
        where = {"memory": deflating.server.connect_memory, "subprotocol": NAME}
    with Client(**where) as client, pytest.raises(InvalidParams) as caught:
        client.call("contract.add", ["x"])
    assert caught.value.errors


def test_others_still_agree_on_theirs(deflating: Running) -> None:
    for name in SUBPROTOCOLS:
        with Client(deflating.server.addresses[0], token=TOKEN, subprotocol=name) as client:
            assert client.hello().subprotocol == name
