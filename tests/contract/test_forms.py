"""A further form of the wire takes a class and a line in the table of `rpcwire.codec`: this one is made here, put into
the table, agreed upon in the handshake, and spoken by both clients."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import rpcclient.handshake
import rpcserver.door.link
import rpcwire.codec
from rpcclient import AsyncClient, Client
from rpcclient.errors import InvalidParams
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcwire.codec import CODECS, OFFERED, Decoded, JsonLines, Malformed, Subprotocol, codec_for
from rpcwire.errors import ParseError

from .conftest import TOKEN, Running

NAME = "test.deflated"


class DeflatedJson(JsonLines):
    """JSON Lines, compressed: binary frames whose parameters and results are JSON."""

    subprotocol = NAME  # type: ignore[assignment] # it is not one of ours
    binary = True
    wraps = True

    def decode(self, frame: bytes) -> Decoded:
        try:
            return super().decode(zlib.decompress(frame))
        except zlib.error as exc:
            return Decoded((Malformed(ParseError(f"not compressed: {exc}")),))

    def wrap(self, frame: bytes) -> bytes:
        return zlib.compress(frame)


@pytest.fixture
def deflating(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, modules: Any) -> Iterator[Running]:
    monkeypatch.setattr(rpcwire.codec, "CODECS", (DeflatedJson, *CODECS))
    monkeypatch.setattr(rpcclient.handshake, "OFFERED", (NAME, *OFFERED))
    monkeypatch.setattr(rpcserver.door.link, "OFFERED", (NAME, *OFFERED))
    config = ServerConfig(state_dir=str(tmp_path), listen={"port": 0, "unix": "none"})
    running = Running(lambda: Server(config, [modules["contract_service"].Contract()], token=TOKEN))
    yield running
    running.stop()


def test_each_form_is_in_the_table_under_its_name() -> None:
    assert set(get_args(Subprotocol)) == set(OFFERED)
    for codec in CODECS:
        assert type(codec_for(codec.subprotocol)) is codec
        assert codec_for(codec.subprotocol, batch_items=7).batch_items == 7
    with pytest.raises(ValueError, match=f"one of {', '.join(OFFERED)}"):
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


def test_others_still_agree_on_theirs(deflating: Running) -> None:
    for name in OFFERED:
        with Client(deflating.server.addresses[0], token=TOKEN, subprotocol=name) as client:
            assert client.hello().subprotocol == name
