"""What clients make of servers that break off, keep silent or break the rules in the midst of a group call: each node
has an outcome all the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from rpcclient import AsyncClient, Client
from rpcclient.errors import ConnectionLost, DeadlineExceeded, RemoteProtocolError
from rpcwire.errors import RpcError

NODES = [{"name": name, "id": name * 16, "epoch": "0" * 16} for name in "ab"]
START = {"kind": "start", "nodes": NODES, "unknown": [], "is_settled": True}
OK = {"kind": "outcome", **NODES[0], "state": "ok", "executed": "yes", "duration_s": 0.0, "result": 7}


def tell(script: Any, *events: dict[str, Any]) -> None:
    """Answer a group call with a stream of these events."""
    script.handshake()
    request = json.loads(script.receive())
    assert request["method"] == "rpc.call_nodes"
    assert request["params"] == {"target": {"everyone": True}, "method": "desk.find", "params": [1]}
    lines = [
        {"jsonrpc": "2.0", "id": request["id"], "result": {"stream": "s1"}},
        {"jsonrpc": "2.0", "method": "rpc.stream.item", "params": {"stream": "s1", "items": list(events)}},
    ]
    script.send("\n".join(map(json.dumps, lines)))


def wait_for_cancel(script: Any) -> None:
    while b'"rpc.stream.cancel"' not in (frame := script.receive()):
        assert b'"rpc.stream.credit"' in frame


@pytest.fixture(params=["sync", "async"])
def wait(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a call on all nodes, and waits for all outcomes; returns them and how the call ended."""

    def expire(outcomes: Any) -> None:
        """Let the deadline be over, once the nodes are known."""
        outcomes._method.grace_s = 0.01
        outcomes._until = 0.0

    def wait_sync(url: str, timeout_s: float | None) -> tuple[Any, RpcError | None]:
        with Client(url, subprotocol="rpc.v1.json", proxy=None, token="x") as client:
            outcomes = client.everyone(timeout_s=timeout_s).call("desk.find", [1])
            try:
                if timeout_s is None:
                    expire(outcomes.open())
                return outcomes.wait(), None
            except RpcError as exc:
                return outcomes, exc

    async def wait_async(url: str, timeout_s: float | None) -> tuple[Any, RpcError | None]:
        async with AsyncClient(url, subprotocol="rpc.v1.json", proxy=None, token="x") as client:
            outcomes = client.everyone(timeout_s=timeout_s).call("desk.find", [1])
            try:
                if timeout_s is None:
                    expire(await outcomes.open())
                return await outcomes, None
            except RpcError as exc:
                return outcomes, exc

    def wait_for_all(url: str, timeout_s: float | None = 60.0) -> tuple[Any, RpcError | None]:
        if request.param == "sync":
            return wait_sync(url, timeout_s)
        return asyncio.run(wait_async(url, timeout_s))

    return wait_for_all


def test_the_connection_is_lost(scripted: Callable[..., str], wait: Callable[..., Any]) -> None:
    outcomes, error = wait(scripted(lambda script: tell(script, START, OK)))
    assert error is None
    assert [each.state for each in outcomes.outcomes] == ["ok", "error"]
    lost = outcomes.outcomes[1]
    assert (lost.name, lost.executed, type(lost.error)) == ("b", "unknown", ConnectionLost)
    assert not outcomes.missing


def test_the_connection_is_lost_before_the_nodes_are_known(
    scripted: Callable[..., str], wait: Callable[..., Any]
) -> None:
    outcomes, error = wait(scripted(tell))
    assert isinstance(error, ConnectionLost)
    assert "not called yet" in repr(outcomes)


def test_the_server_keeps_silent(scripted: Callable[..., str], wait: Callable[..., Any]) -> None:
    """A gateway that is frozen does not end the call at the deadline, so that the client does."""

    def script_of(*events: dict[str, Any]) -> Callable[[Any], None]:
        def script(script: Any) -> None:
            tell(script, *events)
            wait_for_cancel(script)
            script.wait_closed()

        return script

    outcomes, error = wait(scripted(script_of(START, OK)), None)
    assert error is None
    assert [(each.state, each.executed) for each in outcomes.outcomes] == [("ok", "yes"), ("timeout", "unknown")]
    assert isinstance(outcomes.outcomes[1].error, DeadlineExceeded)


def test_the_server_breaks_the_rules(scripted: Callable[..., str], wait: Callable[..., Any]) -> None:
    def script(script: Any) -> None:
        tell(script, START, OK, OK)
        wait_for_cancel(script)
        script.wait_closed()

    outcomes, error = wait(scripted(script))
    assert error is None
    assert [each.state for each in outcomes.outcomes] == ["ok", "error"]
    assert isinstance(outcomes.outcomes[1].error, RemoteProtocolError)


def test_the_server_forgets_a_node(scripted: Callable[..., str], wait: Callable[..., Any]) -> None:
    def script(script: Any) -> None:
        tell(script, START, OK)
        script.send(json.dumps({"jsonrpc": "2.0", "method": "rpc.stream.end", "params": {"stream": "s1"}}))
        script.wait_closed()

    outcomes, error = wait(scripted(script))
    assert error is None
    assert [each.state for each in outcomes.outcomes] == ["ok", "error"]
    assert "no outcome" in outcomes.outcomes[1].error.message
