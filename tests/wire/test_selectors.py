"""Selectors of nodes: every text is read or refused with its place, and what is read means what Kubernetes means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcwire.group.selectors import (
    MOST_NAMES,
    MOST_REQUIREMENTS,
    NAME_CHARACTERS,
    TEXT_CHARACTERS,
    Everyone,
    InvalidSelector,
    Names,
    Operator,
    Requirement,
    Selector,
    check_label,
    check_name,
    explain_nothing,
    matches,
    parse,
    select,
)


@dataclass(frozen=True)
class Node:
    id: str
    name: str = "db-1"
    labels: Mapping[str, str] = field(default_factory=dict)


WORDS = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,20}[a-zA-Z0-9])?", fullmatch=True)
KEYS = st.one_of(
    WORDS.filter(lambda word: word not in ("name", "id")),
    st.builds("{}/{}".format, st.sampled_from(["example.com", "a", "k8s.io"]), WORDS),
    st.sampled_from(["in", "notin", "a", "b"]),
)
PATTERNS = st.text("ab-*?", min_size=1, max_size=8).filter(lambda text: text.strip("-") == text)
REQUIREMENTS = st.one_of(
    st.builds(Requirement, KEYS, st.sampled_from([Operator.EXISTS, Operator.ABSENT])),
    st.builds(
        Requirement,
        KEYS,
        st.sampled_from([Operator.IN, Operator.NOT_IN]),
        st.one_of(st.just(("",)), st.lists(WORDS, min_size=1, max_size=4).map(tuple)),
    ),
    st.builds(
        Requirement,
        st.just("name"),
        st.sampled_from([Operator.IN, Operator.NOT_IN]),
        st.lists(PATTERNS, min_size=1, max_size=3).map(tuple),
    ),
)
SELECTORS = st.builds(Selector, st.lists(REQUIREMENTS, min_size=1, max_size=6).map(tuple))


@given(SELECTORS)
def test_what_is_written_is_read_again(selector: Selector) -> None:
    assert parse(str(selector)) == selector


@given(SELECTORS, st.data())
def test_spaces_between_words_mean_nothing(selector: Selector, data: st.DataObject) -> None:
    text = str(selector)
    for sign in ("!=", ",", "(", ")"):
        text = text.replace(sign, data.draw(st.sampled_from(["", " ", "\t\n"])) + sign)
    assert parse(f" {text} ") == selector


@given(st.one_of(st.text(), st.text("ab=!,()<>*?/ .-in", max_size=30)))
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        selector = parse(text)
    except InvalidSelector as exc:
        assert exc.position is None or 0 <= exc.position <= len(text)
        assert exc.problem
        assert exc.position is None or f"at character {exc.position + 1}" in str(exc)
    else:
        assert parse(str(selector)) == selector


@given(PATTERNS, st.text("ab-", max_size=12))
def test_patterns_match_as_those_of_a_shell(pattern: str, text: str) -> None:
    assert matches(pattern, text) == fnmatchcase(text, pattern)


@pytest.mark.parametrize(
    ("text", "web", "db", "none"),  # Nodes with the labels role=web, role=db, and without.
    [
        ("role=web", True, False, False),
        ("role==web", True, False, False),
        ("role!=web", False, True, True),
        ("role in (web, db)", True, True, False),
        ("role notin (web)", False, True, True),
        ("role", True, True, False),
        ("!role", False, False, True),
        ("role,role!=db", True, False, False),
        ("role=", False, False, False),
        ("role!=", True, True, True),
        ("name=node-*", True, True, True),
        ("name=node-?eb", True, False, False),
        ("name!=node-web", False, True, True),
        ("name in (node-d*,node-none)", False, True, True),
        ("id=1,role", True, False, False),
        ("id notin (1,2)", False, False, True),
    ],
)
def test_labels_that_are_missing_mean_what_they_mean_to_kubernetes(text: str, web: bool, db: bool, none: bool) -> None:
    nodes = [Node("1", "node-web", {"role": "web"}), Node("2", "node-db", {"role": "db"}), Node("3", "node-none")]
    assert [parse(text).is_met(node) for node in nodes] == [web, db, none]


@pytest.mark.parametrize(
    ("text", "position", "remedy"),
    [
        ("", None, "ask for everyone"),
        (" ", None, "ask for everyone"),
        ("role=web,", 9, "a label is missing"),
        (",role", 0, "write a label"),
        ("role=web zone=eu", 9, "comma"),
        ("role ~ web", 5, "write =, !=, in or notin"),
        ("role is web", 5, "write =, !=, in or notin"),
        ("cores>4", 5, "write cores in"),
        ("role in web", 8, "write role in (VALUE,VALUE)"),
        ("role in ()", 9, "an empty value is role="),
        ("role in (a,)", 11, "an empty value is role="),
        ("role in (a", 10, ") is missing"),
        ("role in (a;b)", 10, "write , or )"),
        ("role=-web", 5, "letter or digit at both ends"),
        ("role=web*", 5, "in name only"),
        ("name", 0, "write name=VALUE"),
        ("!id", 1, "write id=VALUE"),
        ("name=", 5, "is missing"),
        ("id=a*", 3, "letters, digits"),
        ("Example.com/role", 0, "small letters"),
        ("a..b/role", 0, "name of a domain"),
        ("/role", 0, "prefix"),
        ("a/b/c=1", 0, "prefix"),
        (f"a={'x' * (NAME_CHARACTERS + 1)}", 2, f"at most {NAME_CHARACTERS}"),
        ("a" * (TEXT_CHARACTERS + 1), None, f"more than {TEXT_CHARACTERS}"),
        (",".join(["a"] * (MOST_REQUIREMENTS + 1)), 2 * MOST_REQUIREMENTS, f"more than {MOST_REQUIREMENTS}"),
        ("a=b\N{RIGHT-TO-LEFT OVERRIDE}", 3, "comma"),
    ],
)
def test_each_error_tells_its_place_and_the_remedy(text: str, position: int | None, remedy: str) -> None:
    with pytest.raises(InvalidSelector) as caught:
        parse(text)
    assert (caught.value.position, remedy in caught.value.problem) == (position, True)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("key", "operator", "values"),
    [
        ("a", Operator.IN, ()),
        ("a", Operator.EXISTS, ("b",)),
        ("a", Operator.IN, ("", "b")),
        ("a b", Operator.EXISTS, ()),
        ("", Operator.EXISTS, ()),
        ("id", Operator.ABSENT, ()),
    ],
)
def test_a_requirement_that_could_not_be_read_cannot_be_made(
    key: str, operator: Operator, values: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidSelector):
        Requirement(key, operator, values)


def test_a_name_that_nobody_has_is_told() -> None:
    nodes = [Node("1", "web-1"), Node("2", "web-1"), Node("3", "db-1", {"role": "db"})]
    listed = select(Names(("db-1", "web-1", "web-9", "2", "db-1")), nodes)
    assert ([node.id for node in listed.nodes], listed.unknown) == (["3", "1", "2"], ("web-9",))
    # A node that a label leaves out is there: it is neither selected nor unknown.
    selection = select(parse("name in (web-1,db-1,web-9,x-*),role!=db"), nodes)
    assert ([node.id for node in selection.nodes], selection.unknown) == (["1", "2"], ("web-9",))
    assert select(parse("id in (3,4)"), nodes).unknown == ("4",)
    assert select(parse("name!=web-7"), nodes).unknown == ()
    assert select(Everyone(), nodes).nodes == tuple(nodes)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("web-1", "no node has the label web-1, but one has this name: write name=web-1"),
        ("role=web,zone in (eu,us)", "no node meets zone in (eu,us)"),
        ("role=web,name=db-*", "no node meets all requirements together"),
    ],
)
def test_it_is_said_why_no_node_is_selected(text: str, reason: str) -> None:
    nodes = [Node("1", "web-1", {"role": "web"}), Node("2", "db-1", {"role": "db"})]
    selector = parse(text)
    assert select(selector, nodes).nodes == ()
    assert explain_nothing(selector, nodes) == reason
    assert explain_nothing(selector, []) == "there is no node"


@given(st.lists(WORDS, min_size=1, max_size=8), st.lists(WORDS, max_size=8, unique=True))
def test_each_name_of_a_list_is_a_node_or_unknown(names: list[str], known: list[str]) -> None:
    selection = select(Names(tuple(names)), [Node(f"i-{name}", name) for name in known])
    assert {node.name for node in selection.nodes} | set(selection.unknown) == set(names)
    assert not {node.name for node in selection.nodes} & set(selection.unknown)


@pytest.mark.parametrize("names", [(), ("web-*",), ("",), ("a b",), tuple(map(str, range(MOST_NAMES + 1)))])
def test_lists_of_names_are_checked(names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidSelector):
        Names(names)


@given(st.text(max_size=10), st.text(max_size=10))
def test_whatever_label_is_allowed_can_be_asked_for(key: str, value: str) -> None:
    try:
        check_label(key, value)
    except InvalidSelector:
        return
    assert parse(f"{key}={value}").is_met(Node("1", labels={key: value}))
    assert not parse(f"!{key}").is_met(Node("1", labels={key: value}))


@pytest.mark.parametrize(("key", "value"), [("name", "x"), ("id", "x"), ("a", "*"), ("a", "b c"), ("", "b")])
def test_labels_that_nobody_could_ask_for_are_refused(key: str, value: str) -> None:
    with pytest.raises(InvalidSelector):
        check_label(key, value)


def test_names_of_nodes_are_checked() -> None:
    check_name("db-1.example_2")
    for name in ("", "web-*", "a,b", "x" * (NAME_CHARACTERS + 1)):
        with pytest.raises(InvalidSelector):
            check_name(name)


def test_a_node_of_a_thousand_is_found_by_a_pattern_with_many_stars() -> None:
    assert not matches("*a" * 31 + "*", "a" * 30 + "b" * 33)
