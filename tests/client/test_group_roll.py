"""Events of group calls, written by hand in both encodings: each node has one outcome, whatever the server tells."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rpcclient.group.events import GroupItem, read_event
from rpcclient.group.failures import GroupFailed
from rpcclient.group.request import GroupMethod, GroupRequest, target_of
from rpcclient.group.roll import Roll
from rpcclient.methods import Method, StubMethod
from rpcwire.codec import codec_for
from rpcwire.codec.base import Codec
from rpcwire.errors import (
    ConnectionLost,
    DeadlineExceeded,
    InvalidParams,
    LocalProtocolError,
    RemoteProtocolError,
    ServiceError,
)
from rpcwire.group.outcomes import ALL_AT_ONCE, EXECUTED, GroupNode, NodeOutcome, Policy, State

CODECS = [codec_for(name) for name in ("rpc.v1.msgpack", "rpc.v1.json")]
NONE = "0" * 16


class Full(ServiceError):
    """There is no room."""

    room: int


class Desk(BaseModel):
    """What the method answers."""

    number: int
    data: bytes = b""


def find(self: Any, name: str = "") -> Desk:
    raise NotImplementedError


METHOD = StubMethod("desk.find", find, errors=(Full,))


def encode(codec: Codec, event: dict[str, Any]) -> bytes:
    return msgspec.msgpack.encode(event) if codec.packed else json.dumps(event).encode()


def start(*nodes: tuple[str, str], unknown: tuple[str, ...] = ()) -> dict[str, Any]:
    wire = [{"name": name, "id": node_id, "epoch": "00000000000000ff"} for name, node_id in nodes]
    return {"kind": "start", "nodes": wire, "unknown": list(unknown), "is_settled": True}


def outcome(node_id: str, state: State = "ok", name: str = "n", **more: Any) -> dict[str, Any]:
    wire: dict[str, Any] = {"kind": "outcome", "name": name, "id": node_id, "epoch": NONE, "state": state}
    wire |= {"executed": min(EXECUTED[state]), "duration_s": 0.5}
    if state == "ok":
        wire["result"] = {"number": 7}
    else:
        details = {"type": "Full", "executed": wire["executed"], "retryable": False, "details": {"room": 3}}
        wire["error"] = {"code": -32000, "message": "it is full", "data": details}
    return {**wire, **more}


def item(node_id: str, number: int, lost: int = 0) -> dict[str, Any]:
    return {"kind": "item", "node": node_id, "item": {"number": number}, "lost": lost}


@dataclass
class Reading:
    """A roll, and what it has given."""

    codec: Codec
    streams: bool = False
    roll: Roll[Any] = field(default_factory=lambda: Roll("desk.find", streams=False))
    items: list[GroupItem[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.roll = Roll("desk.find", streams=self.streams)

    def take(self, event: dict[str, Any]) -> Any:
        told = self.roll.take(read_event(encode(self.codec, event), self.codec, METHOD, streams=self.streams))
        if isinstance(told, GroupItem):
            self.items.append(told)
        nodes = self.roll.nodes or ()
        done = [each.node for each in self.roll.outcomes]
        assert len(done) + len(self.roll.missing) == len(nodes), "something is left out"
        assert {(n.id, n.name if not n.id else "") for n in (*done, *self.roll.missing)} == {
            (n.id, n.name if not n.id else "") for n in nodes
        }
        return told


@dataclass(frozen=True)
class Script:
    """What a server tells of a call, in a possible order."""

    nodes: list[tuple[str, str]]
    unknown: list[str]
    events: list[dict[str, Any]]
    streams: bool
    codec: Codec
    end: str
    END: ClassVar = ("end", "lost", "late", "deadline", "leave")


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    ids = draw(st.lists(st.integers(0, 2**64 - 1).map(lambda n: f"{n:016x}"), unique=True, max_size=6))
    nodes = [(draw(st.sampled_from(["a", "b", "é"])), node_id) for node_id in ids]
    unknown = draw(st.lists(st.sampled_from(["x", "y", "a"]), unique=True, max_size=2))
    streams = draw(st.booleans())
    left: dict[str, Any] = {node_id: name for name, node_id in nodes}
    rest = list(unknown)
    events: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(0, 20))):
        kinds = (["item", "progress"] if streams and left else []) + (["outcome"] if left else [])
        kinds += (["unknown"] if rest else []) + ["news"]
        kind = draw(st.sampled_from(kinds))
        if kind == "unknown":
            name = rest.pop()
            events.append(outcome("", "unknown", name))
        elif kind == "news":
            events.append({"kind": "news of later versions", "node": 1 if draw(st.booleans()) else "?"} | {"node": "?"})
        else:
            node_id = draw(st.sampled_from(sorted(left)))
            if kind == "item":
                events.append(item(node_id, draw(st.integers(-(2**40), 2**40)), draw(st.integers(0, 3))))
            elif kind == "progress":
                events.append({"kind": "progress", "node": node_id, "done": 1.0, "message": "half"})
            else:
                state = draw(st.sampled_from(["ok", "error", "refused", "gone", "died", "timeout", "cancelled"]))
                events.append(outcome(node_id, state, left.pop(node_id)))
    return Script(nodes, unknown, events, streams, draw(st.sampled_from(CODECS)), draw(st.sampled_from(Script.END)))


@given(scripts())
def test_each_node_has_one_outcome(script: Script) -> None:
    reading = Reading(script.codec, script.streams)
    roll = reading.roll
    assert reading.take(start(*script.nodes, unknown=tuple(script.unknown))) is None
    assert roll.nodes == tuple(GroupNode(*node) for node in [*script.nodes, *((name, "") for name in script.unknown)])
    for event in script.events:
        reading.take(event)
    told = [event for event in script.events if event["kind"] == "outcome"]
    assert [each.name for each in roll.outcomes] == [event["name"] for event in told], "the order of arrival"
    for each, event in zip(roll.outcomes, told, strict=True):
        assert (each.id, each.state, each.executed) == (event["id"], event["state"], event["executed"])
        if not each.is_ok:
            assert isinstance(each.error, Full)
            assert each.error.room == 3
        else:
            assert each.result == (None if script.streams else Desk(number=7))
    assert [(each.node.id, each.value, each.lost) for each in reading.items] == [
        (event["node"], Desk.model_validate(event["item"]), event["lost"])
        for event in script.events
        if event["kind"] == "item"
    ]

    missing = roll.missing
    match script.end:
        case "end":
            roll.finish()
        case "lost":
            roll.finish(ConnectionLost("it is gone", executed="no"))
        case "late":
            roll.finish(DeadlineExceeded())
        case "deadline":
            roll.expire()
        case _:
            roll.leave()
            assert roll.missing == missing
            return
    assert not roll.missing
    assert len(roll.outcomes) == len(roll.nodes or ())
    for each in roll.outcomes[len(told) :]:
        assert each.node in missing
        assert each.state == ("timeout" if script.end in ("late", "deadline") else "error")
        assert each.executed == each.error.executed == "unknown"  # type: ignore[union-attr]
        assert each.epoch == (0xFF if each.id else 0)


A, B = ("web", "a" * 16), ("web", "b" * 16)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.subprotocol)
@pytest.mark.parametrize(
    "events",
    [
        [outcome(A[1])],
        [item(A[1], 1)],
        [start(A), start(A)],
        [start(A, A)],
        [start(unknown=("x", "x"))],
        [start(A), outcome(B[1])],
        [start(A, B), outcome(A[1]), outcome(A[1])],
        [start(A, B), outcome(A[1]), item(A[1], 1)],
        [start(A), outcome("", "unknown", "x")],
        [start(A), {"kind": "item", "node": A[1]}],
        [start(A), {"kind": "outcome"}],
        [start(A), outcome(A[1], executed="no")],
        [start(A), outcome(A[1]) | {"state": "fine"}],
        [start(A), outcome(A[1], "error", error=3)],
        [start(A), outcome(A[1], name=3)],
        [start(A), outcome(A[1], epoch=12)],
        [{"kind": "start", "nodes": [{"name": "a", "id": "b", "epoch": "no number"}]}],
        [{"kind": "start", "nodes": 3}],
        [{}],
    ],
)
def test_a_server_that_breaks_the_rules(codec: Codec, events: list[dict[str, Any]]) -> None:
    """It is a typed error, and what was known before stays known."""
    reading = Reading(codec, streams=True)
    *good, bad = events
    for event in good:
        reading.take(event)
    before = reading.roll.nodes, list(reading.roll.outcomes), reading.roll.missing
    with pytest.raises(RemoteProtocolError):
        reading.take(bad)
    assert before == (reading.roll.nodes, reading.roll.outcomes, reading.roll.missing)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.subprotocol)
def test_an_answer_that_does_not_fit_is_the_error_of_one_node(codec: Codec) -> None:
    """Nodes may have different versions of a service: one that answers otherwise spoils the others' answers not."""
    reading = Reading(codec)
    reading.take(start(A, B))
    reading.take(outcome(A[1], result={"number": "many"}))
    reading.take(outcome(B[1]))
    wrong, right = reading.roll.outcomes
    assert (wrong.state, wrong.executed, type(wrong.error)) == ("error", "yes", RemoteProtocolError)
    assert right.result == Desk(number=7)

    reading = Reading(codec, streams=True)
    reading.take(start(A, B))
    reading.take({"kind": "item", "node": A[1], "item": {"number": "many"}})
    reading.take(item(B[1], 4))
    reading.take(outcome(A[1], items=1))
    reading.take(outcome(B[1], items=1))
    assert [each.value for each in reading.items] == [Desk(number=4)]
    assert [each.state for each in reading.roll.outcomes] == ["error", "ok"]


