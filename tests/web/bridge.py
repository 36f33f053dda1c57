"""Uses the client in TypeScript from Python: a process of node does what it is told by lines of JSON."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rpcserver.plugins.typescript import generate_typescript
from rpcwire.service import Service
from rpcwire.values.tagged import from_tagged, to_tagged
from web.building import NODE, WEB, install, make_environment

CLIENT = WEB / "client"
ESBUILD = WEB / "node_modules" / ".bin" / "esbuild"  # a script or a program, as npm has found it


class BridgeError(Exception):
    """The client has failed; its argument is the error object."""


class Bridge:
    """The process.

    Parameters:
        folder: for what is generated.
        services: the services whose stubs it has.
        url, token: of the server.
    """

    def __init__(self, folder: Path, services: list[type[Service[Any]]], url: str, token: str) -> None:
        install()
        for service in services:
            text = generate_typescript(service, str(CLIENT / "src" / "index.ts"))
            (folder / f"{service.name}.ts").write_text(text, encoding="utf-8")
        lines = [f'import {{ {service.name} }} from "./{service.name}.ts";' for service in services]
        names = ", ".join(service.name for service in services)
        main = folder / "main.ts"
        main.write_text(
            "\n".join([*lines, f'import {{ run }} from "{CLIENT}/tests/bridge.ts";', f"await run({{ {names} }});", ""]),
            encoding="utf-8",
        )
        bundle = folder / "main.mjs"
        options = ["--bundle", "--format=esm", "--platform=node", "--log-level=warning", f"--outfile={bundle}"]
        subprocess.run([str(ESBUILD), str(main), *options], env=make_environment(), check=True)
        self._process = subprocess.Popen(
            [str(NODE), str(bundle)],
            env=make_environment({"TEST_SERVER_URL": url, "TEST_SERVER_TOKEN": token}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._last = 0

    def call(self, form: str, service: str, method: str, params: Mapping[str, Any], *, is_stream: bool = False) -> Any:
        """Call a method by its stub, and return the result, or the items of the stream.

        Raises:
            BridgeError: the client has failed.
        """
        self._last += 1
        plain = {name: to_tagged(to_plain(value), binary=False) for name, value in params.items()}
        wish = {
            "id": self._last, "form": form, "service": service, "method": method, "params": plain, "isStream": is_stream,
        }  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(wish) + "\n")
        self._process.stdin.flush()
        outcome = json.loads(self._process.stdout.readline())
        assert outcome["id"] == self._last
        if "error" in outcome:
            raise BridgeError(outcome["error"])
        return from_tagged(outcome["result"])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


def to_plain(value: Any) -> Any:
    """Make of models and members of enumerations what a program in JavaScript has in their place."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        return {name: to_plain(member) for name, member in value}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, list):
        return [to_plain(each) for each in value]
    if isinstance(value, tuple):
        return tuple(to_plain(each) for each in value)
    if isinstance(value, dict):
        return {key: to_plain(each) for key, each in value.items()}
    return value
