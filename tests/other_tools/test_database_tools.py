"""Tools that use databases give through a server of ours what they give through a native driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.other_tools.conftest import FOLDER, Databases

SCRIPTS = sorted(path.stem for path in (FOLDER / "scripts").glob("*.py"))


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_tool(script: str, databases: Databases, run_script: Callable[..., Any]) -> None:
    results = {side: run_script(script, side, **told) for side, told in databases.environments.items()}
    assert results["ours"] == results["native"]
    assert results["ours"], "the script shows nothing"
    print(f"{script} {databases.kind}: {results['ours']}")
