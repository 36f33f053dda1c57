"""What a server says of itself at the moment: rpc.activity, and the command ``rpcserver status``."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from rpcserver.daemon.cli import main
from rpcserver.daemon.status import lay_out


def test_streams_have_an_age_though_nobody_counts_calls(tools: Any) -> None:
    """It grows, and is that of the stream: its call has been answered long ago."""

    async def scenario() -> None:
        async with tools.serve(tools.Calc(), metrics={"enabled": False}) as server, tools.connect(server) as one:
            assert not server.dispatch.is_observed
            await tools.call(one, "calc.count", [1000])
            async with tools.connect(server) as other:
                ages = []
                for _ in range(2):
                    (run,) = (await tools.call(other, "rpc.activity"))["result"]["running"]
                    assert (run["kind"], run["method"], run["principal"]) == ("stream", "calc.count", "owner")
                    ages.append(run["age_s"])
                assert 0 <= ages[0] <= ages[1] < 60

    tools.run(scenario())


def test_activity_and_the_command(tools: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is connected, what runs, what waits, what was refused, and how the services are."""
    monkeypatch.delenv("RPCSERVER_CONFIG", raising=False)
    path = tmp_path / "sock"

    def ask(*options: str) -> Any:
        runner = CliRunner(env={"RPCSERVER_LISTEN__UNIX": str(path), "COLUMNS": "150"})
        return runner.invoke(main, ["status", *options])

    async def scenario() -> None:
        calc = tools.Calc()
        config = {"listen": {"port": 0, "unix": str(path)}, "limits": {"calls_in_flight": 2}}
        async with tools.serve(calc, **config) as server, tools.connect(server, "rpc.v1.json") as one:
            await one.send(tools.request("calc.wait", call_id=7))
            await tools.until(lambda: calc.log)
            stream = (await tools.call(one, "calc.count", [1000], 8))["result"]["stream"]
            await one.send(tools.request("calc.wait", call_id=9))
            await tools.until(lambda: len(calc.log) >= 2)
            assert (await tools.call(one, "calc.add", [1, 2], 10))["error"]["data"]["type"] == "Busy"
            async with tools.connect(server) as other:
                activity = (await tools.call(other, "rpc.activity"))["result"]
            (connected,) = activity["connected"]  # Whoever asks is left out.
            assert connected["principal"] == "owner" and connected["role"] == "owner"
            assert (connected["transport"], connected["subprotocol"]) == ("tcp", "rpc.v1.json")
            assert (connected["calls_in_flight"], connected["streams"]) == (2, 1)
            assert 0 <= connected["age_s"] < 60
            runs = [(run["kind"], run["method"], run["connection"]) for run in activity["running"]]
            assert sorted(runs) == [
                ("call", "calc.wait", connected["id"]),
                ("call", "calc.wait", connected["id"]),
                ("stream", "calc.count", connected["id"]),
            ]
            assert all(0 <= run["age_s"] < 60 and run["principal"] == "owner" for run in activity["running"])
            assert all(run["items"] == 16 for run in activity["running"] if run["kind"] == "stream")
            assert activity["refused"] == [{"limit": "limits.calls_in_flight", "count": 1}]
            assert activity["health"] == [{"name": "calc", "ok": True, "reason": "", "details": ""}]
            assert set(activity["waiting"].values()) == {0}
            answer = await asyncio.to_thread(ask, "--json")
            assert answer.exit_code == 0, answer.output
            assert json.loads(answer.output)["connected"][0]["id"] == connected["id"]
            table = (await asyncio.to_thread(ask)).output
            for text in ("calc.wait", "calc.count", "limits.calls_in_flight", "owner", "127.0.0.1:", "longest stall"):
                assert text in table, table
            await one.send(tools.request("rpc.stream.cancel", {"stream": stream}, None))
            calc.release.set()

    tools.run(scenario())
    answer = ask()
    assert answer.exit_code == 2
    assert "no server answers here" in answer.output


def test_a_small_screen_shows_who_is_connected_and_what_runs() -> None:
    """The figures of services are long."""
    names = ("database", "hardware", "programs")
    activity: dict[str, Any] = {
        "version": "1", "uptime_s": 1.0, "longest_stall_s": 0.0, "wrong_attempts": 0, "connected": [], "running": [],
        "services": [], "waiting": {}, "refused": [], "circuits": [], "circuit_ends": {},
        "health": [{"name": name, "ok": True, "reason": ""} for name in names],
        "figures": [
            {"service": name, "name": f"figure_{number}", "labels": {}, "value": number}
            for name in names for number in range(20)
        ],
    }  # fmt: skip
    lines: dict[bool, list[str]] = {}
    for is_short in (False, True):
        console = Console(width=80, file=io.StringIO())
        console.print(*lay_out(activity, is_short=is_short), sep="\n")
        lines[is_short] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines[False]) > 24 >= len(lines[True])
    assert {"connected", "running"} <= {line.strip() for line in lines[True]}


def test_the_command_goes_on_until_ctrl_c(tools: Any, tmp_path: Any) -> None:
    """It keeps its connection, and has a line for each look."""
    path = tmp_path / "sock"

    async def scenario() -> None:
        async with tools.serve(listen={"port": 0, "unix": str(path)}) as server:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "rpcserver", "status", "--watch", "--json", "--interval", "0.1",
                env={**os.environ, "RPCSERVER_LISTEN__UNIX": str(path)}, stdout=subprocess.PIPE,
            )  # fmt: skip
            try:
                assert process.stdout is not None
                async with asyncio.timeout(60):
                    looks = [json.loads(await process.stdout.readline()) for _ in range(3)]
                    assert [look["connected"] for look in looks] == [[], [], []]
                    assert looks[0]["uptime_s"] < looks[-1]["uptime_s"]
                    assert server.connections.opened_count == 1
                    process.send_signal(signal.SIGINT)
                    assert await process.wait() == 130
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    tools.run(scenario())


def test_requests_by_caller_and_method(tools: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call is there with its id, whoever asks for its caller or its method."""
    monkeypatch.delenv("RPCSERVER_CONFIG", raising=False)

    def ask(*options: str, audit: str = "true") -> Any:
        runner = CliRunner(env={"RPCSERVER_STATE_DIR": str(tmp_path), "RPCSERVER_AUDIT__ENABLED": audit})
        return runner.invoke(main, ["requests", *options])

    assert ask(audit="false").exit_code == 2
    assert "audit.enabled" in ask(audit="false").output

    async def scenario() -> None:
        async with tools.serve(audit={"enabled": True}) as server, tools.connect(server) as one:
            for number in range(3):
                await tools.call(one, "calc.add", [1, 2], f"call-{number}")
            await tools.call(one, "calc.boom", None, "call-3")

    tools.run(scenario())
    everything = ask().output.splitlines()
    assert len(everything) == 4
    assert all("owner" in line and "127.0.0.1" in line for line in everything)
    records = [
        json.loads(line) for line in ask("--json", "--method", "calc.a*", "--principal", "owner").output.splitlines()
    ]
    assert [record["call"] for record in records] == ["call-0", "call-1", "call-2"]
    (failure,) = ask("--outcome", "failed", "-n", "1").output.splitlines()
    assert "calc.boom" in failure and "InternalError" in failure
    assert ask("--principal", "nobody").output == ""
