"""The root of generated stubs for the asynchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from rpcclient.methods import StubMethod

from .stream import AsyncStream

if TYPE_CHECKING:
    from .client import AsyncClient


class AsyncStub:
    """A service, typed. Generated subclasses say what it has."""

    _methods: ClassVar[Mapping[str, StubMethod]]

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        return await self._client._invoke(self._methods[name], arguments)

    def _stream(self, name: str, arguments: Mapping[str, Any]) -> AsyncStream[Any]:
        return self._client._open(self._methods[name], arguments)
