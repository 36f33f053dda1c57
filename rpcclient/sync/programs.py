# Generated from rpcclient/aio/programs.py by `make stubs`. Do not edit: change that, and generate anew.

"""The programs service for the synchronous client: its stub, with results and handles like those of ``subprocess``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, AnyStr, Literal, Unpack, cast, overload

from rpcclient.programs.coming_back import COME_BACK_S, HandleState, Places, check_places
from rpcclient.programs.results import (
    Argv,
    CompletedProgram,
    RunOptions,
    StartOptions,
    argv_of,
    output_limits,
    run_options_of,
    start_options_of,
)
from rpcclient.programs.text import Coding
from rpcclient.stubs.programs import StreamName
from rpcwire.errors import TooLarge

from .program import Program
from .stubs import programs as stub


class Programs(stub.Programs):
    """Runs programs: to their end with :meth:`run`, or with :meth:`start` as one starts a ``subprocess.Popen``. What
    the service offers besides is as :mod:`rpcclient.sync.stubs.programs` has it."""

    # The results have more than those of the stub: that is why the methods are overridden.
    @overload  # type: ignore[override]
    def run(
        self,
        argv: Argv,
        *,
        input: bytes | str | None = None,
        check: bool = False,
        text: Literal[False] = False,
        encoding: None = None,
        errors: None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProgram[bytes]: ...
    @overload
    def run(
        self,
        argv: Argv,
        *,
        input: bytes | str | None = None,
        check: bool = False,
        text: Literal[True],
        encoding: str | None = None,
        errors: str | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProgram[str]: ...
    @overload
    def run(
        self,
        argv: Argv,
        *,
        input: bytes | str | None = None,
        check: bool = False,
        text: bool = False,
        encoding: str,
        errors: str | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProgram[str]: ...
    def run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        argv: Argv,
        *,
        input: bytes | str | None = None,
        check: bool = False,
        text: bool = False,
        encoding: str | None = None,
        errors: str | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProgram[Any]:
        """Run a program to its end and return its output, as ``subprocess.run`` does. No shell is involved. If the call
        is cancelled, or its connection ends, so does the program, with everything that it has started.

        Parameters:
            argv: the program and its arguments.
            input: goes to its standard input, which then ends; text is encoded. What is too large for one message is
                sent in pieces.
            check: raise ProgramFailed where it does not end with exit code 0, a limit ends it, or its output was cut
                while it still came.
            text: decode its output, as UTF-8 where ``encoding`` does not say otherwise; bytes otherwise.
            encoding: decode its output like this.
            errors: what to do with output that is no text, as of :meth:`bytes.decode`, and with input that the encoding
                does not have: ``strict`` where not given.
            capture_output: return its output (the default); otherwise it goes nowhere.
            stdout: ``pipe``: standard output is returned; ``discard``: it goes nowhere.
            stderr: ``pipe``: standard error is returned by itself; ``merge``: it goes into standard output;
                ``discard``: it goes nowhere.
            output_bytes: the most output to return, per stream, in bytes; at most, and where not given, the server's
                own limit (``output_bytes`` of its configuration). What comes after it is counted and dropped, and the
                result says ``truncated``; :meth:`start` has no such limit.
            timeout_s: end it after this time, in seconds; the result says ``timed_out``.
            idle_timeout_s: end it after it has neither read nor written anything for this time, in seconds.
            grace_s: time between TERM and KILL when one of these times is over, in seconds.
            cwd: where to run it; the home directory of its user where not given.
            env: variables to set besides the base.
            env_base: what the environment begins with, ``clean`` or ``login``.
            user: as whom to run it, if not as the server's own user.
            limits: what it may take of the machine.
            labels: notes, for :meth:`list` and :meth:`watch`.

        Returns:
            How it ended and what it wrote.

        Raises:
            InvalidParams: something given cannot be used; nothing has run.
            ProgramFailed: ``check`` was given, and it did not end with exit code 0, a limit ended it, or its output was
                cut.
            ProgramNotStarted: there is no such program or directory, or the system does not let it run.
            ProgramRefused: the server's policy does not let it run.
            Busy: too many programs run.
            UnicodeDecodeError: its output is no text.
        """
        coding = Coding.of(text, encoding, errors)
        wire_options = run_options_of(cast("Mapping[str, Any]", options))
        if input is not None:
            wire_options["input"] = Coding[str](encoding or "utf-8", errors or "strict").encode(input)
        arguments = argv_of(argv)
        try:
            result = CompletedProgram.of(super().run(arguments, **wire_options), coding)
        except TooLarge as exc:
            if exc.executed != "no" or not wire_options.get("input"):
                raise
            result = self._run_in_pieces(arguments, wire_options, coding)
        if check:
            result.check_returncode()
        return result

    def _run_in_pieces(
        self, argv: list[str], wire_options: dict[str, Any], coding: Coding[AnyStr]
    ) -> CompletedProgram[AnyStr]:
        """Run a program whose input is larger than a message."""
        data = wire_options.pop("input")
        discards_stdout = wire_options.get("stdout") == "discard"
        most = output_limits(wire_options, super().run_output_bytes(argv))
        info = super().start(argv, overflow="wait", **wire_options)
        state = HandleState(info, keeps_control=True, ends_with_block=True, grace_s=0.0, most_bytes=most)
        with Program(self._calls, state, coding) as program:
            result = program.communicate(data, self._calls.options.timeout_s)
        program.forget()
        return replace(result, stdout_lost_bytes=0) if discards_stdout else result

    @overload  # type: ignore[override]
    def start(
        self,
        argv: Argv,
        *,
        text: Literal[False] = False,
        encoding: None = None,
        errors: None = None,
        **options: Unpack[StartOptions],
    ) -> Program[bytes]: ...
    @overload
    def start(
        self,
        argv: Argv,
        *,
        text: Literal[True],
        encoding: str | None = None,
        errors: str | None = None,
        **options: Unpack[StartOptions],
    ) -> Program[str]: ...
    @overload
    def start(
        self,
        argv: Argv,
        *,
        text: bool = False,
        encoding: str,
        errors: str | None = None,
        **options: Unpack[StartOptions],
    ) -> Program[str]: ...
    def start(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        argv: Argv,
        *,
        text: bool = False,
        encoding: str | None = None,
        errors: str | None = None,
        **options: Unpack[StartOptions],
    ) -> Program[Any]:
        """Start a program and talk to it, as with ``subprocess.Popen``. This client's connection controls it. What it
        writes is kept by the server, until some time after its end.

        Parameters:
            argv: the program and its arguments.
            text: its input and output are text, in UTF-8 where ``encoding`` does not say otherwise; bytes otherwise.
            encoding: they are text in this encoding.
            errors: what to do with output that is no text, as of :meth:`bytes.decode`: ``strict`` where not given.
            stdin: whether it can be written to (the default); otherwise its input is empty.
            stderr: ``pipe``: standard error is a stream of its own; ``merge``: it goes into standard output;
                ``discard``: it goes nowhere.
            terminal: run it in a pseudo-terminal of this size; everything that it writes is standard output then.
            on_disconnect: what happens when this client's connection ends: ``kill`` ends it with all that it has
                started, ``hangup`` does what losing a terminal does, ``keep`` lets it go on, also when the server is
                started anew.
            reattach_s: how long that waits for somebody to take control again, in seconds.
            overflow: what happens when it writes more than is kept and this client has not read it yet: ``wait`` (the
                default) makes it wait, as a pipe does, from half of ``retain_bytes`` on; ``skip`` drops the oldest,
                and is the default with ``on_disconnect="keep"``, as nobody may be there to read.
            retain_bytes: output to keep, per stream, in bytes; the server's default where not given.
            retain_s: how long to keep it after the program's end, in seconds; the server's default where not given.
            timeout_s: end it after this time, in seconds.
            idle_timeout_s: end it after it has neither read nor written anything for this time, in seconds.
            grace_s: time between TERM and KILL when one of these times is over, or the ``with`` block is left, in
                seconds.
            cwd: where to run it; the home directory of its user where not given.
            env: variables to set besides the base.
            env_base: what the environment begins with, ``clean`` or ``login``.
            user: as whom to run it, if not as the server's own user.
            limits: what it may take of the machine.
            labels: notes, for :meth:`list` and :meth:`watch`.

        Returns:
            A handle.

        Raises:
            InvalidParams: something given cannot be used; nothing has started.
            ProgramNotStarted: there is no such program or directory, or the system does not let it run.
            ProgramRefused: the server's policy does not let it run.
            Busy: too many programs run.
        """
        coding = Coding.of(text, encoding, errors)
        wire_options = start_options_of(cast("Mapping[str, Any]", options))
        info = super().start(argv_of(argv), **wire_options)
        grace_s = wire_options.get("grace_s")
        state = HandleState(
            info,
            keeps_control=True,
            ends_with_block=info.on_disconnect != "keep",
            grace_s=2.0 if grace_s is None else grace_s,
            is_unread=wire_options["overflow"] == "wait" and "overflow" not in options,
            reconnect_timeout_s=max(COME_BACK_S, wire_options.get("reattach_s", 0.0)),
        )
        return Program(self._calls, state, coding)

    @overload
    def attach(
        self,
        id: str,
        *,
        offset: int = 0,
        offsets: Mapping[StreamName, int] | None = None,
        tail_bytes: int | None = None,
        control: bool = False,
        take: bool = False,
        text: Literal[False] = False,
        encoding: None = None,
        errors: None = None,
    ) -> Program[bytes]: ...
    @overload
    def attach(
        self,
        id: str,
        *,
        offset: int = 0,
        offsets: Mapping[StreamName, int] | None = None,
        tail_bytes: int | None = None,
        control: bool = False,
        take: bool = False,
        text: Literal[True],
        encoding: str | None = None,
        errors: str | None = None,
    ) -> Program[str]: ...
    @overload
    def attach(
        self,
        id: str,
        *,
        offset: int = 0,
        offsets: Mapping[StreamName, int] | None = None,
        tail_bytes: int | None = None,
        control: bool = False,
        take: bool = False,
        text: bool = False,
        encoding: str,
        errors: str | None = None,
    ) -> Program[str]: ...
    def attach(
        self,
        id: str,
        *,
        offset: int = 0,
        offsets: Mapping[StreamName, int] | None = None,
        tail_bytes: int | None = None,
        control: bool = False,
        take: bool = False,
        text: bool = False,
        encoding: str | None = None,
        errors: str | None = None,
    ) -> Program[Any]:
        """A handle of a program that was started before, by anybody: it may have ended, too. Leaving its ``with`` block
        never ends the program.

        Parameters:
            id: the program.
            offset: where to begin reading, in bytes from the start of each output. What is no longer kept of that is
                lost.
            offsets: the same for each output by itself; it wins over ``offset``.
            tail_bytes: begin so many bytes before what is there now, in place of ``offset``. Of a character that
                begins before that, text leaves out the rest.
            control: let this client's connection control it: write to it, and resize its terminal.
            take: also where another connection controls it.
            text, encoding, errors: as of :meth:`start`. What is written to it gets no byte order mark, as others may
                have written before.

        Returns:
            A handle.

        Raises:
            InvalidParams: a place is negative, or of no output; or it is none for text in this encoding.
            ProgramNotFound: there is no such program of yours.
            NotController: another connection controls it, and ``take`` was not given.
        """
        coding = Coding.of(text, encoding, errors)
        check_places(offset, offsets, tail_bytes)
        if offset or any((offsets or {}).values()) or tail_bytes is not None:
            coding.check_order_of_bytes()
        info = self.control(id, take=take) if control or take else self.get(id)
        places = Places(offset=offset, offsets=offsets, tail_bytes=tail_bytes)
        places.resolve_tail(info)
        return Program(self._calls, HandleState(info, keeps_control=control or take), coding, places)
