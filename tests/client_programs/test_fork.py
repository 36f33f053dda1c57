"""Handles of programs in a child of the process that has made them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SYNC = """
import sys
from rpcclient import Client
from tests.client.forked import Child

client = Client(sys.argv[1], token_file=sys.argv[2])
with client.programs.start(["sh", "-c", "read x; echo $x"], text=True) as program:
    def leaves():
        with program:
            pass
        return program.poll()
    print(Child(leaves).answer())
    print(Child(lambda: program.__exit__(ValueError, ValueError(), None)).answer())
    program.stdin.write("on\\n")
    print(program.stdout.read().strip(), program.wait().status.code)
client.close()
"""
ASYNC = """
import asyncio, sys
from rpcclient import AsyncClient
from tests.client.forked import Child

async def main():
    client = AsyncClient(sys.argv[1], token_file=sys.argv[2])
    async with await client.programs.start(["sh", "-c", "read x; echo $x"], text=True) as program:
        async def leaves():
            async with program:
                pass
            return await program.poll()
        print(Child(lambda: asyncio.run(leaves())).answer())
        print(Child(lambda: asyncio.run(program.__aexit__(ValueError, ValueError(), None))).answer())
        await program.stdin.write("on\\n")
        print((await program.stdout.read()).strip(), (await program.wait()).status.code)
    await client.close()
asyncio.run(main())
"""


@pytest.mark.parametrize("script", [SYNC, ASYNC], ids=["sync", "asyncio"])
def test_a_child_that_leaves_the_block_ends_nothing(daemon: Any, script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script),
         daemon.url, daemon.token_file],
        capture_output=True, text=True, timeout=110, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.splitlines() == ["['returned', None]", "['returned', None]", "on 0"]
