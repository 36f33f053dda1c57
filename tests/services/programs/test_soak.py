"""Long proofs, and a small version of each in the normal suite."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from rpcclient import AsyncClient

Serve = Callable[..., None]
MIB = 1024 * 1024


def many(serve: Serve, kit: Any, count: int, at_a_time: int) -> None:
    """Programs started and reaped: no zombie, no descriptor, and no memory is left of them."""

    async def scenario(client: AsyncClient) -> None:
        own = psutil.Process()

        async def some(number: int, *, orphans: bool) -> None:
            waiting = iter(range(number))

            async def one_after_the_other() -> None:
                for n in waiting:
                    if orphans and n % 10 == 0:
                        script = "sleep 0.05 >/dev/null 2>&1 & exit 5"
                        assert (await client.programs.run(["sh", "-c", script])).code == 5
                    elif n % 10 == 1:
                        program = await client.programs.start(["echo", str(n)])
                        assert (await client.programs.wait(program.id)).status.code == 0
                        await client.programs.forget(program.id)
                    else:
                        assert int((await client.programs.run(["echo", str(n)])).stdout) == n

            await asyncio.gather(*(one_after_the_other() for _ in range(at_a_time)))

        others = {child.pid for child in own.children()}
        await some(count // 4, orphans=True)
        gc.collect()
        descriptors, memory = own.num_fds(), own.memory_info().rss
        begin = time.monotonic()
        await some(count, orphans=True)
        took = time.monotonic() - begin
        gc.collect()
        await kit.until(lambda: own.num_fds() <= descriptors)  # Some are just being closed.
        grown = own.memory_info().rss - memory
        assert grown < 16 * MIB, grown
        assert await client.programs.list() == []
        await kit.until(lambda: {child.pid for child in own.children()} <= others)
        print(f"{count} programs, {at_a_time} at a time: {took:.1f} s, memory {grown / MIB:+.1f} MiB")

    serve(scenario, seconds=1000)


def cut(serve: Serve, size: int, cuts: int, on_disconnect: Any) -> None:
    """Much output, while the connection is cut at random: every byte comes once."""
    block = random.Random(7).randbytes(MIB)
    code = (
        "import random, sys\nblock = random.Random(7).randbytes(1 << 20)\n"
        f"for n in range({size // MIB}): sys.stdout.buffer.write(n.to_bytes(8, 'big') + block[8:])"
    )
    expected = hashlib.sha256()
    for n in range(size // MIB):
        expected.update(n.to_bytes(8, "big") + block[8:])
    places = sorted(random.Random(8).sample(range(size), cuts))

    async def scenario(client: AsyncClient) -> None:
        current: AsyncClient = client.open_another()  # type: ignore[attr-defined]
        begin = time.monotonic()
        program = await current.programs.start(
            ["python3", "-c", code], overflow="wait", on_disconnect=on_disconnect, reattach_s=60
        )
        digest, at = hashlib.sha256(), 0
        left = list(places)
        over = False
        while not over:
            await current.programs.control(program.id, take=True)
            over = True
            async with current.programs.output(program.id, stream="stdout", offset=at) as chunks:
                async for chunk in chunks:
                    assert (chunk.offset, chunk.lost_bytes) == (at, 0)
                    digest.update(chunk.data)
                    at += len(chunk.data)
                    if left and at > left[0]:
                        left = [place for place in left if place > at]
                        over = False
                        await current.close()
                        break
            if not over:
                current = client.open_another()  # type: ignore[attr-defined]
        assert at == size
        assert digest.digest() == expected.digest()
        assert (await current.programs.wait(program.id)).status.code == 0
        took = time.monotonic() - begin
        print(f"{size / MIB:.0f} MiB, {cuts} cuts, {on_disconnect}: {took:.1f} s, {size / took / 1e6:.0f} MB/s")
        await current.close()

    serve(scenario, seconds=1000)


def test_some_programs_leave_nothing_behind(serve: Serve, kit: Any) -> None:
    many(serve, kit, 200, 20)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_ten_thousand_programs_leave_nothing_behind(serve: Serve, kit: Any) -> None:
    many(serve, kit, 10_000, 50)


@pytest.mark.parametrize("on_disconnect", ["kill", "keep"])
def test_much_output_and_some_cuts(serve: Serve, on_disconnect: str) -> None:
    cut(serve, 48 * MIB, 5, on_disconnect)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("on_disconnect", ["kill", "keep"])
@pytest.mark.parametrize("cuts", [0, 20])
def test_a_gibibyte_and_many_cuts(serve: Serve, on_disconnect: str, cuts: int) -> None:
    cut(serve, 1024 * MIB, cuts, on_disconnect)
