"""The client in TypeScript as a side of the contract suite: its tests talk to it as to the clients in Python."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import pytest
from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed

from rpcclient.batch import BatchBase, BatchResult
from rpcwire.contracts import stream_item
from rpcwire.errors import Cancelled, RemoteProtocolError, RpcError
from rpcwire.service import MethodSpec, Service
from tests.contract.conftest import LIMIT_S, Running, SyncSide

from .bridge import Bridge, dump

_names = itertools.count(1)


class WebSide(SyncSide):
    """A client in TypeScript at the other end of a bridge.

    Parameters:
        running: the server.
        bridge: the way to the program in TypeScript.
        modules: the services and stubs of the suite.
        form: the form of the wire.
        happened: told of what happens at what the client offers. It offers nothing where not given.
    """

    flavour = "typescript"

    def __init__(
        self,
        running: Running,
        bridge: Bridge,
        modules: Mapping[str, ModuleType],
        form: str,
        happened: Callable[[str], object] | None = None,
    ) -> None:
        self.running = running
        self.modules = dict(modules)
        name = f"client {next(_names)}"
        if happened is not None:
            bridge.happened[name] = happened
        bridge.ask("make", client=name, form=form, offers=happened is not None)
        self._use(WebClient(bridge, name, {}, self._find))

    def _use(self, client: WebClient) -> None:
        self.client = client  # type: ignore[assignment]  # It looks the same, as far as the suite goes.
        self.contract = client.stub("contract", "stub")
        self.kinds = client.stub("kinds", "stub")

    def _find(self, service: str) -> type[Service[Any]]:
        found: type[Service[Any]] = getattr(self.modules[f"{service}_service"], service.capitalize())
        return found

    def using(self, **options: Any) -> WebSide:
        side = WebSide.__new__(WebSide)
        side.running, side.modules = self.running, self.modules
        side._use(WebClient(self.client.bridge, self.client.name, options, self._find))
        return side

    def interrupt(self, act: Callable[..., Any], *args: Any, after: Callable[[], object]) -> None:
        """Abort the signal of a call once `after` has returned."""
        signal = f"signal {next(_names)}"

        def later() -> None:
            after()
            self.client.bridge.abort(signal)

        thread = threading.Thread(target=later)
        with self.client.bridge.under(signal), pytest.raises(Cancelled):
            thread.start()
            act(*args)
        thread.join(LIMIT_S)


class WebClient:
    """The client.

    Parameters:
        bridge: the way to it.
        name: its name at the other end.
        options: go with each call, by the names that they have in Python.
        find: returns the class of a service.
    """

    def __init__(
        self, bridge: Bridge, name: str, options: Mapping[str, Any], find: Callable[[str], type[Service[Any]]]
    ) -> None:
        self.bridge = bridge
        self.name = name
        self.find = find
        self.report = options.get("progress")
        names = {"timeout_s": "timeoutMs", "key": "key", "window": "window"}
        told = {names[each]: value for each, value in options.items() if each in names}
        if "timeoutMs" in told:
            told["timeoutMs"] *= 1000
        self._options = dump(told)

    @property
    def connected(self) -> bool:
        return bool(self.bridge.ask("state", client=self.name)["state"] == "connected")

    @property
    def url(self) -> str:
        return str(self.bridge.ask("state", client=self.name)["url"])

    def close(self) -> None:
        self.bridge.ask("close", client=self.name)

    def call(self, method: str, params: Any = None, *, returns: Any = None) -> Any:
        answer = self.ask("call", method=method, by="name", params=self._dump(params))
        return answer if returns is None else TypeAdapter(returns).validate_python(answer)

    def notify(self, method: str, params: Any = None) -> None:
        self.bridge.ask("notify", client=self.name, method=method, params=self._dump(params))

    def hello(self) -> SimpleNamespace:
        return SimpleNamespace(**self.call("rpc.hello"))

    def batch(self) -> WebBatch:
        return WebBatch(self)

    def stream(self, method: str, params: Any = None, *, items: Any = None) -> WebStream:
        read = None if items is None else TypeAdapter(items).validate_python
        return WebStream(self, read, method=method, by="name", params=self._dump(params))

    def service(self, name: str) -> Stub:
        return self.stub(name, "service")

    def stub(self, name: str, by: str) -> Stub:
        """Return the methods of a service.

        Parameters:
            name: of the service.
            by: how the client knows them: by its `stub`, or by the name of the `service` alone.
        """
        return Stub(self, self.find(name), by)

    def ask(self, act: str, **members: Any) -> Any:
        """Wish for something with the options of this client, and wait for it."""
        return self.bridge.ask(act, report=self.report, **self.complete(members))

    def complete(self, members: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members of a wish with those that all wishes of this client have."""
        return {"uploads": {}, **members, "options": self._options, "client": self.name}

    @staticmethod
    def _dump(params: Any) -> Any:
        if isinstance(params, list):
            return ["$symbol" if type(each) is object else dump(each) for each in params]
        return dump(params)


