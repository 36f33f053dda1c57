"""Services without a stub: signatures and documentation from `rpc.discover`."""

from __future__ import annotations

import asyncio
import inspect
import pydoc
from typing import Any

import pytest

from rpcclient import AsyncClient, Client
from rpcclient.describe import descriptions, find
from rpcclient.errors import ConnectFailed, InvalidParams, MethodNotFound, RemoteProtocolError

DOCUMENT: dict[str, Any] = {
    "methods": [
        {
            "name": "a.b.m",
            "summary": "One line.",
            "description": "More of it.",
            "paramStructure": "by-name",
            "params": [
                {"name": "later", "schema": {"type": "integer", "default": 5}},
                {"name": "first", "required": True, "schema": {"$ref": "#/components/schemas/Point"}},
            ],
            "result": {"schema": {"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "string"}]}},
            "x-deadline_s": 5,
        },
        {
            "name": "a.b.n",
            "params": [
                {"name": "x", "schema": {"type": "string", "contentEncoding": "base64"}},
                {"name": "y", "required": True, "schema": {"type": "string", "format": "date-time"}},
                {"name": "z", "schema": {}, "x-stream": {"type": "number"}},
            ],
            "result": {"schema": {}, "x-stream": {"type": "array", "items": {"type": "boolean"}}},
        },
        {"name": "a.b.o"},
    ]
}


def test_signatures() -> None:
    methods = find(descriptions(DOCUMENT), "a.b").methods
    assert str(methods["m"].signature) == "(*, later: int = 5, first: Point) -> str | None"
    assert methods["m"].doc == "One line.\n\nMore of it."
    assert methods["m"].deadline_s == 5
    assert methods["m"].by_position is False
    assert (
        str(methods["n"].signature)
        == "(x: bytes = None, z: Iterable[float] = None, *, y: date-time) -> Iterator[list[bool]]"
    )
    assert methods["n"].streams is True
    assert methods["n"].uploads == {"z"}
    assert str(methods["o"].signature) == "() -> Any"
    with pytest.raises(MethodNotFound, match=r"'a'; there are: a\.b"):
        find(descriptions(DOCUMENT), "a")
    assert descriptions({}) == {}


DEEP: dict[str, Any] = {"type": "array"}
for _ in range(5000):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize(
    ("document", "place"),
    [
        *[(document, "the document") for document in (None, [], "x", 5, {"components": []}, {"methods": 5})],
        *[({"methods": [method]}, "the document") for method in (None, "x", 5, {}, {"params": []})],
        *[
            ({"methods": [{"name": "a.b", **method}]}, "the method 'a.b'")
            for method in (
                {"params": 5}, {"params": [{}]}, {"params": [{"name": "x"}]}, {"params": ["x"]}, {"result": 5},
                {"params": [{"name": "for", "schema": {}}]}, {"params": [{"name": "\x1b[2J", "schema": {}}]},
                {"params": [{"name": "x", "schema": {}}] * 2}, {"params": [{"name": "x", "schema": []}]},
                {"params": [{"name": "x", "schema": {"anyOf": 5}}]}, {"params": [{"name": "x", "schema": {"$ref": 5}}]},
                {"x-deadline_s": "soon"}, {"x-deadline_s": {}}, {"x-deadline_s": 0},
                {"x-deadline_s": -1}, {"x-deadline_s": float("nan")}, {"result": {"schema": DEEP}}, {"summary": 5},
                {"params": [{"name": [], "schema": {}}]},
            )
        ],
        ({"methods": [{"name": 5}]}, "the method '5'"),
    ],
)  # fmt: skip
def test_whatever_the_server_sends_instead_of_a_document(document: Any, place: str) -> None:
    with pytest.raises(RemoteProtocolError, match="no OpenRPC") as caught:
        descriptions(document)
    assert place in caught.value.message
    assert len(caught.value.message) < 400


def test_proxy(running: Any) -> None:
    with Client(running.unix) as client:
        desk = client.service("desk")
        assert repr(desk) == f"<service 'desk' of {running.unix}>"
        assert str(inspect.signature(desk.add)) == "(a: int, b: int = 10) -> int"
        assert "add(a: int, b: int = 10) -> int\n    Add two numbers." in pydoc.render_doc(
            desk.add, renderer=pydoc.plaintext
        )
        text = pydoc.render_doc(desk, renderer=pydoc.plaintext)
        assert "total(items: Iterable[int], *, start: int = 0) -> int" in text
        assert "count(n: int) -> Iterator[int]" in text
        assert "add" in dir(desk)
        assert desk.add(1) == 11
        assert desk.add(1, b=2) == 3
        assert list(desk.count(3)) == [0, 1, 2]
        assert desk.total(items=[1, 2], start=5) == 8
        with pytest.raises(InvalidParams, match=r"missing a required argument: 'a'; the signature is add\(a: int"):
            desk.add()
        with pytest.raises(InvalidParams, match="unexpected"):
            desk.add(1, c=2)
        with pytest.raises(MethodNotFound, match="it has: add"):
            desk.nope()
        with pytest.raises(MethodNotFound, match="there are: desk"):
            client.service("nope").method()
        with pytest.raises(AttributeError):
            _ = desk._private
        with pytest.raises(AttributeError):
            _ = desk.__wrapped__


def test_proxy_without_a_server() -> None:
    client = Client("ws://127.0.0.1:9", token="x")
    assert "cannot be described now" in str(client.service("desk").__doc__)
    with pytest.raises(ConnectFailed):
        _ = client.service("desk").add
    client.close()


def test_async_proxy(running: Any) -> None:
    async def main() -> None:
        async with AsyncClient(running.unix) as client:
            desk = client.service("desk")
            assert "describe()" in str(desk.__doc__)
            assert await desk.add(1) == 11
            assert repr(desk) == f"<service 'desk' of {running.unix}>"
            assert str(inspect.signature(desk.add)) == "(a: int, b: int = 10) -> int"
            assert "Add two numbers." in pydoc.render_doc(desk.add, renderer=pydoc.plaintext)
            assert "add(a: int, b: int = 10) -> int" in pydoc.render_doc(desk, renderer=pydoc.plaintext)
            assert "add" in dir(desk)
            assert [item async for item in await desk.count(3)] == [0, 1, 2]
            with pytest.raises(MethodNotFound):
                await desk.nope()
            with pytest.raises(AttributeError):
                _ = desk._private
            assert (await client.service("desk").describe()).name == "desk"

    asyncio.run(main())
