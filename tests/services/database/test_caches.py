"""What the service keeps of statements that have run: nothing of large ones."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.services.database.conftest import Bench

WAYS: dict[str, Callable[[Bench, str], Any]] = {
    "query": lambda bench, sql: bench.db.query("main", sql),
    "execute": lambda bench, sql: bench.db.execute("main", sql),
    "describe": lambda bench, sql: bench.db.describe("main", sql),
}


def references(texts: list[str]) -> list[int]:
    """How many references to each text there are."""
    return [sys.getrefcount(texts[index]) for index in range(len(texts))]


@pytest.mark.parametrize("way", WAYS)
def test_large_statements_are_not_kept(run_with: Callable[..., Any], any_database: dict[str, Any], way: str) -> None:
    """Neither prepared, nor with their placeholders replaced, nor as the name of a column."""

    async def work(bench: Bench) -> None:
        statements = [f"SELECT {number} AS n /* {'x' * 300_000} */" for number in range(8)]
        before = references(statements)
        for number in range(8):
            await WAYS[way](bench, statements[number])
        await bench.db.query("main", "SELECT 1")
        gc.collect()
        # SQLite forgets them after each million of characters.
        assert sum(now > then for now, then in zip(references(statements), before, strict=True)) <= 4

    run_with(work, main={**any_database, "pool_size": 1, "read_pool_size": 1})


def test_a_statement_is_forgotten_although_it_failed(run_with: Callable[..., Any]) -> None:
    async def work(bench: Bench) -> None:
        sql = f"SELECT abs(-9223372036854775808) /* {'x' * 2_000_000} */"
        before = references([sql])
        with pytest.raises(Exception, match="integer overflow") as caught:
            await bench.db.query("main", sql)
        del caught
        assert await bench.db.query("main", "SELECT 2")
        gc.collect()
        assert references([sql]) == before

    run_with(work)
