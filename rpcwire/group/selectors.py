"""Selectors: the text that says which nodes a group call is for, such as ``role=web,zone!=eu``.

The language is that of Kubernetes' label selectors ("Labels and Selectors", section "API"): requirements with commas
between them, all of which a node must meet.

==================== ===============================================================================
``a=b``, ``a==b``    the label ``a`` has the value ``b``
``a!=b``             it has another value, or the node has no label ``a``
``a in (b,c)``       the label has one of these values
``a notin (b,c)``    it has none of them, or the node has no label ``a``
``a``                the node has the label, with any value
``!a``               the node has no such label
``a=``               the label is there, and its value is empty
==================== ===============================================================================

What differs from Kubernetes:

- ``name`` and ``id`` are no labels but the name and the id of the node. Names may be patterns: ``name=web-*``, in which
  ``*`` stands for any characters, and ``?`` for one.
- A name or id without such signs in ``=`` or ``in`` is a promise that there is such a node: one that nobody has is
  told (:attr:`Selection.unknown`), and never left out.
- An empty selector, and an empty value within parentheses, are errors. In Kubernetes an empty selector means
  everything, so that an empty variable in a script would call every node.
- There is no ``a>1`` and no ``a<1``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, NoReturn, Protocol, TypeVar

from rpcwire.logs import printable

TEXT_CHARACTERS = 4096
"""The most characters of a selector."""
MOST_REQUIREMENTS = 64
"""The most requirements of a selector."""
MOST_NAMES = 10_000
"""The most names of an explicit list."""
NAME_CHARACTERS = 63
"""The most characters of a node's name or id, of a label's value, and of a label's key without its prefix."""
PREFIX_CHARACTERS = 253
"""The most characters before the ``/`` of a label's key."""

NAME, ID = "name", "id"
"""The keys that stand for a node's name and id."""

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_WORD = _LETTERS | frozenset("-_.")
_PREFIX = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")
_JOKERS = frozenset("*?")
_TOKEN = _WORD | _JOKERS | {"/"}
_SPACES = frozenset(" \t\r\n")


class InvalidSelector(ValueError):
    """A selector, a label or a list of names cannot be used. The message tells the place and the remedy.

    Parameters:
        problem: what is wrong, and what to write instead.
        text: the selector, as far as it is one.
        position: where in it, counted from 0; ``None`` where there is no place.
    """

    def __init__(self, problem: str, text: str = "", position: int | None = None) -> None:
        where = "" if position is None else f"at character {position + 1} of {printable(text)!r}: "
        super().__init__(f"{where}{problem}")
        self.problem = problem
        self.text = text
        self.position = position


