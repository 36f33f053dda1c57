"""Lost connections: reading and waiting go on over a new one, and nothing is missed."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import time
from typing import Any

import pytest

from rpcclient.errors import ConnectionLost, DeadlineExceeded

MIB = 1024 * 1024


def digest_of(seed: int, size: int) -> str:
    """SHA-256 of what :data:`PRINTER` prints."""
    found, source = hashlib.sha256(), random.Random(seed)
    for _ in range(size // MIB):
        found.update(source.randbytes(MIB))
    return found.hexdigest()


def printer(seed: int, size: int) -> list[str]:
    """A program that prints so many bytes, which look like nothing else."""
    code = "import random, sys; r = random.Random(int(sys.argv[1])); n = 1 << 20\n"
    code += "for _ in range(int(sys.argv[2]) // n): sys.stdout.buffer.write(r.randbytes(n))"
    return ["python3", "-c", code, str(seed), str(size)]


def test_reading_goes_on(daemon: Any, proxy: Any) -> None:
    script = "echo one; read go; echo two; echo err >&2; read go; exit 3"
    with daemon.client(proxy.url) as client, client.programs.start(["sh", "-c", script], reattach_s=30) as program:
        assert program.stdout.readline() == b"one\n"
        proxy.cut()
        while client.connected:  # Whether something written now arrives nobody could tell.
            threading.Event().wait(0.005)
        program.stdin.write(b"\n")
        assert program.stdout.readline() == b"two\n"
        proxy.cut()
        assert program.stderr.readline() == b"err\n"
        program.stdin.write(b"\n")
        proxy.cut()
        assert program.wait().status.code == 3
        assert program.stdout.read() == b""
    assert proxy.cuts == 3


def test_waiting_keeps_control(daemon: Any, proxy: Any) -> None:
    """Somebody who only waits comes back, too, before the program is given up."""
    with daemon.client(proxy.url) as client, daemon.client() as other:
        program = client.programs.start(["sleep", "60"], on_disconnect="kill", reattach_s=5)
        watching = other.programs.watch()
        with watching:
            assert next(watching).program.id == program.id

            waiting = threading.Thread(target=program.wait)
            waiting.start()
            proxy.cut()
            while not other.programs.get(program.id).controlled:
                threading.Event().wait(0.01)
            other.programs.kill(program.id)
            waiting.join(20)
        assert program.returncode == -9


def test_a_program_that_ends_with_its_connection(daemon: Any, proxy: Any) -> None:
    with daemon.client(proxy.url) as client, client.programs.start(["sh", "-c", "echo one; exec sleep 60"]) as program:
        assert program.stdout.readline() == b"one\n"
        proxy.cut()
        assert program.stdout.read() == b""
        assert program.wait().status.signal in ("SIGTERM", "SIGKILL")


def test_a_connection_that_is_dead_and_not_cleared_away_yet(daemon: Any) -> None:
    """It is not tried again and again until somebody has time to clear it away."""
    with daemon.client() as client, client.programs.start(["cat"], reattach_s=60) as program:
        peer = client._connector.live
        assert peer is not None
        with peer.link.lock:  # Which its own thread needs for that.
            peer.link.abort()
            assert program.poll() is None
            with pytest.raises(DeadlineExceeded):
                program.wait(0.05)
            program.stdin.write(b"one\n")
            assert program.stdout.readline() == b"one\n"
        assert peer.closed.wait(20)
        program.stdin.close()
        assert program.wait().status.code == 0


def test_a_server_that_does_not_come_back(daemon: Any, proxy: Any) -> None:
    """It is said, and not waited for without end."""
    there = type(proxy)(daemon.port)
    said: list[str] = []
    with daemon.client(there.url) as client:
        assert client.programs.start(["true"], reattach_s=90).reconnect_timeout_s == 90
        assert client.programs.start(["true"], reattach_s=9).reconnect_timeout_s == 60
        program = client.programs.start(["sleep", "60"])
        looking = client.programs.attach(program.id)
        for handle in (program, looking):
            handle.reconnect_timeout_s, handle.on_connection_lost = 0.3, said.append
        there.close()
        for wanted in (program.wait, program.stdout.read, looking.stdout.read, looking.wait):
            with pytest.raises(
                ConnectionLost, match=r"the connection was lost, and no other could be made within 0\.3 s"
            ):
                wanted()
        with pytest.raises(ConnectionLost):
            program.wait(0.1)
    assert said == ["the connection was lost; trying again for up to 0.3 s"] * 2


def test_a_server_that_does_not_come_back_async(daemon: Any, proxy: Any) -> None:
    there = type(proxy)(daemon.port)

    async def main() -> None:
        async with daemon.async_client(there.url) as client:
            program = await client.programs.start(["sleep", "60"])
            program.reconnect_timeout_s = 0.3
            there.close()
            for wanted in (program.wait, program.stdout.read):
                with pytest.raises(ConnectionLost, match=r"within 0\.3 s"):
                    await wanted()
            with pytest.raises(ConnectionLost):
                await program.wait(0.1)

    asyncio.run(main())


def stream(daemon: Any, proxy: Any, size: int, cuts: int, seed: int = 7) -> int:
    """Stream so much output, with the connection cut so often; returns how often it was."""
    chance = random.Random(seed)
    found = hashlib.sha256()
    with daemon.client(proxy.url) as client:
        program = client.programs.start(printer(seed, size), overflow="wait", reattach_s=60)
        taken = 0
        if cuts:
            proxy.cut_after(int(size / (cuts + 1) * chance.uniform(0.2, 1)))
        for piece in program.stdout:
            found.update(piece)
            taken += len(piece)
            if proxy.cuts < cuts and proxy.is_ready:
                proxy.cut_after(int(size / (cuts + 1) * chance.uniform(0.2, 1)))
        assert program.wait().status.code == 0
        assert taken == size
    assert found.hexdigest() == digest_of(seed, size)
    return int(proxy.cuts)


def test_much_output(daemon: Any, proxy: Any) -> None:
    assert stream(daemon, proxy, 32 * MIB, 0) == 0


def test_much_output_over_lost_connections(daemon: Any, proxy: Any) -> None:
    assert stream(daemon, proxy, 32 * MIB, 5) == 5


def test_async(daemon: Any, proxy: Any) -> None:
    async def main() -> None:
        async with daemon.async_client(proxy.url) as client:
            async with await client.programs.start(printer(3, 8 * MIB), overflow="wait", reattach_s=60) as program:
                found = hashlib.sha256()
                proxy.cut_after(3 * MIB)
                async for piece in program.stdout:
                    found.update(piece)
                assert (await program.wait()).status.code == 0
            assert proxy.cuts == 1
            assert found.hexdigest() == digest_of(3, 8 * MIB)

    asyncio.run(main())


@pytest.mark.soak
@pytest.mark.parametrize("cuts", [0, 20])
def test_one_gibibyte(daemon: Any, proxy: Any, cuts: int) -> None:

    begin = time.perf_counter()
    assert stream(daemon, proxy, 1024 * MIB, cuts) == cuts
    taken = time.perf_counter() - begin
    print(f"1 GiB, {cuts} cuts: {taken:.1f} s, {1024 / taken:.0f} MiB/s")
