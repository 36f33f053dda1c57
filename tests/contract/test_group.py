"""Calls of a group of one, on every leg: what a client does with many nodes it does with this one as well."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import pytest

from rpcclient import GroupFailed, GroupItem, RpcError
from rpcclient.errors import InvalidParams, LocalProtocolError, MethodNotFound, NodeNotFound
from rpcwire.group.nodes import NoNodes
from rpcwire.limits import LONGEST_S

from .conftest import DIRECT_LEGS


@pytest.fixture(params=DIRECT_LEGS, ids="-".join)
def leg(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """Those of a server without a group."""
    found: tuple[str, str, str] = request.param
    return found


class Nodes:
    """The group of one, through either client."""

    def __init__(self, side: Any) -> None:
        self.side = side
        self.is_async = side.flavour == "async"
        self.client = side.bare if self.is_async else side.client
        self.group = self.client.everyone()
        self.name = self.run(self.client.nodes())[0].name
        prefix = "Async" if self.is_async else ""
        self.contract = getattr(side.modules["contract_stub"], f"{prefix}GroupContract")(self.group)
        self.kinds = getattr(side.modules["kinds_stub"], f"{prefix}GroupKinds")(self.group)

    def run(self, value: Any) -> Any:
        return self.side.running.run(value) if self.is_async else value

    def wait(self, answers: Any) -> Any:
        return self.run(answers.wait())

    def all_of(self, answers: Any) -> list[Any]:
        if not self.is_async:
            return list(answers)

        async def collect() -> list[Any]:
            return [each async for each in answers]

        result: list[Any] = self.run(collect())
        return result

    def close(self, answers: Any) -> None:
        self.run(answers.aclose() if self.is_async else answers.close())

    def one_outcome(self, answers: Any) -> Any:
        (outcome,) = self.all_of(answers)
        assert outcome.name == self.name
        assert [outcome.node] == list(answers.nodes)
        assert answers.missing == []
        assert answers.ok + answers.failed == [outcome]
        return outcome


@pytest.fixture
def nodes(side: Any) -> Nodes:
    return Nodes(side)


def test_results_are_those_of_the_stub(nodes: Nodes) -> None:
    outcome = nodes.one_outcome(nodes.contract.add(1, b=2))
    assert (outcome.state, outcome.executed, outcome.result, outcome.unwrap()) == ("ok", "yes", 3, 3)
    assert nodes.one_outcome(nodes.contract.add(1)).result == 11
    assert nodes.one_outcome(nodes.contract.nothing()).result is None
    assert nodes.one_outcome(nodes.group.call("contract.add", [1, 2])).result == 3
    assert nodes.one_outcome(nodes.group.call("contract.add", {"a": 1}, returns=float)).result == 11.0
    answers = nodes.wait(nodes.client.group([nodes.name, "nobody"]).call("contract.add", [1, 2]))
    assert {each.name: each.state for each in answers.outcomes} == {nodes.name: "ok", "nobody": "unknown"}
    assert [each.name for each in answers.failed] == ["nobody"]
    # Whoever iterates again gets the same again.
    assert nodes.all_of(answers) == answers.outcomes


def test_a_server_alone_says_so(nodes: Nodes) -> None:
    assert nodes.run(nodes.client.hello()).has_group is False


def test_values_survive(nodes: Nodes) -> None:
    kinds = nodes.side.modules["kinds"]
    for kind, (_, values) in kinds.examples(nodes.side.modules["kinds_stub"]).items():
        answer = nodes.one_outcome(getattr(nodes.kinds, kind)(values[0]))
        assert kinds.same(answer.unwrap(), values[0]), (kind, answer)


def test_errors_are_those_of_the_stub(nodes: Nodes) -> None:
    out_of_stock = nodes.side.modules["contract_stub"].OutOfStock
    outcome = nodes.one_outcome(nodes.contract.order("nail", 3))
    assert (outcome.state, outcome.executed, type(outcome.error)) == ("error", "yes", out_of_stock)
    assert (outcome.error.item, outcome.error.left) == ("nail", 3)
    with pytest.raises(out_of_stock):
        outcome.unwrap()
    with pytest.raises(GroupFailed) as caught:
        nodes.run(nodes.contract.order("nail", 3).raise_for_failures())
    assert isinstance(caught.value.exceptions[0], out_of_stock)
    assert nodes.name in str(caught.value)
    assert nodes.run(nodes.contract.add(1).raise_for_failures()).ok[0].result == 11

    outcome = nodes.one_outcome(nodes.group.call("contract.nonsense"))
    assert (outcome.state, type(outcome.error)) == ("refused", MethodNotFound)
    with pytest.raises(NoNodes, match="role=web"):
        nodes.wait(nodes.client.group("role=web").call("contract.add", [1]))
    with pytest.raises(InvalidParams, match="at character 6"):
        nodes.wait(nodes.client.group("role=(").call("contract.add", [1]))
    with pytest.raises(InvalidParams):
        nodes.wait(nodes.contract.add("no number"))


def test_streams_are_merged(nodes: Nodes) -> None:
    stream = nodes.contract.count(200)
    items = nodes.all_of(stream)
    assert [item.value for item in items] == list(range(200))
    assert {(str(item.node), item.lost) for item in items} == {(nodes.name, 0)}
    assert [(each.state, each.items) for each in stream.outcomes] == [("ok", 200)]
    assert [item.value for item in nodes.all_of(nodes.group.stream("contract.count", [3], items=float))] == [
        0.0,
        1.0,
        2.0,
    ]

    stream = nodes.contract.count_then_fail(2)
    assert [item.value for item in nodes.all_of(stream)] == [0, 1]
    assert type(stream.failed[0].error) is nodes.side.modules["contract_stub"].OutOfStock

    *items, outcome = nodes.all_of(nodes.contract.count(2).events())
    assert [item.value for item in items if isinstance(item, GroupItem)] == [0, 1]
    assert outcome.state == "ok"

    with pytest.raises(LocalProtocolError, match="answers with streams"):
        nodes.wait(nodes.group.call("contract.count", [3]))


def test_leaving_early_cancels(nodes: Nodes, leg: Any) -> None:
    """By the context, by the garbage collector, and by closing."""
    for way in ("context", "garbage", "close"):
        name = f"group {way} {leg}"
        answers = nodes.contract.until_cancelled(name)
        nodes.run(answers.open())
        nodes.side.event(f"{name} began")
        assert [str(node) for node in answers.missing] == [nodes.name]
        if way == "context":
            if nodes.is_async:
                nodes.run(answers.__aexit__(None, None, None))
            else:
                answers.__exit__(None, None, None)
        elif way == "close":
            nodes.close(answers)
        if way != "garbage":
            assert [str(node) for node in answers.missing] == [nodes.name]
            assert nodes.all_of(answers) == []
        del answers
        gc.collect()
        nodes.side.event(f"{name} ended")

    name = f"group stream {leg}"
    stream = nodes.contract.one_and_wait(name)
    nodes.run(stream.open())
    assert nodes.run(stream.__anext__() if nodes.is_async else next(stream)).value == 1
    nodes.close(stream)
    nodes.side.event(f"{name} ended")


def test_a_call_that_nobody_waits_for(nodes: Nodes) -> None:
    """It is not made, as a coroutine is not; and Python says so."""
    for make in (lambda: nodes.contract.note("never"), lambda: nodes.contract.count(3)):
        with pytest.warns(RuntimeWarning, match=r"contract\.\w+ was never called on the group"):
            make()
            gc.collect()
    answers = nodes.contract.note("never")
    for name in ("nodes", "ok", "failed", "missing", "outcomes", "is_settled"):
        with pytest.raises(LocalProtocolError, match="was not called yet"):
            getattr(answers, name)
    assert "not called yet" in repr(answers)
    assert answers._repr_html_() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nodes.close(answers)
        del answers
    assert "never" not in nodes.side.service.seen


def test_time_and_progress(nodes: Nodes, leg: Any) -> None:
    outcome = nodes.one_outcome(nodes.client.everyone(timeout_s=0.05).call("contract.until_cancelled", ["group time"]))
    # The plain form does not tell the server the deadline: there the client ends the call.
    assert (outcome.state, outcome.executed) == ("timeout", "unknown" if leg[2] == "jsonrpc" else "yes")
    # A stream may take longer than the client lets calls take, unless the group itself has a deadline.
    ordinary = nodes.client.options(timeout_s=0.5)
    for answers, seconds in (
        (ordinary.everyone().stream("contract.count", [1]), LONGEST_S),
        (ordinary.everyone().call("contract.add", [1]), 0.5),
    ):
        assert answers._seconds() == seconds
        nodes.close(answers)
    if leg[2] != "jsonrpc":
        stream = nodes.client.everyone(timeout_s=0.05).stream("contract.one_and_wait", ["group time of a stream"])
        assert [item.value for item in nodes.all_of(stream)] == [1]
        assert [each.state for each in stream.outcomes] == ["timeout"]
    reports: list[Any] = []
    group = nodes.client.everyone(progress=lambda *report: reports.append(report))
    assert nodes.one_outcome(group.call("contract.report", [3])).result == 3
    assert reports
    assert {str(report[0]) for report in reports} == {nodes.name}


def test_what_belongs_to_a_connection_cannot_be_called_on_whichever_node(nodes: Nodes) -> None:
    """The views of one() and first() are those of a single server, and have such methods: they name the remedy."""
    for pick in (nodes.group.one(), nodes.group.first()):
        enter = "__aenter__" if nodes.is_async else "__enter__"
        for name, call in {
            "programs.start": lambda pick=pick: pick.programs.start(["true"]),
            "hardware.open_serial": lambda pick=pick: pick.hardware.serial("/dev/ttyS0"),
            "database.begin": lambda pick=pick, enter=enter: getattr(pick.database.transaction("main"), enter)(),
        }.items():
            with pytest.raises(InvalidParams, match=rf"a connection: call client\.node\(NAME\)\.{name} of each node"):
                nodes.run(call())


def test_one_result(nodes: Nodes) -> None:
    """Plain results and errors, as those of one server; where several have failed, all of them."""
    stub = nodes.side.modules["contract_stub"]
    cls = stub.AsyncContract if nodes.is_async else stub.Contract
    for pick in (nodes.group.one(), nodes.group.first()):
        assert nodes.run(cls(pick).add(1, 2)) == 3
        assert nodes.run(pick.call("contract.add", [1, 2], returns=int)) == 3
        assert nodes.run(pick.service("contract").add(1, b=5)) == 6
        with pytest.raises(stub.OutOfStock) as caught:
            nodes.run(cls(pick).order("nail", 1))
        assert f"on the node {nodes.name}" in caught.value.__notes__[0]
        with pytest.raises(InvalidParams, match="takes a stream"):
            nodes.run(cls(pick).total([1, 2]))
        with pytest.raises(LocalProtocolError):
            nodes.run(pick.calls.notify(cls._methods["note"], {"value": "x"}))
    assert nodes.all_of(cls(nodes.group.one()).count(3)) == [0, 1, 2]
    with pytest.raises(stub.OutOfStock):
        nodes.all_of(cls(nodes.group.one()).count_then_fail(1))
    with pytest.raises(LocalProtocolError, match=r"use one\(\)"):
        nodes.all_of(cls(nodes.group.first()).count(3))
    with pytest.raises(RpcError):
        nodes.run(nodes.client.group(["nobody"]).one().call("contract.add", [1]))
    with pytest.raises(GroupFailed, match=r"nobody.*no-one"):
        nodes.run(nodes.client.group(["nobody", "no-one"]).first().call("contract.add", [1]))


def test_how_nodes_are_asked(nodes: Nodes) -> None:
    for group in (
        nodes.group.rolling(),
        nodes.group.rolling(2, stop_after_failures=3, canary=1),
        nodes.group.any(1),
        nodes.client.everyone(parallel=2, stop_after_failures=1, canary=1),
        nodes.client.group(f"name={nodes.name}"),
    ):
        assert nodes.one_outcome(group.call("contract.add", [1])).result == 11
    for wrong in (
        lambda: nodes.group.any(0),
        lambda: nodes.client.everyone(parallel=0),
        lambda: nodes.client.everyone(parallel=1).rolling(),
        lambda: nodes.client.everyone(canary=1).one(),
    ):
        with pytest.raises(ValueError, match=r"use 1 or more|exclude"):
            wrong()
    with pytest.raises(InvalidParams, match="everyone"):
        nodes.client.group("")


def test_services_by_name(nodes: Nodes) -> None:
    service = nodes.group.service("contract")
    answers = nodes.run(service.add(1, b=2))
    assert [each.result for each in nodes.all_of(answers)] == [3]
    assert [item.value for item in nodes.all_of(nodes.run(service.count(2)))] == [0, 1]
    with pytest.raises(InvalidParams, match="takes a stream"):
        nodes.run(service.total([1]))
    with pytest.raises(MethodNotFound):
        nodes.run(service.nonsense())
    assert "add" in dir(service)
    assert "Add two numbers" in service.__doc__
    assert repr(service) == "<service 'contract' of everyone>"


def test_they_say_what_they_are(nodes: Nodes) -> None:
    client, kind = nodes.client, type(nodes.client).__name__
    assert repr(client) == f"<{kind} of {client.url}>"
    assert repr(client.node("db-1")) == f"<{kind} of node 'db-1' through {client.url}>"
    group = type(nodes.group).__name__
    assert repr(nodes.group) == f"<{group} everyone of {client.url}>"
    assert repr(client.group("role=web")) == f"<{group} 'role=web' of {client.url}>"
    assert repr(client.group(["a", "b"])) == f"<{group} ['a', 'b'] of {client.url}>"
    assert "'n3'] and 96 more of" in repr(client.group([f"n{number}" for number in range(100)]))
    lease = nodes.client.group("role=web").lease("nightly")
    assert repr(lease) == f"<{type(lease).__name__} 'nightly' for selector role=web: not held>"


def test_a_name_that_no_node_has_is_the_error_of_its_own_class(nodes: Nodes) -> None:
    outcomes = nodes.all_of(nodes.client.group(["no-such-node"]).call("contract.add", [1, 2]))
    assert [(each.name, each.state, type(each.error)) for each in outcomes] == [
        ("no-such-node", "unknown", NodeNotFound)
    ]
    assert outcomes[0].error.node == "no-such-node"


def test_methods_that_groups_lack(nodes: Nodes) -> None:
    for name, reason in (("total", "it takes a stream"), ("nonsense", "has no method")):
        assert not hasattr(type(nodes.contract), name)
        with pytest.raises(AttributeError, match=reason):
            getattr(nodes.contract, name)
    outcome = nodes.one_outcome(nodes.group.call("contract.total", {"items": "s1"}))
    assert outcome.state == "refused"
    assert "client.node(NAME)" in outcome.error.message