class Operator(Enum):
    """How a requirement compares."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "absent"


class Candidate(Protocol):
    """What a selector looks at: a node."""

    @property
    def id(self) -> str:
        """The id, which no other node has."""
        ...

    @property
    def name(self) -> str:
        """The name, which several nodes may have."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels."""
        ...


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement. To make one checks it, so that every requirement has a text that :func:`parse` reads.

    Parameters:
        key: the label, or :data:`NAME` or :data:`ID`.
        operator: how to compare.
        values: the values, without repetitions and in order; none for ``EXISTS`` and ``ABSENT``.

    Raises:
        InvalidSelector: the key or a value cannot be used.
    """

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        is_reserved = self.key in (NAME, ID)
        if problem := _problem_of_key(self.key):
            raise InvalidSelector(problem)
        if self.operator in (Operator.EXISTS, Operator.ABSENT):
            if self.values:
                raise InvalidSelector(f"{self.operator.value} takes no values")
            if is_reserved:
                raise InvalidSelector(f"every node has {self.key}: write {self.key}=VALUE")
            return
        if not self.values:
            raise InvalidSelector(
                f"{self.operator.value} needs a value: write {self.key} {self.operator.value} (VALUE)"
            )
        if len(self.values) > 1 and "" in self.values:
            raise InvalidSelector(f"an empty value cannot stand beside others: write {self.key}= for it")
        for value in self.values:
            if problem := _problem_of_value(self.key, value):
                raise InvalidSelector(problem)
        object.__setattr__(self, "values", tuple(sorted(set(self.values))))

    def is_met(self, node: Candidate) -> bool:
        """Return whether a node meets the requirement.

        Parameters:
            node: the node.
        """
        match self.operator:
            case Operator.EXISTS:
                return self.key in node.labels
            case Operator.ABSENT:
                return self.key not in node.labels
            case Operator.IN:
                return self._has_value(node)
            case Operator.NOT_IN:
                return not self._has_value(node)

    def exact_values(self) -> tuple[str, ...]:
        """Return the names or ids of which a node must be there: those without ``*`` and ``?`` in ``=`` and ``in``."""
        if self.operator is not Operator.IN or self.key not in (NAME, ID):
            return ()
        return tuple(value for value in self.values if not _JOKERS & set(value))

    def _has_value(self, node: Candidate) -> bool:
        if self.key == NAME:
            return any(matches(value, node.name) for value in self.values)
        value = node.id if self.key == ID else node.labels.get(self.key)
        return value is not None and value in self.values

    def __str__(self) -> str:
        match self.operator:
            case Operator.EXISTS:
                return self.key
            case Operator.ABSENT:
                return f"!{self.key}"
            case _ if len(self.values) == 1:
                return f"{self.key}{'=' if self.operator is Operator.IN else '!='}{self.values[0]}"
            case _:
                return f"{self.key} {self.operator.value} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that a node must meet together.

    Parameters:
        requirements: at least one of them.

    Raises:
        InvalidSelector: there are none, or more than :data:`MOST_REQUIREMENTS`.
    """

    requirements: tuple[Requirement, ...]

    def __post_init__(self) -> None:
        if not self.requirements:
            raise InvalidSelector("the selector is empty: write LABEL=VALUE, or ask for everyone")
        if len(self.requirements) > MOST_REQUIREMENTS:
            raise InvalidSelector(f"it has more than {MOST_REQUIREMENTS} requirements: use fewer, or a list of names")

    def is_met(self, node: Candidate) -> bool:
        """Return whether a node meets all requirements.

        Parameters:
            node: the node.
        """
        return all(each.is_met(node) for each in self.requirements)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