def test_streams_where_none_are_expected() -> None:
    reading = Reading(CODECS[0])
    reading.take(start(A))
    with pytest.raises(LocalProtocolError, match="answers with streams"):
        reading.take(item(A[1], 1))


def test_a_call_that_ends_before_it_begins() -> None:
    for error in (None, ConnectionLost("gone")):
        with pytest.raises(RemoteProtocolError if error is None else ConnectionLost):
            Roll[Any]("desk.find", streams=False).finish(error)
    with pytest.raises(DeadlineExceeded):
        Roll[Any]("desk.find", streams=False).expire()


def test_progress_is_told_with_its_node() -> None:
    told: list[Any] = []
    roll = Roll[Any]("desk.find", streams=False, progress=lambda *report: told.append(report))
    for event in (start(A), {"kind": "progress", "node": A[1], "done": 1, "total": 2}):
        roll.take(read_event(encode(CODECS[0], event), CODECS[0], METHOD, streams=False))
    assert told == [(GroupNode(*A), 1.0, 2.0, None)]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.subprotocol)
def test_what_a_call_asks_for(codec: Codec) -> None:
    """Parameters go as the method's own contract encodes them, and the policy without what it does not say."""

    def ask(method: Method, params: Any, policy: Policy = ALL_AT_ONCE) -> Any:
        body = GroupMethod(method, GroupRequest(target_of("role=web"), policy), streams=False).dump(params, codec)
        return msgspec.msgpack.decode(body) if codec.packed else json.loads(body or b"")

    assert ask(METHOD, {"name": "é"}) == {
        "target": {"selector": "role=web"},
        "method": "desk.find",
        "params": {"name": "é"},
    }
    assert ask(Method("desk.all"), None, Policy(parallel=3, canary=1)) == {
        "target": {"selector": "role=web"},
        "method": "desk.all",
        "policy": {"parallel": 3, "canary": 1},
    }
    assert ask(Method("desk.all"), [1], Policy(one=True))["policy"] == {"one": True}


