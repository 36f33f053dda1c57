"""Standard input and output of this process, on an event loop that must not be held up."""

from __future__ import annotations

import asyncio
import os

from .standard import named

INPUT_BYTES = 64 * 1024


async def read_some(descriptor: int) -> bytes:
    """What there is to read, as soon as there is something; empty at the end.

    The descriptor stays in blocking mode: others share it.

    Raises:
        OSError: it cannot be read; ``filename`` says which it is.
    """
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:  # A file, or /dev/null: epoll(7) knows them not, and they never make anybody wait.
        return _read(descriptor)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
    return _read(descriptor)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, INPUT_BYTES)
    except OSError as exc:
        raise named(exc, descriptor) from exc


async def write_all(descriptor: int, data: bytes) -> None:
    """Write everything; whoever reads it may take their time.

    Raises:
        BrokenPipeError: nobody reads it any more.
        OSError: it takes no more otherwise, such as a full disk; ``filename`` says which it is.
    """
    await asyncio.get_running_loop().run_in_executor(None, _write_all, descriptor, data)


def _write_all(descriptor: int, data: bytes) -> None:
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            try:
                done += os.write(descriptor, view[done:])
            except OSError as exc:
                raise named(exc, descriptor) from exc
