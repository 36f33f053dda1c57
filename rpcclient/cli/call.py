"""``rpcclient call``."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from . import context, packed, show
from .arguments import parse
from .characters import visible_line
from .incomplete import COMPLETION_TIMEOUT_S, WORD, read_settings
from .many.options import many_options

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from rpcclient import Client, Stream
    from rpcclient.describe import MethodDescription
    from rpcwire.events import ProgressHook
    from rpcwire.group.outcomes import NodeOutcome

    from .many.printing import Piece


def _complete_method(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(method.name, help=visible_line(method.summary))
        for service in _ask(ctx)
        for method in service.methods
        if method.name.startswith(incomplete) and WORD.fullmatch(method.name)
    ]


def _complete_parameter(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from rpcwire.errors import RpcError

    method = ctx.params.get("method") or ""
    try:
        with read_settings(ctx).connect(connect_timeout_s=COMPLETION_TIMEOUT_S) as client:
            description = _describe(client, method)
    except (RpcError, click.UsageError):
        return []
    names = [] if description is None else list(description.signature.parameters)
    return [CompletionItem(f"{name}=") for name in names if name.startswith(incomplete) and WORD.fullmatch(name)]


def _ask(ctx: click.Context) -> list[Any]:
    from rpcwire.errors import RpcError

    try:
        with read_settings(ctx).connect(connect_timeout_s=COMPLETION_TIMEOUT_S) as client:
            return list(client.services())
    except (RpcError, click.UsageError):
        return []


@click.command(cls=context.WithValues, context_settings={"ignore_unknown_options": True})
@click.argument("method", shell_complete=_complete_method)
@click.argument("words", nargs=-1, metavar="[KEY=VALUE ...]", shell_complete=_complete_parameter)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, also on a terminal.")
@many_options
@context.pass_settings
@context.command
def command(settings: context.Settings, method: str, words: tuple[str, ...], as_json: bool) -> None:
    """Call METHOD, such as programs.run, and print its result.

    \b
    key=value    a parameter: JSON where it is JSON, else text
    key:=JSON    a parameter that must be JSON; text as a JSON string: key:='"["'
    key=@FILE    the content of a file
    key=-        standard input
    -            all parameters, as JSON, from standard input
    VALUE ...    parameters by position

    A method that streams prints its items as they come, in a pipe as one line of JSON each. On many nodes, too: with
    their names before, in a pipe as JSON, one line for each item and each node.
    """
    readable = settings.readable and not as_json
    with settings.connect() as client:
        description = _describe(client, method)
        if description is None and settings.many.is_given:
            description = _describe_there(client, settings, method)
        params = parse(words, description.binary if description is not None else ())
        if settings.many.is_given:
            sys.exit(_call_many(client, settings, method, params, description, readable=readable))
        if description is not None and description.streams:
            stream: Stream[Any] = client.options(timeout_s=settings.timeout_s).stream(method, params)
            with stream as items:
                for item in items:
                    show.show_item(packed.unpack(item, description.answer, description.schemas), readable=readable)
            return
        # A method's own deadline holds where none was given, as it does for a stub.
        deadline_s = settings.timeout_s or (description.deadline_s if description is not None else None)
        with progress_bar(method) as hook:
            result = _call(client.options(timeout_s=deadline_s, progress=hook), method, params)
        if description is not None:
            result = packed.unpack(result, description.answer, description.schemas)
        if result is not None or not readable:
            show.show(result, readable=readable)


def _call_many(
    client: Client,
    settings: context.Settings,
    method: str,
    params: Any,
    description: MethodDescription | None,
    *,
    readable: bool,
) -> int:
    from rpcwire.limits import DEFAULT_DEADLINE_S

    from .many.asking import Rendering, ask

    class Unpacking(Rendering):
        """Prints what the method's description says."""

        def item(self, name: str, item: Any) -> Iterator[Piece]:
            return super().item(name, unpack(item))

        def result(self, name: str, end: NodeOutcome[Any]) -> Iterator[Piece]:
            return super().result(name, replace(end, result=unpack(end.result)))

        def items_as_json(self, name: str, item: Any) -> Iterator[Mapping[str, Any]]:
            return super().items_as_json(name, unpack(item))

        def result_as_json(self, name: str, result: Any) -> Any:
            return unpack(result)

    def unpack(value: Any) -> Any:
        return value if description is None else packed.unpack(value, description.answer, description.schemas)

    deadline_s = settings.timeout_s
    if deadline_s is None and (description is None or not description.streams):
        deadline_s = DEFAULT_DEADLINE_S if description is None else description.deadline_s
    return ask(client, settings, method, params, rendering=Unpacking(), deadline_s=deadline_s, as_json=not readable)


def _call(client: Client, method: str, params: dict[str, Any] | list[Any] | None) -> Any:
    """Call a method. If a parameter must be a list or an object, and is a word, say in the error how to write it."""
    from rpcwire.errors import InvalidParams

    try:
        return client.call(method, params)
    except InvalidParams as exc:
        for error in exc.errors:
            name = error["loc"][0] if len(error.get("loc", ())) == 1 else None
            if isinstance(params, dict) and name in params and error.get("type") in ("list_type", "dict_type"):
                value = [params[name]] if error["type"] == "list_type" else {"key": params[name]}
                exc.message += f"; write {shlex.quote(f'{name}={json.dumps(value)}')}"
        raise


def _describe(client: Client, method: str) -> MethodDescription | None:
    """The server's description of a method; ``None`` if there is no such method: then the call itself fails."""
    from rpcwire.errors import MethodNotFound

    service, _, short = method.rpartition(".")
    try:
        return client.describe(service).methods.get(short)
    except MethodNotFound:
        return None


def _describe_there(client: Client, settings: context.Settings, method: str) -> MethodDescription | None:
    """The description of a method that this server does not have, by one of the nodes that are to be called."""
    from rpcclient.describe import descriptions

    target = settings.many.target()
    call = {"target": target, "method": "rpc.discover", "policy": {"one": True}}
    service, _, short = method.rpartition(".")
    with client.stream("rpc.call_nodes", call) as events:
        for event in events:
            if event["kind"] == "outcome" and event["state"] == "ok":
                there = descriptions(event["result"]).get(service)
                return None if there is None else there.methods.get(short)
    return None


@contextmanager
def progress_bar(title: str) -> Iterator[ProgressHook | None]:
    """Show the progress that a call reports, on a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with ExitStack() as stack:
        bars: Progress | None = None
        task: TaskID | None = None

        def hook(done: float, total: float | None, message: str | None) -> None:
            # The bar appears with the first report: most calls have none, and a bar would flicker on the terminal.
            nonlocal bars, task
            label = _escape_markup(show.cell(message or title))
            if bars is None or task is None:
                bars = stack.enter_context(_bars())
                task = bars.add_task(label, total=total)
            bars.update(task, completed=done, total=total, description=label)

        yield hook


def _escape_markup(text: str) -> str:
    """Have rich show brackets as they are: as markup they would make links, or fail."""
    from rich.markup import escape

    return escape(text)


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    return Progress(console=Console(stderr=True), transient=True)
