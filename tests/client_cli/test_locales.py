"""Terminals and locales that do not have all characters: what they cannot show is shown as it can, and what is sent is
what was typed."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pexpect
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcclient.cli import characters

LATIN1 = {"LC_ALL": "de_DE.ISO-8859-1"}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
POSIX = {"LC_ALL": "POSIX"}
SAID_ASCII = {"PYTHONIOENCODING": "ascii"}
UTF8 = {"LC_ALL": "C.UTF-8"}
PLACES = {"Latin-1": LATIN1, "ASCII": ASCII}


@pytest.fixture(scope="session")
def locales(tmp_path_factory: pytest.TempPathFactory, missing: Callable[[str], NoReturn]) -> dict[str, str]:
    """Where the locales of these tests are."""
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/de_DE").exists():
        missing("localedef, or what it makes locales of, is not there: install the package locales")
    folder = tmp_path_factory.mktemp("locales")
    for language, charmap in (("de_DE", "ISO-8859-1"), ("ja_JP", "EUC-JP")):
        made = folder / f"{language}.{charmap}"
        command = ["localedef", "--no-archive", "-i", language, "-f", charmap, str(made)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert made.exists(), done.stderr
    return {"LOCPATH": str(folder)}


@pytest.fixture(params=PLACES.values(), ids=PLACES.keys())
def place(request: pytest.FixtureRequest, locales: dict[str, str]) -> dict[str, str]:
    """The environment of a locale, and an encoding."""
    found: dict[str, str] = {**request.param, **locales}
    return {name: value for name, value in found.items() if name != "LOCPATH" or request.param is LATIN1}


def encoding(place: dict[str, str]) -> str:
    return "latin-1" if "LOCPATH" in place else "utf-8" if place == POSIX else "ascii"


def around(everywhere: Any, place: dict[str, str]) -> dict[str, str]:
    dropped = ("LANG", "LC_", "PYTHONUTF8", "PYTHONIOENCODING", "LINES", "COLUMNS")
    kept = {name: value for name, value in everywhere.environment.items() if not name.startswith(dropped)}
    return {**kept, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **place}


def run(
    everywhere: Any, place: dict[str, str], *words: str | bytes, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = [*everywhere.command(), *words]
    return subprocess.run(command, input=stdin, capture_output=True, env=around(everywhere, place), timeout=60)


def on_terminal(everywhere: Any, place: dict[str, str], *words: str) -> bytes:
    command, *rest = everywhere.command(*words)
    child = pexpect.spawn(command, rest, env=around(everywhere, place), timeout=60, dimensions=(40, 110))
    said: bytes = child.read()
    child.close()
    assert (child.exitstatus, child.signalstatus) == (0, None), said
    return said


READ_BY_PEOPLE: dict[str, list[str]] = {
    "hw": ["hw"],
    "devices": ["devices", "net"],
    "services": ["services"],
    "one service": ["services", "programs"],
    "ps": ["ps", "--all"],
    "hello": ["hello"],
    "ping": ["ping", "--count", "1"],
    "call": ["call", "hardware.host"],
    "table": ["sql", "main", "SELECT said, 1 FROM word"],
    "expanded": ["sql", "main", "SELECT said, 1 FROM word", "--format", "expanded"],
    "markdown": ["sql", "main", "SELECT said, 1 FROM word", "--format", "markdown"],
    "help": ["--help"],
}


@pytest.mark.parametrize("words", READ_BY_PEOPLE.values(), ids=READ_BY_PEOPLE.keys())
def test_what_people_read(everywhere: Any, locales: dict[str, str], words: list[str]) -> None:
    """Each command, where the terminal has few characters: the figures are the same as elsewhere."""
    everywhere.ok("run", "-d", "-l", "was=Zürich–東京", "--", "echo", "Zürich 東京")
    for place in (LATIN1 | locales, *([ASCII] if words[0] in ("hw", "sql") else [])):
        shown = on_terminal(everywhere, place, *words)
        assert b"Traceback" not in shown
        assert b"\xe2\x94" not in shown
        assert encoding(place) != "ascii" or shown.isascii()
    if words[0] == "sql":
        assert shown.count(b"?") >= 3  # 東京 takes two columns for each character.
        assert b"Z?rich" in shown
    if words == ["hw"]:
        assert b"###" in shown or b"..." in shown


def test_what_programs_read_is_not_changed(everywhere: Any, place: dict[str, str]) -> None:
    said = ["Zürich", "€ 5", "東京", "🚀"]
    done = run(everywhere, place, "sql", "main", "SELECT said FROM word")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [row["said"] for row in json.loads(done.stdout.decode(encoding(place)))] == said
    for words in (["call", "database.query", "database=main", "sql=SELECT said FROM word"], ["call", "rpc.discover"]):
        done = run(everywhere, place, *words)
        assert (done.returncode, done.stderr) == (0, b"")
        json.loads(done.stdout.decode(encoding(place)))
    done = run(everywhere, place, "sql", "main", "SELECT said FROM word", "--format", "csv")
    if encoding(place) == "utf-8":
        assert done.stdout.decode().splitlines() == ["said", *said]
    else:
        assert done.returncode == 1
        assert b"the encoding of standard output, " in done.stderr
        assert b"PYTHONIOENCODING=utf-8" in done.stderr
    done = run(everywhere, place, "sql", "main", "SELECT 'Z' || char(252) AS v", "--format", "csv")
    if encoding(place) != "ascii":
        assert done.stdout == "v\nZü\n".encode(encoding(place))


def test_errors_with_any_text(everywhere: Any, place: dict[str, str]) -> None:
    for words in (["call", "programs.get", "id=Zürich 東京"], ["services", "Zürich"], ["logs", "Zürich 東京"]):
        done = run(everywhere, place, *(word.encode() for word in words))
        assert done.returncode > 0
        assert b"Traceback" not in done.stderr
        assert b"rpcclient: " in done.stderr
    done = run(everywhere, place, "run", "--", "Zürich 東京".encode())
    assert (done.returncode, b"Traceback" in done.stderr) == (127, False)


def test_arguments_are_the_bytes_that_were_typed(everywhere: Any, place: dict[str, str]) -> None:
    """Or they are refused, with what to do."""
    for typed in ("Zürich 東京 🚀", "Ã¼"):
        done = run(everywhere, place, "run", "--", "printf", "%s", typed.encode())
        assert (done.returncode, done.stdout, done.stderr) == (0, typed.encode(), b"")
        done = run(everywhere, place, "run", "-e", f"W={typed}".encode(), "--", "sh", "-c", 'printf %s "$W"')
        assert done.stdout == typed.encode()
    for words in (
        ["run", "--", "printf", "%s", b"caf\xe9"],
        ["run", "-e", b"W=caf\xe9", "true"],
        ["run", "--cwd", b"/caf\xe9", "true"],
        ["shell", "--", b"caf\xe9"],
    ):
        done = run(everywhere, place, *words)
        assert (done.returncode, done.stdout) == (2, b""), words
        assert b"caf\\xe9' is no UTF-8" in done.stderr.replace(b"\n", b" "), words


def test_bytes_that_only_the_c_library_takes_for_characters(everywhere: Any, locales: dict[str, str]) -> None:
    """Python's codec for EUC-JP has none for some of these."""
    place = {**locales, "LC_ALL": "ja_JP.EUC-JP"}
    typed = "Zürich 東京 🚀 € – Привет ｱ～".encode()
    done = run(everywhere, place, "run", "-e", b"W=%s" % typed, "--", "sh", "-c", 'printf %s "$1$W"', "sh", typed)
    assert (done.returncode, done.stdout, done.stderr) == (0, typed * 2, b"")
    done = run(everywhere, place, "run", "--", "echo", "東京".encode("euc_jp"))
    assert (done.returncode, b"is no UTF-8" in done.stderr.replace(b"\n", b" ")) == (2, True)


