"""A cache of results for small arguments only: large ones come from outside, and would fill the memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


def cache_small(
    entries: int, most_size: int, size_of: Callable[..., int]
) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Cache a function's results, as :func:`functools.lru_cache` does, for small arguments.

    Parameters:
        entries: the most results to keep.
        most_size: the largest size of arguments whose result is kept.
        size_of: takes the arguments, and returns their size.
    """

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        cache = lru_cache(entries)(function)

        @wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            if size_of(*args, **kwargs) > most_size:
                return function(*args, **kwargs)
            return cache(*args, **kwargs)  # type: ignore[arg-type]

        return call

    return decorate
