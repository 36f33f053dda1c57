"""What a signal's handler raises while something is encoded is no fault of what is encoded: it reaches whoever called."""

from __future__ import annotations

import datetime as dt
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import PlainSerializer

from rpcwire.codec import Codec, JsonLines, MessagePack, PlainJson
from rpcwire.values.dynamic import dump_plain
from rpcwire.values.unsendable import Unsendable, unsendable
from rpcwire.values.wiretypes import WireType

CODECS = [PlainJson(), JsonLines(), MessagePack()]
every_codec = pytest.mark.parametrize("codec", CODECS, ids=[codec.subprotocol for codec in CODECS])


def press_ctrl_c() -> None:
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


class Zone(dt.tzinfo):
    """Somebody presses Ctrl-C while a time of this zone is encoded."""

    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        press_ctrl_c()
        return dt.timedelta(0)

    dst = utcoffset

    def tzname(self, _: dt.datetime | None) -> str:
        return "Zone"


class Number(int):
    """The same for a key of a mapping."""

    def __str__(self) -> str:
        press_ctrl_c()
        return "1"


def numbers() -> Iterator[int]:
    yield 1
    press_ctrl_c()
    yield 2


def interrupt(value: int) -> int:
    press_ctrl_c()
    return value


def leave(_: int) -> int:
    raise SystemExit(3)


INTERRUPTED = {
    "a value": lambda: dt.datetime(2020, 1, 1, tzinfo=Zone()),
    "a generator": numbers,
}


@every_codec
@pytest.mark.parametrize("name", INTERRUPTED)
def test_ctrl_c_while_parameters_are_encoded(codec: Codec, name: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        dump_plain({"a": INTERRUPTED[name]()}, codec)
    with pytest.raises(KeyboardInterrupt):
        WireType(Any).dump([INTERRUPTED[name]()], codec)


@pytest.mark.parametrize("codec", CODECS[:2], ids=["jsonrpc", "rpc.v1.json"])
def test_ctrl_c_while_a_key_is_encoded(codec: Codec) -> None:
    with pytest.raises(KeyboardInterrupt):
        dump_plain({"a": {Number(1): 1}}, codec)
    with pytest.raises(KeyboardInterrupt):  # While the place of a fault is looked for.
        unsendable([{Number(1): 1}], ValueError("it failed"), binary=False)


@every_codec
def test_ctrl_c_while_a_serializer_runs(codec: Codec) -> None:
    with pytest.raises(KeyboardInterrupt):
        WireType(list[Annotated[int, PlainSerializer(interrupt)]]).dump([1], codec)


@every_codec
def test_an_exit_while_a_serializer_runs(codec: Codec) -> None:
    with pytest.raises(SystemExit) as left:
        WireType(list[Annotated[int, PlainSerializer(leave)]]).dump([1], codec)
    assert left.value.code == 3


def broken() -> Iterator[int]:
    yield 1
    raise ValueError("it broke")


@every_codec
@pytest.mark.parametrize("kind", [Any, Iterable[int], list[Any]], ids=str)
def test_a_generator_that_fails_is_not_taken_for_what_is_left_of_it(codec: Codec, kind: Any) -> None:
    value = [broken()] if kind == list[Any] else broken()
    with pytest.raises(Unsendable, match=r"the generator failed: .*it broke"):
        WireType(kind).dump(value, codec)
