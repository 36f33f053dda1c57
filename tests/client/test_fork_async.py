"""A process that forks, with an asynchronous client: the child is another loop's owner, and the parent's own goes on."""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.client.test_fork import in_a_process

BEGIN = """
import asyncio, uvloop
from rpcclient import AsyncClient

def a_new_one(**options):
    return AsyncClient(url, token=token, subprotocol=subprotocol, **options)

def new_loop():
    loop = ({factory} or asyncio.new_event_loop)()
    loop.set_debug({debug})
    loop.slow_callback_duration = 60  # A child is waited for, in the loop itself.
    return loop

def run(work):
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(asyncio.wait_for(work, 40))

async def sums(client):
    found = [client.connected, await client.call("desk.add", [1, 2]), client.connected]
    async with client.stream("desk.count", [3]) as numbers:
        found += [number async for number in numbers]
    await client.close()
    return found
SUMS = "['returned', [False, 3, True, 0, 1, 2]]"

async def in_a_thread(act):
    return await asyncio.to_thread(lambda: Child(act).answer())
"""
LOOPS = {"asyncio": ("None", False), "debug": ("None", True), "uvloop": ("uvloop.new_event_loop", False)}


@pytest.fixture(params=LOOPS)
def script(request: pytest.FixtureRequest, running: Any, token: str) -> Any:
    """Runs a script with each kind of event loop in turn."""
    factory, debug = LOOPS[request.param]

    def run(text: str, url: str | None = None) -> list[str]:
        code = BEGIN.format(factory=factory, debug=debug) + textwrap.dedent(text)
        return in_a_process(SimpleNamespace(tcp=url or running.tcp), token, code).splitlines()

    return run


@pytest.mark.parametrize("where", ["tcp", "unix"])
def test_a_call_of_the_parent_goes_on(script: Any, running: Any, where: str) -> None:
    """Whether the child was forked by the loop's own thread, by another one, or between two loops."""
    text = """
    client = a_new_one()
    async def main():
        await client.connect()
        first = client._connector.live
        answer = asyncio.ensure_future(client.call("desk.sleep", [1.0]))
        stream = client.stream("desk.count", [10**6])
        assert await anext(stream) == 0
        print(str(Child(lambda: run(sums(client))).answer()) == SUMS)
        print(str(await in_a_thread(lambda: run(sums(client)))) == SUMS)
        print(await answer, await anext(stream), client._connector.live is first)
        await stream.aclose()
    run(main())
    print(str(Child(lambda: run(sums(client))).answer()) == SUMS)
    print(run(client.call("desk.add", [3, 4])))
    run(client.close())
    """
    assert script(text, getattr(running, where)) == ["True", "True", "done 1 True", "True", "7"]


ENDINGS = {
    "nothing": "pass",
    "close": "run(client.close())",
    "close by hand": "client.close().send(None)",
    "del": "client = None; gc.collect()",
    "exit": "sys.exit(0)",
    "exec": "os.execv('/bin/true', ['true'])",
    "subprocess": "subprocess.run(['true'], preexec_fn=lambda: None, close_fds=False, check=True)",
    "another loop": "run(asyncio.sleep(0)); gc.collect()",
    "kill": "os.kill(os.getpid(), signal.SIGKILL)",
}


def test_however_a_child_ends(script: Any) -> None:
    """It was forked where no loop runs, and where one does in another thread."""
    text = f"""
    client = a_new_one()
    endings = {list(ENDINGS.values())!r}
    loop = new_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    def there(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(40)
    async def begin():
        stream = client.stream("desk.count", [10**9])
        return stream, await anext(stream)
    stream, number = there(begin())
    async def following():
        return await anext(stream)
    first = client._connector.live
    for ending in endings:
        if ending == "sys.exit(0)" and not isinstance(loop, asyncio.BaseEventLoop):
            continue  # uvloop itself does not survive the end of an interpreter in which its loop seems to run.
        sys.stdout.flush()
        if (pid := os.fork()) == 0:
            try:
                exec(ending, globals())
            except StopIteration:
                pass
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        assert status == (9 if "SIGKILL" in ending else 0), ending
        number += 1
        assert there(following()) == number, ending
        assert there(client.call("desk.add", [3, 4])) == 7, ending
    assert client._connector.live is first
    there(stream.aclose())
    there(client.close())
    loop.call_soon_threadsafe(loop.stop)
    until(lambda: not loop.is_running())
    loop.close()
    print("the end")
    """
    assert script(text) == ["the end"]


