# Generated from rpcclient/aio/group_stub.py by `make stubs`. Do not edit: change that, and generate anew.

"""The base class of generated stubs for groups, for the synchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol

from rpcclient.group.request import GroupMethod, GroupRequest, refuse_member
from rpcclient.methods import StubMethod

from .calling import Calls
from .outcomes import GroupStream, Outcomes
from .stub import SyncStub


class HasGroup(Protocol):
    """What stubs need of a group."""

    @property
    def calls(self) -> Calls:
        """What makes its calls."""
        ...

    @property
    def request(self) -> GroupRequest:
        """The nodes, and how they are asked."""
        ...


class GroupStub:
    """A service of a group, with types. The generated subclasses have its methods. Each calls all nodes.

    Parameters:
        group: the nodes.
    """

    _stub: ClassVar[type[SyncStub]]
    """The stub of the service of one server, whose methods these are."""

    def __init__(self, group: HasGroup) -> None:
        self._calls: Calls = group.calls
        self._request: GroupRequest = group.request

    def _find(self, name: str) -> StubMethod:
        return self._stub._methods[name]  # noqa: SLF001 - generated like this class

    def _call(self, name: str, arguments: Mapping[str, Any]) -> Outcomes[Any]:
        method = GroupMethod(self._find(name), self._request, streams=False)
        return Outcomes(self._calls, method, arguments)

    def _stream(self, name: str, arguments: Mapping[str, Any]) -> GroupStream[Any]:
        method = GroupMethod(self._find(name), self._request, streams=True)
        return GroupStream(self._calls, method, arguments)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            methods = self._stub._methods  # noqa: SLF001 - generated like this class
            service = next((method.name.rpartition(".")[0] for method in methods.values()), "")
            refuse_member(service, name, methods)
