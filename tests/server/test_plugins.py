"""Plugins and configuration: what can be wrong, and the message that names the place."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from rpcserver import Service, ServiceConfig, method
from rpcserver.config import ConfigError, PluginsConfig, ServerConfig
from rpcserver.daemon.logs import LineFormatter, set_up
from rpcserver.layers.loading import load_config
from rpcserver.plugins import finding as plugins_module
from rpcserver.plugins.finding import create_services, find_installed, find_services, services_in
from rpcserver.security.tokens import TokenStore, load_token
from rpcserver.server import Server

PLUGIN = '''
"""A plugin."""
from __future__ import annotations
from dataclasses import dataclass
from rpcserver import Service, ServiceConfig, method

@dataclass
class Pair:
    left: int
    right: Pair | None = None

class GreeterConfig(ServiceConfig):
    greeting: str = "Hello"
    times: int = 1

class Base(Service[GreeterConfig]):
    """What both share."""

    def say(self, name: str) -> str:
        return f"{self.config.greeting}, {name}" * self.config.times

class Greeter(Base):
    """Greets."""

    @method()
    async def hello(self, name: str) -> str:
        return self.say(name)

    @method()
    async def pair(self, pair: Pair) -> Pair:
        return Pair(pair.left + 1, pair)
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "greeter.py"
    path.write_text(PLUGIN)
    return path


def test_a_plugin_file_with_postponed_annotations_and_dataclasses(plugin: Path, tools: Any) -> None:
    classes = services_in(plugin)
    assert [cls.__name__ for cls in classes] == ["Greeter"], "what only serves as a base is no service"

    async def main() -> None:
        services = create_services(classes, {"greeter": {"greeting": "Hi", "times": 2}})
        async with tools.serve(*services) as server, tools.connect(server) as connection:
            assert (await tools.call(connection, "greeter.hello", ["Ada"]))["result"] == "Hi, AdaHi, Ada"
            answer = await tools.call(connection, "greeter.pair", [{"left": 1}])
            assert answer["result"] == {"left": 2, "right": {"left": 1, "right": None}}

    tools.run(main())


def test_two_files_of_one_name(plugin: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "greeter.py"
    other.parent.mkdir()
    other.write_text(PLUGIN.replace("Greeter", "Other"))
    (one,), (two,) = services_in(plugin), services_in(other)
    assert one.__module__ != two.__module__
    assert sys.modules[one.__module__].__file__ == str(plugin)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, ["no such file"]),
        ("1 +", ["SyntaxError"]),
        ("import nothing_of_this_name", ["ModuleNotFoundError", "nothing_of_this_name"]),
        ("1 / 0", ["ZeroDivisionError"]),
        ("x = 1", ["no subclass of rpcserver.Service"]),
        ("from rpcserver import Service", ["no subclass of rpcserver.Service"]),
    ],
)
def test_files_that_are_no_plugins(tmp_path: Path, source: str | None, words: list[str]) -> None:
    path = tmp_path / "bad.py"
    if source is not None:
        path.write_text(source)
    before = set(sys.modules)
    with pytest.raises(ConfigError) as caught:
        services_in(path)
    for word in ("plugins.files", str(path), *words):
        assert word in str(caught.value)
    assert source == "x = 1" or "subclass" in words[0] or set(sys.modules) == before


def test_a_file_that_is_no_python(tmp_path: Path) -> None:
    (tmp_path / "plugin.txt").write_text("")
    with pytest.raises(ConfigError, match=r"\.py"):
        services_in(tmp_path / "plugin.txt")


def points(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, str]) -> None:
    monkeypatch.setattr(
        plugins_module, "entry_points", lambda group: [EntryPoint(name, value, group) for name, value in found]
    )


def test_entry_points(monkeypatch: pytest.MonkeyPatch, plugin: Path) -> None:
    assert {"programs", "database", "hardware"} <= set(find_installed())
    points(monkeypatch, ("b", "rpcserver.system:System"), ("a", "rpcserver.system:System"))
    assert list(find_installed()) == ["a", "b"]
    assert len(find_services(PluginsConfig())) == 2
    assert len(find_services(PluginsConfig(enabled=("a",)))) == 1
    assert len(find_services(PluginsConfig(disabled=("a",)))) == 1
    assert [c.__name__ for c in find_services(PluginsConfig(enabled=("a",), files=(str(plugin),)))] == [
        "System",
        "Greeter",
    ]


@pytest.mark.parametrize(
    ("found", "config", "words"),
    [
        ([("a", "nowhere:X")], {}, ["'a'", "nowhere:X", "ModuleNotFoundError"]),
        ([("a", "rpcserver.system:Missing")], {}, ["'a'", "AttributeError"]),
        ([("a", "rpcserver.server:Server")], {}, ["'a'", "not a subclass"]),
        ([("a", "rpcserver.server:STOP_TIMEOUT_S")], {}, ["'a'", "not a subclass"]),
        ([("a", "x:Y"), ("a", "z:W")], {}, ["two installed plugins", "'a'", "x:Y", "z:W"]),
        ([("a", "x:Y")], {"enabled": ["b"]}, ["'b'", "there are: a"]),
        ([], {"disabled": ["b"]}, ["'b'", "none"]),
    ],
)
def test_entry_points_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, found: Any, config: Any, words: list[str]
) -> None:
    points(monkeypatch, *found)
    with pytest.raises(ConfigError) as caught:
        find_services(PluginsConfig.model_validate(config))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"listn": {}}, "listn: there is no such key: did you mean listen?"),
        ({"listen": {"prot": 1}}, "listen.prot: there is no such key: did you mean port?"),
        ({"tls": {"zzz": 1}}, "tls.zzz: there is no such key; there are: certificate_file, key_file, "),
        ({"zzz": 1}, "zzz: there is no such key; there are: state_dir, grace_s, listen, "),
    ],
)
def test_a_key_that_does_not_exist_is_told_from_those_that_do(content: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=content)
    assert said in str(caught.value)


def test_keys_of_tables_in_tables() -> None:
    from rpcservices.database import Database

    with pytest.raises(ConfigError, match=r"databases\.shop\.ulr: there is no such key: did you mean url\?"):
        create_services([Database], {"database": {"databases": {"shop": {"ulr": "x"}}}})


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({"others_": "none"}, "others_: there is no such key: did you mean others?"),
        ({"programs": {"x": {"pth": "/x"}}}, "programs.x.pth: there is no such key: did you mean path?"),
        (
            {"programs": {"x": {"path": "/x", "options": {"-a": {"kind": "flag", "max": 1}}}}},
            "programs.x.options.-a.max: there is no such key: did you mean maximum?",
        ),
    ],
)
def test_keys_of_tables_in_roles(conditions: dict[str, Any], said: str) -> None:
    from rpcservices.programs import Programs

    config = ServerConfig.model_validate({"roles": {"r": {"programs": conditions}}})
    with pytest.raises(ConfigError) as caught:
        Server(config, create_services([Programs], {}), token="t" * 32)
    assert f"roles.r.programs.{said}" in str(caught.value)


class Settings(ServiceConfig):
    size: int = 1


class Sized(Service[Settings]):
    @method()
    async def size(self) -> int:
        return self.config.size


class Broken(Service):
    def __init__(self, config: Any = None) -> None:
        raise OSError("no disk")

    @method()
    async def nothing(self) -> None: ...


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"sized": {"size": "big"}}, ["services.sized.size", "integer"]),
        ({"sized": {"sise": 1}}, ["services.sized.sise", "did you mean size?"]),
        ({"sized": 5}, ["services.sized"]),
        ({"other": {}}, ["services.other", "there are: sized"]),
    ],
)
def test_sections_of_services(sections: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        create_services([Sized], sections)
    for word in words:
        assert word in str(caught.value)
    (made,) = create_services([Sized], {"sized": {"size": 5}})
    assert made.config.size == 5


def test_a_service_that_cannot_be_made() -> None:
    with pytest.raises(ConfigError, match=r"services\.broken.*OSError: no disk"):
        create_services([Broken], {})


# --- the life of services ------------------------------------------------------------------------------------------------


class Recording(Service):
    events: list[str]
    fails: frozenset[str] = frozenset()

    @method()
    async def nothing(self) -> None: ...

    async def start(self) -> None:
        assert stat.S_IMODE(self.runtime.state_dir.stat().st_mode) == 0o700
        self.events.append(f"start {self.name}")
        if "start" in self.fails:
            raise RuntimeError("no start")

    async def stop(self) -> None:
        self.events.append(f"stop {self.name}")
        if "stop" in self.fails:
            raise RuntimeError("no stop")
        if "hang" in self.fails:
            await asyncio.Event().wait()


def recorders(events: list[str], **fails: str) -> list[Service[Any]]:
    made = []
    for name in ("one", "two", "three"):
        cls = type(name, (Recording,), {"name": name, "events": events, "fails": frozenset({fails.get(name, "")})})
        made.append(cls())
    return made


def test_services_start_in_order_and_stop_in_reverse(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    events: list[str] = []

    async def main() -> None:
        async with tools.serve(*recorders(events, two="stop")):
            assert events == ["start one", "start two", "start three"]

    tools.run(main())
    assert events[3:] == ["stop three", "stop two", "stop one"]
    assert "two did not stop cleanly" in caplog.text


def test_an_essential_service_that_cannot_start_stops_those_that_did(tools: Any) -> None:
    events: list[str] = []

    async def main() -> None:
        server = Server(tools.config(plugins={"essential": ["two"]}), recorders(events, two="start"), token=tools.TOKEN)
        with pytest.raises(RuntimeError, match="no start"):
            await server.start()
        assert server.addresses == []

    tools.run(main())
    # They start at the same time, so the third may have begun when the second one fails.
    assert events[:3] == ["start one", "start two", "stop two"]
    others = [event for event in events if "three" not in event]
    assert others == ["start one", "start two", "stop two", "stop one"]
    assert [event for event in events if "three" in event] in ([], ["start three", "stop three"])
    assert events[-1] == "stop one"


def test_a_service_that_hangs_when_stopping_is_left_behind(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    events: list[str] = []

    async def main() -> None:
        server = Server(tools.config(), recorders(events, two="hang"), token=tools.TOKEN)
        await server.start()
        await server.stop(grace_s=0, patience_s=0.05)

    tools.run(main())
    assert events[-1] == "stop one"
    assert "two did not stop cleanly" in caplog.text


def test_services_of_one_name_are_refused(tools: Any) -> None:
    with pytest.raises(TypeError, match="already offers a service 'sized'"):
        Server(tools.config(), [Sized(), Sized()], token=tools.TOKEN)


# --- configuration -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("listen = 5", ["listen"]),
        ("[listen]\nport = 70000", ["listen.port", "65535"]),
        ("[listen]\nport = 'x'", ["listen.port"]),
        ("[listen]\nprot = 1", ["listen.prot", "did you mean port?"]),
        ("nothing = 1", ["nothing", "there are: state_dir"]),
        ("[limits]\nstreams = 0", ["limits.streams"]),
        ("[log]\nlevel = 'LOUD'", ["log.level", "DEBUG"]),
        ("grace_s = -1", ["grace_s"]),
        ("[auth]\ntimeout_s = 0", ["auth.timeout_s"]),
        ("x = ", ["not TOML"]),
        ("x = '\xff'", ["not TOML"]),
    ],
)
def test_configuration_that_cannot_be_used(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "server.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_layers_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "server.toml"
    path.write_text("grace_s = 1\n[listen]\nport = 1\nhost = 'localhost'\n[services.x]\na = 1\n")
    monkeypatch.setenv("RPCSERVER_LISTEN__PORT", "2")
    monkeypatch.setenv("RPCSERVER_LIMITS__STREAMS", "7")
    config = load_config(path, {"listen": {"port": 3}})
    assert (config.listen.port, config.listen.host, config.grace_s, config.limits.streams) == (3, "localhost", 1, 7)
    assert load_config(path).listen.port == 2
    assert config.services == {"x": {"a": 1}}
    monkeypatch.setenv("RPCSERVER_LIMITS", "no JSON")
    with pytest.raises(ConfigError, match=r"environment variable RPCSERVER_LIMITS: this is no JSON"):
        load_config(path)
    with pytest.raises(ConfigError, match=r"gone\.toml"):
        load_config(tmp_path / "gone.toml")


def test_settings_of_services_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "server.toml"
    path.write_text("[services.x]\na = 1\nb = 'kept'\ntext = '[1]'\n[services.x.tables.one]\nurl = 'u'\n")
    monkeypatch.setenv("RPCSERVER_SERVICES__X__A", "2")
    monkeypatch.setenv("RPCSERVER_SERVICES__X__PATHS", '["/dev/pts/*"]')
    monkeypatch.setenv("RPCSERVER_SERVICES__X__TABLES__TWO", ' {"roles": [{"who": "owner"}]}')
    monkeypatch.setenv("RPCSERVER_SERVICES__X__PATTERN", "[a-z]+")
    tables = {"one": {"url": "u"}, "two": {"roles": [{"who": "owner"}]}}
    expected = {"a": "2", "b": "kept", "text": "[1]", "paths": ["/dev/pts/*"], "tables": tables, "pattern": "[a-z]+"}
    assert load_config(path).services == {"x": expected}


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert load_config().token_path == tmp_path / "remote-services" / "token"
    own = load_config(None, {"state_dir": str(tmp_path / "own")})
    assert own.token_path == tmp_path / "own" / "token"
    assert own.unix_path is not None
    named = load_config(None, {"auth": {"token_file": "/x/y"}, "listen": {"unix": "none"}})
    assert str(named.token_path) == "/x/y"
    assert named.unix_path is None
    assert load_config(None, {"listen": {"unix": "/a/b"}}).unix_path == Path("/a/b")


# --- tokens --------------------------------------------------------------------------------------------------------------


def test_a_token_is_made_once_with_mode_0600(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "token"
    token = load_token(path)
    assert len(token) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_token(path) == token


def test_tokens_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("a-token-of-good-length\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_token(path)
    path.chmod(0o600)
    assert load_token(path) == "a-token-of-good-length"
    for short in ("", "short", "\n" + "x" * 50):
        path.write_text(short)
        with pytest.raises(ConfigError, match="shorter than 16"):
            load_token(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_token(tmp_path)
    with pytest.raises(ConfigError, match=r"cannot be (written|read)"):
        load_token(path / "below")
    (tmp_path / "dangling").symlink_to(tmp_path / "no" / "such")
    with pytest.raises((ConfigError, FileNotFoundError)):
        load_token(tmp_path / "dangling")


def test_a_server_that_was_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    real = os.open

    def taken(name: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if flags & os.O_EXCL and Path(name) == path:
            path.touch(0o600)
            path.write_text("the-token-of-the-other")
        return real(name, flags, mode, **more)

    monkeypatch.setattr(os, "open", taken)
    assert load_token(path) == "the-token-of-the-other"


def test_token_store() -> None:
    store = TokenStore("right")
    principal = store.principal("right")
    assert principal is not None
    assert principal.name == "owner"
    for wrong in ("", "Right", "right ", "wröng", "\udcff", "\ud800"):
        assert store.principal(wrong) is None


# --- logs ----------------------------------------------------------------------------------------------------------------


def test_nothing_forges_a_line() -> None:
    formatter = LineFormatter()
    record = logging.LogRecord("rpcserver", logging.INFO, "x", 1, "%s", ("a\r\nFAKE\x1b[31m\x00\x9b\x7fé",), None)
    text = formatter.format(record)
    assert text.count("\n") == 1
    assert "\n    FAKE" in text
    for escaped in ("\\x0d", "\\x1b", "\\x00", "\\x9b", "\\x7f"):
        assert escaped in text
    assert "é" in text
    assert text.partition(" ")[0].endswith("Z")


def test_tracebacks_are_indented() -> None:
    try:
        raise ValueError("x\ny")
    except ValueError:
        record = logging.LogRecord("rpcserver", logging.ERROR, "x", 1, "failed", (), sys.exc_info())
    first, *rest = LineFormatter().format(record).splitlines()
    assert "ERROR rpcserver: failed" in first
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        set_up("DEBUG")
        logging.getLogger("rpcserver.x").debug("seen")
        logging.getLogger("other").info("not seen")
        logging.getLogger("rpcwire.websocket").info("not seen")
    finally:
        for handler in root.handlers[:]:
            root.removeHandler(handler)
        for handler in before:
            root.addHandler(handler)
        root.setLevel(level)
        for name in ("rpcserver", "rpcwire"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    err = capsys.readouterr().err
    assert err.endswith("DEBUG rpcserver.x: seen\n")
    assert err.count("\n") == 1