@pytest.mark.parametrize("nodes", ["", "  ", [], [""], [1], None, 3, ["a", None]])
def test_nodes_that_cannot_be_meant(nodes: Any) -> None:
    with pytest.raises(InvalidParams, match="nodes: "):
        target_of(nodes)


def test_names_may_come_from_anywhere() -> None:
    assert target_of(name for name in ("a", "b")) == {"names": ["a", "b"]}
    ok = NodeOutcome(name="web-1", id="1", epoch=1, state="ok", executed="yes", result=3)
    assert target_of(["a", GroupNode("b", "2"), ok, GroupNode("nobody", "")]) == {"names": ["a", "2", "1", "nobody"]}


def test_methods_that_are_not_for_groups() -> None:
    def send(self: Any, items: Any) -> None: ...

    uploading, bound = Method("desk.send"), StubMethod("desk.open", find, group=False)
    uploading.streams = frozenset({"items"})
    for method in (uploading, bound):
        with pytest.raises(InvalidParams, match=r"cannot be called on a group.*client\.node\(NAME\)") as caught:
            GroupMethod(method, GroupRequest({}), streams=False)
        assert caught.value.executed == "no"


def test_failures_are_a_group_of_exceptions() -> None:
    """Each is of its own class, and the text names each node."""
    reading = Reading(CODECS[0])
    reading.take(start(("web-1", "1"), ("web-2", "2"), ("web-3", "3")))
    reading.take(outcome("1", "error", "web-1"))
    reading.take(outcome("2", name="web-2"))
    reading.take(outcome("3", "gone", "web-3", error={"code": -32006, "message": "it is not there"}))
    failures = [each for each in reading.roll.outcomes if not each.is_ok]
    error = GroupFailed("desk.find", failures, 3)
    assert "2 of 3 nodes" in str(error)
    assert "web-1: error: it is full; web-3: gone: it is not there" in str(error)
    rest: list[Any] = []
    try:
        try:
            raise error
        except* Full as group:
            assert isinstance(group, GroupFailed)
            assert [each.name for each in group.outcomes] == ["web-1"]
            rest.append(group)
    except GroupFailed as group:
        assert [each.name for each in group.outcomes] == ["web-3"]
        rest.append(group)
    assert len(rest) == 2
    copy = GroupFailed(*error.__reduce__()[1])
    assert str(copy) == str(error)


def test_an_outcome_as_text_and_value() -> None:
    ok = NodeOutcome(name="web-1", id="1", epoch=1, state="ok", executed="yes", result=3)
    assert ok.unwrap() == 3
    assert f"{ok.node:>6}|{ok.node}" == " web-1|web-1"
    bad = NodeOutcome(name="w", id="1", epoch=1, state="died", executed="unknown", error=ConnectionLost("gone"))
    with pytest.raises(ConnectionLost):
        bad.unwrap()
