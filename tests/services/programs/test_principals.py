"""What one caller may do to the programs of another, method by method. Ada comes with a token, the owner by the Unix
socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rpcclient import AsyncClient, AsyncStream
from rpcclient.stubs.programs import NotController, ProgramInfo, ProgramNotFound, ProgramRefused, RunEvent, TerminalSize
from rpcservices.programs import Programs
from rpcwire.errors import InvalidParams, PermissionDenied, RpcError

RULE = "roles.theirs.programs.others"
Scenario = Callable[[AsyncClient, AsyncClient], Awaitable[None]]
Run = Callable[..., None]

VIEWING: dict[str, Callable[[AsyncClient, str], Awaitable[Any]]] = {
    "get": lambda ada, which: ada.programs.get(which),
    "output": lambda ada, which: ada.programs.output(which).open(),
    "wait": lambda ada, which: ada.programs.wait(which),
}
CONTROLLING: dict[str, Callable[[AsyncClient, str], Awaitable[Any]]] = {
    "control": lambda ada, which: ada.programs.control(which),
    "take control": lambda ada, which: ada.programs.control(which, take=True),
    "write": lambda ada, which: ada.programs.write(which, b"x\n"),
    "close_stdin": lambda ada, which: ada.programs.close_stdin(which),
    "resize": lambda ada, which: ada.programs.resize(which, 10, 20),
    "signal": lambda ada, which: ada.programs.signal(which, "TERM"),
    "kill": lambda ada, which: ada.programs.kill(which),
    "forget": lambda ada, which: ada.programs.forget(which),
}


@pytest.fixture
def run(with_ada: Callable[..., None]) -> Run:
    def run(scenario: Scenario, **roles: Any) -> None:
        with_ada(Programs(), scenario, roles=roles)

    return run


def others(allowed: str) -> dict[str, Any]:
    return {"theirs": her_role(["programs.*"], allowed)}


def her_role(permissions: list[str], others: str = "none") -> dict[str, Any]:
    """A role that has Ada in it, who may run anything if a permission lets her run programs."""
    return {
        "principals": ["ada"],
        "permissions": permissions,
        "programs": {"may_run": "anything", "others": others},
    }


async def echoing(owner: AsyncClient) -> ProgramInfo:
    """A program of the owner's, on a terminal, that has written something."""
    program = await owner.programs.start(["cat"], terminal=TerminalSize())
    await owner.programs.write(program.id, b"hello\n")
    return program.info


async def seen_by(client: AsyncClient, program: str) -> bytes:
    """The first of what a program has written."""
    async with client.programs.output(program) as chunks:
        return (await anext(chunks)).data


def test_others_none(run: Run) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        async with ada.programs.watch() as events:
            program = await echoing(owner)
            for name, attempt in {**VIEWING, **CONTROLLING}.items():
                with pytest.raises(ProgramNotFound) as caught:
                    await attempt(ada, program.id)
                    pytest.fail(f"{name}: it was done")
                assert caught.value.id == program.id, name
            assert await ada.programs.list() == []
            assert await ada.programs.list(owner="owner") == []
            hers = await ada.programs.start(["true"])
            # She hears of her own first, though the other was started before.
            assert (await anext(events)).program.id == hers.id
        assert (await owner.programs.get(program.id)).running
        assert {info.id for info in await owner.programs.list()} == {program.id, hers.id}  # The owner may see all.

    run(scenario, **others("none"))


def test_others_view(run: Run) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        async with ada.programs.watch() as events:
            program = await echoing(owner)
            event = await anext(events)
            assert (event.kind, event.program.id, event.program.owner) == ("started", program.id, "owner")
            for name, attempt in CONTROLLING.items():
                with pytest.raises(ProgramRefused, match="you may view, but not control") as caught:
                    await attempt(ada, program.id)
                    pytest.fail(f"{name}: it was done")
                assert (caught.value.field, caught.value.rule, caught.value.executed) == ("id", RULE, "no"), name
            assert [info.id for info in await ada.programs.list()] == [program.id]
            info = await ada.programs.get(program.id)
            assert (info.running, info.controlled, info.terminal) == (True, True, TerminalSize())
            assert (await seen_by(ada, program.id)).startswith(b"hello")
            waiting = asyncio.ensure_future(ada.programs.wait(program.id))
            await owner.programs.kill(program.id)
            assert (await waiting).status.signal == "SIGKILL"
            with pytest.raises(ProgramRefused):
                await ada.programs.forget(program.id)
            await owner.programs.forget(program.id)
            assert [(await anext(events)).kind for _ in range(2)] == ["exited", "forgotten"]

    run(scenario, **others("view"))


