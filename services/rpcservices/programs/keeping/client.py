"""The server's side of keepers: starts one, finds those of earlier servers, and talks to them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from rpcservices.programs.models import Exit
from rpcservices.programs.running import records
from rpcservices.programs.running.cgroups import Places
from rpcservices.programs.running.program import Program
from rpcservices.programs.running.records import About, Order
from rpcservices.programs.running.segments import Segments
from rpcservices.programs.running.spawning import LaunchError
from rpcservices.programs.running.supervision import Ending
from rpcservices.programs.terms import StreamName

from .leftovers import Leftovers, Trace

_log = logging.getLogger("rpcserver.services.programs")
CONNECT_S = 5.0
ABANDONED_S = 60.0
"""The age at which a folder without a program is removed."""


class KeptOutput:
    """An output in the files of a keeper.

    Parameters:
        folder: the folder of the files.
        name: the output's name.
    """

    def __init__(self, folder: str, name: StreamName) -> None:
        self.name: StreamName = name
        self.total_bytes = 0
        self.start = 0
        self.is_complete = False
        self.cut = False
        self._segments = Segments(folder, name, 0)
        self._watchers: set[Callable[[], object]] = set()

    def news(self, start: int, total_bytes: int, *, is_complete: bool, cut: bool = False) -> None:
        """Take over the state that the keeper has reported."""
        self.cut = cut
        self.start, self.total_bytes, self.is_complete = start, max(total_bytes, self.total_bytes), is_complete
        for watcher in tuple(self._watchers):
            watcher()

    def look(self, total_bytes: int = 0, *, cut: bool = False) -> None:
        """Learn the state from the files, when there is no keeper any more.

        Parameters:
            total_bytes: how much was written, if the keeper has recorded that; the files may hold less.
            cut: whether there was more output after it.
        """
        with contextlib.suppress(OSError):
            self._segments.refresh()
        total_bytes = max(self._segments.end, total_bytes)
        start = self._segments.start if self._segments.starts else total_bytes
        self.news(start, total_bytes, is_complete=True, cut=cut)

    def read(self, offset: int, most: int, /) -> tuple[int, bytes] | None:
        """Return the piece at ``offset``, or at the first kept byte after it; ``None`` where there is nothing yet."""
        if offset >= self.total_bytes:
            return None
        with contextlib.suppress(OSError):
            piece = self._segments.read(offset, most)
            if piece is None or (piece[0] > offset and not self.is_complete):
                self._segments.refresh()
                piece = self._segments.read(offset, most)
            if piece is not None:
                return piece[0], piece[1][: self.total_bytes - piece[0]] if not self.is_complete else piece[1]
        return None

    def watch(self, callback: Callable[[], object], /) -> Callable[[], None]:
        """Call ``callback`` at every change. Returns a function that ends this."""
        self._watchers.add(callback)

        def forget() -> None:
            self._watchers.discard(callback)

        return forget

    def discard(self) -> None:
        """Do nothing: the files are removed with their folder."""


def start_keeper(order: Order, folder: str) -> tuple[subprocess.Popen[bytes], About]:
    """Start a keeper and its program. It blocks until the program runs or has failed to start.

    Raises:
        LaunchError: the program cannot be started.
    """
    os.makedirs(folder, 0o700)
    try:
        with open(f"{folder}/keeper.log", "wb") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-m", f"{__package__}.keeper", folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env={},
                start_new_session=True,
            )
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        with keeper.stdin as order_pipe, keeper.stdout as report_pipe:
            with contextlib.suppress(BrokenPipeError):
                order_pipe.write(order.dump())
                order_pipe.close()
            report = json.loads(report_pipe.readline() or b"{}")
        if "pid" not in report:
            keeper.wait()
            text = report.get("text", "the keeper did not start; see the server's log")
            raise LaunchError(report.get("field", "argv"), report.get("number", 0), text)
    except OSError as exc:
        shutil.rmtree(folder, ignore_errors=True)
        raise LaunchError("argv", exc.errno or 0, f"no keeper can be started: {exc.strerror}") from exc
    except LaunchError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    about = replace(order.about, pid=report["pid"], pid_start=report["pid_start"], boot_id=report["boot_id"])
    return keeper, about


class KeptProgram(Program):
    """A program that a keeper looks after.

    Parameters:
        about: the description of the program.
        folder: the keeper's folder.
        keeper: the keeper's process, if this process has started it.
        places: the folders for control groups of programs.
    """

    def __init__(
        self, about: About, folder: str, keeper: subprocess.Popen[bytes] | None = None, places: Places | None = None
    ) -> None:
        names: tuple[StreamName, ...] = ("stdout", "stderr")
        self._kept_outputs = {name: KeptOutput(folder, name) for name in names}
        super().__init__(about, list(self._kept_outputs.values()))
        self.folder = folder
        self.ended_at = 0.0
        self._keeper = keeper
        self._places = places or Places()
        self._writer: asyncio.StreamWriter | None = None
        self._numbers = itertools.count(1)
        self._reported_offsets: dict[StreamName, int] = {}
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_detached = False

    @property
    def listening(self) -> asyncio.Task[None] | None:
        """Hears the keeper, until that has ended; ``None`` if there is nothing to hear."""
        return self._task

    # --- its keeper ---------------------------------------------------------------------------------------------

    async def attach(self) -> None:
        """Connect to the keeper. If it has ended, learn how the program ended."""
        if self._already_ended():
            return
        try:
            reader, self._writer = await asyncio.wait_for(self._connect(), CONNECT_S)
        except (OSError, TimeoutError):
            if not self._already_ended():
                await self._on_keeper_gone()
            return
        self._task = asyncio.ensure_future(self._listen(reader))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        place = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{place}/{records.SOCKET}")
            sock.setblocking(False)
            return await asyncio.open_unix_connection(sock=sock, limit=1024 * 1024)
        except BaseException:
            sock.close()
            raise
        finally:
            os.close(place)

    def _already_ended(self) -> bool:
        """Whether the keeper has recorded how the program ended."""
        try:
            record = records.read(self.folder, records.ENDING)
            if record is None:
                return False
            ending = records.ending_from(record["ending"])
        except (ValueError, KeyError, TypeError):
            return False
        self._finish(ending, record)
        return True

    def _finish(self, ending: Ending, record: dict[str, Any]) -> None:
        self.ended_at = float(record.get("ended_at") or time.time())
        for name, output in self._kept_outputs.items():
            total_bytes, cut = _output_in_record(record, name)
            output.look(total_bytes, cut=cut)
        self.note_end(ending)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                try:
                    self._handle(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError) as exc:
                    # Perhaps a keeper of another version. That is no reason to end the program.
                    _log.warning("%s: its keeper said something unknown (%r): %.200r", self.id, exc, line)
        except (OSError, ValueError) as exc:  # ValueError: a line is too long.
            _log.warning("%s: its keeper cannot be heard any more: %s", self.id, exc)
        finally:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        try:
            if not self._is_detached:
                await self._learn_end()
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_result({})

    async def _learn_end(self) -> None:
        """Learn how the program ended after its keeper has ended: from its record, or else somebody has killed the
        keeper."""
        if self._keeper is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._keeper.wait)
        if self.exit is None and not self._already_ended():
            await self._on_keeper_gone()

    def _handle(self, message: dict[str, Any]) -> None:
        if "ending" in message:
            self._finish(records.ending_from(message["ending"]), message)
        elif "output" in message:
            for name, (start, total_bytes, is_complete, *cut) in message["output"].items():
                self._kept_outputs[name].news(start, total_bytes, is_complete=is_complete, cut=any(cut))
            self._tell({"op": "seen"})
        else:
            answer = self._answers.get(message.get("n", 0))
            if answer is not None and not answer.done():
                answer.set_result(message)

    async def _on_keeper_gone(self) -> None:
        """End a program whose keeper was killed, and record that."""
        await self._end_rest(0)
        ending = Ending(lost=True, duration_s=max(0.0, time.time() - self.about.started_at))
        record = {"ending": asdict(ending), "ended_at": time.time()}
        with contextlib.suppress(OSError):
            records.write(self.folder, records.ENDING, record)
        self._finish(ending, record)

    async def _end_rest(self, grace_s: float) -> list[int]:
        """End what is left of the program without a keeper. Returns the ids of processes that could not be ended."""
        if self.about.boot_id != records.boot_id():
            return []
        rest = Leftovers([Trace(self.id, self.about.pid, self.about.pid_start)], self._places)
        return await asyncio.get_running_loop().run_in_executor(None, rest.end, grace_s)

    async def detach(self) -> None:
        """Leave the program to its keeper."""
        self._is_detached = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._keeper is not None:
            self._keeper.returncode = self._keeper.poll() or 0  # The keeper goes on without us.

    # --- requests -----------------------------------------------------------------------------------------------

    def _tell(self, request: dict[str, Any], payload: bytes = b"") -> None:
        if self._writer is not None and self.exit is None and not self._writer.is_closing():
            self._writer.write(json.dumps(request).encode() + b"\n" + payload)

    async def _ask(self, request: dict[str, Any], payload: bytes = b"") -> dict[str, Any]:
        """Send a request and return the answer; empty if the keeper has ended."""
        if self._writer is None or self.exit is not None:
            return {}
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            self._tell({**request, "n": number}, payload)
            reply: dict[str, Any] = await answer
            return reply
        finally:
            del self._answers[number]

    async def write(self, data: bytes) -> None:
        answer = await self._ask({"op": "write", "size": len(data)}, data)
        if not answer.get("ok"):
            raise self.stdin_closed()

    def close_stdin(self) -> None:
        self._tell({"op": "close_stdin"})

    def send_signal(self, signum: int) -> bool:
        self._tell({"op": "signal", "number": signum})
        return self.exit is None

    def hang_up(self) -> None:
        self._tell({"op": "hang_up"})

    async def resize(self, rows: int, columns: int) -> None:
        answer = await self._ask({"op": "resize", "rows": rows, "columns": columns})
        if not answer.get("ok"):
            raise self.no_terminal()
        self.about = self.about.with_terminal_size(rows, columns)

    def acknowledge(self, stream: StreamName, offset: int) -> None:
        # Not for every piece: the keeper holds the program only when far more than this is unread.
        if self.about.hold and offset - self._reported_offsets.get(stream, 0) >= self.about.retain_bytes // 32:
            self._reported_offsets[stream] = offset
            self._tell({"op": "taken", "stream": stream, "offset": offset})

    async def end(self, grace_s: float) -> Exit:
        if self.exit is not None:
            return self.exit.model_copy(update={"survivors": await self._end_rest(grace_s)})
        answer = await self._ask({"op": "end", "grace_s": grace_s})
        ending = await self.wait()
        return ending.model_copy(update={"survivors": answer["survivors"]}) if "survivors" in answer else ending

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _output_in_record(record: dict[str, Any], name: str) -> tuple[int, bool]:
    """How much of an output was written, and whether it was cut, by the keeper's record. The record of a keeper of
    another version may lack it."""
    try:
        _, total_bytes, _, *cut = record["output"][name]
        return int(total_bytes), any(cut)
    except (KeyError, TypeError, ValueError):
        return 0, False


def find_kept(folder: str) -> list[tuple[About, str]]:
    """Find the programs of keepers below a folder, running or not, in the order of their starts."""
    programs = []
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(folder)):
            place = f"{folder}/{name}"
            try:
                record = records.read(place, records.ABOUT)
                if record is None:
                    raise ValueError("no record")
                programs.append((records.about_from(record), place))
            except (ValueError, TypeError):
                # Its keeper has not started the program: it failed, or is about to.
                if time.time() - os.stat(place).st_mtime > ABANDONED_S:
                    shutil.rmtree(place, ignore_errors=True)
    return sorted(programs, key=lambda each: each[0].started_at)
