"""The other commands, help, completion, and how fast the command starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rpcclient.cli import events
from rpcclient.cli.main import COMMANDS
from rpcclient.cli.outcome import MEANINGS
from rpcclient.models import EventNews
from tests.client.relays import by_connect, relay


def test_services(shell: Any, in_terminal: Callable[..., str]) -> None:
    services = json.loads(shell.ok("services"))
    assert [service["name"] for service in services] == ["library", "rpc"]
    library = json.loads(shell.ok("services", "library"))
    assert library["methods"][0]["name"] == "library.shelves"
    assert "Lends books, and takes them back; at the desk beside the door, from nine to five." in in_terminal(
        "services"
    )
    lend = next(method for method in library["methods"] if method["name"] == "library.lend")
    assert lend["signature"] == "(title: str, days: int = 14, notes: list[str] | None = None) -> str"
    assert lend["summary"] == "Lend a book to whoever asks, for some days, and note what they say of it."
    shown = in_terminal("services", "library")
    assert "library.lend(title: str, days: int = 14, notes: list[str] | None = None) -> str" in shown.replace(
        "\r\n", ""
    )
    assert "    Lend a book to whoever asks, for some days, and note what they say of it.\r\n" in shown
    assert "Read page by page." in shown


def test_nodes(shell: Any, in_terminal: Callable[..., str]) -> None:
    (node,) = json.loads(shell.ok("nodes"))
    assert (node["state"], node["reason"], node["is_self"]) == ("up", "announced", True)
    assert set(node["services"]) == {"library"}
    shown = in_terminal("nodes")
    assert node["name"] in shown and "up" in shown
    with subprocess.Popen(
        shell.command("nodes", "--watch"), env=shell.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        event = json.loads(process.stdout.readline())
        assert (event["kind"], event["nodes"][0]["id"]) == ("snapshot", node["id"])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130


def test_events(shell: Any) -> None:
    for more in ((), ("--on", "all"), ("--on", "name=*"), ("--nodes", json.loads(shell.ok("nodes"))[0]["name"])):
        with subprocess.Popen(
            shell.command("events", "library.burnt", *more),
            env=shell.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            news = json.loads(process.stdout.readline())
            assert (news["kind"], news["event"]) == ("refused", "library.burnt")
            assert news["reason"] == "there is no event library.burnt at this node"
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
            assert process.returncode == 130
    wrong = shell.run("events", "--on", "all", "--nodes", "a")
    assert wrong.returncode == 2 and b"--on and --nodes: give one of them" in wrong.stderr


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"kind": "event", "value": {"a": 1}, "lost": 2}, 'web-1 disks.full (2 lost before) {"a":1}'),
        ({"kind": "event", "value": "x"}, 'web-1 disks.full "x"'),
        ({"kind": "lost", "lost": 3}, "web-1 disks.full: 3 lost"),
        ({"kind": "resync"}, "web-1 disks.full: the server was started anew; what was between is not known"),
        ({"kind": "following", "event": ""}, "web-1 tells its events"),
        ({"kind": "refused", "reason": "no"}, "web-1 disks.full refused: no"),
        ({"kind": "gone", "event": "", "reason": "It has died."}, "web-1 gone: It has died."),
    ],
    ids=lambda value: value["kind"] + str(value.get("lost", "")) if isinstance(value, dict) else "",
)
def test_a_line_for_each_event(more: dict[str, Any], line: str) -> None:
    news = {
        "node": "web-1",
        "id": "0" * 16,
        "event": "disks.full",
        "epoch": "",
        "seq": 1,
        "time": 1.0,
        "lost": 0,
        **more,
    }
    assert events.describe(EventNews(**news)).partition(" ")[2] == line


def test_hello_and_ping(shell: Any, in_terminal: Callable[..., str]) -> None:
    assert json.loads(shell.ok("hello"))["subprotocol"] == "rpc.v1.msgpack"
    assert "rpc.v1.msgpack" in in_terminal("hello")
    lines = [json.loads(line) for line in shell.ok("ping", "--count", "2").splitlines()]
    assert [line["number"] for line in lines] == [1, 2]
    assert all(line["time_ms"] > 0 for line in lines)
    assert " ms" in in_terminal("ping", "--count", "1")


def test_ways_to_the_server(shell: Any) -> None:
    """By options and by the environment."""
    with relay(by_connect) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        refused = shell.run("--proxy", url, "hello")
        assert refused.returncode == 3
        assert b"could read the token: write wss://; --allow-token-in-clear sends it all the same" in refused.stderr
        words = ("--allow-token-in-clear", "--proxy", url, "--token-by", "call")
        assert shell.ok(*words, "--header", "X-A: b", "--header", "X-C:d", "hello")
        environment = {"RPC_PROXY": url, "RPC_TOKEN_BY": "call", "RPC_HEADERS": "X-A: b"}
        assert shell.run("hello", **environment, RPC_ALLOW_TOKEN_IN_CLEAR="1").returncode == 0
        assert len(proxy.seen) == 2
        assert shell.run("--proxy", "none", "hello", RPC_PROXY=url).returncode == 0
        assert len(proxy.seen) == 2
    for words, said in [
        (("--header", "Host: x"), b"headers: Host: the client sets it itself"),
        (
            ("--header", "X-Api-Key: x"),
            b"headers: 'X-Api-Key\xe2\x80\xa6': all users of this machine can read a command",
        ),
        (("--header", "none"), b"headers: write one `Name: value` per line"),
        (("--proxy", "ftp://x"), b"proxy: scheme ftp"),
        (("--proxy", "http://ada:tweety@x"), b"proxy: the URL has a password: all users of this machine can read"),
        (("--proxy", "ada:tweety@x"), b"put this URL into RPC_PROXY"),
        (("--proxy", "socks5h://ada:a@b@x/"), b"put this URL into RPC_PROXY"),
        (("--cert-file", "/c"), b"cert_file: it is for TLS"),
        (("--server-hostname", "x"), b"server_hostname: it is for TLS"),
        (("--url", "wss://127.0.0.1:1", "--cert-file", "/none"), b"cert_file: /none: No such file"),
        (("--url", "wss://127.0.0.1:1", "--ca-file", __file__), f"ca_file: {__file__}: this file holds no".encode()),
        (("--token-file", "/none"), b"token_file: /none: No such file"),
    ]:
        done = shell.run(*words, "hello")
        assert done.returncode == 2
        assert said in done.stderr, done.stderr
    assert shell.run("--token-by", "cookie", "hello").returncode == 2


def test_json_behind_the_command(shell: Any, everywhere: Any) -> None:
    assert [service["name"] for service in json.loads(shell.ok("services", "--json"))] == ["library", "rpc"]
    assert json.loads(shell.ok("ping", "--count", "1", "--json"))["number"] == 1
    assert json.loads(everywhere.ok("sql", "main", "SELECT 1 AS one", "--json")) == [{"one": 1}]


def test_values_that_look_like_options_and_typos_that_are_none(shell: Any, everywhere: Any) -> None:
    assert json.loads(shell.ok("call", "library.shelves", "-5"))
    assert json.loads(shell.ok("call", "library.lend", "--", "--title")) == "--title for 14 days"
    assert json.loads(everywhere.ok("sql", "main", "SELECT ? AS one", "-5")) == [{"one": -5}]
    assert json.loads(everywhere.ok("sql", "main", "SELECT ? AS one", "--", "--write")) == [{"one": "--write"}]
    assert json.loads(everywhere.ok("sql", "main", "-- a comment\nSELECT 1 AS one")) == [{"one": 1}]
    done = everywhere.run("sql", "main", "SELECT 1", "--formt", "csv")
    assert (done.returncode, b"Did you mean '--format'?" in done.stderr) == (2, True)


def test_help_shows_every_command_and_every_status(shell: Any) -> None:
    shown = " ".join(shell.ok("--help").decode().split())
    for command, meaning in COMMANDS.items():
        assert command in shown
        assert meaning in shown
        assert shell.ok(command, "--help").startswith(b"Usage:")
    for status, meaning in MEANINGS.items():
        assert f"{status} {meaning}" in shown
    assert b"remote-services" not in shell.ok("--version")
    assert shell.run("nonsense").returncode == 2


@pytest.mark.parametrize(
    ("words", "index", "wanted"),
    [
        ("rpcclient call library.l", 2, ["library.lend"]),
        ("rpcclient call library.lend ", 3, ["title=", "days=", "notes="]),
        ("rpcclient ser", 1, ["services"]),
    ],
)
def test_completion(shell: Any, words: str, index: int, wanted: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from rpcclient.cli import main; main(prog_name='rpcclient')"],
        env={
            **shell.environment,
            "_RPCCLIENT_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(index),
        },
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert [line.partition(",")[2] for line in done.stdout.split()] == wanted


@pytest.fixture
def on_path(shell: Any, tmp_path: Path) -> dict[str, str]:
    """The environment of a shell that finds the command."""
    command = tmp_path / "rpcclient"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m rpcclient "$@"\n')
    command.chmod(0o755)
    return {**shell.environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (("call", "library.l"), ["library.lend"]),
        (("call", "library.lend", "da"), ["days="]),
        (("call", "library.lend", ""), ["title=", "days=", "notes="]),
        (("call", "library.lend", "title", "=", "d"), []),  # Bash takes the = for a word; d begins a value here.
        (("call", "library.lend", "title", "="), []),
        (("call", "library.lend", "title", "=", "Emma", "no"), ["notes="]),
        (("sql", "main", "--format", "=", "e"), ["expanded"]),
    ],
)
def test_bash_itself_completes(on_path: dict[str, str], typed: tuple[str, ...], wanted: list[str]) -> None:
    script = """
        eval "$(_RPCCLIENT_COMPLETE=bash_source rpcclient)"
        COMP_WORDS=(rpcclient "$@") COMP_CWORD=$#
        _rpcclient_completion rpcclient
        printf '%s\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script, "bash", *typed], env=on_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == wanted, done.stderr


def test_no_space_follows_the_name_of_a_parameter(on_path: dict[str, str]) -> None:
    import pexpect

    child = pexpect.spawn("bash", ["--norc", "--noprofile", "-i"], env=on_path, encoding="utf-8", timeout=60)
    child.sendline(
        "bind 'set enable-bracketed-paste off'; PS1='ready> '; eval \"$(_RPCCLIENT_COMPLETE=bash_source rpcclient)\""
    )
    child.expect("[\r\n]ready> ")
    child.send("rpcclient call library.le\ttit\tEmma da\t3\n")
    child.expect("Emma for 3 days")
    child.expect("ready> ")
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()


def test_completion_without_a_server_is_empty(shell: Any) -> None:
    done = shell.run(
        "call",
        _RPCCLIENT_COMPLETE="bash_complete",
        COMP_WORDS="rpcclient call ",
        COMP_CWORD="2",
        RPC_URL="ws://127.0.0.1:1",
    )
    assert b"Traceback" not in done.stderr


def test_starting_imports_little() -> None:
    code = "import sys, rpcclient.cli; print([m for m in ('rich', 'pydantic', 'websockets', 'msgspec') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "[]"
