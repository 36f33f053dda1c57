"""Text of a server reaches a terminal without anything that the terminal would obey."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pexpect
import pytest

from rpcclient.cli import characters, completing, packed
from rpcclient.cli.outcome import report
from rpcclient.errors import InvalidParams
from rpcclient.stubs.programs import ProgramInfo
from tests.client_cli.conftest import Shell, served

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egpj.exe\u2028\x7f\x08"
"""Renames the window, clears the screen, colours by one character (C1), reverses a line, begins another one."""
PLUGIN = f"""
import asyncio

from rpcserver import Context, Service, ServiceError, method

HOSTILE = {HOSTILE!r}

class Broken(ServiceError):
    \"\"\"It is broken.\"\"\"
    detail: str

class Hostile(Service):
    @method()
    async def text(self) -> str:
        return HOSTILE

    @method()
    async def table(self) -> list[dict[str, str]]:
        return [{{HOSTILE: HOSTILE, "b": HOSTILE}}]

    @method()
    async def pairs(self) -> dict[str, object]:
        return {{HOSTILE: HOSTILE, "rows": [[HOSTILE]], HOSTILE + "2": [{{HOSTILE: HOSTILE}}]}}

    @method(errors=(Broken,))
    async def fail(self) -> None:
        raise Broken(HOSTILE + "\\nrpcclient: all is well", detail=HOSTILE)

    @method()
    async def slow(self, ctx: Context) -> str:
        ctx.progress(1, total=2, message="[/b][link=https://evil.example]" + HOSTILE)
        await asyncio.sleep(0)
        return HOSTILE

    @method()
    async def several(self) -> list[str]:
        return [HOSTILE]
"""
OBEYED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
STYLES = re.compile(r"\x1b\[[0-9;]*m")
"""The colours and bold letters that rpcclient itself writes."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "hostile.py").write_text(PLUGIN)
    with served(folder, '["programs", "database", "hardware"]', "--plugin", str(folder / "hostile.py")) as shell:
        yield shell


@pytest.mark.parametrize("words", ["text", "table", "pairs", "several", "fail", "text --json", "pairs --json"])
def test_on_a_terminal(hostile: Shell, words: str) -> None:
    command, *arguments = hostile.command("call", *f"hostile.{words}".split())
    shown = pexpect.run(
        " ".join([command, *arguments]), env={**hostile.environment, "TERM": "xterm-256color"}, timeout=30,
        encoding="utf-8",
    )  # fmt: skip
    assert "gpj.exe" in shown
    assert not OBEYED.search(STYLES.sub("", shown)), ascii(shown)
    assert not re.search(r"^rpcclient: all is well", shown, re.MULTILINE)


def test_progress_on_a_terminal(hostile: Shell) -> None:
    """Brackets are no markup of rich, which would make a link or fail."""
    command, *arguments = hostile.command("call", "hostile.slow")
    environment = {**hostile.environment, "TERM": "xterm-256color"}
    shown, status = pexpect.run(
        " ".join([command, *arguments]), env=environment, timeout=30, encoding="utf-8", withexitstatus=True
    )
    assert status == 0, shown
    assert "[/b][link=https://evil.example]" in shown
    assert "\x1b]" not in shown
    assert "\x9b" not in shown


def test_errors_in_a_file(hostile: Shell) -> None:
    """Somebody will look at it on a terminal."""
    done = hostile.run("call", "hostile.fail")
    assert done.returncode == 1
    assert not OBEYED.search(done.stderr.decode())


def test_the_output_for_programs_is_exact(hostile: Shell) -> None:
    assert json.loads(hostile.ok("call", "hostile.text")) == HOSTILE


def test_errors_of_fields(capsys: pytest.CaptureFixture[str]) -> None:
    error = InvalidParams(HOSTILE, errors=[{"loc": (HOSTILE,), "msg": HOSTILE}, {"loc": ("b",), "msg": HOSTILE}])
    report(error)
    assert not OBEYED.search(capsys.readouterr().err)


def test_json_on_a_terminal_is_the_same_json() -> None:
    class Terminal(StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    text = json.dumps({HOSTILE: [HOSTILE, "ü€🚀\U000e0001"]}, ensure_ascii=False, indent=2)
    shown = characters.for_json(text, Terminal())
    assert json.loads(shown) == json.loads(text)
    assert not OBEYED.search(shown)
    assert "ü€🚀" in shown
    assert characters.for_json(text, StringIO()) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zürich 東京", "Zürich 東京"),
        ("a\nb\tc", "a\nb\tc"),
        ("\x1b[0m", "\\x1b[0m"),
        ("\u202e", "\\u202e"),
        ("\ud800", "\\ud800"),
        ("\r", "\\x0d"),
    ],
)
def test_what_is_visible(text: str, shown: str) -> None:
    assert characters.visible(text) == shown


def test_names_that_are_completed() -> None:
    """A shell writes them into the command line."""

    def program(name: str, argv: list[str]) -> ProgramInfo:
        fields: dict[str, Any] = dict.fromkeys(ProgramInfo.model_fields)
        return ProgramInfo.model_construct(**{**fields, "id": name, "argv": argv})

    items = completing._items([program("p1", [HOSTILE]), program("p2;reboot", ["x"]), program("p3\nx", ["x"])], "p")
    assert [item.value for item in items] == ["p1"]
    assert not OBEYED.search(str(items[0].help))


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/components/schemas/Ring"}, {"$ref": 5}, {"$ref": ""}, {"anyOf": 5}, {"anyOf": [5]},
        {"type": "object", "properties": 5}, {"type": "object", "properties": {"a": 5}},
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Ring"}}, {"anyOf": [{"$ref": None}]},
    ],
)  # fmt: skip
def test_a_result_that_is_described_by_nonsense_is_shown_as_it_came(schema: dict[str, Any]) -> None:
    schemas = {"Ring": {"$ref": "#/components/schemas/Ring"}, "": 5}
    assert packed.unpack({"a": [1]}, schema, schemas) == {"a": [1]}


def test_a_service_with_hostile_names(hostile: Shell, tmp_path: Path) -> None:
    done = hostile.run("services", HOSTILE)
    assert done.returncode == 5
    assert not OBEYED.search(done.stderr.decode())
