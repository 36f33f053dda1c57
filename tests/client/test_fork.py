"""A process that forks: its connections, and all that goes on over them, stay its own; the child makes others."""

from __future__ import annotations

import copy
import os
import pickle  # noqa: TID251 - what a process pool does with its arguments
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from rpcclient import AsyncClient, Client
from rpcclient.errors import InvalidParams

BEGIN = """
import gc, json, multiprocessing, os, signal, subprocess, sys, threading, time, warnings
from forked import Child, until
from rpcclient import Client, Context, Service, method
from rpcclient.errors import RpcError

url, token, subprotocol = sys.argv[1:4]

def new(**options):
    return Client(url, token=token, subprotocol=subprotocol, **options)

def later(act):
    "Do something in another thread; returns how to wait for what came of it."
    found = []
    def run():
        try:
            found.append(act())
        except RpcError as exc:
            found.append(exc)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    def wait():
        thread.join(40)
        return found[0] if found else "nothing came"
    return wait
"""


def in_a_process(running: Any, token: str, script: str, subprotocol: str = "rpc.v1.msgpack") -> str:
    """Run a script against the server in a process of its own; returns what it printed."""
    code = BEGIN + textwrap.dedent(script)
    here = str(Path(__file__).parent)
    done = subprocess.run(
        # Newer Pythons warn of every fork beside threads.
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code, running.tcp, token, subprotocol],
        capture_output=True, text=True, timeout=110, env={**os.environ, "PYTHONPATH": here},
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


@pytest.mark.parametrize("subprotocol", ["rpc.v1.json", "rpc.v1.msgpack"])
def test_a_call_of_the_parent_goes_on(running: Any, token: str, subprotocol: str) -> None:
    script = """
    client = new().connect()
    answer = later(lambda: client.call("desk.sleep", [1.0]))
    until(lambda: client._connector.live._pending)
    def child():
        found = [client.connected, client.call("desk.add", [1, 2]), client.connected]
        client.close()
        return found
    child = Child(child)
    print(child.answer())
    print(answer(), client.connected, client.call("desk.add", [3, 4]))
    """
    assert in_a_process(running, token, script, subprotocol).splitlines() == [
        "['returned', [False, 3, True]]",
        "done True 7",
    ]


ENDINGS = {
    "close": "client.close()",
    "with": "client.__exit__(None, None, None)",
    "del": "client = None; gc.collect()",
    "exit": "sys.exit(0)",
    "exec": "os.execv('/bin/sh', ['sh', '-c', 'ls -l /proc/self/fd | grep -c socket: >&2 || true'])",
    "subprocess": "subprocess.run(['true'], close_fds=False, check=True)",
    "preexec": "subprocess.run(['true'], preexec_fn=lambda: None, check=True)",
    "fork of a fork": "print(Child(lambda: client.call('desk.add', [1, 2])).answer()); client.close()",
    "kill": "os.kill(os.getpid(), signal.SIGKILL)",
}


@pytest.mark.parametrize("how", ENDINGS)
@pytest.mark.parametrize("used", [False, True])
def test_however_a_child_ends(running: Any, token: str, how: str, used: bool) -> None:
    script = f"""
    client = new().connect()
    stream = client.stream("desk.count", [10**9])
    assert next(stream) == 0
    first = client._connector.live
    sys.stdout.flush()
    if (pid := os.fork()) == 0:
        if {used}:
            assert client.call("desk.add", [1, 2]) == 3
        {ENDINGS[how]}
        os._exit(0)
    os.waitpid(pid, 0)
    assert next(stream) == 1
    assert client.call("desk.add", [3, 4]) == 7
    assert client._connector.live is first
    stream.close()
    client.close()
    """
    if used and how in ("del", "exit"):
        script = script.replace("client = None", "client.close()").replace("sys.exit(0)", "client.close(); sys.exit(0)")
    said = in_a_process_that_may_speak(running, token, script)
    assert said in ([""], ["['returned', 3]"], ["0"])


