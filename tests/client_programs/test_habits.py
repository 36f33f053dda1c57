"""What those who know ``subprocess`` are used to: it works, or says what does."""

from __future__ import annotations

import asyncio
import pickle  # noqa: TID251 - what a process pool does with errors
import subprocess
from typing import Any

import pytest

from rpcclient import Client, OutputLost, ProgramFailed
from rpcclient.errors import DeadlineExceeded, InvalidParams
from rpcclient.stubs.programs import Limits, ProgramRefused, TerminalSize

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": 5}, r"timeout: it is timeout_s="),
        ({"shell": True}, r'shell: no shell is involved: run \["sh", "-c"'),
        ({"stdout": subprocess.PIPE}, 'stdout: it is "pipe"'),
        ({"stdin": subprocess.PIPE}, "stdin: run takes input="),
        ({"stderr": subprocess.STDOUT}, r'stderr: it is "pipe", "merge"'),
        ({"universal_newlines": True}, "universal_newlines: it is text=True"),
        ({"errors": "nonsense"}, "errors: there is no way called 'nonsense'"),
        ({"encoding": "hex"}, "encoding: there is no encoding 'hex'"),
        ({"input": 5}, "input: bytes or text are needed, not int"),
        ({"input": 10**9}, "input: bytes or text are needed, not int"),
    ],
)
def test_what_is_called_otherwise(client: Client, options: dict[str, Any], said: str) -> None:
    """Each is refused before anything runs."""
    with pytest.raises(InvalidParams, match=said) as caught:
        client.programs.run(["no-such-program"], **options)
    assert caught.value.errors[0]["loc"] == [next(iter(options))]
    assert caught.value.executed == "no"


@pytest.mark.parametrize(
    ("argv", "options", "said"),
    [
        (["true"], {"labels": ["a"]}, r'labels: names and values are needed, such as \{"name": "value"\}'),
        (["true"], {"env": 5}, "env: names and values are needed"),
        (["true"], {"cwd": 5}, "cwd: text or a path is needed, not int"),
        (["true"], {"encoding": 5}, "encoding: there is no encoding 5"),
        (["true"], {"errors": 5}, "errors: there is no way called 5"),
        (["sleep", 1], {}, r"argv\.1: text or a path is needed, not int: str\(\) makes text"),
        (5, {}, "argv: a list such as .* is needed, not int"),
    ],
)
def test_what_is_of_another_kind(client: Client, argv: Any, options: dict[str, Any], said: str) -> None:
    for begin in (client.programs.run, client.programs.start):
        with pytest.raises(InvalidParams, match=said) as caught:
            begin(argv, **options)
        assert caught.value.executed == "no"
        assert caught.value.errors[0]["loc"][0] == said.partition(":")[0].partition("\\")[0]


def test_words_of_popen(client: Client) -> None:
    with pytest.raises(InvalidParams, match="stdout: "):
        client.programs.start(["true"], stdout=subprocess.PIPE)  # type: ignore[call-overload]
    with pytest.raises(InvalidParams, match="stdin: it is True"):
        client.programs.start(["true"], stdin=subprocess.PIPE)  # type: ignore[call-overload]
    with pytest.raises(InvalidParams, match="stdin: a terminal can always be written to"):
        client.programs.start(["true"], stdin=False, terminal=TerminalSize())
    with client.programs.start(["cat"], text=True) as program:
        for method in (program.wait, program.communicate):
            with pytest.raises(InvalidParams, match="timeout: it is timeout_s="):
                method(timeout=5)  # type: ignore[operator]
        with pytest.raises(InvalidParams, match="input: bytes or text"):
            program.communicate(5)  # type: ignore[arg-type]
        with pytest.raises(InvalidParams, match="input: bytes or text"):
            program.stdin.write(5)  # type: ignore[arg-type]
        program.stdin.writelines(["one\n", "two\n"])
        program.stdin.flush()
        program.stdin.close()
        assert program.stdout.readlines() == ["one\n", "two\n"]
        assert program.args == ["cat"]
    assert client.programs.run(["true"]).args == ["true"]


