"""The probe measures how long the event loop answers nobody."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from rpcserver.stalls import INTERVAL_S, LOG_EVERY_S, LOG_S, StallProbe


def test_a_stall_of_the_loop_is_measured_and_logged(tools: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with tools.serve() as server:
            before = server.stalls.longest_s
            stall_s = before + LOG_S + 0.1
            began = time.monotonic()
            time.sleep(stall_s)  # noqa: ASYNC251 - the stall itself
            took_s = time.monotonic() - began
            await tools.until(lambda: server.stalls.longest_s >= stall_s - 2 * INTERVAL_S)
            assert server.stalls.longest_s > before
            with pytest.raises(InvalidStatus):
                async with tools.connect(server, token="wrong"):
                    pass
            async with tools.connect(server) as one:
                status = (await tools.call(one, "rpc.status"))["result"]
            assert status["longest_stall_s"] >= stall_s - 2 * INTERVAL_S
            assert status["uptime_s"] >= status["longest_stall_s"]
            assert (status["connections"], status["wrong_attempts"]) == (1, 1)
            assert took_s >= stall_s
        longest_s = server.stalls.longest_s
        await asyncio.sleep(0)
        assert server.stalls.longest_s == longest_s

    with caplog.at_level(logging.WARNING, logger="rpcserver.stalls"):
        tools.run(main())
    assert any("the event loop stalled for" in record.getMessage() for record in caplog.records)


def test_stalls_are_logged_once_a_minute_the_longest_first(caplog: pytest.LogCaptureFixture) -> None:
    probe = StallProbe()
    with caplog.at_level(logging.WARNING, logger="rpcserver.stalls"):
        for now, stall_s in (
            (1, LOG_S / 2),
            (2, LOG_S),
            (3, 5.0),
            (4, 3.0),
            (2 + LOG_EVERY_S, 0.0),
            (3 + LOG_EVERY_S, 0.0),
        ):
            probe.note(stall_s, now)
    assert [record.getMessage().split(" ms")[0] for record in caplog.records] == [
        "the event loop stalled for 500",
        "the event loop stalled for 5000",
    ]
    assert probe.longest_s == 5.0
