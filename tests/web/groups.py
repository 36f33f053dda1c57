"""Group calls of the client in TypeScript, for tests in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from rpcwire.contracts import stream_item

from .bridge import dump
from .side import WebClient


@dataclass
class WebGroup:
    """Nodes that are called together.

    Attributes:
        client: the client.
        nodes: a selector or names; everyone where not given.
        policy: how they are asked.
    """

    client: WebClient
    nodes: str | Sequence[str] | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)

    def call(self, method: str, params: Any = None) -> WebOutcomes:
        return self._make("group", lambda value: value, by="name", method=method, params=dump(params))

    def events(self, method: str, params: Any = None) -> Iterator[Any]:
        """What happens, by `events()` of the client."""
        made = self._make("events", lambda value: value, method=method, params=dump(params))
        return made.stream_of(made.number)

    def by_stub(self, service: str, method: str, **params: Any) -> WebOutcomes:
        """Call a method by the stub of its service."""
        spec = {each.name: each for each in self.client.find(service).methods()}[method]
        kind = spec.contract.returns
        read = TypeAdapter(stream_item(kind) if spec.contract.item is not None else kind).validate_python
        if method.endswith("anything"):
            read = lambda value: value  # noqa: E731 - It is a value as it is.
        return self._make("group", read, by="stub", service=service, method=method, params=dump(params))

    def _make(self, act: str, read: Callable[[Any], Any], **members: Any) -> WebOutcomes:
        members = self.client.complete({**members, "nodes": self.nodes, "policy": dict(self.policy)})
        number = self.client.bridge.wish(act, report=self.client.report, **members)
        made = WebOutcomes(self.client, number, read)
        made.client.bridge.wait(number)
        return made


@dataclass
class WebOutcomes:
    """What comes of a call at many nodes.

    Attributes:
        client: the client.
        number: of the wish that has made it.
        read: makes a value of a result.
    """

    client: WebClient
    number: int
    read: Callable[[Any], Any]

    def all(self) -> list[Any]:
        """Wait for all outcomes."""
        return [self._complete(each) for each in self.client.bridge.ask("all", outcomes=self.number)]

    def known(self) -> Any:
        """What is known by now."""
        return self.client.bridge.ask("known", outcomes=self.number)

    def close(self) -> None:
        """Cancel the call."""
        self.client.bridge.ask("leave", outcomes=self.number)

    def __iter__(self) -> Iterator[Any]:
        bridge = self.client.bridge
        number = bridge.wish("each", outcomes=self.number)
        bridge.wait(number)
        return self.stream_of(number)

    def stream_of(self, number: int) -> Iterator[Any]:
        """Read a stream at the other end; to leave it early ends it there."""
        bridge = self.client.bridge
        try:
            while got := bridge.ask("next", stream=number):
                yield self._complete(got[0])
        finally:
            bridge.ask("end", stream=number)

    def _complete(self, event: dict[str, Any]) -> dict[str, Any]:
        if event.get("error") is not None:
            event["error"] = self.client.bridge.make_error(event["error"])
        for name in ("result", "item"):
            if event.get("state", "ok") == "ok" and event.get(name) is not None:
                event[name] = self.read(event[name])
        return event
