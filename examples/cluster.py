"""A group in one go: a broker and three nodes on this machine, used as one; one of them is killed in the middle.

Run it with `make cluster`. Everything is real: three servers as processes of their own, a nats-server between them, and
each node with its own credentials, as on three machines. `db-1` brings the broker; the client is connected to it alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import re
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rpcclient import Client
from rpcclient.errors import LeaseHeld
from rpcclient.models import NodeInfo

console = Console(highlight=False)

LABELS = {
    "db-1": {"role": "db", "zone": "eu"},
    "web-1": {"role": "web", "zone": "eu"},
    "web-2": {"role": "web", "zone": "us"},
}
LIMIT_S = 30.0
ROWS, COLUMNS = 12, 120
"""The terminal on which commands show what is on a whole screen."""
HAS_DISCOVERY = importlib.util.find_spec("zeroconf") is not None


class Cluster:
    """Servers, each with a folder, a configuration and credentials of its own.

    Parameters:
        folder: where their folders are.
        labels: those of each node, by its name. One is called ``db-1``.
    """

    def __init__(self, folder: Path, labels: Mapping[str, Mapping[str, str]] = LABELS) -> None:
        self._folder = folder
        self._labels = labels
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._broker_port = probe.getsockname()[1]
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._urls: dict[str, str] = {}

    def client(self, name: str) -> Client:
        """Return a client of one node."""
        return Client(self._urls[name], token_file=str(self._state(name) / "token"))

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables with which the command ``rpcclient`` reaches one node."""
        return {**os.environ, "RPC_URL": self._urls[name], "RPC_TOKEN_FILE": str(self._state(name) / "token")}

    def start(self, name: str, release: str = "") -> None:
        """Start one node, and wait until it listens. The first one, ``db-1``, brings the broker.

        Parameters:
            name: of the node.
            release: what the variable ``RELEASE`` of the programs that it runs says.
        """
        state = self._state(name)
        state.mkdir(mode=0o700, exist_ok=True)
        labels = ", ".join(f'{key} = "{value}"' for key, value in self._labels[name].items())
        is_first = name == "db-1"
        url = "embedded" if is_first else f"nats://127.0.0.1:{self._broker_port}"
        lines = [
            f'state_dir = "{state}"',
            'log = { level = "ERROR" }',
            'listen = { port = 0, unix = "none" }',
            f'plugins = {{ files = ["{Path(__file__).with_name("alarm.py")}"] }}',
        ]
        if HAS_DISCOVERY:  # On this machine alone.
            lines += ["[discovery]", "enabled = true", 'interfaces = ["127.0.0.1"]']
        lines += [
            "[group]",
            f'url = "{url}"',
            f'name = "{name}"',
            f"labels = {{ {labels} }}",
            "trust_gateway_names = true",
        ]
        if is_first:
            others = ", ".join(f'"{each}"' for each in self._labels if each != name)
            lines += [f"broker = {{ port = {self._broker_port}, nodes = [{others}] }}"]
        else:
            credentials = self._folder / f"{name}.json"
            shutil.copy(self._state("db-1") / "group" / "broker" / "nodes" / credentials.name, credentials)
            lines += [f'credentials_file = "{credentials}"']
        # Who is the owner at db-1 may do everything here, too.
        lines += ["[roles.from-db-1]", 'principals = ["owner via db-1"]', 'permissions = ["*"]']
        lines += ["[roles.from-db-1.programs]", 'may_run = "anything"']
        lines += ["[services.programs]", 'environment = ["RELEASE"]']
        config = self._folder / f"{name}.toml"
        config.write_text("\n".join(lines) + "\n")
        command = [sys.executable, "-m", "rpcserver", "serve", "--config", str(config)]
        environment = {**os.environ, "RELEASE": release}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self._processes[name] = process
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{name} did not start")
        self._urls[name] = line.rpartition(" ")[2].strip()
        console.print(f"{name:6} listens on {self._urls[name]}, process {process.pid}")

    def kill(self, name: str) -> None:
        """Kill one node, so that it cannot say goodbye."""
        self._processes[name].send_signal(signal.SIGKILL)
        self._processes.pop(name).communicate()

    def stop(self) -> None:
        """Stop all nodes, the broker's last."""
        for name in reversed(list(self._processes)):
            process = self._processes.pop(name)
            process.terminate()
            process.communicate()

    def _state(self, name: str) -> Path:
        return self._folder / name


