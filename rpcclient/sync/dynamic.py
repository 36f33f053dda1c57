"""Services without a stub, synchronously: methods by name, signatures from ``rpc.discover``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rpcclient.describe import ServiceDescription
from rpcclient.proxy import DynamicMethod, bind, dress, overview
from rpcwire.errors import RpcError

if TYPE_CHECKING:
    from .client import Client


class ServiceProxy:
    """A service by its name. Each attribute is one of its methods, with its signature and documentation, which are
    fetched when the first is asked for. A method that streams gives a :class:`~rpcclient.Stream`."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        service = self.describe()
        client = self._client

        def call(*args: Any, **kwargs: Any) -> Any:
            description = DynamicMethod.find(service, name)
            method, params = DynamicMethod(description), bind(description, args, kwargs)
            return client._open(method, params).open() if description.streams else client._invoke(method, params)

        return dress(call, service, name)

    def describe(self) -> ServiceDescription:
        """Signatures and documentation of the methods.

        Raises:
            MethodNotFound: the server has no such service.
            RpcError: as of any call.
        """
        return self._client.describe(self._name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.describe().methods]

    def __repr__(self) -> str:
        return f"<service {self._name!r} of {self._client.url}>"

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """All methods with their signatures, for ``help()``."""
        try:
            return overview(self.describe())
        except RpcError as exc:
            return f"The service {self._name!r}, which cannot be described now: {exc}"