def test_others_control(run: Run) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        program = await echoing(owner)
        for attempt in ("control", "write", "close_stdin", "resize"):
            with pytest.raises(NotController):
                await CONTROLLING[attempt](ada, program.id)
        assert (await ada.programs.control(program.id, take=True)).controlled
        await ada.programs.resize(program.id, 10, 20)
        await ada.programs.write(program.id, b"from ada\n")
        async with ada.programs.output(program.id) as chunks:
            seen = b""
            while b"from ada" not in seen:
                seen += (await anext(chunks)).data
        await ada.programs.close_stdin(program.id)
        assert (await ada.programs.wait(program.id)).status.code == 0
        await ada.programs.forget(program.id)
        for end in (
            lambda which: ada.programs.signal(which, "TERM"),
            ada.programs.kill,
            ada.programs.forget,
        ):
            program = await echoing(owner)
            waiting = asyncio.ensure_future(owner.programs.wait(program.id))
            await owner.programs.get(program.id)  # Answered after the wait has begun.
            await end(program.id)
            assert (await waiting).status.signal is not None

    run(scenario, **others("control"))


def test_the_owner_has_one_name_whichever_way_they_come(run: Run) -> None:
    """A role for the owner holds at the Unix socket as it does with the token."""
    role = {"principals": ["owner"], "permissions": ["programs.run"], "programs": {"may_run": "anything"}}

    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        assert (await owner.programs.run(["echo", "here"])).stdout == b"here\n"
        with pytest.raises(PermissionDenied, match=r'ada is in no role.*"programs\.run"'):
            await ada.programs.run(["true"])

    run(scenario, owner={}, mine=role)


async def end_of(events: AsyncStream[RunEvent]) -> RunEvent:
    """The last item of a stream."""
    async with events:
        *_, last = [event async for event in events]
    return last


STARTING: dict[str, Callable[[AsyncClient, str], Awaitable[Any]]] = {
    "run": lambda ada, _: ada.programs.run(["true"]),
    "run_output_bytes": lambda ada, _: ada.programs.run_output_bytes(["true"]),
    "start": lambda ada, _: ada.programs.start(["true"]),
    "stream": lambda ada, _: end_of(ada.programs.stream(["true"])),
}
LISTING: dict[str, Callable[[AsyncClient, str], Awaitable[Any]]] = {
    "list": lambda ada, _: ada.programs.list(),
    "outputs": lambda ada, _: ada.programs.outputs().open(),
    "watch": lambda ada, _: ada.programs.watch().open(),
}
MATCHING: dict[str, Callable[[AsyncClient, str], Awaitable[list[Any]]]] = {
    "signal_matching": lambda ada, which: ada.programs.signal_matching("TERM", ids=[which]),
    "kill_matching": lambda ada, which: ada.programs.kill_matching(ids=[which]),
    "forget_matching": lambda ada, which: ada.programs.forget_matching(ids=[which], force=True),
}
PERMISSIONS = {"run": STARTING, "view": {**VIEWING, **LISTING}, "control": {**CONTROLLING, **MATCHING}}


@pytest.mark.parametrize("which", ["none", "view"])
def test_programs_of_others_are_not_among_those_that_match(run: Run, which: str) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        program = await echoing(owner)
        for attempt in MATCHING.values():
            assert await attempt(ada, program.id) == []
        assert (await owner.programs.get(program.id)).running

    run(scenario, **others(which))


