# Generated from rpcclient/aio/stub.py by `make stubs`. Do not edit: change that, and generate anew.

"""The root of generated stubs for the synchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from rpcclient.methods import StubMethod

from .stream import Stream

if TYPE_CHECKING:
    from .client import Client


class SyncStub:
    """A service, typed. Generated subclasses say what it has."""

    _methods: ClassVar[Mapping[str, StubMethod]]

    def __init__(self, client: Client) -> None:
        self._client = client

    def _call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        return self._client._invoke(self._methods[name], arguments)

    def _stream(self, name: str, arguments: Mapping[str, Any]) -> Stream[Any]:
        return self._client._open(self._methods[name], arguments)
