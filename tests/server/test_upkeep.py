"""Services that fail: the server goes on without them, says why, and starts them again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rpcserver import Health, Page, Service, ServiceConfig, ServiceConfigError, method
from rpcserver.config import ConfigError, PluginsConfig
from rpcserver.plugins.finding import BrokenPlugin, find_services, names_in
from rpcserver.plugins.pauses import pause_s
from rpcserver.plugins.upkeep import reason_of
from rpcserver.reload.report import ReloadFailed
from rpcserver.security.token_file import TokenFile
from rpcserver.server import Server
from rpcwire.errors import Unavailable
from rpcwire.outcomes import Outcome
from rpcwire.service import ServiceRuntime
from tests.server.reloading import Operator

QUICK = {"restart": {"first_s": 0.01, "most_s": 0.02}}
PATIENT = {"restart": {"first_s": 3600.0, "most_s": 3600.0}}


class FragileConfig(ServiceConfig):
    limit: int = 3


class Fragile(Service[FragileConfig]):
    """Fails as told."""

    permissions: ClassVar[Mapping[str, str]] = {"fragile.look": "look"}
    failures_to_come: ClassVar[list[BaseException]] = []
    events: ClassVar[list[str]] = []
    started: ClassVar[asyncio.Event]

    def __init__(self, config: FragileConfig | None = None) -> None:
        super().__init__(config)
        self.calls = 0
        self.is_well = True

    async def start(self) -> None:
        self.events.append("start")
        self.runtime.observe(self.note)
        if self.failures_to_come:
            raise self.failures_to_come.pop(0)
        self.work = asyncio.get_running_loop().create_task(self.run())
        self.runtime.rely_on(self.work)
        self.broken = asyncio.Event()

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self.events.append("stop")

    def note(self, outcome: Outcome) -> None:
        self.events.append(f"saw {outcome.method}")

    async def reconsider_caller(self, name: str, principal: object, before: float) -> None:
        self.events.append(f"hears of {name}")

    async def health(self) -> Health:
        return Health(ok=self.is_well, reason="" if self.is_well else "it is sad")

    def http_pages(self) -> Mapping[str, Page]:
        async def render() -> str:
            return f"{self.calls} calls"

        return {"/fragile": Page(render, permission=None)}

    @method(permission="fragile.look")
    async def count(self, step: int = 1) -> int:
        """Count calls."""
        self.calls += step
        return self.calls

    @method()
    async def numbers(self) -> AsyncIterator[int]:
        """Give numbers."""
        yield 1

    @method()
    async def give_up(self, how: str) -> str:
        """Fail."""
        if how == "task":

            async def work() -> None:
                raise OSError(2, "No such thing", "/secret/path")

            self.runtime.rely_on(asyncio.get_running_loop().create_task(work()))
        elif how == "thread":
            thread = threading.Thread(target=self.runtime.fail, args=("the device is gone",))
            thread.start()
            thread.join()
        elif how == "unwell":
            self.is_well = False
        return how


class Steady(Service):
    """Never fails."""

    @method()
    async def ask(self) -> str:
        """Answer."""
        return "here"


@pytest.fixture(autouse=True)
def nothing_has_happened() -> None:
    Fragile.failures_to_come.clear()
    Fragile.events.clear()


async def running_again(server: Server, name: str, failures: int = 1) -> None:
    """Wait until a service runs and has failed so often."""
    async with asyncio.timeout(10):
        while True:
            state = next(state for state in server.upkeep.states if state.name == name)
            if state.phase == "running" and state.failures >= failures and state.reason == "":
                return
            await asyncio.sleep(0.005)


async def until(server: Server, name: str, phase: str) -> None:
    async with asyncio.timeout(10):
        while next(state for state in server.upkeep.states if state.name == name).phase != phase:
            await asyncio.sleep(0.005)


async def page(tools: Any, server: Server, path: str) -> tuple[int, str]:
    status, _, body = await tools.http(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return status, body.decode()


def test_one_that_cannot_start_leaves_the_others_alone(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        Fragile.failures_to_come.append(PermissionError(13, "Permission denied", "/secret/path"))
        async with tools.serve(Fragile(), Steady(), plugins=PATIENT) as server, tools.connect(server) as connection:
            assert (await tools.call(connection, "steady.ask"))["result"] == "here"
            for name in ("fragile.count", "fragile.numbers"):
                error = (await tools.call(connection, name))["error"]
                assert error["message"].startswith(
                    "the service fragile is not running: PermissionError: Permission denied"
                )
                assert error["data"]["type"] == "Unavailable" and error["data"]["executed"] == "no"
                assert error["data"]["retryable"] is True
                assert 2_000_000 < error["data"]["retry_after_ms"] < 5_000_000
                assert "secret" not in str(error)
            # It is described all the same.
            document = (await tools.call(connection, "rpc.discover"))["result"]
            assert "fragile.count" in [each["name"] for each in document["methods"]]
            assert "fragile" in str((await tools.call(connection, "rpc.services"))["result"])
            fragile, steady = (await tools.call(connection, "rpc.status"))["result"]["services"]
            assert (fragile["phase"], fragile["failures"], fragile["essential"]) == ("down", 1, False)
            assert fragile["reason"] == "PermissionError: Permission denied" and 2000 < fragile["next_start_s"] < 5000
            assert (steady["phase"], steady["reason"], steady["next_start_s"]) == ("running", "", None)
            status, body = await page(tools, server, "/readyz")
            assert status == 503
            reason = "not running: PermissionError: Permission denied"
            assert json.loads(body)["services"] == {
                "fragile": {"ok": False, "reason": reason},
                "steady": {"ok": True, "reason": ""},
            }
            status, body = await page(tools, server, "/fragile")
            assert status == 503 and "not running" in body
        assert Fragile.events == ["start", "stop"]

    tools.run(main())
    assert "the service fragile is down: PermissionError: Permission denied; it is started again in" in caplog.text
    assert "/secret/path" in caplog.text  # The operator sees all of it.


def test_it_is_started_again_by_a_new_object(tools: Any) -> None:
    async def main() -> None:
        Fragile.failures_to_come += [RuntimeError("one"), RuntimeError("two")]
        first = Fragile(FragileConfig(limit=7))
        async with tools.serve(first, Steady(), plugins=QUICK) as server, tools.connect(server) as connection:
            await running_again(server, "fragile", 2)
            (second,) = [service for service in server.services if service.name == "fragile"]
            assert second is not first and second.config.limit == 7
            assert (await tools.call(connection, "fragile.count"))["result"] == 1
            assert second.calls == 1 and first.calls == 0
            assert await page(tools, server, "/fragile") == (200, "1 calls")
            assert (await page(tools, server, "/readyz"))[0] == 200
            assert Fragile.events.count("saw fragile.count") == 1, "observers of earlier starts are gone"
        assert Fragile.events.count("start") == 3 and Fragile.events.count("stop") == 3

    tools.run(main())


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("task", "a task of it has ended: FileNotFoundError: No such thing"),
        ("thread", "the device is gone"),
        ("unwell", "it was unwell for 0.02 s: it is sad"),
    ],
)
def test_one_that_fails_later(
    tools: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, how: str, reason: str
) -> None:
    monkeypatch.setattr(Fragile, "restart_unwell_s", 0.02)

    async def main() -> None:
        async with tools.serve(Fragile(), plugins=QUICK) as server, tools.connect(server) as connection:
            assert (await tools.call(connection, "fragile.count", {"step": 5}))["result"] == 5
            (first,) = server.services
            assert (await tools.call(connection, "fragile.give_up", {"how": how}))["result"] == how
            await running_again(server, "fragile")
            assert first.work.cancelled(), "the server ends what a failed service leaves"
            async with asyncio.timeout(10):  # Calls are let in a moment after the start.
                while "result" not in (answer := await tools.call(connection, "fragile.count")):
                    assert answer["error"]["data"]["type"] == "Unavailable"
            assert answer["result"] == 1, "it has begun afresh"
            (state,) = server.upkeep.states
            assert (state.phase, state.reason, state.failures) == ("running", "", 1)

    tools.run(main())
    assert f"the service fragile is down: {reason}; it is started again in" in caplog.text


def test_while_it_is_down_nobody_gets_past_the_roles(tools: Any) -> None:
    roles = {"some": {"principals": ["*"], "permissions": ["steady.*"]}, "owner": {"permissions": ["steady.*"]}}

    async def main() -> None:
        Fragile.failures_to_come.append(RuntimeError("x"))
        async with (
            tools.serve(Fragile(), Steady(), plugins=PATIENT, roles=roles) as server,
            tools.connect(server) as connection,
        ):
            error = (await tools.call(connection, "fragile.count"))["error"]
            assert error["data"]["type"] == "PermissionDenied"
            assert (await tools.call(connection, "steady.ask"))["result"] == "here"

    tools.run(main())


def test_an_essential_service_stops_the_start(tools: Any) -> None:
    async def main() -> None:
        Fragile.failures_to_come.append(RuntimeError("no start"))
        plugins = {**QUICK, "essential": ["fragile"]}
        server = Server(tools.config(plugins=plugins), [Steady(), Fragile()], token=tools.TOKEN)
        with pytest.raises(RuntimeError, match="no start"):
            await server.start()

    tools.run(main())


def test_only_essential_services_count_for_readyz_if_some_are_named(tools: Any) -> None:
    async def main() -> None:
        Fragile.failures_to_come.append(RuntimeError("no start"))
        plugins = {**PATIENT, "essential": ["steady"]}
        async with tools.serve(Fragile(), Steady(), plugins=plugins) as server:
            status, body = await page(tools, server, "/readyz")
            assert status == 200 and json.loads(body)["services"]["fragile"]["ok"] is False
        plugins = {**PATIENT, "essential": ["fragile"]}
        async with tools.serve(Fragile(), Steady(), plugins=plugins) as server, tools.connect(server) as connection:
            assert (await page(tools, server, "/readyz"))[0] == 200
            await tools.call(connection, "fragile.give_up", {"how": "thread"})
            await until(server, "fragile", "down")
            assert (await page(tools, server, "/readyz"))[0] == 503

    tools.run(main())


def test_an_essential_service_that_is_not_there(tools: Any) -> None:
    with pytest.raises(ConfigError, match=r"plugins\.essential: no service 'fragil' is offered; there are: fragile"):
        Server(tools.config(plugins={"essential": ["fragil"]}), [Fragile()], token=tools.TOKEN)


def test_a_fault_in_its_settings_stops_the_start(tools: Any) -> None:
    async def main() -> None:
        Fragile.failures_to_come.append(ServiceConfigError("limit: is too low"))
        server = Server(tools.config(plugins=QUICK), [Fragile()], token=tools.TOKEN)
        with pytest.raises(ConfigError, match=r"services\.fragile\.limit: is too low"):
            await server.start()

    tools.run(main())


class Endless(Service):
    """Never starts."""

    @method()
    async def ask(self) -> str:
        """Answer."""
        return ""

    async def start(self) -> None:
        await asyncio.Event().wait()


def test_one_that_never_ends_starting(tools: Any) -> None:
    plugins = {"restart": {"first_s": 3600.0, "most_s": 3600.0, "start_s": 0.01}}

    async def main() -> None:
        async with tools.serve(Endless(), plugins=plugins) as server, tools.connect(server) as connection:
            error = (await tools.call(connection, "endless.ask"))["error"]
            assert "not running: it did not start within 0.01 s" in error["message"]

    tools.run(main())


def test_a_server_stops_while_a_service_is_down_and_starts(tools: Any) -> None:
    async def main() -> None:
        Fragile.failures_to_come.append(RuntimeError("x"))
        async with tools.serve(Fragile(), Endless(), plugins={"restart": {"first_s": 0.01, "start_s": 0.02}}) as server:
            await until(server, "endless", "down")
            await until(server, "endless", "starting")
        assert {state.phase for state in server.upkeep.states} <= {"stopped", "down", "starting"}

    tools.run(main())


def test_what_it_is_told_when_it_runs_again(tools: Any, tmp_path: Path) -> None:
    """Who has which role, as at the start of the server: it may have forgotten."""

    async def main() -> None:
        Fragile.failures_to_come.append(RuntimeError("x"))
        TokenFile(tmp_path).update(lambda tokens: tokens.create("ada", "owner", now=time.time())[0])
        config = tools.config(plugins=QUICK)
        server = Server(config, [Fragile()], token=tools.TOKEN)
        await server.start()
        try:
            await running_again(server, "fragile")
            async with asyncio.timeout(10):
                while "hears of ada" not in Fragile.events:
                    await asyncio.sleep(0.005)
        finally:
            await server.stop()

    tools.run(main())


# --- code that cannot be imported -----------------------------------------------------------------------------------------

PLUGIN = """
import a_module_that_is_missing
from rpcserver import Page, Service, ServiceConfig, method

