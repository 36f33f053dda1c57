"""What both clients share for services without a stub."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from rpcwire.errors import InvalidParams, MethodNotFound

from .describe import MethodDescription, ServiceDescription
from .methods import Method

_ProxyT = TypeVar("_ProxyT")


class DynamicMethod(Method):
    """A method of which only the description is known. It takes and returns plain data."""

    def __init__(self, description: MethodDescription) -> None:
        super().__init__(description.name, None, description.deadline_s, latest=description.latest)
        self.is_for_groups = description.is_for_groups
        self._uploads = description.uploads

    @property
    def streams(self) -> frozenset[str]:  # type: ignore[override]
        """Parameters that are streams."""
        return self._uploads

    @staticmethod
    def find(service: ServiceDescription, name: str) -> MethodDescription:
        """Return one method of a service.

        Raises:
            MethodNotFound: there is no method of this name; the message lists the methods that exist.
        """
        try:
            return service.methods[name]
        except KeyError:
            names = ", ".join(sorted(service.methods))
            raise MethodNotFound(f"the service {service.name!r} has no method {name!r}; it has: {names}") from None


def bind(description: MethodDescription, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name.

    Raises:
        InvalidParams: the arguments do not fit the signature.
    """
    try:
        return dict(description.signature.bind(*args, **kwargs).arguments)
    except TypeError as exc:
        short = description.name.rpartition(".")[2]
        raise InvalidParams(f"{exc}; the signature is {short}{description.signature}") from None


def names_of(service: ServiceDescription | None) -> list[str]:
    """Return the names of a service's methods, as far as they are known."""
    return [] if service is None else list(service.methods)


def overview(name: str, service: ServiceDescription | None) -> str:
    """Return a service's methods with their signatures and documentation, for people to read.

    Parameters:
        name: the service's name.
        service: its description; ``None`` if it has not been fetched yet.
    """
    if service is None:
        return f"The service {name!r}: 'await service.describe()' fetches what it has."
    parts = [f"The service {name!r}."]
    for short, method in sorted(service.methods.items()):
        parts.append(f"{short}{method.signature}\n" + textwrap.indent(method.doc, "    "))
    return "\n\n".join(parts)


def dress(proxy: _ProxyT, service: ServiceDescription | None, name: str) -> _ProxyT:
    """Give a method's proxy its name, signature and documentation, for ``help()`` and completion."""
    target: Any = proxy
    target.__name__ = target.__qualname__ = name
    if service is not None and name in service.methods:
        description = service.methods[name]
        target.__signature__ = description.signature
        target.__doc__ = description.doc
    return proxy
