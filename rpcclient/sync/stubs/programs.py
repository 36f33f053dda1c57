# Generated from the service programs by `make stubs`. Do not edit: change that, and generate anew.

"""The service 'programs', typed for the synchronous client."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Annotated, ClassVar

from rpcclient.methods import StubMethod
from rpcclient.stubs.programs import (
    ByteCount,
    Completed,
    EnvBase,
    Exit,
    Limits,
    NotController,
    NoTerminal,
    OnDisconnect,
    OutputChunk,
    Overflow,
    Patience,
    ProgramEvent,
    ProgramInfo,
    ProgramNotFound,
    ProgramNotStarted,
    ProgramOutput,
    ProgramRefused,
    ProgramUnsuccessful,
    RunEvent,
    Seconds,
    StderrTo,
    StdinClosed,
    StdoutTo,
    StreamName,
    TerminalSize,
)
from rpcclient.sync.stream import Stream
from rpcclient.sync.stub import SyncStub
from rpcwire.secret import Secret


class Programs(SyncStub):
    """Run programs on the server's machine: to their end, or started, watched, fed and ended from afar.

    Output and input are bytes; which encoding they are in, if any, is the caller's to know.
    """

    def signal_matching(
        self,
        signal: str,
        *,
        labels: dict[str, str] | None = None,
        ids: builtins.list[str] | None = None,
        owner: str | None = None,
    ) -> builtins.list[str]:
        """Send a signal to the process groups of all programs that match and still run, of those that you may control.

        Parameters:
            signal: its name, such as ``INT`` or ``SIGHUP``, in any case.
            labels: only those that have all of these labels.
            ids: only these.
            owner: only those of this owner.

        Returns:
            The ids of the programs that were still there, in the order of their starts.

        Raises:
            InvalidParams: there is no such signal, or nothing says which programs.
        """
        result: builtins.list[str] = self._call(
            "signal_matching", {"signal": signal, "labels": labels, "ids": ids, "owner": owner}
        )
        return result

    def kill_matching(
        self,
        *,
        labels: dict[str, str] | None = None,
        ids: builtins.list[str] | None = None,
        owner: str | None = None,
        grace_s: Seconds = 0.0,
    ) -> builtins.list[Exit]:
        """End all programs that match and still run, of those that you may control, all at the same time, with
        everything that they have started.

        Parameters:
            labels: only those that have all of these labels.
            ids: only these.
            owner: only those of this owner.
            grace_s: time to end by themselves after TERM, in seconds; 0 to kill at once.

        Returns:
            How each ended, in the order of their starts; ``survivors`` names what could not be ended.

        Raises:
            InvalidParams: nothing says which programs.
        """
        result: builtins.list[Exit] = self._call(
            "kill_matching", {"labels": labels, "ids": ids, "owner": owner, "grace_s": grace_s}
        )
        return result

    def forget_matching(
        self,
        *,
        labels: dict[str, str] | None = None,
        ids: builtins.list[str] | None = None,
        owner: str | None = None,
        force: bool = False,
    ) -> builtins.list[str]:
        """Free what is kept of all programs that match and have ended, of those that you may control.

        Parameters:
            labels: only those that have all of these labels.
            ids: only these.
            owner: only those of this owner.
            force: also those that still run: they are ended first.

        Returns:
            The ids of the programs that are forgotten, in the order of their starts.

        Raises:
            InvalidParams: nothing says which programs.
        """
        result: builtins.list[str] = self._call(
            "forget_matching", {"labels": labels, "ids": ids, "owner": owner, "force": force}
        )
        return result

    def wait(self, id: str) -> Exit:
        """Wait for a program's end. All of its output is there before this is answered.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        result: Exit = self._call("wait", {"id": id})
        return result

    def signal(self, id: str, signal: str) -> bool:
        """Send a signal to a program's whole process group.

        Parameters:
            id: the program.
            signal: its name, such as ``INT`` or ``SIGHUP``, in any case.

        Returns:
            Whether the program was still there.

        Raises:
            InvalidParams: there is no such signal.
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
        """
        result: bool = self._call("signal", {"id": id, "signal": signal})
        return result

    def kill(self, id: str, *, grace_s: Seconds = 0.0) -> Exit:
        """End a program and everything that it has started.

        Parameters:
            id: the program.
            grace_s: time to end by itself after TERM, in seconds; 0 to kill at once.

        Returns:
            How it ended; ``survivors`` names what could not be ended.

        Raises:
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
        """
        result: Exit = self._call("kill", {"id": id, "grace_s": grace_s})
        return result

    def list(
        self, *, labels: dict[str, str] | None = None, owner: str | None = None, running: bool | None = None
    ) -> builtins.list[ProgramInfo]:
        """Your programs, and those of others that you may see: those that run, and those that have ended but are still
        kept, in the order of their starts.

        Parameters:
            labels: only those that have all of these labels.
            owner: only those of this owner.
            running: only those that still run, or only those that do not.
        """
        result: builtins.list[ProgramInfo] = self._call("list", {"labels": labels, "owner": owner, "running": running})
        return result

    def outputs(
        self,
        *,
        beginning: str = "",
        labels: dict[str, str] | None = None,
        owner: str | None = None,
        running: bool | None = None,
        tail_bytes: ByteCount | None = None,
        wait: bool = True,
    ) -> Stream[ProgramOutput]:
        """Follow the output of several programs at once, those that :meth:`list` lists at this moment, as
        :meth:`output` does for one. The stream ends when all of them have ended.

        Parameters:
            beginning: only those whose ids begin like this.
            labels: only those that have all of these labels.
            owner: only those of this owner.
            running: only those that still run, or only those that do not.
            tail_bytes: begin so many bytes before what is there now, else with all that is kept.
            wait: go on with what is still to come; otherwise end with what there is.
        """
        return self._stream(
            "outputs",
            {
                "beginning": beginning,
                "labels": labels,
                "owner": owner,
                "running": running,
                "tail_bytes": tail_bytes,
                "wait": wait,
            },
        )

    def watch(self, *, labels: dict[str, str] | None = None, owner: str | None = None) -> Stream[ProgramEvent]:
        """Be told what happens to programs, those that run already first (``running``), then ``started``, ``exited``
        and ``forgotten``. It does not end by itself.

        Parameters:
            labels: only those that have all of these labels.
            owner: only those of this owner.

        Raises:
            SlowConsumer: the reader is thousands of events behind.
        """
        return self._stream("watch", {"labels": labels, "owner": owner})

    def get(self, id: str) -> ProgramInfo:
        """One of your programs.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        result: ProgramInfo = self._call("get", {"id": id})
        return result

    def forget(self, id: str) -> None:
        """Free what is kept of a program; one that still runs is ended first.

        Raises:
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
        """
        self._call("forget", {"id": id})

    def output(
        self,
        id: str,
        *,
        stream: StreamName | None = None,
        offset: int = 0,
        offsets: dict[StreamName, int] | None = None,
        tail_bytes: int | None = None,
        wait: bool = True,
    ) -> Stream[OutputChunk]:
        """Follow a program's output, from what is kept of it to its end. Any number of readers may; none holds up
        another, and one that falls behind what is kept goes on after it, with ``lost_bytes`` in its next piece.

        The stream ends with the output; then :meth:`wait` tells how the program ended. A reader that was cut off goes
        on with ``offsets`` at the end of the last piece that it got.

        Parameters:
            id: the program.
            stream: only this output; both where not given.
            offset: where to begin, in bytes from the start of each output.
            offsets: the same for each output by itself; it wins over ``offset``.
            tail_bytes: begin so many bytes before what is there now, in place of ``offset``.
            wait: go on with what is still to come; otherwise end with what there is.

        Raises:
            ProgramNotFound: there is no such program of yours.
        """
        return self._stream(
            "output",
            {"id": id, "stream": stream, "offset": offset, "offsets": offsets, "tail_bytes": tail_bytes, "wait": wait},
        )

    def control(self, id: str, *, take: bool = False) -> ProgramInfo:
        """Let this connection control a program: it may write to it and resize its terminal, the program may wait for
        it to read (``overflow="wait"``), and ``on_disconnect`` is about it. There is one controller at a time. A
        program without one gets the first that calls this, or writes to it.

        Parameters:
            id: the program.
            take: also where another connection controls it, which then no longer does.

        Raises:
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
            NotController: another connection controls it.
        """
        result: ProgramInfo = self._call("control", {"id": id, "take": take})
        return result

    def write(self, id: str, data: Annotated[bytes, Secret()]) -> None:
        """Write to a program's standard input or terminal. Answered when the program, or its pipe, has taken all of
        it: whoever waits for the answer before writing more is never ahead of the program.

        Parameters:
            id: the program.
            data: what to write.

        Raises:
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
            NotController: another connection controls it.
            StdinClosed: it takes no more input.
        """
        self._call("write", {"id": id, "data": data})

    def close_stdin(self, id: str) -> None:
        """Tell a program that there is no more input. A terminal gets its end-of-file character (Ctrl-D), which
        counts at the beginning of a line, and can be written to afterwards.

        Raises:
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
            NotController: another connection controls it.
        """
        self._call("close_stdin", {"id": id})

    def resize(self, id: str, rows: int, columns: int) -> None:
        """Give a program's terminal another size; the program is told by SIGWINCH.

        Parameters:
            id: the program.
            rows: the height in characters.
            columns: the width in characters.

        Raises:
            ProgramNotFound: there is no such program of yours.
            ProgramRefused: you may view it, but not control it.
            NotController: another connection controls it.
            NoTerminal: it has no terminal, or has ended.
        """
        self._call("resize", {"id": id, "rows": rows, "columns": columns})

    def start(
        self,
        argv: builtins.list[str],
        *,
        cwd: str | None = None,
        env: Annotated[dict[str, str] | None, Secret()] = None,
        env_base: EnvBase = "clean",
        stdin: bool = True,
        stderr: StderrTo = "pipe",
        terminal: TerminalSize | None = None,
        timeout_s: Seconds | None = None,
        idle_timeout_s: Patience | None = None,
        grace_s: Seconds | None = None,
        on_disconnect: OnDisconnect = "kill",
        reattach_s: Seconds = 0.0,
        overflow: Overflow = "skip",
        retain_bytes: ByteCount | None = None,
        retain_s: Seconds | None = None,
        user: str | None = None,
        limits: Limits | None = None,
        labels: dict[str, str] | None = None,
    ) -> ProgramInfo:
        """Start a program and leave it running. The caller's connection controls it; see :meth:`control`.

        What it writes is kept, by byte offset, for :meth:`output`, until some time after its end.

        Parameters:
            argv: the program and its arguments.
            cwd: where to run it; the home directory of its user where not given.
            env: variables to set besides the base.
            env_base: what the environment begins with.
            stdin: whether it can be written to; otherwise its input is empty.
            stderr: where standard error goes.
            terminal: run it in a pseudo-terminal of this size; everything that it writes is standard output then.
            timeout_s: end it after this time, in seconds.
            idle_timeout_s: end it after it has neither read nor written anything for this time, in seconds. What goes
                nowhere (``stderr="discard"``) does not count.
            grace_s: time between TERM and KILL when one of these times is over, in seconds; the server's where not
                given.
            on_disconnect: what happens to it when the connection that controls it ends. With ``keep`` it outlives the
                server, too.
            reattach_s: how long that waits for somebody to take control again, in seconds.
            overflow: what happens when it writes more than is kept and its controller has not read it yet. With
                ``wait`` it is held once half of ``retain_bytes`` is not read by its controller, so that one that
                comes back finds everything that may have been lost on the way.
            retain_bytes: output to keep, per stream, in bytes; the server's default where not given.
            retain_s: how long to keep it after the program's end, in seconds; the server's default where not given.
            user: as whom to run it, if not as the role says: by default as the server's own user.
            limits: what it may take of the machine.
            labels: notes, for :meth:`list` and :meth:`watch`.

        Returns:
            Its id and what else there is to say.

        Raises:
            ProgramNotStarted: there is no such program or directory, or the system does not let it run.
            ProgramRefused: the server's policy does not let it run.
            Busy: too many programs run.
        """
        result: ProgramInfo = self._call(
            "start",
            {
                "argv": argv,
                "cwd": cwd,
                "env": env,
                "env_base": env_base,
                "stdin": stdin,
                "stderr": stderr,
                "terminal": terminal,
                "timeout_s": timeout_s,
                "idle_timeout_s": idle_timeout_s,
                "grace_s": grace_s,
                "on_disconnect": on_disconnect,
                "reattach_s": reattach_s,
                "overflow": overflow,
                "retain_bytes": retain_bytes,
                "retain_s": retain_s,
                "user": user,
                "limits": limits,
                "labels": labels,
            },
        )
        return result

    def stream(
        self,
        argv: builtins.list[str],
        *,
        input: Annotated[bytes, Secret()] = b"",
        check: bool = False,
        timeout_s: Seconds | None = None,
        idle_timeout_s: Patience | None = None,
        grace_s: Seconds | None = None,
        cwd: str | None = None,
        env: Annotated[dict[str, str] | None, Secret()] = None,
        env_base: EnvBase = "clean",
        stderr: StderrTo = "pipe",
        user: str | None = None,
        limits: Limits | None = None,
        labels: dict[str, str] | None = None,
    ) -> Stream[RunEvent]:
        """Run a program to its end, and stream its output as it comes; the last item is its end. If the reader closes
        the stream, or its connection ends, so does the program, with everything that it has started. If the reader is
        slow, the program waits.

        As nothing but this one call is needed, it is the way to run a program on many nodes of a group at once.

        Parameters:
            argv: the program and its arguments.
            input: goes to its standard input, which then ends.
            check: fail in the end unless it has ended with code 0, by itself.
            timeout_s: end it after this time, in seconds.
            idle_timeout_s: end it after it has neither read nor written anything for this time, in seconds.
            grace_s: time between TERM and KILL when one of these times is over, in seconds; the server's where not
                given.
            cwd: where to run it; the home directory of its user where not given.
            env: variables to set besides the base.
            env_base: what the environment begins with.
            stderr: where standard error goes.
            user: as whom to run it, if not as the role says: by default as the server's own user.
            limits: what it may take of the machine.
            labels: notes, for :meth:`list` and :meth:`watch`.

        Raises:
            ProgramNotStarted: there is no such program or directory, or the system does not let it run.
            ProgramRefused: the server's policy does not let it run.
            ProgramUnsuccessful: it has not ended well, and was to (``check``).
            Busy: too many programs run.
        """
        return self._stream(
            "stream",
            {
                "argv": argv,
                "input": input,
                "check": check,
                "timeout_s": timeout_s,
                "idle_timeout_s": idle_timeout_s,
                "grace_s": grace_s,
                "cwd": cwd,
                "env": env,
                "env_base": env_base,
                "stderr": stderr,
                "user": user,
                "limits": limits,
                "labels": labels,
            },
        )

    def run(
        self,
        argv: builtins.list[str],
        *,
        input: Annotated[bytes, Secret()] = b"",
        timeout_s: Seconds | None = None,
        idle_timeout_s: Patience | None = None,
        grace_s: Seconds | None = None,
        cwd: str | None = None,
        env: Annotated[dict[str, str] | None, Secret()] = None,
        env_base: EnvBase = "clean",
        stdout: StdoutTo = "pipe",
        stderr: StderrTo = "pipe",
        output_bytes: ByteCount | None = None,
        user: str | None = None,
        limits: Limits | None = None,
        labels: dict[str, str] | None = None,
        check: bool = False,
    ) -> Completed:
        """Run a program to its end and return its output. Like ``subprocess.run``; no shell is involved. If the call
        is cancelled or its connection ends, so does the program, with everything that it has started.

        Parameters:
            argv: the program and its arguments.
            input: goes to its standard input, which then ends.
            timeout_s: end it after this time, in seconds.
            idle_timeout_s: end it after it has neither read nor written anything for this time, in seconds.
            grace_s: time between TERM and KILL when one of these times is over, in seconds; the server's where not
                given.
            cwd: where to run it; the home directory of its user where not given.
            env: variables to set besides the base.
            env_base: what the environment begins with.
            stdout: where standard output goes.
            stderr: where standard error goes.
            output_bytes: the most output to return, per stream, in bytes; at most, and by default, the server's limit,
                and never more than fits into a message. What comes after it is read, counted and dropped.
            user: as whom to run it, if not as the role says: by default as the server's own user.
            limits: what it may take of the machine.
            labels: notes, for :meth:`list` and :meth:`watch`.
            check: fail unless it has ended with code 0, by itself.

        Returns:
            How it ended and what it wrote. A code other than 0 is a result, not an error, without ``check``.

        Raises:
            ProgramNotStarted: there is no such program or directory, or the system does not let it run.
            ProgramRefused: the server's policy does not let it run.
            ProgramUnsuccessful: it has not ended well, and was to (``check``).
            Busy: too many programs run.
        """
        result: Completed = self._call(
            "run",
            {
                "argv": argv,
                "input": input,
                "timeout_s": timeout_s,
                "idle_timeout_s": idle_timeout_s,
                "grace_s": grace_s,
                "cwd": cwd,
                "env": env,
                "env_base": env_base,
                "stdout": stdout,
                "stderr": stderr,
                "output_bytes": output_bytes,
                "user": user,
                "limits": limits,
                "labels": labels,
                "check": check,
            },
        )
        return result

    def run_output_bytes(self, argv: builtins.list[str]) -> int:
        """The most output that :meth:`run` returns of a program, per stream, in bytes: for whoever does what it does by
        way of :meth:`start`, as its input is larger than a message.

        Parameters:
            argv: the program and its arguments, which are in the same message.
        """
        result: int = self._call("run_output_bytes", {"argv": argv})
        return result

    _methods: ClassVar[Mapping[str, StubMethod]] = {
        "signal_matching": StubMethod("programs.signal_matching", signal_matching),
        "kill_matching": StubMethod("programs.kill_matching", kill_matching, deadline_s=86400.0),
        "forget_matching": StubMethod("programs.forget_matching", forget_matching),
        "wait": StubMethod("programs.wait", wait, deadline_s=86400.0, errors=(ProgramNotFound,)),
        "signal": StubMethod(
            "programs.signal",
            signal,
            errors=(
                ProgramNotFound,
                ProgramRefused,
            ),
        ),
        "kill": StubMethod(
            "programs.kill",
            kill,
            deadline_s=86400.0,
            errors=(
                ProgramNotFound,
                ProgramRefused,
            ),
        ),
        "list": StubMethod("programs.list", list),
        "outputs": StubMethod("programs.outputs", outputs),
        "watch": StubMethod("programs.watch", watch),
        "get": StubMethod("programs.get", get, errors=(ProgramNotFound,)),
        "forget": StubMethod(
            "programs.forget",
            forget,
            errors=(
                ProgramNotFound,
                ProgramRefused,
            ),
        ),
        "output": StubMethod("programs.output", output, errors=(ProgramNotFound,)),
        "control": StubMethod(
            "programs.control",
            control,
            errors=(
                ProgramNotFound,
                ProgramRefused,
                NotController,
            ),
            group=False,
        ),
        "write": StubMethod(
            "programs.write",
            write,
            deadline_s=86400.0,
            errors=(
                ProgramNotFound,
                ProgramRefused,
                NotController,
                StdinClosed,
            ),
            group=False,
        ),
        "close_stdin": StubMethod(
            "programs.close_stdin",
            close_stdin,
            errors=(
                ProgramNotFound,
                ProgramRefused,
                NotController,
            ),
            group=False,
        ),
        "resize": StubMethod(
            "programs.resize",
            resize,
            errors=(
                ProgramNotFound,
                ProgramRefused,
                NotController,
                NoTerminal,
            ),
            group=False,
        ),
        "start": StubMethod(
            "programs.start",
            start,
            errors=(
                ProgramNotStarted,
                ProgramRefused,
            ),
            group=False,
        ),
        "stream": StubMethod(
            "programs.stream",
            stream,
            errors=(
                ProgramNotStarted,
                ProgramRefused,
                ProgramUnsuccessful,
            ),
        ),
        "run": StubMethod(
            "programs.run",
            run,
            deadline_s=86400.0,
            errors=(
                ProgramNotStarted,
                ProgramRefused,
                ProgramUnsuccessful,
            ),
        ),
        "run_output_bytes": StubMethod("programs.run_output_bytes", run_output_bytes),
    }
