"""Calls a method on many nodes, prints their answers, and says in the end which nodes are not well. What prints them is
loaded when there is something to print, so that the nodes work meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from rpcclient.cli import characters, outcome
from rpcclient.cli.context import Settings

if TYPE_CHECKING:
    from rpcclient import Client
    from rpcwire.errors import ServiceError
    from rpcwire.group.outcomes import NodeOutcome

    from .bar import Bar
    from .printing import Piece, Printer


class Rendering:
    """How the answers of one method are printed: as any value is.

    Attributes:
        margin: how much narrower than the terminal they must be, in characters.
        errors: the errors that the method declares, by name.
    """

    margin = 0
    errors: Mapping[str, type[ServiceError]] | None = None

    def item(self, name: str, item: Any) -> Iterator[Piece]:
        """What is printed of an item of a node's stream."""
        from rpcclient.cli import show

        with show.capture(self.margin) as paper:
            show.show_item(item, readable=True)
        yield "stdout", paper.take()

    def result(self, name: str, end: NodeOutcome[Any]) -> Iterator[Piece]:
        """What is printed of a node's result."""
        if end.result is None:
            return
        from rpcclient.cli import show

        with show.capture(self.margin) as paper:
            show.show(end.result, readable=True)
        yield "stdout", paper.take()

    def rest(self, name: str) -> Iterator[Piece]:
        """What is printed after the last item of a node's stream, if it has ended well."""
        return iter(())

    def rest_of_all(self) -> Iterator[bytes]:
        """What is printed when all nodes have ended."""
        return iter(())

    def items_as_json(self, name: str, item: Any) -> Iterator[Mapping[str, Any]]:
        """What JSON tells of an item of a node's stream."""
        yield {"item": item}

    def rest_as_json(self, name: str) -> Iterator[Mapping[str, Any]]:
        """What JSON tells of a node whose stream has ended, besides its outcome."""
        return iter(())

    def result_as_json(self, name: str, result: Any) -> Any:
        """What JSON tells of a node's result."""
        return result

    def problem(self, name: str, end: NodeOutcome[Any]) -> str | None:
        """Why a node is not well; ``None`` if it is."""
        if end.error is None:
            return None
        kind = end.state if end.state != "error" else end.error.type
        text = f"{kind}: {end.error.message}"
        return f"{text} (whether it was executed is unknown)" if end.executed == "unknown" else text