def in_a_process_that_may_speak(running: Any, token: str, script: str) -> list[str]:
    code = BEGIN + textwrap.dedent(script)
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(
        [*command, running.tcp, token, "rpc.v1.msgpack"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=110, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return [line.strip() for line in done.stdout.splitlines()] or [""]


def test_a_server_sees_the_end_of_a_parent_whose_child_lives_on(running: Any, token: str, until: Any) -> None:
    script = """
    client = new().connect()
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    print(pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    code = BEGIN + textwrap.dedent(script)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", code, running.tcp, token, "rpc.v1.msgpack"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            process.wait(20)
            until(lambda: not running.server.connections, 20)
        finally:
            os.kill(child, 9)


def test_streams_and_uploads_of_the_parent(running: Any, token: str) -> None:
    script = """
    client = new().connect()
    stream = client.stream("desk.count", [1000])
    assert next(stream) == 0
    print(Child(lambda: next(stream)).answer())
    print(Child(lambda: stream.close()).answer())
    unopened = client.stream("desk.count", [3])
    print(Child(lambda: list(unopened)).answer())
    print(len(list(stream)), list(unopened))

    def numbers():
        yield 1
        child = Child(lambda: client.call("desk.add", [1, 2]))
        yield child.answer()[1]
    print(client.service("desk").total(items=numbers()))
    client.close()
    """
    lines = in_a_process(running, token, script).splitlines()
    assert lines[0].startswith("['ConnectionClosed', 'no', 'the stream belongs to the process")
    assert lines[1:] == ["['returned', None]", "['returned', [0, 1, 2]]", "999 [0, 1, 2]", "4"]


def test_within_a_progress_hook(running: Any, token: str) -> None:
    """The child finds itself in a call that is the parent's."""
    script = """
    client = new().connect()
    answers, me = [], os.getpid()
    def hook(done, total, message):
        if not answers and os.getpid() == me:
            answers.append(os.fork())
    try:
        print(client.options(progress=hook).call("desk.report", [3000]), flush=True)
    except RpcError as exc:
        print(type(exc).__name__, exc.executed, client.call("desk.add", [1, 2]), flush=True)
        client.close()
        os._exit(0)
    os.waitpid(answers[0], 0)
    client.close()
    """
    lines = sorted(in_a_process(running, token, script).splitlines())
    assert lines == ["3000", "ConnectionLost unknown 3"]


def test_offered_services(running: Any, token: str) -> None:
    script = """
    class Here(Service):
        "Says where it runs."

        @method()
        def where(self) -> int:
            "The process."
            return os.getpid()

        @method()
        def forks(self) -> str:
            "Fork within a handler; the child returns, too."
            pid = os.fork()
            if pid == 0:
                return "child"
            return f"{os.waitpid(pid, 0)[1]}"

        @method()
        def calls(self) -> list[int]:
            "Call from a child within a handler."
            return Child(lambda: client.call("desk.add", [1, 2])).answer()[1:]

    client = new(services=[Here()]).connect()
    here = os.getpid()
    def child():
        return [client.call("desk.ask", ["here.where", {}]) == os.getpid(), client.close()]
    print(Child(child).answer())
    print(client.call("desk.ask", ["here.where", {}]) == here)
    print(client.call("desk.ask", ["here.forks", {}]))
    print(client.call("desk.ask", ["here.calls", {}]))
    client.close()
    """
    assert in_a_process(running, token, script).splitlines() == ["['returned', [True, None]]", "True", "0", "[3]"]


def test_whatever_locks_others_hold(running: Any, token: str) -> None:
    """Threads of the parent call, stream and connect all the time; every child works nevertheless."""
    script = """
    clients = [new() for _ in range(2)]
    over = threading.Event()
    def busy(client):
        while not over.is_set():
            client.call("desk.add", [1, 2])
            with client.stream("desk.count", [50]) as numbers:
                for number in numbers:
                    if number == 20:
                        break
    def comes_and_goes():
        while not over.is_set():
            with new() as client:
                client.call("desk.add", [1, 2])
    waits = [later(lambda client=client: busy(client)) for client in clients for _ in range(2)]
    waits.append(later(comes_and_goes))
    def child():
        found = [client.call("desk.add", [1, number]) for number, client in enumerate(clients)]
        for client in clients:
            client.close()
        return found
    answers = [Child(child).answer() for _ in range(25)]
    over.set()
    print([answer for answer in answers if answer != ["returned", [1, 2]]])
    print([wait() for wait in waits])
    for client in clients:
        client.close()
    """
    assert in_a_process(running, token, script).splitlines() == ["[]", "[None, None, None, None, None]"]


def test_prefork_workers_and_pools(running: Any, token: str) -> None:
    script = """
    client = new().connect()
    def work(number):
        return client.call("desk.add", [number, number])
    workers = [Child(lambda number=number: [work(number), client.close()][0]) for number in range(4)]
    print([worker.answer()[1] for worker in workers])
    fork = multiprocessing.get_context("fork")
    with fork.Pool(2) as pool:
        print(pool.map(work, range(8), chunksize=1))
    process = fork.Process(target=lambda: os._exit(work(10)))
    process.start()
    process.join(40)
    print(process.exitcode, work(1))
    client.close()
    """
    assert in_a_process(running, token, script).splitlines() == ["[0, 2, 4, 6]", "[0, 2, 4, 6, 8, 10, 12, 14]", "20 2"]


def test_a_client_that_does_not_reconnect(running: Any, token: str) -> None:
    """The first connection of a child is no other one."""
    script = """
    client = new(reconnect=False).connect()
    print(Child(lambda: [client.call("desk.add", [1, 2]), client.close()]).answer())
    client.close()
    print(Child(lambda: client.call("desk.add", [1, 2])).answer())
    """
    first, second = in_a_process(running, token, script).splitlines()
    assert first == "['returned', [3, None]]"
    assert second == "['ConnectionClosed', 'no', 'the client is closed']"


def test_in_memory(running: Any, token: str) -> None:
    """A server in memory runs in the parent alone."""
    script = """
    import asyncio, tempfile
    from rpcserver.config import ServerConfig
    from rpcserver.server import Server

    class Desk(Service):
        "What is called."

        @method()
        async def add(self, a: int, b: int) -> int:
            "Add."
            return a + b

        @method()
        async def sleep(self, seconds: float) -> str:
            "Wait."
            await asyncio.sleep(seconds)
            return "done"

    with tempfile.TemporaryDirectory() as folder:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        server = Server(ServerConfig(state_dir=folder), [Desk()], token="x" * 32)
        asyncio.run_coroutine_threadsafe(server.start(listen=False), loop).result(40)
        client = Client(memory=server.connect_memory).connect()
        answer = later(lambda: client.call("desk.sleep", [0.5]))
        print(Child(lambda: client.call("desk.add", [1, 2])).answer())
        print(Child(client.close).answer())
        print(answer(), client.call("desk.add", [1, 2]))
        client.close()
        asyncio.run_coroutine_threadsafe(server.stop(grace_s=0), loop).result(40)
        loop.call_soon_threadsafe(loop.stop)
        until(lambda: not loop.is_running())
        loop.close()
    """
    first, second, third = in_a_process(running, token, script).splitlines()
    assert first.startswith("['ConnectFailed', 'no', 'memory: the server runs in the process")
    assert (second, third) == ("['returned', None]", "done 3")


def test_over_tls_nothing_is_said(tmp_path: Path) -> None:
    """No part of TLS's farewell leaves a child."""
    script = """
    import ssl, trustme, websockets.sync.server
    authority = trustme.CA()
    authority.cert_pem.write_to_path(url + "/ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ended = []
    def handler(connection):
        for message in connection:
            call = json.loads(message)
            connection.send(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": 3}))
        ended.append(connection.close_code)
    server = websockets.sync.server.serve(
        handler, "127.0.0.1", 0, ssl=context, subprotocols=["rpc.v1.json"], server_header=None
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"wss://localhost:{server.socket.getsockname()[1]}"
    client = Client(address, token="x", ca_file=url + "/ca.pem", subprotocol="rpc.v1.json").connect()
    for used in (False, True):
        def child():
            server.socket.close()
            return [used and client.call("a.b") , client.close()]
        print(Child(child).answer(), client.call("a.b"), ended if not used else len(ended))
    client.close()
    until(lambda: len(ended) >= 1)
    server.shutdown()
    """
    code = BEGIN + textwrap.dedent(script)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", code, str(tmp_path), "x", "rpc.v1.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, env=environment)
    assert (done.stdout.splitlines(), done.stderr) == (
        ["['returned', [False, None]] 3 []", "['returned', [3, None]] 3 1"],
        "",
    )


def test_processes_that_are_not_forked(running: Any, token: str) -> None:
    """A client cannot be taken there, and says so; results and errors can."""
    with Client(running.tcp, token=token) as client:
        asynchronous = AsyncClient(running.tcp, token=token)
        for held in (client, client.options(timeout_s=1), client.programs, client.service("desk"), asynchronous):
            kind = "AsyncClient" if held is asynchronous else "Client"
            for take in (pickle.dumps, copy.deepcopy):
                with pytest.raises(
                    TypeError,
                    match=f"cannot pickle an? {kind}, or an object that has one: .* make one in the other process",
                ):
                    take(held)
        assert copy.copy(client).call("desk.add", [1, 2]) == 3
        with pytest.raises(InvalidParams) as failed:
            client.call("desk.add", ["x"])
        assert pickle.loads(pickle.dumps(failed.value)).errors == failed.value.errors
        assert pickle.loads(pickle.dumps(client.hello())) == client.hello()
