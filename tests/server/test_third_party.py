"""A JSON-RPC 2.0 client that knows nothing of us: the jsonrpcclient library over a plain WebSocket."""

from __future__ import annotations

import asyncio
from typing import Any

from jsonrpcclient import Error, Ok, notification_json, parse_json, request, request_json
from websockets.asyncio.client import connect


def test_it_authenticates_calls_batches_and_notifies(tools: Any) -> None:
    calc = tools.Calc()

    async def main() -> None:
        async with tools.serve(calc) as server, connect(server.addresses[0], proxy=None) as socket:

            async def ask(text: str) -> Any:
                await socket.send(text)
                return parse_json(await asyncio.wait_for(socket.recv(), tools.SECONDS))

            refused = await ask(request_json("calc.add", params=(1, 2)))
            assert isinstance(refused, Error)
            assert refused.code == -32001
            welcome = await ask(request_json("rpc.authenticate", params={"token": tools.TOKEN}))
            assert isinstance(welcome, Ok)
            assert welcome.result == {"name": "owner", "method": "token", "role": "owner", "session": None}
            assert (await ask(request_json("calc.add", params=(1, 2)))).result == 3
            assert (await ask(request_json("calc.add", params={"b": 5, "a": 2}))).result == 7
            wrong = await ask(request_json("calc.add", params={"a": 2}))
            assert isinstance(wrong, Error)
            assert wrong.code == -32602
            assert wrong.data["errors"][0]["loc"] == ["b"]
            import json

            batch = [request("calc.add", params=(n, n)) for n in range(5)]
            batch.insert(2, {"jsonrpc": "2.0", "method": "calc.wait"})
            answers = await ask(json.dumps(batch))
            assert sorted(answer.result for answer in answers) == [0, 2, 4, 6, 8]
            await tools.until(lambda: calc.log == ["started"])
            await socket.send(notification_json("calc.wait"))
            await tools.until(lambda: calc.log == ["started"] * 2)
            calc.release.set()
            assert len((await ask(request_json("rpc.discover"))).result["methods"]) > 5

    tools.run(main())
