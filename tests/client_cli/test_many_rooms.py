"""The pure parts of commands on many nodes: ranges of names, identical answers, whole lines, colours."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcclient.cli import show
from rpcclient.cli.characters import visible_line
from rpcclient.cli.many import colours, top_screen
from rpcclient.cli.many.answers import fold_answers
from rpcclient.cli.many.bar import bar_line
from rpcclient.cli.many.lines import Lines, for_terminal
from rpcclient.cli.many.names import tell_apart
from rpcclient.cli.many.ranges import fold, natural_key, unfold
from rpcclient.cli.many.summary import tell, tell_interruption
from rpcclient.cli.many.top_state import SORTS, NodesState
from rpcclient.cli.nodes import _EXTRA, _WHOLE, _show_change
from rpcclient.models import NodeInfo, NodesEvent
from rpcclient.stubs.hardware import Cpu, Memory, Snapshot
from rpcwire.group.selectors import Names

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,6}[a-z0-9])?", fullmatch=True)
NUMBERED = st.builds(
    "{}{}{}".format, st.sampled_from(["web-", "n", ""]), st.integers(0, 12), st.sampled_from(["", ".eu"])
)
PADDED = st.builds("web-{:0{}}".format, st.integers(0, 120), st.integers(1, 4))


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["db-1"], "db-1"),
        (["web-10", "web-2", "web-3", "web-1"], "web-[1-3,10]"),
        (["web-2.example", "web-1.example", "db"], "db,web-[1-2].example"),
        (["n008", "n009", "n010", "n100"], "n[008-010,100]"),
        (["n8", "n9", "n10"], "n[8-10]"),
        (["n1", "n01", "n2"], "n[01,1-2]"),
        (["rack1-node2", "rack1-node1", "rack2-node1"], "rack1-node[1-2],rack2-node1"),
        (["web-1", "web-1"], "web-1"),
        (["a@1f", "a@2f"], "a@1f,a@2f"),
    ],
)  # fmt: skip
def test_names_are_folded_into_ranges(names: list[str], text: str) -> None:
    assert fold(names) == text


@given(st.lists(st.one_of(NAMES, NUMBERED, PADDED)))
def test_unfolding_gives_the_same_names(names: list[str]) -> None:
    if names:
        assert sorted(unfold(fold(names))) == sorted(set(names))


@given(st.lists(st.one_of(NUMBERED, PADDED), min_size=1), st.randoms())
def test_the_order_of_names_does_not_matter(names: list[str], random: object) -> None:
    mixed = list(names)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert fold(mixed) == fold(names)
    assert len(fold(names)) <= sum(map(len, names)) + len(names) + 1


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a, b", ["a", "b"]),
        ("web-[1-3,07-08]", ["web-1", "web-2", "web-3", "web-07", "web-08"]),
        ("r[1-2]-n[1-2]", ["r1-n1", "r1-n2", "r2-n1", "r2-n2"]),
        ("a,a", ["a"]),
    ],
)
def test_names_are_unfolded(text: str, names: list[str]) -> None:
    assert unfold(text) == names


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "a name is missing"),
        ("a,,b", "a name is missing"),
        ("web-[1", "write ranges as in"),
        ("web-1]", "write ranges as in"),
        ("web-[]", "is no number and no range"),
        ("web-[a-c]", "is no number and no range"),
        ("web-[3-1]", "ends before it begins"),
        ("web-[1-99999]", "means more than 10000 names"),
        ("a[1-200]-[1-200]", "means more than 10000 names"),
        ("a[1-9999],b[1-9999]", "means more than 10000 names"),
    ],
)
def test_what_is_no_list_of_names_is_told(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        unfold(text)


@given(st.text(alphabet="ab-[],0123456789 "))
def test_unfolding_takes_any_text(text: str) -> None:
    try:
        names = unfold(text)
    except ValueError:
        return
    assert names
    assert len(names) == len(set(names))


def test_numbers_count_in_the_order_of_names() -> None:
    assert sorted(["web-10", "web-9", "web-b", "2", "10"], key=natural_key) == ["2", "10", "web-9", "web-10", "web-b"]
    assert Names(tuple(unfold("web-[1-3]"))).names == ("web-1", "web-2", "web-3")


@given(st.lists(st.tuples(NUMBERED, st.sampled_from(["", "up", "down"])), unique_by=lambda pair: pair[0]))
def test_identical_answers_are_folded_and_none_is_left_out(pairs: list[tuple[str, str]]) -> None:
    answers = fold_answers(pairs)
    assert sorted((node, answer.content) for answer in answers for node in answer.nodes) == sorted(pairs)
    assert len({answer.content for answer in answers}) == len(answers)
    firsts = [natural_key(answer.nodes[0]) for answer in answers]
    assert firsts == sorted(firsts)


def test_the_title_of_an_answer_names_its_nodes() -> None:
    answers = fold_answers([*((f"web-{number}", "6.1") for number in range(40, 0, -1)), ("db-1", "5.10")])
    assert [(answer.title, answer.content) for answer in answers] == [("db-1", "5.10"), ("web-[1-40] (40)", "6.1")]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)), st.integers(1, 40))
def test_lines_do_not_depend_on_how_they_come(data: bytes, cuts: list[int], longest: int) -> None:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    lines = Lines(longest)
    whole = [line for a, b in pairwise(places) for line in lines.feed(data[a:b])]
    whole += lines.end()
    assert b"".join(whole) == data.replace(b"\n", b"")
    assert all(len(line) <= longest and b"\n" not in line for line in whole)
    if all(len(line) <= longest for line in data.split(b"\n")):
        assert whole == data.split(b"\n")[: None if data.rpartition(b"\n")[2] else -1]
    assert lines.end() == []


def test_a_line_for_a_terminal_keeps_its_colours_and_moves_nothing() -> None:
    assert for_terminal(b"all is well\r") == "all is well"
    assert for_terminal(b"\x1b[31mred\x1b[1m") == "\x1b[31mred\x1b[1m\x1b[0m"
    assert for_terminal(b"1 %\r2 %\x1b[2J\xff") == r"1 %\x0d2 %\x1b[2J\xff"


def test_a_colour_belongs_to_a_name() -> None:
    assert colours.colour("web-1") == colours.colour("web-1")
    assert len({colours.colour(f"web-{number}") for number in range(100)}) > 6
    assert colours.paint("web-1", "web-1").endswith("web-1\x1b[0m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_that_want_them() -> None:
    assert colours.has_colours(Terminal(), {"TERM": "xterm"})
    assert not colours.has_colours(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not colours.has_colours(Terminal(), {"TERM": "dumb"})
    assert not colours.has_colours(io.StringIO(), {"TERM": "xterm"})


# --- the bar and the summary --------------------------------------------------------------------------------------


def test_the_bar_says_how_far_it_is() -> None:
    line = bar_line(40, {"died": 1, "ok": 9}, [f"web-{number}" for number in range(11, 41)], 100)
    assert line == "█████···············  10/40  ok 9  died 1  waiting for web-[11-40]".replace("  10", " 10")
    assert bar_line(1, {"ok": 1}, [], 100) == "████████████████████ 1/1  ok 1"


@given(st.dictionaries(st.sampled_from(["ok", "died"]), st.integers(1, 50)), st.lists(NUMBERED), st.integers(1, 120))
def test_the_bar_fits_into_any_terminal(counts: dict[str, int], left: list[str], width: int) -> None:
    assert len(bar_line(sum(counts.values()) + len(left), counts, left, width)) <= width


def test_the_summary_tells_each_node_that_is_not_well() -> None:
    assert list(tell(3, [])) == []
    problems = [("web-2", "exit code 1"), ("web-1", "exit code 1"), ("db-1", "died: it is gone\nfor good")]
    assert list(tell(4, problems, drops=2)) == [
        "1 of 4 nodes are well",
        "  db-1: died: it is gone",
        "    for good",
        "  web-[1-2] (2): exit code 1",
        "2 items did not arrive",
    ]
    assert tell_interruption(["web-1", "web-2"]) == "interrupted: cancelled on web-[1-2] (2)"
    assert tell_interruption([]) == "interrupted: all nodes had ended"


# --- top --------------------------------------------------------------------------------------------------------


def sample(cpu: float, memory: float) -> Snapshot:
    return Snapshot.model_construct(
        cpu=Cpu.model_construct(percent=cpu, logical=2, load_1m=cpu / 50),
        memory=Memory.model_construct(
            percent=memory, total_bytes=2**33, available_bytes=2**33 // 100 * (100 - int(memory))
        ),
        disks=None,
        network=None,
    )


def nodes() -> NodesState:
    state = NodesState()
    for number, (cpu, memory) in enumerate([(10, 90), (95, 20), (50, 50)], 1):
        state.add_node(str(number), f"web-{number}")
        state.add_sample(str(number), sample(cpu, memory))
    return state


def order(state: NodesState) -> list[str]:
    return [row.name for row in state.rows_in_order]


def test_nodes_are_sorted_by_each_column_and_dead_ones_come_last() -> None:
    state = nodes()
    assert order(state) == ["web-1", "web-2", "web-3"]
    state.key("p")
    assert order(state) == ["web-2", "web-3", "web-1"]
    state.key("M")
    assert order(state) == ["web-1", "web-3", "web-2"]
    state.key("I")
    assert order(state) == ["web-2", "web-3", "web-1"]
    state.key("M")
    state.end_node("1", "died", "it is gone")
    assert order(state) == ["web-3", "web-2", "web-1"]
    state.add_node("1", "web-1")
    assert (state.rows["1"].state, state.rows["1"].reason) == ("waiting", "")
    for key in (*SORTS, ">", "<", "f6", "down", "end", "home", "h", "x", "q"):
        state.key(key)
    assert state.done


def test_nodes_of_one_name_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    names = {"4c21be3f5db2a708": "web-1", "dbc6d8c63997f250": "web-1", "7c07d2a1d8083f4b": "db\x1b1"}
    assert tell_apart(names) == {
        "4c21be3f5db2a708": "web-1@4c21be3f5db2a708",
        "dbc6d8c63997f250": "web-1@dbc6d8c63997f250",
        "7c07d2a1d8083f4b": visible_line("db\x1b1"),
    }
    state = NodesState()
    for node_id, name in names.items():
        state.add_node(node_id, name)
    screen = "\n".join(line.plain for line in top_screen.draw(state, 120, 12))
    assert "web-1@4c21be3f5db2a708 " in screen and "web-1@dbc6d8c63997f250 " in screen
    gone = NodeInfo(
        name="web-1", id="dbc6d8c63997f250", epoch="1", is_self=False, state="died", since=0.0, reason="absent",
        explanation="Nobody answers under its id.", labels={}, addresses=[], services={}, version="1", load=0.0,
    )  # fmt: skip
    _show_change(NodesEvent(kind="died", version=2, nodes=[gone], is_settled=True), tell_apart(names))
    assert capsys.readouterr().out.endswith(" web-1@dbc6d8c63997f250 died: Nobody answers under its id.\n")


@pytest.mark.parametrize(("width", "height"), [(100, 12), (60, 6), (200, 40), (20, 3), (1, 1)])
def test_the_screen_fits_any_terminal(width: int, height: int) -> None:
    state = nodes()
    state.end_node("2", "died", "it is \x1b[2Jgone")
    for shows_help in (False, True):
        state.shows_help = shows_help
        lines = top_screen.draw(state, width, height)
        assert len(lines) <= max(height, 1)
        assert all(line.cell_len <= width for line in lines)
        assert not any("\x1b" in line.plain for line in lines)


def plain(state: NodesState, width: int, height: int) -> list[str]:
    return [line.plain.rstrip() for line in top_screen.draw(state, width, height)]


def test_nodes_are_beside_each_other_where_there_is_room() -> None:
    state = nodes()
    state.end_node("2", "died", "it is \x1b[2Jgone, and nobody knows where it has gone")
    lines = plain(state, 120, 20)
    assert lines[0].startswith("3 nodes  up 2  died 1  cpu 30 % on average, 50 % at most  sorted by name")
    assert lines[2].split() == ["web-1", "load", "0.10", "web-2", "died", "web-3", "load", "0.50"]
    told = r"it is \x1b[2Jgone, and nobody knows"
    assert lines[3].split(told)[0].split() == ["cpu", "▊······", "10%", "▁"]
    assert lines[3].split(told)[1].split() == ["cpu", "███▌···", "50%", "▄"]
    assert lines[4].split("where it has gone")[1].split() == ["mem", "███▌···", "50%", "4.0", "GiB", "of", "8.0", "GiB"]
    assert lines[3].index("it is") == lines[2].index("web-2")


@pytest.mark.parametrize(
    ("width", "height", "wanted"),
    [
        (80, 24, [["web-1", "web-2"], ["web-3"]]),
        (77, 24, [["web-1"], ["web-2"], ["web-3"]]),  # Two have no room: a line for each.
        (300, 24, [["web-1", "web-2", "web-3"]]),
        (80, 9, [["web-1", "web-2"], ["web-3"]]),  # With fewer lines for each.
        (80, 6, [["web-1", "web-2"]]),
        (120, 5, [["web-1"]]),
    ],
)
def test_how_many_nodes_are_beside_each_other(width: int, height: int, wanted: list[list[str]]) -> None:
    seen = [re.findall(r"web-\d", line) for line in plain(nodes(), width, height)]
    assert [names for names in seen if names] == wanted


def test_further_nodes_come_line_by_line() -> None:
    state = NodesState()
    for number in range(1, 10):
        state.add_node(str(number), f"web-{number}")
        state.add_sample(str(number), sample(10, 10))

    def names() -> str:
        return "".join(re.findall(r"web-(\d)", "".join(plain(state, 80, 9))))

    assert names() == "1234"
    assert "5 more" in plain(state, 80, 9)[-1]
    for key, wanted in (
        ("down", "3456"), ("pagedown", "789"), ("up", "5678"), ("end", "789"), ("pageup", "3456"), ("home", "1234")
    ):  # fmt: skip
        state.key(key)
        assert names() == wanted, key
    state.key("T")
    assert names() == "12345"


@pytest.mark.parametrize("state", ["up", "died"])
def test_nodes_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    """Columns of little interest go before others are cut, which would tell nothing any more."""
    row = {
        "name": "web-1",
        "state": state,
        "for": "5 min",
        "load": "0.12",
        "labels": "role=web,zone=eu",
        "address": "wss://web-1.example:8765",
        "services": "database hardware programs",
        "version": "0.1.0",
        "reason": "" if state == "up" else "Nobody answers under its id.",
    }
    seen: list[int] = []
    for width in range(40, 150):
        monkeypatch.setenv("COLUMNS", str(width))
        show.show([row], readable=True, whole=_WHOLE, extra=_EXTRA)
        head, line = capsys.readouterr().out.splitlines()
        names = head.split()
        assert "name" in names and names[1] == "state"
        is_cut = "…" in head + line
        assert not (is_cut and set(_EXTRA) & set(names)), (width, head, line)
        if width >= 80:
            assert not is_cut, line
        seen.append(len(names))
    assert seen == sorted(seen) and seen[-1] == len([each for each in row.values() if each])