class WebBatch(BatchBase):
    """A batch at the other end, which is made and sent when the block ends."""

    def __init__(self, client: WebClient) -> None:
        super().__init__()
        self._client = client
        self._types: dict[BatchResult[Any], Any] = {}

    def call(self, method: str, params: Any = None, *, returns: Any = None) -> BatchResult[Any]:
        entry = super().call(method, params)
        self._types[entry] = returns or Any
        return entry

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        client = self._client
        entries = [
            {"method": each.method.name, "params": dump(each.params), "wantsAnswer": each.wants_answer}
            for each in self.entries
        ]
        said = client.ask("batch", entries=entries, discards=kind is not None)
        calls = [each for each in self.entries if each.wants_answer]
        for entry, outcome in zip(calls, said["calls"], strict=True):
            if "error" in outcome:
                error = client.bridge.make_error(outcome["error"])
                assert isinstance(error, RpcError)
                entry.fail(error)
            else:
                entry.settle(TypeAdapter(self._types[entry]).validate_python(outcome["result"]), None)
        if said["sent"] is not None:
            raise client.bridge.make_error(said["sent"])


class Stub:
    """The methods of a service."""

    def __init__(self, client: WebClient, service: type[Service[Any]], by: str) -> None:
        self._client = client
        self._service = service
        self._methods = {spec.name: spec for spec in service.methods()}
        self._by = by

    def __getattr__(self, name: str) -> Method:
        return Method(self._client, self._service.name, self._methods[name], self._by)


class Method:
    """A method of a service. Parameters get their names here: the client takes them by name."""

    def __init__(self, client: WebClient, service: str, spec: MethodSpec, by: str) -> None:
        self._client = client
        self._spec = spec
        self._members = {"service": service, "method": spec.name, "by": by}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        contract = self._spec.contract
        names = [each.name for each in contract.parameters]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        streams = {each.name for each in contract.parameters if each.item is not None}
        lent = {
            name: self._client.bridge.lend(value)
            for name, value in given.items()
            # Lists go as they are, and so does what cannot be iterated over.
            if name in streams
            and not isinstance(value, list)
            and hasattr(value, "__iter__") | hasattr(value, "__aiter__")
        }
        params = dump({name: value for name, value in given.items() if name not in lent})
        members = {**self._members, "params": params, "uploads": lent}
        if contract.item is not None:
            return WebStream(self._client, self._reader(stream_item(contract.returns)), **members)
        return self._reader(contract.returns)(self._client.ask("call", **members))

    def _reader(self, kind: Any) -> Callable[[Any], Any]:
        if self._spec.name.endswith("anything"):
            return lambda value: value  # It is a value as it is.
        return TypeAdapter(kind).validate_python


class WebStream:
    """A stream at the other end."""

    def __init__(self, client: WebClient, read: Callable[[Any], Any] | None, **members: Any) -> None:
        self._bridge = client.bridge
        self._read = read
        self._is_over = False
        self._number = self._bridge.wish("stream", **client.complete(members))
        self._bridge.wait(self._number)

    def open(self) -> Self:
        self._bridge.ask("open", stream=self._number)
        return self

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        got = self._bridge.ask("next", stream=self._number)
        if not got:
            self._is_over = True
            raise StopIteration
        if self._read is None:
            return got[0]
        try:
            return self._read(got[0])
        except ValueError as exc:
            raise RemoteProtocolError(str(exc)) from exc

    def close(self) -> None:
        self._bridge.ask("end", stream=self._number)
        self._is_over = True

    def __del__(self) -> None:
        with contextlib.suppress(ConnectionClosed):  # With the program, the stream is gone.
            self._bridge.tell("forget", stream=self._number, collects=not self._is_over)
