"""Many reloads of every setting that a reload can change, one in ten with a fault, while clients call, stream, query and
run programs: no call fails, and nothing stays behind. `make soak` runs a thousand."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from rpcclient import AsyncClient, RpcError
from rpcserver.config import ServerConfig
from rpcserver.plugins.toml import write_value
from rpcserver.reload.keys import RULES, Effect

LIMIT_S = 60.0
PAUSE_S = 0.03
"""How long each client waits between two calls, so that the load leaves time for reloads, in seconds."""
MOST_GROWTH_BYTES = 1024 * 1024

PLUGIN = '''
import asyncio, ctypes, gc, os, threading, time
from collections.abc import AsyncIterator
from rpcserver import Reload, Service, ServiceConfig, method

class ProbeConfig(ServiceConfig):
    number: int = 0

class Probe(Service[ProbeConfig]):
    """Tells what the server holds."""

    async def prepare_reload(self, config, roles):
        return Reload(lambda: None)

    @method()
    async def echo(self, text: str) -> str:
        """Say it again."""
        return text

    @method()
    def slowly(self, text: str) -> str:
        """Say it again, in a thread."""
        return text

    @method()
    async def count(self) -> AsyncIterator[int]:
        """Count for ever."""
        number = 0
        while True:
            yield number
            number += 1
            await asyncio.sleep(0.005)

    @method()
    async def holds(self) -> dict[str, int]:
        """What the server holds, without garbage, and with all threads that the event loop may ever have."""
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.02) for _ in range(100)))
        for _ in range(3):
            gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        return {
            "tasks": len(asyncio.all_tasks()),
            "files": len(os.listdir("/proc/self/fd")),
            "threads": threading.active_count(),
            "bytes": pages * os.sysconf("SC_PAGESIZE"),
        }
'''

FAULTS = [
    "[limits]\nstreams = 0\n",
    "[limits\n",
    '[roles.other]\npermissions = ["probe.nothing"]\n',
    '[tls]\nkey_file = "/nowhere"\n',
    '[services.database.databases.third]\nurl = "nonsense://x@y/z"\n',
    "[services.probe]\nnumbers = 1\n",
]

APART = {
    ("listen", "proxy_protocol"): "each new connection would have to begin with a header",
    ("listen", "unix_peer_credentials"): "the owner would lose the Unix socket",
    ("auth", "unauthenticated_connections"): "it takes part by its neighbours",
}  # fmt: skip
"""Settings that stay as they are here."""


DEFAULTS = ServerConfig()


class Daemon:
    """A server, and the text of its configuration for each reload."""

    def __init__(self, folder: Path, short_folder: Path) -> None:
        short_folder.chmod(0o711)
        self.folder = folder
        self.socket = short_folder / "s"
        self.file = folder / "rpcserver.toml"
        (folder / "probe.py").write_text(PLUGIN)
        (folder / "probe.py").chmod(0o600)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        for name in ("one", "two"):
            certificate = authority.issue_cert("127.0.0.1", f"{name}.example")
            certificate.private_key_pem.write_to_path(str(folder / f"{name}.key"))
            (folder / f"{name}.key").chmod(0o600)
            (folder / f"{name}.pem").write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
            (folder / f"token-{name}").write_text("the-token-of-the-owner\n")
            (folder / f"token-{name}").chmod(0o600)
        self.write(self.text(0))
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rpcserver", "serve", "--config", str(self.file)],
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "wss://" in line, self.log.read_text()
        self.url = line.split()[-1]

    def write(self, text: str) -> None:
        draft = self.file.with_suffix(".draft")
        draft.write_text(text)
        draft.chmod(0o600)
        draft.replace(self.file)

    def values(self, number: int) -> dict[tuple[str, ...], Any]:
        """The values of all settings that a reload changes; those of two reloads after each other differ."""
        is_odd = number % 2 == 1
        name = "two" if is_odd else "one"
        other: dict[tuple[str, ...], Any] = {
            ("listen", "allowed_hosts"): [f"{name}.example"],
            ("listen", "allowed_origins"): [f"https://{name}.example"],
            ("listen", "trusted_proxies"): ["10.0.0.1"] if is_odd else ["10.0.0.2"],
            ("listen", "forwarding_header"): "Forwarded" if is_odd else "X-Forwarded-For",
            ("tls", "certificate_file"): str(self.folder / f"{name}.pem"),
            ("tls", "key_file"): str(self.folder / f"{name}.key"),
            ("tls", "key_password"): name,
            ("tls", "minimum_version"): "1.3" if is_odd else "1.2",
            ("tls", "client_ca_file"): str(self.folder / "ca.pem"),
            ("tls", "client_crl_file"): "",
            ("tls", "client_certificates"): "optional",
            ("auth", "token_file"): str(self.folder / f"token-{name}"),
            ("limits", "threads_share"): 0.5 if is_odd else 0.75,
            ("log", "level"): "WARNING" if is_odd else "INFO",
            ("audit", "when_full"): "refuse" if is_odd else "continue",
            ("audit", "parameters"): "redacted" if is_odd else "hash",
            ("plugins", "essential"): ["probe"] if is_odd else [],
            ("console", "public_docs"): ["probe"] if is_odd else [],
            ("group", "gateways"): {name: f"{number % 2:016x}"},
        }
        values: dict[tuple[str, ...], Any] = {}
        for path, rule in RULES.items():
            if rule.effect is Effect.RESTART or path in APART:
                continue
            default = getattr(getattr(DEFAULTS, path[0]), path[1]) if len(path) == 2 else None
            if path in other:
                values[path] = other[path]
            elif isinstance(default, bool):
                values[path] = is_odd
            elif isinstance(default, int | float):
                values[path] = default + (1 if is_odd else 0)
        return values

    def text(self, number: int) -> str:
        """The configuration of one reload."""
        is_odd = number % 2 == 1
        tables: dict[str, list[str]] = {
            "listen": ["port = 0", f'unix = "{self.socket}"', 'unix_mode = "0666"'],
            "plugins": [f'files = ["{self.folder / "probe.py"}"]'],
            "audit": ["enabled = true"],
        }
        for (table, key), value in self.values(number).items():
            tables.setdefault(table, []).append(f"{key} = {write_value(value)}")
        lines = [f'state_dir = "{self.folder / "state"}"', f"grace_s = {1 + is_odd}"]
        for table, entries in tables.items():
            lines += [f"[{table}]", *entries]
        lines += [
            "[audit.levels]", f'"probe.echo" = "{"off" if is_odd else "failures"}"',
            "[tls.names.more]", *self._files("one" if is_odd else "two"),
            "[auth.certificates.ada]", f'common_name = "{"ada" if is_odd else "eve"}"',
            "[auth.unix]", f'users = {{ daemon = "{"viewer" if is_odd else "other"}" }}',
            "[roles.viewer]", 'permissions = ["probe.*"]', f"limits = {{ calls_in_flight = {50 + is_odd} }}",
            "[roles.other]", f'permissions = ["{"probe.echo" if is_odd else "database.query"}"]',
            "[plugins.restart]", f"first_s = {1 + is_odd}",
            "[services.probe]", f"number = {number}",
            "[services.database.databases.main]", f"max_rows = {100_000 + is_odd}",
            "[services.hardware]", "history = false", f"max_processes = {10_000 + is_odd}", f"serial_ports = {64 + is_odd}",
            "[services.programs]", f"max_programs = {256 + is_odd}", f"kept_memory_bytes = {600_000_000 + is_odd}",
            *(["[services.database.databases.shop]"] if is_odd else []),
        ]  # fmt: skip
        return "\n".join(lines) + "\n"

    def _files(self, name: str) -> list[str]:
        return [f'certificate_file = "{self.folder / f"{name}.pem"}"', f'key_file = "{self.folder / f"{name}.key"}"']

    def faulty_text(self, number: int) -> str:
        """A configuration with a fault, in which much else is new."""
        fault = FAULTS[number // 10 % len(FAULTS)]
        head, _, rest = fault.partition("\n")
        text = self.text(number)
        if f"{head}\n" not in text:
            return text + fault
        key = rest.partition(" =")[0]
        table, _, after = text.partition(f"{head}\n")
        lines = after.splitlines(keepends=True)
        end = next((index for index, line in enumerate(lines) if line.startswith("[")), len(lines))
        kept = [line for line in lines[:end] if not line.startswith(f"{key} =")]
        return f"{table}{head}\n{rest}{''.join([*kept, *lines[end:]])}"


@pytest.fixture
def daemon(tmp_path: Path, short_folder: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path, short_folder)
    yield daemon
    daemon.process.kill()
    daemon.process.wait(LIMIT_S)
    assert daemon.process.stdout is not None
    daemon.process.stdout.close()


def test_every_setting_that_can_be_changed_is_changed(daemon: Daemon) -> None:
    tables = {("grace_s",), ("roles",), ("services",), ("tls", "names"), ("auth", "certificates"), ("auth", "unix"),
              ("audit", "levels"), ("plugins", "restart")}  # fmt: skip
    can_change = {path for path, rule in RULES.items() if rule.effect is not Effect.RESTART}
    assert can_change == {*daemon.values(0), *APART, *tables}


class Load:
    """Clients that call without a pause."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.counts: dict[str, int] = {}
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []

    async def _repeat(self, name: str, act: Callable[[], Any]) -> None:
        while not self._is_over:
            await act()
            self.counts[name] = self.counts.get(name, 0) + 1
            await asyncio.sleep(PAUSE_S)

    async def _stream(self, client: AsyncClient) -> None:
        async with client.stream("probe.count") as stream:
            last = -1
            async for item in stream:
                assert item == last + 1
                last = item
                self.counts["items"] = last
                if self._is_over:
                    return

    async def begin(self, owner: AsyncClient, viewer: AsyncClient) -> None:
        """Begin to call."""
        await owner.call("database.execute", ["main", "CREATE TABLE IF NOT EXISTS t (x INTEGER)"])
        acts: dict[str, Callable[[], Any]] = {
            "echo": lambda: viewer.call("probe.echo", ["x" * 50]),
            "slowly": lambda: viewer.call("probe.slowly", ["x"]),
            "query": lambda: owner.call("database.query", ["main", "SELECT count(*) FROM t"]),
            "execute": lambda: owner.call("database.execute", ["main", "INSERT INTO t VALUES (1)"]),
            "run": lambda: owner.call("programs.run", [["true"]]),
            "memory": lambda: owner.call("hardware.memory"),
        }
        self._tasks = [asyncio.create_task(self._repeat(name, act)) for name, act in acts.items()]
        self._tasks.append(asyncio.create_task(self._stream(viewer)))

    def check(self) -> None:
        """Make sure that nothing has failed."""
        for task in self._tasks:
            if task.done():
                task.result()
                raise AssertionError("a client has stopped")

    async def reach(self, count: int) -> None:
        """Wait until each client has made so many calls: reloads may be faster than they."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.counts) < len(self._tasks) or min(self.counts.values()) < count:
                self.check()
                await asyncio.sleep(PAUSE_S)

    async def end(self) -> None:
        """Let all calls end. Raises what has failed."""
        self._is_over = True
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*self._tasks)


async def reload_often(daemon: Daemon, owner: AsyncClient, numbers: range, load: Load) -> None:
    for count, number in enumerate(numbers, 1):
        is_faulty = number % 10 == 9
        daemon.write(daemon.faulty_text(number) if is_faulty else daemon.text(number))
        try:
            report = await owner.call("rpc.reload")
        except RpcError as exc:
            assert is_faulty, exc
            assert exc.message.startswith(f"nothing has changed: {daemon.file}"), exc
        else:
            assert not is_faulty, daemon.file.read_text()
            assert {change["effect"] for change in report["changes"]} <= {"at once", "new connections"}, report
            assert report["changes"]
        load.check()
        await load.reach(count // 2 + 1)
        if number % 5 == 0:
            async with AsyncClient(daemon.url, token="the-token-of-the-owner", ca_file=daemon.folder / "ca.pem") as new:
                assert await new.call("probe.echo", ["x"]) == "x"


async def holds(daemon: Daemon, owner: AsyncClient, looks: int) -> dict[str, int]:
    """What the server holds when nothing runs: the least of some moments, as threads and tasks end a little later."""
    for number in (1, 0):  # New pools of databases: how many connections they had depends on the load.
        daemon.write(daemon.text(number))
        await owner.call("rpc.reload")
    least: dict[str, int] = {}
    async with asyncio.timeout(LIMIT_S):
        for _ in range(looks):
            now = await owner.call("probe.holds")
            least = {key: min(value, least.get(key, value)) for key, value in now.items()}
            await asyncio.sleep(0.3)
    return least


def run(daemon: Daemon, reloads: int, warm_up: int) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Reload under load. Returns what the server holds after the warm-up and at the end, and what was called."""
    environment = {**os.environ, "RPCSERVER_STATE_DIR": str(daemon.folder / "state")}
    created = subprocess.run(
        [sys.executable, "-m", "rpcserver", "token", "create", "wall", "--role", "viewer", "--config", str(daemon.file)],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    token = created.stdout.split()[-1]

    async def main() -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        ca_file = daemon.folder / "ca.pem"
        counts: dict[str, int] = {}
        async with (
            AsyncClient(f"unix://{daemon.socket}", reconnect=False) as owner,
            AsyncExitStack() as stack,
        ):
            await owner.call("rpc.reload")  # Now the server knows the token.
            client = AsyncClient(daemon.url, token=token, ca_file=ca_file, reconnect=False)
            viewer = await stack.enter_async_context(client)
            seen: list[dict[str, int]] = []
            # The first measurement trims the heap, which grows again after it: so there is one within the warm-up.
            for numbers in (range(1, warm_up // 2), range(warm_up // 2, warm_up), range(warm_up, reloads + 1)):
                load = Load(daemon)
                await load.begin(owner, viewer)
                await reload_often(daemon, owner, numbers, load)
                await load.end()
                for name, count in load.counts.items():
                    counts[name] = counts.get(name, 0) + count
                seen.append(await holds(daemon, owner, 40 if reloads > 100 else 8))
        return seen[1], seen[2], counts

    return asyncio.run(main())


# In the first thousand reloads the allocators of Python and C grow to what they need; objects are hardly added meanwhile.
@pytest.mark.parametrize(
    ("reloads", "warm_up"), [(30, 10), pytest.param(2000, 1000, marks=pytest.mark.soak)], ids=["30", "1000 after 1000"]
)
def test_reloads_under_load(reloads: int, warm_up: int, daemon: Daemon) -> None:
    before, after, counts = run(daemon, reloads, warm_up)
    print(f"{reloads} reloads: {before} -> {after}; calls: {counts}")
    assert min(counts.values()) >= reloads // 2
    for what in ("tasks", "files", "threads"):
        assert after[what] <= before[what], (before, after)
    if reloads > 100:
        assert after["bytes"] - before["bytes"] <= MOST_GROWTH_BYTES, (before, after)
    assert "Traceback" not in daemon.log.read_text()
    daemon.process.terminate()
    assert daemon.process.wait(LIMIT_S) == 0
