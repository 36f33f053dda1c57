"""Checks a program's arguments against typed rules, one by one. There are no globs and no command lines. An argument
that no rule describes is refused, and one that begins with a hyphen is always an option."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .patterns import compile_pattern
from .rules import ArgumentRule, ProgramRule


class Refusal(Exception):
    """An argument does not fit.

    Attributes:
        rule: the name of the broken rule, inside the program's own.
        place: the number of the argument in ``argv``.
        text: the reason, for a person.
    """

    def __init__(self, rule: str, place: int, text: str) -> None:
        super().__init__(text)
        self.rule, self.place, self.text = rule, place, text


@dataclass(frozen=True, slots=True)
class _Word:
    """An argument and its place in ``argv``."""

    text: str
    place: int


def check_arguments(rule: ProgramRule, argv: Sequence[str]) -> list[str]:
    """Check the arguments. Returns them as the program will get them: paths resolved, and ``--`` before the first that
    is no option.

    Parameters:
        rule: the program's rule.
        argv: the caller's list, with the program itself first.

    Raises:
        Refusal: one of them breaks a rule.
    """
    if rule.any_arguments:
        return list(argv[1:])
    words = deque(_Word(text, place) for place, text in enumerate(argv) if place)
    options = _options(rule, words)
    arguments = _arguments(rule, words, len(argv))
    if arguments and rule.separator:
        return [*options, "--", *arguments]
    return [*options, *arguments]


def _options(rule: ProgramRule, words: deque[_Word]) -> list[str]:
    """Check the options, and remove them from the words."""
    options: list[str] = []
    while words and words[0].text.startswith("-") and len(words[0].text) > 1:
        word = words.popleft()
        if word.text == "--":
            break
        name, equals, value = word.text.partition("=")
        value_rule = rule.options.get(name)
        if value_rule is None:
            raise Refusal("options", word.place, f"{_quote(name)} is not an allowed option")
        where = f"options.{name}"
        if value_rule.kind == "flag":
            if equals:
                raise Refusal(where, word.place, f"{name} takes no value")
            options.append(name)
            continue
        if not equals:
            if not words:
                raise Refusal(where, word.place, f"{name} needs a value")
            word = words.popleft()
            value = word.text
        value_to_pass = check_value(value_rule, value, where, word.place)
        # A long option and its value in one word, so that no program can read them as two.
        options += [f"{name}={value_to_pass}"] if name.startswith("--") else [name, value_to_pass]
    return options


def _arguments(rule: ProgramRule, words: Iterable[_Word], end: int) -> list[str]:
    arguments: list[str] = []
    waiting = list(enumerate(rule.arguments))
    for word in words:
        if not waiting:
            raise Refusal("arguments", word.place, "there are more arguments than are allowed")
        number, value_rule = waiting[0]
        arguments.append(check_value(value_rule, word.text, f"arguments[{number}]", word.place))
        if not value_rule.repeat:
            waiting.pop(0)
        elif not value_rule.optional:
            waiting[0] = (number, value_rule.model_copy(update={"optional": True}))
    if waiting and not waiting[0][1].optional:
        raise Refusal(f"arguments[{waiting[0][0]}]", end, "an argument is missing")
    return arguments


def check_value(rule: ArgumentRule, value: str, where: str, place: int) -> str:
    """Check a value. Returns it as the program will get it.

    Parameters:
        rule: what the value may be.
        value: the caller's value.
        where: the rule's name.
        place: the number of the argument.

    Raises:
        Refusal: the value breaks the rule.
    """
    if value.startswith("-"):
        raise Refusal(where, place, "it must not begin with a hyphen")
    if len(value) > rule.max_chars:
        raise Refusal(where, place, f"it is longer than {rule.max_chars} characters")
    if not value.isprintable():
        raise Refusal(where, place, "it has characters that cannot be printed")
    match rule.kind:
        case "choice":
            if value not in rule.choices:
                raise Refusal(where, place, f"it is not one of {', '.join(rule.choices)}")
        case "integer":
            _check_integer(rule, value, where, place)
        case "path":
            return _check_path(rule, value, where, place)
        case "pattern":
            if compile_pattern(rule.pattern).fullmatch(value) is None:
                raise Refusal(where, place, "it does not match the pattern")
        case _:
            pass
    return value


def _check_integer(rule: ArgumentRule, value: str, where: str, place: int) -> None:
    if not re.fullmatch(r"[0-9]{1,18}", value):  # Not isdecimal(), which accepts the digits of all scripts.
        raise Refusal(where, place, "it is not a whole number in digits")
    number = int(value)
    if rule.minimum is not None and number < rule.minimum:
        raise Refusal(where, place, f"it is less than {rule.minimum}")
    if rule.maximum is not None and number > rule.maximum:
        raise Refusal(where, place, f"it is more than {rule.maximum}")


def _check_path(rule: ArgumentRule, value: str, where: str, place: int) -> str:
    assert rule.under is not None
    if not value.startswith("/"):
        raise Refusal(where, place, "it is not an absolute path")
    real_path = resolve(value)
    if real_path is None or not is_under(real_path, os.path.realpath(rule.under)):
        raise Refusal(where, place, f"it leads out of {rule.under}")
    return real_path


def resolve(path: str) -> str | None:
    """Resolve the links of a path, as far as it exists; ``None`` where a folder on the way cannot be read, or the path
    is too long."""
    try:
        return None if is_too_long(path) else os.path.realpath(path)
    except (OSError, ValueError):
        return None


_THROUGH_PROC = re.compile(r"/proc/[^/]+(/task/[^/]+)?/(fd|fdinfo|root|cwd|exe|map_files)(/|$)")
_MOST_LINKS = 40
"""The system follows no more links than this in one path (path_resolution(7))."""
LONGEST_PATH_BYTES = 4095
"""The system takes no longer path (PATH_MAX in limits.h, which counts the null character at the end)."""


def is_too_long(path: str) -> bool:
    """Whether the system would take a path for too long. To follow a longer one step by step would take time that grows
    with the square of its length."""
    return len(path) > LONGEST_PATH_BYTES or len(os.fsencode(path)) > LONGEST_PATH_BYTES


def leads_through_process(path: str) -> bool:
    """Whether a path leads through an open file or the working directory of a process, by its own text or by links on
    the way, such as ``/dev/fd``.

    Parameters:
        path: an absolute path, no longer than the system takes.
    """
    if _THROUGH_PROC.match("/" + os.path.normpath(path).lstrip("/")):
        return True
    at, waiting, links = "/", path.split("/")[::-1], 0
    while waiting and links <= _MOST_LINKS:
        name = waiting.pop()
        if name in ("", "."):
            continue
        place = os.path.dirname(at) if name == ".." else os.path.join(at, name)
        if _THROUGH_PROC.match(place):
            return True
        try:
            target = os.readlink(place)
        except OSError:
            at = place
            continue
        links += 1
        at = "/" if target.startswith("/") else at
        waiting += target.split("/")[::-1]
    return False


def is_under(path: str, folder: str) -> bool:
    """Whether a path is a folder or below it; both without links."""
    return folder in (path, "/") or path.startswith(folder + "/")


def _quote(text: str) -> str:
    return repr(text[:40])
