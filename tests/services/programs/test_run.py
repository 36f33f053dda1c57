"""programs.run: like subprocess.run, on the other side."""

from __future__ import annotations

import asyncio
import hashlib
import os
import pwd
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rpcclient import AsyncClient
from rpcclient.errors import Busy, InvalidParams, RemoteProtocolError
from rpcclient.stubs.programs import ProgramNotStarted, ProgramUnsuccessful

Serve = Callable[..., None]


def test_output_errors_and_code(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
        assert (done.stdout, done.stderr, done.code) == (b"out\n", b"err\n", 7)
        assert done.duration_s > 0
        assert done.usage is not None
        assert done.argv[0] == "sh"
        merged = await client.programs.run(["sh", "-c", "echo out; echo err >&2"], stderr="merge")
        assert (merged.stdout, merged.stderr) == (b"out\nerr\n", b"")

    serve(scenario)


def test_bytes_survive_whatever_they_are(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        data = os.urandom(300_000)
        done = await client.programs.run(["cat"], input=data)
        assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
        assert (await client.programs.run(["true"], input=b"nobody reads this" * 10_000)).code == 0

    serve(scenario)


def test_directory_and_environment(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_SECRET", "do not tell")

    async def scenario(client: AsyncClient) -> None:
        assert (await client.programs.run(["pwd"], cwd=str(tmp_path))).stdout.decode().strip() == str(tmp_path)
        shown = (await client.programs.run(["env"], env={"GREETING": "hello"})).stdout.decode()
        assert "GREETING=hello" in shown
        assert "SERVER_SECRET" not in shown

    serve(scenario)


def test_where_output_goes(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        script = ["sh", "-c", "echo out; echo err >&2"]
        for options, stdout, stderr in (
            ({}, b"out\n", b"err\n"),
            ({"stderr": "merge"}, b"out\nerr\n", b""),
            ({"stderr": "discard"}, b"out\n", b""),
            ({"stdout": "discard"}, b"", b"err\n"),
            ({"stdout": "discard", "stderr": "discard"}, b"", b""),
            ({"stdout": "discard", "stderr": "merge"}, b"", b""),
            ({"output_bytes": 2}, b"ou", b"er"),
            ({"output_bytes": 10**12}, b"out\n", b"err\n"),
        ):
            done = await client.programs.run(script, **options)  # type: ignore[arg-type]
            assert (done.code, done.stdout, done.stderr) == (0, stdout, stderr)
        done = await client.programs.run(script, output_bytes=2)
        assert (done.stdout_lost_bytes, done.stderr_lost_bytes) == (2, 2)

    serve(scenario)


def test_the_environment_of_a_login(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere/else")
    monkeypatch.setenv("RPC_TOKEN", "do not tell")

    async def scenario(client: AsyncClient) -> None:
        user = pwd.getpwuid(os.getuid())
        shown = (await client.programs.run(["env"])).stdout.decode().splitlines()
        assert "HOME=/somewhere/else" in shown
        shown = (await client.programs.run(["env"], env_base="login")).stdout.decode().splitlines()
        assert {f"HOME={user.pw_dir}", f"USER={user.pw_name}", f"SHELL={user.pw_shell}"} < set(shown)
        assert not [entry for entry in shown if "tell" in entry]
        assert (await client.programs.run(["sh", "-c", "echo $RPC_PROGRAM_ID"])).stdout.startswith(b"p")

    serve(scenario)


def test_input_that_is_not_read_and_closed_input(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        assert (await client.programs.run(["cat"])).stdout == b""
        done = await client.programs.run(["sh", "-c", "exec <&-; sleep 0.2; echo over"], input=b"x" * 1_000_000)
        assert (done.code, done.stdout) == (0, b"over\n")

    serve(scenario)


def test_a_signal_is_no_code(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["sh", "-c", "kill -SEGV $$"])
        assert (done.code, done.status.signal) == (None, "SIGSEGV")

    serve(scenario)


def test_its_time_is_over(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["sh", "-c", "echo before; sleep 60"], timeout_s=0.3)
        assert done.stdout == b"before\n"
        assert done.status.timed_out
        assert done.status.signal == "SIGTERM"
        stubborn = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]
        done = await client.programs.run(stubborn, timeout_s=0.3)
        assert done.status.timed_out
        assert done.status.signal == "SIGKILL"

    serve(scenario, grace_s=0.2)


def test_too_much_output_is_cut_and_says_so(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        done = await client.programs.run(["head", "-c", "100000", "/dev/zero"])
        assert done.stdout == bytes(4096)
        assert done.stdout_lost_bytes == 100_000 - 4096

    serve(scenario, output_bytes=4096)


def test_a_grandchild_that_holds_the_pipe_delays_nothing(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        begin = time.monotonic()
        done = await client.programs.run(["sh", "-c", "echo done; sleep 5 & exit 0"])
        assert time.monotonic() - begin < 3
        assert done.stdout == b"done\n"
        assert done.pipes_still_held

    serve(scenario)


def test_what_cannot_start_names_its_parameter(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        for params, field, errno in (
            ({"argv": ["no-such-program-here"]}, "argv", "ENOENT"),
            ({"argv": ["/etc/passwd"]}, "argv", "EACCES"),
            ({"argv": ["ls"], "cwd": "/no/such/folder"}, "cwd", "ENOENT"),
            ({"argv": ["ls\0"]}, "argv", None),
            ({"argv": []}, "argv", None),
            ({"argv": [""]}, "argv", None),
        ):
            with pytest.raises(ProgramNotStarted) as caught:
                await client.programs.run(**params)  # type: ignore[arg-type]
            assert (caught.value.field, caught.value.errno) == (field, errno)
            assert caught.value.executed == "no"
            assert field in caught.value.message
        with pytest.raises(InvalidParams):
            await client.call("programs.run", {"argv": "ls -l"})
        assert (await client.programs.run(["echo", "still here"])).stdout == b"still here\n"

    serve(scenario)


def test_many_at_once_leave_nothing_behind(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        await client.programs.run(["true"])
        own = psutil.Process()
        before, others = own.num_fds(), set(own.children())
        for _ in range(4):
            done = await asyncio.gather(*(client.programs.run(["echo", str(n)]) for n in range(25)))
            assert [int(each.stdout) for each in done] == list(range(25))
        await kit.until(lambda: own.num_fds() <= before)  # Some are just being closed.
        zombies = [child for child in set(own.children()) - others if child.status() == psutil.STATUS_ZOMBIE]
        assert not zombies
        assert await client.programs.list() == []

    serve(scenario)


def test_too_many_at_once_are_refused(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        first = await client.programs.start(["sleep", "60"])
        with pytest.raises(Busy, match=r"services\.programs\.max_programs"):
            await client.programs.run(["true"])
        await client.programs.kill(first.id)
        assert (await client.programs.run(["true"])).code == 0

    serve(scenario, max_programs=1)


def test_no_more_is_returned_than_fits_into_a_message(serve: Serve) -> None:
    """In either form of the wire, however much the configuration allows."""

    async def scenario(client: AsyncClient) -> None:
        script = "head -c 2000000 /dev/urandom; head -c 2000000 /dev/urandom >&2"
        async with client.open_json() as other:  # type: ignore[attr-defined]
            for each in (client, other):
                done = await each.programs.run(["sh", "-c", script, "x" * 50_000])
                assert len(done.stdout) == len(done.stderr) > 200_000
                assert done.stdout_lost_bytes == 2_000_000 - len(done.stdout)
                done = await each.programs.run(["sh", "-c", script], output_bytes=1000)
                assert len(done.stdout) == 1000

    serve(scenario, sections={"limits": {"message_bytes": 1024 * 1024}}, output_bytes=16 * 1024 * 1024)


def test_a_program_that_must_end_well(serve: Serve) -> None:
    """With ``check`` the server itself says so, which stops a rolling call of a group."""

    async def scenario(client: AsyncClient) -> None:
        group = client.everyone()
        outcomes = await group.programs.run(["sh", "-c", "echo out; echo why >&2; exit 3"], check=True)
        (failure,) = outcomes.failed
        assert failure.state == "error"
        assert isinstance(failure.error, ProgramUnsuccessful)
        assert failure.error.message == "exit code 3: why"
        assert (failure.error.exit_code, failure.error.signal) == (3, None)
        assert (failure.error.stdout, failure.error.stderr) == (b"out\n", b"why\n")
        (success,) = (await group.programs.run(["echo", "well"], check=True, text=True)).ok
        assert success.unwrap().stdout == "well\n"
        (late,) = (await group.programs.run(["sleep", "60"], check=True, timeout_s=0.1)).failed
        assert isinstance(late.error, ProgramUnsuccessful)
        # Output that is no text is the error of its node.
        (garbage,) = (await group.programs.run(["printf", r"\377"], text=True)).failed
        assert isinstance(garbage.error, RemoteProtocolError)
        (fed,) = (await group.programs.run(["cat"], input="é", encoding="latin-1")).ok
        assert fed.unwrap().stdout == "é"
        assert (await group.one().programs.run(["cat"], input=b"x")).stdout == b"x"

    serve(scenario)
