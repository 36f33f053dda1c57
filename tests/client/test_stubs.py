"""The generated stubs: every method, sync and async, asks for what its name and its parameters say."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

import rpcclient.stubs
from rpcclient.aio.stub import AsyncStub
from rpcclient.methods import StubMethod
from rpcclient.sync.stub import SyncStub

ROOMS = {AsyncStub: "rpcclient.aio.stubs", SyncStub: "rpcclient.sync.stubs"}
MODULES = [module.name for module in pkgutil.iter_modules(rpcclient.stubs.__path__)]


class Recorder:
    """Stands where the client stands, and notes what a stub asks of it."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async
        self.asked: list[tuple[str, str, Any]] = []

    @property
    def calls(self) -> Recorder:
        return self

    def invoke(self, method: Any, params: Any) -> Any:
        self.asked.append(("call", method.name, params))
        return self._later() if self.is_async else "answer"

    async def _later(self) -> str:
        return "answer"

    def open(self, method: Any, params: Any) -> Any:
        self.asked.append(("stream", method.name, params))
        return "stream"


def stubs(name: str, root: type) -> list[type]:
    module = importlib.import_module(f"{ROOMS[root]}.{name}")
    return [cls for cls in vars(module).values() if isinstance(cls, type) and issubclass(cls, root) and cls is not root]


@pytest.mark.parametrize("name", MODULES)
def test_models_stand_by_themselves(name: str) -> None:
    """What a service answers and raises is defined once, where neither client is known."""
    module = importlib.import_module(f"rpcclient.stubs.{name}")
    assert not [value for value in vars(module).values() if inspect.isclass(value) and hasattr(value, "_methods")]
    for room in ROOMS.values():
        stub = importlib.import_module(f"{room}.{name}")
        shared = [key for key, value in vars(stub).items() if getattr(value, "__module__", "") == module.__name__]
        assert shared
        assert all(getattr(stub, key) is getattr(module, key) for key in shared)


def methods(cls: type) -> dict[str, Any]:
    return {name: function for name, function in vars(cls).items() if not name.startswith("_")}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("root", [SyncStub, AsyncStub])
def test_every_method(name: str, root: type) -> None:
    (cls,) = stubs(name, root)
    for short, function in methods(cls).items():
        recorder = Recorder(is_async=root is AsyncStub)
        stub = cls(recorder)
        wanted = {p: object() for p in list(inspect.signature(function).parameters)[1:]}
        result = getattr(stub, short)(**wanted)
        if inspect.isawaitable(result):
            result = asyncio.run(asyncio.wait_for(result, 10))  # type: ignore[arg-type]
        ((kind, full_name, params),) = recorder.asked
        assert full_name == f"{name}.{short}"
        assert params == wanted
        assert result in (("answer", None) if kind == "call" else ("stream",))


@pytest.mark.parametrize("name", MODULES)
def test_twins(name: str) -> None:
    (cls,), (twin,) = stubs(name, SyncStub), stubs(name, AsyncStub)
    assert methods(cls).keys() == methods(twin).keys() == cls._methods.keys()  # type: ignore[attr-defined]
    for short, function in methods(cls).items():
        other = methods(twin)[short]
        assert inspect.getdoc(function) == inspect.getdoc(other)
        mine, theirs = (
            [(p.name, p.kind, p.default, str(p.annotation)) for p in inspect.signature(one).parameters.values()]
            for one in (function, other)
        )
        assert mine == [
            (name, kind, default, words.replace("AsyncIterable", "Iterable")) for name, kind, default, words in theirs
        ]


def test_stubs_that_were_generated_before() -> None:
    """One table for both classes, set afterwards: users have such modules, and need not generate them anew."""

    class AsyncDesk(AsyncStub):
        _methods: ClassVar[Mapping[str, StubMethod]]

        async def add(self, a: int, b: int) -> int:
            result: int = await self._call("add", {"a": a, "b": b})
            return result

    class Desk(SyncStub):
        _methods: ClassVar[Mapping[str, StubMethod]]

        def add(self, a: int, b: int) -> int:
            result: int = self._call("add", {"a": a, "b": b})
            return result

    table = {"add": StubMethod("desk.add", AsyncDesk.add)}
    AsyncDesk._methods = table
    Desk._methods = table
    recorder = Recorder(is_async=False)
    assert Desk(recorder).add(1, 2) == "answer"  # type: ignore[arg-type, comparison-overlap]
    assert asyncio.run(AsyncDesk(Recorder(is_async=True)).add(1, 2)) == "answer"  # type: ignore[arg-type, comparison-overlap]
    assert recorder.asked == [("call", "desk.add", {"a": 1, "b": 2})]