def test_several_programs_are_ended_by_whoever_controls_them(run: Run) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        marked = [(await owner.programs.start(["cat"], labels={"job": "a", "n": str(n)})).info.id for n in range(3)]
        other = (await owner.programs.start(["cat"], labels={"job": "b"})).info.id
        for labels in (None, {}):
            with pytest.raises(InvalidParams, match="say which programs"):
                await ada.programs.kill_matching(labels=labels)
        with pytest.raises(InvalidParams, match="signal"):
            await ada.programs.signal_matching("NOTHING", labels={"job": "a"})
        assert await ada.programs.signal_matching("CONT", labels={"job": "a"}) == marked
        assert await ada.programs.forget_matching(labels={"job": "a"}) == []  # They run.
        ends = await ada.programs.kill_matching(labels={"job": "a", "n": "1"}, grace_s=5)
        assert [(end.id, end.status.signal) for end in ends] == [(marked[1], "SIGTERM")]
        ends = await ada.programs.kill_matching(labels={"job": "a"})
        assert [(end.id, end.status.signal) for end in ends] == [(marked[0], "SIGKILL"), (marked[2], "SIGKILL")]
        assert await ada.programs.kill_matching(labels={"job": "a"}) == []
        assert await ada.programs.kill_matching(owner="ada") == []
        assert await ada.programs.signal_matching("CONT", owner="owner") == [other]
        assert await ada.programs.forget_matching(labels={"job": "a"}) == marked
        assert await ada.programs.forget_matching(ids=[other, "none"], force=True) == [other]
        assert await owner.programs.list() == []

    run(scenario, **others("control"))


def test_every_method_is_in_one_of_the_permissions() -> None:
    tried = {name.replace("take ", "") for attempts in PERMISSIONS.values() for name in attempts}
    assert {method.name for method in Programs.methods()} == tried


@pytest.mark.parametrize("given", PERMISSIONS)
def test_a_permission_allows_its_methods_and_no_others(run: Run, given: str) -> None:
    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        program = await echoing(owner)
        for permission, attempts in PERMISSIONS.items():
            for name, attempt in attempts.items():
                if permission != given:
                    with pytest.raises(
                        PermissionDenied, match=f'add "programs.{permission}" to roles.theirs'
                    ) as caught:
                        await attempt(ada, program.id)
                        pytest.fail(f"{name}: it was done")
                    assert caught.value.executed == "no"
        assert (await owner.programs.get(program.id)).running
        if given == "run":
            assert (await ada.programs.run(["echo", "hers"])).stdout == b"hers\n"
        elif given == "view":
            assert [info.id for info in await ada.programs.list()] == [program.id]
            assert (await seen_by(ada, program.id)).startswith(b"hello")
        else:
            await ada.programs.kill(program.id)
            assert not (await owner.programs.get(program.id)).running

    run(scenario, theirs=her_role([f"programs.{given}"], "control"))


def test_positions_and_notifications_go_through_the_same_gate(run: Run) -> None:
    """The program of another is refused by its id before the method runs, whichever way it is asked."""

    async def scenario(owner: AsyncClient, ada: AsyncClient) -> None:
        program = await echoing(owner)
        await ada.notify("programs.kill", {"id": program.id})
        await ada.notify("programs.kill", [program.id])
        # She is answered on the connection that has sent the notifications before.
        for params in ([program.id], {"id": program.id, "grace_s": 0}):
            with pytest.raises(RpcError) as caught:
                await ada.call("programs.kill", params)
            assert caught.value.type == "ProgramNotFound"
        assert (await owner.programs.get(program.id)).running

    run(scenario, **others("none"))


def test_what_a_program_reads_is_secret() -> None:
    """Passwords go to programs by their input and their variables: no audit log may have them."""
    secret = {spec.full_name: spec.contract.secret_parameters for spec in Programs.methods()}
    assert {name: parameters for name, parameters in secret.items() if parameters} == {
        "programs.run": {"input", "env"},
        "programs.start": {"env"},
        "programs.stream": {"input", "env"},
        "programs.write": {"data"},
    }
