"""Judges, as a plugin of pytest, that no test leaves another tracer behind than it has found.

The measure of coverage is a tracer. Where a test sets another one and does not give back what was there, the lines that all
later tests of this process run are not counted."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

TRACERS: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "sys": (sys.gettrace, sys.settrace),
    "threading": (threading.gettrace, threading.settrace),
}
"""How the tracer of this thread, and that of threads to come, is found and set; by the module that has the functions."""
FOUND = pytest.StashKey[dict[str, Any]]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Note the tracers before the test and its fixtures."""
    item.stash[FOUND] = {name: find() for name, (find, _) in TRACERS.items()}
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail if the test or one of its fixtures has left another tracer, and set the one that was there."""
    try:
        yield
    finally:
        others = {}
        for name, (find, put) in TRACERS.items():
            if (left := find()) is not item.stash[FOUND][name]:
                others[name] = left
                put(item.stash[FOUND][name])
    if others:
        said = ", ".join(f"{name}.gettrace() gives {left!r}" for name, left in others.items())
        pytest.fail(f"{item.nodeid} leaves another tracer behind than it has found: {said}", pytrace=False)
