"""``rpcclient run`` on many nodes: what the programs write, and how they have ended."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rpcclient.cli.context import Settings
from rpcclient.cli.missing import missing

from .asking import Rendering, ask
from .typed import read_as

if TYPE_CHECKING:
    from rpcclient.stubs.programs import OutputChunk
    from rpcwire.group.outcomes import NodeOutcome

    from .lines import Lines
    from .printing import Piece

_OF_A_START = ("cwd", "env", "env_base", "user", "labels", "timeout_s", "grace_s", "stderr")
"""The options of :meth:`Programs.start` that :meth:`Programs.stream` has, too."""


class Output(Rendering):
    """Prints what programs write, and tells those that have not ended well."""

    def __init__(self) -> None:
        self._ended: set[str] = set()
        self._lines: dict[tuple[str, str], Lines] = {}

    def item(self, name: str, item: Any) -> Iterator[Piece]:
        """The piece that a program has written."""
        if (piece := whole_piece(item)) is not None:
            yield piece
            return
        if is_end(item):
            self._ended.add(name)
            return
        from rpcclient.stubs.programs import RunEvent

        event = read_as(RunEvent, item)
        if event.exit is not None:
            self._ended.add(name)
        if event.output is not None:
            yield from print_chunk(event.output)

    def items_as_json(self, name: str, item: Any) -> Iterator[Mapping[str, Any]]:
        """A program's lines, and its end."""
        from rpcclient.stubs.programs import RunEvent

        from .lines import Lines

        event = read_as(RunEvent, item)
        if (chunk := event.output) is not None:
            if (loss := missing(chunk)) is not None:
                yield {"loss": loss}
            lines = self._lines.setdefault((name, chunk.stream), Lines())
            yield from (line_as_json(chunk.stream, line) for line in lines.feed(chunk.data))
        if event.exit is not None:
            self._ended.add(name)
            yield from self.rest_as_json(name)
            yield {"exit": event.exit.model_dump()}

    def rest_as_json(self, name: str) -> Iterator[Mapping[str, Any]]:
        """What follows the last whole lines of a program."""
        for stream in ("stdout", "stderr"):
            lines = self._lines.pop((name, stream), None)
            yield from (line_as_json(stream, line) for line in (lines.end() if lines is not None else ()))

    def problem(self, name: str, end: NodeOutcome[Any]) -> str | None:
        """A node is well if its program has ended with code 0."""
        if end.state == "error" and end.error is not None and end.error.type == "ProgramUnsuccessful":
            return end.error.message
        if end.error is None and name not in self._ended:
            return "nobody saw its end"
        return super().problem(name, end)


def whole_piece(item: Any) -> Piece | None:
    """The piece of an event that is nothing but output, of which nothing is missing: nearly all are. ``None`` for any
    other, which the models of the service read: loading them takes longer than a short program."""
    if type(item) is not dict or item.get("exit") is not None or type(item.get("output")) is not dict:
        return None
    chunk = item["output"]
    stream, data = chunk.get("stream"), chunk.get("data")
    if stream not in ("stdout", "stderr") or type(data) is not bytes or chunk.get("lost_bytes") or chunk.get("cut"):
        return None
    return stream, data


def is_end(item: Any) -> bool:
    """Whether an event is nothing but the end of a program."""
    return type(item) is dict and item.get("output") is None and type(item.get("exit")) is dict


def print_chunk(chunk: OutputChunk) -> Iterator[Piece]:
    """What is printed of a piece of output, and what is missing of it."""
    if (loss := missing(chunk)) is not None:
        yield "stderr", f"rpcclient: {loss}\n".encode()
    yield chunk.stream, chunk.data


def line_as_json(stream: str, line: bytes) -> dict[str, Any]:
    """What JSON tells of a line of a program."""
    try:
        return {"stream": stream, "line": line.decode()}
    except UnicodeDecodeError:
        return {"stream": stream, "bytes": line}


def run(settings: Settings, argv: Sequence[str], options: Mapping[str, Any], *, feeds: bool) -> int:
    """Run a program on many nodes.

    Parameters:
        settings: which nodes.
        argv: the program and its arguments.
        options: of :meth:`Programs.start`.
        feeds: whether each gets what there is on standard input.

    Returns:
        The exit status.
    """
    params = {name: options[name] for name in _OF_A_START if options.get(name) is not None}
    limits = options.get("limits")
    if limits is not None:
        params["limits"] = limits.model_dump(exclude_none=True)
    params["check"] = True  # So that what must stop at a failure stops at that of a program, too.
    data = sys.stdin.buffer.read() if feeds else b""
    with settings.connect() as client:
        params |= {"argv": list(argv), "input": data} if data else {"argv": list(argv)}
        return ask(client, settings, "programs.stream", params, rendering=Output(), as_json=settings.as_json)


def check(values: Mapping[str, Any], *, tty: int, detach: bool) -> None:
    """Refuse what makes no sense on many nodes.

    Raises:
        click.UsageError: an option is for one node.
    """
    if tty:
        raise click.UsageError("--tty is for one node: give --node NAME")
    if detach:
        raise click.UsageError("--detach prints the id of one program: give --node NAME")
    if values["retain_s"] is not None:
        raise click.UsageError("--retain is for one node: on many, the output comes as it is written, and is not kept")