class Watch:
    """What a client hears of the nodes, on a thread of its own.

    Parameters:
        client: the client.
    """

    def __init__(self, client: Client) -> None:
        self._changed = threading.Condition()
        self._nodes: dict[str, NodeInfo] = {}
        self._events = client.watch_nodes()
        threading.Thread(target=self._follow, daemon=True).start()

    def close(self) -> None:
        """Hear no more."""
        self._events.close()

    def wait_for(self, text: str, condition: Callable[[dict[str, NodeInfo]], bool]) -> None:
        """Wait until the nodes are in a condition.

        Parameters:
            text: the condition, for the message if it does not come.
            condition: it is given the nodes by name.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self._nodes), LIMIT_S):
                raise SystemExit(f"in {LIMIT_S:.0f} s, {text} has not happened")

    def _follow(self) -> None:
        for event in self._events:
            with self._changed:
                self._nodes.update({node.name: node for node in event.nodes})
                self._changed.notify_all()


def title(text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}", align="left")


def know(client: Client) -> None:
    title("who is there")
    table = Table("name", "state", "labels", "address", "services", box=None, pad_edge=False)
    for node in client.nodes():
        labels = ",".join(f"{key}={value}" for key, value in sorted(node.labels.items()))
        table.add_row(node.name, node.state, labels, " ".join(node.addresses), " ".join(sorted(node.services)))
    console.print(table)


def call_one(client: Client) -> None:
    title("one machine: client.node(NAME) has everything that a direct client has")
    with client.node("web-1") as web:
        memory = web.hardware.memory()
        console.print(f"memory of web-1   {memory.used_bytes / 2**30:.1f} of {memory.total_bytes / 2**30:.1f} GiB")
        done = web.programs.run(["uname", "-srm"])
        console.print(f"uname on web-1    {done.stdout.decode().strip()}")
        program = web.programs.start(["sh", "-c", "for n in 1 2 3; do echo line $n; sleep 0.2; done"])
        with web.programs.output(program.id) as chunks:
            for chunk in chunks:
                for line in chunk.data.decode().splitlines():
                    console.print(f"live from web-1   {line}")


def call_many(client: Client) -> None:
    title("many machines: each node has exactly one outcome")
    for outcome in client.everyone().hardware.memory():
        used = "" if outcome.result is None else f"{outcome.result.used_bytes / 2**30:.1f} GiB used"
        console.print(f"memory            {outcome.node} {outcome.state}: {used}")
    outcomes = client.group("role=web,zone!=us").programs.run(["uname", "-s"]).wait()
    console.print(
        f"role=web,zone!=us {[(each.node.name, each.result.stdout) for each in outcomes.ok if each.result is not None]}"
    )
    outcomes = client.group(["web-1", "web-9"]).programs.run(["true"]).wait()
    console.print(f"web-1 and web-9   {[(each.node.name, each.state) for each in outcomes.outcomes]}")
    done = client.everyone().rolling(stop_after_failures=1).programs.run(["sh", "-c", "exit 0"]).wait()
    console.print(f"one by one        {[(each.node.name, each.state) for each in done.outcomes]}")
    console.print(f"the least busy    has {client.everyone().one().hardware.cpu().logical} processors")


def tell_many(client: Client) -> None:
    title("events of all nodes, by one subscription")
    with client.everyone().subscribe("alarm.rung") as news:
        following: set[str] = set()
        for each in news:
            if each.kind == "following":
                following.add(each.node)
                if following == set(LABELS):
                    client.group("role=web").call("alarm.ring", ["smoke"]).wait()
            elif each.kind == "event":
                console.print(
                    f"{each.node:17} {each.event} {each.value}, number {each.seq}, {each.lost} lost before it"
                )
                following.remove(each.node)
                if following == {"db-1"}:
                    return


def hold_one(client: Client) -> None:
    title("a lease: one holder in the whole group, and a number that grows")
    for _ in range(2):
        with client.lease("nightly", ttl_s=30) as lease:
            text = f"number {lease.fencing_token}, {lease.remaining_s:.0f} s left"
            console.print(f"db-1's client     holds nightly, {text}")
            try:
                with client.node("web-1") as web, web.lease("nightly", wait_s=0):
                    raise SystemExit("two hold one lease")
            except LeaseHeld as exc:
                console.print(f"web-1's client    {exc.message}")


class Terminal:
    """A command of ``rpcclient`` on a terminal of its own.

    Parameters:
        cluster: the nodes.
        words: the command.
    """

    def __init__(self, cluster: Cluster, words: str) -> None:
        console.print(f"$ rpcclient {words}", style="bold")
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rpcclient", *shlex.split(words)],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**cluster.environment("db-1"), "TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(slave)
        self._text = ""

    def read_until(self, pattern: str) -> str:
        """Read until the text matches a pattern, and return what has come since the last time."""
        end = time.monotonic() + LIMIT_S
        while re.search(pattern, self._text, re.DOTALL) is None:
            if not select.select([self._master], [], [], max(end - time.monotonic(), 0))[0]:
                raise SystemExit(f"in {LIMIT_S:.0f} s, the command has not shown {pattern}, but {self._text!r}")
            self._text += os.read(self._master, 65536).decode(errors="replace")
        text, self._text = self._text, ""
        return text

    def read_to_end(self) -> str:
        """Read until the command ends, and return what has come since the last time."""
        text, self._text = self._text, ""
        with contextlib.suppress(OSError):  # So ends a terminal that nobody has open any more.
            while data := os.read(self._master, 65536):
                text += data.decode(errors="replace")
        return text

    def close(self) -> None:
        """End the command, as by Ctrl-C."""
        os.write(self._master, b"\x03")
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        os.close(self._master)


def show(text: str) -> None:
    """Print what a command has drawn on its terminal; without its colours, if this is none."""
    plain = text if console.is_terminal else _without_colours(text)
    print("\n".join(line.rstrip() for line in plain.splitlines() if _without_colours(line).strip()), flush=True)


def _without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def use_commands(cluster: Cluster) -> None:
    title("the same from a shell")
    for command in ("run --on role=web -- echo hello", "run --on all --gather -- uname -s"):
        console.print(f"$ rpcclient {command}", style="bold")
        subprocess.run(
            [sys.executable, "-m", "rpcclient", *command.split()], env=cluster.environment("db-1"), check=True
        )
    if HAS_DISCOVERY:
        with closing(Terminal(cluster, "--timeout 5 nodes --discover --interface 127.0.0.1")) as terminal:
            show(terminal.read_to_end())
    with closing(Terminal(cluster, "top --on all --interval 0.3")) as terminal:
        # Rates come with the second sample; each screen begins at the upper left corner.
        text = terminal.read_until(r"up 3.*/s.*/s.*F10 quit.*\x1b\[H.*F10 quit")
    show([part for part in text.split("\x1b[H") if "F10 quit" in part][-1])


def lose_one(cluster: Cluster, client: Client, watch: Watch) -> None:
    title("kill -9 web-2 in the midst of a call to all")
    with client.everyone().programs.run(["sleep", "2"]) as outcomes:
        console.print(f"sleep 2 on        {[node.name for node in outcomes.nodes]}")
        begin = time.monotonic()
        cluster.kill("web-2")
        for outcome in outcomes:
            why = "" if outcome.error is None else f" ({outcome.error.message})"
            console.print(f"{time.monotonic() - begin:4.1f} s            {outcome.node}: {outcome.state}{why}")
    watch.wait_for("the death of web-2", lambda nodes: nodes["web-2"].state == "died")


def regain_one(cluster: Cluster, watch: Watch) -> None:
    title("web-2 comes back, with the same id and a new life")
    cluster.start("web-2")
    watch.wait_for("the return of web-2", lambda nodes: nodes["web-2"].state == "up")


def watch_one(cluster: Cluster, client: Client, watch: Watch) -> None:
    """Lose a node and regain it, while the command tells."""
    title("who watches is told at once")
    with closing(Terminal(cluster, "nodes --watch")) as terminal:
        show(terminal.read_until(r"web-2 .*\n"))
        lose_one(cluster, client, watch)
        show(terminal.read_until(r"web-2 died: .*\n"))
        regain_one(cluster, watch)
        show(terminal.read_until(r"web-2 (returned|joined): .*\n"))


def main() -> None:
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="remote-services-cluster-") as folder:
        cluster = Cluster(Path(folder))
        try:
            title("a broker and three nodes")
            for name in LABELS:
                cluster.start(name)
            with cluster.client("db-1") as client, closing(Watch(client)) as watch:
                watch.wait_for(
                    "that all three nodes are up",
                    lambda nodes: len(nodes) == len(LABELS) and all(node.state == "up" for node in nodes.values()),
                )
                know(client)
                call_one(client)
                call_many(client)
                tell_many(client)
                hold_one(client)
                use_commands(cluster)
                watch_one(cluster, client, watch)
        finally:
            cluster.stop()
    console.print(f"\nall of it took {time.monotonic() - begin:.0f} s", style="dim")


if __name__ == "__main__":
    main()
