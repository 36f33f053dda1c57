"""Values of every type survive the trip from the client in TypeScript, in node, in a page and in a worker: as parameters, results, and items of streams both
ways, in both forms of the wire. The types and values are those of `tests/contract/`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter

from tests.contract.conftest import TOKEN, Running, make_server
from tests.contract.test_values import _names

from .bridge import Bridge, BridgeError, BrowserBridge, NodeBridge, bundle
from .browser import CHROMIUM, Browser, PageServer

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def pages(modules: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    folder = tmp_path_factory.mktemp("pages")
    services = [modules["kinds_service"].Kinds, modules["contract_service"].Contract]
    bundle(folder, services, "browser")
    head = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
    # As strict as a page can be: nothing that this client does may need more.
    rules = "default-src 'none'; img-src data:; script-src 'self'; worker-src 'self'; connect-src ws://127.0.0.1:*"
    policy = f'<meta http-equiv="Content-Security-Policy" content="{rules}">'
    page = f'{head}{policy}<script type="module" src="main.mjs"></script>'
    (folder / "index.html").write_text(page, encoding="utf-8")
    server = PageServer(folder)
    yield server
    server.close()


@pytest.fixture(scope="module")
def browser(
    tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]
) -> Iterator[Callable[[], Browser]]:
    """Returns the browser, which is started when it is asked for."""
    made: list[Browser] = []

    def make() -> Browser:
        if not made:
            if not CHROMIUM.exists():
                missing("Chromium is not installed")
            made.append(Browser(tmp_path_factory.mktemp("profile")))
        return made[0]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def open_server(modules: Any, pages: PageServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that pages of the other one may reach."""
    folder = tmp_path_factory.mktemp("open")
    listen = {"port": 0, "unix": "none", "allowed_origins": [pages.origin]}
    running = Running(lambda: make_server(modules, state_dir=str(folder), listen=listen))
    yield running
    running.stop()


@pytest.fixture(scope="module", params=["node", "page", "worker"])
def bridge(
    request: pytest.FixtureRequest,
    modules: Any,
    pages: PageServer,
    browser: Callable[[], Browser],
    open_server: Running,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bridge]:
    url = open_server.server.addresses[0]
    made: Bridge
    if request.param == "node":
        services = [modules["kinds_service"].Kinds, modules["contract_service"].Contract]
        made = NodeBridge(bundle(tmp_path_factory.mktemp("bridge"), services, "node"), url, TOKEN)
    else:
        page = browser().open(f"{pages.origin}/#{quote(f'{request.param} {url} {TOKEN}')}")
        made = BrowserBridge(page)
    yield made
    if isinstance(made, BrowserBridge):
        assert made.page.complaints == []
    made.close()


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
