"""``rpcclient sql`` on many nodes: one statement in a database of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rpcclient.cli import rowtext, show
from rpcclient.cli.context import Settings
from rpcclient.cli.sqlrun import Params, explain_refusal

from .asking import Rendering, ask
from .printing import Piece
from .typed import read_as

if TYPE_CHECKING:
    from rpcclient import Client
    from rpcclient.stubs.database import Page, Result
    from rpcwire.group.outcomes import NodeOutcome


class Rows(Rendering):
    """Prints the rows of each node.

    Parameters:
        form: one of :data:`.rowtext.FORMATS`.
        write: whether the statement may change something.
    """

    def __init__(self, form: str, *, write: bool) -> None:
        from rpcclient.stubs import database
        from rpcwire.errors import ServiceError

        self.errors = {
            name: kind
            for name, kind in vars(database).items()
            if isinstance(kind, type) and issubclass(kind, ServiceError)
        }
        self._form = form
        self._write = write
        self._writers: dict[str, tuple[rowtext.RowWriter, show.Paper]] = {}
        self._pages: dict[str, Page] = {}

    def item(self, name: str, item: Any) -> Iterator[Piece]:
        """A page of rows."""
        from rpcclient.stubs.database import Page

        page = self._pages[name] = read_as(Page, item)
        yield "stdout", self._print(name, page)
        yield from _print_notices(page)

    def rest(self, name: str) -> Iterator[Piece]:
        """What follows the last row."""
        page = self._pages.pop(name, None)
        if page is not None:
            yield "stdout", self._print_end(name, page)

    def result(self, name: str, end: NodeOutcome[Any]) -> Iterator[Piece]:
        """The result of a statement that may change something; where there is none, the rows came as a stream."""
        from rpcclient.stubs.database import Result

        if end.result is not None:
            answer = read_as(Result, end.result)
            yield "stdout", self._print(name, answer) + self._print_end(name, answer)
            yield from _print_notices(answer)
            if answer.truncated:
                yield "stderr", b"rpcclient: there are more rows than the server returns at once\n"

    def items_as_json(self, name: str, item: Any) -> Iterator[Mapping[str, Any]]:
        """The rows of a page, each by itself."""
        from rpcclient.stubs.database import Page

        page = read_as(Page, item)
        keys = rowtext.keys_of([column.name for column in page.columns])
        yield from ({"row": dict(zip(keys, row, strict=True))} for row in page)

    def result_as_json(self, name: str, result: Any) -> Any:
        """The rows, and how many were changed."""
        from rpcclient.stubs.database import Result

        if result is None:
            return None
        answer = read_as(Result, result)
        keys = rowtext.keys_of([column.name for column in answer.columns])
        return {
            "rows": [dict(zip(keys, row, strict=True)) for row in answer],
            "rowcount": answer.rowcount,
            "last_insert_id": answer.last_insert_id,
            "truncated": answer.truncated,
        }

    def problem(self, name: str, end: NodeOutcome[Any]) -> str | None:
        """As usual, with what to do where a statement is refused because it would change something."""
        if end.error is not None:
            try:
                with explain_refusal(write=self._write):
                    raise end.error
            except type(end.error):  # Its message tells more now.
                pass
        return super().problem(name, end)

    def _print(self, name: str, rows: Page | Result) -> bytes:
        if name not in self._writers:
            with show.capture(self.margin) as paper:
                self._writers[name] = rowtext.writer(self._form, paper), paper
            self._writers[name][0].begin([column.name for column in rows.columns], gives_rows=rows.gives_rows)
        writer, paper = self._writers[name]
        if rows.gives_rows:
            writer.rows(rows)
        return paper.take()

    def _print_end(self, name: str, rows: Page | Result) -> bytes:
        writer, paper = self._writers.pop(name)
        writer.end(rows.rowcount, rows.last_insert_id)
        return paper.take()


def _print_notices(rows: Page | Result) -> Iterator[Piece]:
    for notice in rows.notices:
        yield "stderr", f"rpcclient: {notice}\n".encode()


def run(
    client: Client, settings: Settings, database: str, statement: str, params: Params, form: str, *, write: bool
) -> int:
    """Run one statement on many nodes, and print its results as they come.

    Returns:
        The exit status.
    """
    from rpcwire.limits import DEFAULT_DEADLINE_S

    method, deadline_s = "database.stream", settings.timeout_s
    if write:
        method, deadline_s = "database.execute", settings.timeout_s or DEFAULT_DEADLINE_S
    call = {"database": database, "sql": statement, "params": params}
    rendering = Rows(form, write=write)
    return ask(client, settings, method, call, rendering=rendering, deadline_s=deadline_s, as_json=form == "json")
