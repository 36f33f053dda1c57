"""``run`` in both clients: what ``subprocess.run`` has, and what it has not."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rpcclient import Client, ProgramFailed
from rpcclient.errors import InvalidParams
from rpcclient.stubs.programs import Limits, ProgramNotStarted


@pytest.mark.parametrize(
    "options",
    [{}, {"text": True}, {"encoding": "latin-1"}, {"errors": "replace"}, {"text": True, "errors": "surrogateescape"}],
)
def test_like_subprocess(client: Client, options: dict[str, Any]) -> None:
    argv = ["sh", "-c", "cat; printf 'errors \\303\\251' >&2; exit 3"]
    given: Any = "é\n" if options else "é\n".encode()
    theirs = subprocess.run(
        argv, input=given, capture_output=True, **{"encoding": "utf-8", **options} if options else {}
    )
    ours = client.programs.run(argv, input=given, **options)
    assert (ours.stdout, ours.stderr, ours.returncode) == (theirs.stdout, theirs.stderr, theirs.returncode)
    assert ours.code == 3
    assert ours.argv == argv


def test_input_that_is_no_text_elsewhere(client: Client, daemon: Any) -> None:
    given: Any = {"input": "\udce9", "encoding": "utf-8", "errors": "surrogateescape"}
    assert subprocess.run(["cat"], capture_output=True, **given).stdout == "\udce9"
    assert client.programs.run(["cat"], **given).stdout == "\udce9"
    assert client.programs.run(["cat"], input="é", encoding="ascii", errors="replace").stdout == "?"
    with pytest.raises(UnicodeEncodeError):
        client.programs.run(["cat"], input="\udce9", text=True)

    async def main() -> None:
        async with daemon.async_client() as client:
            assert (await client.programs.run(["cat"], **given)).stdout == "\udce9"

    asyncio.run(main())


def test_signals_as_return_codes(client: Client) -> None:
    ours = client.programs.run(["sh", "-c", "kill -SEGV $$"])
    assert (ours.returncode, ours.signal, ours.code) == (-11, "SIGSEGV", None)
    assert client.programs.run(["sh", "-c", "kill -40 $$"]).returncode == -40


def test_check(client: Client) -> None:
    assert client.programs.run(["true"], check=True).code == 0
    with pytest.raises(ProgramFailed, match="sh: exit code 4: it is broken") as caught:
        client.programs.run(["sh", "-c", "echo out; echo first >&2; echo it is broken >&2; exit 4"], check=True)
    assert (caught.value.returncode, caught.value.stdout) == (4, b"out\n")
    assert caught.value.stderr == b"first\nit is broken\n"
    assert caught.value.executed == "yes"
    with pytest.raises(ProgramFailed, match="timed out") as caught:
        client.programs.run(["sleep", "60"], timeout_s=0.1, grace_s=0, check=True)
    assert caught.value.completed.timed_out


def test_where_output_goes(client: Client) -> None:
    argv = ["sh", "-c", "echo out; echo err >&2"]
    assert client.programs.run(argv, stderr="merge").stdout == b"out\nerr\n"
    discarded = client.programs.run(argv, stderr="discard")
    assert (discarded.stdout, discarded.stderr) == (b"out\n", b"")
    nothing = client.programs.run(argv, capture_output=False)
    assert (nothing.stdout, nothing.stderr, nothing.truncated) == (b"", b"", False)


def test_output_that_is_too_long(client: Client) -> None:
    done = client.programs.run(["sh", "-c", "printf 123456789; printf ab >&2"], output_bytes=5)
    assert (done.stdout, done.stdout_lost_bytes, done.truncated) == (b"12345", 4, True)
    assert (done.stderr, done.stderr_lost_bytes) == (b"ab", 0)


def test_paths_environment_and_usage(client: Client, tmp_path: Path) -> None:
    done = client.programs.run([Path("/bin/sh"), "-c", "pwd; echo $WORD"], cwd=tmp_path, env={"WORD": "é"}, text=True)
    assert done.stdout == f"{tmp_path}\né\n"
    assert done.usage is not None
    assert done.usage.user_s + done.usage.system_s > 0
    assert done.duration_s >= 0
    limited = client.programs.run(["sh", "-c", "ulimit -n"], limits=Limits(open_files=64), text=True)
    assert limited.stdout == "64\n"


def test_what_cannot_be_used(client: Client) -> None:
    with pytest.raises(InvalidParams, match="argv: a list such as"):
        client.programs.run("uname -a")
    with pytest.raises(InvalidParams, match="encoding: there is no encoding 'latin-99'"):
        client.programs.run(["true"], encoding="latin-99")
    with pytest.raises(ProgramNotStarted, match="argv"):
        client.programs.run(["/no/such/program"])
    with pytest.raises(UnicodeDecodeError):
        client.programs.run(["printf", "\\377"], text=True)
    assert client.programs.run(["true"]).code == 0


def test_async(daemon: Any) -> None:
    async def main() -> None:
        async with daemon.async_client() as client:
            one, two = await asyncio.gather(
                client.programs.run(["cat"], input="é", text=True), client.programs.run(["cat"], input=b"\xff")
            )
            assert (one.stdout, two.stdout) == ("é", b"\xff")
            with pytest.raises(ProgramFailed):
                await client.programs.run(["false"], check=True)

    asyncio.run(main())
