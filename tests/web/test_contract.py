"""The contract suite over the client in TypeScript: in node, in a page of Chromium, and in a worker of a page; each with
both forms of the wire. The tests are those of `tests/contract/`, but for a few that ask for what only Python has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from rpcwire.errors import Cancelled, ServiceError
from tests.contract import test_back, test_calls, test_streams, test_values
from tests.contract.conftest import TOKEN, Running

from .bridge import Bridge, NodeProgram, bundle
from .browser import Browser, Page, PageServer
from .side import WebSide

pytestmark = pytest.mark.timeout(300)

NOT_HERE = {
    "test_batch_whose_block_fails_sends_nothing": "what the error says is of Python: below",
    "test_batch_that_is_interrupted": "likewise: below",
    "test_batch_of_which_a_result_cannot_be_made": "the types of TypeScript are gone when a program runs",
    "test_what_there_is": "the client has no methods of its own for rpc.discover",
    "test_progress_hook_that_fails": "the hook is in Python; web/client/tests/server/calls.test.ts has one that fails",
    "test_items_of_another_type": "the types of TypeScript are gone when a program runs",
    "test_a_slow_reader_of_the_newest_gets_the_newest": "without a stub the client does not know it: below",
    "test_what_a_client_offers_logs_as_the_clients": "a browser has no loggers",
    "test_a_handler_that_ends_its_thread_is_answered": "a handler has no thread",
    "test_a_validator_with_a_bug_costs_no_connection": "handlers check their parameters themselves",
}
"""The tests of the suite that do not run here, and why."""

_offered = {
    name: test
    for module in (test_calls, test_streams, test_back, test_values)
    for name, test in vars(module).items()
    if name.startswith("test_")
}
assert _offered.keys() >= NOT_HERE.keys()
globals().update({name: test for name, test in _offered.items() if name not in NOT_HERE})
desk = test_back.desk
kind = test_values.kind

PLACES = ("node", "page", "worker")
LEGS = tuple(itertools.product(PLACES, ("typescript",), ("rpc.v1.msgpack", "rpc.v1.json")))


@pytest.fixture(params=LEGS, ids="-".join)
def leg(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    found: tuple[str, str, str] = request.param
    return found


@pytest.fixture(scope="session")
def modules(modules: Any) -> Any:
    """Those of the suite. Values are read by the types of the service: TypeScript has no types of Python."""
    return {**modules, "kinds_stub": modules["contract_service"]}


@pytest.fixture(scope="module")
def bridges(
    modules: Any,
    pages: PageServer,
    browser: Callable[[], Browser],
    open_server: Running,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Bridge]]:
    """Returns the bridge to a place. What is there is started when it is asked for."""
    services = [modules["kinds_service"].Kinds, modules["contract_service"].Contract]
    url = open_server.server.addresses[0]
    made: dict[str, Bridge] = {}
    opened: list[Page] = []
    programs: list[NodeProgram] = []

    def make(place: str) -> Bridge:
        if place in made:
            return made[place]
        stub = vars(modules["contract_stub"])
        known = {n: c for n, c in stub.items() if isinstance(c, type) and issubclass(c, ServiceError)}
        bridge = made[place] = Bridge(known)
        if place == "node":
            target = bundle(tmp_path_factory.mktemp("bridge"), services, "node")
            programs.append(NodeProgram(target, bridge, url, TOKEN))
        else:
            if not opened:
                bundle(pages.folder, services, "browser")
                pages.write("index.html", "main.mjs")
            opened.append(browser().open(f"{pages.origin}/#{quote(f'{place} {bridge.url} {url} {TOKEN}')}"))
        return bridge

    yield make
    complaints = [page.all_complaints() for page in opened]
    for bridge in made.values():
        bridge.close()
    for program in programs:
        program.close()
    for page in opened:
        page.close()
    assert complaints == [[]] * len(opened)


@pytest.fixture(scope="module")
def sides(bridges: Callable[[str], Bridge], open_server: Running, modules: Any) -> Iterator[Callable[..., WebSide]]:
    """Makes sides; those that offer nothing once."""
    made: dict[Any, WebSide] = {}

    def make(leg: tuple[str, str, str], services: Any = ()) -> WebSide:
        if not services and leg in made:
            return made[leg]
        place, _, form = leg

        def happened(event: str) -> None:
            getattr(services[0], event).set()

        side = WebSide(open_server, bridges(place), modules, form, happened if services else None)
        if not services:
            made[leg] = side
        return side

    yield make
    for side in made.values():
        side.client.close()


@pytest.fixture
def side(sides: Callable[..., WebSide], leg: tuple[str, str, str]) -> WebSide:
    return sides(leg)


def test_a_batch_that_is_discarded_sends_nothing(side: WebSide, leg: Any) -> None:
    with pytest.raises(ZeroDivisionError), side.client.batch() as batch:
        batch.notify("contract.note", [f"never {leg}"])
        answer = batch.call("contract.add", [1, 2])
        raise ZeroDivisionError
    with pytest.raises(Cancelled, match="the batch was discarded, and not sent") as caught:
        answer.result()
    assert caught.value.executed == "no"
    assert side.contract.add(1, 1) == 2
    assert f"never {leg}" not in side.service.seen


def test_a_batch_whose_signal_is_aborted(side: WebSide, leg: Any) -> None:
    """All its calls end over there."""
    names = [f"batch {number} {leg}" for number in (1, 2)]
    answers: list[Any] = []

    def send() -> None:
        with side.client.batch() as batch:
            answers.extend(batch.call("contract.until_cancelled", [name]) for name in names)

    def began() -> None:
        for name in names:
            side.event(f"{name} began")

    side.interrupt(send, after=began)
    for name, answer in zip(names, answers, strict=True):
        side.event(f"{name} ended")
        with pytest.raises(Cancelled) as caught:
            answer.result()
        assert caught.value.executed == "unknown"
    assert side.contract.add(1, 1) == 2


def test_a_slow_reader_with_a_stub_gets_the_newest(side: WebSide, leg: Any) -> None:
    test_streams.test_a_slow_reader_of_the_newest_gets_the_newest(side, leg, "stub")
