"""docs/protocol.md: its examples are what a real server says, and it leaves nothing out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from websockets.sync.client import connect

from rpcserver.security.roles import OPEN_TO_ALL
from rpcwire import errors, states
from rpcwire.assembly import MAX_FRAGMENTS
from rpcwire.limits import INITIAL_CREDIT
from rpcwire.session import CONTROL
from rpcwire.values import tagged as values

ANY = "…"


def fits(wanted: Any, found: Any) -> bool:
    if wanted == ANY:
        return True
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(fits(value, found[key]) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(fits, wanted, found))
    return bool(wanted == found and type(wanted) is type(found))


def test_examples(serve: Callable[..., Any], document: Callable[[str], str]) -> None:
    text = document("protocol.md")
    (plugin,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    served = serve({"desk.py": plugin})
    examples = re.findall(r"```rpc\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 9
    with connect(served.url) as connection:
        for line in "".join(examples).splitlines():
            sign, _, message = line.partition(" ")
            message = message.replace("TOKEN", served.token)
            if sign == "-->":
                connection.send(message)
            else:
                assert sign == "<--", line
                received = connection.recv(timeout=10)
                assert fits(json.loads(message), json.loads(received)), (line, received)
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.1)


def test_the_other_forms_say_the_same(serve: Callable[..., Any], document: Callable[[str], str]) -> None:
    import msgspec

    (plugin,) = re.findall(r"```python\n(.*?)```", document("protocol.md"), re.DOTALL)
    served = serve({"desk.py": plugin})
    headers = {"Authorization": f"Bearer {served.token}"}
    calls = [{"jsonrpc": "2.0", "id": n, "method": "desk.add", "params": [n, n]} for n in (1, 2)]
    wanted = [{"jsonrpc": "2.0", "id": n, "result": n + n} for n in (1, 2)]
    with connect(served.url, subprotocols=["rpc.v1.json"], additional_headers=headers) as connection:  # type: ignore[list-item]
        connection.send("\n".join(map(json.dumps, calls)))
        received = connection.recv(timeout=10)
        assert isinstance(received, str)
        assert [json.loads(line) for line in received.splitlines()] == wanted
    with connect(served.url, subprotocols=["rpc.v1.msgpack"], additional_headers=headers) as connection:  # type: ignore[list-item]
        connection.send(msgspec.msgpack.encode(calls))
        assert msgspec.msgpack.decode(connection.recv(timeout=10)) == wanted
        assert connection.response is not None
        assert connection.response.headers["RPC-Message-Bytes"] == str(16 * 1024 * 1024)
        assert connection.response.headers["RPC-Batch-Items"] == "50"


def test_tagged_values(document: Callable[[str], str]) -> None:
    text = document("protocol.md")
    (block,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    tags = set()
    for line in block.splitlines():
        data = json.loads(line)
        tags |= data.keys()
        value = values.from_tagged(data)
        assert values.from_tagged(values.to_tagged(value, binary=False)) == value or value != value
    assert tags == set(values._LOAD)


def test_nothing_is_left_out(document: Callable[[str], str]) -> None:
    text = document("protocol.md")
    for name in CONTROL | OPEN_TO_ALL | {"rpc.discover", "rpc.services"}:
        assert f"| `{name}` |" in text, name
    for code, error in errors.BY_CODE.items():
        assert f"| {code} | {error.__name__} |" in text, code
    assert f"| {errors.ServiceError.code} |" in text
    for state in states.SessionState:
        assert state.name in text
    for state in states.StreamState:
        assert state.name in text
    assert f"credit of {INITIAL_CREDIT} items" in text
    assert f"more than {MAX_FRAGMENTS:,} fragments" in text
