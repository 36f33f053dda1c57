# Generated from rpcclient/aio/stub.py by `make stubs`. Do not edit: change that, and generate anew.

"""The base class of generated stubs for the synchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rpcclient.methods import StubMethod

from .calling import Calls, HasCalls
from .stream import Stream


class SyncStub:
    """A service with types. The generated subclasses have its methods.

    Parameters:
        client: an :class:`Client`, or what makes its calls.
    """

    _methods: ClassVar[Mapping[str, StubMethod]]

    def __init__(self, client: HasCalls | Calls) -> None:
        self._calls = client if isinstance(client, Calls) else client.calls

    def _call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        return self._calls.invoke(self._methods[name], arguments)

    def _stream(self, name: str, arguments: Mapping[str, Any]) -> Stream[Any]:
        return self._calls.open(self._methods[name], arguments)
