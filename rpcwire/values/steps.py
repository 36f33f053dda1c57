"""Counts how many steps a type may take to read one value, so that nobody can make the reader work longer than the
number of values in a message allows.

Most types take a step or two. A union that is not discriminated tries each alternative, and a model whose fields have
defaults fills in all of them for an empty object. Where alternatives contain further unions, the steps multiply. Where
a type contains itself in several alternatives, they multiply again with each level: a few hundred bytes take years.

A value is looked at by several schemas at once: all alternatives of its union, which may in turn come from several
alternatives around it. This follows all such sets of schemas from the outermost value inwards, and finds the one with
the most steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

_MOST_SCHEMAS = 500
"""If more schemas look at one value, their number grows with each level."""
_MOST_SETS = 20_000
"""The most sets of schemas to follow. Types of hundreds of models have some thousands."""

_CALL_STEPS = 3
"""The steps for a function in Python."""
_COPY_STEPS = 8
"""The steps to copy each part of a default that could be changed, such as a list."""
_MOST_PARTS = 1000
"""How many parts of a default to count."""
_OBJECT_STEPS, _DEFAULT_STEPS = 2, 0.4
"""The steps to make an object, and to fill in a default."""
_STEPS: Mapping[str, int] = {
    "datetime": 2, "date": 2, "time": 2, "timedelta": 2, "uuid": 2, "url": 3, "multi-host-url": 3, "decimal": 4,
    "complex": 2, "json": 2, "enum": 8, "function-plain": 1 + _CALL_STEPS, "call": 1 + _CALL_STEPS,
}  # fmt: skip
"""The steps of types that take more than one. A step is less than half a microsecond."""

_FUNCTIONS = frozenset({"function-before", "function-after", "function-wrap"})
_OBJECTS = frozenset({"model-fields", "typed-dict", "dataclass-args", "arguments", "arguments-v3"})
_LISTS = frozenset({"list", "set", "frozenset", "generator"})

_State = tuple[tuple[int, int], ...]
"""A set of schemas that look at one value: the number of each, and how often it looks."""
_Members = Sequence[tuple[Mapping[Any, Any], int]]
"""The members or items of several schemas, and how often each looks."""


class EndlessSteps(Exception):
    """The steps of a type grow with each level of its values."""


class _Leaf:
    """A schema that looks at a value, without what only hands the value on.

    Attributes:
        schema: the schema.
        steps: the steps that it takes for the value itself.
        least_nodes: the fewest parts that a right value has: itself, and the names and values that it must have.
        fields: the schemas of members by name, and under ``None`` of any other.
        items: the schemas of items by place, and under ``None`` of any other.
        names: the schema of names; ``None`` where they are plain.
    """

    __slots__ = ("fields", "items", "least_nodes", "names", "schema", "steps")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        kind = schema["type"]
        self.schema = schema
        self.steps: float = _STEPS.get(kind, 1)
        self.least_nodes = 1
        self.fields: dict[str | None, Any] = {}
        self.items: dict[int | None, Any] = {}
        self.names: Any = None
        if kind in _OBJECTS:
            self._read_fields(schema)
        elif kind == "dict":
            self.fields[None], self.names = schema.get("values_schema"), schema.get("keys_schema")
        elif kind in _LISTS:
            self.items[None] = schema.get("items_schema")
        elif kind == "tuple":
            self._read_places(schema)

    def _read_fields(self, schema: Mapping[str, Any]) -> None:
        is_call = schema["type"].startswith("arguments")
        entries = schema.get("arguments_schema") if is_call else schema.get("fields")
        self.steps = _OBJECT_STEPS
        fields = (
            list(entries.items()) if isinstance(entries, dict) else [(each["name"], each) for each in entries or ()]
        )
        self.fields[None] = schema.get("extras_schema")
        total = schema.get("total", True)
        for place, (name, field) in enumerate(fields):
            inner = field["schema"]
            self.steps += _default_steps(inner)
            if inner["type"] != "default" and field.get("required", total):
                self.least_nodes += 2
            for alias in {name, *_aliases(field)}:
                self.fields[alias] = inner
            if is_call:
                self.items[place] = inner

    def _read_places(self, schema: Mapping[str, Any]) -> None:
        items, variadic = schema["items_schema"], schema.get("variadic_item_index")
        self.steps += len(items)
        self.items.update(enumerate(items))
        if variadic is not None:
            self.items[None] = items[variadic]


def _aliases(field: Mapping[str, Any]) -> Iterator[str]:
    """Yield the first names of the aliases of a field."""
    alias = field.get("validation_alias", field.get("alias"))
    for each in alias if isinstance(alias, list) else [alias]:
        first = each[0] if isinstance(each, list) else each
        if isinstance(first, str):
            yield first


def _default_steps(schema: Mapping[str, Any]) -> float:
    """Return the steps for a field that is missing."""
    if schema["type"] != "default":
        return 1
    steps: float = _DEFAULT_STEPS
    if "default_factory" in schema:
        steps = _CALL_STEPS
    elif not _is_hashable(schema["default"]):  # pydantic copies it then.
        steps = _COPY_STEPS * _count_parts(schema["default"])
    return steps + (_COPY_STEPS if schema.get("validate_default") else 0)


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _count_parts(value: Any) -> int:
    """Count the parts of a default, the default itself included, but not more than :data:`_MOST_PARTS`."""
    count, waiting = 0, [value]
    while waiting and count < _MOST_PARTS:
        part = waiting.pop()
        count += 1
        if isinstance(part, dict):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, (list, tuple, set, frozenset)):
            waiting += part
        elif hasattr(part, "__dict__"):
            waiting += vars(part).values()
    return count


class _Search:
    """Follows the sets of schemas of a type."""

    def __init__(self) -> None:
        self._definitions: dict[str, Any] = {}
        self._numbers: dict[int, int] = {}
        self._leaves: list[_Leaf] = []
        self._extra_steps: list[float] = []
        self._flat: dict[int, list[int]] = {}

    def most_steps(self, schema: Any) -> float:
        """Return the most steps for one part of a value of a type, of those of which there may be many."""
        most = 1.0
        waiting: list[tuple[_State, bool]] = [(self._state([schema]), False)]
        states = set(waiting)
        while waiting and len(states) < _MOST_SETS:
            outer, are_many = waiting.pop()
            for state, is_repeated in self._inner(outer):
                # The definitions are known by now. A type that has some may contain itself, and so anything many times.
                inner = (state, are_many or is_repeated or bool(self._definitions))
                if not state or inner in states:
                    continue
                if sum(count for _, count in state) > _MOST_SCHEMAS:
                    raise EndlessSteps
                if inner[1]:
                    most = max(most, self._steps(state))
                states.add(inner)
                waiting.append(inner)
        return most

    def _steps(self, state: _State) -> float:
        """Return the steps for each part of a value that these schemas look at."""
        return max(map(self._steps_of_chosen, self._choose(state)))

    def _steps_of_chosen(self, state: _State) -> float:
        """Return the same for schemas without discriminated unions. Where only one looks, a wrong value ends
        everything, so a right one counts."""
        if len(state) == 1 and state[0][1] == 1:
            leaf = self._leaves[state[0][0]]
            steps = 1.0 if leaf.schema["type"] == "enum" else leaf.steps
            return (steps + self._extra_steps[state[0][0]]) / leaf.least_nodes
        return sum(count * (self._leaves[number].steps + self._extra_steps[number]) for number, count in state)

    def _state(self, schemas: Iterable[Any]) -> _State:
        counts: Counter[int] = Counter()
        for schema in schemas:
            counts.update(self._numbers_of(schema))
        return tuple(sorted(counts.items()))

    def _numbers_of(self, schema: Any) -> list[int]:
        """Return the numbers of the leaves of a schema."""
        if schema is None:
            schema = _ANY
        if (known := self._flat.get(id(schema))) is None:
            known = self._flat[id(schema)] = list(self._flatten(schema, 0))
        return known

    def _flatten(self, schema: Any, extra_steps: float) -> Iterator[int]:
        kind = schema["type"]
        match kind:
            case "definitions":
                self._definitions.update((each["ref"], each) for each in schema["definitions"])
                yield from self._flatten(schema["schema"], extra_steps)
            case "definition-ref":
                yield from self._flatten(self._definitions[schema["schema_ref"]], extra_steps)
            case "union":
                for choice in schema["choices"]:
                    yield from self._flatten(choice[0] if isinstance(choice, tuple) else choice, extra_steps)
            case "chain":
                for each in schema["steps"]:
                    yield from self._flatten(each, extra_steps)
            case "lax-or-strict":
                yield from self._flatten(schema["lax_schema"], extra_steps)
            case "json-or-python":
                yield from self._flatten(schema["python_schema"], extra_steps)
            case "default" | "nullable" | "model" | "dataclass" | "custom-error":
                yield from self._flatten(schema["schema"], extra_steps)
            case _ if kind in _FUNCTIONS:
                yield from self._flatten(schema["schema"], extra_steps + _CALL_STEPS)
            case _:
                yield self._number(schema, extra_steps)

    def _number(self, schema: Any, extra_steps: float) -> int:
        number = self._numbers.get(id(schema))
        if number is None:
            number = self._numbers[id(schema)] = len(self._leaves)
            self._leaves.append(_Leaf(schema))
            self._extra_steps.append(0)
        self._extra_steps[number] = max(self._extra_steps[number], extra_steps)
        return number

    def _inner(self, state: _State) -> Iterator[tuple[_State, bool]]:
        """Yield the sets of schemas that look at the parts of a value at which these look, and whether there may be
        many such parts."""
        for choice in self._choose(state):
            leaves = [(self._leaves[number], count) for number, count in choice]
            yield from self._members([(leaf.fields, count) for leaf, count in leaves])
            yield from self._members([(leaf.items, count) for leaf, count in leaves])
            names = [leaf.names for leaf, count in leaves for _ in range(count) if leaf.names is not None]
            yield self._state(names), True

    def _members(self, members: _Members) -> Iterator[tuple[_State, bool]]:
        for key in {None}.union(*(schemas for schemas, _ in members)):
            yield self._state(_find(members, key)), key is None

    def _choose(self, state: _State) -> Iterator[_State]:
        """Replace discriminated unions by their alternatives: by one of them where there is one union, otherwise by all
        of them."""
        unions = [(number, count) for number, count in state if self._leaves[number].schema["type"] == "tagged-union"]
        if not unions:
            yield state
            return
        rest = dict(each for each in state if each not in unions)
        choices = [list(self._leaves[number].schema["choices"].values()) for number, _ in unions]
        alternatives = [[each] for each in choices[0]] if len(unions) == 1 else [list(chain(*choices))]
        most = max(count for _, count in unions)
        for alternative in alternatives:
            counts = Counter(rest)
            for schema in alternative:
                if isinstance(schema, dict):  # Otherwise it is another tag of the same alternative.
                    for number in self._numbers_of(schema):
                        counts[number] += most
            yield from self._choose(tuple(sorted(counts.items())))


_ANY: Mapping[str, Any] = {"type": "any"}


def _find(members: _Members, key: Any) -> Iterator[Any]:
    """Yield the schemas of the members with a name, or of the items at a place, each as often as it looks."""
    for schemas, count in members:
        schema = schemas.get(key, schemas.get(None))
        if schema is not None:
            yield from [schema] * count


def most_steps(schema: Any) -> float:
    """Return the most steps that a type takes for one part of a value: a value, a name, an array or an object.

    Parameters:
        schema: the type's core schema.

    Raises:
        EndlessSteps: they grow with each level of the value.
    """
    return _Search().most_steps(schema)
