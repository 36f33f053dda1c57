"""Nobody's command line is so long that a list of processes is late, or fits into no answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcclient import AsyncClient
from rpcservices.hardware.readers import command_lines
from rpcservices.hardware.readers.command_lines import DETAILED_CHARACTERS, LISTED_CHARACTERS, REST, show
from rpcservices.hardware.readers.redaction import MASK

Serve = Callable[..., None]
TOKEN = "ghp_" + "a1" * 18


@pytest.mark.parametrize(
    ("words", "most", "shown"),
    [
        (["ls", "-l"], 10, ["ls", "-l"]),
        (["ls", "-la"], 5, ["ls", "-l", REST]),
        (["x" * 100], 10, ["x" * 10, REST]),
        (["a", "b", "c"], 2, ["a", REST]),
        ([], 10, []),
    ],
)
def test_what_is_shown(words: list[str], most: int, shown: list[str]) -> None:
    assert show(words, most, reveal=True) == shown
    assert show(words, most, reveal=False) == shown


def test_a_secret_that_is_cut_is_hidden() -> None:
    """Wherever the end of what is shown, or of what is searched, falls."""
    for before in (*range(60), *range(4096 - 60, 4096 + 60)):
        shown = " ".join(show(["app", "x" * before, TOKEN, "y" * 10_000], 30, reveal=False))
        assert "ghp_a" not in shown
    many = ["--password=" + "p" * 40] * 200 + [TOKEN] * 200
    assert "ghp_a" not in " ".join(show(many, 100, reveal=False))


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(1, 200))
def test_it_is_a_beginning(words: list[str], most: int) -> None:
    shown = show(words, most, reveal=True)
    assert sum(map(len, shown)) <= most + len(REST)
    if shown != list(words):
        assert shown[-1] == REST
        rest = len(shown) - 2
        assert shown[:-1][:rest] == list(words)[: max(rest, 0)]


def test_only_so_much_is_searched_for_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []

    def redact(words: list[str]) -> list[str]:
        searched.extend(words)
        return words

    monkeypatch.setattr(command_lines, "redact", redact)
    show(["y" * 40] * 30_000, LISTED_CHARACTERS, reveal=False)
    assert sum(map(len, searched)) <= 3 * LISTED_CHARACTERS


def test_a_list_with_long_command_lines(serve: Serve) -> None:
    """Any user of the machine can start such processes."""
    long = ["y" * 40] * 20_000
    command = [sys.executable, "-S", "-c", "import sys; print(flush=True); sys.stdin.read()", *long]

    async def scenario(client: AsyncClient) -> None:
        found = await client.hardware.processes(["cmdline"], limit=10_000)
        (listed,) = [process for process in found.processes if process.pid == child.pid]
        assert listed.cmdline is not None
        assert listed.cmdline[:3] == command[:3]
        assert listed.cmdline[-1] == REST
        assert sum(map(len, listed.cmdline)) <= LISTED_CHARACTERS
        detailed = (await client.hardware.process(child.pid)).process.cmdline
        assert detailed is not None
        assert LISTED_CHARACTERS < sum(map(len, detailed)) <= DETAILED_CHARACTERS

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        serve(scenario)
        child.communicate()


def test_hidden_words_are_short() -> None:
    assert show(["app", "--token", TOKEN], 4096, reveal=False) == ["app", "--token", MASK]
