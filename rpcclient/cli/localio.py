"""Standard input and output of this process, without blocking the event loop."""

from __future__ import annotations

import asyncio

from . import standard

INPUT_BYTES = 64 * 1024


async def read_some(descriptor: int) -> bytes:
    """Read what is available, and wait for it if nothing is; empty at the end.

    Its mode stays as it is: others share it.

    Raises:
        OSError: it cannot be read; ``filename`` says which it is.
    """
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:  # A file, or /dev/null: epoll(7) knows them not, and they never make anybody wait.
        return standard.read(descriptor, INPUT_BYTES)
    try:
        while True:
            await ready.wait()
            try:
                return standard.read_now(descriptor, INPUT_BYTES)
            except BlockingIOError:  # Somebody else was faster.
                ready.clear()
    finally:
        loop.remove_reader(descriptor)


async def write_all(descriptor: int, data: bytes) -> None:
    """Write everything, however slowly the reader takes it.

    Raises:
        BrokenPipeError: nobody reads it any more.
        OSError: it takes no more otherwise, such as a full disk; ``filename`` says which it is.
    """
    await asyncio.get_running_loop().run_in_executor(None, standard.write_all, descriptor, data)
