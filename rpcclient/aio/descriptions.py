"""The descriptions of services, which a client fetches at most once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rpcclient.methods import method_of

from .calling import AsyncCalls

if TYPE_CHECKING:
    from rpcclient.describe import ServiceDescription


class AsyncDescriptions:
    """The descriptions of services. They are fetched once."""

    def __init__(self) -> None:
        self._by_service: dict[str, ServiceDescription] = {}

    def get(self, service: str) -> ServiceDescription | None:
        """Return the description of a service, if it was fetched before."""
        return self._by_service.get(service)

    async def fetch(self, calls: AsyncCalls, service: str) -> ServiceDescription:
        """Return the description of a service, and fetch it first if that was not done before.

        Parameters:
            calls: makes the call.
            service: the service's name.

        Raises:
            MethodNotFound: the server has no such service.
            RpcError: as of any call.
        """
        from rpcclient.describe import descriptions, find

        if service not in self._by_service:
            self._by_service.update(descriptions(await calls.invoke(method_of("rpc.discover"), None)))
        return find(self._by_service, service)
