"""Services without a stub: methods by their names, with signatures from ``rpc.discover``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rpcclient.describe import ServiceDescription
from rpcclient.proxy import DynamicMethod, bind, dress, names_of, overview
from rpcwire.aio.cancelling import gives_way
from rpcwire.errors import RpcError

from .calling import AsyncCalls
from .descriptions import AsyncDescriptions
from .waits import value_now


class AsyncServiceProxy:
    """A service by its name. Each attribute is one of its methods: ``await service.method(...)``. One that streams
    gives an :class:`~rpcclient.AsyncStream`. Signatures and documentation are there after the first call, or after
    ``await service.describe()``.

    Parameters:
        calls: makes the calls.
        descriptions: the descriptions of services.
        name: the service's name.
        describer: makes the call that fetches the descriptions; ``calls`` where not given.
    """

    def __init__(
        self, calls: AsyncCalls, descriptions: AsyncDescriptions, name: str, describer: AsyncCalls | None = None
    ) -> None:
        self._calls = calls
        self._describer = calls if describer is None else describer
        self._descriptions = descriptions
        self._name = name

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        calls, service = self._calls, self._description_now()

        @gives_way
        async def call(*args: Any, **kwargs: Any) -> Any:
            description = DynamicMethod.find(await self.describe(), name)
            method, params = DynamicMethod(description), bind(description, args, kwargs)
            if description.streams:
                return await calls.open(method, params).open()
            return await calls.invoke(method, params)

        return dress(call, service, name)

    async def describe(self) -> ServiceDescription:
        """Return the signatures and the documentation of the methods.

        Raises:
            MethodNotFound: the server has no such service.
            RpcError: as of any call.
        """
        return await self._descriptions.fetch(self._describer, self._name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *names_of(self._description_now())]

    def __repr__(self) -> str:
        return f"<service {self._name!r} of {self._calls.url}>"

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """All methods with their signatures, for ``help()``."""
        try:
            return overview(self._name, self._description_now())
        except RpcError as exc:
            return f"The service {self._name!r}, which cannot be described now: {exc}"

    def _description_now(self) -> ServiceDescription | None:
        return value_now(self.describe, self._descriptions.get(self._name))
