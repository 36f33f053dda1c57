"""Spares the measure of coverage what it has counted already, as a plugin of pytest that the coverage gate uses.

A tracer makes Python almost twice as slow. Of a test with many variants, those count lines that bring a value of a parameter
for the first time (a form of the wire, an input); what only combines such values anew runs without the tracer, in this
process and in those that the test starts. So do variants on uvloop, where the same lines of ours run, and the examples of a
property after the first ones. All tests run as ever, and what is counted was run: the true coverage can only be higher."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

EXAMPLES = 25
"""How many examples of a property are measured."""
VARIABLES = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
"""What tells the measure to processes that a test starts."""


COUNTS = pytest.StashKey[bool]()
"""Whether lines are counted while a test runs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note which variants count lines, and limit what is counted of properties."""
    values: dict[str, set[tuple[str, int]]] = {}
    for item in items:
        name = item.nodeid.partition("[")[0]
        is_first = name not in values
        item.stash[COUNTS] = _brings_something(item, values.setdefault(name, set()), is_first=is_first)
        _limit_examples(item)


def _brings_something(item: pytest.Item, values: set[tuple[str, int]], *, is_first: bool) -> bool:
    """Whether a variant of a test has a value that none before it had; its values are added to those."""
    variant = getattr(item, "callspec", None)
    if variant is None:
        return True
    if "uvloop" in variant.id.split("-") and not is_first:
        return False
    news = {(name, id(value)) for name, value in variant.params.items()} - values
    values |= news
    return bool(news)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run a test, without the tracer if it does not count."""
    if item.stash[COUNTS]:
        return (yield)
    with rest():
        return (yield)


@contextlib.contextmanager
def rest() -> Iterator[None]:
    """Count no lines in this thread, in those that begin meanwhile, and in the processes that they start.

    The tracer keeps the frames in which it is: it must come back in the frame that it has left."""
    tracers = sys.gettrace(), threading.gettrace()
    variables = {name: os.environ.pop(name) for name in VARIABLES if name in os.environ}
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        os.environ.update(variables)
        threading.settrace(tracers[1])
        sys.settrace(tracers[0])


def _limit_examples(item: pytest.Item) -> None:
    handle: Any = getattr(getattr(item, "obj", None), "hypothesis", None)
    if handle is None or hasattr(handle.inner_test, "limited"):
        return
    run: Callable[..., Any] = handle.inner_test
    count = 0

    @functools.wraps(run)
    def run_example(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count <= EXAMPLES:
            return run(*args, **kwargs)
        with rest():
            return run(*args, **kwargs)

    run_example.limited = True  # type: ignore[attr-defined]
    handle.inner_test = run_example
