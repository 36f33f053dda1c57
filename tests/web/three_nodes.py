"""A group of three nodes: one that serves the console and brings the broker, one beside it in the same process, and one
that is a process of its own, so that it can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rpcserver.config import PluginsConfig, ServerConfig
from rpcserver.group.watching import Snapshot
from rpcserver.plugins.finding import create_services, find_services
from rpcserver.security.named_tokens import TokenSet
from rpcserver.security.token_file import TokenFile
from rpcserver.server import Server
from rpcwire.service import Service
from tests.contract.conftest import TOKEN, Running

from .conftest import LIMIT_S

SERVICES = ("hardware", "programs")
OWNER_VIA = {"principals": ["owner via db-1"], "permissions": ["*"], "programs": {"may_run": "anything"}}


def make(config: Mapping[str, Any], console: Path, token: str = TOKEN) -> Server:
    """Make a server of the built-in services."""
    read = ServerConfig.model_validate(config)
    services: Sequence[Service[Any]] = create_services(find_services(PluginsConfig(enabled=SERVICES)), read.services)
    return Server(read, services, token=token, console=console)


class ThreeNodes(Running):
    """The group: `db-1`, `web-1`, and `web-2`, which can be killed.

    It begins with `db-1` alone.

    Parameters:
        folder: for the state of all.
        console: the built console.

    Attributes:
        watcher: the token of somebody who may see the nodes, and nothing else.
    """

    def __init__(self, folder: Path, console: Path) -> None:
        self._folder = folder
        self._console = console
        self._beside: Server | None = None
        self.watcher = ""
        self._process: subprocess.Popen[str] | None = None
        (folder / "db-1").mkdir(mode=0o700)

        def make_token(tokens: TokenSet) -> TokenSet:
            new, self.watcher = tokens.create("watcher", "watcher", 1.0)
            return new

        TokenFile(folder / "db-1").update(make_token)
        broker = folder / "db-1" / "group" / "broker"
        own = {"url": "embedded", "name": "db-1", "labels": {"role": "db", "zone": "eu"}}
        group = {**own, "broker": {"port": 0, "nodes": ["web-1", "web-2"]}}
        roles = {"watcher": {"permissions": ["rpc.nodes"]}}
        super().__init__(lambda: make({**self._config("db-1"), "group": group, "roles": roles}, console))
        (ports,) = (broker / "ports").glob("*.ports")
        self._broker_url = json.loads(ports.read_text())["nats"][0]

    @property
    def origin(self) -> str:
        """The address of the console."""
        return f"http://{self.server.addresses[0].removeprefix('ws://').strip('/')}"

    def _config(self, name: str) -> dict[str, Any]:
        return {"state_dir": str(self._folder / name), "listen": {"port": 0, "unix": "none"}}

    def _member(self, name: str, zone: str) -> dict[str, Any]:
        login = self._folder / "db-1" / "group" / "broker" / "nodes" / f"{name}.json"
        group = {"url": self._broker_url, "name": name, "labels": {"role": "web", "zone": zone}}
        trust = {"credentials_file": str(login), "trust_gateway_names": True}
        return {**self._config(name), "group": {**group, **trust}, "roles": {"from-db-1": OWNER_VIA}}

    def start_others(self) -> None:
        """Start `web-1` and `web-2`."""
        self.run(self._start_beside())
        self.start_process()

    async def _start_beside(self) -> None:
        self._beside = make(self._member("web-1", "eu"), self._console)
        await self._beside.start()

    def start_process(self) -> None:
        """Start `web-2`, and wait until `db-1` knows it. The programs that it runs have a variable `RELEASE`."""
        config = self._member("web-2", "us")
        config["services"] = {"programs": {"environment": ["RELEASE"]}}
        config["plugins"] = {"disabled": ["database"]}
        path = self._folder / "web-2.toml"
        path.write_text("".join(write_section(name, section) for name, section in config.items()), encoding="utf-8")
        known = self.start(self._wait_for_web_2())
        with (self._folder / "web-2.log").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rpcserver", "serve", "--config", str(path)],
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
                env={**os.environ, "RELEASE": "2026.10"},
            )
        known.result(LIMIT_S)

    async def _wait_for_web_2(self) -> None:
        node = self.server.group.membership.node
        async for event in node.watch():
            members = event.members if isinstance(event, Snapshot) else [event.member]
            if any(each is not None and each.name == "web-2" and each.state.name == "UP" for each in members):
                return

    def kill_process(self) -> None:
        """Kill `web-2`."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(LIMIT_S)
        self._process = None

    def stop(self) -> None:
        """Stop all of them."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(LIMIT_S)
        if self._beside is not None:
            self.run(self._beside.stop(grace_s=1))
        super().stop()


def write_section(name: str, value: Any) -> str:
    """Write a setting in TOML: tables within a line, as JSON has them."""
    return f"{name} = {write_value(value)}\n"


def write_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {write_value(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)