class LateConfig(ServiceConfig):
    word: str = "late"

class Late(Service[LateConfig]):
    "Comes late."

    @method()
    async def say(self) -> str:
        "Say it."
        return self.config.word

    def http_pages(self):
        return {"/late": Page(self.say, permission=None)}
"""


STEADY = """
from rpcserver import Service, method

class Steady(Service):
    "Never fails."

    @method()
    async def ask(self) -> str:
        "Answer."
        return "here"
"""


def test_code_that_cannot_be_imported(
    tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "late.py").write_text(PLUGIN)
    (tmp_path / "libs").mkdir(mode=0o700)
    monkeypatch.syspath_prepend(str(tmp_path / "libs"))
    plugins = {"files": [str(tmp_path / "late.py")]}
    with pytest.raises(ConfigError, match="a_module_that_is_missing"):
        find_services(PluginsConfig(files=(str(tmp_path / "late.py"),)))
    roles = {
        "some": {"principals": ["*"], "permissions": ["late.say"]},
        "owner": {"permissions": ["late.*", "steady.*"]},
    }

    async def main() -> None:
        broken: list[BrokenPlugin] = []
        sections = {"late": {"word": "there"}}
        settings = tools.config(plugins={**plugins, **QUICK}, roles=roles)
        classes = find_services(
            settings.plugins.model_copy(update={"disabled": tuple(point for point in _installed())}), sections, broken
        )
        assert classes == [] and [plugin.name for plugin in broken] == ["late"]
        server = Server(settings, [Steady()], token=tools.TOKEN, broken_plugins=broken)
        await server.start()
        try:
            async with tools.connect(server) as connection:
                error = (await tools.call(connection, "late.say"))["error"]
                assert error["data"]["type"] == "Unavailable" and error["data"]["retryable"] is True
                assert "the Python module a_module_that_is_missing cannot be imported" in error["message"]
                assert (await tools.call(connection, "later.say"))["error"]["data"]["type"] == "MethodNotFound"
                assert (await tools.call(connection, "steady.ask"))["result"] == "here"
                (tmp_path / "libs" / "a_module_that_is_missing.py").write_text("")
                await running_again(server, "late")
                async with asyncio.timeout(10):
                    while "result" not in (answer := await tools.call(connection, "late.say")):
                        assert answer["error"]["data"]["type"] == "Unavailable"
                assert answer["result"] == "there", "its section of the configuration is read now"
                assert await page(tools, server, "/late") == (200, "there")
                (life,) = [life for life in server.upkeep if life.name == "late"]
                assert life.lifeline is not None
                life.lifeline.fail("for the test")
                await running_again(server, "late", 2)  # From now on it is started as any other service.
                async with asyncio.timeout(10):
                    while await page(tools, server, "/late") != (200, "there"):
                        await asyncio.sleep(0.005)  # It runs a moment before it is offered.
                document = (await tools.call(connection, "rpc.discover"))["result"]
                assert "late.say" in [each["name"] for each in document["methods"]]
                assert server.roles["owner"].permissions >= {"late.say", "steady.ask"}
        finally:
            await server.stop()

    tools.run(main())
    del sys.modules["a_module_that_is_missing"]
    assert "Traceback" in caplog.text


def _installed() -> list[str]:
    from rpcserver.plugins.finding import find_installed

    return list(find_installed())


def test_what_a_file_that_cannot_be_imported_is_called(tmp_path: Path) -> None:
    file = tmp_path / "things.py"
    for text, names in {
        PLUGIN: ["late"],
        "class A(Service):\n    name = 'other'": ["other"],
        "class A(rpcserver.Service[Any]):\n    name: ClassVar[str] = 'x'": ["x"],
        "class TwoWords(Service): ...\nclass B(Service): ...": ["two_words", "b"],
        "class (": ["things"],
        "import x": ["things"],
    }.items():
        file.write_text(text)
        assert names_in(file) == names


# --- reloads ----------------------------------------------------------------------------------------------------------


def test_a_reload_while_a_service_is_down(tools: Any) -> None:
    """It starts with all of the new settings, also of roles, and learns who everybody is. New pauses hold at once."""
    operator = Operator(tools)
    patient = "[plugins.restart]\nfirst_s = 3600\nmost_s = 3600\n"
    unix = '[roles.looker]\nprincipals = ["memory"]\npermissions = ["fragile.look"]\n'

    async def main() -> None:
        Fragile.failures_to_come.append(RuntimeError())
        operator.write(patient)
        async with operator.serve(Fragile, Steady) as server, tools.connect(server) as connection:
            await until(server, "fragile", "down")
            assert (await tools.call(connection, "fragile.count"))["error"]["data"]["type"] == "Unavailable"
            assert (await page(tools, server, "/readyz"))[0] == 503
            report = await operator.reload(
                f'[plugins]\nessential = ["steady"]\n{patient}[services.fragile]\nlimit = 9\n{unix}'
            )
            effects = {change.key: change.effect for change in report.changes}
            assert effects == {"plugins.essential": "at once", "services.fragile.limit": "at once",
                               "roles.looker": "at once"}  # fmt: skip
            assert (await page(tools, server, "/readyz"))[0] == 200, "only the essential one counts"
            assert [state.is_essential for state in server.upkeep.states] == [False, True]
            assert (await tools.call(connection, "steady.ask"))["result"] == "here"
            with pytest.raises(ReloadFailed, match=r"toml:9: plugins\.essential: no service 'nobody' is offered"):
                await operator.reload(f'[plugins]\nessential = ["nobody"]\n{patient}{unix}')
            assert server.upkeep.states[0].next_start_s > 1000  # type: ignore[operator]
            await operator.reload(
                f"[plugins.restart]\nfirst_s = 0.01\nmost_s = 0.02\n[services.fragile]\nlimit = 9\n{unix}"
            )
            await running_again(server, "fragile")
            fragile = server.services[0]
            assert fragile.config == FragileConfig(limit=9)
            assert {role.name for role in fragile.runtime.roles} == {"looker", "owner"}
            assert (await tools.call(connection, "fragile.count"))["result"] == 1

    tools.run(main())


class Late(Steady):
    """Starts when it is told to."""

    is_begun: ClassVar[asyncio.Event]

    async def start(self) -> None:
        self.is_begun.set()
        await asyncio.Event().wait()


def test_a_start_that_is_under_way_has_the_new_time(tools: Any) -> None:
    async def main() -> None:
        Late.is_begun = asyncio.Event()
        server = Server(
            tools.config(plugins={"restart": {"start_s": 3600.0, "first_s": 3600.0}}), [Late()], token="t" * 32
        )
        start = asyncio.ensure_future(server.start())
        await Late.is_begun.wait()
        server.upkeep.change(PluginsConfig.model_validate({"restart": {"start_s": 0.01, "first_s": 3600.0}}))
        await asyncio.wait_for(start, tools.SECONDS)
        assert server.upkeep.states[0].reason == "it did not start within 0.01 s"
        await server.stop(grace_s=0)

    tools.run(main())


def test_pauses_grow_and_end() -> None:
    assert [pause_s(n, 1.0, 10.0, 0.5) for n in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 8, 10, 10]
    assert pause_s(1, 1.0, 10.0, 0.0) == 0.75 and pause_s(9, 1.0, 10.0, 1.0) == 12.5


def test_reasons_tell_no_path_and_no_secret() -> None:
    assert reason_of(OSError(13, "Permission denied", "/secret")) == "PermissionError: Permission denied"
    assert reason_of(ValueError("secret")) == "ValueError"
    assert reason_of(ImportError("cannot import name 'a' from 'b' (/secret/b.py)", name="b")) == (
        "the Python module b cannot be imported"
    )
    assert reason_of(Unavailable("the disk is full")) == "the disk is full"
    assert reason_of(ConfigError("url: postgresql://ada:secret@db")) == "its configuration cannot be used"


def test_a_service_without_a_server_may_report_failures(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    runtime = ServiceRuntime(tmp_path)
    runtime.fail("no reason")
    assert "a service has failed: no reason" in caplog.text


# --- the built-in services -------------------------------------------------------------------------------------------------


def test_the_built_in_services_can_be_started_again(tools: Any) -> None:
    from rpcserver.plugins.finding import create_services

    async def main() -> None:
        services = create_services(find_services(PluginsConfig()), {})
        async with tools.serve(*services, plugins=QUICK) as server, tools.connect(server) as connection:
            for life in server.upkeep:
                assert life.lifeline is not None
                life.lifeline.fail("for the test")
                await running_again(server, life.name)
            calls: dict[str, dict[str, Any]] = {
                "programs.run": {"argv": ["echo", "hi"]},
                "database.query": {"database": "main", "sql": "SELECT 1"},
                "hardware.cpu": {},
            }
            for name, params in calls.items():
                answer = await tools.call(connection, name, params)
                while answer.get("error", {}).get("data", {}).get("type") == "Unavailable":
                    answer = await tools.call(connection, name, params)
                assert "result" in answer, answer

    tools.run(main())


def test_a_bad_folder_of_a_database_does_not_stop_the_server(tools: Any, tmp_path: Path) -> None:
    from rpcserver.plugins.finding import create_services

    async def main() -> None:
        (tmp_path / "services" / "database").mkdir(parents=True)
        (tmp_path / "services" / "database" / "main.sqlite3").mkdir()
        services = create_services([cls for cls in find_services(PluginsConfig()) if cls.name == "database"], {})
        async with (
            tools.serve(*services, Steady(), plugins=QUICK, state_dir=str(tmp_path)) as server,
            tools.connect(server) as connection,
        ):
            error = (await tools.call(connection, "database.query", {"database": "main", "sql": "SELECT 1"}))["error"]
            assert error["data"]["type"] == "Unavailable" and "databases.main" in error["message"]
            assert str(tmp_path) not in str(error)
            (tmp_path / "services" / "database" / "main.sqlite3").rmdir()
            await running_again(server, "database")

    tools.run(main())


def test_a_daemon_with_a_plugin_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(PLUGIN)
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{short}/notify")
        manager.settimeout(60)
        environment = {
            **os.environ,
            "RPCSERVER_STATE_DIR": str(tmp_path / "state"),
            "XDG_RUNTIME_DIR": str(tmp_path),
            "NOTIFY_SOCKET": f"{short}/notify",
            "RPCSERVER_PLUGINS__DISABLED": json.dumps(_installed()),
        }
        file = str(tmp_path / "late.py")
        steady = tmp_path / "steady.py"
        steady.write_text(STEADY)
        command = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none", "--plugin", file]
        with subprocess.Popen(
            [*command, "--plugin", str(steady)], env=environment, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.PIPE,
        ) as daemon:  # fmt: skip
            assert daemon.stdout is not None
            assert daemon.stderr is not None
            assert "listening on" in daemon.stdout.readline()
            status = ""
            while not status.startswith("STATUS="):
                status = manager.recv(4096).decode()
            daemon.send_signal(signal.SIGTERM)
            errors = daemon.stderr.read()
    assert daemon.returncode == 0
    reason = "the Python module a_module_that_is_missing cannot be imported"
    assert f"the service late is down: {reason}" in errors
    assert f"unwell: late (not running: {reason})" in status
    del environment["NOTIFY_SOCKET"]
    environment["RPCSERVER_PLUGINS__ESSENTIAL"] = '["late"]'
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "a_module_that_is_missing" in done.stderr
