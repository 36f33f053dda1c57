"""Cancels tasks so that each can still answer its call, and lets other tasks run."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


def cancel_begun(task: asyncio.Task[Any]) -> None:
    """Cancel a task, but not before its first step. A coroutine that was never begun does not run its ``finally``
    either, and its call would get no answer. The first step is in the loop's queue already; this adds the cancellation
    behind it."""
    coroutine = task.get_coro()
    if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        task.get_loop().call_soon(task.cancel)
    else:
        task.cancel()


async def give_way() -> None:
    """Let all other tasks run once. A function that fails without waiting must call this first: its caller may try
    again in a loop, and then neither the connection nor any other task would ever run. Without a running loop there is
    nothing to do."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    await asyncio.sleep(0)


def gives_way(act: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Make a coroutine function let all other tasks run before it fails; see :func:`give_way`."""

    @functools.wraps(act)
    async def acts(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return await act(*args, **kwargs)
        except Exception:
            await give_way()
            raise

    return acts