def test_waiting_no_time(client: Client) -> None:
    with client.programs.start(["sh", "-c", "read go; exit 3"]) as program:
        with pytest.raises(DeadlineExceeded, match="still runs after 0 s"):
            program.wait(0)
        program.stdin.write(b"\n")
        program.wait()
        assert client.programs.attach(program.id).wait(0).status.code == 3
        assert client.programs.attach(program.id).wait(-1).status.code == 3


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"tail_bytes": -1}, "tail_bytes: how far"),
        ({"offset": -3}, "offset: count from the start"),
        ({"offsets": {"stderr": -3}}, "offsets: stderr: count from the start"),
        ({"offsets": {"foo": 1}}, "offsets: there is no output 'foo': there are stdout, stderr"),
    ],
)
def test_places_that_are_none(client: Client, place: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidParams, match=said):
        client.programs.attach("no-such-program", **place)


def test_a_limit_is_no_success(client: Client) -> None:
    argv = ["sh", "-c", "trap 'exit 0' TERM; while :; do printf 0123456789; done"]
    with pytest.raises(ProgramFailed, match="limit reached: output") as caught:
        client.programs.run(argv, limits=Limits(output_bytes=5), check=True)
    assert caught.value.completed.status.limit == "output"
    with pytest.raises(ProgramFailed, match="limit reached: output"):
        client.programs.start(argv, limits=Limits(output_bytes=5)).communicate().check_returncode()


def test_errors_can_be_pickled(client: Client) -> None:
    with pytest.raises(ProgramFailed) as caught:
        client.programs.run(["sh", "-c", "echo no >&2; exit 4"], check=True)
    other = pickle.loads(pickle.dumps(caught.value))
    assert (str(other), other.returncode, other.stderr) == (str(caught.value), 4, b"no\n")
    lost = pickle.loads(pickle.dumps(OutputLost("stdout", 1, 2)))
    assert (lost.stream, lost.offset, lost.lost_bytes, lost.executed) == ("stdout", 1, 2, "yes")
    refused = pickle.loads(pickle.dumps(ProgramRefused("no", field="argv", rule="a.b")))
    assert (refused.field, refused.rule, refused.code) == ("argv", "a.b", -32002)


@pytest.mark.parametrize("terminal", [None, TerminalSize()])
def test_input_without_an_end_of_line(client: Client, terminal: TerminalSize | None) -> None:
    with client.programs.start(["sh", "-c", "cat; echo end"], terminal=terminal, text=True) as program:
        assert "end" in program.communicate("no newline", timeout_s=20).stdout
    with client.programs.start(["sh", "-c", "cat; echo end"], terminal=terminal, text=True) as program:
        assert "end" in program.communicate("a line\n", timeout_s=20).stdout


def test_nothing_is_lost_by_itself(daemon_with: Any) -> None:
    """Not from those who read, and nobody holds up a program that is to be kept."""
    daemon = daemon_with(retain_bytes="200000")
    argv = ["head", "-c", str(4 * MIB), "/dev/zero"]
    with daemon.client() as client:
        done = client.programs.start(argv).communicate()
        assert (len(done.stdout), done.truncated) == (4 * MIB, False)
        with client.programs.start(argv) as program:
            assert len(b"".join(program.stdout)) == 4 * MIB
        with client.programs.start(argv) as unread:  # As one whose output nobody wants to have.
            with pytest.raises(DeadlineExceeded):
                client.programs.start(["sleep", "60"]).wait(0.1)
            assert unread.wait().status.code == 0
            with pytest.raises(OutputLost):
                unread.stdout.read()
        kept = client.programs.start(argv, on_disconnect="keep")
        assert kept.wait().status.code == 0
        assert kept.communicate().truncated
        kept.forget()


