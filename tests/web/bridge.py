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

from .browser import Page

CLIENT = WEB / "client"
ESBUILD = WEB / "node_modules" / ".bin" / "esbuild"  # a script or a program, as npm has found it


class BridgeError(Exception):
    """The client has failed; its argument is the error object."""


def bundle(folder: Path, services: list[type[Service[Any]]], place: str) -> Path:
    """Bundle the bridge with the stubs of services, and return the file.

    Parameters:
        folder: for what is generated.
        services: the services.
        place: where it is to run: `node` or `browser`.
    """
    install()
    for service in services:
        text = generate_typescript(service, str(CLIENT / "src" / "index.ts"))
        (folder / f"{service.name}.ts").write_text(text, encoding="utf-8")
    lines = [f'import {{ {service.name} }} from "./{service.name}.ts";' for service in services]
    names = ", ".join(service.name for service in services)
    lines += [f'import {{ run }} from "{CLIENT}/tests/bridge_{place}.ts";', f"await run({{ {names} }});", ""]
    main = folder / "main.ts"
    main.write_text("\n".join(lines), encoding="utf-8")
    target = folder / "main.mjs"
    options = ["--bundle", "--format=esm", f"--platform={place}", "--target=es2022", "--log-level=warning"]
    subprocess.run([str(ESBUILD), str(main), *options, f"--outfile={target}"], env=make_environment(), check=True)
    return target


class Bridge:
    """Calls services by the client in TypeScript."""

    def __init__(self) -> None:
        self._last = 0

    def exchange(self, line: str) -> str:
        """Have a line performed, and return the line with what came of it."""
        raise NotImplementedError

    def close(self) -> None:
        """End what performs the lines."""
        raise NotImplementedError

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
        outcome = json.loads(self.exchange(json.dumps(wish)))
        assert outcome["id"] == self._last
        if "error" in outcome:
            raise BridgeError(outcome["error"])
        return from_tagged(outcome["result"])


class NodeBridge(Bridge):
    """A process of node.

    Parameters:
        target: the bundle.
        url, token: of the server.
    """

    def __init__(self, target: Path, url: str, token: str) -> None:
        super().__init__()
        self._process = subprocess.Popen(
            [str(NODE), str(target)],
            env=make_environment({"TEST_SERVER_URL": url, "TEST_SERVER_TOKEN": token}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def exchange(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


class BrowserBridge(Bridge):
    """A page of a browser.

    Parameters:
        page: the page, which has the function `perform`.
    """

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.page = page

    def exchange(self, line: str) -> str:
        return str(self.page.evaluate(f"perform({json.dumps(line)})"))

    def close(self) -> None:
        self.page.close()


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
