"""The commands `rpcserver console`, `rpcserver session` and `rpcclient console`, and how they open a browser."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rpcserver.daemon.cli import main as command
from rpcserver.server import Server
from rpcwire.browsing import has_screen, page_at


async def run(place: Path, *words: str, **environment: str) -> Result:
    """Run `rpcserver` for the server whose Unix socket is in a folder."""
    variables = {"RPCSERVER_LISTEN__UNIX": str(place / "s"), "RPCSERVER_CONFIG": None, "DISPLAY": None, **environment}
    runner = CliRunner(env=variables)
    return await asyncio.to_thread(runner.invoke, command, words)


async def exchange(tools: Any, server: Server, address: str) -> dict[str, Any]:
    """What a page gets that is opened at an address."""
    async with tools.connect(server, token=None) as page:
        ticket = address.strip().partition("#ticket=")[2]
        return dict((await tools.call(page, "rpc.authenticate", {"ticket": ticket}))["result"])


def test_a_console_and_its_session(tools: Any, short_folder: Path) -> None:
    async def main() -> None:
        async with tools.serve(listen={"unix": str(short_folder / "s")}) as server:
            shown = await run(short_folder, "console")
            assert shown.exit_code == 0, shown.output
            assert re.fullmatch(rf"http://127\.0\.0\.1:{tools.port(server)}/#ticket=rpcticket_[\w-]+\n", shown.stdout)
            assert "one browser tab, once, within 60 s" in shown.stderr
            found = await exchange(tools, server, shown.stdout)
            assert (found["name"], found["method"], found["role"]) == ("owner", "session", "owner")
            named = await run(short_folder, "console", "--url", "https://console.example/rpc/")
            assert named.stdout.startswith("https://console.example/rpc/#ticket=")
            session_id = found["session"]["id"]
            (listed,) = json.loads((await run(short_folder, "session", "list", "--json")).stdout)
            assert (listed["id"], listed["principal"], listed["made_by"]) == (session_id, "owner", "peer")
            head, line = (await run(short_folder, "session", "list")).stdout.splitlines()
            assert head.split()[:3] == ["id", "principal", "role"] and line.split()[:4] == [
                session_id, "owner", "owner", "peer",
            ]  # fmt: skip
            assert "12 h" in line
            assert (await run(short_folder, "session", "revoke", session_id)).exit_code == 0
            again = await run(short_folder, "session", "revoke", session_id)
            assert again.exit_code == 2 and "rpcserver session list" in again.stderr
            assert len((await run(short_folder, "session", "list")).stdout.splitlines()) == 1, "the head only"

    tools.run(main())


def test_where_the_unix_socket_needs_a_token_too(tools: Any, short_folder: Path) -> None:
    async def main() -> None:
        listen = {"unix": str(short_folder / "s"), "unix_peer_credentials": False}
        token = short_folder / "token"
        token.write_text(tools.TOKEN + "\n")
        token.chmod(0o600)
        environment = {"RPCSERVER_LISTEN__UNIX_PEER_CREDENTIALS": "false", "RPCSERVER_AUTH__TOKEN_FILE": str(token)}
        async with tools.serve(listen=listen) as server:
            shown = await run(short_folder, "console", **environment)
            assert shown.exit_code == 0, shown.output
            assert (await exchange(tools, server, shown.stdout))["name"] == "owner"

    tools.run(main())


def test_what_goes_wrong_says_what_to_do(tools: Any, short_folder: Path) -> None:
    async def main() -> None:
        missing = await run(short_folder, "console")
        assert missing.exit_code == 2 and "no server answers here" in missing.stderr
        wrong = await run(short_folder, "console", "--url", "console.example")
        assert wrong.exit_code == 2 and "https://console.example/" in wrong.stderr
        async with tools.serve(listen={"unix": str(short_folder / "s"), "tcp": False}):
            silent = await run(short_folder, "console")
            assert silent.exit_code == 2 and "listen.tcp" in silent.stderr and "rpcticket_" not in silent.output
        async with tools.serve(listen={"unix": str(short_folder / "s")}, auth={"session_ttl_s": 0}):
            off = await run(short_folder, "console")
            assert off.exit_code == 2 and "auth.session_ttl_s" in off.stderr

    tools.run(main())


def test_rpcclient_console_names_the_server_as_its_own_url_does(tools: Any, short_folder: Path) -> None:
    async def main() -> None:
        async with tools.serve(listen={"unix": str(short_folder / "s")}) as server:
            port = tools.port(server)
            for url, page in [
                (f"ws://localhost:{port}", f"http://localhost:{port}/"),
                (f"unix://{short_folder}/s", f"http://127.0.0.1:{port}/"),
            ]:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "rpcclient", "--url", url, "console",
                    env={**os.environ, "RPC_TOKEN": tools.TOKEN, "DISPLAY": "", "WAYLAND_DISPLAY": ""},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )  # fmt: skip
                output, errors = await asyncio.wait_for(process.communicate(), 60)
                assert process.returncode == 0, errors
                assert output.decode().startswith(f"{page}#ticket=rpcticket_")
                assert (await exchange(tools, server, output.decode()))["name"] == "owner"

    tools.run(main())


def test_a_browser_gets_a_file_that_others_cannot_read_and_no_ticket_on_its_command_line(
    tools: Any, short_folder: Path
) -> None:
    """A real program stands for the browser: it writes down what it was called with."""
    browser, calls = short_folder / "browser", short_folder / "calls"
    browser.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {calls}.new && mv {calls}.new {calls}\n')
    browser.chmod(0o700)

    async def main() -> None:
        async with tools.serve(listen={"unix": str(short_folder / "s")}):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "rpcserver", "console",
                env={
                    **os.environ,
                    "RPCSERVER_LISTEN__UNIX": str(short_folder / "s"),
                    "DISPLAY": ":0",
                    "BROWSER": str(browser),
                    "TMPDIR": str(short_folder),
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )  # fmt: skip
            output, errors = await asyncio.wait_for(process.communicate(), 60)
            assert process.returncode == 0, errors
            await tools.until(calls.exists)
            (url,) = calls.read_text().splitlines()
            assert url.startswith("file://") and "rpcticket_" not in url
            file = Path(url.removeprefix("file://"))
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert output.decode().strip() in file.read_text()

    tools.run(main())


@pytest.mark.parametrize(
    ("environ", "platform", "found"),
    [({}, "linux", False), ({"DISPLAY": ":0"}, "linux", True), ({"WAYLAND_DISPLAY": "w"}, "linux", True),
     ({}, "darwin", True), ({}, "win32", True)],
)  # fmt: skip
def test_where_there_is_a_screen(environ: dict[str, str], platform: str, found: bool) -> None:
    assert has_screen(environ, platform) is found


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("ws://h:1", "http://h:1/#ticket=T"), ("wss://h", "https://h/#ticket=T"),
        ("https://h/rpc/", "https://h/rpc/#ticket=T"), ("ws://[::1]:2/rpc", "http://[::1]:2/rpc/#ticket=T"),
    ],
)  # fmt: skip
def test_the_address_of_a_page(address: str, page: str) -> None:
    assert page_at(address, "T") == page
