"""The base class of generated stubs for the asynchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rpcclient.methods import StubMethod

from .calling import AsyncCalls, HasCalls
from .stream import AsyncStream


class AsyncStub:
    """A service with types. The generated subclasses have its methods.

    Parameters:
        client: an :class:`AsyncClient`, or what makes its calls.
    """

    _methods: ClassVar[Mapping[str, StubMethod]]

    def __init__(self, client: HasCalls | AsyncCalls) -> None:
        self._calls = client if isinstance(client, AsyncCalls) else client.calls

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        return await self._calls.invoke(self._methods[name], arguments)

    def _stream(self, name: str, arguments: Mapping[str, Any]) -> AsyncStream[Any]:
        return self._calls.open(self._methods[name], arguments)
