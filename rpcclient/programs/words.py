"""Words of :mod:`subprocess` that are called otherwise here: whoever uses one is told ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

from .text import invalid

_P = ParamSpec("_P")
_T = TypeVar("_T")

OURS = {
    "args": "the program and its arguments are argv",
    "bufsize": "nothing is buffered here: leave it out",
    "close_fds": "nothing is inherited from the server: leave it out",
    "executable": "argv[0] is the program",
    "group": 'give user, or run "sg" or "newgrp"',
    "preexec_fn": "no code of this side runs there: start a program that does it",
    "process_group": "each program has a group of its own: leave it out",
    "shell": 'no shell is involved: run ["sh", "-c", "…"]',
    "start_new_session": "each program has a session of its own: leave it out",
    "stdin": 'run takes input="…"; start takes stdin=True or False',
    "stdout": 'a handle has it as stdout; run takes "discard", and returns it otherwise',
    "timeout": "it is timeout_s=, in seconds",
    "umask": 'run ["sh", "-c", "umask …; exec …"]',
    "universal_newlines": "it is text=True",
}
"""What to write in place of a parameter of ``subprocess``."""


def check_words(given: Iterable[str], ours: Iterable[str] = ()) -> None:
    """See that nothing is given by a name that only :mod:`subprocess` knows.

    Parameters:
        given: the names.
        ours: those of them that this side has, too.

    Raises:
        InvalidParams: something is; the message says what to write here.
    """
    for name in sorted(set(given) & OURS.keys() - set(ours)):
        raise invalid(name, OURS[name])


def tells_ours(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have a method that is called with a parameter of :mod:`subprocess` say what to write here.

    Raises:
        InvalidParams: it was.
    """

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        check_words(kwargs)
        return function(*args, **kwargs)

    return call
