"""Rows, data frames and tables of what becomes of group calls."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from rpcclient.group.tables import make_frame, make_html, make_rows, make_table, summarize
from rpcclient.programs.results import CompletedProgram
from rpcclient.stubs.programs import ExitStatus
from rpcwire.errors import ConnectionLost
from rpcwire.group.outcomes import GroupNode, NodeOutcome
from rpcwire.rows.texttable import SHOWN_ROWS


def ok(name: str, result: Any) -> NodeOutcome[Any]:
    return NodeOutcome(name=name, id=name, epoch=1, state="ok", executed="yes", result=result, duration_s=0.5)


def died(name: str) -> NodeOutcome[Any]:
    error = ConnectionLost("it is <gone>")
    return NodeOutcome(name=name, id=name, epoch=1, state="died", executed="unknown", error=error)


OWN = {"node": "a", "node_id": "a", "state": "ok", "executed": "yes", "duration_s": 0.5, "error": None}


class Disk(BaseModel):
    name: str
    parts: list[int]


@dataclass
class Machine:
    state: str
    disk: Disk
    by_name: dict[str, int]


@pytest.mark.parametrize(
    ("result", "rows"),
    [
        (None, [{}]),
        (3, [{"result": 3}]),
        ([1, 2], [{"result": [1, 2]}]),
        ([], [{}]),
        ({}, [{"result": {}}]),
        ({"a": {"b": 1, "c": None}}, [{"a.b": 1, "a.c": None}]),
        ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        (
            Machine("new", Disk(name="sda", parts=[1]), {"x": 1}),
            [{"result.state": "new", "disk.name": "sda", "disk.parts": [1], "by_name.x": 1}],
        ),
        ([Disk(name="sda", parts=[]), Disk(name="sdb", parts=[])], [{"name": n, "parts": []} for n in ("sda", "sdb")]),
    ],
)
def test_rows_are_flat(result: Any, rows: list[dict[str, Any]]) -> None:
    assert make_rows([ok("a", result)]) == [{**OWN, **row} for row in rows]


def test_rows_of_those_without_a_result() -> None:
    (row,) = make_rows([died("b")])
    assert row == {
        "node": "b",
        "node_id": "b",
        "state": "died",
        "executed": "unknown",
        "duration_s": 0.0,
        "error": "ConnectionLost: it is <gone>",
    }


def test_data_frames() -> None:
    pytest.importorskip("pandas")
    frame = make_frame(make_rows([ok("a", {"x": 1}), ok("b", {"y": "t"}), died("c")]))
    assert list(frame.columns) == [*OWN, "x", "y"]
    assert list(frame["node"]) == ["a", "b", "c"]
    assert frame["x"].isna().tolist() == [False, True, True]
    assert list(make_frame([]).columns) == list(OWN)


def test_data_frames_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        make_frame([])


def test_tables_for_people() -> None:
    """What is empty for all is left out, the error is last, and those who have not answered are there."""
    outcomes = [ok("web-1", {"load": 0.5, "note": ""}), died("web-2")]
    nodes = [GroupNode(name, name) for name in ("web-1", "web-2", "web-3")]
    assert make_table(nodes, outcomes).splitlines() == [
        "node  │ state │ load │ error",
        "──────┼───────┼──────┼─────────────────────────────",
        "web-1 │ ok    │ 0.5  │",
        "web-2 │ died  │      │ ConnectionLost: it is <gone>",
        "web-3 │ …     │      │",
        "3 nodes: 1 ok, 1 died (web-2), 1 without an outcome yet",
    ]
    html = make_html(nodes, outcomes)
    assert "<gone>" not in html
    assert "it is &lt;gone&gt;" in html
    assert html.startswith(
        '<div style="overflow-x:auto"><p>3 nodes: 1 ok, 1 died (web-2), 1 without an outcome yet</p><table>'
    )
    assert summarize([], []) == "0 nodes: none was asked"
    assert summarize(nodes[:1], outcomes[:1]) == "1 node: 1 ok"


def test_tables_of_programs_show_how_they_ended_and_what_they_wrote() -> None:
    def run(text: Any, code: int) -> CompletedProgram[Any]:
        return CompletedProgram(["uptime"], ExitStatus(code=code, signal=None), text, b"")

    table = make_table([GroupNode("a", "a")] * 2, [ok("a", run("up 3 days\n", 0)), ok("b", run(b"down\n", 1))])
    assert table.splitlines() == [
        "node │ state │ status      │ stdout",
        "─────┼───────┼─────────────┼──────────",
        "a    │ ok    │ exit code 0 │ up 3 days",
        "b    │ ok    │ exit code 1 │ down",
        "2 nodes: 2 ok",
    ]


def test_large_tables_end_somewhere() -> None:
    nodes = [GroupNode(f"n{i}", f"n{i}") for i in range(SHOWN_ROWS * 2)]
    outcomes = [ok(node.name, i) for i, node in enumerate(nodes)]
    table = make_table(nodes, outcomes)
    assert len(table.splitlines()) == SHOWN_ROWS + 3
    assert table.endswith(f"({SHOWN_ROWS} rows not shown)")
    assert make_table(nodes, []).endswith(f"without an outcome yet ({SHOWN_ROWS} rows not shown)")


def test_summaries_begin_with_what_is_well_and_name_the_rest() -> None:
    nodes = [GroupNode(f"n{i}", f"n{i}") for i in range(7)]
    outcomes = [ok("n0", 1), *(died(f"n{i}") for i in range(1, 3))]
    assert summarize(nodes[:3], outcomes) == "3 nodes: 1 ok, 2 died (n1, n2)"
    outcomes = [ok("n0", 1), *(died(f"n{i}") for i in range(1, 7))]
    assert summarize(nodes, outcomes) == "7 nodes: 1 ok, 6 died (n1, n2, n3, 3 more)"


def test_tables_are_not_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last fields of results are left out, never the node, its state and the error."""
    nodes = [GroupNode(name, name) for name in ("web-1", "web-2")]
    outcomes = [ok("web-1", {f"field_{i}": 10**9 for i in range(12)}), died("web-2")]
    for columns in (30, 60, 80, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        *lines, summary = make_table(nodes, outcomes).splitlines()
        assert lines[0].startswith("node  │ state") and lines[0].endswith("│ error")
        shown = lines[0].count("field_")
        assert summary.endswith(f"({12 - shown} columns not shown: rows() has all)")
        assert columns == 30 or max(map(len, lines)) <= columns < max(map(len, lines)) + len(" │ 1000000000") + 1
    monkeypatch.setenv("COLUMNS", "300")
    assert make_table(nodes, outcomes).splitlines()[-1] == "2 nodes: 1 ok, 1 died (web-2)"
    assert make_html(nodes, outcomes).count("field_") == 12
