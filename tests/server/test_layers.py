"""The layers of the configuration: which files are read, what wins, and how messages name where a value comes from."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import stat
import tomllib
from pathlib import Path

import jsonschema
import pytest
import tomlkit
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rpcserver.config import ConfigError
from rpcserver.daemon.cli import main
from rpcserver.layers.layer import Layer, merge, origin_of
from rpcserver.layers.lines import find_lines, line_of
from rpcserver.layers.loading import load
from rpcserver.plugins.toml import write_key


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)
    return file


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of its own: a folder for /etc/rpcserver, and a home."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path / "etc"))
    return tmp_path


# --- lines ------------------------------------------------------------------------------------------------------------

DOCUMENT = '''\
# A comment with [brackets] and key = "value"
state_dir = "/x"   # 2

[listen]
port = 9000
also = [
  "a", # a comment with ] in it
  "b ] c",
]
text = """
[not.a.table]
key = 1 \\""" still
"""""
"quoted key" = 'literal [ \\'
a . b."c.d" = { x = 1, y = [1, 2] }

[roles."night shift".limits]
streams = 3
[[many]]
one = 1
[[many]]
one = 2
[many.inner]
x = 1
[[many.list]]
y = 1
'''


def test_every_key_has_its_line() -> None:
    lines = find_lines(DOCUMENT)
    expected = {
        ("state_dir",): 2, ("listen",): 4, ("listen", "port"): 5, ("listen", "also"): 6, ("listen", "text"): 10,
        ("listen", "quoted key"): 14, ("listen", "a"): 15, ("listen", "a", "b"): 15, ("listen", "a", "b", "c.d"): 15,
        ("roles", "night shift", "limits"): 17, ("roles", "night shift", "limits", "streams"): 18,
        ("many", 0): 19, ("many", 0, "one"): 20, ("many", 1): 21, ("many", 1, "one"): 22, ("many", 1, "inner"): 23,
        ("many", 1, "inner", "x"): 24, ("many", 1, "list", 0): 25, ("many", 1, "list", 0, "y"): 26,
    }  # fmt: skip
    assert lines == expected
    assert line_of(lines, ("listen", "a", "b", "c.d", "y", 1)) == 15
    assert line_of(lines, ("elsewhere",)) is None


KEYS = st.text(st.sampled_from("ab-_ .\"'#[]=é\\"), min_size=1, max_size=4)
VALUES = st.one_of(
    st.integers(-9, 9), st.booleans(), st.text(st.sampled_from("ab[]{}#='\"\\\n\t é"), max_size=12),
    st.lists(st.one_of(st.integers(0, 9), st.text(st.sampled_from("a]#,\"'\n"), max_size=5)), max_size=3),
)  # fmt: skip
TABLES = st.recursive(
    st.dictionaries(KEYS, VALUES, min_size=1, max_size=3),
    lambda inner: st.dictionaries(KEYS, st.one_of(VALUES, inner), min_size=1, max_size=3),
    max_leaves=12,
)


def _leaves(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(value, dict) and path:
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*path, key))]
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, (key,))]
    return [path]


@given(TABLES)
def test_lines_of_any_document(content: dict[str, object]) -> None:
    """The line of each key of a document written by tomlkit begins with this key."""
    text = tomlkit.dumps(content)
    rows = text.split("\n")
    lines = find_lines(text)
    for path in _leaves(tomllib.loads(text)):
        line = lines[path]
        key = tomlkit.key(path[-1]).as_string() if path[-1] else '""'
        assert rows[line - 1].lstrip().startswith((key, write_key(path[-1]))), (path, line)


# --- what wins --------------------------------------------------------------------------------------------------------


def test_later_layers_win_key_by_key_and_lists_whole() -> None:
    first = Layer({"a": {"x": 1, "y": [1, 2]}, "b": {"c": {"d": 1}}, "e": {}}, lambda _: "first")
    second = Layer({"a": {"y": [3]}, "b": 5, "e": {"f": 1}}, lambda _: "second")
    content, origins = merge([first, second])
    assert content == {"a": {"x": 1, "y": [3]}, "b": 5, "e": {"f": 1}}
    assert origins == {("a", "x"): "first", ("a", "y"): "second", ("b",): "second", ("e", "f"): "second"}
    assert origin_of(origins, ("a", "y", 0)) == "second"
    assert origin_of(origins, ("a",)) == "first", "of the first key within"
    assert origin_of(origins, ("z",)) is None


def test_files_in_their_order(machine, monkeypatch) -> None:
    write(machine / "etc" / "rpcserver.toml", "grace_s = 1\n[listen]\nport = 1\nunix = '/1'\nhost = '127.0.0.1'\n")
    write(machine / "etc" / "conf.d" / "20-b.toml", "[listen]\nport = 3\n")
    write(machine / "etc" / "conf.d" / "10-a.toml", "[listen]\nport = 2\nunix = '/2'\n")
    write(machine / "etc" / "conf.d" / ".hidden.toml", "[listen]\nport = 99\n")
    write(machine / "etc" / "conf.d" / "30-c.toml.dpkg-old", "[listen]\nport = 99\n")
    write(machine / "home" / "rpcserver" / "rpcserver.toml", "[log]\nlevel = 'DEBUG'\n")
    monkeypatch.setenv("RPCSERVER_LOG__LEVEL", "ERROR")
    loaded = load(overrides={"grace_s": 7})
    config = loaded.config
    assert (config.listen.port, config.listen.unix, config.log.level, config.grace_s) == (3, "/2", "ERROR", 7)
    assert [file.name for file in loaded.files] == ["rpcserver.toml", "10-a.toml", "20-b.toml", "rpcserver.toml"]
    origins = {".".join(map(str, path)): origin for path, origin in loaded.origins.items()}
    assert origins == {
        "grace_s": "command line",
        "listen.port": f"{machine}/etc/conf.d/20-b.toml:2",
        "listen.unix": f"{machine}/etc/conf.d/10-a.toml:3",
        "listen.host": f"{machine}/etc/rpcserver.toml:5",
        "log.level": "environment variable RPCSERVER_LOG__LEVEL",
    }
    own = write(machine / "own.toml", "[listen]\nport = 5\n")
    assert load(own).config.listen.port == 5 and load(own).config.grace_s == 10, "a named file takes their place"


def test_no_files_at_all(machine) -> None:
    assert load().files == [] and load().origins == {}


def test_a_file_that_may_not_be_read_is_not_passed_over(machine) -> None:
    file = machine / "etc" / "rpcserver.toml"
    file.parent.mkdir()
    file.symlink_to(file)  # A loop: root could read what is merely forbidden.
    with pytest.raises(ConfigError, match="--config"):
        load()
    file.unlink()
    (machine / "etc" / "conf.d").symlink_to(machine / "etc" / "conf.d")
    with pytest.raises(ConfigError, match="--config"):
        load()


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[listen]\n\nprot = 3\n", ":3: listen.prot: there is no such key: did you mean port?"),
        ("[lisen]\nport = 3\n", ":2: lisen: there is no such key: did you mean listen?"),
        ("[listen]\nport = 'x'\n", ":2: listen.port: "),
        ("[listen]\nallowed_hosts = [\n 'a',\n 3]\n", ":2: listen.allowed_hosts.1: "),
        ("\n[roles.a]\npermisions = []\n", ":3: roles.a.permisions: "),
        (
            "[services.database]\ndatabses = 3\n",
            ":2: services.database.databses: there is no such key: did you mean databases?",
        ),
        ("[services.datbase]\nx = 3\n", ":2: services.datbase: no such service is loaded"),
        ("[roles.a]\n[roles.a.database]\nmy = ['x']\n", ":3: roles.a.database.my: "),
        ("[auth.certificates.x]\ncommon_name='x'\n", ":2: auth.certificates: set tls.client_ca_file"),
        ("[listen]\nhost = '0.0.0.0'\n", ":2: listen.host: "),
    ],
)
def test_a_message_names_the_file_and_the_line(tmp_path, text, message) -> None:
    file = write(tmp_path / "rpcserver.toml", text)
    done = CliRunner().invoke(main, ["config", "check", "--config", str(file)])
    assert done.exit_code == 2 and f"{file}{message}" in done.stderr, done.stderr


@pytest.mark.parametrize(
    "text", ["grace_s = inf", "[auth]\ntimeout_s = inf", "[limits]\nstall_s = nan", "[plugins.restart]\nfirst_s = inf"]
)
def test_every_limit_is_finite(tmp_path, text) -> None:
    with pytest.raises(ConfigError, match="finite number"):
        load(write(tmp_path / "x.toml", text))


def test_a_message_names_the_variable(monkeypatch, machine) -> None:
    monkeypatch.setenv("RPCSERVER_LISTEN__PORT", "x")
    with pytest.raises(ConfigError, match=r"^environment variable RPCSERVER_LISTEN__PORT: listen\.port: "):
        load()


def test_a_message_names_the_variable_of_a_table(monkeypatch, machine) -> None:
    """Not one of the value, which nobody has set."""
    monkeypatch.setenv("RPCSERVER_LIMITS", '{"streams": "x"}')
    with pytest.raises(ConfigError, match=r"^environment variable RPCSERVER_LIMITS: limits\.streams: "):
        load()


def test_a_message_names_the_variable_whose_list_is_no_json(monkeypatch, machine) -> None:
    """Not that of the section, which nobody has set."""
    monkeypatch.setenv("RPCSERVER_LISTEN__ALLOWED_HOSTS", "a.example")
    with pytest.raises(ConfigError, match=r"^environment variable RPCSERVER_LISTEN__ALLOWED_HOSTS: this is no JSON"):
        load()
    monkeypatch.setenv("RPCSERVER_LISTEN__PORT", "1")
    with pytest.raises(ConfigError, match=r"variable RPCSERVER_LISTEN__ALLOWED_HOSTS or RPCSERVER_LISTEN__PORT: this"):
        load()


# --- the commands -----------------------------------------------------------------------------------------------------


def test_show_tells_every_value_and_its_origin_and_no_secret(machine, monkeypatch) -> None:
    file = write(
        machine / "etc" / "rpcserver.toml",
        '[tls]\nkey_password = "canary-1"\n[services.database.databases.shop]\nurl = "postgresql://u:canary-2@db/x"\n',
    )
    monkeypatch.setenv("RPCSERVER_LIMITS__STREAMS", "77")
    done = CliRunner().invoke(main, ["config", "show", "--origin"])
    assert done.exit_code == 0 and "canary" not in done.output
    rows = done.output.splitlines()
    assert f'key_password = "**********"  # {file}:2' in rows and f'url = "**********"  # {file}:4' in rows
    assert "streams = 77  # environment variable RPCSERVER_LIMITS__STREAMS" in rows
    assert "port = 8765  # default" in rows
    plain = tomllib.loads(CliRunner().invoke(main, ["config", "show"]).output)
    assert plain["limits"]["streams"] == 77 and set(plain) >= {"listen", "tls", "services"}
    changed = tomllib.loads(CliRunner().invoke(main, ["config", "show", "--changed"]).output)
    assert set(changed) == {"tls", "limits", "services"} and changed["limits"] == {"streams": 77}
    as_json = json.loads(CliRunner().invoke(main, ["config", "show", "--changed", "--json"]).output)
    assert {"key": "tls.key_password", "value": "**********", "origin": f"{file}:2"} in as_json


def test_check_connects_to_databases_where_asked(machine) -> None:
    sqlite3.connect(machine / "right.db").close()
    databases = f"[services.database.databases]\nright.url = 'sqlite:///{machine}/right.db'\nembedded.url = ''\n"
    file = write(machine / "x.toml", databases)
    arguments = ["config", "check", "--connect", "--config", str(file)]
    done = CliRunner().invoke(main, arguments, env={"RPCSERVER_STATE_DIR": str(machine / "state")})
    assert done.exit_code == 0, done.output
    write(file, databases + "wrong.url = 'postgresql://u:canary@127.0.0.1:1/x'\n")
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2 and "databases.wrong" in done.stderr and "right" not in done.stderr
    assert "canary" not in done.output
    assert CliRunner().invoke(main, ["config", "check", "--config", str(file)]).exit_code == 0
    assert not (machine / "state").exists(), "a check makes nothing"


def test_check_and_set_refuse_a_database_with_which_the_server_does_not_start(machine) -> None:
    """What its model cannot see: SQLAlchemy must be asked, and the password read."""
    file = machine / "x.toml"
    for settings, line, reason in (
        ("url = 'postgersql://u@127.0.0.1/x'", 2, "url: SQLAlchemy knows no dialect 'postgersql'"),
        ("url = 'postgresql+psycopg2://u@127.0.0.1/x'", 2, "url: postgresql+psycopg2 is not asynchronous"),
        (f"url = 'postgresql://u@127.0.0.1/x'\npassword_file = '{machine}/gone'", 3, "password_file: "),
    ):
        write(file, f"[services.database.databases.shop]\n{settings}\n")
        for words in (["check"], ["set", "grace_s", "3"]):
            done = CliRunner().invoke(main, ["config", words[0], "--config", str(file), *words[1:]])
            assert done.exit_code == 2 and f"services.database.databases.shop.{reason}" in done.stderr, done.output
            assert done.stderr.startswith(f"rpcserver: {file}:{line}: ") or words[0] == "set"
        assert "grace_s" not in file.read_text()
    assert not (machine / "state").exists()


def test_set_keeps_comments_and_refuses_what_cannot_be_used(machine) -> None:
    text = "# Ours.\n[listen]\nport = 1 # one\n\n[log]\nlevel = 'INFO'\n"
    file = write(machine / "x.toml", text)
    file.chmod(0o640)

    def run(*words: str) -> str:
        done = CliRunner().invoke(main, ["config", words[0], "--config", str(file), *words[1:]])
        return f"{done.exit_code} {done.stderr}"

    assert run("set", "listen.port", "2").startswith("0")
    assert file.read_text() == text.replace("port = 1", "port = 2")
    assert run("set", "listen.allowed_hosts", '["a.example", "b.example"]').startswith("0")
    assert run("set", 'roles."night shift".permissions', '["hardware.read"]', "log.level", "DEBUG").startswith("0")
    content = tomllib.loads(file.read_text())
    assert content["roles"] == {"night shift": {"permissions": ["hardware.read"]}}
    assert content["log"]["level"] == "DEBUG" and content["listen"]["allowed_hosts"] == ["a.example", "b.example"]
    before = file.read_text()
    for words, remedy in (
        (("set", "listen.prot", "3"), "did you mean port"),
        (("set", "listen.port", "many"), "listen.port"),
        (("set", "listen.host", "0.0.0.0"), "tls.certificate_file"),
        (("set", "listen.port.x", "3"), "no table"),
        (("set", "not a key", "3"), "no key"),
        (("set", "listen.port"), "no value"),
        (("unset", "tls.key_file"), "not set"),
    ):
        answer = run(*words)
        assert answer.startswith("2") and remedy in answer, (words, answer)
    assert file.read_text() == before
    assert run("unset", "listen.allowed_hosts").startswith("0") and "allowed_hosts" not in file.read_text()
    assert "# Ours." in file.read_text() and "# one" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640 and not list(machine.glob(".x.toml*"))


def test_set_and_unset_tell_of_a_value_that_another_layer_sets(machine, monkeypatch) -> None:
    """A value that does not come into force would be looked for in vain."""
    file = machine / "etc" / "rpcserver.toml"
    monkeypatch.setattr("rpcserver.daemon.config.system_file", lambda: file)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("rpcserver.daemon.config.act_as_owner", lambda _: contextlib.nullcontext())
    other = write(machine / "etc" / "conf.d" / "50.toml", "[limits]\nstreams = 4\n[log]\nlevel = 'INFO'\n")
    monkeypatch.setenv("RPCSERVER_GRACE_S", "3")

    def run(*words: str) -> str:
        done = CliRunner().invoke(main, ["config", *words])
        assert done.exit_code == 0, done.stderr
        return done.stderr

    said = run("set", "limits.streams", "7", "limits.threads", "9", "grace_s", "5")
    assert said.splitlines() == [
        f"rpcserver: limits.streams: {other}:2 goes before {file}: the value there is in force",
        f"rpcserver: grace_s: environment variable RPCSERVER_GRACE_S goes before {file}: the value there is in force",
    ]
    assert load().config.limits.streams == 4
    assert f"limits.streams: {other}:2 goes before" in run("unset", "limits.streams")
    assert run("unset", "limits.threads") == ""


def test_a_section_without_keys_sets_nothing(machine) -> None:
    """As `config unset` leaves one behind. The table of a database that is named there does set something."""
    file = write(
        machine / "etc" / "rpcserver.toml",
        "[log]\n[auth.unix]\n[services.programs]\n[services.database.databases.embedded]\n[roles.guest]\n",
    )
    rows = json.loads(CliRunner().invoke(main, ["config", "show", "--changed", "--json"]).output)
    assert {row["origin"] for row in rows} == {f"{file}:4", f"{file}:5"}, rows
    assert {row["key"].rpartition(".")[0] for row in rows} >= {"services.database.databases.embedded", "roles.guest"}


def test_set_writes_where_a_link_leads(machine) -> None:
    """Tools that manage configurations put links in their places."""
    file, link = write(machine / "real" / "x.toml", "grace_s = 1\n"), machine / "x.toml"
    link.symlink_to(file)
    done = CliRunner().invoke(main, ["config", "set", "--config", str(link), "grace_s", "3"])
    assert done.exit_code == 0, done.stderr
    assert link.is_symlink() and file.read_text() == "grace_s = 3\n"


def test_set_makes_no_file_that_a_server_would_refuse(machine) -> None:
    folder = machine / "open"
    folder.mkdir()
    folder.chmod(0o777)
    for file in (folder / "x.toml", folder / "new" / "x.toml"):
        done = CliRunner().invoke(main, ["config", "set", "--config", str(file), "grace_s", "3"])
        assert done.exit_code == 2 and "chmod go-w" in done.stderr
        assert list(folder.iterdir()) == []


def test_a_secret_can_be_set_by_standard_input(machine) -> None:
    """Others can read the words of a command."""
    file = machine / "x.toml"
    words = ["config", "set", "--config", str(file), "tls.key_password"]
    done = CliRunner().invoke(main, [*words, "-"], input="canary 1\n")
    assert done.exit_code == 0 and "canary" not in done.output and "secret" not in done.stderr
    assert tomllib.loads(file.read_text()) == {"tls": {"key_password": "canary 1"}}
    done = CliRunner().invoke(main, [*words, "canary-2"])
    assert done.exit_code == 0 and "tls.key_password is a secret" in done.stderr and "canary" not in done.output
    done = CliRunner().invoke(main, ["config", "set", "--config", str(file), "grace_s", "2"])
    assert done.stderr == ""


DEEP, LONG = "[" * 100_000, "1" * 5000


def test_nonsense_of_any_depth_and_length_is_an_error(machine, monkeypatch) -> None:
    file = machine / "x.toml"
    for text in (f"grace_s = {DEEP}", f"grace_s = {LONG}"):
        write(file, text)
        done = CliRunner().invoke(main, ["config", "check", "--config", str(file)])
        assert done.exit_code == 2 and str(file) in done.stderr
    write(file, "")
    for key, value in (
        ("listen.host", DEEP),
        ("listen.host", "{a=" * 20_000),
        ("grace_s", LONG),
        (".".join("a" * 2000), "1"),
        ("listen.host", "a\x1b[31m"),
    ):
        done = CliRunner().invoke(main, ["config", "set", "--config", str(file), key, value])
        assert done.exit_code == 2 and done.stderr.startswith("rpcserver: ") and "\x1b" not in done.stderr
    for name, value in (("ROLES", DEEP), ("SERVICES__X", DEEP), ("TLS", "word"), ("LISTEN", f'{{"port": {LONG}}}')):
        with monkeypatch.context() as patch:
            patch.setenv(f"RPCSERVER_{name}", value)
            done = CliRunner().invoke(main, ["config", "check", "--config", str(file)])
            assert done.exit_code == 2 and done.stderr.startswith("rpcserver: environment variable"), done.stderr


def test_set_makes_the_users_file(machine) -> None:
    done = CliRunner().invoke(main, ["config", "set", "--config", str(machine / "new" / "x.toml"), "grace_s", "3"])
    assert done.exit_code == 0, done.stderr
    assert tomllib.loads((machine / "new" / "x.toml").read_text()) == {"grace_s": 3}


def test_the_schema_accepts_the_files_of_the_project_and_refuses_misspelt_keys() -> None:
    schema = json.loads(CliRunner().invoke(main, ["config", "schema"]).output)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for file in (Path(__file__).parents[2] / "config").glob("*.toml"):
        assert list(validator.iter_errors(tomllib.loads(file.read_text()))) == [], file
    for text in (
        "[listen]\nprot = 3", "[services.database]\nx = 1", "[services.nothing]", "[roles.a.databse]",
        "[roles.a.database]\nx = 1", "[listen]\nport = 'x'",
    ):  # fmt: skip
        assert list(validator.iter_errors(tomllib.loads(text))), text
