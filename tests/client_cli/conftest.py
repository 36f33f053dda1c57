"""A real server with a plugin of the tests' own, and the real command as a process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PLUGIN = '''
import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from pydantic import Field
from rpcserver import Context, Service, ServiceError, method

@dataclass
class Shelf:
    name: str
    books: int

class NoSuchBook(ServiceError):
    """There is no such book."""
    title: str

class Library(Service):
    """Lends books, and takes them back; at the desk beside the door, from
    nine to five. It is closed on Sundays."""

    @method(kind="read")
    async def shelves(self, least: int = 0) -> list[Shelf]:
        """List the shelves."""
        return [s for s in (Shelf("poetry", 12), Shelf("[red]science[/red]", 40)) if s.books >= least]

    @method(kind="read")
    async def pages(self, count: int) -> AsyncIterator[str]:
        """Read page by page."""
        for number in range(count):
            yield f"page {number}\\n"

    @method(errors=(NoSuchBook,))
    async def lend(
        self, title: str, days: Annotated[int, Field(ge=1)] = 14, notes: list[str] | None = None
    ) -> str:
        """Lend a book to whoever asks, for some days, and
        note what they say of it. It may be lent again."""
        if title == "none":
            raise NoSuchBook("no book has this title", title=title)
        return f"{title} for {days} days"

    @method(kind="read")
    async def size(self, content: bytes) -> int:
        """Count bytes."""
        return len(content)

    @method()
    async def bind(self, log: str, ctx: Context) -> None:
        """Bind a book, slowly."""
        try:
            ctx.progress(1, 4, "folding sheets")
            Path(log).write_text("started")
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            Path(log).write_text("cancelled")
            raise
'''


LAUNCHER = Path(__file__).parent / "launcher.py"


@dataclass(frozen=True)
class Shell:
    """A command line against the server.

    A command on a terminal, one that a test ends and one with an environment that Python itself reads is a process of its
    own; others are forks of a process that has loaded the command already.
    """

    environment: dict[str, str]
    process: subprocess.Popen[str] | None = None
    ready: str | None = None
    """The socket of a process that has loaded the command, if there is one."""

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-W", "error", "-m", "rpcclient", *words]

    def run(self, *words: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
        command = self.command(*words)
        if self.ready is not None and all(name.startswith("RPC_") for name in environment):
            command = [sys.executable, "-I", "-S", str(LAUNCHER), self.ready, *words]
        return subprocess.run(
            command, input=stdin, capture_output=True, env={**self.environment, **environment}, timeout=120
        )

    def ok(self, *words: str, stdin: bytes = b"") -> bytes:
        done = self.run(*words, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout


@pytest.fixture(scope="session")
def ready() -> Iterator[str]:
    """The socket of a process that has loaded the command."""
    with tempfile.TemporaryDirectory(prefix="rpc") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/s")
        listener.listen()
        command = [sys.executable, "-W", "error", "-m", "tests.client_cli.ready", str(listener.fileno())]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, pass_fds=[listener.fileno()], start_new_session=True, **streams) as process:
            try:
                yield f"{folder}/s"
            finally:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def served(folder: Path, disabled: str, *words: str, ready: str | None = None) -> Iterator[Shell]:
    """A command line against a server of its own."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RPC_", "RPCSERVER_"))},
        "RPCSERVER_STATE_DIR": str(folder / "state"),
        "RPCSERVER_PLUGINS__DISABLED": disabled,
        "RPC_TOKEN_FILE": str(folder / "state" / "token"),
        "COLUMNS": "100",
        "TERM": "xterm",
    }
    command = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none", *words]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        assert url, (folder / "log").read_text()
        try:
            yield Shell({**environment, "RPC_URL": url}, process, ready)
        finally:
            process.terminate()


@pytest.fixture(name="served")
def _served() -> Callable[..., AbstractContextManager[Shell]]:
    """Have a server of one's own: a folder for it, and the plugins that are off."""
    return served


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory, ready: str) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "library.py").write_text(PLUGIN)
    with served(
        folder, '["programs", "database", "hardware"]', "--plugin", str(folder / "library.py"), ready=ready
    ) as shell:
        yield shell


@pytest.fixture(scope="session")
def there(tmp_path_factory: pytest.TempPathFactory, ready: str) -> Iterator[Shell]:
    """A command line against a server that runs programs."""
    with served(tmp_path_factory.mktemp("programs"), '["database", "hardware"]', ready=ready) as shell:
        yield shell


@pytest.fixture(scope="session")
def everywhere(tmp_path_factory: pytest.TempPathFactory, ready: str) -> Iterator[Shell]:
    """A command line against a server with all services, and an SQLite database with words of many languages."""
    folder = tmp_path_factory.mktemp("everywhere")
    (folder / "rpcserver.toml").write_text("[services.database.databases.main]\n")
    with served(folder, "[]", "--config", str(folder / "rpcserver.toml"), ready=ready) as shell:
        words = "CREATE TABLE word (said TEXT); INSERT INTO word VALUES ('Zürich'), ('€ 5'), ('東京'), ('🚀');"
        shell.ok("sql", "main", "--write", stdin=words.encode())
        yield shell


@pytest.fixture
def in_terminal(shell: Shell) -> Callable[..., str]:
    """The output of a command that runs on a terminal."""
    import pexpect

    def run(*words: str) -> str:
        command, *arguments = shell.command(*words)
        output, status = pexpect.run(
            " ".join([command, *arguments]), env=shell.environment, withexitstatus=True, timeout=30, encoding="utf-8"
        )
        assert status == 0, output
        return str(output)

    return run
