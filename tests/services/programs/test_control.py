"""Who may write to a program, and what happens to it when its controller goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rpcclient import AsyncClient
from rpcclient.stubs.programs import NotController

Serve = Callable[..., None]


def test_one_controller_and_many_viewers(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        other: AsyncClient = client.open_another()  # type: ignore[attr-defined]
        program = await client.programs.start(["cat"])
        assert program.info.controlled
        async with client.programs.output(program.id) as mine, other.programs.output(program.id) as theirs:
            await client.programs.write(program.id, b"to all\n")
            assert await kit.read_until(mine, b"\n") == await kit.read_until(theirs, b"\n") == b"to all\n"
            assert (await client.programs.get(program.id)).viewers == 2
            for call in (
                lambda: other.programs.write(program.id, b"no"),
                lambda: other.programs.close_stdin(program.id),
                lambda: other.programs.resize(program.id, 1, 1),
                lambda: other.programs.control(program.id),
            ):
                with pytest.raises(NotController, match="take=True"):
                    await call()
            await other.programs.control(program.id, take=True)
            await other.programs.write(program.id, b"now me\n")
            assert await kit.read_until(mine, b"\n") == b"now me\n"
            with pytest.raises(NotController):
                await client.programs.write(program.id, b"no")
        # The first is no longer the one on whom it depends.
        await other.programs.close_stdin(program.id)
        assert (await other.programs.wait(program.id)).status.code == 0
        await other.close()

    serve(scenario)


def test_it_is_ended_with_its_controller(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        mark = "86397.5"
        other: AsyncClient = client.open_another()  # type: ignore[attr-defined]
        await other.programs.start(["sh", "-c", f"setsid sleep {mark} & sleep {mark}"])
        await kit.until(lambda: len(kit.with_argument(mark)) >= 2)
        await other.close()
        await kit.until(lambda: not kit.with_argument(mark))

    serve(scenario)


def test_it_follows_a_new_controller(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        mark = "86397.75"
        other: AsyncClient = client.open_another()  # type: ignore[attr-defined]
        program = await other.programs.start(["sleep", mark], reattach_s=60)
        await other.close()
        assert (await client.programs.get(program.id)).running
        await client.programs.control(program.id)
        assert (await client.programs.get(program.id)).controlled
        await client.programs.kill(program.id)

        third: AsyncClient = client.open_another()  # type: ignore[attr-defined]
        program = await third.programs.start(["sleep", mark], reattach_s=0.2)
        await third.close()
        await kit.until(lambda: not kit.with_argument(mark))
        assert (await client.programs.wait(program.id)).status.signal == "SIGTERM"

    serve(scenario)


@pytest.mark.parametrize("on_disconnect", ["kill", "keep"])
def test_nobody_controls_what_has_ended(serve: Serve, kit: Any, on_disconnect: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        other: AsyncClient = client.open_another()  # type: ignore[attr-defined]
        program = await other.programs.start(["true"], on_disconnect=on_disconnect)
        await other.programs.wait(program.id)
        await kit.until(lambda: client.service_here.programs[program.id].controller is None)  # type: ignore[attr-defined]
        await other.programs.control(program.id)
        await other.close()
        info = await client.programs.control(program.id)
        assert (info.running, info.controlled) == (False, False)
        # What has ended holds on to no connection.
        assert client.service_here.closing == {}  # type: ignore[attr-defined]

    serve(scenario)


def test_a_connection_that_gave_control_away_is_let_go(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        program = await client.programs.start(["cat"])
        for _ in range(3):
            other: AsyncClient = client.open_another()  # type: ignore[attr-defined]
            await other.programs.control(program.id, take=True)
            await client.programs.control(program.id, take=True)
            await other.close()
        assert (await client.programs.get(program.id)).running
        assert list(client.service_here.closing) == [program.id]  # type: ignore[attr-defined]
        await client.programs.kill(program.id)

    serve(scenario)


def test_hanging_up(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        other: AsyncClient = client.open_another()  # type: ignore[attr-defined]
        meek = await other.programs.start(["sleep", "60"], on_disconnect="hangup")
        tough = await other.programs.start(
            ["sh", "-c", "trap 'echo heard' HUP; echo ready; cat; echo input over; exit 5"], on_disconnect="hangup"
        )
        async with client.programs.output(tough.id) as chunks:
            await kit.read_until(chunks, b"ready")
            await other.close()
            assert b"heard" in await kit.read_until(chunks, b"input over")
        assert (await client.programs.wait(meek.id)).status.signal == "SIGHUP"
        assert (await client.programs.wait(tough.id)).status.code == 5

    serve(scenario)


def test_keeping(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        other: AsyncClient = client.open_another()  # type: ignore[attr-defined]
        program = await other.programs.start(["cat"], on_disconnect="keep")
        await other.programs.write(program.id, b"before\n")
        await other.close()
        # Whoever writes first controls it then.
        await client.programs.write(program.id, b"after\n")
        await client.programs.close_stdin(program.id)
        assert await kit.all_output(client, program.id) == b"before\nafter\n"
        assert (await client.programs.wait(program.id)).status.code == 0

    serve(scenario)


def test_watching(serve: Serve, kit: Any) -> None:
    async def scenario(client: AsyncClient) -> None:
        there = await client.programs.start(["cat"], labels={"job": "there", "team": "a"})
        async with (
            client.programs.watch() as everything,
            client.programs.watch(labels={"team": "a"}) as team_a,
            client.programs.watch(owner="somebody else") as nothing,
        ):
            event = await anext(everything)
            assert (event.kind, event.program.id, event.exit) == ("running", there.id, None)
            done = await client.programs.run(["sh", "-c", "exit 4"], labels={"job": "ran"})
            started, exited = await anext(everything), await anext(everything)
            assert (started.kind, started.program.labels) == ("started", {"job": "ran"})
            assert exited.kind == "exited"
            assert exited.exit is not None
            assert exited.exit.status == done.status
            await client.programs.kill(there.id)
            await client.programs.forget(there.id)
            assert [(await anext(everything)).kind, (await anext(everything)).kind] == ["exited", "forgotten"]
            assert [(await anext(team_a)).kind for _ in range(3)] == ["running", "exited", "forgotten"]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(nothing), 0.05)

    serve(scenario)


def test_listing(serve: Serve) -> None:
    async def scenario(client: AsyncClient) -> None:
        one = await client.programs.start(["cat"], labels={"job": "one", "team": "a"})
        two = await client.programs.start(["true"], labels={"job": "two", "team": "a"})
        await client.programs.wait(two.id)

        async def ids(**options: Any) -> set[str]:
            return {info.id for info in await client.programs.list(**options)}

        assert await ids() == {one.id, two.id}
        assert await ids(labels={"team": "a"}) == {one.id, two.id}
        assert await ids(labels={"team": "a", "job": "two"}) == {two.id}
        assert await ids(labels={"team": "b"}) == set()
        assert await ids(running=True) == {one.id}
        assert await ids(running=False) == {two.id}
        assert await ids(owner="memory") == {one.id, two.id}
        assert await ids(owner="x") == set()
        info = await client.programs.get(two.id)
        assert (info.owner, info.labels, info.user) == ("memory", {"job": "two", "team": "a"}, None)

    serve(scenario)
