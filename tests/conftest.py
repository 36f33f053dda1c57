"""What every test folder shares: the markers, and how a test says that it needs something of the machine."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from tests.examples import SOAK, count_examples
from tests.tracers import pytest_runtest_setup, pytest_runtest_teardown

__all__ = ["pytest_runtest_setup", "pytest_runtest_teardown"]  # No test leaves another tracer behind.

REQUIRE_ALL = bool(os.environ.get("REQUIRE_ALL"))
THERE_S = 30.0
"""How long something may take in the event loop of another thread, in seconds."""

# How long an example takes says more of the machine than of what is tested.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=count_examples()
)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: a long proof, run by `make soak` only")
    config.addinivalue_line("markers", "also_soak: run by `make soak` as well, longer or with stricter times")
    # The token, the history and the configuration of the machine and of whoever runs the tests are neither read nor
    # changed.
    folder = tempfile.mkdtemp(prefix="remote-services-tests-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["XDG_STATE_HOME"] = folder
    os.environ["XDG_CONFIG_HOME"] = os.environ["CONFIGURATION_DIRECTORY"] = f"{folder}/config"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make soak` runs the long proofs, the tests that are longer or stricter there, and the properties with all
    examples; `make test` all but the long proofs."""

    def is_kept(item: pytest.Item) -> bool:
        is_long = item.get_closest_marker("soak") is not None
        draws = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        grows = item.get_closest_marker("also_soak") is not None
        return is_long or grows or draws if SOAK else not is_long

    kept = [item for item in items if is_kept(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


@pytest.fixture(scope="session")
def missing() -> Callable[[str], NoReturn]:
    """Call it with a reason where the machine lacks something: the test is skipped, or with REQUIRE_ALL=1 fails."""

    def report(reason: str) -> NoReturn:
        if REQUIRE_ALL:
            pytest.fail(f"REQUIRE_ALL is set, and {reason}")
        pytest.skip(reason)

    return report


@pytest.fixture
def there(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Does something in an event loop that runs in another thread: one that the test's own ``new_loop`` makes."""
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(THERE_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(THERE_S)
    loop.close()
