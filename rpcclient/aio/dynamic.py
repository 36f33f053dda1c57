"""Services without a stub, asynchronously: methods by name, signatures from ``rpc.discover``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rpcclient.describe import ServiceDescription
from rpcclient.proxy import DynamicMethod, bind, dress, names_of, overview
from rpcwire.aio.cancelling import gives_way
from rpcwire.errors import RpcError

from .waits import at_once

if TYPE_CHECKING:
    from .client import AsyncClient


class AsyncServiceProxy:
    """A service by its name. Each attribute is one of its methods: ``await service.method(...)``. One that streams
    gives an :class:`~rpcclient.AsyncStream`. Signatures and documentation are there after the first call, or after
    ``await service.describe()``."""

    def __init__(self, client: AsyncClient, name: str) -> None:
        self._client = client
        self._name = name

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        client, service = self._client, self._at_once()

        @gives_way
        async def call(*args: Any, **kwargs: Any) -> Any:
            description = DynamicMethod.find(await self.describe(), name)
            method, params = DynamicMethod(description), bind(description, args, kwargs)
            if description.streams:
                return await client._open(method, params).open()
            return await client._invoke(method, params)

        return dress(call, service, name)

    async def describe(self) -> ServiceDescription:
        """Signatures and documentation of the methods.

        Raises:
            MethodNotFound: the server has no such service.
            RpcError: as of any call.
        """
        return await self._client.describe(self._name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *names_of(self._at_once())]

    def __repr__(self) -> str:
        return f"<service {self._name!r} of {self._client.url}>"

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """All methods with their signatures, for ``help()``."""
        try:
            return overview(self._name, self._at_once())
        except RpcError as exc:
            return f"The service {self._name!r}, which cannot be described now: {exc}"

    def _at_once(self) -> ServiceDescription | None:
        return at_once(self.describe, self._client._known.get(self._name))