def test_input_of_several_messages(client: Client) -> None:
    data = bytes(range(256)) * (70 * MIB // 256)  # More than this side sends in one message.
    labels = {"test": "several messages"}
    done = client.programs.run(["sh", "-c", "wc -c; echo end >&2; exit 3"], input=data, text=True, labels=labels)
    assert (done.stdout, done.stderr, done.code, done.truncated) == (f"{len(data)}\n", "end\n", 3, False)
    cut = client.programs.run(["cat"], input=data, output_bytes=1000)
    assert (cut.stdout, cut.stdout_lost_bytes) == (data[:1000], len(data) - 1000)
    nothing = client.programs.run(["cat"], input=data, capture_output=False)
    assert (nothing.stdout, nothing.truncated) == (b"", False)
    with pytest.raises(ProgramFailed):
        client.programs.run(["false"], input=data, check=True)
    with pytest.raises(DeadlineExceeded):
        client.options(timeout_s=1).programs.run(["sleep", "60"], input=data, labels=labels)
    assert client.programs.list(labels=labels, running=True) == []


def test_nothing_is_lost_by_itself_async(daemon_with: Any) -> None:
    daemon = daemon_with(retain_bytes="200000")
    argv = ["head", "-c", str(4 * MIB), "/dev/zero"]

    async def main() -> None:
        async with daemon.async_client() as client:
            done = await (await client.programs.start(argv)).communicate()
            assert (len(done.stdout), done.truncated) == (4 * MIB, False)
            unread = await client.programs.start(argv)
            assert (await unread.wait()).status.code == 0
            with pytest.raises(OutputLost):
                await unread.stdout.read()
            slow = await client.programs.start(["sh", "-c", "read go; exec head -c 4194304 /dev/zero"])
            with pytest.raises(DeadlineExceeded):
                await slow.wait(0.1)
            done = await slow.communicate(b"\n")
            assert (len(done.stdout), done.truncated) == (4 * MIB, False)
            big = await client.programs.run(["wc", "-c"], input=bytes(70 * MIB))
            assert big.stdout == b"%d\n" % (70 * MIB)

    asyncio.run(main())


def test_input_and_lines_async(daemon: Any) -> None:
    async def main() -> None:
        async with daemon.async_client() as client:
            with pytest.raises(InvalidParams, match="timeout: it is timeout_s="):
                await client.programs.run(["true"], timeout=5)
            with pytest.raises(InvalidParams, match="offset: count"):
                await client.programs.attach("no-such-program", offset=-1)
            async with await client.programs.start(["sh", "-c", "cat; exit 3"], text=True) as program:
                with pytest.raises(DeadlineExceeded):
                    await program.wait(0)
                await program.stdin.writelines(["one\n", "two\n"])
                await program.stdin.flush()
                await program.stdin.close()
                assert await program.stdout.readlines() == ["one\n", "two\n"]
                await program.wait()
                assert program.args == ["sh", "-c", "cat; exit 3"]
            assert (await (await client.programs.attach(program.id)).wait(0)).status.code == 3
            async with await client.programs.start(["cat"], terminal=TerminalSize(), text=True) as typed:
                assert (await typed.communicate("no newline", 20)).status.code == 0

    asyncio.run(main())


def test_input_of_several_messages_has_the_limit_of_the_server(daemon_with: Any) -> None:
    daemon = daemon_with(output_bytes=2048)
    data = b"x" * (70 * MIB)
    argv = ["sh", "-c", "tee /dev/stderr"]
    with daemon.client() as client:
        for wanted, most in ((None, 2048), (20 * MIB, 2048), (100, 100)):
            done = client.programs.run(argv, input=data, output_bytes=wanted)
            assert (len(done.stdout), len(done.stderr)) == (most, most)
            assert (done.stdout_lost_bytes, done.stderr_lost_bytes) == (len(data) - most, len(data) - most)
        done = client.programs.run(argv, input=data, stdout="discard")
        assert (done.stdout, done.stdout_lost_bytes, len(done.stderr)) == (b"", 0, 2048)

    async def main() -> None:
        async with daemon.async_client() as client:
            done = await client.programs.run(argv, input=data, output_bytes=20 * MIB)
            assert (len(done.stdout), done.stderr_lost_bytes) == (2048, len(data) - 2048)

    asyncio.run(main())