def test_text_that_was_typed(everywhere: Any, place: dict[str, str]) -> None:
    """In the locale's encoding, and in UTF-8 where it has none of its own."""
    typed = "Zürich".encode("latin-1" if encoding(place) == "latin-1" else "utf-8")
    done = run(
        everywhere, place, "call", "database.query", "database=main", "sql=SELECT ? AS v", b'params:=["%s"]' % typed
    )
    assert (done.returncode, b"Zu" in done.stdout) == (0, False), done.stderr
    for words, stdin in (
        ([b"SELECT '%s' AS v" % typed], b""),
        ([], "SELECT 'Zürich' AS v".encode()),
        (["SELECT ? AS v", typed], b""),
    ):
        done = run(everywhere, place, "sql", "main", *words, stdin=stdin)
        assert json.loads(done.stdout.decode(encoding(place))) == [{"v": "Zürich"}], (words, done.stderr)
    if encoding(place) != "latin-1":
        for words in (["call", "programs.get", b"id=caf\xe9"], ["sql", "main", b"SELECT 'caf\xe9'"]):
            done = run(everywhere, place, *words)
            assert (done.returncode, b"is no text in this locale" in done.stderr) == (2, True), words
    # A script is in UTF-8 wherever it is run.
    done = run(everywhere, place, "sql", "main", stdin=b"SELECT 'caf\xe9'")
    assert (done.returncode, b"write it in UTF-8" in done.stderr) == (2, True)


