"""Cancelling tasks so that they always get to answer, and letting others run."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


def cancel_begun(task: asyncio.Task[Any]) -> None:
    """Cancel a task, but not before its first step: a coroutine that never began runs no ``finally`` either, so that
    its call would stay without an answer. The first step is in the loop's queue already, and this goes behind it."""
    coroutine = task.get_coro()
    if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        task.get_loop().call_soon(task.cancel)
    else:
        task.cancel()


async def give_way() -> None:
    """Let everything else run once. What fails without waiting does this first: its caller may try again in a loop, and
    then nothing else would ever run, neither the connection nor the loop's other tasks. Where no loop runs, nobody else
    waits."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    await asyncio.sleep(0)


def gives_way(act: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """A coroutine function that lets everything else run before it fails; see :func:`give_way`."""

    @functools.wraps(act)
    async def acts(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return await act(*args, **kwargs)
        except Exception:
            await give_way()
            raise

    return acts