class Asking:
    """One command on many nodes.

    Parameters:
        client: the node through which the others are asked.
        settings: which nodes, and how to print.
        rendering: how to print the answers.
        as_json: print JSON Lines.
    """

    def __init__(self, client: Client, settings: Settings, rendering: Rendering, *, as_json: bool) -> None:
        self._client = client
        self._settings = settings
        self._rendering = rendering
        self._as_json = as_json
        self._names: dict[str, str] = {}
        self._left: dict[str, None] = {}
        self._problems: list[tuple[str, str]] = []
        self._total = self._drops = 0

    @cached_property
    def _bar(self) -> Bar:
        from .bar import Bar

        return Bar(sys.stderr)

    @cached_property
    def _printer(self) -> Printer:
        from .printing import ByLine, Gathered

        return (Gathered if self._settings.many.gather else ByLine)(self._bar)

    def run(self, method: str, params: Any = None, *, deadline_s: float | None = None) -> int:
        """Call the method.

        Parameters:
            method, params: as of a call.
            deadline_s: when it ends at the latest; never where ``None``.

        Returns:
            The exit status.

        Raises:
            RpcError: the nodes could not be asked, or the connection was lost.
        """
        from rpcwire.errors import RpcError

        many = self._settings.many
        call = {"target": many.target(), "method": method, "params": params, "policy": many.policy()}
        stream = self._client.options(timeout_s=deadline_s).stream("rpc.call_nodes", call)
        try:
            with stream as events:
                for event in events:
                    self._take(event)
                    self._bar.draw()
        except KeyboardInterrupt:
            from .summary import tell_interruption

            self._end()
            self._say(tell_interruption(self._left) if self._names else "interrupted")
            self._summarize()
            return outcome.INTERRUPTED
        except RpcError:
            self._end()
            if self._names:
                self._problems += [(name, "no answer") for name in self._left]
                self._summarize()
            raise
        finally:
            self._bar.clear()
        self._end()
        self._summarize()
        return outcome.FAILED if self._problems or self._drops else outcome.OK

    def _take(self, event: Mapping[str, Any]) -> None:
        kind = event["kind"]
        if kind == "start":
            self._begin(event)
        elif kind == "item":
            name = self._names[event["node"]]
            self._drops += event.get("lost", 0)
            if self._as_json:
                for item in self._rendering.items_as_json(name, event["item"]):
                    self._print_json("item", name, event["node"], item)
            else:
                for piece in self._rendering.item(name, event["item"]):
                    self._printer.write(name, piece)
        elif kind == "outcome":
            self._finish(event)

    def _begin(self, event: Mapping[str, Any]) -> None:
        from .names import tell_apart

        nodes = event["nodes"]
        self._names |= tell_apart({node["id"]: node["name"] for node in nodes})
        self._total = len(nodes) + len(event["unknown"])
        self._left = dict.fromkeys(self._names.values())
        if not event.get("is_settled", True):
            self._say("the node has joined the group a moment ago, and may not know all others yet")
        names = list(self._names.values())
        self._printer.begin(names)
        self._rendering.margin = self._printer.margin
        self._bar.begin(names, len(event["unknown"]))

    def _finish(self, event: Mapping[str, Any]) -> None:
        from rpcwire.group.outcomes import outcome_from_wire

        end = outcome_from_wire(event, self._rendering.errors)
        name = self._names.get(end.id, characters.visible_line(end.name))
        self._left.pop(name, None)
        self._drops += end.items_lost
        if self._as_json:
            for item in self._rendering.rest_as_json(name):
                self._print_json("item", name, end.id, item)
            more = {key: value for key, value in event.items() if key not in ("kind", "name", "id", "result")}
            if end.state == "ok":
                more["result"] = self._rendering.result_as_json(name, end.result)
            self._print_json("outcome", name, end.id, more)
        else:
            if end.state == "ok":
                for piece in chain(self._rendering.result(name, end), self._rendering.rest(name)):
                    self._printer.write(name, piece)
            self._printer.finish(name)
        problem = self._rendering.problem(name, end)
        if problem is not None:
            self._problems.append((name, problem))
        self._bar.count(name, "ok" if problem is None else end.state if end.state != "ok" else "failed")

    def _print_json(self, kind: str, name: str, node: str, more: Mapping[str, Any]) -> None:
        from rpcclient.cli import show

        self._bar.clear()
        show.show_item({"kind": kind, "node": name, "id": node, **more}, readable=False)

    def _end(self) -> None:
        with suppress(OSError):  # Whoever read the output has gone; the summary is told nevertheless.
            self._printer.end()
            self._bar.clear()
            for text in self._rendering.rest_of_all():
                sys.stdout.flush()
                sys.stdout.buffer.write(text)
                sys.stdout.flush()
        self._bar.clear()

    def _summarize(self) -> None:
        if not self._problems and not self._drops:
            return
        from .summary import tell

        for number, line in enumerate(tell(self._total, self._problems, drops=self._drops)):
            self._say(line) if not number else self._print_error(line)

    def _say(self, text: str) -> None:
        self._print_error(f"rpcclient: {text}")

    def _print_error(self, text: str) -> None:
        from .colours import has_colours, paint_red

        self._bar.clear()
        line = characters.visible(text)
        print(paint_red(line) if has_colours(sys.stderr) else line, file=sys.stderr, flush=True)


def ask(
    client: Client,
    settings: Settings,
    method: str,
    params: Any = None,
    *,
    rendering: Rendering | None = None,
    deadline_s: float | None = None,
    as_json: bool | None = None,
) -> int:
    """Call a method on the nodes that the settings name, and print their answers.

    Parameters:
        client: the node through which the others are asked.
        settings: which nodes, and how to print.
        method, params: as of a call.
        rendering: how to print the answers; as any values where not given.
        deadline_s: when it ends at the latest, in seconds; never where ``None``.
        as_json: print JSON Lines; where not given, if nobody reads it on a terminal.

    Returns:
        The exit status.
    """
    use_json = not settings.readable if as_json is None else as_json
    return Asking(client, settings, rendering or Rendering(), as_json=use_json).run(
        method, params, deadline_s=deadline_s
    )
