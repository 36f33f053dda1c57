"""Memory goes back to the system after large messages, and only then."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

from rpcserver.trimming import INTERVAL_S, WORTH_BYTES, Trimmer

KEEPS = """
import ctypes, os
from rpcserver.trimming import trim_heap
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
size = 64 * 1024
blocks = [libc.malloc(size) for _ in range(1024)]
for block in blocks:
    ctypes.memset(block, 1, size)
pages = lambda: int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
for block in blocks[:-1]:  # The last one, at the top of the heap, keeps the others from going back.
    libc.free(block)
before = pages()
trim_heap()
print(before - pages())
"""


def test_what_the_c_library_keeps_goes_back() -> None:
    answer = subprocess.run([sys.executable, "-c", KEEPS], capture_output=True, text=True, check=True, env=os.environ)
    assert int(answer.stdout) > 32 * 1024 * 1024


def test_only_if_much_was_freed(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(limits={"message_bytes": 64 * 1024 * 1024}) as server:
            memory = server.connections.memory
            calls: list[int] = []
            trimmer = Trimmer(memory.note_peak, lambda: calls.append(1))
            account = memory.of_connection(memory.join("ada"))
            loan = account.take(WORTH_BYTES)
            trimmer.look()
            assert not calls  # It is still in use.
            loan.give_back()
            trimmer.look()
            trimmer.look()
            assert calls == [1]
            account.take(WORTH_BYTES - 1).give_back()
            trimmer.look()
            assert calls == [1]
            memory.leave("ada")

    tools.run(main())


def test_it_looks_again_and_again_until_it_is_stopped() -> None:
    class Loop(asyncio.SelectorEventLoop):
        """A loop whose time runs as fast as one likes."""

        ahead_s = 0.0

        def time(self) -> float:
            return super().time() + self.ahead_s

    looks = 0

    def note() -> int:
        nonlocal looks
        looks += 1
        return 0

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        trimmer = Trimmer(note)
        trimmer.start()
        for number in range(3):
            loop.ahead_s += INTERVAL_S
            async with asyncio.timeout(5):
                while looks == number:
                    await asyncio.sleep(0)
        trimmer.stop()
        loop.ahead_s += INTERVAL_S
        for _ in range(10):
            await asyncio.sleep(0)
        assert looks == 3

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
