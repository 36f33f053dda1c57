"""Guards: a service compares the parameters of whatever makes a method run with the conditions of the caller's role,
before it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcserver import Guard, MethodSpec, PermissionDenied, Principal, Service, ServiceConfig, method
from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcwire.errors import InternalError, InvalidParams, RpcError


class Floors(ServiceConfig):
    """The floors that a role may go to."""

    most: int = 1


class Lift(Service):
    """Goes to floors."""

    role_model = Floors

    def __init__(self) -> None:
        super().__init__()
        self.visits: list[tuple[str, int]] = []
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def guard(self, method: MethodSpec) -> Guard | None:
        if method.name == "free":
            return None

        def check(principal: Principal, arguments: Mapping[str, Any]) -> None:
            self.asked.append((method.name, arguments))
            role = self.runtime.role_of(principal)
            assert role is not None
            floor = arguments.get("floor", 0)
            if floor < 0:
                raise ValueError("the guard itself fails")
            if floor > role.conditions.most:
                raise PermissionDenied(f"floor: at most {role.conditions.most} ({role.place}.lift.most)")

        return check

    @method()
    async def go(self, floor: int = 0, *, speed: int = 1) -> int:
        """Go to a floor."""
        self.visits.append(("go", floor))
        return floor

    @method()
    def wait(self, floor: int) -> int:
        """Go to a floor in a thread."""
        self.visits.append(("wait", floor))
        return floor

    @method()
    async def ride(self, floor: int) -> AsyncIterator[int]:
        """Pass all floors on the way."""
        self.visits.append(("ride", floor))
        for each in range(floor + 1):
            yield each

    @method()
    async def load(self, floor: int, things: AsyncIterator[str]) -> int:
        """Take things to a floor."""
        self.visits.append(("load", floor))
        return len([thing async for thing in things])

    @method()
    async def free(self, floor: int) -> int:
        """Go wherever one likes."""
        return floor


Scenario = Callable[[AsyncClient, Lift], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario with the owner as the caller, who may go to the third floor."""

    async def main(scenario: Scenario) -> None:
        lift = Lift()
        owner = {"permissions": ["*"], "lift": {"most": 3}}
        config = ServerConfig.model_validate({"state_dir": str(tmp_path), "roles": {"owner": owner}})
        server = Server(config, [lift], token="t" * 32)
        await server.start(listen=False)
        try:
            async with AsyncClient(memory=server.connect_memory) as client:
                await asyncio.wait_for(scenario(client, lift), 60)
                assert await client.call("lift.go", [3]) == 3
        finally:
            await server.stop(grace_s=0)

    return lambda scenario: asyncio.run(main(scenario))


async def refused(work: Awaitable[Any]) -> None:
    with pytest.raises(PermissionDenied, match=r"floor: at most 3 \(roles\.owner\.lift\.most\)") as caught:
        await work
    assert caught.value.executed == "no"


async def things() -> AsyncIterator[str]:
    yield "box"


def test_calls_of_every_kind(run: Callable[[Scenario], None]) -> None:
    async def scenario(client: AsyncClient, lift: Lift) -> None:
        for name in ("go", "wait"):
            for params in ([4], {"floor": 4}):
                await refused(client.call(f"lift.{name}", params))
        await refused(client.stream("lift.ride", [4]).open())
        service = client.service("lift")
        await refused(service.load(4, things()))
        assert lift.visits == []
        assert await client.call("lift.wait", {"floor": 2}) == 2
        assert [floor async for floor in client.stream("lift.ride", [2])] == [0, 1, 2]
        assert await service.load(1, things()) == 1
        assert await client.call("lift.free", [9]) == 9
        assert lift.visits == [("wait", 2), ("ride", 2), ("load", 1)]

    run(scenario)


def test_each_call_of_a_batch(run: Callable[[Scenario], None]) -> None:
    async def scenario(client: AsyncClient, lift: Lift) -> None:
        async with client.batch() as batch:
            results = [batch.call("lift.go", [floor]) for floor in (1, 4, 2)]
        assert (results[0].result(), results[2].result()) == (1, 2)
        with pytest.raises(PermissionDenied, match="floor: at most 3") as caught:
            results[1].result()
        assert caught.value.executed == "no"
        assert sorted(lift.visits) == [("go", 1), ("go", 2)]

    run(scenario)


def test_notifications(run: Callable[[Scenario], None]) -> None:
    async def scenario(client: AsyncClient, lift: Lift) -> None:
        for floor in (4, 1):
            await client.notify("lift.go", {"floor": floor})
        await client.call("lift.go", [2])  # It runs after those that were sent before.
        assert [arguments["floor"] for _, arguments in lift.asked] == [4, 1, 2]
        assert sorted(lift.visits) == [("go", 1), ("go", 2)]

    run(scenario)


def test_a_guard_gets_valid_parameters_by_name(run: Callable[[Scenario], None]) -> None:
    async def scenario(client: AsyncClient, lift: Lift) -> None:
        await client.call("lift.go")
        await client.call("lift.go", [1])
        await client.call("lift.go", {"speed": 2, "floor": 1})
        assert [arguments for _, arguments in lift.asked] == [
            {"floor": 0, "speed": 1}, {"floor": 1, "speed": 1}, {"floor": 1, "speed": 2},
        ]  # fmt: skip
        for params in (["high"], {"flor": 9}, [1, 2, 3]):
            with pytest.raises(InvalidParams):
                await client.call("lift.go", params)
        assert len(lift.asked) == 3

    run(scenario)


def test_a_guard_that_fails_lets_nothing_run(run: Callable[[Scenario], None]) -> None:
    async def scenario(client: AsyncClient, lift: Lift) -> None:
        for work in (client.call("lift.go", [-1]), client.stream("lift.ride", [-1]).open()):
            with pytest.raises(RpcError) as caught:
                await work
            assert type(caught.value) is InternalError
            assert caught.value.executed == "no"
            assert "the guard itself" not in caught.value.message
        assert lift.visits == []

    run(scenario)
