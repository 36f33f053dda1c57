"""The client in TypeScript: its own tests, by vitest, alone and against a real server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.contract.conftest import TOKEN
from web.building import WEB

from .conftest import LIMIT_S, RunNode

VITEST = WEB / "node_modules" / "vitest" / "vitest.mjs"
pytestmark = pytest.mark.timeout(LIMIT_S + 60)


def count_passed(output: str) -> int:
    found = re.search(r"Tests +(\d+) passed \(\d+\)", output)
    assert found, output
    return int(found[1])


def test_units(run_node: RunNode) -> None:
    assert count_passed(run_node(VITEST, "run", "tests/unit")) > 30


def test_against_a_server(run_node: RunNode, running: Any) -> None:
    tcp, _ = running.server.addresses
    variables = {"TEST_SERVER_URL": tcp, "TEST_SERVER_TOKEN": TOKEN}
    assert count_passed(run_node(VITEST, "run", "tests/server", variables=variables)) > 30
