# Generated from rpcclient/aio/group_programs.py by `make stubs`. Do not edit: change that, and generate anew.

"""The programs service of a group for the synchronous client: its stub, with results like those of ``subprocess``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Unpack, cast, overload

from rpcclient.programs.results import Argv, CompletedProgram, RunOptions, argv_of, complete, run_options_of
from rpcclient.programs.text import Coding

from .outcomes import Outcomes
from .stubs import group_programs as stub


class GroupPrograms(stub.GroupPrograms):
    """Runs programs on all nodes of a group: to their end with :meth:`run`, or with :meth:`stream`, which gives their
    output as it comes. Programs to which one talks are those of one node (:meth:`rpcclient.Client.node`)."""

    # The results have more than those of the stub: that is why the method is overridden.
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
    ) -> Outcomes[CompletedProgram[bytes]]: ...
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
    ) -> Outcomes[CompletedProgram[str]]: ...
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
    ) -> Outcomes[CompletedProgram[str]]: ...
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
    ) -> Outcomes[CompletedProgram[Any]]:
        """Run a program to its end on all nodes, and return its output. No shell is involved.

        Parameters:
            argv: the program and its arguments.
            input: goes to its standard input, which then ends; text is encoded. It must fit into one message.
            check: an outcome is an ``error`` (ProgramUnsuccessful) if the program does not end with exit code 0, or a
                limit ends it. So it stops a rolling call.
            text, encoding, errors: as of ``run`` of one server. Output that is no text is an
                ``error``.
            options: its other options.

        Returns:
            One outcome for each node: how the program ended there, and what it wrote.

        Raises:
            InvalidParams: something given cannot be used; nothing has run.
        """
        coding = Coding.of(text, encoding, errors)
        wire_options: dict[str, Any] = run_options_of(cast("Mapping[str, Any]", options))
        if input is not None:
            wire_options["input"] = Coding[str](encoding or "utf-8", errors or "strict").encode(input)
        outcomes: Outcomes[Any] = super().run(argv_of(argv), check=check, **wire_options)
        outcomes.change_results(lambda done: complete(done, coding))
        return outcomes
