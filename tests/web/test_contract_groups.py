"""Calls of a group of one over the client in TypeScript: in node, in a page of Chromium, and in a worker of a page, each
with both forms of the wire. `tests/contract/test_group.py` has the same for the other clients."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from rpcwire.errors import InvalidParams, MethodNotFound, RpcError
from rpcwire.group.nodes import NodeNotFound
from tests.contract import kinds

from .groups import WebGroup
from .side import WebSide
from .test_contract import bridges as bridges
from .test_contract import leg as leg
from .test_contract import modules as modules
from .test_contract import side as side
from .test_contract import sides as sides

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def everyone(side: WebSide) -> WebGroup:
    return WebGroup(side.client)


@pytest.fixture
def name(side: WebSide) -> str:
    """The name of the one node."""
    (node,) = side.client.call("rpc.nodes")
    found: str = node["name"]
    return found


def test_outcomes_are_awaited_and_iterated_over(everyone: WebGroup, name: str) -> None:
    answers = everyone.call("contract.add", [1, 2])
    (outcome,) = answers.all()
    assert (outcome["name"], outcome["state"], outcome["executed"], outcome["result"]) == (name, "ok", "yes", 3)
    assert answers.known()["nodes"] == [name] and answers.known()["missing"] == []
    assert list(answers) == answers.all() == [outcome], "whoever asks again gets the same again"
    (outcome,) = everyone.by_stub("contract", "add", a=1)
    assert outcome["result"] == 11
    (outcome,) = everyone.by_stub("contract", "nothing")
    assert (outcome["state"], outcome["result"]) == ("ok", None)


def test_names_that_no_node_has(side: WebSide, name: str) -> None:
    answers = WebGroup(side.client, [name, "nobody"]).call("contract.add", [1, 2])
    outcomes = {each["name"]: each for each in answers}
    assert {each: outcome["state"] for each, outcome in outcomes.items()} == {name: "ok", "nobody": "unknown"}
    assert [each["name"] for each in answers.known()["failed"]] == ["nobody"]
    assert [each["name"] for each in answers.known()["ok"]] == [name]
    error = outcomes["nobody"]["error"]
    assert isinstance(error, RpcError) and error.type == NodeNotFound.__name__ and error.details["node"] == "nobody"


def test_values_survive(side: WebSide, everyone: WebGroup) -> None:
    for kind, (_, values) in kinds.examples(side.modules["kinds_stub"]).items():
        (outcome,) = everyone.by_stub("kinds", kind, value=values[0])
        assert outcome["state"] == "ok", (kind, outcome)
        assert kinds.same(outcome["result"], values[0]), (kind, outcome)


def test_errors_are_those_of_the_stub(side: WebSide, everyone: WebGroup) -> None:
    (outcome,) = everyone.by_stub("contract", "order", item="nail", count=3)
    error = outcome["error"]
    assert (outcome["state"], outcome["executed"]) == ("error", "yes")
    assert type(error) is side.modules["contract_stub"].OutOfStock and (error.item, error.left) == ("nail", 3)
    (outcome,) = everyone.call("contract.nonsense")
    assert (outcome["state"], type(outcome["error"])) == ("refused", MethodNotFound)
    for _ in range(2):
        answers = WebGroup(side.client, "role=web").call("contract.add", [1])
        for read in (answers.all, lambda answers=answers: list(answers)):
            with pytest.raises(RpcError, match="role=web") as caught:
                read()
            assert caught.value.type == "NoNodes"
    with pytest.raises(InvalidParams, match="at character 6"):
        WebGroup(side.client, "role=(").call("contract.add", [1]).all()
    (outcome,) = everyone.call("contract.add", ["no number"])
    assert isinstance(outcome["error"], InvalidParams)
    with pytest.raises(Exception, match="takes streams, so it has one node at a time"):
        everyone.by_stub("contract", "total", items=[1, 2])


def test_streams_are_merged(everyone: WebGroup, name: str) -> None:
    first, *items, outcome = everyone.events("contract.count", [200])
    assert (first["kind"], first["isSettled"], [each["name"] for each in first["nodes"]]) == ("start", True, [name])
    assert [(each["kind"], each["node"], each["item"], each["lost"]) for each in items] == [
        ("item", first["nodes"][0]["id"], number, 0) for number in range(200)
    ]
    assert (outcome["kind"], outcome["state"], outcome["items"], outcome["itemsLost"]) == ("outcome", "ok", 200, 0)
    made = everyone.by_stub("contract", "count", n=3)
    assert [each["item"] for each in made.stream_of(made.number) if each["kind"] == "item"] == [0, 1, 2]
    *_, failed = everyone.events("contract.count_then_fail", [2])
    assert (failed["state"], failed["error"].type) == ("error", "OutOfStock")


def test_leaving_early_cancels(side: WebSide, everyone: WebGroup, name: str, leg: Any) -> None:
    """By leaving the loop, and by closing."""
    for way in ("loop", "close"):
        what = f"group {way} {leg}"
        answers = everyone.call("contract.until_cancelled", [what])
        side.event(f"{what} began")
        if way == "close":
            answers.close()
        else:
            waiting = WebGroup(side.client, ["nobody", name]).call("contract.until_cancelled", [f"{what} too"])
            side.event(f"{what} too began")
            for outcome in waiting:
                assert outcome["name"] == "nobody"
                break
            side.event(f"{what} too ended")
            assert waiting.known()["missing"] == [name]
            answers.close()
        assert answers.all() == []
        side.event(f"{what} ended")
    what = f"group stream {leg}"
    events = everyone.events("contract.one_and_wait", [what])
    assert next(event["item"] for event in events if event["kind"] == "item") == 1
    events.close()  # type: ignore[attr-defined]  # It is a generator.
    side.event(f"{what} ended")


def test_time_and_progress(side: WebSide, leg: Any) -> None:
    side.client.hello()  # The time is not for connecting.
    hasty = WebGroup(side.using(timeout_s=0.2).client)
    (outcome,) = hasty.call("contract.until_cancelled", [f"group time {leg}"]).all()
    assert outcome["state"] == "timeout" and outcome["executed"] != "no"
    events = list(WebGroup(side.client).events("contract.report", [3]))
    assert [each["progress"]["done"] for each in events if each["kind"] == "progress"]
    assert [(each["state"], each["result"]) for each in events if each["kind"] == "outcome"] == [("ok", 3)]


@pytest.mark.parametrize(
    "policy",
    [{"parallel": 2}, {"batch": 2, "stop_after_failures": 3, "canary": 1}, {"enough": 1}, {"one": True}],
    ids=str,
)
def test_how_nodes_are_asked(side: WebSide, name: str, policy: Any) -> None:
    for nodes in (None, [name], f"name={name}"):
        (outcome,) = WebGroup(side.client, nodes, policy).call("contract.add", [1])
        assert outcome["result"] == 11
    with pytest.raises(InvalidParams):
        WebGroup(side.client, None, {**policy, "parallel": 0}).call("contract.add", [1]).all()


def test_many_group_calls_at_once(everyone: WebGroup) -> None:
    made = [everyone.call("contract.add", [number, 0]) for number in range(20)]
    assert [[each["result"] for each in answers] for answers in made] == [[number] for number in range(20)]
    assert len(list(itertools.chain(*made))) == 20
