"""Services without a stub, asynchronously: methods by name, signatures from ``rpc.discover``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rpcclient.describe import MethodDescription, ServiceDescription
from rpcclient.proxy import DynamicMethod, bind, dress

if TYPE_CHECKING:
    from .client import AsyncClient


class AsyncMethodProxy:
    """One method. Call it: ``await proxy(...)``; where it streams, ``async for item in proxy.stream(...)``."""

    def __init__(self, client: AsyncClient, service: str, name: str) -> None:
        self._client = client
        self._service = service
        self._name = name

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        description = await self._describe()
        method = DynamicMethod(description)
        params = bind(description, args, kwargs)
        if description.streams:
            return await self._client._open(method, params).open()
        return await self._client._invoke(method, params)

    async def _describe(self) -> MethodDescription:
        service = await self._client.describe(self._service)
        return DynamicMethod.find(service, self._name)


class AsyncServiceProxy:
    """A service by its name. Each attribute is one of its methods; a method that streams gives its stream."""

    def __init__(self, client: AsyncClient, name: str) -> None:
        self._client = client
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        proxy = AsyncMethodProxy(self._client, self._name, name)
        known = self._client._known.get(self._name)
        return dress(proxy, known, name)

    async def describe(self) -> ServiceDescription:
        """Fetch signatures and documentation; afterwards ``help()`` shows them."""
        return await self._client.describe(self._name)

    def __dir__(self) -> list[str]:
        known = self._client._known.get(self._name)
        return [*super().__dir__(), *(known.methods if known is not None else ())]

    def __repr__(self) -> str:
        return f"<service {self._name!r} of {self._client.url}>"