def test_what_belongs_to_the_parent(script: Any) -> None:
    text = """
    client = a_new_one()
    async def main():
        stream = client.stream("desk.count", [1000])
        assert await anext(stream) == 0
        async def next_one():
            return await anext(stream)
        print(await in_a_thread(lambda: run(next_one())))
        print(await in_a_thread(lambda: run(stream.aclose())))
        unopened = client.stream("desk.count", [3])
        async def all_of_them():
            return [number async for number in unopened]
        print(await in_a_thread(lambda: run(all_of_them())))
        print(await anext(stream), [number async for number in unopened])
        # The very loop of the parent does not run in a child, even where its coroutine goes on.
        pid = os.fork()
        if pid == 0:
            try:
                await client.call("desk.add", [1, 2])
            except RpcError as exc:
                os._exit(7 if type(exc).__name__ == "LocalProtocolError" and "no event loop" in str(exc) else 1)
            os._exit(2)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), await client.call("desk.add", [3, 4]))
        await stream.aclose()
        await client.close()
    run(main())
    """
    first, *rest = script(text)
    assert first.startswith("['ConnectionClosed', 'no', 'the stream belongs to the process")
    assert rest == ["['returned', None]", "['returned', [0, 1, 2]]", "1 [0, 1, 2]", "7 7"]


def test_workers_and_pools(script: Any) -> None:
    text = """
    client = a_new_one(reconnect=False)
    def work(number):
        return run(client.call("desk.add", [number, number]))
    async def main():
        await client.connect()
        def pools():
            fork = multiprocessing.get_context("fork")
            with fork.Pool(2) as pool:
                found = pool.map(work, range(6), chunksize=1)
            process = fork.Process(target=lambda: os._exit(work(10)))
            process.start()
            process.join(40)
            return found, process.exitcode
        print(await asyncio.to_thread(pools), await client.call("desk.add", [3, 4]))
        workers = [Child(lambda number=number: work(number)) for number in range(4)]
        print([worker.answer()[1] for worker in workers], await client.call("desk.add", [3, 4]))
        await client.close()
    run(main())
    """
    assert script(text) == ["([0, 2, 4, 6, 8, 10], 20) 7", "[0, 2, 4, 6] 7"]


def test_offered_services(script: Any) -> None:
    text = """
    class Here(Service):
        "Says where it runs."

        @method()
        async def where(self) -> int:
            "The process."
            return os.getpid()

        @method()
        def in_a_thread(self) -> int:
            "The process, by a thread."
            return os.getpid()

    client = a_new_one(services=[Here()])
    async def asks():
        return [await client.call("desk.ask", [f"here.{name}", {}]) == os.getpid() for name in ("where", "in_a_thread")]
    async def main():
        print(await asks())
        print(await in_a_thread(lambda: run(asks())))
        print(await asks())
        await client.close()
    run(main())
    """
    assert script(text) == ["[True, True]", "['returned', [True, True]]", "[True, True]"]


def test_while_it_connects(script: Any) -> None:
    text = """
    client = a_new_one()
    async def main():
        connecting = asyncio.ensure_future(client.connect())
        await asyncio.sleep(0)
        print(str(Child(lambda: run(sums(client))).answer()) == SUMS)
        await connecting
        print(await client.call("desk.add", [3, 4]))
        await client.close()
    run(main())
    """
    assert script(text) == ["True", "7"]


def test_in_memory(running: Any, token: str, tmp_path: Path) -> None:
    """A server in memory runs in the parent alone."""
    text = f"""
    import asyncio
    from rpcclient import AsyncClient
    from rpcserver.config import ServerConfig
    from rpcserver.server import Server

    async def main():
        server = Server(ServerConfig(state_dir={str(tmp_path)!r}), [], token="x" * 32)
        await server.start(listen=False)
        client = AsyncClient(memory=server.connect_memory)
        await client.hello()
        print(Child(lambda: asyncio.run(client.hello())).answer())
        print(Child(lambda: asyncio.run(client.close())).answer())
        print(bool(await client.hello()))
        await client.close()
        await server.stop(grace_s=0)
    asyncio.run(main())
    """
    first, *rest = in_a_process(running, token, text).splitlines()
    assert first.startswith("['ConnectFailed', 'no', 'memory: the server runs in the process")
    assert rest == ["['returned', None]", "True"]
