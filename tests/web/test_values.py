"""Values of every type survive the trip from the client in TypeScript: as parameters, results, and items of streams both
ways, in both forms of the wire. The types and values are those of `tests/contract/`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.contract.conftest import TOKEN
from tests.contract.test_values import _names

from .bridge import Bridge, BridgeError

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def bridge(modules: Any, running: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    services = [modules["kinds_service"].Kinds, modules["contract_service"].Contract]
    bridge = Bridge(tmp_path_factory.mktemp("bridge"), services, running.server.addresses[0], TOKEN)
    yield bridge
    bridge.close()


@pytest.mark.parametrize("form", ["rpc.v1.msgpack", "rpc.v1.json"])
@pytest.mark.parametrize("kind", _names())
def test_value(bridge: Bridge, modules: Any, kind: str, form: str) -> None:
    kinds = modules["kinds"]
    _, values = kinds.examples(modules["contract_service"])[kind]
    (spec,) = (each for each in modules["kinds_service"].Kinds.methods() if each.name == kind)
    adapter: TypeAdapter[Any] = TypeAdapter(spec.contract.returns)

    def read(value: Any) -> Any:
        return value if kind == "anything" else adapter.validate_python(value)

    for value in values:
        answer = read(bridge.call(form, "kinds", kind, {"value": value}))
        assert kinds.same(answer, value), (value, answer)
    got = [read(each) for each in bridge.call(form, "kinds", f"down_{kind}", {"values": values}, is_stream=True)]
    assert kinds.same(got, values), got
    got = [read(each) for each in bridge.call(form, "kinds", f"up_{kind}", {"values": values})]
    assert kinds.same(got, values), got


def test_a_declared_error_has_its_details(bridge: Bridge) -> None:
    with pytest.raises(BridgeError) as caught:
        bridge.call("rpc.v1.msgpack", "contract", "order", {"item": "pears", "count": 5})
    (error,) = caught.value.args
    assert error["data"]["type"] == "OutOfStock"
    assert error["data"]["details"]["left"] == 3
