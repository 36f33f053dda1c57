"""Parameters of :mod:`subprocess` that have another name here. Who uses one gets an error that names ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

from .text import invalid

_P = ParamSpec("_P")
_T = TypeVar("_T")

REPLACEMENTS = {
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


def check_names(names: Iterable[str], ours: Iterable[str] = ()) -> None:
    """Check that no parameter has a name that only :mod:`subprocess` knows.

    Parameters:
        names: the names of the parameters.
        ours: the names of :mod:`subprocess` that exist here, too.

    Raises:
        InvalidParams: a parameter has such a name; the message says what to write instead.
    """
    for name in sorted(set(names) & REPLACEMENTS.keys() - set(ours)):
        raise invalid(name, REPLACEMENTS[name])


def explains_names(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make a method that refuses parameters of :mod:`subprocess`, and says what to write instead.

    Raises:
        InvalidParams: such a parameter was given.
    """

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        check_names(kwargs)
        return function(*args, **kwargs)

    return call