@dataclass(frozen=True, slots=True)
class Names:
    """An explicit list of names or ids of nodes: each of them has an outcome, also one that nobody has.

    Parameters:
        names: the names, without repetitions. A name may be an id.

    Raises:
        InvalidSelector: there are none, more than :data:`MOST_NAMES`, or one cannot be a name.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise InvalidSelector("the list of names is empty: name a node, or ask for everyone")
        if len(self.names) > MOST_NAMES:
            raise InvalidSelector(f"the list has more than {MOST_NAMES} names: use labels")
        for name in self.names:
            if problem := _problem_of_word(name, "a node's name", _WORD):
                raise InvalidSelector(problem)
        object.__setattr__(self, "names", tuple(dict.fromkeys(self.names)))


@dataclass(frozen=True, slots=True)
class Everyone:
    """All nodes."""


Target = Selector | Names | Everyone
"""The nodes that a group call is for."""

Node = TypeVar("Node", bound=Candidate)


@dataclass(frozen=True, slots=True)
class Selection(Generic[Node]):
    """What a target means at one moment.

    Attributes:
        nodes: the nodes, in the order in which they were given; for :class:`Names` in the order of the names.
        unknown: names and ids that were asked for by themselves, and that no node has.
    """

    nodes: tuple[Node, ...]
    unknown: tuple[str, ...] = ()


def select(target: Target, nodes: Sequence[Node]) -> Selection[Node]:
    """Find the nodes that a call is for.

    Parameters:
        target: what was asked for.
        nodes: all nodes, with ids of which none is there twice.
    """
    if isinstance(target, Everyone):
        return Selection(tuple(nodes))
    if isinstance(target, Selector):
        selection = tuple(node for node in nodes if target.is_met(node))
        exact: dict[str, set[str]] = {NAME: set(), ID: set()}
        for requirement in target.requirements:
            if requirement.key in exact:
                exact[requirement.key].update(requirement.exact_values())
        unknown = exact[NAME] - {node.name for node in nodes} if exact[NAME] else set()
        if exact[ID]:
            unknown |= exact[ID] - {node.id for node in nodes}
        return Selection(selection, tuple(sorted(unknown)))
    by_name: dict[str, list[Node]] = {}
    for node in nodes:
        by_name.setdefault(node.name, []).append(node)
        if node.id != node.name:
            by_name.setdefault(node.id, []).append(node)
    by_id = {node.id: node for name in target.names for node in by_name.get(name, ())}
    return Selection(tuple(by_id.values()), tuple(name for name in target.names if name not in by_name))


def explain_nothing(selector: Selector, nodes: Sequence[Candidate]) -> str:
    """Say in a sentence why a selector has selected no node.

    Parameters:
        selector: the selector.
        nodes: all nodes.
    """
    if not nodes:
        return "there is no node"
    names = {name for node in nodes for name in (node.name, node.id)}
    for each in selector.requirements:
        if each.operator is Operator.EXISTS and each.key in names:
            return f"no node has the label {each.key}, but one has this name: write {NAME}={each.key}"
    for each in selector.requirements:
        if not any(each.is_met(node) for node in nodes):
            return f"no node meets {each}"
    return "no node meets all requirements together"


def matches(pattern: str, text: str) -> bool:
    """Return whether a text matches a pattern as a whole.

    It goes back to the last ``*`` only, so it takes at most ``len(pattern) * len(text)`` steps.

    Parameters:
        pattern: ``*`` stands for any characters, ``?`` for one.
        text: the text.
    """
    at = in_text = 0
    star = resume = -1
    while in_text < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, in_text
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[in_text]):
            at += 1
            in_text += 1
        elif star >= 0:
            resume += 1
            at, in_text = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")


def check_label(key: str, value: str) -> None:
    """Make sure that a selector can ask for a label.

    Parameters:
        key: the key of the label: at most 63 letters, digits and ``-_.``, with a letter or digit at both ends. Before
            it there may be a prefix, such as ``example.com/``.
        value: its value: as a key without a prefix, or empty.

    Raises:
        InvalidSelector: it cannot.
    """
    if key in (NAME, ID):
        raise InvalidSelector(f"the label {key!r} would hide the node's own {key}: use another key")
    if problem := _problem_of_key(key) or _problem_of_value(key, value):
        raise InvalidSelector(problem)


def check_name(name: str) -> None:
    """Make sure that a selector can ask for a node's name.

    Parameters:
        name: at most 63 letters, digits and ``-_.``, with a letter or digit at both ends.

    Raises:
        InvalidSelector: it cannot.
    """
    if problem := _problem_of_word(name, "a node's name", _WORD):
        raise InvalidSelector(problem)


def _problem_of_key(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if slash:
        if not prefix or len(prefix) > PREFIX_CHARACTERS or not _PREFIX.issuperset(prefix):
            return (
                f"{printable(key)!r} has no good prefix before its /: use at most {PREFIX_CHARACTERS} small letters, "
                "digits, - and ., as in example.com/role"
            )
        if any(not part or part.startswith("-") or part.endswith("-") for part in prefix.split(".")):
            return (
                f"{printable(key)!r} has no good prefix before its /: use the name of a domain, as in example.com/role"
            )
    return _problem_of_word(name, "the key of a label", _WORD)


def _problem_of_value(key: str, value: str) -> str:
    if key in (NAME, ID):
        signs = _WORD | _JOKERS if key == NAME else _WORD
        return _problem_of_word(value, f"a node's {key}", signs)
    if value == "":
        return ""
    if _JOKERS & set(value):
        return f"* and ? stand for other characters in {NAME} only: write the whole value of {printable(key)!r}"
    return _problem_of_word(value, "the value of a label", _WORD)


def _problem_of_word(word: str, what: str, signs: frozenset[str]) -> str:
    if word == "":
        return f"{what} is missing"
    ends = _LETTERS | (signs & _JOKERS)
    if len(word) > NAME_CHARACTERS:
        return f"{printable(word)!r} is too long for {what}: use at most {NAME_CHARACTERS} characters"
    if not signs.issuperset(word) or word[0] not in ends or word[-1] not in ends:
        return f"{printable(word)!r} cannot be {what}: use letters, digits, - _ . and a letter or digit at both ends"
    return ""


def parse(text: str) -> Selector:
    """Read a selector. It goes through the text once, from left to right.

    Parameters:
        text: the selector, of at most :data:`TEXT_CHARACTERS`.

    Raises:
        InvalidSelector: it cannot be read.
    """
    if len(text) > TEXT_CHARACTERS:
        raise InvalidSelector(f"the selector has more than {TEXT_CHARACTERS} characters: use fewer, or a list of names")
    reader = _Reader(text)
    requirements: list[Requirement] = []
    if reader.peek() == "":
        raise InvalidSelector("the selector is empty: write LABEL=VALUE, or ask for everyone")
    while True:
        if len(requirements) == MOST_REQUIREMENTS:
            reader.fail(f"there are more than {MOST_REQUIREMENTS} requirements: use fewer, or a list of names")
        requirements.append(_read_requirement(reader))
        sign = reader.peek()
        if sign == "":
            return Selector(tuple(requirements))
        if sign != ",":
            reader.fail(f"{printable(sign)!r} is not expected here: write a comma between requirements")
        reader.skip(1)


class _Reader:
    """A place in a selector."""

    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        """Pass spaces, and return the next character; empty at the end."""
        while self.at < len(self.text) and self.text[self.at] in _SPACES:
            self.at += 1
        return self.text[self.at : self.at + 1]

    def skip(self, count: int) -> None:
        self.at += count

    def word(self) -> tuple[str, int]:
        """Pass spaces, and read the next word, which may be empty. Return it with its place."""
        self.peek()
        start = self.at
        while self.at < len(self.text) and self.text[self.at] in _TOKEN:
            self.at += 1
        return self.text[start : self.at], start

    def fail(self, problem: str, position: int | None = None) -> NoReturn:
        raise InvalidSelector(problem, self.text, self.at if position is None else position)


def _read_requirement(reader: _Reader) -> Requirement:
    is_absent = reader.peek() == "!"
    if is_absent:
        reader.skip(1)
    key, start = reader.word()
    if not key:
        sign = reader.peek()
        reader.fail(f"{printable(sign)!r} is not expected here: write a label" if sign else "a label is missing")
    if problem := _problem_of_key(key):
        reader.fail(problem, start)
    sign = reader.peek()
    if is_absent or sign in ("", ","):
        if key in (NAME, ID):
            reader.fail(f"every node has {key}: write {key}=VALUE", start)
        return Requirement(key, Operator.ABSENT if is_absent else Operator.EXISTS)
    if sign == "=":
        reader.skip(2 if reader.text.startswith("==", reader.at) else 1)
        return Requirement(key, Operator.IN, (_read_value(reader, key),))
    if reader.text.startswith("!=", reader.at):
        reader.skip(2)
        return Requirement(key, Operator.NOT_IN, (_read_value(reader, key),))
    if sign in ("<", ">"):
        reader.fail(f"labels cannot be compared with {sign}: write {key} in (VALUE,VALUE)")
    word, position = reader.word()
    if word not in ("in", "notin"):
        text = printable(word or sign)
        reader.fail(f"{text!r} is not expected here: write =, !=, in or notin, or a comma", position)
    if reader.peek() != "(":
        reader.fail(f"( is missing: write {key} {word} (VALUE,VALUE)")
    reader.skip(1)
    return Requirement(key, Operator(word), _read_values(reader, key, word))


def _read_value(reader: _Reader, key: str) -> str:
    value, start = reader.word()
    if problem := _problem_of_value(key, value):
        reader.fail(problem, start)
    return value


def _read_values(reader: _Reader, key: str, word: str) -> tuple[str, ...]:
    values: list[str] = []
    while True:
        value = _read_value(reader, key)
        sign = reader.peek()
        if not value and sign in (",", ")"):
            reader.fail(f"a value is missing: write {key} {word} (VALUE,VALUE); an empty value is {key}=")
        if sign not in (",", ")") or not value:
            reader.fail(") is missing" if sign == "" else f"{printable(sign)!r} is not expected here: write , or )")
        values.append(value)
        reader.skip(1)
        if sign == ")":
            return tuple(values)
