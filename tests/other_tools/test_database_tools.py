"""Tools that use databases give through a server of ours what they give through a native driver."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.client_dbapi.live import Live
from tests.other_tools.conftest import FOLDER, Databases, run_in

SCRIPTS = sorted(path.stem for path in (FOLDER / "scripts").glob("*.py"))


def test_alembic_with_sqlite(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    live = Live(tmp_path / "server", {"main": {}})
    try:
        urls = {"native": f"sqlite:///{tmp_path}/native.db", "ours": live.sqlalchemy("sqlite")}
        found = {
            side: run_in(tmp_path / side, Path(sys.executable), "alembic_migrations", KIND="sqlite", URL=url)
            for side, url in urls.items()
        }
    finally:
        live.stop()
    assert found["ours"] == found["native"]
    assert [sorted(tables) for tables in found["ours"]][1] == ["alembic_version", "city", "street"]


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_tool(script: str, databases: Databases, run_script: Callable[..., Any]) -> None:
    results = {side: run_script(script, side, **told) for side, told in databases.environments.items()}
    assert results["ours"] == results["native"]
    assert results["ours"], "the script shows nothing"
    print(f"{script} {databases.kind}: {results['ours']}")
