"""Traces of OpenTelemetry: which spans there are, whose parents they are, and that nothing is loaded where it is off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 120.0


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **variables}, cwd=ROOT, capture_output=True, text=True,
        timeout=LIMIT_S, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the traced server and its client have told."""
    folder = tmp_path_factory.mktemp("traced")
    done = run("-m", "tests.server.traced", str(folder))
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "told.json").read_text())


def only(told: Any, name: str, **attributes: Any) -> Any:
    """The one span with this name and these attributes."""
    (found,) = [
        span for span in told["spans"] if span["name"] == name and attributes.items() <= span["attributes"].items()
    ]
    return found


def test_the_spans_of_calls_and_streams(told: Any) -> None:
    """Each is a child of the caller's span, and the parent of what its handler does."""
    results = told["results"]
    caller = only(told, "caller")
    assert caller["trace"] == results["trace"] == results["task"]
    assert (results["thread"], results["stream"], results["squares"]) == ("done", [1, 2], [1, 4])
    for name in ("task", "thread", "stream", "squares", "decline"):
        span = only(told, f"desk.{name}")
        assert (span["kind"], span["trace"], span["parent"]) == ("SERVER", caller["trace"], caller["id"])
        assert span["attributes"]["rpc.system.name"] == "jsonrpc"
        assert span["attributes"]["rpc.method"] == f"desk.{name}"
        assert span["attributes"]["enduser.id"] == "owner"
    assert only(told, "work")["parent"] == only(told, "desk.task")["id"]
    assert only(told, "work in a thread")["parent"] == only(told, "desk.thread")["id"]


def chain_of(told: Any, span: Any) -> list[str]:
    """The names of a span, of its parent, and so on."""
    by_id = {each["id"]: each for each in told["spans"]}
    names = [span["name"]]
    while span["parent"] is not None:
        span = by_id[span["parent"]]
        names.append(span["name"])
    return names


def test_calls_to_clients_go_on_with_the_trace(told: Any) -> None:
    """From the client to the server, from the server to the client, and back again: one trace, on both colours."""
    chains = {
        "asking": (["desk.last", "answering", "porch.answer", "asking", "desk.ask", "asker"], "ask"),
        "asking from a thread": (
            ["desk.last", "answering", "porch.answer", "asking from a thread", "desk.ask_from_thread", "asker"],
            "ask_from_thread",
        ),
        "plainly": (
            ["desk.last", "answering plainly", "porch.answer", "asking", "desk.ask", "plain caller"],
            "ask plainly",
        ),
    }
    last = {tuple(chain_of(told, span)): span for span in told["spans"] if span["name"] == "desk.last"}
    for chain, result in chains.values():
        assert last[tuple(chain)]["trace"] == told["results"]["asked"][result]
    of_client = [span for span in told["spans"] if span["name"] == "porch.answer"]
    assert [span["kind"] for span in of_client] == ["SERVER"] * 3
    assert all("enduser.id" not in span["attributes"] for span in of_client)


def test_calls_that_fail_or_are_refused(told: Any) -> None:
    assert told["results"]["desk.decline None"] == "Declined"
    span = only(told, "desk.decline")
    assert span["status"] == ["ERROR", "Declined"] and span["attributes"]["error.type"] == "Declined"
    assert only(told, "(unknown)")["attributes"]["error.type"] == "MethodNotFound"
    assert only(told, "desk.inline", **{"error.type": "InvalidParams"})["parent"] == only(told, "caller")["id"]
    assert "secret" not in json.dumps(told["spans"])
    assert all(span["events"] == 0 for span in told["spans"])


def test_a_call_without_a_trace_begins_one(told: Any) -> None:
    roots = [span for span in told["spans"] if span["name"] == "desk.inline" and span["parent"] is None]
    assert len(roots) == 1
    assert roots[0]["trace"] != told["results"]["trace"]


def test_statements_and_programs(told: Any) -> None:
    """They are children of their calls, and do not tell what may be secret."""
    assert (told["results"]["rows"], told["results"]["code"]) == (1, 0)
    statements = [span for span in told["spans"] if span["name"] == "database statement"]
    assert statements
    calls = {span["id"] for span in told["spans"] if span["name"].startswith("database.")}
    assert {span["parent"] for span in statements} <= calls
    assert all(span["attributes"]["db.system.name"] == "sqlite" for span in statements)
    program = only(told, "program")
    assert program["attributes"]["process.exit.code"] == 0
    assert program["parent"] in {span["id"] for span in told["spans"] if span["name"].startswith("programs.")}
    assert "hidden" not in json.dumps(told["spans"])


def test_the_durations_of_calls(told: Any) -> None:
    name = "rpc.server.call.duration"
    counts = {
        (point["rpc.method"], point.get("error.type")): count
        for metric, point, count in told["durations"]
        if metric == name
    }
    assert counts["desk.inline", None] == 2
    assert counts["desk.inline", "InvalidParams"] == 1
    assert counts["(unknown)", "MethodNotFound"] == 1


def test_nothing_is_loaded_where_it_is_off() -> None:
    """Neither a server nor a client loads OpenTelemetry unless it is wanted."""
    text = (
        "import sys, rpcserver.server, rpcclient, rpcservices.database, rpcservices.programs\n"
        "from rpcclient import AsyncClient, Client\n"
        "AsyncClient('ws://127.0.0.1:1', token='x')\n"
        "from rpcwire import tracing\n"
        "assert tracing.tracer is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    done = run("-c", text)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none"}, ""),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "nonsense"}, ""),
        ({"OTEL_TRACES_EXPORTER": "nonsense"}, "OTEL_TRACES_EXPORTER=nonsense: there are otlp"),
    ],
)
def test_the_variables_of_the_specification(tmp_path: Path, variables: dict[str, str], fault: str) -> None:
    text = (
        "import asyncio, sys\n"
        "from rpcserver.config import ConfigError, ServerConfig\n"
        "from rpcserver.server import Server\n"
        "from rpcclient import AsyncClient\n"
        "async def main():\n"
        "    config = ServerConfig.model_validate({'state_dir': sys.argv[1], 'opentelemetry': {'enabled': True},\n"
        "                                          'listen': {'port': 0, 'unix': 'none'}})\n"
        "    server = Server(config, [], token='a-token-for-the-traced-server')\n"
        "    try:\n"
        "        await server.start()\n"
        "    except ConfigError as exc:\n"
        "        print(exc); return\n"
        "    async with AsyncClient(server.addresses[0], token='a-token-for-the-traced-server') as client:\n"
        "        await client.call('rpc.ping')\n"
        "    await server.stop(grace_s=0)\n"
        "asyncio.run(main())\n"
    )
    done = run("-c", text, str(tmp_path), **{"OTEL_SERVICE_NAME": "db-1", **variables})
    assert done.returncode == 0, done.stderr
    if fault:
        assert fault in done.stdout
    else:
        assert ('"name": "rpc.ping"' in done.stdout) == (variables["OTEL_TRACES_EXPORTER"] == "console"), done.stdout
        assert ("db-1" in done.stdout) == (variables["OTEL_TRACES_EXPORTER"] == "console")