def test_top_in_any_locale(everywhere: Any, place: dict[str, str]) -> None:
    command, *rest = everywhere.command("top", "--interval", "0.3")
    child = pexpect.spawn(command, rest, env=around(everywhere, place), timeout=60, dimensions=(30, 100))
    child.expect(re.escape(b"\x1b[?1049h"))
    child.expect(b"cpu ")
    child.expect(b"quit")
    child.send(b"q")
    child.expect(re.escape(b"\x1b[?1049l"))
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, child.signalstatus) == (0, None)


# --- without a terminal -----------------------------------------------------------------------------------------


def shown(text: str, name: str) -> bytes:
    characters.register()
    return text.encode(name, characters.SHOWN)


def test_characters_that_look_alike() -> None:
    assert shown("█▌▎·─│┼╭ ▁▃█ ↓→… 5 °C – “x”", "ascii") == b'##:.-|+- _:# v>~ 5  C - "x"'.replace(b"+-", b"++")
    assert shown("5 °C · Zürich ×", "latin-1") == "5 °C · Zürich ×".encode("latin-1")
    assert shown("東京 e\N{COMBINING ACUTE ACCENT} 🚀 \udce9", "ascii") == b"???? e ?? ?"


@given(st.text())
def test_any_text_can_be_shown_and_escaped(text: str) -> None:
    from rpcwire.rows.texttable import width

    printable = "".join(c for c in text if c.isprintable())
    for name in ("ascii", "latin-1", "utf-8"):
        shown(text, name)
    assert width(shown(printable, "ascii").decode("ascii")) >= 0
    characters.register()
    for name in ("ascii", "latin-1"):
        out = io.TextIOWrapper(io.BytesIO(), name)
        whole = json.dumps(text, ensure_ascii=False)
        assert json.loads(characters.for_json(whole, out).encode(name).decode(name)) == text
        lacked = characters.lacks(text, out)
        assert (lacked is None) == (text.encode(name, "replace").decode(name) == text)
        out.detach()


def test_where_python_chooses_utf_8_by_itself_or_is_told_not_to(everywhere: Any) -> None:
    for place, said in ((POSIX, "Zürich".encode()), (SAID_ASCII, b"Z?rich")):
        done = run(everywhere, place, "run", "--", "printf", "%s", "Zürich".encode())
        assert done.stdout == "Zürich".encode()
        assert said in run(everywhere, place, "sql", "main", "SELECT said FROM word", "--format", "table").stdout


@pytest.mark.parametrize("said", ["ascii:replace", "latin-1:xmlcharrefreplace"])
def test_what_was_asked_for_holds(everywhere: Any, said: str) -> None:
    done = run(everywhere, {"PYTHONIOENCODING": said}, "sql", "main", "SELECT said FROM word", "--format", "table")
    assert (b"&#26481;" in done.stdout) == ("xml" in said)
    assert os.linesep.encode() in done.stdout
